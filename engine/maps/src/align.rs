//! A declared state and an observed one of one kind, side by side in the declared side's words.
//!
//! The declared tree is walked along the API's shape. Each of its names leads to a place of the shape,
//! by an exception of the data or by matching blindly; what stands there in the observed state is put
//! beside it under the declared name. Blocks that one format writes as lists of one and the other as
//! objects, maps that one writes as lists of names and values, and lists without order are brought to
//! one form. A name that leads nowhere, or to what the reply or its format does not tell, is unmatched.

use deployforge_canon::{Fold, FoldRule, FoldRules, Node, TypeFolds};
use deployforge_model::Dialect;
use deployforge_model::path::push;
use serde_json::Value;

use crate::apart::{Grouped, apart};
use crate::data::{Kind, Maps, Values, folds, is_place};
use crate::names::{self, Side};
use crate::shape::{Shape, blind, entry_names};

/// Two states side by side.
#[derive(Clone, Debug)]
pub struct Aligned {
    /// What is declared and can be compared.
    pub expected: Node,
    /// What was observed of it, under the declared names.
    pub observed: Node,
    /// What is declared and cannot be compared.
    pub unmatched: Vec<Unmatched>,
    /// The folds that hold between the two.
    pub folds: TypeFolds,
}

/// A part of the declared state that has no counterpart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// Where, in the declared side's words.
    pub path: String,
    /// How many attributes it spans.
    pub leaves: u32,
}

/// Elements of lists are paired by likeness up to this many on a side; beyond it by position.
const PAIRING_MAX: usize = 256;

impl Maps {
    /// Aligns two states of one kind; `None` if no map says that their types are one.
    pub fn align(
        &self,
        (declared, declared_type): (Dialect, &str),
        expected: &Node,
        (seen, seen_type): (Dialect, &str),
        observed: &Node,
        off: &FoldRules,
    ) -> Option<Aligned> {
        let kind = self.kind(declared, declared_type)?;
        let other = self.kind(seen, seen_type)?;
        if kind.name != other.name {
            return None;
        }
        let api = names::to_api(kind, seen, observed);
        let mut walk = Walk {
            side: Side::new(kind, declared, expected),
            root: &api,
            untold: kind.untold.get(&seen).map_or(&[], Vec::as_slice),
            unmatched: Vec::new(),
            rules: Vec::new(),
        };
        let place = Place { shape: &kind.shape, at: Vec::new(), own: Vec::new() };
        let (expected, observed) = walk.object(&mut String::new(), &place, expected, Some(&api));
        Some(Aligned {
            expected,
            observed: observed.unwrap_or_else(|| Node::Object(Vec::new())),
            unmatched: walk.unmatched,
            folds: folds(&walk.rules, [declared, seen], off),
        })
    }
}

/// Where the walk is: in the API's shape, and in the declared side's own names.
#[derive(Clone, Debug)]
struct Place<'s> {
    shape: &'s Shape,
    /// In the API's words; `*` for elements.
    at: Vec<String>,
    /// In the declared side's words; `*` for elements.
    own: Vec<String>,
}

struct Walk<'a> {
    side: Side<'a>,
    root: &'a Node,
    /// What the observed dialect never tells.
    untold: &'a [Vec<String>],
    unmatched: Vec<Unmatched>,
    rules: Vec<FoldRule>,
}

/// What is put side by side; nothing on the observed side: it is not there.
type Both = (Node, Option<Node>);

