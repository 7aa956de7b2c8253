//! Set 14: change records of Azure and Google.

use std::collections::BTreeSet;

use deployforge_model::Dialect;
use serde_json::Value;

use crate::support::{Pair, counting, files, json};

fn paths(pair: &Pair) -> BTreeSet<String> {
    counting(&pair.compare()).iter().map(|difference| difference.path.clone()).collect()
}

/// Every object with both snapshots.
fn snapshots<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(members) if members.contains_key("beforeSnapshot") => found.push(value),
        Value::Object(members) => members.values().for_each(|value| snapshots(value, found)),
        Value::Array(items) => items.iter().for_each(|value| snapshots(value, found)),
        _ => {}
    }
}

#[test]
fn azure_snapshots() {
    let mut all = 0;
    for path in files("8-vectors/transcribed__azure-rest-api-specs", ".json") {
        let file = json(&path);
        let mut found = Vec::new();
        snapshots(&file, &mut found);
        for one in found {
            all += 1;
            let content = |name: &str| one[name]["content"].clone();
            let (before, after) = (content("beforeSnapshot"), content("afterSnapshot"));
            let kind = before["type"].as_str().expect("a type").to_lowercase();
            let pair =
                Pair::new(path.display().to_string(), Dialect::Azure, &kind, &before, &after);
            let want = BTreeSet::from(["/properties/supportsHttpsTrafficOnly".to_owned()]);
            assert_eq!(paths(&pair), want);
        }
    }
    println!("set 14: {all} of {all} pairs of snapshots");
    assert!(all > 0);
}

#[test]
fn prior_assets() {
    let feed = json("8-vectors/transcribed__cai-feed/cai-feed-instance-update.json");
    let of = |name: &str| feed[name]["resource"]["data"].clone();
    let kind = feed["asset"]["assetType"].as_str().expect("a type");
    let pair = Pair::new("feed", Dialect::Google, kind, &of("priorAsset"), &of("asset"));
    let want =
        ["/status", "/networkInterfaces/0/networkIP", "/networkInterfaces/0/accessConfigs/0/natIP"];
    assert_eq!(paths(&pair), want.into_iter().map(str::to_owned).collect());
    println!("set 14: 3 of 3 changes of the asset");
}
