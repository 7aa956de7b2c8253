//! The data: kinds, their names in each dialect, and the exceptions.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use deployforge_canon::{Fold, FoldRule, FoldRules, TypeFolds};
use deployforge_model::Dialect;
use serde::{Deserialize, Serialize};

use crate::shape::{Leaf, Shape};

/// One kind of resource, as its file says. Pointers of `names` that lead nowhere, of `aside`, `untold`,
/// `absent`, `folds` and `ordered` may begin with `**`: the place ends so.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindRule {
    /// Its name: the type in the words of the cloud's API. In a built-in file `*` says what all of the
    /// file's kinds have in common.
    pub kind: String,
    /// Type names in other dialects; in those of the cloud itself it is the kind's name, unless said
    /// otherwise here.
    #[serde(default)]
    pub types: BTreeMap<Dialect, Vec<String>>,
    /// Names of attributes that do not match by themselves: for each dialect, pointers of its own
    /// (`*`: any element) and the pointer in the API's words that they lead to; with `!` before it, to a
    /// flag that says the opposite. Nothing: it has no counterpart, and is not compared.
    #[serde(default)]
    pub names: BTreeMap<Dialect, BTreeMap<String, Option<String>>>,
    /// What says nothing of the resource: for each dialect, pointers of its own. It is neither compared
    /// nor counted.
    #[serde(default)]
    pub aside: BTreeMap<Dialect, Vec<String>>,
    /// What a dialect never tells of the resource: for each dialect, pointers in the API's words. Where
    /// an observation in that dialect holds nothing there, nothing is compared.
    #[serde(default)]
    pub untold: BTreeMap<Dialect, Vec<String>>,
    /// What absence stands for, by pointer in the API's words. An empty list at members of a list's
    /// elements says that one without any declares that there are none.
    #[serde(default)]
    pub absent: BTreeMap<String, serde_json::Value>,
    /// Folds of this kind, by pointer in the API's words.
    #[serde(default)]
    pub folds: BTreeMap<String, Vec<Fold>>,
    /// Lists whose order means something, by pointer in the API's words.
    #[serde(default)]
    pub ordered: Vec<String>,
    /// Lists whose elements hold lists, and are grouped otherwise by each format: for each such list the
    /// members that are taken apart, so that one element says one thing.
    #[serde(default)]
    pub apart: BTreeMap<String, Vec<String>>,
    /// Elements that the cloud puts into a list by itself: which values of which members tell them.
    #[serde(default)]
    pub provided: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
    /// The shape, where no model of an API gives it.
    #[serde(default)]
    pub shape: Option<Shape>,
}

/// One kind of resource, ready for use.
#[derive(Debug)]
pub struct Kind {
    /// Its name.
    pub name: String,
    pub(crate) shape: Shape,
    pub(crate) names: BTreeMap<Dialect, Names>,
    pub(crate) aside: BTreeMap<Dialect, Vec<Vec<String>>>,
    pub(crate) untold: BTreeMap<Dialect, Vec<Vec<String>>>,
    pub(crate) ordered: Vec<Vec<String>>,
    pub(crate) apart: Vec<(Vec<String>, Vec<Vec<String>>)>,
    pub(crate) provided: Vec<(Vec<String>, BTreeMap<String, serde_json::Value>)>,
    /// Folds and what absence stands for, by place in the API's words.
    pub(crate) values: Vec<(Vec<String>, Values)>,
}

/// Exceptions of one dialect.
#[derive(Debug)]
pub(crate) struct Names {
    /// Places in its words, and where they lead.
    pub(crate) lead: Vec<(Vec<String>, Option<Vec<String>>)>,
    /// Those of them that are flags and lead to flags that say the opposite.
    pub(crate) opposite: Vec<Vec<String>>,
}

/// What is said of the values at one place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    pub(crate) folds: Vec<Fold>,
    pub(crate) absent: Option<serde_json::Value>,
}

