//! What an epoch puts out: rows of the history tables, sealed into Arrow batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::SchemaRef;
use deployforge_canon::CanonError;
use deployforge_model::{
    Dialect, Reject, RejectCode, ResourceKey, Severity, SourcePosition, Timestamp, Transition,
    UnknownReason, Verdict, schema,
};
use rayon::prelude::*;

use crate::findings::{COLUMN_BYTES, Chunk, FindingRow, Findings, OpenFinding, resource_id};
use crate::prepare::Scrubbed;

/// Fields that every row of a resource shares.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // columns of the same names
pub struct RowHead {
    pub key: Arc<ResourceKey>,
    pub address: Option<Box<str>>,
    pub environment: Box<str>,
    pub dialect: Dialect,
    pub baseline: Arc<str>,
    pub baseline_version: u32,
    pub source: Arc<str>,
    pub observed_at: Timestamp,
    pub ingested_at: Timestamp,
}

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

/// What [`RowHead`] owns, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) subject: Subject<'a>,
    pub(crate) source: &'a Arc<str>,
    pub(crate) observed_at: Timestamp,
    pub(crate) ingested_at: Timestamp,
}

impl Head<'_> {
    pub(crate) fn to_owned(self) -> RowHead {
        let Subject { key, address, environment, dialect, baseline } = self.subject;
        let [provider, account, region, resource_type, id] = key.map(str::to_owned);
        RowHead {
            key: Arc::new(ResourceKey { provider, account, region, resource_type, id }),
            address: address.map(Into::into),
            environment: environment.into(),
            dialect,
            baseline: baseline.map_or_else(|| "".into(), |(name, _)| Arc::clone(name)),
            baseline_version: self.subject.baseline_version(),
            source: Arc::clone(self.source),
            observed_at: self.observed_at,
            ingested_at: self.ingested_at,
        }
    }
}

/// A row of `verdicts`.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct VerdictRow {
    pub head: RowHead,
    pub verdict: Option<Verdict>,
    pub reason: Option<UnknownReason>,
    pub score: f64,
    pub severity: Option<Severity>,
    pub findings: u32,
    pub leaves: u32,
    pub version: Option<u64>,
    pub last_observed_at: Option<Timestamp>,
    pub state_hash: Option<Box<str>>,
}

/// A row of `observations`.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct StateRow {
    pub head: RowHead,
    pub version: Option<u64>,
    /// Canonical and redacted JSON text; `None` says deleted.
    pub state: Option<String>,
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

/// What one or more epochs put out.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Transitions of findings.
    findings: Vec<Chunk>,
    /// What was counted of them and of states, and up to which of each.
    counted: Counted,
    /// Rows of segments whose prepared findings hold: the segment's number, the first finding, how many.
    pub(crate) accepted: Vec<(u32, u32, u32)>,
    /// Transitions of verdicts.
    pub verdicts: Vec<VerdictRow>,
    /// Changed states.
    pub states: Vec<StateRow>,
    /// States that could not be made canonical.
    pub rejects: Vec<RejectRow>,
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

/// Rows of verdicts and states that are sealed at a time: on all cores, and in memory that is used again.
const SEALED_ROWS: usize = 4096;

/// Chunks of fewer rows on average are joined.
const SMALL_CHUNK: usize = 64;

/// What was counted of an output's chunks and states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    chunks: usize,
    transitions: usize,
    finding_bytes: usize,
    states: usize,
    state_bytes: usize,
}

impl StateRow {
    fn bytes(&self) -> usize {
        self.state.as_ref().map_or(0, String::len)
    }
}

