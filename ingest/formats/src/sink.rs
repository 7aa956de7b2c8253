//! Where the format modules put what they find: records, and the tally of a whole input.

use std::collections::BTreeMap;

use deployforge_model::{
    Evidence, Observation, Presence, Record, Reject, RejectCode, SourcePosition, Sweep,
};

use crate::options::{Format, ReadOptions};
use crate::recording::Request;
use crate::reference::Reference;
use crate::refusal::Refusal;
use crate::reserved;

/// What was skipped or assumed on purpose; counted per input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Note {
    /// The state file's own version.
    Serial(u64),
    /// The state was of an old version and was upgraded.
    Upgraded(u64),
    /// Data sources are read-only views, not resources.
    DataSources,
    /// The file only says where the state is kept.
    BackendOnly,
    /// A state without resources.
    NoResources,
    /// Keys without an account.
    AccountUnknown,
    /// Keys without a region.
    RegionUnknown,
    /// Notifications that carry no item.
    NoItem,
    /// Lists or results with nothing in them.
    EmptyList,
    /// The stack's name was taken from the file's.
    StackAssumed,
    /// Resources whose condition is false.
    NotDeclared,
    /// Resources that a macro, a module or a function of the account's makes.
    Generated,
    /// Resources whose condition could not be resolved.
    ConditionUnknown,
    /// Values that could not be resolved.
    ValuesUnknown,
    /// Resources that a change removes.
    Removed,
    /// Files that an input names.
    Named,
    /// Files that come with an assembly and hold no resources.
    AssemblyParts,
    /// Lookups that an assembly lacks.
    LookupsMissing,
    /// The reply has further pages.
    MorePages,
    /// Resources of which a reply says that they exist, and not how they are.
    StateElsewhere,
    /// Objects that have no name yet.
    Nameless,
    /// Objects whose namespace is not given.
    NamespaceAssumed,
    /// Objects read as they were last applied.
    LastApplied,
    /// Resources that a template only refers to.
    Existing,
    /// Deployments within a template.
    Deployments,
    /// Parameters of a template that nobody gave a value.
    Defaults,
    /// Anything else that a format counts: what follows the count when it is one, and when it is not.
    Counted(&'static str, &'static str),
}

impl Note {
    fn sentence(self, count: u64) -> String {
        let s = if count == 1 { "" } else { "s" };
        let was = if count == 1 { "was" } else { "were" };
        match self {
            Self::Serial(serial) => format!("state serial {serial}"),
            Self::Upgraded(version) => format!("state version {version} read as version 4"),
            Self::DataSources => format!("{count} data source{s} skipped"),
            Self::BackendOnly => format!(
                "{count} file{s} only say where the state is kept: pull the state from its backend"
            ),
            Self::NoResources => format!("{count} state{s} without managed resources"),
            Self::AccountUnknown => {
                format!("account of {count} resource{s} unknown: taken as empty")
            }
            Self::RegionUnknown => format!("region of {count} resource{s} unknown: taken as empty"),
            Self::NoItem => format!("{count} notification{s} without an item {was} skipped"),
            Self::EmptyList => format!("{count} list{s} without items"),
            Self::StackAssumed => {
                format!("name of {count} stack{s} taken from the name of the file")
            }
            Self::NotDeclared => {
                format!("{count} resource{s} not declared, since the condition is false")
            }
            Self::Generated => format!(
                "{count} resource{s} not compared: macros, modules or custom code make what becomes of them"
            ),
            Self::ConditionUnknown => {
                format!("{count} resource{s} not compared: the condition could not be resolved")
            }
            Self::ValuesUnknown => format!("{count} value{s} could not be resolved"),
            Self::Removed => format!("{count} resource{s} that the change removes"),
            Self::Named => format!("{count} file{s} named, to be read as well"),
            Self::AssemblyParts => {
                format!("{count} file{s} of a cloud assembly without resources {was} skipped")
            }
            Self::LookupsMissing => format!(
                "{count} lookup{s} missing from the cloud assembly: its templates hold stand-ins"
            ),
            Self::MorePages => {
                format!("{count} list{s} with further pages: read those as well")
            }
            Self::StateElsewhere => {
                format!("{count} resource{s} listed without their state")
            }
            Self::Nameless => {
                format!("{count} object{s} without a name skipped: the API server makes one")
            }
            Self::NamespaceAssumed => {
                format!("namespace of {count} object{s} unknown: taken as `default`")
            }
            Self::LastApplied => format!("{count} object{s} read as last applied"),
            Self::Existing => format!("{count} resource{s} that the template only refers to"),
            Self::Defaults => format!("{count} parameter{s} of a template taken at the default"),
            Self::Deployments => {
                format!(
                    "{count} deployment{s} within the template read for what {s_deploy}",
                    s_deploy = if count == 1 { "it deploys" } else { "they deploy" }
                )
            }
            Self::Counted(one, many) => format!("{count} {}", if count == 1 { one } else { many }),
        }
    }
}