impl Walk<'_> {
    /// The members of an object.
    fn object(
        &mut self,
        path: &mut String,
        place: &Place<'_>,
        expected: &Node,
        observed: Option<&Node>,
    ) -> Both {
        let Node::Object(members) = expected else { return (expected.clone(), observed.cloned()) };
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (name, value) in members {
            if self.side.is_spoken_for(&place.own, name) {
                continue;
            }
            let length = path.len();
            push(path, name);
            if let Some((node, other)) = self.member(path, place, name, value, observed) {
                left.push((name.clone(), node));
                right.extend(other.map(|other| (name.clone(), other)));
            }
            path.truncate(length);
        }
        let other = observed.is_some().then_some(Node::Object(right));
        (Node::Object(left), other)
    }

    /// One member: where it leads, and what stands there. `None`: it is not compared.
    fn member(
        &mut self,
        path: &mut String,
        place: &Place<'_>,
        name: &str,
        value: &Node,
        observed: Option<&Node>,
    ) -> Option<Both> {
        let kind: &Kind = self.side.kind;
        let mut own = place.own.clone();
        own.push(name.to_owned());
        if self.side.is_wrapping(&own) {
            let inner = Place { shape: place.shape, at: place.at.clone(), own };
            return Some(self.object(path, &inner, value, observed));
        }
        let at = match self.side.leads(&own, place.shape, &place.at, name) {
            Some(at) if !at.is_empty() => at,
            // A member that only holds others of the resource.
            Some(_) if matches!(value, Node::Object(_)) => {
                let inner = Place { shape: &kind.shape, at: Vec::new(), own };
                let root = self.root;
                return Some(self.object(path, &inner, value, Some(root)));
            }
            _ if self.side.is_key(own.len(), name) => return None,
            _ => return self.skip(path, value),
        };
        let shape = kind.shape.at(&at)?;
        // Below the place where the walk is, or anywhere else.
        let found = match at.strip_prefix(place.at.as_slice()) {
            Some(rest) if !rest.is_empty() => observed.and_then(|node| find(node, rest)),
            _ => find(self.root, &at),
        };
        let found = found.map(|found| self.side.turned(&own, found));
        if found.is_none() && self.side.is_key(own.len(), name) {
            return None;
        }
        if matches!(found, Some(Node::Unresolved(_))) || self.is_untold(&at, found.as_ref()) {
            return self.skip(path, value);
        }
        // Nothing was declared: what a provider leaves empty it leaves to others. But a list without
        // elements says that there are none; one of what stands in the elements of another only where
        // the data says so, since there may be several of these.
        let absent = kind.values_at(&at).and_then(|values| values.absent.as_ref());
        let is_list = match absent.and_then(Value::as_array) {
            Some(none) if none.is_empty() => true,
            _ => matches!(shape, Shape::List(_)) && !at.iter().any(|s| s.starts_with('*')),
        };
        let elements = |node: &Node| elements(node).map(|items| items.len());
        let none_of_some = || {
            elements(value) == Some(0) && found.as_ref().and_then(elements).is_some_and(|n| n > 0)
        };
        if value.is_hollow() && !(is_list && none_of_some()) {
            return None;
        }
        if let Some(values) = kind.values_at(&at) {
            self.ask_of(&own, values);
        }
        // One member of each element: what is declared is a list of these.
        let gathered =
            at.strip_prefix(place.at.as_slice()).unwrap_or(&at).iter().any(|s| s.starts_with('*'));
        if gathered && matches!(shape, Shape::Leaf(_)) {
            let of_list = Shape::List(Box::new([shape.clone()]));
            let place = Place { shape: &of_list, at, own };
            return self.value(path, &place, value, found.as_ref());
        }
        if shape.free().is_some() || shape.is_map_as_list() {
            let mut each = at.clone();
            each.push("*".to_owned());
            if let Some(values) = kind.values_at(&each) {
                self.ask(&own, true, values.folds.clone(), None);
            }
            self.ask(&own, true, Vec::new(), None);
        }
        let place = Place { shape, at, own };
        self.value(path, &place, value, found.as_ref())
    }

    fn value(
        &mut self,
        path: &mut String,
        place: &Place<'_>,
        value: &Node,
        found: Option<&Node>,
    ) -> Option<Both> {
        match (place.shape, value) {
            // Maps of maps that the declared side writes as one.
            (shape, Node::Object(members))
                if shape.free().and_then(Shape::free).is_some()
                    && members.iter().all(|(_, value)| !matches!(value, Node::Object(_))) =>
            {
                Some((value.clone(), found.map(flattened)))
            }
            (shape, Node::Object(_)) if shape.free().is_some() || shape.is_map_as_list() => {
                Some((value.clone(), found.map(|found| without_reserved(as_map(found), value))))
            }
            (shape, node) if shape.is_map_as_list() => {
                let map = as_map(node);
                Some((map, found.map(as_map)))
            }
            (Shape::Object(_), Node::Object(_)) => {
                Some(self.object(path, place, value, found.map(unwrapped)))
            }
            (Shape::Object(_), list) if elements(list).is_some() => {
                self.block(path, place, &elements(list)?, found)
            }
            (Shape::List(inner), _) => Some(self.list(path, place, &inner[0], value, found)),
            (Shape::Leaf(_), Node::Object(_)) => match found {
                // A document that the API holds as text.
                Some(Node::String(_)) | None => Some((value.clone(), found.cloned())),
                Some(_) => self.skip(path, value),
            },
            (Shape::Object(_), _) => match found {
                Some(Node::Object(_)) if !matches!(value, Node::String(text) if text.starts_with('{')) => {
                    self.skip(path, value)
                }
                _ => Some((value.clone(), found.cloned())),
            },
            (Shape::Leaf(_), list) if elements(list).is_some_and(|list| list.len() > 1) => {
                self.skip(path, value)
            }
            (Shape::Leaf(_), _) => Some((value.clone(), found.cloned())),
        }
    }

    /// A block: a list of one where the API has an object.
    fn block(
        &mut self,
        path: &mut String,
        place: &Place<'_>,
        items: &[&Node],
        found: Option<&Node>,
    ) -> Option<Both> {
        let mut inner = place.clone();
        inner.own.push("*".to_owned());
        match items {
            [] => Some((Node::Array(Vec::new()), found.cloned())),
            [one] => {
                let length = path.len();
                push(path, "0");
                let both = self.object(path, &inner, one, found.map(unwrapped));
                path.truncate(length);
                let list = |node| Node::Object(vec![("0".into(), node)]);
                Some((list(both.0), both.1.map(list)))
            }
            _ => {
                let all = Node::Array(items.iter().map(|node| (*node).clone()).collect());
                self.skip(path, &all)
            }
        }
    }

    fn list(
        &mut self,
        path: &mut String,
        place: &Place<'_>,
        shape: &Shape,
        value: &Node,
        found: Option<&Node>,
    ) -> Both {
        let single = [value];
        let declared = elements(value).unwrap_or_else(|| single.to_vec());
        let observed: Option<Vec<&Node>> =
            found.map(|node| elements(node).unwrap_or_else(|| vec![node]));
        let observed = observed.map(|items| self.side.kind.not_provided(&place.at, items));
        if let Some(members) = self.side.kind.taken_apart(&place.at) {
            let grouped = Grouped { own: &place.own, at: &place.at, shape, lists: members };
            for (number, node) in declared.iter().enumerate() {
                for (below, value) in grouped.lost(&self.side, node) {
                    self.skip(&format!("{path}/{number}{below}"), value);
                }
            }
            let parts = declared.iter().flat_map(|node| grouped.apart(&self.side, node));
            let other = observed
                .map(|items| set(items.iter().flat_map(|item| apart(item, members)).collect()));
            return (set(parts.collect()), other);
        }
        let objects = declared.iter().any(|node| matches!(node, Node::Object(_)));
        if objects && matches!(shape, Shape::Object(_)) {
            let mut inner = place.clone();
            inner.shape = shape;
            inner.at.push("*".to_owned());
            inner.own.push("*".to_owned());
            return self.elements(path, &inner, &declared, observed.as_deref());
        }
        let observed = observed.map(|items| scalars(&items, &declared));
        let ordered = self.side.kind.is_ordered(&place.at);
        let plain = |items: Vec<Node>| if ordered { Node::Array(items) } else { set(items) };
        let declared = declared.into_iter().cloned().collect();
        (plain(declared), observed.map(plain))
    }

    /// Elements that are objects: each declared one beside the observed one that is most like it.
    fn elements(
        &mut self,
        path: &mut String,
        place: &Place<'_>,
        declared: &[&Node],
        observed: Option<&[&Node]>,
    ) -> Both {
        let others = observed.unwrap_or_default();
        let partner = self.partners(place, declared, others);
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (number, node) in declared.iter().enumerate() {
            let name: Box<str> = format!("{number:04}").into();
            let length = path.len();
            push(path, &number.to_string());
            let other = partner[number].map(|at| others[at]);
            let (node, other) = self.object(path, place, node, other);
            path.truncate(length);
            left.push((name.clone(), node));
            right.extend(other.map(|other| (name, other)));
        }
        for (number, node) in others.iter().enumerate() {
            if !partner.contains(&Some(number)) {
                right.push((format!("observed {number:04}").into(), (*node).clone()));
            }
        }
        (Node::Object(left), observed.is_some().then_some(Node::Object(right)))
    }

    /// For each declared element the observed one that shares most with it, each once.
    fn partners(
        &self,
        place: &Place<'_>,
        declared: &[&Node],
        others: &[&Node],
    ) -> Vec<Option<usize>> {
        let mut partner = vec![None; declared.len()];
        if declared.len() > PAIRING_MAX || others.len() > PAIRING_MAX {
            (0..declared.len().min(others.len())).for_each(|at| partner[at] = Some(at));
            return partner;
        }
        let mut all = Vec::new();
        for (a, node) in declared.iter().enumerate() {
            for (b, other) in others.iter().enumerate() {
                let mut inner = Walk {
                    side: self.side,
                    root: self.root,
                    untold: self.untold,
                    unmatched: Vec::new(),
                    rules: Vec::new(),
                };
                let (left, right) = inner.object(&mut String::new(), place, node, Some(other));
                let likeness = right.map_or((0, 0), |right| likeness(&left, &right));
                all.push((std::cmp::Reverse(likeness.0), likeness.1, a, b));
            }
        }
        all.sort_unstable();
        let mut taken = vec![false; others.len()];
        for (_, _, a, b) in all {
            if partner[a].is_none() && !taken[b] {
                partner[a] = Some(b);
                taken[b] = true;
            }
        }
        partner
    }

    /// Has asked at a place what is said of the values there.
    fn ask_of(&mut self, own: &[String], values: &Values) {
        let mut asked = values.folds.clone();
        let absent = match values.absent {
            Some(Value::Bool(flag)) => Some(Value::Bool(flag != self.side.says_the_opposite(own))),
            ref other => other.clone(),
        };
        asked.extend(absent.as_ref().map(|_| Fold::Default));
        // Where absence says yes, or less than nothing, no and 0 are not the zero that a provider writes
        // for it.
        let is_below = |value: &Value| value.as_f64().is_some_and(|number| number < 0.0);
        let no_is_said = absent.as_ref().is_some_and(|v| *v == Value::Bool(true) || is_below(v));
        asked
            .extend(no_is_said.then_some([Fold::BoolText, Fold::NumberText]).into_iter().flatten());
        self.ask(own, false, asked, absent);
        if no_is_said {
            self.ask(own, false, Vec::new(), None);
        }
    }

    /// Has folds asked at a place, or below it; none: nothing folds there, as among names that are the
    /// user's own.
    fn ask(&mut self, own: &[String], below: bool, folds: Vec<Fold>, value: Option<Value>) {
        let mut path = String::new();
        own.iter().for_each(|segment| push(&mut path, segment));
        if below {
            path.push_str("/**");
        }
        self.rules.push(FoldRule {
            resource_type: "*".to_owned(),
            path,
            folds,
            value,
            ..FoldRule::default()
        });
    }

    /// Whether nothing stands at a place of which the observed dialect never tells anything: that says
    /// nothing of the resource. What stands there all the same is compared.
    fn is_untold(&self, at: &[String], found: Option<&Node>) -> bool {
        found.is_none_or(Node::is_hollow)
            && self.untold.iter().any(|of| is_place(of, at) || at.starts_with(of))
    }

    fn skip(&mut self, path: &str, value: &Node) -> Option<Both> {
        if !value.is_hollow() {
            self.unmatched.push(Unmatched { path: path.to_owned(), leaves: value.leaves() });
        }
        None
    }
}

