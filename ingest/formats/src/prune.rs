//! Leaving out what is volatile: copies JSON text without the members that a list of paths names.
//!
//! The paths are JSON Pointers in which `*` stands for any element of an array or any member of an
//! object. What they don't name is copied as it is written, so that numbers keep their text.

use std::collections::BTreeMap;

use deployforge_model::path;
use serde_json::value::RawValue;

use crate::json::{self, Members, write_string};
use crate::refusal::Refusal;

/// The members to leave out.
#[derive(Debug, Default)]
pub(crate) struct Prune {
    /// The member that is reached here is left out.
    drop: bool,
    below: BTreeMap<String, Prune>,
}

impl Prune {
    /// Of paths such as `/networkInterfaces/*/fingerprint`.
    pub(crate) fn new<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let mut root = Self::default();
        for text in paths {
            let mut at = &mut root;
            for segment in path::segments(text) {
                at = at.below.entry(segment).or_default();
            }
            at.drop = true;
        }
        root
    }

    /// Whether it leaves nothing out.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.below.is_empty()
    }

    /// Appends a value without what is to be left out. The recursion is as deep as the paths.
    pub(crate) fn write(&self, raw: &RawValue, out: &mut Vec<u8>) -> Result<(), Refusal> {
        if self.below.is_empty() {
            out.extend_from_slice(raw.get().as_bytes());
        } else if json::is_object(raw) {
            self.write_members(&Members::parse(raw.get())?, out)?;
        } else if json::is_array(raw)
            && let Some(below) = self.below.get("*")
        {
            out.push(b'[');
            let elements = json::elements(raw, "array")?;
            for (index, element) in elements.into_iter().enumerate() {
                out.extend_from_slice(if index > 0 { b"," } else { b"" });
                below.write(element, out)?;
            }
            out.push(b']');
        } else {
            out.extend_from_slice(raw.get().as_bytes());
        }
        Ok(())
    }

    /// Appends an object without what is to be left out.
    pub(crate) fn write_members(
        &self,
        members: &Members<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        out.push(b'{');
        let mut first = true;
        for (name, value) in members.iter() {
            let below = self.below.get(name).or_else(|| self.below.get("*"));
            if below.is_some_and(|below| below.drop) {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            write_string(out, name);
            out.push(b':');
            match below {
                Some(below) => below.write(value, out)?,
                None => out.extend_from_slice(value.get().as_bytes()),
            }
        }
        out.push(b'}');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_out_what_is_named_and_copies_the_rest() {
        let prune = Prune::new(["/etag", "/nics/*/mark", "/tags/mark", "/maps/*"]);
        let text = r#"{ "etag":"x","n":1.50, "nics":[{"mark":1,"a":{"mark":2}}, {"b":"\u00e9"}],
            "tags":{"items":["mark"],"mark":"m"},"labels":{"etag":"kept"},"maps":{"a":1}}"#;
        let raw: &RawValue = serde_json::from_str(text).unwrap();
        let mut out = Vec::new();
        prune.write(raw, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"n":1.50,"nics":[{"a":{"mark":2}},{"b":"\u00e9"}],"tags":{"items":["mark"]},"labels":{"etag":"kept"},"maps":{}}"#
        );
        let odd: &RawValue = serde_json::from_str(r#"{"nics":"none","tags":[1]}"#).unwrap();
        let mut out = Vec::new();
        prune.write(odd, &mut out).unwrap();
        assert_eq!(out, br#"{"nics":"none","tags":[1]}"#);
    }
}
