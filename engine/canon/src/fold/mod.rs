//! Normalisers: statements that two different values mean the same.
//!
//! A fold is equality-gated: it is asked only about two values that differ, and answers for those
//! two values alone. Each has a name, is counted, and what it suppressed is kept. With
//! [`Normalise::Off`] none is asked, and null, absent and empty differ (RFC 6902 sense).
//!
//! Which folds are asked where is data: `data/folds.json` and the user's own rules (`rules`). How
//! each decides is code, one function per fold: `scalar` and `identity` for single values, `list`
//! for arrays and maps, `policy` for policy documents.

mod empty;
mod identity;
mod list;
mod policy;
mod rules;
mod scalar;

use serde::{Deserialize, Serialize};

use crate::node::Node;
use crate::parse::{Limits, Parser};

pub use rules::{Argument, FoldRule, FoldRules, FoldTable, TypeFolds};

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

macro_rules! folds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal),+ $(,)?) => {
        /// A normaliser, by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Fold { $($(#[doc = $doc])+ #[serde(rename = $name)] $variant),+ }

        impl Fold {
            /// Every fold of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name, as it stands in history.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// What it says, in words.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+)),+ }
            }
        }
    };
}

folds! {
    /// null, absent, an empty text and an empty list say the same: nothing; so does an empty object where
    /// it is a map of free names, or a format has no other
    Empty = "empty",
    /// two texts that hold the same JSON object or list; a text, and the object or list that it holds
    JsonText = "json-text",
    /// two policy documents that grant and deny the same: one or several in a list, the account's number
    /// or its root, order of statements, actions and principals
    Policy = "policy",
    /// a number, and the same number as text
    NumberText = "number-text",
    /// true or false, and the same as text
    BoolText = "bool-text",
    /// true or false, and a word that says on or off: `enabled`, `DISABLED`, `on`
    Switch = "switch",
    /// texts that differ in upper and lower case alone
    Case = "case",
    /// a name with and without the dot at its end
    TrailingDot = "trailing-dot",
    /// a URL or path with and without the slash at its end
    TrailingSlash = "trailing-slash",
    /// texts that differ in the white space around them alone
    Trim = "trim",
    /// texts that differ in white space and in upper and lower case alone: `West Europe` and `westeurope`
    Spaces = "spaces",
    /// a version that is declared in part, and the whole one: `1.3` and `1.3.5`
    VersionPrefix = "version-prefix",
    /// quantities in other units: `500m` and `0.5`, `1Gi` and `1073741824`
    Quantity = "quantity",
    /// durations in other units: `90s`, `1m30s`, `PT1M30S`, `90`
    Duration = "duration",
    /// rate expressions in other units: `rate(60 minutes)` and `rate(1 hour)`
    Rate = "rate",
    /// moments in another zone or with more or fewer digits, of the same second
    Timestamp = "timestamp",
    /// a text and its base64 form
    Base64 = "base64",
    /// a name, and the ARN, URL or path that ends with it
    Name = "name",
    /// a full link, and the end of it that is written where the rest is known
    Link = "link",
    /// a text, and the longer one that ends with it behind an underscore: `LRS` and `Standard_LRS`
    LastPart = "last-part",
    /// lists of the same elements in another order
    Unordered = "unordered",
    /// one element, and the list of just this one
    Single = "single",
    /// a list of words, and a map in which just these are true
    Flags = "flags",
    /// absent, and the value that absence stands for
    Default = "default",
    /// a zero, false or a list of nothing, and absent, where a format writes what is not there as zero
    Zero = "zero",
    /// the observed list has all that is declared, and more, which is the provider's
    Subset = "subset",
    /// a key that the provider adds by itself
    Managed = "managed",
    /// a name of which only the beginning is declared
    NamePrefix = "name-prefix",
    /// a count between the declared least and most, which a scaler moves
    Band = "band",
    /// `latest` and its like, which follow whatever is newest
    Latest = "latest",
    /// a value that can be written and never read back
    WriteOnly = "write-only",
    /// a member that is the provider's to say: a status, a counter, a time
    Volatile = "volatile",
}

