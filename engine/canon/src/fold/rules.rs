//! Which folds are asked where: data, the user's own first. What a server fills in is data too, grouped
//! by the types and places that have the same (`grouped`).

mod beside;
mod grouped;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, RwLock};

use deployforge_model::Dialect;
use deployforge_model::path::{PathPattern, segments, wildcard};
use serde::{Deserialize, Serialize};

use super::{Fold, Normalise, empty};
use crate::node::Node;
use crate::parse::{Limits, Parser};
use crate::rules::RuleError;

use beside::Conditions;

/// One rule: at these paths of these types these folds are asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldRule {
    /// The dialect it speaks of; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// The resource type; `*` stands for any run of characters.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// A JSON Pointer in which a segment `*` is any one segment and `**` any number of them.
    pub path: String,
    /// The folds that are asked; none: at these paths nothing is folded, whatever later rules say.
    pub folds: Vec<Fold>,
    /// For `default`: the value that absence stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// For `band`: the members beside it that hold the least and the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between: Option<(String, String)>,
    /// For `managed`: beginnings of keys that are the provider's; none: every key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Where besides it holds.
    #[serde(flatten)]
    pub conditions: Conditions,
}

/// What a fold needs to know besides the two values.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    /// The value that absence stands for.
    Value(Node),
    /// The least and the most.
    Range(f64, f64),
}

/// The built-in rules as they are kept: rules of their own, and the names of those that may be
/// asked everywhere in a dialect.
#[derive(Debug, Deserialize)]
struct Data {
    rules: Vec<FoldRule>,
}

/// The rules in order of precedence, compiled per type on first use.
#[derive(Debug)]
pub struct FoldRules {
    rules: Vec<FoldRule>,
    off: Vec<Fold>,
    compiled: RwLock<HashMap<(Dialect, String), Arc<TypeFolds>>>,
}

/// How many types are compiled at most: beyond it rules are compiled each time, not kept.
const TYPES_MAX: usize = 65_536;

/// What every type is asked: these two are safe wherever they are.
const EVERYWHERE: [Fold; 2] = [Fold::Empty, Fold::JsonText];

/// The folds of one type.
#[derive(Clone, Debug, Default)]
pub struct TypeFolds {
    everywhere: Vec<Fold>,
    rules: Vec<Compiled>,
    containers: bool,
    /// An empty object is an empty map, never a choice.
    maps: bool,
}

/// The rules of one type in one dialect, as a table for people.
pub type FoldTable = Vec<(String, Vec<Fold>)>;

#[derive(Clone, Debug)]
struct Compiled {
    pattern: PathPattern,
    path: String,
    folds: Vec<Fold>,
    value: Option<Argument>,
    between: Option<(String, String)>,
    keys: Vec<String>,
    conditions: beside::Compiled,
}

impl Clone for FoldRules {
    fn clone(&self) -> Self {
        Self { rules: self.rules.clone(), off: self.off.clone(), compiled: RwLock::default() }
    }
}

impl Default for FoldRules {
    fn default() -> Self {
        let data: Data = serde_json::from_str(include_str!("../../data/folds.json"))
            .expect("the built-in rules parse, see the test");
        let mut rules = data.rules;
        rules.extend(grouped::built_in());
        Self { rules, off: Vec::new(), compiled: RwLock::default() }
    }
}

impl FoldRules {
    /// The user's rules first, then the built-in ones; `off` are never asked.
    pub fn with(user: Vec<FoldRule>, off: Vec<Fold>) -> Result<Self, RuleError> {
        for rule in &user {
            if !rule.path.starts_with('/') {
                return Err(RuleError::NotAPointer(rule.path.clone()));
            }
            rule.conditions.compile()?;
            let value = rule.value.is_some() || rule.conditions.beside.is_some();
            if rule.folds.contains(&Fold::Default) && !value {
                return Err(RuleError::NoValue(rule.path.clone()));
            }
            if rule.folds.contains(&Fold::Band) && rule.between.is_none() {
                return Err(RuleError::NoBand(rule.path.clone()));
            }
        }
        let mut rules = user;
        rules.extend(Self::default().rules);
        Ok(Self { rules, off, compiled: RwLock::default() })
    }

    /// The folds that are never asked.
    pub fn switched_off(&self) -> &[Fold] {
        &self.off
    }

    /// What decides, as a text: where it is the same, the same differences fold.
    pub fn stamp(&self) -> String {
        format!("{:?} {:?}", self.rules, self.off)
    }

