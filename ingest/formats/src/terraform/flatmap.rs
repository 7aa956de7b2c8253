//! Flat attributes (`list.#`, `map.%`, `set.1234.name`) back into a tree, without their schema.
//!
//! `#` marks a list or a set, `%` a map, whose keys may hold dots. Elements of a set are keyed by a
//! hash: they come out as an array in the order of the hashes. Scalars stay text, as they are in the
//! flat form. Where the marks and the keys don't fit, nothing is guessed: the flat map is the state.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Deeper paths are no attributes.
const DEPTH: usize = 64;

type Entries<'a> = Vec<(&'a str, &'a str)>;

/// The attributes as JSON text of one object.
pub(super) fn unflatten(flat: &BTreeMap<String, String>) -> String {
    let entries = flat.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let value = object(entries, 0).unwrap_or_else(|| {
        flat.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect()
    });
    value.to_string()
}

/// Groups entries by the first segment of their keys.
fn object(entries: Entries<'_>, depth: usize) -> Option<Value> {
    if depth > DEPTH {
        return None;
    }
    let mut groups: BTreeMap<&str, Entries<'_>> = BTreeMap::new();
    for (key, value) in entries {
        let (first, rest) = key.split_once('.').unwrap_or((key, ""));
        groups.entry(first).or_default().push((rest, value));
    }
    let mut members = Map::new();
    for (name, group) in groups {
        members.insert(name.to_owned(), any(group, depth + 1)?);
    }
    Some(Value::Object(members))
}

/// The value whose entries these are, each with the rest of its key.
fn any(entries: Entries<'_>, depth: usize) -> Option<Value> {
    if let [("", value)] = entries.as_slice() {
        return Some(Value::from(*value));
    }
    let count = |mark| entries.iter().find(|(key, _)| *key == mark).map(|(_, value)| *value);
    let (list, map) = (count("#"), count("%"));
    match (list, map) {
        (None, None) => {
            let plain = entries.iter().all(|(key, _)| !key.is_empty());
            plain.then(|| object(entries, depth))?
        }
        (Some(count), None) => array(entries, count, depth),
        (None, Some(count)) => dictionary(&entries, count),
        (Some(_), Some(_)) => None,
    }
}

fn array(entries: Entries<'_>, count: &str, depth: usize) -> Option<Value> {
    let mut groups: BTreeMap<u64, Entries<'_>> = BTreeMap::new();
    for (key, value) in entries {
        if key == "#" {
            continue;
        }
        let (first, rest) = key.split_once('.').unwrap_or((key, ""));
        // Hashes of computed elements are written `~123`.
        let index = first.strip_prefix('~').unwrap_or(first).parse().ok()?;
        groups.entry(index).or_default().push((rest, value));
    }
    if count.parse() != Ok(groups.len()) {
        return None;
    }
    let elements: Option<Vec<Value>> =
        groups.into_values().map(|group| any(group, depth + 1)).collect();
    elements.map(Value::Array)
}

fn dictionary(entries: &Entries<'_>, count: &str) -> Option<Value> {
    let members: Map<String, Value> = entries
        .iter()
        .filter(|(key, _)| *key != "%")
        .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
        .collect();
    (count.parse() == Ok(members.len())).then_some(Value::Object(members))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(flat: &[(&str, &str)], want: &Value) {
        let flat = flat.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let got: Value = serde_json::from_str(&unflatten(&flat)).unwrap();
        assert_eq!(&got, want, "{flat:?}");
    }

    #[test]
    fn folds_lists_sets_and_maps() {
        check(
            &[
                ("id", "i"),
                ("tags.%", "1"),
                ("tags.kubernetes.io/role", "x"),
                ("ports.#", "2"),
                ("ports.0", "80"),
                ("ports.1", "443"),
                ("empty.#", "0"),
                ("none.%", "0"),
                ("rule.#", "1"),
                ("rule.345861710.from", "1"),
                ("rule.345861710.cidr.#", "1"),
                ("rule.345861710.cidr.0", "10.0.0.0/8"),
                ("block.0.name", "n"),
            ],
            &json!({
                "id": "i", "tags": {"kubernetes.io/role": "x"}, "ports": ["80", "443"],
                "empty": [], "none": {}, "rule": [{"from": "1", "cidr": ["10.0.0.0/8"]}],
                "block": {"0": {"name": "n"}}
            }),
        );
    }

    #[test]
    fn what_does_not_fit_stays_flat() {
        check(&[("a.#", "2"), ("a.0", "x")], &json!({"a.#": "2", "a.0": "x"}));
        check(&[("a", "x"), ("a.b", "y")], &json!({"a": "x", "a.b": "y"}));
        check(&[("a.#", "1"), ("a.x", "y")], &json!({"a.#": "1", "a.x": "y"}));
        let deep = "a.".repeat(5000) + "b";
        check(&[(&deep, "x")], &json!({ &deep: "x" }));
    }
}
