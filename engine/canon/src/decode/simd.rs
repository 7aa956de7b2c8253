//! simd-json: its tape, then nodes from the tape.

use simd_json::{Node as Tape, StaticNode};

use super::{Shape, object};
use crate::node::Node;
use crate::number::Number;

/// What is reused from text to text. simd-json writes into the text it reads, so it reads a copy.
#[derive(Default)]
pub(crate) struct Buffers {
    text: Vec<u8>,
    tape: simd_json::Buffers,
}

impl Buffers {
    pub(super) fn decode(&mut self, slice: &[u8], shape: Shape) -> Option<Node> {
        self.text.clear();
        self.text.extend_from_slice(slice);
        // It refuses integers beyond 64 bits and doubles beyond range, which are JSON.
        let tape = simd_json::to_tape_with_buffers(&mut self.text, &mut self.tape).ok()?;
        from_tape(&mut tape.0.iter(), shape, 0)
    }
}

fn from_tape<'t, 'i: 't>(
    nodes: &mut impl Iterator<Item = &'t Tape<'i>>,
    shape: Shape,
    depth: usize,
) -> Option<Node> {
    if depth > shape.depth {
        return None;
    }
    Some(match nodes.next()? {
        Tape::String(text) => Node::String((*text).into()),
        Tape::Static(StaticNode::Null) => Node::Null,
        Tape::Static(StaticNode::Bool(value)) => Node::Bool(*value),
        Tape::Static(StaticNode::I64(value)) => Node::Number(Number::Int(*value)),
        Tape::Static(StaticNode::U64(value)) => Node::Number(Number::from_u64(*value)),
        // Many decimals share a double: the text must tell which it is.
        Tape::Static(StaticNode::F64(_)) => return None,
        Tape::Array { len, .. } => {
            let mut items = Vec::with_capacity(*len);
            for _ in 0..*len {
                items.push(from_tape(nodes, shape, depth + 1)?);
            }
            Node::Array(items)
        }
        Tape::Object { len, .. } => {
            let mut members = Vec::with_capacity(*len);
            for _ in 0..*len {
                let Some(Tape::String(name)) = nodes.next() else { return None };
                members.push((Box::from(*name), from_tape(nodes, shape, depth + 1)?));
            }
            object(members, shape).ok()?
        }
    })
}
