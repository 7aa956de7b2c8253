//! The data files of a table: written beside their name, and renamed into it once they are whole; for
//! an upload, into files without a name.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use deltalake::kernel::Add;
use deltalake::parquet::arrow::ArrowSchemaConverter;
use deltalake::parquet::errors::{ParquetError, Result};
use deltalake::parquet::file::properties::WriterProperties;
use deltalake::parquet::file::writer::SerializedFileWriter;
use deltalake::parquet::schema::types::SchemaDescriptor;

use crate::columns;
use crate::stats::{self, ColumnStats};

/// Rows of a row group: what one task of a reader takes.
const GROUP_ROWS: usize = 1 << 20;

/// Memory of rows that are read to be written again, beyond which a row group is full too.
const GROUP_BYTES: usize = 64 << 20;

/// What is handed to the system at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes one file of row groups, in their order, and says what the log is to say of it. The
/// batches have the schema. `unbounded` are the columns of which no least and greatest value is
/// kept.
pub(crate) fn write(
    folder: &Path,
    schema: &Schema,
    unbounded: &[&str],
    groups: impl Iterator<Item = Result<Vec<RecordBatch>>>,
) -> Result<Add> {
    let name = name()?;
    let beside = folder.join(format!("{name}.tmp"));
    let written = File::create_new(&beside)
        .map_err(ParquetError::from)
        .and_then(|file| fill(file, schema, unbounded, groups))
        .and_then(|(mut add, _)| {
            fs::rename(&beside, folder.join(&name))?;
            add.path = name;
            Ok(add)
        });
    if written.is_err() {
        // The error is what matters; what is left has no name that anything reads.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// The same into a file without a name, which goes when it is closed, for an upload.
pub(crate) fn write_apart(
    scratch: &Path,
    schema: &Schema,
    unbounded: &[&str],
    groups: impl Iterator<Item = Result<Vec<RecordBatch>>>,
) -> Result<(Add, File)> {
    let name = name()?;
    let file = tempfile::tempfile_in(scratch)?;
    let (mut add, file) = fill(file, schema, unbounded, groups)?;
    add.path = name;
    Ok((add, file))
}

fn fill(
    file: File,
    schema: &Schema,
    unbounded: &[&str],
    groups: impl Iterator<Item = Result<Vec<RecordBatch>>>,
) -> Result<(Add, File)> {
    let descriptor = ArrowSchemaConverter::new().convert(schema)?;
    // Pages carry no statistics, so that an index of them would only say where they are.
    let properties = WriterProperties::builder().set_offset_index_disabled(true).build();
    let out = BufWriter::with_capacity(BUFFER_BYTES, file);
    let root = descriptor.root_schema_ptr();
    let mut writer = SerializedFileWriter::new(out, root, Arc::new(properties))?;
    let mut stats = vec![ColumnStats::default(); descriptor.num_columns()];
    let mut rows = 0;
    for group in groups {
        let group = group?;
        rows += group.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
        let mut out = writer.next_row_group()?;
        let chunks = columns::write(&descriptor, &group, unbounded)?;
        for (chunk, stats) in chunks.into_iter().zip(&mut stats) {
            out.append_column(&chunk.bytes, chunk.close)?;
            stats.merge(chunk.stats);
        }
        out.close()?;
    }
    let file = writer.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok((add_of(&file, rows, &descriptor, &stats)?, file))
}

/// The row groups of rows that are in memory.
pub(crate) fn whole(batches: &[RecordBatch]) -> impl Iterator<Item = Result<Vec<RecordBatch>>> {
    groups(batches, GROUP_ROWS).into_iter().map(Ok)
}

/// The row groups of rows that come one batch after another: no more is in memory than one of them, and
/// that is bounded.
pub(crate) fn gathered(
    mut batches: impl Iterator<Item = Result<RecordBatch>>,
) -> impl Iterator<Item = Result<Vec<RecordBatch>>> {
    std::iter::from_fn(move || {
        let (mut group, mut rows, mut bytes) = (Vec::new(), 0, 0);
        while rows < GROUP_ROWS && bytes < GROUP_BYTES {
            match batches.next() {
                Some(Ok(batch)) => {
                    rows += batch.num_rows();
                    bytes += batch.get_array_memory_size();
                    group.push(batch);
                }
                Some(Err(error)) => return Some(Err(error)),
                None => break,
            }
        }
        (rows > 0).then_some(Ok(group))
    })
}

/// The batches, cut where a row group is full.
fn groups(batches: &[RecordBatch], rows: usize) -> Vec<Vec<RecordBatch>> {
    let (mut groups, mut room) = (Vec::new(), 0);
    for batch in batches {
        let mut row = 0;
        while row < batch.num_rows() {
            if room == 0 {
                groups.push(Vec::new());
                room = rows;
            }
            let take = room.min(batch.num_rows() - row);
            groups.last_mut().expect("one was begun").push(batch.slice(row, take));
            (row, room) = (row + take, room - take);
        }
    }
    groups
}

fn add_of(
    file: &File,
    rows: u64,
    descriptor: &SchemaDescriptor,
    stats: &[ColumnStats],
) -> Result<Add> {
    let metadata = file.metadata()?;
    // The clock of the file system is the one that a vacuum compares with.
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let names = descriptor.columns().iter().map(|column| column.name());
    Ok(Add {
        path: String::new(),
        partition_values: HashMap::new(),
        size: metadata.len() as i64,
        modification_time: modified.as_millis() as i64,
        data_change: true,
        stats: Some(stats::of_log(rows, names.zip(stats))),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    })
}

/// A name as Delta's writers give it: part, a random id, chunk, codec.
fn name() -> io::Result<String> {
    Ok(format!("part-00000-{}-c000.zstd.parquet", random_name()?))
}

/// A random id, in the form of a UUID of version 4.
pub(crate) fn random_name() -> io::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    // Version 4, variant 1.
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let hex = random.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::compute::concat_batches;
    use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use serde_json::{Value, json};

    use super::*;

    fn batch(numbers: std::ops::Range<i64>) -> RecordBatch {
        let text = numbers.clone().map(|n| (n % 3 != 0).then(|| format!("value {n}")));
        let text: ArrayRef = Arc::new(text.collect::<StringArray>());
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
        RecordBatch::try_from_iter_with_nullable([("n", numbers, false), ("t", text, true)])
            .expect("rows")
    }

    #[test]
    fn rows_keep_their_order_over_row_groups() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        let batches = [batch(-7..20), batch(0..0), batch(20..21), batch(21..50)];
        let schema = batches[0].schema();
        let file = File::create_new(&path).expect("a new file");
        let (add, _) =
            fill(file, &schema, &[], groups(&batches, 10).into_iter().map(Ok)).expect("written");
        let stats: Value = serde_json::from_str(&add.stats.expect("statistics")).expect("JSON");
        let want = json!({
            "numRecords": 57,
            "minValues": { "n": -7, "t": "value -1" },
            "maxValues": { "n": 49, "t": "value 8" },
            "nullCount": { "n": 0, "t": 19 },
        });
        assert_eq!(stats, want);
        let file = File::open(&path).expect("the file");
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file");
        assert_eq!(add.size as u64, path.metadata().expect("the file").len());
        assert_eq!(builder.metadata().num_row_groups(), 6);
        let read: Vec<_> = builder.build().expect("a reader").map(|b| b.expect("rows")).collect();
        let read = concat_batches(&schema, &read).expect("one schema");
        assert_eq!(read, concat_batches(&schema, &batches).expect("one schema"));
    }

    #[test]
    fn what_fails_leaves_no_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let nested: ArrayRef = Arc::new(arrow::array::Float32Array::from(vec![1.0]));
        let batch = RecordBatch::try_from_iter([("f", nested)]).expect("rows");
        let failed = write(dir.path(), &batch.schema(), &[], whole(&[batch]));
        assert!(failed.expect_err("no such column").to_string().contains("Float32"));
        assert_eq!(std::fs::read_dir(dir.path()).expect("our own folder").count(), 0);
        let absent = write(&dir.path().join("absent"), &batch_schema(), &[], whole(&[]));
        assert!(absent.is_err());
    }

    fn batch_schema() -> Schema {
        batch(0..0).schema().as_ref().clone()
    }

    #[test]
    fn names_are_as_delta_has_them_and_never_the_same() {
        let (one, other) = (name().expect("random"), name().expect("random"));
        assert_ne!(one, other);
        assert_eq!(
            one.len(),
            "part-00000-01234567-89ab-4def-8123-456789abcdef-c000.zstd.parquet".len()
        );
        assert_eq!((&one[..11], &one[25..26]), ("part-00000-", "4"));
    }
}
