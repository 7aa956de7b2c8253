//! Documents that hold many things: whatever is done to them, reading them ends, gives the same records
//! whatever the chunks, and gives only records that hold what records promise.

use std::path::Path;

use deployforge_formats::{Format, ReadOptions, Reader, Side};
use deployforge_model::{Presence, Record};
use serde::de::IgnoredAny;

use crate::Outcome;
use crate::dice::Dice;
use crate::mutate::text;
use crate::tree::Json;

/// One of each kind, small, with the members that steer its reader.
pub(crate) const SAMPLES: [&str; 16] = [
    r#"{"format_version":"1.0","values":{"root_module":{"resources":[{"mode":"managed","type":"aws_sqs_queue","name":"q","index":0,"provider_name":"registry.terraform.io/hashicorp/aws","values":{"id":"q","arn":"arn:aws:sqs:eu-west-1:1:q"},"sensitive_values":{"a":[true]},"tainted":true,"deposed_key":"0badcafe"}],"child_modules":[{"address":"module.m[\"x\"]","resources":[{"mode":"data","type":"t","name":"d"}]}]}}}"#,
    r#"{"format_version":"1.2","errored":true,"complete":false,"planned_values":{"root_module":{"resources":[{"type":"t","name":"a","values":{"x":1}}]}},"prior_state":{"values":{"root_module":{"resources":[{"type":"t","name":"a","values":{"id":"1"}},{"type":"t","name":"b","values":{"id":"2"}}]}}},"resource_drift":[{"type":"t","name":"a","previous_address":"t.z","change":{"actions":["update"],"before":{"id":"1","l":[{"p":1}]},"after":{"id":"1"},"before_sensitive":{"l":[{"p":true}]},"after_sensitive":false}}],"resource_changes":[{"type":"t","name":"a","change":{"actions":["delete","create"],"before":{"id":"1"},"after":{"x":1},"after_unknown":{"id":true,"l":[{"p":true}]}}}],"deferred_changes":[{"resource_change":{"type":"t","name":"c","change":{"actions":["create"]}}}],"configuration":{"root_module":{"resources":[{"type":"t","name":"a","provider_config_key":"m:aws.eu_west_1"}],"module_calls":{"m":{"module":{}}}}}}"#,
    r#"{"@level":"info","@message":"m","@module":"terraform.ui","type":"version"}"#,
    r#"{"asset":{"name":"//compute.googleapis.com/projects/p/zones/us-central1-a/instances/i","assetType":"compute.googleapis.com/Instance","ancestors":["projects/1"],"updateTime":"2026-01-01T00:00:00Z","resource":{"location":"us-central1-a","parent":"//x/projects/1","data":{"kind":"compute#instance","fingerprint":"f","tags":{"fingerprint":"f"},"selfLink":"https://www.googleapis.com/compute/v1/projects/p/zones/z/instances/i"}},"iamPolicy":{"etag":"e","bindings":[]}},"priorAsset":{"name":"//x/y","assetType":"a/b","relatedAsset":{"asset":"//z","relationshipType":"r"}},"priorAssetState":"PRESENT","deleted":true,"window":{"startTime":"2026-01-01T00:00:00Z"}}"#,
    r#"{"name":"//storage.googleapis.com/b","asset_type":"storage.googleapis.com/Bucket","ancestry_path":"organization/1/project/2","service_perimeter":{"name":"n","restricted_services":[]},"asset_exceptions":[{"exception_type":1}]}"#,
    r#"{"receivedMessages":[{"ackId":"a","message":{"data":"eyJuYW1lIjoiLy94L3kiLCJhc3NldFR5cGUiOiJhL2IifQ==","messageId":"1"}}]}"#,
    r#"{"kind":"compute#instanceAggregatedList","items":{"zones/z":{"instances":[{"kind":"compute#instance","name":"i","selfLink":"https://www.googleapis.com/compute/v1/projects/p/zones/z/instances/i"}],"warning":{}}},"unreachable":["x"]}"#,
    r#"{"topics":[{"name":"projects/p/topics/t","etag":"e"}],"nextPageToken":"n"}"#,
    r#"{"headers":{"status":"200","content-location":"https://pubsub.googleapis.com/v1/projects/p/topics/t:getIamPolicy?fields=x","date":"Thu, 08 Nov 2018 10:04:06 GMT","server":"ESF"},"body":{"etag":"e","bindings":[{"role":"r","members":["m"]}]}}"#,
    r#"{"version":1,"interactions":[{"request":{"method":"GET","uri":"https://management.azure.com/x"},"response":{"status":{"code":200},"headers":{"date":["Thu, 08 Nov 2018 10:04:06 GMT"]},"body":{"data":{"value":[{"id":"/subscriptions/S/resourceGroups/G/providers/A.B/c/d","type":"A.B/c","location":"West US","etag":"e","properties":{"provisioningState":"Succeeded"},"resources":[{"id":"/subscriptions/S/x/providers/A.B/c/d/e/f","properties":{}}]}]}}}}]}"#,
    r#"{"count":1,"data":{"columns":[{"name":"id"},{"name":"type"},{"name":"location"},{"name":"tags"},{"name":"properties"}],"rows":[["/subscriptions/S/resourceGroups/G/providers/A.B/c/d","a.b/c","westus",null,{}]]}}"#,
    r#"{"changeId":"c","resourceId":"/subscriptions/S/resourceGroups/G/providers/A.B/c/d","changeType":"Update","beforeSnapshot":{"timestamp":"2018-10-31T01:32:05Z","content":{"id":"/subscriptions/S/resourceGroups/G/providers/A.B/c/d","type":"A.B/c","properties":{}}},"afterSnapshot":{},"propertyChanges":[{"propertyName":"p","changeCategory":"System"}]}"#,
    r#"{"Records":[{"eventVersion":"1.08","eventID":"e","eventTime":"2026-01-01T00:00:00Z","awsRegion":"r","eventSource":"ec2.amazonaws.com","eventName":"RunInstances","userIdentity":{"type":"AssumedRole","principalId":"A:s","sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::1:role/r"}}},"requestParameters":{"instancesSet":{"items":[{"instanceId":"i-1"}]}},"responseElements":null}]}"#,
    r#"{"records":[{"time":"2026-01-01T00:00:00Z","resourceId":"/SUBSCRIPTIONS/S","operationName":"A/B/WRITE","category":"kube-audit","resultType":"Failure","identity":{"claims":{"appid":"a"}},"properties":{"requestbody":"{\"a\":{\"b\":1}}","log":"{\"kind\":\"Event\",\"verb\":\"get\"}"}}]}"#,
    r#"{"entries":[{"insertId":"i","logName":"projects/p/logs/x","timestamp":"2026-01-01T00:00:00Z","resource":{"labels":{"project_id":"p","zone":"z"}},"protoPayload":{"serviceName":"compute.googleapis.com","methodName":"v1.compute.instances.insert","resourceName":"projects/p/zones/z/instances/i","authenticationInfo":{"principalEmail":"a@b"},"authorizationInfo":[{"resource":"r","permissionType":"ADMIN_WRITE"}],"status":{"code":7},"request":{"updateMask":"a,b"}}}]}"#,
    r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","verb":"create","user":{"username":"system:node:n"},"objectRef":{"resource":"pods","namespace":"n","name":"p"},"responseStatus":{"code":403},"sourceIPs":["192.0.2.1"],"requestURI":"/api?x"}"#,
];

