//! Every recorded object of Kubernetes is read.

use std::collections::BTreeMap;
use std::path::Path;

use deployforge_formats::{Format, ReadOptions, Side};
use serde_json::Value;

use super::support::{Outcome, files, fixtures, read_in, state};

fn read_for(side: Side, bytes: &[u8]) -> Outcome {
    read_in(&ReadOptions { side, ..ReadOptions::default() }, bytes, 4096)
}

/// The objects of a text, by another parser of YAML than the reader's way to JSON.
fn objects(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let found: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    found.into_iter().filter(|value| !value.is_null()).collect()
}

/// What of an object is compared.
fn kept(object: &Value) -> Value {
    let mut object = object.clone();
    let members = object.as_object_mut().unwrap();
    members.remove("status");
    let metadata = members["metadata"].as_object_mut().unwrap();
    for name in [
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "resourceVersion",
        "selfLink",
        "uid",
    ] {
        metadata.remove(name);
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        annotations.remove("deployment.kubernetes.io/revision");
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    object
}

#[test]
fn every_manifest_is_read() {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let folders = ["6-inventory/kubernetes/fugue__regula", "8-vectors/argoproj__gitops-engine"];
    for path in folders.iter().flat_map(|folder| files(&fixtures(folder))) {
        let at = path.display();
        let outcome = read_for(Side::Observed, &std::fs::read(&path).unwrap());
        assert_eq!(outcome.summary.format, Some(Format::Kubernetes), "{at}");
        assert!(outcome.rejects().is_empty(), "{at}: {:?}", outcome.rejects());
        let objects = objects(&path);
        assert_eq!(outcome.observations().len(), objects.len(), "{at}");
        for (found, object) in outcome.observations().into_iter().zip(&objects) {
            assert_eq!(state(found), kept(object), "{at}");
            *kinds.entry(found.key.resource_type.clone()).or_default() += 1;
            assert_eq!(found.sensitive.len(), if object["kind"] == "Secret" { 2 } else { 0 });
        }
    }
    println!("{kinds:?}");
    assert_eq!((kinds.len(), kinds.values().sum::<usize>()), (16, 108));
}

#[test]
fn what_is_live_tells_what_was_applied() {
    let mut applied = 0;
    for path in files(&fixtures("8-vectors/argoproj__gitops-engine")) {
        let bytes = std::fs::read(&path).unwrap();
        let at = path.display();
        let outcome = read_for(Side::Declared, &bytes);
        let annotated = String::from_utf8_lossy(&bytes).contains("last-applied-configuration");
        assert_eq!(
            outcome.summary.notes.iter().any(|note| note.contains("last applied")),
            annotated
        );
        if annotated {
            let found = state(outcome.only());
            assert!(found.get("status").is_none());
            applied += 1;
            // The pair's configuration has the same key.
            let other = path
                .display()
                .to_string()
                .replace("-live-with-type", "-config")
                .replace("-live", "-config");
            let pair = read_for(Side::Declared, &std::fs::read(other).unwrap());
            let (pair, found) = (pair.only().key.clone(), outcome.only().key.clone());
            let name = |id: &str| id.rsplit('/').next().unwrap().to_owned();
            assert_eq!(pair.resource_type, found.resource_type);
            assert_eq!(name(&pair.id), name(&found.id));
            // Manifests may leave the namespace to whoever applies them.
            let left_open =
                ["elasticsearch4-data", "wordpress-wordpress"].contains(&&*name(&pair.id));
            assert_eq!(pair == found, !left_open, "{at}: {pair} {found}");
        }
    }
    assert_eq!(applied, 11);
}

/// Every text in a recording that is JSON.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.trim_start().starts_with('{') => found.push(text.clone()),
        Value::Object(members) => members.values().for_each(|value| texts(value, found)),
        Value::Array(elements) => elements.iter().for_each(|value| texts(value, found)),
        _ => {}
    }
}

#[test]
fn every_reply_and_event_is_read() {
    let (mut replies, mut objects, mut skipped) = (0, 0, 0);
    for path in files(&fixtures("6-inventory/kubernetes/cloud-custodian__cloud-custodian")) {
        let bytes = std::fs::read(&path).unwrap();
        let inputs = if path.extension().is_some_and(|extension| extension == "json") {
            vec![String::from_utf8(bytes).unwrap()]
        } else {
            let recording: Value = serde_saphyr::from_slice(&bytes).unwrap();
            let mut found = Vec::new();
            for interaction in recording["interactions"].as_array().unwrap() {
                texts(&interaction["response"]["body"], &mut found);
            }
            found
        };
        for input in inputs {
            let outcome = read_for(Side::Observed, input.as_bytes());
            let at = path.display();
            assert!(outcome.rejects().is_empty(), "{at}: {:?}", outcome.rejects());
            let value: Value = serde_json::from_str(&input).unwrap();
            match value["items"].as_array() {
                Some(items) => assert_eq!(outcome.observations().len(), items.len(), "{at}"),
                None => skipped += usize::from(outcome.observations().is_empty()),
            }
            replies += 1;
            objects += outcome.observations().len();
        }
    }
    assert_eq!((replies, objects, skipped), (30, 147, 3));
}

#[test]
fn recordings_are_read_as_they_are() {
    let mut objects = 0;
    for path in files(&fixtures("6-inventory/kubernetes/cloud-custodian__cloud-custodian")) {
        let outcome = read_for(Side::Observed, &std::fs::read(&path).unwrap());
        let at = path.display();
        assert_eq!(outcome.summary.format, Some(Format::Kubernetes), "{at}");
        assert!(outcome.rejects().is_empty(), "{at}: {:?}", outcome.rejects());
        objects += outcome.observations().len();
    }
    assert_eq!(objects, 142, "without those that were changed while it was recorded");
}
