//! Parquet files.

use ::arrow::datatypes::Schema;
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::errors::ParquetError;
use bytes::Bytes;
use deployforge_model::RejectCode;

use super::{BATCH_ROWS, Rows, damaged, problem, thrift};
use crate::refusal::Refusal;
use crate::sink::Sink;

/// What ends the file: the length of the footer, and the four bytes that it began with.
const TAIL: usize = 8;

pub(super) fn read(bytes: &Bytes, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    thrift::check_schema(footer(bytes)?)?;
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(|error| refused(&error))?;
    let groups = builder.metadata().row_groups();
    let unpacked: i64 = groups.iter().fold(0, |all, group| {
        all.saturating_add(
            group
                .columns()
                .iter()
                .fold(0, |sum: i64, column| sum.saturating_add(column.uncompressed_size().max(0))),
        )
    });
    let limit = sink.options.limits.document_bytes;
    if unpacked as u64 > limit as u64 {
        let reason = format!(
            "This table unpacks to more than the limit of {limit} bytes; write it in several files."
        );
        return Err(Refusal::new(RejectCode::TooLarge, reason));
    }
    let mut rows = Rows::new(&schema_of(&builder), sink)?;
    let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(|error| refused(&error))?;
    for batch in reader {
        rows.take(&batch.map_err(|error| said(&error.to_string()))?, sink)?;
    }
    Ok(())
}

/// The Arrow schema, with what the file says of the table: in the schema itself, or beside it.
fn schema_of(builder: &ParquetRecordBatchReaderBuilder<Bytes>) -> Schema {
    let mut schema = builder.schema().as_ref().clone();
    let beside = builder.metadata().file_metadata().key_value_metadata();
    for pair in beside.into_iter().flatten() {
        if let (true, Some(value)) = (pair.key.starts_with("cq:"), &pair.value) {
            schema.metadata.entry(pair.key.clone()).or_insert_with(|| value.clone());
        }
    }
    schema
}

fn footer(bytes: &[u8]) -> Result<&[u8], Refusal> {
    let short = || damaged("it ends before its footer");
    let body = bytes.len().checked_sub(TAIL).ok_or_else(short)?;
    let (before, tail) = bytes.split_at(body);
    if &tail[4..] == b"PARE" {
        let reason = "The footer of this Parquet file is encrypted; decrypt it first.";
        return Err(Refusal::new(RejectCode::Encrypted, reason));
    }
    if &tail[4..] != b"PAR1" {
        return Err(short());
    }
    let length = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]) as usize;
    let start = body.checked_sub(length).ok_or_else(|| damaged("its footer is longer than it"))?;
    Ok(&before[start..])
}

fn refused(error: &ParquetError) -> Refusal {
    said(&error.to_string())
}

fn said(text: &str) -> Refusal {
    if text.contains("Disabled feature") || text.contains("not supported") || text.contains("NYI") {
        let reason = format!(
            "This Parquet file is written in a way that is not read ({}); write it with Snappy, with Zstandard or without compression.",
            problem(text)
        );
        return Refusal::new(RejectCode::Unsupported, reason);
    }
    damaged(&problem(text))
}
