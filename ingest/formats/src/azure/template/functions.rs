//! The functions of expressions, as far as the template alone says what they give.
//!
//! `reference`, `list*`, `uniqueString`, `utcNow` and the like ask the cloud, the clock or chance:
//! what needs them is unresolved. What `list*` gives is a key, and so a secret all the same.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::expression::Expression;
use super::identity;
use super::scope::Scope;
use crate::refusal::printable;
use crate::resolved::{PARTS, Value};

/// What a function gives.
pub(super) fn call<'a>(scope: &Scope<'a>, name: &str, arguments: &[Expression]) -> Value<'a> {
    let secret = name.starts_with("list");
    let unresolved = |name: &str| Value::Unresolved { reason: printable(name), secret };
    match (name, arguments) {
        ("parameters" | "variables", [only]) => {
            return match scope.evaluate(only).as_text() {
                Some(text) => scope.named(name == "variables", text),
                None => unresolved(name),
            };
        }
        ("if", [condition, met, unmet]) => return choose(scope, condition, met, unmet),
        ("subscription", []) => return subscription(scope),
        ("resourcegroup", []) => return resource_group(scope),
        _ => {}
    }
    let values: Vec<Value<'a>> = arguments.iter().map(|part| scope.evaluate(part)).collect();
    let hidden = secret || values.iter().any(Value::is_secret);
    let reason = |reason: &str| Value::Unresolved { reason: reason.to_owned(), secret: hidden };
    if let Some(inner) = early(name, &values) {
        return inner;
    }
    if let Some(why) = values.iter().find_map(Value::reason) {
        return reason(&if is_known(name) { why.to_owned() } else { printable(name) });
    }
    let length: usize = values.iter().map(Value::bytes).sum();
    let made = scope.bounds.allows(length).then(|| of_values(scope, name, &values)).flatten();
    match made {
        Some(value) if hidden => value.kept_secret(),
        Some(value) => value,
        None => reason(&printable(name)),
    }
}

/// Whether the function is one that is followed.
fn is_known(name: &str) -> bool {
    // What it does with no arguments does not matter: it is only asked for names.
    const KNOWN: [&str; 40] = [
        "add",
        "and",
        "array",
        "base64",
        "bool",
        "coalesce",
        "concat",
        "contains",
        "createarray",
        "createobject",
        "empty",
        "endswith",
        "equals",
        "extensionresourceid",
        "false",
        "first",
        "format",
        "greater",
        "greaterorequals",
        "int",
        "join",
        "last",
        "length",
        "less",
        "lessorequals",
        "mul",
        "not",
        "null",
        "or",
        "replace",
        "resourceid",
        "split",
        "startswith",
        "string",
        "sub",
        "subscriptionresourceid",
        "substring",
        "tolower",
        "toupper",
        "union",
    ];
    KNOWN.contains(&name)
}

/// What can be told although some arguments are not known.
fn early<'a>(name: &str, values: &[Value<'a>]) -> Option<Value<'a>> {
    let word = |value: &Value<'a>| value.word().map(str::to_owned);
    match name {
        "and" if values.iter().any(|value| word(value).as_deref() == Some("false")) => {
            Some(Value::plain("false"))
        }
        "or" if values.iter().any(|value| word(value).as_deref() == Some("true")) => {
            Some(Value::plain("true"))
        }
        "createarray" => Some(Value::List(values.to_vec())),
        "createobject" if values.len().is_multiple_of(2) => {
            let pairs = values.chunks(2);
            let member = |pair: &[Value<'a>]| {
                Some((pair.first()?.as_text()?.to_owned().into(), pair.get(1)?.clone()))
            };
            pairs.map(member).collect::<Option<Vec<_>>>().map(Value::Object)
        }
        _ => None,
    }
}

