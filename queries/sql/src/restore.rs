//! What the engine last knew, read back from the history.

use std::collections::HashSet;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use futures::StreamExt as _;

use crate::{Session, SqlError};

/// Events whose ids are read back: what a crash makes a file repeat is among them.
const EVIDENCE_MAX: usize = 500_000;

/// The state of a history at its newest version.
#[derive(Debug)]
pub struct Known {
    /// The newest verdict of each resource: key, `address`, `dialect`, `verdict`, `reason`, `score`,
    /// `skipped`, `version`, `baseline`, `baseline_version`, `last_observed_at` (microseconds), `state_hash`.
    pub verdicts: Vec<RecordBatch>,
    /// The open findings: key, `path`, `kind`, `expected`, `observed`, `leaves`, `severity`, `fold`.
    pub findings: Vec<RecordBatch>,
    /// Ids of what was refused already, and of the newest events.
    pub rejects: HashSet<String>,
    /// The next free sequence number.
    pub sequence: u64,
}

impl Session {
    /// Reads what the engine last knew.
    pub async fn restore(&self) -> Result<Known, SqlError> {
        let (_, verdicts) = self
            .query(
                "SELECT provider, account, region, type, id, dialect, verdict, reason, score, skipped, \
                 version, baseline, baseline_version, CAST(last_observed_at AS BIGINT) AS last_observed_at, \
                 state_hash FROM verdicts",
            )
            .await?;
        let (_, findings) = self
            .query(
                "SELECT provider, account, region, type, id, path, kind, expected, observed, leaves, \
                 severity, fold FROM finding_transitions WHERE transition <> 'closed' AND sequence IN \
                 (SELECT max(sequence) FROM finding_transitions GROUP BY finding_id) ORDER BY sequence",
            )
            .await?;
        let newest = format!(
            "SELECT evidence_id FROM evidence ORDER BY committed_at DESC LIMIT {EVIDENCE_MAX}"
        );
        let mut ids = HashSet::new();
        for sql in ["SELECT reject_id FROM rejects", &newest] {
            let (_, batches) = self.query(sql).await?;
            for batch in &batches {
                let column = cast(batch.column(0), &DataType::Utf8)
                    .map_err(|error| SqlError::Query(error.to_string()))?;
                ids.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned));
            }
        }
        let sequence = self
            .highest("finding_transitions")
            .await?
            .max(self.highest("verdict_transitions").await?);
        Ok(Known {
            verdicts: plain(verdicts)?,
            findings: plain(findings)?,
            rejects: ids,
            sequence: sequence + 1,
        })
    }

    /// Gives `each` the states that `observations` holds, as canonical JSON text: of resources with these
    /// ids, or of all.
    pub async fn states(
        &self,
        ids: Option<&[&str]>,
        each: &mut dyn FnMut(&str),
    ) -> Result<(), SqlError> {
        let mut sql = "SELECT state FROM observations WHERE state IS NOT NULL".to_owned();
        if let Some(ids) = ids {
            let quoted: Vec<String> =
                ids.iter().map(|id| format!("'{}'", id.replace('\'', "''"))).collect();
            sql.push_str(&format!(" AND id IN ({})", quoted.join(", ")));
        }
        let mut stream = self.plan(&sql).await?.execute_stream().await?;
        while let Some(batch) = stream.next().await {
            for batch in plain(vec![batch?])? {
                batch.column(0).as_string::<i32>().iter().flatten().for_each(&mut *each);
            }
        }
        Ok(())
    }

    async fn highest(&self, table: &str) -> Result<u64, SqlError> {
        let (_, rows) = self.query(&format!("SELECT max(sequence) FROM {table}")).await?;
        let highest = rows
            .first()
            .filter(|batch| batch.num_rows() > 0 && !batch.column(0).is_null(0))
            .map_or(0, |batch| batch.column(0).as_primitive::<Int64Type>().value(0));
        Ok(highest.max(0) as u64)
    }
}

/// Views and dictionaries as plain text columns, whatever the query engine chose.
pub(crate) fn plain(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, SqlError> {
    let failed = |error: arrow::error::ArrowError| SqlError::Query(error.to_string());
    batches
        .into_iter()
        .map(|batch| {
            let mut columns = Vec::with_capacity(batch.num_columns());
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                let column = match column.data_type() {
                    DataType::Utf8View | DataType::LargeUtf8 | DataType::Dictionary(..) => {
                        cast(column, &DataType::Utf8).map_err(failed)?
                    }
                    _ => column.clone(),
                };
                columns.push((field.name().clone(), column, true));
            }
            RecordBatch::try_from_iter_with_nullable(columns).map_err(failed)
        })
        .collect()
}
