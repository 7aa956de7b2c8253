//! Set 9: what driftctl's reader makes of 85 states.

use std::collections::{BTreeMap, BTreeSet};

use deployforge_formats::ReadOptions;
use deployforge_model::{Dialect, Mode, Observation};
use serde_json::Value;

use crate::support::{Half, Pair, json, observations, root};
use crate::tally::Tally;

const FOLDER: &str = "1-terraform-state/snyk__driftctl/pkg/iac/terraform/state/test";

/// driftctl decodes attributes into the structs of the provider version it carries, and writes
/// them out again: members of nested blocks that its version doesn't know, and nulls in them, are
/// lost.
const BLOCKS: &str = "nested block, rewritten with the provider version driftctl carries";
/// driftctl sorts the statements and members of policies.
const POLICY: &str = "policy text, put in another order";
/// driftctl replaces null by the default of the schema.
const DEFAULT: &str = "null, replaced by the schema's default";
/// driftctl computes the id of these again from number and protocol spelled its way.
const RULE: &str = "id and protocol of a network rule, computed again";

/// Attributes that driftctl changes: folder, type, attribute, how many, and why.
const CHANGED: &[(&str, &str, &str, usize, &str)] = &[
    (
        "aws_appautoscaling_policy",
        "aws_appautoscaling_policy",
        "target_tracking_scaling_policy_configuration",
        1,
        BLOCKS,
    ),
    (
        "aws_cloudfront_distribution",
        "aws_cloudfront_distribution",
        "default_cache_behavior",
        1,
        BLOCKS,
    ),
    (
        "aws_cloudfront_distribution",
        "aws_cloudfront_distribution",
        "ordered_cache_behavior",
        1,
        BLOCKS,
    ),
    ("aws_cloudfront_distribution", "aws_cloudfront_distribution", "origin", 1, BLOCKS),
    ("aws_cloudfront_distribution", "aws_cloudfront_distribution", "restrictions", 1, BLOCKS),
    ("aws_cloudfront_distribution", "aws_cloudfront_distribution", "trusted_signers", 1, BLOCKS),
    ("aws_default_network_acl", "aws_default_network_acl", "ingress", 1, BLOCKS),
    ("aws_launch_template", "aws_launch_template", "block_device_mappings", 1, BLOCKS),
    ("aws_launch_template", "aws_launch_template", "capacity_reservation_specification", 1, BLOCKS),
    ("aws_launch_template", "aws_launch_template", "network_interfaces", 1, BLOCKS),
    ("aws_launch_template", "aws_launch_template", "placement", 1, BLOCKS),
    ("aws_lb", "aws_alb", "subnet_mapping", 1, BLOCKS),
    ("aws_lb_listener", "aws_lb_listener", "default_action", 1, BLOCKS),
    ("aws_lb_listener", "aws_lb", "subnet_mapping", 1, BLOCKS),
    ("aws_network_acl_rule", "aws_network_acl_rule", "id", 2, RULE),
    ("aws_network_acl_rule", "aws_network_acl_rule", "protocol", 2, RULE),
    ("aws_sns_topic_policy", "aws_sns_topic_policy", "policy", 2, POLICY),
    ("azurerm_lb", "azurerm_lb", "frontend_ip_configuration", 1, BLOCKS),
    (
        "azurerm_network_security_group",
        "azurerm_network_security_group",
        "security_rule",
        1,
        BLOCKS,
    ),
    ("azurerm_private_dns_zone", "azurerm_private_dns_zone", "soa_record", 1, BLOCKS),
    ("github_team", "github_team", "create_default_maintainer", 3, DEFAULT),
    ("google_bigquery_dataset", "google_bigquery_dataset", "access", 1, BLOCKS),
    ("google_compute_instance", "google_compute_instance", "boot_disk", 1, BLOCKS),
    ("google_compute_instance", "google_compute_instance", "network_interface", 1, BLOCKS),
    ("google_compute_instance", "google_compute_instance", "scheduling", 1, BLOCKS),
    ("unsupported_attribute", "aws_instance", "root_block_device", 1, BLOCKS),
];

#[test]
fn driftctl_reads_the_same_attributes() {
    let allowed: BTreeMap<(&str, &str, &str), usize> = CHANGED
        .iter()
        .map(|(test, kind, name, count, _)| ((*test, *kind, *name), *count))
        .collect();
    assert!(allowed.values().sum::<usize>() <= 35, "the list of exceptions must not grow");
    let (mut tally, mut equal, mut all, mut exact, mut states) = (Tally::default(), 0, 0, 0, 0);
    let mut differing: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    let mut tests: Vec<_> = std::fs::read_dir(root().join(FOLDER))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|test| test.join("results.golden.json").exists())
        .collect();
    tests.sort();
    for test in tests {
        states += 1;
        let name = test.file_name().expect("a name").to_string_lossy().into_owned();
        let bytes = std::fs::read(test.join("terraform.tfstate")).expect("the state");
        let (read, summary) = observations(ReadOptions::default(), &bytes);
        assert_eq!(summary.rejects, 0, "{name}");
        let mut differs = 0;
        for element in json(test.join("results.golden.json")).as_array().expect("a list") {
            let kind = element["Type"].as_str().expect("a type");
            let found = find(&read, kind, element)
                .unwrap_or_else(|| panic!("{name}: {kind} {} is missing", element["Id"]));
            for (attribute, want) in element["Attrs"].as_object().expect("attributes") {
                all += 1;
                if found.raw.get(attribute) == Some(want) {
                    equal += 1;
                    continue;
                }
                differs += 1;
                let entry = (name.clone(), kind.to_owned(), attribute.clone());
                *differing.entry(entry).or_default() += 1;
            }
            let golden = Half::new(Dialect::Terraform, kind, &element["Attrs"]);
            let pair = Pair { mode: Mode::Declared, ..Pair::of(&*name, golden, found) };
            tally.judge(&pair);
        }
        exact += usize::from(differs == 0);
    }
    tally.print("set 9");
    println!("set 9: {equal} of {all} attributes, {exact} of {states} files exact");
    for (test, kind, name, count, why) in CHANGED {
        println!("   {test} {kind} {name} ({count}): {why}");
    }
    let unexpected: Vec<_> = differing
        .iter()
        .filter(|((test, kind, name), count)| {
            allowed.get(&(test.as_str(), kind.as_str(), name.as_str())) != Some(*count)
        })
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    let met: BTreeSet<_> =
        differing.keys().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    assert_eq!(met, allowed.keys().copied().collect(), "an exception is no longer needed");
    assert!(states > 0);
}

/// The resource of a type and id. The ids of network rules are driftctl's own: they are found by
/// the rule they stand for.
fn find(read: &[Observation], kind: &str, element: &Value) -> Option<Half> {
    let same = |attributes: &Value, names: &[&str]| {
        names.iter().all(|name| attributes.get(name) == element["Attrs"].get(name))
    };
    let of_kind = read.iter().filter(|observation| observation.key.resource_type == kind);
    of_kind.map(Half::of).find(|half| {
        half.raw["id"] == element["Id"]
            || (kind == "aws_network_acl_rule"
                && same(&half.raw, &["network_acl_id", "rule_number", "egress"]))
    })
}
