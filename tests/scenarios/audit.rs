//! `audit`: exit codes, flags, formats, and what it says when there is nothing to say.

use deployforge_tests::make::{
    Native, config_item, config_snapshot, gzip, lines, terraform_state, zstd,
};
use deployforge_tests::{Lab, Outcome, number};
use serde_json::{Value, json};

use crate::support::{fits_schema, paths, resources};

fn bucket(id: &str, status: &str) -> Native {
    Native::new("bucket", id, json!({"versioning": {"status": status}, "name": id})).at(1)
}

/// A baseline of two buckets and snapshots of them: equal, drifted, with one missing, one more.
fn lab() -> Lab {
    let lab = Lab::new();
    let (a, b) = (bucket("a", "on"), bucket("b", "on"));
    lab.write("base.ndjson", lines(&[a.clone().value(), b.clone().value()]));
    lab.write("same.ndjson", lines(&[b.clone().value(), a.clone().value()]));
    lab.write("drifted.ndjson", lines(&[a.clone().value(), bucket("b", "off").value()]));
    lab.write("missing.ndjson", a.clone().line());
    lab.write("more.ndjson", lines(&[a.value(), b.value(), bucket("c", "on").value()]));
    lab
}

#[track_caller]
fn audit(lab: &Lab, snapshot: &str, flags: &[&str]) -> Outcome {
    let args = ["audit", "--baseline", "base.ndjson", "--snapshot", snapshot];
    lab.run(&[&args[..], flags].concat())
}

#[test]
fn the_exit_code_says_what_was_found() {
    let lab = lab();
    for (snapshot, fail_on, code) in [
        ("same.ndjson", "informational", 0),
        ("drifted.ndjson", "informational", 1),
        ("drifted.ndjson", "degraded", 1),
        ("drifted.ndjson", "critical", 0),
        ("drifted.ndjson", "never", 0),
        ("missing.ndjson", "critical", 1),
        ("missing.ndjson", "never", 0),
        ("more.ndjson", "informational", 1),
        ("more.ndjson", "degraded", 0),
        ("nowhere.ndjson", "never", 2),
    ] {
        let _ = audit(&lab, snapshot, &["--fail-on", fail_on]).exits(code);
    }
    let _ = audit(&lab, "drifted.ndjson", &[]).exits(1);
    let _ = audit(&lab, "same.ndjson", &["--no-such-flag"]).exits(2);
    let _ = audit(&lab, "same.ndjson", &["--fail-on", "sometimes"]).exits(2);
    // Nothing is kept unless it was asked for.
    assert!(!lab.path("data").exists());
}

#[test]
fn a_report_says_what_differs() {
    let lab = lab();
    let report = audit(&lab, "drifted.ndjson", &["--format", "json"]).exits(1).json();
    let expected = json!([{
        "key": {"provider": "aws", "account": "111111111111", "region": "eu-west-1",
                "type": "bucket", "id": "b"},
        "address": null, "verdict": "drifted", "score": 50.0, "severity": "degraded",
        "findings": [{"path": "/versioning/status", "kind": "changed", "expected": "on",
                      "observed": "off", "severity": "degraded"}],
    }]);
    assert_eq!(report["resources"], expected);
    let table = audit(&lab, "drifted.ndjson", &[]).exits(1);
    for words in ["drifted", "bucket b", "/versioning/status", "\"on\" → \"off\"", "2 checked"] {
        assert!(table.text().contains(words), "no `{words}`\n{table}");
    }
    let _ = audit(&lab, "drifted.ndjson", &["--format", "json", "-o", "out.json"]).exits(1);
    let kept: Value = serde_json::from_str(&lab.read("out.json")).expect("JSON");
    assert_eq!(kept, report);
    let short = audit(&lab, "missing.ndjson", &["--limit", "0"]).exits(1);
    assert!(short.text().contains("1 more row"), "{short}");
}

