//! An inventory with known drift: exactly that is found, no more and no less.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};

use deployforge_tests::{Drift, Inventory, Lab, Round, count_leaves, number, scale, text};
use serde_json::{Value, json};

use crate::support::fits_schema;

const USUAL: u64 = 20_000;

/// A baseline, a later reading, and the truth about the difference.
struct Known {
    lab: Lab,
    truth: Vec<(String, Drift, String)>,
}

impl Known {
    fn new(count: u64) -> Self {
        let lab = Lab::new();
        let inventory = Inventory { count, seed: 7 };
        let round = Round { number: 1, drifting: 20, missing: 2, unmanaged: 25 };
        let write = |name: &str, round| {
            let mut out = BufWriter::new(File::create(lab.path(name)).expect("a file"));
            let truth = inventory.write(round, &mut out).expect("the disk takes it");
            out.flush().expect("the disk takes it");
            truth
        };
        assert!(write("before.ndjson", Round::default()).is_empty());
        let mut truth = write("after.ndjson", round);
        truth.sort();
        Self { lab, truth }
    }

    fn count(&self, drift: Drift) -> u64 {
        self.truth.iter().filter(|(_, what, _)| *what == drift).count() as u64
    }
}

/// What an audit found, in the form of the truth.
fn found(report: &Value) -> Vec<(String, Drift, String)> {
    let mut all = Vec::new();
    for resource in report["resources"].as_array().expect("a list") {
        let id = text(&resource["key"], "id").to_owned();
        let findings = resource["findings"].as_array().expect("a list");
        match text(resource, "verdict") {
            "missing" => all.push((id, Drift::Missing, String::new())),
            "unmanaged" => all.push((id, Drift::Unmanaged, String::new())),
            "drifted" => all.extend(
                findings.iter().map(|f| (id.clone(), Drift::Changed, text(f, "path").to_owned())),
            ),
            other => panic!("{other}: {resource}"),
        }
    }
    all.sort();
    all
}

#[test]
fn an_audit_finds_exactly_the_known_drift() {
    let count = scale(USUAL);
    let known = Known::new(count);
    let args = ["audit", "--baseline", "before.ndjson", "--snapshot", "after.ndjson"];
    let outcome = known.lab.run(&[&args[..], &["--format", "json"]].concat()).exits(1);
    let report = outcome.json();
    let found = found(&report);
    let (missed, invented): (Vec<_>, Vec<_>) = (
        known.truth.iter().filter(|one| found.binary_search(one).is_err()).take(5).collect(),
        found.iter().filter(|one| known.truth.binary_search(one).is_err()).take(5).collect(),
    );
    assert!(missed.is_empty() && invented.is_empty(), "missed {missed:?}, invented {invented:?}");
    assert_eq!(found, known.truth);
    assert!(known.count(Drift::Changed) > count / 100, "the inventory really drifts");
    assert!(known.count(Drift::Missing) > 0);
    summary_adds_up(&known, &report, count);
    every_finding_is_true(&known, &report);

    let lines = known.lab.run(&[&args[..], &["--format", "ndjson"]].concat()).exits(1).lines();
    let (last, resources) = lines.split_last().expect("a summary at the end");
    assert_eq!(json!({"summary": last["summary"], "resources": resources}), report);
}

fn summary_adds_up(known: &Known, report: &Value, count: u64) {
    let summary = &report["summary"];
    let get = |member| number(summary, member);
    assert_eq!(get("drifted"), known.count(Drift::Changed));
    assert_eq!(get("findings"), known.count(Drift::Changed), "one attribute each");
    assert_eq!(get("missing"), known.count(Drift::Missing));
    assert_eq!(get("unmanaged"), known.count(Drift::Unmanaged));
    assert_eq!(get("unknown"), 0);
    assert_eq!(get("checked"), get("in_sync") + get("drifted"));
    assert_eq!(get("checked") + get("missing"), count);
    assert!((summary["coverage"].as_f64().unwrap() - 1.0).abs() < 1e-12);
    let by = &summary["by_severity"];
    assert_eq!(number(by, "critical"), get("missing"));
    assert_eq!(number(by, "degraded"), get("findings"));
    assert_eq!(number(by, "informational"), get("unmanaged"));
}

