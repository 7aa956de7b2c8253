//! Replies of Resource Manager, and rows of Resource Graph.
//!
//! Resources stand alone, in lists (`value`), in rows as objects (`data`) or as a table of columns and
//! rows. What lists resources without their properties says that they exist, and no more. Changes of
//! resources are read by [`changes`].

use deployforge_model::{Presence, RejectCode};
use serde_json::value::RawValue;

use super::{Id, Resource, changes, is_id, state};
use crate::evidence::azure_activity;
use crate::json::{self, Members, ObjectWriter};
use crate::refusal::Refusal;
use crate::sink::{Note, Sink};

const WITHOUT: Note = Note::Counted(
    "resource listed without its properties is unreadable",
    "resources listed without their properties are unreadable",
);
const OPERATIONS: Note =
    Note::Counted("operation in progress skipped", "operations in progress skipped");
const NOT_RESOURCES: Note =
    Note::Counted("entry that is no resource skipped", "entries that are no resources skipped");
const CHILDREN: Note = Note::Counted(
    "child named within its parent skipped",
    "children named within their parents skipped",
);

/// Types that are measured or offered, not owned.
const NO_RESOURCES: [&str; 4] =
    ["microsoft.insights/metrics", "microsoft.insights/metricdefinitions", "operations", "usages"];

/// Columns without which a row of a table is not the whole resource.
const COLUMNS: [&str; 5] = ["id", "type", "location", "tags", "properties"];

/// Whether this is a resource, or a list of resources or changes.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    is_resource(members)
        || changes::claims(members)
        || table(members).is_some()
        || list(members).is_some_and(|elements| {
            let first = elements.first().and_then(|raw| Members::parse(raw.get()).ok());
            first.is_some_and(|first| is_resource(&first) || changes::claims(&first))
        })
}

fn is_resource(members: &Members<'_>) -> bool {
    members.peek("id").is_some_and(|id| is_id(&id))
        && (members.peek("type").is_some_and(|kind| kind.contains('/'))
            || members.has("properties")
            || members.has("subscriptionId"))
}

/// The resources of a reply: `value`, or rows as objects.
fn list<'a>(members: &Members<'a>) -> Option<Vec<&'a RawValue>> {
    let raw =
        members.get("value").or_else(|| members.get("data")).filter(|raw| json::is_array(raw))?;
    json::elements(raw, "value").ok()
}

/// Columns and rows, as `data` or as such.
fn table<'a>(members: &Members<'a>) -> Option<(Vec<String>, Vec<&'a RawValue>)> {
    let inner = members.get("data").filter(|raw| json::is_object(raw));
    let inner = inner.and_then(|raw| Members::parse(raw.get()).ok());
    let of = |table: &Members<'a>| {
        let columns = table.get("columns").filter(|raw| json::is_array(raw))?;
        let rows = table.get("rows").filter(|raw| json::is_array(raw))?;
        let columns = json::elements(columns, "columns").ok()?;
        let names = columns
            .into_iter()
            .map(|column| Members::parse(column.get()).ok()?.peek("name").map(String::from));
        Some((names.collect::<Option<Vec<_>>>()?, json::elements(rows, "rows").ok()?))
    };
    inner.as_ref().and_then(of).or_else(|| of(members))
}

/// Reads it.
pub(crate) fn read(members: &Members<'_>, _: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    sink.tally.loose += 1;
    if members.get("error").is_some_and(json::is_object) && members.iter().count() == 1 {
        let reason = "This is the reply of a call that failed; repeat the call.";
        return Err(Refusal::new(RejectCode::Unsupported, reason));
    }
    if let Some((columns, rows)) = table(members) {
        read_table(&columns, &rows, sink);
        return Ok(());
    }
    if changes::claims(members) {
        return changes::read(members, sink);
    }
    if is_resource(members) {
        return read_resource(members, true, sink);
    }
    let Some(elements) = list(members) else { return read_other(members, sink) };
    sink.note(Note::EmptyList, elements.is_empty().into());
    for raw in elements {
        if let Err(refusal) = read_element(raw, sink) {
            sink.refuse(&refusal, raw.get().as_bytes());
        }
    }
    Ok(())
}