/// Functions of values that are all known.
fn of_values<'a>(scope: &Scope<'a>, name: &str, values: &[Value<'a>]) -> Option<Value<'a>> {
    let text = |at: usize| values.get(at).and_then(Value::as_text);
    let truth = |met: bool| Some(Value::plain(met.to_string()));
    match (name, values) {
        ("true", []) => truth(true),
        ("false", []) => truth(false),
        ("null", []) => Some(Value::plain("null")),
        ("concat", _) => concat(values),
        ("format", [_, rest @ ..]) => format(text(0)?, rest),
        ("tolower", [_]) => Some(Value::text(text(0)?.to_lowercase())),
        ("toupper", [_]) => Some(Value::text(text(0)?.to_uppercase())),
        ("trim", [_]) => Some(Value::text(text(0)?.trim().to_owned())),
        ("base64", [_]) => Some(Value::text(STANDARD.encode(text(0)?))),
        ("replace", [_, _, _]) => replace(scope, text(0)?, text(1)?, text(2)?),
        ("substring", [_, rest @ ..]) => substring(text(0)?, rest),
        ("split", [_, _]) => {
            let (whole, by) = (text(0)?, text(1)?);
            let few = !by.is_empty() && whole.matches(by).count() <= PARTS;
            few.then(|| Value::List(whole.split(by).map(|p| Value::text(p.to_owned())).collect()))
        }
        ("join", [list, _]) => {
            let words: Option<Vec<&str>> = list.elements()?.iter().map(Value::as_text).collect();
            let words = words?;
            let size = words.len() * text(1)?.len();
            scope.bounds.allows(size).then_some(Value::text(words.join(text(1)?)))
        }
        ("startswith", [_, _]) => {
            truth(text(0)?.to_lowercase().starts_with(&text(1)?.to_lowercase()))
        }
        ("endswith", [_, _]) => truth(text(0)?.to_lowercase().ends_with(&text(1)?.to_lowercase())),
        ("string", [only]) => match only {
            Value::Text { .. } => Some(only.clone()),
            _ => number(only).map(|number| Value::text(number.to_string())),
        },
        ("int", [only]) => {
            let whole = only.word().and_then(|word| word.parse::<i64>().ok())?;
            Some(Value::plain(whole.to_string()))
        }
        ("bool", [only]) => match only.word()?.to_ascii_lowercase().as_str() {
            "true" | "1" => truth(true),
            "false" | "0" => truth(false),
            _ => None,
        },
        ("equals", [left, right]) => truth(left.to_json() == right.to_json()),
        ("not", [only]) => boolean(only).and_then(|met| truth(!met)),
        ("and", _) => {
            let all: Option<Vec<bool>> = values.iter().map(boolean).collect();
            truth(all?.into_iter().all(|met| met))
        }
        ("or", _) => {
            let all: Option<Vec<bool>> = values.iter().map(boolean).collect();
            truth(all?.into_iter().any(|met| met))
        }
        ("coalesce", [.., last]) => {
            let filled = values.iter().find(|value| **value != Value::plain("null"));
            Some(filled.unwrap_or(last).clone())
        }
        ("resourceid", _) => identity::of_resource(&scope.target, values),
        ("subscriptionresourceid", _) => identity::of_subscription(&scope.target, values),
        ("extensionresourceid", [_, rest @ ..]) => identity::of_extension(text(0)?, rest),
        _ => of_collections(name, values).or_else(|| arithmetic(name, values)),
    }
}

fn of_collections<'a>(name: &str, values: &[Value<'a>]) -> Option<Value<'a>> {
    match (name, values) {
        ("array", [only]) => Some(match only {
            Value::List(_) => only.clone(),
            _ => Value::List(vec![only.clone()]),
        }),
        ("length", [only]) => size(only).map(|size| Value::plain(size.to_string())),
        ("empty", [only]) if *only == Value::plain("null") => Some(Value::plain("true")),
        ("empty", [only]) => size(only).map(|size| Value::plain((size == 0).to_string())),
        ("first", [only]) => only.elements()?.first().cloned(),
        ("last", [only]) => only.elements()?.last().cloned(),
        ("contains", [whole, part]) => {
            let found = match whole {
                Value::List(elements) => elements.contains(part),
                Value::Object(_) => member_of(whole, part.as_text()?).is_some(),
                _ => whole.as_text()?.contains(part.as_text()?),
            };
            Some(Value::plain(found.to_string()))
        }
        ("union", [first, rest @ ..]) => rest.iter().try_fold(first.clone(), union),
        _ => None,
    }
}

