//! Replies of Google's APIs: single resources, lists, lists by zone and region, and policies.
//!
//! Which resource it is comes from its link, else from its relative name, else from the call that the
//! reply answers, where a recording tells it. A relative name does not tell the service: where two
//! services use the same, a member that only one of them has decides, or the reply is refused.

use deployforge_model::{Presence, RejectCode};
use serde_json::value::RawValue;

use super::names::{self, Call, TABLE};
use super::{Resource, assets, is_kind, state, word};
use crate::json::{self, Members, ObjectWriter};
use crate::refusal::{Refusal, printable};
use crate::sink::{Note, Sink};

const OPERATIONS: Note =
    Note::Counted("operation in progress skipped", "operations in progress skipped");
const NOT_RESOURCES: Note = Note::Counted(
    "reply about something other than resources skipped",
    "replies about something other than resources skipped",
);
const SUMMARIES: Note = Note::Counted(
    "resource listed in summary is unreadable; get it alone",
    "resources listed in summary are unreadable; get them one by one",
);
const UNREACHABLE: Note =
    Note::Counted("place could not be reached", "places could not be reached");

/// Whether this is a reply of one of Google's APIs.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    let kind = members.peek("kind").unwrap_or_default();
    is_kind(&kind)
        || is_policy(members)
        || is_resource(members)
        || list(members).is_some_and(|(_, elements)| {
            let first = elements.first().and_then(|raw| Members::parse(raw.get()).ok());
            first.is_some_and(|first| is_resource(&first))
        })
}

/// Whether an object names itself as Google's resources do.
fn is_resource(members: &Members<'_>) -> bool {
    let link = members.peek("selfLink").is_some_and(|link| Call::of_link(&link).is_some());
    let project = ["projectId", "projectNumber", "lifecycleState"];
    let project = project.iter().all(|name| members.has(name));
    link || project
        || members.peek("name").is_some_and(|name| {
            names::is_relative(&name) && names::service_of(&name, Some(members)).is_some()
        })
}

/// The only list of objects in a reply, with its name.
fn list<'a>(members: &Members<'a>) -> Option<(String, Vec<&'a RawValue>)> {
    const BESIDE: [&str; 10] = [
        "kind",
        "id",
        "etag",
        "selfLink",
        "nextPageToken",
        "totalSize",
        "unreachable",
        "warning",
        "totalItems",
        "metadata",
    ];
    // A link to one thing is that thing's own.
    let mut found = None;
    for (name, raw) in members.iter() {
        let objects = json::is_array(raw) && json::inside(raw).starts_with('{');
        if objects && found.is_none() {
            found = Some((name.to_owned(), raw));
        } else if !BESIDE.contains(&name)
            && !matches!(name, "apiVersion" | "missingZones" | "readTime")
        {
            return None;
        }
    }
    let (name, raw) = found?;
    Some((name, json::elements(raw, "items").ok()?))
}

/// Whether this is a policy, which does not say whose it is.
fn is_policy(members: &Members<'_>) -> bool {
    const NAMES: [&str; 6] = ["version", "etag", "bindings", "auditConfigs", "kind", "resourceId"];
    members.get("bindings").is_some_and(|raw| json::inside(raw).starts_with('{'))
        && members.iter().all(|(name, _)| NAMES.contains(&name))
}

/// Reads it.
pub(crate) fn read(members: &Members<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    sink.tally.loose += 1;
    if assets::claims(members) {
        return assets::read(members, text, sink);
    }
    members.unique("the reply")?;
    if members.get("error").is_some_and(json::is_object) && members.iter().count() <= 2 {
        let reason = "This is the reply of a call that failed; repeat the call.";
        return Err(Refusal::new(RejectCode::Unsupported, reason));
    }
    let call = sink.request.as_ref().and_then(|request| Call::of_link(&request.uri));
    let call = call.unwrap_or_default();
    if is_operation(members) {
        sink.note(OPERATIONS, 1);
        return Ok(());
    }
    if is_policy(members) || call.asks_policy() || is_storage_policy(members) {
        return read_policy(members, &call, sink);
    }
    let unreachable = members.array("unreachable").ok().flatten().unwrap_or_default();
    sink.note(UNREACHABLE, unreachable.len() as u64);
    if let Some(items) = members.get("items").filter(|raw| json::is_object(raw)) {
        return read_places(items, &call, sink);
    }
    if let Some((name, elements)) = list(members).filter(|_| !is_single(members)) {
        read_list(&name, &elements, &call, sink);
        return Ok(());
    }
    if is_empty_list(members) {
        sink.note(Note::EmptyList, 1);
        return Ok(());
    }
    if members.iter().any(|(name, _)| TABLE.not_resources.iter().any(|other| other == name))
        && !is_single(members)
    {
        sink.note(NOT_RESOURCES, 1);
        return Ok(());
    }
    read_one(members, &call, false, sink)
}

