//! Which arrays have an order, which are sets, which are lists keyed by a field.
//!
//! The rules are data ([`ArrayRules::default`] reads `data/arrays.json`); users add their own, which
//! come first. An array that no rule names is ordered: an order-only difference is then its own kind
//! of finding, `reordered`, and never drift, so that the default hides nothing and cries no wolf.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use deployforge_model::Dialect;
use deployforge_model::path::{PathPattern, wildcard};
use serde::{Deserialize, Serialize};

use crate::node::{Keyed, Node};

/// What an array is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArrayKind {
    /// Order means something.
    Ordered,
    /// Order means nothing; duplicates count.
    Set,
    /// Elements are objects, named by a field.
    Keyed,
}

/// One rule: arrays at these paths of these types are of this kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrayRule {
    /// The dialect it speaks of; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// The resource type; `*` stands for any run of characters.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// A JSON Pointer in which a segment `*` is any one segment and `**` any number of them.
    pub path: String,
    /// What the array is.
    #[serde(rename = "as")]
    pub kind: ArrayKind,
    /// For keyed lists: the fields that may name an element, the first that fits is taken. Fields joined
    /// by `+` name it together, and `field=value` says what stands for one that is not given. Elements
    /// of an ordered array are then known by name too, and their order is told by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
}

/// A rule that cannot work.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RuleError {
    /// `as: keyed` without `key`.
    #[error(
        "the array rule for `{0}` says `keyed`, so it needs `key`: the field that names an element"
    )]
    NoKey(String),
    /// A path that is not a pointer.
    #[error("the rule's path `{0}` is not a JSON Pointer: start it with `/`")]
    NotAPointer(String),
    /// The fold `default` without a value.
    #[error("the rule for `{0}` asks `default`, so it needs `value`: what absence stands for")]
    NoValue(String),
    /// The fold `band` without its ends.
    #[error(
        "the rule for `{0}` asks `band`, so it needs `between`: the members that hold the least and the most"
    )]
    NoBand(String),
    /// A condition of a fold's rule that is no expression.
    #[error(
        "the condition `{0}` of a rule of `folds` is not a regular expression that can be used: {1}"
    )]
    Condition(String, String),
    /// A rule about secrets that has none or several of `path`, `name` and `text`.
    #[error(
        "a rule of `secrets` has one of `path` (with `type`, if you like), `name` and `text`: write one rule for each"
    )]
    NotOneSecret,
    /// A name that every member has.
    #[error("a `name` in `secrets` that fits every name would hide everything: say more than `*`")]
    AnyName,
    /// An expression that every text fits.
    #[error("a `text` in `secrets` that fits the empty text would hide every text")]
    AnyText,
    /// An expression that is none, or too large.
    #[error("a `text` in `secrets` is not a regular expression that can be used: {0}")]
    Pattern(String),
}

/// The rules in order of precedence, compiled per type on first use.
#[derive(Debug)]
pub struct ArrayRules {
    rules: Vec<ArrayRule>,
    compiled: RwLock<HashMap<(Dialect, String), Arc<TypeRules>>>,
}

/// The rules of one type.
#[derive(Debug, Default)]
pub(crate) struct TypeRules {
    rules: Vec<(PathPattern, ArrayKind, Vec<String>)>,
}

/// How many types are compiled at most: beyond it rules are compiled each time, not kept.
const TYPES_MAX: usize = 65_536;

impl Clone for ArrayRules {
    fn clone(&self) -> Self {
        Self { rules: self.rules.clone(), compiled: RwLock::default() }
    }
}

impl Default for ArrayRules {
    fn default() -> Self {
        let rules = serde_json::from_str(include_str!("../data/arrays.json"))
            .expect("the built-in rules parse, see the test");
        Self { rules, compiled: RwLock::default() }
    }
}

impl ArrayRules {
    /// The user's rules first, then the built-in ones.
    pub fn with(user: Vec<ArrayRule>) -> Result<Self, RuleError> {
        for rule in &user {
            if rule.kind == ArrayKind::Keyed && rule.key.is_empty() {
                return Err(RuleError::NoKey(rule.path.clone()));
            }
            if !rule.path.starts_with('/') {
                return Err(RuleError::NotAPointer(rule.path.clone()));
            }
        }
        let mut rules = user;
        rules.extend(Self::default().rules);
        Ok(Self { rules, compiled: RwLock::default() })
    }

    /// The rules in order of precedence.
    pub(crate) fn rules(&self) -> &[ArrayRule] {
        &self.rules
    }

