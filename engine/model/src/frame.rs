//! The frame: records of one block as read, with what was found in them, as one Arrow batch.
//!
//! The payload is copied once, from the source into the block. A frame's columns point into it:
//! `record` holds the records (an Arrow binary view over the block), the spans say where within the
//! block parts of a record stand. The schema is [`schema::frame`].

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewArray, FixedSizeBinaryArray, RecordBatch, TimestampMicrosecondArray,
    UInt32Array, UInt64Array,
};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};

use crate::schema;
use crate::{
    Dialect, Key128, ObservationRow, Presence, Record, SourcePosition, StateForm, StateMember,
    StateText, Timestamp,
};

/// Bytes of one input as they were read, cut at a newline.
#[derive(Clone, Debug)]
pub struct Block {
    /// The bytes.
    pub bytes: Buffer,
    /// Offset of the first in the input.
    pub offset: u64,
}

impl Block {
    /// A block of bytes that `owner` holds, and takes back when nothing points into them any more.
    pub fn new(owner: impl AsRef<[u8]> + Send + 'static, offset: u64) -> Self {
        Self { bytes: Buffer::from(bytes::Bytes::from_owner(owner)), offset }
    }
}

/// Where something stands: start and length within the block.
pub type Span = (u32, u32);

/// What a scan found in one record.
#[derive(Clone, Copy, Debug)]
pub struct FrameRow {
    /// The resource key's 128 bits.
    pub key128: Key128,
    /// Fingerprint of the state's text.
    pub raw: u64,
    /// The source's version, if it has one.
    pub version: Option<u64>,
    /// When it was observed; `None`: the source does not say.
    pub observed_at: Option<Timestamp>,
    /// Line within the block, from 0.
    pub line: u32,
    /// The whole record.
    pub record: Span,
    /// The state's text: a claim, see [`StateForm::Members`].
    pub state: Span,
    /// Account, region, type and id; the provider is the frame's.
    pub parts: [Span; 4],
    /// A globally unique name; empty: none.
    pub alias: Span,
}

/// Records of one block.
#[derive(Clone, Debug)]
pub struct Frame {
    batch: RecordBatch,
    block: Buffer,
    /// In whose words the states are written.
    pub dialect: Dialect,
    /// The provider of every resource.
    pub provider: &'static str,
    /// The members that a state's text may have.
    pub members: &'static [StateMember],
    /// Where the block starts: its line is the number of its first line.
    pub start: SourcePosition,
    key128: ScalarBuffer<i128>,
    raw: ScalarBuffer<u64>,
    version: UInt64Array,
    observed_at: TimestampMicrosecondArray,
    /// What stands in where the source gave no time, if anything does.
    stand_in: Vec<Option<Timestamp>>,
    line: ScalarBuffer<u32>,
    spans: [ScalarBuffer<u32>; SPANS * 2],
}

/// Record, state, account, region, type, id, alias.
const SPANS: usize = 7;

impl Frame {
    /// How many records.
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The Arrow batch itself; see [`schema::frame`].
    pub fn record_batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// The resource key of a row.
    #[inline]
    pub fn key128(&self, row: usize) -> Key128 {
        Key128(self.key128[row] as u128)
    }

    /// The fingerprint of a row's state text.
    #[inline]
    pub fn raw(&self, row: usize) -> u64 {
        self.raw[row]
    }

    /// The source's version.
    #[inline]
    pub fn version(&self, row: usize) -> Option<u64> {
        use arrow::array::Array as _;
        self.version.is_valid(row).then(|| self.version.value(row))
    }

    /// When it was observed.
    #[inline]
    pub fn observed_at(&self, row: usize) -> Option<Timestamp> {
        use arrow::array::Array as _;
        self.observed_at.is_valid(row).then(|| Timestamp(self.observed_at.value(row)))
    }

    /// When it was observed, or when what it came in was made, if the source gave no time.
    #[inline]
    pub fn when(&self, row: usize) -> Option<Timestamp> {
        self.observed_at(row).or_else(|| self.stand_in.get(row).copied().flatten())
    }

