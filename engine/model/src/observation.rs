//! Observations, sweeps and rejects: what a format reader yields, one at a time.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::verdict::named;
use crate::{ResourceKey, Timestamp, UnknownReason};

named! {
    /// The vocabulary in which type and attribute names are written. Two states are compared only
    /// within one dialect; across dialects the verdict is `unknown` (`unmapped`).
    Dialect {
        /// DeployForge's own observation format: names are the producer's.
        Native = "native",
        /// AWS Config configuration items.
        AwsConfig = "aws-config",
        /// Terraform and OpenTofu attribute names.
        Terraform = "terraform",
        /// CloudFormation property names.
        CloudFormation = "cloudformation",
        /// The replies of AWS's own APIs.
        Aws = "aws",
        /// The resources of Google's APIs, as Cloud Asset Inventory holds them too.
        Google = "google",
        /// Azure Resource Manager, as Resource Graph and templates have it too.
        Azure = "azure",
        /// Kubernetes objects.
        Kubernetes = "kubernetes",
        /// The replies of OpenStack's APIs.
        OpenStack = "openstack",
        /// The replies of Oracle's APIs.
        Oracle = "oci",
        /// CloudQuery's tables: columns are the attributes.
        CloudQuery = "cloudquery",
    }
}

/// The member of an object that stands for a value nobody could resolve, with the reason as its text.
/// Such a value is never compared: an attribute that holds it is counted as not compared.
pub const UNRESOLVED_MEMBER: &str = "$deployforge.unresolved";

impl Dialect {
    /// The dialect that a type's name is written in: `AWS::S3::Bucket`, `aws_s3_bucket`, anything.
    pub fn of_type(resource_type: &str) -> Self {
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if resource_type.contains("::") {
            Self::AwsConfig
        } else if resource_type.contains('_') && resource_type.chars().all(lower) {
            Self::Terraform
        } else {
            Self::Native
        }
    }
}

/// Whether the resource existed when it was observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It exists.
    #[default]
    Present,
    /// It was deleted: a tombstone.
    Deleted,
    /// Terraform's deposed object: it exists and waits for deletion. Known, never compared, never
    /// unmanaged.
    Deposed,
    /// It exists, and its state could not be read: access denied, or not checked.
    Unreadable,
    /// It exists, and the source does not support reading its state.
    Unsupported,
    /// It is declared, and whether or as what could not be resolved.
    Unresolved,
}

impl Presence {
    /// Every presence.
    pub const ALL: [Self; 6] = [
        Self::Present,
        Self::Deleted,
        Self::Deposed,
        Self::Unreadable,
        Self::Unsupported,
        Self::Unresolved,
    ];

    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Deleted => "deleted",
            Self::Deposed => "deposed",
            Self::Unreadable => "unreadable",
            Self::Unsupported => "unsupported",
            Self::Unresolved => "unresolved",
        }
    }

    /// Why a resource of this presence cannot be compared; `None`: its state is at hand, or it is gone.
    pub fn unknown(self) -> Option<UnknownReason> {
        match self {
            Self::Present | Self::Deleted => None,
            Self::Deposed => Some(UnknownReason::Deposed),
            Self::Unreadable => Some(UnknownReason::Unreadable),
            Self::Unsupported => Some(UnknownReason::Unsupported),
            Self::Unresolved => Some(UnknownReason::Unresolved),
        }
    }
}

impl std::str::FromStr for Presence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|presence| presence.name() == text)
            .ok_or_else(|| format!("`{text}` is no presence"))
    }
}

/// The state of one resource, as one source saw it, at one time. Also the declared state of a
/// resource in a baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Which resource.
    pub key: ResourceKey,
    /// In whose words `state` is written.
    pub dialect: Dialect,
    /// The address in the code that declares it (`module.a.aws_s3_bucket.b["x"]`), if any.
    pub address: Option<String>,
    /// Other names of the same object: ARN, Terraform address and id, cloud identity.
    pub aliases: Vec<String>,
    /// When the source saw it. `None`: the reader's caller supplies the time of ingestion.
    pub observed_at: Option<Timestamp>,
    /// The source's own version, which orders observations of one resource before their times do.
    pub version: Option<u64>,
    /// Whether it existed.
    pub presence: Presence,
    /// The sweep it was listed by, if any.
    pub sweep: Option<String>,
    /// The collection that claims it: a Terraform state's lineage. A complete listing of one
    /// collection says nothing about what others claim.
    pub collection: Option<String>,
    /// Terraform: the next apply replaces it.
    pub tainted: bool,
    /// The state slice: one JSON object, UTF-8, holding everything that can be a finding and nothing
    /// else. Empty for a deletion.
    pub state: Vec<u8>,
    /// Paths within `state` that the source declares sensitive (JSON Pointers; a prefix covers all
    /// below it).
    pub sensitive: Vec<String>,
    /// Where it was read.
    pub position: SourcePosition,
}

impl Observation {
    /// A resource that is there in a state, of which the source says nothing else.
    pub fn of(
        key: ResourceKey,
        dialect: Dialect,
        state: Vec<u8>,
        position: SourcePosition,
    ) -> Self {
        Self {
            key,
            dialect,
            address: None,
            aliases: Vec::new(),
            observed_at: None,
            version: None,
            presence: Presence::Present,
            sweep: None,
            collection: None,
            tainted: false,
            state,
            sensitive: Vec::new(),
            position,
        }
    }
}

/// The text of a state slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateText<'a> {
    /// UTF-8 JSON.
    pub text: &'a [u8],
    /// What the text is.
    pub form: StateForm,
}

