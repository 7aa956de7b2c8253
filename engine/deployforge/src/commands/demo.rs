//! `demo`: the whole loop on the bundled dataset.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use deployforge_compare::{Baseline, Comparator, FindingRow, Output, VerdictRow};
use deployforge_formats::KeyDefaults;
use deployforge_model::{BaselineKind, FindingKind, Timestamp, Transition, Verdict, schema};
use deployforge_pipeline::{Engine, Input};
use deployforge_policy::Environment;
use deployforge_sources::{FolderWatch, Location};
use deployforge_state::{DataDir, Manifest, Purpose};
use deployforge_store::Options;

use super::run::Stream;
use super::stream::{from_files, inputs, keep_fingerprints, say_totals, show};
use crate::cli::{Cli, Demo, Judge};
use crate::config::{CommitConfig, ConfigFile};
use crate::error::{CommandError, CommandResult, Outcome};
use crate::home::Home;
use crate::render::{self, BOLD, CYAN, DIM, GREEN, RED, RESET, YELLOW, safe, shorten};
use crate::report::{Summary, raw, value};
use crate::setup::{self, HashKeys};

mod bundle {
    include!(concat!(env!("OUT_DIR"), "/demo_files.rs"));
}

/// The accounts of the dataset.
const ACCOUNTS: [(&str, &str); 3] =
    [("production", "111111111111"), ("staging", "222222222222"), ("development", "333333333333")];

/// The account whose state the Terraform files are.
const TERRAFORM_ACCOUNT: &str = "111111111111";

pub(crate) fn run(cli: &Cli, args: &Demo) -> CommandResult {
    let config = ConfigFile {
        environments: ACCOUNTS
            .iter()
            .map(|(name, account)| Environment {
                name: (*name).to_owned(),
                providers: Vec::new(),
                accounts: vec![(*account).to_owned()],
                regions: Vec::new(),
            })
            .collect(),
        ..ConfigFile::default()
    };
    let root = Home::alone(cli, "the demo")?;
    let dir = start_afresh(&root)?;
    let keys = HashKeys::of(&dir);
    unpack(&root)?;
    let baselines = import(cli, &dir, &config, &keys)?;
    let runtime = setup::runtime()?;
    let stop = setup::stop_flag(&runtime);
    let settings = setup::settings(&config, &Judge::default(), &keys, true)?;
    let mut comparator = Comparator::new(settings, baselines);
    let declared = comparator.declared();
    let (recorder, known) = setup::recorder(&dir, &runtime, &mut comparator)?;
    let engine = Engine::new(comparator, setup::clock(), known);
    let mut stream = Stream::new(dir, engine, recorder, keys.seed, CommitConfig::default(), stop)?;
    stream.on_output = Some(Box::new(print_events));
    anstream::println!(
        "{BOLD}{declared} resources are declared or recorded; now the observations come in.{RESET}\n"
    );
    anstream::println!(
        "{DIM}{:8}  {:10}  {:11}  {:44}  difference{RESET}",
        "observed",
        "event",
        "environment",
        "resource"
    );
    let pace = args.pace.unwrap_or_else(|| {
        if std::io::IsTerminal::is_terminal(&std::io::stdout()) { 700 } else { 0 }
    });
    for input in stream_files(&root)? {
        if stream.stopped() {
            break;
        }
        stream.read(vec![input])?;
        std::thread::sleep(Duration::from_millis(pace));
    }
    say_totals(stream.engine.totals(), true);
    summary(&stream);
    next_steps(cli, &root);
    if !args.once {
        watch(&mut stream, &root)?;
    }
    Ok(Outcome::Ok)
}

/// The demo's directory is the demo's: what an earlier run left is removed. Anything else is not.
fn start_afresh(root: &Path) -> Result<DataDir, CommandError> {
    let explain = |error: deployforge_state::StateError| {
        CommandError::from(error).hint("`deployforge demo --data-dir DIR` uses another directory")
    };
    let mut dir = DataDir::create(root, Purpose::Demo, &mut setup::random).map_err(explain)?;
    dir.lock().map_err(explain)?;
    for name in ["history", "baselines", "demo"] {
        let path = root.join(name);
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(|e| CommandError::io(path.display(), &e))?;
        }
    }
    for name in ["frontier.json", "stamp.json"] {
        let path = root.join(name);
        if path.exists() {
            std::fs::remove_file(&path).map_err(|e| CommandError::io(path.display(), &e))?;
        }
    }
    Ok(dir)
}

