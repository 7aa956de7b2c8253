//! The history: Delta Lake tables in a folder or an object store, written by commits.
//!
//! A [`History`] is a [`Place`] with one Delta table per [`Table`]. [`History::write`] turns rows into
//! a data file that nothing names yet, on any thread and at any time before the commit;
//! [`History::commit_written`] then names the files of all tables in one manifest of the ledger
//! (`ledger`), and commits the tables one by one. Each table's commit carries the number of the
//! manifest as an application transaction, so that each manifest comes into each table once, whoever
//! brings it there and however often it is tried. [`History::commit`] is both in one. Nothing is ever
//! updated in place: what is current is a view (`deployforge-sql`).
//!
//! The files are written by this crate (`columns`, `files`), which knows what the tables look like
//! and is several times as fast as a writer that does not (`docs/adr/0009-own-parquet-writing.md`).
//! Transactions are Delta's. In a folder a file stands where it belongs once it is written; for a store
//! it waits in a temporary file until a commit uploads it (`upload`).
//!
//! What is deliberately absent: what the rows mean, and any wish to read them. The schemas stand in
//! `deployforge-model`.

mod columns;
mod commits;
mod delta;
mod error;
mod files;
mod ledger;
mod log;
mod maintenance;
mod merge;
mod roll;
mod states;
mod stats;
mod table;
mod upload;
mod written;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
pub use commits::{Commits, Rows};
use deltalake::DeltaTable;
use deltalake::kernel::Add;
use deployforge_model::{Frontier, Partition};
pub use deployforge_store::Place;
use object_store::ObjectStore;

pub use deltalake;
pub use error::{HistoryError, LedgerError};
use ledger::Ledger;
pub use ledger::{Manifest, Step};
use log::Log;
pub use maintenance::{Maintained, Maintainer, RETENTION_MIN};
pub use object_store;
use states::States;
pub use states::{PartitionState, StatePart};
pub use table::Table;
pub use written::{Writer, Written};

/// How long the second try waits; each further one twice as long.
const PAUSE: Duration = Duration::from_millis(50);

/// The tables of one history.
#[derive(Debug)]
pub struct History {
    place: Place,
    /// Where files wait for their upload, if the place is none of this machine.
    scratch: PathBuf,
    /// As of opening, or the last [`History::refresh`].
    tables: BTreeMap<Table, DeltaTable>,
    logs: BTreeMap<Table, Log>,
    /// Not there while reading.
    ledger: Option<Ledger>,
    states: Option<States>,
    /// All manifests up to this one are in their tables.
    applied: u64,
    pause: Duration,
}

impl History {
    /// Opens the history under `root`, or makes it. A history of which a table is gone is refused:
    /// what is left would contradict itself. (A start that was cut short leaves tables without a
    /// commit, and is finished.) A commit that was cut short is finished too.
    pub async fn create(root: &Path) -> Result<Self, HistoryError> {
        Self::create_in(Place::folder(root)?, &std::env::temp_dir(), PAUSE).await
    }

    /// The same at any place. Files wait in the folder `scratch` for their upload.
    pub async fn create_at(place: &Place, scratch: &Path) -> Result<Self, HistoryError> {
        Self::create_in(place.clone(), scratch, PAUSE).await
    }

    /// The same on a store in which paths are those of the file system. `pause` is how long the second
    /// try of a request waits; each further one waits twice as long.
    pub async fn create_on(
        store: Arc<dyn ObjectStore>,
        root: &Path,
        pause: Duration,
    ) -> Result<Self, HistoryError> {
        Self::create_in(Place::folder_on(store, root)?, &std::env::temp_dir(), pause).await
    }

    async fn create_in(
        place: Place,
        scratch: &Path,
        pause: Duration,
    ) -> Result<Self, HistoryError> {
        let mut this = Self { pause, scratch: scratch.to_owned(), ..Self::closed(place) };
        let mut missing = Vec::new();
        for table in Table::ALL {
            if this.has_log(table).await? {
                this.open_table(table).await?;
            } else {
                missing.push(table);
            }
        }
        let last = this.last_in_tables();
        if last > 0
            && let Some(gone) = this.gone(&missing, last).await?
        {
            return Err(this.damaged(gone));
        }
        for table in missing {
            this.open_table(table).await?;
        }
        for (table, opened) in &this.tables {
            delta::check_writable(opened, *table)?;
        }
        this.states = Some(States { place: this.place.below("states"), pause });
        this.open_ledger(last).await?;
        if this.logs.iter().any(|(table, log)| this.tables[table].version() != Some(log.version()))
        {
            this.refresh().await?;
        }
        Ok(this)
    }

