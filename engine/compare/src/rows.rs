//! The rows of a baseline: Arrow columns, which may lie in a mapped file.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, LargeBinaryArray, RecordBatch, StringArray, UInt32Array};
use deployforge_model::{Dialect, Key128, ResourceKey, schema};

/// Rows of a baseline, in chunks of [`CHUNK_ROWS`]: Arrow columns, which may lie in a file that is
/// mapped into memory.
#[derive(Clone, Debug)]
pub struct BaselineRows {
    chunks: Arc<[Chunk]>,
    length: usize,
}

/// Rows in each chunk but the last.
pub const CHUNK_ROWS: usize = 8192;

#[derive(Clone, Debug)]
struct Chunk {
    batch: RecordBatch,
    text: [StringArray; 10],
    tainted: BooleanArray,
    duplicate: BooleanArray,
    leaves: UInt32Array,
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
    pub leaves: u32,
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
    /// Checks the schema and the chunks, and fetches the columns.
    pub fn new(batches: &[RecordBatch]) -> Result<Self, NotABaseline> {
        // A file of one large batch is as good.
        let slices = batches.iter().flat_map(|batch| {
            let rows = batch.num_rows();
            (0..rows).step_by(CHUNK_ROWS).map(move |at| batch.slice(at, CHUNK_ROWS.min(rows - at)))
        });
        let chunks: Arc<[Chunk]> =
            slices.map(|slice| Chunk::new(&slice)).collect::<Result<_, _>>()?;
        let full = |chunk: &Chunk| chunk.state.len() == CHUNK_ROWS;
        let last = chunks.len().saturating_sub(1);
        if !chunks[..last].iter().all(full) || chunks.iter().any(|c| c.state.len() > CHUNK_ROWS) {
            return Err(NotABaseline);
        }
        let length = chunks.iter().map(|chunk| chunk.state.len()).sum();
        Ok(Self { chunks, length })
    }

    /// The rows as Arrow batches.
    pub fn batches(&self) -> impl Iterator<Item = &RecordBatch> {
        self.chunks.iter().map(|chunk| &chunk.batch)
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One row.
    pub fn row(&self, row: usize) -> BaselineRow<'_> {
        let (chunk, row) = (&self.chunks[row / CHUNK_ROWS], row % CHUNK_ROWS);
        let text = |column: usize| chunk.text[column].value(row);
        BaselineRow {
            provider: text(0),
            account: text(1),
            region: text(2),
            resource_type: text(3),
            id: text(4),
            dialect: text(5).parse().unwrap_or(Dialect::Native),
            address: (!chunk.text[6].is_null(row)).then(|| text(6)),
            aliases: text(7),
            deposed: text(8) == "deposed",
            collection: if chunk.text[9].is_null(row) { "" } else { text(9) },
            tainted: chunk.tainted.value(row),
            duplicate: chunk.duplicate.value(row),
            leaves: chunk.leaves.value(row),
            state: chunk.state.value(row),
        }
    }

    /// The key of a row as 128 bits.
    pub fn key128(&self, row: usize, seed: u64) -> Key128 {
        let (chunk, row) = (&self.chunks[row / CHUNK_ROWS], row % CHUNK_ROWS);
        Key128::of_parts(std::array::from_fn::<&str, 5, _>(|i| chunk.text[i].value(row)), seed)
    }
}

impl Chunk {
    fn new(rows: &RecordBatch) -> Result<Self, NotABaseline> {
        if rows.schema().fields() != schema::baseline().fields() {
            return Err(NotABaseline);
        }
        let mut text = Vec::with_capacity(10);
        for i in 0..10 {
            text.push(column(rows, i)?);
        }
        let text = text.try_into().map_err(|_| NotABaseline)?;
        Ok(Self {
            batch: rows.clone(),
            text,
            tainted: column(rows, 10)?,
            duplicate: column(rows, 11)?,
            leaves: column(rows, 12)?,
            state: column(rows, 13)?,
        })
    }
}

fn column<T: Clone + 'static>(rows: &RecordBatch, at: usize) -> Result<T, NotABaseline> {
    rows.column(at).as_any().downcast_ref::<T>().cloned().ok_or(NotABaseline)
}
