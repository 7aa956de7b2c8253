//! What attributes an API's resource has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What may stand at a place of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Shape {
    /// One value: `s` text, `n` number, `b` true or false, `t` time.
    Leaf(Leaf),
    /// A list.
    List(Box<[Shape; 1]>),
    /// Members by name; `*` stands for names that are the user's own.
    Object(BTreeMap<String, Shape>),
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the letters of `Shape::Leaf`
pub enum Leaf {
    #[serde(rename = "s")]
    Text,
    #[serde(rename = "n")]
    Number,
    #[serde(rename = "b")]
    Flag,
    #[serde(rename = "t")]
    Time,
}

/// Members that name and hold a value where maps are written as lists.
const KEYS: [&str; 4] = ["key", "name", "tagkey", "parametername"];
const VALUES: [&str; 4] = ["value", "tagvalue", "values", "parametervalue"];

impl Shape {
    /// The shape of the values of a map whose names are the user's own.
    pub(crate) fn free(&self) -> Option<&Self> {
        match self {
            Self::Object(members) if members.len() == 1 => members.get("*"),
            _ => None,
        }
    }

    /// Whether it is a list of names with values, and so a map.
    pub(crate) fn is_map_as_list(&self) -> bool {
        let Self::List(inner) = self else { return false };
        let Self::Object(members) = &inner[0] else { return false };
        members.len() == 2
            && members.keys().any(|name| KEYS.contains(&&*blind(name)))
            && members.keys().any(|name| VALUES.contains(&&*blind(name)))
    }

    /// The member of this name, whatever its case and underscores: its spelling and shape.
    pub(crate) fn member(&self, name: &str) -> Option<(&str, &Self)> {
        let Self::Object(members) = self else { return None };
        if let Some((name, shape)) = members.get_key_value(name) {
            return Some((name, shape));
        }
        let one = |wanted: &str| {
            let mut found = members.iter().filter(|(name, _)| blind(name) == wanted);
            match (found.next(), found.next()) {
                (Some((name, shape)), None) => Some((name.as_str(), shape)),
                _ => None,
            }
        };
        let wanted = blind(name);
        // A block of one element of what the API calls by its plural.
        let list = |found: &(&str, &Self)| matches!(found.1, Self::List(_));
        one(&wanted)
            .or_else(|| one(&format!("{wanted}s")).filter(list))
            .or_else(|| one(&format!("{wanted}es")).filter(list))
            .or_else(|| one(&format!("{}ies", wanted.strip_suffix('y')?)).filter(list))
    }

    /// What stands at a place given as names; lists are stepped into by `*`.
    pub(crate) fn at<'s>(&'s self, path: &[String]) -> Option<&'s Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        match self {
            Self::Object(members) => {
                members.get(first).or_else(|| members.get("*")).and_then(|shape| shape.at(rest))
            }
            Self::List(inner) if first.starts_with('*') => inner[0].at(rest),
            _ => None,
        }
    }
}

/// A name without case, underscores, hyphens and dots.
pub(crate) fn blind(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '_' | '-' | '.' | ' '))
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// The key and the value of an element of a map that is written as a list.
pub(crate) fn entry_names<'n>(
    mut names: impl Iterator<Item = &'n str> + Clone,
) -> Option<(&'n str, &'n str)> {
    let mut all = names.clone();
    let key = all.find(|name| KEYS.contains(&&*blind(name)))?;
    let value = names.find(|name| VALUES.contains(&&*blind(name)))?;
    Some((key, value))
}
