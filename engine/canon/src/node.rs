//! The canonical tree. Its equality is equality of meaning.

use std::fmt::Write as _;

use deployforge_model::UNRESOLVED_MEMBER;

use crate::number::Number;

/// The member that marks a redacted value in canonical JSON. A source may not use it.
pub(crate) const SECRET_MEMBER: &str = "$deployforge.secret";

/// How the names begin that mean something to the canonicaliser.
pub(crate) const RESERVED: &str = "$deployforge.";

/// One value of a canonical state.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// JSON null.
    Null,
    /// JSON true or false.
    Bool(bool),
    /// A number, equal by value.
    Number(Number),
    /// Text.
    String(Box<str>),
    /// A sensitive value, of which only a keyed hash is left.
    Secret(Secret),
    /// A value that nobody could resolve, with the reason.
    Unresolved(Box<str>),
    /// An array whose order means something.
    Array(Vec<Node>),
    /// An array without order: sorted by content, so that equality ignores order.
    Set(Vec<Node>),
    /// An array of objects, each named by a field: sorted by that key, unless its order is told.
    Keyed(Keyed),
    /// An object, its members sorted by name, each name once.
    Object(Vec<(Box<str>, Node)>),
}

/// What is left of a sensitive value: enough to see that it changed, too little to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Keyed BLAKE3 of the value's canonical text, in hex.
    pub hmac: Box<str>,
    /// Which deployment key made it.
    pub key_id: Box<str>,
    /// A coarse class of the value's length: `0`, `1-8`, `9-16`, `17-32`, `33-64`, `65+`.
    pub length: Box<str>,
}

/// A list whose elements are addressed by one of their fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Keyed {
    /// The field that names an element.
    pub key: Box<str>,
    /// Elements by key, sorted unless `ordered`; each the whole element, key field included.
    pub entries: Vec<(Box<str>, Node)>,
    /// Whether the elements stand as they were given, since their order means something too.
    pub ordered: bool,
}

impl Keyed {
    /// The name of the other field where every element has just the key and one more, as tags do:
    /// such an element is addressed as if it were a member of a map.
    pub fn value_field(&self) -> Option<&str> {
        let mut name = None;
        for (_, element) in &self.entries {
            let Node::Object(members) = element else { return None };
            let mut others = members.iter().filter(|(field, _)| *field != self.key);
            let (Some((field, _)), None) = (others.next(), others.next()) else { return None };
            if name.is_some_and(|name: &str| name != &**field) {
                return None;
            }
            name = Some(field);
        }
        name
    }
}

