//! Azure Resource Manager, Resource Graph and changes: traps one by one, then every recording.

use std::collections::BTreeMap;

use deployforge_formats::{Format, ReadOptions, Side};
use deployforge_model::{Dialect, Presence, RejectCode};
use serde_json::{Value, json};

use super::support::{Outcome, files, fixtures, read, read_as, read_in, state};

const ID: &str =
    "/subscriptions/S-1/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/VM";
const KEY: &str = "azure/s-1/westeurope/microsoft.compute/virtualmachines//subscriptions/s-1/resourcegroups/g/providers/microsoft.compute/virtualmachines/vm";

fn machine() -> Value {
    json!({"id": ID, "name": "VM", "type": "Microsoft.Compute/virtualMachines", "location": "West Europe",
        "etag": "W/\"1\"", "tags": {"a": "b"}, "properties": {"provisioningState": "Succeeded", "size": "A0"}})
}

fn declared(bytes: impl AsRef<[u8]>) -> Outcome {
    let options = ReadOptions { side: Side::Declared, ..ReadOptions::default() };
    read_in(&options, bytes.as_ref(), 4096)
}

/// The time went with the square of the parts, of which this has half a million.
#[test]
fn an_id_of_megabytes_is_refused_at_once() {
    let resource = json!({"id": format!("{ID}{}", "/c/d".repeat(500_000)), "properties": {}});
    assert_eq!(read(resource.to_string()).refused().code, RejectCode::BadField);
}

#[test]
fn one_resource_in_every_wrapping() {
    let columns =
        ["id", "name", "type", "location", "tags", "properties", "plan", "kind", "tenantId"];
    let row = columns.map(|name| match name {
        "type" => json!("microsoft.compute/virtualmachines"),
        "location" => json!("westeurope"),
        "kind" => json!(""),
        "tenantId" => json!("t"),
        _ => machine()[name].clone(),
    });
    let table = json!({"columns": columns.map(|name| json!({"name": name, "type": "string"})), "rows": [row]});
    for wrapped in [
        machine(),
        json!([machine()]),
        json!({"value": [machine()], "nextLink": "https://x"}),
        json!({"count": 1, "data": [machine()], "totalRecords": 1}),
        json!({"count": 1, "data": table}),
        table,
        json!({"version": 1, "interactions": [{"request": {"method": "GET", "uri": "https://management.azure.com/x"},
            "response": {"status": {"code": 200}, "headers": {}, "body": {"data": {"value": [machine()]}}}}]}),
        json!({"interactions": [{"request": {"method": "GET", "uri": "https://elsewhere/x"},
            "response": {"status": {"code": 200}, "body": {"string": machine().to_string()}}}]}),
    ] {
        let outcome = read(wrapped.to_string());
        let observation = outcome.only();
        assert_eq!(observation.key.to_string(), KEY, "{wrapped}");
        assert_eq!(observation.dialect, Dialect::Azure);
        let want =
            json!({"location": "westeurope", "tags": {"a": "b"}, "properties": {"size": "A0"}});
        assert_eq!(state(observation), want, "{wrapped}");
        assert_eq!(outcome.summary.format, Some(Format::Azure));
        assert!(!outcome.summary.complete_listing);
    }
    assert_eq!(read_as(Format::Azure, machine().to_string()).only().key.to_string(), KEY);
}

#[test]
fn what_is_listed_without_properties_is_known_and_no_more() {
    let mut bare = machine();
    bare.as_object_mut().unwrap().remove("properties");
    let outcome = read(json!({"value": [bare]}).to_string());
    assert_eq!(outcome.only().presence, Presence::Unreadable);
    assert_eq!(outcome.summary.notes, ["1 resource listed without its properties is unreadable"]);
    // A query that leaves columns out says nothing of what stands in them.
    let columns = ["id", "type", "location", "properties"];
    let row = columns.map(|name| machine()[name].clone());
    let table = json!({"columns": columns.map(|name| json!({"name": name})), "rows": [row]});
    assert_eq!(read(table.to_string()).only().presence, Presence::Unreadable);
    let table = json!({"columns": [{"name": "name"}], "rows": [["VM"]]});
    assert!(read(table.to_string()).refused().reason.contains("select `id`"));
    let table = json!({"columns": [{"name": "name"}], "rows": [[]]});
    assert_eq!(read(table.to_string()).refused().code, RejectCode::BadField);
}

