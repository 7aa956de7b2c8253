//! Rows of one table, gathered chunk by chunk until a commit takes them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use deployforge_model::Timestamp;
use rayon::prelude::*;

use crate::columns::{COLUMN_BYTES, Texts, ints, times};

/// Chunks of fewer rows are joined with those after them into one batch of the history; larger ones
/// are not worth the copy.
const BATCH_ROWS: usize = 128;

/// Chunks of fewer rows on average are joined.
const SMALL_CHUNK: usize = 64;

/// Rows of one table as columns.
pub(crate) trait Columns: Default + Send + Sync {
    /// One row, borrowed.
    type Row<'r>
    where
        Self: 'r;

    /// How many rows.
    fn rows(&self) -> usize;

    /// Bytes of the longest column of text.
    fn bytes(&self) -> usize;

    /// Many as one, without room for more.
    fn join(all: Vec<Self>) -> Self;

    /// One row.
    fn row<'r>(&'r self, row: usize, shared: &'r Shared) -> Self::Row<'r>;

    /// The rows for the table.
    fn batch(self, shared: SharedArrays) -> RecordBatch;
}

/// Rows that are made before it is known whether they will be put out.
pub(crate) trait Prepares: Columns {
    /// Without room for more, if there is much.
    fn shrunk(self) -> Self;

    /// Some of the rows.
    fn filter(&self, keep: &[bool]) -> Self;

    /// Changes when rows were observed.
    fn observe(&mut self, when: impl Fn(Timestamp) -> Timestamp);

    /// The rows that were accepted, in their order; each of `accepted` is the first and how many. `whole`:
    /// no more will be, so they may be taken instead of copied.
    fn accepted(&mut self, accepted: &[(u32, u32)], whole: bool) -> Self {
        let rows: usize = accepted.iter().map(|(_, length)| *length as usize).sum();
        if whole && rows == self.rows() {
            return std::mem::take(self).shrunk();
        }
        let mut keep = vec![false; self.rows()];
        for (first, length) in accepted {
            keep[*first as usize..(first + length) as usize].fill(true);
        }
        self.filter(&keep)
    }
}

/// What the rows of a chunk have in common.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shared {
    pub(crate) source: Arc<str>,
    pub(crate) ingested_at: Timestamp,
}

/// What is the same in every table.
#[derive(Debug)]
pub(crate) struct SharedArrays {
    pub(crate) sequence: ArrayRef,
    pub(crate) source: ArrayRef,
    pub(crate) ingested_at: ArrayRef,
    pub(crate) committed_at: ArrayRef,
}

/// Rows of one source, taken in at one time.
#[derive(Clone, Debug, PartialEq)]
struct Chunk<C> {
    columns: C,
    shared: Shared,
}

/// Chunks in their order.
#[derive(Clone, Debug)]
pub(crate) struct Chunks<C> {
    chunks: Vec<Chunk<C>>,
    counted: Counted,
}

/// What was counted of chunks to which nothing is added any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    chunks: usize,
    rows: usize,
    bytes: usize,
}

impl<C> Default for Chunks<C> {
    fn default() -> Self {
        Self { chunks: Vec::new(), counted: Counted::default() }
    }
}

impl<C: Columns> Chunks<C> {
    /// How many rows.
    pub(crate) fn len(&self) -> usize {
        let rest = &self.chunks[self.counted.chunks..];
        self.counted.rows + rest.iter().map(|chunk| chunk.columns.rows()).sum::<usize>()
    }

    /// Bytes of text in the longest column, at most.
    pub(crate) fn bytes(&self) -> usize {
        let rest = &self.chunks[self.counted.chunks..];
        self.counted.bytes + rest.iter().map(|chunk| chunk.columns.bytes()).sum::<usize>()
    }

