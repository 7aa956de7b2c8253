//! The demo: one command, and what it says and keeps is the truth of its dataset.

use std::collections::{BTreeMap, BTreeSet};

use deployforge_tests::{Lab, root, text};
use serde_json::Value;

/// A demo that ended.
fn demo() -> (Lab, String) {
    let lab = Lab::new();
    let outcome = lab.run(&["demo", "--once"]).exits(0);
    let said = outcome.text().to_owned();
    (lab, said)
}

fn truth() -> Value {
    let text = std::fs::read_to_string(root().join("datasets/demo/truth.json"));
    serde_json::from_str(&text.expect("the dataset is there")).expect("it is JSON")
}

/// How a resource is named in both books. The truth takes a Terraform key's account and region from
/// the ARN alone; the demo supplies the account, and the region of what has no ARN (S3) is an
/// attribute.
fn name(part: &str, key: &[&str]) -> String {
    match part {
        "config" => key.join(" "),
        _ if key[3].starts_with("aws_s3_") => key[3..].join(" "),
        _ => key[2..].join(" "),
    }
}

fn truth_name(part: &str, key: &Value) -> String {
    let key: Vec<&str> =
        key.as_array().expect("a key").iter().map(|p| p.as_str().expect("text")).collect();
    name(part, &key)
}

fn part_of(row: &Value) -> &'static str {
    if text(row, "type").contains("::") { "config" } else { "terraform" }
}

fn row_name(row: &Value) -> String {
    let key = ["provider", "account", "region", "type", "id"].map(|member| text(row, member));
    name(part_of(row), &key)
}

/// The keys of a list of the truth: entries are keys, or objects with one.
fn listed(truth: &Value, part: &str, list: &str) -> BTreeSet<String> {
    let entries = truth[part][list].as_array().expect("a list");
    let key = |entry: &Value| truth_name(part, entry.get("key").unwrap_or(entry));
    entries.iter().map(key).collect()
}

#[test]
fn every_verdict_is_the_truth() {
    let (lab, _) = demo();
    let truth = truth();
    let mut found: BTreeMap<(&str, String), BTreeSet<String>> = BTreeMap::new();
    for row in lab.query("select provider, account, region, type, id, verdict from verdicts") {
        let verdict = text(&row, "verdict").to_owned();
        found.entry((part_of(&row), verdict)).or_default().insert(row_name(&row));
    }
    for part in ["config", "terraform"] {
        for verdict in ["drifted", "missing", "unmanaged"] {
            let have = found.remove(&(part, verdict.to_owned())).unwrap_or_default();
            assert_eq!(have, listed(&truth, part, verdict), "{part}: {verdict}");
        }
        let in_sync = found.remove(&(part, "in_sync".to_owned())).unwrap_or_default();
        assert_eq!(in_sync.len() as u64, truth[part]["in_sync"].as_u64().unwrap(), "{part}");
        assert!(listed(&truth, part, "put_right").is_subset(&in_sync), "{part}: put right");
    }
    // What is left is the deposed machine: known, never compared.
    let left: Vec<(&str, String)> = found.keys().cloned().collect();
    assert_eq!(left, [("terraform", "unknown".to_owned())]);
    let unknown = lab.query("select reason, resources from unknown_reasons");
    assert_eq!(unknown.len(), 1);
    assert_eq!(text(&unknown[0], "reason"), "deposed");
}

#[test]
fn every_drifted_attribute_is_the_truth() {
    let (lab, _) = demo();
    let truth = truth();
    let rules = Rules::built_in();
    let mut found: BTreeMap<(String, bool), BTreeSet<String>> = BTreeMap::new();
    for row in lab.query("select * from current_findings") {
        let reordered = text(&row, "kind") == "reordered";
        let path = rules.cut(&row_type(&row), text(&row, "path"));
        found.entry((row_name(&row), reordered)).or_default().insert(path);
    }
    let mut expected: BTreeMap<(String, bool), BTreeSet<String>> = BTreeMap::new();
    for part in ["config", "terraform"] {
        for (list, reordered) in [("drifted", false), ("reordered", true)] {
            for entry in truth[part][list].as_array().expect("a list") {
                let resource_type = entry["key"][3].as_str().expect("a type");
                let paths = entry["paths"].as_array().expect("paths").iter();
                let paths: BTreeSet<String> = paths
                    .map(|path| path.as_str().expect("text"))
                    // A list that a rule calls a set has no order to be told of.
                    .filter(|path| !(reordered && rules.is_unordered(resource_type, path)))
                    .map(|path| rules.cut(resource_type, path))
                    .collect();
                if !paths.is_empty() {
                    expected.insert((truth_name(part, &entry["key"]), reordered), paths);
                }
            }
        }
    }
    assert_eq!(found, expected);
}

fn row_type(row: &Value) -> String {
    text(row, "type").to_owned()
}

#[test]
fn what_was_put_right_has_a_history() {
    let (lab, _) = demo();
    let truth = truth();
    let named = |sql: &str| -> BTreeSet<String> { lab.query(sql).iter().map(row_name).collect() };
    let key = "select distinct provider, account, region, type, id from";
    let mut off = named(&format!("{key} findings where transition = 'closed'"));
    off.extend(named(&format!("{key} verdict_transitions where verdict = 'missing'")));
    let open = named(&format!("{key} current_findings where kind <> 'reordered'"));
    for part in ["config", "terraform"] {
        let put_right = listed(&truth, part, "put_right");
        assert!(put_right.len() > 5, "the dataset puts things right");
        let never: Vec<_> = put_right.difference(&off).collect();
        assert!(never.is_empty(), "{part}: never off, so not put right: {never:?}");
        let still: Vec<_> = put_right.intersection(&open).collect();
        assert!(still.is_empty(), "{part}: findings still open: {still:?}");
    }
    let flapping = lab.query("select * from flapping");
    assert!(!flapping.is_empty(), "the first security group is opened a second time");
}

