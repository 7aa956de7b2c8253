//! The history: Delta Lake tables on a disk, written by commits.
//!
//! A [`History`] is a folder with one Delta table per [`Table`]. [`History::write`] turns rows into
//! a data file that nothing names yet, on any thread and at any time before the commit;
//! [`History::commit_written`] then names the files of all tables in one manifest of the ledger
//! (`ledger`), and commits the tables one by one. Each table's commit carries the number of the
//! manifest as an application transaction, so that each manifest comes into each table once, whoever
//! brings it there and however often it is tried. [`History::commit`] is both in one. Nothing is ever
//! updated in place: what is current is a view (`deployforge-sql`).
//!
//! The files are written by this crate (`columns`, `files`), which knows what the tables look like
//! and is several times as fast as a writer that does not (`docs/adr/0009-own-parquet-writing.md`).
//! Transactions are Delta's.
//!
//! What is deliberately absent: what the rows mean, and any wish to read them. The schemas stand in
//! `deployforge-model`.

mod columns;
mod files;
mod ledger;
mod stats;
mod written;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::kernel::{Action, Add, StructType, Transaction};
use deltalake::parquet::errors::ParquetError;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use deployforge_model::{Frontier, schema};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use serde::{Deserialize, Serialize};

pub use deltalake;
use ledger::Ledger;
pub use ledger::{LedgerError, Manifest, Step};
pub use object_store;
pub use written::{Writer, Written};

/// The tables of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// The application id under which manifests are numbered in the tables.
const APP_ID: &str = "deployforge";

/// How often a table's commit is tried before a failure is told.
const TRIES: u32 = 6;

/// How long the second try waits; each further one twice as long.
const PAUSE: Duration = Duration::from_millis(50);

/// Manifests between two cleanings of the ledger.
const CLEAN_EVERY: u64 = 100;

/// The tables of one history.
#[derive(Debug)]
pub struct History {
    root: PathBuf,
    store: Arc<dyn ObjectStore>,
    tables: BTreeMap<Table, DeltaTable>,
    /// Not there while reading.
    ledger: Option<Ledger>,
    /// All manifests up to this one are in their tables.
    applied: u64,
    pause: Duration,
}

impl History {
    /// Opens the history under `root`, or makes it. A history of which a table is gone is refused:
    /// what is left would contradict itself. (A start that was cut short leaves tables without a
    /// commit, and is finished.) A commit that was cut short is finished too.
    pub async fn create(root: &Path) -> Result<Self, HistoryError> {
        Self::create_on(Arc::new(LocalFileSystem::new()), root, PAUSE).await
    }

    /// The same on a store in which paths are those of the file system. `pause` is how long the second
    /// try of a request waits; each further one waits twice as long.
    pub async fn create_on(
        store: Arc<dyn ObjectStore>,
        root: &Path,
        pause: Duration,
    ) -> Result<Self, HistoryError> {
        let mut this = Self { pause, ..Self::closed(store, root) };
        let (there, missing): (Vec<Table>, Vec<Table>) = Table::ALL
            .into_iter()
            .partition(|table| root.join(table.name()).join("_delta_log").is_dir());
        for table in there {
            this.open_table(table).await?;
        }
        let last = this.last_in_tables().await?;
        if let Some(gone) = missing.first()
            && last > 0
        {
            return Err(HistoryError::Damaged { path: root.to_owned(), table: gone.name() });
        }
        for table in missing {
            this.open_table(table).await?;
        }
        let url = url_of(&root.join("ledger"))?;
        let folder = object_store::path::Path::from_url_path(url.path());
        let folder = folder.map_err(|error| HistoryError::Folder {
            path: root.to_owned(),
            error: std::io::Error::other(error),
        })?;
        this.ledger = Some(Ledger::open(Arc::clone(&this.store), folder, last, pause).await?);
        // A table that holds a manifest follows tables that hold all before it; itself it may be in
        // some of its tables only.
        this.applied = last.saturating_sub(1);
        this.catch_up().await?;
        Ok(this)
    }

