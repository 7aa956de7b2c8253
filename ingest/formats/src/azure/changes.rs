//! Changes of resources, as Resource Graph (`resourcechanges`), the changes of Resource Manager, and
//! the details of a change tell them.
//!
//! Every change is evidence: who changed what, with what, and which paths. Paths that the platform
//! itself changed begin with `system:`. Where both snapshots are there, the one before is declared and
//! the one after is observed; where not, the values are texts, cut short at times, and are left alone.
//! A deletion is observed as one.

use deployforge_model::{Evidence, Presence, Timestamp};
use serde_json::value::RawValue;

use super::{Id, Resource, state};
use crate::json::{self, Members};
use crate::options::Side;
use crate::refusal::Refusal;
use crate::sink::{Note, Sink};

const NEW: Note = Note::Counted(
    "resource did not exist before its change and is not declared",
    "resources did not exist before their changes and are not declared",
);

/// Whether this is a change, the details of one, or a list of changes of one resource.
pub(super) fn claims(members: &Members<'_>) -> bool {
    let of = |members: &Members<'_>| members.has("targetResourceId") && members.has("changeType");
    let inner = members.get("properties").filter(|raw| json::is_object(raw));
    of(members)
        || is_details(members)
        || inner.is_some_and(|raw| Members::parse(raw.get()).is_ok_and(|inner| of(&inner)))
        || members.get("changes").is_some_and(|raw| {
            json::is_array(raw)
                && json::elements(raw, "changes").is_ok_and(|changes| {
                    let first = changes.first().and_then(|raw| Members::parse(raw.get()).ok());
                    first.is_some_and(|first| is_details(&first))
                })
        })
}

fn is_details(members: &Members<'_>) -> bool {
    members.has("changeId") && (members.has("beforeSnapshot") || members.has("afterSnapshot"))
}

/// Reads it.
pub(super) fn read(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    if is_details(members) {
        return read_details(members, sink);
    }
    if members.has("targetResourceId") {
        return read_change(members, members, sink);
    }
    if let Some(raw) = members.get("properties").filter(|raw| json::is_object(raw)) {
        return read_change(&Members::parse(raw.get())?, members, sink);
    }
    for raw in members.array("changes")?.unwrap_or_default() {
        let result = Members::of(raw, "changes").and_then(|change| read_details(&change, sink));
        if let Err(refusal) = result {
            sink.refuse(&refusal, raw.get().as_bytes());
        }
    }
    Ok(())
}

fn time(text: Option<std::borrow::Cow<'_, str>>) -> Option<Timestamp> {
    text.and_then(|text| Timestamp::parse(&text).ok())
}

/// A change whose values are texts.
fn read_change(
    change: &Members<'_>,
    envelope: &Members<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    let what = "the change";
    change.unique(what)?;
    let id = change.need_text("targetResourceId", what)?;
    let kind = change.need_text("changeType", what)?;
    let about = change.get("changeAttributes").map(|raw| Members::of(raw, "changeAttributes"));
    let about = about.transpose()?;
    let text = |name: &str| {
        let found = about.as_ref().and_then(|about| about.peek(name));
        found.map(String::from).unwrap_or_default()
    };
    let at = time(about.as_ref().and_then(|about| about.peek("timestamp")));
    let operation = text("operation");
    let name = envelope.peek("name").filter(|_| envelope.has("properties"));
    let evidence = Evidence {
        id: name.map_or_else(|| text("correlationId"), String::from),
        log: "azure-changes",
        at,
        actor: text("changedBy"),
        actor_type: text("changedByType"),
        tool: text("clientType"),
        action: if operation.is_empty() { kind.to_string() } else { operation },
        provider: "azure".to_owned(),
        account: Id::parse(&id).map(|id| id.subscription).unwrap_or_default(),
        resources: vec![id.to_lowercase()],
        paths: change.get("changes").map(paths).unwrap_or_default(),
        position: sink.position,
        ..Evidence::default()
    };
    sink.evidence(evidence);
    if kind.eq_ignore_ascii_case("delete") && sink.options.side == Side::Observed {
        let resource_type = change.text("targetResourceType")?;
        gone(&id, resource_type.as_deref(), None, at, sink)?;
    }
    Ok(())
}

