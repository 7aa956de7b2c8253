//! States: the walk against the tree, places against the tree, decoders against each other.

use std::sync::LazyLock;

use deployforge_canon::{
    Canon, CanonError, Canonical, Decoder, Flat, Node, Parser, State, locate, value_at,
};
use deployforge_model::{Dialect, Seed, StateForm, StateText, path};

use crate::Outcome;

/// Types with rules for arrays, and one without.
const TYPES: [&str; 4] = ["AWS::EC2::SecurityGroup", "AWS::IAM::Role", "AWS::S3::Bucket", "t"];

/// One for all: it takes longer to make than to use.
pub(crate) static CANON: LazyLock<Canon> = LazyLock::new(Canon::default);

fn seed() -> Seed {
    Seed::new(11)
}

/// The type that a text is read as, always the same for one text.
fn kind(text: &[u8]) -> &'static str {
    TYPES[text.len() % TYPES.len()]
}

fn state(parser: &mut Parser, text: &[u8]) -> Result<State, CanonError> {
    let none = std::iter::empty();
    CANON.state(parser, Dialect::AwsConfig, kind(text), text, none)
}

/// The walk gives the units of the tree, or does not decide: of an object, and of bare members.
pub(crate) fn walk(text: &[u8]) -> Outcome {
    let whole = units(text, StateForm::Object, text)?;
    let inner = text.strip_prefix(b"{").and_then(|text| text.strip_suffix(b"}"));
    if let Some(inner) = inner {
        units(inner, StateForm::Members(&[]), text)?;
    }
    Ok(whole)
}

fn units(text: &[u8], form: StateForm, object: &[u8]) -> Outcome {
    let (canon, seed, mut parser) = (&*CANON, seed(), Parser::default());
    let mut flat = Flat::default();
    // Twice: the second time names are recognised that the first time were read.
    for _ in 0..2 {
        let slice = StateText { text, form };
        if !canon.flatten(&mut parser, &seed, Dialect::AwsConfig, kind(object), slice, &mut flat) {
            return Ok(false);
        }
        let tree = state(&mut parser, object).map_err(|error| format!("walked, and {error}"))?;
        let tree = Flat::of(&tree.root, &seed);
        let sorted = |flat: &Flat| {
            let mut units: Vec<_> = flat.units.iter().map(|u| (u.path, u.value)).collect();
            units.sort_unstable();
            units
        };
        if sorted(&flat) != sorted(&tree) || flat.fingerprint(&seed) != tree.fingerprint(&seed) {
            return Err(format!("{form:?}: the units are not those of the tree"));
        }
        for unit in &flat.units {
            let value = &text[unit.span.0 as usize..unit.span.1 as usize];
            if serde_json::from_slice::<serde::de::IgnoredAny>(value).is_err() {
                return Err(format!("a span holds {}", value.escape_ascii()));
            }
        }
    }
    Ok(true)
}

/// Every unit of the canonical text is found at its path, with its value.
pub(crate) fn located(text: &[u8]) -> Outcome {
    let (canon, seed, mut parser) = (&*CANON, seed(), Parser::default());
    // Whatever it is given, it ends.
    let _ = (locate(text, &[0, 1, 5]), value_at(text, text.len() / 2));
    let Ok(State { root }) = state(&mut parser, text) else { return Ok(false) };
    let json = root.to_json();
    let flat = Flat::of(&root, &seed);
    // Each is looked for from the start: of a large state, only some.
    let step = (1 + text.len() % 3).max(flat.units.len() / 32);
    let some: Vec<u32> = (0..flat.units.len() as u32).step_by(step).collect();
    if root.is_empty() {
        return Ok(false);
    }
    let found = locate(json.as_bytes(), &some).ok_or("nothing is found")?;
    for (number, found) in some.iter().zip(&found) {
        let place = || path::segments(&found.path).collect::<Vec<_>>();
        let node: Option<&Node> = place().iter().try_fold(&root, |node, name| node.get(name));
        let node = node.ok_or_else(|| format!("nothing stands at {:?}", found.path))?;
        let value = &json[found.span.clone()];
        if node.to_json() != value
            || value_at(json.as_bytes(), found.span.start) != Some(found.span.clone())
        {
            return Err(format!("at {:?} stands not {value}", found.path));
        }
        if node.hash(&seed) != flat.units[*number as usize].value {
            return Err(format!("{:?} is not unit {number}", found.path));
        }
        let read = canon.unit(
            &mut parser,
            &seed,
            Dialect::AwsConfig,
            kind(text),
            &found.path,
            value.as_bytes(),
            true,
        );
        if read.as_ref() != Ok(node) {
            return Err(format!("{value} at {:?} is read as {read:?}", found.path));
        }
    }
    Ok(true)
}

/// All decoders give the same tree, or refuse for the same reason.
pub(crate) fn decoders(text: &[u8]) -> Outcome {
    let exact = state(&mut Parser::new(Decoder::Exact), text);
    for decoder in Decoder::ALL {
        let read = state(&mut Parser::new(*decoder), text);
        if read != exact {
            return Err(format!("{decoder:?} gives {read:?} instead of {exact:?}"));
        }
    }
    Ok(exact.is_ok())
}

/// The canonical text of a state is its own canonical text, and what is written without a tree is it.
pub(crate) fn canonical(text: &[u8]) -> Outcome {
    let (canon, seed, mut parser) = (&*CANON, seed(), Parser::default());
    let Ok(state) = state(&mut parser, text) else { return Ok(false) };
    let json = state.root.to_json();
    let again = canon
        .stored_state(&mut parser, Dialect::AwsConfig, kind(text), json.as_bytes())
        .map_err(|error| format!("the canonical text {json} is refused: {error}"))?;
    let is_same = again == state && again.fingerprint(&seed) == state.fingerprint(&seed);
    if !is_same || again.root.to_json() != json {
        return Err(format!("{json} becomes {}", again.root.to_json()));
    }
    // What is written without a tree is what was walked, and nothing else.
    let (slice, dialect) = (StateText::object(text), Dialect::AwsConfig);
    let (mut flat, mut short) = (Flat::default(), Canonical::default());
    let decided = canon.flatten(&mut parser, &seed, dialect, kind(text), slice, &mut flat)
        && canon.rewrite(&mut parser, &seed, dialect, kind(text), slice, &mut short);
    if decided && short.text != json.as_bytes() {
        return Err(format!("{} is written, and not {json}", short.text.escape_ascii()));
    }
    Ok(decided)
}
