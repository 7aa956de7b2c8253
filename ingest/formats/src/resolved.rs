//! Values of templates: read from JSON, resolved as far as that is possible, and written as a state.
//!
//! A [`Value`] keeps the spelling of numbers and remembers two things that JSON cannot: that a text
//! came from a secret parameter, and that a value could not be resolved, with the reason.

use std::borrow::Cow;
use std::cell::Cell;

use deployforge_model::{RejectCode, UNRESOLVED_MEMBER, path};

use crate::json::{self, Members};
use crate::options::Limits;
use crate::refusal::Refusal;

/// Levels of nesting that are followed, whatever the limit for records: resolving needs the stack.
const LEVELS: usize = 256;

/// How many times as large as a template what its functions make may be, and how many values are looked
/// at, with so much that is always allowed.
const MADE: usize = 8;
const MADE_BYTES: usize = 1 << 20;
const LOOKS: usize = 1 << 16;

/// Into how many parts a text is split: more than any list that a template may hold.
pub(crate) const PARTS: usize = 1 << 16;

/// A value of a template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// `null`, a boolean or a number.
    Plain {
        /// As it is spelt.
        text: Cow<'a, str>,
        /// Whether it must not be shown.
        secret: bool,
    },
    /// A text.
    Text {
        /// The text.
        text: Cow<'a, str>,
        /// Whether something secret went into it, so that it must not be shown.
        secret: bool,
    },
    /// A list.
    List(Vec<Value<'a>>),
    /// An object: its members in order.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
    /// What nobody could resolve here.
    Unresolved {
        /// Why, without values.
        reason: String,
        /// Whether what stands there must not be shown.
        secret: bool,
    },
    /// What is left out of the list or object it stands in.
    Absent,
}

impl<'a> Value<'a> {
    /// Reads JSON text that is known to be valid.
    pub(crate) fn parse(text: &'a str, depth: usize) -> Result<Self, Refusal> {
        let mut cursor = Cursor { text, at: 0, left: depth.min(LEVELS) };
        cursor.value()
    }

    /// A text that is no secret.
    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text { text: text.into(), secret: false }
    }

    /// A number, a boolean or `null` that is no secret, as it is spelt.
    pub(crate) fn plain(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Plain { text: text.into(), secret: false }
    }

    /// A value that could not be resolved.
    pub(crate) fn unresolved(reason: impl Into<String>) -> Self {
        Self::Unresolved { reason: reason.into(), secret: false }
    }

    /// The member of an object; of duplicates the last.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                members.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The only member of an object that has one.
    pub(crate) fn single(&self) -> Option<(&str, &Self)> {
        match self {
            Self::Object(members) => match &members[..] {
                [(key, value)] => Some((key, value)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The elements of a list.
    pub(crate) fn elements(&self) -> Option<&[Self]> {
        match self {
            Self::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// A text.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    /// A text, a number or a boolean, as text.
    pub(crate) fn word(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } => Some(text),
            Self::Plain { text, .. } if text != "null" => Some(text),
            _ => None,
        }
    }

    /// Why the value, or something in it, could not be resolved.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Self::Unresolved { reason, .. } => Some(reason),
            Self::List(elements) => elements.iter().find_map(Self::reason),
            Self::Object(members) => members.iter().find_map(|(_, value)| value.reason()),
            _ => None,
        }
    }

    /// Whether something secret is in it.
    pub(crate) fn is_secret(&self) -> bool {
        match self {
            Self::Plain { secret, .. }
            | Self::Text { secret, .. }
            | Self::Unresolved { secret, .. } => *secret,
            Self::List(elements) => elements.iter().any(Self::is_secret),
            Self::Object(members) => members.iter().any(|(_, value)| value.is_secret()),
            Self::Absent => false,
        }
    }

    /// The same value, marked as secret in every part.
    pub(crate) fn kept_secret(self) -> Self {
        match self {
            Self::Plain { text, .. } => Self::Plain { text, secret: true },
            Self::Text { text, .. } => Self::Text { text, secret: true },
            Self::Unresolved { reason, .. } => Self::Unresolved { reason, secret: true },
            Self::List(elements) => {
                Self::List(elements.into_iter().map(Self::kept_secret).collect())
            }
            Self::Object(members) => Self::Object(
                members.into_iter().map(|(key, value)| (key, value.kept_secret())).collect(),
            ),
            Self::Absent => Self::Absent,
        }
    }

    /// About how many bytes it takes as JSON.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Plain { text, .. } | Self::Text { text, .. } => text.len() + 2,
            Self::List(elements) => 2 + elements.iter().map(Self::bytes).sum::<usize>(),
            Self::Object(members) => {
                2 + members.iter().map(|(key, value)| key.len() + 4 + value.bytes()).sum::<usize>()
            }
            Self::Unresolved { reason, .. } => reason.len() + 32,
            Self::Absent => 0,
        }
    }

    /// How many values in it could not be resolved.
    pub(crate) fn count_unresolved(&self) -> u64 {
        match self {
            Self::Unresolved { .. } => 1,
            Self::List(elements) => elements.iter().map(Self::count_unresolved).sum(),
            Self::Object(members) => {
                members.iter().map(|(_, value)| value.count_unresolved()).sum()
            }
            _ => 0,
        }
    }

    /// Appends it as JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plain { text, .. } => out.extend_from_slice(text.as_bytes()),
            Self::Text { text, .. } => json::write_string(out, text),
            Self::List(elements) => {
                out.push(b'[');
                let there = elements.iter().filter(|element| **element != Self::Absent);
                for (number, element) in there.enumerate() {
                    if number > 0 {
                        out.push(b',');
                    }
                    element.write(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                let there = members.iter().filter(|(_, value)| *value != Self::Absent);
                for (number, (key, value)) in there.enumerate() {
                    if number > 0 {
                        out.push(b',');
                    }
                    json::write_string(out, key);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
            Self::Unresolved { reason, .. } => {
                out.push(b'{');
                json::write_string(out, UNRESOLVED_MEMBER);
                out.push(b':');
                json::write_string(out, reason);
                out.push(b'}');
            }
            Self::Absent => out.extend_from_slice(b"null"),
        }
    }

    /// The JSON text.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes());
        self.write(&mut out);
        out
    }

    /// The paths of what must not be shown, as JSON Pointers.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.add_secrets(&mut String::new(), &mut found);
        found
    }

    fn add_secrets(&self, at: &mut String, found: &mut Vec<String>) {
        let length = at.len();
        match self {
            Self::Plain { secret: true, .. }
            | Self::Text { secret: true, .. }
            | Self::Unresolved { secret: true, .. } => {
                found.push(at.clone());
            }
            Self::List(elements) => {
                let there = elements.iter().filter(|element| **element != Self::Absent);
                for (number, element) in there.enumerate() {
                    path::push(at, &number.to_string());
                    element.add_secrets(at, found);
                    at.truncate(length);
                }
            }
            Self::Object(members) => {
                for (key, value) in members {
                    path::push(at, key);
                    value.add_secrets(at, found);
                    at.truncate(length);
                }
            }
            _ => {}
        }
    }
}

