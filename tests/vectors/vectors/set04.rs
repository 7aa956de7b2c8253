//! Set 4: the drift that real plans tell, object by object.
//!
//! Strictly everything that Terraform reports is found. Normalised, what a first apply leaves behind is
//! no drift: it was read object by object, and the attributes that are more than another spelling of
//! the same are listed here.

use std::collections::BTreeSet;

use deployforge_canon::Normalise;
use deployforge_model::Dialect;
use serde_json::Value;

use crate::support::{Pair, json, lines, top_level};
use crate::tally::Tally;

/// File, address, attributes that differ in meaning. What is not listed is in sync.
const DRIFTED: &[(&str, &str, &[&str])] = &[
    // Logging was switched on, and a policy was attached by another resource.
    ("issue355_infra.json", "aws_s3_bucket.cloudtrail", &["logging", "policy"]),
    // A volume was attached by another resource.
    ("instance_with_attachment_after_deploy.json", "aws_instance.ec2", &["ebs_block_device"]),
    ("plan-redacted.json", "tfcoremock_simple_resource.example", &["(gone)"]),
    ("show-json/drift/output.json", "test_instance.should_refresh", &["ami"]),
    ("show-json/moved-drift/output.json", "test_instance.should_refresh_with_move", &["ami"]),
    (
        "drift_relevant_attributes/plan.json",
        "tfcoremock_simple_resource.base",
        &["number", "string"],
    ),
    ("drift_simple/plan.json", "tfcoremock_simple_resource.drift", &["string"]),
    ("moved_with_drift/plan.json", "tfcoremock_simple_resource.base_after", &["string"]),
];

fn names(value: &Value) -> BTreeSet<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[test]
fn resource_drift() {
    let (mut tally, mut failed) = (Tally::default(), Vec::new());
    let all = lines("tf-plan-drift.jsonl");
    for case in &all {
        let text = |name: &str| case[name].as_str().expect("a text");
        let (file, address) = (text("plan"), text("address"));
        let plan = json(file);
        let drift = plan["resource_drift"].as_array().expect("drift");
        let one = drift.iter().find(|one| one["address"] == address).expect("the address");
        let change = &one["change"];
        let want: BTreeSet<String> = DRIFTED
            .iter()
            .filter(|(end, of, _)| file.ends_with(end) && *of == address)
            .flat_map(|(.., attributes)| attributes.iter().map(|name| (*name).to_owned()))
            .collect();
        if change["after"].is_null() {
            // Gone: a deletion, not a difference.
            if !want.contains("(gone)") {
                failed.push(format!("{file} {address}: gone"));
            }
            continue;
        }
        let pair = Pair::new(
            format!("{file} {address}"),
            Dialect::Terraform,
            text("type"),
            &change["before"],
            &change["after"],
        );
        let strict = top_level(&pair.compare_with(Normalise::Off));
        if strict != names(&case["changed_top_level"]) {
            failed.push(format!("{} strictly: {strict:?}", pair.name));
        }
        let found = top_level(&tally.judge(&pair));
        if found != want {
            failed.push(format!("{}: found {found:?}, want {want:?}", pair.name));
        }
    }
    tally.print("set 4");
    println!("set 4: {} of {}", all.len() - failed.len(), all.len());
    assert!(!all.is_empty() && failed.is_empty(), "{}", failed.join("\n"));
}

/// Updates that plans announce: what nobody knows yet is not reported as a value.
#[test]
fn updates() {
    let all = lines("tf-plan-updates.jsonl");
    let mut failed = Vec::new();
    for case in &all {
        let text = |name: &str| case[name].as_str().expect("a text");
        let plan = json(text("plan"));
        let changes = plan[text("key")].as_array().expect("changes");
        let one = changes
            .iter()
            .find(|one| {
                one["address"] == case["address"] && one["change"]["actions"] == case["actions"]
            })
            .expect("the address");
        let change = &one["change"];
        let (mut after, unknown) = (change["after"].clone(), names(&case["unknown"]));
        for name in &unknown {
            after[name] = serde_json::json!({"$deployforge.unresolved": "known after apply"});
        }
        if change["before"].is_null() || after.is_null() {
            continue;
        }
        let kind = text("type");
        let pair = Pair::new(text("address"), Dialect::Terraform, kind, &after, &change["before"]);
        let found = top_level(&pair.compare_with(Normalise::Off));
        let want: BTreeSet<String> =
            names(&case["changed_top_level"]).difference(&unknown).cloned().collect();
        if found != want {
            failed.push(format!("{} {}: found {found:?}, want {want:?}", text("plan"), pair.name));
        }
    }
    println!("set 4, updates: {} of {}", all.len() - failed.len(), all.len());
    assert!(!all.is_empty() && failed.is_empty(), "{}", failed.join("\n"));
}
