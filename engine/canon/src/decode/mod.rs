//! The seam between JSON text and nodes: nothing outside this module knows which decoder reads.
//!
//! A fast decoder gives the node that a text is, or nothing. It gives nothing where it cannot tell
//! exactly (a number whose text it does not keep) and where the text is to be refused; then the exact
//! way reads the text once more, gives the node, or says what is wrong. So decoders differ in speed
//! alone, and in nothing that they say. A property test and the fuzzer hold them together.

mod exact;
mod simd;
#[cfg(feature = "sonic")]
mod sonic;

use deployforge_model::UNRESOLVED_MEMBER;

use crate::node::{Node, RESERVED, SECRET_MEMBER, Secret};
use crate::parse::CanonError;

pub(crate) use simd::Buffers;

/// What turns JSON text into trees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decoder {
    /// simd-json: a tape over a copy of the text, then nodes.
    #[cfg_attr(not(feature = "sonic-default"), default)]
    SimdJson,
    /// sonic-rs: nodes straight from the text.
    #[cfg(feature = "sonic")]
    #[cfg_attr(feature = "sonic-default", default)]
    Sonic,
    /// serde_json alone, which has the last word on what the others do not decide.
    Exact,
}

impl Decoder {
    /// Every decoder there is.
    pub const ALL: &[Self] = &[
        Self::SimdJson,
        #[cfg(feature = "sonic")]
        Self::Sonic,
        Self::Exact,
    ];

    /// Reads a text.
    pub(crate) fn decode(
        self,
        buffers: &mut Buffers,
        slice: &[u8],
        shape: Shape,
    ) -> Result<Node, CanonError> {
        let node = match self {
            Self::SimdJson => buffers.decode(slice, shape),
            #[cfg(feature = "sonic")]
            Self::Sonic => sonic::decode(slice, shape),
            Self::Exact => None,
        };
        node.map_or_else(|| exact::decode(slice, shape), Ok)
    }
}

/// What a text may be like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Nesting levels at most.
    pub(crate) depth: usize,
    /// It is our own canonical JSON, so a redacted value is taken as one; otherwise its marker is
    /// refused.
    pub(crate) stored: bool,
}

/// Sorts members, refuses duplicates, and recognises what redaction left.
fn object(mut members: Vec<(Box<str>, Node)>, shape: Shape) -> Result<Node, CanonError> {
    members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(CanonError::DuplicateKey(pair[0].0.chars().take(128).collect()));
    }
    if let [(name, Node::String(reason))] = members.as_slice()
        && **name == *UNRESOLVED_MEMBER
    {
        return Ok(Node::Unresolved(reason.clone()));
    }
    if members.iter().any(|(name, _)| name.starts_with(RESERVED)) {
        if !shape.stored || members.len() != 1 || &*members[0].0 != SECRET_MEMBER {
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
