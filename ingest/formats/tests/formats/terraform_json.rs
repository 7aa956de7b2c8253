//! What Terraform prints as JSON: traps one by one, then every recorded file.

use std::collections::{BTreeMap, BTreeSet};

use deployforge_formats::terraform_json::{Schemas, Shape};
use deployforge_formats::{Format, ReadOptions, Side};
use deployforge_model::{Observation, Presence, RejectCode};
use serde_json::{Value, json};

use super::support::{Outcome, files, fixtures, read, read_as, read_in, state};

fn declared(bytes: impl AsRef<[u8]>) -> Outcome {
    let options = ReadOptions { side: Side::Declared, ..ReadOptions::default() };
    read_in(&options, bytes.as_ref(), 4096)
}

fn planned(bytes: impl AsRef<[u8]>) -> Outcome {
    read_as(Format::TerraformPlanned, bytes)
}

/// A plan with these members beside its version.
fn plan(members: &Value) -> String {
    let mut plan = json!({"format_version": "1.2", "terraform_version": "1.9.0"});
    plan.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    plan.to_string()
}

/// A resource of `t.<name>`, as states list it.
fn listed(name: &str, values: &Value) -> Value {
    json!({"address": format!("t.{name}"), "mode": "managed", "type": "t", "name": name,
        "provider_name": "registry.terraform.io/hashicorp/p", "values": values})
}

fn change(name: &str, actions: &[&str], before: &Value, after: &Value) -> Value {
    json!({"address": format!("t.{name}"), "mode": "managed", "type": "t", "name": name,
        "provider_name": "registry.terraform.io/hashicorp/p",
        "change": {"actions": actions, "before": before, "after": after}})
}

fn state_of(resources: &[Value]) -> Value {
    json!({"format_version": "1.0", "values": {"root_module": {"resources": resources}}})
}

#[test]
fn a_state_is_read_as_its_file_would_be() {
    let shown = r#"{"format_version":"1.0","terraform_version":"1.9.0","values":{"outputs":{},
"root_module":{"resources":[
 {"address":"aws_sqs_queue.q[0]","mode":"managed","type":"aws_sqs_queue","name":"q","index":0,
  "provider_name":"registry.terraform.io/hashicorp/aws","schema_version":0,"tainted":true,
  "values":{"id":"q","arn":"arn:aws:sqs:eu-west-1:1:q","n":1.50},"sensitive_values":{"a":true,"tags":{}}},
 {"address":"aws_sqs_queue.q[1]","mode":"managed","type":"aws_sqs_queue","name":"q","index":1,"deposed_key":"0badcafe",
  "provider_name":"registry.terraform.io/hashicorp/aws","values":{"id":"r"},"sensitive_values":true},
 {"mode":"data","type":"aws_region","name":"here","values":{"id":"x"}}],
"child_modules":[{"address":"module.m[\"k.x\"]","resources":[
 {"address":"aws_sqs_queue.old","mode":"managed","type":"aws_sqs_queue","name":"old","index":"e\"f",
  "provider_name":"aws","values":{"id":"o"}}]}]}}}"#;
    let file = r#"{"version":4,"serial":1,"lineage":"l","resources":[
 {"mode":"managed","type":"aws_sqs_queue","name":"q","provider":"provider[\"registry.terraform.io/hashicorp/aws\"]","instances":[
  {"index_key":0,"status":"tainted","attributes":{"id":"q","arn":"arn:aws:sqs:eu-west-1:1:q","n":1.50}},
  {"index_key":1,"deposed":"0badcafe","attributes":{"id":"r"}}]},
 {"module":"module.m[\"k.x\"]","mode":"managed","type":"aws_sqs_queue","name":"old","provider":"provider.aws","instances":[
  {"index_key":"e\"f","attributes":{"id":"o"}}]}]}"#;
    let (shown, file) = (read(shown), read(file));
    let (shown, file) = (shown.observations(), file.observations());
    assert_eq!(shown.len(), 3);
    for (a, b) in shown.iter().zip(&file) {
        assert_eq!((&a.key, &a.address, &a.aliases), (&b.key, &b.address, &b.aliases));
        assert_eq!((&a.state, a.presence, a.tainted), (&b.state, b.presence, b.tainted));
        assert_eq!(a.dialect, b.dialect);
        assert_eq!((&a.collection, b.collection.as_deref()), (&None, Some("l")));
    }
    assert_eq!(shown[0].sensitive, ["/a"]);
    assert_eq!(shown[1].sensitive, [""], "a container may itself be marked");
    assert_eq!((shown[0].position.line, shown[2].position.line), (3, 10));
}

