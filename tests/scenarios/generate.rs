//! `generate`: what it says differs is what an audit finds, and the same options give the same bytes.

use std::collections::BTreeSet;

use deployforge_tests::{Lab, number, text};
use serde_json::Value;

/// Id, verdict, and the path of what differs.
type Row = (String, String, String);

const FORMATS: [&str; 5] =
    ["aws-config", "aws-config-snapshot", "native", "cloudevents", "terraform-state"];

/// Runs `generate` with 2,000 resources of the seed 7 and more options.
fn generate(lab: &Lab, options: &str) -> deployforge_tests::Outcome {
    let usual = ["generate", "-n", "2000", "--seed", "7"];
    let options: Vec<&str> = usual.into_iter().chain(options.split_whitespace()).collect();
    lab.run(&options)
}

/// A baseline and a later round with everything that can differ.
fn two_rounds(options: &str) -> Lab {
    let lab = Lab::new();
    let _ = generate(&lab, &format!("{options} -o base")).exits(0).says("round 0: 2000 resources");
    let later = "--round 1 --drift 0.02 --missing 0.01 --unmanaged 0.005 --change 0.1";
    let _ = generate(&lab, &format!("{options} {later} --truth truth -o seen")).exits(0);
    lab
}

fn told(lab: &Lab) -> BTreeSet<Row> {
    let row = |line: &str| {
        let one: Value = serde_json::from_str(line).expect("a line of JSON");
        assert!(text(&one, "arn").starts_with("arn:aws:"), "{one}");
        let drifted = text(&one, "verdict") == "drifted";
        assert_eq!(one["kind"].as_str(), drifted.then_some("changed"), "{one}");
        let path = one["path"].as_str().unwrap_or_default();
        (text(&one, "id").to_owned(), text(&one, "verdict").to_owned(), path.to_owned())
    };
    lab.read("truth").lines().map(row).collect()
}

fn found(report: &Value) -> BTreeSet<Row> {
    let row = |resource: &Value| {
        let findings = resource["findings"].as_array().expect("a list");
        let verdict = text(resource, "verdict");
        let path = if verdict == "drifted" {
            assert_eq!(findings.len(), 1, "{resource}");
            assert_eq!(findings[0]["kind"], "changed", "{resource}");
            text(&findings[0], "path")
        } else {
            ""
        };
        (text(&resource["key"], "id").to_owned(), verdict.to_owned(), path.to_owned())
    };
    report["resources"].as_array().expect("a list").iter().map(row).collect()
}

#[track_caller]
fn audit_agrees(options: &str) {
    let lab = two_rounds(options);
    let args = ["audit", "--baseline", "base", "--snapshot", "seen", "--format", "json"];
    let report = lab.run(&args).exits(1).json();
    let told = told(&lab);
    assert_eq!(found(&report), told, "{options}");
    let count = |verdict| told.iter().filter(|row| row.1 == verdict).count() as u64;
    let summary = &report["summary"];
    for verdict in ["drifted", "missing", "unmanaged"] {
        assert!(count(verdict) > 5, "{options}: {verdict}");
        assert_eq!(number(summary, verdict), count(verdict), "{options}: {verdict}");
    }
    assert_eq!(number(summary, "checked") + count("missing"), 2_000, "{options}");
    assert_eq!(number(summary, "findings"), count("drifted"), "{options}");
    for none in ["unknown", "suppressed"] {
        assert_eq!(number(summary, none), 0, "{options}: {none}");
    }
}

#[test]
fn an_audit_finds_what_was_made() {
    for format in FORMATS {
        audit_agrees(&format!("--format {format}"));
    }
}

#[test]
fn an_audit_finds_it_in_every_size_and_order() {
    audit_agrees("--size small --types 60 --accounts 100 --regions 24 --skew 0");
    audit_agrees("--size large --envelope last");
    audit_agrees("--size small --format native");
    audit_agrees("--size large --format terraform-state");
}

#[test]
fn whole_files_prove_what_is_missing() {
    for format in ["aws-config-snapshot", "terraform-state"] {
        let lab = two_rounds(&format!("--accounts 2 --format {format}"));
        let _ = lab.run(&["baseline", "import", "b", "base"]).exits(0);
        let _ = lab.run(&["run", "--once", "--source", "seen"]).exits(1);
        let told = told(&lab);
        for verdict in ["drifted", "missing", "unmanaged"] {
            let now = lab.count(&format!("verdicts where verdict = '{verdict}'"));
            let want = told.iter().filter(|row| row.1 == verdict).count() as u64;
            assert_eq!(now, want, "{format}: {verdict}");
        }
    }
}

#[test]
fn the_same_options_give_the_same_bytes() {
    let lab = Lab::new();
    for format in FORMATS {
        let options = format!("--format {format} --round 3 --drift 0.1");
        let bytes = generate(&lab, &options).exits(0).stdout;
        assert_eq!(bytes, generate(&lab, &options).exits(0).stdout, "{format}");
        let _ = generate(&lab, &format!("{options} -o file")).exits(0);
        assert!(lab.read("file").into_bytes() == bytes, "{format}");
        let _ = generate(&lab, &format!("{options} -o - --truth truth")).exits(0);
        let other = lab.run(&["generate", "-n", "2000", "--seed", "8", "--format", format]);
        assert_ne!(bytes, other.exits(0).stdout, "{format}");
    }
}

#[test]
fn nothing_differs_in_round_0() {
    let lab = Lab::new();
    let outcome = generate(&lab, "--truth truth -o base").exits(0).says("2000 resources listed");
    assert!(outcome.stdout.is_empty());
    assert_eq!(lab.read("truth"), "");
    let _ = generate(&lab, "--round 1 -o seen").exits(0);
    assert_ne!(lab.read("base"), lab.read("seen"));
    let _ = lab.run(&["audit", "--baseline", "base", "--snapshot", "seen"]).exits(0);
    let quiet = generate(&lab, "--quiet").exits(0);
    assert_eq!(quiet.stderr, "");
    assert_eq!(quiet.text().lines().count(), 2_000);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let lab = Lab::new();
    for (options, words) in [
        ("--drift 0.1", "--round 1"),
        ("--missing 0.1", "--round 1"),
        ("--unmanaged 0.1", "--round 1"),
        ("--change 0.1", "--round 1"),
        ("--round 1 --drift 1.5", "between 0 and 1"),
        ("--round 1 --drift nan", "between 0 and 1"),
        ("--round 1 --drift 0.6 --missing 0.6", "more than all"),
        ("--skew 11", "between 0 and 10"),
        ("--types 0", "between 1 and 10000"),
        ("--accounts 0", "`accounts`"),
        ("--regions 25", "between 1 and 24"),
        ("--format native --envelope last", "--format aws-config"),
        ("--format terraform-state --envelope last", "--format aws-config"),
        ("--format yaml", "possible values"),
        ("--truth same -o same", "--truth truth.ndjson"),
        ("--truth -", "--truth truth.ndjson"),
        ("-o nowhere/file", "nowhere/file"),
        ("--truth nowhere/file", "nowhere/file"),
    ] {
        let outcome = generate(&lab, options).exits(2).says(words);
        assert!(outcome.stdout.is_empty(), "{outcome}");
    }
    let _ = lab.run(&["generate", "-n", "0"]).exits(2).says("`resources`");
}

#[test]
fn whoever_has_enough_may_go() {
    let lab = Lab::new();
    let line = "set -o pipefail; deployforge generate -n 500000 | head -n 1 | wc -l";
    let outcome = lab.run_shown(line).exits(0);
    assert_eq!(outcome.text().trim(), "1");
}