    fn closed(place: Place) -> Self {
        let (tables, logs) = (BTreeMap::new(), BTreeMap::new());
        let (ledger, states, scratch) = (None, None, PathBuf::new());
        Self { place, scratch, tables, logs, ledger, states, applied: 0, pause: PAUSE }
    }

    fn damaged(&self, gone: Table) -> HistoryError {
        HistoryError::Damaged { path: self.place.to_string(), table: gone.name() }
    }

    /// Which of the tables that are not there was there once.
    async fn gone(&self, missing: &[Table], last: u64) -> Result<Option<Table>, HistoryError> {
        let old = missing.iter().find(|table| !table.is_newer()).copied();
        if missing.is_empty() || old.is_some() {
            return Ok(old);
        }
        let ledger = Ledger::open(&self.place, last, self.pause).await?;
        let held = |table: &&Table| ledger.head().last_of(**table).is_some_and(|number| number > 0);
        Ok(missing.iter().find(held).copied())
    }

    /// Whether a table, or the beginning of one, is there.
    async fn has_log(&self, table: Table) -> Result<bool, HistoryError> {
        let log = self.place.below(table.name()).below("_delta_log");
        Ok(!ledger::again(self.pause, "looked for", || log.is_empty()).await?)
    }

    /// Opens a table, and makes it if there is none.
    async fn open_table(&mut self, table: Table) -> Result<(), HistoryError> {
        let place = self.place.below(table.name());
        if let Some(folder) = place.local() {
            std::fs::create_dir_all(folder)
                .map_err(|error| HistoryError::Folder { path: folder.to_owned(), error })?;
        }
        if !self.read_table(table).await? {
            let opened = delta::load(table, &place, self.pause).await?;
            let made = delta::create(opened, table).await;
            // Another writer may have made it meanwhile.
            if !self.read_table(table).await? {
                let made = made.map(drop).map_err(|error| HistoryError::delta(table, error));
                return made.and(Err(self.damaged(table)));
            }
        }
        Ok(())
    }

    /// Opens a table; whether there is one.
    async fn read_table(&mut self, table: Table) -> Result<bool, HistoryError> {
        let (place, seen) = (self.place.below(table.name()), log::now());
        let read = async {
            let opened = delta::load(table, &place, self.pause).await?;
            if opened.version().is_none() {
                return Ok(None);
            }
            delta::check_schema(&opened, table, &place)?;
            let log = Log::of(&opened, table, place.clone(), seen).await?;
            Ok(Some((opened, log)))
        };
        let (opened, log) = match read.await {
            Ok(Some(read)) => read,
            Ok(None) => return Ok(false),
            Err(error @ HistoryError::Delta { .. }) => {
                return Err(delta::ailing(&place).await.map_or(error, HistoryError::from));
            }
            Err(error) => return Err(error),
        };
        self.logs.insert(table, log);
        self.tables.insert(table, opened);
        Ok(true)
    }

    /// Opens the history under `root` for reading; it must exist.
    pub async fn open(root: &Path) -> Result<Self, HistoryError> {
        Self::open_at(&Place::folder(root)?).await
    }

