//! Random states, and the same state written in other ways.

use deployforge_canon::{Canon, Node, Parser};
use deployforge_model::Dialect;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// The type whose array rules the states with sets use.
pub(crate) const TYPE: &str = "AWS::EC2::SecurityGroup";

/// The names of members: few, so that states share them, and some that a pointer has to escape.
const NAMES: [&str; 8] = ["a", "b", "c", "long name", "x/y", "m~n", "", "ü"];

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..4).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-8_i32..8).prop_map(|n| json!(f64::from(n) / 4.0)),
        "[a-c/~\"\\\\é]{0,3}".prop_map(Value::from),
    ]
}

/// Any JSON, a few levels deep.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            members(inner).prop_map(Value::Object),
        ]
    })
}

fn members(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((0..NAMES.len(), inner), 0..5).prop_map(|list| {
        list.into_iter().map(|(name, value)| (NAMES[name].to_owned(), value)).collect()
    })
}

/// An object whose arrays are all ordered.
pub(crate) fn plain() -> impl Strategy<Value = Value> {
    members(value()).prop_map(Value::Object)
}

/// The state of a security group: a set of rules, keyed tags, a set of relationships, and the rest.
pub(crate) fn group() -> impl Strategy<Value = Value> {
    let rules = prop::collection::vec(value(), 0..5);
    let tags = prop::collection::btree_map("[a-d]", "[x-z]{0,2}", 0..4);
    let relationships = prop::collection::vec(plain(), 0..3);
    (rules, tags, relationships, plain()).prop_map(|(rules, tags, relationships, rest)| {
        let tags: Vec<Value> =
            tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        json!({
            "configuration": {"ipPermissions": rules, "tags": tags, "rest": rest},
            "relationships": relationships,
        })
    })
}

/// A shuffle: how members, and elements of what has no order, are arranged.
#[derive(Clone, Debug)]
pub(crate) struct Shuffle(u64);

pub(crate) fn shuffle() -> impl Strategy<Value = Shuffle> {
    any::<u64>().prop_map(Shuffle)
}

impl Shuffle {
    fn roll(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// A number less than `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub(crate) fn mix<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            let other = (self.roll() % (i as u64 + 1)) as usize;
            list.swap(i, other);
        }
    }

    /// The same JSON with its members in another order, other white space, other spellings of
    /// numbers.
    pub(crate) fn write(&mut self, value: &Value) -> String {
        let space = ["", " ", "\n\t"][(self.roll() % 3) as usize];
        match value {
            Value::Object(members) => {
                let mut members: Vec<(&String, &Value)> = members.iter().collect();
                self.mix(&mut members);
                let parts: Vec<String> = members
                    .into_iter()
                    .map(|(name, value)| format!("{}{space}:{}", json!(name), self.write(value)))
                    .collect();
                format!("{{{space}{}}}", parts.join(","))
            }
            Value::Array(items) => {
                let parts: Vec<String> = items.iter().map(|item| self.write(item)).collect();
                format!("[{}{space}]", parts.join(","))
            }
            Value::Number(number) => match (number.as_i64(), self.roll() % 3) {
                (Some(whole), 0) => format!("{whole}.0"),
                (Some(whole), 1) => format!("{whole}e0"),
                _ => number.to_string(),
            },
            other => other.to_string(),
        }
    }

    /// The group with its sets and keyed lists in another order.
    pub(crate) fn rearrange(&mut self, group: &Value) -> Value {
        let mut group = group.clone();
        for path in ["/configuration/ipPermissions", "/configuration/tags", "/relationships"] {
            if let Some(Value::Array(items)) = group.pointer_mut(path) {
                self.mix(items);
            }
        }
        group
    }
}

/// The canonical tree of a state of [`TYPE`].
pub(crate) fn node(text: &str) -> Node {
    let canon = Canon::default();
    let mut parser = Parser::default();
    let state =
        canon.state(&mut parser, Dialect::AwsConfig, TYPE, text.as_bytes(), std::iter::empty());
    state.unwrap_or_else(|error| panic!("{error}: {text}")).root
}

/// The canonical tree of a state without array rules.
pub(crate) fn plain_node(value: &Value) -> Node {
    let text = value.to_string();
    let canon = Canon::default();
    let state = canon.value(&mut Parser::default(), Dialect::Native, "plain", text.as_bytes());
    state.unwrap_or_else(|error| panic!("{error}: {text}")).root
}

/// The pointers of every leaf.
pub(crate) fn leaves(value: &Value) -> Vec<String> {
    fn walk(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (name, value) in members {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    walk(value, &format!("{path}/{name}"), found);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for (i, item) in items.iter().enumerate() {
                    walk(item, &format!("{path}/{i}"), found);
                }
            }
            _ => found.push(path.to_owned()),
        }
    }
    let mut found = Vec::new();
    walk(value, "", &mut found);
    found
}
