//! `.driftignore`: one pattern a line, `TYPE.ID` or `TYPE.ID.PATH.TO.FIELD`; `*` is any run of characters,
//! `\.` a dot of an id, and `!` takes back what lines before it ignore.

use super::IgnoredRules;
use super::sql::{self, INDEX, Segment};

/// Bytes of the rules of one file: each holds all that is taken back after it.
const BYTES: usize = 16 << 20;

pub(super) fn read(text: &str, found: &mut IgnoredRules) {
    let lines: Vec<(usize, &str, bool)> = text
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(at, line)| match line.strip_prefix('!') {
            Some(rest) => (at, rest, true),
            None => (
                at,
                line.strip_prefix('\\').filter(|l| l.starts_with(['!', '#'])).unwrap_or(line),
                false,
            ),
        })
        .collect();
    // The last line that fits decides: of all that is taken back, a rule leaves out what comes after it.
    let mut taken = String::new();
    let mut rules = Vec::new();
    for (at, line, back) in &lines {
        let condition = condition(line, found);
        if *back {
            taken.push_str(&format!(" and not ({condition})"));
        } else {
            rules.push((*at, *line, condition, taken.len()));
        }
    }
    let mut left = BYTES;
    for (at, line, condition, from) in rules {
        let place = format!("line {at}: {line}");
        let when = condition.len() + taken.len() - from;
        match left.checked_sub(when) {
            Some(rest) => {
                left = rest;
                found.add(line, condition + &taken[from..], &place);
            }
            None => found.refuse(&place, "too much is taken back after it"),
        }
    }
}

fn condition(line: &str, found: &mut IgnoredRules) -> String {
    let mut parts = parts(line).into_iter();
    let kind = parts.next().unwrap_or_default();
    // A lone `*` is everything, and a type alone all of its resources.
    let id = parts.next().unwrap_or_else(|| "*".to_owned());
    let path: Vec<Segment> = parts
        .map(|part| match part {
            part if part.chars().all(|c| c == '*') && !part.is_empty() => Segment::Any,
            part if part.contains('*') => Segment::Wild(part),
            part => Segment::Name(part),
        })
        .collect();
    if path.iter().any(sql::is_index) {
        found.note(INDEX);
    }
    // What ends in `*` is everything there, so that the rest of the path need not be there.
    let whole = path.iter().rposition(|segment| *segment != Segment::Any).map_or(0, |at| at + 1);
    let path = sql::at_or_below(&path[..whole]);
    sql::all([sql::column("type", &kind), sql::column("id", &id), path])
}

/// A line at its dots.
fn parts(line: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let last = parts.last_mut().expect("it begins with one");
        match c {
            '\\' => last.extend(chars.next()),
            '.' => parts.push(String::new()),
            c => last.push(c),
        }
    }
    parts
}