/// What one input came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// The first format that was recognised, and where.
    format: Option<(u64, Format)>,
    /// Resources read.
    pub(crate) observations: u64,
    /// Events of logs read.
    pub(crate) evidence: u64,
    /// Records refused.
    pub(crate) rejects: u64,
    /// Documents that claim to list everything.
    pub(crate) whole_listings: u64,
    /// Collections that were listed whole.
    pub(crate) collections: Vec<String>,
    /// Records that stand outside any whole listing.
    pub(crate) loose: u64,
    /// What was refused once for the whole input, however often it comes, and where.
    told: BTreeMap<&'static str, u64>,
    /// Where the newest item of a list stands, or what was refused instead of one.
    pub(crate) item_at: Option<u64>,
    /// Files that are named.
    pub(crate) references: Vec<Reference>,
    notes: BTreeMap<Note, u64>,
}

impl Tally {
    /// The first format that was recognised.
    pub(crate) fn format(&self) -> Option<Format> {
        self.format.map(|(_, format)| format)
    }

    /// Remembers what stands at `offset`. Lines are not read in their order: the first place counts.
    pub(crate) fn saw(&mut self, offset: u64, format: Format) {
        if self.format.is_none_or(|(first, _)| offset < first) {
            self.format = Some((offset, format));
        }
    }

    /// Adds what a later part of the same input came to.
    pub(crate) fn merge(&mut self, other: Self) {
        if let Some((offset, format)) = other.format {
            self.saw(offset, format);
        }
        self.observations += other.observations;
        self.evidence += other.evidence;
        self.rejects += other.rejects;
        self.whole_listings += other.whole_listings;
        self.collections.extend(other.collections);
        self.loose += other.loose;
        self.references.extend(other.references);
        for (matter, offset) in other.told {
            self.told.entry(matter).or_insert(offset);
        }
        for (note, count) in other.notes {
            *self.notes.entry(note).or_default() += count;
        }
    }

    /// Where `other`, of a later part of the same input, refuses what is refused already. It counts that
    /// no more.
    pub(crate) fn repeated(&self, other: &mut Self) -> Vec<u64> {
        let told = other.told.iter().filter(|(matter, _)| self.told.contains_key(*matter));
        let repeated: Vec<u64> = told.map(|(_, offset)| *offset).collect();
        other.rejects -= repeated.len() as u64;
        repeated
    }

    /// The notes as sentences.
    pub(crate) fn sentences(&self) -> Vec<String> {
        self.notes.iter().map(|(note, count)| note.sentence(*count)).collect()
    }
}

/// The receiving end of one framed record.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    pub(crate) out: &'a mut Vec<Record>,
    pub(crate) tally: &'a mut Tally,
    pub(crate) options: &'a ReadOptions,
    pub(crate) position: SourcePosition,
    /// How many texts within texts were opened on the way here.
    pub(crate) nesting: usize,
    /// The call that is answered by what is read, where a recording tells it.
    pub(crate) request: Option<Request>,
}

impl Sink<'_> {
    /// Delivers one resource as a source describes it.
    pub(crate) fn observe(&mut self, mut observation: Observation) {
        if reserved::holds(&observation.state) {
            let refusal = Refusal::new(
                RejectCode::BadField,
                format!(
                    "A member's name begins with `{}`, which is reserved; the resource counts as unreadable.",
                    reserved::PREFIX
                ),
            );
            self.refuse(&refusal, &observation.state);
            observation.presence = Presence::Unreadable;
            observation.state = Vec::new();
            observation.sensitive = Vec::new();
        }
        self.observe_resolved(observation);
    }

    /// Delivers one resource, in which the reader marked what could not be resolved.
    pub(crate) fn observe_resolved(&mut self, observation: Observation) {
        self.tally.observations += 1;
        self.out.push(Record::Observation(Box::new(observation)));
    }

    /// Delivers what a log tells.
    pub(crate) fn evidence(&mut self, evidence: Evidence) {
        self.tally.evidence += 1;
        self.out.push(Record::Evidence(Box::new(evidence)));
    }

    /// Delivers a frame of a sweep.
    pub(crate) fn sweep(&mut self, sweep: Sweep) {
        self.out.push(Record::Sweep(sweep));
    }

    /// Refuses `bytes`.
    pub(crate) fn refuse(&mut self, refusal: &Refusal, bytes: &[u8]) {
        self.reject(Reject {
            position: self.position,
            code: refusal.code(),
            reason: refusal.to_string(),
            hash: blake3::hash(bytes).to_hex().to_string(),
            size: bytes.len() as u64,
        });
    }

    /// Whether `matter` is told for the first time in this input.
    pub(crate) fn tell(&mut self, matter: &'static str) -> bool {
        let first = !self.tally.told.contains_key(matter);
        if first {
            self.tally.told.insert(matter, self.position.offset);
        }
        first
    }

    /// Delivers a reject that is made already.
    pub(crate) fn reject(&mut self, reject: Reject) {
        self.tally.rejects += 1;
        self.out.push(Record::Reject(reject));
    }

    /// Counts a note.
    pub(crate) fn note(&mut self, note: Note, count: u64) {
        if count > 0 {
            *self.tally.notes.entry(note).or_default() += count;
        }
    }

    /// Remembers which format the input is of.
    pub(crate) fn saw(&mut self, format: Format) {
        self.tally.saw(self.position.offset, format);
    }
}
