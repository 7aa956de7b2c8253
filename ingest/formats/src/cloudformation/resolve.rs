//! Intrinsic functions, as far as the template alone says what they give.
//!
//! What a function needs and the template lacks (attributes of resources, exports of other stacks,
//! availability zones) leaves a [`Value::Unresolved`] where the function stands; a text of which a
//! part is unresolved is so as a whole. Nothing is guessed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::scope::Scope;
use crate::refusal::printable;
use crate::resolved::{PARTS, Value, too_large};

impl<'a> Scope<'a> {
    /// The value with every function in it resolved, as far as that is possible.
    pub(super) fn resolve(&self, value: &Value<'a>) -> Value<'a> {
        self.bounds.deeper(|| self.resolve_here(value), Value::unresolved)
    }

    fn resolve_here(&self, value: &Value<'a>) -> Value<'a> {
        match value {
            Value::Text { text, .. } => dynamic(text).unwrap_or_else(|| value.clone()),
            Value::List(elements) => Value::List(
                elements
                    .iter()
                    .map(|element| self.resolve(element))
                    .filter(|element| *element != Value::Absent)
                    .collect(),
            ),
            Value::Object(members) => {
                if let Some((name, argument)) = value.single()
                    && is_function(name)
                {
                    return self.function(name, argument);
                }
                // A macro among other members changes these too, and a loop makes members.
                if let Some((name, _)) = members.iter().find(|(name, _)| name.starts_with("Fn::")) {
                    let secret = members.iter().any(|(_, value)| self.resolve(value).is_secret());
                    return Value::Unresolved { reason: printable(name), secret };
                }
                Value::Object(
                    members
                        .iter()
                        .map(|(key, value)| (key.clone(), self.resolve(value)))
                        .filter(|(_, value)| *value != Value::Absent)
                        .collect(),
                )
            }
            other => other.clone(),
        }
    }

    fn function(&self, name: &str, argument: &Value<'a>) -> Value<'a> {
        let unresolved = || {
            let secret = self.resolve(argument).is_secret();
            Value::Unresolved { reason: printable(name), secret }
        };
        let given = match name {
            "Ref" => argument.as_text().map(|name| self.reference(name)),
            "Fn::GetAtt" => Some(attribute(argument)),
            "Fn::If" => self.choose(argument),
            "Fn::Join" => self.join(argument),
            "Fn::Sub" => self.substitute(argument),
            "Fn::Select" => self.select(argument),
            "Fn::Split" => self.split(argument),
            "Fn::FindInMap" => self.find_in_map(argument),
            "Fn::Base64" => {
                self.text_of(argument, |text| Value::text(STANDARD.encode(text.as_bytes())))
            }
            "Fn::Length" => match self.resolve(argument) {
                Value::List(elements) => Some(Value::plain(elements.len().to_string())),
                other => failed(&other),
            },
            "Fn::ToJsonString" => Some(self.json_text(argument)),
            "Fn::And" | "Fn::Or" | "Fn::Not" | "Fn::Equals" => {
                let function = Value::Object(vec![(name.to_owned().into(), argument.clone())]);
                self.test(&function).map(|met| Value::plain(met.to_string()))
            }
            _ => None,
        };
        given.map_or_else(unresolved, |value| self.bounds.made(value))
    }

    /// Whether a condition is met; `None`: that cannot be told.
    pub(super) fn test(&self, value: &Value<'a>) -> Option<bool> {
        self.bounds.deeper(|| self.test_here(value), |_| None)
    }

    fn test_here(&self, value: &Value<'a>) -> Option<bool> {
        let Some((name, argument)) = value.single() else {
            return match value.word() {
                Some("true") => Some(true),
                Some("false") => Some(false),
                _ => None,
            };
        };
        match name {
            "Condition" => self.condition(argument.as_text()?),
            "Fn::Not" => match argument.elements()? {
                [only] => self.test(only).map(|met| !met),
                _ => None,
            },
            "Fn::And" | "Fn::Or" => {
                // One that decides does so whatever the others are.
                let decisive = name == "Fn::Or";
                let mut open = false;
                for element in argument.elements()? {
                    match self.test(element) {
                        Some(met) if met == decisive => return Some(decisive),
                        Some(_) => {}
                        None => open = true,
                    }
                }
                (!open).then_some(!decisive)
            }
            "Fn::Equals" => match argument.elements()? {
                [left, right] => equal(&self.resolve(left), &self.resolve(right)),
                _ => None,
            },
            _ if is_function(name) => match self.resolve(value).word() {
                Some("true") => Some(true),
                Some("false") => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    fn choose(&self, argument: &Value<'a>) -> Option<Value<'a>> {
        let [condition, met, unmet] = argument.elements()? else { return None };
        let (result, name) = match condition.as_text() {
            Some(name) => (self.condition(name), name),
            None => (self.test(condition), ""),
        };
        Some(match result {
            Some(true) => self.resolve(met),
            Some(false) => self.resolve(unmet),
            None => {
                let secret = self.resolve(met).is_secret() || self.resolve(unmet).is_secret();
                let reason = format!("Fn::If {}", printable(name));
                Value::Unresolved { reason: reason.trim_end().to_owned(), secret }
            }
        })
    }

    fn join(&self, argument: &Value<'a>) -> Option<Value<'a>> {
        let [delimiter, list] = argument.elements()? else { return None };
        let delimiter = delimiter.as_text()?;
        let list = self.resolve(list);
        let Value::List(elements) = &list else { return failed(&list) };
        if list.reason().is_some() {
            return failed(&list);
        }
        let words: Option<Vec<&str>> = elements.iter().map(Value::word).collect();
        let length: usize = elements.iter().map(|part| part.bytes() + delimiter.len()).sum();
        let text = words.filter(|_| self.bounds.allows(length))?.join(delimiter);
        Some(text_or_dynamic(text, list.is_secret()))
    }

    fn substitute(&self, argument: &Value<'a>) -> Option<Value<'a>> {
        let (text, variables) = match argument {
            Value::Text { text, .. } => (text, None),
            Value::List(elements) => match &elements[..] {
                [Value::Text { text, .. }, variables @ Value::Object(_)] => (text, Some(variables)),
                [Value::Text { text, .. }] => (text, None),
                _ => return None,
            },
            _ => return None,
        };
        let mut out = String::with_capacity(text.len());
        let mut secret = dynamic(text).is_some_and(|value| value.is_secret());
        let mut failure = None;
        let mut rest = &**text;
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                out.push_str("${");
                rest = after;
                continue;
            };
            rest = after;
            if let Some(literal) = name.strip_prefix('!') {
                out.push_str(&format!("${{{literal}}}"));
                continue;
            }
            let value = match variables.and_then(|variables| variables.get(name.trim())) {
                Some(value) => self.resolve(value),
                None => self.named(name.trim()),
            };
            secret |= value.is_secret();
            match value.word() {
                Some(word) if self.bounds.allows(out.len() + word.len()) => out.push_str(word),
                _ => {
                    let reason = value.reason().unwrap_or("Fn::Sub").to_owned();
                    failure.get_or_insert(reason);
                }
            }
        }
        out.push_str(rest);
        Some(match failure {
            Some(reason) => Value::Unresolved { reason, secret },
            None => text_or_dynamic(out, secret),
        })
    }

    /// What `${name}` stands for.
    fn named(&self, name: &str) -> Value<'a> {
        match name.split_once('.') {
            Some((id, _)) => Value::unresolved(format!("Fn::GetAtt {}", printable(id))),
            None => self.reference(name),
        }
    }

    fn select(&self, argument: &Value<'a>) -> Option<Value<'a>> {
        let [index, list] = argument.elements()? else { return None };
        let (index, list) = (self.resolve(index), self.resolve(list));
        let Some(index) = index.word() else { return failed(&index) };
        let index: usize = index.parse().ok()?;
        match list {
            Value::List(mut elements) if index < elements.len() => {
                Some(elements.swap_remove(index))
            }
            other => failed(&other),
        }
    }

    fn split(&self, argument: &Value<'a>) -> Option<Value<'a>> {
        let [delimiter, text] = argument.elements()? else { return None };
        let delimiter = delimiter.as_text().filter(|delimiter| !delimiter.is_empty())?;
        self.text_of(text, |text| {
            if text.matches(delimiter).count() > PARTS {
                return Value::unresolved("Fn::Split");
            }
            Value::List(text.split(delimiter).map(|part| Value::text(part.to_owned())).collect())
        })
    }

    fn find_in_map(&self, argument: &Value<'a>) -> Option<Value<'a>> {
        let arguments = argument.elements()?;
        let [mapping, first, second, options @ ..] = arguments else { return None };
        let keys = [mapping, first, second].map(|key| self.resolve(key));
        if let Some(unresolved) = keys.iter().find(|key| key.reason().is_some()) {
            return failed(unresolved);
        }
        let [mapping, first, second] = &keys;
        let found = self.mapped(mapping.word()?, first.word()?, second.word()?).ok()?;
        let otherwise = || options.first().and_then(|options| options.get("DefaultValue"));
        Some(self.resolve(found.or_else(otherwise)?))
    }

    fn json_text(&self, argument: &Value<'a>) -> Value<'a> {
        let value = self.resolve(argument);
        let secret = value.is_secret();
        if let Some(reason) = value.reason() {
            return Value::Unresolved { reason: reason.to_owned(), secret };
        }
        let text = String::from_utf8(value.to_json()).unwrap_or_default();
        Value::Text { text: text.into(), secret }
    }

    /// What `make` makes of an argument that is a text.
    fn text_of(
        &self,
        argument: &Value<'a>,
        make: impl FnOnce(&str) -> Value<'a>,
    ) -> Option<Value<'a>> {
        let value = self.resolve(argument);
        let Some(word) = value.word() else { return failed(&value) };
        if !self.bounds.allows(word.len()) {
            return Some(too_large(&value));
        }
        let made = make(word);
        Some(if value.is_secret() { made.kept_secret() } else { made })
    }
}

/// Whether a member's name is that of a function.
fn is_function(name: &str) -> bool {
    name == "Ref" || name.starts_with("Fn::")
}

/// The reason why an argument is not what a function needs, if it is that it was not resolved.
fn failed<'a>(value: &Value<'a>) -> Option<Value<'a>> {
    let reason = value.reason()?.to_owned();
    Some(Value::Unresolved { reason, secret: value.is_secret() })
}

fn attribute<'a>(argument: &Value<'a>) -> Value<'a> {
    let id = match argument {
        Value::Text { text, .. } => text.split('.').next(),
        Value::List(elements) => elements.first().and_then(Value::as_text),
        _ => None,
    };
    let reason = format!("Fn::GetAtt {}", printable(id.unwrap_or_default()));
    Value::unresolved(reason.trim_end())
}

/// Whether two values are the same; `None`: one of them is not known.
fn equal(left: &Value<'_>, right: &Value<'_>) -> Option<bool> {
    let unknown = |value: &Value<'_>| value.reason().is_some() || *value == Value::Absent;
    if unknown(left) || unknown(right) {
        return None;
    }
    Some(match (left.word(), right.word()) {
        (Some(left), Some(right)) => left == right,
        _ => left.to_json() == right.to_json(),
    })
}

/// A text, unless it refers to what is kept elsewhere.
fn text_or_dynamic<'a>(text: String, secret: bool) -> Value<'a> {
    match dynamic(&text) {
        Some(value) if secret => value.kept_secret(),
        Some(value) => value,
        None => Value::Text { text: text.into(), secret },
    }
}

/// `{{resolve:service:…}}`: AWS puts the value in when it deploys.
fn dynamic<'a>(text: &str) -> Option<Value<'a>> {
    let (_, rest) = text.split_once("{{resolve:")?;
    let service = rest.split([':', '}']).next().unwrap_or_default();
    let reason = format!("a dynamic reference to {}", printable(service));
    Some(Value::Unresolved { reason, secret: service != "ssm" })
}
