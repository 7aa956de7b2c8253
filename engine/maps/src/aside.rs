//! What of a state says nothing of the resource itself.

use deployforge_canon::Node;
use deployforge_model::Dialect;
use deployforge_model::path::push;

use crate::align::elements;
use crate::data::Maps;
use crate::names::Side;

impl Maps {
    /// The members of a state that say nothing of the resource itself, as pointers: how the tool treats
    /// it, what its key holds, and what another member says in full.
    pub fn aside(&self, (dialect, resource_type): (Dialect, &str), state: &Node) -> Vec<String> {
        let Some(kind) = self.kind(dialect, resource_type) else { return Vec::new() };
        let side = Side::new(kind, dialect, state);
        let mut all = Vec::new();
        aside(&side, state, &mut Vec::new(), &mut String::new(), &mut all);
        all
    }
}

fn aside(
    side: &Side<'_>,
    node: &Node,
    own: &mut Vec<String>,
    path: &mut String,
    all: &mut Vec<String>,
) {
    let mut below =
        |own: &mut Vec<String>, name: &str, segment: &str, inner: &Node, all: &mut Vec<String>| {
            let length = path.len();
            push(path, segment);
            own.push(name.to_owned());
            if side.is_set_aside(own) {
                all.push(path.clone());
            } else {
                aside(side, inner, own, path, all);
            }
            own.pop();
            path.truncate(length);
        };
    match node {
        Node::Object(members) => {
            members.iter().for_each(|(name, inner)| below(own, name, name, inner, all));
        }
        list => {
            for (number, inner) in elements(list).unwrap_or_default().into_iter().enumerate() {
                below(own, "*", &number.to_string(), inner, all);
            }
        }
    }
}
