//! Set 8: resources as driftctl read them from states, and from the clouds.

use std::collections::BTreeSet;

use deployforge_model::Dialect;
use serde_json::Value;

use crate::support::{Pair, json, lines, top_level};
use crate::tally::Tally;

/// Pairs that differ: type, id, a part of the recording's path, the attributes that differ in meaning,
/// read row by row, and why. A pair that is not listed is in sync: policies in another order, blocks with
/// empty members, a changed etag.
type Row = (&'static str, &'static str, &'static str, &'static [&'static str], &'static str);

const DIFFER: &[Row] = &[
    (
        "aws_appautoscaling_policy",
        "DynamoDBReadCapacityUtilization:table/GameScores",
        "_single/",
        &["arn"],
        "drifted: the policy was made anew",
    ),
    (
        "aws_dynamodb_table",
        "example",
        "_multiple/",
        &["replica", "stream_arn", "stream_label"],
        "drifted: a replica went, and the stream was made anew",
    ),
    (
        "aws_dynamodb_table",
        "GameScores",
        "_multiple/",
        &["ttl"],
        "drifted: what expires was switched",
    ),
    (
        "aws_lambda_function",
        "bar",
        "_multiple/",
        &["source_code_size"],
        "the state does not have the size of the code",
    ),
    (
        "aws_lambda_function",
        "foo",
        "_multiple/",
        &["source_code_size"],
        "the state does not have the size of the code",
    ),
    (
        "aws_lambda_function",
        "foo",
        "_signed/",
        &[
            "arn",
            "code_signing_config_arn",
            "invoke_arn",
            "package_type",
            "qualified_arn",
            "role",
            "source_code_size",
        ],
        "recordings of two accounts, and of a function that was signed later",
    ),
    (
        "aws_launch_template",
        "lt-0ed993d09ce6afc67",
        "_multiple/",
        &["arn", "credit_specification"],
        "the state does not have the ARN; drifted: the cloud has no credits",
    ),
    (
        "github_branch_protection",
        "MDIwOkJyYW5jaFByb3RlY3Rpb25SdWxlMTk1NDg0NzE=",
        "_multiples/",
        &["push_restrictions"],
        "drifted: who may push",
    ),
    (
        "github_membership",
        "driftctl-test:driftctl-acceptance-tester",
        "_multiple/",
        &["role"],
        "drifted: admin became member",
    ),
    (
        "google_compute_subnetwork",
        "projects/cloudskiff-dev-raphael/regions/us-central1/subnetworks/driftctl-unittest-1",
        "_multiple/",
        &["self_link"],
        "the state does not have the link",
    ),
];

fn by_id<'v>(file: &'v Value, kind: Option<&str>, id: &str) -> Option<&'v Value> {
    file.as_array()?.iter().find(|one| match kind {
        Some(kind) => one["Type"] == kind && one["Id"] == id,
        None => one["id"] == id,
    })
}

#[test]
fn state_and_cloud() {
    let (mut tally, mut failed) = (Tally::default(), Vec::new());
    let all = lines("driftctl-state-vs-remote.jsonl");
    let mut in_sync = 0;
    for case in &all {
        let text = |name: &str| case[name].as_str().expect("a text");
        let (kind, id) = (text("type"), text("id"));
        let (state, remote) = (json(text("state")), json(text("remote")));
        let declared = &by_id(&state, Some(kind), id).expect("in the state")["Attrs"];
        let observed = by_id(&remote, None, id).expect("in the cloud");
        let pair = Pair::new(format!("{kind} {id}"), Dialect::Terraform, kind, declared, observed);
        let found = top_level(&tally.judge(&pair));
        let remote = text("remote");
        let row = DIFFER
            .iter()
            .find(|(of, one, part, ..)| *of == kind && *one == id && remote.contains(part));
        let want: BTreeSet<String> = row
            .into_iter()
            .flat_map(|(.., names, _)| names.iter().map(|name| (*name).to_owned()))
            .collect();
        if let Some((.., why)) = row {
            println!("   {kind} {id}: {want:?}: {why}");
        }
        if found != want {
            failed.push(format!("{} {remote}: found {found:?}, want {want:?}", pair.name));
        } else if found.is_empty() {
            in_sync += 1;
        }
    }
    tally.print("set 8");
    let right = all.len() - failed.len();
    println!("set 8: {right} of {} ({in_sync} in sync)", all.len());
    assert!(!all.is_empty() && failed.is_empty(), "{}", failed.join("\n"));
}
