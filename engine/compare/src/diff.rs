//! Two canonical trees in, their differences and the drift score out.
//!
//! Objects, keyed lists and sets are walked by name, key and content; ordered arrays by position
//! between their common beginning and end. A subtree that appears or goes is one difference at its
//! root. A fold is asked only where two values differ, at the deepest place where they do.

use std::collections::HashSet;
use std::sync::LazyLock;

use deployforge_canon::{Fold, Keyed, Node, TypeFolds};
use deployforge_model::path::push;
use deployforge_model::{FindingKind, Mode, UnknownReason};
use deployforge_policy::Policy;

use crate::score::Weights;

/// How to compare.
#[derive(Clone, Copy, Debug)]
pub struct DiffOptions<'f> {
    /// What counts.
    pub mode: Mode,
    /// Which normalisers are asked.
    pub folds: &'f TypeFolds,
}

impl DiffOptions<'static> {
    /// Everything counts, and nothing folds.
    pub const EXACT: Self = Self { mode: Mode::Full, folds: &NO_FOLDS };
}

impl Default for DiffOptions<'static> {
    /// Everything counts, and the folds are asked that are asked everywhere.
    fn default() -> Self {
        static EVERYWHERE: LazyLock<TypeFolds> = LazyLock::new(TypeFolds::everywhere);
        Self { mode: Mode::Full, folds: &EVERYWHERE }
    }
}

static NO_FOLDS: TypeFolds = TypeFolds::off();

/// One difference of two states.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// JSON Pointer from the root of the state.
    pub path: String,
    /// How it differs.
    pub kind: FindingKind,
    /// The declared value; `None` where there is none.
    pub expected: Option<Node>,
    /// The observed value; `None` where there is none.
    pub observed: Option<Node>,
    /// How many attributes it spans.
    pub leaves: u32,
    /// The normaliser that says it means nothing; such a difference is kept and does not count.
    pub fold: Option<Fold>,
}

impl Difference {
    /// Whether it counts towards verdict, score and exit code.
    pub fn counts(&self) -> bool {
        self.fold.is_none() && self.kind.counts()
    }
}

/// The result of comparing two states.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// All differences, suppressed ones included, in the order of the walk.
    pub differences: Vec<Difference>,
    /// Drift score: weighted percentage of the declared attributes that deviate.
    pub score: f64,
    /// How many attributes were declared.
    pub leaves: u32,
    /// Declared attributes that were not compared, each at its path, with the reason.
    pub skipped: Vec<Skipped>,
    /// What the differences weigh.
    weights: Weights,
}

/// A part of the declared state that was not compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// JSON Pointer from the root of the state.
    pub path: String,
    /// How many declared attributes it spans.
    pub leaves: u32,
    /// Why.
    pub why: Skip,
}

/// Why an attribute was not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Its value could not be resolved.
    Unresolved,
    /// No map leads from its name to one of the other format's, or what was read does not show it.
    Unmapped,
    /// A fold says that any value will do.
    Lenient(Fold),
}

impl Skip {
    /// Its name, as reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unresolved => UnknownReason::Unresolved.name(),
            Self::Unmapped => UnknownReason::Unmapped.name(),
            Self::Lenient(fold) => fold.name(),
        }
    }
}

impl Comparison {
    /// How many of the declared attributes were compared.
    pub fn compared(&self) -> u32 {
        let skipped: u32 = self.skipped.iter().map(|one| one.leaves).sum();
        self.leaves.saturating_sub(skipped)
    }

    /// Why nothing can be said, if nothing was compared and nothing found.
    pub fn nothing_compared(&self) -> Option<UnknownReason> {
        self.nothing_compared_but(self.differences.iter().any(Difference::counts))
    }

    /// The same where something else decides whether anything that counts was `found`.
    pub(crate) fn nothing_compared_but(&self, found: bool) -> Option<UnknownReason> {
        let none = !self.skipped.is_empty() && self.compared() == 0 && !found;
        let unmapped = self.skipped.iter().any(|one| one.why == Skip::Unmapped);
        none.then(|| match (unmapped, self.skipped.iter().any(|one| one.why == Skip::Unresolved)) {
            (true, _) => UnknownReason::Unmapped,
            (false, true) => UnknownReason::Unresolved,
            (false, false) => UnknownReason::WriteOnly,
        })
    }
}

