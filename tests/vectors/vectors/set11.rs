//! Set 11: one resource from two sources: Azure Resource Manager and Resource Graph, AWS Config and the
//! calls for a bucket's parts.

use std::collections::BTreeMap;

use deployforge_canon::{Canon, Normalise};
use deployforge_compare::{Said, compare_across};
use deployforge_formats::{ReadOptions, Reader};
use deployforge_maps::Maps;
use deployforge_model::{Dialect, Mode, Observation, Record};
use deployforge_policy::Policy;
use serde_json::{Value, json};

use crate::mutate::{every_change_is_found, every_change_is_found_across};
use crate::support::{Noise, Pair, counting, files, json as file, node, root};

fn observations(bytes: &[u8]) -> Vec<Observation> {
    let mut reader = Reader::new(ReadOptions::default());
    let mut records = Vec::new();
    reader.push(bytes, &mut records);
    reader.finish(&mut records);
    let of = |record| match record {
        Record::Observation(observation) => Some(*observation),
        _ => None,
    };
    records.into_iter().filter_map(of).collect()
}

#[test]
fn manager_and_graph() {
    let folder = "8-vectors/cloud-custodian__cloud-custodian/tools/c7n_azure/tests_azure/cassettes";
    let (mut noise, mut mutations, mut pairs) = (Noise::default(), 0, 0);
    for path in files(folder, ".json") {
        if !path.to_string_lossy().contains("ResourceGraphSource") {
            continue;
        }
        let bytes = std::fs::read(root().join(&path)).expect("the file");
        let mut by_key: BTreeMap<String, Vec<Observation>> = BTreeMap::new();
        for one in observations(&bytes) {
            by_key.entry(one.key.id.clone()).or_default().push(one);
        }
        for (id, both) in by_key {
            let [manager, .., graph] = both.as_slice() else { continue };
            let kind = &manager.key.resource_type;
            let state =
                |one: &Observation| -> Value { serde_json::from_slice(&one.state).expect("JSON") };
            let mut pair = Pair::new(
                format!("{} {id}", path.display()),
                Dialect::Azure,
                kind,
                &state(manager),
                &state(graph),
            );
            pair.mode = Mode::Declared;
            let comparison = noise.add(&pair);
            let found: Vec<&str> = counting(&comparison).iter().map(|d| d.path.as_str()).collect();
            assert!(found.is_empty(), "{}: {found:?}", pair.name);
            mutations += every_change_is_found(&pair);
            pairs += 1;
        }
    }
    noise.print("set 11, Azure");
    println!("set 11, Azure: {pairs} of {pairs}; {mutations} changes found");
    assert!(pairs > 0);
}

/// A bucket as its calls tell it: one member for each part.
fn bucket(folder: &str) -> Value {
    // The name is what every call was asked for, and no reply repeats it.
    let mut bucket = json!({});
    for (call, name, member) in [
        ("GetBucketVersioning", "Versioning", ""),
        ("GetBucketLogging", "Logging", "LoggingEnabled"),
        ("GetBucketPolicy", "Policy", "Policy"),
        ("GetBucketWebsite", "Website", ""),
        ("GetBucketTagging", "Tags", "TagSet"),
    ] {
        let Ok(text) = std::fs::read_to_string(root().join(format!("{folder}/s3.{call}_1.json")))
        else {
            continue;
        };
        let reply: Value = serde_json::from_str(&text).expect("JSON");
        if reply["status_code"] != 200 {
            continue;
        }
        let mut data = reply["data"].clone();
        data.as_object_mut().expect("an object").remove("ResponseMetadata");
        bucket[name] = if member.is_empty() { data } else { data[member].clone() };
    }
    bucket
}

#[test]
fn config_and_the_calls() {
    const TYPE: &str = "AWS::S3::Bucket";
    let (maps, canon) = (Maps::built_in(), Canon::default());
    let placebo = "3-aws-config/cloud-custodian__cloud-custodian/tests/data/placebo";
    let folder = format!("{placebo}/test_s3_normalize");
    // The newest item of the bucket in the queue.
    let items: Vec<Observation> = files(&folder, ".json")
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("sqs.ReceiveMessage"))
        .flat_map(|path| observations(file(&path).to_string().as_bytes()))
        .filter(|one| one.key.resource_type == "AWS::S3::Bucket" && !one.state.is_empty())
        .collect();
    let newest = items.iter().max_by_key(|one| one.observed_at).expect("an item of the bucket");
    let mut state: Value = serde_json::from_slice(&newest.state).expect("JSON");
    // Nobody asked for the acceleration while the calls were recorded.
    let parts = state["supplementaryConfiguration"].as_object_mut().expect("parts");
    assert!(parts.remove("BucketAccelerateConfiguration").is_some());
    let expected = node(Dialect::AwsConfig, TYPE, &state, &[]);
    let mut api = bucket(&folder);
    api["Name"] = newest.key.id.as_str().into();
    let seen = node(Dialect::Aws, TYPE, &api, &[]);
    let declared = Said { dialect: Dialect::AwsConfig, resource_type: TYPE, state: &expected };
    let observed = Said { dialect: Dialect::Aws, resource_type: TYPE, state: &seen };
    let asked = (Normalise::Standard, &canon.folds);
    let comparison =
        compare_across(&maps, declared, observed, asked, &Policy::default()).expect("one kind");
    let found: Vec<String> = counting(&comparison)
        .iter()
        .map(|d| {
            format!(
                "{} {:?} {:?}",
                d.path,
                d.expected.as_ref().map(deployforge_canon::Node::to_json),
                d.observed.as_ref().map(deployforge_canon::Node::to_json)
            )
        })
        .collect();
    println!(
        "set 11, S3: {} attributes compared of {}, {found:#?}",
        comparison.compared(),
        comparison.leaves
    );
    println!(
        "set 11, S3 skipped: {:?}",
        comparison.skipped.iter().map(|one| &one.path).collect::<Vec<_>>()
    );
    assert!(found.is_empty(), "{found:#?}");
    let changes = every_change_is_found_across(&maps, declared, observed);
    println!("set 11, S3: 1 of 1; {changes} changes found");
}
