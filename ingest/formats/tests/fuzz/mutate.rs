//! Changes to texts: as trees, where they stay nearly records, and as bytes.

use crate::dice::Dice;
use crate::tree::Json;

/// Names that mean something somewhere.
const NAMES: [&str; 27] = [
    "resourceType",
    "resourceId",
    "ARN",
    "arn",
    "awsAccountId",
    "accountId",
    "awsRegion",
    "configurationItemCaptureTime",
    "configurationStateId",
    "configurationItemStatus",
    "resourceName",
    "configurationItemVersion",
    "version",
    "availabilityZone",
    "configuration",
    "tags",
    "relationships",
    "supplementaryConfiguration",
    "relatedEvents",
    "configurationItems",
    "configurationItem",
    "password",
    "key",
    "value",
    "$deployforge.secret",
    "",
    "né",
];

/// Values with a trap in them.
const VALUES: [&str; 34] = [
    "null",
    "true",
    "\"\"",
    "{}",
    "[]",
    "[[],{}]",
    "-0",
    "0.0",
    "1e0",
    "10e-1",
    "1E+2",
    "1.50",
    "9223372036854775808",
    "18446744073709551616",
    "123456789012345678901234567890",
    "1e400",
    "5e-324",
    "1e99999999999999999999",
    "0.1000000000000000055",
    r#""\u0041\u00e9\ud83d\ude00""#,
    r#""\ud800""#,
    r#""\udc00x""#,
    r#""\"configurationItemVersion\":\"1.3\",""#,
    r#""}""#,
    r#""],\"tags\":{""#,
    r#""\\""#,
    r#""{\"a\":[1]}""#,
    r#""{\"password\":\"x\"}""#,
    r#"" [1]""#,
    "\"é\u{1F600}\u{7f}\u{2028}\"",
    r#""ResourceDeleted""#,
    r#""2026-11-20T10:00:00.5+01:00""#,
    r#""AWS::EC2::SecurityGroup""#,
    r#"{"a":1,"a":1}"#,
];

/// Bytes that mean something, and some that must not stand.
const BYTES: &[u8] = b"\"\\{}[]:,-+.eEu0 19\t\r\x00\x1f\x7f\x80\xc3\xa9\xed\xa0\xff";

/// A seed, changed.
pub(crate) fn text(seeds: &[Json], dice: &mut Dice) -> Vec<u8> {
    let mut json = dice.pick(seeds).clone();
    for _ in 0..dice.below(6) {
        change(&mut json, seeds, dice);
    }
    let mut out = Vec::new();
    json.write(dice.once_in(3), dice, &mut out);
    if dice.once_in(4) {
        for _ in 0..=dice.below(3) {
            damage(&mut out, dice);
        }
    }
    out
}

/// Changes one place in a tree.
fn change(json: &mut Json, seeds: &[Json], dice: &mut Dice) {
    // The scan looks at the outermost level alone: half of all changes are for it.
    let place = if dice.once_in(2) { json } else { json.somewhere(dice) };
    match place {
        Json::Object(members) if !members.is_empty() => object(members, seeds, dice),
        Json::Array(items) if !items.is_empty() => {
            let (a, b) = (dice.below(items.len()), dice.below(items.len()));
            match dice.below(3) {
                0 => items.swap(a, b),
                1 => items.push(items[a].clone()),
                _ => drop(items.remove(a)),
            }
        }
        Json::Scalar(text) => scalar(text, dice),
        empty => *empty = other(seeds, dice),
    }
}

fn object(members: &mut Vec<(String, Json)>, seeds: &[Json], dice: &mut Dice) {
    let (at, to) = (dice.below(members.len()), dice.below(members.len()));
    match dice.below(10) {
        0 => members.swap(at, to),
        1 => members.rotate_left(at),
        2 => {
            for i in (1..members.len()).rev() {
                members.swap(i, dice.below(i + 1));
            }
        }
        3 => members[at].0 = (*dice.pick(&NAMES)).to_owned(),
        4 => members.insert(to, members[at].clone()),
        5 => drop(members.remove(at)),
        6 => members[at].0 = escaped(&members[at].0, dice),
        7 => members.insert(at, ((*dice.pick(&NAMES)).to_owned(), other(seeds, dice))),
        8 => {
            // Deeper by a level, under a name that the level above may have too.
            let inner = std::mem::replace(&mut members[at].1, Json::Scalar("null".to_owned()));
            members[at].1 = Json::Object(vec![((*dice.pick(&NAMES)).to_owned(), inner)]);
        }
        _ => members[at].1 = other(seeds, dice),
    }
}

/// Spells a scalar another way, or makes it another.
fn scalar(text: &mut String, dice: &mut Dice) {
    let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    *text = match dice.below(4) {
        0 => (*dice.pick(&VALUES)).to_owned(),
        1 | 2 if is_number => {
            let plain = text.bytes().all(|byte| byte.is_ascii_digit());
            let endings = ["e0", ".0", "E+1", "e-1", "0", ".25"];
            format!("{text}{}", if plain { *dice.pick(&endings) } else { "0" })
        }
        _ if text.starts_with('"') => {
            let inner = &text[1..text.len() - 1];
            match dice.below(3) {
                0 => format!("\"{}\"", escaped(inner, dice)),
                1 => format!("\"{inner}{}\"", dice.pick(&["é", "\\n", "\\/", "}", ",", "x"])),
                _ => serde_json::Value::from(text.as_str()).to_string(),
            }
        }
        _ => serde_json::Value::from(text.as_str()).to_string(),
    };
}

/// One letter as its escape.
fn escaped(text: &str, dice: &mut Dice) -> String {
    let letters: Vec<usize> = text
        .char_indices()
        .filter(|(at, c)| c.is_ascii_alphanumeric() && !text[..*at].contains('\\'))
        .map(|(at, _)| at)
        .collect();
    if letters.is_empty() {
        return format!("{text}\\u0041");
    }
    let at = *dice.pick(&letters);
    format!("{}\\u{:04x}{}", &text[..at], text.as_bytes()[at], &text[at + 1..])
}

/// Some value: a trap, or a piece of another seed.
fn other(seeds: &[Json], dice: &mut Dice) -> Json {
    if dice.once_in(2) {
        let text = *dice.pick(&VALUES);
        return Json::parse(text).unwrap_or_else(|| Json::Scalar(text.to_owned()));
    }
    let mut seed = dice.pick(seeds).clone();
    let piece = seed.somewhere(dice);
    std::mem::replace(piece, Json::Array(Vec::new()))
}

/// Changes some bytes, whatever they mean.
pub(crate) fn damage(text: &mut Vec<u8>, dice: &mut Dice) {
    if text.is_empty() {
        text.push(*dice.pick(BYTES));
        return;
    }
    let at = dice.below(text.len());
    match dice.below(6) {
        0 => text[at] = *dice.pick(BYTES),
        1 => text[at] = dice.next() as u8,
        2 => text.insert(at, *dice.pick(BYTES)),
        3 => drop(text.remove(at)),
        4 => text.truncate(at),
        _ => {
            let end = at + dice.below((text.len() - at).min(40)) + 1;
            let piece = text[at..end].to_vec();
            let to = dice.below(text.len());
            text.splice(to..to, piece);
        }
    }
}
