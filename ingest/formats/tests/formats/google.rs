//! Cloud Asset Inventory and Google's APIs: traps one by one, then every recorded file.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use deployforge_formats::{Format, ReadOptions, Side};
use deployforge_model::{Dialect, Presence, RejectCode};
use serde_json::{Value, json};

use super::support::{Outcome, files, fixtures, read, read_as, read_in, state};

const NAME: &str = "//compute.googleapis.com/projects/p/zones/us-central1-a/instances/i";
const KEY: &str = "google/p/us-central1/compute.googleapis.com/Instance/";

fn asset(part: &str, content: &Value) -> Value {
    json!({"name": NAME, "assetType": "compute.googleapis.com/Instance",
        "ancestors": ["projects/7", "organizations/1"], "updateTime": "2026-01-01T00:00:00Z", part: content})
}

fn instance(state: &str) -> Value {
    let data = json!({"name": "i", "status": state, "fingerprint": "x", "labels": {"etag": "mine"},
        "selfLink": "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a/instances/i"});
    asset("resource", &json!({"version": "v1", "location": "us-central1-a", "data": data}))
}

fn declared(bytes: impl AsRef<[u8]>) -> Outcome {
    let options = ReadOptions { side: Side::Declared, ..ReadOptions::default() };
    read_in(&options, bytes.as_ref(), 4096)
}

fn named(name: &str, bytes: impl AsRef<[u8]>) -> Outcome {
    let options = ReadOptions { name: Some(name.to_owned()), ..ReadOptions::default() };
    read_in(&options, bytes.as_ref(), 4096)
}

#[test]
fn an_asset_is_its_resource_without_what_is_volatile() {
    let outcome = read(instance("RUNNING").to_string());
    let observation = outcome.only();
    assert_eq!(observation.key.to_string(), format!("{KEY}{NAME}"));
    assert_eq!(observation.dialect, Dialect::Google);
    assert_eq!(
        state(observation),
        json!({"name": "i", "status": "RUNNING", "labels": {"etag": "mine"}})
    );
    assert_eq!(observation.observed_at.unwrap().to_string(), "2026-01-01T00:00:00Z");
    assert_eq!(
        observation.aliases,
        [
            "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a/instances/i",
            "projects/p/zones/us-central1-a/instances/i"
        ]
    );
    assert_eq!(outcome.summary.format, Some(Format::GoogleAssets));
    assert!(!outcome.summary.complete_listing);
}

#[test]
fn the_snake_case_form_is_the_same_asset() {
    let policy = |etag: &str, configs: &str, kind: &str| json!({etag: "e", "bindings": [{"role": "r", "members": ["m"]}], configs: [{"service": "s", kind: []}]});
    let camel = asset("iamPolicy", &policy("etag", "auditConfigs", "auditLogConfigs"));
    let snake = json!({"name": NAME, "asset_type": "compute.googleapis.com/Instance", "ancestors": ["projects/7"],
        "update_time": "2026-01-01T00:00:00Z", "iam_policy": policy("etag", "audit_configs", "audit_log_configs")});
    let (camel, snake) = (read(camel.to_string()), read(snake.to_string()));
    assert_eq!(camel.only().key, snake.only().key);
    assert_eq!(state(camel.only()), state(snake.only()));
    assert_eq!(camel.only().key.resource_type, "compute.googleapis.com/Instance/iamPolicy");
    assert_eq!(
        state(camel.only())["iamPolicy"],
        json!({"bindings": [{"role": "r", "members": ["m"]}], "auditConfigs": [{"service": "s", "auditLogConfigs": []}]})
    );
}

