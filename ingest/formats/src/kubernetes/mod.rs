//! Kubernetes: objects as the API server has them, and as manifests declare them.
//!
//! Single objects, lists (`kind: List`, `DeploymentList` and the like), the events of watches and
//! audit logs, and admission reviews. The type is the kind with its group, as `kubectl` writes it
//! (`Deployment.apps`, `Service`): not with its version, since one object is served in several. The
//! state is the object without what changes by itself ([`object`]).

mod events;
mod object;
mod secret;

use deployforge_model::{Presence, RejectCode};
use serde_json::value::RawValue;

use crate::json::{self, Members};
use crate::place::Lines;
use crate::refusal::{Refusal, printable};
use crate::sink::{Note, Sink};
use events::Event;
use object::{Known, Object};

/// Reads the object that an event of the API server's log came to.
pub(crate) fn read_audited(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    events::read(Event::Audit, members, sink)
}

/// Whether this is an object of Kubernetes, or something that holds such.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    (members.peek("apiVersion").is_some() && members.peek("kind").is_some())
        || events::is_watch(members)
}

/// Reads it.
pub(crate) fn read(members: &Members<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    sink.tally.loose += 1;
    if events::is_watch(members) {
        return events::read(Event::Watch, members, sink);
    }
    let kind = members.need_text("kind", "the object")?;
    let api = members.need_text("apiVersion", "the object")?;
    let group = api.rsplit_once('/').map_or("", |(group, _)| group);
    let unsupported = |reason: &str| Err(Refusal::new(RejectCode::Unsupported, reason));
    match (group, &*kind) {
        ("admission.k8s.io", "AdmissionReview") => events::read(Event::Review, members, sink),
        ("audit.k8s.io", "Event") => events::read(Event::Audit, members, sink),
        ("", "Status") if members.peek("status").as_deref() == Some("Success") => {
            sink.note(Note::NoItem, 1);
            Ok(())
        }
        ("", "Status") => unsupported(
            "This is an error of the API server, not an object; see what was asked of it.",
        ),
        ("meta.k8s.io", "Table") => {
            unsupported("This is a table for people; get the objects with `-o json` or `-o yaml`.")
        }
        ("kustomize.config.k8s.io", _) => {
            unsupported("This is the configuration of kustomize; build it and give the result.")
        }
        _ if members.get("items").is_some_and(json::is_array) && kind.ends_with("List") => {
            read_list(members, &kind, &api, text, sink)
        }
        _ => read_object(members, Known::default(), sink),
    }
}

/// Reads the items of a list, which may leave it to the list to say of what kind they are.
fn read_list(
    members: &Members<'_>,
    kind: &str,
    api: &str,
    text: &str,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    members.unique_among(&["items", "kind", "apiVersion", "metadata"], "the list")?;
    let items = members.array("items")?.unwrap_or_default();
    sink.note(Note::EmptyList, items.is_empty().into());
    let more = members
        .get("metadata")
        .and_then(|raw| Members::parse(raw.get()).ok())
        .and_then(|metadata| metadata.peek("continue").map(|next| !next.is_empty()));
    sink.note(Note::MorePages, more.unwrap_or(false).into());
    let of_items = kind.strip_suffix("List").filter(|kind| !kind.is_empty());
    let known = Known { kind: of_items, api: of_items.map(|_| api) };
    let start = sink.position;
    let mut lines = Lines::new(text, start);
    for item in items {
        sink.position = lines.position(item.get());
        if let Err(refusal) = read_item(item, known, sink) {
            sink.refuse(&refusal, item.get().as_bytes());
        }
    }
    sink.position = start;
    Ok(())
}

fn read_item(item: &RawValue, known: Known<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let members = Members::of(item, "items")?;
    let nested = members.peek("kind").is_some_and(|kind| kind.ends_with("List"))
        && members.get("items").is_some_and(json::is_array);
    if nested {
        // Lists of lists come from tools that put replies together; one more level is enough.
        return crate::detect::deeper(sink, |sink| read(&members, item.get(), sink));
    }
    read_object(&members, known, sink)
}

/// Reads one object that exists, or is declared.
fn read_object(
    members: &Members<'_>,
    known: Known<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    match Object::read(members, known)? {
        Some(object) => {
            let observation = object.observe(Presence::Present, sink)?;
            sink.observe(observation);
        }
        None => sink.note(Note::Nameless, 1),
    }
    Ok(())
}

/// Refuses what a template left in a name.
fn refuse_template(field: &str) -> Refusal {
    let reason = format!(
        "The {} of this object is still a template; render it and give the result.",
        printable(field)
    );
    Refusal::new(RejectCode::Unsupported, reason)
}
