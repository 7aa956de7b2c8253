//! A seeded fuzzer of everything that reads JSON twice: what takes a short way must say what the long
//! way says, or nothing. Texts are mutated as trees and as bytes, so that most of them are nearly
//! records. It needs no tool and no nightly compiler.
//!
//! Each target runs some thousand cases, the same ones every time. With `DEPLOYFORGE_FUZZ_SECONDS` it
//! runs that long instead, on other cases every time. A failure names the seed of its case:
//! `DEPLOYFORGE_FUZZ_SEED` begins there, with the same fixtures (`DEPLOYFORGE_FIXTURES`) or without.

mod dice;
mod documents;
mod lines;
mod mutate;
mod seeds;
mod states;
mod tree;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dice::Dice;

/// What a check came to: whether the short way decided, or what is wrong.
type Outcome = Result<bool, String>;

/// Cases of a run that has no time to spend.
const CASES: u64 = 3000;

/// Attempts to make a failing text smaller.
const SHRINKS: usize = 3000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Runs a target. `decided`: of a hundred cases so many at least must go the short way, or the target
/// tests nothing.
fn run(
    name: &str,
    decided: u64,
    make: impl Fn(&mut Dice) -> Vec<u8>,
    check: impl Fn(&[u8]) -> Outcome,
) {
    let time = number("DEPLOYFORGE_FUZZ_SECONDS").map(Duration::from_secs);
    let other =
        || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() << 24);
    let seed =
        number("DEPLOYFORGE_FUZZ_SEED").unwrap_or_else(|| if time.is_some() { other() } else { 0 });
    let check = |text: &[u8]| {
        catch_unwind(AssertUnwindSafe(|| check(text)))
            .unwrap_or_else(|_| Err("it panics".to_owned()))
    };
    let start = Instant::now();
    let (mut cases, mut short) = (0, 0);
    while time.map_or(cases < CASES, |time| start.elapsed() < time) {
        let text = make(&mut Dice::new(seed + cases));
        match check(&text) {
            Ok(decided) => short += u64::from(decided),
            Err(wrong) => {
                let (text, wrong) = shrink(text, wrong, &check);
                let seed = seed + cases;
                let shown = text.escape_ascii();
                panic!("{name}, DEPLOYFORGE_FUZZ_SEED={seed}: {wrong}\n{shown}");
            }
        }
        cases += 1;
    }
    println!("{name}: {cases} cases from seed {seed}, {short} of them decided the short way");
    assert!(short * 100 >= cases * decided, "{name}: only {short} of {cases} cases say anything");
}

/// Takes pieces out of a failing text for as long as it fails.
fn shrink(
    mut text: Vec<u8>,
    mut wrong: String,
    check: &impl Fn(&[u8]) -> Outcome,
) -> (Vec<u8>, String) {
    let mut size = text.len() / 2;
    let mut left = SHRINKS;
    while size > 0 {
        let mut at = 0;
        while at + size <= text.len() && left > 0 {
            left -= 1;
            let without = [&text[..at], &text[at + size..]].concat();
            match check(&without) {
                Err(still) => (text, wrong) = (without, still),
                Ok(_) => at += size,
            }
        }
        size /= 2;
    }
    (text, wrong)
}

#[test]
fn lines_say_what_the_reader_says() {
    let seeds = seeds::lines();
    run("lines", 20, |dice| lines::make(&seeds, dice), lines::check);
}

#[test]
fn the_walk_gives_the_units_of_the_tree() {
    let seeds = seeds::lines();
    run("walk", 20, |dice| mutate::text(&seeds, dice), states::walk);
}

#[test]
fn what_is_located_stands_in_the_tree() {
    let seeds = seeds::lines();
    run("locate", 40, |dice| mutate::text(&seeds, dice), states::located);
}

#[test]
fn canonical_text_stays_as_it_is() {
    let seeds = seeds::lines();
    run("canonical", 40, |dice| mutate::text(&seeds, dice), states::canonical);
}

#[test]
fn decoders_give_one_tree() {
    let seeds = seeds::lines();
    run("decoders", 40, |dice| mutate::text(&seeds, dice), states::decoders);
}

#[test]
fn documents_hold_what_they_promise() {
    let seeds = documents::seeds();
    run("documents", 20, |dice| documents::make(&seeds, dice), documents::check);
}
