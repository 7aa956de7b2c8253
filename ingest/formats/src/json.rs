//! Reading JSON envelopes without rewriting what they hold.
//!
//! [`Members`] is one level of an object: decoded keys beside the raw text of the values. Formats
//! pick what they know from it and copy the rest of the text as it stands.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::refusal::{Refusal, printable};

/// The members of one JSON object, in the order of the text, duplicates included.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    entries: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Members<'a> {
    /// Reads the text of one object.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Refusal> {
        Ok(serde_json::from_str(text)?)
    }

    /// Reads a value that must be an object.
    pub(crate) fn of(raw: &'a RawValue, field: &'static str) -> Result<Self, Refusal> {
        if is_object(raw) {
            Self::parse(raw.get())
        } else {
            Err(Refusal::Wrong { field, want: "a JSON object" })
        }
    }

    /// The members, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.entries.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    /// Bytes of its values.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.iter().map(|(_, value)| value.get().len()).sum()
    }

    /// The value of a member, `null` included. Of duplicates the last, as most parsers do.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.entries.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// Whether there is such a member, `null` included.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// The value of a member; `null` counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.raw(name).filter(|raw| raw.get() != "null")
    }

    /// An optional string.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<Cow<'a, str>>, Refusal> {
        self.get(name)
            .map(|raw| text_of(raw).ok_or(Refusal::Wrong { field: name, want: "a string" }))
            .transpose()
    }

    /// A required string that isn't empty.
    pub(crate) fn need_text(
        &self,
        name: &'static str,
        what: &'static str,
    ) -> Result<Cow<'a, str>, Refusal> {
        self.text(name)?
            .filter(|text| !text.is_empty())
            .ok_or(Refusal::Missing { field: name, what })
    }

    /// A string if it is one; anything else counts as absent. For recognition, not for reading.
    pub(crate) fn peek(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).and_then(text_of)
    }

    /// An optional boolean.
    pub(crate) fn flag(&self, name: &'static str) -> Result<Option<bool>, Refusal> {
        match self.get(name).map(RawValue::get) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Refusal::Wrong { field: name, want: "true or false" }),
        }
    }

    /// An optional whole number.
    pub(crate) fn unsigned(&self, name: &'static str) -> Result<Option<u64>, Refusal> {
        self.get(name)
            .map(|raw| {
                let want = "a whole number from 0 to 18446744073709551615";
                raw.get().parse().map_err(|_| Refusal::Wrong { field: name, want })
            })
            .transpose()
    }

    /// An optional array; `null` counts as absent.
    pub(crate) fn array(&self, name: &'static str) -> Result<Option<Vec<&'a RawValue>>, Refusal> {
        self.get(name).map(|raw| elements(raw, name)).transpose()
    }

    /// Refuses an envelope in which a key stands twice.
    pub(crate) fn unique(&self, what: &'static str) -> Result<(), Refusal> {
        match self.duplicate(|_| true) {
            Some(key) => Err(Refusal::Twice { key: printable(key), what }),
            None => Ok(()),
        }
    }

    /// Like [`Members::unique`], for the keys that matter to the reader.
    pub(crate) fn unique_among(&self, names: &[&str], what: &'static str) -> Result<(), Refusal> {
        match self.duplicate(|key| names.contains(&key)) {
            Some(key) => Err(Refusal::Twice { key: printable(key), what }),
            None => Ok(()),
        }
    }

    fn duplicate(&self, counts: impl Fn(&str) -> bool) -> Option<&str> {
        // Envelopes are small: comparing pairs is cheaper than hashing until some dozens.
        if self.entries.len() <= 24 {
            return self.entries.iter().enumerate().find_map(|(at, (key, _))| {
                let twice = self.entries[..at].iter().any(|(other, _)| other == key);
                (twice && counts(key)).then_some(key.as_ref())
            });
        }
        let mut seen = HashSet::with_capacity(self.entries.len());
        self.entries.iter().find_map(|(key, _)| {
            (!seen.insert(key.as_ref()) && counts(key)).then_some(key.as_ref())
        })
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::with_capacity(16);
                while let Some(Key(key)) = map.next_key()? {
                    entries.push((key, map.next_value()?));
                }
                Ok(Members { entries })
            }
        }

        deserializer.deserialize_map(Each)
    }
}

/// A key that borrows from the text where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Each)
    }
}

