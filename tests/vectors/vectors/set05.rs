//! Set 5: a security group in Config's history and as the API shows it, with the rules and tags that
//! Cloud Custodian says differ.

use std::collections::BTreeSet;

use deployforge_compare::{Comparison, DiffOptions, compare, patch};
use deployforge_model::{Dialect, FindingKind};
use deployforge_policy::Policy;
use serde_json::{Value, json};

use crate::support::{Half, Pair, counting, document, json as file, lines, root, told};
use crate::tally::Tally;

const PLACEBO: &str = "3-aws-config/cloud-custodian__cloud-custodian";
const TYPE: &str = "AWS::EC2::SecurityGroup";
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

/// The findings in the same words as what is expected.
fn found(comparison: &Comparison) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for difference in counting(comparison) {
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

/// A recorded flight: the group as it should be, and as it was seen one time after the other. Where the
/// flight goes on, what differed was patched before it was seen last.
fn flight(folder: &str) -> (Half, Vec<Half>) {
    let folder = format!("{PLACEBO}/{folder}");
    let seen = |number: u8| -> Option<Value> {
        let path = format!("{folder}/ec2.DescribeSecurityGroups_{number}.json");
        root().join(&path).is_file().then(|| file(path)["data"]["SecurityGroups"].clone())
    };
    let mut groups: Vec<Value> = (1..=9).map_while(seen).collect();
    let history = format!("{folder}/config.GetResourceConfigHistory_1.json");
    let (declared, id) = if root().join(&history).is_file() {
        let item = file(history)["data"]["configurationItems"][0].clone();
        let text = item["configuration"].as_str().expect("a text");
        let configuration: Value = serde_json::from_str(text).expect("JSON");
        let state = json!({"configuration": configuration});
        (Half::new(Dialect::AwsConfig, TYPE, &state), item["resourceId"].clone())
    } else {
        let first = groups.remove(0)[0].clone();
        (Half::new(Dialect::Aws, TYPE, &first), first["GroupId"].clone())
    };
    let of_id = |all: &Value| {
        let all = all.as_array().expect("groups");
        let group = all.iter().find(|group| group["GroupId"] == id).expect("the group");
        Half::new(Dialect::Aws, TYPE, group)
    };
    (declared, groups.iter().map(of_id).collect())
}

/// An item's configuration as Cloud Custodian writes it before it compares.
fn as_reply(value: &Value) -> Value {
    let upper = |name: &str| name[..1].to_uppercase() + &name[1..];
    match value {
        Value::Object(members) => {
            let mut all: serde_json::Map<String, Value> = members
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (upper(name), as_reply(value)))
                .collect();
            if all.contains_key("IpProtocol") {
                let cidrs = all["IpRanges"].as_array().expect("a list");
                let ranges = cidrs.iter().map(|cidr| json!({"CidrIp": cidr})).collect();
                all.insert("IpRanges".to_owned(), ranges);
                all.insert("Ipv6Ranges".to_owned(), json!([]));
            }
            all.into()
        }
        Value::Array(items) => items.iter().map(as_reply).collect(),
        leaf => leaf.clone(),
    }
}

/// Whether operations in order, those of others and ours, lead from one state to the other. They need
/// not be the same ones: ours are fewer where a rule stands further down.
fn operations_lead_there(pair: &Pair, operations: &Value) -> bool {
    let old = as_reply(&pair.expected.raw["configuration"]);
    let new = &pair.observed.raw;
    let ours = compare(&document(&old), &document(new), DiffOptions::EXACT, &Policy::default(), "");
    [operations.to_string(), patch(&ours.differences)].iter().all(|operations| {
        let operations: json_patch::Patch = serde_json::from_str(operations).expect("a patch");
        let mut patched = old.clone();
        json_patch::patch(&mut patched, &operations).is_ok() && patched == *new
    })
}

#[test]
fn security_groups() {
    let (mut tally, mut asserts, mut failed) = (Tally::default(), 0, Vec::new());
    let all = lines("c7n-sg-revision-diffs.jsonl");
    for case in &all {
        let name = case["source"].as_str().expect("a name");
        let (declared, seen) = flight(case["flight"][0].as_str().expect("a folder"));
        let pairs: Vec<Pair> =
            seen.into_iter().map(|seen| Pair::of(name, declared.clone(), seen)).collect();
        let mut check = |right: bool, why: String| {
            asserts += 1;
            failed.extend((!right).then(|| format!("{name}: {why}")));
        };
        let comparison = tally.judge(&pairs[0]);
        for one in case["asserts"].as_array().expect("asserts") {
            let expected = &one["expected"];
            match expected {
                Value::Object(_) => {
                    let (got, want) = (found(&comparison), wanted(expected));
                    check(got == want, format!("found {got:?}, want {want:?}"));
                }
                Value::Array(_) => {
                    check(operations_lead_there(&pairs[0], expected), "operations".to_owned());
                }
                // How many groups differ.
                _ => check(!counting(&comparison).is_empty(), "no difference".to_owned()),
            }
        }
        if let [_, .., patched] = pairs.as_slice() {
            let comparison = tally.judge(patched);
            check(counting(&comparison).is_empty(), told(&comparison).join(", "));
        }
    }
    tally.print("set 5");
    println!("set 5: {} of {asserts} statements about {} cases", asserts - failed.len(), all.len());
    assert!(asserts > 0 && failed.is_empty(), "{}", failed.join("\n"));
}
