//! Every recorded state and every recorded AWS Config file is read, or refused for the right
//! reason. What is expected is counted here by a plain walk over the parsed JSON.

use std::collections::BTreeMap;
use std::path::Path;

use deployforge_model::{Dialect, RejectCode};
use serde_json::Value;

use super::support::{Outcome, files, fixtures, read};

/// How many objects a state holds, of whatever version.
fn objects(state: &Value) -> usize {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let managed = list(&state["resources"])
        .iter()
        .filter(|resource| resource["mode"] == "managed")
        .map(|resource| list(&resource["instances"]).len())
        .sum::<usize>();
    let legacy = list(&state["modules"])
        .iter()
        .filter_map(|module| module["resources"].as_object().cloned())
        .flatten()
        .filter(|(address, resource)| {
            !address.starts_with("data.") && !resource["primary"].is_null()
        })
        .count();
    managed + legacy
}

#[test]
fn every_state_is_read_or_refused_for_its_reason() {
    let mut classes: BTreeMap<String, usize> = BTreeMap::new();
    let mut total = 0;
    for path in files(&fixtures("1-terraform-state")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.contains(".tfstate") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let outcome = read(&bytes);
        let at = path.display();
        let class = match serde_json::from_slice::<Value>(&bytes) {
            Err(_) => {
                assert_eq!(
                    outcome.codes(),
                    [RejectCode::Malformed],
                    "{at} {:#?}",
                    outcome.rejects()
                );
                "damaged".to_owned()
            }
            Ok(state) if state["encrypted_data"].is_string() => {
                assert_eq!(outcome.codes(), [RejectCode::Encrypted], "{at}");
                "encrypted".to_owned()
            }
            Ok(state) => {
                let objects = objects(&state);
                assert!(outcome.rejects().is_empty(), "{at}: {:?}", outcome.rejects());
                assert_eq!(outcome.observations().len(), objects, "{at}");
                let points = ["backend", "remote"].iter().any(|key| !state[*key].is_null());
                let pointer = points && objects == 0;
                assert_eq!(outcome.summary.complete_listing, !pointer, "{at}");
                total += objects;
                if pointer { "pointer".to_owned() } else { format!("version {}", state["version"]) }
            }
        };
        *classes.entry(class).or_default() += 1;
    }
    println!("states: {classes:?}, {total} objects");
    let expected = STATES.iter().map(|(class, count)| ((*class).to_owned(), *count)).collect();
    assert_eq!(classes, expected);
    assert_eq!(total, OBJECTS);
}

const STATES: &[(&str, usize)] = &[
    ("damaged", 2),
    ("encrypted", 1),
    ("pointer", 11),
    ("version 1", 1),
    ("version 3", 5),
    ("version 4", 158),
];
const OBJECTS: usize = 262;

/// What a file of AWS Config holds.
#[derive(Debug, Default)]
struct Holds {
    items: usize,
    summaries: usize,
    rows: usize,
    lists: usize,
    messages: usize,
}

/// Counts items, through JSON text too.
fn walk(value: &Value, holds: &mut Holds) {
    match value {
        Value::String(text) if text.starts_with(['{', '[']) => {
            if let Ok(inner) = serde_json::from_str(text) {
                walk(&inner, holds);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| walk(element, holds)),
        Value::Object(members) => {
            let has = |key: &str| members.contains_key(key);
            if has("resourceType") && (has("configuration") || has("configurationItemStatus")) {
                holds.items += 1;
                return;
            }
            holds.messages += usize::from(has("messageType"));
            for (key, inner) in members {
                match key.as_str() {
                    "configurationItemSummary" => holds.summaries += 1,
                    "Results" => holds.rows += inner.as_array().map_or(0, Vec::len),
                    "configurationItemDiff" => {}
                    _ => walk(inner, holds),
                }
                let list = matches!(key.as_str(), "configurationItems" | "Results" | "Messages");
                holds.lists += usize::from(list);
            }
        }
        _ => {}
    }
}

/// Which class a file is of, after checking that it was read as its class has to be.
fn classify(path: &Path, bytes: &[u8], outcome: &Outcome) -> &'static str {
    let at = path.display();
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        assert!(!outcome.rejects().is_empty(), "{at}");
        assert!(!outcome.summary.complete_listing, "{at}");
        return "no JSON";
    };
    let mut holds = Holds::default();
    walk(&value, &mut holds);
    let codes = outcome.codes();
    if holds.items > 0 {
        assert_eq!(outcome.observations().len(), holds.items, "{at}: {codes:?}");
        assert!(codes.is_empty(), "{at}: {:?}", outcome.rejects());
        return "items";
    }
    // The calls beside the items, in the API's own words.
    let observations = outcome.observations();
    if !observations.is_empty() {
        assert!(observations.iter().all(|one| one.dialect == Dialect::Aws), "{at}");
        return "API reply";
    }
    if holds.summaries > 0 {
        assert_eq!(codes, [RejectCode::Elsewhere], "{at}");
        "summary"
    } else if holds.rows > 0 {
        assert_eq!(codes.len(), holds.rows, "{at}");
        let known = |code| matches!(code, &RejectCode::Unsupported | &RejectCode::BadField);
        assert!(codes.iter().all(known), "{at}: {codes:?}");
        "selected fields"
    } else if holds.lists > 0 {
        assert!(codes.is_empty(), "{at}: {codes:?}");
        assert_eq!(outcome.summary.notes.len(), 1, "{at}");
        "empty list"
    } else if holds.messages > 0 {
        assert!(codes.is_empty(), "{at}: {codes:?}");
        assert_eq!(outcome.summary.notes, ["1 notification without an item was skipped"], "{at}");
        "message without item"
    } else {
        if codes.is_empty() {
            return "empty reply";
        }
        let known = |code| matches!(code, &RejectCode::Unsupported | &RejectCode::NotARecord);
        assert!(codes.len() == 1 && codes.iter().all(known), "{at}: {codes:?}");
        "other JSON"
    }
}

#[test]
fn every_config_file_is_read_or_refused_for_its_reason() {
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut items = 0;
    for path in files(&fixtures("3-aws-config")) {
        let bytes = std::fs::read(&path).unwrap();
        let outcome = read(&bytes);
        *classes.entry(classify(&path, &bytes, &outcome)).or_default() += 1;
        items += outcome.observations().len();
    }
    println!("AWS Config: {classes:?}, {items} items");
    assert_eq!(classes, CONFIG.iter().copied().collect());
    assert_eq!(items, ITEMS);
}

const CONFIG: &[(&str, usize)] = &[
    ("items", 41),
    ("summary", 1),
    ("selected fields", 34),
    ("empty list", 6),
    ("message without item", 6),
    ("other JSON", 79),
    ("API reply", 31),
    ("empty reply", 58),
    ("no JSON", 14),
];
const ITEMS: usize = 146;