/// How many leaves two aligned trees share, and how many differ.
fn likeness(left: &Node, right: &Node) -> (u32, u32) {
    match (left, right) {
        (Node::Object(members), Node::Object(_)) => {
            members.iter().fold((0, 0), |(same, other), (name, value)| match right.get(name) {
                Some(found) => {
                    let (s, o) = likeness(value, found);
                    (same + s, other + o)
                }
                None if value.is_hollow() => (same, other),
                None => (same, other + value.leaves()),
            })
        }
        _ if loosely_equal(left, right) => (left.leaves(), 0),
        _ => (0, left.leaves().max(right.leaves())),
    }
}

/// Whether two values look alike, for pairing only.
fn loosely_equal(left: &Node, right: &Node) -> bool {
    let text = |node: &Node| match node {
        Node::String(text) => text.to_lowercase(),
        node => node.to_json().to_lowercase(),
    };
    left == right || (left.is_hollow() && right.is_hollow()) || text(left) == text(right)
}

/// What stands at a place; elements of lists are gathered into one list.
pub(crate) fn find(node: &Node, at: &[String]) -> Option<Node> {
    let Some((first, rest)) = at.split_first() else { return Some(node.clone()) };
    if let Some(condition) = first.strip_prefix('*') {
        let items = elements(node)?.into_iter().filter(|item| is_meant(item, condition));
        return Some(Node::Array(items.filter_map(|item| find(item, rest)).collect()));
    }
    match node {
        Node::Object(members) => match node.get(first).or_else(|| spelled(members, first)) {
            Some(inner) => find(inner, rest),
            // A reply that tells only a part says so.
            None => node.get("*").filter(|rest| matches!(rest, Node::Unresolved(_))).cloned(),
        },
        Node::Unresolved(_) => Some(node.clone()),
        // A list of one where an object was expected.
        _ => match elements(node)?.as_slice() {
            [one] => find(one, at),
            _ => None,
        },
    }
}