/// Whether a reply is one thing, though it holds a list: it names itself, and is no list by kind.
fn is_single(members: &Members<'_>) -> bool {
    let kind = members.peek("kind").unwrap_or_default();
    let listing = is_list_kind(&kind) || members.has("items") || members.has("nextPageToken");
    !listing && (is_resource(members) || is_kind(&kind))
}

/// Lists end in `List` or `ListResponse`; those of storage in the plural.
fn is_list_kind(kind: &str) -> bool {
    kind.ends_with("List")
        || kind.ends_with("ListResponse")
        || matches!(kind, "storage#buckets" | "storage#objects")
}

/// A list without elements leaves its member out.
fn is_empty_list(members: &Members<'_>) -> bool {
    const BESIDE: [&str; 9] = [
        "kind",
        "id",
        "etag",
        "selfLink",
        "nextPageToken",
        "totalSize",
        "unreachable",
        "apiVersion",
        "metadata",
    ];
    let listed = members.peek("kind").is_some_and(|kind| is_list_kind(&kind));
    let bare = members
        .iter()
        .all(|(name, raw)| BESIDE.contains(&name) || (json::is_array(raw) && json::is_empty(raw)));
    bare && (listed || members.iter().all(|(name, _)| !matches!(name, "kind" | "id" | "selfLink")))
}

fn is_operation(members: &Members<'_>) -> bool {
    let kind = members.peek("kind").unwrap_or_default();
    let name = members.peek("name").unwrap_or_default();
    kind.ends_with("#operation")
        || (members.has("operationType") && members.has("targetLink"))
        || ((members.has("done") || members.has("metadata"))
            && (name.starts_with("operations/") || name.contains("/operations/")))
}

fn is_storage_policy(members: &Members<'_>) -> bool {
    members.peek("kind").as_deref() == Some("storage#policy")
}

/// Lists by zone and region: `{"zones/z":{"instances":[…]},"regions/r":{"warning":…}}`.
fn read_places(items: &RawValue, call: &Call, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let mut any = false;
    for (_, place) in Members::of(items, "items")?.iter() {
        let Ok(place) = Members::of(place, "items") else { continue };
        for (name, raw) in place.iter().filter(|(_, raw)| json::is_array(raw)) {
            any = any || !json::is_empty(raw);
            read_list(name, &json::elements(raw, "items")?, call, sink);
        }
    }
    sink.note(Note::EmptyList, (!any).into());
    Ok(())
}

fn read_list(name: &str, elements: &[&RawValue], call: &Call, sink: &mut Sink<'_>) {
    if TABLE.not_resources.iter().any(|other| other == name) {
        sink.note(NOT_RESOURCES, 1);
        return;
    }
    for raw in elements {
        let result = Members::of(raw, "items").and_then(|members| {
            if is_operation(&members) {
                sink.note(OPERATIONS, 1);
                return Ok(());
            }
            read_one(&members, call, true, sink)
        });
        if let Err(refusal) = result {
            sink.refuse(&refusal, raw.get().as_bytes());
        }
    }
}

/// Members that keys are made of.
const NAMING: [&str; 8] =
    ["name", "selfLink", "kind", "id", "uniqueId", "projectId", "projectNumber", "location"];

/// What a resource is called, and what it is.
struct Identity {
    service: String,
    name: String,
    aliases: Vec<String>,
}

/// Delivers one resource, alone or of a list.
fn read_one(
    members: &Members<'_>,
    call: &Call,
    listed: bool,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    members.unique_among(&NAMING, "the resource")?;
    if members.peek("name").is_some_and(|name| is_no_resource(&name)) {
        sink.note(NOT_RESOURCES, 1);
        return Ok(());
    }
    let Some(identity) = identify(members, call, listed) else { return Err(unnamed(members)) };
    let resource_type = names::resource_type(&identity.service, &identity.name, Some(members));
    let summary = listed && TABLE.summaries.contains(&resource_type);
    sink.note(SUMMARIES, u64::from(summary || call.partial));
    let presence = if summary || call.partial { Presence::Unreadable } else { Presence::Present };
    let at = sink.request.as_ref().and_then(|request| request.at);
    Resource {
        name: &identity.name,
        resource_type: &resource_type,
        data: Some(members),
        location: None,
        project: None,
        presence,
        state: state(&resource_type, members)?,
        observed_at: at,
        suffix: "",
        aliases: identity.aliases,
    }
    .observe(sink)
}

