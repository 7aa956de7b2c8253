//! ARM templates, trap by trap.

use std::collections::BTreeMap;

use deployforge_formats::{Format, KeyDefaults, ReadOptions, Side, Stack};
use deployforge_model::{Dialect, Observation, Presence, RejectCode, UNRESOLVED_MEMBER};
use serde_json::{Value, json};

use super::support::{Outcome, read, read_in, state};

const SCHEMA: &str = r#""$schema":"https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#","contentVersion":"1.0.0.0","#;

/// As declared, in a subscription, and in a resource group if it is known.
fn declared(text: &str, group: Option<&str>) -> Outcome {
    let stack = group.map(|name| Stack {
        name: name.to_owned(),
        parameters: BTreeMap::from([
            ("given".to_owned(), "[x".to_owned()),
            ("Count".to_owned(), "3".to_owned()),
        ]),
    });
    let defaults = KeyDefaults { account: Some("SUB".to_owned()), ..KeyDefaults::default() };
    let options = ReadOptions { side: Side::Declared, defaults, stack, ..ReadOptions::default() };
    read_in(&options, text.as_bytes(), 99)
}

const NAMES: &str = r#""parameters":{
    "env":{"type":"string","defaultValue":"prod"},
    "Count":{"type":"int","defaultValue":2},
    "flag":{"type":"bool","defaultValue":true},
    "given":{"type":"string"},
    "open":{"type":"string"},
    "where":{"type":"string","defaultValue":"[resourceGroup().location]"},
    "nets":{"type":"array","defaultValue":["a","b"]},
    "pass":{"type":"securestring"},
    "pin":{"type":"SecureString","defaultValue":"hunter2"},
    "keys":{"type":"secureObject","defaultValue":{"k":[1]}}},
  "variables":{
    "name":"[concat('st', parameters('env'))]",
    "deep":{"a":[{"b":"[parameters('count')]"}],"tags":{"Env":"[parameters('ENV')]"}},
    "loop":"[variables('loop')]",
    "copy":[{"name":"made","count":3,"input":1}]},"#;

/// What a property comes to, where the resource group is known.
fn resolved(property: &str) -> Observation {
    let text = format!(
        r#"{{{SCHEMA}{NAMES}"resources":[{{"type":"Microsoft.X/ys","name":"n","apiVersion":"1","properties":{{"p":{property}}}}}]}}"#
    );
    declared(&text, Some("rg")).only().clone()
}

fn value(property: &str) -> Value {
    let state = state(&resolved(property));
    match state["properties"]["p"].get(UNRESOLVED_MEMBER) {
        Some(reason) => json!(format!("? {}", reason.as_str().unwrap())),
        None => state["properties"]["p"].clone(),
    }
}

