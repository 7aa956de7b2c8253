//! Baselines: what resources should be, a row per resource, in Arrow columns.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBuilder, LargeBinaryBuilder, ListBuilder, RecordBatch,
    StringBuilder, UInt32Builder,
};
use arrow::datatypes::{DataType, Field};
use deployforge_canon::{Canon, CanonError, Flat, Parser};
use deployforge_model::{
    BaselineInfo, Dialect, Frame, HashedMap, Key128, Observation, Presence, Record, RecordReader,
    Reject, RejectCode, ResourceKey, Seed, StateText, Timestamp, schema,
};
use rayon::prelude::*;

use crate::claim::tree;
use crate::index::{lock, per_thread};
use crate::rows::{BaselineRows, CHUNK_ROWS};

/// One version of a baseline: its info and its rows ([`schema::baseline`]).
#[derive(Clone, Debug)]
pub struct Baseline {
    /// Which one it is.
    pub info: BaselineInfo,
    /// Its rows.
    pub rows: BaselineRows,
    /// Seeded fingerprints of the raw state slices, a row each, 0 where unknown. They never leave
    /// the process.
    pub raw: Vec<u64>,
}

/// Gathers declared states into a [`Baseline`].
#[derive(Debug)]
pub struct BaselineBuilder<'c> {
    canon: &'c Canon,
    seed: u64,
    fingerprint: Seed,
    /// One per thread: what they learnt of names is worth keeping.
    tools: Vec<Mutex<Reading>>,
    /// Rows that no batch holds yet; the first has the number `first`.
    waiting: Vec<Row>,
    first: usize,
    sealed: Vec<RecordBatch>,
    index: HashedMap<Key128, Known>,
    /// Fingerprints of the raw slices, a row each.
    raw: Vec<u64>,
    /// Rows of sealed batches that no longer count, and those that turned out to be contradicted.
    dead: HashSet<usize>,
    contradicted: HashSet<usize>,
}

/// What reading takes.
type Reading = (Parser, Flat);

/// What the builder remembers of a resource.
#[derive(Clone, Copy, Debug)]
struct Known {
    row: usize,
    order: (Option<u64>, Option<Timestamp>),
    presence: Presence,
    /// Fingerprint of the canonical state.
    content: u64,
}

#[derive(Debug)]
struct Row {
    key: ResourceKey,
    dialect: Dialect,
    address: Option<String>,
    aliases: String,
    presence: Presence,
    collection: Option<String>,
    tainted: bool,
    leaves: u32,
    state: String,
    /// Where the value of each unit starts in `state`; empty for states that hold secrets.
    units: Vec<u32>,
    raw: u64,
    order: (Option<u64>, Option<Timestamp>),
}

impl Row {
    /// A row whose state says nothing: it compares as unreadable with whatever is observed.
    fn unreadable(observation: &Observation) -> Self {
        Self {
            key: observation.key.clone(),
            dialect: observation.dialect,
            address: observation.address.clone(),
            aliases: observation.aliases.join("\n"),
            presence: observation.presence,
            collection: observation.collection.clone(),
            tainted: observation.tainted,
            leaves: 0,
            state: String::new(),
            units: Vec::new(),
            raw: 0,
            order: (observation.version, observation.observed_at),
        }
    }

    fn new(
        observation: &Observation,
        canon: &Canon,
        seed: &Seed,
        tools: &mut Reading,
    ) -> Result<Self, CanonError> {
        let raw = seed.text(&observation.state).max(1);
        let mut row = Self { raw, ..Self::unreadable(observation) };
        if observation.presence != Presence::Deleted {
            let state = canon.state(
                &mut tools.0,
                observation.dialect,
                &observation.key.resource_type,
                &observation.state,
                observation.sensitive.iter().map(String::as_str),
            )?;
            row.state = state.root.to_json();
            row.leaves = state.leaves();
            row.note_units(canon, seed, tools);
        }
        Ok(row)
    }

