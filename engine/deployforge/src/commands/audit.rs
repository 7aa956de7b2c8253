//! `audit`: snapshots against baselines, once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use deployforge_compare::{Baseline, Comparator, RejectRow};
use deployforge_model::FixedClock;
use deployforge_pipeline::{Engine, FILE_BYTES, Recorder, read_inputs};
use deployforge_state::DataDir;

use super::stream::{feed_all, from_files, inputs, keep_rejects, say_totals, stored, total};
use crate::cli::{Audit, Cli, ReportFormat};
use crate::config::{self, ConfigFile};
use crate::error::{CommandError, CommandResult};
use crate::home::{self, Home};
use crate::render;
use crate::report::{Report, write_to};
use crate::setup::{self, HashKeys};

/// Rows gathered before they are committed.
const COMMIT_ROWS: usize = 200_000;

pub(crate) fn run(cli: &Cli, args: &Audit) -> CommandResult {
    let config = match &args.config {
        Some(path) => config::load(path)?,
        None => ConfigFile::default(),
    };
    let config = config.with_rules(&args.rules)?;
    config::rules::warn_expired(&config, setup::clock().now());
    let names: Vec<&str> =
        args.baselines.iter().filter_map(|spec| spec.strip_prefix('@')).collect();
    let dir = if args.record {
        Some(Home::of(cli, &config)?.open_for_work()?)
    } else if names.is_empty() {
        None
    } else {
        Some(Home::of(cli, &config)?.open_existing()?)
    };
    let keys = dir.as_ref().map_or_else(HashKeys::ephemeral, HashKeys::of);
    let (baselines, baseline_rejects) = baselines(cli, args, &config, &keys, dir.as_ref())?;
    let declared: usize = baselines.iter().map(|baseline| baseline.rows.len()).sum();
    let defaults = setup::key_defaults(&args.judge);
    let snapshots = inputs(&args.snapshots, &defaults, None, &home::options(&config)?)?;
    let settings = setup::settings(&config, &args.judge, &keys, args.record)?;
    let mut comparator = Comparator::new(settings, baselines);
    let refused = baseline_rejects.len() as u64;
    let (mut recorder, known) = match &dir {
        Some(dir) if args.record => {
            let runtime = setup::runtime()?;
            let (mut recorder, known) = setup::recorder(dir, &runtime, &mut comparator)?;
            keep_rejects(&mut recorder, &known, baseline_rejects)?;
            (Some(recorder.maintained(config.history.retention())), known)
        }
        _ => (None, HashSet::default()),
    };
    let mut engine = Engine::new(comparator, setup::clock(), known);
    let bar = render::progress("auditing", total(&snapshots), cli.quiet);
    let stop = Arc::new(AtomicBool::new(false));
    // One time for all: states without a time of their own are of the same moment, so that two that
    // contradict each other are found out whatever their order.
    let moment = Arc::new(FixedClock(setup::clock().now()));
    let feeds = read_inputs(snapshots, keys.seed, moment, stop);
    feed_all(&mut engine, &feeds, &bar, &mut |engine| {
        let pending = engine.pending();
        if pending.rows() < COMMIT_ROWS && pending.bytes() < FILE_BYTES {
            return Ok(());
        }
        settle(engine, recorder.as_mut())
    })?;
    engine.finish_audit();
    settle(&mut engine, recorder.as_mut())?;
    recorder.iter_mut().for_each(Recorder::wait_for_upkeep);
    bar.finish_and_clear();
    say_totals(engine.totals(), cli.quiet);
    let report = Report::of(engine.comparator(), args.judge.explain);
    write_to(args.output.as_deref(), |out| match args.format {
        ReportFormat::Json => report.write_json(out),
        ReportFormat::Ndjson => report.write_ndjson(out),
        ReportFormat::Table => report.write_table(out, args.limit),
    })?;
    if report.summary.checked == 0 {
        anstream::eprintln!(
            "{}warning:{} 0 resources compared: the baseline declares {declared}, the snapshot holds {}; do they speak of the same accounts, regions and stacks (`--account`, `--region`, `--stack`), and does one name the other's resources by id, ARN or link?",
            render::YELLOW,
            render::RESET,
            engine.totals().observations
        );
    }
    Ok(report.summary.outcome(&args.judge, engine.totals().rejects + refused > 0))
}

/// Commits what is pending, or lets it go where nothing is recorded: what is true now stays in the
/// comparator.
fn settle(engine: &mut Engine, recorder: Option<&mut Recorder>) -> Result<(), CommandError> {
    let output = engine.take();
    match recorder {
        Some(recorder) => Ok(recorder.commit(output)?),
        None => Ok(()),
    }
}

/// Named baselines from the data directory, and one from all files together.
fn baselines(
    cli: &Cli,
    args: &Audit,
    config: &ConfigFile,
    keys: &HashKeys,
    dir: Option<&DataDir>,
) -> Result<(Vec<Baseline>, Vec<RejectRow>), CommandError> {
    let canon = setup::canon(config, keys)?;
    let mut all = Vec::new();
    let mut files = Vec::new();
    for spec in &args.baselines {
        match (spec.strip_prefix('@'), dir) {
            (Some(name), Some(dir)) => all.push(stored(dir, name, Some(&canon))?),
            _ => files.push(spec.clone()),
        }
    }
    let mut rejects = Vec::new();
    if !files.is_empty() {
        let defaults = setup::key_defaults(&args.judge);
        let spill = dir.map_or_else(std::env::temp_dir, |dir| dir.root().to_owned());
        let seed = (&canon, keys.seed);
        let read = from_files(
            (&files, &home::options(config)?),
            "baseline",
            (&defaults, args.stack.stack()),
            None,
            seed,
            &spill,
            cli.quiet,
        )?;
        all.push(read.baseline);
        rejects = read.rejects;
    }
    Ok((all, rejects))
}