/// Places and predefined roles have names, and nobody owns them.
fn is_no_resource(name: &str) -> bool {
    let mut segments = name.rsplit('/').skip(1);
    let collection = segments.next().unwrap_or_default();
    matches!(collection, "locations" | "operations" | "findings" | "recommendations")
        || name.starts_with("roles/")
        || name.starts_with("publishers/")
}

fn unnamed(members: &Members<'_>) -> Refusal {
    let kind = members.peek("kind").filter(|kind| is_kind(kind));
    let of = kind.map_or_else(String::new, |kind| format!(" of kind `{}`", printable(&kind)));
    let reason = format!(
        "This reply{of} does not tell which resource it is, or of which service; record the call with it, or use Cloud Asset Inventory."
    );
    Refusal::new(RejectCode::Unsupported, reason)
}

/// The full name: from the link, the relative name, or the call.
fn identify(members: &Members<'_>, call: &Call, listed: bool) -> Option<Identity> {
    let mut aliases = Vec::new();
    let (service, name) = linked(members)
        .or_else(|| project(members, call, &mut aliases))
        .or_else(|| relative(members, call, &mut aliases))
        .or_else(|| knative(members, call))
        .or_else(|| referenced(members, call))
        .or_else(|| called(members, call, listed))?;
    Some(Identity { service, name, aliases })
}

/// `selfLink`, if it is the resource's own and not of a list.
fn linked(members: &Members<'_>) -> Option<(String, String)> {
    let link = Call::of_link(&members.peek("selfLink")?)?;
    let name = names::full(&link.service, &link.path);
    (!link.path.is_empty()).then_some((link.service, name))
}

/// Projects: assets name them by their number.
fn project(
    members: &Members<'_>,
    call: &Call,
    aliases: &mut Vec<String>,
) -> Option<(String, String)> {
    let service = "cloudresourcemanager.googleapis.com";
    if !call.service.is_empty() && call.service != service {
        return None;
    }
    let id = members.peek("projectId")?;
    let state = members.has("lifecycleState") || members.has("state");
    let relative = members.peek("name").filter(|name| name.starts_with("projects/"));
    let number = word(members, "projectNumber")
        .or_else(|| Some(relative?.trim_start_matches("projects/").to_owned()))?;
    aliases.push(format!("//{service}/projects/{id}"));
    (state && !number.contains('/'))
        .then(|| (service.to_owned(), format!("//{service}/projects/{number}")))
}

/// `"name":"projects/p/topics/t"`.
fn relative(
    members: &Members<'_>,
    call: &Call,
    aliases: &mut Vec<String>,
) -> Option<(String, String)> {
    let name = members.peek("name").filter(|name| names::is_relative(name))?;
    let service = if call.service.is_empty() {
        names::service_of(&name, Some(members))?
    } else {
        call.service.clone()
    };
    // Assets name accounts by their number, and everything else by their address.
    if service == "iam.googleapis.com"
        && let (Some(number), Some((before, _))) =
            (word(members, "uniqueId"), name.rsplit_once('/'))
    {
        aliases.push(names::full(&service, &name));
        let path = format!("{before}/{number}");
        return Some((service.clone(), names::full(&service, &path)));
    }
    let full = names::full(&service, &name);
    Some((service, full))
}

/// Cloud Run's objects in the form of Kubernetes: the region is a label.
fn knative(members: &Members<'_>, call: &Call) -> Option<(String, String)> {
    let service = "run.googleapis.com";
    if call.service != service {
        return None;
    }
    let metadata = Members::parse(members.get("metadata")?.get()).ok()?;
    let labels = metadata.get("labels").and_then(|raw| Members::parse(raw.get()).ok())?;
    let (name, region) = (metadata.peek("name")?, labels.peek("cloud.googleapis.com/location")?);
    let project = ["projects", "namespaces"].iter().find_map(|part| super::after(&call.path, part));
    let project = project
        .map_or_else(|| metadata.peek("namespace").map(String::from), |p| Some(p.to_owned()))?;
    let asked = call
        .path
        .rsplit('/')
        .find(|segment| matches!(*segment, "services" | "jobs" | "revisions" | "DomainMappings"))?;
    let name = format!("//{service}/projects/{project}/locations/{region}/{asked}/{name}");
    Some((service.to_owned(), name))
}

