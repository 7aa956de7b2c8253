//! The recorder: output into the history, and the history back into a comparator.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use deployforge_compare::{OpenFinding, Output, Restored};
use deployforge_history::{History, HistoryError, Manifest, StatePart, Step, Table, Written};
use deployforge_model::{Clock, Dialect, FileMarks, Partition, ResourceKey, Timestamp};
use tokio::runtime::Runtime;

use crate::upkeep::Upkeep;

/// Why what the history holds could not be taken up.
#[derive(Debug, thiserror::Error)]
#[error("the history holds a row that this version does not understand: {0}")]
pub struct RecordError(String);

/// Makes output durable, one commit after another.
#[derive(Debug)]
pub struct Recorder {
    history: History,
    runtime: Arc<Runtime>,
    clock: Arc<dyn Clock>,
    sequence: u64,
    /// The end of the numbers that are this recorder's own, where others write too.
    end: u64,
    written: Vec<Written>,
    /// Keeps the history in order.
    upkeep: Option<Upkeep>,
}

/// Numbers that a recorder beside others takes at a time; it takes more where fewer than a tenth are left,
/// which is more than any output has rows.
const RESERVED: u64 = 1_000_000_000;

impl Recorder {
    /// A recorder over an open history. `sequence` is the next free number of a row.
    pub fn new(
        history: History,
        runtime: Arc<Runtime>,
        clock: Arc<dyn Clock>,
        sequence: u64,
    ) -> Self {
        Self { history, runtime, clock, sequence, end: u64::MAX, written: Vec::new(), upkeep: None }
    }

    /// The same, and the history is kept in order beside the commits: files that nothing names stay for
    /// `retention`. What is under way when this is dropped is cut short.
    pub fn maintained(mut self, retention: Duration) -> Self {
        let maintainer = self.history.maintainer(retention);
        self.upkeep = Some(Upkeep::new(maintainer, Arc::clone(&self.runtime)));
        self
    }

    /// Waits for maintenance that is due. There is none after it.
    pub fn wait_for_upkeep(&mut self) {
        if let Some(upkeep) = self.upkeep.take() {
            upkeep.finish();
        }
    }

    /// Makes output durable. Nothing in it: no commit.
    pub fn commit(&mut self, output: Output) -> Result<(), HistoryError> {
        self.commit_read(output, FileMarks::new()).map(drop)
    }

    /// The same, and with it that files of sources are read to the end. The number of the last commit.
    pub fn commit_read(&mut self, output: Output, read: FileMarks) -> Result<u64, HistoryError> {
        self.write(output)?;
        self.commit_files(read)?;
        Ok(self.history.last_commit())
    }

    /// The commits after one, in order.
    pub fn commits_after(&self, number: u64) -> Result<Vec<Manifest>, HistoryError> {
        self.runtime.block_on(self.history.commits_after(number))
    }

    /// Writes output into files that no table names before [`Recorder::commit_written`]; how many rows
    /// wait for it now. Many files can be written before one commit names them.
    pub fn write(&mut self, mut output: Output) -> Result<u64, HistoryError> {
        if self.end - self.sequence < RESERVED / 10 {
            self.look()?;
        }
        let now = self.clock.now();
        let rows = |batches: &[RecordBatch]| -> u64 {
            batches.iter().map(|batch| batch.num_rows() as u64).sum()
        };
        let findings = output.take_findings(now, self.sequence);
        let after = self.sequence + rows(&findings);
        let verdicts = output.take_verdicts(now, after);
        let next = after + rows(&verdicts);
        let mut written = Vec::new();
        for (table, batches) in [
            (Table::Findings, findings),
            (Table::Observations, output.take_states(now)),
            (Table::Rejects, vec![output.rejects_batch(now)]),
            (Table::Evidence, vec![output.evidence_batch(now)]),
            (Table::Checks, vec![output.checks_batch(now)]),
            (Table::Verdicts, verdicts),
        ] {
            written.push(self.history.write(table, &batches)?);
        }
        // All of an output or none of it.
        self.written.append(&mut written);
        self.sequence = next;
        Ok(self.written.iter().map(Written::rows).sum())
    }

    /// Makes what was written part of the tables.
    pub fn commit_written(&mut self) -> Result<(), HistoryError> {
        self.commit_files(FileMarks::new())
    }

    fn commit_files(&mut self, read: FileMarks) -> Result<(), HistoryError> {
        let written = std::mem::take(&mut self.written);
        if read.is_empty() && written.iter().all(|written| written.rows() == 0) {
            return Ok(());
        }
        let step = Step { read, sequence: self.sequence, ..Step::default() };
        self.put(&step, written).map(drop)
    }

    /// Makes what was written part of the tables, with how far partitions moved; the commit's number.
    pub(crate) fn commit_step(&mut self, step: Step) -> Result<u64, HistoryError> {
        let written = std::mem::take(&mut self.written);
        let step = Step { sequence: self.sequence, ..step };
        self.put(&step, written)
    }

    fn put(&mut self, step: &Step, written: Vec<Written>) -> Result<u64, HistoryError> {
        let number = self.runtime.block_on(self.history.commit_written(step, written))?;
        if let Some(upkeep) = &self.upkeep {
            upkeep.committed(number);
        }
        Ok(number)
    }

    /// Looks what others have committed. Rows are numbered above theirs from now on, by numbers that no
    /// other takes: what is known of a partition's resources follows what others knew of them.
    pub(crate) fn look(&mut self) -> Result<(), HistoryError> {
        self.sequence = self.runtime.block_on(self.history.reserve(RESERVED))?;
        self.end = self.sequence + RESERVED;
        Ok(())
    }

