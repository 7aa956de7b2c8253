//! Events that carry objects: watches, audit logs, admission reviews.
//!
//! An event says what became of an object, or what is about to. What it carries no object for (a
//! request to a subresource, a trial run, a log kept without objects) is counted in a note.

use deployforge_model::{Presence, Timestamp};

use super::object::{Known, Object};
use crate::json::{self, Members};
use crate::refusal::Refusal;
use crate::sink::{Note, Sink};

/// Whether this is an event of a watch: `{"type":"ADDED","object":{…}}`.
pub(super) fn is_watch(members: &Members<'_>) -> bool {
    let of_watch =
        |kind: &str| matches!(kind, "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR");
    members.get("object").is_some_and(json::is_object)
        && members.peek("type").is_some_and(|kind| of_watch(&kind))
}

/// What an event is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Watch,
    Review,
    Audit,
}

/// Reads an event.
pub(super) fn read(
    event: Event,
    members: &Members<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    let delivered = match event {
        Event::Watch => read_watch(members, sink)?,
        Event::Review => read_review(members, sink)?,
        Event::Audit => read_audit(members, sink)?,
    };
    sink.note(Note::NoItem, (!delivered).into());
    Ok(())
}

fn read_watch(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<bool, Refusal> {
    members.unique("the event")?;
    let kind = members.need_text("type", "the event")?;
    let presence = match &*kind {
        "ADDED" | "MODIFIED" => Presence::Present,
        "DELETED" => Presence::Deleted,
        _ => return Ok(false),
    };
    carried(members, "object", presence, None, sink)
}

/// An admission review: the object as it is about to be stored.
fn read_review(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<bool, Refusal> {
    let Some(raw) = members.get("request") else { return Ok(false) };
    let request = Members::of(raw, "request")?;
    request.unique("the request")?;
    let part = request.peek("subResource").is_some_and(|part| !part.is_empty());
    let trial = request.flag("dryRun")?.unwrap_or(false);
    if part || trial {
        return Ok(false);
    }
    match request.peek("operation").as_deref() {
        Some("CREATE" | "UPDATE") => carried(&request, "object", Presence::Present, None, sink),
        Some("DELETE") if request.get("oldObject").is_some_and(json::is_object) => {
            carried(&request, "oldObject", Presence::Deleted, None, sink)
        }
        _ => Ok(false),
    }
}

/// An event of an audit log: the object as the server answered with it.
fn read_audit(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<bool, Refusal> {
    members.unique("the event")?;
    let reference = members.get("objectRef").and_then(|raw| Members::parse(raw.get()).ok());
    let part = reference
        .as_ref()
        .and_then(|reference| reference.peek("subresource"))
        .is_some_and(|part| !part.is_empty());
    let answered = members.get("responseObject").filter(|raw| json::is_object(raw));
    let is_object = answered.and_then(|raw| Members::parse(raw.get()).ok()).is_some_and(|answer| {
        // Errors and deletions are answered with a status, listings with a list.
        answer.get("metadata").is_some()
            && answer.peek("kind").is_some_and(|kind| kind != "Status" && !kind.ends_with("List"))
    });
    if part || !is_object {
        return Ok(false);
    }
    let presence = match members.peek("verb").as_deref() {
        Some("create" | "update" | "patch" | "get") => Presence::Present,
        _ => return Ok(false),
    };
    let at = members.text("stageTimestamp")?.and_then(|text| Timestamp::parse(&text).ok());
    carried(members, "responseObject", presence, at, sink)
}

/// Delivers the object that an event carries; `false`: it carries none.
fn carried(
    members: &Members<'_>,
    field: &'static str,
    presence: Presence,
    at: Option<Timestamp>,
    sink: &mut Sink<'_>,
) -> Result<bool, Refusal> {
    let Some(raw) = members.get(field).filter(|raw| json::is_object(raw)) else {
        return Ok(false);
    };
    let inner = Members::parse(raw.get())?;
    let Some(object) = Object::read(&inner, Known::default())? else {
        sink.note(Note::Nameless, 1);
        return Ok(true);
    };
    let mut observation = object.observe(presence, sink)?;
    observation.observed_at = at;
    sink.observe(observation);
    Ok(true)
}
