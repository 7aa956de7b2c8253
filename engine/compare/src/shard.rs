//! One shard: the resources it owns, and the one function that judges observations of them.
//!
//! A resource key belongs to one shard, and one task owns a shard for one epoch, so that order per
//! resource holds without locks. [`Shard::apply`] takes what an epoch holds for the shard and appends
//! what changed to an [`Output`]; everything it needs besides is in the shared, read-only [`Context`].

use std::sync::Arc;

use deployforge_canon::{Arranger, Canon, Differing, Flat, Node, Normalise, Parser, TypeFolds};
use deployforge_maps::SharedMaps;
use deployforge_model::{
    BaselineInfo, Dialect, Frame, Key128, Mode, ObservationBatch, ObservationBatchBuilder,
    ObservationRow, Presence, Record, RecordReader, Seed, Timestamp,
};
use deployforge_policy::Policy;

use crate::across::{Said, compare_across};
use crate::claim::Claim;
use crate::diff::{Comparison, DiffOptions, compare};
use crate::entry::{Entry, Owner, Restored, Unseen};
use crate::group::Groups;
use crate::guides::Guides;
use crate::index::Index;
use crate::judge::{Judge, conclude};
use crate::output::{Output, RejectRow};
use crate::prepare::Prepared;
use crate::route::Routed;
use crate::rows::{BaselineRow, BaselineRows};
use crate::shape::{Hashes, Orders, Shapes};
use crate::short::Short;

/// What a comparator is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Seeds keys and fingerprints.
    pub seed: u64,
    /// Keys the hashes that are kept.
    pub hash_key: [u8; 32],
    /// Makes states canonical.
    pub canon: Canon,
    /// Which types and attributes of other dialects are one.
    pub maps: SharedMaps,
    /// Weights, severities, environments.
    pub policy: Policy,
    /// What counts, if it is not the baseline's own choice.
    pub mode: Option<Mode>,
    /// Which normalisers are asked.
    pub normalise: Normalise,
    /// Which rows are put out.
    pub tables: Tables,
    /// Which levels of check decide.
    pub levels: LevelSwitch,
    /// What is held of a baseline in memory.
    pub tier: Tier,
    /// Bytes of declared states up to which their text is held against what changed
    /// ([`LevelSwitch::text`]). More would not stay in memory, and each look at it would wait for a disk.
    pub text_bytes: u64,
    /// Whether it is kept which attributes were not compared.
    pub explain: bool,
}

/// Which rows are put out besides findings and checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables {
    /// Transitions of verdicts.
    pub verdicts: bool,
    /// Changed states.
    pub observations: bool,
}

impl Tables {
    /// All tables.
    pub const ALL: Self = Self { verdicts: true, observations: true };

    pub(crate) fn keep_states(self) -> bool {
        self.verdicts || self.observations
    }
}

/// Which of the levels that need no full comparison may decide. The findings are the same whichever
/// do; to switch them off shows it, and what they save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools)] // each is one switch, and any may be off
pub struct LevelSwitch {
    /// Equal raw fingerprints decide.
    pub fingerprint: bool,
    /// Equal canonical fingerprints decide.
    pub canonical: bool,
    /// Hashes of attributes tell what to compare.
    pub attributes: bool,
    /// The declared text tells what to read of a state that changed, where hashes of attributes may tell
    /// what to compare.
    pub text: bool,
}

impl LevelSwitch {
    /// All levels decide.
    pub const ALL: Self = Self { fingerprint: true, canonical: true, attributes: true, text: true };
}

/// What is held of a baseline in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// Fingerprints, and four bytes per attribute: what changed is found without reading the baseline.
    #[default]
    Full,
    /// Fingerprints only: a changed resource is compared with the baseline as a whole.
    Lite,
}

/// A baseline as the shards see it.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) info: BaselineInfo,
    pub(crate) name: Arc<str>,
    pub(crate) rows: BaselineRows,
}