/// Whether the value is an object.
pub(crate) fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

/// Whether the value is an array.
pub(crate) fn is_array(raw: &RawValue) -> bool {
    raw.get().starts_with('[')
}

/// Whether the value is a number.
pub(crate) fn is_number(raw: &RawValue) -> bool {
    raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

/// Whether an object or array has nothing in it.
pub(crate) fn is_empty(raw: &RawValue) -> bool {
    inside(raw).is_empty()
}

/// Whether the value is an object or array that has nothing in it.
pub(crate) fn is_empty_container(raw: &RawValue) -> bool {
    (is_object(raw) || is_array(raw)) && is_empty(raw)
}

/// The text between the brackets of an object or array, or between the quotes of a string.
pub(crate) fn inside(raw: &RawValue) -> &str {
    let text = raw.get();
    text.get(1..text.len().saturating_sub(1)).unwrap_or_default().trim()
}

/// The string a value holds, borrowed where it has no escapes.
pub(crate) fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// The elements of an array.
pub(crate) fn elements<'a>(
    raw: &'a RawValue,
    field: &'static str,
) -> Result<Vec<&'a RawValue>, Refusal> {
    if !is_array(raw) {
        return Err(Refusal::Wrong { field, want: "a JSON array" });
    }
    Ok(serde_json::from_str(raw.get())?)
}

/// JSON text found inside a JSON string: valid, within the depth limit, and without the white space
/// around it.
pub(crate) fn nested(text: &str, limit: usize) -> Result<&RawValue, Refusal> {
    let raw: &RawValue = serde_json::from_str(text)?;
    if depth(raw.get()) > limit {
        return Err(Refusal::TooDeep { limit });
    }
    Ok(raw)
}

/// How deep valid JSON text nests.
fn depth(text: &str) -> usize {
    let (mut now, mut most, mut quoted, mut escaped) = (0usize, 0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                now += 1;
                most = most.max(now);
            }
            b'}' | b']' if !quoted => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// Writes one JSON object member by member, copying values as they are.
#[derive(Debug)]
pub(crate) struct ObjectWriter {
    text: Vec<u8>,
}

impl ObjectWriter {
    /// An object with no members yet, with room for `capacity` bytes.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let mut text = Vec::with_capacity(capacity);
        text.push(b'{');
        Self { text }
    }

    /// Adds text that already is `"key":value, …`.
    pub(crate) fn members(&mut self, text: &str) {
        if !text.is_empty() {
            self.comma();
            self.text.extend_from_slice(text.as_bytes());
        }
    }

    /// Adds a member whose value is JSON text.
    pub(crate) fn member(&mut self, key: &str, json: &[u8]) {
        self.comma();
        write_string(&mut self.text, key);
        self.text.push(b':');
        self.text.extend_from_slice(json);
    }

    /// The object's text.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.text.push(b'}');
        self.text
    }

    fn comma(&mut self) {
        if self.text.len() > 1 {
            self.text.push(b',');
        }
    }
}

/// Appends a string as JSON.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    // Writing a string into a `Vec` cannot fail; the error type is that of any writer.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_raw_text_and_see_duplicates() {
        let members = Members::parse(r#"{ "a" : 1.50 , "b\u0063":"x\ny", "a": null}"#).unwrap();
        assert_eq!(members.iter().count(), 3);
        assert_eq!(members.text("bc").unwrap().as_deref(), Some("x\ny"));
        assert!(members.get("a").is_none(), "the last one counts, and null is absent");
        assert!(members.has("a"));
        assert!(members.unique("a test").is_err());
        assert!(members.unique_among(&["bc"], "a test").is_ok());
        assert_eq!(members.iter().next().unwrap().1.get(), "1.50");
    }

    #[test]
    fn nested_text_is_checked() {
        assert_eq!(nested(" {\"a\":[1]} ", 2).unwrap().get(), "{\"a\":[1]}");
        assert_eq!(nested("[[[]]]", 2).unwrap_err(), Refusal::TooDeep { limit: 2 });
        assert_eq!(depth(r#"["[[[", "\"[["]"#), 1);
        assert!(nested("{", 2).is_err());
    }

    #[test]
    fn errors_carry_no_payload() {
        let refusal = Members::parse("{\"password\": hunter2}").unwrap_err();
        assert!(!refusal.to_string().contains("hunter2"), "{refusal}");
    }
}
