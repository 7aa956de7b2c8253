//! `config`: whether a file can be run, and what may stand in one.

use std::path::Path;

use crate::cli::{Cli, Config};
use crate::config::{self, ConfigFile, SourceConfig};
use crate::error::{CommandResult, Outcome};
use crate::{home, render, setup};

pub(super) fn run(cli: &Cli, command: &Config) -> CommandResult {
    match command {
        Config::Check { file } => check(cli, file),
        Config::Schema => {
            print!("{}", config::SCHEMA);
            Ok(Outcome::Ok)
        }
    }
}

fn check(cli: &Cli, file: &Path) -> CommandResult {
    let config = config::load(file)?;
    home::root(cli, &config)?;
    let store = cli.store.as_deref();
    config::check_without_network(&config, store).map_err(|mut error| {
        error.message = format!("{}: {}", file.display(), error.message);
        error
    })?;
    config::rules::ignoring(&config, setup::clock().now()).map_err(|mut error| {
        error.message = format!("{}: {}", file.display(), error.message);
        error
    })?;
    config::rules::warn_expired(&config, setup::clock().now());
    let summary = render::safe(&summary(&config, store));
    anstream::println!("{}: ok ({summary})", file.display());
    Ok(Outcome::Ok)
}

/// What is there, so that what was left out or misplaced is seen.
fn summary(config: &ConfigFile, store: Option<&str>) -> String {
    let mut parts = sources(&config.sources);
    let names = config.baselines.iter().map(|one| match one.version {
        Some(version) => format!("{}@{version}", one.name),
        None => one.name.clone(),
    });
    let names = names.collect::<Vec<_>>().join(" ");
    parts.push(match config.baselines.len() {
        0 => "all imported baselines".to_owned(),
        1 => format!("baseline {names}"),
        _ => format!("baselines {names}"),
    });
    parts.push(match config.environments.len() {
        0 => "no environments".to_owned(),
        count => render::count(count as u64, "environment"),
    });
    let rules = config.rules().count();
    parts.extend((rules > 0).then(|| render::count(rules as u64, "rule")));
    parts.extend(config.listen.map(|at| format!("listen {at}")));
    parts.extend(config.events.as_ref().map(|events| format!("events to {}", events.topic)));
    let store = store.or(config.store.as_deref());
    parts.extend(store.map(|store| format!("store {store}")));
    parts.join(", ")
}

/// How many sources there are of each kind.
fn sources(all: &[SourceConfig]) -> Vec<String> {
    let kind = |source: &SourceConfig| match source {
        SourceConfig { kafka: Some(_), .. } => "Kafka source",
        SourceConfig { http: Some(_), .. } => "HTTP source",
        SourceConfig { watch: true, .. } => "watched folder",
        SourceConfig { path, .. } if path == "-" => "standard input",
        SourceConfig { path, .. } if deployforge_store::is_url(path) => "source of objects",
        _ => "source of files",
    };
    let mut kinds: Vec<(&str, u64)> = Vec::new();
    for kind in all.iter().map(kind) {
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((kind, 1)),
        }
    }
    if kinds.is_empty() {
        return vec!["no sources".to_owned()];
    }
    let say = |(kind, number): (&str, u64)| match (kind.split_once(' '), number) {
        (Some(("source", of)), 2..) => format!("{number} sources {of}"),
        _ => render::count(number, kind),
    };
    kinds.into_iter().map(say).collect()
}
