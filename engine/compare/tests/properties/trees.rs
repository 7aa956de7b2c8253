//! Two states: their fingerprints, their differences, their score.

use std::collections::BTreeSet;

use deployforge_canon::{Canon, Flat, Node, Parser};
use deployforge_compare::{Comparison, DiffOptions, Difference, compare};
use deployforge_model::{Dialect, FindingKind, Mode, Seed};
use deployforge_policy::Policy;
use proptest::prelude::*;
use serde_json::Value;

use crate::generate::{TYPE, group, leaves, node, plain, plain_node, shuffle, value};

const EXACT: DiffOptions<'static> = DiffOptions::EXACT;

fn differ(expected: &Value, observed: &Value, options: DiffOptions<'_>) -> Comparison {
    let (expected, observed) = (plain_node(expected), plain_node(observed));
    compare(&expected, &observed, options, &Policy::default(), "plain")
}

fn print(node: &Node) -> u64 {
    let seed = Seed::new(5);
    Flat::of(node, &seed).fingerprint(&seed)
}

fn json(difference: &Difference) -> (Option<Value>, Option<Value>) {
    let value = |node: &Option<deployforge_canon::Node>| {
        node.as_ref().map(|node| serde_json::from_str(&node.to_json()).expect("canonical JSON"))
    };
    (value(&difference.expected), value(&difference.observed))
}

/// Carries out differences on the expected document, in the way their paths are meant: what
/// changed at its place, what was removed from the back, what was added from the front.
fn carry_out(expected: &Value, differences: &[Difference]) -> Value {
    let mut document = expected.clone();
    let of = |kinds: &[FindingKind]| -> Vec<&Difference> {
        differences.iter().filter(|one| kinds.contains(&one.kind)).collect()
    };
    for difference in of(&[FindingKind::Changed, FindingKind::Reordered]) {
        let place = document.pointer_mut(&difference.path).expect("what changed is there");
        *place = json(difference).1.expect("a changed value");
    }
    for difference in of(&[FindingKind::Removed]).into_iter().rev() {
        let (parent, name) = parent(&mut document, &difference.path);
        match parent {
            Value::Object(members) => drop(members.remove(&name).expect("it is there")),
            Value::Array(items) => drop(items.remove(name.parse().expect("an index"))),
            other => panic!("{other} has no members"),
        }
    }
    for difference in of(&[FindingKind::Added]) {
        let value = json(difference).1.expect("an added value");
        let (parent, name) = parent(&mut document, &difference.path);
        match parent {
            Value::Object(members) => {
                assert!(members.insert(name, value).is_none(), "it was not there");
            }
            Value::Array(items) => items.insert(name.parse().expect("an index"), value),
            other => panic!("{other} has no members"),
        }
    }
    document
}

fn parent<'a>(document: &'a mut Value, path: &str) -> (&'a mut Value, String) {
    let (parent, name) = path.rsplit_once('/').expect("not the root");
    let name = name.replace("~1", "/").replace("~0", "~");
    (document.pointer_mut(parent).expect("the parent is there"), name)
}