/// Scores and values, computed again from the files alone.
fn every_finding_is_true(known: &Known, report: &Value) {
    let by_id: BTreeMap<&str, &Value> = report["resources"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (text(&one["key"], "id"), one))
        .collect();
    let states = |name: &str| -> BTreeMap<String, Value> {
        let file = BufReader::new(File::open(known.lab.path(name)).expect("the file"));
        file.lines()
            .map(|line| serde_json::from_str::<Value>(&line.expect("text")).expect("JSON"))
            .filter(|item| by_id.contains_key(text(item, "resourceId")))
            .map(|item| (text(&item, "resourceId").to_owned(), item))
            .collect()
    };
    let (before, after) = (states("before.ndjson"), states("after.ndjson"));
    let mut scores = 0.0;
    for (id, resource) in &by_id {
        let score = resource["score"].as_f64().expect("a score");
        match text(resource, "verdict") {
            "drifted" => {
                let state = &before[*id];
                let leaves: u64 = ["configuration", "tags", "relationships"]
                    .iter()
                    .map(|part| count_leaves(&state[*part]))
                    .sum();
                let exact = 100.0 / leaves as f64;
                assert!((score - exact).abs() < 5e-5, "{id}: {score} is not {exact}");
                scores += exact;
                let finding = &resource["findings"][0];
                let path = text(finding, "path");
                assert_eq!(before[*id].pointer(path), Some(&finding["expected"]), "{id} {path}");
                assert_eq!(after[*id].pointer(path), Some(&finding["observed"]), "{id} {path}");
                assert_eq!(text(finding, "kind"), "changed");
            }
            "missing" => {
                assert!((score - 100.0).abs() < f64::EPSILON);
                scores += 100.0;
            }
            _ => assert!(score.abs() < f64::EPSILON),
        }
    }
    let summary = &report["summary"];
    let mean = scores / (number(summary, "checked") + number(summary, "missing")) as f64;
    let score = summary["score"].as_f64().expect("a score");
    assert!((score - mean).abs() < 1e-4, "{score} is not {mean}");
}

#[test]
fn the_report_fits_its_schema() {
    let known = Known::new(2_000);
    let args = ["audit", "--baseline", "before.ndjson", "--snapshot", "after.ndjson"];
    let report = known.lab.run(&[&args[..], &["--format", "json"]].concat()).exits(1).json();
    fits_schema(&report);
    let clean = ["audit", "--baseline", "before.ndjson", "--snapshot", "before.ndjson"];
    fits_schema(&known.lab.run(&[&clean[..], &["--format", "json"]].concat()).exits(0).json());
}

#[test]
fn order_changes_nothing() {
    let known = Known::new(3_000);
    let lab = &known.lab;
    let audit = |baseline: &str, snapshot: &str| {
        let args = ["audit", "--baseline", baseline, "--snapshot", snapshot, "--format", "json"];
        lab.run(&args).exits(1).stdout
    };
    for name in ["before", "after"] {
        let file = lab.read(&format!("{name}.ndjson"));
        let mut lines: Vec<String> = file.lines().map(members_backwards).collect();
        let half = lines.len() / 2;
        lines.rotate_left(half / 3);
        lines[..half].reverse();
        lab.write(&format!("{name}-shuffled.ndjson"), lines.join("\n"));
    }
    let plain = audit("before.ndjson", "after.ndjson");
    assert_eq!(plain, audit("before.ndjson", "after.ndjson"), "the same twice");
    let shuffled = audit("before-shuffled.ndjson", "after-shuffled.ndjson");
    assert!(plain == shuffled, "the order of lines or of members changes the report");
}

/// An item with the members of every object in the opposite order.
fn members_backwards(line: &str) -> String {
    fn write(value: &Value) -> String {
        match value {
            Value::Object(members) => {
                let parts: Vec<String> = members
                    .iter()
                    .rev()
                    .map(|(name, value)| {
                        format!("{}: {}", Value::from(name.as_str()), write(value))
                    })
                    .collect();
                format!("{{{}}}", parts.join(" , "))
            }
            Value::Array(items) => {
                format!("[{}]", items.iter().map(write).collect::<Vec<_>>().join(", "))
            }
            other => other.to_string(),
        }
    }
    write(&serde_json::from_str(line).expect("JSON"))
}

#[test]
fn recording_an_audit_twice_adds_nothing() {
    let known = Known::new(3_000);
    let lab = &known.lab;
    let args = ["audit", "--baseline", "before.ndjson", "--snapshot", "after.ndjson", "--record"];
    let _ = lab.run(&args).exits(1);
    let before = crate::support::sizes(lab);
    let now = lab.sorted(crate::support::VERDICTS_NOW);
    let _ = lab.run(&args).exits(1);
    assert_eq!(crate::support::sizes(lab), before);
    assert_eq!(lab.sorted(crate::support::VERDICTS_NOW), now);
    let recorded: BTreeSet<(String, String)> = lab
        .query("select id, path from current_findings")
        .iter()
        .map(|row| (text(row, "id").to_owned(), text(row, "path").to_owned()))
        .collect();
    let changed = known.truth.iter().filter(|(_, drift, _)| *drift == Drift::Changed);
    let expected: BTreeSet<(String, String)> =
        changed.map(|(id, _, path)| (id.clone(), path.clone())).collect();
    assert_eq!(recorded, expected);
}