/// Bounds of resolving one template: values refer to one another, and what refers to itself, or
/// doubles itself forty times, must end.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// Bytes that may still be made.
    budget: Cell<usize>,
    /// Values that may still be looked at: what makes nothing may be asked for again and again too.
    steps: Cell<usize>,
    /// Levels that are entered.
    level: Cell<usize>,
}

impl Bounds {
    /// The bounds of a template. One of so many bytes has fewer values.
    pub(crate) fn new(template: &Members<'_>, limits: Limits) -> Self {
        let (bytes, most) = (template.bytes() * MADE, limits.record_bytes);
        Self {
            budget: Cell::new(bytes.max(MADE_BYTES).min(most)),
            steps: Cell::new(bytes.min(most).max(LOOKS)),
            level: Cell::new(0),
        }
    }

    /// Goes one level deeper, unless that is too deep or too much was looked at: `otherwise` is told.
    pub(crate) fn deeper<T>(
        &self,
        inner: impl FnOnce() -> T,
        otherwise: impl FnOnce(&'static str) -> T,
    ) -> T {
        let Some(steps) = self.steps.get().checked_sub(1) else {
            return otherwise("the template's values take too long");
        };
        if self.level.get() >= LEVELS {
            return otherwise("nested too deep");
        }
        self.steps.set(steps);
        self.level.set(self.level.get() + 1);
        let result = inner();
        self.level.set(self.level.get() - 1);
        result
    }

    /// Whether so many bytes may be made.
    pub(crate) fn allows(&self, bytes: usize) -> bool {
        bytes <= self.budget.get()
    }

    /// A copy of a value, counted: one that is too large is not made.
    pub(crate) fn copied<'a>(&self, value: &Value<'a>) -> Value<'a> {
        if self.allows(value.bytes()) { self.made(value.clone()) } else { too_large(value) }
    }

    /// Counts a value that was made.
    pub(crate) fn made<'a>(&self, value: Value<'a>) -> Value<'a> {
        let Some(left) = self.budget.get().checked_sub(value.bytes()) else {
            self.budget.set(0);
            return too_large(&value);
        };
        self.budget.set(left);
        value
    }
}

