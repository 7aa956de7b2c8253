//! Lists whose elements are grouped otherwise by each format, as rules of security groups: one element
//! for each value that their own lists hold, and what is lost on the way.

use deployforge_canon::Node;
use deployforge_model::path::push;

use crate::align::{elements, find};
use crate::names::{Side, renamed};
use crate::shape::Shape;

/// A list that is taken apart: where it stands in both words, the shape of an element, and the lists of
/// an element with the member of theirs that is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grouped<'a> {
    pub(crate) own: &'a [String],
    pub(crate) at: &'a [String],
    pub(crate) shape: &'a Shape,
    pub(crate) lists: &'a [Vec<String>],
}

impl Grouped<'_> {
    /// A declared element in the API's words, taken apart: what leads nowhere is left out.
    pub(crate) fn apart(&self, side: &Side<'_>, node: &Node) -> Vec<Node> {
        let element = |words: &[String]| [words, &["*".to_owned()]].concat();
        apart(&renamed(side, node, self.shape, &element(self.own), &element(self.at)), self.lists)
    }

    /// What a declared element says and its parts do not: members that lead nowhere, and those of its
    /// lists beside the one that is kept.
    pub(crate) fn lost<'n>(&self, side: &Side<'_>, node: &'n Node) -> Vec<(String, &'n Node)> {
        let mut all = Vec::new();
        let Node::Object(members) = node else { return all };
        let (mut own, mut at) = (self.own.to_vec(), self.at.to_vec());
        own.push("*".to_owned());
        at.push("*".to_owned());
        for (name, value) in members {
            let mut path = String::new();
            push(&mut path, name);
            own.push(name.to_string());
            match side.leads(&own, self.shape, &at, name).as_deref() {
                None => all.push((path, value)),
                Some([.., list]) => {
                    let kept = self.lists.iter().find(|of| of.first() == Some(list));
                    let kept = kept.and_then(|of| of.last());
                    all.extend(kept.into_iter().flat_map(|kept| beside(&path, value, kept)));
                }
                Some([]) => {}
            }
            own.pop();
        }
        all
    }
}

/// What the elements of a list hold beside the member that is kept.
fn beside<'n>(path: &str, list: &'n Node, kept: &str) -> Vec<(String, &'n Node)> {
    let mut all = Vec::new();
    for (number, item) in elements(list).unwrap_or_default().into_iter().enumerate() {
        let Node::Object(members) = item else { continue };
        for (name, value) in members.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(kept)) {
            let mut path = path.to_owned();
            push(&mut path, &number.to_string());
            push(&mut path, name);
            all.push((path, value));
        }
    }
    all
}

/// An element taken apart: for each value of its lists one element with the rest of it, and the value
/// alone. Empty values say nothing; what says nothing at all of its lists is kept as it is.
pub(crate) fn apart(item: &Node, lists: &[Vec<String>]) -> Vec<Node> {
    let Node::Object(members) = item else { return vec![item.clone()] };
    let is_list = |name: &str| lists.iter().any(|path| path.first().is_some_and(|l| l == name));
    let rest: Vec<(Box<str>, Node)> = members
        .iter()
        .filter(|(name, value)| !is_list(name) && !value.is_hollow())
        .cloned()
        .collect();
    let mut all = Vec::new();
    for path in lists {
        let Some((list, inner)) = path.split_first() else { continue };
        let items = item.get(list).and_then(elements).unwrap_or_default();
        for one in items {
            let value = find(one, inner).unwrap_or_else(|| one.clone());
            let mut members = rest.clone();
            members.push((list.as_str().into(), value));
            members.sort_by(|a, b| a.0.cmp(&b.0));
            all.push(Node::Object(members));
        }
    }
    if all.is_empty() { vec![Node::Object(rest)] } else { all }
}
