//! Set 10: what Terraform held right after an apply, and the API's replies recorded straight afterwards.
//!
//! Of each resource the first reply of each call is compared; later ones show what the test changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use deployforge_formats::ReadOptions;
use deployforge_model::{Dialect, Observation};
use serde_json::Value;

use crate::support::{Half, MAPS, Pair, lines, observations, root, told};
use crate::tally::Tally;

const C7N: &str = "8-vectors/cloud-custodian__cloud-custodian";

/// What a file holds, read as its format.
fn seen_in(path: &Path) -> Vec<Observation> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    observations(ReadOptions { name, ..ReadOptions::default() }, &bytes).0
}

fn files_of(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    // What was recorded before the test changed something, where the recording says when.
    let date = |path: &PathBuf| {
        let reply: Value = serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
        let text = reply["headers"]["date"].as_str()?.to_owned();
        // `Mon, 27 Apr 2026 18:11:57 GMT`: within a test the time of day is enough.
        text.split(' ').nth(4).map(str::to_owned)
    };
    let is_write = |path: &PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        ["post-", "patch-", "put-", "delete-"].iter().any(|verb| name.starts_with(verb))
            && !name.contains("getIamPolicy")
    };
    let first_write = files.iter().filter(|path| is_write(path)).filter_map(date).min();
    if let Some(first) = first_write {
        let before: Vec<PathBuf> =
            files.iter().filter(|path| date(path).is_some_and(|at| at < first)).cloned().collect();
        if !before.is_empty() {
            files = before;
        }
    }
    // Of replies of one second, the listing came before what was asked about one.
    files.sort_by_key(|path| (date(path), path.as_os_str().len(), path.clone()));
    // The first reply of each call.
    files.retain(|path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        // A recorder of AWS's calls numbers all calls of one name, whatever they ask about.
        let of_aws = name.split('.').count() == 3;
        of_aws
            || name.contains("_1.")
            || Path::new(&name).extension().is_some_and(|kind| kind == "yml")
            || !name.contains('_')
    });
    files
}

/// The names by which Terraform knows an object.
fn names(attributes: &Value) -> BTreeSet<String> {
    let text = |name: &str| attributes[name].as_str().map(str::to_owned);
    ["id", "arn", "name", "self_link"]
        .into_iter()
        .filter_map(text)
        .filter(|t| !t.is_empty())
        .collect()
}

fn is_of(observation: &Observation, names: &BTreeSet<String>) -> bool {
    let all = std::iter::once(&observation.key.id).chain(&observation.aliases);
    all.into_iter().any(|known| {
        names.iter().any(|name| {
            // Subscriptions are blanked out on one side.
            let group = |text: &str| {
                let text = text.to_ascii_lowercase();
                text.split_once("/resourcegroups/").map(|(_, rest)| rest.to_owned())
            };
            known.eq_ignore_ascii_case(name)
                || group(known).is_some_and(|known| group(name) == Some(known))
                || (name.starts_with("projects/") && known.ends_with(&format!("/{name}")))
                || (name.starts_with("https://")
                    && known.len() > 20
                    && known
                        .split_once("/projects/")
                        .zip(name.split_once("/projects/"))
                        .is_some_and(|((_, a), (_, b))| a == b))
        })
    })
}

/// Why the two sides of a pair that differs are not of one state.
fn reason(test: &str, findings: &[String]) -> Option<&'static str> {
    let paths = || findings.iter().map(|finding| finding.split(": ").next().unwrap_or_default());
    let any = |words: &[&str]| paths().any(|path| words.iter().any(|word| path.contains(word)));
    // Oracle's ids are blanked out in the recordings, so that every object of a type looks like any other.
    if any(&["CreatedOn", "unique_id", "virtual_router_mac", "display_name", "private_ip"]) {
        return Some("another object: it was made at another time");
    }
    if any(&["oci_dns_zone", "route_table_id"]) {
        return Some("the recording holds a few attributes only");
    }
    let of_tags = |path: &str| ["tag", "label", "metadata"].iter().any(|word| path.contains(word));
    if paths().all(of_tags) {
        return Some(
            "tags that the test, or the account's automation, changed before the recording",
        );
    }
    if test.contains("dnssec") && paths().all(|path| path.contains("dnssec_config")) {
        return Some("what the test switched on before the recording");
    }
    if test.contains("cross_ref") && paths().all(|path| path.contains("/egress/")) {
        return Some("a rule that the test added to a group without any");
    }
    None
}

#[derive(Default)]
struct Outcome {
    test: String,
    compared: u32,
    declared: u32,
    findings: Vec<String>,
    matched: usize,
    kinds: BTreeSet<String>,
}