impl Output {
    /// Transitions of findings, in order.
    pub fn findings(&self) -> impl Iterator<Item = FindingRow<'_>> {
        self.findings.iter().flat_map(Chunk::rows)
    }

    /// How many rows wait for the history.
    pub fn rows(&self) -> usize {
        self.transitions() + self.verdicts.len() + self.states.len()
    }

    /// How many transitions of findings there are.
    pub fn transitions(&self) -> usize {
        let rest = &self.findings[self.counted.chunks..];
        self.counted.transitions + rest.iter().map(|chunk| chunk.findings.len()).sum::<usize>()
    }

    /// Bytes of text in the longest column. A column of the history holds 2 GiB, so who gathers
    /// commits before.
    pub fn bytes(&self) -> usize {
        let Counted { chunks, states, .. } = self.counted;
        let findings = self.findings[chunks..].iter().map(|chunk| chunk.findings.bytes());
        let states = self.states[states..].iter().map(StateRow::bytes);
        (self.counted.finding_bytes + findings.sum::<usize>())
            .max(self.counted.state_bytes + states.sum::<usize>())
    }

    /// Counts what is there, so that it need not be looked at again.
    fn count(&mut self) {
        let (transitions, bytes) = (self.transitions(), &self.findings[self.counted.chunks..]);
        let finding_bytes: usize = bytes.iter().map(|chunk| chunk.findings.bytes()).sum();
        let states = &self.states[self.counted.states..];
        let state_bytes: usize = states.iter().map(StateRow::bytes).sum();
        self.counted = Counted {
            chunks: self.findings.len(),
            transitions,
            finding_bytes: self.counted.finding_bytes + finding_bytes,
            states: self.states.len(),
            state_bytes: self.counted.state_bytes + state_bytes,
        };
    }

    /// Makes one chunk of what one epoch put out, if its chunks are small.
    pub(crate) fn join(&mut self) {
        let small = self.transitions() < self.findings.len() * SMALL_CHUNK;
        if self.findings.len() > 1 && small && self.bytes() < COLUMN_BYTES {
            self.findings = Chunk::join(std::mem::take(&mut self.findings));
            self.counted = Counted::default();
            self.count();
        }
    }

    /// Puts out transitions of one resource's findings.
    pub(crate) fn put_findings<'f>(
        &mut self,
        head: &Head<'_>,
        rows: impl Iterator<Item = (Transition, &'f OpenFinding)>,
    ) {
        for row in rows {
            // Row by row, since every one may be large.
            let findings = self.findings_of(head.source, head.ingested_at);
            findings.push(&head.subject, head.observed_at, std::iter::once(row));
        }
    }

    /// Where findings of a source go that were taken in at a time.
    fn findings_of(&mut self, source: &Arc<str>, ingested_at: Timestamp) -> &mut Findings {
        let fits = |chunk: &Chunk| {
            chunk.findings.bytes() < COLUMN_BYTES
                && chunk.ingested_at == ingested_at
                && chunk.source == *source
        };
        if !self.findings[self.counted.chunks..].last().is_some_and(fits) {
            self.add_findings(Findings::default(), source, ingested_at);
        }
        let last = self.findings.len() - 1;
        &mut self.findings[last].findings
    }

    /// Adds findings of a source that were taken in at a time.
    pub(crate) fn add_findings(
        &mut self,
        findings: Findings,
        source: &Arc<str>,
        ingested_at: Timestamp,
    ) {
        self.findings.push(Chunk { findings, source: Arc::clone(source), ingested_at });
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
        self.count();
        self.findings.extend(other.findings);
        self.accepted.extend(other.accepted);
        self.verdicts.extend(other.verdicts);
        self.states.extend(other.states);
        self.rejects.extend(other.rejects);
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
        self.count();
    }

    /// Observations that were older than what was known of their resource.
    pub fn late(&self) -> u64 {
        self.checks.values().map(|counts| counts.late).sum()
    }

    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.transitions() == 0
            && self.verdicts.is_empty()
            && self.states.is_empty()
            && self.rejects.is_empty()
            && self.checks.is_empty()
    }

    /// Takes the rows for the `findings` table, numbered from `sequence`.
    pub fn take_findings(&mut self, committed_at: Timestamp, sequence: u64) -> Vec<RecordBatch> {
        self.counted = Counted::default();
        Chunk::batches(std::mem::take(&mut self.findings), committed_at, sequence)
    }

    /// Rows for the `verdicts` table, numbered from `sequence`.
    pub fn verdicts_batches(&self, committed_at: Timestamp, sequence: u64) -> Vec<RecordBatch> {
        let numbered = (sequence..).step_by(SEALED_ROWS);
        let parts: Vec<_> = self.verdicts.chunks(SEALED_ROWS).zip(numbered).collect();
        parts
            .into_par_iter()
            .map(|(rows, sequence)| sealed_verdicts(rows, committed_at, sequence))
            .collect()
    }

    /// Rows for the `observations` table.
    pub fn observations_batches(&self, committed_at: Timestamp) -> Vec<RecordBatch> {
        let parts = self.states.par_chunks(SEALED_ROWS);
        parts.map(|rows| sealed_states(rows, committed_at)).collect()
    }

    /// Rows for the `rejects` table.
    pub fn rejects_batch(&self, committed_at: Timestamp) -> RecordBatch {
        let rows = &self.rejects;
        let mut c = Columns::default();
        c.text(rows.iter().map(RejectRow::id));
        c.text(rows.iter().map(|r| &*r.source));
        c.ints(rows.iter().map(|r| r.position.offset));
        c.ints(rows.iter().map(|r| r.position.line));
        c.text(rows.iter().map(|r| r.code.name()));
        c.text(rows.iter().map(|r| &*r.reason));
        c.text(rows.iter().map(|r| &*r.hash));
        c.ints(rows.iter().map(|r| r.size));
        c.times(rows.iter().map(|r| r.ingested_at));
        c.times(rows.iter().map(|_| committed_at));
        c.batch(schema::rejects())
    }

    /// Rows for the `checks` table.
    pub fn checks_batch(&self, committed_at: Timestamp) -> RecordBatch {
        let rows = &self.checks;
        let mut c = Columns::default();
        c.times(rows.keys().map(|k| k.0));
        c.text(rows.keys().map(|k| &*k.1));
        c.text(rows.keys().map(|k| &*k.2));
        c.text(rows.keys().map(|k| &*k.3));
        c.text(rows.keys().map(|k| &*k.4));
        for i in 0..7 {
            c.ints(rows.values().map(|counts| counts.of()[i]));
        }
        c.times(rows.keys().map(|_| committed_at));
        c.batch(schema::checks())
    }
}