#[test]
fn a_state_refuses_what_is_broken_one_by_one_and_proves_nothing_missing() {
    let text = json!({"format_version": "1.0", "values": {"root_module": {"resources": [
        {"mode": "managed", "type": "t", "name": "a", "values": []},
        {"mode": "managed", "type": "t", "name": "b"},
        {"mode": "managed", "type": "t", "values": {}},
        {"mode": "managed", "type": "t", "name": "c", "index": {}, "values": {}},
        {"mode": "ephemeral", "type": "t", "name": "d", "values": {}},
        {"mode": "data", "type": "t", "name": "d", "values": {}},
        {"mode": "managed", "type": "t", "name": "e", "values": {"id": "1"}}]}}});
    let outcome = read(text.to_string());
    assert_eq!(outcome.ids(), ["1"]);
    assert_eq!(outcome.codes(), [RejectCode::BadField; 5]);
    assert_eq!(outcome.summary.notes, ["1 data source skipped"]);
    assert!(!outcome.summary.complete_listing);
    let empty = read(r#"{"format_version":"1.0"}"#);
    assert_eq!(empty.summary.notes, ["1 state without managed resources"]);
    assert!(!empty.summary.complete_listing, "it does not say which state it shows");
}

#[test]
fn drift_is_expected_before_and_observed_after() {
    let text = plan(&json!({
    "prior_state": state_of(&[
        listed("same", &json!({"id": "s", "x": 1})),
        listed("changed", &json!({"id": "c", "x": 2})),
    ]),
    "resource_drift": [
        change("changed", &["update"], &json!({"id": "c", "x": 1}), &json!({"id": "c", "x": 2})),
        change("gone", &["delete"], &json!({"id": "g", "x": 1}), &Value::Null),
    ],
    "resource_changes": [
        change("same", &["no-op"], &json!({"id": "s", "x": 1}), &json!({"id": "s", "x": 1})),
        change("changed", &["update"], &json!({"id": "c", "x": 2}), &json!({"id": "c", "x": 1})),
        change("gone", &["create"], &Value::Null, &json!({"x": 1})),
    ]}));
    let (before, after) = (declared(&text), read(&text));
    let view = |outcome: &Outcome| -> Vec<(String, Presence, String)> {
        let text = |o: &Observation| String::from_utf8_lossy(&o.state).into_owned();
        outcome.observations().iter().map(|o| (o.key.id.clone(), o.presence, text(o))).collect()
    };
    let present = |id: &str, state: &str| (id.to_owned(), Presence::Present, state.to_owned());
    assert_eq!(
        view(&before),
        [
            present("c", r#"{"id":"c","x":1}"#),
            present("g", r#"{"id":"g","x":1}"#),
            present("s", r#"{"id":"s","x":1}"#)
        ]
    );
    assert_eq!(
        view(&after),
        [
            present("c", r#"{"id":"c","x":2}"#),
            ("g".to_owned(), Presence::Deleted, String::new()),
            present("s", r#"{"id":"s","x":1}"#)
        ]
    );
    assert!(!after.summary.complete_listing);
}

#[test]
fn what_drifted_keeps_the_key_of_the_state() {
    let text = plan(&json!({"resource_drift": [
        change("a", &["update"], &json!({"id": "old"}), &json!({"id": "new"}))]}));
    assert_eq!(declared(&text).ids(), ["old"]);
    assert_eq!(read(&text).ids(), ["old"]);
}

#[test]
fn a_moved_resource_has_its_new_address_and_remembers_the_old_one() {
    let mut moved = change("b", &["no-op"], &json!({"id": "1"}), &json!({"id": "1"}));
    moved["previous_address"] = json!("t.a");
    let text = plan(&json!({
        "prior_state": state_of(&[listed("b", &json!({"id": "1"}))]), "resource_changes": [moved]}));
    let outcome = read(&text);
    assert_eq!(outcome.only().address.as_deref(), Some("t.b"));
    assert_eq!(outcome.only().aliases, ["t.b", "t.a"]);
}

#[test]
fn what_a_plan_did_not_look_at_is_not_in_sync() {
    // With targets, only they are refreshed, and only they are among the changes.
    let resources = [listed("a", &json!({"id": "a"})), listed("b", &json!({"id": "b"}))];
    let text = plan(&json!({"prior_state": state_of(&resources),
        "resource_changes": [change("a", &["no-op"], &json!({"id": "a"}), &json!({"id": "a"}))]}));
    let outcome = read(&text);
    let presences: Vec<_> = outcome.observations().iter().map(|o| o.presence).collect();
    assert_eq!(presences, [Presence::Present, Presence::Unreadable]);
    assert!(outcome.summary.notes[0].contains("not refreshed"), "{:?}", outcome.summary.notes);
    assert!(declared(&text).observations().iter().all(|o| o.presence == Presence::Present));
    // A refresh-only plan has no changes at all.
    let text = plan(&json!({"prior_state": state_of(&resources)}));
    assert!(read(&text).observations().iter().all(|o| o.presence == Presence::Present));
    // Plans of the first version did not report drift.
    let text = json!({"format_version": "0.1", "prior_state": state_of(&resources)}).to_string();
    assert!(read(&text).observations().iter().all(|o| o.presence == Presence::Present));
    let outcome = declared(&text);
    assert!(outcome.observations().iter().all(|o| o.presence == Presence::Unresolved));
    assert!(outcome.summary.notes[0].contains("do not report drift"), "{outcome:?}");
}

#[test]
fn what_will_be_holds_markers_for_what_is_not_known() {
    let mut new = change("new", &["create"], &Value::Null, &json!({"n": "x", "l": [{"a": 1}]}));
    new["change"]["after_unknown"] = json!({"id": true, "l": [{"b": true}], "n": false});
    new["change"]["after_sensitive"] = json!({"n": true});
    let mut open = change("open", &["create"], &Value::Null, &Value::Null);
    open["change"]["after_unknown"] = json!(true);
    let mut old = change("old", &["delete"], &json!({"id": "d"}), &Value::Null);
    old["deposed"] = json!("0badcafe");
    let text = plan(&json!({
        "planned_values": {"root_module": {"resources": [
            listed("new", &json!({"n": "x", "l": [{"a": 1}]})), listed("kept", &json!({"id": "k"}))]}},
        "resource_changes": [
            new, open, old,
            change("gone", &["delete"], &json!({"id": "g"}), &Value::Null),
            change("left", &["forget"], &json!({"id": "f"}), &Value::Null),
            change("swap", &["delete", "create"], &json!({"id": "s1"}), &json!({"x": 1})),
            change("up", &["update"], &json!({"id": "u", "x": 1}), &json!({"x": 2})),
        ],
        "deferred_changes": [{"reason": "instance_count_unknown",
            "resource_change": change("later", &["create"], &Value::Null, &json!({"x": 1}))}]}));
    let outcome = planned(&text);
    let marker = json!({"$deployforge.unresolved": "known after apply"});
    assert_eq!(outcome.ids(), ["t.new", "t.open", "t.swap", "u", "k", "t.later"]);
    let all = outcome.observations();
    assert_eq!(state(all[0]), json!({"id": marker, "n": "x", "l": [{"a": 1, "b": marker}]}));
    assert_eq!(all[0].sensitive, ["/n"]);
    assert_eq!((all[1].presence, all[5].presence), (Presence::Unresolved, Presence::Unresolved));
    assert_eq!(outcome.summary.notes.len(), 2, "{:?}", outcome.summary.notes);
    // Read as what is there, the new ones are not.
    assert_eq!(read(&text).ids(), ["d", "g", "f", "s1", "u"]);
    assert_eq!(read(&text).observations()[0].presence, Presence::Deposed);
}

#[test]
fn secrets_are_secret_on_both_sides_and_not_compared_where_they_were_taken_out() {
    let mut drift =
        change("a", &["update"], &json!({"id": "1", "p": "x"}), &json!({"id": "1", "p": "y"}));
    drift["change"]["after_sensitive"] = json!({"p": true});
    drift["change"]["before_sensitive"] = json!(false);
    let text = plan(&json!({"resource_drift": [drift.clone()]}));
    assert_eq!(declared(&text).only().sensitive, ["/p"]);
    assert_eq!(read(&text).only().sensitive, ["/p"]);
    let redacted =
        json!({"plan_format_version": "1.1", "provider_schemas": {}, "resource_drift": [drift]});
    assert_eq!(
        state(read(redacted.to_string()).only())["p"],
        json!({"$deployforge.unresolved": "redacted in the plan"})
    );
}

#[test]
fn regions_come_from_the_aliases_that_the_configuration_names() {
    let resource = json!({"mode": "managed", "type": "aws_route", "name": "r", "index": 0,
        "provider_name": "registry.terraform.io/hashicorp/aws", "values": {"id": "r-1"}});
    let text = plan(&json!({
        "prior_state": {"values": {"root_module": {"child_modules": [
            {"address": "module.m[\"a.b\"]", "resources": [resource]}]}}},
        "configuration": {"root_module": {"module_calls": {"m": {"module": {"resources": [
            {"type": "aws_route", "name": "r", "provider_config_key": "module.m:aws.eu_west_1"}]}}}}}}));
    let outcome = read(&text);
    assert_eq!(outcome.only().key.to_string(), "aws//eu-west-1/aws_route/r-1");
    assert_eq!(outcome.only().address.as_deref(), Some(r#"module.m["a.b"].aws_route.r[0]"#));
}

#[test]
fn what_is_neither_is_named() {
    for (text, code, word) in [
        (r#"{"format_version":"2.0","values":{}}"#, RejectCode::Unsupported, "ersion 2"),
        (r#"{"format_version":"x","values":{}}"#, RejectCode::BadField, "`format_version`"),
        (r#"{"format_version":1,"planned_values":{}}"#, RejectCode::BadField, "`format_version`"),
        (r#"{"format_version":"1.0","provider_schemas":{}}"#, RejectCode::Unsupported, "schemas"),
        (
            r#"{"format_version":"1.0","function_signatures":{}}"#,
            RejectCode::Unsupported,
            "functions",
        ),
        (r#"{"format_version":"1.0","configuration":{}}"#, RejectCode::Unsupported, "neither"),
        (
            r#"{"remote_plan_format":1,"run_id":"r","hostname":"h"}"#,
            RejectCode::Unsupported,
            "show -json",
        ),
        (
            r#"{"format_version":"1.2","resource_drift":[{"type":"t"}]}"#,
            RejectCode::BadField,
            "`change`",
        ),
        (
            r#"{"format_version":"1.2","resource_drift":[],"resource_drift":[]}"#,
            RejectCode::DuplicateKey,
            "twice",
        ),
    ] {
        let outcome = read(text);
        assert_eq!(outcome.refused().code, code, "{text}");
        assert!(outcome.refused().reason.contains(word), "{:?}", outcome.refused());
    }
    let named = read_as(Format::TerraformState, r#"{"format_version":"1.0","values":{}}"#);
    assert!(named.refused().reason.contains("terraform-json"), "{named:?}");
}

#[test]
fn the_stream_of_a_run_is_refused_once() {
    let line = r#"{"@level":"info","@message":"m","@module":"terraform.ui","@timestamp":"2026-01-01T00:00:00Z","type":"resource_drift","change":{"resource":{"addr":"t.a"},"action":"update"}}"#;
    let outcome = read([line; 5].join("\n"));
    assert_eq!(outcome.refused().code, RejectCode::Unsupported);
    assert!(outcome.refused().reason.contains("terraform show -json"));
    assert_eq!(outcome.summary.notes, ["4 more events of the run skipped"]);
}

/// Managed resources of `values`.
fn managed(values: &Value) -> Vec<Value> {
    fn walk(module: &Value, found: &mut Vec<Value>) {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        found.extend(list(&module["resources"]).into_iter().filter(|r| r["mode"] == "managed"));
        list(&module["child_modules"]).iter().for_each(|child| walk(child, found));
    }
    let mut found = Vec::new();
    walk(&values["root_module"], &mut found);
    found
}

fn changes(plan: &Value, name: &str) -> Vec<Value> {
    let list = plan[name].as_array().cloned().unwrap_or_default();
    list.into_iter().filter(|change| change["mode"] == "managed").collect()
}

/// Counts `true` in marks.
fn marked(marks: &Value) -> usize {
    match marks {
        Value::Bool(marked) => usize::from(*marked),
        Value::Array(list) => list.iter().map(marked).sum(),
        Value::Object(members) => members.values().map(marked).sum(),
        _ => 0,
    }
}

/// Checks a plan from all sides; gives how many resources it holds on each.
fn check_plan(at: &str, plan: &Value, bytes: &[u8]) -> [usize; 3] {
    let estimated = !plan["infracost_resource_changes"].is_null();
    let [before, after, planned] = [declared(bytes), read(bytes), planned(bytes)];
    for outcome in [&before, &after, &planned] {
        assert!(outcome.rejects().is_empty(), "{at}: {:?}", outcome.rejects());
    }
    let prior = if estimated { Vec::new() } else { managed(&plan["prior_state"]["values"]) };
    let drift = changes(plan, "resource_drift");
    let gone = drift.iter().filter(|change| change["change"]["after"].is_null()).count();
    let mut existing = prior.len() + gone;
    if plan["prior_state"].is_null() {
        let exists = |change: &&Value| {
            !change["change"]["before"].is_null()
                && change["change"]["actions"] != json!(["create"])
        };
        existing = changes(plan, "resource_changes").iter().filter(exists).count() + gone;
    }
    assert_eq!(before.observations().len(), existing, "{at}");
    assert_eq!(after.observations().len(), existing, "{at}");
    let by_address = |outcome: &Outcome| -> BTreeMap<String, Value> {
        let one = |o: &&Observation| {
            (o.address.clone().unwrap(), if o.state.is_empty() { Value::Null } else { state(o) })
        };
        outcome.observations().iter().map(one).collect()
    };
    let (expected, found) = (by_address(&before), by_address(&after));
    let differs: BTreeSet<&String> = expected
        .iter()
        .filter(|(address, state)| !state.is_null() && found[*address] != **state)
        .map(|(address, _)| address)
        .collect();
    let told: BTreeSet<String> = drift
        .iter()
        .filter(|change| change["change"]["before"] != change["change"]["after"])
        .map(|change| change["address"].as_str().unwrap().to_owned())
        .collect();
    let unread = after.observations().iter().filter(|o| o.presence == Presence::Unreadable).count();
    assert!(
        unread > 0 || differs.iter().map(|a| (*a).clone()).collect::<BTreeSet<_>>() == told,
        "{at}: {differs:?} {told:?}"
    );
    for change in &drift {
        let address = change["address"].as_str().unwrap();
        assert_eq!(found[address], change["change"]["after"], "{at} {address}");
        assert_eq!(expected[address], change["change"]["before"], "{at} {address}");
    }
    let wanted = changes(plan, "resource_changes");
    let stays = wanted.iter().filter(|c| !c["change"]["after"].is_null() && c["deposed"].is_null());
    let unknown: usize = stays.clone().map(|c| marked(&c["change"]["after_unknown"])).sum();
    let text: Vec<u8> = planned.observations().iter().flat_map(|o| o.state.clone()).collect();
    let markers = String::from_utf8(text).unwrap().matches("$deployforge.unresolved").count();
    assert_eq!(markers, unknown, "{at}");
    let names: BTreeSet<&str> = stays.filter_map(|c| c["address"].as_str()).collect();
    let only_planned = managed(&plan["planned_values"])
        .iter()
        .filter(|r| wanted.is_empty() || !r["address"].as_str().is_some_and(|a| names.contains(a)))
        .count();
    assert!(planned.observations().len() <= names.len() + only_planned, "{at}");
    assert!(
        planned.observations().len() >= names.len().max(managed(&plan["planned_values"]).len()),
        "{at}"
    );
    [
        existing,
        found.values().filter(|state| !state.is_null()).count(),
        planned.observations().len(),
    ]
}

/// Counts what a schema says: types of attributes and nestings of blocks, by shape.
fn shapes(schema: &Value, counts: &mut BTreeMap<Shape, usize>) {
    let mut count = |name: &str| {
        let shape = match name {
            "list" => Shape::List,
            "set" => Shape::Set,
            "map" => Shape::Map,
            "object" | "single" | "group" => Shape::Object,
            "tuple" => Shape::Tuple,
            "dynamic" => Shape::Dynamic,
            _ => Shape::Scalar,
        };
        *counts.entry(shape).or_default() += 1;
    };
    match schema {
        Value::Array(parts) if parts[0].is_string() => {
            count(parts[0].as_str().unwrap());
            match &parts[1] {
                Value::Object(members) => members.values().for_each(|kind| shapes(kind, counts)),
                inner => shapes(inner, counts),
            }
        }
        Value::String(name) => count(name),
        Value::Object(_) => {
            if let Some(name) = schema["nesting_mode"].as_str() {
                count(name);
                shapes(&schema["block"], counts);
            }
            for attribute in
                schema["attributes"].as_object().into_iter().flat_map(|all| all.values())
            {
                let nested = &attribute["nested_type"];
                shapes(if nested.is_null() { &attribute["type"] } else { nested }, counts);
            }
            for block in schema["block_types"].as_object().into_iter().flat_map(|all| all.values())
            {
                shapes(block, counts);
            }
        }
        _ => {}
    }
}

/// Checks that every path of every schema is there, with its shape.
fn check_schemas(at: &str, document: &Value, bytes: &[u8]) {
    let schemas = Schemas::read(bytes).unwrap_or_else(|error| panic!("{at}: {error}"));
    let mut types = 0;
    for (source, provider) in document["provider_schemas"].as_object().into_iter().flatten() {
        for (name, schema) in provider["resource_schemas"].as_object().into_iter().flatten() {
            types += 1;
            let read = schemas.of_provider(source, name).unwrap();
            assert_eq!(Some(read.version), schema["version"].as_u64(), "{at} {name}");
            let mut expected = BTreeMap::new();
            shapes(&schema["block"], &mut expected);
            let mut found: BTreeMap<Shape, usize> = BTreeMap::new();
            for attribute in read.attributes.values() {
                *found.entry(attribute.shape).or_default() += 1;
            }
            assert_eq!(found, expected, "{at} {name}");
        }
    }
    assert_eq!(schemas.iter().count(), types, "{at}");
}

#[test]
fn schemas_tell_sets_from_lists_and_what_is_computed_secret_or_not_kept() {
    let text = json!({"format_version": "1.0", "provider_schemas": {"b": {"resource_schemas": {"t": {}}},
        "a": {"resource_schemas": {"t": {"version": 2, "block": {
            "attributes": {
                "id": {"type": "string", "computed": true},
                "a/b": {"type": ["set", ["object", {"x": ["list", "number"], "any": "dynamic"}]], "optional": true},
                "password": {"type": "string", "optional": true, "sensitive": true, "write_only": true},
                "tags": {"type": ["map", "string"], "optional": true, "computed": true},
                "nest": {"nested_type": {"nesting_mode": "set", "attributes": {"k": {"type": "bool", "computed": true}}}},
                "pair": {"type": ["tuple", ["string", ["set", "string"]]]}},
            "block_types": {
                "one": {"nesting_mode": "single", "block": {"attributes": {"s": {"type": ["set", "string"]}}}},
                "many": {"nesting_mode": "set", "min_items": 1, "block": {"block_types": {
                    "deep": {"nesting_mode": "list", "block": {}}}}}}}}}}}});
    let schemas = Schemas::read(text.to_string().as_bytes()).unwrap();
    let schema = schemas.resource("t").unwrap();
    assert_eq!(schema.version, 2, "of several providers the first counts");
    let of = |shape| schema.paths(shape).collect::<Vec<_>>();
    assert_eq!(of(Shape::Set), ["/a~1b", "/many", "/nest", "/one/s", "/pair/1"]);
    assert_eq!(of(Shape::List), ["/a~1b/*/x", "/many/*/deep"]);
    assert_eq!(of(Shape::Map), ["/tags"]);
    assert_eq!(of(Shape::Object), ["/a~1b/*", "/one"]);
    assert_eq!(schema.sensitive().collect::<Vec<_>>(), ["/password"]);
    assert_eq!(schema.write_only().collect::<Vec<_>>(), ["/password"]);
    assert_eq!(schema.computed().collect::<Vec<_>>(), ["/id", "/nest/*/k", "/tags", "/tags/*"]);
    assert_eq!(schema.read_only().collect::<Vec<_>>(), ["/id", "/nest/*/k"]);
    assert!(schema.attributes["/many"].required && schema.attributes["/one"].optional);
    for (bad, code) in [
        ("{", RejectCode::Malformed),
        ("[]", RejectCode::BadField),
        (r#"{"format_version":"2.0"}"#, RejectCode::Unsupported),
        (
            r#"{"format_version":"1.0","provider_schemas":{"p":{"resource_schemas":{"t":{"block":{"attributes":{"a":{"type":["heap","string"]}}}}}}}}"#,
            RejectCode::BadField,
        ),
    ] {
        assert_eq!(Schemas::read(bad.as_bytes()).unwrap_err().code, code, "{bad}");
    }
}

#[test]
fn the_declared_side_of_a_plan_is_the_state_it_was_made_from() {
    let tests = fixtures("8-vectors/opentofu__opentofu/testing/equivalence-tests/tests");
    let outputs = fixtures("8-vectors/opentofu__opentofu/testing/equivalence-tests/outputs");
    let mut compared = 0;
    for path in files(&tests).into_iter().filter(|path| path.ends_with("terraform.tfstate")) {
        let test = path.parent().unwrap().file_name().unwrap();
        let file = read(std::fs::read(&path).unwrap());
        let plan = declared(std::fs::read(outputs.join(test).join("plan.json")).unwrap());
        let by_key = |outcome: &Outcome| -> BTreeMap<String, Value> {
            let one = |o: &&Observation| (o.key.to_string(), state(o));
            outcome.observations().iter().map(one).collect()
        };
        assert_eq!(by_key(&plan), by_key(&file), "{test:?}");
        compared += file.observations().len();
    }
    assert_eq!(compared, 23);
}

/// Files that are wrong on purpose, or hold more than one document.
const BROKEN: [&str; 3] =
    ["invalid/plan.json", "invalid/state.json", "plan_with_terraform_wrapper.json"];

#[test]
fn every_file_is_read_or_refused_for_its_reason() {
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut sums = [0; 3];
    let folders = [
        "2-terraform-json",
        "8-vectors/opentofu__opentofu",
        "8-vectors/GoogleCloudPlatform__terraform-validator",
    ];
    for path in folders.into_iter().flat_map(|folder| files(&fixtures(folder))) {
        let at = path.to_str().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        if BROKEN.iter().any(|name| at.ends_with(name)) {
            assert!(!read(&bytes).rejects().is_empty(), "{at}");
            continue;
        }
        let Ok(value) = serde_json::from_slice::<Value>(&bytes) else { panic!("{at}") };
        let has = |name: &str| !value[name].is_null();
        let class = if has("planned_values") || has("plan_format_version") {
            let counts = check_plan(at, &value, &bytes);
            sums = std::array::from_fn(|side| sums[side] + counts[side]);
            "plan"
        } else if has("provider_schemas") {
            assert_eq!(read(&bytes).refused().code, RejectCode::Unsupported, "{at}");
            check_schemas(at, &value, &bytes);
            "schemas"
        } else if has("format_version") && !has("function_signatures") {
            let outcome = read(&bytes);
            assert!(outcome.rejects().is_empty(), "{at}");
            assert_eq!(outcome.observations().len(), managed(&value["values"]).len(), "{at}");
            "state"
        } else if value[0]["@level"].is_string() {
            assert_eq!(read(&bytes).codes(), [RejectCode::Unsupported], "{at}");
            "stream"
        } else {
            continue;
        };
        *classes.entry(class).or_default() += 1;
    }
    println!("{classes:?} {sums:?}");
    assert_eq!(
        classes,
        BTreeMap::from([("plan", 217), ("schemas", 12), ("state", 37), ("stream", 26)])
    );
    assert_eq!(sums, [131, 129, 703]);
}
