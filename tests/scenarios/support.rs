//! What several scenarios share.

use std::collections::{BTreeMap, BTreeSet};

use deployforge_tests::{Lab, Outcome, root};
use serde_json::Value;

/// The queries by which two data directories are compared: everything but times, sequence numbers
/// and hashes under keys of their own.
pub(crate) const FINDINGS: &str = "select transition, provider, account, region, type, id, \
     address, environment, path, kind, expected, observed, leaves, severity, baseline, observed_at \
     from findings";
/// See [`FINDINGS`].
pub(crate) const VERDICTS: &str = "select provider, account, region, type, id, address, \
     environment, dialect, verdict, reason, score, severity, findings, leaves, skipped, version, baseline \
     from verdict_transitions";
/// What is true now.
pub(crate) const VERDICTS_NOW: &str = "select provider, account, region, type, id, verdict, \
     reason, score, severity, findings from verdicts";
/// See [`VERDICTS_NOW`].
pub(crate) const FINDINGS_NOW: &str =
    "select type, id, path, kind, expected, observed, severity from current_findings";

/// The verdict of each resource, by type and id.
#[track_caller]
pub(crate) fn verdicts(lab: &Lab) -> BTreeMap<String, String> {
    let rows = lab.query("select type, id, verdict, reason from verdicts");
    rows.iter()
        .map(|row| {
            let part = |name: &str| row[name].as_str().unwrap_or_default();
            let reason = part("reason");
            let verdict = part("verdict");
            let verdict =
                if reason.is_empty() { verdict.to_owned() } else { format!("{verdict} {reason}") };
            (format!("{} {}", part("type"), part("id")), verdict)
        })
        .collect()
}

/// Asserts the verdict of each resource, by type and id.
#[track_caller]
pub(crate) fn expect_verdicts(lab: &Lab, expected: &[(&str, &str)]) {
    let expected: BTreeMap<String, String> =
        expected.iter().map(|(key, verdict)| ((*key).to_owned(), (*verdict).to_owned())).collect();
    assert_eq!(verdicts(lab), expected);
}

/// The rows of the four tables that a run without news adds nothing to.
#[track_caller]
pub(crate) fn sizes(lab: &Lab) -> [u64; 4] {
    ["finding_transitions", "verdict_transitions", "observations", "rejects"]
        .map(|table| lab.count(table))
}

/// The resources of an audit's JSON: id to verdict.
pub(crate) fn resources(report: &Value) -> BTreeMap<String, String> {
    let list = report["resources"].as_array().expect("`resources` is a list");
    list.iter()
        .map(|one| {
            let id = one["key"]["id"].as_str().expect("a key has an id");
            (id.to_owned(), one["verdict"].as_str().expect("a verdict").to_owned())
        })
        .collect()
}

/// The paths of the findings of the only resource of an audit, or of a comparison.
pub(crate) fn paths(resource: &Value) -> BTreeSet<String> {
    let findings = resource["findings"].as_array().expect("`findings` is a list");
    findings.iter().map(|one| one["path"].as_str().expect("a path").to_owned()).collect()
}

/// Asserts that an instance fits the schema of `audit --format json`.
#[track_caller]
pub(crate) fn fits_schema(instance: &Value) {
    let path = root().join("docs/reference/audit.schema.json");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let schema: Value = serde_json::from_str(&text).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
    let errors: Vec<String> = validator
        .iter_errors(instance)
        .take(5)
        .map(|error| format!("{} at {}", error, error.instance_path))
        .collect();
    assert!(errors.is_empty(), "it does not fit docs/reference/audit.schema.json: {errors:#?}");
}

/// Imports a file as the baseline `b` of the lab.
#[track_caller]
pub(crate) fn import(lab: &Lab, file: &str) -> Outcome {
    lab.run(&["baseline", "import", "b", file]).exits(0)
}

/// Reads files into the history, once.
#[track_caller]
pub(crate) fn run_once(lab: &Lab, files: &[&str]) -> Outcome {
    let mut args = vec!["run", "--once"];
    for file in files {
        args.extend(["--source", file]);
    }
    lab.run(&args)
}

/// Asserts that two lists of rows are equal, and shows what only one of them holds.
#[track_caller]
pub(crate) fn same_rows(what: &str, left: &[String], right: &[String]) {
    let only = |of: &[String], other: &[String]| -> Vec<String> {
        of.iter().filter(|row| !other.contains(row)).take(5).cloned().collect()
    };
    let (a, b) = (only(left, right), only(right, left));
    assert!(a.is_empty() && b.is_empty(), "{what}: only left {a:#?}, only right {b:#?}");
    assert!(left == right, "{what}: the same rows in another number or order");
}
