//! The audit log of Kubernetes API servers (`audit.k8s.io`), as managed clusters write it too.

use deployforge_model::Evidence;
use serde_json::value::RawValue;

use super::{Fields, add, tidy, time};
use crate::json::{self, Members};
use crate::kubernetes;
use crate::refusal::Refusal;
use crate::sink::{Note, Sink};

fn is_event(fields: &Fields<'_>) -> bool {
    const BESIDE: [&str; 5] = ["objectref", "requesturi", "responsestatus", "auditid", "user"];
    let version = fields.text("apiversion").unwrap_or_default();
    let audit = version.starts_with("audit.k8s.io/");
    let kind = fields.text("kind").unwrap_or_default();
    let shaped = BESIDE.iter().filter(|name| fields.has(name)).count() >= 1
        && (fields.has("verb") || fields.has("auditid"));
    kind == "Event" && (audit || (version.is_empty() && shaped))
}

fn items<'a>(members: &Members<'a>) -> Option<Vec<&'a RawValue>> {
    let list = members.peek("kind").as_deref() == Some("EventList")
        && members.peek("apiVersion").is_some_and(|version| version.starts_with("audit.k8s.io/"));
    if !list {
        return None;
    }
    json::elements(members.get("items")?, "items").ok()
}

/// Whether this is an event of the audit log, or a list of them.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    is_event(&Fields::of(members)) || items(members).is_some()
}

/// Reads it.
pub(crate) fn read(members: &Members<'_>, _: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    sink.tally.loose += 1;
    let Some(items) = items(members) else {
        sink.evidence(event(&Fields::of(members), "", sink));
        // Who did it, and what it came to where the log holds that.
        return kubernetes::read_audited(members, sink);
    };
    sink.note(Note::EmptyList, items.is_empty().into());
    for raw in items {
        match Members::of(raw, "items") {
            Ok(members) => sink.evidence(event(&Fields::of(&members), "", sink)),
            Err(refusal) => sink.refuse(&refusal, raw.get().as_bytes()),
        }
    }
    Ok(())
}

/// Reads an event that stands as text in another log, which names the cluster.
pub(super) fn read_text(text: &str, cluster: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let raw = json::nested(text.trim(), sink.options.limits.depth)?;
    let members = Members::of(raw, "log")?;
    sink.evidence(event(&Fields::of(&members), cluster, sink));
    Ok(())
}

fn event(fields: &Fields<'_>, cluster: &str, sink: &Sink<'_>) -> Evidence {
    let (user, object) = (fields.object("user"), fields.object("objectref"));
    let verb = fields.first(&["verb"]).unwrap_or_default();
    let uri = fields.first(&["requesturi"]).unwrap_or_default();
    let path = uri.split('?').next().unwrap_or_default();
    let kind = object.first(&["resource"]).unwrap_or_default();
    let part = object.first(&["subresource"]).map_or_else(String::new, |part| format!("/{part}"));
    let mut resources = Vec::new();
    if let Some(name) = object.first(&["name"]) {
        let of = object.first(&["namespace"]).map_or_else(String::new, |of| format!("{of}/"));
        add(&mut resources, format!("{kind}/{of}{name}"));
    }
    add(&mut resources, path);
    add(&mut resources, cluster.to_lowercase());
    let what = if kind.is_empty() { path.to_owned() } else { format!("{kind}{part}") };
    let at = fields.first(&["requestreceivedtimestamp", "stagetimestamp"]);
    let mut action = [what, verb.clone()].join(":");
    if action == ":" {
        "request".clone_into(&mut action);
    }
    let from = fields.list("sourceips").into_iter().find_map(json::text_of);
    tidy(Evidence {
        id: fields.first(&["auditid"]).unwrap_or_default(),
        log: "kubernetes-audit",
        at: at.and_then(|text| time(&text)),
        actor: user.first(&["username"]).unwrap_or_default(),
        actor_type: actor_type(&user),
        tool: fields.first(&["useragent"]).unwrap_or_default(),
        action,
        from: from.map(String::from).unwrap_or_default(),
        provider: "kubernetes".to_owned(),
        read_only: matches!(verb.as_str(), "get" | "list" | "watch"),
        error: error(&fields.object("responsestatus")),
        resources,
        position: sink.position,
        ..Evidence::default()
    })
}

/// `system:serviceaccount:kube-system:x` is a service account; the log has no other word.
fn actor_type(user: &Fields<'_>) -> String {
    let name = user.text("username").unwrap_or_default();
    match name.strip_prefix("system:").and_then(|rest| rest.split(':').next()) {
        Some(kind @ ("serviceaccount" | "node" | "anonymous")) => kind.to_owned(),
        _ => String::new(),
    }
}

fn error(status: &Fields<'_>) -> String {
    let code = status.word("code").unwrap_or_default();
    if !code.starts_with(['4', '5']) {
        return String::new();
    }
    status.first(&["reason"]).unwrap_or(code)
}
