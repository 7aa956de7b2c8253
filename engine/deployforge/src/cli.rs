//! The command line as data: what may be typed, with its help. What it means is in `commands`.

mod generate;
mod rules;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

pub(crate) use self::generate::{Generate, InventoryEnvelope, InventoryFormat, InventorySize};
pub(crate) use self::rules::{Rules, RulesFrom, Since};
use crate::cli_stack::StackArgs;

/// Finds where cloud resources differ from what they should be, keeps the history, answers SQL.
#[derive(Debug, Parser)]
#[command(name = "deployforge", version, max_term_width = 100, propagate_version = true)]
#[command(after_help = "\
Exit codes: 0 in sync, 1 drift at or above --fail-on, 2 error or unreadable input, 3 coverage below
--min-coverage or --min-attributes. Results go to stdout, everything else to stderr.

Start here:
  deployforge demo --once
  deployforge query \"select * from drifted_now order by score desc limit 10\"")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Where history, baselines and keys are kept [default: ./deployforge-data].
    #[arg(long, global = true, env = "DEPLOYFORGE_DATA_DIR", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
    /// A store that machines share, for all of that: `s3://BUCKET/PREFIX`, `gs://…`, `az://…`.
    #[arg(long, global = true, env = "DEPLOYFORGE_STORE", value_name = "URL")]
    pub(crate) store: Option<String>,
    /// When to colour output.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    pub(crate) color: Colour,
    /// Say less on stderr: no progress, no notes.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// How operational events are logged on stderr: lines for people, or JSON objects.
    #[arg(long, global = true, env = "DEPLOYFORGE_LOG_FORMAT", value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(Demo),
    Run(Run),
    Audit(Box<Audit>),
    Diff(Diff),
    Bench(Bench),
    #[command(subcommand)]
    Baseline(Baseline),
    #[command(subcommand)]
    Rules(Rules),
    Query(Query),
    Sql(Sql),
    Events(Events),
    Generate(Generate),
    #[command(subcommand)]
    Config(Config),
    Completions(Completions),
}

/// Runs the whole loop on the bundled dataset: baselines, stream, drift, history.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  deployforge demo --once
  deployforge demo --data-dir /tmp/demo")]
pub(crate) struct Demo {
    /// Exit after the summary, instead of watching the inbox folder for more.
    #[arg(long)]
    pub(crate) once: bool,
    /// Milliseconds to wait between files [default: 700 on a terminal, else 0].
    #[arg(long, value_name = "MS")]
    pub(crate) pace: Option<u64>,
}

/// Prints committed transitions as CloudEvents, one a line: what the event bus is told.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  deployforge events --limit 10
  deployforge events --after 1200 | jq .type

