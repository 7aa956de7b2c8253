//! The rows of a baseline: Arrow columns, which may lie in a mapped file.

use std::sync::Arc;

use arrow::array::{
    Array, BooleanArray, LargeBinaryArray, ListArray, RecordBatch, StringArray, UInt32Array,
};
use deployforge_model::{Dialect, Key128, Presence, ResourceKey, UnknownReason, schema};

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
    units: ListArray,
    /// The values of `units`.
    starts: UInt32Array,
}

/// One row, borrowed. Each method reads one column, and so touches one place of the file.
#[derive(Clone, Copy)]
pub struct BaselineRow<'a> {
    chunk: &'a Chunk,
    row: usize,
}

impl std::fmt::Debug for BaselineRow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BaselineRow").field("key", &self.key()).finish_non_exhaustive()
    }
}

#[allow(missing_docs)] // each method reads the column of the same name, see `schema::baseline`
impl<'a> BaselineRow<'a> {
    /// Provider, account, region, type and id.
    pub fn parts(&self) -> [&'a str; 5] {
        std::array::from_fn(|part| self.text(part))
    }

    /// The key, owned.
    pub fn key(&self) -> ResourceKey {
        let [provider, account, region, resource_type, id] = self.parts().map(str::to_owned);
        ResourceKey { provider, account, region, resource_type, id }
    }

    pub fn resource_type(&self) -> &'a str {
        self.text(3)
    }

    pub fn dialect(&self) -> Dialect {
        self.text(5).parse().unwrap_or(Dialect::Native)
    }

    pub fn address(&self) -> Option<&'a str> {
        self.optional(6)
    }

    pub fn aliases(&self) -> impl Iterator<Item = &'a str> {
        self.text(7).split('\n')
    }

    pub fn is_deposed(&self) -> bool {
        self.text(8) == "deposed"
    }

    /// Why it cannot be compared with anything, if it cannot.
    pub fn unknown(&self) -> Option<UnknownReason> {
        match self.text(8) {
            "present" => None,
            presence => presence.parse::<Presence>().ok().and_then(Presence::unknown),
        }
    }

    /// The collection that lists it; empty: none.
    pub fn collection(&self) -> &'a str {
        self.optional(9).unwrap_or_default()
    }

    pub fn is_tainted(&self) -> bool {
        self.chunk.tainted.value(self.row)
    }

    pub fn is_duplicate(&self) -> bool {
        self.chunk.duplicate.value(self.row)
    }

    pub fn leaves(&self) -> u32 {
        self.chunk.leaves.value(self.row)
    }

    /// The canonical state as JSON text.
    pub fn state(&self) -> &'a [u8] {
        self.chunk.state.value(self.row)
    }

    /// Where in [`state`](Self::state) the value of each unit starts; nothing if that was not noted.
    pub fn starts(&self) -> &'a [u32] {
        let offsets = self.chunk.units.value_offsets();
        let (first, end) = (offsets[self.row] as usize, offsets[self.row + 1] as usize);
        &self.chunk.starts.values()[first..end]
    }

    fn text(&self, column: usize) -> &'a str {
        self.chunk.text[column].value(self.row)
    }

    fn optional(&self, column: usize) -> Option<&'a str> {
        (!self.chunk.text[column].is_null(self.row)).then(|| self.text(column))
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

    /// Bytes of all states.
    pub fn state_bytes(&self) -> u64 {
        let bytes = |chunk: &Chunk| {
            let offsets = chunk.state.value_offsets();
            (offsets[offsets.len() - 1] - offsets[0]) as u64
        };
        self.chunks.iter().map(bytes).sum()
    }

    /// One row.
    #[inline]
    pub fn row(&self, row: usize) -> BaselineRow<'_> {
        BaselineRow { chunk: &self.chunks[row / CHUNK_ROWS], row: row % CHUNK_ROWS }
    }

    /// The key of a row as 128 bits.
    pub fn key128(&self, row: usize, seed: u64) -> Key128 {
        Key128::of_parts(self.row(row).parts(), seed)
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
        let units: ListArray = column(rows, 14)?;
        Ok(Self {
            batch: rows.clone(),
            text,
            tainted: column(rows, 10)?,
            duplicate: column(rows, 11)?,
            leaves: column(rows, 12)?,
            state: column(rows, 13)?,
            starts: units
                .values()
                .as_any()
                .downcast_ref::<UInt32Array>()
                .cloned()
                .ok_or(NotABaseline)?,
            units,
        })
    }
}

fn column<T: Clone + 'static>(rows: &RecordBatch, at: usize) -> Result<T, NotABaseline> {
    rows.column(at).as_any().downcast_ref::<T>().cloned().ok_or(NotABaseline)
}