/// What was recorded, each with its call without the number.
fn recorded(case: &Value) -> Vec<(String, Observation)> {
    let mut seen = Vec::new();
    for path in case["observed"].as_array().expect("a list") {
        for file in files_of(&root().join(C7N).join(path.as_str().expect("a path"))) {
            let name = file.file_name().expect("a name").to_string_lossy().into_owned();
            let call = name.rsplit_once('_').map_or(name.clone(), |(call, _)| call.to_owned());
            seen.extend(seen_in(&file).into_iter().map(|one| (call.clone(), one)));
        }
    }
    seen.retain(|(_, one)| !one.state.is_empty());
    seen
}

/// The pairs of a declared resource, each with the fullest of the replies that show an object; where
/// only the order tells what came before a change, with the first.
fn pairs_of(
    (kind, name, attributes): (&str, &str, &Value),
    seen: &[(String, Observation)],
    tally: &mut Tally,
) -> Vec<Pair> {
    let Some(of) = MAPS.kind(Dialect::Terraform, kind) else { return Vec::new() };
    let expected = Half::new(Dialect::Terraform, kind, attributes);
    let names = names(attributes);
    let mut best: BTreeMap<String, (u32, Pair)> = BTreeMap::new();
    let mut shown: BTreeSet<String> = BTreeSet::new();
    for (call, observation) in seen {
        let same = MAPS
            .kind(observation.dialect, &observation.key.resource_type)
            .is_some_and(|kind| kind.name == of.name);
        if !same || !is_of(observation, &names) {
            continue;
        }
        let pair = Pair::of(format!("{kind}.{name}"), expected.clone(), Half::of(observation));
        let comparison = pair.compare();
        tally.mutate(&pair);
        let key = observation.key.to_string();
        let call = if observation.dialect == Dialect::Aws { &**call } else { "" };
        if !shown.insert(format!("{call} {key}")) {
            continue;
        }
        if best.get(&key).is_none_or(|(known, _)| *known < comparison.compared()) {
            best.insert(key, (comparison.compared(), pair));
        }
    }
    best.into_values().map(|(_, pair)| pair).collect()
}

fn one_pair(case: &Value, tally: &mut Tally) -> Outcome {
    let text = |name: &str| case[name].as_str().expect("a text");
    let state: Value = serde_json::from_str(
        &std::fs::read_to_string(root().join(C7N).join(text("state"))).expect("the state"),
    )
    .expect("JSON");
    let seen = recorded(case);
    let test = text("test").rsplit("::").next().expect("a name").to_owned();
    let mut outcome = Outcome { test, ..Outcome::default() };
    for (kind, resources) in state["resources"].as_object().expect("resources") {
        for (name, attributes) in resources.as_object().expect("resources") {
            for pair in pairs_of((kind, name, attributes), &seen, tally) {
                let comparison = tally.compare(&pair);
                outcome.matched += 1;
                outcome.kinds.insert(kind.clone());
                outcome.compared += comparison.compared();
                outcome.declared += comparison.leaves;
                let findings = told(&comparison);
                outcome.findings.extend(findings.iter().map(|one| format!("{}{one}", pair.name)));
            }
        }
    }
    outcome
}

#[test]
fn state_and_api() {
    let all = lines("c7n-state-vs-api-pairs.jsonl");
    let mut tally = Tally::default();
    let (mut usable, mut in_sync, mut half) = (0, 0, 0);
    let (mut compared, mut declared) = (0, 0);
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failed = Vec::new();
    for case in &all {
        let outcome = one_pair(case, &mut tally);
        if outcome.matched == 0 {
            println!("none {}: no recorded object has one of its names", outcome.test);
            continue;
        }
        let share = f64::from(outcome.compared) / f64::from(outcome.declared.max(1));
        let why = (!outcome.findings.is_empty()).then(|| reason(&outcome.test, &outcome.findings));
        let word = match why {
            None => "ok",
            Some(None) => "DIFF",
            Some(Some(_)) => "else",
        };
        println!(
            "{word:4} {}: {} matched {:?}, {}/{} compared ({:.0} %){}",
            outcome.test,
            outcome.matched,
            outcome.kinds,
            outcome.compared,
            outcome.declared,
            share * 100.0,
            why.flatten().map_or_else(String::new, |why| format!("; {why}"))
        );
        for finding in &outcome.findings {
            println!("      {finding}");
        }
        match why {
            Some(Some(why)) => *reasons.entry(why).or_default() += 1,
            Some(None) => {
                failed.push(format!("{}\n  {}", outcome.test, outcome.findings.join("\n  ")));
            }
            None => in_sync += 1,
        }
        usable += 1;
        half += usize::from(share >= 0.5);
        compared += outcome.compared;
        declared += outcome.declared;
    }
    tally.print("set 10");
    println!(
        "set 10: {in_sync} of {usable} pairs with a common object in sync (of {} pairs)",
        all.len()
    );
    println!(
        "set 10: {half} pairs with at least half of the declared attributes compared; {compared} of {declared} attributes in all ({:.0} %)",
        100.0 * f64::from(compared) / f64::from(declared)
    );
    println!("set 10: not of one state: {reasons:?}");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