/// A map that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// Two kinds claim a type of one dialect.
    #[error(
        "the type `{resource_type}` of {dialect} is claimed by the kinds `{one}` and `{other}`"
    )]
    ClaimedTwice {
        /// The type.
        resource_type: String,
        /// The dialect.
        dialect: Dialect,
        /// The kind that has it.
        one: String,
        /// The kind that wants it.
        other: String,
    },
    /// No shape.
    #[error("the kind `{0}` has no shape: no built-in model knows it, so give it one")]
    NoShape(String),
    /// A pointer that leads nowhere.
    #[error("the kind `{kind}`: `{pointer}` leads to nothing that its shape has")]
    Nowhere {
        /// The kind.
        kind: String,
        /// The pointer.
        pointer: String,
    },
}

/// All kinds, and how their types are found.
#[derive(Debug)]
pub struct Maps {
    pub(crate) kinds: Vec<Kind>,
    by_type: HashMap<(Dialect, String), usize>,
    spoken: HashSet<(Dialect, usize)>,
}

/// Maps that are shared: the built-in ones are read when they are first asked for, once.
#[derive(Clone, Debug, Default)]
pub struct SharedMaps(Option<Arc<Maps>>);

impl SharedMaps {
    /// The user's kinds and the built-in ones.
    pub fn with(user: Vec<KindRule>) -> Result<Self, MapError> {
        if user.is_empty() {
            return Ok(Self::default());
        }
        Ok(Self(Some(Arc::new(Maps::with(user)?))))
    }
}

impl std::ops::Deref for SharedMaps {
    type Target = Maps;

    fn deref(&self) -> &Maps {
        static BUILT_IN: LazyLock<Maps> = LazyLock::new(Maps::built_in);
        self.0.as_deref().unwrap_or(&BUILT_IN)
    }
}

/// The models of the clouds' APIs: shapes by kind.
const SHAPES: [(&[Dialect], &str); 5] = [
    (
        &[Dialect::Aws, Dialect::AwsConfig, Dialect::CloudFormation],
        include_str!("../data/aws.json"),
    ),
    (&[Dialect::Google], include_str!("../data/google.json")),
    (&[Dialect::Azure], include_str!("../data/azure.json")),
    (&[Dialect::Kubernetes], include_str!("../data/kubernetes.json")),
    (&[Dialect::Oracle], include_str!("../data/oracle.json")),
];

/// The exceptions, by cloud.
const RULES: [&str; 5] = [
    include_str!("../data/aws-kinds.json"),
    include_str!("../data/google-kinds.json"),
    include_str!("../data/azure-kinds.json"),
    include_str!("../data/kubernetes-kinds.json"),
    include_str!("../data/oracle-kinds.json"),
];

impl Maps {
    /// The built-in kinds.
    pub fn built_in() -> Self {
        Self::with(Vec::new()).expect("the built-in data holds together, see the test")
    }

    /// The user's kinds first, then the built-in ones: a type that both claim is the user's.
    pub fn with(user: Vec<KindRule>) -> Result<Self, MapError> {
        let mut maps = Self { kinds: Vec::new(), by_type: HashMap::new(), spoken: HashSet::new() };
        let mut shapes: HashMap<String, (&[Dialect], Shape)> = HashMap::new();
        for (dialects, text) in SHAPES {
            let all: BTreeMap<String, Shape> =
                serde_json::from_str(text).expect("the shapes parse, see the test");
            shapes.extend(all.into_iter().map(|(kind, shape)| (kind, (dialects, shape))));
        }
        let own = user.len();
        let built_in = RULES.iter().flat_map(|text| -> Vec<KindRule> {
            let all = serde_json::from_str(text).expect("the kinds parse, see the test");
            with_common(all)
        });
        for (number, rule) in user.into_iter().chain(built_in).enumerate() {
            let known = shapes.get(&rule.kind);
            let dialects = known.map_or(&[][..], |(dialects, _)| dialects);
            let shape = rule.shape.clone().or_else(|| known.map(|(_, shape)| shape.clone()));
            let shape = shape.ok_or_else(|| MapError::NoShape(rule.kind.clone()))?;
            maps.add(rule, dialects, shape, number < own)?;
        }
        Ok(maps)
    }