    /// The folds of a type.
    pub fn of(
        &self,
        normalise: Normalise,
        dialect: Dialect,
        resource_type: &str,
    ) -> Arc<TypeFolds> {
        static OFF: LazyLock<Arc<TypeFolds>> = LazyLock::new(Arc::default);
        if normalise == Normalise::Off {
            return Arc::clone(&OFF);
        }
        let key = (dialect, resource_type.to_owned());
        if let Ok(compiled) = self.compiled.read()
            && let Some(folds) = compiled.get(&key)
        {
            return Arc::clone(folds);
        }
        let folds = Arc::new(self.compile(dialect, resource_type));
        if let Ok(mut compiled) = self.compiled.write()
            && compiled.len() < TYPES_MAX
        {
            compiled.insert(key, Arc::clone(&folds));
        }
        folds
    }

    fn compile(&self, dialect: Dialect, resource_type: &str) -> TypeFolds {
        let rules = self.rules.iter().filter(|rule| {
            rule.dialect.is_none_or(|d| d == dialect)
                && wildcard(&rule.resource_type, resource_type)
        });
        let mut folds = TypeFolds { maps: dialect == Dialect::Terraform, ..TypeFolds::default() };
        folds.everywhere.extend(EVERYWHERE.iter().filter(|fold| !self.off.contains(fold)));
        for rule in rules {
            folds.add(rule, &self.off);
        }
        folds
    }
}

impl TypeFolds {
    /// No fold at all.
    pub const fn off() -> Self {
        Self { everywhere: Vec::new(), rules: Vec::new(), containers: false, maps: false }
    }

    /// The folds that are asked everywhere, and no others.
    pub fn everywhere() -> Self {
        Self { everywhere: EVERYWHERE.to_vec(), ..Self::default() }
    }

    /// These folds with others that are asked at every path, after those of named paths.
    #[must_use]
    pub fn and_everywhere(mut self, folds: &[Fold]) -> Self {
        self.containers |= folds.iter().any(|fold| fold.is_of_containers());
        self.everywhere.extend(folds);
        self
    }

    /// Adds a rule behind those that are there.
    pub fn add(&mut self, rule: &FoldRule, off: &[Fold]) {
        let folds: Vec<Fold> =
            rule.folds.iter().copied().filter(|fold| !off.contains(fold)).collect();
        // An expression that is none was refused when the rule was made.
        let Ok(conditions) = rule.conditions.compile() else { return };
        // A band is told by what stands beside it.
        self.containers |= rule.folds.is_empty()
            || rule.conditions.look_around()
            || folds.iter().any(|fold| fold.is_of_containers() || *fold == Fold::Band);
        let value = rule.value.as_ref().and_then(|value| {
            let text = value.to_string();
            Parser::default().value(text.as_bytes(), Limits::default(), false).ok()
        });
        self.rules.push(Compiled {
            pattern: PathPattern::new(&rule.path),
            path: rule.path.clone(),
            folds,
            value: value.map(Argument::Value),
            between: rule.between.clone(),
            keys: rule.keys.clone(),
            conditions,
        });
    }

    /// Whether nothing is asked.
    pub fn is_off(&self) -> bool {
        self.everywhere.is_empty() && self.rules.is_empty()
    }

    /// Whether only the folds that are asked everywhere are, and those are about single values.
    pub fn is_plain(&self) -> bool {
        self.rules.is_empty() && !self.containers && self.everywhere.len() <= EVERYWHERE.len()
    }

    /// Whether a fold may speak of a whole object or list, or looks at what stands beside a value: then
    /// states are compared from their roots.
    pub fn asks_containers(&self) -> bool {
        self.containers
    }

    /// What is asked where, for people.
    pub fn table(&self) -> FoldTable {
        self.rules.iter().map(|rule| (rule.path.clone(), rule.folds.clone())).collect()
    }

    /// Which fold, if any, says that two values mean the same. `None` stands for an absent value. Only
    /// asked about values that differ.
    pub fn fold(
        &self,
        path: &str,
        expected: Option<&Node>,
        observed: Option<&Node>,
    ) -> Option<Fold> {
        self.fold_in(path, expected, observed, None)
    }

