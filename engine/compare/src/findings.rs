//! Findings: what is open of a resource, and transitions on their way into the history as columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use deployforge_model::{FindingKind, Severity, Timestamp, Transition, schema};

use crate::output::Subject;

/// A finding that is true now. There may be millions, so its texts share one allocation.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenFinding {
    /// Path, expected, observed and fold, end to end.
    text: Box<str>,
    path: u32,
    expected: Option<u32>,
    observed: Option<u32>,
    fold: Option<u16>,
    /// How it differs.
    pub kind: FindingKind,
    /// How bad that is.
    pub severity: Severity,
    /// How many attributes it spans.
    pub leaves: u32,
}

impl OpenFinding {
    /// A finding of `kind` at `path`: (expected, observed) as canonical JSON text, and the fold that
    /// says it means nothing.
    pub fn new(
        path: &str,
        kind: FindingKind,
        (expected, observed): (Option<&str>, Option<&str>),
        leaves: u32,
        severity: Severity,
        fold: Option<&str>,
    ) -> Self {
        let length = |text: Option<&str>| text.map(|text| text.len() as u32);
        Self {
            text: [path, or_empty(expected), or_empty(observed), or_empty(fold)].concat().into(),
            path: path.len() as u32,
            expected: length(expected),
            observed: length(observed),
            fold: fold.map(|fold| fold.len() as u16),
            kind,
            severity,
            leaves,
        }
    }

    /// JSON Pointer from the root of the state.
    pub fn path(&self) -> &str {
        &self.text[..self.path as usize]
    }

    /// The declared value as canonical JSON text.
    pub fn expected(&self) -> Option<&str> {
        let start = self.path as usize;
        self.expected.map(|length| &self.text[start..start + length as usize])
    }

    /// The observed value as canonical JSON text.
    pub fn observed(&self) -> Option<&str> {
        let start = (self.path + self.expected.unwrap_or(0)) as usize;
        self.observed.map(|length| &self.text[start..start + length as usize])
    }

    /// The normaliser that says it means nothing.
    pub fn fold(&self) -> Option<&str> {
        self.fold.map(|length| &self.text[self.text.len() - usize::from(length)..])
    }

    /// Whether it counts towards verdict, score and exit code.
    pub fn counts(&self) -> bool {
        self.fold.is_none() && self.kind.counts()
    }

    /// Bytes of all its texts.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }
}

fn or_empty(text: Option<&str>) -> &str {
    text.unwrap_or_default()
}

/// Texts of one column, end to end, with the offsets that Arrow has.
#[derive(Clone, Debug, PartialEq)]
struct Texts {
    bytes: String,
    offsets: Vec<i32>,
}

impl Default for Texts {
    fn default() -> Self {
        Self::with_capacity(0, 0)
    }
}

impl Texts {
    fn with_capacity(rows: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { bytes: String::with_capacity(bytes), offsets }
    }

    #[inline]
    fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        self.offsets.push(self.bytes.len() as i32);
    }

    fn get(&self, row: usize) -> &str {
        &self.bytes[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }

    fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Many as one. What there will be is known before it is copied, so nothing has to grow.
    fn concat<'t>(all: impl Iterator<Item = &'t Self> + Clone) -> Self {
        let rows = all.clone().map(Self::rows).sum();
        let mut whole = Self::with_capacity(rows, all.clone().map(|one| one.bytes.len()).sum());
        for one in all {
            let before = whole.bytes.len() as i32;
            whole.bytes.push_str(&one.bytes);
            whole.offsets.extend(one.offsets[1..].iter().map(|end| before + end));
        }
        whole
    }

    fn filter(&self, keep: &[bool]) -> Self {
        let mut kept = Self::default();
        let rows = keep.iter().enumerate().filter(|(_, keep)| **keep);
        rows.for_each(|(row, _)| kept.push(self.get(row)));
        kept
    }

    fn array(self, valid: Option<Vec<bool>>) -> ArrayRef {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let bytes = Buffer::from_vec(self.bytes.into_bytes());
        Arc::new(StringArray::new(offsets, bytes, valid.map(NullBuffer::from)))
    }
}

