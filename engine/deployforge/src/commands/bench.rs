//! `bench`: the real pipeline over files, timed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use deployforge_compare::{Comparator, LevelSwitch, Settings, Tables};
use deployforge_model::Verdict;
use deployforge_pipeline::{
    Committer, Engine, FILE_BYTES, FILE_ROWS, Input, Recorder, read_inputs,
};
use deployforge_state::Purpose;
use deployforge_store::Options;
use serde::Serialize;

use super::stream::{feed_all, from_files, say_totals};
use crate::cli::{Bench, BenchLevels, BenchTable, Cli, Judge};
use crate::config::{CommitConfig, ConfigFile};
use crate::error::{CommandError, CommandResult, Outcome};
use crate::home;
use crate::render;
use crate::report::write_to;
use crate::setup::{self, HashKeys};

/// What a run came to: the JSON that `--json` prints.
#[derive(Debug, Serialize)]
struct Figures {
    observations: u64,
    seconds: f64,
    observations_per_second: f64,
    checks_per_minute: f64,
    drifted: u64,
    findings: u64,
    levels: LevelCounts,
    attribute_checks: u64,
    hash_collisions: u64,
    scrubbed: u64,
    scrub_mismatches: u64,
    tables: BTreeSet<&'static str>,
    threads: usize,
    resources: u64,
    shapes: usize,
    anonymous_bytes: Option<u64>,
    peak_rss_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct LevelCounts {
    fingerprint: u64,
    canonical: u64,
    compared: u64,
}

pub(crate) fn run(cli: &Cli, args: &Bench) -> CommandResult {
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(usize::from(threads))
            .build_global()
            .map_err(|error| CommandError::new(error.to_string()))?;
    }
    let folder = Folder::new(args.folder.clone())?;
    let figures = measure(cli, args, &folder.0)?;
    write_to(None, |out| {
        if args.json {
            serde_json::to_writer_pretty(&mut *out, &figures)?;
            return writeln!(out);
        }
        figures.write(out)
    })?;
    Ok(Outcome::Ok)
}

fn measure(cli: &Cli, args: &Bench, folder: &std::path::Path) -> Result<Figures, CommandError> {
    let config = ConfigFile::default();
    let dir = home::open_for_writing(folder, Purpose::Work)?;
    let (keys, options) = (HashKeys::of(&dir), Options::new());
    let canon = setup::canon(&config, &keys)?;
    let defaults = setup::key_defaults(&Judge::default());
    let seed = (&canon, keys.seed);
    let read = from_files(
        (&args.baselines, &options),
        "bench",
        (&defaults, None),
        None,
        seed,
        dir.root(),
        cli.quiet,
    )?;
    let runtime = setup::runtime()?;
    let mut comparator = Comparator::new(settings(args, &config, &keys)?, vec![read.baseline]);
    let resources = comparator.declared() as u64;
    let (recorder, known) = setup::recorder(&dir, &runtime, &mut comparator)?;
    let (_, shapes) = comparator.held();
    let mut engine = Engine::new(comparator, setup::clock(), known);
    let inputs = super::stream::inputs(&args.observations, &defaults, Some("bench"), &options)?;
    let (seconds, findings) = observe(cli, &mut engine, recorder, inputs, keys.seed)?;
    say_totals(engine.totals(), cli.quiet);

    let totals = engine.totals();
    let drifted = |view: &deployforge_compare::ResourceView<'_>| view.verdict == Verdict::Drifted;
    let mut tables: BTreeSet<&'static str> = args.tables.iter().map(|t| t.name()).collect();
    tables.extend(["findings", "checks"]);
    Ok(Figures {
        observations: totals.observations,
        seconds,
        observations_per_second: totals.observations as f64 / seconds,
        checks_per_minute: 60.0 * totals.observations as f64 / seconds,
        drifted: engine.comparator().resources().filter(drifted).count() as u64,
        findings,
        levels: LevelCounts {
            fingerprint: totals.levels.fingerprint,
            canonical: totals.levels.canonical,
            compared: totals.levels.compared,
        },
        attribute_checks: totals.attribute_checks,
        hash_collisions: totals.collisions,
        scrubbed: totals.scrubbed.rows,
        scrub_mismatches: totals.scrubbed.mismatches,
        tables,
        threads: rayon::current_num_threads(),
        resources,
        shapes,
        anonymous_bytes: status("RssAnon:"),
        peak_rss_bytes: status("VmHWM:"),
    })
}

