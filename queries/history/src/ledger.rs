//! The ledger: what was committed, in one order for all tables and all writers.
//!
//! A commit touches several tables, and no transaction of Delta spans two. So the files of a commit are
//! first named in one [`Manifest`], put where none was, and then made part of their tables one by one.
//! Whoever finds a manifest whose files are not all in their tables goes on with it: the same files,
//! nothing computed anew (`docs/adr/0016-one-ledger-for-all-tables.md`).
//!
//! A manifest also says how far the sources were read. Two writers that believe to own one partition
//! are told apart here: who starts from where the other no longer stands is *fenced*, and nothing of
//! its commit is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use deltalake::kernel::Add;
use deployforge_model::{FileMarks, Frontier, Moved, Partition};
use deployforge_store::Place;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};

use crate::states::{PartitionState, StatePart};
use crate::{LedgerError, Table};

/// How often a request is made before a failure is told.
const TRIES: u32 = 5;

/// Manifests that are kept behind the newest, for people to look at and writers to catch up by.
pub(crate) const KEPT: u64 = 200;

/// How far the newest number may be beyond the one before it. Numbers have no gaps; but one that was
/// put by someone who was away for long, and that nobody took back, may stand far below the others.
const FAR: u64 = 1_000_000;

/// One commit.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// Which commit it is; the first is 1.
    pub number: u64,
    /// Tells it from every other one, a second try at the same number included.
    pub id: String,
    /// How far it moves partitions.
    #[serde(default)]
    pub moved: BTreeMap<Partition, Moved>,
    /// Where all partitions stand after it.
    #[serde(default)]
    pub frontier: Frontier,
    /// The states of all partitions after it.
    #[serde(default)]
    pub states: BTreeMap<Partition, PartitionState>,
    /// Files of sources that are read to the end with it.
    #[serde(default)]
    pub read: FileMarks,
    /// The next free number of a row.
    pub sequence: u64,
    /// The files that it makes part of tables.
    pub files: BTreeMap<Table, Vec<Add>>,
    /// For each table the last commit before this one that has files for it; 0: none has. So a table
    /// that lacks commits is told from one that has nothing to take, however few manifests are left.
    /// Manifests of earlier versions do not say it.
    #[serde(default)]
    pub before: BTreeMap<Table, u64>,
}

impl Manifest {
    /// The last commit up to this one that has files for a table.
    pub(crate) fn last_of(&self, table: Table) -> Option<u64> {
        if self.files.contains_key(&table) {
            return Some(self.number);
        }
        self.before.get(&table).copied()
    }
}

/// What a writer wants to commit.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// How far it moves partitions.
    pub moved: BTreeMap<Partition, Moved>,
    /// Where the states of partitions that it moves stand after it; of others they stay.
    pub states: BTreeMap<Partition, Vec<StatePart>>,
    /// Files of sources that are read to the end with it.
    pub read: FileMarks,
    /// The next free number of a row after it.
    pub sequence: u64,
    /// How many numbers after that are the writer's own.
    pub reserve: u64,
}

/// The commits of one history.
#[derive(Debug)]
pub(crate) struct Ledger {
    place: Place,
    head: Manifest,
    /// Whether there is a commit in it.
    begun: bool,
    /// How long the second try of a request waits; each further one waits twice as long.
    pause: Duration,
}

impl Ledger {
    /// Opens the ledger of a history. `last` is the number of the last commit of one that was begun
    /// without a ledger.
    pub(crate) async fn open(
        history: &Place,
        last: u64,
        pause: Duration,
    ) -> Result<Self, LedgerError> {
        let head = Manifest { number: last, ..Manifest::default() };
        let mut ledger = Self { place: history.below("ledger"), head, begun: false, pause };
        if let Some(newest) = ledger.newest_after(0).await? {
            (ledger.head, ledger.begun) = (newest, true);
        }
        Ok(ledger)
    }

    /// Whether there was a commit in it when it was opened.
    pub(crate) fn begun(&self) -> bool {
        self.begun
    }

    /// What is wrong with all of it.
    pub(crate) fn damaged(&self, reason: String) -> LedgerError {
        LedgerError::damaged(&self.place, "", reason)
    }

    /// Notes which commit a table holds last where the newest one does not say it, for those to come.
    pub(crate) fn learn(&mut self, table: Table, number: u64) {
        if self.head.last_of(table).is_none() && number <= self.head.number {
            self.head.before.insert(table, number);
        }
    }

    /// The newest commit.
    pub(crate) fn head(&self) -> &Manifest {
        &self.head
    }

