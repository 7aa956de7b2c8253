//! Where the cases lie, and how two states are compared as the engine compares them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use deployforge_canon::{ArrayKind, ArrayRule, ArrayRules, Canon, Node, Normalise, Parser, State};
use deployforge_compare::{Comparison, DiffOptions, Difference, Said, compare, compare_across};
use deployforge_formats::{ReadOptions, ReadSummary, Reader};
use deployforge_maps::Maps;
use deployforge_model::{Dialect, Mode, Observation, Record};
use deployforge_policy::Policy;
use serde_json::Value;

/// What leads from one format's names to another's.
pub(crate) static MAPS: LazyLock<Maps> = LazyLock::new(Maps::built_in);

/// The folder of the cases.
pub(crate) fn root() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures");
    let root =
        std::env::var_os("DEPLOYFORGE_FIXTURES").map_or_else(|| beside.into(), PathBuf::from);
    assert!(root.is_dir(), "no fixtures at {}: set DEPLOYFORGE_FIXTURES", root.display());
    root
}

/// The text of a file.
pub(crate) fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A JSON file.
pub(crate) fn json(path: impl AsRef<Path>) -> Value {
    let path = path.as_ref();
    serde_json::from_str(&text(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files below a folder whose names end so, relative to the root, in order.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let (root, mut found) = (root(), Vec::new());
    let mut waiting = vec![root.join(folder)];
    while let Some(folder) = waiting.pop() {
        let entries = std::fs::read_dir(&folder);
        for entry in entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path.strip_prefix(&root).expect("below").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The lines of an index.
pub(crate) fn lines(name: &str) -> Vec<Value> {
    let text = text(Path::new("8-vectors/_derived").join(name));
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// What one side says of a resource, in whose words.
#[derive(Clone, Debug)]
pub(crate) struct Half {
    pub(crate) dialect: Dialect,
    pub(crate) resource_type: String,
    pub(crate) raw: Value,
    pub(crate) state: Node,
}

impl Half {
    pub(crate) fn new(dialect: Dialect, resource_type: &str, raw: &Value) -> Self {
        Self::with_secrets(dialect, resource_type, raw, &[])
    }

    /// A state as its dialect's reader would hand it on.
    pub(crate) fn with_secrets(
        dialect: Dialect,
        resource_type: &str,
        raw: &Value,
        sensitive: &[String],
    ) -> Self {
        let (canon, mut parser) = (Canon::default(), Parser::default());
        let text = raw.to_string();
        let paths = sensitive.iter().map(String::as_str);
        let state = match raw {
            Value::Object(_) => {
                canon.state(&mut parser, dialect, resource_type, text.as_bytes(), paths)
            }
            _ => canon.value(&mut parser, dialect, resource_type, text.as_bytes()),
        };
        let State { root } = state.unwrap_or_else(|error| panic!("{resource_type}: {error}"));
        Self { dialect, resource_type: resource_type.to_owned(), raw: raw.clone(), state: root }
    }

    /// What a reader observed or found declared.
    pub(crate) fn of(one: &Observation) -> Self {
        let raw = serde_json::from_slice(&one.state).expect("JSON");
        Self::with_secrets(one.dialect, &one.key.resource_type, &raw, &one.sensitive)
    }

    fn said(&self) -> Said<'_> {
        Said { dialect: self.dialect, resource_type: &self.resource_type, state: &self.state }
    }
}

/// A document for its own sake: every list has an order.
pub(crate) fn document(value: &Value) -> Node {
    static ORDERED: LazyLock<Canon> = LazyLock::new(|| {
        let (kind, key) = (ArrayKind::Ordered, Vec::new());
        let (resource_type, path) = ("*".to_owned(), "/**".to_owned());
        let rule = ArrayRule { dialect: None, resource_type, path, kind, key };
        Canon { rules: ArrayRules::with(vec![rule]).expect("a rule"), ..Canon::default() }
    });
    let text = value.to_string();
    let state = ORDERED.value(&mut Parser::default(), Dialect::Native, "", text.as_bytes());
    state.expect("a document").root
}

/// Two states of one resource.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) expected: Half,
    pub(crate) observed: Half,
}

impl Pair {
    pub(crate) fn of(name: impl Into<String>, expected: Half, observed: Half) -> Self {
        Self { name: name.into(), mode: Mode::Full, expected, observed }
    }

    /// Both in the same words.
    pub(crate) fn new(
        name: impl Into<String>,
        dialect: Dialect,
        resource_type: &str,
        expected: &Value,
        observed: &Value,
    ) -> Self {
        let side = |value| Half::new(dialect, resource_type, value);
        Self::of(name, side(expected), side(observed))
    }

    /// Whether the sides are written in different words.
    pub(crate) fn is_across(&self) -> bool {
        self.expected.dialect != self.observed.dialect
    }

    pub(crate) fn compare(&self) -> Comparison {
        self.compare_with(Normalise::Standard)
    }

    pub(crate) fn compare_with(&self, normalise: Normalise) -> Comparison {
        let (canon, policy) = (Canon::default(), Policy::default());
        let Half { dialect, resource_type, state, .. } = &self.expected;
        if self.is_across() {
            let (expected, observed) = (self.expected.said(), self.observed.said());
            compare_across(&MAPS, expected, observed, (normalise, &canon.folds), &policy)
                .unwrap_or_else(|| panic!("{}: not of one kind", self.name))
        } else {
            let folds = canon.folds.of(normalise, *dialect, resource_type);
            let options = DiffOptions { mode: self.mode, folds: &folds };
            compare(state, &self.observed.state, options, &policy, resource_type)
        }
    }
}

/// The records of an input that are observations.
pub(crate) fn observations(options: ReadOptions, bytes: &[u8]) -> (Vec<Observation>, ReadSummary) {
    let (mut reader, mut records) = (Reader::new(options), Vec::new());
    reader.push(bytes, &mut records);
    let summary = reader.finish(&mut records);
    let all = records.into_iter().filter_map(|record| match record {
        Record::Observation(observation) => Some(*observation),
        _ => None,
    });
    (all.collect(), summary)
}

/// The differences that count.
pub(crate) fn counting(comparison: &Comparison) -> Vec<&Difference> {
    comparison.differences.iter().filter(|difference| difference.counts()).collect()
}

/// The first segments of the paths that differ.
pub(crate) fn top_level(comparison: &Comparison) -> BTreeSet<String> {
    let first = |d: &&Difference| d.path.split('/').nth(1).unwrap_or_default().to_owned();
    counting(comparison).iter().map(first).collect()
}

/// Every difference in a few words, for a message.
pub(crate) fn told(comparison: &Comparison) -> Vec<String> {
    let text = |node: &Option<Node>| {
        node.as_ref().map_or("-".to_owned(), |node| node.to_json().chars().take(120).collect())
    };
    let one =
        |d: &&Difference| format!("{}: {} -> {}", d.path, text(&d.expected), text(&d.observed));
    counting(comparison).iter().map(one).collect()
}
