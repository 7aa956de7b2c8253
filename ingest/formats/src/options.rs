//! What the caller may say about an input before it is read.

use std::fmt;
use std::str::FromStr;

/// How to read one input. The default detects the format from the content.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// The format, where the caller knows it; everything else is then refused.
    pub format: Option<Format>,
    /// Key parts to use where neither the record nor its ARN or provider alias has them.
    pub defaults: KeyDefaults,
    /// How much may be held in memory.
    pub limits: Limits,
}

/// The source's configuration: fills the key parts that a format lacks, after everything else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyDefaults {
    /// Cloud or system.
    pub provider: Option<String>,
    /// Account, subscription or project.
    pub account: Option<String>,
    /// Region or location.
    pub region: Option<String>,
}

/// What a reader may hold at most. Beyond it, input is hashed, skipped and rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one record: a line, an item of a list, an envelope.
    pub record_bytes: usize,
    /// Bytes of one document that is held whole: a Terraform state.
    pub document_bytes: usize,
    /// Levels of nesting within one record, also inside JSON text.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { record_bytes: 16 << 20, document_bytes: 512 << 20, depth: 128 }
    }
}

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// DeployForge's own observations, one JSON object a line.
    Native,
    /// CloudEvents 1.0 JSON events that carry native observations.
    CloudEvents,
    /// Terraform and OpenTofu state files, versions 1 to 4.
    TerraformState,
    /// AWS Config: snapshots, history files, notifications, API replies, bare items.
    AwsConfig,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] =
        [Self::Native, Self::CloudEvents, Self::TerraformState, Self::AwsConfig];

    /// The stable name, as in `--snapshot aws-config:items.ndjson.gz`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::CloudEvents => "cloudevents",
            Self::TerraformState => "terraform-state",
            Self::AwsConfig => "aws-config",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The name is not that of a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a format; the formats are native, cloudevents, terraform-state and aws-config."
)]
pub struct UnknownFormat(pub String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or_else(|| UnknownFormat(text.chars().take(64).collect()))
    }
}

/// Splits a format's name off the front of a path: `aws-config:items.ndjson` names the format,
/// `s3://bucket/key`, `C:\file` and `no-such-format:file` are paths as they are.
///
/// ```
/// use deployforge_formats::{Format, split_prefix};
/// assert_eq!(split_prefix("aws-config:a.json"), (Some(Format::AwsConfig), "a.json"));
/// assert_eq!(split_prefix("s3://bucket/a.json"), (None, "s3://bucket/a.json"));
/// ```
pub fn split_prefix(path: &str) -> (Option<Format>, &str) {
    let Some((name, rest)) = path.split_once(':') else { return (None, path) };
    match name.parse() {
        Ok(format) => (Some(format), rest),
        Err(UnknownFormat(_)) => (None, path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_names_are_prefixes() {
        for (path, format, rest) in [
            ("aws-config:items.ndjson.gz", Some(Format::AwsConfig), "items.ndjson.gz"),
            ("native:-", Some(Format::Native), "-"),
            ("terraform-state:s3://b/k", Some(Format::TerraformState), "s3://b/k"),
            ("cloudevents:e:f.json", Some(Format::CloudEvents), "e:f.json"),
            ("c:\\state.json", None, "c:\\state.json"),
            ("s3://b/k", None, "s3://b/k"),
            ("Native:x", None, "Native:x"),
            ("plain", None, "plain"),
        ] {
            assert_eq!(split_prefix(path), (format, rest), "{path}");
        }
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!("nativ".parse::<Format>().unwrap_err().to_string().contains("`nativ`"));
    }
}
