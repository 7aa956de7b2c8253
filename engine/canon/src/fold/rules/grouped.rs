//! What a server fills in: `data/kubernetes-defaults.json`. Many types hold the same part at another place,
//! as a pod's specification, so rules are kept in groups: the types and places of a part, and the rules
//! of it.

use std::collections::BTreeMap;

use deployforge_model::Dialect;
use serde::Deserialize;
use serde_json::Value;

use super::{Conditions, FoldRule};
use crate::fold::Fold;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    /// Where it is known from; for those who change the data.
    #[serde(rename = "from")]
    _from: String,
    /// The types that hold the part, and where; paths of the rules go on from there.
    at: BTreeMap<String, Vec<String>>,
    /// What absence stands for, by path.
    #[serde(default)]
    defaults: BTreeMap<String, Value>,
    /// What the server assigns where nothing is declared.
    #[serde(default)]
    assigned: Vec<String>,
    /// What takes more to say.
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    path: String,
    folds: Vec<Fold>,
    #[serde(default)]
    value: Option<Value>,
    #[serde(default)]
    keys: Vec<String>,
    #[serde(flatten)]
    conditions: Conditions,
}

/// The built-in rules of all groups.
pub(super) fn built_in() -> Vec<FoldRule> {
    let groups: Vec<Group> =
        serde_json::from_str(include_str!("../../../data/kubernetes-defaults.json"))
            .expect("the built-in defaults parse, see the test");
    groups.iter().flat_map(Group::rules).collect()
}

impl Group {
    fn rules(&self) -> Vec<FoldRule> {
        let mut all = Vec::new();
        for (resource_type, places) in &self.at {
            for place in places {
                self.at_place(resource_type, place, &mut all);
            }
        }
        all
    }

    /// The rules of the part at one place; those that say more come first.
    fn at_place(&self, resource_type: &str, place: &str, all: &mut Vec<FoldRule>) {
        let rule = |path: &str, folds: &[Fold]| FoldRule {
            dialect: Some(Dialect::Kubernetes),
            resource_type: resource_type.to_owned(),
            path: format!("{place}{path}"),
            folds: folds.to_vec(),
            ..FoldRule::default()
        };
        all.extend(self.rules.iter().map(|one| FoldRule {
            value: one.value.clone(),
            keys: one.keys.clone(),
            conditions: one.conditions.clone(),
            ..rule(&one.path, &one.folds)
        }));
        all.extend(self.defaults.iter().map(|(path, value)| FoldRule {
            value: Some(value.clone()),
            ..rule(path, &[Fold::Default])
        }));
        all.extend(self.assigned.iter().map(|path| rule(path, &[Fold::Managed])));
    }
}
