//! Set 8: resources as driftctl read them from states, and from the clouds.

use std::collections::BTreeSet;

use deployforge_model::Dialect;
use serde_json::Value;

use crate::mutate::every_change_is_found;
use crate::support::{Noise, Pair, json, lines, top_level};

/// Of the pairs that differ: type, id, a part of the recording's path, and the attributes that differ
/// in meaning, read row by row. A pair that is not listed is in sync.
const DIFFER: &[(&str, &str, &str, &[&str])] = &[
    // The same policy of two accounts' recordings.
    (
        "aws_appautoscaling_policy",
        "DynamoDBReadCapacityUtilization:table/GameScores",
        "_single/",
        &["arn"],
    ),
    // A replica went, and the stream was made anew.
    ("aws_dynamodb_table", "example", "_multiple/", &["replica", "stream_arn", "stream_label"]),
    ("aws_dynamodb_table", "GameScores", "_multiple/", &["ttl"]),
    // The state does not have the size of the code.
    ("aws_lambda_function", "bar", "_multiple/", &["source_code_size"]),
    ("aws_lambda_function", "foo", "_multiple/", &["source_code_size"]),
    // Recordings of two accounts, and of a function that was signed later.
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
    ),
    ("aws_launch_template", "lt-0ed993d09ce6afc67", "_multiple/", &["arn", "credit_specification"]),
    (
        "github_branch_protection",
        "MDIwOkJyYW5jaFByb3RlY3Rpb25SdWxlMTk1NDg0NzE=",
        "_multiples/",
        &["push_restrictions"],
    ),
    ("github_membership", "driftctl-test:driftctl-acceptance-tester", "_multiple/", &["role"]),
    (
        "google_compute_subnetwork",
        "projects/cloudskiff-dev-raphael/regions/us-central1/subnetworks/driftctl-unittest-1",
        "_multiple/",
        &["self_link"],
    ),
    // Policies in another order, blocks with empty members, a changed etag: in sync.
];

fn by_id<'v>(file: &'v Value, kind: Option<&str>, id: &str) -> Option<&'v Value> {
    file.as_array()?.iter().find(|one| match kind {
        Some(kind) => one["Type"] == kind && one["Id"] == id,
        None => one["id"] == id,
    })
}

#[test]
fn state_and_cloud() {
    let (mut noise, mut mutations, mut failed) = (Noise::default(), 0, Vec::new());
    let all = lines("driftctl-state-vs-remote.jsonl");
    let mut in_sync = 0;
    for case in &all {
        let text = |name: &str| case[name].as_str().expect("a text");
        let (kind, id) = (text("type"), text("id"));
        let (state, remote) = (json(text("state")), json(text("remote")));
        let declared = &by_id(&state, Some(kind), id).expect("in the state")["Attrs"];
        let observed = by_id(&remote, None, id).expect("in the cloud");
        let pair = Pair::new(format!("{kind} {id}"), Dialect::Terraform, kind, declared, observed);
        let found = top_level(&noise.add(&pair));
        let remote = text("remote");
        let want: BTreeSet<String> = DIFFER
            .iter()
            .filter(|(k, i, part, _)| *k == kind && *i == id && remote.contains(part))
            .flat_map(|(.., names)| names.iter().map(|name| (*name).to_owned()))
            .collect();
        if found != want {
            failed.push(format!("{} {remote}: found {found:?}, want {want:?}", pair.name));
        } else if found.is_empty() {
            in_sync += 1;
            mutations += every_change_is_found(&pair);
        }
    }
    noise.print("set 8");
    let right = all.len() - failed.len();
    println!("set 8: {right} of {} ({in_sync} in sync); {mutations} changes found", all.len());
    assert!(!all.is_empty() && failed.is_empty(), "{}", failed.join("\n"));
}
