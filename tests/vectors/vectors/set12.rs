//! Set 12: Terraform plans, and the assets that Google's converter makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use deployforge_canon::{Canon, Normalise};
use deployforge_compare::{Said, compare_across};
use deployforge_formats::{Format, ReadOptions, Reader, Side};
use deployforge_maps::Maps;
use deployforge_model::{Dialect, Observation, Record};
use deployforge_policy::Policy;

use crate::mutate::every_change_is_found_across;
use crate::support::{counting, lines, node, root};

fn observations(path: &str, format: Option<Format>, side: Side) -> (Vec<Observation>, u64) {
    let bytes = std::fs::read(root().join(Path::new(path))).expect("the file");
    let mut reader = Reader::new(ReadOptions { format, side, ..ReadOptions::default() });
    let mut records = Vec::new();
    reader.push(&bytes, &mut records);
    let summary = reader.finish(&mut records);
    let all = records.into_iter().filter_map(|record| match record {
        Record::Observation(observation) => Some(*observation),
        _ => None,
    });
    (all.collect(), summary.rejects)
}

#[test]
#[expect(clippy::too_many_lines, reason = "each file is counted at every step")]
fn plans_and_assets() {
    let (maps, canon) = (Maps::built_in(), Canon::default());
    let (mut types, mut rejects, mut failed): (BTreeMap<String, usize>, u64, Vec<String>) =
        (BTreeMap::new(), 0, Vec::new());
    let (mut pairs, mut in_sync, mut compared, mut declared, mut changes) = (0, 0, 0, 0, 0);
    let mut unmapped: BTreeSet<String> = BTreeSet::new();
    let all = lines("tfplan-to-cai-pairs.jsonl");
    for case in &all {
        let text = |name: &str| case[name].as_str().expect("a path");
        let (assets, refused) =
            observations(text("expected_cai"), Some(Format::GoogleAssets), Side::Observed);
        rejects += refused;
        for asset in &assets {
            *types.entry(asset.key.resource_type.clone()).or_default() += 1;
        }
        let planned = observations(text("plan"), Some(Format::TerraformPlanned), Side::Declared).0;
        for one in &planned {
            let kind = &one.key.resource_type;
            let Some(of) = maps.kind(Dialect::Terraform, kind) else {
                unmapped.insert(kind.clone());
                continue;
            };
            // One resource and one asset of a kind: their ids are not known yet.
            let is_of = |asset: &&Observation| {
                maps.kind(asset.dialect, &asset.key.resource_type)
                    .is_some_and(|kind| kind.name == of.name)
            };
            let candidates: Vec<&Observation> = assets.iter().filter(is_of).collect();
            let same_kind = planned.iter().filter(|other| other.key.resource_type == *kind).count();
            let ([asset], 1) = (candidates.as_slice(), same_kind) else { continue };
            pairs += 1;
            let json = |state: &[u8]| serde_json::from_slice(state).expect("JSON");
            let expected = node(Dialect::Terraform, kind, &json(&one.state), &one.sensitive);
            let state = node(Dialect::Google, &asset.key.resource_type, &json(&asset.state), &[]);
            let comparison = compare_across(
                &maps,
                Said { dialect: Dialect::Terraform, resource_type: kind, state: &expected },
                Said {
                    dialect: Dialect::Google,
                    resource_type: &asset.key.resource_type,
                    state: &state,
                },
                (Normalise::Standard, &canon.folds),
                &Policy::default(),
            )
            .expect("one kind");
            if counting(&comparison).is_empty() {
                changes += every_change_is_found_across(
                    &maps,
                    Said { dialect: Dialect::Terraform, resource_type: kind, state: &expected },
                    Said {
                        dialect: Dialect::Google,
                        resource_type: &asset.key.resource_type,
                        state: &state,
                    },
                );
            }
            compared += comparison.compared();
            declared += comparison.leaves;
            let found: Vec<String> = counting(&comparison)
                .iter()
                .map(|d| {
                    let text = |node: &Option<deployforge_canon::Node>| {
                        node.as_ref().map_or("-".to_owned(), |node| {
                            node.to_json().chars().take(100).collect()
                        })
                    };
                    format!("{}: {} -> {}", d.path, text(&d.expected), text(&d.observed))
                })
                .collect();
            if found.is_empty() {
                in_sync += 1;
            } else {
                failed.push(format!(
                    "{} {kind}\n      {}",
                    text("plan").rsplit('/').next().unwrap_or(""),
                    found.join("\n      ")
                ));
            }
        }
    }
    println!(
        "set 12: {} files read, {rejects} refused; {} asset types: {types:?}",
        all.len(),
        types.len()
    );
    println!(
        "set 12: {in_sync} of {pairs} mapped pairs in sync, {compared} of {declared} attributes compared, {changes} changes found; unmapped: {unmapped:?}"
    );
    assert_eq!(rejects, 0);
    assert!(pairs > 0 && failed.is_empty(), "{}", failed.join("\n"));
}