#[test]
fn every_view_answers() {
    let (lab, said) = demo();
    let tables = lab.query(
        "select table_name from information_schema.tables where table_schema = 'deployforge'",
    );
    assert!(tables.len() >= 20, "{tables:?}");
    for table in &tables {
        let name = text(table, "table_name");
        let rows = lab.query(&format!("select * from {name} limit 3"));
        // The dataset has nothing that cannot be read, and no log.
        let empty = ["rejects", "evidence", "who_changed"].contains(&name);
        assert_eq!(rows.is_empty(), empty, "{name}: {rows:?}");
    }
    let readme = lab.run(&["query", "select type, count(*) from findings group by 1"]).exits(0);
    assert!(
        readme.text().contains("AWS::S3::Bucket") && readme.text().contains("rows"),
        "{readme}"
    );
    // What the summary says is what the history holds.
    for (row, sql) in [
        ("drifted", "verdicts where verdict = 'drifted'"),
        ("missing", "verdicts where verdict = 'missing'"),
        ("unmanaged", "unmanaged_now"),
        ("findings", "current_findings where kind <> 'reordered'"),
    ] {
        let line = said.lines().find(|line| line.trim_matches(['│', ' ']).starts_with(row));
        let line = line.unwrap_or_else(|| panic!("no line `{row}` in\n{said}"));
        let count: u64 = line
            .split_whitespace()
            .find_map(|word| word.parse().ok())
            .unwrap_or_else(|| panic!("no count in {line}"));
        assert_eq!(count, lab.count(sql), "{row}");
    }
}

#[test]
fn it_starts_afresh_and_what_it_suggests_runs() {
    let (lab, first) = demo();
    let before = lab.count("findings");
    let second = lab.run(&["demo", "--once"]).exits(0);
    assert_eq!(lab.count("findings"), before, "the second demo starts afresh");
    let commands: Vec<&str> = second
        .text()
        .split("try next:\n")
        .nth(1)
        .expect("it suggests commands")
        .lines()
        .map(str::trim)
        .collect();
    assert_eq!(commands.len(), 3, "{first}");
    for command in commands {
        let _ = lab.shell(command).exits(0);
    }
}

#[test]
fn it_keeps_out_of_an_inventory() {
    let lab = Lab::new();
    lab.write(
        "a.ndjson",
        deployforge_tests::make::Native::new("t", "a", serde_json::json!({})).line(),
    );
    let _ = lab.run(&["run", "--once", "--source", "a.ndjson"]);
    let before = lab.count("verdict_transitions");
    let _ = lab.run(&["demo", "--once"]).exits(2).says("history").says("--data-dir");
    assert_eq!(lab.count("verdict_transitions"), before);
}

/// The engine's array rules, read by code of our own.
struct Rules(Vec<(String, Vec<String>, bool)>);

impl Rules {
    fn built_in() -> Self {
        let file = std::fs::read_to_string(root().join("engine/canon/data/arrays.json"));
        let rules: Vec<Value> =
            serde_json::from_str(&file.expect("the rules are there")).expect("they are JSON");
        let rule = |rule: &Value| {
            let path = text_segments(text(rule, "path"));
            // The truth addresses lists of key and value by key, as the engine does.
            let by_key = rule["key"].as_array().is_some_and(|keys| {
                keys.iter()
                    .any(|key| key.as_str().is_some_and(|key| key.eq_ignore_ascii_case("key")))
            });
            (text(rule, "type").to_owned(), path, by_key)
        };
        Self(rules.iter().map(rule).collect())
    }

    fn matches(&self, resource_type: &str, path: &[String]) -> bool {
        let fitting = self
            .0
            .iter()
            .find(|(types, pattern, _)| wildcard(types, resource_type) && fits(pattern, path));
        fitting.is_some_and(|(.., by_key)| !by_key)
    }

    fn is_unordered(&self, resource_type: &str, path: &str) -> bool {
        self.matches(resource_type, &text_segments(path))
    }

    /// The path, up to the first list whose elements are addressed by content and not by position.
    fn cut(&self, resource_type: &str, path: &str) -> String {
        let segments = text_segments(path);
        let list = (1..segments.len()).find(|&end| self.matches(resource_type, &segments[..end]));
        match list {
            Some(end) => path.split('/').take(end + 1).collect::<Vec<_>>().join("/"),
            None => path.to_owned(),
        }
    }
}

fn text_segments(path: &str) -> Vec<String> {
    path.split('/').skip(1).map(str::to_owned).collect()
}

fn wildcard(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => {
            text.len() >= head.len() + tail.len() && text.starts_with(head) && text.ends_with(tail)
        }
    }
}

fn fits(pattern: &[String], path: &[String]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((head, rest)), _) if head == "**" => {
            fits(rest, path) || path.split_first().is_some_and(|(_, tail)| fits(pattern, tail))
        }
        (Some((head, rest)), Some((first, tail))) => {
            (head == "*" || head == first) && fits(rest, tail)
        }
        _ => false,
    }
}
