//! Columns of rows on their way into the history: texts end to end, as Arrow has them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use deployforge_model::{Dialect, Timestamp};

use crate::output::Subject;

/// Text in one column beyond which no more is added: an Arrow column holds 2 GiB.
pub(crate) const COLUMN_BYTES: usize = 256 << 20;

/// Texts of one column, end to end, with the offsets that Arrow has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Texts {
    bytes: String,
    offsets: Vec<i32>,
}

impl Default for Texts {
    fn default() -> Self {
        Self::with_capacity(0, 0)
    }
}

impl Texts {
    pub(crate) fn with_capacity(rows: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { bytes: String::with_capacity(bytes), offsets }
    }

    #[inline]
    pub(crate) fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        self.offsets.push(self.bytes.len() as i32);
    }

    pub(crate) fn get(&self, row: usize) -> &str {
        &self.bytes[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }

    /// Bytes of all texts.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Many as one. What there will be is known before it is copied, so nothing has to grow.
    pub(crate) fn concat<'t>(all: impl Iterator<Item = &'t Self> + Clone) -> Self {
        let rows = all.clone().map(Self::rows).sum();
        let mut whole = Self::with_capacity(rows, all.clone().map(|one| one.bytes.len()).sum());
        for one in all {
            let before = whole.bytes.len() as i32;
            whole.bytes.push_str(&one.bytes);
            whole.offsets.extend(one.offsets[1..].iter().map(|end| before + end));
        }
        whole
    }

    pub(crate) fn filter(&self, keep: &[bool]) -> Self {
        let mut kept = Self::default();
        let rows = keep.iter().enumerate().filter(|(_, keep)| **keep);
        rows.for_each(|(row, _)| kept.push(self.get(row)));
        kept
    }

    pub(crate) fn array(self) -> ArrayRef {
        self.array_of(None)
    }

    fn array_of(self, valid: Option<Vec<bool>>) -> ArrayRef {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let bytes = Buffer::from_vec(self.bytes.into_bytes());
        Arc::new(StringArray::new(offsets, bytes, valid.map(NullBuffer::from)))
    }
}

/// Texts of a column that may have none in some rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OptionalTexts {
    texts: Texts,
    valid: Vec<bool>,
}

impl OptionalTexts {
    pub(crate) fn with_capacity(rows: usize, bytes: usize) -> Self {
        Self { texts: Texts::with_capacity(rows, bytes), valid: Vec::with_capacity(rows) }
    }

    #[inline]
    pub(crate) fn push(&mut self, text: Option<&str>) {
        self.texts.push(text.unwrap_or_default());
        self.valid.push(text.is_some());
    }

    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        self.valid[row].then(|| self.texts.get(row))
    }

    /// Bytes of all texts.
    pub(crate) fn bytes(&self) -> usize {
        self.texts.bytes()
    }

    pub(crate) fn concat<'t>(all: impl Iterator<Item = &'t Self> + Clone) -> Self {
        Self {
            texts: Texts::concat(all.clone().map(|one| &one.texts)),
            valid: concat(all.map(|one| &one.valid)),
        }
    }

    pub(crate) fn filter(&self, keep: &[bool]) -> Self {
        Self { texts: self.texts.filter(keep), valid: filter(&self.valid, keep) }
    }

    pub(crate) fn array(self) -> ArrayRef {
        self.texts.array_of(Some(self.valid))
    }
}

/// Columns of text that every row about a resource has: its id, the parts of its key, and what stands
/// beside them.
const TEXTS: usize = 8;
const RESOURCE_ID: usize = 0;
const PROVIDER: usize = 1;
const ENVIRONMENT: usize = 6;
const BASELINE: usize = 7;

/// Bytes of each of them in a usual row; what a column is given at first.
const ROW_BYTES: [usize; TEXTS] = [32, 4, 12, 12, 24, 32, 8, 8];

/// Who rows are about, by what they were judged, and when they were observed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Subjects {
    texts: [Texts; TEXTS],
    address: OptionalTexts,
    dialect: Vec<Dialect>,
    baseline_version: Vec<u32>,
    observed_at: Vec<Timestamp>,
    /// What ids are hashed from.
    scratch: Vec<u8>,
}

