//! Small files of a table, made into larger ones: the same rows, in the order of their files.
//!
//! Files are merged by tiers of size, each eight times the one below, so that a row is written again
//! once per tier, and not with every merge. A merge reads one file after another and holds a row group
//! at most; it puts its commit behind the last one, whatever was appended meanwhile, and gives way to
//! whoever removed one of its files before.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use deltalake::kernel::transaction::CommitData;
use deltalake::kernel::{Action, Add, LogicalFileView, Remove};
use deltalake::parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use deltalake::parquet::errors::{ParquetError, Result as ParquetResult};
use deltalake::protocol::DeltaOperation;
use deltalake::{DeltaTable, DeltaTableError};
use deployforge_store::Place;
use object_store::ObjectStoreExt;
use tokio::runtime::Handle;

use crate::log::{Log, Put};
use crate::{HistoryError, Table, Writer, Written, ledger, upload};

/// A file of so many bytes is large enough.
const TARGET_BYTES: u64 = 32 << 20;

/// Files below this are of the lowest tier.
const TIER_BYTES: u64 = 64 << 10;

/// So many files of one tier become one.
const FAN_IN: usize = 8;

/// Files of one merge.
const FILES_MAX: usize = 512;

/// Bytes of files of one table that one turn reads.
const TURN_BYTES: u64 = 128 << 20;

/// How often a commit is tried before a failure is told.
const TRIES: u32 = 6;

/// What a merge came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merged {
    /// The file stands for those it was made of.
    Done,
    /// Another one took one of its files before.
    Lost,
}

/// A file that is small.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Small {
    modified: i64,
    path: String,
    bytes: u64,
    rows: u64,
}

impl Small {
    /// What the log says of a file, if it is one as we write them.
    fn of(file: &LogicalFileView) -> Option<Self> {
        tier(file.size() as u64)?;
        let plain = file.deletion_vector_descriptor().is_none();
        let rows =
            file.num_records().filter(|_| plain && file.partition_values_map().is_empty())?;
        let (modified, path) = (file.modification_time(), file.path().into_owned());
        Some(Self { modified, path, bytes: file.size() as u64, rows: rows as u64 })
    }
}

/// The merges that a table is in need of: small files, the oldest first.
pub(crate) fn plan(opened: &DeltaTable, table: Table) -> Result<Vec<Vec<Small>>, HistoryError> {
    let state = opened.snapshot().map_err(|error| HistoryError::delta(table, error))?;
    Ok(choose(state.log_data().iter().filter_map(|file| Small::of(&file)).collect()))
}

fn choose(mut files: Vec<Small>) -> Vec<Vec<Small>> {
    files.sort_unstable();
    let mut tiers: BTreeMap<u32, Vec<Small>> = BTreeMap::new();
    for file in files {
        if let Some(tier) = tier(file.bytes) {
            tiers.entry(tier).or_default().push(file);
        }
    }
    let (mut merges, mut left) = (Vec::new(), TURN_BYTES);
    for files in tiers.into_values() {
        let (mut run, mut bytes) = (Vec::new(), 0);
        for file in files {
            bytes += file.bytes;
            run.push(file);
            if run.len() > 1 && bytes >= TARGET_BYTES || run.len() == FILES_MAX {
                left = left.saturating_sub(std::mem::take(&mut bytes));
                merges.push(std::mem::take(&mut run));
            }
            if left == 0 {
                return merges;
            }
        }
        if run.len() >= FAN_IN {
            left = left.saturating_sub(bytes);
            merges.push(run);
        }
    }
    merges
}

/// Which tier a file belongs to; none: it is large enough.
fn tier(bytes: u64) -> Option<u32> {
    match bytes / TIER_BYTES {
        _ if bytes >= TARGET_BYTES => None,
        0 => Some(0),
        times => Some(1 + times.ilog(FAN_IN as u64)),
    }
}

