//! What must hold of every input, for libFuzzer, which looks for inputs that reach new code.
//!
//! A target in `targets/` is one check of this crate; [`target!`] makes a program of it. The checks are
//! those of the seeded fuzzer (`ingest/formats/tests/fuzz`), which needs no tool; here they are asked
//! for each format by its name, with limits small enough to be met, and of what has no short way:
//! tables in columns, other tools' ignore rules, folds. `run.sh` builds and runs all of it.
//!
//! An input may begin with a line `# NAME`: the name of the file, which some formats need.

// The shared checks have no use here for what makes their inputs.
#[path = "../../../ingest/formats/tests/fuzz/dice.rs"]
mod dice;
#[expect(dead_code, reason = "libFuzzer makes the inputs")]
#[path = "../../../ingest/formats/tests/fuzz/documents.rs"]
mod documents;
mod fold;
#[expect(dead_code, reason = "libFuzzer makes the inputs")]
#[path = "../../../ingest/formats/tests/fuzz/lines.rs"]
mod lines;
#[path = "../../../ingest/formats/tests/fuzz/mutate.rs"]
mod mutate;
mod rules;
#[path = "../../../ingest/formats/tests/fuzz/states.rs"]
mod states;
#[expect(dead_code, reason = "libFuzzer makes the inputs")]
#[path = "../../../ingest/formats/tests/fuzz/tree.rs"]
mod tree;

use std::sync::Once;

use deployforge_formats::{Format, Limits, ReadOptions, Side};

use dice::Dice;
use tree::Json;

pub use fold::check as folds;
pub use libfuzzer_sys;
pub use rules::check as ignored;

/// What a check came to: whether the input was one of its kind, or what is wrong.
pub type Outcome = Result<bool, String>;

/// A document of each kind, small.
pub const SAMPLES: &[&str] = &documents::SAMPLES;

/// What a reader may hold: enough for every input, too little for what one of them claims to be.
const LIMITS: Limits = Limits { record_bytes: 1 << 20, document_bytes: 4 << 20, depth: 128 };

/// A program that holds a check against what libFuzzer gives it.
#[macro_export]
macro_rules! target {
    ($check:expr) => {
        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::hold($check, input));
        $crate::libfuzzer_sys::fuzz_mutator!(|data: &mut [u8],
                                              size: usize,
                                              size_max: usize,
                                              seed: u32| {
            $crate::mutate(data, size, size_max, seed)
        });
    };
}

/// Panics where a check says that something is wrong.
pub fn hold(check: impl Fn(&[u8]) -> Outcome, input: &[u8]) {
    if let Err(wrong) = check(input) {
        panic!("{wrong}");
    }
}

/// Inputs larger than this are changed as bytes alone, which takes no time.
const TREE_BYTES: usize = 8 << 10;

/// Changes an input: as a tree every second time if it is JSON, else as libFuzzer does.
pub fn mutate(data: &mut [u8], size: usize, size_max: usize, seed: u32) -> usize {
    let mut dice = Dice::new(seed.into());
    let start = size - named(&data[..size]).1.len();
    let json = std::str::from_utf8(&data[start..size]).ok();
    let json = json.filter(|text| text.len() <= TREE_BYTES && dice.once_in(2));
    if let Some(json) = json.and_then(Json::parse) {
        let text = mutate::text(&[json], &mut dice);
        if start + text.len() <= size_max {
            data[start..start + text.len()].copy_from_slice(&text);
            return start + text.len();
        }
    }
    libfuzzer_sys::fuzzer_mutate(data, size, size_max)
}

/// The name of the file, if its first line gives one, and the file.
fn named(input: &[u8]) -> (Option<String>, &[u8]) {
    let line = input.strip_prefix(b"# ").and_then(|rest| {
        let end = rest.iter().take(200).position(|byte| *byte == b'\n')?;
        Some((String::from_utf8(rest[..end].to_vec()).ok()?, &rest[end + 1..]))
    });
    line.map_or((None, input), |(name, text)| (Some(name), text))
}

fn options(format: Option<Format>, name: Option<String>, text: &[u8]) -> ReadOptions {
    let side = if text.len().is_multiple_of(2) { Side::Observed } else { Side::Declared };
    ReadOptions { format, side, name, limits: LIMITS, ..ReadOptions::default() }
}

/// Reads an input as each of these formats.
pub fn read(input: &[u8], formats: &[Format]) -> Outcome {
    let (name, text) = named(input);
    let mut any = false;
    for format in formats {
        any |= documents::hold(text, &options(Some(*format), name.clone(), text))?;
    }
    Ok(any)
}

/// Reads an input whose content decides what it is, as a whole and, if it is lines, by lines.
pub fn any(input: &[u8]) -> Outcome {
    let (name, text) = named(input);
    lines::check(text)?;
    documents::hold(text, &options(None, name, text))
}

/// Reads a table in columns. The libraries that decode it may panic, which its reader knows; our own
/// code may not.
pub fn columns(input: &[u8]) -> Outcome {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let abort = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.location().is_some_and(|at| at.file().contains("ingest/formats")) {
                abort(panic);
            }
        }));
    });
    read(input, &[Format::CloudQuery])
}

/// Reads a state by all ways.
pub fn canon(input: &[u8]) -> Outcome {
    let (_, text) = named(input);
    states::walk(text)?;
    states::located(text)?;
    states::decoders(text)?;
    states::canonical(text)
}
