//! Set 12: Terraform plans, and the assets that Google's converter makes of them.

use std::collections::{BTreeMap, BTreeSet};

use deployforge_formats::{Format, ReadOptions, Side};
use deployforge_model::{Dialect, Observation};
use serde_json::Value;

use crate::support::{Half, MAPS, Pair, counting, json, lines, observations, root, told};
use crate::tally::Tally;

/// Findings that are right, since the converter loses something: plan, place, why.
const LOST: &[(&str, &str, &str)] = &[
    (
        "full_compute_instance.tfplan.json",
        "/boot_disk/0/initialize_params/0/size",
        "stands as a request has it, not as a disk shows it",
    ),
    (
        "full_compute_instance.tfplan.json",
        "/scheduling/0/node_affinities",
        "the converter leaves it out",
    ),
];

fn read(path: &str, format: Format, side: Side) -> (Vec<Observation>, u64) {
    let bytes = std::fs::read(root().join(path)).expect("the file");
    let options = ReadOptions { format: Some(format), side, ..ReadOptions::default() };
    let (all, summary) = observations(options, &bytes);
    (all, summary.rejects)
}

fn name(one: &Observation) -> Value {
    Half::of(one).raw["name"].clone()
}

/// What a plan and its assets have in common: one resource and one asset of a kind, or of a kind and
/// name, since their ids are not known yet. Types without a map go to `unmapped`.
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
        let same_kind = planned.iter().filter(|other| other.key.resource_type == *kind).count();
        // Of several of a kind the name tells which.
        let wanted = name(one);
        let is_this = |asset: &&Observation| same_kind == 1 || wanted == name(asset);
        let candidates: Vec<&Observation> = assets.iter().filter(is_of).filter(is_this).collect();
        if let [asset] = candidates.as_slice() {
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
    let (mut pairs, mut in_sync, mut compared, mut declared) = (0, 0, 0, 0);
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
            let mut others = 0;
            for one in counting(&comparison) {
                let known = LOST.iter().find(|row| plan.ends_with(row.0) && row.1 == one.path);
                match known {
                    Some((.., why)) => println!("   {plan} {}: {why}", one.path),
                    None => others += 1,
                }
            }
            if others > 0 {
                let told = told(&comparison).join("\n      ");
                failed.push(format!("{plan} {}\n      {told}", pair.name));
            }
            in_sync += usize::from(counting(&comparison).is_empty());
        }
    }
    println!("set 12: {} of {} files read", all.len() as u64 - rejects, all.len());
    println!("set 12: {} asset types: {types:#?}", types.len());
    println!("set 12, types of plans without a map: {unmapped:#?}");
    tally.print("set 12");
    println!(
        "set 12: {in_sync} of {pairs} mapped pairs in sync, {compared} of {declared} attributes compared"
    );
    assert_eq!(rejects, 0);
    assert!(pairs > 0 && failed.is_empty(), "{}", failed.join("\n"));
}
