//! One shard: the resources it owns, and the one function that judges observations of them.
//!
//! A resource key belongs to one shard, and one task owns a shard for one epoch, so that order per
//! resource holds without locks. [`Shard::apply`] takes a slice of observations and appends what
//! changed to an [`Output`]; everything it needs besides is in the shared, read-only [`Context`].

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use deployforge_canon::{Canon, Normalise, Parser};
use deployforge_model::{BaselineInfo, Key128, Mode, ObservationBatch, Presence, Timestamp};
use deployforge_policy::Policy;

use crate::baseline::{BaselineRow, BaselineRows};
use crate::entry::{Entry, Restored, Unseen};
use crate::judge::{Judge, conclude};
use crate::output::Output;

/// What a comparator is made with.
#[derive(Debug)]
pub struct Settings {
    /// Seeds keys and fingerprints.
    pub seed: u64,
    /// Keys the hashes that are kept.
    pub hash_key: [u8; 32],
    /// Makes states canonical.
    pub canon: Canon,
    /// Weights, severities, environments.
    pub policy: Policy,
    /// What counts, if it is not the baseline's own choice.
    pub mode: Option<Mode>,
    /// Which normalisers are asked.
    pub normalise: Normalise,
    /// Whether changed states are put out.
    pub keep_states: bool,
}

/// A baseline as the shards see it.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) info: BaselineInfo,
    pub(crate) name: Arc<str>,
    pub(crate) rows: BaselineRows,
    pub(crate) raw: Vec<u64>,
}

/// What every shard may read and none may change.
#[derive(Debug)]
pub struct Context {
    /// What the comparator was made with.
    pub settings: Settings,
    pub(crate) baselines: Vec<Loaded>,
}

impl Context {
    /// The row that declares an entry.
    pub(crate) fn row(&self, entry: &Entry) -> Option<BaselineRow<'_>> {
        let (baseline, row) = entry.baseline?;
        Some(self.baselines[usize::from(baseline)].rows.row(row as usize))
    }
}

/// Where a batch came from.
#[derive(Clone, Debug)]
pub struct BatchOrigin {
    /// The source's name.
    pub source: Arc<str>,
    /// The file it stands in, which rows of rejects name.
    pub file: Arc<str>,
    /// When it was taken in.
    pub ingested_at: Timestamp,
    /// The states are canonical JSON that we wrote, with hashes of secrets in it.
    pub stored: bool,
}

/// A row of a batch on its way to its shard.
#[derive(Clone, Copy, Debug)]
pub struct Routed {
    /// Row of the batch.
    pub row: u32,
    /// The key under which the resource is known: its own, or the one an alias led to.
    pub key: Key128,
    /// A baseline of another dialect knows this resource, or speaks of nothing in this dialect.
    pub unmapped: bool,
}

/// Hashes keys that are hashes already.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

/// The resources of one shard.
#[derive(Debug, Default)]
pub struct Shard {
    entries: Vec<Entry>,
    index: HashMap<Key128, u32, BuildHasherDefault<KeyHasher>>,
}

impl Shard {
    /// Whether the shard knows a key from a baseline.
    pub(crate) fn declares(&self, key: Key128) -> bool {
        self.index.get(&key).is_some_and(|&at| self.entries[at as usize].baseline.is_some())
    }

    /// The entry of a key, made if there is none.
    pub(crate) fn entry(&mut self, key: Key128) -> &mut Entry {
        let at = *self.index.entry(key).or_insert_with(|| {
            self.entries.push(Entry::new(None));
            (self.entries.len() - 1) as u32
        });
        &mut self.entries[at as usize]
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Judges observations in order. `sequence` numbers the batch, for sweeps.
    pub fn apply(
        &mut self,
        context: &Context,
        batch: &ObservationBatch,
        rows: &[Routed],
        origin: &BatchOrigin,
        sequence: u64,
        parser: &mut Parser,
    ) -> Output {
        let mut out = Output::default();
        for routed in rows {
            let observation = batch.row(routed.row as usize);
            let entry = self.entry(routed.key);
            out.observations += 1;
            // A deposed object says nothing of the current one of the same id.
            let current = context.row(entry).is_some_and(|row| !row.deposed);
            if observation.presence == Presence::Deposed && current {
                continue;
            }
            entry.seen = sequence;
            let mut judge = Judge { context, observation, origin, entry, parser, out: &mut out };
            judge.observe(routed.unmapped);
        }
        out
    }

    /// Ends a sweep: gives `judge` every entry that was not seen since `since`, and puts out what
    /// it decides.
    pub(crate) fn unseen(
        &mut self,
        context: &Context,
        origin: &BatchOrigin,
        since: u64,
        decide: &(dyn Fn(&Context, &Entry) -> Option<Unseen> + Sync),
    ) -> Output {
        let mut out = Output::default();
        for entry in &mut self.entries {
            if entry.seen >= since {
                continue;
            }
            if let Some(unseen) = decide(context, entry) {
                conclude(context, entry, origin, unseen, &mut out);
            }
        }
        out
    }

    /// Takes up a resource as the history last knew it.
    pub(crate) fn restore(&mut self, key: Key128, restored: Restored) {
        self.entry(key).restore(restored);
    }
}
