//! Set 10: what Terraform held right after an apply, and the API's replies recorded straight afterwards.
//!
//! Of each resource the first reply of each call is compared; later ones show what the test changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use deployforge_canon::{Canon, Normalise, Parser};
use deployforge_compare::{Comparison, Said, compare_across};
use deployforge_formats::{ReadOptions, Reader};
use deployforge_maps::Maps;
use deployforge_model::{Dialect, Observation, Record};
use deployforge_policy::Policy;
use serde_json::Value;

use crate::mutate::every_change_is_found_across;
use crate::support::{counting, lines, node, root};

const C7N: &str = "8-vectors/cloud-custodian__cloud-custodian";

/// What a file holds, read as its format.
fn observations(path: &Path) -> Vec<Observation> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut reader = Reader::new(ReadOptions { name, ..ReadOptions::default() });
    let mut records = Vec::new();
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    reader.push(&bytes, &mut records);
    reader.finish(&mut records);
    let of = |record| match record {
        Record::Observation(observation) => Some(*observation),
        _ => None,
    };
    records.into_iter().filter_map(of).collect()
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
    None
}

struct Outcome {
    changes: usize,
    test: String,
    compared: u32,
    declared: u32,
    findings: Vec<String>,
    matched: usize,
    kinds: BTreeSet<String>,
}

#[expect(clippy::too_many_lines, reason = "one recording, from its files to what came of it")]
fn one_pair(maps: &Maps, case: &Value) -> Outcome {
    let canon = Canon::default();
    let state: Value = serde_json::from_str(
        &std::fs::read_to_string(root().join(C7N).join(case["state"].as_str().expect("a path")))
            .expect("the state"),
    )
    .expect("JSON");
    let mut seen: Vec<(String, Observation)> = Vec::new();
    for path in case["observed"].as_array().expect("a list") {
        let path = root().join(C7N).join(path.as_str().expect("a path"));
        for file in files_of(&path) {
            // The call, without its number.
            let name = file.file_name().expect("a name").to_string_lossy().into_owned();
            let call = name.rsplit_once('_').map_or(name.clone(), |(call, _)| call.to_owned());
            seen.extend(observations(&file).into_iter().map(|one| (call.clone(), one)));
        }
    }
    let test =
        case["test"].as_str().expect("a name").rsplit("::").next().expect("a name").to_owned();
    let mut outcome = Outcome {
        changes: 0,
        test,
        compared: 0,
        declared: 0,
        findings: Vec::new(),
        matched: 0,
        kinds: BTreeSet::new(),
    };
    for (kind, resources) in state["resources"].as_object().expect("resources") {
        for (name, attributes) in resources.as_object().expect("resources") {
            let Some(of) = maps.kind(Dialect::Terraform, kind) else { continue };
            let expected = node(Dialect::Terraform, kind, attributes, &[]);
            let names = names(attributes);
            let mut best: BTreeMap<String, Comparison> = BTreeMap::new();
            let mut shown: BTreeSet<String> = BTreeSet::new();
            for (call, observation) in seen.iter().filter(|(_, one)| !one.state.is_empty()) {
                let resource_type = &observation.key.resource_type;
                let same = maps
                    .kind(observation.dialect, resource_type)
                    .is_some_and(|kind| kind.name == of.name);
                if !same || !is_of(observation, &names) {
                    continue;
                }
                let state = canon
                    .state(
                        &mut Parser::default(),
                        observation.dialect,
                        resource_type,
                        &observation.state,
                        std::iter::empty(),
                    )
                    .expect("a state");
                let comparison = compare_across(
                    maps,
                    Said { dialect: Dialect::Terraform, resource_type: kind, state: &expected },
                    Said { dialect: observation.dialect, resource_type, state: &state.root },
                    (Normalise::Standard, &canon.folds),
                    &Policy::default(),
                )
                .expect("one kind");
                if counting(&comparison).is_empty() {
                    outcome.changes += every_change_is_found_across(
                        maps,
                        Said { dialect: Dialect::Terraform, resource_type: kind, state: &expected },
                        Said { dialect: observation.dialect, resource_type, state: &state.root },
                    );
                }
                // The fullest of the replies that show it; where only the order tells what came before a
                // change, the first.
                let key = observation.key.to_string();
                let call = if observation.dialect == Dialect::Aws { &**call } else { "" };
                if !shown.insert(format!("{call} {key}")) {
                    continue;
                }
                if best.get(&key).is_none_or(|known| known.compared() < comparison.compared()) {
                    best.insert(key, comparison);
                }
            }
            for comparison in best.into_values() {
                outcome.matched += 1;
                outcome.kinds.insert(kind.clone());
                outcome.compared += comparison.compared();
                outcome.declared += comparison.leaves;
                if std::env::var_os("SKIPPED").is_some() {
                    for skip in &comparison.skipped {
                        println!("      {kind}.{name} skipped {}", skip.path);
                    }
                }
                for difference in counting(&comparison) {
                    let text = |node: &Option<deployforge_canon::Node>| {
                        node.as_ref().map_or("-".to_owned(), |node| {
                            node.to_json().chars().take(120).collect()
                        })
                    };
                    outcome.findings.push(format!(
                        "{kind}.{name}{}: {} -> {}",
                        difference.path,
                        text(&difference.expected),
                        text(&difference.observed)
                    ));
                }
            }
        }
    }
    outcome
}

#[test]
fn state_and_api() {
    let maps = Maps::built_in();
    let all = lines("c7n-state-vs-api-pairs.jsonl");
    let (mut usable, mut in_sync, mut half, mut changes) = (0, 0, 0, 0);
    let (mut compared, mut declared) = (0, 0);
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failed = Vec::new();
    for case in &all {
        let outcome = one_pair(&maps, case);
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
        changes += outcome.changes;
        compared += outcome.compared;
        declared += outcome.declared;
    }
    println!(
        "set 10: {in_sync} of {usable} pairs with a common object in sync (of {} pairs), {changes} changes found",
        all.len()
    );
    println!(
        "set 10: {half} pairs with at least half of the declared attributes compared; {compared} of {declared} attributes in all ({:.0} %)",
        100.0 * f64::from(compared) / f64::from(declared)
    );
    println!("set 10: not of one state: {reasons:?}");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
