//! The observation batch: what crosses from ingest to the engine in bulk.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder,
    RecordBatch, StringBuilder, TimestampMicrosecondBuilder, UInt64Builder,
};
use arrow::array::{
    BooleanArray, FixedSizeBinaryArray, StringArray, TimestampMicrosecondArray, UInt64Array,
};

use crate::schema;
use crate::{Dialect, Key128, Observation, Presence, ResourceKey, SourcePosition, Timestamp};

/// Many observations of one source as one Arrow batch; the schema is [`schema::observation_batch`].
///
/// The columns are fetched once, so that [`ObservationBatch::row`] costs a few slices and no copy.
#[derive(Clone, Debug)]
pub struct ObservationBatch {
    batch: RecordBatch,
    key128: FixedSizeBinaryArray,
    text: [StringArray; TEXT.len()],
    observed_at: TimestampMicrosecondArray,
    version: UInt64Array,
    tainted: BooleanArray,
    timed: BooleanArray,
    offset: UInt64Array,
    line: UInt64Array,
    state: BinaryArray,
}

/// The text columns, in schema order, after `key128`.
const TEXT: [&str; 12] = [
    "provider",
    "account",
    "region",
    "type",
    "id",
    "dialect",
    "address",
    "aliases",
    "presence",
    "sweep",
    "sensitive",
    "collection",
];

/// Separates the entries of `aliases`, none of which holds a newline.
const SEPARATOR: char = '\n';

/// Ends each entry of `sensitive`. A pointer can hold any character, newlines too, and the empty one is
/// the root: one that got lost on the way would show what it covers. No pointer holds this: its `~` is
/// followed by a digit.
const END_OF_POINTER: &str = "~\n";

/// One observation, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // each field is the column of the same name, see `schema::observation_batch`
pub struct ObservationRow<'a> {
    pub key128: Key128,
    pub provider: &'a str,
    pub account: &'a str,
    pub region: &'a str,
    pub resource_type: &'a str,
    pub id: &'a str,
    pub dialect: Dialect,
    pub address: Option<&'a str>,
    pub(crate) aliases: &'a str,
    pub presence: Presence,
    pub sweep: Option<&'a str>,
    pub(crate) sensitive: &'a str,
    pub collection: Option<&'a str>,
    pub observed_at: Timestamp,
    pub timed: bool,
    pub version: Option<u64>,
    pub tainted: bool,
    pub position: SourcePosition,
    pub state: &'a [u8],
}

impl<'a> ObservationRow<'a> {
    /// Provider, account, region, type and id.
    pub fn parts(&self) -> [&'a str; 5] {
        [self.provider, self.account, self.region, self.resource_type, self.id]
    }

    /// The key, owned.
    pub fn key(&self) -> ResourceKey {
        ResourceKey {
            provider: self.provider.to_owned(),
            account: self.account.to_owned(),
            region: self.region.to_owned(),
            resource_type: self.resource_type.to_owned(),
            id: self.id.to_owned(),
        }
    }

    /// Other names of the same object.
    pub fn aliases(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.aliases.split(SEPARATOR).filter(|alias| !alias.is_empty())
    }

    /// Paths that the source declared sensitive.
    pub fn sensitive(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.sensitive.split_terminator(END_OF_POINTER)
    }
}

impl ObservationBatch {
    /// How many observations.
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The Arrow batch itself.
    pub fn record_batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// Bytes of payload.
    pub fn state_bytes(&self) -> usize {
        self.state.value_data().len()
    }

    /// The 128-bit key of a row.
    pub fn key128(&self, row: usize) -> Key128 {
        let bytes = self.key128.value(row).try_into().expect("the column is 16 bytes wide");
        Key128::from_bytes(bytes)
    }

    /// One observation.
    pub fn row(&self, row: usize) -> ObservationRow<'_> {
        let text = |column: usize| self.text[column].value(row);
        let optional =
            |column: usize| (!self.text[column].is_null(row)).then(|| self.text[column].value(row));
        ObservationRow {
            key128: self.key128(row),
            provider: text(0),
            account: text(1),
            region: text(2),
            resource_type: text(3),
            id: text(4),
            dialect: text(5).parse().expect("written from a Dialect"),
            address: optional(6),
            aliases: text(7),
            presence: text(8).parse().expect("written from a Presence"),
            sweep: optional(9),
            sensitive: text(10),
            collection: optional(11),
            observed_at: Timestamp(self.observed_at.value(row)),
            timed: self.timed.value(row),
            version: (!self.version.is_null(row)).then(|| self.version.value(row)),
            tainted: self.tainted.value(row),
            position: SourcePosition { offset: self.offset.value(row), line: self.line.value(row) },
            state: self.state.value(row),
        }
    }
}

/// Packs observations into an [`ObservationBatch`].
#[derive(Debug)]
pub struct ObservationBatchBuilder {
    seed: u64,
    key128: FixedSizeBinaryBuilder,
    text: [StringBuilder; TEXT.len()],
    observed_at: TimestampMicrosecondBuilder,
    version: UInt64Builder,
    tainted: BooleanBuilder,
    timed: BooleanBuilder,
    offset: UInt64Builder,
    line: UInt64Builder,
    state: BinaryBuilder,
    rows: usize,
    bytes: usize,
}

