//! Set 1: CloudFormation change sets as AWS recorded them.

use std::collections::BTreeSet;

use deployforge_model::{Dialect, FindingKind};

use crate::support::{Pair, counting, lines};
use crate::tally::Tally;

/// AWS says every scalar as a text.
fn as_text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn change_sets() {
    let (mut tally, mut failed, all) =
        (Tally::default(), Vec::new(), lines("cfn-changeset-diffs.jsonl"));
    for case in &all {
        let kind = case["type"].as_str().expect("a type");
        let pair = Pair::new(
            case["test"].as_str().expect("a name"),
            Dialect::CloudFormation,
            kind,
            &case["before"],
            &case["after"],
        );
        let comparison = tally.judge(&pair);
        // Each side is in sync with itself.
        for side in [&pair.expected, &pair.observed] {
            tally.mutate(&Pair::of(&*pair.name, side.clone(), side.clone()));
        }
        let found: BTreeSet<(String, &str, String, String)> = counting(&comparison)
            .iter()
            .map(|difference| {
                let kind = match difference.kind {
                    FindingKind::Added => "Add",
                    FindingKind::Removed => "Remove",
                    FindingKind::Changed
                    | FindingKind::Reordered
                    | FindingKind::Missing
                    | FindingKind::Unmanaged => "Modify",
                };
                let value = |node: &Option<deployforge_canon::Node>| {
                    node.as_ref().map_or_else(String::new, |node| {
                        as_text(&serde_json::from_str(&node.to_json()).expect("JSON"))
                    })
                };
                // AWS reports a list as one leaf.
                (
                    difference.path.clone(),
                    kind,
                    value(&difference.expected),
                    value(&difference.observed),
                )
            })
            .collect();
        let expected: BTreeSet<(String, &str, String, String)> = case["expected"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| {
                let value = |name: &str| one.get(name).map_or_else(String::new, as_text);
                let kind = one["AttributeChangeType"].as_str().expect("a kind");
                let path = one["Path"].as_str().expect("a path").to_owned();
                (path, kind, value("BeforeValue"), value("AfterValue"))
            })
            .collect();
        if found != expected {
            failed.push(format!("{}\n  found {found:?}\n  want  {expected:?}", pair.name));
        }
    }
    tally.print("set 1");
    println!("set 1: {} of {}", all.len() - failed.len(), all.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
