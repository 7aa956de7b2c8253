//! Normalisers: statements that two different values mean the same.
//!
//! A fold is equality-gated: it is asked only about two values that differ, and answers for those
//! two values alone. Each has a name, is counted, and what it suppressed is kept. With
//! [`Normalise::Off`] none is asked, and null, absent and empty differ (RFC 6902 sense).

use serde::{Deserialize, Serialize};

use crate::node::Node;
use crate::parse::{Limits, Parser};

/// Which normalisers are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalise {
    /// None.
    Off,
    /// The standard catalogue.
    #[default]
    Standard,
}

/// A normaliser, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fold {
    /// `empty`: null, absent, `""`, `[]`, `{}` and objects of nothing but these say the same: nothing.
    Empty,
    /// `json-text`: two texts hold the same JSON container, or one text holds what the other side
    /// has as a container.
    JsonText,
}

impl Fold {
    /// Every fold of the catalogue.
    pub const ALL: [Self; 2] = [Self::Empty, Self::JsonText];

    /// The name, as it stands in history.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::JsonText => "json-text",
        }
    }
}

/// Which fold, if any, says that two values mean the same. `None` stands for an absent value. Only
/// asked about values that differ.
pub fn fold(
    normalise: Normalise,
    expected: Option<&Node>,
    observed: Option<&Node>,
) -> Option<Fold> {
    if normalise == Normalise::Off {
        return None;
    }
    let empty = |node: Option<&Node>| node.is_none_or(Node::is_hollow);
    if empty(expected) && empty(observed) {
        return Some(Fold::Empty);
    }
    json_text(expected?, observed?).then_some(Fold::JsonText)
}

/// Whether two texts of JSON values are scalars that are not equal and that no fold can make equal, as
/// is plain to see; then they are canonical as they stand. `None`: whoever asks has to compare them as
/// [`Node`]s.
pub fn plainly_differ<'t>(expected: &'t [u8], observed: &'t [u8]) -> Option<(&'t str, &'t str)> {
    let hollow = |text: &[u8]| matches!(text, b"null" | b"\"\"");
    if expected == observed || (hollow(expected) && hollow(observed)) {
        return None;
    }
    Some((plain(expected)?, plain(observed)?))
}

/// A scalar that is its own canonical text, and no JSON in a text.
fn plain(text: &[u8]) -> Option<&str> {
    let is_plain = match text {
        b"null" | b"true" | b"false" | b"\"\"" | b"0" => true,
        [b'"', first, .., b'"'] => {
            !matches!(first, b'{' | b'[' | 0..=b' ' | 0x7f..) && !text.contains(&b'\\')
        }
        [b'-', b'1'..=b'9', digits @ ..] | [b'1'..=b'9', digits @ ..] => {
            digits.len() < 17 && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    if is_plain { std::str::from_utf8(text).ok() } else { None }
}

fn json_text(expected: &Node, observed: &Node) -> bool {
    let container = |node: &Node| match node {
        Node::String(text) if text.trim_start().starts_with(['{', '[']) => {
            Parser::default().value(text.as_bytes(), Limits::default(), true).ok()
        }
        _ => None,
    };
    match (container(expected), container(observed)) {
        (Some(a), Some(b)) => a == b,
        (Some(a), None) if is_container(observed) => same_content(&a, observed),
        (None, Some(b)) if is_container(expected) => same_content(&b, expected),
        _ => false,
    }
}

fn is_container(node: &Node) -> bool {
    matches!(node, Node::Object(_) | Node::Array(_))
}

/// Equality of a parsed text with a tree in which rules may have made sets: only plain trees fold.
fn same_content(plain: &Node, tree: &Node) -> bool {
    plain == tree
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        Parser::default().value(text.as_bytes(), Limits::default(), false).unwrap()
    }

    fn check(expected: Option<&str>, observed: Option<&str>, want: Option<Fold>) {
        let (expected, observed) = (expected.map(node), observed.map(node));
        let got = fold(Normalise::Standard, expected.as_ref(), observed.as_ref());
        assert_eq!(got, want, "{expected:?} {observed:?}");
        assert_eq!(fold(Normalise::Off, expected.as_ref(), observed.as_ref()), None);
    }

    #[test]
    fn nothing_means_nothing() {
        for a in [None, Some("null"), Some("\"\""), Some("[]"), Some("{}")] {
            for b in [None, Some("null"), Some("\"\""), Some("[]"), Some("{}")] {
                check(a, b, Some(Fold::Empty));
            }
            check(a, Some("false"), None);
            check(Some("0"), a, None);
        }
    }

    #[test]
    fn json_in_text_is_compared_as_json() {
        check(
            Some(r#""{\"a\":1,\"b\":[1]}""#),
            Some(r#""{ \"b\":[1.0], \"a\":1}""#),
            Some(Fold::JsonText),
        );
        check(Some(r#""{\"a\":1}""#), Some(r#"{"a":1}"#), Some(Fold::JsonText));
        check(Some(r#""[1,2]""#), Some(r#""[2,1]""#), None);
        check(Some(r#""1""#), Some("1"), None);
    }
}
