//! `ignoreDifferences` of Applications, ApplicationSets and of the ConfigMap `argocd-cm`.

use serde_json::Value;

use super::sql::{self, Segment};
use super::{IgnoredRules, kubernetes, texts};
use crate::options::Limits;
use crate::yaml::documents;

/// What stands before a kind in the ConfigMap.
const SYSTEM: &str = "resource.customizations.ignoreDifferences.";

pub(super) fn read(object: &Value, place: &str, found: &mut IgnoredRules) {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "Application" => application(object.get("spec"), place, found),
        "ApplicationSet" => application(object.pointer("/spec/template/spec"), place, found),
        "ConfigMap" => config_map(object, place, found),
        _ => found.refuse(place, "it is no Application, ApplicationSet or ConfigMap of Argo CD"),
    }
}

fn application(spec: Option<&Value>, place: &str, found: &mut IgnoredRules) {
    let Some(spec) = spec else { return };
    let own = spec.pointer("/destination/namespace").and_then(Value::as_str);
    // A template of names is no name.
    let own = own.filter(|name| !name.contains("{{"));
    let rules = spec.get("ignoreDifferences").and_then(Value::as_array);
    for (i, rule) in rules.into_iter().flatten().enumerate() {
        let place = format!("{place}: ignoreDifferences {}", i + 1);
        let part = |name: &str| rule.get(name).and_then(Value::as_str).filter(|it| !it.is_empty());
        let (group, kind) = (part("group").unwrap_or(""), part("kind").unwrap_or("*"));
        let namespace = match (part("namespace"), part("name")) {
            (Some(namespace), name) => {
                sql::column("id", &format!("{namespace}/{}", name.unwrap_or("*")))
            }
            (None, Some(name)) => {
                let ends = sql::fits("id", &format!("(?:.*/)?{}", sql::wild(name, "[^/]*")));
                let within = kubernetes::within(own, found);
                Some(within.map_or(ends.clone(), |within| format!("{ends} and {within}")))
            }
            (None, None) => kubernetes::within(own, found),
        };
        let about = format!("argocd-{}", part("name").unwrap_or(kind));
        let conditions = [Some(kubernetes::provider()), type_of(group, kind), namespace];
        paths(rule, &conditions, (&about, &place), found);
    }
}

fn config_map(object: &Value, place: &str, found: &mut IgnoredRules) {
    let data = object.get("data").and_then(Value::as_object);
    for (key, value) in data.into_iter().flatten() {
        let place = format!("{place}: {key}");
        if key == "resource.customizations" {
            found.refuse(
                &place,
                "give ignoreDifferences a key of its own for each kind, as newer versions have it",
            );
            continue;
        }
        let Some(of) = key.strip_prefix(SYSTEM) else { continue };
        // `GROUP_Kind`, `Kind` of the core group, or `all`.
        let (group, kind) = match of.rsplit_once('_') {
            _ if of == "all" => ("*", "*"),
            Some((group, kind)) => (group, kind),
            None => ("", of),
        };
        let text = value.as_str().unwrap_or_default();
        let conditions = [Some(kubernetes::provider()), type_of(group, kind)];
        let about = format!("argocd-{kind}");
        for document in documents(text, Limits::default()) {
            match document.json.ok().and_then(|json| serde_json::from_str::<Value>(&json).ok()) {
                Some(rule) => paths(&rule, &conditions, (&about, &place), found),
                None => found.refuse(&place, "its text is no YAML"),
            }
        }
    }
}

/// A kind with its group, as the type of a resource has it.
fn type_of(group: &str, kind: &str) -> Option<String> {
    match (group, kind) {
        ("", "*") => Some("type not like '%.%'".to_owned()),
        ("", kind) => sql::column("type", kind),
        // Of any group, and of none.
        ("*", kind) if kind != "*" => {
            Some(sql::fits("type", &format!(r"{}(?:\..*)?", sql::wild(kind, "[^.]*"))))
        }
        (group, "*") if group != "*" => sql::column("type", &format!("*.{group}")),
        ("*", _) => None,
        (group, kind) => sql::column("type", &format!("{kind}.{group}")),
    }
}

fn paths(
    rule: &Value,
    conditions: &[Option<String>],
    (about, place): (&str, &str),
    found: &mut IgnoredRules,
) {
    for text in texts(rule, "jsonPointers") {
        match sql::pointer(text) {
            Some(path) => kubernetes::add(conditions, &path, (about, place), found),
            None => found.refuse(place, &format!("`{text}` is no JSON Pointer")),
        }
    }
    for text in texts(rule, "jqPathExpressions") {
        match jq_path(text) {
            Some(path) => kubernetes::add(conditions, &path, (about, place), found),
            None => found.refuse(
                place,
                &format!("`{text}` is more than a path; write what it means as SQL by hand"),
            ),
        }
    }
    for manager in texts(rule, "managedFieldsManagers") {
        found.refuse(
            place,
            &format!("who manages a field is not part of a finding, so fields of `{manager}` cannot be told"),
        );
    }
}

/// A jq expression that is nothing but a path: `.a.b`, `."a b"`, `.["a"]`, `.[0]`, `.[]`.
fn jq_path(text: &str) -> Option<Vec<Segment>> {
    let mut rest = text.trim();
    let mut path = Vec::new();
    if !rest.starts_with('.') {
        return None;
    }
    while !rest.is_empty() {
        let dotted = rest.strip_prefix('.');
        let after = dotted.unwrap_or(rest);
        if let Some(inner) = after.strip_prefix('[') {
            let (segment, tail) = subscript(inner)?;
            path.push(segment);
            rest = tail;
        } else if after.starts_with('"') && dotted.is_some() {
            let (name, tail) = string(after)?;
            path.push(Segment::Name(name));
            rest = tail;
        } else {
            dotted?;
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = after.find(|c| !plain(c)).unwrap_or(after.len());
            if end == 0 || after.starts_with(|c: char| c.is_ascii_digit()) {
                return None;
            }
            path.push(Segment::Name(after[..end].to_owned()));
            rest = &after[end..];
        }
        rest = rest.strip_prefix('?').unwrap_or(rest);
    }
    Some(path)
}

/// What stands in brackets, the first of which is gone, and what comes after them.
fn subscript(text: &str) -> Option<(Segment, &str)> {
    if let Some(tail) = text.strip_prefix(']') {
        return Some((Segment::Any, tail));
    }
    if text.starts_with('"') {
        let (name, tail) = string(text)?;
        return Some((Segment::Name(name), tail.strip_prefix(']')?));
    }
    let (number, tail) = text.split_once(']')?;
    let index: u32 = number.parse().ok()?;
    Some((Segment::Name(index.to_string()), tail))
}

/// A text in double quotes without escapes but of themselves.
fn string(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let (name, tail) = inner.split_once('"')?;
    (!name.contains('\\')).then(|| (name.to_owned(), tail))
}
