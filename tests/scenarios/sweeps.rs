//! Complete listings, late and contradicting observations, tombstones: what is known of a resource.

use deployforge_tests::make::{Native, sweep_end, sweep_start, terraform_state};
use deployforge_tests::{Lab, text};
use serde_json::{Value, json};

use crate::support::{expect_verdicts, import, run_once, verdicts};

fn vm(id: &str, n: u64) -> Native {
    Native::new("vm", id, json!({"n": n}))
}

/// A lab whose baseline declares `a`, `b` and `c` with `n` 1.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("base.ndjson", ["a", "b", "c"].map(|id| vm(id, 1).line()).concat());
    let _ = import(&lab, "base.ndjson");
    lab
}

#[track_caller]
fn feed(lab: &Lab, name: &str, text: &str) {
    lab.write(name, text);
    let outcome = run_once(lab, &[name]);
    assert!(matches!(outcome.code, Some(0..=2)), "{outcome}");
}

#[test]
fn only_a_finished_sweep_makes_a_resource_missing() {
    let lab = lab();
    feed(&lab, "1.ndjson", &vm("a", 1).at(1).line());
    expect_verdicts(&lab, &[("vm a", "in_sync")]);
    let listing = sweep_start("s1", &json!({})) + &vm("a", 1).at(2).listed_by("s1").line();
    feed(&lab, "2.ndjson", &listing);
    expect_verdicts(&lab, &[("vm a", "in_sync")]);
    let listing = sweep_start("s2", &json!({}))
        + &vm("a", 1).at(3).listed_by("s2").line()
        + &vm("b", 2).at(3).listed_by("s2").line()
        + &sweep_end("s2");
    feed(&lab, "3.ndjson", &listing);
    expect_verdicts(&lab, &[("vm a", "in_sync"), ("vm b", "drifted"), ("vm c", "missing")]);
    feed(&lab, "4.ndjson", &sweep_end("never-started"));
    expect_verdicts(&lab, &[("vm a", "in_sync"), ("vm b", "drifted"), ("vm c", "missing")]);
    // What was missing and is seen again is back.
    feed(&lab, "5.ndjson", &vm("c", 1).at(500_000 / 60).line());
    expect_verdicts(&lab, &[("vm a", "in_sync"), ("vm b", "drifted"), ("vm c", "in_sync")]);
}

#[test]
fn a_sweep_speaks_of_its_scope_alone() {
    let lab = Lab::new();
    let of = |id: &str, region: &str| vm(id, 1).with("region", json!(region));
    lab.write("base.ndjson", of("a", "r1").line() + &of("b", "r1").line() + &of("c", "r2").line());
    let _ = import(&lab, "base.ndjson");
    let listing = sweep_start("s", &json!({"provider": "aws", "region": "r1"}))
        + &of("a", "r1").at(1).listed_by("s").line()
        + &sweep_end("s");
    feed(&lab, "1.ndjson", &listing);
    expect_verdicts(&lab, &[("vm a", "in_sync"), ("vm b", "missing")]);
    let other =
        sweep_start("t", &json!({"type": "database"})) + &vm("x", 1).at(1).line() + &sweep_end("t");
    feed(&lab, "2.ndjson", &other);
    assert_eq!(verdicts(&lab).get("vm c"), None, "nobody looked");
}

#[test]
fn a_damaged_sweep_proves_nothing() {
    let lab = lab();
    let listing = sweep_start("s", &json!({}))
        + &vm("a", 1).at(1).listed_by("s").line()
        + "{\"provider\":\"aws\",\"type\":\"vm\",\"id\":\"b\",\"attrib\n"
        + &sweep_end("s");
    lab.write("1.ndjson", listing);
    let outcome = run_once(&lab, &["1.ndjson"]).exits(2);
    let _ = outcome.says("line 3");
    let expected =
        [("vm a", "in_sync"), ("vm b", "unknown unreadable"), ("vm c", "unknown unreadable")];
    expect_verdicts(&lab, &expected);
}