    pub(crate) fn of(&self, dialect: Dialect, resource_type: &str) -> Arc<TypeRules> {
        let key = (dialect, resource_type.to_owned());
        if let Ok(compiled) = self.compiled.read()
            && let Some(rules) = compiled.get(&key)
        {
            return Arc::clone(rules);
        }
        let rules = self.rules.iter().filter(|rule| {
            rule.dialect.is_none_or(|d| d == dialect)
                && wildcard(&rule.resource_type, resource_type)
        });
        let rules =
            rules.map(|rule| (PathPattern::new(&rule.path), rule.kind, rule.key.clone())).collect();
        let rules = Arc::new(TypeRules { rules });
        if let Ok(mut compiled) = self.compiled.write()
            && compiled.len() < TYPES_MAX
        {
            compiled.insert(key, Arc::clone(&rules));
        }
        rules
    }
}

impl TypeRules {
    /// Whether every array of the type is ordered.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a rule may speak of one element of a list and not of another.
    pub(crate) fn names_elements(&self) -> bool {
        self.rules.iter().any(|(pattern, ..)| pattern.names_element())
    }

    /// What the array at a path is, and for keyed lists the fields that may name an element.
    pub(crate) fn of(&self, path: &[String]) -> (ArrayKind, &[String]) {
        self.number(path).map_or((ArrayKind::Ordered, &[]), |rule| self.rule(rule))
    }

    /// The number of the rule that speaks of the array at a path.
    pub(crate) fn number(&self, path: &[String]) -> Option<usize> {
        self.rules.iter().position(|(pattern, ..)| pattern.fits(path))
    }

    /// What a rule says.
    pub(crate) fn rule(&self, number: usize) -> (ArrayKind, &[String]) {
        let (_, kind, keys) = &self.rules[number];
        (*kind, keys)
    }
}

/// Turns arrays into sets and keyed lists where the rules say so. An array that a rule calls keyed
/// but whose elements are not all named, and named once, is a set, and one that it calls ordered stays an
/// array: nothing is lost, nothing guessed.
pub(crate) fn arrange(node: &mut Node, rules: &TypeRules, path: &mut Vec<String>) {
    if rules.rules.is_empty() {
        return;
    }
    match node {
        Node::Object(members) => {
            for (name, value) in members {
                if matches!(value, Node::Object(_) | Node::Array(_)) {
                    path.push(name.to_string());
                    arrange(value, rules, path);
                    path.pop();
                }
            }
        }
        Node::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                if matches!(item, Node::Object(_) | Node::Array(_)) {
                    path.push(i.to_string());
                    arrange(item, rules, path);
                    path.pop();
                }
            }
            let (kind, keys) = rules.of(path);
            match kind {
                ArrayKind::Ordered => {
                    if let Some(key) = keys.iter().find(|key| names_all(items, key)) {
                        *node = keyed(std::mem::take(items), key, true);
                    }
                }
                ArrayKind::Set => *node = set(std::mem::take(items)),
                ArrayKind::Keyed => {
                    let items = std::mem::take(items);
                    *node = match keys.iter().find(|key| names_all(&items, key)) {
                        Some(key) => keyed(items, key, false),
                        None => set(items),
                    };
                }
            }
        }
        _ => {}
    }
}

fn set(mut items: Vec<Node>) -> Node {
    items.sort_by_cached_key(Node::to_json);
    Node::Set(items)
}

/// Whether each element has the text field `key`, each with another value. An empty array has no
/// elements to say otherwise.
fn names_all(items: &[Node], key: &str) -> bool {
    let mut names: Vec<Box<str>> = Vec::with_capacity(items.len());
    for item in items {
        match name_of(item, key) {
            Some(name) => names.push(name),
            None => return false,
        }
    }
    names.sort_unstable();
    names.windows(2).all(|pair| pair[0] != pair[1])
}

/// The name that a field gives an element; `port+protocol=TCP`: several fields together, the last of which
/// is `TCP` where it is not given.
fn name_of(item: &Node, key: &str) -> Option<Box<str>> {
    if !key.contains(['+', '=']) {
        return match item.get(key) {
            Some(Node::String(name)) => Some(name.clone()),
            _ => None,
        };
    }
    let mut name = String::new();
    for part in key.split('+') {
        let (field, default) = part.split_once('=').map_or((part, None), |(f, d)| (f, Some(d)));
        if !name.is_empty() {
            name.push('+');
        }
        match item.get(field) {
            Some(Node::String(text)) => name.push_str(text),
            Some(Node::Number(number)) => name.push_str(&number.to_string()),
            _ => name.push_str(default?),
        }
    }
    Some(name.into())
}

