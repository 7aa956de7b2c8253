//! Every recorded file of CloudFormation is read, or refused for the right reason.

use std::collections::BTreeMap;
use std::path::Path;

use deployforge_formats::{Format, ReadOptions, Side};
use deployforge_model::{Presence, UNRESOLVED_MEMBER};
use serde_json::Value;

use super::support::{Outcome, files, fixtures, read_in, state};

fn read_file(path: &Path, side: Side) -> (Vec<u8>, Outcome) {
    let bytes = std::fs::read(path).unwrap();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let options = ReadOptions { side, name, ..ReadOptions::default() };
    let outcome = read_in(&options, &bytes, 64 << 10);
    (bytes, outcome)
}

/// The logical ids that stand in a template, found without reading it as such.
fn logical_ids(text: &str) -> Vec<String> {
    match serde_json::from_str::<Value>(text) {
        Ok(template) => template["Resources"]
            .as_object()
            .map(|resources| resources.keys().cloned().collect())
            .unwrap_or_default(),
        Err(_) => keys_below(text),
    }
}

/// The keys right below the section of resources, in YAML of block style.
fn keys_below(text: &str) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let filled = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let is_section = |line: &str| line.trim().trim_matches('"').starts_with("Resources");
    let mut lines = text.lines().filter(filled).skip_while(|line| !is_section(line));
    let base = lines.next().map_or(0, indent);
    let section: Vec<&str> = lines.take_while(|line| indent(line) > base).collect();
    let first = section.first().map_or(0, |line| indent(line));
    let keys = section.into_iter().filter(|line| indent(line) == first);
    keys.filter_map(|line| {
        let key = line.trim().split(": ").next()?.trim_end_matches(':');
        Some(key.trim_matches(['"', '\'']).to_owned())
    })
    .collect()
}

#[test]
fn every_template_is_read() {
    let mut totals: BTreeMap<String, usize> = BTreeMap::new();
    let mut odd: Vec<(String, String)> = Vec::new();
    let root = fixtures("4-cloudformation");
    for path in files(&root) {
        let (bytes, outcome) = read_file(&path, Side::Declared);
        let at = path.strip_prefix(&root).unwrap().display().to_string();
        let text = String::from_utf8(bytes).unwrap();
        for reject in outcome.rejects() {
            odd.push((at.clone(), format!("{} {}", reject.code, reject.reason)));
        }
        if outcome.observations().is_empty() {
            let class = if !outcome.summary.references.is_empty() {
                assert!(outcome.rejects().is_empty(), "{at}");
                named_files_are_there(&path, &outcome);
                "manifests"
            } else if outcome.rejects().is_empty() {
                assert!(!outcome.summary.notes.is_empty(), "{at}");
                let part = outcome.summary.notes[0].contains("cloud assembly");
                if part { "other files of assemblies" } else { "templates without resources" }
            } else {
                "files refused"
            };
            *totals.entry(class.to_owned()).or_default() += 1;
            continue;
        }
        assert_eq!(outcome.summary.format, Some(Format::CloudFormation), "{at}");
        // Each logical id is an observation, a reject, or counted as not declared.
        let ids = logical_ids(&text);
        let left_out = outcome.summary.notes.iter().find_map(|note| {
            note.strip_suffix(" not declared, since the condition is false")?
                .split(' ')
                .next()?
                .parse::<usize>()
                .ok()
        });
        let found = outcome.observations().len() + outcome.rejects().len() + left_out.unwrap_or(0);
        assert_eq!(found, ids.len(), "{at}: {ids:?}");
        for observation in outcome.observations() {
            assert!(ids.contains(observation.address.as_ref().unwrap()), "{at}: {observation:?}");
            *totals.entry(observation.presence.name().to_owned()).or_default() += 1;
            if observation.presence == Presence::Present {
                let text = String::from_utf8_lossy(&observation.state);
                let open = text.matches(UNRESOLVED_MEMBER).count();
                *totals.entry("unresolved values".to_owned()).or_default() += open;
                no_functions(&state(observation), &at);
            }
        }
        *totals.entry("templates".to_owned()).or_default() += 1;
    }
    println!("CloudFormation: {totals:?}");
    for (at, reason) in &odd {
        println!("{at}: {reason}");
    }
    let expected = TOTALS.iter().map(|(class, count)| ((*class).to_owned(), *count)).collect();
    assert_eq!(totals, expected);
    for (at, reason) in &odd {
        let known =
            REFUSED.iter().any(|(file, start)| at.ends_with(file) && reason.starts_with(start));
        assert!(known, "{at}: {reason}");
    }
    assert_eq!(odd.len(), REFUSED.len(), "{odd:#?}");
}

