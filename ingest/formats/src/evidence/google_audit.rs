//! Google's audit logs: entries whose payload is an `AuditLog`.

use deployforge_model::Evidence;
use serde_json::value::RawValue;

use super::{Fields, add, looks, tidy, time};
use crate::google;
use crate::json::{self, Members};
use crate::refusal::Refusal;
use crate::sink::{Note, Sink};

/// What the numbers of `status.code` mean.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn payload<'a>(fields: &Fields<'a>) -> Option<&'a RawValue> {
    let names = ["protopayload", "protopayload_auditlog"];
    let raw = names.iter().find_map(|name| fields.get(name))?;
    json::is_object(raw).then_some(raw)
}

fn entries<'a>(members: &Members<'a>) -> Option<Vec<&'a RawValue>> {
    let raw = members.get("entries").filter(|raw| json::is_array(raw))?;
    let entries = json::elements(raw, "entries").ok()?;
    let first = entries.first().and_then(|raw| Members::parse(raw.get()).ok())?;
    payload(&Fields::of(&first)).is_some().then_some(entries)
}

/// Whether this is an entry of an audit log, or a page of them.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    payload(&Fields::of(members)).is_some() || entries(members).is_some()
}

/// Reads it.
pub(crate) fn read(members: &Members<'_>, _: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    sink.tally.loose += 1;
    let Some(entries) = entries(members) else {
        return read_entry(&Fields::of(members), sink);
    };
    sink.note(Note::EmptyList, entries.is_empty().into());
    for raw in entries {
        let result =
            Members::of(raw, "entries").and_then(|entry| read_entry(&Fields::of(&entry), sink));
        if let Err(refusal) = result {
            sink.refuse(&refusal, raw.get().as_bytes());
        }
    }
    Ok(())
}

fn read_entry(entry: &Fields<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let what = "the entry of the audit log";
    let missing = |field| Refusal::Missing { field, what };
    let raw = payload(entry).ok_or_else(|| missing("protoPayload"))?;
    let audit = Fields::within(raw);
    let method = audit.text("methodname").ok_or_else(|| missing("methodName"))?;
    let service = audit.text("servicename").unwrap_or_default();
    let short = service.strip_suffix(".googleapis.com").unwrap_or(&service);
    let who = audit.object("authenticationinfo");
    let request = audit.object("requestmetadata");
    let monitored = entry.object("resource").object("labels");
    let resources = resources(&audit, &service);
    let project = monitored.word("project_id").or_else(|| {
        let log = entry.text("logname")?;
        let named = resources.iter().map(String::as_str).chain([&*log]);
        named.map(google::project).find_map(|found| found.map(str::to_owned))
    });
    let place = ["location", "region", "zone"].iter().find_map(|name| monitored.text(name));
    let read_only = read_only(&audit, &method);
    let evidence = Evidence {
        id: entry.first(&["insertid"]).unwrap_or_default(),
        log: "google-audit",
        at: entry.text("timestamp").and_then(|text| time(&text)),
        actor: who.first(&["principalemail", "principalsubject"]).unwrap_or_default(),
        actor_type: actor_type(&who),
        tool: request.first(&["callersupplieduseragent"]).unwrap_or_default(),
        action: if short.is_empty() { method.to_string() } else { format!("{short}:{method}") },
        from: request.first(&["callerip"]).unwrap_or_default(),
        provider: "google".to_owned(),
        account: project.unwrap_or_default(),
        region: place.map(|place| google::region_of(&place)).unwrap_or_default(),
        read_only,
        error: error(&audit),
        resources,
        paths: if read_only { Vec::new() } else { paths(&audit) },
        position: sink.position,
    };
    sink.evidence(tidy(evidence));
    Ok(())
}

/// What the log says the actor is: the kind of its subject, or the keyed account it acted with.
fn actor_type(who: &Fields<'_>) -> String {
    let subject = who.text("principalsubject").unwrap_or_default();
    let kind = subject.split_once(':').map_or("", |(kind, _)| kind);
    if !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return kind.to_owned();
    }
    let email = who.text("principalemail").unwrap_or_default();
    let service = email.ends_with("gserviceaccount.com") || who.has("serviceaccountkeyname");
    if service { "serviceAccount".to_owned() } else { String::new() }
}

/// The resource's full name, as assets have it, its name in the log, and what was asked for.
fn resources(audit: &Fields<'_>, service: &str) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(name) = audit.text("resourcename") {
        if let Some(full) = google::full_name(service, &name) {
            add(&mut names, full);
        }
        add(&mut names, name);
    }
    for raw in audit.list("authorizationinfo") {
        if let Some(name) = Fields::within(raw).text("resource") {
            add(&mut names, name);
        }
    }
    names
}

/// Whether all permissions that were needed are to read, where the log says it; else by the name.
fn read_only(audit: &Fields<'_>, method: &str) -> bool {
    let kinds: Vec<String> = audit
        .list("authorizationinfo")
        .into_iter()
        .filter_map(|raw| Fields::within(raw).first(&["permissiontype"]))
        .collect();
    if kinds.is_empty() {
        return looks(method.rsplit('.').next().unwrap_or(method));
    }
    kinds.iter().all(|kind| kind.ends_with("READ"))
}

fn error(audit: &Fields<'_>) -> String {
    let Some(code) = audit.object("status").word("code") else { return String::new() };
    match code.parse::<usize>() {
        Ok(0) => String::new(),
        Ok(number) => CODES.get(number).map_or(code, |name| (*name).to_owned()),
        Err(_) => code,
    }
}

/// What the request sets: its field mask, the roles it changes, or its members.
fn paths(audit: &Fields<'_>) -> Vec<String> {
    let mut paths = Vec::new();
    let request = audit.object("request");
    let mask = request.object("updatemask");
    let mask = request.first(&["updatemask"]).or_else(|| mask.first(&["paths"]));
    for part in mask.iter().flat_map(|mask| mask.split(',')) {
        add(&mut paths, part.trim());
    }
    let deltas = audit.object("servicedata").object("policydelta");
    if deltas.has("bindingdeltas") {
        add(&mut paths, "bindings");
    }
    if !paths.is_empty() {
        return paths;
    }
    let raw = audit.get("request").filter(|raw| json::is_object(raw));
    let members = raw.and_then(|raw| Members::parse(raw.get()).ok());
    for (name, _) in members.iter().flat_map(Members::iter) {
        if !matches!(name, "@type" | "at_sign_type" | "name" | "resource" | "parent") {
            add(&mut paths, format!("request.{name}"));
        }
    }
    paths
}
