//! What `audit`, `run` and `demo` share: baselines from files and names, feeds into an engine.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use deployforge_canon::Canon;
use deployforge_compare::{Baseline, BaselineRows, RejectRow};
use deployforge_formats::{KeyDefaults, Stack};
use deployforge_model::{BaselineInfo, BaselineKind};
use deployforge_pipeline::{Engine, Input, InputSpec, Totals, import};
use deployforge_state::{DataDir, Manifest};
use deployforge_store::Options;
use indicatif::ProgressBar;

use crossbeam::channel::RecvTimeoutError;

use crate::error::CommandError;
use crate::render;
use crate::setup::{clock, kind_of};

/// How long an epoch is gathered once its source gives nothing more.
pub(crate) const GATHER: std::time::Duration = std::time::Duration::from_millis(10);

/// `NAME` or `NAME@VERSION`.
pub(crate) fn split_version(text: &str) -> Result<(&str, Option<u32>), CommandError> {
    match text.split_once('@') {
        None => Ok((text, None)),
        Some((name, version)) => {
            let version = version.parse().map_err(|_| {
                CommandError::new(format!("`{version}` is not the version of a baseline"))
                    .hint("write NAME@3 for version 3 of NAME")
            })?;
            Ok((name, Some(version)))
        }
    }
}

/// An imported baseline out of the data directory. `canon` is how observations will become canonical, if
/// any are to be compared with it in the words in which they come: then it has to hide what they hide.
pub(crate) fn stored(
    dir: &DataDir,
    text: &str,
    canon: Option<&Canon>,
) -> Result<Baseline, CommandError> {
    let (name, version) = split_version(text)?;
    let (manifest, rows) = dir.load_baseline(name, version)?;
    if canon.is_some_and(|canon| canon.redactor.stamp() != manifest.secrets) {
        let Manifest { name, version, sources, .. } = &manifest;
        return Err(CommandError::new(format!(
            "{name}@{version} was imported under other rules about secrets (`secrets`): what is hidden in it is not what is hidden in observations"
        ))
        .hint(format!(
            "give `--config FILE` with the rules that it was imported under; or import it again with those that count here, and their `--config` if they stand in one: `deployforge baseline import {name} {}`",
            sources.join(" ")
        )));
    }
    let rows = BaselineRows::new(&rows)?;
    let raw = canon.map(|canon| dir.fingerprints(&manifest, &canon.stamp()));
    Ok(Baseline { info: manifest.info(), rows, raw: raw.unwrap_or_default() })
}

/// Keeps what an imported baseline was read from, as fingerprints. Without them it is as good, only
/// slower at first.
pub(crate) fn keep_fingerprints(
    dir: &DataDir,
    manifest: &Manifest,
    baseline: &Baseline,
    canon: &Canon,
) {
    if let Err(error) = dir.save_fingerprints(manifest, &canon.stamp(), &baseline.kept_raw()) {
        anstream::eprintln!(
            "{}note:{} the first observation of each resource will take longer: {error}",
            render::CYAN,
            render::RESET
        );
    }
}

/// What reading a baseline from files came to.
pub(crate) struct FromFiles {
    pub(crate) baseline: Baseline,
    pub(crate) rejects: Vec<RejectRow>,
    pub(crate) duplicates: u64,
}

/// Reads a baseline from files, with a progress bar, and reports what was refused.
pub(crate) fn from_files(
    (paths, options): (&[String], &Options),
    name: &str,
    (defaults, stack): (&KeyDefaults, Option<Stack>),
    kind: Option<BaselineKind>,
    (canon, seed): (&Canon, u64),
    spill: &Path,
    quiet: bool,
) -> Result<FromFiles, CommandError> {
    let mut inputs = inputs(paths, defaults, None, options)?;
    inputs.iter_mut().for_each(|input| input.stack.clone_from(&stack));
    let bar = render::progress("reading the baseline", total(&inputs), quiet);
    let info = BaselineInfo {
        name: name.to_owned(),
        version: 0,
        kind: kind.unwrap_or(BaselineKind::Declared),
        mode: None,
        incomplete: false,
    };
    let stop = AtomicBool::new(false);
    let mut imported = {
        let progress = &mut |bytes| bar.inc(bytes);
        import(&inputs, info, canon, seed, &*clock(), spill, &stop, progress)?
    };
    bar.finish_and_clear();
    imported.baseline.info.kind = kind.unwrap_or_else(|| kind_of(&imported.dialects));
    if !quiet {
        say_rejects(imported.rejects.len() as u64, &first(&imported.rejects));
        for note in &imported.notes {
            anstream::eprintln!("{}note:{} {}", render::CYAN, render::RESET, render::safe(note));
        }
        if imported.duplicates > 0 {
            anstream::eprintln!(
                "{}warning:{} {} resources are declared twice with different contents; their verdict is unknown (duplicate)",
                render::YELLOW,
                render::RESET,
                imported.duplicates
            );
        }
    }
    Ok(FromFiles {
        baseline: imported.baseline,
        rejects: imported.rejects,
        duplicates: imported.duplicates,
    })
}

