//! Baselines: what resources should be, a row per resource, in Arrow columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBuilder, LargeBinaryArray, LargeBinaryBuilder,
    RecordBatch, StringArray, StringBuilder, UInt32Builder,
};
use deployforge_canon::{Canon, CanonError, Parser};
use deployforge_model::{
    BaselineInfo, Dialect, Key128, Observation, Presence, ResourceKey, Timestamp, schema,
};
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// One version of a baseline: its info and its rows ([`schema::baseline`]).
#[derive(Clone, Debug)]
pub struct Baseline {
    /// Which one it is.
    pub info: BaselineInfo,
    /// Its rows.
    pub rows: RecordBatch,
    /// Seeded fingerprints of the raw state slices, a row each, 0 where unknown. They never leave
    /// the process.
    pub raw: Vec<u64>,
}

/// Gathers declared states into a [`Baseline`].
#[derive(Debug)]
pub struct BaselineBuilder<'c> {
    canon: &'c Canon,
    seed: u64,
    parser: Parser,
    rows: Vec<Row>,
    index: HashMap<Key128, usize>,
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
    duplicate: bool,
    leaves: u32,
    state: String,
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
            duplicate: false,
            leaves: 0,
            state: String::new(),
            raw: 0,
            order: (observation.version, observation.observed_at),
        }
    }

    fn new(
        observation: &Observation,
        canon: &Canon,
        seed: u64,
        parser: &mut Parser,
    ) -> Result<Self, CanonError> {
        let raw = xxh3_64_with_seed(&observation.state, seed).max(1);
        let mut row = Self { raw, ..Self::unreadable(observation) };
        if observation.presence != Presence::Deleted {
            let state = canon.state(
                parser,
                observation.dialect,
                &observation.key.resource_type,
                &observation.state,
                observation.sensitive.iter().map(String::as_str),
            )?;
            row.state = state.root.to_json();
            row.leaves = state.leaves();
        }
        Ok(row)
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

impl<'c> BaselineBuilder<'c> {
    /// A builder that makes states canonical with `canon` and fingerprints raw slices under `seed`.
    pub fn new(canon: &'c Canon, seed: u64) -> Self {
        Self { canon, seed, parser: Parser::default(), rows: Vec::new(), index: HashMap::new() }
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds one declared state. A deletion removes what was declared before it. A state that cannot
    /// be made canonical is an error, and its resource stays declared, so that it is `unknown`
    /// (`unreadable`) and neither unmanaged nor forgotten.
    pub fn add(&mut self, observation: &Observation) -> Result<Added, CanonError> {
        let row = Row::new(observation, self.canon, self.seed, &mut self.parser);
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
        let (canon, seed) = (self.canon, self.seed);
        let rows: Vec<_> = observations
            .par_iter()
            .map_init(Parser::default, |parser, one| Row::new(one, canon, seed, parser))
            .collect();
        observations.iter().zip(rows).map(|(one, row)| self.take(one, row)).collect()
    }

    fn insert(&mut self, row: Row) -> Added {
        let order = row.order;
        let key = row.key.hash128(self.seed);
        let Some(&at) = self.index.get(&key) else {
            self.index.insert(key, self.rows.len());
            self.rows.push(row);
            return Added::New;
        };
        let known = &mut self.rows[at];
        // A deposed object never speaks for the resource beside a current one.
        if row.presence == Presence::Deposed || known.presence == Presence::Deposed {
            if known.presence == Presence::Deposed {
                *known = row;
            }
            return Added::Superseded;
        }
        if order == (None, None) || order == known.order {
            if row.state == known.state && row.presence == known.presence {
                return Added::Superseded;
            }
            known.duplicate = true;
            return Added::Duplicate;
        }
        if order > known.order {
            *known = row;
        }
        Added::Superseded
    }

    /// Seals the rows. What was deleted last is not part of the baseline.
    pub fn finish(self, info: BaselineInfo) -> Baseline {
        let rows: Vec<&Row> =
            self.rows.iter().filter(|row| row.presence != Presence::Deleted).collect();
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
        for row in &rows {
            address.append_option(row.address.as_deref());
            collection.append_option(row.collection.as_deref());
            leaves.append_value(row.leaves);
            state.append_value(row.state.as_bytes());
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
            flag(&|row| row.duplicate),
            Arc::new(leaves.finish()),
            Arc::new(state.finish()),
        ];
        let raw = rows.iter().map(|row| row.raw).collect();
        let rows = RecordBatch::try_new(schema::baseline(), columns)
            .expect("the builders follow the schema");
        Baseline { info, rows, raw }
    }
}

/// Typed access to the columns of a baseline's rows.
#[derive(Clone, Debug)]
pub struct BaselineRows {
    text: [StringArray; 10],
    tainted: BooleanArray,
    duplicate: BooleanArray,
    state: LargeBinaryArray,
}

/// One row, borrowed.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // each field is the column of the same name, see `schema::baseline`
pub struct BaselineRow<'a> {
    pub provider: &'a str,
    pub account: &'a str,
    pub region: &'a str,
    pub resource_type: &'a str,
    pub id: &'a str,
    pub dialect: Dialect,
    pub address: Option<&'a str>,
    pub aliases: &'a str,
    pub deposed: bool,
    pub collection: &'a str,
    pub tainted: bool,
    pub duplicate: bool,
    pub state: &'a [u8],
}

impl BaselineRow<'_> {
    /// The key, owned.
    pub fn key(&self) -> ResourceKey {
        ResourceKey {
            provider: self.provider.to_owned(),
            account: self.account.to_owned(),
            region: self.region.to_owned(),
            resource_type: self.resource_type.to_owned(),
            id: self.id.to_owned(),
        }
    }
}

/// The rows do not have the schema of a baseline.
#[derive(Debug, thiserror::Error)]
#[error("the file does not have the columns of a baseline; import it again")]
pub struct NotABaseline;

impl BaselineRows {
    /// Checks the schema and fetches the columns.
    pub fn new(rows: &RecordBatch) -> Result<Self, NotABaseline> {
        if rows.schema().fields() != schema::baseline().fields() {
            return Err(NotABaseline);
        }
        let mut text = Vec::with_capacity(10);
        for i in 0..10 {
            text.push(column(rows, i)?);
        }
        let text = text.try_into().map_err(|_| NotABaseline)?;
        Ok(Self {
            text,
            tainted: column(rows, 10)?,
            duplicate: column(rows, 11)?,
            state: column(rows, 13)?,
        })
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.state.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One row.
    pub fn row(&self, row: usize) -> BaselineRow<'_> {
        let text = |column: usize| self.text[column].value(row);
        BaselineRow {
            provider: text(0),
            account: text(1),
            region: text(2),
            resource_type: text(3),
            id: text(4),
            dialect: text(5).parse().unwrap_or(Dialect::Native),
            address: (!self.text[6].is_null(row)).then(|| text(6)),
            aliases: text(7),
            deposed: text(8) == "deposed",
            collection: if self.text[9].is_null(row) { "" } else { text(9) },
            tainted: self.tainted.value(row),
            duplicate: self.duplicate.value(row),
            state: self.state.value(row),
        }
    }

    /// The key of a row as 128 bits.
    pub fn key128(&self, row: usize, seed: u64) -> Key128 {
        Key128::of_parts(std::array::from_fn::<&str, 5, _>(|i| self.text[i].value(row)), seed)
    }
}

fn column<T: Clone + 'static>(rows: &RecordBatch, at: usize) -> Result<T, NotABaseline> {
    rows.column(at).as_any().downcast_ref::<T>().cloned().ok_or(NotABaseline)
}
