//! What a set comes to, in one form for all: how many findings a plain comparison of the two texts has,
//! how many the engine without and with its folds, and how many changes were made and found.

use std::collections::BTreeMap;

use deployforge_canon::Normalise;
use deployforge_compare::Comparison;
use serde_json::Value;

use crate::mutate::{Changes, every_change_is_found};
use crate::support::{Pair, counting};

/// Findings of one way to compare after the other.
#[derive(Clone, Copy, Debug, Default)]
struct Findings {
    pairs: usize,
    /// Members by name, elements by position, values as they are written.
    plain: usize,
    without_folds: usize,
    with_folds: usize,
}

/// What a set comes to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    all: Findings,
    /// Of these, the pairs that are in sync: here every finding is noise.
    in_sync: Findings,
    folded: BTreeMap<&'static str, usize>,
    changes: Changes,
}

impl Tally {
    /// Compares a pair, and makes every change.
    pub(crate) fn judge(&mut self, pair: &Pair) -> Comparison {
        self.mutate(pair);
        self.compare(pair)
    }

    /// Changes each compared leaf of a pair; each has to be found.
    pub(crate) fn mutate(&mut self, pair: &Pair) {
        self.changes += every_change_is_found(pair);
    }

    /// Compares a pair in three ways.
    pub(crate) fn compare(&mut self, pair: &Pair) -> Comparison {
        let comparison = pair.compare();
        let one = Findings {
            pairs: 1,
            plain: plain(&pair.expected.raw, &pair.observed.raw),
            without_folds: counting(&pair.compare_with(Normalise::Off)).len(),
            with_folds: counting(&comparison).len(),
        };
        self.all.add(one);
        if one.with_folds == 0 {
            self.in_sync.add(one);
        }
        for fold in comparison.differences.iter().filter_map(|difference| difference.fold) {
            *self.folded.entry(fold.name()).or_default() += 1;
        }
        comparison
    }

    /// Prints a row of the table in `docs/noise.md`.
    pub(crate) fn print(&self, set: &str) {
        let Self { all, in_sync, folded, changes } = self;
        let folds: Vec<String> =
            folded.iter().map(|(fold, count)| format!("`{fold}` {count}")).collect();
        println!(
            "| {set} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            all.pairs,
            all.plain,
            all.without_folds,
            all.with_folds,
            in_sync.pairs,
            in_sync.plain,
            in_sync.without_folds,
            folds.join(", "),
            changes.found,
            changes.aside
        );
    }
}

impl Findings {
    fn add(&mut self, one: Self) {
        self.pairs += one.pairs;
        self.plain += one.plain;
        self.without_folds += one.without_folds;
        self.with_folds += one.with_folds;
    }
}

/// How many differences there are for who knows nothing but JSON. What appears or goes is one.
fn plain(expected: &Value, observed: &Value) -> usize {
    match (expected, observed) {
        (Value::Object(a), Value::Object(b)) => {
            let added = b.keys().filter(|name| !a.contains_key(*name)).count();
            let of = |(name, value)| b.get(name).map_or(1, |other| plain(value, other));
            added + a.iter().map(of).sum::<usize>()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len().abs_diff(b.len()) + a.iter().zip(b).map(|(a, b)| plain(a, b)).sum::<usize>()
        }
        _ => usize::from(expected != observed),
    }
}
