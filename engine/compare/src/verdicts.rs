//! Transitions of verdicts on their way into the history as columns.

use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch};
use deployforge_model::{Dialect, Severity, Timestamp, UnknownReason, Verdict, schema};

use crate::chunks::{Columns, Prepares, Shared, SharedArrays};
use crate::columns::{
    OptionalTexts, Subjects, concat, filter, ints, optional_ints, optional_names, optional_times,
};
use crate::output::Subject;

/// What a row of `verdicts` says of its subject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) verdict: Option<Verdict>,
    pub(crate) reason: Option<UnknownReason>,
    pub(crate) score: f64,
    pub(crate) severity: Option<Severity>,
    pub(crate) findings: u32,
    pub(crate) leaves: u32,
    pub(crate) skipped: u32,
    pub(crate) version: Option<u64>,
    pub(crate) last_observed_at: Option<Timestamp>,
}

/// Transitions of verdicts of one source, taken in at one time, as columns of the table `verdicts`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdicts {
    subjects: Subjects,
    told: Vec<Told>,
    state_hash: OptionalTexts,
}

/// A row of `verdicts`, borrowed.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // columns of the same names
pub struct VerdictRow<'a> {
    /// Provider, account, region, type and id.
    pub key: [&'a str; 5],
    pub address: Option<&'a str>,
    pub environment: &'a str,
    pub dialect: Dialect,
    pub verdict: Option<Verdict>,
    pub reason: Option<UnknownReason>,
    pub score: f64,
    pub severity: Option<Severity>,
    pub findings: u32,
    pub leaves: u32,
    pub skipped: u32,
    pub version: Option<u64>,
    pub last_observed_at: Option<Timestamp>,
    pub state_hash: Option<&'a str>,
    pub baseline: &'a str,
    pub baseline_version: u32,
    pub source: &'a str,
    pub observed_at: Timestamp,
    pub ingested_at: Timestamp,
}

impl Told {
    /// In sync with a declaration of so many attributes, by its first observation.
    pub(crate) fn in_sync(leaves: u32, version: Option<u64>, observed_at: Timestamp) -> Self {
        Self {
            verdict: Some(Verdict::InSync),
            reason: None,
            score: 0.0,
            severity: None,
            findings: 0,
            leaves,
            skipped: 0,
            version,
            last_observed_at: Some(observed_at),
        }
    }
}

impl Verdicts {
    /// With room for about so many.
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self {
            subjects: Subjects::with_capacity(rows),
            told: Vec::with_capacity(rows),
            state_hash: OptionalTexts::with_capacity(rows, 0),
        }
    }

    /// Adds what is true of a resource.
    pub(crate) fn push(
        &mut self,
        subject: &Subject<'_>,
        observed_at: Timestamp,
        told: Told,
        state_hash: Option<&str>,
    ) {
        self.subjects.push(subject, observed_at, 1);
        self.told.push(told);
        self.state_hash.push(state_hash);
    }
}

impl Columns for Verdicts {
    type Row<'r> = VerdictRow<'r>;

    fn rows(&self) -> usize {
        self.told.len()
    }

    fn bytes(&self) -> usize {
        self.subjects.bytes().max(self.state_hash.bytes())
    }

    fn join(all: Vec<Self>) -> Self {
        let all = all.iter();
        Self {
            subjects: Subjects::concat(all.clone().map(|one| &one.subjects)),
            told: concat(all.clone().map(|one| &one.told)),
            state_hash: OptionalTexts::concat(all.map(|one| &one.state_hash)),
        }
    }

    fn row<'r>(&'r self, row: usize, shared: &'r Shared) -> VerdictRow<'r> {
        let subjects = &self.subjects;
        let told = self.told[row];
        let (baseline, baseline_version) = subjects.baseline(row);
        VerdictRow {
            key: subjects.key(row),
            address: subjects.address(row),
            environment: subjects.environment(row),
            dialect: subjects.dialect(row),
            verdict: told.verdict,
            reason: told.reason,
            score: told.score,
            severity: told.severity,
            findings: told.findings,
            leaves: told.leaves,
            skipped: told.skipped,
            version: told.version,
            last_observed_at: told.last_observed_at,
            state_hash: self.state_hash.get(row),
            baseline,
            baseline_version,
            source: &shared.source,
            observed_at: subjects.observed_at(row),
            ingested_at: shared.ingested_at,
        }
    }

    fn batch(self, shared: SharedArrays) -> RecordBatch {
        let of = self.subjects.arrays();
        let [provider, account, region, kind, id] = of.key;
        let told = self.told.iter();
        let columns = vec![
            shared.sequence,
            of.resource_id,
            provider,
            account,
            region,
            kind,
            id,
            of.address,
            of.environment,
            of.dialect,
            optional_names(told.clone().map(|row| row.verdict.map(Verdict::name))),
            optional_names(told.clone().map(|row| row.reason.map(UnknownReason::name))),
            Arc::new(Float64Array::from_iter_values(told.clone().map(|row| row.score))),
            optional_names(told.clone().map(|row| row.severity.map(Severity::name))),
            ints(told.clone().map(|row| i64::from(row.findings))),
            ints(told.clone().map(|row| i64::from(row.leaves))),
            ints(told.clone().map(|row| i64::from(row.skipped))),
            optional_ints(told.clone().map(|row| row.version)),
            optional_times(told.map(|row| row.last_observed_at)),
            self.state_hash.array(),
            of.baseline,
            of.baseline_version,
            shared.source,
            of.observed_at,
            shared.ingested_at,
            shared.committed_at,
        ];
        RecordBatch::try_new(schema::verdicts(), columns).expect("the columns follow the schema")
    }
}

impl Prepares for Verdicts {
    fn shrunk(self) -> Self {
        if self.told.capacity() < self.rows() * 2 { self } else { Self::join(vec![self]) }
    }

    fn filter(&self, keep: &[bool]) -> Self {
        Self {
            subjects: self.subjects.filter(keep),
            told: filter(&self.told, keep),
            state_hash: self.state_hash.filter(keep),
        }
    }

    fn observe(&mut self, when: impl Fn(Timestamp) -> Timestamp) {
        self.subjects.observe(&when);
        for told in &mut self.told {
            told.last_observed_at = told.last_observed_at.map(&when);
        }
    }
}
