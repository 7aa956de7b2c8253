//! The drift score: of the weight of what is declared, the percentage that deviates.

use deployforge_canon::Node;
use deployforge_model::path::join;
use deployforge_policy::Policy;

use crate::diff::{Difference, content_segment};

/// The drift score of differences where every attribute weighs 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Score {
    deviating: f64,
    added: f64,
}

impl Score {
    fn add(&mut self, difference: &Difference) {
        if !difference.counts() {
            return;
        }
        match (&difference.expected, &difference.observed) {
            (Some(expected), _) => self.deviating += f64::from(expected.leaves()),
            (None, Some(observed)) => self.added += f64::from(observed.leaves()),
            (None, None) => {}
        }
    }

    /// Of one attribute that has another value.
    pub(crate) const CHANGED: Self = Self { deviating: 1.0, added: 0.0 };

    /// Of one difference.
    pub(crate) fn one(difference: &Difference) -> Self {
        let mut one = Self::default();
        one.add(difference);
        one
    }

    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        let (deviating, added) = (self.deviating + other.deviating, self.added + other.added);
        Self { deviating, added }
    }

    /// The score where so many attributes were declared.
    pub(crate) fn of(self, leaves: u32) -> f64 {
        percentage(self.deviating, self.added, f64::from(leaves) + self.added)
    }
}

fn percentage(deviating: f64, added: f64, total: f64) -> f64 {
    if total > 0.0 { (100.0 * (deviating + added) / total).min(100.0) } else { 0.0 }
}

/// What differences weigh, and all that is declared.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Weights {
    declared: f64,
    /// Of each difference, and whether the observed side alone has it.
    each: Vec<(f64, bool)>,
}

impl Weights {
    pub(crate) fn of(
        found: &[Difference],
        expected: &Node,
        policy: &Policy,
        resource_type: &str,
    ) -> Self {
        let weighs = policy.weighs(resource_type);
        let weigh = |path: &str, node: &Node| {
            if weighs { weigh(node, path, policy, resource_type) } else { f64::from(node.leaves()) }
        };
        let each =
            found.iter().map(|difference| match (&difference.expected, &difference.observed) {
                (Some(expected), _) => (weigh(&difference.path, expected), false),
                (None, Some(observed)) => (weigh(&difference.path, observed), true),
                (None, None) => (0.0, false),
            });
        Self { declared: weigh("", expected), each: each.collect() }
    }

    /// The drift score: of the weight of all declared attributes, the percentage that deviates. An
    /// attribute that was added counts as declared, so that the score of a resource with additions only
    /// is neither zero nor over a hundred.
    pub(crate) fn score(&self, counts: impl Fn(usize) -> bool) -> f64 {
        let (mut deviating, mut more) = (0.0, 0.0);
        let counting = self.each.iter().enumerate().filter(|(at, _)| counts(*at));
        for (_, (weight, added)) in counting {
            *(if *added { &mut more } else { &mut deviating }) += weight;
        }
        percentage(deviating, more, self.declared + more)
    }
}

/// The sum of the weights of the attributes below `node`.
fn weigh(node: &Node, path: &str, policy: &Policy, resource_type: &str) -> f64 {
    let list = |items: &[Node]| -> f64 {
        items
            .iter()
            .enumerate()
            .map(|(i, item)| weigh(item, &join(path, &i.to_string()), policy, resource_type))
            .sum()
    };
    let named = |members: &[(Box<str>, Node)]| -> f64 {
        members
            .iter()
            .map(|(name, value)| weigh(value, &join(path, name), policy, resource_type))
            .sum()
    };
    match node {
        Node::Array(items) if !items.is_empty() => list(items),
        Node::Set(items) if !items.is_empty() => items
            .iter()
            .map(|item| {
                let segment = content_segment(&item.to_json());
                weigh(item, &join(path, &segment), policy, resource_type)
            })
            .sum(),
        Node::Keyed(keyed) if !keyed.entries.is_empty() => {
            let field = keyed.value_field();
            keyed
                .entries
                .iter()
                .map(|(name, item)| {
                    let value = field.and_then(|field| item.get(field)).unwrap_or(item);
                    weigh(value, &join(path, name), policy, resource_type)
                })
                .sum()
        }
        Node::Object(members) if !members.is_empty() => named(members),
        _ => policy.weight(resource_type, path),
    }
}