fn arithmetic<'a>(name: &str, values: &[Value<'a>]) -> Option<Value<'a>> {
    let [left, right] = values else { return None };
    let (left, right) = (number(left)?, number(right)?);
    let result = match name {
        "add" => left.checked_add(right)?.to_string(),
        "sub" => left.checked_sub(right)?.to_string(),
        "mul" => left.checked_mul(right)?.to_string(),
        "less" => (left < right).to_string(),
        "lessorequals" => (left <= right).to_string(),
        "greater" => (left > right).to_string(),
        "greaterorequals" => (left >= right).to_string(),
        _ => return None,
    };
    Some(Value::plain(result))
}

fn choose<'a>(
    scope: &Scope<'a>,
    condition: &Expression,
    met: &Expression,
    unmet: &Expression,
) -> Value<'a> {
    let condition = scope.evaluate(condition);
    match boolean(&condition) {
        Some(true) => scope.evaluate(met),
        Some(false) => scope.evaluate(unmet),
        None => {
            let reason = condition.reason().unwrap_or("if").to_owned();
            let secret = scope.evaluate(met).is_secret() || scope.evaluate(unmet).is_secret();
            Value::Unresolved { reason, secret }
        }
    }
}

fn subscription<'a>(scope: &Scope<'a>) -> Value<'a> {
    let Some(id) = &scope.target.subscription else { return Value::unresolved("subscription") };
    let unknown = || Value::unresolved("subscription");
    Value::Object(vec![
        ("id".into(), Value::text(format!("/subscriptions/{id}"))),
        ("subscriptionId".into(), Value::text(id.clone())),
        ("tenantId".into(), unknown()),
        ("displayName".into(), unknown()),
    ])
}

fn resource_group<'a>(scope: &Scope<'a>) -> Value<'a> {
    let target = &scope.target;
    let Some(group) = &target.group else { return Value::unresolved("resourceGroup") };
    let unknown = || Value::unresolved("resourceGroup");
    let id = target.subscription.as_ref().map_or_else(unknown, |subscription| {
        Value::text(format!("/subscriptions/{subscription}/resourceGroups/{group}"))
    });
    Value::Object(vec![
        ("id".into(), id),
        ("name".into(), Value::text(group.clone())),
        ("location".into(), unknown()),
        ("tags".into(), unknown()),
    ])
}

/// `value.name`: names of members ignore case.
pub(super) fn member<'a>(of: Value<'a>, name: &str) -> Value<'a> {
    if let Value::Unresolved { .. } = of {
        return of;
    }
    let missing = || Value::Unresolved { reason: printable(name), secret: of.is_secret() };
    member_of(&of, name).cloned().unwrap_or_else(missing)
}

fn member_of<'v, 'a>(of: &'v Value<'a>, name: &str) -> Option<&'v Value<'a>> {
    of.get(name).or_else(|| match of {
        Value::Object(members) => {
            members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        }
        _ => None,
    })
}

/// `value[index]`.
pub(super) fn index<'a>(of: Value<'a>, index: &Value<'a>) -> Value<'a> {
    if let Value::Unresolved { .. } = of {
        return of;
    }
    if let Value::Unresolved { reason, .. } = index {
        return Value::Unresolved { reason: reason.clone(), secret: of.is_secret() };
    }
    if let Some(name) = index.as_text() {
        return member(of, name);
    }
    let at = number(index).and_then(|at| usize::try_from(at).ok());
    let missing =
        || Value::Unresolved { reason: "no such element".to_owned(), secret: of.is_secret() };
    at.and_then(|at| of.elements()?.get(at).cloned()).unwrap_or_else(missing)
}