#[test]
fn expressions_are_resolved() {
    for (expression, want) in [
        ("plain", json!("plain")),
        ("[[escaped]", json!("[escaped]")),
        ("[parameters('env')]", json!("prod")),
        ("[parameters('count')]", json!(3)),
        ("[parameters('given')]", json!("[x")),
        ("[variables('name')]", json!("stprod")),
        ("[variables('deep').a[0].b]", json!(3)),
        ("[variables('deep').TAGS.env]", json!("prod")),
        ("[variables('deep')['tags']['Env']]", json!("prod")),
        ("[parameters('nets')[1]]", json!("b")),
        ("[concat('a', 1, '-', variables('name'))]", json!("a1-stprod")),
        ("[concat(parameters('nets'), createArray('c'))]", json!(["a", "b", "c"])),
        ("[format('{0}/{1}{{x}}', variables('name'), 7)]", json!("stprod/7{x}")),
        ("[toUpper(parameters('env'))]", json!("PROD")),
        ("[toLower('ÀB')]", json!("àb")),
        ("[if(equals(parameters('env'),'prod'), 1, reference('x'))]", json!(1)),
        ("[if(parameters('flag'), 'y', 'n')]", json!("y")),
        ("[and(true(), not(false()), or(false(), true()))]", json!(true)),
        ("[or(true(), equals(reference('x'), 1))]", json!(true)),
        ("[and(false(), equals(reference('x'), 1))]", json!(false)),
        ("[union(createArray('a','b'), createArray('b','c'))]", json!(["a", "b", "c"])),
        ("[union(variables('deep').tags, createObject('Env','x','New',2)).Env]", json!("x")),
        (
            "[resourceId('Microsoft.X/ys/zs', 'a', 'b')]",
            json!("/subscriptions/SUB/resourceGroups/rg/providers/Microsoft.X/ys/a/zs/b"),
        ),
        (
            "[resourceId('other', 'Microsoft.X/ys', 'a')]",
            json!("/subscriptions/SUB/resourceGroups/other/providers/Microsoft.X/ys/a"),
        ),
        (
            "[resourceId('S2', 'g2', 'Microsoft.X/ys/', 'a')]",
            json!("/subscriptions/S2/resourceGroups/g2/providers/Microsoft.X/ys/a"),
        ),
        (
            "[subscriptionResourceId('Microsoft.A/bs', 'x')]",
            json!("/subscriptions/SUB/providers/Microsoft.A/bs/x"),
        ),
        (
            "[extensionResourceId('/s/x', 'Microsoft.A/bs', 'y')]",
            json!("/s/x/providers/Microsoft.A/bs/y"),
        ),
        ("[subscription().subscriptionId]", json!("SUB")),
        ("[resourceGroup().id]", json!("/subscriptions/SUB/resourceGroups/rg")),
        ("[substring('abcdef', 1, 2)]", json!("bc")),
        ("[replace('a-b-c', '-', '')]", json!("abc")),
        ("[split('a,b', ',')[1]]", json!("b")),
        ("[join(parameters('nets'), '+')]", json!("a+b")),
        ("[length(parameters('nets'))]", json!(2)),
        ("[empty('')]", json!(true)),
        ("[contains('abc', 'b')]", json!(true)),
        ("[coalesce(null(), 'x')]", json!("x")),
        ("[add(parameters('count'), -1)]", json!(2)),
        ("[base64('hi')]", json!("aGk=")),
        ("[string(12)]", json!("12")),
        ("[first(parameters('nets'))]", json!("a")),
        ("[null()]", json!(null)),
    ] {
        assert_eq!(value(&json!(expression).to_string()), want, "{expression}");
    }
    assert_eq!(
        value(r#"{"[concat('k', 1)]":[1.50,"[parameters('env')]"]}"#),
        json!({"k1":[1.5,"prod"]})
    );
}

#[test]
fn what_the_template_does_not_say_is_unresolved() {
    for (expression, want) in [
        ("[parameters('open')]", "? parameters('open')"),
        ("[parameters('nowhere')]", "? parameters('nowhere')"),
        ("[variables('loop')]", "? variables('loop')"),
        ("[variables('made')]", "? variables('made')"),
        ("[parameters('where')]", "? resourceGroup"),
        ("[reference('x').y.z[0]]", "? reference"),
        ("[concat('a', uniqueString(resourceGroup().id))]", "? uniquestring"),
        ("[utcNow()]", "? utcnow"),
        ("[copyIndex()]", "? copyindex"),
        ("[ns.own('x')]", "? ns.own"),
        ("[subscription().tenantId]", "? subscription"),
        ("[toUpper(parameters('open'))]", "? parameters('open')"),
        ("[if(equals(parameters('open'), 'x'), 1, 2)]", "? parameters('open')"),
        ("[substring('abc', 2, 9)]", "? substring"),
        ("[parameters('nets')[9]]", "? no such element"),
        ("[variables('deep').none]", "? none"),
        ("[concat(true())]", "? concat"),
        ("[oops", "[oops"),
        ("[oops]", "? an expression that can't be read"),
        ("[concat('a']", "? an expression that can't be read"),
    ] {
        assert_eq!(value(&json!(expression).to_string()), json!(want), "{expression}");
    }
    assert_eq!(
        value(r#"{"copy":[{"name":"disks","count":2,"input":{}}],"x":1}"#),
        json!({"disks": {UNRESOLVED_MEMBER: "copy"}, "x": 1})
    );
    assert_eq!(value(r#"{"copy":true}"#), json!({"copy": true}), "a member of the resource's own");
    let unknown = declared(
        &format!(
            r#"{{{SCHEMA}"resources":[{{"type":"A.B/c","name":"n","p":"[resourceId('A.B/c','n')]"}}]}}"#
        ),
        None,
    );
    assert_eq!(state(unknown.only())["p"], json!({UNRESOLVED_MEMBER: "resourceid"}));
}

#[test]
fn secrets_are_followed() {
    for (property, paths) in [
        ("[parameters('pass')]", &["/properties/p"][..]),
        ("[parameters('pin')]", &["/properties/p"]),
        ("[concat('a', parameters('pin'))]", &["/properties/p"]),
        ("[parameters('keys')]", &["/properties/p/k/0"]),
        ("[if(equals(parameters('open'),'x'), parameters('pin'), 'y')]", &["/properties/p"]),
        ("[listKeys('x', '2019').keys[0].value]", &["/properties/p"]),
        ("[concat('AccountKey=', listKeys('x', '2019').keys[0].value)]", &["/properties/p"]),
        ("[uniqueString(parameters('pin'))]", &["/properties/p"]),
        ("[reference('x').y]", &[]),
        ("[parameters('env')]", &[]),
    ] {
        assert_eq!(resolved(&json!(property).to_string()).sensitive, paths, "{property}");
    }
}

#[test]
fn resources_have_the_id_that_azure_gives_them() {
    let text = format!(
        r#"{{{SCHEMA}{NAMES}"resources":[
        {{"type":"Microsoft.Web/sites","name":"[variables('name')]","apiVersion":"2019","location":"West Europe","dependsOn":["x"],
          "comments":"c","tags":{{"a":"b"}},"sku":{{"name":"S1"}},"properties":{{"q":1.50}},
          "resources":[
            {{"type":"config","name":"web","apiVersion":"2019","properties":{{}}}},
            {{"type":"Microsoft.Web/sites/slots","name":"[concat(variables('name'),'/s')]","location":"global"}},
            {{"type":"Microsoft.Authorization/locks","name":"l"}},
            {{"type":"providers/locks","name":"Microsoft.Authorization/m"}}]}},
        {{"type":"Microsoft.Authorization/locks","name":"k","scope":"[resourceId('Microsoft.Web/sites','x')]"}},
        {{"type":"Microsoft.Authorization/locks","name":"j","scope":"[reference('x')]"}}]}}"#
    );
    let outcome = declared(&text, Some("rg"));
    assert!(outcome.rejects().is_empty(), "{:?}", outcome.rejects());
    let keys: Vec<String> =
        outcome.observations().iter().map(|found| found.key.to_string()).collect();
    let root = "/subscriptions/sub/resourcegroups/rg/providers";
    assert_eq!(
        keys,
        [
            format!("azure/sub/westeurope/microsoft.web/sites/{root}/microsoft.web/sites/stprod"),
            format!(
                "azure/sub//microsoft.web/sites/config/{root}/microsoft.web/sites/stprod/config/web"
            ),
            format!(
                "azure/sub//microsoft.web/sites/slots/{root}/microsoft.web/sites/stprod/slots/s"
            ),
            format!(
                "azure/sub//microsoft.authorization/locks/{root}/microsoft.web/sites/stprod/providers/microsoft.authorization/locks/l"
            ),
            format!(
                "azure/sub//microsoft.authorization/locks/{root}/microsoft.web/sites/stprod/providers/microsoft.authorization/locks/m"
            ),
            format!(
                "azure/sub//microsoft.authorization/locks/{root}/microsoft.web/sites/x/providers/microsoft.authorization/locks/k"
            ),
            "azure/sub//microsoft.authorization/locks/microsoft.authorization/locks/j".to_owned(),
        ]
    );
    let site = outcome.observations()[0];
    assert_eq!(
        String::from_utf8_lossy(&site.state),
        r#"{"location":"West Europe","tags":{"a":"b"},"sku":{"name":"S1"},"properties":{"q":1.50}}"#
    );
    assert_eq!(site.dialect, Dialect::Azure);
    assert_eq!(site.address.as_deref(), Some("Microsoft.Web/sites/stprod"));
    assert!(site.aliases.is_empty());
    let lines: Vec<u64> = outcome.observations().iter().map(|found| found.position.line).collect();
    assert_eq!(lines, [17, 20, 21, 22, 23, 24, 25]);
    // Without the resource group, the address stands in.
    let outcome = declared(&text, None);
    assert_eq!(outcome.observations()[0].key.id, "microsoft.web/sites/stprod");
    assert_eq!(outcome.observations()[1].key.id, "microsoft.web/sites/config/stprod/web");
    assert_eq!(outcome.summary.format, Some(Format::ArmTemplate));
}

#[test]
fn what_is_not_declared_and_what_cannot_be_told() {
    let text = format!(
        r#"{{{SCHEMA}{NAMES}"resources":[
        {{"type":"A.B/c","name":"no","condition":"[equals(parameters('env'),'x')]"}},
        {{"type":"A.B/c","name":"never","condition":false}},
        {{"type":"A.B/c","name":"yes","condition":"[parameters('flag')]"}},
        {{"type":"A.B/c","name":"open","condition":"[equals(parameters('open'),'x')]"}},
        {{"type":"A.B/c","name":"[uniqueString('x')]"}},
        {{"type":"A.B/c","name":"[concat('n',copyIndex())]","copy":{{"name":"l","count":2}}}},
        {{"type":"A.B/c","name":"looped","copy":{{"name":"l","count":2}}}},
        {{"type":"A.B/c","name":"[parameters('pin')]"}},
        {{"type":"A.B/c","name":"there","existing":true}},
        {{"name":"typeless"}}, 7]}}"#
    );
    let outcome = declared(&text, Some("rg"));
    let found: Vec<(&str, Presence)> = outcome
        .observations()
        .iter()
        .map(|found| (found.address.as_deref().unwrap(), found.presence))
        .collect();
    assert_eq!(
        found,
        [
            ("A.B/c/yes", Presence::Present),
            ("A.B/c/open", Presence::Unresolved),
            ("A.B/c/[uniqueString('x')]", Presence::Unresolved),
            ("A.B/c/[concat('n',copyIndex())]", Presence::Unresolved),
            ("A.B/c/looped", Presence::Unresolved),
            ("A.B/c/[parameters('pin')]", Presence::Unresolved),
        ]
    );
    assert_eq!(outcome.codes(), [RejectCode::BadField, RejectCode::BadField]);
    for note in [
        "2 resources not declared, since the condition is false",
        "1 resource not compared: the condition could not be resolved",
        "4 values could not be resolved",
        "1 resource that the template only refers to",
    ] {
        outcome.notes(note);
    }
}

