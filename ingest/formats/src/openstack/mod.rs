//! OpenStack: the replies of its APIs, in which a member says what it holds.
//!
//! `{"server":{…}}` and `{"servers":[…]}` hold servers; a table says which members hold what
//! ([`types`]). Types are named as Heat, the orchestrator, names them. A reply that holds less than the
//! whole resource (a list without details, the reply of an action) says that the resource exists: it
//! is delivered without a state, since what such a reply lacks was not removed.

mod types;

use deployforge_model::{Dialect, Observation, Presence, RejectCode, ResourceKey};
use serde_json::value::RawValue;

use crate::json::{self, Members};
use crate::place::Lines;
use crate::refusal::{Refusal, check_key, printable};
use crate::resolved::Value;
use crate::sink::{Note, Sink};
use types::Kind;

/// The schema that an image names, which stands in its reply without a member around it.
const IMAGE_SCHEMA: &str = "/v2/schemas/image";

/// Whether this is a reply of OpenStack's.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    is_image(members)
        || is_part(members)
        || members.iter().any(|(name, raw)| {
            types::of_member(name).is_some_and(|kind| is_held(members, kind, name, raw))
        })
}

fn is_image(members: &Members<'_>) -> bool {
    members.peek("schema").as_deref() == Some(IMAGE_SCHEMA)
}

/// Whether this is nothing but a part of a resource.
fn is_part(members: &Members<'_>) -> bool {
    let mut names = members.iter().map(|(name, _)| name);
    names.next().is_some_and(types::is_part) && names.all(|name| name == "links")
}

/// Whether a member holds what its name says, and not what another cloud calls so.
fn is_held(members: &Members<'_>, kind: &Kind, name: &str, raw: &RawValue) -> bool {
    let marked = |raw: &RawValue| {
        Members::parse(raw.get()).is_ok_and(|inner| {
            let inner = unwrapped(&inner, kind).unwrap_or(inner);
            inner.has(&kind.id) && kind.marks.iter().any(|mark| inner.has(mark))
        })
    };
    // The name alone is enough where nothing else stands beside it but pages.
    let alone = || {
        let pages = ["links", "next", "previous", "first", "schema"];
        members
            .iter()
            .all(|(other, _)| other == name || other.ends_with("_links") || pages.contains(&other))
    };
    if json::is_object(raw) {
        name == kind.member && (marked(raw) || (kind.distinct && alone()))
    } else if json::is_array(raw) && name == kind.list {
        match json::elements(raw, "list").unwrap_or_default().first() {
            Some(first) => marked(first) || (kind.distinct && alone() && json::is_object(first)),
            None => kind.distinct && alone(),
        }
    } else {
        false
    }
}

/// Key pairs stand in lists with their name around each.
fn unwrapped<'a>(members: &Members<'a>, kind: &Kind) -> Option<Members<'a>> {
    let raw = members.get(&kind.member).filter(|raw| json::is_object(raw))?;
    (members.iter().count() == 1).then(|| Members::parse(raw.get()).ok()).flatten()
}

/// Reads it.
pub(crate) fn read(members: &Members<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    sink.tally.loose += 1;
    members.unique("the reply")?;
    if let (true, Some(kind)) = (is_image(members), types::image()) {
        return read_resource(members, kind, sink);
    }
    if is_part(members) {
        let name = members.iter().next().map_or("", |(name, _)| name);
        let reason = format!(
            "This holds the `{}` of something without saying of what; give the reply that holds the whole object.",
            printable(name)
        );
        return Err(Refusal::new(RejectCode::NotARecord, reason));
    }
    let start = sink.position;
    let mut lines = Lines::new(text, start);
    for (name, raw) in members.iter() {
        sink.note(Note::MorePages, leads_on(name, raw).into());
        let Some(kind) = types::of_member(name) else { continue };
        if !is_held(members, kind, name, raw) {
            continue;
        }
        let found = if json::is_object(raw) { vec![raw] } else { json::elements(raw, "list")? };
        sink.note(Note::EmptyList, found.is_empty().into());
        for raw in found {
            sink.position = lines.position(raw.get());
            if let Err(refusal) = read_element(raw, kind, sink) {
                sink.refuse(&refusal, raw.get().as_bytes());
            }
        }
    }
    sink.position = start;
    Ok(())
}