#[test]
fn each_part_is_an_observation_of_its_own() {
    let mut whole = instance("RUNNING");
    for (part, content) in [
        ("iamPolicy", json!({"bindings": []})),
        ("orgPolicy", json!([{"constraint": "c", "updateTime": "t"}])),
        ("osInventory", json!({"items": {"installed_package": {}}})),
        ("relatedAsset", json!({"asset": "//x/y", "relationshipType": "R"})),
        ("servicePerimeter", json!({"name": "accessPolicies/1/servicePerimeters/s"})),
    ] {
        whole[part] = content;
    }
    let outcome = read(whole.to_string());
    let keys: Vec<(&str, &str)> = outcome
        .observations()
        .iter()
        .map(|o| {
            (o.key.resource_type.rsplit('/').next().unwrap(), o.key.id.trim_start_matches(NAME))
        })
        .collect();
    assert_eq!(
        keys,
        [
            ("iamPolicy", ""),
            ("orgPolicy", ""),
            ("accessPolicy", "#accessPolicies/1/servicePerimeters/s"),
            ("osInventory", ""),
            ("relationship", "#R://x/y"),
            ("Instance", "")
        ]
    );
    assert_eq!(state(outcome.observations()[1]), json!({"orgPolicy": [{"constraint": "c"}]}));
    // A message about one part says nothing of the others.
    let partial = read(asset("iamPolicy", &json!({"bindings": []})).to_string());
    assert_eq!(partial.observations().len(), 1);
    // An asset without any part exists, and more is not known.
    let bare =
        read(json!({"name": NAME, "assetType": "compute.googleapis.com/Instance"}).to_string());
    assert_eq!(bare.only().presence, Presence::Unreadable);
    // So does one that came cut.
    let mut cut = instance("RUNNING");
    cut["assetExceptions"] = json!([{"exceptionType": "TRUNCATION", "details": "x"}]);
    assert_eq!(read(cut.to_string()).only().presence, Presence::Unreadable);
}

#[test]
fn a_feed_tells_what_is_and_what_was() {
    let message = json!({"asset": instance("STAGING"), "priorAsset": instance("PROVISIONING"),
        "priorAssetState": "PRESENT", "window": {"startTime": "2026-01-02T00:00:00Z"}});
    assert_eq!(state(read(message.to_string()).only())["status"], "STAGING");
    assert_eq!(state(declared(message.to_string()).only())["status"], "PROVISIONING");

    let bare = json!({"name": NAME, "assetType": "compute.googleapis.com/Instance"});
    let gone = json!({"asset": bare, "priorAsset": instance("RUNNING"), "deleted": true,
        "window": {"startTime": "2026-01-02T00:00:00Z"}});
    let outcome = read(gone.to_string());
    assert_eq!(outcome.only().presence, Presence::Deleted);
    assert_eq!(outcome.only().key.to_string(), format!("{KEY}{NAME}"));
    assert_eq!(outcome.only().observed_at.unwrap().to_string(), "2026-01-02T00:00:00Z");
    assert_eq!(declared(gone.to_string()).only().presence, Presence::Present);
    let gone = json!({"asset": {"name": NAME, "assetType": "compute.googleapis.com/Instance"}, "deleted": true});
    assert_eq!(read(gone.to_string()).only().presence, Presence::Deleted);
    let policy = json!({"asset": asset("iamPolicy", &json!({})), "deleted": true});
    assert!(read(policy.to_string()).only().key.resource_type.ends_with("/iamPolicy"));

    for (before, presence) in [("DOES_NOT_EXIST", None), ("INVALID", Some(Presence::Unreadable))] {
        let message = json!({"asset": instance("RUNNING"), "priorAssetState": before});
        let outcome = declared(message.to_string());
        assert_eq!(outcome.observations().first().map(|o| o.presence), presence, "{before}");
        assert!(outcome.rejects().is_empty());
    }
}

#[test]
fn topics_wrap_messages() {
    let encode = |text: &str| STANDARD.encode(text);
    let message = json!({"asset": instance("RUNNING")}).to_string();
    for wrapped in [
        json!({"message": {"data": encode(&message), "messageId": "1", "publishTime": "t"}, "subscription": "s"}),
        json!({"receivedMessages": [{"ackId": "a", "message": {"data": encode(&message), "messageId": "1"}}]}),
        json!([{"ackId": "a", "message": {"data": encode(&message), "messageId": "1"}}]),
    ] {
        assert_eq!(read(wrapped.to_string()).only().key.id, NAME, "{wrapped}");
        assert_eq!(read_as(Format::GoogleAssets, wrapped.to_string()).only().key.id, NAME);
    }
    let greeting = "You have successfully configured real time feed for this topic";
    let greeting =
        json!({"message": {"data": encode(greeting), "messageId": "1"}, "subscription": "s"});
    let outcome = read(greeting.to_string());
    assert!(outcome.records.is_empty());
    assert_eq!(outcome.summary.notes, ["1 message that greets a new feed skipped"]);
    for (data, code) in [("!", RejectCode::BadField), ("dGV4dA==", RejectCode::NotARecord)] {
        let bad = json!({"message": {"data": data, "messageId": "1"}, "subscription": "s"});
        assert_eq!(read(bad.to_string()).refused().code, code, "{data}");
    }
}