#[test]
fn groups_subscriptions_and_children() {
    let group = json!({"id": "/subscriptions/S/resourceGroups/G", "name": "G", "location": "global", "properties": {}});
    assert_eq!(
        read(group.to_string()).only().key.to_string(),
        "azure/s//microsoft.resources/resourcegroups//subscriptions/s/resourcegroups/g"
    );
    let group = json!({"id": "/subscriptions/S/resourceGroups/G", "type": "Microsoft.Resources/subscriptions/resourceGroups", "properties": {}});
    assert_eq!(
        read(group.to_string()).only().key.resource_type,
        "microsoft.resources/resourcegroups"
    );
    let subscription = json!({"id": "/subscriptions/S", "subscriptionId": "S", "state": "Enabled"});
    assert_eq!(state(read(subscription.to_string()).only()), json!({"state": "Enabled"}));
    let mut parent = machine();
    parent["resources"] = json!([{"id": format!("{ID}/extensions/a")},
        {"id": format!("{ID}/extensions/b"), "type": "Microsoft.Compute/virtualMachines/extensions", "properties": {"x": 1}}]);
    let outcome = read(parent.to_string());
    let types: Vec<_> =
        outcome.observations().iter().map(|o| o.key.resource_type.clone()).collect();
    assert_eq!(
        types,
        ["microsoft.compute/virtualmachines", "microsoft.compute/virtualmachines/extensions"]
    );
    assert!(state(outcome.observations()[0])["resources"].is_null());
    assert_eq!(outcome.summary.notes, ["1 child named within its parent skipped"]);
}

#[test]
fn changes_are_evidence_and_never_values() {
    let change = |kind: &str| {
        json!({"targetResourceId": ID, "targetResourceType": "microsoft.compute/virtualmachines", "changeType": kind,
        "changeAttributes": {"changedBy": "a@b", "changedByType": "User", "clientType": "Azure Portal",
            "operation": "microsoft.compute/virtualmachines/write", "timestamp": "2024-06-12T13:26:17.347+00:00", "correlationId": "c"},
        "changes": {"properties.provisioningState": {"changeCategory": "System", "newValue": "hunter2"},
            "tags.key1": {"changeCategory": "User", "previousValue": "null"}}})
    };
    let row = json!({"id": "/x", "name": "n", "type": "microsoft.resources/changes", "properties": change("Update")});
    for (text, id) in [
        (change("Update"), "c"),
        (row.clone(), "n"),
        (json!({"value": [row]}), "n"),
        (json!({"data": [change("Update")]}), "c"),
    ] {
        let outcome = read(text.to_string());
        assert!(outcome.observations().is_empty() && outcome.rejects().is_empty(), "{text}");
        let [one] = outcome.evidence()[..] else { panic!("{text}") };
        assert_eq!((one.id.as_str(), one.log, one.actor.as_str()), (id, "azure-changes", "a@b"));
        assert_eq!((one.actor_type.as_str(), one.tool.as_str()), ("User", "Azure Portal"));
        assert_eq!(one.action, "microsoft.compute/virtualmachines/write");
        assert_eq!(one.paths, ["system:properties.provisioningState", "tags.key1"]);
        assert_eq!(one.resources, [ID.to_lowercase()]);
        assert_eq!(
            (one.account.as_str(), one.at.unwrap().to_string().as_str()),
            ("s-1", "2024-06-12T13:26:17.347Z")
        );
        assert!(!format!("{one:?}").contains("hunter2"));
    }
    let gone = read(change("Delete").to_string());
    assert_eq!(gone.observations()[0].presence, Presence::Deleted);
    assert!(declared(change("Delete").to_string()).observations().is_empty());
}