fn keyed(items: Vec<Node>, key: &str, ordered: bool) -> Node {
    let name = |item: &Node| name_of(item, key).unwrap_or_default();
    let mut entries: Vec<_> = items.into_iter().map(|item| (name(&item), item)).collect();
    if !ordered {
        entries.sort_by(|a, b| a.0.cmp(&b.0));
    }
    Node::Keyed(Keyed { key: key.into(), entries, ordered })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Canon, Parser};
    use deployforge_model::Seed;

    fn state(resource_type: &str, text: &str) -> crate::State {
        Canon::default()
            .state(
                &mut Parser::default(),
                Dialect::AwsConfig,
                resource_type,
                text.as_bytes(),
                std::iter::empty(),
            )
            .unwrap()
    }

    #[test]
    fn sets_and_keyed_lists_have_no_order() {
        let a = state(
            "AWS::EC2::SecurityGroup",
            r#"{"configuration":{"ipPermissions":[{"p":1},{"p":2}],"tags":[{"key":"a","value":"1"},{"key":"b","value":"2"}]}}"#,
        );
        let b = state(
            "AWS::EC2::SecurityGroup",
            r#"{"configuration":{"ipPermissions":[{"p":2},{"p":1}],"tags":[{"value":"2","key":"b"},{"key":"a","value":"1"}]}}"#,
        );
        assert_eq!(a, b);
        assert_eq!(a.fingerprint(&Seed::new(3)), b.fingerprint(&Seed::new(3)));
        assert_eq!(a.root.to_json(), b.root.to_json());
    }

    #[test]
    fn leaves_cannot_be_swapped_between_set_elements() {
        let a = state(
            "AWS::EC2::SecurityGroup",
            r#"{"configuration":{"ipPermissions":[{"p":1,"q":1},{"p":2,"q":2}]}}"#,
        );
        let b = state(
            "AWS::EC2::SecurityGroup",
            r#"{"configuration":{"ipPermissions":[{"p":1,"q":2},{"p":2,"q":1}]}}"#,
        );
        assert_ne!(a, b);
        assert_ne!(a.fingerprint(&Seed::new(3)), b.fingerprint(&Seed::new(3)));
    }

    #[test]
    fn a_keyed_list_with_unnamed_elements_is_a_set() {
        let tags = |text: &str| state("T", text).root.get("tags").unwrap().clone();
        assert!(matches!(tags(r#"{"tags":[{"key":"a"},{"key":"a"}]}"#), Node::Set(_)));
        assert!(matches!(tags(r#"{"tags":["a","b"]}"#), Node::Set(_)));
        assert!(matches!(tags(r#"{"tags":[{"key":"a"},{"key":"b"}]}"#), Node::Keyed(_)));
    }

    #[test]
    fn an_ordered_list_with_a_key_has_an_order() {
        let pod = |env: &str| {
            let text = format!(r#"{{"spec":{{"containers":[{{"name":"c","env":{env}}}]}}}}"#);
            let (canon, none) = (Canon::default(), std::iter::empty());
            let parser = &mut Parser::default();
            canon.state(parser, Dialect::Kubernetes, "Pod", text.as_bytes(), none).unwrap()
        };
        let seed = Seed::new(3);
        for (a, b) in [
            (r#"[{"name":"P"},{"name":"X"}]"#, r#"[{"name":"X"},{"name":"P"}]"#),
            (
                r#"[{"name":"A","value":"1"},{"name":"A","value":"2"}]"#,
                r#"[{"name":"A","value":"2"},{"name":"A","value":"1"}]"#,
            ),
        ] {
            let (a, b) = (pod(a), pod(b));
            assert_ne!(a, b);
            assert_ne!(a.fingerprint(&seed), b.fingerprint(&seed));
            assert_ne!(a.root.to_json(), b.root.to_json());
        }
    }

    #[test]
    fn rules_that_cannot_work_are_refused() {
        let bad = ArrayRule {
            dialect: None,
            resource_type: "*".into(),
            path: "/x".into(),
            kind: ArrayKind::Keyed,
            key: vec![],
        };
        assert_eq!(ArrayRules::with(vec![bad]).unwrap_err(), RuleError::NoKey("/x".into()));
    }
}