    /// The manifests from a number on, in order. Those that are gone were made part of the tables long
    /// ago.
    pub(crate) async fn since(&self, number: u64) -> Result<Vec<Manifest>, LedgerError> {
        let wanted = number..self.head.number;
        let numbers = if number + KEPT < self.head.number {
            // Most of them are gone. A listing has all of the others: they were there before the head.
            let mut there = self.numbers().await?;
            there.retain(|number| wanted.contains(number));
            there.sort_unstable();
            there
        } else {
            wanted.collect()
        };
        let mut manifests = Vec::new();
        for number in numbers {
            manifests.extend(self.read(number).await?);
        }
        if number <= self.head.number {
            manifests.push(self.head.clone());
        }
        Ok(manifests)
    }

    /// Reads what others committed.
    pub(crate) async fn refresh(&mut self) -> Result<(), LedgerError> {
        if let Some(newest) = self.newest_after(self.head.number).await? {
            self.head = newest;
        }
        Ok(())
    }

    /// The newest commit, if it comes after a number.
    pub(crate) async fn newest_after(&self, number: u64) -> Result<Option<Manifest>, LedgerError> {
        let mut tries = 0;
        loop {
            let mut numbers = self.numbers().await?;
            numbers.sort_unstable();
            let newest = numbers.pop().filter(|newest| *newest > number);
            let Some(newest) = newest else { return Ok(None) };
            let before = numbers.last().copied().unwrap_or_default().max(self.head.number);
            if before > 0 && newest.saturating_sub(before) > FAR {
                let reason =
                    format!("its number is far beyond that of the commit before, {before}");
                return Err(LedgerError::damaged(&self.place, &name(newest), reason));
            }
            if let Some(newest) = self.read(newest).await? {
                return Ok(Some(newest));
            }
            // It was listed, and taken away before it was read.
            tries += 1;
            if tries == TRIES {
                let source = "it is listed, and cannot be found".into();
                let path = self.path(newest).to_string();
                return Err(LedgerError::Store {
                    what: "read",
                    error: Error::NotFound { path, source },
                });
            }
            tokio::time::sleep(self.pause * (1 << tries)).await;
        }
    }

    /// Puts one more commit behind the newest. When it returns another error than
    /// [`LedgerError::Fenced`] the commit may stand all the same: its files must stay.
    pub(crate) async fn append(
        &mut self,
        id: &str,
        step: &Step,
        files: &BTreeMap<Table, Vec<Add>>,
    ) -> Result<Manifest, LedgerError> {
        let mut tries = 0;
        loop {
            let manifest = self.next(id, step, files)?;
            let Err(error) = self.put(&manifest).await else {
                if self.is_last(&manifest).await? {
                    self.head = manifest;
                    return Ok(self.head.clone());
                }
                self.take_back(&manifest).await?;
                continue;
            };
            // It may be there, though an error came back.
            let before = self.head.number;
            if let Some(mine) = self.find(id, before + 1).await? {
                if self.is_last(&mine).await? {
                    return Ok(mine);
                }
                self.take_back(&mine).await?;
                continue;
            }
            if self.head.number == before {
                tries += 1;
                if tries == TRIES {
                    return Err(LedgerError::Store { what: "written", error });
                }
                tokio::time::sleep(self.pause * (1 << tries)).await;
            }
        }
    }

    /// Removes manifests long behind the newest, the oldest first, but for those from `needed` on. Every
    /// one before `applied` is in its tables.
    pub(crate) async fn clean(&self, applied: u64, needed: Option<u64>) {
        let oldest =
            applied.min(self.head.number).saturating_sub(KEPT).min(needed.unwrap_or(u64::MAX));
        let Ok(mut numbers) = self.numbers().await else { return };
        numbers.retain(|number| *number < oldest);
        numbers.sort_unstable();
        for number in numbers {
            // What stays is removed the next time, before what comes after it: see `is_last`.
            if self.store().delete(&self.path(number)).await.is_err() {
                return;
            }
        }
    }