#[test]
fn lists_searches_and_histories() {
    let history = json!({"assets": [{"asset": instance("RUNNING"), "window": {}}]});
    let list = json!({"readTime": "t", "assets": [instance("RUNNING"), {"name": "short", "assetType": "t"}]});
    assert_eq!(read(history.to_string()).ids(), [NAME]);
    let outcome = read(list.to_string());
    assert_eq!((outcome.ids(), outcome.codes()), (vec![NAME], vec![RejectCode::BadField]));
    let search = json!({"results": [{"name": NAME, "assetType": "compute.googleapis.com/Instance",
        "project": "projects/7", "location": "us-central1-a", "displayName": "i"}]});
    assert_eq!(read(search.to_string()).only().presence, Presence::Unreadable);
    assert_eq!(read(r#"{"readTime":"t","assets":[]}"#).summary.notes, ["1 list without items"]);
}

#[test]
fn projects_come_from_ancestors_where_names_have_none() {
    let bucket = |members: Value| {
        let mut asset = json!({"name": "//storage.googleapis.com/b", "assetType": "storage.googleapis.com/Bucket",
            "resource": {"data": {"location": "US-EAST4", "projectNumber": "7"}}});
        asset.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        read(asset.to_string()).only().key.to_string()
    };
    let want = "google/7/us-east4/storage.googleapis.com/Bucket///storage.googleapis.com/b";
    assert_eq!(bucket(json!({"ancestors": ["projects/7"]})), want);
    assert_eq!(bucket(json!({"ancestry_path": "organization/1/project/7"})), want);
    assert_eq!(bucket(json!({})), want);
}

#[test]
fn a_reply_joins_its_asset() {
    let reply = json!({"kind": "compute#instance", "name": "i", "status": "RUNNING", "fingerprint": "y",
        "labels": {"etag": "mine"},
        "selfLink": "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a/instances/i"});
    let list = json!({"kind": "compute#instanceList", "items": [reply],
        "selfLink": "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a/instances"});
    let places = json!({"kind": "compute#instanceAggregatedList", "items": {
        "zones/us-central1-a": {"instances": [reply]}, "zones/z": {"warning": {"code": "NO_RESULTS_ON_PAGE"}}}});
    let asset = read(instance("RUNNING").to_string());
    for text in [reply, list, places] {
        let outcome = read(text.to_string());
        assert_eq!(outcome.only().key, asset.only().key, "{text}");
        assert_eq!(state(outcome.only()), state(asset.only()), "{text}");
        assert_eq!(outcome.summary.format, Some(Format::GoogleApi));
    }
}

#[test]
fn names_tell_services_or_the_reply_is_refused() {
    let read_text = |text: &str| read(text);
    let topics =
        read_text(r#"{"topics":[{"name":"projects/p/topics/t","labels":{}}],"nextPageToken":"x"}"#);
    assert_eq!(
        topics.only().key.to_string(),
        "google/p//pubsub.googleapis.com/Topic///pubsub.googleapis.com/projects/p/topics/t"
    );
    let spanner = read_text(r#"{"instances":[{"name":"projects/p/instances/i","nodeCount":1}]}"#);
    assert_eq!(spanner.only().key.resource_type, "spanner.googleapis.com/Instance");
    let account =
        read_text(r#"{"accounts":[{"name":"projects/p/serviceAccounts/a@p","uniqueId":"9"}]}"#);
    assert_eq!(account.only().key.id, "//iam.googleapis.com/projects/p/serviceAccounts/9");
    assert_eq!(
        account.only().aliases,
        ["//iam.googleapis.com/projects/p/serviceAccounts/a@p", "projects/p/serviceAccounts/9"]
    );
    for (text, word) in [
        (r#"{"instances":[{"name":"projects/p/instances/i","labels":{}}]}"#, "known format"),
        (r#"{"kind":"dns#managedZone","name":"z"}"#, "does not tell which resource"),
        (r#"{"bindings":[{"role":"r","members":[]}],"etag":"e"}"#, "access policy"),
    ] {
        assert!(read_text(text).refused().reason.contains(word), "{:?}", read_text(text).refused());
    }
    let policy = r#"{"kind":"storage#policy","resourceId":"projects/_/buckets/b","bindings":[{"role":"r","members":[]}]}"#;
    assert_eq!(read_text(policy).only().key.id, "//storage.googleapis.com/b");
}

#[test]
fn recordings_tell_the_call() {
    let flight = |uri: &str, body: Value| {
        let headers = json!({"status": "200", "content-location": uri, "date": "Thu, 08 Nov 2018 10:04:06 GMT"});
        json!({"headers": headers, "body": body}).to_string()
    };
    let zone = flight(
        "https://dns.googleapis.com/dns/v1beta2/projects/p/managedZones?alt=json",
        json!({"kind": "dns#managedZonesListResponse", "managedZones": [{"kind": "dns#managedZone", "name": "z"}]}),
    );
    assert_eq!(
        named("get-x_1.json", &zone).only().key.id,
        "//dns.googleapis.com/projects/p/managedZones/z"
    );
    assert_eq!(read(&zone).only().observed_at.unwrap().to_string(), "2018-11-08T10:04:06Z");
    assert!(named("post-x_1.json", &zone).records.is_empty(), "it changes something");
    let policy = flight(
        "https://cloudfunctions.googleapis.com/v1/projects/p/locations/l/functions/f:getIamPolicy?alt=json",
        json!({"etag": "ACAB"}),
    );
    let outcome = named("get-x.json", &policy);
    assert_eq!(
        outcome.only().key.resource_type,
        "cloudfunctions.googleapis.com/CloudFunction/iamPolicy"
    );
    let fields = flight(
        "https://compute.googleapis.com/compute/v1/projects/p/zones/z/disks/d?fields=name",
        json!({"name": "d"}),
    );
    assert_eq!(
        read(&fields).only().presence,
        Presence::Unreadable,
        "only some fields were asked for"
    );
    let failed = r#"{"headers":{"status":"404"},"body":{"error":{"code":404}}}"#;
    assert_eq!(read(failed).summary.notes, ["1 recorded call failed and was skipped"]);
    // Without an address, the file's name tells what the table knows.
    let policy = r#"{"headers":{"status":"200","server":"ESF"},"body":{"bindings":[{"role":"r","members":[]}]}}"#;
    let outcome = named("post-v1-projects-my-p-topics-t-getIamPolicy_1.json", policy);
    assert_eq!(outcome.only().key.id, "//pubsub.googleapis.com/projects/my-p/topics/t");
}

/// Assets anywhere in a value.
fn assets(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().flat_map(assets).collect(),
        Value::Object(members)
            if members.contains_key("asset_type") || members.contains_key("assetType") =>
        {
            vec![value]
        }
        _ => Vec::new(),
    }
}

const PARTS: [&str; 7] = [
    "resource",
    "iam_policy",
    "org_policy",
    "access_policy",
    "access_level",
    "service_perimeter",
    "os_inventory",
];

#[test]
fn every_inventory_is_read() {
    let mut types: BTreeMap<String, usize> = BTreeMap::new();
    let (mut total, mut inventories, mut constraints) = (0, 0, 0);
    let folders =
        ["6-inventory/gcp-cai", "8-vectors/GoogleCloudPlatform__terraform-validator/testdata"];
    for path in folders.into_iter().flat_map(|folder| files(&fixtures(folder))) {
        let at = path.to_str().unwrap();
        if at.ends_with(".tfplan.json") || at.ends_with(".tfstate") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let outcome = read(&bytes);
        if path.extension().is_none_or(|extension| extension != "json") {
            // Constraints are Kubernetes objects, and say what is allowed, not what is there.
            constraints += usize::from(outcome.observations().is_empty());
            continue;
        }
        inventories += 1;
        let mut values = serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>();
        let documents: Vec<Value> = values.by_ref().map_while(Result::ok).collect();
        let held: usize = documents
            .iter()
            .flat_map(assets)
            .map(|asset| PARTS.iter().filter(|part| !asset[**part].is_null()).count().max(1))
            .sum();
        assert_eq!(outcome.observations().len(), held, "{at}: {:?}", outcome.rejects());
        // One of the two files with several documents has text between them.
        let broken = at.ends_with("gke_container_optimized_os/assets/data.json");
        assert_eq!(outcome.rejects().len(), usize::from(broken), "{at}: {:?}", outcome.rejects());
        for observation in outcome.observations() {
            assert_eq!(observation.presence, Presence::Present, "{at}");
            assert!(observation.key.id.starts_with("//"), "{at}");
            *types.entry(observation.key.resource_type.clone()).or_default() += 1;
        }
        total += held;
    }
    println!("{inventories} inventories, {total} observations, {} types: {types:#?}", types.len());
    assert_eq!((inventories, constraints, total), (183, 15, 525));
    let bucket = "storage.googleapis.com/Bucket";
    assert!(types[bucket] > 30 && types.contains_key(&format!("{bucket}/iamPolicy")));
}

#[test]
fn the_feed_differs_where_users_see_it() {
    let bytes = std::fs::read(
        fixtures("8-vectors/transcribed__cai-feed").join("cai-feed-instance-update.json"),
    )
    .unwrap();
    let (after, before) = (state(read(&bytes).only()), state(declared(&bytes).only()));
    let mut differs = Vec::new();
    differences("", &before, &after, &mut differs);
    assert_eq!(
        differs,
        ["/networkInterfaces/0/accessConfigs/0/natIP", "/networkInterfaces/0/networkIP", "/status"]
    );
}

fn differences(at: &str, a: &Value, b: &Value, found: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(left), Value::Object(right)) => {
            let names: std::collections::BTreeSet<&String> =
                left.keys().chain(right.keys()).collect();
            for name in names {
                let none = Value::Null;
                let (a, b) = (left.get(name).unwrap_or(&none), right.get(name).unwrap_or(&none));
                differences(&format!("{at}/{name}"), a, b, found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (a, b)) in left.iter().zip(right).enumerate() {
                differences(&format!("{at}/{index}"), a, b, found);
            }
        }
        _ if a != b => found.push(at.to_owned()),
        _ => {}
    }
}

/// Recorded replies that are refused, and why they cannot be read.
const REFUSED: [(&str, &str); 7] = [
    ("post-v1-organizations-870080179722-listOrgPolicies_1.json", "policies without names"),
    (
        "get-apis-run.googleapis.com-v1-namespaces-cloud-custodian-jobs_1.json",
        "jobs without a region",
    ),
    (
        "get-v1-apps-cloud-custodian-firewall-ingressRules_1.json",
        "rules without names, and no address",
    ),
    (
        "gcp-cloud-run-service-set-labels/get-v1-projects-cloud-custodian-locations---services_1.json",
        "no address",
    ),
    ("get-v1-projects-cloud-custodian-accessApprovalSettings_1.json", "settings, no resource"),
    (
        "dataflow-job/get-v1b3-projects-cloud-custodian-jobs-aggregated_1.json",
        "no names, and no address",
    ),
    ("filter-metrics-resource-name/get-v3-projects-cloud-custodian-timeSeries_1.json", "figures"),
];

#[test]
fn recorded_replies_are_read_or_refused_for_their_reason() {
    let mut counts: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    let mut total = 0;
    for folder in ["5-cloud-api", "8-vectors"] {
        let folder = fixtures(&format!(
            "{folder}/cloud-custodian__cloud-custodian/tools/c7n_gcp/tests/data"
        ));
        for path in files(&folder) {
            let at = path.to_str().unwrap();
            let bytes = std::fs::read(&path).unwrap();
            if !at.contains("/flights/") {
                continue;
            }
            let name = path.file_name().unwrap().to_str().unwrap();
            let outcome = named(name, &bytes);
            let get = name.starts_with("get-");
            let class = if !outcome.rejects().is_empty() {
                let known = REFUSED.iter().any(|(file, _)| at.ends_with(file));
                // `projects/p/instances/i` is Spanner's and Bigtable's, and a file's name tells neither.
                let ambiguous =
                    name.contains("-instances-spanner-instance-") && name.contains("getIamPolicy");
                assert!(known || ambiguous, "{at}: {:?}", outcome.rejects());
                "refused"
            } else if outcome.observations().is_empty() {
                assert!(!outcome.summary.notes.is_empty(), "{at}");
                "noted"
            } else {
                "read"
            };
            total += outcome.observations().len();
            *counts.entry((get, class)).or_default() += 1;
        }
    }
    println!("{counts:?}, {total} observations");
    assert_eq!(
        counts,
        BTreeMap::from([
            ((true, "read"), 495),
            ((true, "noted"), 116),
            ((true, "refused"), 4),
            ((false, "read"), 22),
            ((false, "noted"), 95),
            ((false, "refused"), 7),
        ])
    );
}
