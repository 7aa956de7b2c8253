//! Set 8: driftctl's own results of scans: totals, and what it says has changed.
//!
//! A result names what is managed, missing and unmanaged, and changes path by path, without the states.
//! States that differ in just these paths are made of it, and judged as a baseline and what was observed.

use std::collections::BTreeSet;

use deployforge_canon::{Canon, Normalise};
use deployforge_compare::{
    BaselineBuilder, BatchOrigin, Comparator, LevelSwitch, Owner, Settings, Tables, Tier,
};
use deployforge_maps::SharedMaps;
use deployforge_model::{
    BaselineInfo, BaselineKind, Dialect, FindingKind, Observation, ObservationBatchBuilder,
    ResourceKey, SourcePosition, Timestamp, Verdict,
};
use deployforge_policy::Policy;
use serde_json::{Value, json};

use crate::support::{Pair, counting, files, json as file};
use crate::tally::Tally;

const FOLDER: &str = "8-vectors/snyk__driftctl";

fn list<'v>(result: &'v Value, name: &str) -> &'v [Value] {
    result[name].as_array().map_or(&[], Vec::as_slice)
}

/// Puts a value at a path; numbers are positions. Without a value only what holds it is made, so that
/// just this one is there on one side alone.
fn put(state: &mut Value, path: &[Value], value: &Value) {
    let Some((first, rest)) = path.split_first() else {
        *state = value.clone();
        return;
    };
    let segment = first.as_str().expect("a segment");
    if rest.is_empty() && value.is_null() {
        if state.is_null() {
            *state = json!({});
        }
    } else if let Ok(position) = segment.parse::<usize>() {
        let mut items = state.as_array().cloned().unwrap_or_default();
        items.resize(items.len().max(position + 1), Value::Null);
        put(&mut items[position], rest, value);
        *state = items.into();
    } else {
        if state.is_null() {
            *state = json!({});
        }
        put(&mut state[segment], rest, value);
    }
}

/// The two states of a resource as far as a changelog tells them.
fn states(changelog: &[Value]) -> (Value, Value) {
    let (mut from, mut to) = (json!({}), json!({}));
    for change in changelog {
        let path = change["path"].as_array().expect("a path");
        put(&mut from, path, &change["from"]);
        put(&mut to, path, &change["to"]);
    }
    (from, to)
}

fn changelog<'v>(result: &'v Value, resource: &Value) -> &'v [Value] {
    let is_of =
        |one: &&Value| one["res"]["id"] == resource["id"] && one["res"]["type"] == resource["type"];
    let found = list(result, "differences").iter().find(is_of);
    found.map_or(&[], |one| list(one, "changelog"))
}

fn observation(resource: &Value, state: &Value) -> Observation {
    let text = |name: &str| resource[name].as_str().expect("a text");
    Observation {
        observed_at: Some(Timestamp(1)),
        ..Observation::of(
            ResourceKey::new("aws", "1", "eu-west-1", text("type"), text("id")),
            Dialect::Terraform,
            state.to_string().into_bytes(),
            SourcePosition::default(),
        )
    }
}

