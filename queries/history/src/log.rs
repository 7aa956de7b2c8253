//! The log of one Delta table: commits behind the last one, whatever the table holds.
//!
//! A [`Log`] knows the last version of its table and the last manifest in it, and nothing else. A commit
//! is one request: its file is put where none is. If another's is there already, that one is read, for it
//! may have brought the same manifest, and the next version is tried. So what a commit takes grows
//! neither with the files of the table nor with its log, which a commit by the library lists and reads
//! (`docs/adr/0022-maintenance-beside-the-commits.md`).

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use deltalake::kernel::transaction::CommitData;
use deltalake::kernel::{Action, Add, Transaction};
use deltalake::logstore::get_actions;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::{DeltaTable, DeltaTableError};
use deployforge_store::Place;

use crate::{HistoryError, LedgerError, Manifest, Table, delta};

/// The application id under which manifests are numbered in the tables.
pub(crate) const APP_ID: &str = "deployforge";

/// The application id that says that the commits of a table stand in a ledger: one that is empty then is
/// lost. (Those of partitions have a slash more.)
pub(crate) const LEDGER_ID: &str = "deployforge/ledger";

/// How often a commit is tried before a failure is told.
const TRIES: u32 = 6;

/// For so long what was seen of a log is believed. Nothing younger than a day is cleaned out of it
/// ([`crate::RETENTION_MIN`]); behind what was, a put would succeed and be no commit.
const BELIEVED: Duration = Duration::from_hours(1);

/// Where a table's log ends.
#[derive(Debug)]
pub(crate) struct Log {
    table: Table,
    place: Place,
    version: u64,
    /// The manifest that the table holds last.
    number: u64,
    seen: (Instant, SystemTime),
}

/// What became of a commit.
#[derive(Debug)]
pub(crate) enum Put {
    /// It is the last version.
    Done,
    /// Another one was there before, which now is the last version that was seen.
    Taken(Vec<Action>),
}

impl Log {
    /// The end of the log as of a table's snapshot. `seen` is a moment before that was read.
    pub(crate) async fn of(
        opened: &DeltaTable,
        table: Table,
        place: Place,
        seen: (Instant, SystemTime),
    ) -> Result<Self, HistoryError> {
        let number = delta::number_of(opened).await;
        let number = number.map_err(|error| HistoryError::delta(table, error))?;
        let version = opened.version().unwrap_or_default();
        Ok(Self { table, place, version, number, seen })
    }

    /// Whose log it is.
    pub(crate) fn table(&self) -> Table {
        self.table
    }

    /// Where the table is.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The last version that was seen.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The manifest that the table holds last.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the table has to be read anew before a commit.
    pub(crate) fn is_old(&self) -> bool {
        let (instant, time) = self.seen;
        // One clock stands still while the machine sleeps, the other one can be set.
        instant.elapsed() > BELIEVED || time.elapsed().map_or(true, |age| age > BELIEVED)
    }

    /// Brings the files of a manifest into the table, unless someone else did.
    pub(crate) async fn append_once(
        &mut self,
        adds: &[Add],
        manifest: &Manifest,
        pause: Duration,
    ) -> Result<(), HistoryError> {
        let commit = self.text(&append(adds, manifest))?;
        let mut tries = 0;
        while self.number < manifest.number {
            match self.put(&commit).await {
                Ok(Put::Done) => self.number = manifest.number,
                // It may hold the manifest.
                Ok(Put::Taken(entry)) => self.check(&entry, adds, manifest)?,
                Err(error) => {
                    tries += 1;
                    if tries == TRIES {
                        return Err(error);
                    }
                    tokio::time::sleep(pause * (1 << tries)).await;
                }
            }
        }
        Ok(())
    }

    /// Refuses to take another commit for a manifest: one of the same number with other files, or a later
    /// one where this one should stand. The ledger has lost what the table was given.
    fn check(
        &self,
        entry: &[Action],
        adds: &[Add],
        manifest: &Manifest,
    ) -> Result<(), HistoryError> {
        let ours = |action: &Action| match action {
            Action::Add(add) => adds.iter().any(|ours| ours.path == add.path),
            _ => false,
        };
        let holds = self.number == manifest.number && entry.iter().any(ours);
        if self.number < manifest.number || holds || adds.is_empty() {
            return Ok(());
        }
        let reason = format!(
            "it holds commit {}, and not commit {} as the ledger has it",
            self.number, manifest.number
        );
        let name = format!("{:020}.json", self.version);
        Err(LedgerError::damaged(&self.place.below("_delta_log"), &name, reason).into())
    }

    /// A commit as it stands in the log.
    pub(crate) fn text(&self, commit: &CommitData) -> Result<Bytes, HistoryError> {
        commit.get_bytes().map_err(|error| HistoryError::delta(self.table, error.into()))
    }

    /// Puts a commit behind the last version, if that still is the last one. After an error it may be
    /// there all the same: then the next try finds it taken.
    pub(crate) async fn put(&mut self, commit: &Bytes) -> Result<Put, HistoryError> {
        let version = self.version + 1;
        let name = format!("_delta_log/{version:020}.json");
        let seen = now();
        if self.place.create(&name, commit.clone()).await? {
            (self.version, self.seen) = (version, seen);
            return Ok(Put::Done);
        }
        let delta = |error| HistoryError::delta(self.table, error);
        let gone = || delta(DeltaTableError::InvalidVersion(version));
        let text = self.place.read(&name).await?.ok_or_else(gone)?;
        let actions = get_actions(version, &text).map_err(delta)?;
        if actions.iter().any(|one| matches!(one, Action::Metadata(_) | Action::Protocol(_))) {
            let changed = "another program changed its columns or its protocol".to_owned();
            return Err(delta(DeltaTableError::Generic(changed)));
        }
        for action in &actions {
            if let Action::Txn(transaction) = action
                && transaction.app_id == APP_ID
            {
                self.number = self.number.max(transaction.version.max(0) as u64);
            }
        }
        (self.version, self.seen) = (version, seen);
        Ok(Put::Taken(actions))
    }
}

/// The present moment, by both clocks.
pub(crate) fn now() -> (Instant, SystemTime) {
    (Instant::now(), SystemTime::now())
}

/// A commit that appends the files of a manifest.
fn append(adds: &[Add], manifest: &Manifest) -> CommitData {
    let actions = adds.iter().cloned().map(Action::Add).collect();
    let operation =
        DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
    let number = manifest.number as i64;
    let mut transactions =
        vec![Transaction::new(APP_ID, number), Transaction::new(LEDGER_ID, number)];
    let partitions = manifest.moved.iter();
    transactions.extend(
        partitions.map(|(partition, moved)| {
            Transaction::new(format!("{APP_ID}/{partition}"), moved.to.0)
        }),
    );
    CommitData::new(actions, operation, std::collections::HashMap::new(), transactions)
}