impl Comparison {
    /// The drift score where something else decides which of the differences count.
    pub(crate) fn score_of(&self, counts: impl Fn(usize) -> bool) -> f64 {
        self.weights.score(counts)
    }
}

/// Leftover elements of two sets are paired by meaning only up to this many on a side; beyond it
/// they are reported as they are.
const SET_PAIRING_MAX: usize = 64;

/// An element of a set is addressed by its content up to this many bytes, then by a hash of it.
const CONTENT_PATH_MAX: usize = 96;

/// Compares two states of one resource of `resource_type`.
pub fn compare(
    expected: &Node,
    observed: &Node,
    options: DiffOptions<'_>,
    policy: &Policy,
    resource_type: &str,
) -> Comparison {
    let mut walk = Walk { options, root: Some(expected), found: Vec::new(), skipped: Vec::new() };
    // Of two values that nobody could resolve no one knows whether they are equal.
    if expected != observed || expected.holds_unresolved() {
        walk.both(&mut String::new(), expected, observed);
    }
    order(&mut walk.found, policy, resource_type);
    let leaves = expected.leaves();
    let weights = Weights::of(&walk.found, expected, policy, resource_type);
    let score = weights.score(|at| walk.found[at].counts());
    Comparison { differences: walk.found, score, leaves, skipped: walk.skipped, weights }
}

/// Compares the values of one unit, which stands at `path`.
pub(crate) fn compare_at(
    path: &str,
    expected: &Node,
    observed: &Node,
    options: DiffOptions<'_>,
    policy: &Policy,
    resource_type: &str,
) -> Vec<Difference> {
    let mut walk = Walk { options, root: None, found: Vec::new(), skipped: Vec::new() };
    walk.both(&mut path.to_owned(), expected, observed);
    order(&mut walk.found, policy, resource_type);
    walk.found
}

/// Another order is a change where the policy says that order counts.
fn order(found: &mut [Difference], policy: &Policy, resource_type: &str) {
    for one in found.iter_mut().filter(|one| one.kind == FindingKind::Reordered) {
        if policy.order_counts(resource_type, &one.path) {
            one.kind = FindingKind::Changed;
        }
    }
}

struct Walk<'a> {
    options: DiffOptions<'a>,
    /// The declared state, where folds may look beside a value.
    root: Option<&'a Node>,
    found: Vec<Difference>,
    skipped: Vec<Skipped>,
}