/// Texts of a column that may have none in some rows.
#[derive(Clone, Debug, Default, PartialEq)]
struct OptionalTexts {
    texts: Texts,
    valid: Vec<bool>,
}

impl OptionalTexts {
    fn with_capacity(rows: usize, bytes: usize) -> Self {
        Self { texts: Texts::with_capacity(rows, bytes), valid: Vec::with_capacity(rows) }
    }

    #[inline]
    fn push(&mut self, text: Option<&str>) {
        self.texts.push(or_empty(text));
        self.valid.push(text.is_some());
    }

    fn get(&self, row: usize) -> Option<&str> {
        self.valid[row].then(|| self.texts.get(row))
    }

    fn concat<'t>(all: impl Iterator<Item = &'t Self> + Clone) -> Self {
        Self {
            texts: Texts::concat(all.clone().map(|one| &one.texts)),
            valid: concat(all.map(|one| &one.valid)),
        }
    }

    fn filter(&self, keep: &[bool]) -> Self {
        Self { texts: self.texts.filter(keep), valid: filter(&self.valid, keep) }
    }

    fn array(self) -> ArrayRef {
        self.texts.array(Some(self.valid))
    }
}

fn concat<'t, T: Copy + 't>(all: impl Iterator<Item = &'t Vec<T>> + Clone) -> Vec<T> {
    let mut whole = Vec::with_capacity(all.clone().map(Vec::len).sum());
    all.for_each(|one| whole.extend_from_slice(one));
    whole
}

fn filter<T: Copy>(all: &[T], keep: &[bool]) -> Vec<T> {
    all.iter().zip(keep).filter(|(_, keep)| **keep).map(|(one, _)| *one).collect()
}

/// Columns of text that every row has: ids, the parts of the key, and what stands beside them.
const TEXTS: usize = 10;
const RESOURCE_ID: usize = 0;
const FINDING_ID: usize = 1;
const PROVIDER: usize = 2;
const ENVIRONMENT: usize = 7;
const PATH: usize = 8;
const BASELINE: usize = 9;

/// Bytes of each column of text in a usual row; what a column is given at first.
const ROW_BYTES: [usize; TEXTS] = [32, 32, 4, 12, 12, 24, 32, 8, 32, 8];

/// Text in one column beyond which no more is added: an Arrow column holds 2 GiB.
pub(crate) const COLUMN_BYTES: usize = 256 << 20;

/// Chunks of fewer rows are joined with those after them into one batch of the history; larger ones
/// are not worth the copy.
const BATCH_ROWS: usize = 128;

/// Transitions of findings of one source, taken in at one time, as columns of the table `findings`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Findings {
    texts: [Texts; TEXTS],
    address: OptionalTexts,
    expected: OptionalTexts,
    observed: OptionalTexts,
    fold: OptionalTexts,
    transition: Vec<Transition>,
    kind: Vec<FindingKind>,
    severity: Vec<Severity>,
    leaves: Vec<u32>,
    baseline_version: Vec<u32>,
    observed_at: Vec<Timestamp>,
    /// What ids are hashed from.
    scratch: Vec<u8>,
}

/// Findings, and what they share.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) findings: Findings,
    pub(crate) source: Arc<str>,
    pub(crate) ingested_at: Timestamp,
}

/// One transition, borrowed.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // columns of the same names
pub struct FindingRow<'a> {
    /// Provider, account, region, type and id.
    pub key: [&'a str; 5],
    pub address: Option<&'a str>,
    pub environment: &'a str,
    pub path: &'a str,
    pub transition: Transition,
    pub kind: FindingKind,
    pub expected: Option<&'a str>,
    pub observed: Option<&'a str>,
    pub leaves: u32,
    pub severity: Severity,
    pub fold: Option<&'a str>,
    pub baseline: &'a str,
    pub baseline_version: u32,
    pub source: &'a str,
    pub observed_at: Timestamp,
    pub ingested_at: Timestamp,
}

impl FindingRow<'_> {
    /// Whether it counts towards verdict, score and exit code.
    pub fn counts(&self) -> bool {
        self.fold.is_none() && self.kind.counts()
    }
}

