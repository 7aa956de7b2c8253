//! What is known of the resources of partitions, beside the tables: one file per commit, named by its
//! manifest.
//!
//! A file holds an Arrow IPC stream per partition, one behind the other; a [`StatePart`] says where one
//! stands. The state of a partition is the parts that the head of the ledger names for it, the oldest
//! first: one with all there is, and those with what changed since.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use deployforge_model::Partition;
use deployforge_store::Place;
use futures::TryStreamExt;
use object_store::{Error, ObjectStoreExt};
use serde::{Deserialize, Serialize};

use crate::LedgerError;
use crate::error::brief;
use crate::ledger::{Manifest, again};

/// Commits for which a file stays that no head names any more.
const KEPT: u64 = 200;

/// Seconds for which such a file stays in any case: a commit under way may name it.
const KEPT_SECONDS: i64 = 3600;

/// Where a part of a partition's state stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatePart {
    /// The file's name.
    pub file: String,
    /// Its first byte in the file.
    pub from: u64,
    /// How many bytes it has.
    pub length: u64,
    /// How many resources it speaks of.
    pub rows: u64,
    /// A sum of its bytes. Those of earlier versions have none.
    #[serde(default)]
    pub sum: Option<u32>,
}

/// The state of a partition as of its last commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// The number of the last commit that moved the partition; 0: none.
    pub commit: u64,
    /// Where it stands, the oldest first.
    #[serde(default)]
    pub parts: Vec<StatePart>,
}

/// The files of states in one folder of a store.
#[derive(Debug)]
pub(crate) struct States {
    pub(crate) place: Place,
    pub(crate) pause: Duration,
}

impl States {
    /// Writes one file with the states of partitions. `name` tells it from every other.
    pub(crate) async fn put(
        &self,
        head: u64,
        name: &str,
        states: &BTreeMap<Partition, RecordBatch>,
    ) -> Result<BTreeMap<Partition, StatePart>, LedgerError> {
        let file = format!("{head:020}-{name}.arrow");
        let mut bytes = Vec::new();
        let mut parts = BTreeMap::new();
        for (partition, batch) in states {
            let from = bytes.len() as u64;
            encode(batch, &mut bytes).map_err(|error| wrong("written", &file, error))?;
            let length = bytes.len() as u64 - from;
            let rows = batch.num_rows() as u64;
            let sum = Some(sum(&bytes[from as usize..]));
            let part = StatePart { file: file.clone(), from, length, rows, sum };
            parts.insert(partition.clone(), part);
        }
        if !parts.is_empty() {
            let path = self.place.path(&file);
            let bytes = Bytes::from(bytes);
            let put = || self.place.store().put(&path, bytes.clone().into());
            again(self.pause, "written", put).await?;
        }
        Ok(parts)
    }

    /// Reads parts, in order.
    pub(crate) async fn get(&self, parts: &[StatePart]) -> Result<Vec<RecordBatch>, LedgerError> {
        let mut batches = Vec::with_capacity(parts.len());
        for part in parts {
            let bytes = self.bytes(part).await?;
            // A reader of Arrow is not made for bytes that nobody wrote: it may take them for lengths.
            if part.sum.is_some_and(|written| written != sum(&bytes)) {
                return Err(self.damaged(part, "it does not hold the bytes that were written"));
            }
            let read = StreamReader::try_new(Cursor::new(bytes), None)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let damaged =
                |error| self.damaged(part, &format!("it cannot be read: {}", brief(&error)));
            batches.extend(read.map_err(damaged)?);
        }
        Ok(batches)
    }

    /// The bytes of a part, all of them.
    async fn bytes(&self, part: &StatePart) -> Result<Bytes, LedgerError> {
        let (path, end) = (self.place.path(&part.file), part.from.saturating_add(part.length));
        let store = self.place.store();
        let get = || async {
            match store.get_range(&path, part.from..end).await {
                Ok(bytes) => Ok(Some(bytes)),
                Err(Error::NotFound { .. }) => Ok(None),
                // Stores say in different ways, or not at all, that a range ends behind the file.
                Err(error) => match store.head(&path).await {
                    Ok(file) if file.size < end => Ok(Some(Bytes::new())),
                    _ => Err(error),
                },
            }
        };
        match again(self.pause, "read", get).await? {
            None => Err(self.damaged(part, "it is missing")),
            Some(bytes) if bytes.len() as u64 != part.length => {
                Err(self.damaged(part, &format!("it ends before byte {end}")))
            }
            Some(bytes) => Ok(bytes),
        }
    }

    fn damaged(&self, part: &StatePart, reason: &str) -> LedgerError {
        let reason = format!("{reason}, and it is the state of a partition");
        LedgerError::damaged(&self.place, &part.file, reason)
    }

    /// Removes files that the head does not name, and none before it can need.
    pub(crate) async fn clean(&self, head: &Manifest) {
        let parts = head.states.values().flat_map(|state| &state.parts);
        let named: BTreeSet<&str> = parts.map(|part| part.file.as_str()).collect();
        let oldest = head.number.saturating_sub(KEPT);
        let listed =
            self.place.store().list(Some(self.place.prefix())).try_collect::<Vec<_>>().await;
        let Ok(files) = listed else { return };
        let newest = files.iter().map(|file| file.last_modified).max();
        for file in &files {
            let Some(name) = file.location.filename().filter(|name| !named.contains(name)) else {
                continue;
            };
            let number = name.split('-').next().and_then(|number| number.parse().ok());
            // By the store's own clock.
            let age = newest.map_or(0, |newest| (newest - file.last_modified).num_seconds());
            if number.is_some_and(|number: u64| number < oldest) && age > KEPT_SECONDS {
                // What stays is removed the next time.
                let _ = self.place.store().delete(&file.location).await;
            }
        }
    }
}

fn encode(batch: &RecordBatch, bytes: &mut Vec<u8>) -> Result<(), ArrowError> {
    let mut writer = StreamWriter::try_new(bytes, &batch.schema())?;
    writer.write(batch)?;
    writer.finish()
}

/// What tells bytes from others, by accident and not by design.
fn sum(bytes: &[u8]) -> u32 {
    xxhash_rust::xxh3::xxh3_64(bytes) as u32
}

fn wrong(what: &'static str, file: &str, error: ArrowError) -> LedgerError {
    LedgerError::State { what, file: file.to_owned(), error }
}
