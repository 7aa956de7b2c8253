//! The history: Delta Lake tables on a disk, written by commits.
//!
//! A [`History`] is a folder with one Delta table per [`Table`]. [`History::write`] turns rows into
//! a data file that nothing names yet, on any thread and at any time before the commit;
//! [`History::commit_written`] then commits the tables one by one. Each table's commit carries the
//! number of the commit as an application transaction, so that a reader can tell which commits a
//! table holds. [`History::commit`] is both in one. Nothing is ever updated in place: what is
//! current is a view (`deployforge-sql`).
//!
//! The files are written by this crate (`columns`, `files`), which knows what the tables look like
//! and is several times as fast as a writer that does not (`docs/adr/0009-own-parquet-writing.md`).
//! Transactions are Delta's.
//!
//! What is deliberately absent: what the rows mean, and any wish to read them. The schemas stand in
//! `deployforge-model`.

mod columns;
mod files;
mod stats;
mod written;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::kernel::{Action, Add, StructType, Transaction};
use deltalake::parquet::errors::ParquetError;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::{DeltaTable, DeltaTableError};
use deployforge_model::schema;

pub use deltalake;
pub use written::{Writer, Written};

/// The tables of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Transitions of findings.
    Findings,
    /// Each changed state.
    Observations,
    /// What could not be read.
    Rejects,
    /// Rollups of checks.
    Checks,
    /// Transitions of verdicts. Committed last: a verdict never stands without its findings.
    Verdicts,
}

impl Table {
    /// Every table, in the order of commits.
    pub const ALL: [Self; 5] =
        [Self::Findings, Self::Observations, Self::Rejects, Self::Checks, Self::Verdicts];

    /// The folder's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Findings => "findings",
            Self::Observations => "observations",
            Self::Rejects => "rejects",
            Self::Checks => "checks",
            Self::Verdicts => "verdicts",
        }
    }

    /// The Arrow schema.
    pub fn schema(self) -> SchemaRef {
        match self {
            Self::Findings => schema::findings(),
            Self::Observations => schema::observations(),
            Self::Rejects => schema::rejects(),
            Self::Checks => schema::checks(),
            Self::Verdicts => schema::verdicts(),
        }
    }
}

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
    /// There is no history there.
    #[error(
        "there is no history under {0}; `deployforge run`, `audit --record` or `demo` makes one"
    )]
    Absent(PathBuf),
    /// Some tables are there and others are not.
    #[error(
        "the history under {path} is damaged: the table {table} is gone; restore it, or use another data directory"
    )]
    Damaged {
        /// The history's folder.
        path: PathBuf,
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
        /// In which folder.
        path: PathBuf,
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
    #[error("a file of the table {table} cannot be written in {path}: {error}")]
    Write {
        /// Which table.
        table: &'static str,
        /// In which folder.
        path: PathBuf,
        /// What failed.
        error: Box<ParquetError>,
    },
    /// Delta Lake failed.
    #[error("the table {table}: {error}")]
    Delta {
        /// Which table.
        table: &'static str,
        /// What it said.
        error: Box<DeltaTableError>,
    },
}

/// The application id under which commits are numbered.
const APP_ID: &str = "deployforge";

/// The tables of one history.
#[derive(Debug)]
pub struct History {
    root: PathBuf,
    tables: BTreeMap<Table, DeltaTable>,
}

impl History {
    /// Opens the history under `root`, or makes it. A history of which a table is gone is refused:
    /// what is left would contradict itself. (A start that was cut short leaves tables without a
    /// commit, and is finished.)
    pub async fn create(root: &Path) -> Result<Self, HistoryError> {
        let mut this = Self { root: root.to_owned(), tables: BTreeMap::new() };
        let (there, missing): (Vec<Table>, Vec<Table>) = Table::ALL
            .into_iter()
            .partition(|table| root.join(table.name()).join("_delta_log").is_dir());
        for table in there {
            this.open_table(table).await?;
        }
        if let Some(gone) = missing.first()
            && this.last_commit().await? > 0
        {
            return Err(HistoryError::Damaged { path: root.to_owned(), table: gone.name() });
        }
        for table in missing {
            this.open_table(table).await?;
        }
        Ok(this)
    }

