//! Nothing may pass by folding everything: each leaf that was compared is changed in turn, and each
//! change has to be found.

use deployforge_canon::{Canon, Keyed, Node, Number, Parser};
use deployforge_compare::Skip;
use deployforge_model::Dialect;
use deployforge_model::path::join;

use crate::support::{Half, MAPS, Pair, counting};

/// What came of changing leaves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Changes {
    /// Changed, and the change was found.
    pub(crate) found: usize,
    /// Not compared, as the comparison itself says: without a counterpart, not resolved, or volatile.
    pub(crate) aside: usize,
}

impl std::ops::AddAssign for Changes {
    fn add_assign(&mut self, other: Self) {
        self.found += other.found;
        self.aside += other.aside;
    }
}

/// Changes each compared leaf of a pair in turn. Each change has to show, also in a pair that differs
/// already.
pub(crate) fn every_change_is_found(pair: &Pair) -> Changes {
    let before = pair.compare();
    let Half { dialect, resource_type, state, .. } = &pair.expected;
    let set_aside =
        if pair.is_across() { MAPS.aside((*dialect, resource_type), state) } else { Vec::new() };
    let is_aside = |mutant: &Mutant| {
        let skipped = before.skipped.iter().map(|one| &one.path);
        // Between two formats, what is empty was not declared.
        covers(skipped.chain(&set_aside), mutant) || (pair.is_across() && mutant.was_empty)
    };
    let mut changes = Changes::default();
    for mutant in mutants(state) {
        if is_aside(&mutant) {
            changes.aside += 1;
            continue;
        }
        let expected = Half { state: mutant.tree.clone(), ..pair.expected.clone() };
        let after = Pair { expected, ..pair.clone() }.compare();
        if counting(&after) == counting(&before) {
            let lenient = after.skipped.iter().filter(|one| matches!(one.why, Skip::Lenient(_)));
            assert!(
                covers(lenient.map(|one| &one.path), &mutant),
                "{}: a change of the declared {} is not found\n{}\n{}",
                pair.name,
                mutant.path,
                mutant.tree.to_json(),
                pair.observed.state.to_json()
            );
            changes.aside += 1;
        } else {
            changes.found += 1;
        }
    }
    changes
}

/// Whether what was changed stands at one of these paths, or below one.
fn covers<'p>(mut all: impl Iterator<Item = &'p String>, mutant: &Mutant) -> bool {
    let below = |path: &str, one: &str| {
        path.strip_prefix(one).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    all.any(|one| below(&mutant.path, one) || below(&mutant.place, one))
}

/// A tree with one leaf changed.
#[derive(Clone, Debug)]
pub(crate) struct Mutant {
    /// Where, as findings say it: elements of sets by content, of keyed lists by key.
    pub(crate) path: String,
    /// Where, with elements by number.
    place: String,
    /// Whether nothing stood there before.
    pub(crate) was_empty: bool,
    pub(crate) tree: Node,
}

/// The tree with each leaf changed in turn.
pub(crate) fn mutants(tree: &Node) -> Vec<Mutant> {
    let mut all = Vec::new();
    change(tree, ("", ""), &|tree| tree, &mut all);
    all
}

/// Changes each leaf of a part; `whole` puts a changed part back into the tree.
fn change(
    node: &Node,
    (path, place): (&str, &str),
    whole: &dyn Fn(Node) -> Node,
    all: &mut Vec<Mutant>,
) {
    let number = |at: usize| join(place, &at.to_string());
    let with = |items: &[Node], at: usize, item: Node| {
        let mut items = items.to_vec();
        items[at] = item;
        items
    };
    match node {
        Node::Object(members) if !members.is_empty() => {
            for (at, (name, value)) in members.iter().enumerate() {
                let put = |part| {
                    let mut members = members.clone();
                    members[at].1 = part;
                    whole(Node::Object(members))
                };
                change(value, (&join(path, name), &join(place, name)), &put, all);
            }
        }
        Node::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                let put = |part| whole(Node::Array(with(items, at, part)));
                change(item, (&join(path, &at.to_string()), &number(at)), &put, all);
            }
        }
        Node::Set(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                let put = |part| {
                    let mut items = with(items, at, part);
                    items.sort_by_cached_key(Node::to_json);
                    whole(Node::Set(items))
                };
                change(item, (&join(path, &item.to_json()), &number(at)), &put, all);
            }
        }
        Node::Keyed(keyed) if !keyed.entries.is_empty() => {
            for (at, (name, value)) in keyed.entries.iter().enumerate() {
                let Node::Object(members) = value else { continue };
                let entry = join(path, name);
                // The key itself is the path.
                let others =
                    members.iter().enumerate().filter(|(_, (field, _))| *field != keyed.key);
                for (member, (field, inner)) in others {
                    let put = |part| {
                        let (mut entries, mut members) = (keyed.entries.clone(), members.clone());
                        members[member].1 = part;
                        entries[at].1 = Node::Object(members);
                        whole(Node::Keyed(Keyed { entries, ..keyed.clone() }))
                    };
                    let path = match keyed.value_field() {
                        Some(_) => entry.clone(),
                        None => join(&entry, field),
                    };
                    change(inner, (&path, &join(&number(at), field)), &put, all);
                }
            }
        }
        Node::Unresolved(_) => {}
        leaf => all.extend(changed(leaf).into_iter().map(|part| Mutant {
            path: path.to_owned(),
            place: place.to_owned(),
            was_empty: leaf.is_hollow(),
            tree: whole(part),
        })),
    }
}

/// A leaf as others.
fn changed(leaf: &Node) -> Vec<Node> {
    let text = |text: String| Node::String(text.into());
    match leaf {
        Node::Null => vec![text("mutant".to_owned())],
        Node::Bool(flag) => vec![Node::Bool(!flag)],
        Node::Number(number) => vec![plus_one(&number.to_string()).unwrap_or(Node::Null)],
        Node::String(value) => match opened(value) {
            // What is JSON is changed leaf by leaf, and written again.
            Some(inner) if !inner.is_empty() => {
                mutants(&inner).into_iter().map(|mutant| text(mutant.tree.to_json())).collect()
            }
            _ => match plus_one(value) {
                Some(Node::Number(number)) => vec![text(number.to_string())],
                _ => vec![text(format!("{value}mutant"))],
            },
        },
        Node::Secret(secret) => {
            let mut secret = secret.clone();
            secret.hmac = format!("{}0", secret.hmac).into();
            vec![Node::Secret(secret)]
        }
        Node::Array(_) | Node::Set(_) | Node::Keyed(_) => {
            vec![Node::Array(vec![text("mutant".to_owned())])]
        }
        Node::Object(_) => vec![Node::Object(vec![("mutant".into(), Node::Bool(true))])],
        Node::Unresolved(_) => Vec::new(),
    }
}

fn plus_one(text: &str) -> Option<Node> {
    let next = text.parse::<f64>().ok().filter(|value| value.is_finite())? + 1.0;
    Number::from_text(&next.to_string()).map(Node::Number)
}

fn opened(text: &str) -> Option<Node> {
    if !text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    let state =
        Canon::default().value(&mut Parser::default(), Dialect::Native, "", text.as_bytes());
    state.ok().map(|state| state.root)
}
