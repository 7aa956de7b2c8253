//! Terraform's words for Azure against what Resource Manager replies, type by type: attributes as the
//! provider's schema names them, objects as the API's reference shows them, written by hand.

use std::collections::BTreeMap;

use deployforge_model::Dialect;
use serde_json::Value;

use crate::support::{Half, Pair, counting, told};
use crate::tally::Tally;

const PAIRS: &str = include_str!("../data/azure-pairs.json");
/// Type, place in the properties, what is seen there, and where that is found; null: it means the same,
/// or nothing.
const CHANGES: &str = include_str!("../data/azure-changes.json");

/// The attributes of a pair with what is changed in it.
fn pair_of(case: &Value, change: impl Fn(&mut Value, &mut Value)) -> Pair {
    let text = |name: &str| case[name].as_str().expect("a type").to_owned();
    let (mut attributes, mut object) = (case["attributes"].clone(), case["object"].clone());
    change(&mut attributes, &mut object);
    let expected = Half::new(Dialect::Terraform, &text("terraform"), &attributes);
    let observed = Half::new(Dialect::Azure, &text("azure"), &object);
    Pair::of(text("terraform"), expected, observed)
}

fn cases() -> BTreeMap<String, Value> {
    let all: Vec<Value> = serde_json::from_str(PAIRS).expect("JSON");
    let named = |case: Value| (case["terraform"].as_str().expect("a type").to_owned(), case);
    all.into_iter().map(named).collect()
}

#[test]
fn a_state_and_what_the_manager_replies_agree() {
    let (mut tally, mut wrong) = (Tally::default(), Vec::new());
    let (mut compared, mut declared) = (0, 0);
    for case in cases().values() {
        let pair = pair_of(case, |_, _| {});
        let comparison = tally.judge(&pair);
        compared += comparison.compared();
        declared += comparison.leaves;
        println!(
            "azure: {}: {} of {} attributes compared; not: {:?}",
            pair.name,
            comparison.compared(),
            comparison.leaves,
            comparison.skipped.iter().map(|one| &one.path).collect::<Vec<_>>()
        );
        if !counting(&comparison).is_empty() {
            wrong.push(format!("{}: {}", pair.name, told(&comparison).join(", ")));
        }
        // A map that leads nowhere would be in sync as well.
        if f64::from(comparison.compared()) < 0.7 * f64::from(comparison.leaves) {
            wrong.push(format!("{}: {} compared", pair.name, comparison.compared()));
        }
    }
    tally.print("azure");
    println!("azure: {compared} of {declared} attributes compared");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_matters_is_found_where_it_was_changed() {
    let cases = cases();
    let changes: Vec<(String, String, Value, Option<String>)> =
        serde_json::from_str(CHANGES).expect("JSON");
    for (kind, place, value, found) in &changes {
        let pair = pair_of(&cases[kind], |_, object| {
            let (before, last) = place.rsplit_once('/').unwrap_or(("", place.as_str()));
            let before = format!("/properties/{before}");
            let inner = object.pointer_mut(before.trim_end_matches('/')).expect("a place");
            match inner {
                Value::Array(items) => items.push(value.clone()),
                inner => inner[last] = value.clone(),
            }
        });
        let comparison = pair.compare();
        let told: Vec<&str> = counting(&comparison).iter().map(|one| one.path.as_str()).collect();
        let is_found =
            told.iter().any(|path| found.as_ref().is_some_and(|found| path.starts_with(found)));
        assert_eq!(
            (is_found, told.is_empty()),
            (found.is_some(), found.is_none()),
            "{kind} {place} {value}: {told:?}"
        );
    }
}

/// A list without elements says that there are none also where the API has an object for each.
#[test]
fn an_address_that_is_let_in_beside_none_is_found() {
    for (kind, block) in
        [("azurerm_storage_account", "network_rules"), ("azurerm_key_vault", "network_acls")]
    {
        let case = &cases()[kind];
        let pair = pair_of(case, |attributes, _| {
            attributes[block][0]["ip_rules"] = Value::Array(Vec::new());
        });
        let comparison = pair.compare();
        let told: Vec<&str> = counting(&comparison).iter().map(|one| one.path.as_str()).collect();
        assert_eq!(told.len(), 1, "{kind}: {told:?}");
        assert!(told[0].starts_with(&format!("/{block}/0/ip_rules")), "{told:?}");
    }
}

/// Older versions of the provider, and what they called it.
#[test]
fn former_names_lead_to_the_same_places() {
    for (kind, former, now) in [
        ("azurerm_storage_account", "enable_https_traffic_only", "https_traffic_only_enabled"),
        ("azurerm_storage_account", "allow_blob_public_access", "allow_nested_items_to_be_public"),
        ("azurerm_cosmosdb_account", "enable_automatic_failover", "automatic_failover_enabled"),
        (
            "azurerm_cosmosdb_account",
            "enable_multiple_write_locations",
            "multiple_write_locations_enabled",
        ),
        ("azurerm_redis_cache", "enable_non_ssl_port", "non_ssl_port_enabled"),
        ("azurerm_network_interface", "enable_ip_forwarding", "ip_forwarding_enabled"),
        ("azurerm_kubernetes_cluster", "automatic_channel_upgrade", "automatic_upgrade_channel"),
    ] {
        let cases = cases();
        let renamed = |value: Option<Value>| {
            let pair = pair_of(&cases[kind], |attributes, _| {
                let attributes = attributes.as_object_mut().expect("an object");
                let known = attributes.remove(now).expect("an attribute");
                attributes.insert(former.to_owned(), value.clone().unwrap_or(known));
            });
            let comparison = pair.compare();
            counting(&comparison).iter().map(|one| one.path.clone()).collect::<Vec<_>>()
        };
        assert_eq!(renamed(None), Vec::<String>::new(), "{kind} {former}");
        let other = match &cases[kind]["attributes"][now] {
            Value::Bool(flag) => Value::Bool(!flag),
            _ => Value::from("other"),
        };
        assert_eq!(renamed(Some(other)), [format!("/{former}")], "{kind}");
    }
}