impl Fold {
    /// Whether it says of more values than one that they all mean the same as the declared one: then
    /// such an attribute counts as not compared.
    pub fn is_lenient(self) -> bool {
        matches!(
            self,
            Self::Subset
                | Self::Managed
                | Self::NamePrefix
                | Self::Band
                | Self::Latest
                | Self::WriteOnly
                | Self::Volatile
        )
    }

    /// Whether it may speak of objects and lists as a whole, and so has to be asked about them.
    pub(crate) fn is_of_containers(self) -> bool {
        matches!(
            self,
            Self::Policy
                | Self::Unordered
                | Self::Single
                | Self::Flags
                | Self::Subset
                | Self::Volatile
                | Self::WriteOnly
                | Self::Default
        )
    }

    /// Whether it says that two values mean the same.
    pub(crate) fn holds(
        self,
        expected: Option<&Node>,
        observed: Option<&Node>,
        argument: Option<&Argument>,
    ) -> bool {
        match self {
            Self::Empty => empty::alike(expected, observed),
            Self::Default => list::default(expected, observed, argument),
            Self::Zero => scalar::zero(expected, observed) || scalar::zero(observed, expected),
            Self::Managed => expected.is_none() && observed.is_some(),
            Self::Volatile => true,
            Self::WriteOnly => scalar::write_only(expected, observed),
            _ => match (expected, observed) {
                (Some(expected), Some(observed)) => self.holds_of(expected, observed, argument),
                _ => false,
            },
        }
    }

    fn holds_of(self, expected: &Node, observed: &Node, argument: Option<&Argument>) -> bool {
        match self {
            Self::JsonText => json_text(expected, observed),
            Self::Policy => policy::same(expected, observed),
            Self::NumberText => scalar::number_text(expected, observed),
            Self::BoolText => scalar::bool_text(expected, observed),
            Self::Switch => scalar::switch(expected, observed),
            Self::Case => texts(expected, observed, scalar::case),
            Self::TrailingDot => texts(expected, observed, |a, b| scalar::trailing(a, b, '.')),
            Self::TrailingSlash => texts(expected, observed, |a, b| scalar::trailing(a, b, '/')),
            Self::Trim => texts(expected, observed, |a, b| a.trim() == b.trim()),
            Self::Spaces => texts(expected, observed, scalar::spaces),
            Self::VersionPrefix => texts(expected, observed, scalar::version_prefix),
            Self::Quantity => scalar::quantity(expected, observed),
            Self::Duration => scalar::duration(expected, observed),
            Self::Rate => texts(expected, observed, scalar::rate),
            Self::Timestamp => texts(expected, observed, scalar::timestamp),
            Self::Base64 => texts(expected, observed, scalar::base64),
            Self::Name => texts(expected, observed, identity::name),
            Self::Link => texts(expected, observed, identity::link),
            Self::LastPart => texts(expected, observed, identity::last_part),
            Self::NamePrefix => texts(expected, observed, |a, b| b.starts_with(a)),
            Self::Unordered => list::unordered(expected, observed),
            Self::Single => list::single(expected, observed),
            Self::Flags => list::flags(expected, observed),
            Self::Subset => list::subset(expected, observed),
            Self::Latest => scalar::latest(expected),
            Self::Band => list::band(expected, observed, argument),
            Self::Empty
            | Self::Default
            | Self::Zero
            | Self::Managed
            | Self::Volatile
            | Self::WriteOnly => false,
        }
    }
}

fn texts(expected: &Node, observed: &Node, same: impl Fn(&str, &str) -> bool) -> bool {
    match (expected, observed) {
        (Node::String(a), Node::String(b)) => same(a, b),
        _ => false,
    }
}

/// Whether two texts of JSON values are scalars that are not equal and that no fold that is asked
/// everywhere can make equal, as is plain to see; then they are canonical as they stand. `None`: whoever
/// asks has to compare them as [`Node`]s.
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

/// The object or list that a text holds as JSON.
pub(crate) fn container(text: &str) -> Option<Node> {
    if !text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    Parser::default().value(text.as_bytes(), Limits::default(), true).ok()
}

fn json_text(expected: &Node, observed: &Node) -> bool {
    let opened = |node: &Node| match node {
        Node::String(text) => container(text),
        _ => None,
    };
    match (opened(expected), opened(observed)) {
        (Some(a), Some(b)) => a == b,
        (Some(a), None) if is_container(observed) => a == *observed,
        (None, Some(b)) if is_container(expected) => b == *expected,
        _ => false,
    }
}