    /// Notes where units stand, so that those which differ are found without reading the state.
    fn note_units(&mut self, canon: &Canon, seed: &Seed, (parser, flat): &mut Reading) {
        let state = StateText::object(self.state.as_bytes());
        if canon.flatten(parser, seed, self.dialect, &self.key.resource_type, state, flat) {
            self.units = flat.units.iter().map(|unit| unit.span.0).collect();
        }
    }
}

impl Row {
    /// The row of a frame's row. If the scan's claim holds, its fingerprint stands for the state's
    /// text; if not, the parser reads the record.
    fn of_frame(
        frame: &Frame,
        row: usize,
        reader: &dyn RecordReader,
        canon: &Canon,
        seed: &Seed,
        tools: &mut Reading,
    ) -> Result<Self, NotAdded> {
        let kind = frame.kind(row);
        let (parser, flat) = &mut *tools;
        let claim = canon.flatten(parser, seed, frame.dialect, kind, frame.state(row), flat);
        if claim && let Some(row) = Self::of_claim(frame, row, canon, seed, tools) {
            return Ok(row);
        }
        let mut rejected = None;
        for record in reader.record(frame, row) {
            match record {
                Record::Observation(observation) => {
                    let made = Self::new(&observation, canon, seed, tools);
                    let mut row_made = made.map_err(|error| NotAdded::State(error, observation))?;
                    if claim {
                        row_made.raw = frame.raw(row);
                    }
                    return Ok(row_made);
                }
                Record::Reject(reject) => rejected = Some(reject),
                Record::Sweep(_) => {}
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
}

impl Row {
    /// The row of a claim that holds. `None` where the parser would find more names of the resource.
    fn of_claim(
        frame: &Frame,
        row: usize,
        canon: &Canon,
        seed: &Seed,
        tools: &mut Reading,
    ) -> Option<Self> {
        if memchr::memmem::find(frame.record(row), b"\"resourceName\"").is_some() {
            return None;
        }
        let root = tree(canon, &mut tools.0, frame, row)?;
        let [account, region, kind, id] = frame.parts(row);
        let key = ResourceKey::new(frame.provider, account, region, kind, id);
        let alias = frame.alias(row);
        let mut made = Self {
            dialect: frame.dialect,
            address: None,
            aliases: if alias == id { String::new() } else { alias.to_owned() },
            presence: Presence::Present,
            collection: None,
            tainted: false,
            leaves: root.leaves(),
            state: root.to_json(),
            raw: frame.raw(row),
            units: Vec::new(),
            order: (frame.version(row), frame.observed_at(row)),
            key,
        };
        made.note_units(canon, seed, tools);
        Some(made)
    }
}

/// Why a row of a frame was not added.
#[derive(Debug)]
pub enum NotAdded {
    /// The state has no canonical form; its resource stays declared.
    State(CanonError, Box<Observation>),
    /// The parser refused the record.
    Reject(Reject),
}

/// What became of one declared state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// A new resource.
    New,
    /// A newer state of a resource seen before replaced it, or an older or equal one was dropped.
    Superseded,
    /// It contradicts another claim on the same resource: the resource's verdict will be `unknown`.
    Duplicate,
}

impl<'c> BaselineBuilder<'c> {
    /// A builder that makes states canonical with `canon` and fingerprints raw slices under `seed`.
    pub fn new(canon: &'c Canon, seed: u64) -> Self {
        Self {
            canon,
            seed,
            fingerprint: Seed::new(seed),
            tools: per_thread(),
            waiting: Vec::new(),
            first: 0,
            sealed: Vec::new(),
            index: HashMap::default(),
            raw: Vec::new(),
            dead: HashSet::new(),
            contradicted: HashSet::new(),
        }
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.first + self.waiting.len()
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds one declared state. A deletion removes what was declared before it. A state that cannot
    /// be made canonical is an error, and its resource stays declared, so that it is `unknown`
    /// (`unreadable`) and neither unmanaged nor forgotten.
    pub fn add(&mut self, observation: &Observation) -> Result<Added, CanonError> {
        let row = Row::new(observation, self.canon, &self.fingerprint, &mut lock(&self.tools));
        self.take(observation, row)
    }

    fn take(
        &mut self,
        observation: &Observation,
        row: Result<Row, CanonError>,
    ) -> Result<Added, CanonError> {
        match row {
            Ok(row) => Ok(self.insert(row)),
            Err(error) => {
                self.insert(Row::unreadable(observation));
                Err(error)
            }
        }
    }

    /// Adds many declared states in order, made canonical on all cores.
    pub fn add_all(&mut self, observations: &[Observation]) -> Vec<Result<Added, CanonError>> {
        let (canon, seed, tools) = (self.canon, &self.fingerprint, &self.tools);
        let rows: Vec<_> = observations
            .par_iter()
            .map_init(|| lock(tools), |tools, one| Row::new(one, canon, seed, tools))
            .collect();
        observations.iter().zip(rows).map(|(one, row)| self.take(one, row)).collect()
    }

    /// Adds rows of a frame in order, made canonical on all cores.
    pub fn add_frame(
        &mut self,
        frame: &Frame,
        rows: Range<usize>,
        reader: &dyn RecordReader,
    ) -> Vec<Result<Added, NotAdded>> {
        let (canon, seed, tools) = (self.canon, &self.fingerprint, &self.tools);
        let read = |tools: &mut MutexGuard<'_, Reading>, row| {
            Row::of_frame(frame, row, reader, canon, seed, tools)
        };
        let made: Vec<_> = rows.into_par_iter().map_init(|| lock(tools), read).collect();
        let mut added = Vec::with_capacity(made.len());
        for row in made {
            added.push(match row {
                Ok(row) => Ok(self.insert(row)),
                Err(NotAdded::State(error, observation)) => {
                    self.insert(Row::unreadable(&observation));
                    Err(NotAdded::State(error, observation))
                }
                Err(reject) => Err(reject),
            });
        }
        added
    }

    fn insert(&mut self, row: Row) -> Added {
        let key = row.key.hash128(self.seed);
        let content = self.fingerprint.text(row.state.as_bytes());
        let new = Known { row: self.len(), order: row.order, presence: row.presence, content };
        let Some(known) = self.index.get(&key).copied() else {
            self.index.insert(key, new);
            self.push(row);
            return Added::New;
        };
        let deposed = |presence| presence == Presence::Deposed;
        // A deposed object never speaks for the resource beside a current one.
        if deposed(row.presence) || deposed(known.presence) {
            if deposed(known.presence) {
                self.replace(key, known, new, row);
            }
            return Added::Superseded;
        }
        if row.order == (None, None) || row.order == known.order {
            if (content, row.presence) == (known.content, known.presence) {
                return Added::Superseded;
            }
            self.contradicted.insert(known.row);
            return Added::Duplicate;
        }
        if row.order > known.order {
            self.replace(key, known, new, row);
        }
        Added::Superseded
    }

    fn replace(&mut self, key: Key128, known: Known, new: Known, row: Row) {
        self.contradicted.remove(&known.row);
        self.dead.insert(known.row);
        self.index.insert(key, new);
        self.push(row);
    }

    fn push(&mut self, row: Row) {
        self.raw.push(row.raw);
        self.waiting.push(row);
        if self.waiting.len() == CHUNK_ROWS {
            self.seal();
        }
    }

    /// Seals what waits into a batch, the last of the baseline unless it is full.
    pub fn seal(&mut self) {
        if !self.waiting.is_empty() {
            self.sealed.push(batch(&self.waiting));
            self.first += self.waiting.len();
            self.waiting.clear();
        }
    }

    /// Takes the batches that are complete, to be kept elsewhere until [`BaselineBuilder::finish`].
    pub fn take_sealed(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.sealed)
    }

    /// The baseline in memory.
    pub fn build(mut self, info: BaselineInfo) -> Baseline {
        self.seal();
        let kept = self.take_sealed();
        self.finish(info, kept)
    }

    /// The baseline of all sealed batches, in order. What was deleted last is not part of it.
    pub fn finish(mut self, info: BaselineInfo, kept: Vec<RecordBatch>) -> Baseline {
        let deleted = self.index.values().filter(|known| known.presence == Presence::Deleted);
        self.dead.extend(deleted.map(|known| known.row));
        let (mut batches, mut raw) = (kept, self.raw);
        if !(self.dead.is_empty() && self.contradicted.is_empty()) {
            let alive: Vec<bool> = (0..raw.len()).map(|row| !self.dead.contains(&row)).collect();
            batches = rewrite(&batches, &alive, &self.contradicted);
            let mut live = alive.iter();
            raw.retain(|_| live.next() == Some(&true));
        }
        let rows = BaselineRows::new(&batches).expect("the builder follows the schema");
        Baseline { info, rows, raw }
    }
}

/// The batches without the rows that are not alive, and with those marked that are contradicted.
fn rewrite(
    batches: &[RecordBatch],
    alive: &[bool],
    contradicted: &HashSet<usize>,
) -> Vec<RecordBatch> {
    let mut first = 0;
    let parts: Vec<RecordBatch> = batches
        .iter()
        .map(|batch| {
            let rows = first..first + batch.num_rows();
            first = rows.end;
            let marks: BooleanArray =
                rows.clone().map(|row| Some(contradicted.contains(&row))).collect();
            let mut columns = batch.columns().to_vec();
            columns[11] = Arc::new(marks);
            let marked =
                RecordBatch::try_new(batch.schema(), columns).expect("one column replaced");
            let keep: BooleanArray = alive[rows].iter().map(|alive| Some(*alive)).collect();
            arrow::compute::filter_record_batch(&marked, &keep).expect("a mask of the same length")
        })
        .collect();
    let all = arrow::compute::concat_batches(&schema::baseline(), &parts).expect("one schema");
    let starts = (0..all.num_rows()).step_by(CHUNK_ROWS);
    starts.map(|at| all.slice(at, CHUNK_ROWS.min(all.num_rows() - at))).collect()
}

/// Rows as a batch.
fn batch(rows: &[Row]) -> RecordBatch {
    let text = |get: &dyn Fn(&Row) -> &str| -> ArrayRef {
        let bytes = rows.iter().map(|row| get(row).len()).sum();
        let mut builder = StringBuilder::with_capacity(rows.len(), bytes);
        rows.iter().for_each(|row| builder.append_value(get(row)));
        Arc::new(builder.finish())
    };
    let flag = |get: &dyn Fn(&Row) -> bool| -> ArrayRef {
        let mut builder = BooleanBuilder::with_capacity(rows.len());
        rows.iter().for_each(|row| builder.append_value(get(row)));
        Arc::new(builder.finish())
    };
    let mut address = StringBuilder::new();
    let mut collection = StringBuilder::new();
    let mut leaves = UInt32Builder::with_capacity(rows.len());
    let bytes = rows.iter().map(|row| row.state.len()).sum();
    let mut state = LargeBinaryBuilder::with_capacity(rows.len(), bytes);
    let item = Field::new("item", DataType::UInt32, false);
    let mut units = ListBuilder::new(UInt32Builder::new()).with_field(item);
    for row in rows {
        address.append_option(row.address.as_deref());
        collection.append_option(row.collection.as_deref());
        leaves.append_value(row.leaves);
        state.append_value(row.state.as_bytes());
        units.values().append_slice(&row.units);
        units.append(true);
    }
    let columns: Vec<ArrayRef> = vec![
        text(&|row| &row.key.provider),
        text(&|row| &row.key.account),
        text(&|row| &row.key.region),
        text(&|row| &row.key.resource_type),
        text(&|row| &row.key.id),
        text(&|row| row.dialect.name()),
        Arc::new(address.finish()),
        text(&|row| &row.aliases),
        text(&|row| if row.presence == Presence::Deposed { "deposed" } else { "present" }),
        Arc::new(collection.finish()),
        flag(&|row| row.tainted),
        flag(&|_| false),
        Arc::new(leaves.finish()),
        Arc::new(state.finish()),
        Arc::new(units.finish()),
    ];
    RecordBatch::try_new(schema::baseline(), columns).expect("the builders follow the schema")
}
