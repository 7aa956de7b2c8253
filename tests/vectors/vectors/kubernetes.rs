//! Manifests against what the API server makes of them, kind by kind: what it fills in is no drift, and
//! whatever else is there is.

use std::collections::BTreeMap;

use deployforge_canon::Fold;
use deployforge_formats::{ReadOptions, Side};
use deployforge_model::{Dialect, Mode, Observation};
use serde_json::Value;

use crate::mutate::{every_change_is_found, mutants};
use crate::support::{Half, Pair, counting, observations, told};

const MANIFESTS: &str = include_str!("../data/kubernetes-manifests.yaml");
const ADDITIONS: &str = include_str!("../data/kubernetes-additions.json");
const LIVE: &str = include_str!("../data/kubernetes-live.yaml");

fn read(text: &str, side: Side) -> BTreeMap<String, Observation> {
    let (all, summary) =
        observations(ReadOptions { side, ..ReadOptions::default() }, text.as_bytes());
    assert_eq!(summary.rejects, 0, "{:?}", summary.notes);
    all.into_iter().map(|one| (one.key.to_string(), one)).collect()
}

fn pairs() -> Vec<Pair> {
    let (declared, mut live) = (read(MANIFESTS, Side::Declared), read(LIVE, Side::Observed));
    let pairs = declared.into_iter().map(|(key, one)| {
        let other = live.remove(&key).unwrap_or_else(|| panic!("{key} is not there"));
        Pair::of(key, Half::of(&one), Half::of(&other))
    });
    let pairs = pairs.collect();
    assert!(live.is_empty(), "{:?}", live.keys());
    pairs
}

#[test]
fn what_the_server_fills_in_is_no_drift() {
    let (mut wrong, mut suppressed) = (Vec::new(), 0);
    for pair in pairs() {
        let comparison = pair.compare();
        suppressed += comparison.differences.len();
        let found = told(&comparison);
        if !found.is_empty() {
            wrong.push(format!("{}: {found:?}", pair.name));
        }
    }
    println!("kubernetes: {} pairs, {suppressed} differences suppressed", pairs().len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A leaf of the live object in turn: what was declared, and what the server filled in by rule.
#[test]
fn each_change_of_a_live_object_is_found() {
    let (mut found, mut assigned) = (0, Vec::new());
    for pair in pairs() {
        every_change_is_found(&pair);
        every_change_is_found(&Pair { mode: Mode::Declared, ..pair.clone() });
        let before = pair.compare();
        let managed: Vec<&str> = before
            .differences
            .iter()
            .filter(|one| one.fold == Some(Fold::Managed))
            .map(|one| one.path.as_str())
            .collect();
        for mutant in mutants(&pair.observed.state) {
            let state = mutant.tree.clone();
            let observed = Half { state, ..pair.observed.clone() };
            let after = Pair { observed, ..pair.clone() }.compare();
            if !counting(&after).is_empty() {
                found += 1;
                continue;
            }
            let is_assigned = managed.iter().any(|path| mutant.path.starts_with(path));
            // What is filled in as nothing may as well not be there.
            assert!(is_assigned || mutant.was_empty, "{} {}", pair.name, mutant.path);
            assigned.push(format!("{} {}", pair.expected.resource_type, mutant.path));
        }
    }
    println!("kubernetes: {found} changes found; assigned by the server: {assigned:#?}");
    assert!(found > 500, "{found}");
}

/// Sets what stands at a pointer; `-` at its end adds an element.
fn put(live: &mut Value, pointer: &str, value: Value) {
    let (before, last) = pointer.rsplit_once('/').expect("a pointer");
    let parent = live.pointer_mut(before).unwrap_or_else(|| panic!("{before}"));
    match parent {
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => items[last.parse::<usize>().expect("a number")] = value,
        object => object[last.replace("~1", "/")] = value,
    }
}

/// What someone changes in a live object, or adds to it: which object, where, and what.
#[test]
fn what_someone_adds_is_found() {
    let changes: Vec<(String, String, Value)> = serde_json::from_str(ADDITIONS).expect("the table");
    let (pairs, mut hidden) = (pairs(), Vec::new());
    for (id, pointer, value) in &changes {
        let pair =
            pairs.iter().find(|pair| pair.name.ends_with(id)).unwrap_or_else(|| panic!("{id}"));
        let mut raw = pair.observed.raw.clone();
        put(&mut raw, pointer, value.clone());
        let kind = &pair.expected.resource_type;
        let secret = if kind == "Secret" { vec!["/data".to_owned()] } else { Vec::new() };
        let observed = Half::with_secrets(Dialect::Kubernetes, kind, &raw, &secret);
        if counting(&Pair { observed, ..pair.clone() }.compare()).is_empty() {
            hidden.push(format!("{id} {pointer} {value}"));
        }
    }
    println!("kubernetes: {} of {} additions found", changes.len() - hidden.len(), changes.len());
    assert!(hidden.is_empty(), "not found: {hidden:#?}");
}

/// The same values, given as texts and as the API server holds them.
#[test]
fn texts_of_a_secret_are_its_data() {
    let of = |text: &str| {
        let all = read(
            &format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s, namespace: n}}\n{text}\n"),
            Side::Declared,
        );
        Half::of(all.values().next().expect("one")).state.to_json()
    };
    let held = of("data: {a: aHVudGVyMg==, b: w7w=, c: ''}");
    assert!(!held.contains("hunter2") && !held.contains("aHVudGVyMg"), "{held}");
    assert_eq!(of("stringData: {a: hunter2, b: ü, c: ''}"), held);
    assert_eq!(of("data: {a: b3Zlcg==, c: ''}\nstringData: {b: ü, a: hunter2}"), held);
    assert_eq!(of("data: {a: \"aHVu\\ndGVyMg==\\n\", b: w7w=, c: ''}"), held);
    assert_ne!(of("stringData: {a: hunter3, b: ü, c: ''}"), held);
}

/// What Terraform's provider writes of an object, against the object: types, state and object.
#[test]
fn states_of_terraform() {
    let mut rows: Vec<(String, String, Value, Value)> =
        serde_json::from_str(include_str!("../data/terraform-kubernetes.json")).expect("rows");
    let value = |text| serde_json::from_str(text).expect("JSON");
    rows.push((
        "kubernetes_deployment".to_owned(),
        "Deployment.apps".to_owned(),
        value(include_str!("../data/terraform-deployment.json")),
        value(include_str!("../data/deployment.json")),
    ));
    let mut wrong = Vec::new();
    for (terraform, kind, state, live) in rows {
        let pair = Pair::of(
            terraform.clone(),
            Half::new(Dialect::Terraform, &terraform, &state),
            Half::new(Dialect::Kubernetes, &kind, &live),
        );
        let comparison = pair.compare();
        let changes = every_change_is_found(&pair);
        let (compared, all) = (comparison.compared(), comparison.leaves);
        println!("   {terraform}: {compared} of {all} compared, {} changes found", changes.found);
        let found = told(&comparison);
        if !found.is_empty() {
            wrong.push(format!("{terraform}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
