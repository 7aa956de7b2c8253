//! Terraform and OpenTofu state files: what was declared and applied, one observation per object.
//!
//! States of version 4 are read as they are; versions 1 to 3 are upgraded first, as OpenTofu does
//! ([`upgrade`]). The attributes are the root of the state slice, so paths read
//! `/versioning/0/enabled`. Flat attributes of old providers are folded back into a tree where that
//! is possible without their schema; their scalars stay text. Data sources are skipped: they are
//! views of what others manage. Deposed objects are delivered as such: they exist and wait for
//! their deletion.

mod flatmap;
mod key;
mod legacy;
mod object;
mod parts;
pub(crate) mod provider;
mod sensitive;
mod state;

use deployforge_model::{Presence, RejectCode, SourcePosition};
use serde_json::value::RawValue;

use crate::json::{self, Members};
use crate::options::Format;
use crate::refusal::Refusal;
use crate::sink::{Note, Sink};

use parts::Parents;

pub(crate) use object::Object;
pub use state::{Instance, Resource, State};

/// Why bytes are no state that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct StateError {
    /// The bounded code.
    pub code: RejectCode,
    /// What is wrong and what to do.
    pub reason: String,
}

impl From<Refusal> for StateError {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code(), reason: refusal.to_string() }
    }
}

/// Reads a state of any version and gives it in version 4, with provider addresses in their full
/// form. Top-level members that version 4 does not know are left out.
///
/// ```
/// let old = br#"{"version":3,"serial":7,"lineage":"x","modules":[{"path":["root"],"outputs":{},
///     "resources":{"null_resource.a.0":{"primary":{"id":"1","attributes":{"id":"1"}}}}}]}"#;
/// let state = deployforge_formats::terraform::upgrade(old)?;
/// assert_eq!(state.resources[0].provider, "provider[\"registry.opentofu.org/-/null\"]");
/// assert_eq!(state.resources[0].instances[0].index_key.as_ref().unwrap().get(), "0");
/// # Ok::<(), deployforge_formats::terraform::StateError>(())
/// ```
pub fn upgrade(bytes: &[u8]) -> Result<State, StateError> {
    let text = std::str::from_utf8(bytes).map_err(|_| Refusal::NotUtf8)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
    if !text.starts_with('{') {
        let reason = "This is no state file: a state is a JSON object.";
        return Err(Refusal::new(RejectCode::Malformed, reason).into());
    }
    let members = Members::parse(text)?;
    let state = match version(&members)? {
        4 => State::read(&members)?,
        old => legacy::upgrade(&members, old)?,
    };
    Ok(state)
}

/// Whether this is a state, or something of Terraform's that could be taken for one.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    let versioned = members.get("version").is_some_and(json::is_number);
    let marked = ["terraform_version", "serial", "lineage"].iter().any(|name| members.has(name));
    let listed =
        ["resources", "modules"].iter().any(|name| members.get(name).is_some_and(json::is_array));
    (versioned && (marked || listed)) || is_encrypted(members)
}

fn is_encrypted(members: &Members<'_>) -> bool {
    members.has("encrypted_data") && (members.has("encryption_version") || members.has("meta"))
}

/// The version of a state that can be read.
fn version(members: &Members<'_>) -> Result<u64, Refusal> {
    let unsupported = |reason: &str| Err(Refusal::new(RejectCode::Unsupported, reason));
    if is_encrypted(members) {
        let reason =
            "This state is encrypted; decrypt it with `tofu state pull` and give the result.";
        return Err(Refusal::new(RejectCode::Encrypted, reason));
    }
    match members.unsigned("version") {
        Ok(Some(version @ 1..=4)) => Ok(version),
        Ok(Some(version)) => {
            unsupported(&format!("State version {version} is not known; versions 1 to 4 are read."))
        }
        Ok(None) => Err(Refusal::Missing { field: "version", what: "the state" }),
        Err(refusal) => Err(refusal),
    }
}