impl Findings {
    /// With room for about so many.
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self {
            texts: std::array::from_fn(|i| Texts::with_capacity(rows, rows * ROW_BYTES[i])),
            address: OptionalTexts::with_capacity(rows, 0),
            expected: OptionalTexts::with_capacity(rows, rows * 20),
            observed: OptionalTexts::with_capacity(rows, rows * 20),
            fold: OptionalTexts::with_capacity(rows, 0),
            transition: Vec::with_capacity(rows),
            kind: Vec::with_capacity(rows),
            severity: Vec::with_capacity(rows),
            leaves: Vec::with_capacity(rows),
            baseline_version: Vec::with_capacity(rows),
            observed_at: Vec::with_capacity(rows),
            scratch: Vec::new(),
        }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.transition.len()
    }

    /// Bytes of the longest column of text.
    pub(crate) fn bytes(&self) -> usize {
        let optional = [&self.address, &self.expected, &self.observed].map(|column| &column.texts);
        self.texts.iter().chain(optional).map(|texts| texts.bytes.len()).max().unwrap_or(0)
    }

    /// Adds transitions of one resource's findings.
    pub(crate) fn push<'f>(
        &mut self,
        subject: &Subject<'_>,
        observed_at: Timestamp,
        rows: impl Iterator<Item = (Transition, &'f OpenFinding)>,
    ) {
        self.scratch.clear();
        subject.key.iter().for_each(|part| add_part(&mut self.scratch, part));
        let resource_id = id(&self.scratch);
        self.scratch.clear();
        self.scratch.extend_from_slice(&resource_id);
        for (transition, finding) in rows {
            self.scratch.truncate(resource_id.len());
            self.scratch.extend_from_slice(finding.path().as_bytes());
            self.texts[RESOURCE_ID].push(hex(&resource_id));
            self.texts[FINDING_ID].push(hex(&id(&self.scratch)));
            for (part, text) in subject.key.iter().enumerate() {
                self.texts[PROVIDER + part].push(text);
            }
            self.texts[ENVIRONMENT].push(subject.environment);
            self.texts[PATH].push(finding.path());
            self.texts[BASELINE].push(subject.baseline_name());
            self.address.push(subject.address);
            self.expected.push(finding.expected());
            self.observed.push(finding.observed());
            self.fold.push(finding.fold());
            self.transition.push(transition);
            self.kind.push(finding.kind);
            self.severity.push(finding.severity);
            self.leaves.push(finding.leaves);
            self.baseline_version.push(subject.baseline_version());
            self.observed_at.push(observed_at);
        }
    }

    /// Without room for more, if there is much.
    pub(crate) fn shrunk(self) -> Self {
        if self.transition.capacity() < self.len() * 2 {
            return self;
        }
        Self::concat(std::iter::once(&self))
    }

    /// Some of the rows.
    pub(crate) fn filter(&self, keep: &[bool]) -> Self {
        Self {
            texts: std::array::from_fn(|i| self.texts[i].filter(keep)),
            address: self.address.filter(keep),
            expected: self.expected.filter(keep),
            observed: self.observed.filter(keep),
            fold: self.fold.filter(keep),
            transition: filter(&self.transition, keep),
            kind: filter(&self.kind, keep),
            severity: filter(&self.severity, keep),
            leaves: filter(&self.leaves, keep),
            baseline_version: filter(&self.baseline_version, keep),
            observed_at: filter(&self.observed_at, keep),
            scratch: Vec::new(),
        }
    }

    /// Changes when rows were observed.
    pub(crate) fn observed_at(&mut self, when: impl Fn(Timestamp) -> Timestamp) {
        self.observed_at.iter_mut().for_each(|time| *time = when(*time));
    }

    fn concat<'f>(all: impl Iterator<Item = &'f Self> + Clone) -> Self {
        Self {
            texts: std::array::from_fn(|i| Texts::concat(all.clone().map(|one| &one.texts[i]))),
            address: OptionalTexts::concat(all.clone().map(|one| &one.address)),
            expected: OptionalTexts::concat(all.clone().map(|one| &one.expected)),
            observed: OptionalTexts::concat(all.clone().map(|one| &one.observed)),
            fold: OptionalTexts::concat(all.clone().map(|one| &one.fold)),
            transition: concat(all.clone().map(|one| &one.transition)),
            kind: concat(all.clone().map(|one| &one.kind)),
            severity: concat(all.clone().map(|one| &one.severity)),
            leaves: concat(all.clone().map(|one| &one.leaves)),
            baseline_version: concat(all.clone().map(|one| &one.baseline_version)),
            observed_at: concat(all.map(|one| &one.observed_at)),
            scratch: Vec::new(),
        }
    }
}

