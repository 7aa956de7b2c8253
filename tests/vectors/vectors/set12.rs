//! Set 12: Terraform plans, and the assets that Google's converter makes of them.

use std::collections::{BTreeMap, BTreeSet};

use deployforge_formats::{Format, ReadOptions, Side};
use deployforge_model::{Dialect, Observation};
use serde_json::Value;

use crate::support::{Half, MAPS, Pair, counting, json, lines, observations, root, told};
use crate::tally::Tally;

fn read(path: &str, format: Format, side: Side) -> (Vec<Observation>, u64) {
    let bytes = std::fs::read(root().join(path)).expect("the file");
    let options = ReadOptions { format: Some(format), side, ..ReadOptions::default() };
    let (all, summary) = observations(options, &bytes);
    (all, summary.rejects)
}

/// What a plan and its assets have in common: one resource and one asset of a kind, since their ids are
/// not known yet. Types without a map go to `unmapped`.
fn pairs_of(
    planned: &[Observation],
    assets: &[Observation],
    unmapped: &mut BTreeSet<String>,
) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for one in planned {
        let kind = &one.key.resource_type;
        let Some(of) = MAPS.kind(Dialect::Terraform, kind) else {
            unmapped.insert(kind.clone());
            continue;
        };
        let is_of = |asset: &&Observation| {
            let kind = MAPS.kind(asset.dialect, &asset.key.resource_type);
            kind.is_some_and(|kind| kind.name == of.name)
        };
        let candidates: Vec<&Observation> = assets.iter().filter(is_of).collect();
        let same_kind = planned.iter().filter(|other| other.key.resource_type == *kind).count();
        if let ([asset], 1) = (candidates.as_slice(), same_kind) {
            pairs.push(Pair::of(kind, Half::of(one), Half::of(asset)));
        }
    }
    pairs
}

#[test]
fn plans_and_assets() {
    // Asset types, and how many pairs are compared of each.
    let mut types: BTreeMap<String, usize> = BTreeMap::new();
    let mut unmapped = BTreeSet::new();
    let (mut tally, mut rejects, mut failed) = (Tally::default(), 0, Vec::new());
    let (mut pairs, mut compared, mut declared) = (0, 0, 0);
    let all = lines("tfplan-to-cai-pairs.jsonl");
    for case in &all {
        let text = |name: &str| case[name].as_str().expect("a path");
        let (plan, expected) = (text("plan"), text("expected_cai"));
        let asset_type = |asset: &Value| asset["asset_type"].as_str().expect("a type").to_owned();
        for asset in json(expected).as_array().expect("a list") {
            types.entry(asset_type(asset)).or_default();
        }
        let (assets, refused) = read(expected, Format::GoogleAssets, Side::Observed);
        rejects += refused;
        let (planned, _) = read(plan, Format::TerraformPlanned, Side::Declared);
        for pair in pairs_of(&planned, &assets, &mut unmapped) {
            pairs += 1;
            *types.entry(pair.observed.resource_type.clone()).or_default() += 1;
            let comparison = tally.judge(&pair);
            compared += comparison.compared();
            declared += comparison.leaves;
            if !counting(&comparison).is_empty() {
                failed.push(format!(
                    "{plan} {}\n      {}",
                    pair.name,
                    told(&comparison).join("\n      ")
                ));
            }
        }
    }
    println!("set 12: {} of {} files read", all.len() as u64 - rejects, all.len());
    println!("set 12: {} asset types: {types:#?}", types.len());
    println!("set 12, types of plans without a map: {unmapped:#?}");
    tally.print("set 12");
    println!(
        "set 12: {} of {pairs} mapped pairs in sync, {compared} of {declared} attributes compared",
        pairs - failed.len()
    );
    assert_eq!(rejects, 0);
    assert!(pairs > 0 && failed.is_empty(), "{}", failed.join("\n"));
}
