//! Baselines: what resources should be, a row per resource, in Arrow columns.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBuilder, LargeBinaryBuilder, ListBuilder, RecordBatch,
    StringBuilder, UInt32Builder,
};
use arrow::datatypes::{DataType, Field};
use deployforge_canon::Canon;
use deployforge_model::{
    BaselineInfo, Frame, HashedMap, Key128, Observation, Presence, RecordReader, Timestamp, schema,
};

use crate::maker::{MadeRow, NotAdded, RowMaker};
use crate::rows::{BaselineRows, CHUNK_ROWS};

/// One version of a baseline: its info and its rows ([`schema::baseline`]).
#[derive(Clone, Debug)]
pub struct Baseline {
    /// Which one it is.
    pub info: BaselineInfo,
    /// Its rows.
    pub rows: BaselineRows,
    /// Seeded fingerprints of the raw state slices, a row each, 0 where unknown; or none at all.
    pub raw: Vec<u64>,
}

impl Baseline {
    /// The fingerprints that may be kept: those of slices that hold no secret, which could be guessed by
    /// whoever has the seed.
    pub fn kept_raw(&self) -> Vec<u64> {
        let units_noted = |row: usize| !self.rows.row(row).starts().is_empty();
        let kept = |(row, raw): (usize, &u64)| if units_noted(row) { *raw } else { 0 };
        self.raw.iter().enumerate().map(kept).collect()
    }
}

/// Gathers declared states into a [`Baseline`].
#[derive(Debug)]
pub struct BaselineBuilder<'c> {
    maker: RowMaker<'c>,
    table: RowTable,
}

impl<'c> BaselineBuilder<'c> {
    /// A builder that makes states canonical with `canon` and fingerprints raw slices under `seed`.
    pub fn new(canon: &'c Canon, seed: u64) -> Self {
        Self { maker: RowMaker::new(canon, seed), table: RowTable::new(seed) }
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds one declared state; see [`RowTable::add`].
    pub fn add(&mut self, observation: &Observation) -> Result<Added, NotAdded> {
        self.table.add(self.maker.of_observation(Box::new(observation.clone())))
    }

    /// Adds rows of a frame in order, made canonical on all cores.
    pub fn add_frame(
        &mut self,
        frame: &Frame,
        rows: Range<usize>,
        reader: &dyn RecordReader,
    ) -> Vec<Result<Added, NotAdded>> {
        let made = self.maker.of_frame(frame, rows, reader);
        made.into_iter().map(|made| self.table.add(made)).collect()
    }

    /// The baseline in memory.
    pub fn build(mut self, info: BaselineInfo) -> Baseline {
        self.table.seal();
        let kept = self.table.take_sealed();
        self.table.finish(info, kept)
    }
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

/// The rows of a baseline to be, in order: which of them count, and which contradict each other.
#[derive(Debug)]
pub struct RowTable {
    seed: u64,
    /// Rows that no batch holds yet; the first has the number `first`.
    waiting: Vec<MadeRow>,
    first: usize,
    sealed: Vec<RecordBatch>,
    index: HashedMap<Key128, Known>,
    /// Fingerprints of the raw slices, a row each.
    raw: Vec<u64>,
    /// Rows of sealed batches that no longer count, and those that turned out to be contradicted.
    dead: HashSet<usize>,
    contradicted: HashSet<usize>,
}

/// What the table remembers of a resource.
#[derive(Clone, Copy, Debug)]
struct Known {
    row: usize,
    order: (Option<u64>, Option<Timestamp>),
    presence: Presence,
    /// Fingerprint of the canonical state.
    content: u64,
}

impl RowTable {
    /// An empty table of rows that were made under `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            waiting: Vec::new(),
            first: 0,
            sealed: Vec::new(),
            index: HashedMap::default(),
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

    /// Adds one declared state. A deletion removes what was declared before it. A state that could not
    /// be made canonical is an error, and its resource stays declared, so that it is `unknown`
    /// (`unreadable`) and neither unmanaged nor forgotten.
    pub fn add(&mut self, made: Result<MadeRow, NotAdded>) -> Result<Added, NotAdded> {
        match made {
            Ok(row) => Ok(self.insert(row)),
            Err(NotAdded::State(error, observation)) => {
                self.insert(MadeRow::unreadable(&observation, self.seed));
                Err(NotAdded::State(error, observation))
            }
            Err(reject) => Err(reject),
        }
    }

    fn insert(&mut self, row: MadeRow) -> Added {
        let (key, content) = (row.key128, row.content);
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

    fn replace(&mut self, key: Key128, known: Known, new: Known, row: MadeRow) {
        self.contradicted.remove(&known.row);
        self.dead.insert(known.row);
        self.index.insert(key, new);
        self.push(row);
    }

    fn push(&mut self, row: MadeRow) {
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

    /// Takes the batches that are complete, to be kept elsewhere until [`RowTable::finish`].
    pub fn take_sealed(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.sealed)
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
fn batch(rows: &[MadeRow]) -> RecordBatch {
    let text = |get: &dyn Fn(&MadeRow) -> &str| -> ArrayRef {
        let bytes = rows.iter().map(|row| get(row).len()).sum();
        let mut builder = StringBuilder::with_capacity(rows.len(), bytes);
        rows.iter().for_each(|row| builder.append_value(get(row)));
        Arc::new(builder.finish())
    };
    let flag = |get: &dyn Fn(&MadeRow) -> bool| -> ArrayRef {
        let mut builder = BooleanBuilder::with_capacity(rows.len());
        rows.iter().for_each(|row| builder.append_value(get(row)));
        Arc::new(builder.finish())
    };
    let mut address = StringBuilder::new();
    let mut collection = StringBuilder::new();
    let mut leaves = UInt32Builder::with_capacity(rows.len());
    let bytes = rows.iter().map(|row| row.state.text.len()).sum();
    let mut state = LargeBinaryBuilder::with_capacity(rows.len(), bytes);
    let item = Field::new("item", DataType::UInt32, false);
    let mut units = ListBuilder::new(UInt32Builder::new()).with_field(item);
    for row in rows {
        address.append_option(row.address.as_deref());
        collection.append_option(row.collection.as_deref());
        leaves.append_value(row.state.leaves);
        state.append_value(&row.state.text);
        units.values().append_slice(&row.state.units);
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
        text(&|row| row.presence.name()),
        Arc::new(collection.finish()),
        flag(&|row| row.tainted),
        flag(&|_| false),
        Arc::new(leaves.finish()),
        Arc::new(state.finish()),
        Arc::new(units.finish()),
    ];
    RecordBatch::try_new(schema::baseline(), columns).expect("the builders follow the schema")
}
