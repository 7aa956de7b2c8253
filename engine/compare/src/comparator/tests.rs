//! Tests of the module above.

use deployforge_model::{
    BaselineInfo, Observation, ObservationBatchBuilder, Presence, ResourceKey, SourcePosition,
    Timestamp, Verdict,
};

use super::*;
use crate::baseline::BaselineBuilder;
use crate::shard::{LevelSwitch, Tables};
use deployforge_canon::{Canon, Normalise};
use deployforge_policy::Policy;

fn observation(id: &str, state: &str, minute: i64) -> Observation {
    Observation {
        observed_at: Some(Timestamp(minute * 60_000_000)),
        ..Observation::of(
            ResourceKey::new("aws", "1", "eu-west-1", "volume", id),
            Dialect::Native,
            state.as_bytes().to_vec(),
            SourcePosition::default(),
        )
    }
}

fn comparator(declared: &[Observation]) -> Comparator {
    comparator_of(declared, false)
}

fn comparator_of(declared: &[Observation], incomplete: bool) -> Comparator {
    let canon = Canon::default();
    let mut builder = BaselineBuilder::new(&canon, 1);
    for observation in declared {
        let _ = builder.add(observation);
    }
    of(builder.build(info(incomplete)))
}

fn info(incomplete: bool) -> BaselineInfo {
    BaselineInfo {
        name: "b".into(),
        version: 1,
        kind: BaselineKind::Recorded,
        mode: None,
        incomplete,
    }
}

fn of(baseline: Baseline) -> Comparator {
    Comparator::new(settings(), vec![baseline])
}

fn settings() -> Settings {
    Settings {
        seed: 1,
        hash_key: [0; 32],
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
    }
}

