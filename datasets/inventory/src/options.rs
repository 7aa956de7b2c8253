//! What is asked for, and what of it makes no sense.

use std::fmt;

use crate::catalogue::REGIONS;

/// Resources at most.
pub const RESOURCES_MAX: u64 = 1_000_000_000_000;
/// The last round: beyond it, times leave the four digits of a year far behind.
pub const ROUND_MAX: u32 = 1_000_000;
/// Types at most: each is held in memory.
pub const TYPES_MAX: u32 = 10_000;
/// Accounts at most: each is held in memory.
pub const ACCOUNTS_MAX: u32 = 100_000;
/// The largest skew: beyond it, one type and one account have everything.
pub const SKEW_MAX: f64 = 10.0;

/// What to make. The default is a baseline of 100,000 AWS Config items.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// How many resources round 0 has.
    pub resources: u64,
    /// Which of all inventories.
    pub seed: u64,
    /// Which reading of it. 0 is the baseline.
    pub round: u32,
    /// How many resource types.
    pub types: u32,
    /// How many accounts.
    pub accounts: u32,
    /// How many regions, of [`REGIONS`].
    pub regions: u32,
    /// How unevenly resources spread over types and accounts: the exponent of Zipf's law. 0 is
    /// evenly.
    pub skew: f64,
    /// Of the resources that are listed and do not drift, the share that is written another way.
    pub change: f64,
    /// The share of resources that differ from round 0 in one attribute.
    pub drift: f64,
    /// The share of resources that are not listed.
    pub missing: f64,
    /// How many resources are listed that round 0 lacks, as a share of `resources`.
    pub unmanaged: f64,
    /// How large a record is.
    pub size: Size,
    /// Where what changes with every reading stands.
    pub envelope: Envelope,
    /// What is written.
    pub format: Format,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            resources: 100_000,
            seed: 1,
            round: 0,
            types: 12,
            accounts: 20,
            regions: 4,
            skew: 0.8,
            change: 0.0,
            drift: 0.0,
            missing: 0.0,
            unmanaged: 0.0,
            size: Size::default(),
            envelope: Envelope::default(),
            format: Format::default(),
        }
    }
}

/// How large a record is, about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Size {
    /// 0.45 kB: a handful of attributes.
    Small,
    /// 1.5 kB: 12 to 35 attributes.
    #[default]
    Medium,
    /// 6 kB: more than a hundred, and lists of objects.
    Large,
}

/// Where the members stand that change with every reading (times, versions), in formats that have
/// such an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Envelope {
    /// Before tags, relationships and configuration.
    #[default]
    First,
    /// After them.
    Last,
}

/// What is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// AWS Config items, one a line.
    #[default]
    AwsConfig,
    /// One AWS Config snapshot.
    AwsConfigSnapshot,
    /// Native observations, one a line.
    Native,
    /// CloudEvents with native observations, one a line.
    CloudEvents,
    /// One Terraform state of version 4.
    TerraformState,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [
        Self::AwsConfig,
        Self::AwsConfigSnapshot,
        Self::Native,
        Self::CloudEvents,
        Self::TerraformState,
    ];

    /// The name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::AwsConfig => "aws-config",
            Self::AwsConfigSnapshot => "aws-config-snapshot",
            Self::Native => "native",
            Self::CloudEvents => "cloudevents",
            Self::TerraformState => "terraform-state",
        }
    }

    /// Whether records are items of AWS Config.
    pub(crate) fn is_aws_config(self) -> bool {
        matches!(self, Self::AwsConfig | Self::AwsConfigSnapshot)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Options that are out of range, or contradict each other.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionsError {
    /// A number beyond its limits.
    OutOfRange {
        /// Which option.
        option: &'static str,
        /// The least it can be.
        least: u64,
        /// The most it can be.
        most: u64,
    },
    /// A share that is none, or a skew beyond its limit.
    NotAShare {
        /// Which option.
        option: &'static str,
        /// The most it can be.
        most: f64,
    },
    /// Something would differ in round 0, which is what later rounds differ from.
    DifferentBaseline {
        /// Which option.
        option: &'static str,
    },
    /// More would be missing or drifted than there is.
    MoreThanAll,
    /// The format has no envelope that could stand last.
    NoEnvelope {
        /// Which format.
        format: Format,
    },
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { option, least, most } => {
                write!(f, "`{option}` must be between {least} and {most}")
            }
            Self::NotAShare { option, most } => {
                write!(f, "`{option}` must be between 0 and {most}")
            }
            Self::DifferentBaseline { option } => {
                write!(f, "round 0 is the baseline, in which nothing differs: `{option}` must be 0")
            }
            Self::MoreThanAll => {
                f.write_str("`drift` and `missing` together are more than all resources")
            }
            Self::NoEnvelope { format } => {
                write!(f, "{format} has no envelope that could stand last")
            }
        }
    }
}

