//! The short way through a configuration item on a line: the envelope without a parser.
//!
//! [`Scanner::scan`] reads the members of the item's envelope strictly, in any order, and claims of
//! one stretch of the line that it holds the members of the state. It does not look into that stretch:
//! where it ends is guessed from the line before. The claim is checked by whoever uses it, either by a
//! fingerprint equal to that of a text that was checked, or by reading the text; if it is wrong, the
//! record is read by the parser. Since the stretch then is a list of members, what stands before and
//! after it stands at the outermost level, as the scan took it to.
//!
//! Whatever is not plain (escapes, other letters than ASCII, missing parts, members it does not know)
//! is `None`: the parser decides. So a scan that gives a row gives what the parser would.

use deployforge_model::{
    Key128, MemberKind, Seed, Span, StateMember, Timestamp, WIDE, same, special,
};
use memchr::memmem::Finder;
use serde::de::IgnoredAny;

use crate::refusal::KEY_BYTES;

/// The members a claimed state may have. What the API spells otherwise is left to the parser.
pub(crate) const STATE: &[StateMember] = &[
    StateMember { name: "configuration", kind: MemberKind::Object },
    StateMember { name: "tags", kind: MemberKind::Any },
    StateMember { name: "relationships", kind: MemberKind::Any },
    StateMember { name: "supplementaryConfiguration", kind: MemberKind::EmptyObject },
    StateMember { name: "relatedEvents", kind: MemberKind::Ignored },
];

/// Members of the envelope that mean something here; the rest of the list is passed over.
const NAMES: [&str; 20] = [
    "resourceType",
    "resourceId",
    "ARN",
    "arn",
    "awsAccountId",
    "accountId",
    "awsRegion",
    "configurationItemCaptureTime",
    "configurationStateId",
    "configurationStateID",
    "configurationItemStatus",
    "resourceName",
    "configurationItemVersion",
    "version",
    "availabilityZone",
    "resourceCreationTime",
    "configurationItemMD5Hash",
    "configurationStateMd5Hash",
    "configurationItemDeliveryTime",
    "recordingFrequency",
];

const TYPE: usize = 0;
const ID: usize = 1;
const ARN: usize = 2;
const ARN_API: usize = 3;
const ACCOUNT: usize = 4;
const ACCOUNT_API: usize = 5;
const REGION: usize = 6;
const TIME: usize = 7;
const VERSION: usize = 8;
const VERSION_API: usize = 9;
const STATUS: usize = 10;
const NAME: usize = 11;

/// Scans the lines of one block; remembers how the line before was laid out.
#[derive(Debug)]
pub(crate) struct Scanner<'s> {
    seed: &'s Seed,
    key_seed: u64,
    /// The envelope's members of the line before: in order, each with the text of its name and how long
    /// it is; what stands behind is there to be compared at full width.
    order: Vec<(usize, Box<[u8]>, usize)>,
    layout: Layout,
}

/// Where the state stands in a line.
#[derive(Clone, Debug, Default)]
enum Layout {
    /// Nothing is known: the end of the state is found by parsing it.
    #[default]
    Unknown,
    /// At the end.
    Last,
    /// Before a member of this name, `,"name":`, with at most so many bytes from there to the end.
    Before(Box<Finder<'static>>, usize),
}

/// An envelope may be this much longer than those before it.
const SLACK: usize = 64;

/// What a scan found, in bytes of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) key128: Key128,
    pub(crate) raw: u64,
    pub(crate) version: Option<u64>,
    pub(crate) observed_at: Option<Timestamp>,
    pub(crate) state: Span,
    pub(crate) parts: [Span; 4],
    pub(crate) alias: Span,
}

/// The values of the envelope by name, as spans: absent ones start at [`ABSENT`], texts have the
/// highest bit of their length set.
type Values = [Span; NAMES.len()];

const ABSENT: Span = (u32::MAX, 0);
const TEXT: u32 = 1 << 31;

impl<'s> Scanner<'s> {
    pub(crate) fn new(seed: &'s Seed, key_seed: u64) -> Self {
        Self { seed, key_seed, order: Vec::new(), layout: Layout::Unknown }
    }

