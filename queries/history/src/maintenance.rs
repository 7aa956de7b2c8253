//! Keeping a history in order beside its commits: [`Maintainer`].
//!
//! A commit puts files and does nothing else. What piles up is taken away here, by handles of its own,
//! on whatever thread and in whichever process: small files are made into larger ones (`merge`), a
//! checkpoint spares readers the log, and manifests, files of states, log and data files that nothing
//! needs any more are removed. Nothing here waits for a commit or makes one wait.
//!
//! Each step leaves the history whole, so that it may be cut short anywhere, and done twice at once:
//! whoever comes second finds it done, or gives way. The limits of a turn stand in
//! `docs/reference/limits.md`, the reasons in `docs/adr/0022-maintenance-beside-the-commits.md`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use deltalake::checkpoints::{cleanup_expired_logs_for, create_checkpoint};
use deltalake::operations::vacuum::VacuumMode;
use deltalake::{DeltaTable, DeltaTableError};
use deployforge_store::Place;
use futures::StreamExt;
use object_store::Error;

use crate::commits;
use crate::ledger::Ledger;
use crate::log::{self, Log};
use crate::merge::{self, Merged, Merger};
use crate::states::States;
use crate::{HistoryError, Table, Writer, delta};

/// Commits between two turns of maintenance.
const EVERY: u64 = 100;

/// Turns between two looks for what is old enough to be removed.
const VACUUM_EVERY: u64 = 10;

/// Commits of a table between two of its checkpoints.
const CHECKPOINT_EVERY: u64 = 20;

/// Data files of one table that one turn removes.
const REMOVED_MAX: usize = 10_000;

/// How long what no table names, and what its log says no more, has to stay where writers are at work:
/// they believe for an hour what they saw, and their files wait for their commit.
pub const RETENTION_MIN: Duration = Duration::from_hours(24);

/// What a turn came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Files that were made into larger ones.
    pub merged: u64,
    /// The larger ones.
    pub made: u64,
    /// Merges that gave way to another one.
    pub lost: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Files of logs that were removed.
    pub log_files: u64,
    /// Data files that were removed.
    pub data_files: u64,
}

/// Keeps a history in order, apart from who commits to it.
#[derive(Clone, Debug)]
pub struct Maintainer {
    place: Place,
    writer: Writer,
    pause: Duration,
    retention: Duration,
    stop: Arc<AtomicBool>,
}

impl Maintainer {
    pub(crate) fn new(place: Place, writer: Writer, pause: Duration, retention: Duration) -> Self {
        Self { place, writer, pause, retention, stop: Arc::default() }
    }

    /// Whether who made this commit is to do a turn. Of several writers the one who happens to make it
    /// does, so that one turn is done for all of them.
    pub fn is_due(commit: u64) -> bool {
        commit.is_multiple_of(EVERY)
    }

    /// Set, it ends a turn at its next step.
    pub fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// One turn, after a commit: all manifests up to it are in their tables.
    pub async fn turn(&self, commit: u64) -> Result<Maintained, HistoryError> {
        let mut done = self.tidy(commit).await?;
        if commit.is_multiple_of(EVERY * VACUUM_EVERY) {
            let removed = self.vacuum(commit).await?;
            (done.log_files, done.data_files) = (removed.log_files, removed.data_files);
        }
        Ok(done)
    }

    /// Merges files, makes checkpoints, and removes manifests and files of states that are long behind.
    pub async fn tidy(&self, commit: u64) -> Result<Maintained, HistoryError> {
        let (mut done, mut failed) = (Maintained::default(), Ok(()));
        for table in Table::ALL {
            // What ails one table is no reason to leave the others.
            failed = failed.and(self.tidy_table(table, &mut done).await);
        }
        if self.stopped() {
            return failed.map(|()| done);
        }
        let ledger = self.ledger(commit).await?;
        let needed = commits::needed(&self.place, commit).await?;
        ledger.clean(commit, needed).await;
        let place = self.place.below("states");
        States { place, pause: self.pause }.clean(ledger.head()).await;
        failed.map(|()| done)
    }

    /// Removes what was old enough when a commit was made: of logs what checkpoints stand for, and data
    /// files that no table names.
    pub async fn vacuum(&self, commit: u64) -> Result<Maintained, HistoryError> {
        let (mut done, mut failed) = (Maintained::default(), Ok(()));
        for table in Table::ALL {
            failed = failed.and(self.vacuum_table(table, commit, &mut done).await);
        }
        failed.map(|()| done)
    }