fn unpack(root: &Path) -> Result<(), CommandError> {
    let failed = |path: &Path, error| CommandError::io(path.display(), &error);
    for folder in ["demo/baseline", "demo/stream", "inbox"] {
        let path = root.join(folder);
        std::fs::create_dir_all(&path).map_err(|error| failed(&path, error))?;
    }
    for (name, bytes) in bundle::FILES {
        let path = root.join("demo").join(name);
        std::fs::write(&path, bytes).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

fn terraform_defaults() -> KeyDefaults {
    KeyDefaults { account: Some(TERRAFORM_ACCOUNT.to_owned()), ..KeyDefaults::default() }
}

/// Imports the two baselines as `baseline import` does.
fn import(
    cli: &Cli,
    dir: &DataDir,
    config: &ConfigFile,
    keys: &HashKeys,
) -> Result<Vec<Baseline>, CommandError> {
    let canon = setup::canon(config, keys)?;
    let folder = dir.root().join("demo/baseline");
    let mut baselines = Vec::new();
    for (name, files, kind, defaults) in [
        ("recorded", "*.json.gz", BaselineKind::Recorded, KeyDefaults::default()),
        ("declared", "*.tfstate", BaselineKind::Declared, terraform_defaults()),
    ] {
        let paths = vec![show(&folder.join(files))];
        let read = from_files(
            (&paths, &Options::new()),
            name,
            (&defaults, None),
            Some(kind),
            (&canon, keys.seed),
            dir.root(),
            true,
        )?;
        let manifest = Manifest {
            name: name.to_owned(),
            version: 0,
            kind,
            mode: None,
            imported_at: setup::clock().now(),
            sources: paths,
            resources: read.baseline.rows.len() as u64,
            rejects: read.rejects.len() as u64,
            incomplete: read.baseline.info.incomplete,
            secrets: canon.redactor.stamp(),
            hash: String::new(),
        };
        let (manifest, _) =
            dir.save_baseline(manifest, &schema::baseline(), &mut read.baseline.rows.batches())?;
        keep_fingerprints(dir, &manifest, &read.baseline, &canon);
        if !cli.quiet {
            anstream::eprintln!(
                "baseline {name}@{}: {} resources, {}",
                manifest.version,
                manifest.resources,
                kind.name()
            );
        }
        baselines.push(Baseline { info: manifest.info(), ..read.baseline });
    }
    Ok(baselines)
}

fn stream_files(root: &Path) -> Result<Vec<Input>, CommandError> {
    let folder = vec![show(&root.join("demo/stream"))];
    let all = inputs(&folder, &KeyDefaults::default(), Some("demo"), &Options::new())?;
    let with_account = |mut input: Input| {
        if input.file().contains(".tfstate") {
            input.defaults = terraform_defaults();
        }
        input
    };
    Ok(all.into_iter().map(with_account).collect())
}

/// Prints what drifts as it drifts, in the order in which it was observed. `shown`: how many findings
/// and verdicts were printed before.
fn print_events(output: &Output, shown: (usize, usize)) {
    let mut lines: Vec<(Timestamp, String)> = Vec::new();
    for row in output.verdicts().skip(shown.1) {
        let event = match row.verdict {
            Some(Verdict::Missing) => ("missing", RED),
            Some(Verdict::Unmanaged) => ("unmanaged", YELLOW),
            None => ("gone", DIM),
            _ => continue,
        };
        let VerdictRow { key, address, environment, observed_at, .. } = row;
        lines.push((observed_at, event_line(observed_at, (key, address, environment), event, "")));
    }
    for row in output.findings().skip(shown.0).filter(FindingRow::counts) {
        let event = match row.transition {
            Transition::Opened => ("drifted", YELLOW),
            Transition::Changed => ("changed", YELLOW),
            Transition::Closed => ("put right", GREEN),
        };
        let what = (row.key, row.address, row.environment);
        let line = event_line(row.observed_at, what, event, &difference(&row));
        lines.push((row.observed_at, line));
    }
    lines.sort();
    for (_, line) in lines {
        anstream::println!("{line}");
    }
}

fn difference(finding: &FindingRow<'_>) -> String {
    let path = shorten(&safe(finding.path), 64);
    let text = |text: Option<&str>| shorten(&safe(&value(&raw(text))), 36);
    let (expected, observed) = (text(finding.expected), text(finding.observed));
    match (finding.transition, finding.kind) {
        (Transition::Closed, _) => path,
        (_, FindingKind::Added) => format!("{path}: added {observed}"),
        (_, FindingKind::Removed) => format!("{path}: removed {expected}"),
        _ => format!("{path}: {expected} → {observed}"),
    }
}

/// One line: when, what happened to which resource of which environment, and what differs.
fn event_line(
    at: Timestamp,
    (key, address, environment): ([&str; 5], Option<&str>, &str),
    (event, style): (&str, anstyle::Style),
    difference: &str,
) -> String {
    let time = at.to_string();
    let time = time.get(11..19).unwrap_or("");
    let kind = key[3].trim_start_matches("AWS::");
    let name = match address {
        Some(address) => safe(address),
        None => safe(&format!("{kind} {}", key[4])),
    };
    let name = shorten(&name, 44);
    format!("{time:8}  {style}{event:10}{RESET}  {environment:11}  {name:44}  {difference}")
}

fn summary(stream: &Stream<'_>) {
    let summary = Summary::of(stream.engine.comparator(), |_| true);
    let totals = stream.engine.totals();
    let per_minute = totals.observations as f64 / stream.busy.as_secs_f64().max(1e-3) * 60.0;
    let mut table = render::table(&["what", "count"]);
    for (what, count) in [
        ("resources checked", summary.checked),
        ("in sync", summary.in_sync),
        ("drifted", summary.drifted),
        ("missing", summary.missing),
        ("unmanaged", summary.unmanaged),
        ("unknown", summary.unknown),
        ("findings", summary.findings),
        ("suppressed", summary.suppressed),
        ("observations", totals.observations),
        ("checks per minute", per_minute as u64),
    ] {
        table.add_row([what.to_owned(), count.to_string()]);
    }
    table.add_row(["drift score".to_owned(), format!("{:.3}", summary.score)]);
    table.add_row(["coverage".to_owned(), render::percent(summary.coverage)]);
    anstream::println!("\n{table}");
}

fn next_steps(cli: &Cli, root: &Path) {
    let program = std::env::args().next().unwrap_or_else(|| "deployforge".to_owned());
    let dir = match &cli.data_dir {
        Some(dir) => format!(" --data-dir {}", show(dir)),
        None => String::new(),
    };
    anstream::println!("\nThe history is in {}. Three things to try next:", show(root));
    for command in [
        format!("{program} query{dir} \"select * from drifted_now order by score desc limit 10\""),
        format!("{program} query{dir} \"select * from environments order by score desc\""),
        format!("{program} sql{dir}"),
    ] {
        anstream::println!("  {CYAN}{command}{RESET}");
    }
}

/// Keeps watching the inbox until it is stopped.
fn watch(stream: &mut Stream<'_>, root: &Path) -> Result<(), CommandError> {
    let inbox: PathBuf = root.join("inbox");
    anstream::println!(
        "\nWatching {}: put a file of observations there. Ctrl-C ends the demo.",
        show(&inbox)
    );
    let mut folder = FolderWatch::new(&inbox, Duration::from_millis(500));
    while !stream.stopped() {
        for path in folder.poll(SystemTime::now())? {
            let input =
                Input::of(Location::File(path), None, KeyDefaults::default(), Some("inbox"));
            stream.read(vec![input])?;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    Ok(())
}