    /// Scans one line, without its newline.
    #[inline]
    pub(crate) fn scan(&mut self, line: &[u8]) -> Option<Item> {
        let space = |b: &&u8| matches!(b, b' ' | b'\t' | b'\r');
        let end = line.len() - line.iter().rev().take_while(space).count();
        let line = &line[..end];
        if line.len() >= TEXT as usize || line.first()? != &b'{' || line.last()? != &b'}' {
            return None;
        }
        let mut values: Values = [ABSENT; NAMES.len()];
        let mut seen = 0u32;
        let mut state: Option<(usize, usize)> = None;
        let mut at = 1;
        let mut member = 0;
        loop {
            at = skip_space(line, at);
            if let Some((which, value_at)) = self.expected(line, at, member) {
                member += 1;
                at = value(line, value_at, which, &mut values, &mut seen)?;
            } else {
                let (name, value_at) = name(line, at)?;
                if STATE.iter().any(|member| member.name.as_bytes() == name) {
                    // Two stretches of state are one too many for a claim.
                    if state.is_some() {
                        return None;
                    }
                    let end = self.state_end(line, at)?;
                    state = Some((at, end));
                    at = end;
                } else {
                    let which = NAMES.iter().position(|known| known.as_bytes() == name)?;
                    self.learn(member, which, &line[at..value_at]);
                    member += 1;
                    at = value(line, value_at, which, &mut values, &mut seen)?;
                }
            }
            at = skip_space(line, at);
            match line.get(at)? {
                b',' => at += 1,
                b'}' if at + 1 == line.len() => break,
                _ => return None,
            }
        }
        self.item(line, &values, state?)
    }

    /// The member at this place, if it is the one that stood there in the line before.
    #[inline]
    fn expected(&self, line: &[u8], at: usize, member: usize) -> Option<(usize, usize)> {
        let (which, text, length) = self.order.get(member)?;
        same(line.get(at..)?, text, *length).then_some((*which, at + length))
    }

    #[cold]
    fn learn(&mut self, member: usize, which: usize, text: &[u8]) {
        self.order.truncate(member);
        if self.order.len() < NAMES.len() {
            let padded = text.iter().copied().chain([0; WIDE]).collect();
            self.order.push((which, padded, text.len()));
        }
    }

    /// Where the state that begins at `at` ends, by the layout of the lines before.
    #[inline]
    fn state_end(&mut self, line: &[u8], at: usize) -> Option<usize> {
        match &mut self.layout {
            Layout::Last => return Some(line.len() - 1),
            Layout::Before(name, tail) => {
                let from = at.max(line.len().saturating_sub(*tail + SLACK));
                if let Some(found) = name.find(&line[from..]) {
                    *tail = (line.len() - from - found).max(*tail);
                    return Some(from + found);
                }
            }
            Layout::Unknown => {}
        }
        self.find_end(line, at)
    }

    /// Finds the end by reading, and remembers where it was.
    #[cold]
    fn find_end(&mut self, line: &[u8], mut at: usize) -> Option<usize> {
        loop {
            let (_, value_at) = name(line, at)?;
            let mut values =
                serde_json::Deserializer::from_slice(&line[value_at..]).into_iter::<IgnoredAny>();
            values.next()?.ok()?;
            let end = value_at + values.byte_offset();
            let next = skip_space(line, end);
            match line.get(next)? {
                b'}' => {
                    self.layout = Layout::Last;
                    return Some(line.len() - 1);
                }
                b',' => {}
                _ => return None,
            }
            at = skip_space(line, next + 1);
            let (name, after) = name(line, at)?;
            if !STATE.iter().any(|member| member.name.as_bytes() == name) {
                let name = Box::new(Finder::new(&line[next..after]).into_owned());
                self.layout = Layout::Before(name, line.len() - next);
                return Some(next);
            }
        }
    }

    /// Puts the values together as the parser does; whatever is not the usual case is `None`.
    #[inline]
    fn item(&self, line: &[u8], values: &Values, state: (usize, usize)) -> Option<Item> {
        // A span and whether it is a text.
        let get = |which: usize| -> Option<(Span, bool)> {
            let (start, length) = values[which];
            (start != ABSENT.0).then_some(((start, length & !TEXT), length & TEXT != 0))
        };
        let text = |which: usize| -> Option<Span> {
            let (span, quoted) = get(which)?;
            (quoted && span.1 > 0).then_some(span)
        };
        let either = |one: usize, other: usize| -> Option<Span> {
            if get(one).is_some() && get(other).is_some() {
                return None;
            }
            text(one).or_else(|| text(other))
        };
        let of = |span: Span| &line[span.0 as usize..(span.0 + span.1) as usize];
        match get(STATUS) {
            None => {}
            Some((span, true)) if matches!(of(span), b"OK" | b"ResourceDiscovered") => {}
            Some(_) => return None,
        }
        let observed_at = match get(TIME) {
            None => None,
            Some((span, true)) => Some(time(of(span))?),
            Some((_, false)) => return None,
        };
        let version = match (get(VERSION), get(VERSION_API)) {
            (None, None) => None,
            (Some((span, _)), None) | (None, Some((span, _))) => Some(digits(of(span))?),
            (Some(_), Some(_)) => return None,
        };
        let resource_type = text(TYPE)?;
        let id = text(ID)?;
        let account = either(ACCOUNT, ACCOUNT_API)?;
        let region = text(REGION)?;
        let alias = match (get(ARN), get(ARN_API)) {
            (None, None) => (0, 0),
            _ => either(ARN, ARN_API)?,
        };
        // A name that could name the resource in the whole world is an alias too.
        if let Some((name, quoted)) = get(NAME)
            && (!quoted || of(name).contains(&b'/') || of(name).starts_with(b"arn:"))
        {
            return None;
        }
        let parts = [account, region, resource_type, id];
        if parts.iter().any(|part| part.1 as usize > KEY_BYTES) {
            return None;
        }
        let [account, region, kind, id] = parts.map(of);
        let key128 = Key128::of_bytes([b"aws", account, region, kind, id], self.key_seed);
        let raw = self.seed.text(&line[state.0..state.1]).max(1);
        let state = (state.0 as u32, (state.1 - state.0) as u32);
        Some(Item { key128, raw, version, observed_at, state, parts, alias })
    }
}