    /// Opens a table, and makes it if there is none.
    async fn open_table(&mut self, table: Table) -> Result<(), HistoryError> {
        let path = self.root.join(table.name());
        std::fs::create_dir_all(&path)
            .map_err(|error| HistoryError::Folder { path: path.clone(), error })?;
        if !self.read_table(table).await? {
            let delta = |error| delta_error(table, error);
            let opened = DeltaTable::try_from_url(url_of(&path)?).await.map_err(delta)?;
            let opened = create(opened, table).await.map_err(delta)?;
            self.tables.insert(table, opened);
        }
        Ok(())
    }

    /// Opens a table; whether there is one.
    async fn read_table(&mut self, table: Table) -> Result<bool, HistoryError> {
        let path = self.root.join(table.name());
        let delta = |error| delta_error(table, error);
        let opened = DeltaTable::try_from_url(url_of(&path)?).await.map_err(delta)?;
        if opened.version().is_none() {
            return Ok(false);
        }
        check_schema(&opened, table, &path)?;
        self.tables.insert(table, opened);
        Ok(true)
    }

    /// Opens the history under `root` for reading; it must exist.
    pub async fn open(root: &Path) -> Result<Self, HistoryError> {
        // Opening makes nothing: a table that a reader makes while a writer does is two tables.
        let mut this = Self { root: root.to_owned(), tables: BTreeMap::new() };
        let mut gone = None;
        for table in Table::ALL {
            let there = root.join(table.name()).join("_delta_log").is_dir();
            if !there || !this.read_table(table).await? {
                gone = gone.or(Some(table));
            }
        }
        match gone {
            None => Ok(this),
            Some(table) if this.last_commit().await? > 0 => {
                Err(HistoryError::Damaged { path: root.to_owned(), table: table.name() })
            }
            // There is none, or it is being made.
            Some(_) => Err(HistoryError::Absent(root.to_owned())),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// One table.
    pub fn table(&self, table: Table) -> &DeltaTable {
        &self.tables[&table]
    }

    /// Reads the newest versions that others committed.
    pub async fn refresh(&mut self) -> Result<(), HistoryError> {
        for (table, delta) in &mut self.tables {
            delta.update_state().await.map_err(|error| delta_error(*table, error))?;
        }
        Ok(())
    }

    /// The highest number under which any table was committed; 0 before the first commit.
    pub async fn last_commit(&self) -> Result<u64, HistoryError> {
        let mut last = 0;
        for (table, delta) in &self.tables {
            let store = delta.log_store();
            let state = delta.snapshot().map_err(|error| delta_error(*table, error))?;
            let number = state
                .transaction_version(store.as_ref(), APP_ID)
                .await
                .map_err(|error| delta_error(*table, error))?;
            last = last.max(number.unwrap_or(0).max(0) as u64);
        }
        Ok(last)
    }

    /// Writes files for [`History::commit_written`], apart from this history: on a thread of its own,
    /// say, while the history commits.
    pub fn writer(&self) -> Writer {
        Writer::new(&self.root)
    }

    /// Writes rows of one table, in their order, into a file that is not yet part of it. It computes
    /// on rayon's threads and blocks until the file is whole. Without rows there is no file.
    pub fn write(&self, table: Table, batches: &[RecordBatch]) -> Result<Written, HistoryError> {
        self.writer().write(table, batches)
    }

    /// Makes what was written part of its tables: a commit per table that has rows, in the order of
    /// [`Table::ALL`], each marked with `number`, which counts the commits of this history.
    pub async fn commit_written(
        &mut self,
        number: u64,
        written: Vec<Written>,
    ) -> Result<(), HistoryError> {
        let mut adds: BTreeMap<Table, Vec<Add>> = BTreeMap::new();
        for written in written {
            let (table, add) = written.into_adds();
            if let Some(add) = add {
                adds.entry(table).or_default().push(add);
            }
        }
        for (table, adds) in adds {
            let delta = self.tables.get_mut(&table).expect("every table is open");
            append(delta, adds, number).await.map_err(|error| delta_error(table, error))?;
        }
        Ok(())
    }

    /// Makes rows durable: the files of all tables first, then [`History::commit_written`].
    pub async fn commit(
        &mut self,
        number: u64,
        rows: Vec<(Table, RecordBatch)>,
    ) -> Result<(), HistoryError> {
        let mut batches: BTreeMap<Table, Vec<RecordBatch>> = BTreeMap::new();
        for (table, batch) in rows {
            batches.entry(table).or_default().push(batch);
        }
        let written = batches.iter().map(|(table, batches)| self.write(*table, batches));
        let written = written.collect::<Result<_, _>>()?;
        self.commit_written(number, written).await
    }
}

async fn create(opened: DeltaTable, table: Table) -> Result<DeltaTable, DeltaTableError> {
    use deltalake::kernel::engine::arrow_conversion::TryIntoKernel as _;
    let schema: StructType = table.schema().as_ref().try_into_kernel()?;
    opened
        .create()
        .with_table_name(table.name())
        .with_columns(schema.fields().cloned())
        .with_save_mode(SaveMode::Ignore)
        .await
}

async fn append(
    table: &mut DeltaTable,
    adds: Vec<Add>,
    number: u64,
) -> Result<(), DeltaTableError> {
    let actions = adds.into_iter().map(Action::Add).collect();
    let operation =
        DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
    let properties = CommitProperties::default()
        .with_application_transaction(Transaction::new(APP_ID, number as i64));
    let commit = CommitBuilder::from(properties)
        .with_actions(actions)
        .build(Some(table.snapshot()?), table.log_store(), operation)
        .await?;
    table.state = Some(commit.snapshot());
    Ok(())
}

fn check_schema(opened: &DeltaTable, table: Table, path: &Path) -> Result<(), HistoryError> {
    let state = opened.snapshot().map_err(|error| delta_error(table, error))?;
    let names: Vec<String> = state.schema().fields().map(|field| field.name().to_owned()).collect();
    let want: Vec<String> = table.schema().fields().iter().map(|f| f.name().clone()).collect();
    if names == want {
        Ok(())
    } else {
        Err(HistoryError::Schema { table: table.name(), path: path.to_owned() })
    }
}

fn url_of(path: &Path) -> Result<url::Url, HistoryError> {
    let folder = |error| HistoryError::Folder { path: path.to_owned(), error };
    let absolute = std::path::absolute(path).map_err(folder)?;
    url::Url::from_directory_path(&absolute)
        .map_err(|()| folder(std::io::Error::other("its path cannot be written as a URL")))
}

fn delta_error(table: Table, error: DeltaTableError) -> HistoryError {
    HistoryError::Delta { table: table.name(), error: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, new_null_array};

    use super::*;

    /// One row of a table: null where that is allowed, zero elsewhere.
    fn row(table: Table) -> RecordBatch {
        let schema = table.schema();
        let columns: Vec<ArrayRef> = schema
            .fields()
            .iter()
            .map(|field| {
                if field.is_nullable() {
                    return new_null_array(field.data_type(), 1);
                }
                let zero: ArrayRef = Arc::new(Int64Array::from(vec![0]));
                arrow::compute::cast(&zero, field.data_type()).expect("a number casts to it")
            })
            .collect();
        RecordBatch::try_new(schema, columns).expect("the columns follow the schema")
    }

    #[tokio::test]
    async fn a_history_without_one_of_its_tables_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let absent = History::open(dir.path()).await;
        assert!(matches!(absent, Err(HistoryError::Absent(_))));
        let mut history = History::create(dir.path()).await.expect("a new history");
        assert_eq!(history.last_commit().await.expect("readable"), 0);
        // Cut short before its first commit: finished by the next start.
        std::fs::remove_dir_all(dir.path().join("checks")).expect("our own folder");
        history = History::create(dir.path()).await.expect("finished");
        history.commit(1, vec![(Table::Rejects, row(Table::Rejects))]).await.expect("committed");
        assert_eq!(history.last_commit().await.expect("readable"), 1);
        std::fs::remove_dir_all(dir.path().join("verdicts")).expect("our own folder");
        let damaged = History::create(dir.path()).await;
        assert!(matches!(damaged, Err(HistoryError::Damaged { table: "verdicts", .. })));
    }

    #[tokio::test]
    async fn who_reads_makes_no_table() {
        let dir = tempfile::tempdir().expect("a folder");
        let history = History::create(dir.path()).await.expect("a history");
        drop(history);
        // As a writer leaves it while it makes the tables one by one.
        let last = dir.path().join(Table::Verdicts.name());
        std::fs::remove_dir_all(&last).expect("a folder");
        let half = History::open(dir.path()).await;
        assert!(matches!(half, Err(HistoryError::Absent(_))), "{half:?}");
        assert!(!last.exists());
        History::create(dir.path()).await.expect("the rest is made");
        History::open(dir.path()).await.expect("a history");
    }
}
