//! Where the cases lie, and how two states are compared as the engine compares them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use deployforge_canon::{Canon, Node, Normalise, Parser, State};
use deployforge_compare::{Comparison, DiffOptions, Difference, compare};
use deployforge_model::{Dialect, Mode};
use deployforge_policy::Policy;
use serde_json::Value;

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

/// Two states of one resource in one dialect.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    pub(crate) resource_type: String,
    pub(crate) mode: Mode,
    pub(crate) expected: Node,
    pub(crate) observed: Node,
}

/// Reads a state as its dialect's reader would hand it on.
pub(crate) fn node(
    dialect: Dialect,
    resource_type: &str,
    value: &Value,
    sensitive: &[String],
) -> Node {
    let (canon, mut parser) = (Canon::default(), Parser::default());
    let text = value.to_string();
    let paths = sensitive.iter().map(String::as_str);
    let state = match value {
        Value::Object(_) => {
            canon.state(&mut parser, dialect, resource_type, text.as_bytes(), paths)
        }
        _ => canon.value(&mut parser, dialect, resource_type, text.as_bytes()),
    };
    let State { root } = state.unwrap_or_else(|error| panic!("{resource_type}: {error}"));
    root
}

impl Pair {
    pub(crate) fn new(
        name: impl Into<String>,
        dialect: Dialect,
        resource_type: &str,
        expected: &Value,
        observed: &Value,
    ) -> Self {
        Self {
            name: name.into(),
            dialect,
            resource_type: resource_type.to_owned(),
            mode: Mode::Full,
            expected: node(dialect, resource_type, expected, &[]),
            observed: node(dialect, resource_type, observed, &[]),
        }
    }

    pub(crate) fn compare(&self) -> Comparison {
        self.compare_with(Normalise::Standard)
    }

    pub(crate) fn compare_with(&self, normalise: Normalise) -> Comparison {
        let folds = Canon::default().folds.of(normalise, self.dialect, &self.resource_type);
        let options = DiffOptions { mode: self.mode, folds: &folds };
        compare(&self.expected, &self.observed, options, &Policy::default(), &self.resource_type)
    }
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

/// How many differences a set has before and after the folds: its noise.
#[derive(Debug, Default)]
pub(crate) struct Noise {
    pairs: usize,
    before: usize,
    after: usize,
    folded: std::collections::BTreeMap<&'static str, usize>,
}

impl Noise {
    pub(crate) fn add(&mut self, pair: &Pair) -> Comparison {
        let comparison = pair.compare();
        self.pairs += 1;
        self.before += counting(&pair.compare_with(Normalise::Off)).len();
        self.note(&comparison);
        comparison
    }

    pub(crate) fn note(&mut self, comparison: &Comparison) {
        self.after += counting(comparison).len();
        for fold in comparison.differences.iter().filter_map(|difference| difference.fold) {
            *self.folded.entry(fold.name()).or_default() += 1;
        }
    }

    pub(crate) fn print(&self, set: &str) {
        let Self { pairs, before, after, folded } = self;
        println!(
            "{set}: {pairs} pairs, {before} findings without folds, {after} with; folds: {folded:?}"
        );
    }
}