/// One merge after another in one table.
#[derive(Debug)]
pub(crate) struct Merger<'a> {
    /// Known up to where all files that are merged were part of the table.
    pub(crate) log: Log,
    /// Files that others removed since.
    pub(crate) gone: BTreeSet<String>,
    pub(crate) writer: &'a Writer,
    pub(crate) pause: Duration,
    /// Set, it ends a merge.
    pub(crate) stop: &'a Arc<AtomicBool>,
}

impl Merger<'_> {
    /// Merges files.
    pub(crate) async fn merge(&mut self, files: &[Small]) -> Result<Merged, HistoryError> {
        if self.lacks_one_of(files) {
            return Ok(Merged::Lost);
        }
        let mut written = [self.rewrite(files).await?];
        upload::all(&mut written, self.pause).await?;
        let [written] = written;
        // From here on the table may name it, whatever is heard of the commit. If it does not, the file is
        // removed by age.
        let (_, Some(add)) = written.into_adds() else { return Ok(Merged::Lost) };
        let add = Add { data_change: false, ..add };
        let merged = self.commit(files, &add).await;
        if matches!(merged, Ok(Merged::Lost)) {
            let place = self.log.place();
            let _ = place.store().delete(&place.path(&add.path)).await;
        }
        merged
    }

    /// One file with the rows of several.
    async fn rewrite(&self, files: &[Small]) -> Result<Written, HistoryError> {
        let table = self.log.table();
        let rows = Rows {
            place: self.log.place().clone(),
            handle: Handle::current(),
            schema: table.schema(),
            files: files.iter().rev().map(|file| file.path.clone()).collect(),
            open: None,
            stop: Arc::clone(self.stop),
            pause: self.pause,
        };
        let (writer, want) = (self.writer.clone(), files.iter().map(|file| file.rows).sum());
        let folder = self.log.place().local().map(FilePath::to_owned);
        let written = tokio::task::spawn_blocking(move || {
            let written = writer.rewrite(table, want, rows)?;
            if let (Some(folder), Some(add)) = (folder, written.add()) {
                // What it replaces is on the disk for long, and is to be no worse off when the power goes.
                let synced = File::open(folder.join(&add.path)).and_then(|file| file.sync_all());
                synced.map_err(|error| HistoryError::Folder { path: folder, error })?;
            }
            Ok::<_, HistoryError>(written)
        });
        let written = match written.await {
            Ok(written) => written?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let got = written.add().and_then(rows_of);
        if got != Some(want) {
            // The files stay as they are, and the new one goes.
            let problem = format!("merged it has {got:?} of {want} rows");
            return Err(HistoryError::delta(table, DeltaTableError::Generic(problem)));
        }
        Ok(written)
    }

    /// Lets a file stand for others, unless one of them is gone.
    async fn commit(&mut self, files: &[Small], add: &Add) -> Result<Merged, HistoryError> {
        let commit = self.log.text(&replace(files, add))?;
        let mut tries = 0;
        loop {
            match self.log.put(&commit).await {
                Ok(Put::Done) => return Ok(Merged::Done),
                // Our own, though an error came back.
                Ok(Put::Taken(actions)) if actions.iter().any(|one| is_add(one, add)) => {
                    return Ok(Merged::Done);
                }
                Ok(Put::Taken(actions)) => {
                    self.gone.extend(actions.into_iter().filter_map(removed));
                    if self.lacks_one_of(files) {
                        return Ok(Merged::Lost);
                    }
                }
                Err(error) => {
                    tries += 1;
                    if tries == TRIES {
                        return Err(error);
                    }
                    tokio::time::sleep(self.pause * (1 << tries)).await;
                }
            }
        }
    }

    fn lacks_one_of(&self, files: &[Small]) -> bool {
        files.iter().any(|file| self.gone.contains(&file.path))
    }
}