/// What every shard may read and none may change.
#[derive(Debug)]
pub(crate) struct Context {
    /// What the comparator was made with.
    pub(crate) settings: Settings,
    pub(crate) seed: Seed,
    pub(crate) baselines: Vec<Loaded>,
    pub(crate) shapes: Shapes,
    pub(crate) groups: Groups,
}

impl Context {
    /// The row that declares an entry.
    pub(crate) fn row(&self, entry: &Entry) -> Option<BaselineRow<'_>> {
        let (baseline, row) = entry.baseline()?;
        Some(self.baselines[usize::from(baseline)].rows.row(row as usize))
    }

    /// How many attributes were declared of what an entry was compared with.
    pub(crate) fn leaves(&self, entry: &Entry) -> u32 {
        use deployforge_model::Verdict::{Drifted, InSync};
        match entry.verdict() {
            Some(InSync | Drifted) => self.row(entry).map_or(0, |row| row.leaves()),
            _ => 0,
        }
    }

    /// How an entry is compared.
    pub(crate) fn mode(&self, entry: &Entry) -> Mode {
        let own = entry
            .baseline()
            .and_then(|(baseline, _)| self.baselines[usize::from(baseline)].info.mode);
        self.settings.mode.or(own).unwrap_or(Mode::Full)
    }

    /// The folds of a type.
    pub(crate) fn folds(&self, dialect: Dialect, resource_type: &str) -> Arc<TypeFolds> {
        self.settings.canon.folds.of(self.settings.normalise, dialect, resource_type)
    }

    /// Compares a declared state with an observed one, which may be of another dialect; `None` if no map
    /// says that both are of one kind.
    pub(crate) fn compare_said(
        &self,
        entry: &Entry,
        expected: Said<'_>,
        observed: Said<'_>,
    ) -> Option<Comparison> {
        if expected.dialect == observed.dialect {
            let of = (expected.dialect, expected.resource_type);
            return Some(self.compare(entry, of, expected.state, observed.state));
        }
        let Settings { normalise, canon, policy, maps, .. } = &self.settings;
        compare_across(maps, expected, observed, (*normalise, &canon.folds), policy)
    }

    /// Compares a declared state with an observed one of the same dialect.
    pub(crate) fn compare(
        &self,
        entry: &Entry,
        (dialect, resource_type): (Dialect, &str),
        expected: &Node,
        observed: &Node,
    ) -> Comparison {
        let folds = self.folds(dialect, resource_type);
        let options = DiffOptions { mode: self.mode(entry), folds: &folds };
        compare(expected, observed, options, &self.settings.policy, resource_type)
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
    /// The partition it was read from.
    pub owner: Owner,
}

/// A part of an epoch: observations of one file, in order.
#[derive(Clone, Copy, Debug)]
pub enum Segment<'a> {
    /// Observations that a parser read.
    Batch(&'a ObservationBatch),
    /// Records that a scan went through: some rows of a frame, and the parser that reads one where the
    /// scan was wrong.
    Frame {
        /// The frame.
        frame: &'a Frame,
        /// What [`Comparator::prepare`](crate::Comparator::prepare) made of it.
        prepared: &'a Prepared,
        /// The first row.
        first: u32,
        /// How many rows.
        rows: u32,
        /// The parser.
        reader: &'a dyn RecordReader,
    },
}

impl Segment<'_> {
    /// How many observations.
    pub fn len(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.len(),
            Self::Frame { rows, .. } => *rows as usize,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows of the batch or frame.
    pub(crate) fn rows(&self) -> std::ops::Range<usize> {
        match self {
            Self::Batch(batch) => 0..batch.len(),
            Self::Frame { first, rows, .. } => *first as usize..(first + rows) as usize,
        }
    }
}

/// What one thread needs while it judges, and what it learnt on the way.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    pub(crate) parser: Parser,
    pub(crate) flat: Flat,
    pub(crate) orders: Orders,
    pub(crate) guides: Guides,
    pub(crate) arranger: Arranger,
    /// Units that differ from the declared ones.
    pub(crate) differing: Vec<Differing>,
}