    /// As [`TypeFolds::fold`], with the declared state from its root, where folds may look beside.
    pub fn fold_in(
        &self,
        path: &str,
        expected: Option<&Node>,
        observed: Option<&Node>,
        root: Option<&Node>,
    ) -> Option<Fold> {
        if self.is_off() {
            return None;
        }
        if !self.rules.is_empty() {
            let segments: Vec<String> = segments(path).collect();
            for rule in self.rules.iter().filter(|rule| rule.pattern.fits(&segments)) {
                if !rule.conditions.hold(&segments, observed, root) {
                    continue;
                }
                if rule.folds.is_empty() {
                    return None;
                }
                if let Some(fold) = rule.holds(&segments, expected, observed, root) {
                    return Some(fold);
                }
            }
        }
        self.everywhere.iter().copied().find(|fold| match fold {
            Fold::Empty => empty::holds(path, expected, observed, self.maps),
            _ => fold.holds(expected, observed, None),
        })
    }

    /// The fold that says so of two whole objects or lists at a path.
    pub fn fold_whole(
        &self,
        path: &str,
        expected: &Node,
        observed: &Node,
        root: Option<&Node>,
    ) -> Option<Fold> {
        if !self.containers {
            return None;
        }
        self.fold_in(path, Some(expected), Some(observed), root)
            .filter(|fold| fold.is_of_containers())
    }
}

impl Compiled {
    fn holds(
        &self,
        path: &[String],
        expected: Option<&Node>,
        observed: Option<&Node>,
        root: Option<&Node>,
    ) -> Option<Fold> {
        let key_is_listed = || {
            self.keys.is_empty()
                || path.last().is_some_and(|key| self.keys.iter().any(|k| key.starts_with(k)))
        };
        self.folds.iter().copied().find(|fold| match fold {
            Fold::Managed => key_is_listed() && fold.holds(expected, observed, None),
            Fold::Band => {
                let range = root.and_then(|root| self.range(path, root));
                range.is_some_and(|range| fold.holds(expected, observed, Some(&range)))
            }
            Fold::Default if self.conditions.leads_elsewhere() => {
                let value = self.conditions.value(path, root).cloned().map(Argument::Value);
                fold.holds(expected, observed, value.as_ref())
            }
            _ => fold.holds(expected, observed, self.value.as_ref()),
        })
    }
}

