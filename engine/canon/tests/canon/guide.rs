//! What follows a guide is what the walk reads.

use deployforge_canon::{
    Canon, Canonical, DeclaredShape, DeclaredText, Differing, Flat, Guide, Located, Parser, Unit,
    fingerprint, locate,
};
use deployforge_model::{Dialect, Seed, StateForm, StateText};
use proptest::prelude::*;

use super::generate::{json, object};

const TYPE: &str = "AWS::EC2::SecurityGroup";
const DIALECT: Dialect = Dialect::AwsConfig;

/// A declared state.
struct Declared {
    canonical: Canonical,
    flat: Flat,
    gaps: Vec<u32>,
    units: Vec<Located>,
    hashes: Vec<u32>,
    lower: Vec<u32>,
}

/// What one thread has.
struct Bench {
    canon: Canon,
    seed: Seed,
    parser: Parser,
}

impl Bench {
    fn new() -> Self {
        Self { canon: Canon::default(), seed: Seed::new(11), parser: Parser::default() }
    }

    fn flatten(&mut self, slice: StateText<'_>) -> Option<Flat> {
        let mut flat = Flat::default();
        let Self { canon, seed, parser } = self;
        canon.flatten(parser, seed, DIALECT, TYPE, slice, &mut flat).then_some(flat)
    }

    fn declare(&mut self, slice: StateText<'_>) -> Option<Declared> {
        let mut canonical = Canonical::default();
        let Self { canon, seed, parser } = self;
        canon.rewrite(parser, seed, DIALECT, TYPE, slice, &mut canonical).then_some(())?;
        let flat = self.flatten(StateText::object(&canonical.text))?;
        let all: Vec<u32> = (0..flat.units.len() as u32).collect();
        let units = locate(&canonical.text, &all)?;
        let ends = std::iter::once(0).chain(units.iter().map(|unit| unit.span.end));
        let starts = units.iter().map(|unit| unit.span.start);
        let starts = starts.chain(std::iter::once(canonical.text.len()));
        let gaps = ends.zip(starts).map(|(end, start)| (start - end) as u32).collect();
        // Of every second unit the whole hash is known.
        let mut hashes: Vec<u32> = flat.units.iter().map(|u| (u.value >> 32) as u32).collect();
        let mut lower = vec![0; hashes.len()];
        for (k, unit) in flat.units.iter().enumerate().step_by(2) {
            lower[k] = hashes.len() as u32;
            hashes.push(unit.value as u32);
        }
        Some(Declared { canonical, flat, gaps, units, hashes, lower })
    }

    /// A guide from an observed state with the declared one's paths.
    fn learn(&mut self, slice: StateText<'_>, declared: &Declared) -> Option<Guide> {
        let flat = self.flatten(slice)?;
        let number = |unit: &Unit| {
            let at = declared.flat.units.iter().position(|other| other.path == unit.path)?;
            Some(at as u32)
        };
        let numbers: Vec<u32> = flat.units.iter().map(number).collect::<Option<_>>()?;
        (flat.units.len() == declared.flat.units.len()).then_some(())?;
        let shape = DeclaredShape { gaps: &declared.gaps, lower: &declared.lower };
        Guide::learn(&self.parser, slice, &flat, &numbers, shape)
    }

    /// Follows a guide and checks it; whether the text did.
    fn follow(&mut self, guide: &Guide, slice: StateText<'_>, declared: &Declared) -> bool {
        let Self { canon, seed, parser } = self;
        let mut found = Vec::new();
        let text = DeclaredText {
            text: &declared.canonical.text,
            starts: &declared.canonical.units,
            hashes: &declared.hashes,
        };
        let more = canon.follow(parser, seed, DIALECT, TYPE, slice, guide, text, &mut found);
        let Some(more) = more else { return false };
        let shown = String::from_utf8_lossy(slice.text);
        let flat = self.flatten(slice).unwrap_or_else(|| panic!("followed, not walked: {shown}"));
        let sum = declared.flat.sum().wrapping_add(more);
        let canonical = fingerprint(&self.seed, declared.flat.units.len(), sum);
        assert_eq!(canonical, flat.fingerprint(&self.seed), "{shown}");
        found.sort_unstable_by_key(|differing| differing.unit);
        assert_eq!(found, differing(&flat, declared), "{shown}");
        true
    }
}

/// The units that differ, as the walk has them.
fn differing(flat: &Flat, declared: &Declared) -> Vec<Differing> {
    let mut all = Vec::new();
    for (k, (unit, located)) in declared.flat.units.iter().zip(&declared.units).enumerate() {
        let observed = flat.units.iter().find(|other| other.path == unit.path).expect("the path");
        if observed.value != unit.value {
            let span = (located.span.start as u32, located.span.end as u32);
            let (unit, declared) = (k as u32, Some(span));
            all.push(Differing { unit, declared, observed: observed.span });
        }
    }
    all
}