/// Entries in one slab: memory grows in steps, and nothing is ever moved.
const SLAB: usize = 4096;

/// The resources of one shard.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    slabs: Vec<Vec<Entry>>,
    index: Index,
    pub(crate) hashes: Hashes,
}

impl Shard {
    /// What the index holds where a key would stand first: a hint for [`Shard::find_from`], to be
    /// fetched for many keys before any is used.
    #[inline]
    pub(crate) fn hint(&self, key: Key128) -> u64 {
        self.index.first(key)
    }

    /// The place of a key's entry, given a hint.
    #[inline]
    pub(crate) fn find_from(&self, hint: u64, key: Key128) -> Option<u32> {
        self.index.find(hint, key, |at| self.at(at).is(key))
    }

    #[inline]
    fn find(&self, key: Key128) -> Option<u32> {
        self.find_from(self.hint(key), key)
    }

    #[inline]
    pub(crate) fn at(&self, at: u32) -> &Entry {
        &self.slabs[at as usize / SLAB][at as usize % SLAB]
    }

    /// The place of a key's entry, made if there is none.
    pub(crate) fn place(&mut self, key: Key128) -> u32 {
        if let Some(at) = self.find(key) {
            return at;
        }
        if self.slabs.last().is_none_or(|slab| slab.len() == SLAB) {
            self.slabs.push(Vec::with_capacity(SLAB));
        }
        let slab = self.slabs.len() - 1;
        let at = (slab * SLAB + self.slabs[slab].len()) as u32;
        self.slabs[slab].push(Entry::new(key));
        let slabs = &self.slabs;
        self.index.insert(key, at, |at| slabs[at as usize / SLAB][at as usize % SLAB].key());
        at
    }

    /// The entry of a key, made if there is none.
    pub(crate) fn entry(&mut self, key: Key128) -> &mut Entry {
        let at = self.place(key) as usize;
        &mut self.slabs[at / SLAB][at % SLAB]
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.slabs.iter().flatten()
    }

