//! Comparing a declared state with an observed one in another dialect.

use deployforge_canon::{FoldRules, Node, Normalise, TypeFolds};
use deployforge_maps::Maps;
use deployforge_model::{Dialect, Mode};
use deployforge_policy::Policy;

use crate::diff::{Comparison, DiffOptions, Skip, Skipped, compare};

/// A state, and in whose words it is written.
#[derive(Clone, Copy, Debug)]
pub struct Said<'n> {
    /// Whose words.
    pub dialect: Dialect,
    /// The type in these words.
    pub resource_type: &'n str,
    /// The state.
    pub state: &'n Node,
}

/// Compares what both have in common, in the declared side's words; `None` if no map says that the two
/// types are one. What is declared and has no counterpart is told as not compared.
pub fn compare_across(
    maps: &Maps,
    expected: Said<'_>,
    observed: Said<'_>,
    (normalise, folds): (Normalise, &FoldRules),
    policy: &Policy,
) -> Option<Comparison> {
    let aligned = maps.align(
        (expected.dialect, expected.resource_type),
        expected.state,
        (observed.dialect, observed.resource_type),
        observed.state,
        folds,
    )?;
    let off = TypeFolds::off();
    let asked = if normalise == Normalise::Off { &off } else { &aligned.folds };
    // What was observed is already no more than what is declared.
    let options = DiffOptions { mode: Mode::Full, folds: asked };
    let kind = expected.resource_type;
    let mut comparison = compare(&aligned.expected, &aligned.observed, options, policy, kind);
    for unmatched in aligned.unmatched {
        comparison.leaves += unmatched.leaves;
        comparison.skipped.push(Skipped {
            path: unmatched.path,
            leaves: unmatched.leaves,
            why: Skip::Unmapped,
        });
    }
    Some(comparison)
}
