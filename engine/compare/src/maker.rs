//! Rows of a baseline before they are in it.
//!
//! A [`RowMaker`] makes declared states canonical, each by itself and so on all cores; a
//! [`RowTable`](crate::RowTable) takes the rows in order. The two share nothing, so that one may make
//! rows while the other takes those made before. Most states are rewritten from their text; what
//! cannot be told that way is read into a tree.

use std::ops::Range;
use std::sync::Mutex;

use deployforge_canon::{Canon, CanonError, Canonical, Flat, Node, Parser};
use deployforge_model::{
    Dialect, Frame, Key128, Observation, Presence, Record, RecordReader, Reject, RejectCode,
    ResourceKey, Seed, StateText, Timestamp,
};
use rayon::prelude::*;

use crate::claim::tree;
use crate::index::{lock, per_thread};
use crate::shard::raw_fingerprint;

/// Makes rows of declared states.
#[derive(Debug)]
pub struct RowMaker<'c> {
    canon: &'c Canon,
    seed: u64,
    fingerprint: Seed,
    /// One per thread: what they learnt of names is worth keeping.
    tools: Vec<Mutex<Reading>>,
}

/// What reading takes, kept from state to state.
#[derive(Debug, Default)]
struct Reading {
    parser: Parser,
    flat: Flat,
    written: Canonical,
}

/// A declared state, made canonical.
#[derive(Debug)]
pub struct MadeRow {
    pub(crate) key: ResourceKey,
    pub(crate) key128: Key128,
    pub(crate) dialect: Dialect,
    pub(crate) address: Option<String>,
    pub(crate) aliases: String,
    pub(crate) presence: Presence,
    pub(crate) collection: Option<String>,
    pub(crate) tainted: bool,
    /// Its state; of those that hold secrets, units are not noted.
    pub(crate) state: Canonical,
    /// Fingerprint of the canonical state; 0: there is none.
    pub(crate) content: u64,
    /// Fingerprint of the raw slice, 0 where unknown.
    pub(crate) raw: u64,
    pub(crate) order: (Option<u64>, Option<Timestamp>),
}

/// Why a declared state has no row of its own.
#[derive(Debug)]
pub enum NotAdded {
    /// The state has no canonical form; its resource stays declared.
    State(CanonError, Box<Observation>),
    /// The parser refused the record.
    Reject(Reject),
}

impl<'c> RowMaker<'c> {
    /// A maker that makes states canonical with `canon` and fingerprints raw slices under `seed`.
    pub fn new(canon: &'c Canon, seed: u64) -> Self {
        Self { canon, seed, fingerprint: Seed::new(seed), tools: per_thread() }
    }

    /// The row of one declared state.
    pub fn of_observation(&self, observation: Box<Observation>) -> Result<MadeRow, NotAdded> {
        self.one(&observation, &mut lock(&self.tools))
            .map_err(|error| NotAdded::State(error, observation))
    }

    /// The rows of a frame's rows in order, made on all cores.
    pub fn of_frame(
        &self,
        frame: &Frame,
        rows: Range<usize>,
        reader: &dyn RecordReader,
    ) -> Vec<Result<MadeRow, NotAdded>> {
        let tools = || lock(&self.tools);
        rows.into_par_iter()
            .map_init(tools, |tools, row| self.framed(frame, row, reader, tools))
            .collect()
    }

    fn one(&self, observation: &Observation, tools: &mut Reading) -> Result<MadeRow, CanonError> {
        let mut row = MadeRow::unreadable(observation, self.seed);
        let sensitive = observation.sensitive.iter().map(String::as_str);
        row.raw = raw_fingerprint(&self.fingerprint, &observation.state, sensitive);
        if observation.presence != Presence::Present && observation.state.is_empty() {
            return Ok(row);
        }
        let (canon, seed) = (self.canon, &self.fingerprint);
        let (dialect, kind) = (observation.dialect, &*observation.key.resource_type);
        let slice = StateText::object(&observation.state);
        let Reading { parser, flat, written } = &mut *tools;
        let plain = observation.sensitive.is_empty()
            && canon.flatten(parser, seed, dialect, kind, slice, flat)
            && canon.rewrite(parser, seed, dialect, kind, slice, written);
        if plain {
            row.state = written.clone();
        } else {
            let sensitive = observation.sensitive.iter().map(String::as_str);
            let state = canon.state(parser, dialect, kind, &observation.state, sensitive)?;
            row.state = self.written(&state.root, dialect, kind, tools);
        }
        row.content = seed.text(&row.state.text);
        Ok(row)
    }