impl Walk<'_> {
    /// Two values at one path, which may be equal.
    fn both(&mut self, path: &mut String, expected: &Node, observed: &Node) {
        if expected.is_all_unresolved() || is_unresolved(observed) {
            return self.skip(path, expected.leaves(), Skip::Unresolved);
        }
        if expected == observed && !expected.holds_unresolved() {
            return;
        }
        let whole = self.options.folds.fold_whole(path, expected, observed, self.root);
        if let Some(fold) = whole {
            return self.put(
                path,
                FindingKind::Changed,
                Some(expected),
                Some(observed),
                Some(fold),
            );
        }
        match (expected, observed) {
            (Node::Object(a), Node::Object(b)) => self.members(path, a, b),
            (Node::Keyed(a), Node::Keyed(b)) if a.ordered && b.ordered => self.told(path, a, b),
            (Node::Keyed(a), Node::Keyed(b)) => self.keyed(path, a, b),
            // Elements of one side could not be named, or not each by another name.
            (Node::Keyed(a), Node::Array(b)) if !a.entries.is_empty() && !b.is_empty() => {
                self.ordered(path, &elements(a), b);
            }
            (Node::Array(a), Node::Keyed(b)) if !a.is_empty() && !b.entries.is_empty() => {
                self.ordered(path, a, &elements(b));
            }
            (Node::Array(a), Node::Array(b)) if !a.is_empty() && !b.is_empty() => {
                self.ordered(path, a, b);
            }
            (Node::Set(a), Node::Set(b)) => self.sets(path, a, b),
            // A keyed list whose other side could not be keyed: both are sets then.
            (Node::Set(a), Node::Keyed(b)) => self.sets(path, a, &elements(b)),
            (Node::Keyed(a), Node::Set(b)) => self.sets(path, &elements(a), b),
            (Node::Secret(_), Node::Secret(_)) | (_, _) => {
                self.one(path, FindingKind::Changed, Some(expected), Some(observed));
            }
        }
    }

    /// Records one difference, asking the folds first.
    fn one(
        &mut self,
        path: &str,
        kind: FindingKind,
        expected: Option<&Node>,
        observed: Option<&Node>,
    ) {
        let fold = self.options.folds.fold_in(path, expected, observed, self.root);
        self.put(path, kind, expected, observed, fold);
    }

    /// Takes note of what is not compared.
    fn skip(&mut self, path: &str, leaves: u32, why: Skip) {
        self.skipped.push(Skipped { path: path.to_owned(), leaves, why });
    }

    fn put(
        &mut self,
        path: &str,
        kind: FindingKind,
        expected: Option<&Node>,
        observed: Option<&Node>,
        fold: Option<Fold>,
    ) {
        let leaves = expected.or(observed).map_or(0, Node::leaves);
        if let (Some(fold), Some(expected)) = (fold.filter(|fold| fold.is_lenient()), expected) {
            self.skip(path, expected.leaves(), Skip::Lenient(fold));
        }
        self.found.push(Difference {
            path: path.to_owned(),
            kind,
            expected: expected.cloned(),
            observed: observed.cloned(),
            leaves,
            fold,
        });
    }

    /// What only the expected side has. An element of a list counts even if it says nothing: there
    /// is one less of them. A member of an object may fold.
    fn removed(&mut self, path: &str, expected: &Node, folds: bool) {
        if expected.is_all_unresolved() {
            return self.skip(path, expected.leaves(), Skip::Unresolved);
        }
        self.one(path, FindingKind::Removed, Some(expected), None);
        self.unfold(folds);
    }

    /// What only the observed side has.
    fn added(&mut self, path: &str, observed: &Node, folds: bool) {
        if is_unresolved(observed) {
            return;
        }
        self.one(path, FindingKind::Added, None, Some(observed));
        self.unfold(folds);
        // A whole that a server filled in says no more than its members do.
        if folds
            && self.found.last().is_some_and(|last| last.fold.is_none())
            && let Some(fold) = self.filled_in(&mut path.to_owned(), observed)
            && let Some(last) = self.found.last_mut()
        {
            last.fold = Some(fold);
        }
    }

    /// The fold that says of the members of an added object, each by itself, that they mean nothing; one
    /// that says so because they are empty is not enough, since an empty object may choose everything.
    fn filled_in(&self, path: &mut String, observed: &Node) -> Option<Fold> {
        let Node::Object(members) = observed else { return None };
        if !self.options.folds.asks_containers() {
            return None;
        }
        let mut all = None;
        for (name, value) in members {
            let length = path.len();
            push(path, name);
            let fold = self.options.folds.fold_in(path, None, Some(value), self.root);
            let fold = fold
                .filter(|fold| *fold == Fold::Default || fold.is_lenient())
                .or_else(|| self.filled_in(path, value));
            path.truncate(length);
            all = match (fold, value) {
                (Some(fold), _) => Some(fold),
                (None, Node::Null) => all,
                (None, _) => return None,
            };
        }
        all
    }

    fn unfold(&mut self, folds: bool) {
        // What is lenient says so of elements too: a tag is one.
        if let (false, Some(last)) = (folds, self.found.last_mut()) {
            last.fold = last.fold.filter(|fold| fold.is_lenient());
        }
    }

    /// Runs `inner` with `segment` appended to the path.
    fn below(
        &mut self,
        path: &mut String,
        segment: &str,
        inner: impl FnOnce(&mut Self, &mut String),
    ) {
        let length = path.len();
        push(path, segment);
        inner(self, path);
        path.truncate(length);
    }

    /// Sorted names on both sides: objects and keyed lists alike. What only the observed side names
    /// counts in full mode alone.
    fn merge<'n>(
        &mut self,
        path: &mut String,
        expected: &'n [(Box<str>, Node)],
        observed: &'n [(Box<str>, Node)],
        value: impl Fn(&'n Node) -> &'n Node,
        folds: bool,
    ) {
        let (mut a, mut b) = (expected.iter().peekable(), observed.iter().peekable());
        loop {
            let order = match (a.peek(), b.peek()) {
                (None, None) => return,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((left, _)), Some((right, _))) => left.cmp(right),
            };
            match order {
                std::cmp::Ordering::Less => {
                    let (name, node) = a.next().expect("peeked");
                    self.below(path, name, |walk, path| walk.removed(path, value(node), folds));
                }
                std::cmp::Ordering::Greater => {
                    let (name, node) = b.next().expect("peeked");
                    if self.options.mode == Mode::Full {
                        self.below(path, name, |walk, path| walk.added(path, value(node), folds));
                    }
                }
                std::cmp::Ordering::Equal => {
                    let (name, left) = a.next().expect("peeked");
                    let (_, right) = b.next().expect("peeked");
                    self.below(path, name, |walk, path| {
                        walk.both(path, value(left), value(right));
                    });
                }
            }
        }
    }

    fn members(&mut self, path: &mut String, a: &[(Box<str>, Node)], b: &[(Box<str>, Node)]) {
        self.merge(path, a, b, |node| node, true);
    }

    fn keyed(&mut self, path: &mut String, a: &Keyed, b: &Keyed) {
        let field = match (a.entries.is_empty(), b.entries.is_empty()) {
            (false, false) => a.value_field().filter(|field| b.value_field() == Some(field)),
            (true, _) => b.value_field(),
            (_, true) => a.value_field(),
        };
        if !a.entries.is_empty() && !b.entries.is_empty() && a.key != b.key {
            self.sets(path, &elements(a), &elements(b));
            return;
        }
        let field = field.map(str::to_owned);
        let value = |node| match &field {
            Some(field) => Node::get(node, field).unwrap_or(node),
            None => node,
        };
        self.merge(path, &a.entries, &b.entries, value, false);
    }

    /// Ordered arrays of named elements: by name, and the order of those that both have by itself.
    fn told(&mut self, path: &mut String, a: &Keyed, b: &Keyed) {
        if !a.entries.is_empty() && !b.entries.is_empty() && a.key != b.key {
            return self.ordered(path, &elements(a), &elements(b));
        }
        let names = |of: &Keyed| of.entries.iter().map(|(name, _)| name.clone()).collect();
        let (in_a, in_b): (HashSet<Box<str>>, HashSet<Box<str>>) = (names(a), names(b));
        let left = a.entries.iter().map(|(name, _)| name).filter(|name| in_b.contains(*name));
        let right = b.entries.iter().map(|(name, _)| name).filter(|name| in_a.contains(*name));
        if left.ne(right) {
            let (a, b) = (Node::Keyed(a.clone()), Node::Keyed(b.clone()));
            self.one(path, FindingKind::Reordered, Some(&a), Some(&b));
        }
        let sorted = |of: &Keyed| {
            let mut of = of.clone();
            of.entries.sort_by(|a, b| a.0.cmp(&b.0));
            of
        };
        self.keyed(path, &sorted(a), &sorted(b));
    }

    fn ordered(&mut self, path: &mut String, a: &[Node], b: &[Node]) {
        let start = a.iter().zip(b).take_while(|(x, y)| x == y).count();
        let end = a[start..].iter().rev().zip(b[start..].iter().rev()).take_while(|(x, y)| x == y);
        let end = end.count();
        let (left, right) = (&a[start..a.len() - end], &b[start..b.len() - end]);
        // The one is the other in another order if what is left of it is.
        if left.len() == right.len() && left.len() > 1 && is_permutation(left, right) {
            let (a, b) = (Node::Array(a.to_vec()), Node::Array(b.to_vec()));
            self.one(path, FindingKind::Reordered, Some(&a), Some(&b));
            return;
        }
        let both = left.len().min(right.len());
        for i in 0..both {
            self.below(path, &(start + i).to_string(), |walk, path| {
                walk.both(path, &left[i], &right[i]);
            });
        }
        for (i, node) in left.iter().enumerate().skip(both) {
            self.below(path, &(start + i).to_string(), |walk, path| {
                walk.removed(path, node, false);
            });
        }
        for (i, node) in right.iter().enumerate().skip(both) {
            self.below(path, &(start + i).to_string(), |walk, path| walk.added(path, node, false));
        }
    }

    /// Multisets, sorted by content: what is left over on each side after equal elements, and
    /// elements that a fold or the mode calls equal, are paired off.
    fn sets(&mut self, path: &mut String, a: &[Node], b: &[Node]) {
        let mut right: Vec<(String, &Node)> = b.iter().map(|node| (node.to_json(), node)).collect();
        let mut left: Vec<(String, &Node)> = Vec::new();
        for node in a {
            let content = node.to_json();
            match right.iter().position(|(other, _)| *other == content) {
                Some(i) => {
                    right.swap_remove(i);
                }
                None => left.push((content, node)),
            }
        }
        // What nobody could resolve may be any of what is left.
        right.retain(|(_, node)| {
            let Some(i) = left
                .iter()
                .position(|(_, other)| is_unresolved(other))
                .filter(|_| !is_unresolved(node))
            else {
                return true;
            };
            left.swap_remove(i);
            self.skip(path, 1, Skip::Unresolved);
            false
        });
        let mut segments = Segments::default();
        if left.len() <= SET_PAIRING_MAX && right.len() <= SET_PAIRING_MAX {
            left.retain(|(content, node)| {
                let mut at = path.clone();
                push(&mut at, &content_segment(content));
                let twin = right.iter().position(|(_, other)| self.same(&mut at, node, other));
                let Some(i) = twin else { return true };
                let (_, other) = right.swap_remove(i);
                self.below(path, &segments.of(content), |walk, path| {
                    walk.both(path, node, other);
                });
                false
            });
        }
        right.sort_by(|x, y| x.0.cmp(&y.0));
        for (content, node) in left {
            self.below(path, &segments.of(&content), |walk, path| walk.removed(path, node, false));
        }
        for (content, node) in right {
            self.below(path, &segments.of(&content), |walk, path| walk.added(path, node, false));
        }
    }

    /// Whether no difference of two elements of the set at a path counts.
    fn same(&self, path: &mut String, a: &Node, b: &Node) -> bool {
        let (found, skipped) = (Vec::new(), Vec::new());
        let mut inner = Walk { options: self.options, root: self.root, found, skipped };
        inner.both(path, a, b);
        inner.found.iter().all(|difference| !difference.counts())
    }
}