    pub(crate) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.slabs.iter_mut().flatten()
    }

    /// All entries, when nothing more is asked of the shard.
    pub(crate) fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.slabs.into_iter().flatten()
    }

    /// Judges rows of a segment, given with its number, in order. `sequence` numbers the epoch, for
    /// sweeps.
    #[allow(clippy::too_many_arguments)] // one call site, each argument a thing of its own
    pub(crate) fn apply(
        &mut self,
        context: &Context,
        (number, segment): (u32, Segment<'_>),
        routed: &[Routed],
        origin: &BatchOrigin,
        sequence: u32,
        tools: &mut Tools,
        out: &mut Output,
    ) {
        match segment {
            Segment::Batch(batch) => {
                for routed in routed {
                    let observation = batch.row(routed.row as usize);
                    let known = (raw_of(context, &observation), None);
                    self.judge(context, observation, routed, known, origin, sequence, tools, out);
                }
            }
            Segment::Frame { frame, prepared, reader, .. } => {
                let short = Short::new(context, frame, origin, sequence, number);
                for routed in routed {
                    if routed.is_unmapped()
                        || (!short.settles(self, routed, prepared, out)
                            && !short.differs(self, routed, prepared, tools, out))
                    {
                        self.read(context, frame, reader, routed, origin, sequence, tools, out);
                    }
                }
            }
        }
    }

    /// Judges one row at length.
    #[allow(clippy::too_many_arguments)] // one call site, each argument a thing of its own
    fn read(
        &mut self,
        context: &Context,
        frame: &Frame,
        reader: &dyn RecordReader,
        routed: &Routed,
        origin: &BatchOrigin,
        sequence: u32,
        tools: &mut Tools,
        out: &mut Output,
    ) {
        let row = routed.row as usize;
        // The claim of the scan holds if the short way can read it: then nothing need be parsed.
        let Tools { parser, flat, .. } = &mut *tools;
        let (dialect, kind) = (frame.dialect, frame.kind(row));
        let canon = &context.settings.canon;
        if canon.flatten(parser, &context.seed, dialect, kind, frame.state(row), flat) {
            let canonical = flat.fingerprint(&context.seed);
            let observation = frame.observation(row, origin.ingested_at);
            let known = (frame.raw(row), Some(Claim { frame, row, canonical }));
            return self.judge(context, observation, routed, known, origin, sequence, tools, out);
        }
        let mut builder = ObservationBatchBuilder::new(context.settings.seed);
        for record in reader.record(frame, row) {
            match record {
                Record::Observation(observation) => {
                    builder.push(&observation, frame.when(row).unwrap_or(origin.ingested_at));
                }
                Record::Reject(reject) => {
                    let file = Arc::clone(&origin.file);
                    out.unread += 1;
                    out.rejects.push(RejectRow::of(reject, file, origin.ingested_at));
                }
                Record::Sweep(_) | Record::Evidence(_) => {}
            }
        }
        let batch = builder.finish();
        if batch.len() == 1 {
            let observation = batch.row(0);
            let known = (raw_of(context, &observation), None);
            self.judge(context, observation, routed, known, origin, sequence, tools, out);
        }
    }

    /// `known`: the fingerprint of the text, and where it stands if it was not parsed.
    #[allow(clippy::too_many_arguments)] // three call sites, each argument a thing of its own
    fn judge<'b>(
        &mut self,
        context: &Context,
        observation: ObservationRow<'b>,
        routed: &Routed,
        (raw, claim): (u64, Option<Claim<'b>>),
        origin: &BatchOrigin,
        sequence: u32,
        tools: &mut Tools,
        out: &mut Output,
    ) {
        let entry = self.entry(routed.key());
        out.observations += 1;
        // A deposed object says nothing of the current one of the same id.
        let current = context.row(entry).is_some_and(|row| !row.is_deposed());
        if observation.presence == Presence::Deposed && current {
            return;
        }
        entry.seen = sequence;
        out.strayed += u64::from(entry.belongs(origin.owner));
        let parser = &mut tools.parser;
        let mut judge = Judge { context, observation, claim, origin, entry, parser, out };
        judge.observe(routed.is_unmapped(), raw);
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, at: u32) -> &mut Entry {
        &mut self.slabs[at as usize / SLAB][at as usize % SLAB]
    }

    /// The place of the entry of a row.
    #[inline]
    pub(crate) fn place_of(&self, routed: &Routed) -> Option<u32> {
        // What an earlier row of the epoch made was not there when the row was routed.
        routed.at().or_else(|| self.find(routed.key()))
    }

    /// Ends a sweep: gives `judge` every entry that was not seen since `since`, and puts out what
    /// it decides.
    pub(crate) fn unseen(
        &mut self,
        context: &Context,
        origin: &BatchOrigin,
        since: u32,
        decide: &(dyn Fn(&Context, &Entry) -> Option<Unseen> + Sync),
    ) -> Output {
        let mut out = Output::default();
        for entry in self.slabs.iter_mut().flatten() {
            // What another partition's observations speak of is not this one's to miss.
            let others = entry.owner != origin.owner && entry.owner != Owner::NONE;
            if entry.seen >= since || (others && origin.owner != Owner::NONE) {
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

    /// Bytes held for entries, index and hashes.
    pub(crate) fn bytes(&self) -> usize {
        let entries: usize = self.slabs.iter().map(Vec::capacity).sum();
        entries * size_of::<Entry>() + self.index.bytes() + self.hashes.bytes()
    }
}

fn raw_of(context: &Context, observation: &ObservationRow<'_>) -> u64 {
    raw_fingerprint(&context.seed, observation.state, observation.sensitive())
}

/// The fingerprint of the text of a state, of which these paths are to be kept secret: the same text with
/// other secrets is another state.
pub(crate) fn raw_fingerprint<'p>(
    seed: &Seed,
    state: &[u8],
    sensitive: impl Iterator<Item = &'p str>,
) -> u64 {
    let mix = |sum, path: &str| seed.mix(sum, seed.text(path.as_bytes()));
    sensitive.fold(seed.text(state), mix).max(1)
}
