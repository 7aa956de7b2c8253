//! Cloud assemblies of the CDK: a manifest, the templates that it names, and what stacks say of drift.

use deployforge_tests::{Lab, number};
use serde_json::{Value, json};

use crate::support::paths;

const STACK: &str = "arn:aws:cloudformation:eu-west-1:111111111111:stack/shop-web/uuid";

fn queue(delay: u64) -> Value {
    json!({"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": delay, "QueueName": {"Ref": "Name"}}})
}

/// `cdk.out` as `cdk synth` writes it: a stack whose name is not its file's, and a nested assembly.
fn lab() -> Lab {
    let lab = Lab::new();
    let write = |name: &str, value: Value| lab.write(name, value.to_string() + "\n");
    let stack = |file: &str, name: &str| {
        json!({"type": "aws:cloudformation:stack", "environment": "aws://111111111111/eu-west-1",
               "properties": {"templateFile": file, "stackName": name, "parameters": {"Name": "jobs"}}})
    };
    write(
        "cdk.out/manifest.json",
        json!({"version": "36.0.0", "artifacts": {
            "Tree": {"type": "cdk:tree", "properties": {"file": "tree.json"}},
            "assembly-Stage": {"type": "cdk:cloud-assembly",
                               "properties": {"directoryName": "assembly-Stage"}},
            "Web": stack("A.template.json", "shop-web"),
        }}),
    );
    write(
        "cdk.out/A.template.json",
        json!({"Parameters": {"Name": {"Type": "String"}}, "Resources": {"Q": queue(20)}}),
    );
    write("cdk.out/cdk.out", json!({"version": "36.0.0"}));
    write("cdk.out/tree.json", json!({"version": "tree-0.1", "tree": {"id": "App", "path": ""}}));
    write(
        "cdk.out/assembly-Stage/manifest.json",
        json!({"version": "36.0.0", "artifacts": {"Db": stack("Db.template.json", "shop-db")}}),
    );
    write(
        "cdk.out/assembly-Stage/Db.template.json",
        json!({"Parameters": {"Name": {"Type": "String"}}, "Resources": {"D": queue(5)}}),
    );
    lab
}

fn drift(stack: &str, id: &str, delay: u64) -> Value {
    json!({"StackId": stack, "LogicalResourceId": id,
        "PhysicalResourceId": format!("https://sqs/111111111111/{id}"),
        "ResourceType": "AWS::SQS::Queue", "Timestamp": "2026-11-20T10:00:00Z",
        "StackResourceDriftStatus": "MODIFIED", "ExpectedProperties": "{}",
        "ActualProperties": json!({"DelaySeconds": delay, "QueueName": "jobs"}).to_string()})
}

fn write_drift(lab: &Lab, delay: u64) {
    let db = STACK.replace("shop-web", "shop-db");
    let found = json!({"StackResourceDrifts": [drift(STACK, "Q", delay), drift(&db, "D", 5)]});
    lab.write("drift.json", found.to_string());
}

#[test]
fn an_assembly_is_compared_with_what_its_stacks_are() {
    let lab = lab();
    write_drift(&lab, 20);
    for baseline in ["cdk.out", "cdk.out/manifest.json"] {
        let args =
            ["audit", "--baseline", baseline, "--snapshot", "drift.json", "--format", "json"];
        write_drift(&lab, 20);
        let report = lab.run(&args).exits(0).json();
        assert_eq!(number(&report["summary"], "in_sync"), 2, "{report:#}");
        assert_eq!(number(&report["summary"], "checked"), 2, "{report:#}");
        write_drift(&lab, 120);
        let report = lab.run(&args).exits(1).json();
        assert_eq!(number(&report["summary"], "drifted"), 1, "{report:#}");
        assert_eq!(paths(&report["resources"][0]), ["/DelaySeconds".to_owned()].into());
    }
    // The template alone does not know what its stack is called.
    let alone = ["audit", "--baseline", "cdk.out/A.template.json", "--snapshot", "drift.json"];
    let report = lab.run(&[&alone[..], &["--format", "json"]].concat()).exits(1).json();
    assert_eq!(number(&report["summary"], "checked"), 0, "{report:#}");
    let flags = ["--stack", "shop-web", "--parameter", "Name=jobs", "--format", "json"];
    let report = lab.run(&[&alone[..], &flags].concat()).exits(1).json();
    assert_eq!(number(&report["summary"], "drifted"), 1, "{report:#}");
}

#[test]
fn an_assembly_can_be_imported_and_streamed() {
    let lab = lab();
    let imported = lab.run(&["baseline", "import", "prod", "cdk.out"]).exits(0);
    assert!(imported.text().contains("2 resources, declared"), "{imported}");
    write_drift(&lab, 120);
    let _ = lab.run(&["run", "--once", "--source", "drift.json"]).exits(1);
    let _ = lab.run(&["run", "--once", "--source", "cdk.out"]);
    let rejects = lab.query("SELECT count(*) AS n FROM rejects");
    assert_eq!(number(&rejects[0], "n"), 0, "{rejects:?}");
}

#[test]
fn a_template_that_is_not_there_is_refused() {
    let lab = lab();
    write_drift(&lab, 20);
    std::fs::remove_file(lab.path("cdk.out/A.template.json")).expect("it was there");
    let args = ["audit", "--baseline", "cdk.out", "--snapshot", "drift.json"];
    let refused = lab.run(&args).says("The manifest names `A.template.json`: it is not there");
    assert_eq!(refused.code, Some(2), "{refused}");
    let import = lab.run(&["baseline", "import", "prod", "cdk.out", "--dry-run"]);
    assert!(import.exits(2).text().contains("1 records refused"));
    // From a pipe there is no folder.
    let piped = lab.read("cdk.out/manifest.json");
    let piped = lab.run_with(&["baseline", "import", "p", "-", "--dry-run"], piped);
    let _ = piped.exits(2).says("copy its folder here");
}