#[test]
fn details_hold_both_sides() {
    let mut before = machine();
    before["properties"]["size"] = json!("A1");
    let details = json!({"changeId": "c", "resourceId": ID, "changeType": "Update",
        "beforeSnapshot": {"content": before, "timestamp": "2018-10-31T01:32:05.993Z"},
        "afterSnapshot": {"content": machine(), "timestamp": "2018-10-31T01:54:24.42Z"},
        "propertyChanges": [{"propertyName": "properties.size", "changeCategory": "User"}]});
    let (old, new) = (declared(details.to_string()), read(details.to_string()));
    assert_eq!(state(old.only())["properties"]["size"], "A1");
    assert_eq!(state(new.only())["properties"]["size"], "A0");
    assert_eq!(new.evidence()[0].paths, ["properties.size"]);
    let gone = json!({"changeId": "c", "resourceId": ID, "beforeSnapshot": {"content": before}, "afterSnapshot": {}});
    let outcome = read(gone.to_string());
    assert_eq!(outcome.only().presence, Presence::Deleted);
    assert_eq!(outcome.only().key.to_string(), KEY);
    let made = json!({"changeId": "c", "resourceId": ID, "afterSnapshot": {"content": machine()}});
    assert!(declared(made.to_string()).observations().is_empty());
    let listed = json!({"changes": [{"changeId": "c", "beforeSnapshot": {"timestamp": "t"}, "afterSnapshot": {}}]});
    assert_eq!(read(listed.to_string()).evidence().len(), 1);
}

