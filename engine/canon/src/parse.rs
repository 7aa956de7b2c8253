//! The parser: limits, and what is reused from state to state. What reads is a [`Decoder`].

use crate::decode::{Buffers, Decoder, Shape};
use crate::node::{Node, RESERVED};
use crate::rewrite::Scratch;
use crate::walk::{Memo, TypeMemo};

/// How deep and how large a state may be. Beyond a limit the observation is refused, never cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nesting levels.
    pub depth: usize,
    /// Bytes of one state slice.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 128, bytes: 16 << 20 }
    }
}

/// Why a state slice has no canonical form.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CanonError {
    /// Not JSON.
    #[error("the state is not valid JSON: {0}")]
    Malformed(String),
    /// JSON, but not an object.
    #[error("the state is not a JSON object")]
    NotAnObject,
    /// An object names a member twice.
    #[error("the member `{0}` stands twice in one object; which one counts is undefined")]
    DuplicateKey(String),
    /// Nested too deeply.
    #[error("the state is nested deeper than {0} levels")]
    TooDeep(usize),
    /// Too large.
    #[error("the state has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Bytes it has.
        size: usize,
        /// Bytes it may have.
        limit: usize,
    },
    /// A source used the name that marks redacted values.
    #[error("member names that begin with `{RESERVED}` are reserved")]
    Reserved,
}

/// Buffers that are reused from state to state, and what was learnt from them; one per thread.
#[derive(Default)]
pub struct Parser {
    decoder: Decoder,
    buffers: Buffers,
    pub(crate) memo: Memo,
    pub(crate) types: TypeMemo,
    pub(crate) scratch: Scratch,
}

impl std::fmt::Debug for Parser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parser").field("decoder", &self.decoder).finish_non_exhaustive()
    }
}

impl Parser {
    /// A parser that reads trees with this decoder; the default one reads with the default decoder.
    pub fn new(decoder: Decoder) -> Self {
        Self { decoder, ..Self::default() }
    }

    /// Parses one JSON object. `stored`: the text is our own canonical JSON, so a redacted value is
    /// taken as one; otherwise its marker is refused.
    pub(crate) fn parse(
        &mut self,
        slice: &[u8],
        limits: Limits,
        stored: bool,
    ) -> Result<Node, CanonError> {
        if slice.len() > limits.bytes {
            return Err(CanonError::TooLarge { size: slice.len(), limit: limits.bytes });
        }
        let node = self.value(slice, limits, stored)?;
        if matches!(node, Node::Object(_)) { Ok(node) } else { Err(CanonError::NotAnObject) }
    }

    /// Parses any JSON value.
    pub(crate) fn value(
        &mut self,
        slice: &[u8],
        limits: Limits,
        stored: bool,
    ) -> Result<Node, CanonError> {
        let shape = Shape { depth: limits.depth, stored };
        self.decoder.decode(&mut self.buffers, slice, shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Node, CanonError> {
        Parser::default().parse(text.as_bytes(), Limits::default(), false)
    }

    #[test]
    fn duplicates_are_refused_by_both_ways() {
        let error = CanonError::DuplicateKey("a".to_owned());
        assert_eq!(parse(r#"{"a":1,"b":2,"a":1}"#).unwrap_err(), error);
        assert_eq!(parse(r#"{"n":1e999,"x":{"a":1,"\u0061":2}}"#).unwrap_err(), error);
    }

    #[test]
    fn numbers_keep_their_value() {
        let a = parse(r#"{"n":123456789012345678901234567890,"s":"é\u00e9"}"#).unwrap();
        assert_eq!(a.to_json(), r#"{"n":1.2345678901234567890123456789e29,"s":"éé"}"#);
        assert_eq!(parse(r#"{"n":1.0}"#).unwrap(), parse(r#"{"n":1}"#).unwrap());
        assert_ne!(
            parse(r#"{"n":9007199254740993.0}"#).unwrap(),
            parse(r#"{"n":9007199254740992}"#).unwrap()
        );
    }

    #[test]
    fn depth_and_size_are_limited() {
        let limits = Limits { depth: 4, bytes: 1000 };
        let mut parser = Parser::default();
        let deep = br#"{"a":{"b":{"c":{"d":{"e":1}}}}}"#;
        assert_eq!(parser.parse(deep, limits, false).unwrap_err(), CanonError::TooDeep(4));
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(1000));
        assert!(matches!(
            parser.parse(long.as_bytes(), limits, false),
            Err(CanonError::TooLarge { .. })
        ));
        let bomb = "[".repeat(100_000);
        assert!(parse(&bomb).is_err());
        let bomb = format!("{{\"a\":{}1e999{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(&bomb).is_err(), "the exact way does not recurse without end either");
    }

    #[test]
    fn only_objects_are_states_and_the_marker_is_reserved() {
        assert_eq!(parse("[1]").unwrap_err(), CanonError::NotAnObject);
        assert!(matches!(parse("{"), Err(CanonError::Malformed(_))));
        assert_eq!(
            parse(r#"{"a":{"$deployforge.secret":{"hmac":"0","key_id":"k","length":"1-8"}}}"#)
                .unwrap_err(),
            CanonError::Reserved
        );
    }
}