    /// The text of a tree. Where units stand is noted, so that those which differ are found without
    /// reading the state.
    fn written(&self, root: &Node, dialect: Dialect, kind: &str, tools: &mut Reading) -> Canonical {
        let Reading { parser, flat, .. } = tools;
        let text = root.to_json().into_bytes();
        let slice = StateText::object(&text);
        let mut units = Vec::new();
        if self.canon.flatten(parser, &self.fingerprint, dialect, kind, slice, flat) {
            units = flat.units.iter().map(|unit| unit.span.0).collect();
        }
        Canonical { text, leaves: root.leaves(), units }
    }

    /// The row of a frame's row. If the scan's claim holds, its fingerprint stands for the state's
    /// text; if not, the parser reads the record.
    fn framed(
        &self,
        frame: &Frame,
        row: usize,
        reader: &dyn RecordReader,
        tools: &mut Reading,
    ) -> Result<MadeRow, NotAdded> {
        let Reading { parser, flat, .. } = &mut *tools;
        let (kind, state) = (frame.kind(row), frame.state(row));
        let claim = self.canon.flatten(parser, &self.fingerprint, frame.dialect, kind, state, flat);
        if claim && let Some(row) = self.claimed(frame, row, tools) {
            return Ok(row);
        }
        let mut rejected = None;
        for record in reader.record(frame, row) {
            match record {
                Record::Observation(observation) => {
                    let made = self.one(&observation, tools);
                    let mut made = made.map_err(|error| NotAdded::State(error, observation))?;
                    if claim {
                        made.raw = frame.raw(row);
                    }
                    return Ok(made);
                }
                Record::Reject(reject) => rejected = Some(reject),
                Record::Sweep(_) | Record::Evidence(_) => {}
            }
        }
        let reject = rejected.unwrap_or_else(|| Reject {
            position: frame.position(row),
            code: RejectCode::NotARecord,
            reason: "This line holds no resource.".to_owned(),
            hash: String::new(),
            size: 0,
        });
        Err(NotAdded::Reject(reject))
    }

    /// The row of a claim that holds. `None` where the parser would find more names of the resource.
    fn claimed(&self, frame: &Frame, row: usize, tools: &mut Reading) -> Option<MadeRow> {
        if memchr::memmem::find(frame.record(row), b"\"resourceName\"").is_some() {
            return None;
        }
        let (canon, seed) = (self.canon, &self.fingerprint);
        let [account, region, kind, id] = frame.parts(row);
        let Reading { parser, written, .. } = &mut *tools;
        let state = if canon.rewrite(parser, seed, frame.dialect, kind, frame.state(row), written) {
            written.clone()
        } else {
            let root = tree(canon, parser, frame, row)?;
            self.written(&root, frame.dialect, kind, tools)
        };
        let key = ResourceKey::new(frame.provider, account, region, kind, id);
        let alias = frame.alias(row);
        Some(MadeRow {
            key128: key.hash128(self.seed),
            key,
            dialect: frame.dialect,
            address: None,
            aliases: if alias == id { String::new() } else { alias.to_owned() },
            presence: Presence::Present,
            collection: None,
            tainted: false,
            content: seed.text(&state.text),
            state,
            raw: frame.raw(row),
            order: (frame.version(row), frame.observed_at(row)),
        })
    }
}

impl MadeRow {
    /// A row whose state says nothing: it compares as unreadable with whatever is observed.
    pub(crate) fn unreadable(observation: &Observation, seed: u64) -> Self {
        Self {
            key: observation.key.clone(),
            key128: observation.key.hash128(seed),
            dialect: observation.dialect,
            address: observation.address.clone(),
            aliases: observation.aliases.join("\n"),
            presence: observation.presence,
            collection: observation.collection.clone(),
            tainted: observation.tainted,
            state: Canonical::default(),
            content: 0,
            raw: 0,
            order: (observation.version, observation.observed_at),
        }
    }
}