/// What a manifest names stands beside it, or was left out of the corpus with its whole snapshot.
fn named_files_are_there(manifest: &Path, outcome: &Outcome) {
    let folder = manifest.parent().unwrap();
    let stacks: Vec<_> = outcome.summary.references.iter().collect();
    let main = stacks.iter().filter(|found| folder.join(&found.file).is_file()).count();
    assert!(main > 0, "{}: {stacks:?}", manifest.display());
    for reference in stacks {
        assert_eq!(reference.format, Format::CloudFormation);
        let stack = reference.stack.as_ref().unwrap();
        assert!(reference.file.starts_with(&stack.name), "{reference:?}");
    }
}

/// No function is left in a state: it is resolved, or marked as unresolved.
fn no_functions(value: &Value, at: &str) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let function = key.starts_with("Fn::") || (key == "Ref" && members.len() == 1);
                assert!(!function, "{at}: {value}");
                no_functions(value, at);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| no_functions(element, at)),
        _ => {}
    }
}

const TOTALS: &[(&str, usize)] = &[
    ("templates", 323),
    ("templates without resources", 21),
    ("manifests", 56),
    ("other files of assemblies", 107),
    ("files refused", 12),
    ("present", 2104),
    ("unresolved", 47),
    ("unsupported", 178),
    ("unresolved values", 3100),
];

/// What is refused, and why: files that are wrong on purpose, and loops, which only CloudFormation
/// itself expands.
const REFUSED: &[(&str, &str)] = &[
    ("bad/conditions.yaml", "bad_field The resource `CloudFrontDistribution` has a `Condition`"),
    ("bad/core/conditions_list.yaml", "bad_field `Conditions` must be a JSON object"),
    ("bad/core/config_invalid_json.json", "malformed This is not valid JSON"),
    ("bad/core/config_invalid_yaml.yaml", "malformed This is not valid YAML"),
    ("bad/core/parse_invalid_map.yaml", "bad_field The key in line 18"),
    ("bad/duplicate.json", "duplicate_key The key `MySNSTopic` is given twice"),
    ("bad/duplicate.yaml", "duplicate_key The key `mySnsTopic` is given twice"),
    ("bad/functions/foreach_no_transform.yaml", "unsupported `Fn::ForEach::Buckets`"),
    ("bad/json_parse.json", "malformed This is not valid JSON"),
    ("bad/not_cloudformation.yaml", "not_a_record"),
    ("bad/resources/primary_identifiers.yaml", "bad_field The resource `BadType` lacks its `Type`"),
    ("bad/string.yaml", "malformed This is text"),
    ("bad/template.yaml", "malformed This is not valid YAML"),
    ("good/functions/foreach.yaml", "unsupported `Fn::ForEach::Buckets`"),
];

/// The replies within a recording, however deep they stand.
fn replies(value: &Value, found: &mut Vec<Value>) {
    const MEMBERS: [&str; 6] = [
        "Changes",
        "StackResources",
        "StackResourceSummaries",
        "StackResourceDetail",
        "StackResourceDrift",
        "StackResourceDrifts",
    ];
    match value {
        Value::Object(members) if MEMBERS.iter().any(|name| members.contains_key(*name)) => {
            found.push(value.clone());
        }
        Value::Object(members) => members.values().for_each(|value| replies(value, found)),
        Value::Array(elements) => elements.iter().for_each(|value| replies(value, found)),
        _ => {}
    }
}

fn recorded() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for folder in ["8-vectors/localstack__localstack", "8-vectors/transcribed__cfn-drift"] {
        for path in files(&fixtures(folder)) {
            let value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let mut here = Vec::new();
            replies(&value, &mut here);
            found.extend(here.into_iter().map(|reply| (path.display().to_string(), reply)));
        }
    }
    found
}

fn read_reply(reply: &Value, side: Side) -> Outcome {
    let options = ReadOptions { side, ..ReadOptions::default() };
    read_in(&options, reply.to_string().as_bytes(), 1000)
}

/// Where two objects differ: into objects, not into lists, as CloudFormation itself goes.
fn differences(left: &Value, right: &Value, path: &str, found: &mut Vec<String>) {
    let (Some(a), Some(b)) = (left.as_object(), right.as_object()) else {
        if left != right {
            found.push(path.to_owned());
        }
        return;
    };
    if a.contains_key(UNRESOLVED_MEMBER) || b.contains_key(UNRESOLVED_MEMBER) {
        return found.push(path.to_owned());
    }
    let mut keys: Vec<&String> =
        a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))).collect();
    keys.sort();
    for key in keys {
        let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
        match (a.get(key), b.get(key)) {
            (Some(left), Some(right)) => differences(left, right, &path, found),
            _ => found.push(path),
        }
    }
}