/// Puts other values in the place of some of a text's.
fn change(text: &str, flat: &Flat, values: &[Option<String>]) -> String {
    let mut units = flat.units.clone();
    units.sort_unstable_by_key(|unit| unit.span.0);
    let (mut changed, mut at) = (String::new(), 0);
    for (unit, value) in units.iter().zip(values.iter().cycle()) {
        let (start, end) = (unit.span.0 as usize, unit.span.1 as usize);
        changed.push_str(&text[at..start]);
        changed.push_str(value.as_deref().unwrap_or(&text[start..end]));
        at = end;
    }
    changed + &text[at..]
}

fn forms(text: &str) -> [StateText<'_>; 2] {
    let bare = StateForm::Members(&[]);
    let inside = &text.as_bytes()[1..text.len() - 1];
    [StateText::object(text.as_bytes()), StateText { text: inside, form: bare }]
}

proptest! {
    #[test]
    fn what_follows_a_guide_is_walked_the_same(
        text in object(json()),
        observed in prop::collection::vec(prop::option::weighted(0.4, json()), 1..6),
        declared in prop::collection::vec(prop::option::weighted(0.2, json()), 1..6),
        broken in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut bench = Bench::new();
        let Some(flat) = bench.flatten(StateText::object(text.as_bytes())) else { return Ok(()) };
        let declared = change(&text, &flat, &declared);
        let Some(declared) = bench.declare(StateText::object(declared.as_bytes())) else {
            return Ok(());
        };
        let observed = change(&text, &flat, &observed);
        for form in 0..2 {
            let Some(guide) = bench.learn(forms(&text)[form], &declared) else { continue };
            // What was learnt from follows, unless an empty object stands against something.
            bench.follow(&guide, forms(&text)[form], &declared);
            let slice = forms(&observed)[form];
            bench.follow(&guide, slice, &declared);
            if let Some((at, byte)) = &broken {
                let mut text = slice.text.to_vec();
                let at = at.index(text.len().max(1));
                if let Some(there) = text.get_mut(at) {
                    *there = *byte;
                }
                bench.follow(&guide, StateText { text: &text, form: slice.form }, &declared);
            }
        }
    }
}

#[test]
fn what_follows_and_what_does_not() {
    let mut bench = Bench::new();
    let text = r#"{"b":{"y":1,"x":"one"},"a":[{"k":1,"j":2},3],"e":{},"d":null}"#;
    let slice = StateText::object(text.as_bytes());
    let declared = bench.declare(slice).expect("a state");
    let guide = bench.learn(slice, &declared).expect("a guide");
    let mut follows =
        |text: &str| bench.follow(&guide, StateText::object(text.as_bytes()), &declared);
    for other in [
        text,
        // Other values, numbers that go on, a list in another order, a value that was nothing.
        r#"{"b":{"y":2,"x":"two"},"a":[{"k":1,"j":2},3],"e":{},"d":null}"#,
        r#"{"b":{"y":12,"x":"one"},"a":[{"k":1,"j":2},3],"e":{},"d":null}"#,
        r#"{"b":{"y":1.0,"x":"\u006fne"},"a":[{"j":2,"k":1},3.0],"e":{},"d":1}"#,
        r#"{"b":{"y":1e1,"x":"one\""},"a":[],"e":{},"d":"{}"}"#,
    ] {
        assert!(follows(other), "{other}");
    }
    for other in [
        // Another order, other members, broken, a secret, text behind.
        r#"{"b":{"x":"one","y":1},"a":[{"k":1,"j":2},3],"e":{},"d":null}"#,
        r#"{"b":{"y":1,"x":"one"},"a":[{"k":1,"j":2},3],"e":{"f":1},"d":null}"#,
        r#"{"b":{"y":1,"x":"one"},"a":[{"k":1,"j":2},3],"e":{},"d":{}}"#,
        r#"{"b":{"y":1,"x":"one"},"a":[{"k":1,"j":2},3],"e":{},"d":nul}"#,
        r#"{"b":{"y":01,"x":"one"},"a":[{"k":1,"j":2},3],"e":{},"d":null}"#,
        r#"{"b":{"y":1,"x":"one"},"a":[{"password":1,"j":2},3],"e":{},"d":null}"#,
        r#"{"b":{"y":1,"x":"one"},"a":[{"k":1,"j":2},3],"e":{},"d":null} x"#,
        "",
    ] {
        assert!(!follows(other), "{other}");
    }
}

#[test]
fn starts_that_are_wrong_are_no_panic() {
    let mut bench = Bench::new();
    let slice = StateText::object(br#"{"a":1,"b":2}"#);
    let mut declared = bench.declare(slice).expect("a state");
    let guide = bench.learn(slice, &declared).expect("a guide");
    assert!(bench.follow(&guide, slice, &declared));
    declared.lower.fill(0);
    let guide = bench.learn(slice, &declared).expect("a guide");
    for starts in [[13, 30], [5, 13], [0, 40], [12, 5], [u32::MAX, 0]] {
        declared.canonical.units = starts.to_vec();
        assert!(!bench.follow(&guide, slice, &declared), "{starts:?}");
    }
}
