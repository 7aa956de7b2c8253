//! `generate`, as it may be typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

/// Makes a synthetic inventory of any size, whose drift is known.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  deployforge generate -n 1000000 -o base.ndjson
  deployforge generate -n 1000000 --round 1 --drift 0.02 --truth truth.ndjson -o seen.ndjson
  deployforge generate --size large --format native | gzip > base.ndjson.gz

Round 0 is the baseline; a later round is the same inventory seen again. The same options give the
same bytes on every machine.")]
pub(crate) struct Generate {
    /// How many resources round 0 has.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100_000)]
    pub(crate) resources: u64,
    /// Which of all inventories.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Which reading of it; 0 is the baseline, in which nothing differs.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) round: u32,
    /// How many resource types.
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub(crate) types: u32,
    /// How many accounts.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) accounts: u32,
    /// How many regions.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) regions: u32,
    /// How unevenly resources spread over types and accounts: the exponent of Zipf's law, 0 for
    /// evenly.
    #[arg(long, value_name = "EXPONENT", default_value_t = 0.8)]
    pub(crate) skew: f64,
    /// Share of what is listed and has not drifted that is written another way and means the same.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) change: f64,
    /// Share of the resources that differ from round 0 in one attribute.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) drift: f64,
    /// Share of the resources that are not listed.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) missing: f64,
    /// Resources that round 0 lacks, as a share of those it has.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) unmanaged: f64,
    /// How large a record is: about 0.45, 1.5 or 6 kB.
    #[arg(long, value_enum, default_value_t = InventorySize::Medium)]
    pub(crate) size: InventorySize,
    /// Where an AWS Config item has its capture time and state id: before or after its tags,
    /// relationships and configuration.
    #[arg(long, value_enum, default_value_t = InventoryEnvelope::First)]
    pub(crate) envelope: InventoryEnvelope,
    /// What to write: items, observations or events one a line, or one document.
    #[arg(long, value_enum, default_value_t = InventoryFormat::AwsConfig)]
    pub(crate) format: InventoryFormat,
    /// Write what differs from round 0 to this file, one JSON object a line.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) truth: Option<PathBuf>,
    /// Write the inventory to a file instead of stdout.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InventorySize {
    Small,
    Medium,
    Large,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InventoryEnvelope {
    First,
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InventoryFormat {
    AwsConfig,
    AwsConfigSnapshot,
    Native,
    #[value(name = "cloudevents")]
    CloudEvents,
    TerraformState,
}
