//! One resource under the names that different formats give it.

use deployforge_tests::{Lab, text};
use serde_json::{Value, json};

/// An audit's report of two files.
fn audit(lab: &Lab, baseline: &str, snapshot: &str, flags: &[&str]) -> Value {
    let args =
        [&["audit", "--baseline", baseline, "--snapshot", snapshot, "--format", "json"], flags];
    let outcome = lab.run(&args.concat());
    serde_json::from_slice(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"))
}

/// What an audit finds: addresses and paths.
fn found(report: &Value) -> Vec<String> {
    let resources = report["resources"].as_array().expect("resources");
    let mut all: Vec<String> = resources
        .iter()
        .flat_map(|resource| {
            let findings = resource["findings"].as_array().expect("findings");
            let verdict = text(resource, "verdict");
            let name = resource["address"].as_str().unwrap_or_else(|| text(resource, "id"));
            if findings.is_empty() {
                return vec![format!("{name} {verdict}")];
            }
            findings.iter().map(|one| format!("{name} {verdict} {}", text(one, "path"))).collect()
        })
        .collect();
    all.sort();
    all
}

fn state(provider: &str, resources: &[(&str, Value)]) -> String {
    let resources: Vec<Value> = resources
        .iter()
        .map(|(kind, attributes)| {
            json!({
                "mode": "managed",
                "type": kind,
                "name": "x",
                "provider": format!("provider[\"registry.terraform.io/hashicorp/{provider}\"]"),
                "instances": [{"schema_version": 0, "attributes": attributes}],
            })
        })
        .collect();
    json!({
        "version": 4, "terraform_version": "1.9.0", "serial": 1, "lineage": "l", "outputs": {},
        "resources": resources,
    })
    .to_string()
}

#[test]
fn terraform_and_assets_of_google_meet() {
    let lab = Lab::new();
    let declared = [
        (
            "google_pubsub_topic",
            json!({"id": "projects/shop/topics/t", "name": "t", "project": "shop", "labels": {"a": "b"}, "effective_labels": {"a": "b"}}),
        ),
        (
            "google_storage_bucket",
            json!({"id": "shop-b", "name": "shop-b", "project": "shop", "location": "US", "storage_class": "STANDARD", "self_link": "https://www.googleapis.com/storage/v1/b/shop-b"}),
        ),
        (
            "google_compute_firewall",
            json!({"id": "projects/shop/global/firewalls/fw", "name": "fw", "project": "shop", "priority": 1000, "self_link": "https://www.googleapis.com/compute/v1/projects/shop/global/firewalls/fw"}),
        ),
    ];
    lab.write("g.tfstate", state("google", &declared));
    let assets = |label: &str, class: &str, priority: u32| {
        let asset = |name: &str, kind: &str, data: Value| {
            json!({"name": name, "assetType": kind, "ancestors": ["projects/1"], "resource": {"version": "v1", "data": data}}).to_string()
        };
        [
            asset(
                "//pubsub.googleapis.com/projects/shop/topics/t",
                "pubsub.googleapis.com/Topic",
                json!({"name": "projects/shop/topics/t", "labels": {"a": label}}),
            ),
            asset(
                "//storage.googleapis.com/shop-b",
                "storage.googleapis.com/Bucket",
                json!({"name": "shop-b", "location": "US", "storageClass": class}),
            ),
            asset(
                "//compute.googleapis.com/projects/shop/global/firewalls/fw",
                "compute.googleapis.com/Firewall",
                json!({"name": "fw", "priority": priority}),
            ),
        ]
        .join("\n")
    };
    lab.write("same.json", assets("b", "STANDARD", 1000));
    let report = audit(&lab, "g.tfstate", "same.json", &[]);
    assert_eq!(report["summary"]["in_sync"], 3, "{report}");
    lab.write("other.json", assets("c", "NEARLINE", 900));
    let report = audit(&lab, "g.tfstate", "other.json", &[]);
    assert_eq!(
        found(&report),
        [
            "google_compute_firewall.x drifted /priority",
            "google_pubsub_topic.x drifted /effective_labels/a",
            "google_storage_bucket.x drifted /storage_class",
        ]
    );
}

#[test]
fn a_template_and_what_bears_its_tags_meet() {
    let lab = Lab::new();
    lab.write(
        "vpc.yaml",
        "Resources:\n  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}\n",
    );
    let place = ["--stack", "net", "--account", "111111111111", "--region", "eu-west-1"];
    let tags = json!([
        {"Key": "aws:cloudformation:stack-name", "Value": "net"},
        {"Key": "aws:cloudformation:logical-id", "Value": "Vpc"},
    ]);
    let reply = |block: &str| {
        json!({"Vpcs": [{"VpcId": "vpc-1", "CidrBlock": block, "OwnerId": "111111111111", "Tags": tags}]})
            .to_string()
    };
    lab.write("ec2.DescribeVpcs.json", reply("10.0.0.0/16"));
    let report = audit(&lab, "vpc.yaml", "ec2.DescribeVpcs.json", &place);
    assert_eq!(report["summary"]["in_sync"], 1, "{report}");
    lab.write("ec2.DescribeVpcs.json", reply("10.0.0.0/17"));
    let report = audit(&lab, "vpc.yaml", "ec2.DescribeVpcs.json", &place);
    assert_eq!(found(&report), ["Vpc drifted /CidrBlock"]);
    let item = json!({
        "configurationItemCaptureTime": "2026-01-01T00:00:00Z", "configurationItemStatus": "OK",
        "awsAccountId": "111111111111", "awsRegion": "eu-west-1",
        "resourceType": "AWS::EC2::VPC", "resourceId": "vpc-1",
        "ARN": "arn:aws:ec2:eu-west-1:111111111111:vpc/vpc-1", "relationships": [],
        "tags": {"aws:cloudformation:stack-name": "net", "aws:cloudformation:logical-id": "Vpc"},
        "configuration": {"vpcId": "vpc-1", "cidrBlock": "10.0.0.0/18"},
        "supplementaryConfiguration": {},
    });
    lab.write("item.json", item.to_string());
    let report = audit(&lab, "vpc.yaml", "item.json", &place);
    assert_eq!(found(&report), ["Vpc drifted /CidrBlock"]);
    // Nobody knows where the template's resources would be: nothing shows that they are not there.
    let drift = json!({"StackResourceDrifts": [{
        "StackId": "arn:aws:cloudformation:eu-west-1:111111111111:stack/other/1",
        "LogicalResourceId": "Q", "PhysicalResourceId": "q", "ResourceType": "AWS::SQS::Queue",
        "ActualProperties": "{}", "PropertyDifferences": [],
        "StackResourceDriftStatus": "IN_SYNC", "Timestamp": "2026-01-01T00:00:00Z",
    }]});
    lab.write("drift.json", drift.to_string());
    let report = audit(&lab, "vpc.yaml", "drift.json", &[]);
    assert_eq!(report["summary"]["missing"], 0, "{report}");
    assert_eq!(report["summary"]["unknown_by"]["unobserved"], 1, "{report}");
}

#[test]
fn what_was_not_compared_is_listed_and_can_be_too_much() {
    let lab = Lab::new();
    let arn = "arn:aws:sqs:eu-west-1:123456789012:orders";
    let declared = json!({"arn": arn, "id": "https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
        "name": "orders", "delay_seconds": 0, "visibility_timeout_seconds": 30,
        "unheard_of": {"a": 1, "b": "x"}});
    lab.write("state.tfstate", state("aws", &[("aws_sqs_queue", declared)]));
    let observed =
        json!({"Attributes": {"QueueArn": arn, "DelaySeconds": "0", "VisibilityTimeout": "30"}});
    lab.write("sqs.GetQueueAttributes.json", observed.to_string());
    let files =
        ["audit", "--baseline", "state.tfstate", "--snapshot", "sqs.GetQueueAttributes.json"];
    let run = |flags: &[&str]| lab.run(&[&files[..], flags].concat());
    let report = run(&["--explain", "--format", "json"]).exits(0).json();
    crate::support::fits_schema(&report);
    let attributes = &report["summary"]["attributes"];
    let [declared, compared] = ["declared", "compared"].map(|name| attributes[name].as_u64());
    let listed = report["resources"][0]["not_compared"].as_array().expect("what was not compared");
    let spans: u64 = listed.iter().filter_map(|one| one["attributes"].as_u64()).sum();
    assert_eq!(compared.map(|compared| compared + spans), declared, "{report}");
    let made_up = json!({"path": "/unheard_of", "attributes": 2, "reason": "unmapped"});
    assert!(listed.contains(&made_up), "{report}");
    let table = String::from_utf8_lossy(&run(&["--explain"]).exits(0).stdout).into_owned();
    assert!(table.contains("not compared /unheard_of (unmapped, 2 attributes)"), "{table}");
    // Without being asked, it is only counted.
    let report = run(&["--format", "json"]).exits(0).json();
    assert!(report["resources"].as_array().is_some_and(Vec::is_empty), "{report}");
    let _ = run(&["--min-attributes", "10"]).exits(0);
    let _ = run(&["--min-attributes", "99"]).exits(3);
}
