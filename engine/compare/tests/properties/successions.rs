//! Baselines that change under a stream.

use std::collections::HashMap;
use std::sync::Arc;

use deployforge_compare::{Comparator, OpenFinding, Output, Restored, Rules, state_hash};
use deployforge_model::{
    Dialect, FindingKind, ResourceKey, Severity, Transition, UnknownReason, Verdict,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::config;
use crate::generate::{Shuffle, TYPE, group, shuffle};
use crate::streams::{Stream, apply, comparator, origin, stream, truth};

const HASH_KEY: [u8; 32] = [1; 32];

/// States by the hash under which the history knows them.
type States = HashMap<Box<str>, String>;

fn keep(states: &mut States, output: &Output) {
    for text in output.states().filter_map(|row| row.state) {
        states.insert(state_hash(&HASH_KEY, text.as_bytes()), text.to_owned());
    }
}

/// Lets a comparator with other baselines take over; how often findings were opened and not closed.
fn swap(before: Comparator, declared: &[Value], states: &States) -> (Comparator, Vec<Output>) {
    let mut next = comparator(declared);
    let done = next.succeed(before, Rules::Same, &origin());
    let state = |hash: &Option<Box<str>>| states.get(hash.as_ref()?).map(String::as_str);
    let settled = next.settle_with(&done.unsettled, &|one| state(&one.state_hash), &origin());
    (next, vec![done.output, settled])
}

/// A baseline of other versions: some rows stay, some change, some go, one comes.
fn another(stream: &Stream, new: &[Value], shuffle: &mut Shuffle) -> Vec<Value> {
    let Stream { declared, observed } = stream;
    // What drifted is often declared next.
    let seen = |id: usize| {
        let name = format!("sg-{id}");
        let mut all = observed.iter().rev().filter(|one| one.key.id == name);
        all.find_map(|one| serde_json::from_slice(&one.state).ok())
    };
    let mut all: Vec<Value> = declared
        .iter()
        .zip(new)
        .enumerate()
        .map(|(id, (old, new))| match shuffle.below(5) {
            0 => new.clone(),
            1 => shuffle.rearrange(old),
            2 => seen(id).unwrap_or_else(|| old.clone()),
            _ => old.clone(),
        })
        .collect();
    match shuffle.below(3) {
        0 => all.truncate(shuffle.below(3) as usize),
        1 => all.extend(new.first().cloned()),
        _ => {}
    }
    all
}

/// A crash between two tables' commits: the finding is there, its verdict is not.
#[test]
fn findings_without_a_verdict_stay_open() {
    let declared = [serde_json::json!({"configuration": {"a": 1}})];
    let values = (Some("1"), Some("2"));
    let (kind, path) = (FindingKind::Changed, "/configuration/a");
    let mut before = comparator(&declared);
    let restored = Restored {
        key: Arc::new(ResourceKey::new("aws", "1", "r", TYPE, "sg-0")),
        dialect: Dialect::AwsConfig,
        verdict: None,
        reason: None,
        score: 0.0,
        skipped: 0,
        version: None,
        observed_at: None,
        baseline: None,
        baseline_version: 0,
        state_hash: None,
        findings: vec![OpenFinding::new(path, kind, values, 1, Severity::Degraded, None)],
    };
    before.restore(vec![restored], true);
    let (next, outputs) = swap(before, &declared, &States::new());
    assert!(outputs.iter().all(|output| output.transitions() + output.verdict_transitions() == 0));
    let held: usize = next.resources().map(|one| one.findings.len()).sum();
    assert_eq!(held, 1);
}

proptest! {
    #![proptest_config(config(4))]

    #[test]
    fn what_is_true_after_a_swap_is_what_the_new_baseline_says(
        stream in stream(),
        new in prop::collection::vec(group(), 3),
        mut shuffle in shuffle(),
        at in 0_usize..24,
    ) {
        let (first, rest) = stream.observed.split_at(at.min(stream.observed.len()));
        let after = another(&stream, &new, &mut shuffle);
        let mut states = States::new();
        let mut before = comparator(&stream.declared);
        let mut open: HashMap<(String, String), i32> = HashMap::new();
        let mut count = |output: &Output| {
            for row in output.findings() {
                let change = match row.transition {
                    Transition::Opened => 1,
                    Transition::Closed => -1,
                    Transition::Changed => 0,
                };
                *open.entry((row.key[4].to_owned(), row.path.to_owned())).or_default() += change;
            }
        };
        let output = apply(&mut before, first);
        keep(&mut states, &output);
        count(&output);
        let (mut swapped, outputs) = swap(before, &after, &states);
        outputs.iter().for_each(|output| keep(&mut states, output));
        outputs.iter().for_each(&mut count);
        let mut fresh = comparator(&after);
        let _ = apply(&mut fresh, first);
        prop_assert_eq!(truth(&swapped), truth(&fresh));
        let output = apply(&mut swapped, rest);
        keep(&mut states, &output);
        count(&output);
        let _ = apply(&mut fresh, rest);
        prop_assert_eq!(truth(&swapped), truth(&fresh));
        // Once more, and mostly back to where it came from.
        let last = if shuffle.below(3) == 0 { another(&stream, &new, &mut shuffle) } else { stream.declared.clone() };
        let (swapped, outputs) = swap(swapped, &last, &states);
        outputs.iter().for_each(&mut count);
        let mut fresh = comparator(&last);
        let _ = apply(&mut fresh, &stream.observed);
        prop_assert_eq!(truth(&swapped), truth(&fresh));
        let held: usize = swapped.resources().map(|one| one.findings.len()).sum();
        prop_assert!(open.values().all(|n| *n == 0 || *n == 1), "{:?}", open);
        prop_assert_eq!(open.values().sum::<i32>() as usize, held);
    }

    #[test]
    fn nothing_is_claimed_of_a_state_that_nobody_holds(
        stream in stream(),
        new in prop::collection::vec(group(), 3),
    ) {
        let Stream { declared, observed } = stream;
        let mut before = comparator(&declared);
        let _ = apply(&mut before, &observed);
        let (mut swapped, _) = swap(before, &new, &States::new());
        let mut fresh = comparator(&new);
        let _ = apply(&mut fresh, &observed);
        let fresh = truth(&fresh);
        for one in swapped.resources() {
            let stale = one.verdict == Verdict::Unknown && one.reason == Some(UnknownReason::Stale);
            let same = truth(&swapped)[&one.key().id] == fresh[&one.key().id];
            prop_assert!(stale || same, "{:?}", one);
        }
        // The next observation of each tells, even if it is the last one again.
        let _ = apply(&mut swapped, &observed);
        prop_assert_eq!(truth(&swapped), fresh);
    }
}
