//! Set 11: items of AWS Config, and what Cloud Custodian makes of them in the words of the API.
//!
//! The fragment is declared and the item observed, so that what a fragment says is compared and no more.

use deployforge_formats::ReadOptions;
use deployforge_model::Dialect;
use serde_json::{Value, json};

use crate::support::{Half, MAPS, Pair, counting, lines, observations, root, told};
use crate::tally::Tally;

const FOLDER: &str = "3-aws-config/cloud-custodian__cloud-custodian";

/// What names alone do not lead to, and so is told as not compared: type, place, why.
const NOT_COMPARED: &[(&str, &str, &str)] = &[
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", "/Attributes", "a reply of another call"),
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", "/Tags", "a reply of another call"),
    ("AWS::RDS::DBInstance", "/Tags", "Cloud Custodian's name: the API says `TagList`"),
    ("AWS::S3::Bucket", "/Acl", "permissions and grantees are spelled otherwise in an item"),
    ("AWS::S3::Bucket", "/Lifecycle", "filters are typed predicates in an item, and -1 is never"),
    ("AWS::S3::Bucket", "/Location", "stands beside the state in an item, as its region"),
    ("AWS::S3::Bucket", "/Notification", "three lists are one map by name in an item"),
    ("AWS::S3::Bucket", "/Replication", "rules are a map by name in an item"),
];

/// What a statement says of the resource, in the words of the API; `None` where it speaks of a run, or of the key.
fn fragment(expression: &str, expected: &Value) -> Option<Value> {
    let quoted = |text: &str| text.split(['"', '\'']).nth(1).map(str::to_owned);
    match expression {
        "resource" => Some(expected.clone()),
        "rule" => Some(json!({"Lifecycle": {"Rules": [expected]}})),
        // Tags as a map.
        text if text.contains(".pop(\"Tags\")") => {
            let tag = |(key, value): (&String, &Value)| json!({"Key": key, "Value": value});
            Some(json!({"Tags": expected.as_object()?.iter().map(tag).collect::<Value>()}))
        }
        text if text.starts_with("rfilter[\"And\"]") => {
            let name = quoted(text.trim_start_matches("rfilter[\"And\"]"))?;
            Some(json!({"Lifecycle": {"Rules": [{"Filter": {"And": {name: expected}}}]}}))
        }
        text if text.starts_with("resource[") || text.starts_with("result[") => {
            Some(json!({quoted(text)?: expected}))
        }
        _ => None,
    }
}

#[test]
fn items_and_fragments() {
    let (mut tally, mut failed) = (Tally::default(), Vec::new());
    let (mut statements, mut whole, mut compared, mut declared) = (0, 0, 0, 0);
    for case in lines("c7n-config-normalise.jsonl") {
        let name = case["source"].as_str().expect("a name").rsplit("::").next().expect("a name");
        let path = case["config_item"][0].as_str().expect("a path");
        let bytes = std::fs::read(root().join(FOLDER).join(path)).expect("the file");
        let items = observations(ReadOptions::default(), &bytes).0;
        for one in case["asserts"].as_array().expect("asserts") {
            let expression = one["expr"].as_str().expect("a text");
            let said = fragment(expression, &one["expected"]);
            let (Some(said), [item]) = (said, items.as_slice()) else {
                println!("   {name}: `{expression}` speaks of a run or a key, not of a state");
                continue;
            };
            statements += 1;
            let kind = &*item.key.resource_type;
            if MAPS.kind(Dialect::Aws, kind).is_none() {
                println!("   {name}: {kind} has no map");
                continue;
            }
            let pair = Pair::of(name, Half::new(Dialect::Aws, kind, &said), Half::of(item));
            let comparison = tally.judge(&pair);
            compared += comparison.compared();
            declared += comparison.leaves;
            if comparison.skipped.is_empty() && counting(&comparison).is_empty() {
                whole += 1;
            }
            println!(
                "   {name}: `{expression}`: {} of {} attributes compared",
                comparison.compared(),
                comparison.leaves
            );
            for skipped in &comparison.skipped {
                let known = NOT_COMPARED.iter().find(|row| row.0 == kind && row.1 == skipped.path);
                let Some((.., why)) = known else {
                    failed.push(format!("{name}: {kind} {} is not compared", skipped.path));
                    continue;
                };
                println!("      not {}: {why}", skipped.path);
            }
            if !counting(&comparison).is_empty() {
                failed.push(format!("{name} {expression}: {}", told(&comparison).join(", ")));
            }
        }
    }
    tally.print("set 11, items");
    println!(
        "set 11, items: {} of {statements} statements in sync, {whole} of them in whole; {compared} of {declared} attributes compared",
        statements - failed.len()
    );
    assert!(compared > 0 && failed.is_empty(), "{}", failed.join("\n"));
}