fn sealed_verdicts(rows: &[VerdictRow], committed_at: Timestamp, sequence: u64) -> RecordBatch {
    let mut c = Columns::default();
    c.ints(sequence..sequence + rows.len() as u64);
    c.text(rows.iter().map(|r| resource_id(r.head.key.parts())));
    c.key(rows.iter().map(|r| &r.head));
    c.optional(rows.iter().map(|r| r.head.address.as_deref()));
    c.text(rows.iter().map(|r| &*r.head.environment));
    c.text(rows.iter().map(|r| r.head.dialect.name()));
    c.optional(rows.iter().map(|r| r.verdict.map(Verdict::name)));
    c.optional(rows.iter().map(|r| r.reason.map(UnknownReason::name)));
    c.push(Float64Array::from_iter_values(rows.iter().map(|r| r.score)));
    c.optional(rows.iter().map(|r| r.severity.map(Severity::name)));
    c.ints(rows.iter().map(|r| u64::from(r.findings)));
    c.ints(rows.iter().map(|r| u64::from(r.leaves)));
    c.push(rows.iter().map(|r| r.version.map(|v| v as i64)).collect::<Int64Array>());
    let last = rows.iter().map(|r| r.last_observed_at.map(Timestamp::micros));
    c.push(last.collect::<TimestampMicrosecondArray>().with_timezone("UTC"));
    c.optional(rows.iter().map(|r| r.state_hash.as_deref()));
    c.tail(rows.iter().map(|r| &r.head), committed_at);
    c.batch(schema::verdicts())
}

fn sealed_states(rows: &[StateRow], committed_at: Timestamp) -> RecordBatch {
    let mut c = Columns::default();
    c.key(rows.iter().map(|r| &r.head));
    c.text(rows.iter().map(|r| &*r.head.environment));
    c.text(rows.iter().map(|r| r.head.dialect.name()));
    c.push(rows.iter().map(|r| Some(r.state.is_none())).collect::<BooleanArray>());
    c.push(rows.iter().map(|r| r.version.map(|v| v as i64)).collect::<Int64Array>());
    // States are most of the bytes: a column that grew would copy them again and again.
    let bytes = rows.iter().map(StateRow::bytes).sum();
    let mut states = StringBuilder::with_capacity(rows.len(), bytes);
    rows.iter().for_each(|r| states.append_option(r.state.as_deref()));
    c.push(states.finish());
    c.text(rows.iter().map(|r| &*r.head.source));
    c.times(rows.iter().map(|r| r.head.observed_at));
    c.times(rows.iter().map(|r| r.head.ingested_at));
    c.times(rows.iter().map(|_| committed_at));
    c.batch(schema::observations())
}

#[derive(Default)]
struct Columns(Vec<ArrayRef>);

impl Columns {
    fn push(&mut self, array: impl arrow::array::Array + 'static) {
        self.0.push(Arc::new(array));
    }
    fn text<S: AsRef<str>>(&mut self, values: impl Iterator<Item = S>) {
        self.push(StringArray::from_iter_values(values));
    }
    fn optional<'a>(&mut self, values: impl Iterator<Item = Option<&'a str>>) {
        self.push(values.collect::<StringArray>());
    }
    fn ints(&mut self, values: impl Iterator<Item = u64>) {
        self.push(Int64Array::from_iter_values(values.map(|v| v as i64)));
    }
    fn times(&mut self, values: impl Iterator<Item = Timestamp>) {
        let array = TimestampMicrosecondArray::from_iter_values(values.map(Timestamp::micros));
        self.push(array.with_timezone("UTC"));
    }
    fn key<'a>(&mut self, heads: impl Iterator<Item = &'a RowHead>) {
        let heads: Vec<&RowHead> = heads.collect();
        for part in 0..5 {
            self.text(heads.iter().map(|head| head.key.parts()[part]));
        }
    }
    fn tail<'a>(
        &mut self,
        heads: impl Iterator<Item = &'a RowHead> + Clone,
        committed_at: Timestamp,
    ) {
        self.text(heads.clone().map(|head| &*head.baseline));
        self.ints(heads.clone().map(|head| u64::from(head.baseline_version)));
        self.text(heads.clone().map(|head| &*head.source));
        self.times(heads.clone().map(|head| head.observed_at));
        self.times(heads.clone().map(|head| head.ingested_at));
        self.times(heads.map(|_| committed_at));
    }
    fn batch(self, schema: SchemaRef) -> RecordBatch {
        RecordBatch::try_new(schema, self.0).expect("the columns follow the schema")
    }
}
