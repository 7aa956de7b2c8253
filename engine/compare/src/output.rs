//! What an epoch puts out: rows of the history tables, sealed into Arrow batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use deployforge_canon::CanonError;
use deployforge_model::{
    Dialect, Reject, RejectCode, ResourceKey, SourcePosition, Timestamp, Transition, Verdict,
    schema,
};

use crate::chunks::Chunks;
use crate::columns::{ints, times};
use crate::evidence::{self, EvidenceRow};
use crate::findings::{FindingRow, Findings, OpenFinding};
use crate::prepare::Scrubbed;
use crate::states::{StateRow, States};
use crate::verdicts::{Told, VerdictRow, Verdicts};

/// Who a row is about, and by what it was judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// Provider, account, region, type and id.
    pub(crate) key: [&'a str; 5],
    pub(crate) address: Option<&'a str>,
    pub(crate) environment: &'a str,
    pub(crate) dialect: Dialect,
    /// Name and version.
    pub(crate) baseline: Option<(&'a Arc<str>, u32)>,
}

impl<'a> Subject<'a> {
    pub(crate) fn baseline_name(&self) -> &'a str {
        self.baseline.map_or("", |(name, _)| name)
    }

    pub(crate) fn baseline_version(&self) -> u32 {
        self.baseline.map_or(0, |(_, version)| version)
    }
}

/// Who a row is about, where it came from, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) subject: Subject<'a>,
    pub(crate) source: &'a Arc<str>,
    pub(crate) observed_at: Timestamp,
    pub(crate) ingested_at: Timestamp,
}

/// A state that could not be made canonical.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct RejectRow {
    pub source: Arc<str>,
    pub position: SourcePosition,
    pub code: RejectCode,
    pub reason: String,
    pub hash: String,
    pub size: u64,
    pub ingested_at: Timestamp,
}

impl RejectRow {
    /// The row of a record that a reader refused.
    pub fn of(reject: Reject, source: Arc<str>, ingested_at: Timestamp) -> Self {
        let Reject { position, code, reason, hash, size } = reject;
        Self { source, position, code, reason, hash, size, ingested_at }
    }

    /// The row of a state that has no canonical form, read from `(source, position)` at a time.
    pub fn of_state(
        error: &CanonError,
        key: &ResourceKey,
        state: &[u8],
        (source, position, ingested_at): (Arc<str>, SourcePosition, Timestamp),
    ) -> Self {
        let code = match error {
            CanonError::Malformed(_) => RejectCode::Malformed,
            CanonError::NotAnObject => RejectCode::NotARecord,
            CanonError::DuplicateKey(_) => RejectCode::DuplicateKey,
            CanonError::TooDeep(_) => RejectCode::TooDeep,
            CanonError::TooLarge { .. } => RejectCode::TooLarge,
            CanonError::Reserved => RejectCode::BadField,
        };
        Self {
            source,
            position,
            code,
            reason: format!("{key}: {error}"),
            hash: blake3::hash(state).to_hex().to_string(),
            size: state.len() as u64,
            ingested_at,
        }
    }

    /// The same refused bytes at the same place of the same source are one reject.
    pub fn id(&self) -> String {
        let text =
            format!("{}\n{}\n{}\n{}", self.source, self.position.offset, self.code, self.hash);
        blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
    }
}

/// Counts of one minute, environment, provider, type and source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // columns of `checks`
pub struct CheckCounts {
    pub checked: u64,
    pub in_sync: u64,
    pub drifted: u64,
    pub missing: u64,
    pub unmanaged: u64,
    pub unknown: u64,
    pub late: u64,
}

impl CheckCounts {
    fn of(self) -> [u64; 7] {
        [
            self.checked,
            self.in_sync,
            self.drifted,
            self.missing,
            self.unmanaged,
            self.unknown,
            self.late,
        ]
    }

    fn add(&mut self, other: &Self) {
        self.checked += other.checked;
        self.in_sync += other.in_sync;
        self.drifted += other.drifted;
        self.missing += other.missing;
        self.unmanaged += other.unmanaged;
        self.unknown += other.unknown;
        self.late += other.late;
    }

    #[inline]
    pub(crate) fn count(&mut self, verdict: Option<Verdict>) {
        match verdict {
            Some(Verdict::InSync) => self.in_sync += 1,
            Some(Verdict::Drifted) => self.drifted += 1,
            Some(Verdict::Missing) => self.missing += 1,
            Some(Verdict::Unmanaged) => self.unmanaged += 1,
            Some(Verdict::Unknown) => self.unknown += 1,
            None => {}
        }
        if matches!(verdict, Some(Verdict::InSync | Verdict::Drifted)) {
            self.checked += 1;
        }
    }
}

