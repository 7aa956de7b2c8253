//! `rules`, as it may be typed.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum, ValueHint};
use deployforge_policy::Expiry;

use super::DiffFormat;

/// Lists rules with their hits, tries them on the history, imports them from other tools.
#[derive(Debug, Subcommand)]
pub(crate) enum Rules {
    /// Lists rules: how often each has hidden something in this history, whose it is, when it ends.
    #[command(after_help = "\
Examples:
  deployforge rules list -c deployforge.yaml
  deployforge rules list rules.yaml --format json

A rule that is in the history and in no file is listed too, as gone.")]
    List {
        /// Files of rules, besides those of the configuration file.
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
        /// The configuration file, for `rules`, `data_dir` and `store`.
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        config: Option<PathBuf>,
        /// How to print them.
        #[arg(long, value_enum, default_value_t = DiffFormat::Table)]
        format: DiffFormat,
    },
    /// Says what rules would have hidden in this history, and every critical finding among it.
    #[command(after_help = "\
Examples:
  deployforge rules test rules.yaml
  deployforge rules test rules.yaml --since 90d --format json

Each rule is tried by itself, whether it has expired or not, on what opened or changed since then and on
all that is open now. The exit code is 1 if a critical finding would be hidden.")]
    Test {
        /// Files of rules.
        #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
        /// How far back: a number with m, h, d or w, or a time.
        #[arg(long, value_name = "AGE|TIME", default_value = "30d", value_parser = parse_since)]
        since: Since,
        /// The configuration file, for `data_dir` and `store`.
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        config: Option<PathBuf>,
        /// How to print it.
        #[arg(long, value_enum, default_value_t = DiffFormat::Table)]
        format: DiffFormat,
    },
    /// Prints rules made of another tool's ignore rules; what it cannot translate, it says on stderr.
    #[command(after_help = "\
Examples:
  deployforge rules import --from driftignore .driftignore > rules.yaml
  deployforge rules import --from terraform modules/network/*.tf --owner network-team
  deployforge rules import --from argocd application.yaml argocd-cm.yaml
  deployforge rules import --from flux helmrelease.yaml --expires 2027-06-30")]
    Import {
        /// Whose ignore rules they are.
        #[arg(long, value_enum)]
        from: RulesFrom,
        /// The files, or `-`.
        #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
        /// The path of the Terraform module that the files are of, such as `module.network` [default: the
        /// root].
        #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
        module: String,
        /// Who answers for them.
        #[arg(long, default_value = "unassigned")]
        owner: String,
        /// Why they are there [default: where they come from].
        #[arg(long)]
        reason: Option<String>,
        /// When they end [default: in 90 days].
        #[arg(long, value_name = "DAY|TIME", value_parser = parse_expiry)]
        expires: Option<Expiry>,
    },
}

/// Another tool's ignore rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RulesFrom {
    /// driftctl's `.driftignore`.
    Driftignore,
    /// `ignore_changes` in the `lifecycle` of resources, in `*.tf`.
    Terraform,
    /// `ignoreDifferences` of Applications and of the ConfigMap `argocd-cm`.
    Argocd,
    /// `ignore` of HelmReleases and Kustomizations.
    Flux,
}

/// How far back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Since {
    /// So many microseconds before now.
    Ago(i64),
    /// A moment.
    At(deployforge_model::Timestamp),
}

fn parse_since(text: &str) -> Result<Since, String> {
    let wrong = || {
        "give a number with m, h, d or w, such as 30d, or a time such as 2026-11-01T00:00:00Z"
            .to_owned()
    };
    if text.contains('-') {
        let day = text.len() == 10;
        let moment = if day { format!("{text}T00:00:00Z") } else { text.to_owned() };
        let at = deployforge_model::Timestamp::parse(&moment);
        return at.map(Since::At).map_err(|_| wrong());
    }
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(wrong()),
    };
    let number = text[..text.len() - 1].parse::<u32>().map_err(|_| wrong())?;
    let micros = i64::from(number).checked_mul(seconds * 1_000_000);
    micros.map(Since::Ago).ok_or_else(wrong)
}

fn parse_expiry(text: &str) -> Result<Expiry, String> {
    Expiry::parse(text).map_err(|error| error.to_string())
}