impl Chunk {
    /// Chunks of one source and time as one.
    pub(crate) fn join(chunks: Vec<Self>) -> Vec<Self> {
        let Some(first) = chunks.first() else { return chunks };
        let (source, ingested_at) = (first.source.clone(), first.ingested_at);
        let findings = Findings::concat(chunks.iter().map(|chunk| &chunk.findings));
        vec![Self { findings, source, ingested_at }]
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = FindingRow<'_>> {
        (0..self.findings.len()).map(|row| self.row(row))
    }

    fn row(&self, row: usize) -> FindingRow<'_> {
        let all = &self.findings;
        let text = |column: usize| all.texts[column].get(row);
        FindingRow {
            key: std::array::from_fn(|part| text(PROVIDER + part)),
            address: all.address.get(row),
            environment: text(ENVIRONMENT),
            path: text(PATH),
            transition: all.transition[row],
            kind: all.kind[row],
            expected: all.expected.get(row),
            observed: all.observed.get(row),
            leaves: all.leaves[row],
            severity: all.severity[row],
            fold: all.fold.get(row),
            baseline: text(BASELINE),
            baseline_version: all.baseline_version[row],
            source: &self.source,
            observed_at: all.observed_at[row],
            ingested_at: self.ingested_at,
        }
    }

    /// Rows for the table, numbered from `sequence`; small chunks are joined.
    pub(crate) fn batches(
        chunks: Vec<Self>,
        committed_at: Timestamp,
        mut sequence: u64,
    ) -> Vec<RecordBatch> {
        let mut batches = Vec::new();
        let (mut some, mut rows, mut bytes) = (Vec::new(), 0, 0);
        let last = chunks.len().saturating_sub(1);
        for (number, chunk) in chunks.into_iter().enumerate() {
            rows += chunk.findings.len();
            bytes += chunk.findings.bytes();
            some.push(chunk);
            if rows > 0 && (rows >= BATCH_ROWS || bytes >= COLUMN_BYTES || number == last) {
                batches.push(batch(std::mem::take(&mut some), committed_at, sequence));
                sequence += rows as u64;
                (rows, bytes) = (0, 0);
            }
        }
        batches
    }
}

fn batch(mut chunks: Vec<Chunk>, committed_at: Timestamp, sequence: u64) -> RecordBatch {
    fn names(names: impl Iterator<Item = &'static str>) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(names))
    }
    fn ints(values: impl Iterator<Item = i64>) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(values))
    }
    fn times(values: impl Iterator<Item = Timestamp>) -> ArrayRef {
        let values = TimestampMicrosecondArray::from_iter_values(values.map(Timestamp::micros));
        Arc::new(values.with_timezone("UTC"))
    }
    let rows: usize = chunks.iter().map(|chunk| chunk.findings.len()).sum();
    let shared = chunks.iter().flat_map(|chunk| std::iter::repeat_n(chunk, chunk.findings.len()));
    let mut source = Texts::with_capacity(rows, 0);
    shared.clone().for_each(|chunk| source.push(&chunk.source));
    let ingested_at = times(shared.map(|chunk| chunk.ingested_at));
    let all = match &mut chunks[..] {
        [one] => std::mem::take(&mut one.findings),
        many => Findings::concat(many.iter().map(|chunk| &chunk.findings)),
    };
    let sequence = sequence as i64..(sequence + rows as u64) as i64;
    let [resource_id, finding_id, provider, account, region, kind, id, environment, path, baseline] =
        all.texts.map(|texts| texts.array(None));
    let columns = vec![
        ints(sequence),
        resource_id,
        finding_id,
        names(all.transition.iter().map(|transition| transition.name())),
        provider,
        account,
        region,
        kind,
        id,
        all.address.array(),
        environment,
        path,
        names(all.kind.iter().map(|kind| kind.name())),
        all.expected.array(),
        all.observed.array(),
        ints(all.leaves.iter().map(|leaves| i64::from(*leaves))),
        names(all.severity.iter().map(|severity| severity.name())),
        all.fold.array(),
        baseline,
        ints(all.baseline_version.iter().map(|version| i64::from(*version))),
        source.array(None),
        times(all.observed_at.iter().copied()),
        ingested_at,
        times(std::iter::repeat_n(committed_at, rows)),
    ];
    RecordBatch::try_new(schema::findings(), columns).expect("the columns follow the schema")
}

