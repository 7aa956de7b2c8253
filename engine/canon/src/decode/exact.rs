//! The exact way, over serde_json: it sees the text of every number, and says what is wrong. Each level
//! is read again for its members, which is slow. Depth is bounded by checking before descent.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Shape, object};
use crate::node::Node;
use crate::number::Number;
use crate::parse::CanonError;

/// Reads a text, or says why it has no canonical form.
pub(super) fn decode(slice: &[u8], shape: Shape) -> Result<Node, CanonError> {
    let raw: &RawValue =
        serde_json::from_slice(slice).map_err(|error| CanonError::Malformed(error.to_string()))?;
    from_raw(raw, shape, 0)
}

fn from_raw(raw: &RawValue, shape: Shape, depth: usize) -> Result<Node, CanonError> {
    if depth > shape.depth {
        return Err(CanonError::TooDeep(shape.depth));
    }
    let malformed = |error: serde_json::Error| CanonError::Malformed(error.to_string());
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let Members(raws) = serde_json::from_str(text).map_err(malformed)?;
            let mut members = Vec::with_capacity(raws.len());
            for (name, value) in raws {
                members.push((name.into_boxed_str(), from_raw(value, shape, depth + 1)?));
            }
            object(members, shape)
        }
        Some(b'[') => {
            let Items(raws) = serde_json::from_str(text).map_err(malformed)?;
            let items: Result<_, _> =
                raws.into_iter().map(|item| from_raw(item, shape, depth + 1)).collect();
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
