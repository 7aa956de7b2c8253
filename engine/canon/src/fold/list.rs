//! Folds of lists and maps.

use std::collections::HashSet;

use super::Argument;
use crate::node::Node;

/// The elements of a list, whatever a rule made of it.
pub(super) fn elements(node: &Node) -> Option<Vec<&Node>> {
    match node {
        Node::Array(items) | Node::Set(items) => Some(items.iter().collect()),
        Node::Keyed(keyed) => Some(keyed.entries.iter().map(|(_, item)| item).collect()),
        _ => None,
    }
}

/// Both lists hold the same elements, as often.
pub(super) fn unordered(a: &Node, b: &Node) -> bool {
    let (Some(a), Some(b)) = (elements(a), elements(b)) else { return false };
    let texts = |nodes: Vec<&Node>| {
        let mut texts: Vec<String> = nodes.into_iter().map(Node::to_json).collect();
        texts.sort_unstable();
        texts
    };
    a.len() == b.len() && texts(a) == texts(b)
}

/// One element, and the list of just it.
pub(super) fn single(a: &Node, b: &Node) -> bool {
    let holds = |list: &Node, one: &Node| {
        elements(one).is_none() && elements(list).is_some_and(|list| list == [one])
    };
    holds(a, b) || holds(b, a)
}

/// Words, and a map that says true of just these.
pub(super) fn flags(a: &Node, b: &Node) -> bool {
    let same = |list: &Node, map: &Node| {
        let (Some(items), Node::Object(members)) = (elements(list), map) else { return false };
        let mut words: Vec<&str> = Vec::with_capacity(items.len());
        for item in items {
            let Node::String(word) = item else { return false };
            words.push(word);
        }
        words.sort_unstable();
        let mut set: Vec<&str> = Vec::with_capacity(members.len());
        for (name, value) in members {
            match value {
                Node::Bool(true) => set.push(name),
                Node::Bool(false) => {}
                _ => return false,
            }
        }
        words == set
    };
    same(a, b) || same(b, a)
}

/// Everything declared is there.
pub(super) fn subset(declared: &Node, observed: &Node) -> bool {
    match (declared, observed) {
        (Node::Object(a), Node::Object(_)) => {
            a.iter().all(|(name, value)| observed.get(name) == Some(value))
        }
        _ => match (elements(declared), elements(observed)) {
            // By their texts: two lists of thousands have millions of pairs.
            (Some(a), Some(b)) if a.len() <= b.len() => {
                let there: HashSet<String> = b.into_iter().map(Node::to_json).collect();
                a.into_iter().all(|item| there.contains(&item.to_json()))
            }
            _ => false,
        },
    }
}

/// One side says nothing, and the other what nothing stands for.
pub(super) fn default(
    expected: Option<&Node>,
    observed: Option<&Node>,
    argument: Option<&Argument>,
) -> bool {
    let Some(Argument::Value(default)) = argument else { return false };
    let is_default = |node: Option<&Node>| node.is_some_and(|node| is(node, default));
    let absent = |node: Option<&Node>| node.is_none_or(Node::is_hollow);
    (absent(expected) && is_default(observed)) || (is_default(expected) && absent(observed))
}

/// Whether a value is the one that a rule wrote down, where lists are as they were written.
fn is(node: &Node, written: &Node) -> bool {
    match (node, written) {
        (Node::Object(a), Node::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && is(&a.1, &b.1))
        }
        (Node::Set(_) | Node::Keyed(_), Node::Array(_)) => unordered(node, written),
        _ => node == written,
    }
}

/// The observed number lies between the declared ones.
pub(super) fn band(_declared: &Node, observed: &Node, argument: Option<&Argument>) -> bool {
    let Some(Argument::Range(least, most)) = argument else { return false };
    match observed {
        Node::Number(number) => {
            number.to_string().parse::<f64>().is_ok_and(|value| (*least..=*most).contains(&value))
        }
        _ => false,
    }
}