    /// The rows, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = C::Row<'_>> {
        self.chunks.iter().flat_map(|Chunk { columns, shared }| {
            (0..columns.rows()).map(move |row| columns.row(row, shared))
        })
    }

    /// Where rows of a source go that were taken in at a time.
    pub(crate) fn of(&mut self, source: &Arc<str>, ingested_at: Timestamp) -> &mut C {
        let fits = |Chunk { columns, shared }: &Chunk<C>| {
            columns.bytes() < COLUMN_BYTES
                && shared.ingested_at == ingested_at
                && shared.source == *source
        };
        if !self.chunks[self.counted.chunks..].last().is_some_and(fits) {
            self.add(C::default(), source, ingested_at);
        }
        let last = self.chunks.len() - 1;
        &mut self.chunks[last].columns
    }

    /// Adds rows of a source that were taken in at a time.
    pub(crate) fn add(&mut self, columns: C, source: &Arc<str>, ingested_at: Timestamp) {
        let shared = Shared { source: Arc::clone(source), ingested_at };
        self.chunks.push(Chunk { columns, shared });
    }

    /// Adds what was gathered elsewhere.
    pub(crate) fn append(&mut self, other: Self) {
        self.chunks.extend(other.chunks);
        self.count();
    }

    /// Counts what is there, so that it need not be looked at again.
    fn count(&mut self) {
        let (rows, bytes) = (self.len(), self.bytes());
        self.counted = Counted { chunks: self.chunks.len(), rows, bytes };
    }

    /// Makes one chunk of what one epoch of one source put out, if its chunks are small.
    pub(crate) fn join(&mut self) {
        let small = self.len() < self.chunks.len() * SMALL_CHUNK;
        if self.chunks.len() > 1 && small && self.bytes() < COLUMN_BYTES {
            let shared = self.chunks[0].shared.clone();
            let chunks = std::mem::take(&mut self.chunks);
            let columns = C::join(chunks.into_iter().map(|chunk| chunk.columns).collect());
            self.chunks.push(Chunk { columns, shared });
            self.counted = Counted::default();
            self.count();
        }
    }

    /// The rows for the table, numbered from `sequence`, in batches that are made on all cores.
    pub(crate) fn batches(self, committed_at: Timestamp, mut sequence: u64) -> Vec<RecordBatch> {
        let mut groups = Vec::new();
        let (mut some, mut rows, mut bytes) = (Vec::new(), 0, 0);
        let last = self.chunks.len().saturating_sub(1);
        for (number, chunk) in self.chunks.into_iter().enumerate() {
            rows += chunk.columns.rows();
            bytes += chunk.columns.bytes();
            some.push(chunk);
            if rows > 0 && (rows >= BATCH_ROWS || bytes >= COLUMN_BYTES || number == last) {
                groups.push((std::mem::take(&mut some), sequence, rows));
                sequence += rows as u64;
                (rows, bytes) = (0, 0);
            }
        }
        let batch = |(chunks, first, rows)| batch(chunks, committed_at, first, rows);
        groups.into_par_iter().map(batch).collect()
    }
}

fn batch<C: Columns>(
    chunks: Vec<Chunk<C>>,
    committed_at: Timestamp,
    sequence: u64,
    rows: usize,
) -> RecordBatch {
    let mut source = Texts::with_capacity(rows, 0);
    let mut ingested_at = Vec::with_capacity(rows);
    for Chunk { columns, shared } in &chunks {
        (0..columns.rows()).for_each(|_| source.push(&shared.source));
        ingested_at.extend(std::iter::repeat_n(shared.ingested_at, columns.rows()));
    }
    let shared = SharedArrays {
        sequence: ints(sequence as i64..(sequence + rows as u64) as i64),
        source: source.array(),
        ingested_at: times(ingested_at.into_iter()),
        committed_at: times(std::iter::repeat_n(committed_at, rows)),
    };
    let mut all: Vec<C> = chunks.into_iter().map(|chunk| chunk.columns).collect();
    let whole = if all.len() == 1 { all.pop().unwrap_or_default() } else { C::join(all) };
    whole.batch(shared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::{Findings, OpenFinding};
    use crate::output::Subject;
    use deployforge_model::{Dialect, FindingKind, Severity, Transition};

    #[test]
    fn chunks_are_joined_in_order() {
        let subject = |id| Subject {
            key: ["aws", "1", "r", "t", id],
            address: None,
            environment: "default",
            dialect: Dialect::Native,
            baseline: None,
        };
        let finding = |path| {
            let values = (Some("1"), None);
            OpenFinding::new(path, FindingKind::Removed, values, 1, Severity::Degraded, None)
        };
        let (a, b) = (finding("/a"), finding("/b"));
        let mut one = Findings::default();
        let both = [(Transition::Opened, &a), (Transition::Closed, &b)];
        one.push(&subject("x"), Timestamp(1), both.into_iter());
        let mut two = Findings::with_capacity(1);
        two.push(&subject("y"), Timestamp(1), std::iter::once((Transition::Opened, &a)));
        let kept = Prepares::filter(&one, &[false, true]);
        let mut chunks = Chunks::default();
        for (columns, source) in [(one, "s"), (two, "t"), (kept, "u")] {
            chunks.add(columns, &source.into(), Timestamp(2));
        }
        let shown: Vec<_> = chunks.iter().map(|row| (row.key[4], row.path, row.source)).collect();
        assert_eq!(shown, [("x", "/a", "s"), ("x", "/b", "s"), ("y", "/a", "t"), ("x", "/b", "u")]);
        assert_eq!(chunks.len(), 4);
        let batches = chunks.batches(Timestamp(3), 10);
        assert_eq!((batches.len(), batches[0].num_rows(), batches[0].num_columns()), (1, 4, 24));
    }
}