/// The commit of a merge. It carries no transaction: it brings no rows.
fn replace(files: &[Small], add: &Add) -> CommitData {
    let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_millis() as i64;
    let remove = |file: &Small| {
        Action::Remove(Remove {
            path: file.path.clone(),
            data_change: false,
            deletion_timestamp: Some(now),
            extended_file_metadata: Some(true),
            partition_values: Some(HashMap::new()),
            size: Some(file.bytes as i64),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
        })
    };
    let actions = files.iter().map(remove).chain([Action::Add(add.clone())]).collect();
    let operation = DeltaOperation::Optimize { predicate: None, target_size: TARGET_BYTES as i64 };
    CommitData::new(actions, operation, HashMap::new(), Vec::new())
}

fn is_add(action: &Action, add: &Add) -> bool {
    matches!(action, Action::Add(one) if one.path == add.path)
}

fn removed(action: Action) -> Option<String> {
    if let Action::Remove(remove) = action { Some(remove.path) } else { None }
}

/// The rows that the log says a file has.
fn rows_of(add: &Add) -> Option<u64> {
    let stats: serde_json::Value = serde_json::from_str(add.stats.as_deref()?).ok()?;
    stats["numRecords"].as_u64()
}

type Batches = Box<dyn Iterator<Item = ParquetResult<RecordBatch>> + Send>;

/// Rows of files, one after another, read on a thread that may wait.
struct Rows {
    place: Place,
    handle: Handle,
    schema: SchemaRef,
    /// The next one last.
    files: Vec<String>,
    open: Option<Batches>,
    stop: Arc<AtomicBool>,
    pause: Duration,
}

impl Rows {
    fn open(&self, name: &str) -> ParquetResult<Batches> {
        let path = self.place.path(name);
        let get = || async { self.place.store().get(&path).await?.bytes().await };
        let bytes: Bytes = self
            .handle
            .block_on(ledger::again(self.pause, "read", get))
            .map_err(|error| ParquetError::External(Box::new(error)))?;
        let options = ArrowReaderOptions::new().with_schema(Arc::clone(&self.schema));
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options)?;
        Ok(Box::new(reader.build()?.map(|batch| Ok(batch?))))
    }
}

impl Iterator for Rows {
    type Item = ParquetResult<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Some(Err(io::Error::from(io::ErrorKind::Interrupted).into()));
            }
            if let Some(batch) = self.open.as_mut().and_then(Iterator::next) {
                return Some(batch);
            }
            let name = self.files.pop()?;
            match self.open(&name) {
                Ok(open) => self.open = Some(open),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: i64, bytes: u64) -> Small {
        Small { modified: name, path: format!("{:04}", -name), bytes, rows: 1 }
    }

    /// How many files each merge takes of files of these sizes.
    fn check(sizes: &[u64], want: &[usize]) {
        let files = sizes.iter().enumerate().map(|(name, bytes)| file(name as i64, *bytes));
        let merges = choose(files.rev().collect());
        assert_eq!(merges.iter().map(Vec::len).collect::<Vec<_>>(), want, "{sizes:?}");
        for merge in merges {
            assert!(merge.is_sorted_by_key(|file| file.modified), "the oldest first");
        }
    }

    #[test]
    fn few_files_and_large_ones_stay() {
        check(&[], &[]);
        check(&[1000; FAN_IN - 1], &[]);
        check(&[1000; FAN_IN], &[FAN_IN]);
        check(&[TARGET_BYTES; 3], &[]);
    }

    #[test]
    fn a_tier_merges_by_itself() {
        let mut sizes = vec![1000; FAN_IN];
        sizes.extend([TIER_BYTES; FAN_IN - 1]);
        check(&sizes, &[FAN_IN]);
        sizes.push(TIER_BYTES * 7);
        check(&sizes, &[FAN_IN, FAN_IN]);
        sizes.push(TIER_BYTES * 8);
        check(&sizes, &[FAN_IN, FAN_IN]);
    }

    #[test]
    fn a_merge_and_a_turn_are_bounded() {
        check(&[10; FILES_MAX + FAN_IN], &[FILES_MAX, FAN_IN]);
        check(&[TARGET_BYTES / 2; 3], &[2]);
        let each = (TURN_BYTES / TARGET_BYTES) as usize;
        check(&vec![TARGET_BYTES / 2; 100], &vec![2; each]);
    }
}
