//! The commits of a history, for whoever follows them.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::error::ArrowError;
use bytes::Bytes;
use deltalake::kernel::Add;
use deltalake::parquet::arrow::arrow_reader::{
    ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use deltalake::parquet::errors::ParquetError;
use deployforge_store::Place;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};

use crate::ledger::{self, Ledger};
use crate::{HistoryError, LedgerError, Manifest, PAUSE, Table};

/// Commits that are kept for a follower that has not read them.
const FOLLOWED_MAX: u64 = 100_000;

/// A follower that said nothing for so long is followed by nothing: seven days.
const SILENT_SECONDS: i64 = 7 * 24 * 3600;

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 1024;

/// Reads what was committed, one commit after the other, beside the writers.
#[derive(Debug)]
pub struct Commits {
    place: Place,
    ledger: Ledger,
    pause: Duration,
}

/// How far a follower has read; see [`Commits::keep_from`].
#[derive(Debug, Serialize, Deserialize)]
struct Follower {
    next: u64,
}

impl Commits {
    /// Of a history that is there.
    pub async fn open(place: &Place) -> Result<Self, HistoryError> {
        let ledger = Ledger::open(place, 0, PAUSE).await?;
        Ok(Self { place: place.clone(), ledger, pause: PAUSE })
    }

    /// The number of the newest commit; 0 before the first.
    pub async fn newest(&mut self) -> Result<u64, HistoryError> {
        self.ledger.refresh().await?;
        Ok(self.ledger.head().number)
    }

    /// The oldest commit from a number on that is still there.
    pub async fn oldest_from(&self, number: u64) -> Result<Option<u64>, HistoryError> {
        let numbers = self.ledger.numbers().await?;
        Ok(numbers.into_iter().filter(|one| *one >= number).min())
    }

    /// A commit. `None`: it is not there yet, or no more.
    pub async fn get(&self, number: u64) -> Result<Option<Manifest>, HistoryError> {
        Ok(self.ledger.read(number).await?)
    }

    /// The rows of a file that a commit brought into a table, in their order. `None`: the file is no more.
    pub async fn rows(&self, table: Table, add: &Add) -> Result<Option<Rows>, HistoryError> {
        let place = self.place.below(table.name());
        let path = place.path(&add.path);
        let get = || async {
            match place.store().get(&path).await {
                Ok(found) => found.bytes().await.map(Some),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let bytes: Option<Bytes> = ledger::again(self.pause, "read", get).await?;
        let Some(bytes) = bytes else { return Ok(None) };
        let path = path.to_string();
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
            .and_then(|builder| builder.with_batch_size(BATCH_ROWS).build())
            .map_err(|error| unreadable(table, &path, error))?;
        Ok(Some(Rows { table, path, reader }))
    }

    /// Says that commits from a number on are still needed by a follower: they stay, up to a limit, as
    /// long as it says so again at least every few days.
    pub async fn keep_from(&self, follower: &str, next: u64) -> Result<(), HistoryError> {
        let path = followers(&self.place).join(format!("{follower}.json"));
        let text = serde_json::to_vec(&Follower { next }).expect("a number is JSON");
        let text = Bytes::from(text);
        let put = || self.place.store().put(&path, text.clone().into());
        ledger::again(self.pause, "written", put).await?;
        Ok(())
    }
}

/// Rows of one file.
#[derive(Debug)]
pub struct Rows {
    table: Table,
    path: String,
    reader: ParquetRecordBatchReader,
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?.and_then(|batch| as_table(self.table, &batch));
        Some(batch.map_err(|error| unreadable(self.table, &self.path, error.into())))
    }
}

/// The columns as the table has them: what a reader makes of text may be another kind of text.
fn as_table(table: Table, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = table.schema();
    let columns = schema.fields().iter().map(|field| {
        let column = batch.column_by_name(field.name()).ok_or_else(|| {
            ArrowError::SchemaError(format!("the column {} is missing", field.name()))
        })?;
        cast(column, field.data_type())
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<_, _>>()?)
}

fn unreadable(table: Table, path: &str, error: ParquetError) -> HistoryError {
    HistoryError::Read { table: table.name(), path: path.to_owned(), error: Box::new(error) }
}

fn followers(place: &Place) -> Path {
    place.path("followers")
}

/// The oldest commit that a follower still needs, out of those up to `newest`. What cannot be read keeps
/// what it kept before: nothing is removed then.
pub(crate) async fn needed(place: &Place, newest: u64) -> Result<Option<u64>, LedgerError> {
    let list =
        || async { place.store().list(Some(&followers(place))).try_collect::<Vec<_>>().await };
    let files = ledger::again(PAUSE, "read", list).await?;
    let now = files.iter().map(|file| file.last_modified).max();
    let mut oldest = None;
    for file in files {
        // By the store's own clock.
        if now.is_some_and(|now| (now - file.last_modified).num_seconds() > SILENT_SECONDS) {
            continue;
        }
        let get = || async { place.store().get(&file.location).await?.bytes().await };
        let text = ledger::again(PAUSE, "read", get).await?;
        let damaged = |error: serde_json::Error| {
            let name = file.location.filename().unwrap_or_default();
            LedgerError::damaged(&place.below("followers"), name, error)
        };
        let Follower { next } = serde_json::from_slice(&text).map_err(damaged)?;
        let next = next.max(newest.saturating_sub(FOLLOWED_MAX));
        oldest = Some(oldest.map_or(next, |oldest: u64| oldest.min(next)));
    }
    Ok(oldest)
}
