//! Change sets: what a template would make of a stack, resource by resource.
//!
//! The declared side is the context after the change, the observed side the one before it. Values
//! that AWS knows only once the change was made are unresolved on the declared side.

use std::borrow::Cow;

use deployforge_model::{Presence, RejectCode};
use serde_json::value::RawValue;

use super::stack::{self, Member};
use crate::json::{self, Members};
use crate::options::Side;
use crate::place::Lines;
use crate::refusal::Refusal;
use crate::resolved::Value;
use crate::sink::{Note, Sink};

const WHAT: &str = "the change of a resource";

/// What AWS writes in place of a value that it does not know yet.
const UNKNOWN: &str = "{{changeSet:KNOWN_AFTER_APPLY}}";

/// Whether this is a change set.
pub(super) fn is_change_set(members: &Members<'_>) -> bool {
    const MARKS: [&str; 4] = ["ChangeSetId", "ChangeSetName", "StackId", "StackName"];
    let Some(Ok(changes)) = members.get("Changes").map(|raw| json::elements(raw, "Changes")) else {
        return false;
    };
    let is_change =
        |raw: &&RawValue| Members::parse(raw.get()).is_ok_and(|c| c.has("ResourceChange"));
    match changes.first() {
        Some(change) => {
            is_change(change) || members.has("ChangeSetId") || members.has("ChangeSetName")
        }
        None => MARKS.iter().any(|mark| members.has(mark)),
    }
}

/// Reads the reply of `DescribeChangeSet`.
pub(super) fn read(members: &Members<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    sink.tally.loose += 1;
    sink.note(Note::MorePages, members.has("NextToken").into());
    let stack_id = members.text("StackId")?.unwrap_or_default();
    let stack = match members.text("StackName")? {
        Some(name) if !name.is_empty() => name.into_owned(),
        _ => stack::of_id(&stack_id).map_or_else(|| stack::name(sink), str::to_owned),
    };
    let changes = members.array("Changes")?.unwrap_or_default();
    sink.note(Note::EmptyList, changes.is_empty().into());
    let mut lines = Lines::new(text, sink.position);
    for raw in changes {
        sink.position = lines.position(raw.get());
        if let Err(refusal) = read_change(raw, &stack, &stack_id, sink) {
            sink.refuse(&refusal, raw.get().as_bytes());
        }
    }
    Ok(())
}

fn read_change(
    raw: &RawValue,
    stack: &str,
    stack_id: &str,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    let outer = Members::of(raw, "Changes")?;
    let Some(change) = outer.get("ResourceChange") else {
        return Err(Refusal::Missing { field: "ResourceChange", what: "the change" });
    };
    let members = Members::of(change, "ResourceChange")?;
    members.unique(WHAT)?;
    let side = sink.options.side;
    let action = members.need_text("Action", WHAT)?;
    let logical_id = members.need_text("LogicalResourceId", WHAT)?;
    let resource_type = members.need_text("ResourceType", WHAT)?;
    let physical_id = members.text("PhysicalResourceId")?.unwrap_or_default();
    if (side, &*action) == (Side::Declared, "Remove") {
        sink.note(Note::Removed, 1);
        return Ok(());
    }
    let field = match side {
        Side::Declared => "AfterContext",
        Side::Observed => "BeforeContext",
    };
    let context = context(&members, field, sink)?;
    let state = context.as_deref().map(|text| properties(text, side, sink)).transpose()?;
    let presence = match (side, &*action) {
        // What is added is not there yet.
        (Side::Observed, "Add") => Presence::Deleted,
        _ if state.is_some() => Presence::Present,
        (Side::Observed, _) => Presence::Unreadable,
        (Side::Declared, _) => Presence::Unresolved,
    };
    let member = Member {
        stack,
        stack_id,
        logical_id: &logical_id,
        physical_id: &physical_id,
        resource_type: &resource_type,
    };
    let mut observation = member.observe(presence, sink)?;
    match (presence, state) {
        (Presence::Present, Some(state)) => observation.state = state,
        (Presence::Deleted, _) => {}
        _ => sink.note(Note::StateElsewhere, 1),
    }
    sink.observe_resolved(observation);
    Ok(())
}

/// The text of a context: AWS writes JSON into a string.
fn context<'a>(
    members: &Members<'a>,
    field: &'static str,
    sink: &Sink<'_>,
) -> Result<Option<Cow<'a, str>>, Refusal> {
    let Some(raw) = members.get(field) else { return Ok(None) };
    if json::is_object(raw) {
        return Ok(Some(Cow::Borrowed(raw.get())));
    }
    let wrong = Refusal::Wrong { field, want: "a JSON object, or the text of one" };
    let text = json::text_of(raw).ok_or(wrong.clone())?;
    if text.is_empty() {
        return Ok(None);
    }
    let inner = json::nested(&text, sink.options.limits.depth)?;
    if !json::is_object(inner) {
        return Err(wrong);
    }
    Ok(Some(text))
}

/// The properties within a context.
fn properties(text: &str, side: Side, sink: &mut Sink<'_>) -> Result<Vec<u8>, Refusal> {
    let members = Members::parse(text.trim())?;
    let Some(raw) = members.get("Properties") else { return Ok(b"{}".to_vec()) };
    if !json::is_object(raw) {
        let reason = "The properties in the context of a change must be a JSON object.";
        return Err(Refusal::new(RejectCode::BadField, reason));
    }
    if side == Side::Observed || !raw.get().contains(UNKNOWN) {
        return Ok(raw.get().as_bytes().to_vec());
    }
    let value = known(Value::parse(raw.get(), sink.options.limits.depth)?);
    sink.note(Note::ValuesUnknown, value.count_unresolved());
    Ok(value.to_json())
}

/// The value with what AWS does not know yet marked as such.
fn known(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Text { ref text, .. } if text.contains(UNKNOWN) => {
            Value::unresolved("known after apply")
        }
        Value::List(elements) => Value::List(elements.into_iter().map(known).collect()),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(key, value)| (key, known(value))).collect())
        }
        other => other,
    }
}
