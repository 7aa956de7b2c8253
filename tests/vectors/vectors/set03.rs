//! Set 3: OpenTofu's equivalence tests: a state, the real objects, and the drift that a plan tells.

use std::collections::{BTreeMap, BTreeSet};

use deployforge_model::Dialect;
use serde_json::{Map, Value};

use crate::support::{Pair, json, lines, top_level};
use crate::tally::Tally;

/// A real object of the mock provider: each value stands in a member that names its type.
fn unwrap(value: &Value) -> Value {
    let Value::Object(members) = value else { return value.clone() };
    let Some((kind, inner)) = members.iter().next() else { return Value::Null };
    match (kind.as_str(), inner) {
        ("number", Value::String(text)) => serde_json::from_str(text).expect("a number"),
        ("list" | "set", Value::Array(items)) => items.iter().map(unwrap).collect(),
        ("map" | "object", Value::Object(members)) => {
            members.iter().map(|(name, value)| (name.clone(), unwrap(value))).collect()
        }
        _ => inner.clone(),
    }
}

fn real(file: &Value) -> Value {
    let values = file["values"].as_object().expect("values");
    values.iter().map(|(name, value)| (name.clone(), unwrap(value))).collect::<Map<_, _>>().into()
}

/// What a plan says has drifted: attributes by the address in the state.
fn drift(plan: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let changes = plan["resource_drift"].as_array().map(Vec::as_slice).unwrap_or_default();
    changes
        .iter()
        .map(|one| {
            let address = one["previous_address"].as_str().or(one["address"].as_str());
            let side = |name: &str| one["change"][name].as_object().cloned().unwrap_or_default();
            let (before, after) = (side("before"), side("after"));
            let names = before.keys().chain(after.keys());
            let changed = names.filter(|name| before.get(*name) != after.get(*name));
            (address.expect("an address").to_owned(), changed.cloned().collect())
        })
        .collect()
}

#[test]
fn equivalence() {
    let (mut tally, mut creations, mut failed) = (Tally::default(), 0, Vec::new());
    let all = lines("opentofu-equivalence.jsonl");
    for case in &all {
        let name = case["name"].as_str().expect("a name");
        // Where there is no state yet, everything is a creation.
        let Some(state) = case["state_before"].as_str().map(json) else {
            creations += 1;
            continue;
        };
        let objects: Vec<Value> = case["real_objects"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|path| real(&json(path.as_str().expect("a path"))))
            .collect();
        let mut found = BTreeMap::new();
        for resource in state["resources"].as_array().expect("resources") {
            let kind = resource["type"].as_str().expect("a type");
            for instance in resource["instances"].as_array().expect("instances") {
                let declared = &instance["attributes"];
                let Some(observed) = objects.iter().find(|one| one["id"] == declared["id"]) else {
                    continue;
                };
                let address = format!("{kind}.{}", resource["name"].as_str().expect("a name"));
                let pair = Pair::new(
                    format!("{name} {address}"),
                    Dialect::Terraform,
                    kind,
                    declared,
                    observed,
                );
                let changed = top_level(&tally.judge(&pair));
                if !changed.is_empty() {
                    found.insert(address, changed);
                }
            }
        }
        let want = drift(&json(case["plan"].as_str().expect("a plan")));
        if found != want {
            failed.push(format!("{name}\n  found {found:?}\n  want  {want:?}"));
        }
    }
    tally.print("set 3");
    let cases = all.len() - creations;
    println!("set 3: {} of {cases} ({creations} without a state)", cases - failed.len());
    assert!(cases > 0 && failed.is_empty(), "{}", failed.join("\n"));
}