impl ObservationBatchBuilder {
    /// A builder whose keys are hashed under `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            key128: FixedSizeBinaryBuilder::new(16),
            text: std::array::from_fn(|_| StringBuilder::new()),
            observed_at: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            version: UInt64Builder::new(),
            tainted: BooleanBuilder::new(),
            timed: BooleanBuilder::new(),
            offset: UInt64Builder::new(),
            line: UInt64Builder::new(),
            state: BinaryBuilder::new(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Adds one observation; `now` stands in where the source gave no time.
    pub fn push(&mut self, observation: &Observation, now: Timestamp) {
        self.rows += 1;
        self.bytes += observation.state.len() + 256;
        let key = observation.key.hash128(self.seed);
        self.key128.append_value(key.to_bytes()).expect("16 bytes");
        for (builder, part) in self.text.iter_mut().zip(observation.key.parts()) {
            builder.append_value(part);
        }
        self.text[5].append_value(observation.dialect.name());
        self.text[6].append_option(observation.address.as_deref());
        self.text[7].append_value(join(&observation.aliases));
        self.text[8].append_value(observation.presence.name());
        self.text[9].append_option(observation.sweep.as_deref());
        self.text[10].append_value(pointers(&observation.sensitive));
        self.text[11].append_option(observation.collection.as_deref());
        self.observed_at.append_value(observation.observed_at.unwrap_or(now).micros());
        self.version.append_option(observation.version);
        self.tainted.append_value(observation.tainted);
        self.timed.append_value(observation.observed_at.is_some());
        self.offset.append_value(observation.position.offset);
        self.line.append_value(observation.position.line);
        self.state.append_value(&observation.state);
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes so far, about: the caller seals a batch by this.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Seals the batch and starts the next.
    pub fn finish(&mut self) -> ObservationBatch {
        let key128 = self.key128.finish();
        let text: [StringArray; TEXT.len()] = std::array::from_fn(|i| self.text[i].finish());
        let observed_at = self.observed_at.finish();
        let version = self.version.finish();
        let tainted = self.tainted.finish();
        let timed = self.timed.finish();
        let offset = self.offset.finish();
        let line = self.line.finish();
        let state = self.state.finish();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(key128.clone())];
        columns.extend(text.iter().map(|column| Arc::new(column.clone()) as ArrayRef));
        columns.push(Arc::new(observed_at.clone()));
        columns.push(Arc::new(version.clone()));
        columns.push(Arc::new(tainted.clone()));
        columns.push(Arc::new(timed.clone()));
        columns.push(Arc::new(offset.clone()));
        columns.push(Arc::new(line.clone()));
        columns.push(Arc::new(state.clone()));
        let batch = RecordBatch::try_new(schema::observation_batch(), columns)
            .expect("the builders follow the schema");
        self.rows = 0;
        self.bytes = 0;
        ObservationBatch {
            batch,
            key128,
            text,
            observed_at,
            version,
            tainted,
            timed,
            offset,
            line,
            state,
        }
    }
}

fn join(entries: &[String]) -> String {
    let clean: Vec<&str> =
        entries.iter().map(String::as_str).filter(|entry| !entry.contains(SEPARATOR)).collect();
    clean.join("\n")
}

fn pointers(entries: &[String]) -> String {
    entries.iter().flat_map(|entry| [entry, END_OF_POINTER]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root came back as no pointer at all, and what holds a newline was left out.
    const POINTERS: [&str; 5] = ["", "/a", "/b\n/c", "/\n", "/m~0\n~1"];

    #[test]
    fn rows_come_back_as_they_went_in() {
        let observation = Observation {
            aliases: vec!["arn:aws:s3:::b".to_owned()],
            version: Some(3),
            presence: Presence::Deleted,
            sweep: Some("s1".to_owned()),
            sensitive: POINTERS.map(str::to_owned).to_vec(),
            ..Observation::of(
                ResourceKey::new("aws", "1", "eu-west-1", "AWS::S3::Bucket", "b"),
                Dialect::AwsConfig,
                b"{}".to_vec(),
                SourcePosition::default(),
            )
        };
        let mut builder = ObservationBatchBuilder::new(1);
        builder.push(&observation, Timestamp(5));
        let batch = builder.finish();
        let row = batch.row(0);
        assert_eq!(row.key(), observation.key);
        assert_eq!(row.key128, observation.key.hash128(1));
        assert_eq!((row.observed_at, row.timed), (Timestamp(5), false));
        assert_eq!(row.version, Some(3));
        assert_eq!(row.presence, Presence::Deleted);
        assert_eq!(row.aliases().collect::<Vec<_>>(), ["arn:aws:s3:::b"]);
        assert_eq!(row.sensitive().collect::<Vec<_>>(), POINTERS);
        assert_eq!(row.sweep, Some("s1"));
        for few in [&[][..], &[String::new()]] {
            builder.push(
                &Observation { sensitive: few.to_vec(), ..observation.clone() },
                Timestamp(5),
            );
            assert!(builder.finish().row(0).sensitive().eq(few.iter().map(String::as_str)));
        }
    }
}