/// What stands where a value would be too large.
pub(crate) fn too_large<'a>(value: &Value<'_>) -> Value<'a> {
    let reason = "the template's values grow too large".to_owned();
    Value::Unresolved { reason, secret: value.is_secret() }
}

/// Reads JSON text from left to right.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
    left: usize,
}

impl<'a> Cursor<'a> {
    fn value(&mut self) -> Result<Value<'a>, Refusal> {
        match self.next() {
            b'"' => Ok(Value::text(self.string()?)),
            open @ (b'{' | b'[') => {
                self.left = self.left.checked_sub(1).ok_or(Refusal::TooDeep { limit: LEVELS })?;
                self.at += 1;
                let value = if open == b'{' { self.object()? } else { self.list()? };
                self.at += 1;
                self.left += 1;
                Ok(value)
            }
            _ => {
                let rest = self.text.get(self.at..).unwrap_or_default();
                let ends = |c: char| ",]}".contains(c) || c.is_ascii_whitespace();
                let length = rest.find(ends).unwrap_or(rest.len());
                if length == 0 {
                    let reason = "This is not valid JSON; repair the file.";
                    return Err(Refusal::new(RejectCode::Malformed, reason));
                }
                self.at += length;
                Ok(Value::plain(&rest[..length]))
            }
        }
    }

    fn object(&mut self) -> Result<Value<'a>, Refusal> {
        let mut members = Vec::new();
        while self.more(b'}') {
            let key = self.string()?;
            self.next();
            self.at += 1;
            members.push((key, self.value()?));
        }
        Ok(Value::Object(members))
    }

    fn list(&mut self) -> Result<Value<'a>, Refusal> {
        let mut elements = Vec::new();
        while self.more(b']') {
            elements.push(self.value()?);
        }
        Ok(Value::List(elements))
    }

    /// Whether another element comes before the closing bracket.
    fn more(&mut self, close: u8) -> bool {
        if self.next() == b',' {
            self.at += 1;
            self.next();
        }
        self.at < self.text.len() && self.next() != close
    }

    /// The next visible byte; 0 at the end.
    fn next(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or(0)
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Refusal> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut end = start + 1;
        while let Some(byte) = bytes.get(end) {
            match byte {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        self.at = (end + 1).min(bytes.len());
        let inner = self.text.get(start + 1..end).unwrap_or_default();
        if inner.contains('\\') {
            let quoted = self.text.get(start..self.at).unwrap_or_default();
            return Ok(Cow::Owned(serde_json::from_str(quoted)?));
        }
        Ok(Cow::Borrowed(inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str) -> String {
        String::from_utf8(Value::parse(text, 128).unwrap().to_json()).unwrap()
    }

    #[test]
    fn keeps_what_was_written() {
        for text in [
            r#"{"a":1.50,"b":[null,true,-1e5,"x\ny",""],"c":{},"d":[]}"#,
            r#""only""#,
            "12345678901234567890123",
            r#"{"k\"ey":"é"}"#,
        ] {
            assert_eq!(round(text), text);
        }
        assert_eq!(
            round(" { \"a\" : [ 1 , { } ] , \"b\" : \"\\u0041\" } "),
            r#"{"a":[1,{}],"b":"A"}"#
        );
    }

    #[test]
    fn nesting_and_damage_end() {
        let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
        assert_eq!(Value::parse(&deep, 1000).unwrap_err(), Refusal::TooDeep { limit: LEVELS });
        assert!(Value::parse("\"\\ud800\"", 9).is_err());
        for broken in ["", "{", "[", "{\"a\"", "{\"a\":", "[1,", "\"a", "\"\\", "}", ","] {
            let _ = Value::parse(broken, 9);
        }
    }

    #[test]
    fn secrets_and_reasons_are_found() {
        let secret = Value::Text { text: "s".into(), secret: true };
        let value = Value::Object(vec![
            ("a/b".into(), Value::List(vec![Value::Absent, Value::text("x"), secret.clone()])),
            ("c".into(), Value::unresolved("Ref X")),
            ("d".into(), Value::Absent),
        ]);
        assert_eq!(value.secrets(), ["/a~1b/1"]);
        assert_eq!(value.reason(), Some("Ref X"));
        assert!(value.is_secret());
        assert_eq!(
            String::from_utf8(value.to_json()).unwrap(),
            r#"{"a/b":["x","s"],"c":{"$deployforge.unresolved":"Ref X"}}"#
        );
        assert_eq!(Value::List(vec![Value::text("x")]).kept_secret().secrets(), ["/0"]);
    }
}
