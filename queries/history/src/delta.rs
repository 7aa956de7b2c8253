//! One Delta table: made, opened, checked.

use std::collections::BTreeSet;
use std::sync::{Arc, Once};
use std::time::Duration;

use deltalake::kernel::StructType;
use deltalake::kernel::transaction::PROTOCOL;
use deltalake::logstore::{
    LogStore, LogStoreFactory, ObjectStoreRef, StorageConfig, default_logstore, get_actions,
    logstore_factories,
};
use deltalake::protocol::SaveMode;
use deltalake::{DeltaResult, DeltaTable, DeltaTableBuilder, DeltaTableError};
use deployforge_store::Place;
use url::Url;

use crate::error::brief;
use crate::log::{APP_ID, LEDGER_ID};
use crate::{HistoryError, LedgerError, Table};

/// How often a table is read before a failure is told.
const TRIES: u32 = 6;

/// Entries of a log that are looked at when the table cannot be read.
const LOOKED_AT: usize = 1000;

/// Commits by putting a file where there is none, which every store of ours can do.
#[derive(Debug)]
struct PutIfAbsent;

impl LogStoreFactory for PutIfAbsent {
    fn with_options(
        &self,
        prefixed_store: ObjectStoreRef,
        root_store: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(prefixed_store, root_store, location, options))
    }
}

/// Tells the library of the schemes of stores, of which it knows none by itself.
fn know_schemes() {
    static KNOWN: Once = Once::new();
    KNOWN.call_once(|| {
        for scheme in deployforge_store::SCHEMES {
            let url = Url::parse(&format!("{scheme}://")).expect("a scheme makes a URL");
            logstore_factories().insert(url, Arc::new(PutIfAbsent));
        }
    });
}

/// Opens what stands at a place, a table or none yet.
pub(crate) async fn load(
    table: Table,
    place: &Place,
    pause: Duration,
) -> Result<DeltaTable, HistoryError> {
    know_schemes();
    let mut tries = 0;
    loop {
        let url = place.url().clone();
        let builder = DeltaTableBuilder::from_url(url.clone());
        let store = Arc::clone(place.store());
        let built = builder.and_then(|builder| builder.with_storage_backend(store, url).build());
        let mut opened = built.map_err(|error| HistoryError::delta(table, error))?;
        match opened.load().await {
            Ok(()) | Err(DeltaTableError::NotATable(_)) => return Ok(opened),
            Err(error) => {
                tries += 1;
                if tries == TRIES {
                    return Err(HistoryError::delta(table, error));
                }
                tokio::time::sleep(pause * (1 << tries)).await;
            }
        }
    }
}

pub(crate) async fn create(
    opened: DeltaTable,
    table: Table,
) -> Result<DeltaTable, DeltaTableError> {
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
pub(crate) async fn number_of(table: &DeltaTable) -> Result<u64, DeltaTableError> {
    let store = table.log_store();
    let number = table.snapshot()?.transaction_version(store.as_ref(), APP_ID).await?;
    Ok(number.unwrap_or(0).max(0) as u64)
}

/// Whether commits of a table stood in a ledger.
pub(crate) async fn had_ledger(table: &DeltaTable) -> Result<bool, DeltaTableError> {
    let store = table.log_store();
    let number = table.snapshot()?.transaction_version(store.as_ref(), LEDGER_ID).await?;
    Ok(number.is_some())
}

/// What is wrong with the log of a table that cannot be read: an entry that is not there though later ones
/// are, or one that is no entry. `None`: nothing that stays so.
pub(crate) async fn ailing(place: &Place) -> Option<LedgerError> {
    let log = place.below("_delta_log");
    let (mut versions, mut first) = (BTreeSet::new(), 0);
    for object in log.list().await.ok()? {
        let name = object.location.filename().unwrap_or_default().to_owned();
        let Some((version, rest)) = name.split_once('.') else { continue };
        let Ok(version) = version.parse::<u64>() else { continue };
        if rest == "json" {
            versions.insert(version);
        } else if rest.starts_with("checkpoint") {
            first = first.max(version + 1);
        }
    }
    let name = |version: u64| format!("{version:020}.json");
    let needed: Vec<u64> = versions.range(first..).copied().collect();
    let hole = (first..).zip(&needed).find(|(expected, version)| expected != *version);
    if let Some((missing, _)) = hole
        // A listing of a folder may lack what is put meanwhile.
        && log.read(&name(missing)).await.ok()?.is_none()
    {
        let reason = "it is missing, and later entries of the log are there";
        return Some(LedgerError::damaged(&log, &name(missing), reason));
    }
    for version in needed.into_iter().rev().take(LOOKED_AT) {
        let Some(text) = log.read(&name(version)).await.ok()? else { continue };
        if let Err(error) = get_actions(version, &text) {
            let said = match &error {
                DeltaTableError::InvalidJsonLog { json_err, .. } => brief(json_err),
                error => brief(error),
            };
            let reason = format!("it is no entry of a log: {said}");
            return Some(LedgerError::damaged(&log, &name(version), reason));
        }
    }
    None
}

/// Refuses a table whose protocol this version cannot write.
pub(crate) fn check_writable(opened: &DeltaTable, table: Table) -> Result<(), HistoryError> {
    let state = opened.snapshot().map_err(|error| HistoryError::delta(table, error))?;
    PROTOCOL.can_write_to(state).map_err(|error| HistoryError::delta(table, error.into()))
}

pub(crate) fn check_schema(
    opened: &DeltaTable,
    table: Table,
    place: &Place,
) -> Result<(), HistoryError> {
    let state = opened.snapshot().map_err(|error| HistoryError::delta(table, error))?;
    let names: Vec<String> = state.schema().fields().map(|field| field.name().to_owned()).collect();
    let want: Vec<String> = table.schema().fields().iter().map(|f| f.name().clone()).collect();
    if names == want {
        Ok(())
    } else {
        Err(HistoryError::Schema { table: table.name(), path: place.to_string() })
    }
}