fn read_element(raw: &RawValue, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    if !json::is_object(raw) {
        sink.note(NOT_RESOURCES, 1);
        return Ok(());
    }
    let members = Members::parse(raw.get())?;
    if changes::claims(&members) {
        return changes::read(&members, sink);
    }
    if azure_activity::claims(&members) {
        return azure_activity::read(&members, raw.get(), sink);
    }
    if is_resource(&members) {
        return read_resource(&members, true, sink);
    }
    sink.note(NOT_RESOURCES, 1);
    Ok(())
}

/// What is neither a resource nor a list of them.
fn read_other(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    if members.has("status") {
        sink.note(OPERATIONS, 1);
        return Ok(());
    }
    if sink.request.is_some() {
        sink.note(NOT_RESOURCES, 1);
        return Ok(());
    }
    let reason = "This is no resource of Azure Resource Manager: it has no `id` of one.";
    Err(Refusal::new(RejectCode::NotARecord, reason))
}

/// Rows of a table become objects. What was not selected is not absent.
fn read_table(columns: &[String], rows: &[&RawValue], sink: &mut Sink<'_>) {
    let has = |name: &str| columns.iter().any(|column| column == name);
    sink.note(Note::EmptyList, rows.is_empty().into());
    let whole = COLUMNS.iter().all(|name| has(name));
    for raw in rows {
        let result = row(columns, raw).and_then(|object| {
            let members = Members::parse(&object)?;
            if changes::claims(&members) {
                return changes::read(&members, sink);
            }
            if !members.peek("id").is_some_and(|id| is_id(&id)) {
                let reason = "A row of this query has no resource id; select `id`, `type`, `location`, \
                              `tags` and `properties`.";
                return Err(Refusal::new(RejectCode::Unsupported, reason));
            }
            read_resource(&members, whole, sink)
        });
        if let Err(refusal) = result {
            sink.refuse(&refusal, raw.get().as_bytes());
        }
    }
}

fn row(columns: &[String], raw: &RawValue) -> Result<String, Refusal> {
    let cells = json::elements(raw, "rows")?;
    if cells.len() != columns.len() {
        return Err(Refusal::Wrong { field: "rows", want: "as long as the columns" });
    }
    let mut object = ObjectWriter::with_capacity(raw.get().len() + 256);
    for (name, cell) in columns.iter().zip(cells) {
        object.member(name, cell.get().as_bytes());
    }
    String::from_utf8(object.finish()).map_err(|_| Refusal::NotUtf8)
}

/// Delivers a resource; `whole`: nothing of it was left out by a query.
fn read_resource(members: &Members<'_>, whole: bool, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    members.unique("the resource")?;
    let id = members.need_text("id", "the resource")?;
    let resource_type = members.text("type")?;
    let of_id = Id::parse(&id).map(|id| id.resource_type).unwrap_or_default();
    let kind = resource_type.as_deref().map_or(of_id, super::type_name);
    let last = kind.rsplit('/').next().unwrap_or_default();
    if NO_RESOURCES.contains(&kind.as_str()) || NO_RESOURCES.contains(&last) {
        sink.note(NOT_RESOURCES, 1);
        return Ok(());
    }
    if members.has("resourceTypes") && !kind.contains('/') {
        // A provider, as registered with a subscription.
        sink.note(NOT_RESOURCES, 1);
        return Ok(());
    }
    let propertied = members.get("properties").is_some_and(json::is_object)
        || kind == "microsoft.resources/subscriptions";
    let presence = if whole && propertied { Presence::Present } else { Presence::Unreadable };
    sink.note(WITHOUT, (presence == Presence::Unreadable).into());
    let location = members.text("location")?;
    let at = sink.request.as_ref().and_then(|request| request.at);
    Resource {
        id: &id,
        resource_type: resource_type.as_deref(),
        location: location.as_deref(),
        presence,
        state: state(members)?,
        observed_at: at,
    }
    .observe(sink)?;
    read_children(members, sink)
}

/// Some resources hold their children. Those with properties are resources of their own.
fn read_children(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let children = members.get("resources").filter(|raw| json::is_array(raw));
    let Some(children) = children else { return Ok(()) };
    for raw in json::elements(children, "resources")? {
        let Ok(child) = Members::of(raw, "resources") else { continue };
        if is_resource(&child) && child.get("properties").is_some_and(json::is_object) {
            read_resource(&child, true, sink)?;
        } else {
            sink.note(CHILDREN, 1);
        }
    }
    Ok(())
}