#[test]
fn what_cannot_be_compared_lowers_the_coverage() {
    let lab = lab();
    // The same bucket in the words of AWS Config: no map joins the two.
    let item = config_item("AWS::S3::Bucket", "x", 1, &json!({"a": 1}));
    lab.write("items.ndjson", lines(&[item]));
    let base = ["audit", "--baseline", "base.ndjson", "--snapshot"];
    let run = |snapshots: &[&str], flags: &[&str]| {
        lab.run(&[&base[..], snapshots, &["--format", "json"], flags].concat())
    };
    let report = run(&["same.ndjson", "items.ndjson"], &["--fail-on", "never"]).exits(0).json();
    assert_eq!(number(&report["summary"], "unknown"), 1);
    assert_eq!(number(&report["summary"], "checked"), 2);
    let coverage = report["summary"]["coverage"].as_f64().expect("a share");
    assert!((coverage - 2.0 / 3.0).abs() < 1e-9, "{coverage}");
    assert_eq!(report["resources"][0]["verdict"], "unknown");
    assert_eq!(report["resources"][0]["reason"], "unmapped");
    fits_schema(&report);
    let _ = run(&["same.ndjson", "items.ndjson"], &["--min-coverage", "66"]).exits(0);
    let _ = run(&["same.ndjson", "items.ndjson"], &["--min-coverage", "67"]).exits(3);
    // Drift goes before coverage.
    let _ = run(&["drifted.ndjson", "items.ndjson"], &["--min-coverage", "67"]).exits(1);
    // Nothing at all was compared: that is no success, and it says so.
    let nothing = run(&["items.ndjson"], &["--fail-on", "never"]).exits(2);
    let nothing = nothing.says("0 resources compared");
    assert_eq!(number(&nothing.json()["summary"], "checked"), 0);
    assert_eq!(number(&nothing.json()["summary"], "in_sync"), 0);
}

#[test]
fn the_mode_says_what_counts() {
    let lab = Lab::new();
    let of = |attributes| Native::new("t", "a", attributes).at(1).line();
    lab.write("base.ndjson", of(json!({"declared": 1})));
    lab.write("now.ndjson", of(json!({"declared": 1, "computed": {"x": 1, "y": 2}})));
    let report = audit(&lab, "now.ndjson", &["--format", "json"]).exits(1).json();
    assert_eq!(paths(&report["resources"][0]), ["/computed".to_owned()].into());
    let _ = audit(&lab, "now.ndjson", &["--mode", "declared"]).exits(0);
    lab.write("null.ndjson", of(json!({"declared": 1, "computed": null})));
    let report = audit(&lab, "null.ndjson", &["--format", "json"]).exits(0).json();
    assert_eq!(number(&report["summary"], "suppressed"), 1, "a fold is counted");
    let _ = audit(&lab, "null.ndjson", &["--normalise", "off"]).exits(1);
}

#[test]
fn rules_of_the_configuration_count() {
    let lab = lab();
    lab.write(
        "deployforge.yaml",
        "policy:\n  severities:\n    - {type: bucket, path: /versioning/**, severity: critical}\n  \
         weights:\n    - {type: bucket, path: /name, weight: 3}\n",
    );
    let flags = ["-c", "deployforge.yaml", "--format", "json", "--fail-on", "critical"];
    let report = audit(&lab, "drifted.ndjson", &flags).exits(1).json();
    assert_eq!(report["resources"][0]["severity"], "critical");
    assert_eq!(report["resources"][0]["score"], 25.0);
}

#[test]
fn every_packing_and_every_place_gives_the_same() {
    let lab = lab();
    let report = |outcome: Outcome| outcome.exits(1).json();
    let plain = report(audit(&lab, "drifted.ndjson", &["--format", "json"]));
    let bytes = lab.read("drifted.ndjson").into_bytes();
    lab.write("packed.ndjson.gz", gzip(&bytes));
    lab.write("packed.zst", zstd(&bytes));
    // Members of a gzip file follow each other, as log shippers write them.
    let half = bytes.iter().position(|&byte| byte == b'\n').expect("two lines") + 1;
    lab.write("joined.gz", [gzip(&bytes[..half]), gzip(&bytes[half..])].concat());
    lab.write("folder/deep/one.ndjson", &bytes[..half]);
    lab.write("folder/two.ndjson.gz", gzip(&bytes[half..]));
    lab.write("folder/.hidden", "not JSON");
    for snapshot in
        ["packed.ndjson.gz", "packed.zst", "joined.gz", "folder", "folder/**/*", "native:folder"]
    {
        assert_eq!(report(audit(&lab, snapshot, &["--format", "json"])), plain, "{snapshot}");
    }
    let args = ["audit", "--baseline", "base.ndjson", "--snapshot", "-", "--format", "json"];
    assert_eq!(report(lab.run_with(&args, bytes.clone())), plain, "standard input");
    assert_eq!(report(lab.run_with(&args, gzip(&bytes))), plain, "packed standard input");
}

