//! Replies of AWS's describe, get and list calls: one observation per resource they show.
//!
//! A reply does not name its call. `data/aws-operations.json` knows calls by service and name, where the
//! resources stand in the reply and by which member they are known. Where the input's file name says the
//! call (`ec2.DescribeVpcs.json`, `ec2.DescribeVpcs_1.json`, as recorders of SDK calls name their files)
//! it decides; else the reply's own members do. The state is the resource as the reply has it. A call
//! that shows only a part of its resources marks the rest as unresolved (member `*`), so that nothing
//! is taken for absent that was not asked for.
//!
//! Times that Python's recorders write as objects (`__class__: datetime`) become RFC 3339 texts.

use std::sync::LazyLock;

use deployforge_model::{Dialect, Observation, RejectCode, ResourceKey, UNRESOLVED_MEMBER};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::arn::Arn;
use crate::json::Members;
use crate::refusal::{Refusal, check_key};
use crate::reserved;
use crate::sink::{Note, Sink};

/// One call: service (the prefix of its endpoint), name, where the resources stand, their type, the
/// members that hold id and ARN, and `partial` where the call shows a part only.
struct Operation {
    service: String,
    name: String,
    items: Vec<String>,
    resource_type: String,
    id: String,
    arn: String,
    partial: bool,
}

static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| {
    let rows: Vec<Vec<String>> = serde_json::from_str(include_str!("../data/aws-operations.json"))
        .expect("the calls parse, see the test");
    rows.into_iter()
        .map(|row| {
            let text = |at: usize| row.get(at).cloned().unwrap_or_default();
            Operation {
                service: text(0),
                name: text(1),
                items: text(2).split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect(),
                resource_type: text(3),
                id: text(4),
                arn: text(5),
                partial: text(6) == "partial",
            }
        })
        .collect()
});

/// Members that every reply may have, and that say nothing.
const ENVELOPE: [&str; 5] = ["ResponseMetadata", "NextToken", "nextToken", "Marker", "IsTruncated"];

/// Whether this is a reply of a call that is known.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    members.has("ResponseMetadata")
        || OPERATIONS.iter().any(|operation| {
            operation.items.first().is_some_and(|first| shows(members, operation, first))
        })
}

/// Whether the reply has the list of a call, and its first element what names it.
fn shows(members: &Members<'_>, operation: &Operation, first: &str) -> bool {
    let Some(raw) = members.get(first) else { return false };
    let Ok(value) = serde_json::from_str::<Value>(raw.get()) else { return false };
    let items = below(&value, &operation.items[1..]);
    items.first().is_some_and(|item| item.get(&operation.id).is_some())
}

/// The objects at a place, lists opened on the way.
fn below<'v>(value: &'v Value, path: &[String]) -> Vec<&'v Value> {
    match value {
        Value::Array(items) => items.iter().flat_map(|item| below(item, path)).collect(),
        Value::Object(members) => match path.split_first() {
            None => vec![value],
            Some((first, rest)) => {
                members.get(first).map_or_else(Vec::new, |inner| below(inner, rest))
            }
        },
        _ => Vec::new(),
    }
}

/// The call that a file's name says: `service.Operation`, with a number or an ending behind it.
fn named(name: &str) -> Option<(&str, &str)> {
    let stem = name.split(".json").next().unwrap_or(name);
    let stem = match stem.rsplit_once('_') {
        Some((stem, number)) if number.bytes().all(|b| b.is_ascii_digit()) => stem,
        _ => stem,
    };
    let (service, operation) = stem.rsplit_once('.')?;
    operation.starts_with(|c: char| c.is_ascii_uppercase()).then_some((service, operation))
}

/// Reads a reply.
pub(crate) fn read(members: &Members<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    members.unique("the reply")?;
    sink.tally.loose += 1;
    let reply: Value = serde_json::from_str(text)?;
    if let Some(error) = reply.get("Error") {
        let code = error.get("Code").and_then(Value::as_str).unwrap_or("an error");
        let code: String = code.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        let reason = format!("The call failed with {code}, so it shows no resource; call again.");
        return Err(Refusal::new(RejectCode::Unsupported, reason));
    }
    let call = sink.options.name.clone();
    let call = call.as_deref().and_then(named);
    let known = |operation: &&Operation| match call {
        Some((service, name)) => operation.service == service && operation.name == name,
        None => operation.items.first().is_some_and(|first| shows(members, operation, first)),
    };
    let candidates: Vec<&Operation> = OPERATIONS.iter().filter(known).collect();
    let mut seen = false;
    for operation in &candidates {
        for item in below(&reply, &operation.items) {
            if item.get(&operation.id).is_none_or(Value::is_null) {
                continue;
            }
            seen = true;
            if let Err(refusal) = deliver(item, operation, sink) {
                sink.refuse(&refusal, item.to_string().as_bytes());
            }
        }
        if seen {
            break;
        }
    }
    if !seen && (!candidates.is_empty() || is_bare(members)) {
        sink.note(Note::EmptyList, 1);
    } else if !seen {
        let reason = "This reply is of a call that shows no resource that is known; describe or get the resources themselves, and name the file after the call, such as ec2.DescribeVpcs.json.";
        return Err(Refusal::new(RejectCode::Unsupported, reason));
    }
    Ok(())
}