    async fn tidy_table(&self, table: Table, done: &mut Maintained) -> Result<(), HistoryError> {
        if self.stopped() {
            return Ok(());
        }
        let (place, seen) = (self.place.below(table.name()), log::now());
        let mut opened = delta::load(table, &place, self.pause).await?;
        delta::check_schema(&opened, table, &place)?;
        delta::check_writable(&opened, table)?;
        let merges = merge::plan(&opened, table)?;
        let log = Log::of(&opened, table, place.clone(), seen).await?;
        let (gone, writer, stop) = (BTreeSet::new(), &self.writer, &self.stop);
        let mut merger = Merger { log, gone, writer, pause: self.pause, stop };
        for files in &merges {
            if self.stopped() {
                return Ok(());
            }
            match merger.merge(files).await? {
                Merged::Done => {
                    done.merged += files.len() as u64;
                    done.made += 1;
                }
                Merged::Lost => done.lost += 1,
            }
        }
        if !merges.is_empty() {
            opened = delta::load(table, &place, self.pause).await?;
        }
        self.checkpoint(table, &place, &opened, done).await
    }

    async fn checkpoint(
        &self,
        table: Table,
        place: &Place,
        opened: &DeltaTable,
        done: &mut Maintained,
    ) -> Result<(), HistoryError> {
        let hint = place.read("_delta_log/_last_checkpoint").await?;
        let hint = hint.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
        let last = hint.and_then(|hint| hint["version"].as_u64()).unwrap_or_default();
        let version = opened.version().unwrap_or_default();
        if version < last + CHECKPOINT_EVERY || self.stopped() {
            return Ok(());
        }
        let made = create_checkpoint(opened, None).await;
        made.map_err(|error| HistoryError::delta(table, error))?;
        done.checkpoints += 1;
        Ok(())
    }

    async fn vacuum_table(
        &self,
        table: Table,
        commit: u64,
        done: &mut Maintained,
    ) -> Result<(), HistoryError> {
        if self.stopped() {
            return Ok(());
        }
        let delta = |error: DeltaTableError| HistoryError::delta(table, error);
        let place = self.place.below(table.name());
        let opened = delta::load(table, &place, self.pause).await?;
        let version = opened.version().unwrap_or_default();
        let oldest = SystemTime::now().checked_sub(self.retention).unwrap_or(UNIX_EPOCH);
        let oldest = oldest.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        let log = opened.log_store();
        let cleaned = cleanup_expired_logs_for(version, log.as_ref(), oldest, None).await;
        done.log_files += cleaned.map_err(delta)? as u64;
        // The library says what is old and in no table; it is removed here, after a look at the ledger.
        let plan = opened
            .vacuum()
            .with_mode(VacuumMode::Full)
            .with_retention_period(
                chrono::Duration::milliseconds(self.retention.as_millis() as i64),
            )
            .with_enforce_retention_duration(false)
            .with_dry_run(true);
        let (_, plan) = plan.await.map_err(delta)?;
        let coming = self.coming(table, commit).await?;
        let paths: Vec<_> = plan
            .files_deleted
            .iter()
            .filter(|name| !coming.contains(*name))
            .take(REMOVED_MAX)
            .map(|name| Ok(place.path(name)))
            .collect();
        let mut removed = place.store().delete_stream(futures::stream::iter(paths).boxed());
        while let Some(removed) = removed.next().await {
            match removed {
                Ok(_) => done.data_files += 1,
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(delta(error.into())),
            }
            if self.stopped() {
                break;
            }
        }
        Ok(())
    }

    /// Files of a table that manifests name which may not be in it yet.
    async fn coming(&self, table: Table, commit: u64) -> Result<BTreeSet<String>, HistoryError> {
        let manifests = self.ledger(commit).await?.since(commit + 1).await?;
        let adds = manifests.into_iter().filter_map(|mut one| one.files.remove(&table));
        Ok(adds.flatten().map(|add| add.path).collect())
    }

    async fn ledger(&self, commit: u64) -> Result<Ledger, HistoryError> {
        Ok(Ledger::open(&self.place, commit, self.pause).await?)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
