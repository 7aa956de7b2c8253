//! Set 6: change notifications of AWS Config: the changes undone, and found again.

use std::collections::BTreeSet;

use deployforge_canon::Node;
use deployforge_model::Dialect;
use serde_json::{Value, json};

use crate::support::{Pair, counting, files, root};

/// Notifications, however they are wrapped: text within text.
fn notifications(value: &Value, depth: usize, found: &mut Vec<Value>) {
    match value {
        Value::String(text) if depth < 6 && text.trim_start().starts_with('{') => {
            if let Ok(inner) = serde_json::from_str(text) {
                notifications(&inner, depth + 1, found);
            }
        }
        Value::Object(members) => {
            let changes = &value["configurationItemDiff"]["changedProperties"];
            if changes.as_object().is_some_and(|changes| !changes.is_empty())
                && value["configurationItem"].is_object()
            {
                found.push(value.clone());
            } else {
                members.values().for_each(|value| notifications(value, depth, found));
            }
        }
        Value::Array(items) => items.iter().for_each(|value| notifications(value, depth, found)),
        _ => {}
    }
}

/// A member whatever the case of its first letter; AWS spells it otherwise in the change.
fn name_of(value: &Value, name: &str) -> String {
    let members = value.as_object().into_iter().flatten();
    members
        .map(|(member, _)| member)
        .find(|member| member.eq_ignore_ascii_case(name))
        .map_or_else(|| name.to_owned(), Clone::clone)
}

/// A value whatever the case of its members.
fn plain(value: &Value) -> String {
    value.to_string().to_lowercase().replace(' ', "")
}

/// Takes one change back.
fn undo(item: &mut Value, path: &str, change: &Value) {
    let segments: Vec<&str> = path.split('.').collect();
    let (last, before) = segments.split_last().expect("a path");
    let mut at = item;
    for segment in before {
        if let Value::String(text) = at {
            *at = serde_json::from_str(text).unwrap_or(Value::Null);
        }
        let name = name_of(at, segment);
        if at.is_null() {
            *at = json!({});
        }
        let is_number = last.parse::<usize>().is_ok();
        at = at.as_object_mut().expect("an object").entry(name).or_insert(if is_number {
            json!([])
        } else {
            json!({})
        });
    }
    let (was, is) = (&change["previousValue"], &change["updatedValue"]);
    if at.is_null() {
        *at = if last.parse::<usize>().is_ok() { json!([]) } else { json!({}) };
    }
    match at {
        // The position is one in AWS's own order.
        Value::Array(items) => {
            if !is.is_null() {
                let found = items.iter().position(|one| plain(one) == plain(is));
                items.remove(found.unwrap_or(items.len() - 1));
            }
            if !was.is_null() {
                items.insert(0, was.clone());
            }
        }
        Value::Object(members) => {
            let name = name_of(&Value::Object(members.clone()), last);
            // A number among tags: the one with this value.
            let name = match last.parse::<usize>() {
                Ok(_) => members
                    .iter()
                    .find(|(_, value)| *value == is)
                    .map_or(name, |(name, _)| name.clone()),
                Err(_) => name,
            };
            if was.is_null() {
                members.remove(&name);
            } else {
                members.insert(name, was.clone());
            }
        }
        other => *other = was.clone(),
    }
}

/// The state of an item, as the reader of items gives it.
fn state(item: &Value) -> Value {
    let opened = |value: &Value| match value {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
        other => other.clone(),
    };
    let mut state = json!({"configuration": opened(&item["configuration"])});
    for name in ["supplementaryConfiguration", "tags", "relationships"] {
        if !item[name].is_null() {
            state[name] = item[name].clone();
        }
    }
    let parts = state["supplementaryConfiguration"].as_object_mut().into_iter().flatten();
    parts.for_each(|(_, value)| *value = opened(value));
    state
}

/// A path without what stands below the first list or below a text, in lower case.
fn coarse(path: &str, tree: &Node) -> String {
    let mut node = Some(tree);
    let mut out = String::new();
    for segment in path.split('/').skip(1) {
        match node {
            Some(Node::Array(_) | Node::Set(_) | Node::Keyed(_)) => break,
            Some(Node::Object(_)) => {
                node = node.and_then(|node| node.get(segment));
                out = format!("{out}.{}", segment.to_lowercase());
            }
            _ => out = format!("{out}.{}", segment.to_lowercase()),
        }
    }
    out.trim_start_matches('.').to_owned()
}

#[test]
fn notifications_are_found_again() {
    let (mut all, mut paths, mut failed) = (0, 0, Vec::new());
    for path in files("3-aws-config", "") {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        let Some(start) = text.find('{') else { continue };
        let Ok(value) = serde_json::from_str::<Value>(&text[start..]) else { continue };
        let mut found = Vec::new();
        notifications(&value, 0, &mut found);
        for one in found {
            all += 1;
            println!("   {}", path.display());
            let item = &one["configurationItem"];
            let changes =
                one["configurationItemDiff"]["changedProperties"].as_object().expect("changes");
            let mut previous = item.clone();
            changes.iter().for_each(|(path, change)| undo(&mut previous, path, change));
            let kind = item["resourceType"].as_str().expect("a type");
            let pair = Pair::new(
                path.display().to_string(),
                Dialect::AwsConfig,
                kind,
                &state(&previous),
                &state(item),
            );
            let comparison = pair.compare_with(deployforge_canon::Normalise::Off);
            let tree = |difference: &deployforge_compare::Difference| match difference.observed {
                Some(_) => coarse(&difference.path, &pair.observed),
                None => coarse(&difference.path, &pair.expected),
            };
            let differences: Vec<_> = counting(&comparison);
            let got: BTreeSet<String> =
                differences.iter().map(|difference| tree(difference)).collect();
            let want: BTreeSet<String> = changes
                .keys()
                .map(|path| {
                    let path = path.to_lowercase();
                    match path.rsplit_once('.') {
                        Some((list, number)) if number.parse::<usize>().is_ok() => list.to_owned(),
                        _ => path,
                    }
                })
                .collect();
            paths += want.len();
            // A tag is found under its name, which the notification does not tell.
            let covers = |path: &String| {
                want.contains(path) || want.iter().any(|w| path.starts_with(&format!("{w}.")))
            };
            if !got.iter().all(covers)
                || !want
                    .iter()
                    .all(|w| got.iter().any(|g| g == w || g.starts_with(&format!("{w}."))))
            {
                failed.push(format!("{}\n  found {got:?}\n  want  {want:?}", pair.name));
            }
        }
    }
    println!("set 6: {} of {all} notifications, {paths} paths", all - failed.len());
    assert!(all > 0 && failed.is_empty(), "{}", failed.join("\n"));
}
