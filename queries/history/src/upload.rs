//! Files into an object store, before a manifest names them.

use std::fs::File;
use std::time::Duration;

use deployforge_store::Place;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;

use crate::{HistoryError, Written};

/// Files that are uploaded at once.
const AT_ONCE: usize = 4;

/// How often a file is uploaded before a failure is told; each request is made again as often as the
/// store's own patience goes.
const TRIES: u32 = 3;

/// Uploads the files that wait for it. If one fails, none has a name that anything reads.
pub(crate) async fn all(written: &mut [Written], pause: Duration) -> Result<(), HistoryError> {
    let mut waiting = Vec::new();
    for one in written {
        if let (Some(file), Some(add)) = (one.take_waiting(), one.add()) {
            waiting.push((file, one.place().clone(), add.path.clone()));
        }
    }
    let uploads = waiting.into_iter().map(|(file, place, name)| file_to(file, place, name, pause));
    futures::stream::iter(uploads).buffer_unordered(AT_ONCE).try_collect::<()>().await
}

/// Removes uploaded files again, as far as that can be done: nothing names them.
pub(crate) async fn take_back(written: &[Written]) {
    for one in written.iter().filter(|one| one.place().local().is_none()) {
        if let Some(add) = one.add() {
            let _ = one.place().store().delete(&one.place().path(&add.path)).await;
        }
    }
}

async fn file_to(
    file: File,
    place: Place,
    name: String,
    pause: Duration,
) -> Result<(), HistoryError> {
    let mut tries = 0;
    loop {
        match place.upload(&name, &file).await {
            Ok(()) => return Ok(()),
            Err(error) => {
                tries += 1;
                if tries == TRIES {
                    return Err(error.into());
                }
                tokio::time::sleep(pause * (1 << tries)).await;
            }
        }
    }
}