The ledger holds the last 200 commits or more; older ones are in the tables only. To have events
published to Kafka while `run` runs, write `events` into the configuration file.")]
pub(crate) struct Events {
    /// The configuration file, for `data_dir`, `store` and `events.source`.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Only what was committed after this commit [default: all that is there].
    #[arg(long, value_name = "COMMIT")]
    pub(crate) after: Option<u64>,
    /// So many events at most.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

/// Streams observations into the history: files, watched folders, object stores, Kafka, HTTP.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  deployforge run -c deployforge.yaml
  deployforge run --baseline prod --source ./inventory --watch
  aws-inventory | deployforge run --once --source -
  deployforge run --source kafka://localhost:9092/cloud.inventory

An HTTP source, and all that is to be said of Kafka, stands in the configuration file. Both are
streams: one is the only source of its process, and goes on until it is stopped.

Without --baseline every imported baseline is used in its newest version. Stop with Ctrl-C: what
was read is committed first.")]
pub(crate) struct Run {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// A file, folder, glob or `-`, with its format before it if need be: `aws-config:items.json`; an
    /// object or prefix of a store: `s3://BUCKET/PREFIX`; or a topic: `kafka://HOST:PORT/TOPIC`.
    #[arg(long = "source", value_name = "[FORMAT:]PATH")]
    pub(crate) sources: Vec<String>,
    /// An imported baseline, by name or `NAME@VERSION`.
    #[arg(long = "baseline", value_name = "NAME")]
    pub(crate) baselines: Vec<String>,
    /// Files of rules: what they ignore at detection does not count.
    #[arg(long, num_args = 1.., value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) rules: Vec<PathBuf>,
    /// Keep watching folders for new files.
    #[arg(long)]
    pub(crate) watch: bool,
    /// Read what is there, commit, and exit with the exit code of an audit.
    #[arg(long, conflicts_with = "watch")]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) judge: Judge,
}

/// Measures checks per second on this machine: files in, history out, the real pipeline.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  deployforge generate -n 1000000 -o base.ndjson
  deployforge generate -n 1000000 --round 1 --drift 0.02 -o seen.ndjson
  deployforge bench --baseline base.ndjson --observations seen.ndjson

The time runs from opening the observations to the last commit. The history is written to a folder
of its own, which is removed.")]
pub(crate) struct Bench {
    /// What resources should be: files, with their format before them if need be.
    #[arg(long = "baseline", required = true, value_name = "[FORMAT:]PATH")]
    pub(crate) baselines: Vec<String>,
    /// What is observed.
    #[arg(long, required = true, value_name = "[FORMAT:]PATH")]
    pub(crate) observations: Vec<String>,
    /// Prints the figures as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Tables to write besides findings and checks.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "TABLES")]
    pub(crate) tables: Vec<BenchTable>,
    /// Levels of check that may not decide: the findings stay the same.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LEVELS")]
    pub(crate) without: Vec<BenchLevels>,
    /// What is held of the baseline in memory.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) tier: Tier,
    /// Threads that compute [default: one per core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Where the folder of the run is made [default: the system's folder for temporary files].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) folder: Option<PathBuf>,
}

/// A table that `bench` can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchTable {
    Findings,
    Checks,
    Verdicts,
    Observations,
}

impl BenchTable {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Findings => "findings",
            Self::Checks => "checks",
            Self::Verdicts => "verdicts",
            Self::Observations => "observations",
        }
    }
}

/// A level of check that `bench` can switch off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchLevels {
    /// Equal raw fingerprints.
    Fingerprint,
    /// Equal canonical fingerprints.
    Canonical,
    /// Hashes of attributes.
    Attributes,
    /// The declared text, held against what changed.
    Text,
}

/// What is held of a baseline in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tier {
    /// Fingerprints and a hash per attribute.
    #[default]
    Full,
    /// Fingerprints only.
    Lite,
}

impl From<Tier> for deployforge_compare::Tier {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::Full => Self::Full,
            Tier::Lite => Self::Lite,
        }
    }
}

/// How states are compared.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Judge {
    /// What counts: everything observed, or only what the baseline declares [default: full].
    #[arg(long, value_parser = parse_mode, value_name = "declared|full")]
    pub(crate) mode: Option<deployforge_model::Mode>,
    /// Whether null, absent and empty are one, and JSON text is compared as JSON [default: standard].
    #[arg(long, value_enum)]
    pub(crate) normalise: Option<Normalise>,
    /// List too what a normaliser suppressed, with its name and what it says, and which declared
    /// attributes were not compared, and why.
    #[arg(long)]
    pub(crate) explain: bool,
    /// The lowest severity that makes the exit code 1 [default: informational].
    #[arg(long, value_enum)]
    pub(crate) fail_on: Option<FailOn>,
    /// The lowest coverage in per cent; below it the exit code is 3.
    #[arg(long, value_name = "PCT", value_parser = parse_percent)]
    pub(crate) min_coverage: Option<f64>,
    /// The lowest share of declared attributes that are compared, in per cent; below it the exit code
    /// is 3.
    #[arg(long, value_name = "PCT", value_parser = parse_percent)]
    pub(crate) min_attributes: Option<f64>,
    /// Account of resources whose format does not say.
    #[arg(long, value_name = "ACCOUNT")]
    pub(crate) account: Option<String>,
    /// Region of resources whose format does not say.
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
}

