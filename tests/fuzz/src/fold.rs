//! Folds: every one answers, and those that speak of two values alike say the same of them both ways.

use deployforge_canon::fold::plainly_differ;
use deployforge_canon::{Fold, FoldRule, Node, Parser, State, TypeFolds};
use deployforge_model::Dialect;

use crate::Outcome;
use crate::states::CANON;

/// Folds that give either value the same part. The others know which of the two was declared.
const MUTUAL: [Fold; 14] = [
    Fold::Empty,
    Fold::JsonText,
    Fold::Policy,
    Fold::NumberText,
    Fold::BoolText,
    Fold::Switch,
    Fold::Case,
    Fold::TrailingDot,
    Fold::TrailingSlash,
    Fold::Trim,
    Fold::Duration,
    Fold::Rate,
    Fold::Timestamp,
    Fold::Unordered,
];

/// Asks all folds about a list of two values: the declared one, and the observed one.
pub fn check(input: &[u8]) -> Outcome {
    let parsed = CANON.value(&mut Parser::default(), Dialect::Native, "t", input);
    let Ok(State { root: Node::Array(pair) }) = parsed else { return Ok(false) };
    let [expected, observed] = &pair[..] else { return Ok(false) };
    if expected == observed {
        return Ok(false);
    }
    for fold in Fold::ALL {
        let folds = TypeFolds::off().and_everywhere(&[*fold]);
        let there = folds.fold("/a", Some(expected), Some(observed));
        let back = folds.fold("/a", Some(observed), Some(expected));
        if MUTUAL.contains(fold) && there != back {
            return Err(format!("{fold:?} holds one way alone"));
        }
        folds.fold("/a", Some(expected), None);
        folds.fold("/a", None, Some(observed));
        folds.fold_whole("/a", expected, observed, None);
    }
    let (a, b) = (expected.to_json(), observed.to_json());
    let everywhere = TypeFolds::everywhere().fold("/a", Some(expected), Some(observed));
    if plainly_differ(a.as_bytes(), b.as_bytes()).is_some() && everywhere.is_some() {
        return Err(format!("{a} and {b} plainly differ, and {everywhere:?} holds"));
    }
    with_arguments(expected, observed);
    Ok(true)
}

/// Folds that need more than two values get it of them.
fn with_arguments(expected: &Node, observed: &Node) {
    let mut folds = TypeFolds::off();
    let rule = FoldRule {
        resource_type: "*".to_owned(),
        path: "/**".to_owned(),
        folds: vec![Fold::Default, Fold::Band],
        value: serde_json::from_str(&observed.to_json()).ok(),
        between: Some(("min".to_owned(), "max".to_owned())),
        ..FoldRule::default()
    };
    folds.add(&rule, &[]);
    let both = (Some(expected), Some(observed));
    for (expected, observed) in [both, (both.0, None), (None, both.1)] {
        folds.fold_in("/a", expected, observed, both.0);
    }
}
