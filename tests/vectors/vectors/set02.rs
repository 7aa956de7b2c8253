//! Set 2: stack drift results of AWS.

use std::collections::BTreeSet;

use deployforge_model::{Dialect, FindingKind};
use serde_json::Value;

use crate::support::{Pair, counting, files, json};
use crate::tally::Tally;

/// Every resource of a drift result, wherever it is wrapped.
fn resources<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(members)
            if members.contains_key("StackResourceDriftStatus")
                && members.contains_key("ResourceType") =>
        {
            found.push(value);
        }
        Value::Object(members) => members.values().for_each(|value| resources(value, found)),
        Value::Array(items) => items.iter().for_each(|value| resources(value, found)),
        _ => {}
    }
}

/// Properties, as JSON text or as they are.
fn properties(value: &Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(text).expect("JSON text"),
        other => other.clone(),
    }
}

#[test]
fn stack_drift() {
    let mut paths = files("8-vectors/transcribed__cfn-drift", "json");
    paths.extend(files("8-vectors/localstack__localstack", "test_drift_detection.snapshot.json"));
    let (mut tally, mut all, mut failed) = (Tally::default(), 0, Vec::new());
    for path in paths {
        let file = json(&path);
        let mut found = Vec::new();
        resources(&file, &mut found);
        for one in found {
            all += 1;
            let kind = one["ResourceType"].as_str().expect("a type");
            let name = format!("{} {}", path.display(), one["LogicalResourceId"]);
            let (expected, observed) =
                (properties(&one["ExpectedProperties"]), properties(&one["ActualProperties"]));
            let pair = Pair::new(name, Dialect::CloudFormation, kind, &expected, &observed);
            let comparison = tally.judge(&pair);
            let got: BTreeSet<(String, &str)> = counting(&comparison)
                .iter()
                .map(|difference| {
                    let kind = match difference.kind {
                        FindingKind::Added => "ADD",
                        FindingKind::Removed => "REMOVE",
                        FindingKind::Changed
                        | FindingKind::Reordered
                        | FindingKind::Missing
                        | FindingKind::Unmanaged => "NOT_EQUAL",
                    };
                    (difference.path.clone(), kind)
                })
                .collect();
            let want: BTreeSet<(String, &str)> = one["PropertyDifferences"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| {
                    let text = |name: &str| one[name].as_str().expect("a text");
                    (text("PropertyPath").to_owned(), text("DifferenceType"))
                })
                .collect();
            let drifted = one["StackResourceDriftStatus"] == "MODIFIED";
            if got != want || drifted == got.is_empty() {
                failed.push(format!("{}\n  found {got:?}\n  want  {want:?}", pair.name));
            }
        }
    }
    tally.print("set 2");
    println!("set 2: {} of {all}", all - failed.len());
    assert!(all > 0 && failed.is_empty(), "{}", failed.join("\n"));
}
