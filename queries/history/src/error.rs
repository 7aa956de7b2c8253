//! What can go wrong with a history.

use std::path::PathBuf;

use arrow::error::ArrowError;
use deltalake::DeltaTableError;
use deltalake::parquet::errors::ParquetError;
use deployforge_model::Partition;
use deployforge_store::{Place, StoreError};
use object_store::Error;

use crate::Table;

/// Characters of what a library says that are repeated.
const BRIEF_CHARS: usize = 200;

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
    #[error("the table {table}: {}", brief(error))]
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

/// Why the ledger, or what it names, could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another writer moved a partition.
    #[error(
        "another writer took over {partition}: it stands at {there:?} and not at {here:?}; nothing of this commit was kept"
    )]
    Fenced {
        /// Which partition.
        partition: Partition,
        /// The last offset that the ledger has.
        there: Option<i64>,
        /// The last offset from which this writer went on.
        here: Option<i64>,
    },
    /// The store failed.
    #[error("the history cannot be {what}: {}", deployforge_store::said(error))]
    Store {
        /// What was tried.
        what: &'static str,
        /// What failed.
        error: Error,
    },
    /// The state of partitions cannot be put down.
    #[error("the state of partitions in {file} cannot be {what}: {}", brief(error))]
    State {
        /// What was tried.
        what: &'static str,
        /// Which file.
        file: String,
        /// What is wrong.
        error: ArrowError,
    },
    /// A part of the history is lost, or is not what was written. Trying again does not help.
    #[error(
        "{path} is damaged: {reason}; restore the whole history from a backup, or move it and frontier.json away and read the sources again"
    )]
    Damaged {
        /// Which file or folder.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl LedgerError {
    /// What is wrong with a file, or with the folder itself if the name is empty.
    pub(crate) fn damaged(place: &Place, name: &str, reason: impl std::fmt::Display) -> Self {
        let folder = place.to_string();
        let path = [folder.trim_end_matches('/'), name].join("/");
        Self::Damaged { path: path.trim_end_matches('/').to_owned(), reason: reason.to_string() }
    }
}

/// What an error says, without the dumps and backtraces that libraries append to it.
pub(crate) fn brief(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default().trim_end();
    let line = line.split(" {").next().unwrap_or_default();
    match line.char_indices().nth(BRIEF_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
