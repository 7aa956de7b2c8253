//! Every recorded ARM template is read.

use std::collections::BTreeMap;

use deployforge_formats::{Format, ReadOptions, Side};
use deployforge_model::{Presence, UNRESOLVED_MEMBER};
use serde_json::Value;

use super::support::{files, fixtures, read_in, state};

/// How many resources a list holds, those within resources too.
fn count(resources: &Value) -> usize {
    let list = resources.as_array().cloned().unwrap_or_default();
    list.iter().map(|resource| 1 + count(&resource["resources"])).sum()
}

/// No expression is left in a state: it is resolved, or marked as unresolved.
fn no_expressions(value: &Value, at: &str) {
    match value {
        Value::String(text) => {
            let left = text.starts_with('[') && text.ends_with(']');
            // Text that is JSON, as a policy or a dashboard is kept.
            let json = serde_json::from_str::<Value>(text).is_ok();
            assert!(!left || json, "{at}: {text}");
        }
        Value::Array(elements) => elements.iter().for_each(|element| no_expressions(element, at)),
        Value::Object(members) => members.values().for_each(|value| no_expressions(value, at)),
        _ => {}
    }
}

#[test]
fn every_template_is_read() {
    let mut totals: BTreeMap<&str, usize> = BTreeMap::new();
    for path in files(&fixtures("6-inventory/azure")) {
        let bytes = std::fs::read(&path).unwrap();
        let at = path.display().to_string();
        let options = ReadOptions { side: Side::Declared, ..ReadOptions::default() };
        let outcome = read_in(&options, &bytes, 4096);
        assert_eq!(outcome.summary.format, Some(Format::ArmTemplate), "{at}");
        let rejects = outcome.rejects().len();
        // A server's `resources` stand there twice: not one list with two halves, but two lists.
        let twice = at.ends_with("templates/mysql.json");
        assert_eq!(rejects, usize::from(twice), "{at}: {:?}", outcome.rejects());
        let text = String::from_utf8(bytes).unwrap();
        let template: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
        let found = outcome.observations();
        let expected = if twice { 0 } else { count(&template["resources"]) };
        assert_eq!(found.len(), expected, "{at}: {:?}", outcome.summary.notes);
        for observation in found {
            *totals.entry(observation.presence.name()).or_default() += 1;
            assert!(observation.key.resource_type.contains('/'), "{at}: {observation:?}");
            if observation.presence == Presence::Present {
                no_expressions(&state(observation), &at);
                let text = String::from_utf8_lossy(&observation.state);
                *totals.entry("values").or_default() += text.matches(UNRESOLVED_MEMBER).count();
            }
        }
        *totals.entry("files").or_default() += 1;
    }
    let expected = [("files", 91), ("present", 220), ("unresolved", 95), ("values", 210)];
    assert_eq!(totals, BTreeMap::from(expected));
}
