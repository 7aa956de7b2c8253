//! Set 5: a security group in Config's history and as the API shows it, with the rules and tags that
//! Cloud Custodian says differ.

use std::collections::BTreeSet;

use deployforge_canon::{Canon, Normalise};
use deployforge_compare::{Said, compare_across};
use deployforge_maps::Maps;
use deployforge_model::{Dialect, FindingKind};
use deployforge_policy::Policy;
use serde_json::{Value, json};

use crate::support::{counting, json as file, lines, node};

const PLACEBO: &str = "3-aws-config/cloud-custodian__cloud-custodian";
const LISTS: [(&str, &str); 4] = [
    ("IpRanges", "CidrIp"),
    ("Ipv6Ranges", "CidrIpv6"),
    ("PrefixListIds", "PrefixListId"),
    ("UserIdGroupPairs", "GroupId"),
];

/// A rule as its parts, each with one peer.
fn apart(direction: &str, sign: char, rule: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for (list, member) in LISTS {
        for one in rule[list].as_array().into_iter().flatten() {
            let port = |name: &str| rule[name].as_i64().map_or("-".to_owned(), |p| p.to_string());
            let peer = one[member].as_str().expect("a peer");
            let protocol = rule["IpProtocol"].as_str().expect("a protocol");
            all.push(format!(
                "{sign}{direction} {protocol} {}-{} {peer}",
                port("FromPort"),
                port("ToPort")
            ));
        }
    }
    all
}

/// What is expected: parts of rules that one side alone has, and tags. A part that stands in a removed
/// and in an added rule did not change.
fn wanted(diff: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for direction in ["ingress", "egress"] {
        let of = |name: &str, sign| -> BTreeSet<String> {
            let rules = diff[direction][name].as_array().into_iter().flatten();
            rules.flat_map(|rule| apart(direction, sign, rule)).collect()
        };
        let (added, removed) = (of("added", ' '), of("removed", ' '));
        all.extend(added.difference(&removed).map(|rule| format!("+{}", rule.trim())));
        all.extend(removed.difference(&added).map(|rule| format!("-{}", rule.trim())));
    }
    for (name, sign) in [("added", '+'), ("updated", '~'), ("removed", '-')] {
        let tags = diff["tags"][name].as_object().into_iter().flatten();
        all.extend(tags.map(|(tag, _)| format!("{sign}tag {tag}")));
    }
    all
}

fn found(declared: (Dialect, &Value), observed: &Value) -> BTreeSet<String> {
    const TYPE: &str = "AWS::EC2::SecurityGroup";
    let canon = Canon::default();
    let expected = node(declared.0, TYPE, declared.1, &[]);
    let state = node(Dialect::Aws, TYPE, observed, &[]);
    let comparison = if declared.0 == Dialect::Aws {
        // Two replies: the same words on both sides.
        let folds = canon.folds.of(Normalise::Standard, Dialect::Aws, TYPE);
        let options =
            deployforge_compare::DiffOptions { mode: deployforge_model::Mode::Full, folds: &folds };
        deployforge_compare::compare(&expected, &state, options, &Policy::default(), TYPE)
    } else {
        compare_across(
            &Maps::built_in(),
            Said { dialect: declared.0, resource_type: TYPE, state: &expected },
            Said { dialect: Dialect::Aws, resource_type: TYPE, state: &state },
            (Normalise::Standard, &canon.folds),
            &Policy::default(),
        )
        .expect("one kind")
    };
    let mut all = BTreeSet::new();
    for difference in counting(&comparison) {
        let (sign, value) = match difference.kind {
            FindingKind::Added => ('+', &difference.observed),
            FindingKind::Removed => ('-', &difference.expected),
            _ => ('~', &difference.observed),
        };
        let value: Value =
            serde_json::from_str(&value.as_ref().expect("a value").to_json()).expect("JSON");
        let path = difference.path.to_lowercase();
        let last = difference.path.rsplit('/').next().expect("a segment");
        if path.contains("/tags/") {
            all.insert(format!("{sign}tag {last}"));
            continue;
        }
        let direction = if path.contains("egress") { "egress" } else { "ingress" };
        // An element taken apart has its one peer as a value; a reply's rule has lists.
        let rule = LISTS.iter().fold(value.clone(), |mut rule, (list, member)| {
            if rule[*list].is_string() {
                rule[*list] = json!([{*member: rule[*list]}]);
            }
            rule
        });
        all.extend(apart(direction, sign, &rule));
    }
    all
}

#[test]
fn security_groups() {
    let (mut passed, mut failed) = (0, Vec::new());
    for case in lines("c7n-sg-revision-diffs.jsonl") {
        let name = case["source"].as_str().expect("a name");
        let flight = case["flight"][0].as_str().expect("a folder");
        let asserts = case["asserts"].as_array().expect("asserts");
        // The index-based operations are for a comparator of lists in order.
        let Some(diff) = asserts.iter().find(|one| one["expected"].is_object()) else { continue };
        let folder = format!("{PLACEBO}/{flight}");
        let groups = |number: u8| {
            file(format!("{folder}/ec2.DescribeSecurityGroups_{number}.json"))["data"]["SecurityGroups"].clone()
        };
        let got = if flight.ends_with("_delta") {
            found((Dialect::Aws, &groups(1)[0]), &groups(2)[0])
        } else {
            let history = file(format!("{folder}/config.GetResourceConfigHistory_1.json"));
            let item = &history["data"]["configurationItems"][0];
            let configuration: Value =
                serde_json::from_str(item["configuration"].as_str().expect("a text"))
                    .expect("JSON");
            let id = item["resourceId"].clone();
            let all = groups(1);
            let group = all.as_array().expect("groups").iter().find(|group| group["GroupId"] == id);
            let declared = json!({"configuration": configuration});
            found((Dialect::AwsConfig, &declared), group.expect("the group"))
        };
        let want = wanted(&diff["expected"]);
        if got == want {
            passed += 1;
        } else {
            failed.push(format!("{name}\n  found {got:?}\n  want  {want:?}"));
        }
    }
    println!("set 5: {passed} of {}", passed + failed.len());
    assert!(passed > 0 && failed.is_empty(), "{}", failed.join("\n"));
}