/// Addresses of a set's elements, each another: the second of one content gets a number.
#[derive(Default)]
struct Segments(std::collections::HashMap<String, u32>);

impl Segments {
    fn of(&mut self, content: &str) -> String {
        let segment = content_segment(content);
        let seen = self.0.entry(segment.clone()).or_insert(0);
        *seen += 1;
        if *seen == 1 { segment } else { format!("{segment}#{seen}") }
    }
}

fn is_unresolved(node: &Node) -> bool {
    matches!(node, Node::Unresolved(_))
}

fn elements(keyed: &Keyed) -> Vec<Node> {
    keyed.entries.iter().map(|(_, node)| node.clone()).collect()
}

fn is_permutation(a: &[Node], b: &[Node]) -> bool {
    let texts = |nodes: &[Node]| {
        let mut texts: Vec<String> = nodes.iter().map(Node::to_json).collect();
        texts.sort_unstable();
        texts
    };
    texts(a) == texts(b)
}

/// How an element of a set is addressed: a text by itself, anything else by its canonical JSON, and
/// what is long by the start of it and a hash.
pub(crate) fn content_segment(content: &str) -> String {
    let plain = content
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .filter(|inner| !inner.contains('\\'));
    let text = plain.unwrap_or(content);
    if text.len() <= CONTENT_PATH_MAX {
        return text.to_owned();
    }
    let hash = blake3::hash(text.as_bytes()).to_hex();
    let start: String = text.chars().take(CONTENT_PATH_MAX / 2).collect();
    format!("{start}…#{}", &hash[..16])
}