#[test]
fn late_and_repeated_observations_change_nothing() {
    let lab = lab();
    feed(
        &lab,
        "1.ndjson",
        &(vm("a", 2).at(10).line() + &vm("b", 1).at(10).with("version", json!(7)).line()),
    );
    let before = lab.count("finding_transitions");
    // By time, and by version where both have one, whatever the time says.
    feed(
        &lab,
        "2.ndjson",
        &(vm("a", 1).at(9).line() + &vm("b", 5).at(11).with("version", json!(6)).line()),
    );
    feed(
        &lab,
        "3.ndjson",
        &(vm("a", 2).at(10).line() + &vm("b", 1).at(10).with("version", json!(7)).line()),
    );
    expect_verdicts(&lab, &[("vm a", "drifted"), ("vm b", "in_sync")]);
    assert_eq!(lab.count("finding_transitions"), before);
    let late: u64 = lab.query("select sum(late) as n from checks")[0]["n"].as_u64().expect("a sum");
    assert_eq!(late, 2, "late observations are counted");
    feed(&lab, "4.ndjson", &vm("b", 9).at(5).with("version", json!(8)).line());
    expect_verdicts(&lab, &[("vm a", "drifted"), ("vm b", "drifted")]);
}

#[test]
fn two_states_of_one_moment_contradict_each_other() {
    let lab = lab();
    feed(&lab, "1.ndjson", &(vm("a", 1).at(1).line() + &vm("a", 2).at(1).line()));
    expect_verdicts(&lab, &[("vm a", "unknown conflicting")]);
    // The same state written another way is no contradiction.
    let spelt = vm("b", 1).at(1).line().replace("\"n\":1", "\"n\": 1.0");
    feed(&lab, "2.ndjson", &(vm("b", 1).at(1).line() + &spelt));
    assert_eq!(verdicts(&lab)["vm b"], "in_sync");
    feed(&lab, "3.ndjson", &vm("a", 1).at(2).line());
    assert_eq!(verdicts(&lab)["vm a"], "in_sync", "a later observation settles it");
}

#[test]
fn the_same_contradiction_across_a_restart() {
    let lab = lab();
    feed(&lab, "1.ndjson", &vm("a", 1).at(1).line());
    feed(&lab, "2.ndjson", &vm("a", 2).at(1).line());
    let apart = verdicts(&lab);
    let together = self::lab();
    feed(&together, "1.ndjson", &(vm("a", 1).at(1).line() + &vm("a", 2).at(1).line()));
    assert_eq!(apart, verdicts(&together));
}

#[test]
fn a_tombstone_says_it_is_gone() {
    let lab = lab();
    feed(&lab, "1.ndjson", &(vm("a", 2).at(1).line() + &vm("x", 1).at(1).line()));
    expect_verdicts(&lab, &[("vm a", "drifted"), ("vm x", "unmanaged")]);
    feed(
        &lab,
        "2.ndjson",
        &(vm("a", 0).at(2).deleted().line() + &vm("x", 0).at(2).deleted().line()),
    );
    // Declared and deleted is missing; what nobody declared is just gone.
    expect_verdicts(&lab, &[("vm a", "missing")]);
    assert_eq!(lab.count("current_findings"), 0);
    let states = lab.query("select id, deleted, state from observations order by observed_at, id");
    let deleted: Vec<&str> = states
        .iter()
        .filter(|row| row["deleted"] == json!(true))
        .map(|row| text(row, "id"))
        .collect();
    assert_eq!(deleted, ["a", "x"]);
    feed(&lab, "3.ndjson", &vm("a", 2).at(1).line());
    expect_verdicts(&lab, &[("vm a", "missing")]);
}

#[test]
fn what_nobody_declared_goes_with_a_sweep() {
    let lab = lab();
    feed(&lab, "1.ndjson", &(vm("x", 1).at(1).line() + &vm("y", 1).at(1).line()));
    expect_verdicts(&lab, &[("vm x", "unmanaged"), ("vm y", "unmanaged")]);
    let all = ["a", "b", "c", "y"].map(|id| vm(id, 1).at(2).listed_by("s").line()).concat();
    feed(&lab, "2.ndjson", &(sweep_start("s", &json!({})) + &all + &sweep_end("s")));
    let expected =
        [("vm a", "in_sync"), ("vm b", "in_sync"), ("vm c", "in_sync"), ("vm y", "unmanaged")];
    expect_verdicts(&lab, &expected);
    let gone = lab.query("select id from verdict_transitions where verdict is null");
    assert_eq!(gone, [json!({"id": "x"})]);
}