/// Folders of recorded files, if they are there.
const FOLDERS: [&str; 5] = [
    "2-terraform-json/opentofu__opentofu",
    "8-vectors/transcribed__azure-rest-api-specs",
    "8-vectors/transcribed__cai-feed",
    "7-audit/cloud-custodian__cloud-custodian",
    "5-cloud-api/cloud-custodian__cloud-custodian/tools/c7n_gcp/tests/data/flights/instance-query",
];

/// What mutations begin with.
pub(crate) fn seeds() -> Vec<Json> {
    let mut seeds: Vec<Json> = SAMPLES.iter().filter_map(|text| Json::parse(text)).collect();
    assert_eq!(seeds.len(), SAMPLES.len(), "the samples are JSON");
    if let Some(root) = std::env::var_os("DEPLOYFORGE_FIXTURES") {
        for folder in FOLDERS {
            recorded(&Path::new(&root).join(folder), &mut seeds);
        }
    }
    seeds
}

fn recorded(folder: &Path, seeds: &mut Vec<Json>) {
    let entries = std::fs::read_dir(folder).expect("the folder of fixtures can be read");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            recorded(&path, seeds);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            seeds.extend(Json::parse(&text).filter(|_| text.len() < 100_000));
        }
    }
}

/// A document that is nearly one of the seeds.
pub(crate) fn make(seeds: &[Json], dice: &mut Dice) -> Vec<u8> {
    if dice.once_in(8) { dice.pick(seeds).line() } else { text(seeds, dice) }
}

/// Reads it for both sides, and for what will be.
pub(crate) fn check(text: &[u8]) -> Outcome {
    let mut any = false;
    for (format, side) in [
        (None, Side::Observed),
        (None, Side::Declared),
        (Some(Format::TerraformPlanned), Side::Declared),
    ] {
        any |= hold(text, &ReadOptions { format, side, ..ReadOptions::default() })?;
    }
    Ok(any)
}

/// Reads it in one way; whether anything was read.
pub(crate) fn hold(text: &[u8], options: &ReadOptions) -> Outcome {
    let whole = read(options, text, text.len().max(1));
    if whole != read(options, text, 7) {
        let ReadOptions { format, side, .. } = options;
        return Err(format!("{format:?} {side:?}: the chunks make a difference"));
    }
    whole.iter().try_for_each(promises)?;
    Ok(whole.iter().any(|record| !matches!(record, Record::Reject(_))))
}

fn read(options: &ReadOptions, text: &[u8], size: usize) -> Vec<Record> {
    let mut reader = Reader::new(options.clone());
    let mut records = Vec::new();
    for chunk in text.chunks(size) {
        reader.push(chunk, &mut records);
    }
    reader.finish(&mut records);
    records
}

fn promises(record: &Record) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what}: {record:?}"));
    match record {
        Record::Observation(observation) => {
            let held = matches!(observation.presence, Presence::Present | Presence::Deposed);
            // Numbers that no number type holds are text all the same.
            let object = observation.state.starts_with(b"{")
                && serde_json::from_slice::<IgnoredAny>(&observation.state).is_ok();
            if held == observation.state.is_empty() || (held && !object) {
                return wrong("the state is not what the presence says");
            }
            let [_, _, _, kind, id] = observation.key.parts();
            if kind.is_empty() || id.is_empty() { wrong("the key is empty") } else { Ok(()) }
        }
        Record::Evidence(evidence) if evidence.action.is_empty() => wrong("no action"),
        Record::Reject(reject) if !reject.reason.ends_with('.') => wrong("no sentence"),
        _ => Ok(()),
    }
}