/// Minute, environment, provider, type, source.
pub(crate) type CheckKey = (Timestamp, Arc<str>, Box<str>, Box<str>, Arc<str>);

/// How many observations each level of check decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// By the raw fingerprint: no parse.
    pub fingerprint: u64,
    /// By the canonical fingerprint: no attribute walk.
    pub canonical: u64,
    /// Attribute by attribute.
    pub compared: u64,
}

/// What was prepared of segments and holds: each the segment's number, the first row, how many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accepted {
    pub(crate) findings: Vec<(u32, u32, u32)>,
    pub(crate) verdicts: Vec<(u32, u32, u32)>,
}

impl Accepted {
    /// By segment: the first row, how many.
    pub(crate) fn by_segment(
        accepted: impl Iterator<Item = (u32, u32, u32)>,
        segments: usize,
    ) -> Vec<Vec<(u32, u32)>> {
        let mut by = vec![Vec::new(); segments];
        accepted.for_each(|(segment, first, length)| by[segment as usize].push((first, length)));
        by
    }
}

/// What one or more epochs put out.
#[derive(Clone, Debug, Default)]
pub struct Output {
    pub(crate) findings: Chunks<Findings>,
    pub(crate) verdicts: Chunks<Verdicts>,
    states: Chunks<States>,
    /// Findings and verdicts that were prepared and hold.
    pub(crate) accepted: Accepted,
    /// States that could not be made canonical.
    pub rejects: Vec<RejectRow>,
    /// Events of audit logs.
    pub evidence: Vec<EvidenceRow>,
    /// Rollups of checks.
    pub checks: BTreeMap<CheckKey, CheckCounts>,
    /// Observations per level of check.
    pub levels: Levels,
    /// Observations handled, late and duplicate ones included.
    pub observations: u64,
    /// Attributes that were compared one by one.
    pub attribute_checks: u64,
    /// States that were compared in full although their fingerprints differed and no attribute did.
    pub collisions: u64,
    /// What the scrubber found.
    pub scrubbed: Scrubbed,
    /// Records that a scan had claimed and the parser refused.
    pub unread: u64,
    /// Observations of resources that another partition spoke of before.
    pub strayed: u64,
    /// Counts by group, before they are named in `checks`; empty in what a comparator gives.
    pub groups: Vec<CheckCounts>,
}