#[test]
fn two_states_in_one_account_do_not_speak_for_each_other() {
    let lab = Lab::new();
    let state = |lineage: &str, serial: u64, names: &[&str], size: &str| {
        let machines: Vec<(&str, &str, Value)> = names
            .iter()
            .map(|name| {
                let arn = format!("arn:aws:ec2:eu-west-1:111111111111:instance/i-{name}");
                let id = format!("i-{name}");
                ("aws_instance", *name, json!({"id": id, "arn": arn, "instance_type": size}))
            })
            .collect();
        terraform_state(lineage, serial, &machines).to_string()
    };
    lab.write("base/one.tfstate", state("one", 1, &["a", "b"], "small"));
    lab.write("base/two.tfstate", state("two", 1, &["c", "d"], "small"));
    let _ = import(&lab, "base");
    feed(&lab, "one.tfstate", &state("one", 2, &["a"], "small"));
    expect_verdicts(&lab, &[("aws_instance i-a", "in_sync"), ("aws_instance i-b", "missing")]);
    feed(&lab, "two.tfstate", &state("two", 2, &["c", "d"], "large"));
    let expected = [
        ("aws_instance i-a", "in_sync"),
        ("aws_instance i-b", "missing"),
        ("aws_instance i-c", "drifted"),
        ("aws_instance i-d", "drifted"),
    ];
    expect_verdicts(&lab, &expected);
}

#[test]
fn what_was_not_compared_is_counted_and_stays_so() {
    let lab = Lab::new();
    lab.write(
        "base.yaml",
        "Parameters: {Delay: {Type: Number}}\n\
         Resources:\n\
         \x20 A: {Type: AWS::SQS::Queue, Properties: {QueueName: a, DelaySeconds: !Ref Delay}}\n\
         \x20 B: {Type: AWS::SQS::Queue, Properties: {QueueName: b}}\n",
    );
    let place = ["--stack", "s", "--account", "111111111111", "--region", "eu-west-1"];
    let import = [&["baseline", "import", "base", "base.yaml"][..], &place].concat();
    let _ = lab.run(&import).exits(0);
    let seen = |minute: u64| {
        let drift = |id: &str, actual: Value| {
            json!({
                "StackId": "arn:aws:cloudformation:eu-west-1:111111111111:stack/s/1",
                "LogicalResourceId": id,
                "PhysicalResourceId": id.to_lowercase(),
                "ResourceType": "AWS::SQS::Queue",
                "ActualProperties": actual.to_string(),
                "PropertyDifferences": [],
                "StackResourceDriftStatus": "IN_SYNC",
                "Timestamp": format!("2026-01-01T00:0{minute}:00Z"),
            })
        };
        let a = drift("A", json!({"QueueName": "a", "DelaySeconds": 5}));
        json!({"StackResourceDrifts": [a, drift("B", json!({"QueueName": "b"}))]}).to_string()
    };
    let skipped = |lab: &Lab| {
        lab.query("select split_part(id, '/', -1) as id, leaves, skipped from verdicts order by id")
    };
    let counted = [
        json!({"id": "A", "leaves": 2, "skipped": 1}),
        json!({"id": "B", "leaves": 1, "skipped": 0}),
    ];
    feed(&lab, "1.json", &seen(1));
    assert_eq!(skipped(&lab), counted);
    // The next process knows it from the history, and has nothing new to say.
    feed(&lab, "2.json", &seen(2));
    assert_eq!(skipped(&lab), counted);
    assert_eq!(lab.count("verdict_transitions"), 2);
    let coverage = lab.query("select unknown, attributes, compared from coverage");
    assert_eq!(coverage, [json!({"unknown": 0, "attributes": 3, "compared": 2})]);
}

#[test]
fn a_source_cannot_say_that_something_is_not_to_be_compared() {
    let lab = lab();
    feed(&lab, "1.ndjson", &vm("a", 1).at(1).line());
    let hidden = json!({"n": {"$deployforge.unresolved": "x"}});
    feed(&lab, "2.ndjson", &Native::new("vm", "a", hidden).at(2).line());
    expect_verdicts(&lab, &[("vm a", "unknown unreadable")]);
    assert_eq!(lab.count("rejects where reason like '%reserved%'"), 1);
}