impl std::error::Error for OptionsError {}

impl Options {
    /// Checks that everything is in range and nothing contradicts.
    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        for (option, value, least, most) in [
            ("resources", self.resources, 1, RESOURCES_MAX),
            ("round", self.round.into(), 0, ROUND_MAX.into()),
            ("types", self.types.into(), 1, TYPES_MAX.into()),
            ("accounts", self.accounts.into(), 1, ACCOUNTS_MAX.into()),
            ("regions", self.regions.into(), 1, REGIONS.len() as u64),
        ] {
            if !(least..=most).contains(&value) {
                return Err(OptionsError::OutOfRange { option, least, most });
            }
        }
        if !(0.0..=SKEW_MAX).contains(&self.skew) {
            return Err(OptionsError::NotAShare { option: "skew", most: SKEW_MAX });
        }
        for (option, share) in [
            ("change", self.change),
            ("drift", self.drift),
            ("missing", self.missing),
            ("unmanaged", self.unmanaged),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Err(OptionsError::NotAShare { option, most: 1.0 });
            }
            if share > 0.0 && self.round == 0 {
                return Err(OptionsError::DifferentBaseline { option });
            }
        }
        // 0.9 and 0.1 are all of it, and their sum as floats may be a hair more.
        if self.drift + self.missing > 1.0 + 1e-9 {
            return Err(OptionsError::MoreThanAll);
        }
        if self.envelope == Envelope::Last && !self.format.is_aws_config() {
            return Err(OptionsError::NoEnvelope { format: self.format });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(options: Options, want: &str) {
        match options.check() {
            Ok(()) => assert_eq!(want, "", "{options:?}"),
            Err(error) => {
                assert!(!want.is_empty() && error.to_string().contains(want), "{error}");
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let base = Options::default;
        check(base(), "");
        check(Options { resources: 0, ..base() }, "`resources` must be between 1 and");
        check(Options { resources: RESOURCES_MAX + 1, ..base() }, "`resources`");
        check(Options { types: 0, ..base() }, "`types`");
        check(Options { types: TYPES_MAX + 1, ..base() }, "between 1 and 10000");
        check(Options { accounts: 0, ..base() }, "`accounts`");
        check(Options { regions: 99, ..base() }, "`regions`");
        check(Options { round: ROUND_MAX + 1, ..base() }, "`round`");
        check(Options { skew: f64::NAN, ..base() }, "`skew`");
        check(Options { skew: -0.1, ..base() }, "`skew`");
        let later = || Options { round: 1, ..base() };
        check(Options { drift: 1.0, ..later() }, "");
        check(Options { drift: 0.9, missing: 0.1, change: 1.0, unmanaged: 1.0, ..later() }, "");
        check(Options { drift: 1.5, ..later() }, "`drift` must be between 0 and 1");
        check(Options { unmanaged: f64::INFINITY, ..later() }, "`unmanaged`");
        check(Options { drift: 0.6, missing: 0.6, ..later() }, "together");
        for option in ["change", "drift", "missing", "unmanaged"] {
            let share = |name| if name == option { 0.01 } else { 0.0 };
            let options = Options {
                change: share("change"),
                drift: share("drift"),
                missing: share("missing"),
                unmanaged: share("unmanaged"),
                ..base()
            };
            check(options, &format!("nothing differs: `{option}`"));
        }
        for format in Format::ALL {
            let want = if format.is_aws_config() { "" } else { format.name() };
            check(Options { envelope: Envelope::Last, format, ..base() }, want);
        }
    }
}