#[test]
fn change_sets_are_what_aws_says() {
    let (mut changes, mut compared) = (0, 0);
    let mut presences: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (at, reply) in recorded() {
        let Some(list) = reply["Changes"].as_array() else { continue };
        let declared = read_reply(&reply, Side::Declared);
        let observed = read_reply(&reply, Side::Observed);
        assert!(declared.rejects().is_empty() && observed.rejects().is_empty(), "{at}: {reply}");
        assert_eq!(observed.observations().len(), list.len(), "{at}");
        changes += list.len();
        for (side, outcome) in [("declared", &declared), ("observed", &observed)] {
            for found in outcome.observations() {
                *presences.entry((side, found.presence.name())).or_default() += 1;
            }
        }
        for change in list {
            let change = &change["ResourceChange"];
            let of = |outcome: &Outcome| {
                let id = change["LogicalResourceId"].as_str();
                let found = outcome.observations();
                found.into_iter().find(|found| found.address.as_deref() == id).cloned()
            };
            let both =
                ["BeforeContext", "AfterContext"].iter().all(|field| !change[*field].is_null());
            if change["Action"] != "Modify" || !both {
                continue;
            }
            let (left, right) = (of(&declared).unwrap(), of(&observed).unwrap());
            assert_eq!(left.key, right.key);
            let mut found = Vec::new();
            differences(&state(&left), &state(&right), "/Properties", &mut found);
            let mut expected: Vec<String> = change["Details"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|detail| detail["Target"]["Path"].as_str().map(str::to_owned))
                .filter(|path| path.starts_with("/Properties"))
                .collect();
            expected.sort();
            expected.dedup();
            assert_eq!(found, expected, "{at}: {change}");
            compared += 1;
        }
    }
    println!("change sets: {changes} changes, {compared} compared, {presences:?}");
    assert_eq!((changes, compared), (443, 61));
}

#[test]
fn drift_results_are_what_aws_says() {
    let (mut resources, mut differing) = (0, 0);
    for (at, reply) in recorded() {
        let drifts = match (&reply["StackResourceDrifts"], &reply["StackResourceDrift"]) {
            (Value::Array(list), _) => list.clone(),
            (_, Value::Null) => continue,
            (_, one) => vec![one.clone()],
        };
        let declared = read_reply(&reply, Side::Declared);
        let observed = read_reply(&reply, Side::Observed);
        assert!(declared.rejects().is_empty() && observed.rejects().is_empty(), "{at}");
        assert_eq!(declared.observations().len(), drifts.len(), "{at}");
        let sides = declared.observations().into_iter().zip(observed.observations());
        for ((left, right), drift) in sides.zip(&drifts) {
            assert_eq!(left.key, right.key);
            let mut found = Vec::new();
            differences(&state(left), &state(right), "", &mut found);
            let listed = drift["PropertyDifferences"].as_array().unwrap();
            let mut expected: Vec<&str> =
                listed.iter().map(|one| one["PropertyPath"].as_str().unwrap()).collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "{at}");
            assert_eq!(found.is_empty(), drift["StackResourceDriftStatus"] == "IN_SYNC", "{at}");
            resources += 1;
            differing += usize::from(!found.is_empty());
        }
        assert_eq!(observed.summary.evidence as usize, {
            let filled =
                |drift: &&Value| !drift["PropertyDifferences"].as_array().unwrap().is_empty();
            drifts.iter().filter(filled).count()
        });
    }
    assert_eq!((resources, differing), (9, 5));
}

#[test]
fn lists_of_stacks_resources_are_read() {
    let mut resources = 0;
    for (at, reply) in recorded() {
        let listed = ["StackResources", "StackResourceSummaries"]
            .iter()
            .filter_map(|name| reply[*name].as_array().map(Vec::len))
            .sum::<usize>()
            + usize::from(reply["StackResourceDetail"].is_object());
        if listed == 0 {
            continue;
        }
        let outcome = read_reply(&reply, Side::Observed);
        assert_eq!(outcome.observations().len(), listed, "{at}: {:?}", outcome.rejects());
        for found in outcome.observations() {
            assert!(found.state.is_empty() && found.aliases[0].starts_with("cfn://"), "{found:?}");
        }
        resources += listed;
    }
    assert_eq!(resources, 44);
}
