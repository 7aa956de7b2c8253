//! A state slice in, canonical attributes out.
//!
//! [`Canon::state`] parses one JSON object (by a [`Decoder`]), rejects duplicate keys and too deep nesting,
//! sorts members, decides by type rule whether an array is ordered, a set or a keyed list
//! ([`rules`]), and replaces sensitive values by keyed hashes ([`redact`]). The result is a [`State`]:
//! a tree of [`Node`]s whose equality is equality of meaning: numbers by value, sets without order.
//! [`State::fingerprint`] hashes that meaning; [`Node::to_json`] writes it back, always in the same
//! order. [`fold`] holds the normalisers, which may say of two *different* values that they mean the
//! same; no fold ever takes part in a fingerprint.
//!
//! What is deliberately absent: any I/O, any clock, any foreign format, and the comparison itself.
//!
//! ```
//! use deployforge_canon::{Canon, Parser};
//! use deployforge_model::{Dialect, Seed};
//! let canon = Canon::default();
//! let mut parser = Parser::default();
//! let a = canon.state(&mut parser, Dialect::Native, "vm", br#"{"a":1,"b":[1.0]}"#, [].into_iter())?;
//! let b = canon.state(&mut parser, Dialect::Native, "vm", br#"{"b":[1],"a":1e0}"#, [].into_iter())?;
//! assert_eq!(a.fingerprint(&Seed::new(7)), b.fingerprint(&Seed::new(7)));
//! # Ok::<(), deployforge_canon::CanonError>(())
//! ```

mod arrange;
mod decode;
mod flat;
pub mod fold;
mod guide;
mod hash;
mod locate;
mod node;
mod number;
mod parse;
pub mod redact;
mod rewrite;
pub mod rules;
mod secret_rules;
mod trie;
mod walk;

pub use arrange::Arranger;
pub use decode::Decoder;
pub use flat::{Flat, Unit, fingerprint};
pub use fold::{Fold, FoldRule, FoldRules, FoldTable, Normalise, TypeFolds};
pub use guide::{DeclaredShape, DeclaredText, Differing, Guide};
pub use locate::{Located, locate, value_at};
pub use node::{Keyed, Node, Secret};
pub use number::Number;
pub use parse::{CanonError, Limits, Parser};
pub use redact::Redactor;
pub use rewrite::Canonical;
pub use rules::{ArrayKind, ArrayRule, ArrayRules, RuleError};
pub use secret_rules::SecretRule;

use deployforge_model::{Dialect, Seed, StateForm, StateText, path};

use rewrite::Rewrite;
use walk::{DEPTH, Walk};

/// How state slices become canonical: array rules, redaction, limits. Made once, shared by threads.
#[derive(Clone, Debug, Default)]
pub struct Canon {
    /// Which arrays are sets or keyed lists.
    pub rules: ArrayRules,
    /// Replaces sensitive values by keyed hashes.
    pub redactor: Redactor,
    /// How deep and how large a state may be.
    pub limits: Limits,
    /// Which folds are asked where.
    pub folds: FoldRules,
}

/// The version of what is canonical: raised when the decoder, the built-in rules or the form of states
/// change so that what was equal may not be, or the other way about.
pub const VERSION: u32 = 1;

/// The canonical state of one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Its attributes; an object at the root.
    pub root: Node,
}

impl Canon {
    /// What decides, besides keys, how a text becomes canonical, as a text: where it is the same, the same
    /// texts come to the same.
    pub fn stamp(&self) -> String {
        let secrets = self.redactor.stamp();
        format!("{VERSION} {:?} {:?} {secrets}", self.rules.rules(), self.limits)
    }

