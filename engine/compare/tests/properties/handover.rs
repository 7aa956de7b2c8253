//! State that goes from one process to another, at any moment and in any number of pieces: the stream
//! comes to the same.

use arrow::array::RecordBatch;
use deployforge_compare::{Comparator, Output, Owner};
use deployforge_model::{Dialect, Scope};
use proptest::prelude::*;

use crate::config;
use crate::generate::{Shuffle, shuffle};
use crate::streams::{Stream, apply, comparator, origin, stream, truth};

const OWNER: Owner = Owner(1);

/// What an output says, but for the times at which it was said.
fn told(output: &Output) -> Vec<String> {
    let findings = output.findings().map(|row| format!("{row:?}"));
    let verdicts = output.verdicts().map(|row| format!("{row:?}"));
    let states = output.states().map(|row| format!("{row:?}"));
    let mut told: Vec<String> = findings.chain(verdicts).chain(states).collect();
    told.sort();
    told
}

/// One process after another over a stream, each going on from what those before it kept; what all of
/// them put out, and what the last one knows.
fn in_turns(stream: &Stream, how: &mut Shuffle) -> (Vec<String>, Comparator) {
    let mut chain: Vec<RecordBatch> = Vec::new();
    let mut now = comparator(&stream.declared);
    let (mut since, mut all) = (0, Vec::new());
    for (at, one) in stream.observed.iter().enumerate() {
        sweeps(&mut now, at, stream.observed.len());
        all.extend(told(&apply(&mut now, std::slice::from_ref(one))));
        let dice = how.below(6);
        if dice > 2 {
            continue;
        }
        if dice == 2 {
            // All there is stands for what was kept before.
            (since, chain) = (0, Vec::new());
        }
        let kept = now.keep(&[OWNER], &|_| Some(since));
        chain.extend(kept.into_values());
        since = now.mark();
        if dice > 0 {
            now = comparator(&stream.declared);
            now.take_up(OWNER, &chain).expect("what was kept");
            since = now.mark();
        }
    }
    end(&mut now, &mut all);
    (all, now)
}

/// A sweep that begins with the second half of the stream.
fn sweeps(comparator: &mut Comparator, at: usize, length: usize) {
    if at == length / 2 {
        comparator.sweep_start(&origin(), "s", Scope::default(), at as i64);
    }
}

fn end(comparator: &mut Comparator, all: &mut Vec<String>) {
    let output = comparator.sweep_end(&origin(), "s", None, Dialect::AwsConfig);
    all.extend(told(&output));
}

fn straight(stream: &Stream) -> (Vec<String>, Comparator) {
    let mut now = comparator(&stream.declared);
    let mut all = Vec::new();
    for (at, one) in stream.observed.iter().enumerate() {
        sweeps(&mut now, at, stream.observed.len());
        all.extend(told(&apply(&mut now, std::slice::from_ref(one))));
    }
    end(&mut now, &mut all);
    (all, now)
}

proptest! {
    #![proptest_config(config(2))]

    #[test]
    fn handed_over_it_goes_on_the_same(stream in stream(), mut how in shuffle()) {
        let (want, calm) = straight(&stream);
        let (have, last) = in_turns(&stream, &mut how);
        prop_assert_eq!(have, want);
        prop_assert_eq!(truth(&last), truth(&calm));
    }

    #[test]
    fn what_was_let_go_can_be_taken_up_again(stream in stream()) {
        let (_, mut calm) = straight(&stream);
        let before = truth(&calm);
        let kept: Vec<RecordBatch> = calm.keep(&[OWNER], &|_| Some(0)).into_values().collect();
        calm.forget(OWNER);
        let observed = |told: &String| !told.starts_with("Unknown Some(Unobserved)");
        prop_assert_eq!(truth(&calm).values().filter(|told| observed(told)).count(), 0);
        calm.take_up(OWNER, &kept).expect("what was kept");
        prop_assert_eq!(truth(&calm), before);
        // And nothing has changed since.
        let since = calm.mark();
        let again = calm.keep(&[OWNER], &|_| Some(since));
        prop_assert_eq!(again[&OWNER].num_rows(), 0);
    }
}
