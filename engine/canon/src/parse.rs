//! JSON text to nodes: simd-json's tape, and an exact way for numbers a double cannot hold.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use simd_json::{Buffers, Node as Tape, StaticNode};

use crate::node::{Node, SECRET_MEMBER, Secret};
use crate::number::Number;
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
    #[error("the member name `{SECRET_MEMBER}` is reserved")]
    Reserved,
}

/// Buffers that are reused from state to state, and what was learnt from them; one per thread.
#[derive(Default)]
pub struct Parser {
    text: Vec<u8>,
    buffers: Buffers,
    pub(crate) memo: Memo,
    pub(crate) types: TypeMemo,
}

impl std::fmt::Debug for Parser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parser").field("buffered", &self.text.capacity()).finish_non_exhaustive()
    }
}

/// What the walk needs to know besides the tape.
#[derive(Clone, Copy)]
struct Walk {
    depth: usize,
    stored: bool,
}

/// Why a walk stopped.
enum Stop {
    /// A number needs its text.
    Inexact,
    Error(CanonError),
}

impl Parser {
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
        self.text.clear();
        self.text.extend_from_slice(slice);
        let walk = Walk { depth: limits.depth, stored };
        match simd_json::to_tape_with_buffers(&mut self.text, &mut self.buffers) {
            Ok(tape) => {
                let mut nodes = tape.0.iter();
                match from_tape(&mut nodes, walk, 0) {
                    Ok(node) => Ok(node),
                    Err(Stop::Error(error)) => Err(error),
                    Err(Stop::Inexact) => exact(slice, walk),
                }
            }
            // simd-json refuses integers beyond 64 bits and doubles beyond range, which are JSON.
            Err(_) => exact(slice, walk),
        }
    }
}

fn from_tape<'t, 'i: 't>(
    nodes: &mut impl Iterator<Item = &'t Tape<'i>>,
    walk: Walk,
    depth: usize,
) -> Result<Node, Stop> {
    let malformed = || Stop::Error(CanonError::Malformed("it ends early".to_owned()));
    if depth > walk.depth {
        return Err(Stop::Error(CanonError::TooDeep(walk.depth)));
    }
    Ok(match nodes.next().ok_or_else(malformed)? {
        Tape::String(text) => Node::String((*text).into()),
        Tape::Static(StaticNode::Null) => Node::Null,
        Tape::Static(StaticNode::Bool(value)) => Node::Bool(*value),
        Tape::Static(StaticNode::I64(value)) => Node::Number(Number::Int(*value)),
        Tape::Static(StaticNode::U64(value)) => Node::Number(Number::from_u64(*value)),
        // Many decimals share a double: the text must tell which it is.
        Tape::Static(StaticNode::F64(_)) => return Err(Stop::Inexact),
        Tape::Array { len, .. } => {
            let mut items = Vec::with_capacity(*len);
            for _ in 0..*len {
                items.push(from_tape(nodes, walk, depth + 1)?);
            }
            Node::Array(items)
        }
        Tape::Object { len, .. } => {
            let mut members = Vec::with_capacity(*len);
            for _ in 0..*len {
                let Some(Tape::String(name)) = nodes.next() else { return Err(malformed()) };
                members.push((Box::from(*name), from_tape(nodes, walk, depth + 1)?));
            }
            object(members, walk).map_err(Stop::Error)?
        }
    })
}

/// Sorts members, refuses duplicates, and recognises what redaction left.
fn object(mut members: Vec<(Box<str>, Node)>, walk: Walk) -> Result<Node, CanonError> {
    members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(CanonError::DuplicateKey(pair[0].0.chars().take(128).collect()));
    }
    if members.iter().any(|(name, _)| &**name == SECRET_MEMBER) {
        if !walk.stored || members.len() != 1 {
            return Err(CanonError::Reserved);
        }
        let text = |name| match members[0].1.get(name) {
            Some(Node::String(text)) => Ok(text.clone()),
            _ => Err(CanonError::Reserved),
        };
        return Ok(Node::Secret(Secret {
            hmac: text("hmac")?,
            key_id: text("key_id")?,
            length: text("length")?,
        }));
    }
    Ok(Node::Object(members))
}

/// The slow way, which sees the text of every number. Depth is bounded by checking before descent.
fn exact(slice: &[u8], walk: Walk) -> Result<Node, CanonError> {
    let raw: &RawValue =
        serde_json::from_slice(slice).map_err(|error| CanonError::Malformed(error.to_string()))?;
    from_raw(raw, walk, 0)
}

fn from_raw(raw: &RawValue, walk: Walk, depth: usize) -> Result<Node, CanonError> {
    if depth > walk.depth {
        return Err(CanonError::TooDeep(walk.depth));
    }
    let malformed = |error: serde_json::Error| CanonError::Malformed(error.to_string());
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let Members(raws) = serde_json::from_str(text).map_err(malformed)?;
            let mut members = Vec::with_capacity(raws.len());
            for (name, value) in raws {
                members.push((name.into_boxed_str(), from_raw(value, walk, depth + 1)?));
            }
            object(members, walk)
        }
        Some(b'[') => {
            let Items(raws) = serde_json::from_str(text).map_err(malformed)?;
            let items: Result<_, _> =
                raws.into_iter().map(|item| from_raw(item, walk, depth + 1)).collect();
            Ok(Node::Array(items?))
        }
        Some(b'"') => {
            let text: String = serde_json::from_str(text).map_err(malformed)?;
            Ok(Node::String(text.into()))
        }
        Some(b't') => Ok(Node::Bool(true)),
        Some(b'f') => Ok(Node::Bool(false)),
        Some(b'n') => Ok(Node::Null),
        _ => Number::from_text(text).map(Node::Number).ok_or_else(|| {
            CanonError::Malformed("a number has an exponent of more than 15 digits".to_owned())
        }),
    }
}

/// The members of an object, duplicates included, which serde's maps would merge.
struct Members<'a>(Vec<(String, &'a RawValue)>);

/// The items of an array.
struct Items<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    members.push(entry);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemsVisitor;
        impl<'de> Visitor<'de> for ItemsVisitor {
            type Value = Items<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(ItemsVisitor)
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