#[test]
fn fingerprints_of_what_holds_a_secret_are_not_kept() {
    let canon = Canon::default();
    let mut builder = BaselineBuilder::new(&canon, 1);
    for (id, state) in
        [("a", r#"{"n":1}"#), ("b", r#"{"n":1,"password":"x"}"#), ("c", r#"{"n":2}"#)]
    {
        builder.add(&observation(id, state, 1)).expect("a state");
    }
    let mut hidden = observation("d", r#"{"n":1}"#, 1);
    hidden.sensitive.push("/n".into());
    builder.add(&hidden).expect("a state");
    let baseline = builder.build(info(false));
    let kept = baseline.kept_raw();
    assert_eq!((kept[0], kept[2]), (baseline.raw[0], baseline.raw[2]));
    assert_eq!((kept[1], kept[3]), (0, 0));
    assert!(baseline.raw.iter().all(|raw| *raw != 0));
}

#[test]
fn text_that_memory_does_not_hold_is_not_read() {
    let canon = Canon::default();
    let mut builder = BaselineBuilder::new(&canon, 1);
    builder.add(&observation("v1", r#"{"size":8}"#, 1)).expect("a state");
    let baseline = builder.build(info(false));
    for (text_bytes, text) in [(10, true), (9, false)] {
        let settings = Settings { text_bytes, ..settings() };
        let comparator = Comparator::new(settings, vec![baseline.clone()]);
        assert_eq!(comparator.context.settings.levels.text, text);
    }
}

fn origin() -> BatchOrigin {
    let ingested_at = Timestamp(1_000_000 * 60_000_000);
    let (source, file, owner) = ("s".into(), "f".into(), Owner::NONE);
    BatchOrigin { source, file, ingested_at, stored: false, owner }
}

fn observe(comparator: &mut Comparator, observation: &Observation) -> Output {
    let mut builder = ObservationBatchBuilder::new(1);
    builder.push(observation, Timestamp(0));
    comparator.apply(&builder.finish(), &origin())
}

fn verdict(comparator: &Comparator, id: &str) -> (Verdict, Option<UnknownReason>) {
    let view = comparator.resources().find(|view| view.key().id == id).unwrap();
    (view.verdict, view.reason)
}

fn sweep(comparator: &mut Comparator, listed: &[Observation]) -> Output {
    let origin = origin();
    comparator.sweep_start(&origin, "id", Scope::default(), 0);
    for observation in listed {
        observe(comparator, observation);
    }
    comparator.sweep_end(&origin, "id", None, Dialect::Native)
}

#[test]
fn what_returns_after_a_sweep_is_judged_afresh() {
    let one = observation("v1", r#"{"size":8}"#, 1);
    let two = observation("v2", r#"{"size":8}"#, 1);
    let mut comparator = comparator(&[one.clone(), two.clone()]);
    sweep(&mut comparator, &[one.clone(), two.clone()]);
    assert_eq!(verdict(&comparator, "v1"), (Verdict::InSync, None));
    sweep(&mut comparator, std::slice::from_ref(&two));
    assert_eq!(verdict(&comparator, "v1"), (Verdict::Missing, None));
    sweep(&mut comparator, &[one, two]);
    assert_eq!(verdict(&comparator, "v1"), (Verdict::InSync, None));
    sweep(&mut comparator, &[]);
    assert_eq!(verdict(&comparator, "v2"), (Verdict::Missing, None), "nothing is listed either");
}

#[test]
fn a_damaged_sweep_proves_nothing_missing() {
    let one = observation("v1", r#"{"size":8}"#, 1);
    let mut comparator = comparator(&[one]);
    let origin = origin();
    comparator.sweep_start(&origin, "id", Scope::default(), 0);
    comparator.sweep_damaged(&origin);
    comparator.sweep_end(&origin, "id", None, Dialect::Native);
    let unreadable = (Verdict::Unknown, Some(UnknownReason::Unreadable));
    assert_eq!(verdict(&comparator, "v1"), unreadable);
}

#[test]
fn a_contradiction_lasts_for_its_moment() {
    let mut comparator = comparator(&[observation("v", r#"{"a":2}"#, 0)]);
    let conflicting = (Verdict::Unknown, Some(UnknownReason::Conflicting));
    observe(&mut comparator, &observation("v", r#"{"a":1}"#, 9));
    observe(&mut comparator, &observation("v", r#"{"a":2}"#, 9));
    assert_eq!(verdict(&comparator, "v"), conflicting);
    observe(&mut comparator, &observation("v", r#"{"a":1}"#, 9));
    assert_eq!(verdict(&comparator, "v"), conflicting, "whatever comes again");
    observe(&mut comparator, &observation("v", r#"{"a":2}"#, 10));
    assert_eq!(verdict(&comparator, "v"), (Verdict::InSync, None));
}

#[test]
fn the_same_words_with_other_secrets_are_read() {
    let declared = observation("v", r#"{"conn":"x","n":1}"#, 1);
    let mut comparator = comparator(std::slice::from_ref(&declared));
    let mut hidden = observation("v", r#"{"conn":"x","n":1}"#, 2);
    hidden.sensitive.push("/conn".to_owned());
    assert_eq!(observe(&mut comparator, &hidden).levels.fingerprint, 0);
    let plain = observation("v", r#"{"conn":"x","n":1}"#, 3);
    assert_eq!(observe(&mut comparator, &plain).levels.fingerprint, 0);
    assert_eq!(verdict(&comparator, "v"), (Verdict::InSync, None));
    for minute in [4, 5] {
        let again = observation("v", r#"{"conn":"x","n":1}"#, minute);
        assert_eq!(observe(&mut comparator, &again).levels.fingerprint, 1);
    }
}

#[test]
fn the_same_again_puts_out_nothing() {
    let mut comparator = comparator(&[observation("v", r#"{"a":1}"#, 0)]);
    let seen = observation("v", r#"{"a":2}"#, 5);
    let first = observe(&mut comparator, &seen);
    assert_eq!(
        (first.transitions(), first.verdict_transitions(), first.changed_states()),
        (1, 1, 1)
    );
    for again in [&seen, &observation("v", r#"{ "a": 2.0 }"#, 6)] {
        let output = observe(&mut comparator, again);
        assert!(output.transitions() + output.verdict_transitions() == 0);
        assert!(output.changed_states() == 0, "a cosmetic change is no change");
    }
    let late = observe(&mut comparator, &observation("v", r#"{"a":1}"#, 4));
    assert_eq!(late.late(), 1);
    assert_eq!(verdict(&comparator, "v").0, Verdict::Drifted);
}

#[test]
fn a_baseline_read_in_part_makes_nothing_unmanaged() {
    let seen = observation("v2", r#"{"a":1}"#, 1);
    let declared = [observation("v1", r#"{"a":1}"#, 0)];
    let mut whole = comparator_of(&declared, false);
    observe(&mut whole, &seen);
    assert_eq!(verdict(&whole, "v2"), (Verdict::Unmanaged, None));
    let mut part = comparator_of(&declared, true);
    observe(&mut part, &seen);
    let unreadable = (Verdict::Unknown, Some(UnknownReason::Unreadable));
    assert_eq!(verdict(&part, "v2"), unreadable);
}

#[test]
fn a_deposed_twin_says_nothing_of_the_current_one() {
    let declared = [observation("v", r#"{"a":1}"#, 0)];
    let current = observation("v", r#"{"a":2}"#, 1);
    let deposed = Observation { presence: Presence::Deposed, ..current.clone() };
    for order in [[&current, &deposed], [&deposed, &current]] {
        let mut comparator = comparator(&declared);
        sweep(&mut comparator, &order.map(Clone::clone));
        assert_eq!(verdict(&comparator, "v"), (Verdict::Drifted, None));
    }
    let mut comparator = comparator(&declared);
    sweep(&mut comparator, &[deposed]);
    assert_eq!(verdict(&comparator, "v"), (Verdict::Missing, None), "only the twin is left");
}

#[test]
fn scopes_fold_case_as_keys_do() {
    let mut comparator = comparator(&[observation("v", r#"{"a":1}"#, 0)]);
    let origin = origin();
    let scope = Scope { provider: Some("AWS".to_owned()), ..Scope::default() };
    comparator.sweep_start(&origin, "id", scope, 0);
    comparator.sweep_end(&origin, "id", None, Dialect::Native);
    assert_eq!(verdict(&comparator, "v"), (Verdict::Missing, None));
}

#[test]
fn an_arn_joins_what_lacks_other_parts() {
    let arn = vec!["arn:aws:ec2:eu-west-1:1:volume/v".to_owned()];
    let declared = Observation { aliases: arn.clone(), ..observation("v", r#"{"a":1}"#, 0) };
    let mut comparator = comparator(&[declared]);
    let mut seen = Observation { aliases: arn, ..observation("v", r#"{"a":1}"#, 1) };
    seen.key = ResourceKey::new("aws", "", "", "volume", "v");
    observe(&mut comparator, &seen);
    assert_eq!(verdict(&comparator, "v"), (Verdict::InSync, None));
    assert_eq!(comparator.resources().count(), 1);
    seen.dialect = Dialect::Terraform;
    seen.key.id = "other".to_owned();
    observe(&mut comparator, &seen);
    let unmapped = (Verdict::Unknown, Some(UnknownReason::Unmapped));
    assert_eq!(verdict(&comparator, "other"), unmapped);
}

/// The frame of a generated inventory, and what reads it.
fn frame(options: deployforge_inventory::Options) -> (Frame, deployforge_formats::LineReader) {
    use deployforge_formats::{Lines, ReadOptions, Reader};
    let inventory = deployforge_inventory::Inventory::new(options).expect("options that fit");
    let mut text = Vec::new();
    inventory.write(&mut text, None, &mut |_| {}).expect("written to memory");
    let reader = Reader::new(ReadOptions::default()).into_lines(1);
    let lines = reader.scan(&deployforge_model::Block::new(text, 0));
    assert!(Lines::is_complete(&lines));
    (lines.frame, reader)
}

fn inventory(resources: u64) -> deployforge_inventory::Options {
    deployforge_inventory::Options { resources, ..Default::default() }
}

fn recorded(frame: &Frame, reader: &deployforge_formats::LineReader) -> Comparator {
    let canon = Canon::default();
    let mut builder = BaselineBuilder::new(&canon, 1);
    builder.add_frame(frame, 0..frame.len(), reader);
    of(builder.build(info(false)))
}

#[test]
fn the_scrubber_tells_a_fingerprint_that_is_wrong() {
    let (frame, reader) = frame(inventory(8000));
    let mut comparator = recorded(&frame, &reader);
    let healthy = comparator.prepare(&frame).scrubbed;
    assert!(healthy.rows > 1 && healthy.mismatches == 0, "{healthy:?}");
    for shard in &mut comparator.shards {
        for at in 0..shard.entries().count() as u32 {
            shard.at_mut(at).canonical ^= 2;
        }
    }
    let damaged = comparator.prepare(&frame).scrubbed;
    assert_eq!(damaged.mismatches, healthy.rows);
}

#[test]
fn members_in_another_order_are_not_read() {
    use deployforge_inventory::{Envelope, Options};
    let (declared, reader) = frame(inventory(8000));
    let comparator = recorded(&declared, &reader);
    let (seen, _) = frame(Options { round: 1, envelope: Envelope::Last, ..inventory(8000) });
    let first = comparator.prepare(&seen);
    let walked: usize = comparator
        .tools
        .iter()
        .map(|tools| lock(std::slice::from_ref(tools)).guides.misses().len())
        .sum();
    assert_eq!(walked, 0, "what is walked becomes a guide");
    assert!(first.scrubbed.rows > 1 && first.scrubbed.mismatches == 0, "{:?}", first.scrubbed);
}

#[test]
fn what_changed_is_held_against_the_declared_text() {
    let (declared, reader) = frame(inventory(4000));
    let comparator = recorded(&declared, &reader);
    let (seen, _) =
        frame(deployforge_inventory::Options { round: 1, drift: 1.0, ..inventory(4000) });
    comparator.prepare(&seen);
    // One thread prepared it.
    let tools = comparator.tools.iter().map(|tools| lock(std::slice::from_ref(tools)));
    let misses: Vec<u32> = tools.flat_map(|tools| tools.guides.misses()).collect();
    let all: u32 = misses.iter().sum();
    assert!(!misses.is_empty() && all < 400, "{misses:?} of {} rows", seen.len());
}

#[test]
fn what_could_not_be_compared_for_a_while_is_compared_again() {
    let declared = observation("a", r#"{"size":1}"#, 0);
    let mut comparator = comparator(std::slice::from_ref(&declared));
    let origin = BatchOrigin {
        source: "s".into(),
        file: "f".into(),
        ingested_at: Timestamp(1 << 50),
        stored: false,
        owner: Owner::NONE,
    };
    let mut see = |observation: &Observation| {
        let mut builder = ObservationBatchBuilder::new(1);
        builder.push(observation, Timestamp(0));
        comparator.apply(&builder.finish(), &origin);
        comparator.resources().next().expect("one resource").verdict
    };
    assert_eq!(see(&observation("a", r#"{"size":2}"#, 1)), Verdict::Drifted);
    let other = Observation { dialect: Dialect::AwsConfig, ..observation("a", r#"{"size":2}"#, 2) };
    assert_eq!(see(&other), Verdict::Unknown);
    assert_eq!(see(&observation("a", r#"{"size":2}"#, 3)), Verdict::Drifted);
    assert_eq!(see(&other), Verdict::Drifted, "late");
    let other = Observation { observed_at: Some(Timestamp(240_000_000)), ..other };
    assert_eq!(see(&other), Verdict::Unknown);
    assert_eq!(see(&observation("a", r#"{"size":1}"#, 5)), Verdict::InSync);
}

#[test]
fn what_was_not_compared_is_unknown_also_where_the_text_is_the_same() {
    let whole = observation("v1", r#"{"a":{"$deployforge.unresolved":"Ref"}}"#, 1);
    let part = observation("v2", r#"{"a":{"$deployforge.unresolved":"Ref"},"b":1}"#, 1);
    let mut comparator = comparator(&[whole.clone(), part.clone()]);
    for minute in 2..5 {
        let at = |one: &Observation| Observation {
            observed_at: Some(Timestamp(minute * 60_000_000)),
            ..one.clone()
        };
        observe(&mut comparator, &at(&whole));
        observe(&mut comparator, &at(&part));
        let unresolved = (Verdict::Unknown, Some(UnknownReason::Unresolved));
        assert_eq!(verdict(&comparator, "v1"), unresolved, "{minute}");
        assert_eq!(verdict(&comparator, "v2"), (Verdict::InSync, None));
        let skipped = comparator.resources().find(|view| view.key().id == "v2").unwrap().skipped;
        assert_eq!(skipped, 1);
    }
}
