//! `.driftignore`: one pattern a line, `TYPE.ID` or `TYPE.ID.PATH.TO.FIELD`; `*` is any run of characters,
//! `\.` a dot of an id, and `!` takes back what lines before it ignore.

use super::IgnoredRules;
use super::sql::{self, INDEX, Segment};

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
    for (i, (at, line, back)) in lines.iter().enumerate() {
        if *back {
            continue;
        }
        // The last line that fits decides.
        let kept: Vec<String> = lines[i + 1..]
            .iter()
            .filter(|(_, _, back)| *back)
            .map(|(_, line, _)| format!("not ({})", condition(line, found)))
            .collect();
        let own = condition(line, found);
        let when = if kept.is_empty() { own } else { format!("{own} and {}", kept.join(" and ")) };
        found.add(line, when, &format!("line {at}: {line}"));
    }
    if !found.rules.is_empty() {
        found.note("rules hide differences; a resource that is missing or unmanaged is reported all the same");
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
