//! Set 14: change records of Azure and Google.

use std::collections::BTreeSet;

use deployforge_model::Dialect;
use serde_json::Value;

use crate::support::{Pair, counting, files, json};
use crate::tally::Tally;

fn paths(pair: &Pair, tally: &mut Tally) -> BTreeSet<String> {
    counting(&tally.judge(pair)).iter().map(|difference| difference.path.clone()).collect()
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
    let (mut tally, mut all) = (Tally::default(), 0);
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
            assert_eq!(paths(&pair, &mut tally), want);
        }
    }
    tally.print("set 14, Azure");
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
    let mut tally = Tally::default();
    assert_eq!(paths(&pair, &mut tally), want.into_iter().map(str::to_owned).collect());
    tally.print("set 14, Google");
    println!("set 14: 3 of 3 changes of the asset");
}
