//! The demo's two baselines describe the same objects, one in Terraform's words and one in AWS Config's:
//! whatever differs between them is a fault of the maps, or of the dataset.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;

use deployforge_formats::ReadOptions;
use deployforge_model::{Dialect, Observation};

use crate::support::{Half, MAPS, Pair, counting, observations, told};
use crate::tally::Tally;

fn read(name: &str) -> Vec<Observation> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../datasets/demo/baseline"));
    let file = std::fs::File::open(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut bytes = Vec::new();
    // What is not packed is handed on as it is.
    flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes).unwrap_or_else(|_| {
        bytes = std::fs::read(folder.join(name)).expect("a file");
        bytes.len()
    });
    observations(ReadOptions { name: Some(name.to_owned()), ..ReadOptions::default() }, &bytes).0
}

#[test]
fn the_state_and_the_snapshots_of_the_demo_agree() {
    let mut items: HashMap<(usize, String), Vec<Observation>> = HashMap::new();
    for region in ["eu-west-1", "us-east-1"] {
        for one in read(&format!("aws-config-111111111111-{region}.json.gz")) {
            let Some(kind) = MAPS.number(one.dialect, &one.key.resource_type) else { continue };
            for name in std::iter::once(&one.key.id).chain(&one.aliases) {
                items.entry((kind, name.clone())).or_default().push(one.clone());
            }
        }
    }
    let (mut tally, mut wrong) = (Tally::default(), Vec::new());
    let (mut pairs, mut compared, mut declared) = (0, 0, 0);
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    for one in read("terraform.tfstate") {
        let kind = MAPS.number(Dialect::Terraform, &one.key.resource_type);
        let region = &one.key.region;
        let is_there = |item: &&Observation| {
            region.is_empty() || item.key.region == *region || item.key.region == "global"
        };
        let of_name = |name| items.get(&(kind?, String::clone(name)))?.iter().find(is_there);
        let mut names = std::iter::once(&one.key.id).chain(&one.aliases);
        let Some(item) = names.find_map(of_name) else { continue };
        let pair = Pair::of(one.key.to_string(), Half::of(&one), Half::of(item));
        let comparison = tally.compare(&pair);
        pairs += 1;
        compared += comparison.compared();
        declared += comparison.leaves;
        for lost in &comparison.skipped {
            *skipped.entry(format!("{} {}", one.key.resource_type, lost.path)).or_default() += 1;
        }
        if !counting(&comparison).is_empty() {
            wrong.push(format!("{}: {}", pair.name, told(&comparison).join(", ")));
        }
    }
    tally.print("demo");
    println!(
        "demo: {pairs} pairs, {compared} of {declared} attributes compared; not: {skipped:#?}"
    );
    assert!(pairs > 250, "{pairs}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