fn first(rejects: &[RejectRow]) -> Vec<String> {
    let text = |r: &RejectRow| format!("{}, {}: {}", r.source, r.position, r.reason);
    rejects.iter().take(10).map(text).collect()
}

/// Expands paths into inputs.
pub(crate) fn inputs(
    paths: &[String],
    defaults: &KeyDefaults,
    source: Option<&str>,
    options: &Options,
) -> Result<Vec<Input>, CommandError> {
    let specs: Vec<InputSpec> = paths
        .iter()
        .map(|spec| InputSpec { spec: spec.clone(), defaults: defaults.clone() })
        .collect();
    Ok(Input::expand(&specs, source, options)?)
}

/// Bytes of all inputs, if all are known.
pub(crate) fn total(inputs: &[Input]) -> Option<u64> {
    inputs.iter().map(Input::size).sum()
}

/// Says what was refused and where.
pub(crate) fn say_rejects(count: u64, first: &[String]) {
    if count == 0 {
        return;
    }
    for text in first {
        anstream::eprintln!("{}rejected:{} {}", render::RED, render::RESET, render::safe(text));
    }
    if count > first.len() as u64 {
        anstream::eprintln!("… and {} more", count - first.len() as u64);
    }
    let records = if count == 1 { "record" } else { "records" };
    anstream::eprintln!(
        "{}warning:{} {count} {records} could not be read; the rest was. Where a history is kept, its table `rejects` has them; what ends by itself ends with exit code 2",
        render::YELLOW,
        render::RESET
    );
}

/// Says what readers skipped or assumed, and what they refused.
pub(crate) fn say_totals(totals: &Totals, quiet: bool) {
    if !quiet {
        for note in &totals.notes {
            anstream::eprintln!("{}note:{} {}", render::CYAN, render::RESET, render::safe(note));
        }
    }
    if totals.late > 0 && !quiet {
        anstream::eprintln!(
            "{}note:{} {} observations were older than what is known of their resources and changed nothing",
            render::CYAN,
            render::RESET,
            totals.late
        );
    }
    if totals.scrubbed.mismatches > 0 {
        anstream::eprintln!(
            "{}warning:{} {} of {} observations that were checked twice are not what their fingerprint says; verdicts may be wrong, please report it. `bench --without fingerprint,canonical,attributes` compares everything",
            render::RED,
            render::RESET,
            totals.scrubbed.mismatches,
            totals.scrubbed.rows
        );
    }
    say_rejects(totals.rejects, &totals.first_rejects);
}

/// Keeps rejects of a baseline's files with those of the stream.
pub(crate) fn keep_rejects(
    recorder: &mut deployforge_pipeline::Recorder,
    known: &std::collections::HashSet<String>,
    rejects: Vec<RejectRow>,
) -> Result<(), CommandError> {
    let fresh = rejects.into_iter().filter(|reject| !known.contains(&reject.id())).collect();
    let mut output = deployforge_compare::Output::default();
    output.rejects = fresh;
    Ok(recorder.commit(output)?)
}

/// Feeds inputs to an engine until they end, moving a bar; `each` runs after every feed.
pub(crate) fn feed_all(
    engine: &mut Engine,
    feeds: &crossbeam::channel::Receiver<deployforge_pipeline::Feed>,
    bar: &ProgressBar,
    each: &mut dyn FnMut(&mut Engine) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    loop {
        let feed = match feeds.recv_timeout(GATHER) {
            Ok(feed) => feed,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {
                engine.flush();
                continue;
            }
        };
        if let deployforge_pipeline::Feed::Progress { bytes } = &feed {
            bar.inc(*bytes);
        }
        engine.feed(feed);
        each(engine)?;
    }
}

/// The path as text, for messages.
pub(crate) fn show(path: &Path) -> String {
    path.display().to_string()
}