/// `datasetReference` and the like.
fn referenced(members: &Members<'_>, call: &Call) -> Option<(String, String)> {
    let service = "bigquery.googleapis.com";
    if !call.service.is_empty() && call.service != service {
        return None;
    }
    let mut path = String::new();
    for (field, parts) in [
        (
            "tableReference",
            &[("projects", "projectId"), ("datasets", "datasetId"), ("tables", "tableId")][..],
        ),
        ("datasetReference", &[("projects", "projectId"), ("datasets", "datasetId")]),
        ("jobReference", &[("projects", "projectId"), ("jobs", "jobId")]),
    ] {
        let Some(raw) = members.get(field).filter(|raw| json::is_object(raw)) else { continue };
        let reference = Members::parse(raw.get()).ok()?;
        for (collection, part) in parts {
            path.push_str(&format!("/{collection}/{}", reference.peek(part)?));
        }
        return Some((service.to_owned(), format!("//{service}{path}")));
    }
    None
}

/// The call: of a single resource its path, of a list the path and the element's short name.
fn called(members: &Members<'_>, call: &Call, listed: bool) -> Option<(String, String)> {
    let told = (!call.path.is_empty()).then(|| call.path.clone());
    let base = told.or_else(|| call.unflattened(listed)).filter(|path| !path.contains("/-/"))?;
    let service = |path: &str| {
        let told = (!call.service.is_empty()).then(|| call.service.clone());
        told.or_else(|| names::service_of(path, Some(members)))
    };
    if !listed {
        let service = service(&base)?;
        let name = names::full(&service, &base);
        return Some((service, name));
    }
    let fields = ["name", "jobId", "id", "email", "domain", "clusterName"];
    let own = fields.iter().find_map(|field| word(members, field))?;
    let mut path = format!("{base}/{own}");
    if call.service == "dns.googleapis.com" && call.path.ends_with("/rrsets") {
        path = format!("{path}/{}", word(members, "type")?);
        let name = names::full(&call.service, &path);
        return Some((call.service.clone(), name));
    }
    if own.contains('/') {
        path = own;
    }
    let service = service(&path)?;
    let name = names::full(&service, &path);
    Some((service, name))
}

/// A policy, whose resource the call names.
fn read_policy(members: &Members<'_>, call: &Call, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let of_storage = members.peek("resourceId").filter(|id| id.starts_with("projects/_/buckets/"));
    let named = match of_storage {
        Some(id) => {
            Some(("storage.googleapis.com".to_owned(), names::full("storage.googleapis.com", &id)))
        }
        None if call.path.is_empty() => call.unflattened(false).and_then(|path| {
            let told = (!call.service.is_empty()).then(|| call.service.clone());
            let service = told.or_else(|| names::service_of(&path, None))?;
            let name = names::full(&service, &path);
            Some((service, name))
        }),
        None => Some((call.service.clone(), names::full(&call.service, call.subject()))),
    };
    let Some((service, name)) = named else {
        let reason = "This is an access policy, which does not say whose it is; record the call with it, or \
                      use Cloud Asset Inventory.";
        return Err(Refusal::new(RejectCode::Unsupported, reason));
    };
    let mut policy = ObjectWriter::with_capacity(512);
    for (field, raw) in members.iter().filter(|(field, _)| !matches!(*field, "kind" | "resourceId"))
    {
        policy.member(field, raw.get().as_bytes());
    }
    let mut whole = ObjectWriter::with_capacity(1024);
    whole.member("iamPolicy", &policy.finish());
    let whole = String::from_utf8(whole.finish()).map_err(|_| Refusal::NotUtf8)?;
    let resource_type = format!("{}/iamPolicy", names::resource_type(&service, &name, None));
    let at = sink.request.as_ref().and_then(|request| request.at);
    Resource {
        name: &name,
        resource_type: &resource_type,
        data: None,
        location: None,
        project: None,
        presence: Presence::Present,
        state: state("", &Members::parse(&whole)?)?,
        observed_at: at,
        suffix: "",
        aliases: Vec::new(),
    }
    .observe(sink)
}