proptest! {
    #![proptest_config(crate::config(1))]

    #[test]
    fn a_state_does_not_differ_from_itself(state in group(), mut other in shuffle()) {
        let (one, two) = (node(&state.to_string()), node(&other.write(&other.clone().rearrange(&state))));
        prop_assert_eq!(&one, &two);
        prop_assert_eq!(print(&one), print(&two));
        prop_assert_eq!(one.to_json(), two.to_json());
        for options in [DiffOptions::default(), EXACT, DiffOptions { mode: Mode::Declared, ..EXACT }] {
            let comparison = compare(&one, &two, options, &Policy::default(), TYPE);
            prop_assert!(comparison.differences.is_empty(), "{:?}", comparison.differences);
            prop_assert!(comparison.score.abs() < f64::EPSILON);
        }
    }

    #[test]
    fn fingerprints_are_equal_exactly_if_the_states_are(a in group(), b in group()) {
        let (one, two) = (node(&a.to_string()), node(&b.to_string()));
        prop_assert_eq!(one == two, print(&one) == print(&two));
        prop_assert_eq!(one == two, one.to_json() == two.to_json());
        let differences = compare(&one, &two, EXACT, &Policy::default(), TYPE).differences;
        prop_assert_eq!(one == two, differences.is_empty());
    }

    #[test]
    fn plain_trees_are_equal_exactly_if_the_documents_are(a in value(), b in value()) {
        // Generated numbers have one spelling each but for whole ones with a point.
        let whole = |value: &Value| plain_node(value).to_json();
        let none = differ(&a, &b, EXACT).differences.is_empty();
        prop_assert_eq!(none, whole(&a) == whole(&b));
    }

    #[test]
    fn one_changed_leaf_is_one_difference(state in plain(), pick in any::<prop::sample::Index>()) {
        let paths = leaves(&state);
        let path = &paths[pick.index(paths.len())];
        let mut changed = state.clone();
        *changed.pointer_mut(path).expect("a leaf") = Value::from("a value that stands nowhere else");
        let found = differ(&state, &changed, DiffOptions::default()).differences;
        prop_assert_eq!(found.len(), 1, "{:?}", found);
        prop_assert_eq!(&found[0].path, path);
        prop_assert!(found[0].counts());
        prop_assert_eq!(found[0].leaves, 1);
    }

    #[test]
    fn the_other_way_about_is_the_mirror(a in plain(), b in plain()) {
        let there = differ(&a, &b, EXACT).differences;
        let back = differ(&b, &a, EXACT).differences;
        let mirrored = |kind| match kind {
            FindingKind::Added => FindingKind::Removed,
            FindingKind::Removed => FindingKind::Added,
            same => same,
        };
        let of = |list: &[Difference], mirror: bool| -> BTreeSet<String> {
            list.iter().map(|one| {
                let (mut left, mut right) = json(one);
                let mut kind = one.kind;
                if mirror {
                    std::mem::swap(&mut left, &mut right);
                    kind = mirrored(kind);
                }
                format!("{} {kind} {left:?} {right:?}", one.path)
            }).collect()
        };
        prop_assert_eq!(of(&there, false), of(&back, true));
    }

    #[test]
    fn differences_carried_out_give_the_observed(a in plain(), b in plain()) {
        let found = differ(&a, &b, EXACT).differences;
        let result = carry_out(&serde_json::from_str(&plain_node(&a).to_json()).unwrap(), &found);
        prop_assert_eq!(plain_node(&result), plain_node(&b), "{:?}", found);
    }

    #[test]
    fn a_fold_explains_what_it_hides(a in group(), b in group()) {
        let (one, two) = (node(&a.to_string()), node(&b.to_string()));
        let off = compare(&one, &two, EXACT, &Policy::default(), TYPE);
        let standard = compare(&one, &two, DiffOptions::default(), &Policy::default(), TYPE);
        // Nothing goes unsaid: states that differ have a difference, folded or not.
        prop_assert_eq!(off.differences.is_empty(), standard.differences.is_empty());
        prop_assert!(off.differences.iter().all(|one| one.fold.is_none()));
        prop_assert!(standard.score <= off.score + 1e-9);
    }

    #[test]
    fn declared_mode_never_finds_more(a in group(), b in group()) {
        let (one, two) = (node(&a.to_string()), node(&b.to_string()));
        let declared = DiffOptions { mode: Mode::Declared, ..EXACT };
        let full = compare(&one, &two, EXACT, &Policy::default(), TYPE);
        let less = compare(&one, &two, declared, &Policy::default(), TYPE);
        prop_assert!(less.differences.len() <= full.differences.len());
    }

    #[test]
    fn the_score_is_a_percentage(a in group(), b in group()) {
        let (one, two) = (node(&a.to_string()), node(&b.to_string()));
        let found = compare(&one, &two, DiffOptions::default(), &Policy::default(), TYPE);
        prop_assert!((0.0..=100.0).contains(&found.score), "{}", found.score);
        let counts = found.differences.iter().any(Difference::counts);
        prop_assert_eq!(counts, found.score > 0.0);
        prop_assert_eq!(found.leaves, one.leaves());
        for difference in &found.differences {
            prop_assert!(difference.path.is_empty() || difference.path.starts_with('/'));
        }
        let paths: BTreeSet<&str> = found.differences.iter().map(|one| one.path.as_str()).collect();
        prop_assert_eq!(paths.len(), found.differences.len(), "one finding a path: {:?}", found.differences);
    }
}

/// What is told of two containers' variables, as paths and kinds.
fn told(expected: &str, observed: &str) -> Vec<String> {
    let pod = |env: &str| {
        let text =
            format!(r#"{{"spec":{{"containers":[{{"name":"c","image":"i","env":{env}}}]}}}}"#);
        let (canon, none) = (Canon::default(), std::iter::empty());
        let parser = &mut Parser::default();
        let state = canon.state(parser, Dialect::Kubernetes, "Pod", text.as_bytes(), none);
        state.expect("a state").root
    };
    let (a, b) = (pod(expected), pod(observed));
    let options = DiffOptions::default();
    let found = compare(&a, &b, options, &Policy::default(), "Pod").differences;
    let below = |path: &str| path.trim_start_matches("/spec/containers/c/env").to_owned();
    found.iter().map(|one| format!("{} {}", below(&one.path), one.kind)).collect()
}

/// Variables may refer to those before them, and the last of one name counts.
#[test]
fn an_order_that_is_told_beside_what_changed() {
    let p = r#"{"name":"P","value":"1"}"#;
    let (x, y) = (r#"{"name":"X","value":"$(P)/bin"}"#, r#"{"name":"X","value":"/bin"}"#);
    let list = |items: &[&str]| format!("[{}]", items.join(","));
    assert_eq!(told(&list(&[p, x]), &list(&[x, p])), [" reordered"]);
    assert_eq!(told(&list(&[p, x]), &list(&[y, p])), [" reordered", "/X changed"]);
    assert_eq!(told(&list(&[p, x]), &list(&[r#"{"name":"A","value":"0"}"#, p, x])), ["/A added"]);
    assert_eq!(told(&list(&[p, x]), &list(&[x])), ["/P removed"]);
    assert_eq!(told(&list(&[]), &list(&[x])), ["/X added"]);
    // Two of one name have places, and no names.
    assert_eq!(told(&list(&[x, y]), &list(&[y, x])), [" reordered"]);
    assert_eq!(told(&list(&[x, y]), &list(&[x])), ["/1 removed"]);
}