impl Compiled {
    /// What stands beside the value at `path` as the least and the most.
    fn range(&self, path: &[String], root: &Node) -> Option<Argument> {
        let (least, most) = self.between.as_ref()?;
        let parent = beside::at(root, path.get(..path.len().checked_sub(1)?)?)?;
        let number = |name: &str| match parent.get(name)? {
            Node::Number(number) => number.to_string().parse::<f64>().ok(),
            Node::String(text) => text.parse().ok(),
            _ => None,
        };
        Some(Argument::Range(number(least)?, number(most)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        Parser::default().value(text.as_bytes(), Limits::default(), false).unwrap()
    }

    fn rule(text: &str) -> FoldRule {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_built_in_rules_hold_together() {
        let built_in = FoldRules::default();
        assert!(FoldRules::with(built_in.rules.clone(), Vec::new()).is_ok());
    }

    /// Rules for any depth folded what users had called so: a variable, an action of a workflow.
    #[test]
    fn what_is_volatile_stands_where_providers_put_it() {
        let rules = FoldRules::default();
        let ask = |dialect, kind: &str, path: &str| {
            let folds = rules.of(Normalise::Standard, dialect, kind);
            folds.fold(path, Some(&node("\"x\"")), Some(&node("\"y\"")))
        };
        let google = |kind: &str, path: &str| ask(Dialect::Google, kind, path);
        let azure = |kind: &str, path: &str| ask(Dialect::Azure, kind, path);
        for found in [
            google("run.googleapis.com/Service", "/etag"),
            google("compute.googleapis.com/Instance", "/networkInterfaces/0/fingerprint"),
            azure("microsoft.logic/workflows", "/etag"),
            azure("microsoft.network/virtualnetworks", "/properties/subnets/0/etag"),
        ] {
            assert_eq!(found, Some(Fold::Volatile));
        }
        for found in [
            google("cloudfunctions.googleapis.com/Function", "/environmentVariables/etag"),
            google("cloudfunctions.googleapis.com/Function", "/environmentVariables/fingerprint"),
            google("compute.googleapis.com/Instance", "/labels/fingerprint"),
            azure("microsoft.logic/workflows", "/properties/definition/actions/etag"),
            azure("microsoft.network/virtualnetworks", "/tags/etag"),
        ] {
            assert_eq!(found, None);
        }
    }

    #[test]
    fn rules_are_asked_in_order_where_they_fit() {
        let rules = vec![
            rule(r#"{"type":"t","path":"/tags/**","folds":[]}"#),
            rule(r#"{"type":"t","path":"/**","folds":["case"]}"#),
            rule(r#"{"type":"t","path":"/flag","folds":["default"],"value":false}"#),
        ];
        let rules = FoldRules::with(rules, vec![Fold::JsonText]).unwrap();
        let folds = rules.of(Normalise::Standard, Dialect::Native, "t");
        let ask = |path: &str, a: Option<&str>, b: Option<&str>| {
            let (a, b) = (a.map(node), b.map(node));
            folds.fold(path, a.as_ref(), b.as_ref())
        };
        assert_eq!(ask("/a", Some("\"X\""), Some("\"x\"")), Some(Fold::Case));
        assert_eq!(ask("/tags/a", Some("\"X\""), Some("\"x\"")), None);
        assert_eq!(ask("/tags/a", Some("\"\""), None), None, "not even what is asked everywhere");
        assert_eq!(ask("/flag", Some("false"), None), Some(Fold::Default));
        assert_eq!(ask("/flag", None, Some("false")), Some(Fold::Default));
        assert_eq!(ask("/flag", Some("true"), None), None);
        assert_eq!(ask("/a", Some(r#""{}""#), Some("{}")), None, "switched off");
        let other = rules.of(Normalise::Standard, Dialect::Native, "u");
        assert!(other.is_plain());
        assert!(rules.of(Normalise::Off, Dialect::Native, "t").is_off());
    }

    #[test]
    fn a_band_is_told_by_what_stands_beside_it() {
        let band =
            rule(r#"{"type":"t","path":"/*/desired","folds":["band"],"between":["min","max"]}"#);
        let rules = FoldRules::with(vec![band], Vec::new()).unwrap();
        let folds = rules.of(Normalise::Standard, Dialect::Native, "t");
        let root = node(r#"{"g":{"min":1,"max":4,"desired":2}}"#);
        let ask = |observed: &str| {
            let (a, b) = (node("2"), node(observed));
            folds.fold_in("/g/desired", Some(&a), Some(&b), Some(&root))
        };
        assert_eq!(ask("4"), Some(Fold::Band));
        assert_eq!(ask("5"), None);
        assert_eq!(folds.fold("/g/desired", Some(&node("2")), Some(&node("4"))), None);
    }

    #[test]
    fn conditions_look_beside_the_value() {
        let rules = [
            r#"{"type":"t","path":"/ports/*/target","folds":["default"],"beside":"port"}"#,
            r#"{"type":"t","path":"/requests/*","folds":["default"],"beside":"../limits/*"}"#,
            r#"{"type":"t","path":"/pull","folds":["default"],"value":"A","where":{"image":"^a$"}}"#,
            r#"{"type":"t","path":"/pull","folds":["default"],"value":"B","where":{"/image":"."},"unless":{"image":"^a$"}}"#,
            r#"{"type":"t","path":"/ip","folds":["managed"],"observed":"^[0-9.]+$"}"#,
        ];
        let rules = FoldRules::with(rules.map(rule).to_vec(), Vec::new()).unwrap();
        let folds = rules.of(Normalise::Standard, Dialect::Native, "t");
        let ask = |root: &str, path: &str, observed: &str| {
            folds.fold_in(path, None, Some(&node(observed)), Some(&node(root))).is_some()
        };
        let root =
            r#"{"image":"a","ports":[{"port":1},{"port":2}],"limits":{"cpu":1},"requests":{}}"#;
        assert!(ask(root, "/ports/1/target", "2"));
        assert!(!ask(root, "/ports/1/target", "1"));
        assert!(ask(root, "/requests/cpu", "1"));
        assert!(!ask(root, "/requests/memory", "1"));
        assert!(ask(root, "/pull", r#""A""#));
        assert!(!ask(root, "/pull", r#""B""#));
        assert!(ask(r#"{"image":"b"}"#, "/pull", r#""B""#));
        assert!(!ask(r#"{"image":"b"}"#, "/pull", r#""A""#));
        assert!(!ask("{}", "/pull", r#""B""#), "nothing stands there that could fit");
        assert!(ask(root, "/ip", r#""10.0.0.1""#));
        assert!(!ask(root, "/ip", r#""None""#));
        assert!(folds.fold("/pull", None, Some(&node(r#""A""#))).is_none(), "seen from nowhere");
        let bad = rule(r#"{"type":"t","path":"/a","folds":["managed"],"observed":"("}"#);
        assert!(matches!(FoldRules::with(vec![bad], vec![]), Err(RuleError::Condition(..))));
        let unknown = r#"{"type":"t","path":"/a","folds":[],"wher":{}}"#;
        assert!(serde_json::from_str::<FoldRule>(unknown).is_err());
    }
}