impl Subjects {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self {
            texts: std::array::from_fn(|i| Texts::with_capacity(rows, rows * ROW_BYTES[i])),
            address: OptionalTexts::with_capacity(rows, 0),
            dialect: Vec::with_capacity(rows),
            baseline_version: Vec::with_capacity(rows),
            observed_at: Vec::with_capacity(rows),
            scratch: Vec::new(),
        }
    }

    /// For how many rows there is room.
    pub(crate) fn capacity(&self) -> usize {
        self.dialect.capacity()
    }

    /// Bytes of the longest column of text.
    pub(crate) fn bytes(&self) -> usize {
        let texts = self.texts.iter().map(Texts::bytes);
        texts.chain([self.address.bytes()]).max().unwrap_or(0)
    }

    /// Adds `rows` rows about one resource; its id.
    pub(crate) fn push(
        &mut self,
        subject: &Subject<'_>,
        observed_at: Timestamp,
        rows: usize,
    ) -> [u8; 32] {
        self.scratch.clear();
        subject.key.iter().for_each(|part| add_part(&mut self.scratch, part));
        let resource_id = id(&self.scratch);
        for _ in 0..rows {
            self.texts[RESOURCE_ID].push(hex(&resource_id));
            for (part, text) in subject.key.iter().enumerate() {
                self.texts[PROVIDER + part].push(text);
            }
            self.texts[ENVIRONMENT].push(subject.environment);
            self.texts[BASELINE].push(subject.baseline_name());
            self.address.push(subject.address);
            self.dialect.push(subject.dialect);
            self.baseline_version.push(subject.baseline_version());
            self.observed_at.push(observed_at);
        }
        resource_id
    }

    /// Changes when rows were observed.
    pub(crate) fn observe(&mut self, when: impl Fn(Timestamp) -> Timestamp) {
        self.observed_at.iter_mut().for_each(|time| *time = when(*time));
    }

    pub(crate) fn filter(&self, keep: &[bool]) -> Self {
        Self {
            texts: std::array::from_fn(|i| self.texts[i].filter(keep)),
            address: self.address.filter(keep),
            dialect: filter(&self.dialect, keep),
            baseline_version: filter(&self.baseline_version, keep),
            observed_at: filter(&self.observed_at, keep),
            scratch: Vec::new(),
        }
    }

    pub(crate) fn concat<'s>(all: impl Iterator<Item = &'s Self> + Clone) -> Self {
        Self {
            texts: std::array::from_fn(|i| Texts::concat(all.clone().map(|one| &one.texts[i]))),
            address: OptionalTexts::concat(all.clone().map(|one| &one.address)),
            dialect: concat(all.clone().map(|one| &one.dialect)),
            baseline_version: concat(all.clone().map(|one| &one.baseline_version)),
            observed_at: concat(all.map(|one| &one.observed_at)),
            scratch: Vec::new(),
        }
    }

    /// Provider, account, region, type and id of a row.
    pub(crate) fn key(&self, row: usize) -> [&str; 5] {
        std::array::from_fn(|part| self.texts[PROVIDER + part].get(row))
    }

    pub(crate) fn address(&self, row: usize) -> Option<&str> {
        self.address.get(row)
    }

    pub(crate) fn environment(&self, row: usize) -> &str {
        self.texts[ENVIRONMENT].get(row)
    }

    pub(crate) fn dialect(&self, row: usize) -> Dialect {
        self.dialect[row]
    }

    /// Name and version.
    pub(crate) fn baseline(&self, row: usize) -> (&str, u32) {
        (self.texts[BASELINE].get(row), self.baseline_version[row])
    }

    pub(crate) fn observed_at(&self, row: usize) -> Timestamp {
        self.observed_at[row]
    }

    pub(crate) fn arrays(self) -> SubjectArrays {
        let [resource_id, provider, account, region, kind, id, environment, baseline] =
            self.texts.map(Texts::array);
        SubjectArrays {
            resource_id,
            key: [provider, account, region, kind, id],
            address: self.address.array(),
            environment,
            dialect: names(self.dialect.iter().map(|dialect| dialect.name())),
            baseline,
            baseline_version: ints(self.baseline_version.iter().map(|v| i64::from(*v))),
            observed_at: times(self.observed_at.iter().copied()),
        }
    }
}

/// [`Subjects`] as the history has them.
#[derive(Debug)]
pub(crate) struct SubjectArrays {
    pub(crate) resource_id: ArrayRef,
    pub(crate) key: [ArrayRef; 5],
    pub(crate) address: ArrayRef,
    pub(crate) environment: ArrayRef,
    pub(crate) dialect: ArrayRef,
    pub(crate) baseline: ArrayRef,
    pub(crate) baseline_version: ArrayRef,
    pub(crate) observed_at: ArrayRef,
}

pub(crate) fn concat<'t, T: Copy + 't>(all: impl Iterator<Item = &'t Vec<T>> + Clone) -> Vec<T> {
    let mut whole = Vec::with_capacity(all.clone().map(Vec::len).sum());
    all.for_each(|one| whole.extend_from_slice(one));
    whole
}

pub(crate) fn filter<T: Copy>(all: &[T], keep: &[bool]) -> Vec<T> {
    all.iter().zip(keep).filter(|(_, keep)| **keep).map(|(one, _)| *one).collect()
}

pub(crate) fn names(names: impl Iterator<Item = &'static str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(names))
}

pub(crate) fn optional_names(names: impl Iterator<Item = Option<&'static str>>) -> ArrayRef {
    Arc::new(names.collect::<StringArray>())
}

pub(crate) fn ints(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

pub(crate) fn optional_ints(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    Arc::new(values.map(|value| value.map(|value| value as i64)).collect::<Int64Array>())
}

pub(crate) fn times(values: impl Iterator<Item = Timestamp>) -> ArrayRef {
    let values = TimestampMicrosecondArray::from_iter_values(values.map(Timestamp::micros));
    Arc::new(values.with_timezone("UTC"))
}

pub(crate) fn optional_times(values: impl Iterator<Item = Option<Timestamp>>) -> ArrayRef {
    let values = values.map(|time| time.map(Timestamp::micros));
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

/// Adds a part to what an id is hashed from; its length goes before it, so that parts cannot shift.
fn add_part(bytes: &mut Vec<u8>, part: &str) {
    bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
    bytes.extend_from_slice(part.as_bytes());
}

/// 128 bits in hex.
pub(crate) fn id(bytes: &[u8]) -> [u8; 32] {
    let mut hex = [0; 32];
    hex.copy_from_slice(&blake3::hash(bytes).to_hex().as_bytes()[..32]);
    hex
}

pub(crate) fn hex(id: &[u8; 32]) -> &str {
    std::str::from_utf8(id).expect("hex is ASCII")
}
