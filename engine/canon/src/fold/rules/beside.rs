//! What a rule asks besides the two values: what stands beside them in the declared state, and what the
//! observed value looks like. A server's defaults depend on such: the port that another one is taken
//! from, the tag of an image.

use std::collections::BTreeMap;

use deployforge_model::path::segments;
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::node::Node;
use crate::rules::RuleError;

/// Conditions of a rule. A place is a pointer (`/apiVersion`) or begins at the value's own members:
/// `image` stands beside it, `../limits/*` leads one up and down again to the value's own name. An
/// expression is held against a text, and against the JSON of anything else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// For `default`: the place in the declared state of the value that absence stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<String>,
    /// Places of the declared state, and expressions that all have to fit there.
    #[serde(default, rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
    pub holds: BTreeMap<String, String>,
    /// Places of the declared state, and expressions none of which may fit there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unless: BTreeMap<String, String>,
    /// The expression that the observed value has to fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<String>,
}

/// Conditions with their expressions compiled.
#[derive(Clone, Debug, Default)]
pub(super) struct Compiled {
    beside: Option<String>,
    /// Place, expression, and whether it has to fit.
    declared: Vec<(String, Regex, bool)>,
    observed: Option<Regex>,
}

impl Conditions {
    /// Compiles the expressions.
    pub(super) fn compile(&self) -> Result<Compiled, RuleError> {
        let regex = |text: &str| {
            Regex::new(text)
                .map_err(|error| RuleError::Condition(text.to_owned(), error.to_string()))
        };
        let fit = self.holds.iter().map(|one| (one, true));
        let declared = fit.chain(self.unless.iter().map(|one| (one, false)));
        let declared = declared.map(|((at, text), fits)| Ok((at.clone(), regex(text)?, fits)));
        Ok(Compiled {
            beside: self.beside.clone(),
            declared: declared.collect::<Result<_, _>>()?,
            observed: self.observed.as_deref().map(regex).transpose()?,
        })
    }

    /// Whether a rule with these has to see the declared state from its root.
    pub(super) fn look_around(&self) -> bool {
        self.beside.is_some() || !self.holds.is_empty() || !self.unless.is_empty()
    }
}

impl Compiled {
    /// Whether all of them hold of the value at `path`.
    pub(super) fn hold(
        &self,
        path: &[String],
        observed: Option<&Node>,
        root: Option<&Node>,
    ) -> bool {
        let fits = |regex: &Regex, node: Option<&Node>| match node {
            Some(Node::String(text)) => regex.is_match(text),
            Some(node) => regex.is_match(&node.to_json()),
            None => false,
        };
        self.observed.as_ref().is_none_or(|regex| fits(regex, observed))
            && self.declared.iter().all(|(at, regex, wanted)| {
                root.is_some_and(|root| fits(regex, found(root, path, at)) == *wanted)
            })
    }

    /// The value that absence at `path` stands for, if it stands elsewhere.
    pub(super) fn value<'n>(&self, path: &[String], root: Option<&'n Node>) -> Option<&'n Node> {
        found(root?, path, self.beside.as_ref()?)
    }

    /// Whether the value that absence stands for stands elsewhere.
    pub(super) fn leads_elsewhere(&self) -> bool {
        self.beside.is_some()
    }
}

/// What stands at a place, as seen from `path`.
fn found<'n>(root: &'n Node, path: &[String], place: &str) -> Option<&'n Node> {
    if place.starts_with('/') {
        return at(root, &segments(place).collect::<Vec<_>>());
    }
    let (last, before) = path.split_last()?;
    let mut whole = before.to_vec();
    for step in place.split('/') {
        match step {
            ".." => drop(whole.pop()?),
            "*" => whole.push(last.clone()),
            name => whole.push(name.to_owned()),
        }
    }
    at(root, &whole)
}

/// What stands at a path; elements of keyed lists are called by their keys.
pub(super) fn at<'n>(root: &'n Node, path: &[String]) -> Option<&'n Node> {
    path.iter().try_fold(root, |node, segment| match node {
        Node::Array(items) => items.get(segment.parse::<usize>().ok()?),
        Node::Keyed(keyed) => {
            keyed.entries.iter().find(|(name, _)| **name == **segment).map(|(_, item)| item)
        }
        object => object.get(segment),
    })
}