    /// The same at any place.
    pub async fn open_at(place: &Place) -> Result<Self, HistoryError> {
        // Opening makes nothing: a table that a reader makes while a writer does is two tables.
        let mut this = Self::closed(place.clone());
        let mut gone = None;
        for table in Table::ALL {
            let there = this.has_log(table).await? && this.read_table(table).await?;
            if !there && !table.is_newer() {
                gone = gone.or(Some(table));
            }
        }
        this.applied = this.last_in_tables();
        match gone {
            None => Ok(this),
            Some(table) if this.applied > 0 => Err(this.damaged(table)),
            // There is none, or it is being made.
            Some(_) => Err(HistoryError::Absent(this.place.to_string())),
        }
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// One table, as of opening or the last [`History::refresh`]: commits do not read it anew.
    pub fn table(&self, table: Table) -> &DeltaTable {
        &self.tables[&table]
    }

    /// The same, unless the history is older than the table, and nobody has written to it since.
    pub fn find(&self, table: Table) -> Option<&DeltaTable> {
        self.tables.get(&table)
    }

    /// Reads the newest versions that others committed.
    pub async fn refresh(&mut self) -> Result<(), HistoryError> {
        for (table, opened) in &mut self.tables {
            opened.update_state().await.map_err(|error| HistoryError::delta(*table, error))?;
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

    /// The states of partitions, as of the last commit that was seen.
    pub fn states(&self) -> BTreeMap<Partition, PartitionState> {
        self.ledger.as_ref().map(|ledger| ledger.head().states.clone()).unwrap_or_default()
    }

    /// The next free number of a row, as of the last commit that was seen.
    pub fn sequence(&self) -> u64 {
        self.ledger.as_ref().map_or(0, |ledger| ledger.head().sequence)
    }

    /// Takes numbers of rows for this writer alone, above all that were given so far; the first of them.
    pub async fn reserve(&mut self, numbers: u64) -> Result<u64, HistoryError> {
        let id = self.random_name()?;
        let step = Step { reserve: numbers, ..Step::default() };
        let ledger = self.ledger.as_mut().expect("opened for writing");
        Ok(ledger.append(&id, &step, &BTreeMap::new()).await?.sequence - numbers)
    }

    /// Writes states of partitions that no commit names yet; one that moves the partitions is to name
    /// them.
    pub async fn write_states(
        &self,
        states: &BTreeMap<Partition, RecordBatch>,
    ) -> Result<BTreeMap<Partition, StatePart>, HistoryError> {
        let name = self.random_name()?;
        let files = self.states.as_ref().expect("opened for writing");
        Ok(files.put(self.last_commit(), &name, states).await?)
    }

    /// Reads parts of a partition's state, in order.
    pub async fn read_state(&self, parts: &[StatePart]) -> Result<Vec<RecordBatch>, HistoryError> {
        let read = self.states.as_ref().expect("opened for writing").get(parts).await;
        if matches!(read, Err(LedgerError::Damaged { .. })) {
            self.check_named(parts).await?;
        }
        Ok(read?)
    }

    fn random_name(&self) -> Result<String, HistoryError> {
        let folder = |error| HistoryError::Folder { path: self.place.to_string().into(), error };
        files::random_name().map_err(folder)
    }

    /// The highest number under which any table was committed; 0 before the first commit.
    fn last_in_tables(&self) -> u64 {
        self.logs.values().map(Log::number).max().unwrap_or_default()
    }

    /// Who keeps this history in order, apart from it and its commits. Files that no table names stay for
    /// `retention`, which is [`RETENTION_MIN`] at least where writers are at work.
    pub fn maintainer(&self, retention: Duration) -> Maintainer {
        Maintainer::new(self.place.clone(), self.writer(), self.pause, retention)
    }

    /// Writes files for [`History::commit_written`], apart from this history: on a thread of its own,
    /// say, while the history commits.
    pub fn writer(&self) -> Writer {
        Writer::new(&self.place, &self.scratch)
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
        mut written: Vec<Written>,
    ) -> Result<u64, HistoryError> {
        upload::all(&mut written, self.pause).await?;
        let mut files: BTreeMap<Table, Vec<Add>> = BTreeMap::new();
        for written in &written {
            if let Some(add) = written.add() {
                files.entry(written.table()).or_default().push(add.clone());
            }
        }
        let id = self.random_name()?;
        let ledger = self.ledger.as_mut().expect("opened for writing");
        let appended = ledger.append(&id, step, &files).await;
        if matches!(appended, Err(LedgerError::Fenced { .. })) {
            upload::take_back(&written).await;
        } else {
            // A manifest names them, or may.
            written.into_iter().for_each(|written| drop(written.into_adds()));
        }
        let number = appended?.number;
        self.catch_up().await?;
        Ok(number)
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
    async fn a_history_from_before_a_table_gets_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut history = History::create(dir.path()).await.expect("a new history");
        let commit = |table| (Step::default(), vec![(table, row(table))]);
        let (step, rows) = commit(Table::Rejects);
        history.commit(&step, rows).await.expect("committed");
        drop(history);
        let folder = dir.path().join("evidence");
        std::fs::remove_dir_all(&folder).expect("our own folder");
        // Its manifests do not speak of it either.
        for manifest in std::fs::read_dir(dir.path().join("ledger")).expect("a ledger").flatten() {
            let text = std::fs::read_to_string(manifest.path()).expect("a manifest");
            let old = text.replace("\"evidence\":0,", "");
            assert_ne!(text, old);
            std::fs::write(manifest.path(), old).expect("written");
        }
        let reader = History::open(dir.path()).await.expect("it can be read");
        assert!(reader.find(Table::Evidence).is_none() && !folder.exists());
        let mut history = History::create(dir.path()).await.expect("it gets the table");
        let (step, rows) = commit(Table::Evidence);
        assert_eq!(history.commit(&step, rows).await.expect("committed"), 2);
        drop(history);
        std::fs::remove_dir_all(&folder).expect("our own folder");
        let damaged = History::create(dir.path()).await;
        assert!(matches!(damaged, Err(HistoryError::Damaged { table: "evidence", .. })));
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