    /// Lets times stand in where the source gave none; `time_of` gives that of a line of the block,
    /// counted from 0.
    pub fn stand_in(&mut self, time_of: impl Fn(u32) -> Option<Timestamp>) {
        use arrow::array::Array as _;
        if self.observed_at.null_count() > 0 {
            self.stand_in = self.line.iter().map(|line| time_of(*line)).collect();
        }
    }

    #[inline]
    fn span(&self, which: usize, row: usize) -> Range<usize> {
        let start = self.spans[which * 2][row] as usize;
        start..start + self.spans[which * 2 + 1][row] as usize
    }

    /// The whole record.
    pub fn record(&self, row: usize) -> &[u8] {
        &self.block[self.span(0, row)]
    }

    /// The text of the state, which is a claim.
    #[inline]
    pub fn state(&self, row: usize) -> StateText<'_> {
        let form = StateForm::Members(self.members);
        StateText { text: &self.block[self.span(1, row)], form }
    }

    /// Account, region, type and id.
    pub fn parts(&self, row: usize) -> [&str; 4] {
        std::array::from_fn(|i| self.text(2 + i, row))
    }

    /// The type.
    pub fn kind(&self, row: usize) -> &str {
        self.text(4, row)
    }

    /// A globally unique name; empty: none.
    pub fn alias(&self, row: usize) -> &str {
        self.text(6, row)
    }

    /// What a row says, if its claim holds; `now` stands in where the source gave no time.
    pub fn observation(&self, row: usize, now: Timestamp) -> ObservationRow<'_> {
        let [account, region, resource_type, id] = self.parts(row);
        ObservationRow {
            key128: self.key128(row),
            provider: self.provider,
            account,
            region,
            resource_type,
            id,
            dialect: self.dialect,
            address: None,
            aliases: self.alias(row),
            presence: Presence::Present,
            sweep: None,
            sensitive: "",
            collection: None,
            observed_at: self.when(row).unwrap_or(now),
            timed: self.observed_at(row).is_some(),
            version: self.version(row),
            tainted: false,
            position: self.position(row),
            state: self.state(row).text,
        }
    }

    fn text(&self, which: usize, row: usize) -> &str {
        // Scans accept ASCII only.
        std::str::from_utf8(&self.block[self.span(which, row)]).unwrap_or_default()
    }

    /// Where a record was read.
    pub fn position(&self, row: usize) -> SourcePosition {
        SourcePosition {
            offset: self.start.offset + u64::from(self.spans[0][row]),
            line: self.start.line + u64::from(self.line[row]),
        }
    }
}

/// Reads a record with the parser, where a scan could not tell.
pub trait RecordReader: Sync + std::fmt::Debug {
    /// What the record in a row of a frame is.
    fn record(&self, frame: &Frame, row: usize) -> Vec<Record>;
}

/// Gathers the rows of a [`Frame`].
#[derive(Debug, Default)]
pub struct FrameBuilder {
    key128: Vec<i128>,
    raw: Vec<u64>,
    version: Vec<u64>,
    versioned: Vec<bool>,
    observed_at: Vec<i64>,
    timed: Vec<bool>,
    line: Vec<u32>,
    views: Vec<u128>,
    spans: [Vec<u32>; SPANS * 2],
}