impl Node {
    /// The scalar that a text is, where that is plain to see: a word, a short integer, a text without
    /// escapes. The text is valid JSON.
    pub(crate) fn plain_scalar(text: &[u8]) -> Option<Self> {
        match text {
            b"null" => Some(Self::Null),
            b"true" => Some(Self::Bool(true)),
            b"false" => Some(Self::Bool(false)),
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                std::str::from_utf8(inner).ok().map(|text| Self::String(text.into()))
            }
            [b'-' | b'0'..=b'9', ..] if text.len() <= 18 => {
                let text = std::str::from_utf8(text).ok()?;
                text.parse().ok().map(|value| Self::Number(Number::Int(value)))
            }
            _ => None,
        }
    }

    /// The list of such scalars that a text is.
    pub(crate) fn plain_list(text: &[u8]) -> Option<Self> {
        let inner = text.strip_prefix(b"[")?.strip_suffix(b"]")?;
        let (mut items, mut at) = (Vec::new(), 0);
        while at < inner.len() {
            let length = match inner[at] {
                b'"' => memchr::memchr(b'"', &inner[at + 1..])? + 2,
                _ => memchr::memchr(b',', &inner[at..]).unwrap_or(inner.len() - at),
            };
            items.push(Self::plain_scalar(&inner[at..at + length])?);
            at += length;
            match inner.get(at) {
                Some(b',') => at += 1,
                Some(_) => return None,
                None => {}
            }
        }
        Some(Self::Array(items))
    }

    /// How many attributes the subtree has: scalars and empty containers.
    pub fn leaves(&self) -> u32 {
        let sum: u32 = match self {
            Self::Array(items) | Self::Set(items) => items.iter().map(Self::leaves).sum(),
            // A key field is part of the address, not an attribute.
            Self::Keyed(keyed) => {
                keyed.entries.iter().map(|(_, item)| item.leaves().max(2) - 1).sum()
            }
            Self::Object(members) => members.iter().map(|(_, item)| item.leaves()).sum(),
            _ => 1,
        };
        sum.max(1)
    }

    /// Whether this is null, an empty text or an empty container.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::String(text) => text.is_empty(),
            Self::Array(items) | Self::Set(items) => items.is_empty(),
            Self::Keyed(keyed) => keyed.entries.is_empty(),
            Self::Object(members) => members.is_empty(),
            Self::Bool(_) | Self::Number(_) | Self::Secret(_) | Self::Unresolved(_) => false,
        }
    }

    /// Whether this says nothing: empty, or an object whose members all say nothing.
    pub fn is_hollow(&self) -> bool {
        match self {
            Self::Object(members) => members.iter().all(|(_, value)| value.is_hollow()),
            other => other.is_empty(),
        }
    }

    /// Whether something in it could not be resolved.
    pub fn holds_unresolved(&self) -> bool {
        match self {
            Self::Unresolved(_) => true,
            Self::Array(items) | Self::Set(items) => items.iter().any(Self::holds_unresolved),
            Self::Keyed(keyed) => keyed.entries.iter().any(|(_, item)| item.holds_unresolved()),
            Self::Object(members) => members.iter().any(|(_, item)| item.holds_unresolved()),
            _ => false,
        }
    }

    /// Whether nothing in it could be resolved.
    pub fn is_all_unresolved(&self) -> bool {
        match self {
            Self::Unresolved(_) => true,
            Self::Array(items) | Self::Set(items) => {
                !items.is_empty() && items.iter().all(Self::is_all_unresolved)
            }
            Self::Object(members) => {
                !members.is_empty() && members.iter().all(|(_, item)| item.is_all_unresolved())
            }
            _ => false,
        }
    }

    /// A member of an object, or `None`.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members
                .binary_search_by(|(member, _)| (**member).cmp(name))
                .ok()
                .map(|i| &members[i].1),
            _ => None,
        }
    }

    /// Canonical JSON text: members sorted, no white space, numbers in their one form.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(64);
        self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => {
                let _ = write!(out, "{number}");
            }
            Self::String(text) => write_text(text, out),
            Self::Secret(secret) => {
                let Secret { hmac, key_id, length } = secret;
                let _ = write!(
                    out,
                    r#"{{"{SECRET_MEMBER}":{{"hmac":"{hmac}","key_id":"{key_id}","length":"{length}"}}}}"#
                );
            }
            Self::Unresolved(reason) => {
                let _ = write!(out, r#"{{"{UNRESOLVED_MEMBER}":"#);
                write_text(reason, out);
                out.push('}');
            }
            Self::Array(items) | Self::Set(items) => write_list(items.iter(), out),
            Self::Keyed(keyed) => write_list(keyed.entries.iter().map(|(_, item)| item), out),
            Self::Object(entries) => {
                out.push('{');
                for (i, (name, value)) in entries.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    write_text(name, out);
                    out.push(':');
                    value.write_json(out);
                }
                out.push('}');
            }
        }
    }
}

fn write_list<'a>(items: impl Iterator<Item = &'a Node>, out: &mut String) {
    out.push('[');
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(',');
        }
        item.write_json(out);
    }
    out.push(']');
}

/// Writes a JSON string: the escapes RFC 8259 requires, and no others.
pub(crate) fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut start = 0;
    for (i, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[start..i]);
        start = i + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            other => {
                let _ = write!(out, "\\u{other:04x}");
            }
        }
    }
    out.push_str(&text[start..]);
    out.push('"');
}