/// How many resources are missing, unmanaged, and there as declared or otherwise.
fn totals(result: &Value) -> (usize, usize, usize) {
    let canon = Canon::default();
    let mut baseline = BaselineBuilder::new(&canon, 1);
    let mut seen = ObservationBatchBuilder::new(1);
    let nothing = json!({"id": "x"});
    for one in list(result, "missing") {
        baseline.add(&observation(one, &nothing)).expect("a state");
    }
    for one in list(result, "unmanaged") {
        seen.push(&observation(one, &nothing), Timestamp(0));
    }
    for one in list(result, "managed") {
        let (from, to) = states(changelog(result, one));
        baseline.add(&observation(one, &from)).expect("a state");
        seen.push(&observation(one, &to), Timestamp(0));
    }
    let info = BaselineInfo {
        name: "b".into(),
        version: 1,
        kind: BaselineKind::Recorded,
        mode: None,
        incomplete: false,
    };
    let settings = Settings {
        seed: 1,
        hash_key: [0; 32],
        canon: Canon::default(),
        maps: SharedMaps::default(),
        policy: Policy::default(),
        mode: None,
        normalise: Normalise::Standard,
        tables: Tables::ALL,
        levels: LevelSwitch::ALL,
        tier: Tier::Full,
        text_bytes: u64::MAX,
        explain: false,
    };
    let mut comparator = Comparator::new(settings, vec![baseline.build(info)]);
    let (source, file, owner) = ("s".into(), "f".into(), Owner::NONE);
    let origin = BatchOrigin { source, file, ingested_at: Timestamp(2), stored: false, owner };
    let _ = comparator.apply(&seen.finish(), &origin);
    let _ = comparator.audit_end(&origin, false, &[Dialect::Terraform].into());
    let of = |verdicts: &[Verdict]| {
        comparator.resources().filter(|one| verdicts.contains(&one.verdict)).count()
    };
    (of(&[Verdict::Missing]), of(&[Verdict::Unmanaged]), of(&[Verdict::InSync, Verdict::Drifted]))
}

/// Kind and path of each change, in driftctl's words.
fn changes(pair: &Pair, tally: &mut Tally) -> BTreeSet<(&'static str, String)> {
    let kind = |kind| match kind {
        FindingKind::Added => "create",
        FindingKind::Removed => "delete",
        FindingKind::Changed
        | FindingKind::Reordered
        | FindingKind::Missing
        | FindingKind::Unmanaged => "update",
    };
    let comparison = tally.judge(pair);
    counting(&comparison).iter().map(|one| (kind(one.kind), one.path.clone())).collect()
}

#[test]
fn scans() {
    let (mut tally, mut scans, mut logs, mut failed) = (Tally::default(), 0, 0, Vec::new());
    for path in files(FOLDER, ".json") {
        let name = path.display().to_string();
        if !name.contains("/scan/output/testdata/") {
            continue;
        }
        let result = file(&path);
        let Some(summary) = result.get("summary") else {
            println!("   {name}: a plan, no result of a scan");
            continue;
        };
        scans += 1;
        let total = |name: &str| summary[name].as_u64().expect("a number") as usize;
        let (missing, unmanaged, managed) = totals(&result);
        let all = missing + unmanaged + managed;
        let coverage = (managed * 100).checked_div(all).unwrap_or_default();
        let got = [all, missing, unmanaged, managed, coverage];
        let want = [
            total("total_resources"),
            total("total_missing"),
            total("total_unmanaged"),
            total("total_managed"),
            result["coverage"].as_u64().expect("a number") as usize,
        ];
        if got != want {
            failed.push(format!("{name}: totals {got:?}, want {want:?}"));
        }
        for one in list(&result, "differences") {
            logs += 1;
            let (from, to) = states(list(one, "changelog"));
            let kind = one["res"]["type"].as_str().expect("a type");
            let pair = Pair::new(&*name, Dialect::Terraform, kind, &from, &to);
            let got = changes(&pair, &mut tally);
            let want: BTreeSet<(&str, String)> = list(one, "changelog")
                .iter()
                .map(|change| {
                    let segments = list(change, "path").iter();
                    let segments = segments.map(|one| format!("/{}", one.as_str().expect("text")));
                    (change["type"].as_str().expect("a kind"), segments.collect())
                })
                .collect();
            if got != want {
                failed.push(format!("{name}: found {got:?}, want {want:?}"));
            }
        }
    }
    tally.print("set 8, scans");
    let right = scans + logs - failed.len();
    println!("set 8, scans: {right} of {}: {scans} totals, {logs} lists of changes", scans + logs);
    assert!(scans > 0 && logs > 0 && failed.is_empty(), "{}", failed.join("\n"));
}