fn parse_percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err("it must be between 0 and 100".to_owned()),
    }
}

fn parse_dialect(text: &str) -> Result<deployforge_model::Dialect, String> {
    text.parse()
}

fn parse_mode(text: &str) -> Result<deployforge_model::Mode, String> {
    text.parse()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Normalise {
    Off,
    Standard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum FailOn {
    Informational,
    Degraded,
    Critical,
    Never,
}

/// Compares snapshots with baselines once and reports what is not in sync.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  deployforge audit --baseline terraform.tfstate --snapshot refreshed.tfstate
  deployforge audit --baseline config-monday/ --snapshot config-tuesday/ --format json -o drift.json
  deployforge audit --baseline @prod --snapshot 'items/*.ndjson.gz' --record --fail-on critical

The snapshots together are taken as everything there is: what the baseline declares and they do not
list is missing, unless they could not be read completely.")]
pub(crate) struct Audit {
    /// What should be: file, folder, glob, `-`, or `@NAME[@VERSION]` for an imported baseline.
    #[arg(long = "baseline", required = true, num_args = 1.., value_name = "[FORMAT:]PATH")]
    pub(crate) baselines: Vec<String>,
    /// What is: file, folder, glob or `-`.
    #[arg(long = "snapshot", required = true, num_args = 1.., value_name = "[FORMAT:]PATH")]
    pub(crate) snapshots: Vec<String>,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) format: ReportFormat,
    /// Write the result to a file instead of stdout.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Files of rules: what they ignore at detection does not count.
    #[arg(long, num_args = 1.., value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) rules: Vec<PathBuf>,
    /// Keep the result in the history.
    #[arg(long)]
    pub(crate) record: bool,
    /// The configuration file, for policies, rules, environments and array rules.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Rows of the table at most; JSON always lists all.
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) stack: StackArgs,
    #[command(flatten)]
    pub(crate) judge: Judge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    Table,
    Json,
    Ndjson,
}

/// Compares two JSON documents, or many pairs of them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  deployforge diff expected.json observed.json
  deployforge diff a.json b.json --type aws_security_group --format json
  deployforge diff --pairs pairs.ndjson