    fn closed(store: Arc<dyn ObjectStore>, root: &Path) -> Self {
        let (tables, pause) = (BTreeMap::new(), PAUSE);
        Self { root: root.to_owned(), store, tables, ledger: None, applied: 0, pause }
    }

    /// Opens what stands in a folder, a table or none yet.
    async fn load(&self, table: Table, path: &Path) -> Result<DeltaTable, HistoryError> {
        let url = url_of(path)?;
        let mut tries = 0;
        loop {
            let builder = DeltaTableBuilder::from_url(url.clone());
            let store = Arc::clone(&self.store);
            let built = builder
                .and_then(|builder| builder.with_storage_backend(store, url.clone()).build());
            let mut opened = built.map_err(|error| delta_error(table, error))?;
            match opened.load().await {
                Ok(()) | Err(DeltaTableError::NotATable(_)) => return Ok(opened),
                Err(error) => {
                    tries += 1;
                    if tries == TRIES {
                        return Err(delta_error(table, error));
                    }
                    tokio::time::sleep(self.pause * (1 << tries)).await;
                }
            }
        }
    }

    /// Opens a table, and makes it if there is none.
    async fn open_table(&mut self, table: Table) -> Result<(), HistoryError> {
        let path = self.root.join(table.name());
        std::fs::create_dir_all(&path)
            .map_err(|error| HistoryError::Folder { path: path.clone(), error })?;
        if !self.read_table(table).await? {
            let opened = self.load(table, &path).await?;
            let opened = create(opened, table).await.map_err(|error| delta_error(table, error))?;
            self.tables.insert(table, opened);
        }
        Ok(())
    }

