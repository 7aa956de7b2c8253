//! `ignore` of HelmReleases (`spec.driftDetection`) and of Kustomizations: paths, and regular expressions
//! that say of which objects.

use serde_json::Value;

use super::sql;
use super::{IgnoredRules, kubernetes, texts};

pub(super) fn read(object: &Value, place: &str, found: &mut IgnoredRules) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let (kind, api) = (text("/kind").unwrap_or(""), text("/apiVersion").unwrap_or(""));
    let rules = match kind {
        "HelmRelease" => object.pointer("/spec/driftDetection/ignore"),
        // kustomize has a file of the same kind, which has no spec.
        "Kustomization" if api.starts_with("kustomize.toolkit.") => object.pointer("/spec/ignore"),
        _ => return found.refuse(place, "it is no HelmRelease or Kustomization of Flux"),
    };
    let own = text("/spec/targetNamespace").or(text("/metadata/namespace"));
    for (i, rule) in rules.and_then(Value::as_array).into_iter().flatten().enumerate() {
        let place = format!("{place}: ignore {}", i + 1);
        let target = rule.get("target");
        let part = |name: &str| {
            let text = target.and_then(|target| target.get(name)).and_then(Value::as_str);
            text.filter(|text| !text.is_empty())
        };
        let selectors = ["labelSelector", "annotationSelector"];
        if let Some(selector) = selectors.into_iter().find(|name| part(name).is_some()) {
            found.refuse(&place, &format!("`{selector}` asks for what is not part of a finding"));
            continue;
        }
        let expressions = ["group", "kind", "namespace", "name"];
        let is_odd = |name: &&str| part(name).is_some_and(|text| !is_expression(text));
        if let Some(name) = expressions.into_iter().find(is_odd) {
            found.refuse(&place, &format!("`{name}` is no regular expression that SQL can read"));
            continue;
        }
        let conditions = [
            Some(kubernetes::provider()),
            type_of(part("group"), part("kind")),
            id_of(part("namespace"), part("name")),
            match part("namespace") {
                Some(_) => None,
                None => kubernetes::within(own, found),
            },
        ];
        let about = format!("flux-{}", part("name").or(part("kind")).unwrap_or("all"));
        for text in texts(rule, "paths") {
            match sql::pointer(text) {
                Some(path) => kubernetes::add(&conditions, &path, (&about, &place), found),
                None => found.refuse(&place, &format!("`{text}` is no JSON Pointer")),
            }
        }
    }
}

/// Whether a text can be part of an expression: what closes a group that it did not open would make the
/// rule wider, and so would a comment.
fn is_expression(text: &str) -> bool {
    [text, &format!("(?:(?:(?:{text})))")].iter().all(|text| regex_syntax::parse(text).is_ok())
}

fn type_of(group: Option<&str>, kind: Option<&str>) -> Option<String> {
    let kind_of =
        |kind: Option<&str>| kind.map_or(r"[^.]*".to_owned(), |kind| format!("(?:{kind})"));
    match (group, kind) {
        (None, None) => None,
        (Some(group), kind) => Some(sql::fits("type", &format!(r"{}\.(?:{group})", kind_of(kind)))),
        (None, kind) => Some(sql::fits("type", &format!(r"{}(?:\..*)?", kind_of(kind)))),
    }
}

fn id_of(namespace: Option<&str>, name: Option<&str>) -> Option<String> {
    let name_of =
        |name: Option<&str>| name.map_or("[^/]*".to_owned(), |name| format!("(?:{name})"));
    match (namespace, name) {
        (None, None) => None,
        (Some(namespace), name) => {
            Some(sql::fits("id", &format!("(?:{namespace})/{}", name_of(name))))
        }
        (None, name) => Some(sql::fits("id", &format!("(?:[^/]*/)?{}", name_of(name)))),
    }
}
