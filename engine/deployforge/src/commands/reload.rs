//! The configuration of a running stream, read again.

use crate::cli::{Cli, Run};
use crate::config::{self, ConfigFile, KafkaConfig, SourceConfig};
use crate::error::CommandError;
use crate::setup;

/// What the file says now, if all that it changes can change without a restart.
pub(super) fn read_again(
    cli: &Cli,
    args: &Run,
    before: &ConfigFile,
) -> Result<ConfigFile, CommandError> {
    let Some(path) = &args.config else {
        return Err(CommandError::new("no configuration file was given with --config"));
    };
    let mut now = config::load(path)?;
    super::run::apply_flags(args, &mut now)?;
    config::check_together(&now)?;
    config::rules::warn_expired(&now, setup::clock().now());
    let fixed = [
        ("data_dir", cli.data_dir.is_some() || before.data_dir == now.data_dir),
        ("store", cli.store.is_some() || before.store == now.store),
        ("store_options", before.store_options == now.store_options),
        ("sources", fixed_of(before) == fixed_of(&now)),
        ("events", before.events == now.events),
        ("listen", before.listen == now.listen),
        ("tier", before.tier == now.tier),
        ("history", before.history == now.history),
    ];
    match fixed.iter().find(|(_, same)| !same) {
        Some((name, _)) => Err(CommandError::new(format!(
            "`{name}` has changed, and that needs a restart; the rest was not taken over either"
        ))),
        None => Ok(now),
    }
}

/// What of sources cannot change: all but when a partition is paused or read again.
fn fixed_of(config: &ConfigFile) -> Vec<SourceConfig> {
    let mut sources = config.sources.clone();
    for kafka in sources.iter_mut().filter_map(|source| source.kafka.as_mut()) {
        let KafkaConfig { rejects, stall_seconds, .. } = KafkaConfig::default();
        (kafka.rejects, kafka.stall_seconds) = (rejects, stall_seconds);
    }
    sources
}

/// Says that the file counts from now on.
pub(super) fn say_reloaded() {
    metrics::counter!("deployforge_reloads_total", "result" => "reloaded").increment(1);
    tracing::info!(event = "configuration_reloaded", "the configuration file counts from now on");
}

/// Says that the file does not count.
pub(super) fn say_refused(problem: &str) {
    metrics::counter!("deployforge_reloads_total", "result" => "refused").increment(1);
    // An event is one line.
    let problem = problem.split_whitespace().collect::<Vec<_>>().join(" ");
    tracing::error!(
        event = "configuration_refused",
        "the configuration file is not taken over, and what counted before stays: {problem}"
    );
}
