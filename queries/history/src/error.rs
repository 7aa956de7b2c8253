//! What can go wrong with a history.

use std::path::PathBuf;

use deltalake::DeltaTableError;
use deltalake::parquet::errors::ParquetError;
use deployforge_store::StoreError;

use crate::{LedgerError, Table};

/// Why the history could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The folder does not exist or cannot be made.
    #[error("the history folder {path} cannot be used: {error}")]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The store cannot be used.
    #[error("the history: {0}")]
    Store(#[from] StoreError),
    /// There is no history there.
    #[error(
        "there is no history under {0}; `deployforge run`, `audit --record` or `demo` makes one"
    )]
    Absent(String),
    /// Some tables are there and others are not.
    #[error(
        "the history under {path} is damaged: the table {table} is gone; restore it, or use another data directory"
    )]
    Damaged {
        /// Where the history is.
        path: String,
        /// Which table is missing.
        table: &'static str,
    },
    /// A table has other columns than this version writes.
    #[error(
        "the table {table} under {path} has other columns than this version writes; use another data directory or remove this one"
    )]
    Schema {
        /// Which table.
        table: &'static str,
        /// Where.
        path: String,
    },
    /// Rows have other columns than their table.
    #[error(
        "rows for the table {table} do not fit it: its column {want}, theirs {got}; this is a bug in what made them"
    )]
    Rows {
        /// Which table.
        table: &'static str,
        /// A column as the table has it.
        want: String,
        /// The column as the rows have it.
        got: String,
    },
    /// A data file could not be written.
    #[error("a file of the table {table} cannot be written to {path}: {error}")]
    Write {
        /// Which table.
        table: &'static str,
        /// Where.
        path: String,
        /// What failed.
        error: Box<ParquetError>,
    },
    /// A data file could not be read.
    #[error("a file of the table {table}, {path}, cannot be read: {error}")]
    Read {
        /// Which table.
        table: &'static str,
        /// Which file.
        path: String,
        /// What failed.
        error: Box<ParquetError>,
    },
    /// The ledger failed, or another writer took over.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Delta Lake failed.
    #[error("the table {table}: {error}")]
    Delta {
        /// Which table.
        table: &'static str,
        /// What it said.
        error: Box<DeltaTableError>,
    },
}

impl HistoryError {
    pub(crate) fn delta(table: Table, error: DeltaTableError) -> Self {
        Self::Delta { table: table.name(), error: Box::new(error) }
    }
}