#[test]
fn what_is_no_resource_is_named() {
    for (text, code) in [
        (r#"{"error":{"code":"X","message":"m"}}"#, RejectCode::NotARecord),
        (r#"{"value":[{"name":"x"}]}"#, RejectCode::NotARecord),
        (
            r#"{"id":"/subscriptions/s/resourceGroups/g","id":"x","properties":{}}"#,
            RejectCode::NotARecord,
        ),
        (
            r#"{"id":"/subscriptions/s/resourceGroups/g","name":"a","name":"b","properties":{}}"#,
            RejectCode::DuplicateKey,
        ),
    ] {
        assert_eq!(read(text).refused().code, code, "{text}");
    }
    let list = read(json!({"value": [machine(), {"name": "x"}]}).to_string());
    assert_eq!(list.summary.notes, ["1 entry that is no resource skipped"]);
}

/// Replies of the examples of the API's description.
fn bodies(value: &Value) -> Value {
    match &value["responses"]["200"]["body"] {
        Value::Null => value.clone(),
        body => body.clone(),
    }
}

#[test]
fn the_examples_of_changes_are_read() {
    let folder = fixtures("8-vectors/transcribed__azure-rest-api-specs");
    let mut told = BTreeMap::new();
    for path in files(&folder) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let body =
            bodies(&serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()).to_string();
        let outcome = read(&body);
        assert!(outcome.rejects().is_empty(), "{name}: {:?}", outcome.rejects());
        told.insert(name, (outcome.observations().len(), outcome.evidence().len()));
        if outcome.observations().is_empty() {
            let paths = outcome.evidence()[0].paths.clone();
            let category = if body.contains("changeCategory") { "system:" } else { "" };
            assert_eq!(
                paths,
                [format!("{category}properties.provisioningState"), "tags.key1".to_owned()]
            );
            continue;
        }
        let (before, after) = (state(declared(&body).only()), state(outcome.only()));
        assert_eq!(before["properties"]["supportsHttpsTrafficOnly"], json!(false));
        let mut before = before;
        before["properties"]["supportsHttpsTrafficOnly"] = json!(true);
        assert_eq!(before, after, "nothing else changed");
    }
    assert_eq!(told.into_values().collect::<Vec<_>>(), [(1, 1), (0, 1), (0, 2), (0, 1)]);
}

/// Whether everything that `a` has, `b` has as well: texts without case, times within a second.
fn covers(a: &Value, b: &Value, at: &str) {
    match (a, b) {
        (Value::Object(left), Value::Object(right)) => {
            for (name, value) in left {
                covers(value, right.get(name).unwrap_or(&Value::Null), &format!("{at}/{name}"));
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            assert_eq!(left.len(), right.len(), "{at}");
            left.iter().zip(right).for_each(|(a, b)| covers(a, b, &format!("{at}/*")));
        }
        (Value::String(left), Value::String(right)) => {
            assert!(left.eq_ignore_ascii_case(right), "{at}: {left} {right}");
        }
        _ => assert_eq!(a, b, "{at}"),
    }
}

#[test]
fn resource_manager_and_resource_graph_are_one_source() {
    let folder = fixtures(
        "8-vectors/cloud-custodian__cloud-custodian/tools/c7n_azure/tests_azure/cassettes",
    );
    let mut pairs = 0;
    for path in files(&folder)
        .into_iter()
        .filter(|path| path.to_str().unwrap().contains("ResourceGraphSource"))
    {
        let bytes = std::fs::read(&path).unwrap();
        let cassette: Value = serde_json::from_slice(&bytes).unwrap();
        let half = |at: usize| {
            let one =
                json!({"version": 1, "interactions": [cassette["interactions"][at]]}).to_string();
            let outcome = read(&one);
            assert!(
                outcome.rejects().is_empty() && !outcome.observations().is_empty(),
                "{path:?} {at}"
            );
            let of = |o: &&deployforge_model::Observation| (o.key.clone(), state(o));
            outcome.observations().iter().map(of).collect::<BTreeMap<_, _>>()
        };
        let (managed, graph) = (half(0), half(1));
        for (key, state) in &managed {
            covers(state, graph.get(key).unwrap_or_else(|| panic!("{key} in {path:?}")), "");
            pairs += 1;
        }
    }
    assert_eq!(pairs, 2);
}

#[test]
fn every_recording_is_read() {
    let (mut classes, mut total) = (BTreeMap::<&str, usize>::new(), 0);
    let mut types: BTreeMap<String, usize> = BTreeMap::new();
    for folder in ["5-cloud-api", "8-vectors"] {
        let folder = fixtures(&format!(
            "{folder}/cloud-custodian__cloud-custodian/tools/c7n_azure/tests_azure/cassettes"
        ));
        for path in files(&folder) {
            let at = path.to_str().unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let outcome = read(&bytes);
            // Keys, certificates and documents are served by other APIs, which hold data, not resources.
            let hosts = [
                "vault.azure.net",
                "documents.azure.com",
                "scm.azurewebsites.net",
                "amazonaws.com",
            ];
            for reject in outcome.rejects() {
                assert!(hosts.iter().any(|host| reject.reason.contains(host)), "{at}: {reject:?}");
            }
            let cassette: Value = serde_json::from_slice(&bytes).unwrap();
            let wanted = resources(&cassette);
            assert_eq!(outcome.observations().len(), wanted, "{at}: {:?}", outcome.summary.notes);
            let class = match (wanted, outcome.rejects().len()) {
                (0, 0) => "noted",
                (_, 0) => "read",
                (0, _) => "other APIs",
                _ => "read beside other APIs",
            };
            *classes.entry(class).or_default() += 1;
            total += wanted;
            for observation in outcome.observations() {
                *types.entry(observation.key.resource_type.clone()).or_default() += 1;
            }
        }
    }
    println!("{classes:?}, {total} observations of {} types", types.len());
    assert_eq!(
        classes,
        BTreeMap::from([
            ("noted", 3),
            ("other APIs", 1),
            ("read", 123),
            ("read beside other APIs", 11)
        ])
    );
    assert_eq!(total, 430);
}

/// Whether a value is a resource; those within it count too, if they have properties.
fn one(value: &Value) -> usize {
    let id = value["id"].as_str().unwrap_or_default().to_lowercase();
    let kind = value["type"].as_str().unwrap_or_default().to_lowercase();
    let resource = id.starts_with("/subscriptions/") || id.starts_with("/providers/");
    let named =
        kind.contains('/') || !value["properties"].is_null() || !value["subscriptionId"].is_null();
    if !resource || !named || kind == "microsoft.insights/metrics" {
        return 0;
    }
    let children = value["resources"].as_array().into_iter().flatten();
    1 + children.filter(|child| child["properties"].is_object()).map(one).sum::<usize>()
}

/// How many resources the successful reads of a cassette hold.
fn resources(cassette: &Value) -> usize {
    let management = |interaction: &&Value| {
        let uri = interaction["request"]["uri"].as_str().unwrap_or_default();
        let method = interaction["request"]["method"].as_str().unwrap_or_default();
        let ok =
            interaction["response"]["status"]["code"].as_u64().is_some_and(|code| code / 100 == 2);
        let asks = method == "GET" || uri.contains("Microsoft.ResourceGraph/resources");
        ok && asks && uri.starts_with("https://management.azure.com/")
    };
    let count = |interaction: &Value| {
        let body = &interaction["response"]["body"];
        let text = body["string"].as_str().and_then(|text| serde_json::from_str(text).ok());
        let body: &Value = text.as_ref().unwrap_or(&body["data"]);
        match (&body["value"], &body["data"]["rows"]) {
            (Value::Array(list), _) => list.iter().map(one).sum(),
            (_, Value::Array(rows)) => rows.len(),
            _ => one(body),
        }
    };
    let interactions = cassette["interactions"].as_array().unwrap();
    interactions.iter().filter(management).map(count).sum()
}