    /// Writes states of partitions that a commit is to name.
    pub(crate) fn write_states(
        &self,
        states: &BTreeMap<Partition, RecordBatch>,
    ) -> Result<BTreeMap<Partition, StatePart>, HistoryError> {
        self.runtime.block_on(self.history.write_states(states))
    }

    /// Reads parts of a partition's state.
    pub(crate) fn read_state(&self, parts: &[StatePart]) -> Result<Vec<RecordBatch>, HistoryError> {
        self.runtime.block_on(self.history.read_state(parts))
    }

    /// The history.
    pub fn history(&self) -> &History {
        &self.history
    }
}

/// Joins the newest verdicts and the open findings, as the SQL layer reads them back, into what a
/// comparator takes up. Columns are found by name.
pub fn open_findings(
    verdicts: &[RecordBatch],
    findings: &[RecordBatch],
) -> Result<Vec<Restored>, RecordError> {
    let mut open: HashMap<ResourceKey, Vec<OpenFinding>> = HashMap::new();
    for batch in findings {
        let rows = Rows(batch);
        for row in 0..batch.num_rows() {
            let finding = OpenFinding::new(
                rows.text("path", row)?,
                rows.parsed("kind", row)?,
                (rows.optional("expected", row)?, rows.optional("observed", row)?),
                rows.int("leaves", row)?.unwrap_or(0) as u32,
                rows.parsed("severity", row)?,
                rows.optional("fold", row)?,
            );
            open.entry(rows.key(row)?).or_default().push(finding);
        }
    }
    let mut restored = Vec::new();
    for batch in verdicts {
        let rows = Rows(batch);
        for row in 0..batch.num_rows() {
            let key = rows.key(row)?;
            let dialect: Dialect = rows.parsed("dialect", row)?;
            restored.push(Restored {
                findings: open.remove(&key).unwrap_or_default(),
                key: Arc::new(key),
                dialect,
                verdict: rows.maybe("verdict", row)?,
                reason: rows.maybe("reason", row)?,
                score: rows.float("score", row)?,
                skipped: rows.int("skipped", row)?.unwrap_or(0) as u32,
                version: rows.int("version", row)?.map(|v| v as u64),
                observed_at: rows.int("last_observed_at", row)?.map(Timestamp),
                baseline: rows
                    .optional("baseline", row)?
                    .filter(|name| !name.is_empty())
                    .map(Into::into),
                baseline_version: rows.int("baseline_version", row)?.unwrap_or(0) as u32,
                state_hash: rows.optional("state_hash", row)?.map(Into::into),
            });
        }
    }
    // A process that ended between two tables' commits left findings without their verdict: they are
    // open all the same, and the verdict is put out when the resource is next observed.
    for (key, findings) in open {
        restored.push(Restored {
            findings,
            dialect: Dialect::of_type(&key.resource_type),
            key: Arc::new(key),
            verdict: None,
            reason: None,
            score: 0.0,
            skipped: 0,
            version: None,
            observed_at: None,
            baseline: None,
            baseline_version: 0,
            state_hash: None,
        });
    }
    Ok(restored)
}

/// Columns by name.
struct Rows<'a>(&'a RecordBatch);

impl<'a> Rows<'a> {
    fn column(&self, name: &str) -> Result<&'a dyn Array, RecordError> {
        let column = self.0.column_by_name(name);
        Ok(column.ok_or_else(|| RecordError(format!("no column `{name}`")))?.as_ref())
    }

    fn optional(&self, name: &str, row: usize) -> Result<Option<&'a str>, RecordError> {
        let column = self
            .column(name)?
            .as_string_opt::<i32>()
            .ok_or_else(|| RecordError(format!("`{name}` is not text")))?;
        Ok((!column.is_null(row)).then(|| column.value(row)))
    }

    fn text(&self, name: &str, row: usize) -> Result<&'a str, RecordError> {
        self.optional(name, row)?.ok_or_else(|| RecordError(format!("`{name}` is null")))
    }

    fn maybe<T: std::str::FromStr<Err = String>>(
        &self,
        name: &str,
        row: usize,
    ) -> Result<Option<T>, RecordError> {
        self.optional(name, row)?.map(|text| text.parse().map_err(RecordError)).transpose()
    }

    fn parsed<T: std::str::FromStr<Err = String>>(
        &self,
        name: &str,
        row: usize,
    ) -> Result<T, RecordError> {
        self.text(name, row)?.parse().map_err(RecordError)
    }

    fn int(&self, name: &str, row: usize) -> Result<Option<i64>, RecordError> {
        let column = self
            .column(name)?
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(|| RecordError(format!("`{name}` is not an integer")))?;
        Ok((!column.is_null(row)).then(|| column.value(row)))
    }

    fn float(&self, name: &str, row: usize) -> Result<f64, RecordError> {
        let column = self
            .column(name)?
            .as_primitive_opt::<Float64Type>()
            .ok_or_else(|| RecordError(format!("`{name}` is not a number")))?;
        Ok(if column.is_null(row) { 0.0 } else { column.value(row) })
    }

    fn key(&self, row: usize) -> Result<ResourceKey, RecordError> {
        Ok(ResourceKey {
            provider: self.text("provider", row)?.to_owned(),
            account: self.text("account", row)?.to_owned(),
            region: self.text("region", row)?.to_owned(),
            resource_type: self.text("type", row)?.to_owned(),
            id: self.text("id", row)?.to_owned(),
        })
    }
}
