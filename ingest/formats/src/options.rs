//! What the caller may say about an input before it is read.

use std::fmt;
use std::str::FromStr;

use deployforge_model::Dialect;

use crate::reference::Stack;

/// How to read one input. The default detects the format from the content.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// The format, where the caller knows it; everything else is then refused.
    pub format: Option<Format>,
    /// Key parts to use where neither the record nor its ARN or provider alias has them.
    pub defaults: KeyDefaults,
    /// How much may be held in memory.
    pub limits: Limits,
    /// Which side of a comparison it is read for.
    pub side: Side,
    /// The input's file name, without its folder: replies are often kept under the name of the call.
    pub name: Option<String>,
    /// The stack whose template the input is, where the caller knows it.
    pub stack: Option<Stack>,
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
    /// Bytes of one document that is held whole: a Terraform state, a template, an API's reply.
    pub document_bytes: usize,
    /// Levels of nesting within one record, also inside JSON text.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { record_bytes: 16 << 20, document_bytes: 512 << 20, depth: 128 }
    }
}

/// Which side of a comparison an input is read for. Some documents hold both: a plan's drift, stack
/// drift results, change sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Side {
    /// What is there.
    #[default]
    Observed,
    /// What should be there.
    Declared,
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
    /// The output of Terraform's and OpenTofu's `show -json`: states and plans.
    TerraformJson,
    /// The same plans, read for what they will bring about. Never detected: it has to be named.
    TerraformPlanned,
    /// CloudFormation templates, CDK cloud assemblies, stack drift results, change sets.
    CloudFormation,
    /// AWS Config: snapshots, history files, notifications, API replies, bare items.
    AwsConfig,
    /// Replies of AWS's describe, get and list calls.
    AwsApi,
    /// Google Cloud Asset Inventory: exports and feeds.
    GoogleAssets,
    /// Replies of Google's APIs.
    GoogleApi,
    /// Azure Resource Manager replies, Resource Graph rows and resource changes.
    Azure,
    /// ARM templates.
    ArmTemplate,
    /// Kubernetes objects, lists and manifests.
    Kubernetes,
    /// Replies of OpenStack's APIs.
    OpenStack,
    /// Replies of Oracle's APIs.
    Oracle,
    /// CloudQuery's tables, as Parquet or Arrow IPC files.
    CloudQuery,
    /// CloudTrail records: who did what.
    CloudTrail,
    /// Azure activity log: who did what.
    AzureActivity,
    /// Google Cloud audit logs: who did what.
    GoogleAudit,
    /// The audit log of Kubernetes API servers: who did what.
    KubernetesAudit,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 20] = [
        Self::Native,
        Self::CloudEvents,
        Self::TerraformState,
        Self::TerraformJson,
        Self::TerraformPlanned,
        Self::CloudFormation,
        Self::AwsConfig,
        Self::AwsApi,
        Self::GoogleAssets,
        Self::GoogleApi,
        Self::Azure,
        Self::ArmTemplate,
        Self::Kubernetes,
        Self::OpenStack,
        Self::Oracle,
        Self::CloudQuery,
        Self::CloudTrail,
        Self::AzureActivity,
        Self::GoogleAudit,
        Self::KubernetesAudit,
    ];

    /// The stable name, as in `--snapshot aws-config:items.ndjson.gz`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::CloudEvents => "cloudevents",
            Self::TerraformState => "terraform-state",
            Self::TerraformJson => "terraform-json",
            Self::TerraformPlanned => "terraform-planned",
            Self::CloudFormation => "cloudformation",
            Self::AwsConfig => "aws-config",
            Self::AwsApi => "aws-api",
            Self::GoogleAssets => "google-assets",
            Self::GoogleApi => "google-api",
            Self::Azure => "azure",
            Self::ArmTemplate => "arm-template",
            Self::Kubernetes => "kubernetes",
            Self::OpenStack => "openstack",
            Self::Oracle => "oci",
            Self::CloudQuery => "cloudquery",
            Self::CloudTrail => "cloudtrail",
            Self::AzureActivity => "azure-activity",
            Self::GoogleAudit => "google-audit",
            Self::KubernetesAudit => "kubernetes-audit",
        }
    }

    /// In whose words its resources are written. Logs write of none.
    pub fn dialect(self) -> Dialect {
        match self {
            Self::Native
            | Self::CloudEvents
            | Self::CloudTrail
            | Self::AzureActivity
            | Self::GoogleAudit
            | Self::KubernetesAudit => Dialect::Native,
            Self::TerraformState | Self::TerraformJson | Self::TerraformPlanned => {
                Dialect::Terraform
            }
            Self::CloudFormation => Dialect::CloudFormation,
            Self::AwsConfig => Dialect::AwsConfig,
            Self::AwsApi => Dialect::Aws,
            Self::GoogleAssets | Self::GoogleApi => Dialect::Google,
            Self::Azure | Self::ArmTemplate => Dialect::Azure,
            Self::Kubernetes => Dialect::Kubernetes,
            Self::OpenStack => Dialect::OpenStack,
            Self::Oracle => Dialect::Oracle,
            Self::CloudQuery => Dialect::CloudQuery,
        }
    }

    /// Whether an input of this name may hold what is recognised as `found`.
    pub(crate) fn takes(self, found: Self) -> bool {
        self == found || (self == Self::TerraformPlanned && found == Self::TerraformJson)
    }

    /// Whether one value of it may hold many resources, so that it is held whole up to the limit of a
    /// document, not of a record.
    pub fn is_document(self) -> bool {
        !matches!(self, Self::Native | Self::CloudEvents | Self::AwsConfig)
    }

    /// Whether it is written as YAML too: templates and manifests are, and the command lines of the
    /// clouds print their replies so.
    pub fn may_be_yaml(self) -> bool {
        !matches!(
            self,
            Self::Native
                | Self::CloudEvents
                | Self::TerraformState
                | Self::TerraformJson
                | Self::CloudQuery
        )
    }

    /// Whether it is a table in columns, which is no text.
    pub fn is_table(self) -> bool {
        self == Self::CloudQuery
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The name is not that of a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a format; the formats are {names}.", names = Format::ALL.map(Format::name).join(", "))]
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