/// What the text of a state slice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateForm {
    /// One JSON object.
    Object,
    /// Members without braces, as they stand within a larger record. That they are just these members
    /// is a claim, which whoever reads them checks. An empty list allows any.
    Members(&'static [StateMember]),
}

/// A member that may stand in a state slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateMember {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: MemberKind,
}

/// What a member of a state slice may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// Anything.
    Any,
    /// An object, which has to stand.
    Object,
    /// An object without members.
    EmptyObject,
    /// Anything; it is not part of the state.
    Ignored,
}

impl<'a> StateText<'a> {
    /// A whole object.
    pub fn object(text: &'a [u8]) -> Self {
        Self { text, form: StateForm::Object }
    }
}

/// A place in a source, for messages and for `rejects`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourcePosition {
    /// Byte offset of the record in the decompressed stream.
    pub offset: u64,
    /// Line (1-based) where the record starts; 0 where lines mean nothing.
    pub line: u64,
}

impl fmt::Display for SourcePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {} (byte {})", self.line, self.offset)
        } else {
            write!(f, "byte {}", self.offset)
        }
    }
}

/// Which resources a sweep lists: empty members match everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// Provider, or any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Account, or any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Region, or any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Type, or any.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// Collection, or any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
}

impl Scope {
    /// The scope with its parts in the case in which keys hold them.
    #[must_use]
    pub fn canonical(self) -> Self {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        let key = ResourceKey::new(
            &part(&self.provider),
            &part(&self.account),
            "",
            &part(&self.resource_type),
            "",
        );
        Self {
            provider: self.provider.map(|_| key.provider),
            account: self.account.map(|_| key.account),
            resource_type: self.resource_type.map(|_| key.resource_type),
            ..self
        }
    }

    /// Whether the scope covers a resource of this key, given as its parts, and collection (empty: none).
    pub fn covers(&self, key: [&str; 5], collection: &str) -> bool {
        let allows = |want: &Option<String>, have: &str| want.as_deref().is_none_or(|w| w == have);
        let [provider, account, region, resource_type, _] = key;
        allows(&self.provider, provider)
            && allows(&self.account, account)
            && allows(&self.region, region)
            && allows(&self.resource_type, resource_type)
            && allows(&self.collection, collection)
    }
}

/// The frame of a complete listing. Only a finished sweep can make a resource `missing`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// The listing of `scope` begins.
    Start {
        /// Its id, which its observations carry.
        id: String,
        /// What it lists.
        scope: Scope,
    },
    /// The listing is complete.
    End {
        /// The id of its start.
        id: String,
    },
}

named! {
    /// Why a record was refused: a bounded set, so that it can be counted.
    RejectCode {
        /// Not JSON, or JSON cut short.
        Malformed = "malformed",
        /// JSON, but not a record of the format.
        NotARecord = "not_a_record",
        /// A required field is missing or has the wrong type.
        BadField = "bad_field",
        /// An object has the same key twice.
        DuplicateKey = "duplicate_key",
        /// Larger than the record limit.
        TooLarge = "too_large",
        /// Nested deeper than the depth limit.
        TooDeep = "too_deep",
        /// The message refers to content that is elsewhere (an oversized notification).
        Elsewhere = "elsewhere",
        /// A version or kind that is not supported.
        Unsupported = "unsupported",
        /// The stream ended inside a record, or its compression is damaged.
        Truncated = "truncated",
        /// The file is encrypted.
        Encrypted = "encrypted",
        /// Nothing in it.
        Empty = "empty",
        /// The file could not be opened.
        Unreadable = "unreadable",
    }
}

/// Something that could not be read. The bytes are not kept, since what cannot be parsed cannot be
/// redacted; their hash and size are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Where.
    pub position: SourcePosition,
    /// Why, from a bounded set.
    pub code: RejectCode,
    /// One sentence for people: what is wrong and what to do. Carries no payload.
    pub reason: String,
    /// BLAKE3 of the refused bytes (of what was read of them), in hex.
    pub hash: String,
    /// How many bytes were refused.
    pub size: u64,
}

/// Who did what to which resources, as an audit log or a change record of the cloud tells it. It says
/// nothing of a resource's state, and so never makes a verdict; it explains one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The log's own id of the event.
    pub id: String,
    /// What told it: `cloudtrail`, `azure-activity`, `google-audit`, `azure-changes`, `aws-config`,
    /// `cloudformation`.
    pub log: &'static str,
    /// When it happened.
    pub at: Option<Timestamp>,
    /// Who: an ARN, a user principal, an e-mail address. Empty: the log does not say.
    pub actor: String,
    /// What the actor is, in the log's words: `AssumedRole`, `User`, `System`.
    pub actor_type: String,
    /// What the actor acted with: a user agent, a client, the service that called.
    pub tool: String,
    /// What was done, in the log's words: `ec2:AuthorizeSecurityGroupIngress`.
    pub action: String,
    /// Where the caller came from.
    pub from: String,
    /// The cloud.
    pub provider: String,
    /// Account, subscription or project; empty: unknown.
    pub account: String,
    /// Region; empty: unknown or none.
    pub region: String,
    /// Whether nothing was written.
    pub read_only: bool,
    /// The error that it ended with; empty: it succeeded.
    pub error: String,
    /// Names of the resources: ids, ARNs, full names.
    pub resources: Vec<String>,
    /// Paths that the log says changed, in its own words. Never values: they may be secret.
    pub paths: Vec<String>,
    /// Where it was read.
    pub position: SourcePosition,
}

/// What a format reader yields.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Who did something.
    Evidence(Box<Evidence>),
    /// One resource.
    Observation(Box<Observation>),
    /// The frame of a sweep.
    Sweep(Sweep),
    /// Something refused.
    Reject(Reject),
}