/// Whether a member says that there are further pages: Nova and Neutron list links, Keystone has an
/// object of them, Glance a path.
fn leads_on(name: &str, raw: &RawValue) -> bool {
    let filled = |raw: &RawValue| json::text_of(raw).is_some_and(|next| !next.is_empty());
    if name == "next" {
        return filled(raw);
    }
    if !name.ends_with("links") {
        return false;
    }
    let is_next = |raw: &&RawValue| {
        Members::parse(raw.get()).is_ok_and(|link| link.peek("rel").as_deref() == Some("next"))
    };
    match Members::parse(raw.get()) {
        Ok(links) => links.get("next").is_some_and(filled),
        Err(_) => json::elements(raw, "links").is_ok_and(|links| links.iter().any(is_next)),
    }
}

fn read_element(raw: &RawValue, kind: &Kind, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    if !json::is_object(raw) {
        let reason = format!("An element of `{}` must be a JSON object.", kind.list);
        return Err(Refusal::new(RejectCode::BadField, reason));
    }
    let members = Members::parse(raw.get())?;
    let members = unwrapped(&members, kind).unwrap_or(members);
    read_resource(&members, kind, sink)
}

/// Reads one resource.
fn read_resource(members: &Members<'_>, kind: &Kind, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    members.unique("the resource")?;
    let Some(id) = word(members, &kind.id) else {
        let reason = format!(
            "This `{}` has no `{}`: it is a request, or the reply of an action; give the reply that shows or lists it.",
            kind.member, kind.id
        );
        return Err(Refusal::new(RejectCode::BadField, reason));
    };
    let defaults = &sink.options.defaults;
    let account = if kind.shared {
        String::new()
    } else {
        let project = kind.project.iter().find_map(|name| word(members, name));
        project.or_else(|| defaults.account.clone()).unwrap_or_default()
    };
    let region = defaults.region.clone().unwrap_or_default();
    sink.note(Note::AccountUnknown, (account.is_empty() && !kind.shared).into());
    sink.note(Note::RegionUnknown, region.is_empty().into());
    let key = ResourceKey::new("openstack", &account, &region, &kind.resource_type, &id);
    check_key(&key)?;
    let has = |name: &String| members.has(name);
    let whole = kind.whole.is_empty() || kind.whole.iter().any(|group| group.iter().all(has));
    let mut state = Vec::new();
    if whole {
        state = state_of(members, kind, sink.options.limits.depth)?;
    } else {
        sink.note(Note::StateElsewhere, 1);
    }
    let sensitive = kind.sensitive.iter().filter(|name| whole && members.has(name));
    sink.observe(Observation {
        presence: if whole { Presence::Present } else { Presence::Unreadable },
        sensitive: sensitive.map(|name| format!("/{name}")).collect(),
        ..Observation::of(key, Dialect::OpenStack, state, sink.position)
    });
    Ok(())
}

/// A member that is a text, or a number taken as its text.
fn word(members: &Members<'_>, name: &str) -> Option<String> {
    let raw = members.get(name)?;
    match json::text_of(raw) {
        Some(text) => (!text.is_empty()).then(|| text.into_owned()),
        None => json::is_number(raw).then(|| raw.get().to_owned()),
    }
}

/// The resource without what changes by itself, and without the addresses of the API.
fn state_of(members: &Members<'_>, kind: &Kind, depth: usize) -> Result<Vec<u8>, Refusal> {
    let mut kept = Vec::new();
    for (name, raw) in members.iter() {
        if name != "links" && !kind.volatile.iter().any(|volatile| volatile == name) {
            kept.push((name.to_owned().into(), unlinked(Value::parse(raw.get(), depth)?)));
        }
    }
    Ok(Value::Object(kept).to_json())
}

/// The value without lists of links: where an API is found is no part of a resource.
fn unlinked(value: Value<'_>) -> Value<'_> {
    let is_links = |key: &str, value: &Value<'_>| {
        let of_links = |elements: &[Value<'_>]| {
            !elements.is_empty() && elements.iter().all(|element| element.get("href").is_some())
        };
        key == "links" && value.elements().is_some_and(of_links)
    };
    match value {
        Value::List(elements) => Value::List(elements.into_iter().map(unlinked).collect()),
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(key, value)| !is_links(key, value))
                .map(|(key, value)| (key, unlinked(value)))
                .collect(),
        ),
        other => other,
    }
}