#[inline]
fn skip_space(line: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r' | b'\n') = line.get(at) {
        at += 1;
    }
    at
}

/// A plain name and the place of its value.
fn name(line: &[u8], at: usize) -> Option<(&[u8], usize)> {
    if line.get(at)? != &b'"' {
        return None;
    }
    let end = string(line, at + 1)?;
    let colon = skip_space(line, end + 1);
    if line.get(colon)? != &b':' {
        return None;
    }
    Some((&line[at + 1..end], skip_space(line, colon + 1)))
}

/// Reads the value of a member of the envelope; returns the place after it.
#[inline]
fn value(
    line: &[u8],
    at: usize,
    which: usize,
    values: &mut Values,
    seen: &mut u32,
) -> Option<usize> {
    // A name that stands twice is refused by the parser.
    if *seen & (1 << which) != 0 {
        return None;
    }
    *seen |= 1 << which;
    let at = skip_space(line, at);
    match line.get(at)? {
        b'"' => {
            let end = string(line, at + 1)?;
            values[which] = ((at + 1) as u32, (end - at - 1) as u32 | TEXT);
            Some(end + 1)
        }
        b'1'..=b'9' => {
            let length = line[at..].iter().take_while(|b| b.is_ascii_digit()).count();
            values[which] = (at as u32, length as u32);
            Some(at + length)
        }
        b'n' if line[at..].starts_with(b"null") => Some(at + 4),
        _ => None,
    }
}

/// The end of a string of plain ASCII without escapes, whose first byte stands at `at`.
#[inline]
fn string(line: &[u8], at: usize) -> Option<usize> {
    let (length, ascii) = special(line.get(at..)?)?;
    (ascii && line[at + length] == b'"').then_some(at + length)
}

/// A whole number that fits.
#[inline]
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0'))
    })
}

/// `2026-11-20T10:00:00Z`, with at most six digits of a fraction; any other spelling is `None`.
#[inline]
fn time(text: &[u8]) -> Option<Timestamp> {
    let number = |range: std::ops::Range<usize>| digits(text.get(range)?).map(|n| n as i64);
    let fixed = text.len() >= 20
        && text[4] == b'-'
        && text[7] == b'-'
        && text[10] == b'T'
        && text[13] == b':'
        && text[16] == b':'
        && text[text.len() - 1] == b'Z';
    if !fixed {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    // Where months end is known to the parser.
    let day_of_month = (1..=28).contains(&day) || ((29..=30).contains(&day) && month != 2);
    let date = (1970..=2200).contains(&year) && (1..=12).contains(&month) && day_of_month;
    if !date || hour >= 24 || minute >= 60 || second >= 60 {
        return None;
    }
    let mut micros = 0;
    if text.len() > 20 {
        let places = text.len() - 21;
        if text[19] != b'.' || !(1..=6).contains(&places) {
            return None;
        }
        micros = number(20..20 + places)? * 10i64.pow(6 - places as u32);
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(Timestamp(seconds * 1_000_000 + micros))
}

/// Days since 1970 of a date of the Gregorian calendar, counted in years that begin in March, so that
/// the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_era = year.rem_euclid(400);
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_parser() {
        for text in [
            "2026-11-20T10:00:00Z",
            "1970-01-01T00:00:00Z",
            "2000-02-28T23:59:59.999999Z",
            "2024-12-30T01:02:03.5Z",
            "2199-03-01T00:00:00.001Z",
            "2100-01-29T00:00:00Z",
        ] {
            let fast = time(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(fast, Timestamp::parse(text).unwrap(), "{text}");
        }
        for text in [
            "2026-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-20 10:00:00Z",
            "2026-11-20T10:00:00+01:00",
            "2026-11-20T24:00:00Z",
            "",
        ] {
            assert_eq!(time(text.as_bytes()), None, "{text}");
        }
    }
}
