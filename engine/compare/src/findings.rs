//! Findings: what is open of a resource, and transitions on their way into the history as columns.

use arrow::array::RecordBatch;
use deployforge_model::{FindingKind, Severity, Timestamp, Transition, schema};

use crate::chunks::{Columns, Prepares, Shared, SharedArrays};
use crate::columns::{OptionalTexts, Subjects, Texts, concat, filter, hex, id, ints, names};
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

    /// The same, suppressed by what bears this name.
    pub(crate) fn suppressed(&self, fold: &str) -> Self {
        let values = (self.expected(), self.observed());
        Self::new(self.path(), self.kind, values, self.leaves, self.severity, Some(fold))
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

    /// The normaliser that says it means nothing, or the rule: `rule:NAME`.
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

/// Transitions of findings of one source, taken in at one time, as columns of the table `findings`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Findings {
    subjects: Subjects,
    finding_id: Texts,
    path: Texts,
    expected: OptionalTexts,
    observed: OptionalTexts,
    fold: OptionalTexts,
    transition: Vec<Transition>,
    kind: Vec<FindingKind>,
    severity: Vec<Severity>,
    leaves: Vec<u32>,
    /// What ids are hashed from.
    scratch: Vec<u8>,
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
            subjects: Subjects::with_capacity(rows),
            finding_id: Texts::with_capacity(rows, rows * 32),
            path: Texts::with_capacity(rows, rows * 32),
            expected: OptionalTexts::with_capacity(rows, rows * 20),
            observed: OptionalTexts::with_capacity(rows, rows * 20),
            fold: OptionalTexts::with_capacity(rows, 0),
            transition: Vec::with_capacity(rows),
            kind: Vec::with_capacity(rows),
            severity: Vec::with_capacity(rows),
            leaves: Vec::with_capacity(rows),
            scratch: Vec::new(),
        }
    }

    /// Adds transitions of one resource's findings.
    pub(crate) fn push<'f>(
        &mut self,
        subject: &Subject<'_>,
        observed_at: Timestamp,
        rows: impl Iterator<Item = (Transition, &'f OpenFinding)>,
    ) {
        let before = self.transition.len();
        for (transition, finding) in rows {
            self.path.push(finding.path());
            self.expected.push(finding.expected());
            self.observed.push(finding.observed());
            self.fold.push(finding.fold());
            self.transition.push(transition);
            self.kind.push(finding.kind);
            self.severity.push(finding.severity);
            self.leaves.push(finding.leaves);
        }
        let pushed = before..self.transition.len();
        let resource_id = self.subjects.push(subject, observed_at, pushed.len());
        for row in pushed {
            self.scratch.clear();
            self.scratch.extend_from_slice(&resource_id);
            self.scratch.extend_from_slice(self.path.get(row).as_bytes());
            self.finding_id.push(hex(&id(&self.scratch)));
        }
    }
}

impl Columns for Findings {
    type Row<'r> = FindingRow<'r>;

    fn rows(&self) -> usize {
        self.transition.len()
    }

    fn bytes(&self) -> usize {
        let texts = [self.subjects.bytes(), self.finding_id.bytes(), self.path.bytes()];
        let values = [self.expected.bytes(), self.observed.bytes()];
        texts.into_iter().chain(values).max().unwrap_or(0)
    }

    fn join(all: Vec<Self>) -> Self {
        let all = all.iter();
        Self {
            subjects: Subjects::concat(all.clone().map(|one| &one.subjects)),
            finding_id: Texts::concat(all.clone().map(|one| &one.finding_id)),
            path: Texts::concat(all.clone().map(|one| &one.path)),
            expected: OptionalTexts::concat(all.clone().map(|one| &one.expected)),
            observed: OptionalTexts::concat(all.clone().map(|one| &one.observed)),
            fold: OptionalTexts::concat(all.clone().map(|one| &one.fold)),
            transition: concat(all.clone().map(|one| &one.transition)),
            kind: concat(all.clone().map(|one| &one.kind)),
            severity: concat(all.clone().map(|one| &one.severity)),
            leaves: concat(all.map(|one| &one.leaves)),
            scratch: Vec::new(),
        }
    }

    fn row<'r>(&'r self, row: usize, shared: &'r Shared) -> FindingRow<'r> {
        let subjects = &self.subjects;
        let (baseline, baseline_version) = subjects.baseline(row);
        FindingRow {
            key: subjects.key(row),
            address: subjects.address(row),
            environment: subjects.environment(row),
            path: self.path.get(row),
            transition: self.transition[row],
            kind: self.kind[row],
            expected: self.expected.get(row),
            observed: self.observed.get(row),
            leaves: self.leaves[row],
            severity: self.severity[row],
            fold: self.fold.get(row),
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
        let columns = vec![
            shared.sequence,
            of.resource_id,
            self.finding_id.array(),
            names(self.transition.iter().map(|transition| transition.name())),
            provider,
            account,
            region,
            kind,
            id,
            of.address,
            of.environment,
            self.path.array(),
            names(self.kind.iter().map(|kind| kind.name())),
            self.expected.array(),
            self.observed.array(),
            ints(self.leaves.iter().map(|leaves| i64::from(*leaves))),
            names(self.severity.iter().map(|severity| severity.name())),
            self.fold.array(),
            of.baseline,
            of.baseline_version,
            shared.source,
            of.observed_at,
            shared.ingested_at,
            shared.committed_at,
        ];
        RecordBatch::try_new(schema::findings(), columns).expect("the columns follow the schema")
    }
}

impl Prepares for Findings {
    fn shrunk(self) -> Self {
        if self.subjects.capacity() < self.rows() * 2 { self } else { Self::join(vec![self]) }
    }

    fn filter(&self, keep: &[bool]) -> Self {
        Self {
            subjects: self.subjects.filter(keep),
            finding_id: self.finding_id.filter(keep),
            path: self.path.filter(keep),
            expected: self.expected.filter(keep),
            observed: self.observed.filter(keep),
            fold: self.fold.filter(keep),
            transition: filter(&self.transition, keep),
            kind: filter(&self.kind, keep),
            severity: filter(&self.severity, keep),
            leaves: filter(&self.leaves, keep),
            scratch: Vec::new(),
        }
    }

    fn observe(&mut self, when: impl Fn(Timestamp) -> Timestamp) {
        self.subjects.observe(when);
    }
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
}