    fn add(
        &mut self,
        rule: KindRule,
        dialects: &[Dialect],
        shape: Shape,
        own: bool,
    ) -> Result<(), MapError> {
        let number = self.kinds.len();
        let mut types = rule.types.clone();
        for dialect in dialects {
            types.entry(*dialect).or_insert_with(|| vec![rule.kind.clone()]);
        }
        for (dialect, names) in types {
            for resource_type in names {
                let taken = self.by_type.get(&(dialect, resource_type.clone())).copied();
                match taken {
                    None => {
                        self.by_type.insert((dialect, resource_type), number);
                        self.spoken.insert((dialect, number));
                    }
                    // A built-in kind leaves to the user what the user has said.
                    Some(other) if own => {
                        let one = self.kinds[other].name.clone();
                        return Err(MapError::ClaimedTwice {
                            resource_type,
                            dialect,
                            one,
                            other: rule.kind,
                        });
                    }
                    Some(_) => {}
                }
            }
        }
        let kind = Kind::new(rule, shape)?;
        self.kinds.push(kind);
        Ok(())
    }

    /// The kind that a type is of, if any map knows it.
    pub fn kind(&self, dialect: Dialect, resource_type: &str) -> Option<&Kind> {
        let number = self.by_type.get(&(dialect, resource_type.to_owned()))?;
        Some(&self.kinds[*number])
    }

    /// The number of the kind that a type is of, which is the same for all types of a kind.
    pub fn number(&self, dialect: Dialect, resource_type: &str) -> Option<usize> {
        self.by_type.get(&(dialect, resource_type.to_owned())).copied()
    }

    /// Whether two types of two dialects are one kind.
    pub fn are_one(&self, one: (Dialect, &str), other: (Dialect, &str)) -> bool {
        let number = self.number(one.0, one.1);
        number.is_some() && number == self.number(other.0, other.1)
    }

    /// Whether a dialect has a type of this kind.
    pub fn speaks(&self, dialect: Dialect, number: usize) -> bool {
        self.spoken.contains(&(dialect, number))
    }

    /// Every kind.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.iter()
    }

    /// How many types of a dialect are mapped.
    pub fn types(&self, dialect: Dialect) -> usize {
        self.by_type.keys().filter(|(of, _)| *of == dialect).count()
    }
}

/// The kinds of a file, each with what all have in common.
fn with_common(mut all: Vec<KindRule>) -> Vec<KindRule> {
    let Some(at) = all.iter().position(|rule| rule.kind == "*") else { return all };
    let common = all.remove(at);
    for rule in &mut all {
        for (dialect, names) in &common.names {
            let own = rule.names.entry(*dialect).or_default();
            names.iter().for_each(|(from, to)| {
                own.entry(from.clone()).or_insert_with(|| to.clone());
            });
        }
        for (dialect, places) in &common.aside {
            rule.aside.entry(*dialect).or_default().extend(places.iter().cloned());
        }
        for (dialect, places) in &common.untold {
            rule.untold.entry(*dialect).or_default().extend(places.iter().cloned());
        }
        for (at, value) in &common.absent {
            rule.absent.entry(at.clone()).or_insert_with(|| value.clone());
        }
        for (at, folds) in &common.folds {
            rule.folds.entry(at.clone()).or_insert_with(|| folds.clone());
        }
        rule.ordered.extend(common.ordered.iter().cloned());
    }
    all
}

/// Whether a place is the one that the data speaks of.
pub(crate) fn is_place(said: &[String], at: &[String]) -> bool {
    match said.split_first() {
        Some((first, end)) if first == "**" => at.ends_with(end),
        _ => said == at,
    }
}

/// A pointer's segments.
fn segments(pointer: &str) -> Vec<String> {
    deployforge_model::path::segments(pointer).collect()
}

/// Pointers of each dialect.
fn by_dialect(all: &BTreeMap<Dialect, Vec<String>>) -> BTreeMap<Dialect, Vec<Vec<String>>> {
    let places = |all: &Vec<String>| all.iter().map(|one| segments(one)).collect();
    all.iter().map(|(dialect, all)| (*dialect, places(all))).collect()
}

