//! Azure's activity log, in both of its schemas: as its API returns events (`eventTimestamp`,
//! `operationName` as an object), and as it is exported (`time`, `operationName` as text, `identity`).
//! Logs of resources have the second form too. Event Grid's events about writes hold the same members.

use deployforge_model::Evidence;
use serde_json::value::RawValue;

use super::{Fields, add, kubernetes_audit, tidy, time};
use crate::azure;
use crate::json::{self, Members};
use crate::refusal::Refusal;
use crate::sink::{Note, Sink};

/// Claims that name a person, then those that name an application.
const NAMES: [&str; 7] = [
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
    "upn",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
    "name",
    "http://schemas.microsoft.com/identity/claims/objectidentifier",
    "appid",
];

fn is_event(fields: &Fields<'_>) -> bool {
    const BESIDE: [&str; 8] = [
        "time",
        "eventtimestamp",
        "caller",
        "calleripaddress",
        "resourceid",
        "category",
        "timegenerated",
        "correlationid",
    ];
    let named = ["operationname", "operationnamevalue"].iter().any(|name| fields.has(name));
    named && BESIDE.iter().filter(|name| fields.has(name)).count() >= 1
}

/// An event of Event Grid about a resource.
fn is_grid(fields: &Fields<'_>) -> bool {
    let kind = fields.first(&["eventtype"]).unwrap_or_default();
    kind.to_ascii_lowercase().starts_with("microsoft.resources.")
        && fields.object("data").has("operationname")
}

fn records<'a>(members: &Members<'a>) -> Option<Vec<&'a RawValue>> {
    let raw = members.get("records").or_else(|| members.get("value"))?;
    let records = json::elements(raw, "records").ok()?;
    let first = records.first().and_then(|raw| Members::parse(raw.get()).ok())?;
    is_event(&Fields::of(&first)).then_some(records)
}

/// Whether this is an event of the activity log, or a list of them.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    let fields = Fields::of(members);
    is_event(&fields) || is_grid(&fields) || records(members).is_some()
}

/// Reads it.
pub(crate) fn read(members: &Members<'_>, _: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    sink.tally.loose += 1;
    let fields = Fields::of(members);
    if is_event(&fields) {
        return read_event(&fields, &fields, sink);
    }
    if is_grid(&fields) {
        return read_event(&fields.object("data"), &fields, sink);
    }
    let records = records(members).unwrap_or_default();
    sink.note(Note::EmptyList, records.is_empty().into());
    for raw in records {
        let result = Members::of(raw, "records").and_then(|members| {
            let fields = Fields::of(&members);
            read_event(&fields, &fields, sink)
        });
        if let Err(refusal) = result {
            sink.refuse(&refusal, raw.get().as_bytes());
        }
    }
    Ok(())
}

/// A text, or the `value` of an object.
fn value(fields: &Fields<'_>, name: &str) -> Option<String> {
    fields.first(&[name]).or_else(|| fields.object(name).first(&["value"]))
}

/// An event; `around`: what stands beside its members, which has the time and the id.
fn read_event(event: &Fields<'_>, around: &Fields<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let what = "the event of the activity log";
    let action = value(event, "operationname")
        .or_else(|| value(event, "operationnamevalue"))
        .ok_or(Refusal::Missing { field: "operationName", what })?;
    let resource = event.first(&["resourceid", "_resourceid", "resourceuri"]).unwrap_or_default();
    let properties = event.object("properties");
    let category = value(event, "category").unwrap_or_default();
    if category.starts_with("kube-audit")
        && let Some(log) = properties.text("log")
    {
        return kubernetes_audit::read_text(&log, &resource, sink);
    }
    let identity = event.object("identity");
    let claims = identity.object("claims");
    let claims = if claims.0.is_empty() { event.object("claims") } else { claims };
    let initiator = properties.object("initiatedby");
    let actor = event
        .first(&["caller"])
        .or_else(|| claims.first(&NAMES))
        .or_else(|| initiator.object("user").first(&["userprincipalname"]))
        .or_else(|| initiator.object("app").first(&["displayname"]))
        .or_else(|| properties.first(&["userprincipalname"]))
        .or_else(|| event.first(&["identity"]));
    let authorization = identity.object("authorization");
    let scope =
        authorization.first(&["scope"]).or_else(|| event.object("authorization").first(&["scope"]));
    let mut resources = Vec::new();
    for name in [Some(resource.clone()), scope].into_iter().flatten() {
        add(&mut resources, name.to_lowercase());
    }
    let id = azure::Id::parse(&resource);
    let account = id.map(|id| id.subscription).filter(|text| !text.is_empty());
    let region = event.first(&["location", "resourcelocation"]).map(|text| azure::location(&text));
    let principal = authorization.object("evidence").first(&["principaltype"]);
    let at = around.first(&["time", "eventtimestamp", "timegenerated", "eventtime"]);
    let mut paths = Vec::new();
    let body = properties.first(&["requestbody"]).unwrap_or_default();
    body_paths(&body, sink.options.limits.depth, &mut paths);
    let evidence = Evidence {
        id: event
            .first(&["eventdataid"])
            .or_else(|| around.first(&["id", "correlationid"]))
            .unwrap_or_default(),
        log: "azure-activity",
        at: at.and_then(|text| time(&text)),
        actor: actor.clone().unwrap_or_default(),
        actor_type: principal.or_else(|| claims.first(&["idtyp"])).unwrap_or_default(),
        tool: properties
            .first(&["useragent", "useragentheader", "clientinfo"])
            .or_else(|| claims.first(&["appid"]).filter(|app| Some(app) != actor.as_ref()))
            .unwrap_or_default(),
        read_only: reads(&action, &category),
        action,
        from: event
            .first(&["calleripaddress"])
            .or_else(|| event.object("httprequest").first(&["clientipaddress"]))
            .unwrap_or_default(),
        provider: "azure".to_owned(),
        account: account.or_else(|| event.first(&["subscriptionid"])).unwrap_or_default(),
        region: region.filter(|region| region != "global").unwrap_or_default(),
        error: error(event),
        resources,
        paths,
        position: sink.position,
    };
    sink.evidence(tidy(evidence));
    Ok(())
}

fn reads(action: &str, category: &str) -> bool {
    action.to_ascii_lowercase().ends_with("/read") || category.eq_ignore_ascii_case("StorageRead")
}

/// How it failed: the more precise of the two members that say it.
fn error(event: &Fields<'_>) -> String {
    let result = value(event, "resulttype")
        .or_else(|| value(event, "status"))
        .or_else(|| value(event, "activitystatusvalue"))
        .unwrap_or_default();
    let lower = result.to_ascii_lowercase();
    if !["fail", "error", "denied"].iter().any(|word| lower.contains(word)) {
        return String::new();
    }
    let precise = value(event, "resultsignature").or_else(|| value(event, "substatus"));
    precise.unwrap_or(result)
}

/// The paths that a request sets, as dotted names, three levels deep: where properties stand.
fn body_paths(body: &str, limit: usize, paths: &mut Vec<String>) {
    let Ok(raw) = json::nested(body.trim(), limit) else { return };
    walk(raw, "", 3, paths);
}

fn walk(raw: &RawValue, at: &str, depth: usize, paths: &mut Vec<String>) {
    let members = if depth > 0 { Members::of(raw, "body").ok() } else { None };
    let Some(members) = members.filter(|members| members.iter().next().is_some()) else {
        return add(paths, at);
    };
    for (name, value) in members.iter() {
        let dot = if at.is_empty() { "" } else { "." };
        walk(value, &format!("{at}{dot}{name}"), depth - 1, paths);
    }
}
