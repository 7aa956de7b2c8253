//! Set 13: JSON Patch and JSON Merge Patch vectors, for a comparator: equal documents have no
//! differences, others have, and our differences as a patch lead from the one to the other.

use deployforge_canon::Node;
use deployforge_compare::{DiffOptions, compare, patch};
use deployforge_policy::Policy;
use serde_json::Value;

use crate::mutate::mutants;
use crate::support::{document, json};

fn value(node: &Node) -> Value {
    serde_json::from_str(&node.to_json()).expect("JSON")
}

/// Changes each leaf of a document; how many. A change that is not found, or a patch that does not lead
/// to it, goes to `failed`.
fn change_every_leaf(doc: &Value, failed: &mut Vec<String>) -> usize {
    let node = document(doc);
    let changed = mutants(&node);
    failed.extend(
        changed.iter().filter_map(|mutant| is_right(&value(&node), &value(&mutant.tree)).err()),
    );
    changed.len()
}

/// Whether the differences of two documents are right.
fn is_right(doc: &Value, expected: &Value) -> Result<(), String> {
    let comparison =
        compare(&document(doc), &document(expected), DiffOptions::EXACT, &Policy::default(), "");
    if comparison.differences.is_empty() != (doc == expected) {
        return Err(format!("{doc} {expected}: {:?}", comparison.differences));
    }
    let patch = patch(&comparison.differences);
    let mut patched = doc.clone();
    let read: json_patch::Patch =
        serde_json::from_str(&patch).map_err(|error| error.to_string())?;
    json_patch::patch(&mut patched, &read).map_err(|error| format!("{doc} {patch}: {error}"))?;
    if patched == *expected {
        Ok(())
    } else {
        Err(format!("{doc} {patch}: {patched}, not {expected}"))
    }
}

#[test]
fn patches() {
    let (mut all, mut disabled, mut changes, mut failed) = (0, 0, 0, Vec::new());
    let folder = "8-vectors/json-patch__json-patch-tests";
    for file in ["tests.json", "spec_tests.json"] {
        for record in json(format!("{folder}/{file}")).as_array().expect("a list") {
            if record["disabled"] == true {
                disabled += 1;
                continue;
            }
            all += 1;
            let doc = &record["doc"];
            // A record that fails leaves its document as it was.
            let expected = record.get("expected").unwrap_or(doc);
            failed.extend(is_right(doc, expected).and(is_right(expected, doc)).err());
            changes += change_every_leaf(doc, &mut failed);
        }
    }
    let specs = "8-vectors/crates.io__json-patch-1.0.0/specs";
    for file in ["merge_tests.json", "revert_tests.json"] {
        for record in json(format!("{specs}/{file}")).as_array().expect("a list") {
            all += 1;
            let doc = &record["doc"];
            let result = record.get("expected").unwrap_or(doc);
            failed.extend(is_right(doc, result).and(is_right(result, doc)).err());
            changes += change_every_leaf(doc, &mut failed);
        }
    }
    println!(
        "set 13: {} of {all} ({disabled} disabled); {changes} changes found",
        all - failed.len()
    );
    assert!(all > 100 && failed.is_empty(), "{}", failed.join("\n"));
}