impl Kind {
    fn new(rule: KindRule, shape: Shape) -> Result<Self, MapError> {
        let nowhere = |pointer: &str| MapError::Nowhere {
            kind: rule.kind.clone(),
            pointer: pointer.to_owned(),
        };
        let mut names = BTreeMap::new();
        for (dialect, all) in &rule.names {
            let (mut lead, mut opposite) = (Vec::with_capacity(all.len()), Vec::new());
            for (from, to) in all {
                let flag = to.as_deref().and_then(|to| to.strip_prefix('!'));
                if let Some(pointer) = flag.or(to.as_deref()) {
                    let found = shape.at(&segments(pointer)).ok_or_else(|| nowhere(pointer))?;
                    if flag.is_some() {
                        let is_flag = matches!(found, Shape::Leaf(Leaf::Flag));
                        is_flag.then_some(()).ok_or_else(|| nowhere(pointer))?;
                        opposite.push(segments(from));
                    }
                }
                lead.push((segments(from), flag.or(to.as_deref()).map(segments)));
            }
            names.insert(*dialect, Names { lead, opposite });
        }
        let mut values: BTreeMap<&str, Values> = BTreeMap::new();
        for (pointer, value) in &rule.absent {
            values.entry(pointer).or_default().absent = Some(value.clone());
        }
        for (pointer, folds) in &rule.folds {
            values.entry(pointer).or_default().folds.clone_from(folds);
        }
        let places = rule.ordered.iter().chain(rule.untold.values().flatten());
        let pointers = values.keys().copied().chain(places.map(String::as_str));
        // What holds wherever a place ends so holds of kinds that have none such, too.
        for pointer in pointers.filter(|pointer| !pointer.starts_with("/**/")) {
            shape.at(&segments(pointer)).ok_or_else(|| nowhere(pointer))?;
        }
        let lists = rule.apart.keys().chain(rule.provided.keys());
        for pointer in lists {
            shape.at(&segments(pointer)).ok_or_else(|| nowhere(pointer))?;
        }
        let relative =
            |all: &[String]| all.iter().map(|one| segments(&format!("/{one}"))).collect();
        Ok(Self {
            apart: rule
                .apart
                .iter()
                .map(|(at, members)| (segments(at), relative(members)))
                .collect(),
            aside: by_dialect(&rule.aside),
            untold: by_dialect(&rule.untold),
            provided: rule.provided.iter().map(|(at, is)| (segments(at), is.clone())).collect(),
            ordered: rule.ordered.iter().map(|pointer| segments(pointer)).collect(),
            values: values.into_iter().map(|(at, values)| (segments(at), values)).collect(),
            name: rule.kind,
            shape,
            names,
        })
    }
}

/// What is folded between any two dialects: APIs write numbers and flags as texts and the other way
/// about, one as a list of one, and names as links.
const ACROSS: [Fold; 5] =
    [Fold::NumberText, Fold::BoolText, Fold::Single, Fold::Timestamp, Fold::Policy];

/// Terraform's providers write what an API does not tell as the zero of its type.
const TERRAFORM: [Fold; 1] = [Fold::Zero];

/// The folds for two states that were aligned; `places` says which rules hold at which paths.
pub(crate) fn folds(rules: &[FoldRule], dialects: [Dialect; 2], off: &FoldRules) -> TypeFolds {
    let mut folds = TypeFolds::everywhere();
    for rule in rules {
        folds.add(rule, off.switched_off());
    }
    let mut everywhere: Vec<Fold> = ACROSS.to_vec();
    let one_is = |dialect| dialects.contains(&dialect);
    if one_is(Dialect::Terraform) {
        everywhere.extend(TERRAFORM);
    }
    if one_is(Dialect::Google) {
        everywhere.extend([Fold::Link, Fold::Duration]);
    }
    if one_is(Dialect::Azure) {
        everywhere.push(Fold::Case);
    }
    everywhere.retain(|fold| !off.switched_off().contains(fold));
    folds.and_everywhere(&everywhere)
}
