//! Findings of the history in the columns that rules speak of.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use deployforge_model::{Timestamp, schema};
use futures::StreamExt as _;

use crate::restore::plain;
use crate::{Session, SqlError};

/// Findings that a rule can be asked about.
#[derive(Debug)]
pub struct Replayed {
    /// Their columns, as [`schema::rule_columns`] has them.
    pub findings: RecordBatch,
    /// Of each row which finding it is: one may be there in several states.
    pub finding_ids: Vec<String>,
    /// Of each row when it was observed.
    pub observed_at: Vec<Timestamp>,
}

/// How often a rule suppressed something, as the history knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hits {
    /// What suppressed it: a normaliser, or `rule:NAME`.
    pub fold: String,
    /// Transitions under it.
    pub hits: u64,
    /// Differences.
    pub findings: u64,
    /// Resources that have them.
    pub resources: u64,
    /// Differences that it suppresses now.
    pub now: u64,
    /// When it last did.
    pub last: Timestamp,
}

/// Joins to a transition whether it is the last of its finding.
const LATEST: &str = "LEFT JOIN (SELECT max(sequence) AS latest FROM finding_transitions \
     GROUP BY finding_id) ON latest = sequence";

/// What is missing or unmanaged, as findings about resources as a whole.
const WHOLE: &str = "SELECT *, '' AS path, verdict AS kind, CAST(NULL AS VARCHAR) AS expected, \
     CAST(NULL AS VARCHAR) AS observed, concat(resource_id, '-', verdict) AS finding_id \
     FROM (SELECT * EXCEPT (severity), CASE WHEN verdict = 'missing' THEN 'critical' \
           ELSE 'informational' END AS severity FROM verdict_transitions) \
     LEFT JOIN (SELECT max(sequence) AS latest FROM verdict_transitions GROUP BY resource_id) \
     ON latest = sequence \
     WHERE verdict IN ('missing', 'unmanaged')";

impl Session {
    /// Gives `each` the findings that no normaliser suppressed and that came to be what they are since a
    /// time, or are open now, whenever they came.
    pub async fn replay(
        &self,
        since: Timestamp,
        each: &mut (dyn FnMut(&Replayed) + Send),
    ) -> Result<(), SqlError> {
        let columns = schema::rule_columns();
        let names: Vec<&str> = columns.fields().iter().map(|field| field.name().as_str()).collect();
        let sql = format!(
            "SELECT {0}, finding_id, CAST(observed_at AS BIGINT) FROM finding_transitions {LATEST} \
             WHERE transition <> 'closed' AND (fold IS NULL OR fold LIKE 'rule:%') \
             AND kind NOT IN ('missing', 'unmanaged') \
             AND (CAST(committed_at AS BIGINT) >= {1} OR latest IS NOT NULL) \
             UNION ALL \
             SELECT {0}, finding_id, CAST(observed_at AS BIGINT) FROM ({WHOLE}) \
             WHERE CAST(committed_at AS BIGINT) >= {1} OR latest IS NOT NULL",
            names.join(", "),
            since.micros()
        );
        let mut stream = self.plan(&sql).await?.execute_stream().await?;
        while let Some(batch) = stream.next().await {
            for batch in plain(vec![batch?])? {
                let (rules, rest) = batch.columns().split_at(names.len());
                let findings = RecordBatch::try_new(columns.clone(), rules.to_vec())
                    .map_err(|error| SqlError::Query(error.to_string()))?;
                let ids = rest[0].as_string::<i32>().iter().flatten().map(str::to_owned);
                let times = rest[1].as_primitive::<Int64Type>().iter().flatten().map(Timestamp);
                let (finding_ids, observed_at) = (ids.collect(), times.collect());
                each(&Replayed { findings, finding_ids, observed_at });
            }
        }
        Ok(())
    }

    /// What normalisers and rules suppressed, by name.
    pub async fn hits(&self) -> Result<Vec<Hits>, SqlError> {
        let (_, rows) = self
            .query(&format!(
                "SELECT fold, count(*), count(DISTINCT finding_id), \
                     count(DISTINCT resource_id), count(latest), max(CAST(observed_at AS BIGINT)) \
                     FROM finding_transitions {LATEST} \
                     WHERE fold IS NOT NULL AND transition <> 'closed' \
                     GROUP BY fold ORDER BY fold"
            ))
            .await?;
        let mut all = Vec::new();
        for batch in plain(rows)? {
            let int = |column: usize, row: usize| {
                batch.column(column).as_primitive::<Int64Type>().value(row)
            };
            let folds = batch.column(0).as_string::<i32>();
            all.extend((0..batch.num_rows()).map(|row| Hits {
                fold: folds.value(row).to_owned(),
                hits: int(1, row) as u64,
                findings: int(2, row) as u64,
                resources: int(3, row) as u64,
                now: int(4, row) as u64,
                last: Timestamp(int(5, row)),
            }));
        }
        Ok(all)
    }
}