    /// Reads a state slice as a source gave it: arrays by type rule, sensitive values redacted.
    ///
    /// `sensitive` holds JSON Pointers that the source declared; each covers all below it.
    pub fn state<'a>(
        &self,
        parser: &mut Parser,
        dialect: Dialect,
        resource_type: &str,
        slice: &[u8],
        sensitive: impl Iterator<Item = &'a str>,
    ) -> Result<State, CanonError> {
        let mut root = parser.parse(slice, self.limits, false)?;
        self.redactor.redact(&mut root, resource_type, sensitive);
        self.arrange(&mut root, dialect, resource_type);
        Ok(State { root })
    }

    /// Reads any JSON value, not just an object, as the state of `resource_type`.
    pub fn value(
        &self,
        parser: &mut Parser,
        dialect: Dialect,
        resource_type: &str,
        text: &[u8],
    ) -> Result<State, CanonError> {
        let mut root = parser.value(text, self.limits, false)?;
        self.redactor.redact(&mut root, resource_type, std::iter::empty());
        self.arrange(&mut root, dialect, resource_type);
        Ok(State { root })
    }

    /// Reads back what [`Node::to_json`] wrote: hashes of secrets are taken as they stand.
    pub fn stored_state(
        &self,
        parser: &mut Parser,
        dialect: Dialect,
        resource_type: &str,
        slice: &[u8],
    ) -> Result<State, CanonError> {
        let mut root = parser.parse(slice, self.limits, true)?;
        self.arrange(&mut root, dialect, resource_type);
        Ok(State { root })
    }

    /// The units of a state slice, read in one pass without a tree: those of [`Canon::state`], or
    /// `false` where it takes the tree to tell (secrets, duplicate members, malformed text). On
    /// `false` what `flat` holds means nothing.
    pub fn flatten(
        &self,
        parser: &mut Parser,
        seed: &Seed,
        dialect: Dialect,
        resource_type: &str,
        slice: StateText<'_>,
        flat: &mut Flat,
    ) -> bool {
        if slice.text.len() > self.limits.bytes {
            return false;
        }
        let Parser { memo, types, .. } = parser;
        let of_type = types.of(self, seed, dialect, resource_type);
        let redactor = &self.redactor;
        let mut walk = Walk { text: slice.text, seed, of_type, redactor, memo, flat };
        walk.run(slice.form).is_some()
    }

    /// Holds a state slice against a declared state of the same units without reading what is the same.
    /// `guide` was learnt with this parser from a state of this type, and of the same declared units.
    /// What the slice's units add up to ([`Flat::sum`]) more than the declared ones, and in `found` the
    /// units that differ, in the order of the slice. `None`: the slice runs otherwise, or it takes
    /// [`Canon::flatten`] to tell.
    #[expect(clippy::too_many_arguments)] // as `flatten`, and what to hold it against
    pub fn follow(
        &self,
        parser: &mut Parser,
        seed: &Seed,
        dialect: Dialect,
        resource_type: &str,
        slice: StateText<'_>,
        guide: &Guide,
        declared: DeclaredText<'_>,
        found: &mut Vec<Differing>,
    ) -> Option<u64> {
        if slice.text.len() > self.limits.bytes {
            return None;
        }
        let Parser { memo, types, .. } = parser;
        let of_type = types.of(self, seed, dialect, resource_type);
        let (redactor, bare) = (&self.redactor, slice.form != StateForm::Object);
        let flat = &mut Flat::default();
        let mut walk = Walk { text: slice.text, seed, of_type, redactor, memo, flat };
        walk.follow(guide, bare, declared, found)
    }

    /// Writes a state slice that [`Canon::flatten`] could read as [`Node::to_json`] would write its tree,
    /// without the tree. Members that its form calls ignored are left out. On `false` it takes the
    /// tree, and what `out` holds means nothing.
    pub fn rewrite(
        &self,
        parser: &mut Parser,
        seed: &Seed,
        dialect: Dialect,
        resource_type: &str,
        slice: StateText<'_>,
        out: &mut Canonical,
    ) -> bool {
        let Parser { memo, types, scratch, .. } = parser;
        let of_type = types.of(self, seed, dialect, resource_type);
        let (redactor, mut flat) = (&self.redactor, Flat::default());
        let walk = Walk { text: slice.text, seed, of_type, redactor, memo, flat: &mut flat };
        let depth_max = self.limits.depth.min(DEPTH + 2);
        let braces = if slice.form == StateForm::Object { 0 } else { 2 };
        walk.is_fit()
            && slice.text.len() + braces <= self.limits.bytes
            && Rewrite { walk, scratch, out, arrays: 0, depth_max }.run(slice.form).is_some()
    }

    /// Reads one unit of a state, which stands at `path`: its arrays are arranged as in the whole
    /// state. `stored`: the text is our own canonical JSON. Nothing is redacted: the caller knows
    /// that the state holds no secret ([`Canon::flatten`] would not have read it).
    #[expect(clippy::too_many_arguments)] // as `flatten`, and which unit
    pub fn unit(
        &self,
        parser: &mut Parser,
        seed: &Seed,
        dialect: Dialect,
        resource_type: &str,
        path: &str,
        text: &[u8],
        stored: bool,
    ) -> Result<Node, CanonError> {
        if let Some(node) = Node::plain_scalar(text) {
            return Ok(node);
        }
        let mut node = match Node::plain_list(text) {
            Some(node) => node,
            None => parser.value(text, self.limits, stored)?,
        };
        if matches!(node, Node::Array(_)) {
            let rules = &parser.types.of(self, seed, dialect, resource_type).rules;
            if !rules.is_empty() {
                rules::arrange(&mut node, rules, &mut path::segments(path).collect());
            }
        }
        Ok(node)
    }

    fn arrange(&self, root: &mut Node, dialect: Dialect, resource_type: &str) {
        let rules = self.rules.of(dialect, resource_type);
        rules::arrange(root, &rules, &mut Vec::new());
    }
}

impl State {
    /// A 64-bit hash of the state's meaning under `seed`: equal states have equal fingerprints.
    pub fn fingerprint(&self, seed: &Seed) -> u64 {
        Flat::of(&self.root, seed).fingerprint(seed)
    }

    /// How many attributes it has.
    pub fn leaves(&self) -> u32 {
        self.root.leaves()
    }
}
