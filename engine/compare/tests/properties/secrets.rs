//! What a source calls sensitive is in nothing that comes out, on neither side, whatever its pointers
//! look like; and both sides are read alike.

use deployforge_compare::{Comparator, Output};
use deployforge_model::{Observation, Verdict};
use proptest::prelude::*;
use serde_json::Value;

use crate::config;
use crate::generate::{Shuffle, group, leaves, shuffle};
use crate::streams::{apply, comparator_of, observation};

/// The state with another text in each place, and the places.
fn planted(state: &Value, side: &str) -> (Value, Vec<String>) {
    let (mut state, places) = (state.clone(), leaves(state));
    for (at, place) in places.iter().enumerate() {
        *state.pointer_mut(place).expect("a leaf") = format!("planted {side} {at}.").into();
    }
    (state, places)
}

/// Some pointers: to leaves and what leads to them, the root too, and some that lead astray.
fn pointers(places: &[String], how: &mut Shuffle) -> Vec<String> {
    let pick = |how: &mut Shuffle| {
        let place = &places[how.below(places.len() as u64) as usize];
        let mut cuts: Vec<usize> = place.match_indices('/').map(|(at, _)| at).collect();
        cuts.push(place.len());
        let up = &place[..cuts[how.below(cuts.len() as u64) as usize]];
        match how.below(8) {
            0 => format!("{place}/0/deeper"),
            1 => format!("{place}/\n"),
            2 => format!("{up}/not there\n/x"),
            3 => format!("{up}/1.0"),
            _ => up.to_owned(),
        }
    };
    (0..=how.below(3)).map(|_| pick(how)).collect()
}

/// Whether a place is covered: a pointer leads to it or above it, or through it as if it led on.
fn is_covered(place: &str, pointers: &[String]) -> bool {
    let leads = |from: &str, to: &str| {
        to.strip_prefix(from).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    pointers.iter().any(|pointer| leads(pointer, place) || leads(place, pointer))
}

fn told(output: &Output) -> String {
    let findings = output.findings().map(|row| format!("{row:?}"));
    let states = output.states().map(|row| format!("{row:?}"));
    findings.chain(states).collect()
}

fn seen(comparator: &mut Comparator, state: &Value, pointers: &[String], version: u64) -> Output {
    let one = observation(0, version, Some(state.to_string()));
    apply(comparator, &[Observation { sensitive: pointers.to_vec(), ..one }])
}

proptest! {
    #![proptest_config(config(1))]

    #[test]
    fn what_sources_call_sensitive_comes_out_nowhere(state in group(), mut how in shuffle()) {
        let (declared, places) = planted(&state, "was");
        let (observed, _) = planted(&state, "is");
        let pointers = pointers(&places, &mut how);
        let one = observation(0, 0, Some(declared.to_string()));
        let one = Observation { sensitive: pointers.clone(), ..one };
        let mut comparator = comparator_of(&[one]);

        let same = seen(&mut comparator, &declared, &pointers, 1);
        prop_assert_eq!(same.transitions(), 0, "{}", told(&same));
        let verdict = comparator.resources().next().expect("one").verdict;
        prop_assert_eq!(verdict, Verdict::InSync);

        let other = seen(&mut comparator, &observed, &pointers, 2);
        prop_assert!(other.transitions() > 0);
        let told = told(&other);
        for (at, place) in places.iter().enumerate() {
            for side in ["was", "is"] {
                let shown = told.contains(&format!("planted {side} {at}."));
                prop_assert!(!shown || !is_covered(place, &pointers), "{place}: {pointers:?}: {told}");
            }
        }
    }
}