/// Adds a part to what an id is hashed from; its length goes before it, so that parts cannot shift.
fn add_part(bytes: &mut Vec<u8>, part: &str) {
    bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
    bytes.extend_from_slice(part.as_bytes());
}

/// 128 bits in hex.
fn id(bytes: &[u8]) -> [u8; 32] {
    let mut hex = [0; 32];
    hex.copy_from_slice(&blake3::hash(bytes).to_hex().as_bytes()[..32]);
    hex
}

fn hex(id: &[u8; 32]) -> &str {
    std::str::from_utf8(id).expect("hex is ASCII")
}

/// The stable id of a resource.
pub(crate) fn resource_id(key: [&str; 5]) -> String {
    let mut bytes = Vec::new();
    key.iter().for_each(|part| add_part(&mut bytes, part));
    hex(&id(&bytes)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_a_finding_come_back() {
        for expected in [None, Some(""), Some("1")] {
            for observed in [None, Some("\"é\"")] {
                for fold in [None, Some("empty")] {
                    let values = (expected, observed);
                    let kind = FindingKind::Changed;
                    let finding =
                        OpenFinding::new("/a/b", kind, values, 3, Severity::Degraded, fold);
                    assert_eq!(finding.path(), "/a/b");
                    assert_eq!((finding.expected(), finding.observed()), values);
                    assert_eq!(finding.fold(), fold);
                    assert_eq!(finding.counts(), fold.is_none());
                }
            }
        }
    }

    #[test]
    fn chunks_are_joined_in_order() {
        let subject = |id| Subject {
            key: ["aws", "1", "r", "t", id],
            address: None,
            environment: "default",
            dialect: deployforge_model::Dialect::Native,
            baseline: None,
        };
        let finding = |path| {
            let values = (Some("1"), None);
            OpenFinding::new(path, FindingKind::Removed, values, 1, Severity::Degraded, None)
        };
        let (a, b) = (finding("/a"), finding("/b"));
        let mut one = Findings::default();
        let both = [(Transition::Opened, &a), (Transition::Closed, &b)];
        one.push(&subject("x"), Timestamp(1), both.into_iter());
        let mut two = Findings::with_capacity(1);
        two.push(&subject("y"), Timestamp(1), std::iter::once((Transition::Opened, &a)));
        let chunk = |findings, source: &str| Chunk {
            findings,
            source: source.into(),
            ingested_at: Timestamp(2),
        };
        let kept = one.filter(&[false, true]);
        let chunks = vec![chunk(one, "s"), chunk(two, "t"), chunk(kept, "u")];
        let rows: Vec<_> = chunks.iter().flat_map(Chunk::rows).collect();
        let shown: Vec<_> = rows.iter().map(|row| (row.key[4], row.path, row.source)).collect();
        assert_eq!(shown, [("x", "/a", "s"), ("x", "/b", "s"), ("y", "/a", "t"), ("x", "/b", "u")]);
        let batches = Chunk::batches(chunks, Timestamp(3), 10);
        assert_eq!((batches.len(), batches[0].num_rows(), batches[0].num_columns()), (1, 4, 24));
    }
}
