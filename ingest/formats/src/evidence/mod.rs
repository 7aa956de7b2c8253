//! Audit logs: who did what to which resources. They yield evidence, never observations: what an event
//! asks for is not what there is afterwards.
//!
//! Only names are taken from a request: ids, ARNs, full names, and the names of what it sets. Values
//! never are, since they may be secret. Lakes of logs write names in lower case, so that names are
//! compared without case throughout.

pub(crate) mod azure_activity;
pub(crate) mod cloudtrail;
pub(crate) mod google_audit;
pub(crate) mod kubernetes_audit;

use std::borrow::Cow;

use deployforge_model::{Evidence, Timestamp};
use serde_json::value::RawValue;

use crate::json::{self, Members};

/// Names of resources, and paths, that one event may bring.
const NAMES: usize = 128;
/// Bytes of one name.
const NAME_BYTES: usize = 4096;

/// The members of an object by their names in lower case.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Of an object's members.
    pub(crate) fn of(members: &Members<'a>) -> Self {
        Self(members.iter().map(|(name, raw)| (name.to_ascii_lowercase(), raw)).collect())
    }

    /// Of an object, or of the JSON text of one; empty for anything else.
    fn within(raw: &'a RawValue) -> Self {
        Members::of(raw, "object").map_or_else(|_| Self::default(), |members| Self::of(&members))
    }

    /// A member; `null` counts as absent. The name is in lower case.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().find(|(own, raw)| own == name && raw.get() != "null");
        found.map(|(_, raw)| *raw)
    }

    /// Whether there is such a member.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A text that is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).and_then(json::text_of).filter(|text| !text.is_empty())
    }

    /// A text, or a number or boolean as its text.
    fn word(&self, name: &str) -> Option<String> {
        let raw = self.get(name)?;
        match json::text_of(raw) {
            Some(text) => (!text.is_empty()).then(|| text.into_owned()),
            None if json::is_object(raw) || json::is_array(raw) => None,
            None => Some(raw.get().to_owned()),
        }
    }

    /// The first of several texts.
    fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.text(name)).map(Cow::into_owned)
    }

    /// An object.
    pub(crate) fn object(&self, name: &str) -> Self {
        self.get(name).map_or_else(Self::default, Self::within)
    }

    /// The elements of an array.
    fn list(&self, name: &str) -> Vec<&'a RawValue> {
        let raw = self.get(name).filter(|raw| json::is_array(raw));
        raw.and_then(|raw| json::elements(raw, "list").ok()).unwrap_or_default()
    }

    /// The members, with their names in lower case.
    fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, raw)| (name.as_str(), *raw))
    }
}

/// When something happened: RFC 3339, or, as lakes have it, with a space and without a zone.
fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let with = || {
        let text = text.replacen(' ', "T", 1);
        Timestamp::parse(&text).ok().or_else(|| Timestamp::parse(&format!("{text}Z")).ok())
    };
    Timestamp::parse(text).ok().or_else(with)
}

/// Adds a name once, within limits.
fn add(names: &mut Vec<String>, name: impl Into<String>) {
    let name = name.into();
    let fits = !name.is_empty() && name.len() <= NAME_BYTES && names.len() < NAMES;
    if fits && !names.contains(&name) {
        names.push(name);
    }
}

/// Whether an action's name says that it only looks.
fn looks(action: &str) -> bool {
    const VERBS: [&str; 14] = [
        "get",
        "list",
        "describe",
        "lookup",
        "head",
        "batchget",
        "search",
        "query",
        "scan",
        "select",
        "check",
        "test",
        "aggregatedlist",
        "view",
    ];
    let lower = action.to_ascii_lowercase();
    VERBS.iter().any(|verb| lower.starts_with(verb))
}

/// An event about which everything that has a common form is put into it.
fn tidy(mut evidence: Evidence) -> Evidence {
    for text in [&mut evidence.actor, &mut evidence.tool, &mut evidence.from, &mut evidence.action]
    {
        if text.len() > NAME_BYTES {
            let end = (0..=NAME_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
        }
    }
    evidence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_lakes_have_them() {
        for text in
            ["2023-03-28T17:37:02.096Z", "2023-03-28 17:37:02.096", "2023-03-28 17:37:02.096Z"]
        {
            assert_eq!(time(text).unwrap().to_string(), "2023-03-28T17:37:02.096Z", "{text}");
        }
        assert_eq!(time("yesterday"), None);
    }

    #[test]
    fn names_are_bounded() {
        let mut names = Vec::new();
        for index in 0..1000 {
            add(&mut names, format!("{}", index / 2));
        }
        add(&mut names, "");
        assert_eq!(names.len(), NAMES);
        assert!(looks("DescribeInstances") && !looks("RunInstances"));
    }
}
