//! sonic-rs: nodes straight from the text, which it leaves as it is.

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use sonic_rs::Deserializer;

use super::{Shape, object};
use crate::node::Node;
use crate::number::Number;

pub(super) fn decode(slice: &[u8], shape: Shape) -> Option<Node> {
    let mut deserializer = Deserializer::from_slice(slice);
    let node = Value { shape, depth: 0 }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(node)
}

/// One value at a depth. Its errors say nothing: the exact way finds them again, and says more.
#[derive(Clone, Copy)]
struct Value {
    shape: Shape,
    depth: usize,
}

impl Value {
    /// What stands inside.
    fn inside(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }
}

fn undecided<E: Error>() -> E {
    E::custom("undecided")
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Node;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        if self.depth > self.shape.depth {
            Err(undecided())
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(Number::Int(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(Number::from_u64(value)))
    }

    /// Many decimals share a double: the text must tell which it is.
    fn visit_f64<E: Error>(self, _: f64) -> Result<Node, E> {
        Err(undecided())
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::String(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.inside())? {
            items.push(item);
        }
        Ok(Node::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key()? {
            members.push((name, map.next_value_seed(self.inside())?));
        }
        object(members, self.shape).map_err(|_| undecided())
    }
}