A pair is one line {\"id\",\"type\"?,\"dialect\"?,\"mode\"?,\"normalise\"?,\"expected\",\"observed\"}; each
gives one line with the same id.")]
pub(crate) struct Diff {
    /// What should be; `-` for stdin.
    #[arg(required_unless_present = "pairs", value_hint = ValueHint::FilePath)]
    pub(crate) expected: Option<PathBuf>,
    /// What is; `-` for stdin.
    #[arg(required_unless_present = "pairs", value_hint = ValueHint::FilePath)]
    pub(crate) observed: Option<PathBuf>,
    /// NDJSON of pairs, or `-`.
    #[arg(long, conflicts_with_all = ["expected", "observed"], value_name = "FILE")]
    pub(crate) pairs: Option<PathBuf>,
    /// The resource type, for array rules and policies.
    #[arg(long = "type", value_name = "TYPE", default_value = "")]
    pub(crate) resource_type: String,
    /// What counts [default: full].
    #[arg(long, value_parser = parse_mode, value_name = "declared|full")]
    pub(crate) mode: Option<deployforge_model::Mode>,
    /// Whether null, absent and empty are one, and JSON text is compared as JSON [default: standard].
    #[arg(long, value_enum)]
    pub(crate) normalise: Option<Normalise>,
    /// List too what a normaliser suppressed, with its name and what it says, and which declared
    /// attributes were not compared, and why.
    #[arg(long)]
    pub(crate) explain: bool,
    /// In whose words both are written [default: as the type's name says].
    #[arg(long, value_parser = parse_dialect, value_name = "DIALECT")]
    pub(crate) dialect: Option<deployforge_model::Dialect>,
    /// The configuration file, for secrets, folds, array rules and policies.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// How to print the result of one comparison; pairs are always JSON lines.
    #[arg(long, value_enum, default_value_t = DiffFormat::Table)]
    pub(crate) format: DiffFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiffFormat {
    Table,
    Json,
}

/// Imports, lists, shows and compares baselines.
#[derive(Debug, Subcommand)]
pub(crate) enum Baseline {
    /// Imports files as the next version of a baseline.
    #[command(after_help = "\
Examples:
  deployforge baseline import prod terraform.tfstate
  deployforge baseline import recorded config-snapshot.json.gz --kind recorded")]
    Import {
        /// The baseline's name.
        name: String,
        /// Files, folders, globs or `-`.
        #[arg(required = true, value_name = "[FORMAT:]PATH")]
        paths: Vec<String>,
        /// Whether code declares it or it was recorded [default: declared for Terraform and
        /// CloudFormation, else recorded].
        #[arg(long, value_parser = parse_kind, value_name = "declared|recorded")]
        kind: Option<deployforge_model::BaselineKind>,
        /// What counts against it.
        #[arg(long, value_parser = parse_mode, value_name = "declared|full")]
        mode: Option<deployforge_model::Mode>,
        /// Account of resources whose format does not say.
        #[arg(long)]
        account: Option<String>,
        /// Region of resources whose format does not say.
        #[arg(long)]
        region: Option<String>,
        #[command(flatten)]
        stack: StackArgs,
        /// Read and report, and keep nothing.
        #[arg(long)]
        dry_run: bool,
        /// The configuration file, for array rules.
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Lists all versions of all baselines.
    List {
        /// How to print them.
        #[arg(long, value_enum, default_value_t = DiffFormat::Table)]
        format: DiffFormat,
    },
    /// Shows the resources of a baseline, or the state of one of them.
    Show {
        /// `NAME` or `NAME@VERSION`.
        name: String,
        /// Only the resource with this id, address or alias, with its state.
        #[arg(long, value_name = "ID")]
        resource: Option<String>,
        /// How to print it.
        #[arg(long, value_enum, default_value_t = DiffFormat::Table)]
        format: DiffFormat,
    },
    /// Compares two versions: the first as expected, the second as observed.
    Diff {
        /// `NAME@VERSION`.
        expected: String,
        /// `NAME@VERSION` or `NAME`.
        observed: String,
        /// How to print it.
        #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
        format: ReportFormat,
    },
}

fn parse_kind(text: &str) -> Result<deployforge_model::BaselineKind, String> {
    text.parse()
}

/// Runs one SQL query on the history.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  deployforge query \"select * from drifted_now order by score desc\"
  deployforge query \"select type, count(*) from findings group by 1\" --format json
  deployforge query \"show tables\"

Tables: findings, verdicts, current_findings, checks, observations, rejects, baselines, and the
views drifted_now, environments, changed_today, coverage, noisiest_attributes and more. Read-only.")]
pub(crate) struct Query {
    /// The query.
    pub(crate) sql: String,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = QueryFormat::Table)]
    pub(crate) format: QueryFormat,
    /// Write the result to a file instead of stdout.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryFormat {
    Table,
    Json,
    Csv,
    Parquet,
}

/// Opens an interactive SQL session on the history.
#[derive(Debug, Args)]
#[command(after_help = "A statement ends with `;`. `\\?` lists the commands of the session.")]
pub(crate) struct Sql {}

/// Checks a configuration file, or prints its JSON Schema.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Says what `run` would refuse at once, without a network; baselines and ports are not looked at.
    Check {
        /// The configuration file.
        #[arg(default_value = "deployforge.yaml")]
        file: PathBuf,
    },
    /// Prints the JSON Schema of the configuration file.
    Schema,
}

/// Prints a shell completion script.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  deployforge completions bash > /etc/bash_completion.d/deployforge")]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}