#[test]
fn deployments_within_templates_are_followed() {
    let inner = r#"{"$schema":"https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#",
        "contentVersion":"1.0.0.0","parameters":{"env":{"type":"string","defaultValue":"own"},"s":{"type":"securestring"}},
        "resources":[{"type":"A.B/c","name":"[concat('x-', parameters('env'))]","p":"[parameters('s')]"}]}"#;
    let deployment = |rest: &str, properties: &str| {
        let text = format!(
            r#"{{{SCHEMA}{NAMES}"resources":[{{"type":"Microsoft.Resources/deployments","name":"d"{rest},"properties":{{"mode":"Incremental"{properties}}}}}]}}"#
        );
        declared(&text, Some("rg"))
    };
    let outer = deployment("", &format!(r#","template":{inner}"#));
    assert_eq!(
        outer.ids(),
        ["/subscriptions/sub/providers/a.b/c/x-prod"],
        "the outer template's names"
    );
    let given = r#","expressionEvaluationOptions":{"scope":"Inner"},"parameters":{"s":{"value":"[parameters('pin')]"}}"#;
    let inner_scope =
        deployment(r#","resourceGroup":"other""#, &format!(r#"{given},"template":{inner}"#));
    assert_eq!(
        inner_scope.ids(),
        ["/subscriptions/sub/resourcegroups/other/providers/a.b/c/x-own"]
    );
    assert_eq!(inner_scope.only().sensitive, ["/p"]);
    assert_eq!(
        inner_scope.summary.notes,
        [
            "1 deployment within the template read for what it deploys",
            "7 parameters of a template taken at the default"
        ]
    );
    for elsewhere in [
        deployment("", r#","templateLink":{"uri":"https://x"}"#),
        deployment(r#","copy":{"name":"l","count":2}"#, &format!(r#","template":{inner}"#)),
        deployment(
            r#","condition":"[equals(parameters('open'),1)]""#,
            &format!(r#","template":{inner}"#),
        ),
    ] {
        assert_eq!(elsewhere.only().presence, Presence::Unsupported);
        assert_eq!(elsewhere.only().key.resource_type, "microsoft.resources/deployments");
    }
    let mut deep = inner.to_owned();
    for _ in 0..12 {
        deep = format!(
            r#"{{{SCHEMA}"resources":[{{"type":"Microsoft.Resources/deployments","name":"d","properties":{{"template":{deep}}}}}]}}"#
        );
    }
    assert_eq!(read(&deep).refused().code, RejectCode::TooDeep);
}

/// Each deployment had bounds of its own: of a kilobyte became sixteen megabytes, of each again.
#[test]
fn deployments_share_what_may_be_made() {
    let doubled: Vec<String> = (0..19)
        .map(|at| format!(r#""v{at}":"[concat(variables('v{0}'),variables('v{0}'))]""#, at + 1))
        .collect();
    let inner = format!(
        r#"{{{SCHEMA}"variables":{{{},"v19":"x"}},"resources":[{{"type":"A.B/c","name":"n","properties":{{"p":"[variables('v1')]"}}}}]}}"#,
        doubled.join(",")
    );
    let deployment = format!(
        r#"{{"type":"Microsoft.Resources/deployments","name":"d","properties":{{"expressionEvaluationOptions":{{"scope":"inner"}},"template":{inner}}}}}"#
    );
    let all = vec![deployment; 30].join(",");
    let outcome = declared(&format!(r#"{{{SCHEMA}"resources":[{all}]}}"#), Some("g"));
    assert!(outcome.rejects().is_empty(), "{:?}", outcome.rejects());
    let states = outcome.observations();
    assert!(states.len() >= 30);
    assert!(states.iter().map(|found| found.state.len()).sum::<usize>() < 2 << 20);
}

#[test]
fn templates_come_in_several_wrappings() {
    let body = r#""languageVersion":"2.0","resources":{"web":{"type":"A.B/c","name":"n"},"old":{"existing":true,"type":"A.B/c","name":"o"}}"#;
    let named = read(format!("{{{SCHEMA}{body}}}"));
    assert_eq!(named.ids(), ["a.b/c/n"]);
    let exported =
        read(format!(r#"{{"template":{{{SCHEMA}"resources":[{{"type":"A.B/c","name":"n"}}]}}}}"#));
    assert_eq!(exported.ids(), ["a.b/c/n"]);
    let bare = read(r#"{"contentVersion":"1.0.0.0","resources":[{"type":"A.B/c","name":"n"}]}"#);
    assert_eq!(bare.ids(), ["a.b/c/n"]);
    let empty = read(format!(r#"{{{SCHEMA}"resources":[]}}"#));
    assert_eq!(empty.summary.notes, ["1 list without items"]);
    for (text, code, word) in [
        (
            r#"{"$schema":"https://x/2019-04-01/deploymentParameters.json#","parameters":{}}"#
                .to_owned(),
            RejectCode::Unsupported,
            "parameters",
        ),
        (format!(r#"{{{SCHEMA}"parameters":{{}}}}"#), RejectCode::BadField, "`resources`"),
        (format!(r#"{{{SCHEMA}"resources":7}}"#), RejectCode::BadField, "`resources`"),
        (
            format!(r#"{{{SCHEMA}"variables":[],"resources":[]}}"#),
            RejectCode::BadField,
            "`variables`",
        ),
        (
            format!(r#"{{{SCHEMA}"resources":[],"resources":[]}}"#),
            RejectCode::DuplicateKey,
            "`resources`",
        ),
        (
            r#"{"$schema":"https://x/createUiDefinition.json"}"#.to_owned(),
            RejectCode::Unsupported,
            "schema",
        ),
    ] {
        let outcome = read(&text);
        assert_eq!(outcome.refused().code, code, "{text}: {:?}", outcome.refused());
        assert!(outcome.refused().reason.contains(word), "{text}: {:?}", outcome.refused());
    }
}

#[test]
fn values_that_double_end() {
    let mut variables = vec![r#""v0":"xxxxxxxxxxxxxxxx""#.to_owned()];
    for level in 1..60 {
        variables.push(format!(
            r#""v{level}":"[concat(variables('v{0}'), variables('v{0}'))]""#,
            level - 1
        ));
    }
    let chain: Vec<String> =
        (0..5000).map(|at| format!(r#""c{at}":"[variables('c{}')]""#, at + 1)).collect();
    let text = format!(
        r#"{{{SCHEMA}"variables":{{{},{}}},"resources":[{{"type":"A.B/c","name":"n","p":"[variables('v59')]","q":"[variables('c0')]"}}]}}"#,
        variables.join(","),
        chain.join(",")
    );
    let outcome = read(&text);
    assert!(outcome.only().state.len() < 1000, "{}", outcome.only().state.len());
}