/// A member under another spelling of its name: exports write some as they please.
fn spelled<'n>(members: &'n [(Box<str>, Node)], name: &str) -> Option<&'n Node> {
    let wanted = blind(name);
    let mut found = members.iter().filter(|(member, _)| blind(member) == wanted);
    match (found.next(), found.next()) {
        (Some((_, node)), None) => Some(node),
        _ => None,
    }
}

/// Whether a condition holds of an element: `[boot=true]`, or none.
fn is_meant(item: &Node, condition: &str) -> bool {
    let inner = condition.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let Some((name, value)) = inner.and_then(|inner| inner.split_once('=')) else { return true };
    match item.get(name) {
        Some(Node::String(text)) => **text == *value,
        Some(node) => node.to_json() == value,
        None => false,
    }
}

/// A map of maps as one, its names joined by a dot.
fn flattened(node: &Node) -> Node {
    let Node::Object(outer) = node else { return node.clone() };
    let mut all = Vec::new();
    for (name, inner) in outer {
        match inner {
            Node::Object(members) => all.extend(
                members
                    .iter()
                    .map(|(last, value)| (format!("{name}.{last}").into(), value.clone())),
            ),
            value => all.push((name.clone(), value.clone())),
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Node::Object(all)
}

/// The elements of a list, whatever rules made of it.
pub(crate) fn elements(node: &Node) -> Option<Vec<&Node>> {
    match node {
        Node::Array(items) | Node::Set(items) => Some(items.iter().collect()),
        Node::Keyed(keyed) => Some(keyed.entries.iter().map(|(_, item)| item).collect()),
        _ => None,
    }
}

/// The one element of a list of one, or what is no list.
fn unwrapped(node: &Node) -> &Node {
    match elements(node).as_deref() {
        Some([one]) => one,
        _ => node,
    }
}

/// A map that is written as a list of names and values.
pub(crate) fn as_map(node: &Node) -> Node {
    let Some(items) = elements(node) else { return node.clone() };
    let mut members: Vec<(Box<str>, Node)> = Vec::with_capacity(items.len());
    for item in items {
        let Node::Object(fields) = item else { return node.clone() };
        let Some((key, value)) = entry_names(fields.iter().map(|(name, _)| &**name)) else {
            return node.clone();
        };
        let Some(Node::String(name)) = item.get(key) else { return node.clone() };
        members.push((name.clone(), item.get(value).cloned().unwrap_or(Node::Null)));
    }
    members.sort_by(|a, b| a.0.cmp(&b.0));
    Node::Object(members)
}

/// A map without the tags that AWS keeps for itself, unless they are declared: tools do not show them.
fn without_reserved(map: Node, declared: &Node) -> Node {
    let Node::Object(mut members) = map else { return map };
    members.retain(|(name, _)| !name.starts_with("aws:") || declared.get(name).is_some());
    Node::Object(members)
}

/// Elements as single values where the declared ones are: an object of one member stands for it.
fn scalars(items: &[&Node], declared: &[&Node]) -> Vec<Node> {
    let plain = declared.iter().all(|node| !matches!(node, Node::Object(_)));
    let one = |node: &&Node| match node {
        Node::Object(members) if plain && members.len() == 1 => members[0].1.clone(),
        node => (*node).clone(),
    };
    items.iter().map(one).collect()
}

fn set(mut items: Vec<Node>) -> Node {
    items.sort_by_cached_key(Node::to_json);
    Node::Set(items)
}
