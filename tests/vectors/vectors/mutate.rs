//! Nothing may pass by folding everything: each leaf that was compared is changed in turn, and each
//! change has to be found.

use deployforge_canon::{Canon, Keyed, Node, Normalise, Number, Parser};
use deployforge_compare::{Said, compare_across};
use deployforge_maps::Maps;
use deployforge_model::Dialect;
use deployforge_model::path::join;
use deployforge_policy::Policy;

use crate::support::{Pair, counting};

/// Changes each compared leaf of a pair that is in sync; how many were changed.
pub(crate) fn every_change_is_found(pair: &Pair) -> usize {
    let comparison = pair.compare();
    assert!(counting(&comparison).is_empty(), "{}: not in sync", pair.name);
    let skipped: Vec<&str> = comparison.skipped.iter().map(|one| one.path.as_str()).collect();
    let covers = |path: &str| {
        skipped.iter().any(|skip| {
            path.strip_prefix(skip).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let mut changed = 0;
    for (path, mutant) in mutants(&pair.expected, "") {
        if covers(&path) {
            continue;
        }
        changed += 1;
        let mutated = Pair { expected: mutant, ..pair.clone() };
        let found = mutated.compare();
        assert!(
            !counting(&found).is_empty(),
            "{}: a change of the declared {path} is not found\n{}\n{}",
            pair.name,
            mutated.expected.to_json(),
            pair.observed.to_json()
        );
    }
    changed
}

/// The same of two states in different words: how many were changed.
pub(crate) fn every_change_is_found_across(
    maps: &Maps,
    expected: Said<'_>,
    observed: Said<'_>,
) -> usize {
    let (canon, policy) = (Canon::default(), Policy::default());
    let compare = |state: &Node| {
        let expected = Said { state, ..expected };
        let asked = (Normalise::Standard, &canon.folds);
        compare_across(maps, expected, observed, asked, &policy).expect("one kind")
    };
    let comparison = compare(expected.state);
    assert!(counting(&comparison).is_empty(), "not in sync");
    let aside = maps.aside((expected.dialect, expected.resource_type), expected.state);
    let skipped: Vec<&str> = comparison
        .skipped
        .iter()
        .map(|one| one.path.as_str())
        .chain(aside.iter().map(String::as_str))
        .collect();
    let mut changed = 0;
    for (path, mutant) in mutants(expected.state, "") {
        let covered = skipped.iter().any(|skip| {
            path.strip_prefix(skip).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        // What was empty was not declared.
        if covered || at(expected.state, &path).is_none_or(Node::is_hollow) {
            continue;
        }
        changed += 1;
        assert!(
            !counting(&compare(&mutant)).is_empty(),
            "{}: a change of the declared {path} is not found\n{}\n{}",
            expected.resource_type,
            mutant.to_json(),
            observed.state.to_json()
        );
    }
    changed
}

/// What stands at a path, elements of lists by number.
fn at<'n>(node: &'n Node, path: &str) -> Option<&'n Node> {
    deployforge_model::path::segments(path).try_fold(node, |node, segment| match node {
        Node::Array(items) | Node::Set(items) => items.get(segment.parse::<usize>().ok()?),
        Node::Keyed(keyed) => {
            let (_, item) = keyed.entries.iter().find(|(name, _)| **name == *segment)?;
            Some(keyed.value_field().and_then(|field| item.get(field)).unwrap_or(item))
        }
        object => object.get(&segment),
    })
}

/// The tree with each leaf changed in turn.
pub(crate) fn mutants(node: &Node, path: &str) -> Vec<(String, Node)> {
    let mut all = Vec::new();
    match node {
        Node::Object(members) if !members.is_empty() => {
            for (at, (name, value)) in members.iter().enumerate() {
                for (path, mutant) in mutants(value, &join(path, name)) {
                    let mut members = members.clone();
                    members[at].1 = mutant;
                    all.push((path, Node::Object(members)));
                }
            }
        }
        Node::Array(items) if !items.is_empty() => {
            each(items, |at| join(path, &at.to_string()), &mut all, Node::Array);
        }
        Node::Set(items) if !items.is_empty() => {
            each(
                items,
                |at| join(path, &items[at].to_json()),
                &mut all,
                |mut items| {
                    items.sort_by_cached_key(Node::to_json);
                    Node::Set(items)
                },
            );
        }
        Node::Keyed(keyed) if !keyed.entries.is_empty() => {
            for (at, (name, value)) in keyed.entries.iter().enumerate() {
                let Node::Object(members) = value else { continue };
                for (field, (key, inner)) in members.iter().enumerate() {
                    if *key == keyed.key {
                        continue;
                    }
                    let at_path = match keyed.value_field() {
                        Some(_) => join(path, name),
                        None => join(&join(path, name), key),
                    };
                    for (path, mutant) in mutants(inner, &at_path) {
                        let (mut entries, mut members) = (keyed.entries.clone(), members.clone());
                        members[field].1 = mutant;
                        entries[at].1 = Node::Object(members);
                        let key = keyed.key.clone();
                        all.push((path, Node::Keyed(Keyed { key, entries })));
                    }
                }
            }
        }
        Node::Unresolved(_) => {}
        leaf => all.extend(changed(leaf).into_iter().map(|mutant| (path.to_owned(), mutant))),
    }
    all
}

fn each(
    items: &[Node],
    path: impl Fn(usize) -> String,
    all: &mut Vec<(String, Node)>,
    build: impl Fn(Vec<Node>) -> Node,
) {
    for (at, item) in items.iter().enumerate() {
        for (path, mutant) in mutants(item, &path(at)) {
            let mut items = items.to_vec();
            items[at] = mutant;
            all.push((path, build(items)));
        }
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
                mutants(&inner, "").into_iter().map(|(_, mutant)| text(mutant.to_json())).collect()
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