/// The paths that changed, in the order of the text.
fn paths(changes: &RawValue) -> Vec<String> {
    let Ok(changes) = Members::of(changes, "changes") else { return Vec::new() };
    let system = |raw: &RawValue| {
        let change = Members::parse(raw.get()).ok();
        let category = change.as_ref().and_then(|change| change.peek("changeCategory"));
        category.is_some_and(|category| category.eq_ignore_ascii_case("system"))
    };
    changes.iter().map(|(path, raw)| marked(path, system(raw))).collect()
}

fn marked(path: &str, system: bool) -> String {
    if system { format!("system:{path}") } else { path.to_owned() }
}

fn gone(
    id: &str,
    resource_type: Option<&str>,
    location: Option<&str>,
    at: Option<Timestamp>,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    Resource {
        id,
        resource_type,
        location,
        presence: Presence::Deleted,
        state: Vec::new(),
        observed_at: at,
    }
    .observe(sink)
}

/// The resource before and after, if both were kept.
fn read_details(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let what = "the details of a change";
    members.unique(what)?;
    let part = |name: &'static str| members.get(name).map(|raw| Members::of(raw, name)).transpose();
    let (before, after) = (part("beforeSnapshot")?, part("afterSnapshot")?);
    let content = |snapshot: &Option<Members<'_>>| {
        let raw = snapshot.as_ref().and_then(|snapshot| snapshot.get("content"));
        raw.filter(|raw| json::is_object(raw)).map(ToOwned::to_owned)
    };
    let stamp = |snapshot: &Option<Members<'_>>| {
        time(snapshot.as_ref().and_then(|snapshot| snapshot.peek("timestamp")))
    };
    let (old, new) = (content(&before), content(&after));
    let kind = members.peek("changeType").unwrap_or_default().into_owned();
    let some = old.as_deref().or(new.as_deref());
    let of_content = some
        .and_then(|raw| Members::parse(raw.get()).ok())
        .and_then(|content| content.peek("id").map(String::from));
    let id = members.peek("resourceId").map(String::from).or(of_content);
    let listed = members.array("propertyChanges")?.unwrap_or_default();
    let path = |raw: &&RawValue| {
        let change = Members::parse(raw.get()).ok()?;
        let system =
            change.peek("changeCategory").is_some_and(|c| c.eq_ignore_ascii_case("system"));
        Some(marked(&change.peek("propertyName")?, system))
    };
    sink.evidence(Evidence {
        id: members.peek("changeId").unwrap_or_default().into_owned(),
        log: "azure-changes",
        at: stamp(&after),
        action: if kind.is_empty() { "Change".to_owned() } else { kind.clone() },
        provider: "azure".to_owned(),
        account: id.as_deref().and_then(Id::parse).map(|id| id.subscription).unwrap_or_default(),
        resources: id.iter().map(|id| id.to_lowercase()).collect(),
        paths: listed.iter().filter_map(path).collect(),
        position: sink.position,
        ..Evidence::default()
    });
    let declared = sink.options.side == Side::Declared;
    let (state, at) = if declared { (&old, stamp(&before)) } else { (&new, stamp(&after)) };
    match (state, id) {
        (Some(content), id) => snapshot(&Members::parse(content.get())?, id.as_deref(), at, sink),
        (None, Some(id)) if !declared && (old.is_some() || kind.eq_ignore_ascii_case("delete")) => {
            // What is gone has no place any more; what it was had.
            let old = old.as_deref().and_then(|raw| Members::parse(raw.get()).ok());
            let of_old = |name: &str| old.as_ref().and_then(|old| old.peek(name));
            gone(&id, of_old("type").as_deref(), of_old("location").as_deref(), at, sink)
        }
        (None, _) => {
            sink.note(NEW, u64::from(declared && new.is_some()));
            Ok(())
        }
    }
}

fn snapshot(
    content: &Members<'_>,
    id: Option<&str>,
    at: Option<Timestamp>,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    content.unique("the snapshot")?;
    let own = content.peek("id");
    let missing = Refusal::Missing { field: "id", what: "the snapshot" };
    let id = own.as_deref().or(id).ok_or(missing)?;
    let (resource_type, location) = (content.text("type")?, content.text("location")?);
    Resource {
        id,
        resource_type: resource_type.as_deref(),
        location: location.as_deref(),
        presence: Presence::Present,
        state: state(content)?,
        observed_at: at,
    }
    .observe(sink)
}