    /// Opens a table; whether there is one.
    async fn read_table(&mut self, table: Table) -> Result<bool, HistoryError> {
        let path = self.root.join(table.name());
        let opened = self.load(table, &path).await?;
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
        let mut this = Self::closed(Arc::new(LocalFileSystem::new()), root);
        let mut gone = None;
        for table in Table::ALL {
            let there = root.join(table.name()).join("_delta_log").is_dir();
            if !there || !this.read_table(table).await? {
                gone = gone.or(Some(table));
            }
        }
        this.applied = this.last_in_tables().await?;
        match gone {
            None => Ok(this),
            Some(table) if this.applied > 0 => {
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

    /// The number of the last commit; 0 before the first.
    pub fn last_commit(&self) -> u64 {
        self.ledger.as_ref().map_or(self.applied, |ledger| ledger.head().number)
    }

    /// The commits after one, in order, as far as the ledger still has them.
    pub async fn commits_after(&self, number: u64) -> Result<Vec<Manifest>, HistoryError> {
        match &self.ledger {
            Some(ledger) => Ok(ledger.since(number + 1).await?),
            None => Ok(Vec::new()),
        }
    }

    /// How far the sources were read that commits know of, as of the last commit that was seen.
    pub fn frontier(&self) -> Frontier {
        self.ledger.as_ref().map(|ledger| ledger.head().frontier.clone()).unwrap_or_default()
    }

    /// The highest number under which any table was committed; 0 before the first commit.
    async fn last_in_tables(&self) -> Result<u64, HistoryError> {
        let mut last = 0;
        for (table, delta) in &self.tables {
            last = last.max(number_of(delta).await.map_err(|error| delta_error(*table, error))?);
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

    /// Makes what was written part of its tables: one manifest, then a commit per table that has rows, in
    /// the order of [`Table::ALL`]. The number of the commit. When this returns the error
    /// [`LedgerError::Fenced`], or one before the manifest was put, nothing was committed; after any
    /// other error the history has to be opened again, which finishes what was begun.
    pub async fn commit_written(
        &mut self,
        step: &Step,
        written: Vec<Written>,
    ) -> Result<u64, HistoryError> {
        let mut files: BTreeMap<Table, Vec<Add>> = BTreeMap::new();
        for written in &written {
            if let Some(add) = written.add() {
                files.entry(written.table()).or_default().push(add.clone());
            }
        }
        let id = files::random_name()
            .map_err(|error| HistoryError::Folder { path: self.root.clone(), error })?;
        let ledger = self.ledger.as_mut().expect("opened for writing");
        let appended = ledger.append(&id, step, &files).await;
        if !matches!(appended, Err(LedgerError::Fenced { .. })) {
            // A manifest names them, or may.
            written.into_iter().for_each(|written| drop(written.into_adds()));
        }
        let number = appended?.number;
        self.catch_up().await?;
        if number % CLEAN_EVERY == 0
            && let Some(ledger) = &self.ledger
        {
            ledger.clean(self.applied).await;
        }
        Ok(number)
    }

    /// Brings all manifests into their tables, those of others included.
    async fn catch_up(&mut self) -> Result<(), HistoryError> {
        let ledger = self.ledger.as_ref().expect("opened for writing");
        for manifest in ledger.since(self.applied + 1).await? {
            for (table, adds) in &manifest.files {
                let delta = self.tables.get_mut(table).expect("every table is open");
                append_once(delta, adds, &manifest, self.pause)
                    .await
                    .map_err(|error| delta_error(*table, error))?;
            }
            self.applied = manifest.number;
        }
        Ok(())
    }

    /// Makes rows durable: the files of all tables first, then [`History::commit_written`].
    pub async fn commit(
        &mut self,
        step: &Step,
        rows: Vec<(Table, RecordBatch)>,
    ) -> Result<u64, HistoryError> {
        let mut batches: BTreeMap<Table, Vec<RecordBatch>> = BTreeMap::new();
        for (table, batch) in rows {
            batches.entry(table).or_default().push(batch);
        }
        let written = batches.iter().map(|(table, batches)| self.write(*table, batches));
        let written = written.collect::<Result<_, _>>()?;
        self.commit_written(step, written).await
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

/// The manifest that a table holds last.
async fn number_of(table: &DeltaTable) -> Result<u64, DeltaTableError> {
    let store = table.log_store();
    let number = table.snapshot()?.transaction_version(store.as_ref(), APP_ID).await?;
    Ok(number.unwrap_or(0).max(0) as u64)
}

/// Brings the files of a manifest into a table that does not hold them. What is tried on a snapshot in
/// which they are not fails if another brought them there meanwhile.
async fn append_once(
    table: &mut DeltaTable,
    adds: &[Add],
    manifest: &Manifest,
    pause: Duration,
) -> Result<(), DeltaTableError> {
    let mut tries = 0;
    loop {
        let failed = match number_of(table).await {
            Ok(held) if held >= manifest.number => return Ok(()),
            Ok(_) => match append(table, adds, manifest).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        tries += 1;
        if tries == TRIES {
            return Err(failed);
        }
        tokio::time::sleep(pause * (1 << tries)).await;
        // What cannot be read now is read by the next try.
        let _ = table.update_state().await;
    }
}

async fn append(
    table: &mut DeltaTable,
    adds: &[Add],
    manifest: &Manifest,
) -> Result<(), DeltaTableError> {
    let actions = adds.iter().cloned().map(Action::Add).collect();
    let operation =
        DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
    let mut transactions = vec![Transaction::new(APP_ID, manifest.number as i64)];
    let partitions = manifest.moved.iter();
    transactions.extend(
        partitions.map(|(partition, moved)| {
            Transaction::new(format!("{APP_ID}/{partition}"), moved.to.0)
        }),
    );
    let properties = CommitProperties::default().with_application_transactions(transactions);
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
        assert_eq!(history.last_commit(), 0);
        // Cut short before its first commit: finished by the next start.
        std::fs::remove_dir_all(dir.path().join("checks")).expect("our own folder");
        history = History::create(dir.path()).await.expect("finished");
        history
            .commit(&Step::default(), vec![(Table::Rejects, row(Table::Rejects))])
            .await
            .expect("committed");
        assert_eq!(history.last_commit(), 1);
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