fn settings(args: &Bench, config: &ConfigFile, keys: &HashKeys) -> Result<Settings, CommandError> {
    let mut settings = setup::settings(config, &Judge::default(), keys, false)?;
    let has = |table| args.tables.contains(&table);
    settings.tables =
        Tables { verdicts: has(BenchTable::Verdicts), observations: has(BenchTable::Observations) };
    let may = |level| !args.without.contains(&level);
    settings.levels = LevelSwitch {
        fingerprint: may(BenchLevels::Fingerprint),
        canonical: may(BenchLevels::Canonical),
        attributes: may(BenchLevels::Attributes),
        text: may(BenchLevels::Text),
    };
    settings.tier = args.tier.into();
    Ok(settings)
}

/// Observes inputs to their end and commits what comes out; seconds, and findings.
fn observe(
    cli: &Cli,
    engine: &mut Engine,
    recorder: Recorder,
    inputs: Vec<Input>,
    seed: u64,
) -> Result<(f64, u64), CommandError> {
    let bar = render::progress("observing", super::stream::total(&inputs), cli.quiet);
    let start = Instant::now();
    let rows = CommitConfig::default().rows;
    let committer = Committer::new(recorder, rows as u64);
    let stop = Arc::new(AtomicBool::new(false));
    let feeds = read_inputs(inputs, seed, setup::clock(), stop);
    let mut findings = 0;
    let mut alive = true;
    let mut hand_on = |engine: &mut Engine, least: usize| {
        let pending = engine.pending();
        if pending.rows() >= least || pending.bytes() >= FILE_BYTES {
            let output = engine.take();
            findings += output.transitions() as u64;
            alive &= committer.commit(output);
        }
        alive
    };
    let broken = || CommandError::new("the history could not be written");
    let fed = feed_all(engine, &feeds, &bar, &mut |engine| {
        if hand_on(engine, FILE_ROWS.min(rows)) { Ok(()) } else { Err(broken()) }
    });
    hand_on(engine, 0);
    // Why it broke is what matters.
    committer.finish()?;
    fed?;
    bar.finish_and_clear();
    Ok((start.elapsed().as_secs_f64(), findings))
}

impl Figures {
    fn write(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        let megabytes = |bytes: Option<u64>| {
            bytes.map_or("unknown".to_owned(), |bytes| format!("{} MB", bytes / 1_000_000))
        };
        let mut table = render::table(&["figure", "value"]);
        let LevelCounts { fingerprint, canonical, compared } = self.levels;
        for (name, value) in [
            ("observations", self.observations.to_string()),
            ("seconds", format!("{:.3}", self.seconds)),
            ("observations a second", format!("{:.0}", self.observations_per_second)),
            ("checks a minute", format!("{:.0}", self.checks_per_minute)),
            ("drifted resources", self.drifted.to_string()),
            ("findings", self.findings.to_string()),
            ("settled by raw fingerprint", fingerprint.to_string()),
            ("settled by canonical fingerprint", canonical.to_string()),
            ("compared", compared.to_string()),
            ("attributes compared", self.attribute_checks.to_string()),
            ("threads", self.threads.to_string()),
            ("anonymous memory", megabytes(self.anonymous_bytes)),
            ("peak resident memory", megabytes(self.peak_rss_bytes)),
        ] {
            table.add_row([name.to_owned(), value]);
        }
        writeln!(out, "{table}")
    }
}

/// A figure of the process's memory in bytes, where the system tells it.
fn status(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// A folder of this run's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(parent: Option<PathBuf>) -> Result<Self, CommandError> {
        let parent = parent.unwrap_or_else(std::env::temp_dir);
        let folder = parent.join(format!("deployforge-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .map_err(|error| CommandError::io(folder.display(), &error))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is in a temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
