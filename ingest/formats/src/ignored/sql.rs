//! Pieces of SQL.

use deployforge_model::path::{join, push};

/// A text in quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text as a regular expression that fits nothing else.
pub(super) fn literal(text: &str) -> String {
    let mut expression = String::new();
    for c in text.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(c) {
            expression.push('\\');
        }
        expression.push(c);
    }
    expression
}

/// A text in which `*` stands for any run of characters, as a regular expression; `any` is what fits
/// such a run.
pub(super) fn wild(text: &str, any: &str) -> String {
    text.split('*').map(literal).collect::<Vec<_>>().join(any)
}

/// Whether a column fits a regular expression from end to end.
pub(super) fn fits(column: &str, expression: &str) -> String {
    format!("{column} ~ {}", quoted(&format!("^(?:{expression})$")))
}

/// Whether a column is a text in which `*` stands for any run of characters. `None`: it always is.
pub(super) fn column(column: &str, pattern: &str) -> Option<String> {
    match pattern {
        _ if pattern.chars().all(|c| c == '*') => None,
        _ if pattern.contains('*') => Some(fits(column, &wild(pattern, ".*"))),
        _ => Some(format!("{column} = {}", quoted(pattern))),
    }
}

/// A segment of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// A member or an element by its name or place.
    Name(String),
    /// A member whose name has runs of any characters at each `*`.
    Wild(String),
    /// Any one member or element.
    Any,
}

/// Whether a path is this one or below it. `None`: every path is.
pub(super) fn at_or_below(segments: &[Segment]) -> Option<String> {
    if segments.is_empty() {
        return None;
    }
    let plain = segments.iter().try_fold(String::new(), |mut path, segment| match segment {
        Segment::Name(name) => {
            push(&mut path, name);
            Some(path)
        }
        _ => None,
    });
    if let Some(path) = plain {
        let below = quoted(&format!("{path}/"));
        return Some(format!("(path = {} or starts_with(path, {below}))", quoted(&path)));
    }
    let each = segments.iter().map(|segment| match segment {
        Segment::Name(name) => format!("/{}", literal(&join("", name)[1..])),
        Segment::Wild(name) => format!("/{}", wild(&join("", name)[1..], "[^/]*")),
        Segment::Any => "/[^/]*".to_owned(),
    });
    let each: String = each.collect();
    Some(format!("path ~ {}", quoted(&format!("^{each}(?:/|$)"))))
}

/// The same, and where every path is, differences alone: not that a resource is missing or unmanaged.
pub(super) fn differences(segments: &[Segment]) -> String {
    at_or_below(segments).unwrap_or_else(|| "kind not in ('missing', 'unmanaged')".to_owned())
}

/// All conditions together.
pub(super) fn all(conditions: impl IntoIterator<Item = Option<String>>) -> String {
    let all: Vec<String> = conditions.into_iter().flatten().collect();
    if all.is_empty() { "true".to_owned() } else { all.join(" and ") }
}

/// Whether a segment names an element by its place.
pub(super) fn is_index(segment: &Segment) -> bool {
    matches!(segment, Segment::Name(name) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()))
}

/// What is to be known where a path names an element by its place.
pub(super) const INDEX: &str = "a path that names an element of a list by its number fits only where lists are compared by position; elements of keyed lists are addressed by name";

/// The segments of a JSON Pointer.
pub(super) fn pointer(text: &str) -> Option<Vec<Segment>> {
    if text.is_empty() || text == "/" {
        return Some(Vec::new());
    }
    let parts = text.strip_prefix('/')?.split('/');
    Some(parts.map(|part| Segment::Name(part.replace("~1", "/").replace("~0", "~"))).collect())
}