/// Reads a state, resource by resource.
pub(crate) fn read(members: &Members<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    sink.saw(Format::TerraformState);
    let version = version(members)?;
    members.unique_among(&["version", "serial", "resources", "modules"], "the state")?;
    let before = sink.tally.observations;
    let rejects = sink.tally.rejects;
    if version == 4 {
        if let Some(serial) = members.unsigned("serial")? {
            sink.note(Note::Serial(serial), 1);
        }
        let lineage = members.text("lineage")?.unwrap_or_default().into_owned();
        let start = sink.position;
        let mut locator = Locator::new(text, start);
        let resources = members.array("resources")?.unwrap_or_default();
        let mut parents = Parents::default();
        resources.iter().for_each(|raw| parents.see(raw));
        for raw in resources {
            sink.position = locator.position(raw.get());
            let result = Members::of(raw, "resources")
                .and_then(|members| Resource::read(&members))
                .and_then(|resource| deliver(resource, &lineage, &parents, sink));
            if let Err(refusal) = result {
                sink.refuse(&refusal, raw.get().as_bytes());
            }
        }
        sink.position = start;
    } else {
        let state = legacy::upgrade(members, version)?;
        sink.note(Note::Serial(state.serial), 1);
        sink.note(Note::Upgraded(version), 1);
        for resource in state.resources {
            deliver(resource, &state.lineage, &Parents::default(), sink)?;
        }
    }
    let none = sink.tally.observations == before && sink.tally.rejects == rejects;
    if none && (members.get("backend").is_some() || members.get("remote").is_some()) {
        // What `init` leaves behind: it lists nothing, so nothing is missing because of it.
        sink.note(Note::BackendOnly, 1);
        sink.tally.loose += 1;
        return Ok(());
    }
    if none {
        sink.note(Note::NoResources, 1);
    }
    sink.tally.whole_listings += 1;
    let lineage = members.text("lineage")?.unwrap_or_default();
    if !lineage.is_empty() {
        sink.tally.collections.push(lineage.into_owned());
    }
    Ok(())
}

const MARKS_UNREAD: Note = Note::Counted(
    "object whose `sensitive_attributes` cannot be read: all of it is kept secret",
    "objects whose `sensitive_attributes` cannot be read: all of them is kept secret",
);

/// Delivers the objects of one resource.
fn deliver(
    resource: Resource,
    lineage: &str,
    parents: &Parents,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    match resource.mode.as_str() {
        "managed" => {}
        "data" => {
            sink.note(Note::DataSources, 1);
            return Ok(());
        }
        _ => return Err(Refusal::Wrong { field: "mode", want: "`managed` or `data`" }),
    }
    let Resource { module, resource_type, name, provider, instances, .. } = resource;
    let root = if module.is_empty() {
        format!("{resource_type}.{name}")
    } else {
        format!("{module}.{resource_type}.{name}")
    };
    let provider = provider::Provider::parse(&provider);
    for instance in instances {
        let address = address(&root, instance.index_key.as_deref());
        let Instance { status, deposed, attributes, attributes_flat, .. } = instance;
        let state: Box<str> = match (attributes, attributes_flat) {
            (Some(raw), _) if json::is_object(&raw) => parents.mark(&resource_type, &raw),
            (Some(_), _) => {
                return Err(Refusal::Wrong { field: "attributes", want: "a JSON object" });
            }
            (None, Some(flat)) => flatmap::unflatten(&flat).into_boxed_str(),
            (None, None) => {
                return Err(Refusal::Missing { field: "attributes", what: "an instance" });
            }
        };
        let sensitive = match instance.sensitive_attributes {
            Some(raw) => sensitive::pointers(&raw),
            None => Vec::new(),
        };
        sink.note(MARKS_UNREAD, u64::from(sensitive.iter().any(String::is_empty)));
        Object {
            provider: &provider,
            resource_type: &resource_type,
            address,
            state: state.into_string(),
            named_by: None,
            identity: instance.identity.as_deref(),
            presence: if deposed.is_empty() { Presence::Present } else { Presence::Deposed },
            tainted: status == "tainted",
            collection: (!lineage.is_empty()).then_some(lineage),
            other_addresses: &[],
            sensitive,
            resolved: false,
        }
        .observe(sink)?;
    }
    Ok(())
}

/// The address of an instance: `module.a.aws_s3_bucket.b["x"]`.
pub(crate) fn address(root: &str, index: Option<&RawValue>) -> String {
    match index {
        // A string key is written as JSON writes it, which is how addresses quote it.
        Some(key) if key.get() != "null" => format!("{root}[{}]", key.get()),
        _ => root.to_owned(),
    }
}

/// Finds where slices of the document stand; going forward costs least.
#[derive(Debug)]
pub(crate) struct Locator<'a> {
    text: &'a str,
    start: SourcePosition,
    at: SourcePosition,
    passed: usize,
}

impl<'a> Locator<'a> {
    /// A locator in a document that begins at `start`.
    pub(crate) fn new(text: &'a str, start: SourcePosition) -> Self {
        Self { text, start, at: start, passed: 0 }
    }

    /// Where a slice of the document begins.
    pub(crate) fn position(&mut self, slice: &str) -> SourcePosition {
        let ahead = (slice.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        if ahead < self.passed {
            (self.at, self.passed) = (self.start, 0);
        }
        if let Some(between) = self.text.as_bytes().get(self.passed..ahead) {
            self.at.line += memchr::memchr_iter(b'\n', between).count() as u64;
            self.at.offset += between.len() as u64;
            self.passed = ahead;
        }
        self.at
    }
}