#[test]
fn a_terraform_state_is_audited_in_its_own_words() {
    let lab = Lab::new();
    let state = |serial, size: &str| {
        let group = json!({
            "id": "sg-1", "arn": "arn:aws:ec2:eu-west-1:111111111111:security-group/sg-1",
            "ingress": [{"from_port": 22}, {"from_port": 80}],
        });
        let machine = json!({
            "id": "i-1", "instance_type": size,
            "arn": "arn:aws:ec2:eu-west-1:111111111111:instance/i-1",
        });
        let list = [("aws_security_group", "web", group), ("aws_instance", "app", machine)];
        terraform_state("lineage-1", serial, &list)
    };
    lab.write("terraform.tfstate", state(1, "t3.small").to_string());
    let mut refreshed = state(2, "t3.large");
    refreshed["resources"][0]["instances"][0]["attributes"]["ingress"]
        .as_array_mut()
        .expect("a list")
        .reverse();
    lab.write("refreshed.tfstate", refreshed.to_string());
    let args = ["audit", "--baseline", "terraform.tfstate", "--snapshot", "refreshed.tfstate"];
    let report = lab.run(&[&args[..], &["--format", "json"]].concat()).exits(1).json();
    assert_eq!(resources(&report), [("i-1".to_owned(), "drifted".to_owned())].into());
    let machine = &report["resources"][0];
    assert_eq!(machine["address"], "aws_instance.app");
    assert_eq!(machine["key"]["account"], "111111111111");
    assert_eq!(paths(machine), ["/instance_type".to_owned()].into());
}

#[test]
fn both_spellings_of_config_are_one() {
    let lab = Lab::new();
    let configuration = json!({"a": {"b": [1, 2]}, "n": null});
    let item = config_item("AWS::EC2::VPC", "vpc-1", 1, &configuration);
    lab.write("s3.json", config_snapshot(std::slice::from_ref(&item)).to_string());
    let mut api = item;
    let members = api.as_object_mut().expect("an object");
    for (new, old) in
        [("version", "configurationItemVersion"), ("accountId", "awsAccountId"), ("arn", "ARN")]
    {
        let value = members.remove(old).expect("a member");
        members.insert(new.to_owned(), value);
    }
    members.insert("configuration".to_owned(), json!(configuration.to_string()));
    members.insert("configurationStateId".to_owned(), json!("1700000000001"));
    lab.write("api.ndjson", api.to_string());
    let notification = json!({
        "Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:eu-west-1:1:t",
        "Message": json!({
            "messageType": "ConfigurationItemChangeNotification", "recordVersion": "1.3",
            "notificationCreationTime": "2024-05-01T00:01:00Z", "configurationItemDiff": null,
            "configurationItem": api,
        }).to_string(),
    });
    lab.write("sns.json", notification.to_string());
    for snapshot in ["api.ndjson", "sns.json"] {
        let _ = lab.run(&["audit", "--baseline", "s3.json", "--snapshot", snapshot]).exits(0);
    }
}

#[test]
fn of_what_has_no_time_the_last_counts() {
    let lab = Lab::new();
    let all = |values: &[u64]| -> String {
        let record = |id, n| Native::new("vm", &format!("v{id}"), json!({"n": n})).line();
        (0..2000).flat_map(|id| values.iter().map(move |n| record(id, *n))).collect()
    };
    lab.write("base.ndjson", all(&[1]));
    lab.write("right.ndjson", all(&[2, 1]));
    lab.write("wrong.ndjson", all(&[1, 2]));
    let _ = audit(&lab, "right.ndjson", &[]).exits(0);
    let wrong = audit(&lab, "wrong.ndjson", &["--format", "json"]).exits(1).json();
    assert_eq!(number(&wrong["summary"], "drifted"), 2000, "{}", wrong["summary"]);
}
