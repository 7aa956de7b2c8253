//! Events of audit logs on their way into the history. Nothing is judged by them.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use deployforge_model::{Evidence, Timestamp, schema};

use crate::columns::times;
use crate::output::texts;

/// An event, where it was read, and when.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct EvidenceRow {
    pub evidence: Box<Evidence>,
    pub source: Arc<str>,
    pub ingested_at: Timestamp,
}

impl EvidenceRow {
    /// The same event is one, wherever it was read.
    pub fn id(&self) -> String {
        let Evidence { id, log, at, actor, action, account, error, resources, paths, .. } =
            &*self.evidence;
        let at = at.map(Timestamp::micros);
        let all = format!(
            "{log}\n{id}\n{at:?}\n{actor}\n{action}\n{account}\n{error}\n{resources:?}\n{paths:?}"
        );
        blake3::hash(all.as_bytes()).to_hex()[..32].to_owned()
    }

    /// Bytes of its longest text, about.
    pub(crate) fn bytes(&self) -> usize {
        self.evidence.resources.iter().map(|name| name.len() + 1).sum::<usize>()
    }
}

/// Rows for the `evidence` table.
pub(crate) fn batch(rows: &[EvidenceRow], committed_at: Timestamp) -> RecordBatch {
    let text = |of: fn(&Evidence) -> &str| texts(rows.iter().map(|row| of(&row.evidence)));
    let list = |of: fn(&Evidence) -> &[String]| {
        // A name with a newline would be two.
        let line = |name: &String| name.replace('\n', " ");
        let joined =
            |row: &EvidenceRow| of(&row.evidence).iter().map(line).collect::<Vec<_>>().join("\n");
        texts(rows.iter().map(joined))
    };
    let at = rows.iter().map(|row| row.evidence.at.map(Timestamp::micros));
    let at: TimestampMicrosecondArray = at.collect();
    let read_only: BooleanArray = rows.iter().map(|row| Some(row.evidence.read_only)).collect();
    let columns: Vec<ArrayRef> = vec![
        texts(rows.iter().map(EvidenceRow::id)),
        text(|one| one.log),
        text(|one| &one.id),
        Arc::new(at.with_timezone("UTC")),
        text(|one| &one.actor),
        text(|one| &one.actor_type),
        text(|one| &one.tool),
        text(|one| &one.action),
        text(|one| &one.from),
        text(|one| &one.provider),
        text(|one| &one.account),
        text(|one| &one.region),
        Arc::new(read_only),
        text(|one| &one.error),
        list(|one| &one.resources),
        list(|one| &one.paths),
        texts(rows.iter().map(|row| &*row.source)),
        times(rows.iter().map(|row| row.ingested_at)),
        times(rows.iter().map(|_| committed_at)),
    ];
    RecordBatch::try_new(schema::evidence(), columns).expect("the columns follow the schema")
}