    /// Whether a manifest that was put stands behind the newest one of then. A number is free as well
    /// where old manifests were removed, and who was away for long puts its own there. They are removed
    /// in order, and the last ones never: so it is a commit if the one before it is there still, or if
    /// nothing is far ahead of it. (A listing of a folder may lack what is put meanwhile.)
    async fn is_last(&self, manifest: &Manifest) -> Result<bool, LedgerError> {
        let before = self.path(manifest.number - 1);
        let look = || async {
            match self.store().head(&before).await {
                Ok(_) => Ok(true),
                Err(Error::NotFound { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        };
        if again(self.pause, "read", look).await? {
            return Ok(true);
        }
        let newest = self.numbers().await?.into_iter().max().unwrap_or_default();
        Ok(newest < manifest.number + KEPT / 2)
    }

    /// Removes a manifest that is no commit, and reads what is.
    async fn take_back(&mut self, manifest: &Manifest) -> Result<(), LedgerError> {
        let path = self.path(manifest.number);
        let delete = || async {
            match self.store().delete(&path).await {
                Err(Error::NotFound { .. }) => Ok(()),
                deleted => deleted,
            }
        };
        again(self.pause, "written", delete).await?;
        self.refresh().await
    }

    fn next(
        &self,
        id: &str,
        step: &Step,
        files: &BTreeMap<Table, Vec<Add>>,
    ) -> Result<Manifest, LedgerError> {
        let number = self.head.number + 1;
        let (mut frontier, mut states) = (self.head.frontier.clone(), self.head.states.clone());
        for (partition, moved) in &step.moved {
            let there = frontier.insert(partition.clone(), moved.to);
            let state = states.entry(partition.clone()).or_default();
            let commit = std::mem::replace(&mut state.commit, number);
            if let Some(parts) = step.states.get(partition) {
                state.parts.clone_from(parts);
            }
            if there != moved.from || moved.after.is_some_and(|after| after != commit) {
                return Err(LedgerError::Fenced {
                    partition: partition.clone(),
                    there: there.map(|offset| offset.0),
                    here: moved.from.map(|offset| offset.0),
                });
            }
        }
        Ok(Manifest {
            number,
            id: id.to_owned(),
            moved: step.moved.clone(),
            frontier,
            states,
            read: step.read.clone(),
            sequence: step.sequence.max(self.head.sequence) + step.reserve,
            files: files.clone(),
            before: Table::ALL
                .into_iter()
                .filter_map(|table| Some((table, self.head.last_of(table)?)))
                .collect(),
        })
    }

    async fn put(&self, manifest: &Manifest) -> Result<(), Error> {
        let text = serde_json::to_vec(manifest).expect("a manifest is JSON");
        let options = PutOptions::from(PutMode::Create);
        self.store().put_opts(&self.path(manifest.number), text.into(), options).await.map(drop)
    }

    /// Reads what others committed from a number on, and looks for a commit of ours.
    async fn find(&mut self, id: &str, number: u64) -> Result<Option<Manifest>, LedgerError> {
        self.refresh().await?;
        let since = self.since(number).await?;
        Ok(since.into_iter().find(|manifest| manifest.id == id))
    }

    pub(crate) async fn numbers(&self) -> Result<Vec<u64>, LedgerError> {
        let list = || async {
            let found: Vec<_> = self.store().list(Some(self.place.prefix())).try_collect().await?;
            let number = |path: &Path| path.filename()?.strip_suffix(".json")?.parse().ok();
            Ok(found.iter().filter_map(|one| number(&one.location)).collect())
        };
        again(self.pause, "read", list).await
    }

    pub(crate) async fn read(&self, number: u64) -> Result<Option<Manifest>, LedgerError> {
        let path = self.path(number);
        let get = || async {
            match self.store().get(&path).await {
                Ok(found) => found.bytes().await.map(Some),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let text: Option<Bytes> = again(self.pause, "read", get).await?;
        let Some(text) = text else { return Ok(None) };
        let damaged = |reason: String| LedgerError::damaged(&self.place, &name(number), reason);
        let read = serde_json::from_slice(&text);
        let manifest: Manifest = read.map_err(|error| damaged(error.to_string()))?;
        if manifest.number != number {
            return Err(damaged(format!("it holds commit {}", manifest.number)));
        }
        Ok(Some(manifest))
    }

    fn store(&self) -> &dyn ObjectStore {
        &**self.place.store()
    }

    fn path(&self, number: u64) -> Path {
        self.place.path(&name(number))
    }
}

fn name(number: u64) -> String {
    format!("{number:020}.json")
}

/// Makes a request that can be made twice, a few times if it fails.
pub(crate) async fn again<T, F: Future<Output = Result<T, Error>>>(
    pause: Duration,
    what: &'static str,
    mut request: impl FnMut() -> F,
) -> Result<T, LedgerError> {
    let mut tries = 0;
    loop {
        match request().await {
            Ok(value) => return Ok(value),
            Err(error) => {
                tries += 1;
                if tries == TRIES {
                    return Err(LedgerError::Store { what, error });
                }
                tokio::time::sleep(pause * (1 << tries)).await;
            }
        }
    }
}