impl Output {
    /// Transitions of findings, in order.
    pub fn findings(&self) -> impl Iterator<Item = FindingRow<'_>> {
        self.findings.iter()
    }

    /// How many there are.
    pub fn transitions(&self) -> usize {
        self.findings.len()
    }

    /// Transitions of verdicts, in order.
    pub fn verdicts(&self) -> impl Iterator<Item = VerdictRow<'_>> {
        self.verdicts.iter()
    }

    /// How many there are.
    pub fn verdict_transitions(&self) -> usize {
        self.verdicts.len()
    }

    /// Changed states, in order.
    pub fn states(&self) -> impl Iterator<Item = StateRow<'_>> {
        self.states.iter()
    }

    /// How many there are.
    pub fn changed_states(&self) -> usize {
        self.states.len()
    }

    /// How many rows wait for the history.
    pub fn rows(&self) -> usize {
        self.findings.len() + self.verdicts.len() + self.states.len() + self.evidence.len()
    }

    /// Bytes of text in the longest column. A column of the history holds 2 GiB, so who gathers
    /// commits before.
    pub fn bytes(&self) -> usize {
        let evidence = self.evidence.iter().map(EvidenceRow::bytes).sum();
        self.findings.bytes().max(self.verdicts.bytes()).max(self.states.bytes()).max(evidence)
    }

    /// Makes one chunk of what one epoch put out of a table, if its chunks are small.
    pub(crate) fn join(&mut self) {
        self.findings.join();
        self.verdicts.join();
        self.states.join();
    }

    /// Puts out transitions of one resource's findings.
    pub(crate) fn put_findings<'f>(
        &mut self,
        head: &Head<'_>,
        rows: impl Iterator<Item = (Transition, &'f OpenFinding)>,
    ) {
        for row in rows {
            // Row by row, since every one may be large.
            let findings = self.findings.of(head.source, head.ingested_at);
            findings.push(&head.subject, head.observed_at, std::iter::once(row));
        }
    }

    /// Puts out what is true of one resource.
    pub(crate) fn put_verdict(&mut self, head: &Head<'_>, told: Told, state_hash: Option<&str>) {
        let verdicts = self.verdicts.of(head.source, head.ingested_at);
        verdicts.push(&head.subject, head.observed_at, told, state_hash);
    }

    /// Puts out a state of one resource; `None`: it was deleted.
    pub(crate) fn put_state(
        &mut self,
        head: &Head<'_>,
        version: Option<u64>,
        state: Option<String>,
    ) {
        let states = self.states.of(head.source, head.ingested_at);
        states.push(&head.subject, head.observed_at, version, state);
    }

    /// The counts of one group.
    #[inline]
    pub(crate) fn counts(&mut self, group: u16) -> &mut CheckCounts {
        let at = usize::from(group);
        if at >= self.groups.len() {
            self.groups.resize(at + 1, CheckCounts::default());
        }
        &mut self.groups[at]
    }

    /// Names what was counted by group.
    pub(crate) fn name_counts(&mut self, name: impl Fn(u16) -> CheckKey) {
        for (group, counts) in std::mem::take(&mut self.groups).into_iter().enumerate() {
            if counts != CheckCounts::default() {
                self.checks.entry(name(group as u16)).or_default().add(&counts);
            }
        }
    }

    /// Appends what another shard or epoch put out.
    pub fn merge(&mut self, other: Self) {
        self.findings.append(other.findings);
        self.verdicts.append(other.verdicts);
        self.states.append(other.states);
        self.rejects.extend(other.rejects);
        self.evidence.extend(other.evidence);
        for (key, counts) in other.checks {
            self.checks.entry(key).or_default().add(&counts);
        }
        for (group, counts) in other.groups.into_iter().enumerate() {
            self.counts(group as u16).add(&counts);
        }
        self.levels.fingerprint += other.levels.fingerprint;
        self.levels.canonical += other.levels.canonical;
        self.levels.compared += other.levels.compared;
        self.observations += other.observations;
        self.attribute_checks += other.attribute_checks;
        self.collisions += other.collisions;
        self.unread += other.unread;
        self.strayed += other.strayed;
        self.scrubbed.add(other.scrubbed);
    }

    /// Observations that were older than what was known of their resource.
    pub fn late(&self) -> u64 {
        self.checks.values().map(|counts| counts.late).sum()
    }

    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.rows() == 0 && self.rejects.is_empty() && self.checks.is_empty()
    }

    /// Takes the rows for the `findings` table, numbered from `sequence`.
    pub fn take_findings(&mut self, committed_at: Timestamp, sequence: u64) -> Vec<RecordBatch> {
        std::mem::take(&mut self.findings).batches(committed_at, sequence)
    }

    /// Takes the rows for the `verdicts` table, numbered from `sequence`.
    pub fn take_verdicts(&mut self, committed_at: Timestamp, sequence: u64) -> Vec<RecordBatch> {
        std::mem::take(&mut self.verdicts).batches(committed_at, sequence)
    }

    /// Takes the rows for the `observations` table.
    pub fn take_states(&mut self, committed_at: Timestamp) -> Vec<RecordBatch> {
        std::mem::take(&mut self.states).batches(committed_at, 0)
    }

    /// Rows for the `rejects` table.
    pub fn rejects_batch(&self, committed_at: Timestamp) -> RecordBatch {
        let rows = &self.rejects;
        let columns = vec![
            texts(rows.iter().map(RejectRow::id)),
            texts(rows.iter().map(|row| &*row.source)),
            ints(rows.iter().map(|row| row.position.offset as i64)),
            ints(rows.iter().map(|row| row.position.line as i64)),
            texts(rows.iter().map(|row| row.code.name())),
            texts(rows.iter().map(|row| &*row.reason)),
            texts(rows.iter().map(|row| &*row.hash)),
            ints(rows.iter().map(|row| row.size as i64)),
            times(rows.iter().map(|row| row.ingested_at)),
            times(rows.iter().map(|_| committed_at)),
        ];
        RecordBatch::try_new(schema::rejects(), columns).expect("the columns follow the schema")
    }

    /// Rows for the `evidence` table.
    pub fn evidence_batch(&self, committed_at: Timestamp) -> RecordBatch {
        evidence::batch(&self.evidence, committed_at)
    }

    /// Rows for the `checks` table.
    pub fn checks_batch(&self, committed_at: Timestamp) -> RecordBatch {
        let rows = &self.checks;
        let mut columns = vec![
            times(rows.keys().map(|key| key.0)),
            texts(rows.keys().map(|key| &*key.1)),
            texts(rows.keys().map(|key| &*key.2)),
            texts(rows.keys().map(|key| &*key.3)),
            texts(rows.keys().map(|key| &*key.4)),
        ];
        columns.extend((0..7).map(|i| ints(rows.values().map(|counts| counts.of()[i] as i64))));
        columns.push(times(rows.keys().map(|_| committed_at)));
        RecordBatch::try_new(schema::checks(), columns).expect("the columns follow the schema")
    }
}

pub(crate) fn texts<S: AsRef<str>>(values: impl Iterator<Item = S>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}
