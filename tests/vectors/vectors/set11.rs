//! Set 11: one resource from two sources: Azure Resource Manager and Resource Graph, AWS Config and the
//! calls for a bucket's parts.

use std::collections::BTreeMap;

use deployforge_formats::ReadOptions;
use deployforge_model::{Dialect, Mode, Observation};
use serde_json::{Value, json};

use crate::support::{Half, Pair, counting, files, json as file, observations, root, told};
use crate::tally::Tally;

#[test]
fn manager_and_graph() {
    let folder = "8-vectors/cloud-custodian__cloud-custodian/tools/c7n_azure/tests_azure/cassettes";
    let (mut tally, mut pairs) = (Tally::default(), 0);
    for path in files(folder, ".json") {
        if !path.to_string_lossy().contains("ResourceGraphSource") {
            continue;
        }
        let bytes = std::fs::read(root().join(&path)).expect("the file");
        let mut by_key: BTreeMap<String, Vec<Observation>> = BTreeMap::new();
        for one in observations(ReadOptions::default(), &bytes).0 {
            by_key.entry(one.key.id.clone()).or_default().push(one);
        }
        for (id, both) in by_key {
            let [manager, .., graph] = both.as_slice() else { continue };
            let name = format!("{} {id}", path.display());
            let pair =
                Pair { mode: Mode::Declared, ..Pair::of(name, Half::of(manager), Half::of(graph)) };
            let comparison = tally.judge(&pair);
            assert!(counting(&comparison).is_empty(), "{}: {:?}", pair.name, told(&comparison));
            pairs += 1;
        }
    }
    tally.print("set 11, Azure");
    println!("set 11, Azure: {pairs} of {pairs}");
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
    let placebo = "3-aws-config/cloud-custodian__cloud-custodian/tests/data/placebo";
    let folder = format!("{placebo}/test_s3_normalize");
    // The newest item of the bucket in the queue.
    let items: Vec<Observation> = files(&folder, ".json")
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("sqs.ReceiveMessage"))
        .flat_map(|path| observations(ReadOptions::default(), file(&path).to_string().as_bytes()).0)
        .filter(|one| one.key.resource_type == "AWS::S3::Bucket" && !one.state.is_empty())
        .collect();
    let newest = items.iter().max_by_key(|one| one.observed_at).expect("an item of the bucket");
    let mut state: Value = serde_json::from_slice(&newest.state).expect("JSON");
    // Nobody asked for the acceleration while the calls were recorded.
    let parts = state["supplementaryConfiguration"].as_object_mut().expect("parts");
    assert!(parts.remove("BucketAccelerateConfiguration").is_some());
    let mut api = bucket(&folder);
    api["Name"] = newest.key.id.as_str().into();
    let expected = Half::new(Dialect::AwsConfig, TYPE, &state);
    let pair = Pair::of(&*newest.key.id, expected, Half::new(Dialect::Aws, TYPE, &api));
    let mut tally = Tally::default();
    let comparison = tally.judge(&pair);
    tally.print("set 11, S3");
    println!(
        "set 11, S3: {} attributes compared of {}; not: {:?}",
        comparison.compared(),
        comparison.leaves,
        comparison.skipped.iter().map(|one| &one.path).collect::<Vec<_>>()
    );
    assert!(counting(&comparison).is_empty(), "{:#?}", told(&comparison));
}
