//! Streams of observations: their order, their batches, their repetition.

use std::collections::BTreeMap;

use deployforge_canon::{Canon, Node, Normalise};
use deployforge_compare::{
    Baseline, BaselineBuilder, BatchOrigin, Comparator, DiffOptions, Difference, LevelSwitch,
    OpenFinding, Output, Owner, Settings, Tables, Tier, compare,
};
use deployforge_model::{
    BaselineInfo, BaselineKind, Dialect, Observation, ObservationBatchBuilder, Presence,
    ResourceKey, Scope, SourcePosition, Timestamp, Verdict,
};
use deployforge_policy::Policy;
use proptest::prelude::*;
use serde_json::Value;

use crate::generate::{Shuffle, TYPE, group, node, shuffle};

const SEED: u64 = 9;
const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

pub(crate) fn observation(id: usize, version: u64, state: Option<String>) -> Observation {
    Observation {
        observed_at: Some(Timestamp(NOW.0 - 1_000_000 + version as i64)),
        version: Some(version),
        presence: if state.is_some() { Presence::Present } else { Presence::Deleted },
        ..Observation::of(
            ResourceKey::new("aws", "1", "r", TYPE, &format!("sg-{id}")),
            Dialect::AwsConfig,
            state.unwrap_or_default().into_bytes(),
            SourcePosition::default(),
        )
    }
}

fn baseline(declared: &[Observation]) -> Baseline {
    let canon = Canon::default();
    let mut builder = BaselineBuilder::new(&canon, SEED);
    for one in declared {
        builder.add(one).expect("a state");
    }
    let kind = BaselineKind::Recorded;
    builder.build(BaselineInfo {
        name: "b".to_owned(),
        version: 1,
        kind,
        mode: None,
        incomplete: false,
    })
}

pub(crate) fn comparator(states: &[Value]) -> Comparator {
    let one = |(id, state): (usize, &Value)| observation(id, 0, Some(state.to_string()));
    comparator_of(&states.iter().enumerate().map(one).collect::<Vec<_>>())
}

pub(crate) fn comparator_of(declared: &[Observation]) -> Comparator {
    let settings = Settings {
        seed: SEED,
        hash_key: [1; 32],
        canon: Canon::default(),
        maps: deployforge_maps::SharedMaps::default(),
        policy: Policy::default(),
        mode: None,
        normalise: Normalise::Standard,
        tables: Tables::ALL,
        levels: LevelSwitch::ALL,
        tier: Tier::Full,
        text_bytes: u64::MAX,
        explain: false,
    };
    Comparator::new(settings, vec![baseline(declared)])
}

pub(crate) fn origin() -> BatchOrigin {
    let (source, file, owner) = ("s".into(), "f".into(), Owner(1));
    BatchOrigin { source, file, ingested_at: NOW, stored: false, owner }
}

pub(crate) fn apply(comparator: &mut Comparator, observations: &[Observation]) -> Output {
    let mut builder = ObservationBatchBuilder::new(SEED);
    observations.iter().for_each(|one| builder.push(one, NOW));
    comparator.apply(&builder.finish(), &origin())
}

/// What is true of each resource: verdict, score, findings.
pub(crate) fn truth(comparator: &Comparator) -> BTreeMap<String, String> {
    let findings = |list: &[OpenFinding]| -> Vec<String> {
        let mut list: Vec<String> = list.iter().map(|finding| format!("{finding:?}")).collect();
        list.sort();
        list
    };
    comparator
        .resources()
        .map(|one| {
            let told = format!(
                "{:?} {:?} {} {:?}",
                one.verdict,
                one.reason,
                one.score,
                findings(one.findings)
            );
            (one.key().id, told)
        })
        .collect()
}

/// A baseline of three, and observations of four resources with versions of their own.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) declared: Vec<Value>,
    pub(crate) observed: Vec<Observation>,
}

pub(crate) fn stream() -> impl Strategy<Value = Stream> {
    let declared = prop::collection::vec(group(), 3);
    // Mostly states near the baseline, so that something is in sync, and now and then a deletion.
    let one = (0_usize..4, 0_u8..8, group(), shuffle());
    (declared, prop::collection::vec(one, 1..24)).prop_map(|(declared, list)| {
        let observed = list.into_iter().enumerate().map(|(i, (id, dice, state, mut shuffle))| {
            let state = match dice {
                0 => None,
                1..=3 => Some(state),
                _ => Some(shuffle.rearrange(declared.get(id).unwrap_or(&state))),
            };
            observation(id, i as u64 + 1, state.map(|state| shuffle.write(&state)))
        });
        Stream { observed: observed.collect(), declared }
    })
}