/// Rules may have made sets of arrays: only plain trees fold.
fn is_container(node: &Node) -> bool {
    matches!(node, Node::Object(_) | Node::Array(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        Parser::default().value(text.as_bytes(), Limits::default(), false).unwrap()
    }

    fn check(expected: Option<&str>, observed: Option<&str>, want: Option<Fold>) {
        let (expected, observed) = (expected.map(node), observed.map(node));
        let got = TypeFolds::everywhere().fold("/a", expected.as_ref(), observed.as_ref());
        assert_eq!(got, want, "{expected:?} {observed:?}");
        assert_eq!(TypeFolds::off().fold("/a", expected.as_ref(), observed.as_ref()), None);
    }

    #[test]
    fn nothing_means_nothing() {
        for a in [None, Some("null"), Some("\"\""), Some("[]")] {
            for b in [None, Some("null"), Some("\"\""), Some("[]")] {
                check(a, b, Some(Fold::Empty));
            }
            check(a, Some("false"), None);
            check(Some("0"), a, None);
            check(Some("{}"), a, None);
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

    /// What each fold says the same, and what it must not.
    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of pairs")]
    fn every_fold_holds_of_what_it_says_and_of_nothing_near() {
        let cases: &[(Fold, &str, &str, bool)] = &[
            (Fold::NumberText, "5", r#""5""#, true),
            (Fold::NumberText, "5", r#""5.0""#, true),
            (Fold::NumberText, "5", r#""6""#, false),
            (Fold::NumberText, "5", r#""5 ""#, false),
            (Fold::BoolText, "true", r#""TRUE""#, true),
            (Fold::BoolText, "true", r#""false""#, false),
            (Fold::BoolText, "true", r#""1""#, false),
            (Fold::Switch, "false", r#""Disabled""#, true),
            (Fold::Switch, "true", r#""disabled""#, false),
            (Fold::Switch, "true", r#""maybe""#, false),
            (Fold::Case, r#""EnAbled""#, r#""enabled""#, true),
            (Fold::Case, r#""Enabled""#, r#""Enable""#, false),
            (Fold::Spaces, r#""westeurope""#, r#""West Europe""#, true),
            (Fold::Spaces, r#""westeurope""#, r#""West Europe 2""#, false),
            (Fold::LastPart, r#""LRS""#, r#""Standard_LRS""#, true),
            (Fold::LastPart, r#""GRS""#, r#""Standard_RAGRS""#, false),
            (Fold::LastPart, r#""Standard_LRS""#, r#""Premium_LRS""#, false),
            (Fold::LastPart, r#""""#, r#""Standard_""#, false),
            (Fold::TrailingDot, r#""a.example.""#, r#""a.example""#, true),
            (Fold::TrailingDot, r#""a.example..""#, r#""a.example""#, false),
            (Fold::TrailingSlash, r#""https://a/""#, r#""https://a""#, true),
            (Fold::VersionPrefix, r#""1.3""#, r#""1.3.5.0""#, true),
            (Fold::VersionPrefix, r#""1.3""#, r#""1.30""#, false),
            (Fold::VersionPrefix, r#""1.3.5""#, r#""1.3""#, false),
            (Fold::Quantity, r#""500m""#, "0.5", true),
            (Fold::Quantity, r#""1Gi""#, r#""1073741824""#, true),
            (Fold::Quantity, r#""1024Mi""#, r#""1Gi""#, true),
            (Fold::Quantity, r#""1G""#, r#""1Gi""#, false),
            (Fold::Quantity, r#""500m""#, r#""501m""#, false),
            (Fold::Duration, r#""90s""#, r#""1m30s""#, true),
            (Fold::Duration, r#""PT1M30S""#, "90", true),
            (Fold::Duration, r#""PT1M30S""#, "91", false),
            (Fold::Duration, r#""1h""#, r#""60m""#, true),
            // Each part is a number that fits, and their sum is none.
            (
                Fold::Duration,
                r#""P1900000000000000000000000DT40000000000000000000000000H""#,
                r#""PT1H""#,
                false,
            ),
            (Fold::Rate, r#""rate(60 minutes)""#, r#""rate(1 hour)""#, true),
            (Fold::Rate, r#""rate(61 minutes)""#, r#""rate(1 hour)""#, false),
            (
                Fold::Timestamp,
                r#""2026-01-01T00:00:00Z""#,
                r#""2026-01-01T01:00:00.5+01:00""#,
                true,
            ),
            (Fold::Timestamp, r#""2026-01-01T00:00:00Z""#, r#""2026-01-01T00:00:02Z""#, false),
            (Fold::Base64, r#""hello""#, r#""aGVsbG8=""#, true),
            (Fold::Base64, r#""hello""#, r#""aGVsbG9v""#, false),
            (Fold::Name, r#""r""#, r#""arn:aws:iam::1:role/r""#, true),
            (Fold::Name, r#""q""#, r#""arn:aws:sqs:eu-west-1:1:q""#, true),
            (Fold::Name, r#""ole/r""#, r#""arn:aws:iam::1:role/r""#, false),
            (Fold::Name, r#""x""#, r#""arn:aws:iam::1:role/r""#, false),
            (
                Fold::Link,
                r#""default""#,
                r#""https://www.googleapis.com/compute/v1/projects/p/global/networks/default""#,
                true,
            ),
            (
                Fold::Link,
                r#""projects/p/global/networks/default""#,
                r#""https://www.googleapis.com/compute/beta/projects/p/global/networks/default""#,
                true,
            ),
            (
                Fold::Link,
                r#""projects/q/global/networks/default""#,
                r#""https://www.googleapis.com/compute/v1/projects/p/global/networks/default""#,
                false,
            ),
            (Fold::Unordered, r#"["a","b"]"#, r#"["b","a"]"#, true),
            (Fold::Unordered, r#"["a","a","b"]"#, r#"["b","b","a"]"#, false),
            (Fold::Single, r#"[{"a":1}]"#, r#"{"a":1}"#, true),
            (Fold::Single, r#""a""#, r#"["a"]"#, true),
            (Fold::Single, r#"[{"a":1},{"a":2}]"#, r#"{"a":1}"#, false),
            (Fold::Flags, r#"["a","b"]"#, r#"{"a":true,"b":true,"c":false}"#, true),
            (Fold::Flags, r#"["a"]"#, r#"{"a":true,"c":true}"#, false),
            (Fold::Subset, r#"["a"]"#, r#"["b","a"]"#, true),
            (Fold::Subset, r#"["a","c"]"#, r#"["b","a"]"#, false),
            (Fold::NamePrefix, r#""web-""#, r#""web-2026""#, true),
            (Fold::NamePrefix, r#""web-""#, r#""wab-2026""#, false),
            (Fold::Latest, r#""latest""#, r#""1.33""#, true),
            (Fold::Latest, r#""1.32""#, r#""1.33""#, false),
            (Fold::WriteOnly, r#""x""#, "null", true),
            (Fold::WriteOnly, r#""x""#, r#""****""#, true),
            (Fold::WriteOnly, r#""x""#, r#""y""#, false),
        ];
        for (fold, expected, observed, want) in cases {
            let (a, b) = (node(expected), node(observed));
            assert_eq!(
                fold.holds(Some(&a), Some(&b), None),
                *want,
                "{fold:?} {expected} {observed}"
            );
        }
    }

    /// Each element was held against all others.
    #[test]
    fn long_lists_are_not_compared_pair_by_pair() {
        let list = |names: &mut dyn Iterator<Item = u32>| {
            Node::Array(names.map(|name| Node::String(name.to_string().into())).collect())
        };
        let (a, b) = (list(&mut (0..50_000)), list(&mut (0..50_001).rev()));
        assert!(Fold::Subset.holds(Some(&a), Some(&b), None));
        assert!(!Fold::Subset.holds(Some(&b), Some(&a), None));
        let c = list(&mut (1..50_001));
        assert!(Fold::Subset.holds(Some(&c), Some(&b), None));
        assert!(!Fold::Subset.holds(Some(&c), Some(&a), None));
    }

    #[test]
    fn names_are_unique_and_meant() {
        for (at, fold) in Fold::ALL.iter().enumerate() {
            assert!(Fold::ALL[..at].iter().all(|other| other.name() != fold.name()));
            assert!(fold.meaning().starts_with(' '), "{}", fold.name());
        }
    }
}
