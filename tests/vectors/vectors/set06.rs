//! Set 6: change notifications of AWS Config: the changes undone, and found again.

use std::collections::BTreeMap;

use deployforge_canon::Normalise;
use deployforge_formats::ReadOptions;
use deployforge_model::Presence;
use serde_json::{Value, json};

use crate::support::{Half, Pair, counting, files, observations, root, told};
use crate::tally::Tally;

/// Notifications with a diff, however they are wrapped: text within text.
fn notifications(value: &Value, depth: usize, found: &mut Vec<Value>) {
    match value {
        Value::String(text) if depth < 6 && text.trim_start().starts_with('{') => {
            if let Ok(inner) = serde_json::from_str(text) {
                notifications(&inner, depth + 1, found);
            }
        }
        Value::Object(_) if value["configurationItemDiff"]["changedProperties"].is_object() => {
            found.push(value.clone());
        }
        Value::Object(members) => {
            members.values().for_each(|value| notifications(value, depth, found));
        }
        Value::Array(items) => items.iter().for_each(|value| notifications(value, depth, found)),
        _ => {}
    }
}

/// A member whatever the case of its first letter; AWS spells it otherwise in the change.
fn name_of(value: &Value, name: &str) -> String {
    let members = value.as_object().into_iter().flatten();
    members
        .map(|(member, _)| member)
        .find(|member| member.eq_ignore_ascii_case(name))
        .map_or_else(|| name.to_owned(), Clone::clone)
}

/// How many members two values have in common, whatever the case of names and texts.
fn likeness(one: &Value, other: &Value) -> usize {
    match one {
        Value::Object(members) => {
            members.iter().map(|(name, value)| likeness(value, &other[name_of(other, name)])).sum()
        }
        _ => usize::from(one.to_string().eq_ignore_ascii_case(&other.to_string())),
    }
}

/// Takes one change back.
fn undo(item: &mut Value, path: &str, change: &Value) {
    let segments: Vec<&str> = path.split('.').collect();
    let (last, before) = segments.split_last().expect("a path");
    let mut at = item;
    for segment in before {
        if let Value::String(text) = at {
            *at = serde_json::from_str(text).unwrap_or(Value::Null);
        }
        let name = name_of(at, segment);
        if at.is_null() {
            *at = json!({});
        }
        let is_number = last.parse::<usize>().is_ok();
        at = at.as_object_mut().expect("an object").entry(name).or_insert(if is_number {
            json!([])
        } else {
            json!({})
        });
    }
    let (was, is) = (&change["previousValue"], &change["updatedValue"]);
    if at.is_null() {
        *at = if last.parse::<usize>().is_ok() { json!([]) } else { json!({}) };
    }
    match at {
        // The position is one in AWS's own order.
        Value::Array(items) => {
            if !is.is_null() {
                let like = (0..items.len()).max_by_key(|at| likeness(is, &items[*at]));
                items.remove(like.expect("an element to take back"));
            }
            if !was.is_null() {
                items.insert(0, was.clone());
            }
        }
        Value::Object(members) => {
            let name = name_of(&Value::Object(members.clone()), last);
            // A number among tags: the one with this value.
            let name = match last.parse::<usize>() {
                Ok(_) => members
                    .iter()
                    .find(|(_, value)| *value == is)
                    .map_or(name, |(name, _)| name.clone()),
                Err(_) => name,
            };
            if was.is_null() {
                members.remove(&name);
            } else {
                members.insert(name, was.clone());
            }
        }
        other => *other = was.clone(),
    }
}

/// A message as its reader hands on its item, with this item. What was deleted is looked at as it was.
fn half(message: &Value, item: &Value) -> Half {
    let mut message = message.clone();
    message["configurationItem"] = item.clone();
    message["configurationItem"]["configurationItemStatus"] = "OK".into();
    let (all, _) = observations(ReadOptions::default(), message.to_string().as_bytes());
    let [one] = all.as_slice() else { panic!("not one item: {message}") };
    Half::of(one)
}

/// Whether what was found stands at the changed path or below it. A number at its end is a position in
/// AWS's own order: the list or map is what it tells.
fn is_at(found: &str, changed: &str) -> bool {
    let changed = match changed.rsplit_once('.') {
        Some((list, number)) if number.parse::<usize>().is_ok() => list,
        _ => changed,
    };
    let changed = format!("/{}/", changed.replace('.', "/").to_lowercase());
    format!("{}/", found.to_lowercase()).starts_with(&changed)
}

/// What is found elsewhere than at these paths, and which of the paths are not found.
fn apart(pair: &Pair, changed: &[&String]) -> Vec<String> {
    let comparison = pair.compare_with(Normalise::Off);
    let found = counting(&comparison);
    let beyond = found.iter().filter(|one| !changed.iter().any(|path| is_at(&one.path, path)));
    let beyond = beyond.map(|one| format!("{} is no change", one.path));
    let not_found = changed.iter().filter(|path| !found.iter().any(|one| is_at(&one.path, path)));
    beyond.chain(not_found.map(|path| format!("{path} is not found"))).collect()
}

/// Every notification, by its file, and those of them that the reader takes for one observation.
fn all_notifications() -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for path in files("3-aws-config", "") {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        let Some(start) = text.find('{') else { continue };
        let Ok(value) = serde_json::from_str::<Value>(&text[start..]) else { continue };
        let mut found = Vec::new();
        notifications(&value, 0, &mut found);
        for (at, one) in found.into_iter().enumerate() {
            all.insert(format!("{} {at}", path.display()), one);
        }
    }
    all
}

#[test]
fn notifications_are_found_again() {
    let (mut tally, mut failed) = (Tally::default(), Vec::new());
    let (mut with_changes, mut paths) = (0, 0);
    let all = all_notifications();
    for (name, message) in &all {
        let (read, summary) = observations(ReadOptions::default(), message.to_string().as_bytes());
        assert!(read.len() == 1 && summary.rejects == 0, "{name}: {summary:?}");
        let changes = &message["configurationItemDiff"]["changedProperties"];
        let changes = changes.as_object().expect("changes");
        if changes.is_empty() {
            let (kind, presence) =
                (&message["configurationItemDiff"]["changeType"], read[0].presence);
            println!("   {name}: {kind} without a path, read as {presence:?}");
            assert_eq!((kind, presence), (&json!("CREATE"), Presence::Present), "{name}");
            continue;
        }
        with_changes += 1;
        // The oldest notifications hold a list of one item.
        let item = &message["configurationItem"];
        let item = item.get(0).unwrap_or(item);
        let now = half(message, item);
        // Each change alone, and then all of them.
        for (path, change) in changes {
            paths += 1;
            let mut before = item.clone();
            undo(&mut before, path, change);
            let pair = Pair::of(name, half(message, &before), now.clone());
            failed.extend(apart(&pair, &[path]).iter().map(|why| format!("{name}: {why} (alone)")));
        }
        let mut before = item.clone();
        changes.iter().for_each(|(path, change)| undo(&mut before, path, change));
        let pair = Pair::of(name, half(message, &before), now);
        let whys = apart(&pair, &changes.keys().collect::<Vec<_>>());
        failed.extend(whys.iter().map(|why| format!("{name}: {why}")));
        println!("   {name}: {:?}", told(&tally.judge(&pair)));
        tally.mutate(&Pair { observed: pair.expected.clone(), ..pair });
    }
    tally.print("set 6");
    println!(
        "set 6: {with_changes} of {} notifications have changes; {} of {paths} paths, each alone and together",
        all.len(),
        paths - failed.len()
    );
    assert!(paths > 0 && failed.is_empty(), "{}", failed.join("\n"));
}