/// Cuts a list into batches.
fn batches(list: &[Observation], shuffle: &mut Shuffle) -> Vec<Vec<Observation>> {
    let mut cuts: Vec<usize> = (1..list.len()).collect();
    shuffle.mix(&mut cuts);
    cuts.truncate(list.len() / 3);
    cuts.sort_unstable();
    cuts.push(list.len());
    let mut start = 0;
    cuts.into_iter()
        .map(|end| {
            let batch = list[start..end].to_vec();
            start = end;
            batch
        })
        .collect()
}

proptest! {
    #![proptest_config(crate::config(4))]

    #[test]
    fn order_and_batches_change_nothing(stream in stream(), mut how in shuffle()) {
        let mut straight = comparator(&stream.declared);
        apply(&mut straight, &stream.observed);
        let mut shuffled = comparator(&stream.declared);
        let mut observed = stream.observed.clone();
        how.mix(&mut observed);
        for batch in batches(&observed, &mut how) {
            apply(&mut shuffled, &batch);
        }
        prop_assert_eq!(truth(&straight), truth(&shuffled));
    }

    #[test]
    fn the_same_batch_twice_adds_nothing_but_checks(stream in stream()) {
        let mut comparator = comparator(&stream.declared);
        apply(&mut comparator, &stream.observed);
        let before = truth(&comparator);
        // What is current comes again; what has been superseded comes late.
        let again = apply(&mut comparator, &stream.observed);
        prop_assert!(again.transitions() == 0, "{:?}", again.findings().next());
        prop_assert!(again.verdict_transitions() == 0, "{:?}", again.verdicts().next());
        prop_assert!(again.changed_states() == 0 && again.rejects.is_empty());
        prop_assert_eq!(again.observations, stream.observed.len() as u64);
        // That what nobody declared is gone again is no check.
        let present = stream.observed.iter().any(|one| one.presence == Presence::Present);
        prop_assert!(!present || !again.checks.is_empty());
        prop_assert_eq!(before, truth(&comparator));
    }

    #[test]
    fn short_cuts_find_what_a_full_comparison_finds(stream in stream()) {
        let mut comparator = comparator(&stream.declared);
        for one in &stream.observed {
            apply(&mut comparator, std::slice::from_ref(one));
        }
        for view in comparator.resources() {
            let id: usize = view.key().id[3..].parse().expect("a number");
            let last = stream.observed.iter().rfind(|one| one.key.id == view.key().id);
            let Some(last) = last else {
                prop_assert_eq!(view.verdict, Verdict::Unknown);
                continue;
            };
            match (stream.declared.get(id), last.presence) {
                (Some(_), Presence::Deleted) => {
                    prop_assert_eq!(view.verdict, Verdict::Missing);
                    prop_assert_eq!(view.score.to_bits(), 100.0_f64.to_bits());
                }
                (None, _) => prop_assert_eq!(view.verdict, Verdict::Unmanaged),
                (Some(expected), _) => {
                    let text = std::str::from_utf8(&last.state).expect("text");
                    let expected = node(&expected.to_string());
                    let options = DiffOptions::default();
                    let full = compare(&expected, &node(text), options, &Policy::default(), TYPE);
                    let of = |path: &str, kind, a: Option<String>, b: Option<String>| {
                        format!("{path} {kind} {a:?} {b:?}")
                    };
                    let mut want: Vec<String> = full.differences.iter().map(|one| {
                        let text = |node: &Option<Node>| node.as_ref().map(Node::to_json);
                        of(&one.path, one.kind, text(&one.expected), text(&one.observed))
                    }).collect();
                    let mut have: Vec<String> = view.findings.iter().map(|one| {
                        let text = |text: Option<&str>| text.map(str::to_owned);
                        of(one.path(), one.kind, text(one.expected()), text(one.observed()))
                    }).collect();
                    want.sort();
                    have.sort();
                    prop_assert_eq!(have, want);
                    prop_assert_eq!(view.score.to_bits(), full.score.to_bits());
                    let drifted = full.differences.iter().any(Difference::counts);
                    prop_assert_eq!(view.verdict == Verdict::Drifted, drifted);
                }
            }
        }
    }

    #[test]
    fn a_sweep_finds_missing_what_it_does_not_list(stream in stream()) {
        let mut comparator = comparator(&stream.declared);
        let origin = origin();
        comparator.sweep_start(&origin, "s", Scope::default(), 0);
        apply(&mut comparator, &stream.observed);
        comparator.sweep_end(&origin, "s", None, Dialect::AwsConfig);
        for view in comparator.resources() {
            let seen = stream.observed.iter().rfind(|one| one.key.id == view.key().id);
            let gone = seen.is_none_or(|last| last.presence == Presence::Deleted);
            prop_assert_eq!(view.verdict == Verdict::Missing, gone, "{}", view.key());
        }
    }
}