/// Whether a reply holds nothing but its envelope and empty lists.
fn is_bare(members: &Members<'_>) -> bool {
    members.iter().all(|(name, value): (&str, &RawValue)| {
        ENVELOPE.contains(&name) || matches!(value.get(), "[]" | "{}" | "null" | "\"\"")
    })
}

fn deliver(item: &Value, operation: &Operation, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let Value::Object(members) = item else {
        return Err(Refusal::Wrong { field: "the list", want: "a list of JSON objects" });
    };
    let word = |name: &str| members.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
    let id = match members.get(&operation.id) {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => return Err(Refusal::Missing { field: "the id", what: "a resource of the reply" }),
    };
    let arn = word(&operation.arn);
    let parsed = arn.and_then(Arn::parse);
    let defaults = sink.options.defaults.clone();
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let account = parsed
        .and_then(|arn| filled(arn.account))
        .or_else(|| word("OwnerId").or_else(|| word("AccountId")).map(str::to_owned))
        .or(defaults.account)
        .unwrap_or_default();
    let global = parsed.is_some_and(Arn::is_global);
    let region = match parsed.and_then(|arn| filled(arn.region)) {
        _ if global => String::new(),
        Some(region) => region,
        None => defaults.region.unwrap_or_default(),
    };
    sink.note(Note::AccountUnknown, account.is_empty().into());
    sink.note(Note::RegionUnknown, (region.is_empty() && !global).into());
    let key = ResourceKey::new("aws", &account, &region, &operation.resource_type, &id);
    check_key(&key)?;
    let aliases = arn.filter(|arn| **arn != *key.id).map(str::to_owned).into_iter().collect();
    let mut state: Map<String, Value> = members
        .iter()
        .filter(|(name, _)| !ENVELOPE.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), plain(value)))
        .collect();
    let text = |state: &Map<String, Value>| serde_json::to_vec(state).unwrap_or_default();
    let partial = operation.partial && !reserved::holds(&text(&state));
    if partial {
        let mut marker = Map::new();
        marker.insert(UNRESOLVED_MEMBER.to_owned(), "the call shows a part only".into());
        state.insert("*".to_owned(), Value::Object(marker));
    }
    let observation =
        Observation { aliases, ..Observation::of(key, Dialect::Aws, text(&state), sink.position) };
    if partial {
        sink.observe_resolved(observation);
    } else {
        sink.observe(observation);
    }
    Ok(())
}

/// A value with recorded times as texts.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(members) if members.contains_key("__class__") => time(members),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn time(members: &Map<String, Value>) -> Value {
    let part = |name: &str| members.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (year, month, day) = (part("year"), part("month"), part("day"));
    let (hour, minute, second) = (part("hour"), part("minute"), part("second"));
    let micros = match part("microsecond") {
        0 => String::new(),
        micros => format!(".{micros:06}"),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{micros}Z").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_parse() {
        assert!(OPERATIONS.len() > 100);
        for operation in OPERATIONS.iter() {
            assert!(!operation.id.is_empty() && operation.resource_type.starts_with("AWS::"));
        }
    }

    #[test]
    fn file_names_say_calls() {
        assert_eq!(named("ec2.DescribeVpcs_1.json"), Some(("ec2", "DescribeVpcs")));
        assert_eq!(named("api.ecr.DescribeImages.json"), Some(("api.ecr", "DescribeImages")));
        assert_eq!(named("my.inventory.json"), None);
        assert_eq!(named("vpcs.json"), None);
    }

    #[test]
    fn recorded_times_are_texts() {
        let recorded = serde_json::json!({"a": [{"__class__": "datetime", "year": 2026, "month": 1, "day": 2, "hour": 3, "minute": 4, "second": 5, "microsecond": 6000}]});
        assert_eq!(plain(&recorded)["a"][0], "2026-01-02T03:04:05.006000Z");
    }
}