fn boolean(value: &Value<'_>) -> Option<bool> {
    match value {
        Value::Plain { text, .. } => text.parse().ok(),
        _ => None,
    }
}

fn number(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Plain { text, .. } => text.parse().ok(),
        _ => None,
    }
}

fn size(value: &Value<'_>) -> Option<usize> {
    match value {
        Value::List(elements) => Some(elements.len()),
        Value::Object(members) => Some(members.len()),
        _ => value.as_text().map(|text| text.chars().count()),
    }
}

/// Texts and numbers to one text, or lists to one list.
fn concat<'a>(values: &[Value<'a>]) -> Option<Value<'a>> {
    if let Some(Value::List(_)) = values.first() {
        let lists: Option<Vec<&[Value<'a>]>> = values.iter().map(Value::elements).collect();
        return Some(Value::List(lists?.concat()));
    }
    let mut text = String::new();
    for value in values {
        match value {
            Value::Text { text: part, .. } => text.push_str(part),
            other => text.push_str(&number(other)?.to_string()),
        }
    }
    Some(Value::text(text))
}

/// `format('{0}-{1}', a, b)`, without alignment and number formats.
fn format<'a>(pattern: &str, values: &[Value<'a>]) -> Option<Value<'a>> {
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let (bracket, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(bracket) {
            text.push_str(bracket);
            rest = after;
            continue;
        }
        let (number_text, after) = after.split_once('}').filter(|_| bracket == "{")?;
        match values.get(number_text.parse::<usize>().ok()?)? {
            Value::Text { text: part, .. } => text.push_str(part),
            other => text.push_str(&number(other)?.to_string()),
        }
        rest = after;
    }
    text.push_str(rest);
    Some(Value::text(text))
}

fn replace<'a>(scope: &Scope<'a>, text: &str, old: &str, new: &str) -> Option<Value<'a>> {
    let times = if old.is_empty() { return None } else { text.matches(old).count() };
    let fits = scope.bounds.allows(text.len() + times * new.len());
    fits.then(|| Value::text(text.replace(old, new)))
}

/// A part of a text, counted in characters; beyond the end there is none.
fn substring<'a>(text: &str, range: &[Value<'a>]) -> Option<Value<'a>> {
    let at = |value: &Value<'a>| usize::try_from(number(value)?).ok();
    let (start, length) = match range {
        [start] => (at(start)?, None),
        [start, length] => (at(start)?, Some(at(length)?)),
        _ => return None,
    };
    let all = text.chars().count();
    let end = length.map_or(Some(all), |length| start.checked_add(length))?;
    if start > end || end > all || !text.is_ascii() {
        return None;
    }
    text.get(start..end).map(|part| Value::text(part.to_owned()))
}

/// Lists without what is in both twice; objects with the members of the later ones.
fn union<'a>(first: Value<'a>, second: &Value<'a>) -> Option<Value<'a>> {
    match (first, second) {
        (Value::List(mut elements), Value::List(more)) => {
            for element in more {
                if !elements.contains(element) {
                    elements.push(element.clone());
                }
            }
            Some(Value::List(elements))
        }
        (Value::Object(mut members), Value::Object(more)) => {
            for (key, value) in more {
                let Some((_, own)) = members.iter_mut().find(|(own, _)| own == key) else {
                    members.push((key.clone(), value.clone()));
                    continue;
                };
                *own = match (&*own, value) {
                    (Value::Object(_), Value::Object(_)) => union(own.clone(), value)?,
                    _ => value.clone(),
                };
            }
            Some(Value::Object(members))
        }
        _ => None,
    }
}
