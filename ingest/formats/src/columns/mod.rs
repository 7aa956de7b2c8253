//! Tables in columns, as CloudQuery writes them: Parquet and Arrow IPC files, a resource a row.
//!
//! What makes a table one of CloudQuery's is its metadata: the table's name, which columns make the
//! primary key, which are sensitive, and what texts and bytes of a column mean. A file without it is
//! read the same way; its type is then the name of the file.
//!
//! Such a file is read from its end, so it is held whole. Both libraries that decode it check what
//! they read; what they could be made to do by a file written for that is prevented here: schemas too
//! deep to recurse into, blocks that claim to be larger than the file, rows that unpack to more than
//! is sensible, and any panic.

mod arrow;
mod parquet;
mod table;
mod thrift;
mod value;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::arrow::array::RecordBatch;
use ::arrow::datatypes::Schema;
use bytes::Bytes;
use deployforge_model::RejectCode;

use crate::options::Format;
use crate::refusal::Refusal;
use crate::sink::Sink;
use table::Table;

/// What the files begin with.
const PARQUET: &[u8] = b"PAR1";
const ARROW: &[u8] = b"ARROW1";
/// Levels that columns nest.
const LEVELS: usize = 64;
/// Columns of a table.
const COLUMNS: usize = 10_000;
/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 1024;
/// Bytes that a row is counted as at least.
const ROW_BYTES: usize = 512;

/// Whether an input is such a file, judged by its first bytes.
pub(crate) fn is_table(head: &[u8]) -> bool {
    head.starts_with(PARQUET) || head.starts_with(ARROW)
}

/// Reads a whole file.
pub(crate) fn read(bytes: &Bytes, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    sink.saw(Format::CloudQuery);
    sink.tally.loose += 1;
    // The libraries answer damage with an error, and where they were wrong about that with a panic.
    let _expecting = Expecting::new();
    let read = catch_unwind(AssertUnwindSafe(|| {
        if bytes.starts_with(PARQUET) {
            parquet::read(bytes, sink)
        } else {
            arrow::read(bytes, sink)
        }
    }));
    read.unwrap_or_else(|_| Err(damaged("what it says of itself contradicts itself")))
}

thread_local! {
    /// Whether a panic of this thread is an answer about a damaged table.
    static EXPECTING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread will be caught, and told as the reject of a damaged table. A program
/// whose panic hook asks this shows none of a library's words and places to its user.
pub fn expects_panic() -> bool {
    EXPECTING.try_with(Cell::get).unwrap_or(false)
}

/// While it lives, a panic of this thread is expected.
struct Expecting;

impl Expecting {
    fn new() -> Self {
        EXPECTING.set(true);
        Self
    }
}

impl Drop for Expecting {
    fn drop(&mut self) {
        EXPECTING.set(false);
    }
}

fn damaged(problem: &str) -> Refusal {
    let reason = format!("This table is damaged: {problem}; copy or export it again.");
    Refusal::new(RejectCode::Malformed, reason)
}

/// What a library says is wrong, without what might be a value.
fn problem(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take_while(|c| *c != '"' && *c != '\'').take(160).map(plain).collect()
}

/// Takes the rows of a file, as long as they are not more than is sensible.
struct Rows {
    table: Table,
    /// Rows so far.
    at: u64,
    /// Bytes that may still come.
    left: usize,
}

impl Rows {
    fn new(schema: &Schema, sink: &mut Sink<'_>) -> Result<Self, Refusal> {
        let table = Table::of(schema, sink)?;
        Ok(Self { table, at: 0, left: sink.options.limits.document_bytes })
    }

    fn take(&mut self, batch: &RecordBatch, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let columns = self.table.columns(batch)?;
        for row in 0..batch.num_rows() {
            let used = columns.deliver(row, self.at, sink);
            self.at += 1;
            self.left = self.left.checked_sub(used.max(ROW_BYTES)).ok_or_else(|| {
                let limit = sink.options.limits.document_bytes;
                Refusal::new(RejectCode::TooLarge, format!(
                    "The rows of this table unpack to more than the limit of {limit} bytes; what comes after it was not read; split the table."
                ))
            })?;
        }
        Ok(())
    }
}