impl FrameBuilder {
    /// A builder with room for `rows` rows.
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            key128: Vec::with_capacity(rows),
            raw: Vec::with_capacity(rows),
            version: Vec::with_capacity(rows),
            versioned: Vec::with_capacity(rows),
            observed_at: Vec::with_capacity(rows),
            timed: Vec::with_capacity(rows),
            line: Vec::with_capacity(rows),
            views: Vec::with_capacity(rows),
            spans: std::array::from_fn(|_| Vec::with_capacity(rows)),
        }
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a row; `block` is what its spans point into. A record has at least 13 bytes, which is
    /// what an Arrow view that is not inlined needs.
    #[inline]
    pub fn push(&mut self, row: &FrameRow, block: &[u8]) {
        self.key128.push(row.key128.0 as i128);
        self.raw.push(row.raw);
        self.version.push(row.version.unwrap_or(0));
        self.versioned.push(row.version.is_some());
        self.observed_at.push(row.observed_at.map_or(0, Timestamp::micros));
        self.timed.push(row.observed_at.is_some());
        self.line.push(row.line);
        let (start, length) = row.record;
        let prefix: [u8; 4] = block[start as usize..start as usize + 4].try_into().expect("four");
        self.views.push(
            u128::from(length)
                | u128::from(u32::from_le_bytes(prefix)) << 32
                | u128::from(start) << 96,
        );
        let [account, region, kind, id] = row.parts;
        let spans = [row.record, row.state, account, region, kind, id, row.alias];
        for (i, (start, length)) in spans.into_iter().enumerate() {
            self.spans[i * 2].push(start);
            self.spans[i * 2 + 1].push(length);
        }
    }

    /// Seals the frame over its block.
    pub fn finish(
        self,
        block: &Block,
        dialect: Dialect,
        provider: &'static str,
        members: &'static [StateMember],
    ) -> Frame {
        let start = SourcePosition { offset: block.offset, line: 1 };
        let block = block.bytes.clone();
        let rows = self.raw.len();
        let key128 = Buffer::from_vec(self.key128);
        let raw = ScalarBuffer::from(self.raw);
        let version = UInt64Array::new(
            ScalarBuffer::from(self.version),
            Some(NullBuffer::from(self.versioned)),
        );
        let observed_at = TimestampMicrosecondArray::new(
            ScalarBuffer::from(self.observed_at),
            Some(NullBuffer::from(self.timed)),
        )
        .with_timezone("UTC");
        let line = ScalarBuffer::from(self.line);
        let spans = self.spans.map(ScalarBuffer::from);
        let views = ScalarBuffer::from(self.views);
        let record = BinaryViewArray::try_new(views, vec![block.clone()], None)
            .expect("records lie within the block");
        let key = FixedSizeBinaryArray::try_new(16, key128.clone(), None).expect("16 bytes a row");
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(key),
            Arc::new(record),
            Arc::new(UInt64Array::new(raw.clone(), None)),
            Arc::new(version.clone()),
            Arc::new(observed_at.clone()),
            Arc::new(UInt32Array::new(line.clone(), None)),
        ];
        columns.extend(spans.iter().map(|span| {
            let column: ArrayRef = Arc::new(UInt32Array::new(span.clone(), None));
            column
        }));
        let batch =
            RecordBatch::try_new(schema::frame(), columns).expect("the columns follow the schema");
        Frame {
            batch,
            block,
            dialect,
            provider,
            members,
            start,
            key128: ScalarBuffer::new(key128, 0, rows),
            raw,
            version,
            observed_at,
            stand_in: Vec::new(),
            line,
            spans,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_point_into_the_block() {
        let text = br#"{"account":"1","region":"r","type":"t","id":"i","state":{"a":1}}"#;
        let at = |part: &str| {
            let text = std::str::from_utf8(text).unwrap();
            (text.find(part).unwrap() as u32, part.len() as u32)
        };
        let row = FrameRow {
            key128: Key128(7 << 90),
            raw: 5,
            version: None,
            observed_at: Some(Timestamp(9)),
            line: 2,
            record: (0, text.len() as u32),
            state: at("\"a\":1"),
            parts: [at("1"), at("r"), at("t"), at("i")],
            alias: (0, 0),
        };
        let mut builder = FrameBuilder::default();
        builder.push(&row, text);
        let block = Block::new(text.to_vec(), 100);
        let mut frame = builder.finish(&block, Dialect::Native, "aws", &[]);
        frame.start.line = 10;
        assert_eq!(frame.len(), 1);
        assert_eq!(frame.key128(0), Key128(7 << 90));
        assert_eq!(frame.record(0), text);
        assert_eq!(frame.state(0).text, br#""a":1"#);
        assert_eq!(frame.parts(0)[0], "1");
        assert_eq!((frame.version(0), frame.observed_at(0)), (None, Some(Timestamp(9))));
        assert_eq!(frame.position(0), SourcePosition { offset: 100, line: 12 });
        assert_eq!(frame.record_batch().num_rows(), 1);
        let observation = frame.observation(0, Timestamp(1));
        assert_eq!(observation.parts(), ["aws", "1", "r", "t", "i"]);
        assert_eq!((observation.version, observation.observed_at), (None, Timestamp(9)));
        assert_eq!((observation.state, observation.aliases().count()), (&br#""a":1"#[..], 0));
    }
}
