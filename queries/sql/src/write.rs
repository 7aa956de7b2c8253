//! Results as bytes: JSON, CSV, Parquet. Tables for people are drawn by the binary.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder;
use arrow::datatypes::SchemaRef;
use arrow::json::ArrayWriter;
use deployforge_history::deltalake::parquet::arrow::ArrowWriter;

use crate::SqlError;

/// The machine formats of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// One JSON array of objects.
    Json,
    /// CSV with a header.
    Csv,
    /// One Parquet file.
    Parquet,
}

/// Writes a result.
pub fn write_batches(
    out: &mut (dyn Write + Send),
    schema: &SchemaRef,
    batches: &[RecordBatch],
    format: OutputFormat,
) -> Result<(), SqlError> {
    let failed = |error: &dyn std::fmt::Display| SqlError::Write(error.to_string());
    match format {
        OutputFormat::Json => {
            let mut writer = ArrayWriter::new(&mut *out);
            for batch in batches {
                writer.write(batch).map_err(|e| failed(&e))?;
            }
            writer.finish().map_err(|e| failed(&e))?;
            writeln!(out).map_err(|e| failed(&e))
        }
        OutputFormat::Csv => {
            let mut writer = WriterBuilder::new().with_header(true).build(out);
            writer.write(&RecordBatch::new_empty(schema.clone())).map_err(|e| failed(&e))?;
            for batch in batches {
                writer.write(batch).map_err(|e| failed(&e))?;
            }
            Ok(())
        }
        OutputFormat::Parquet => {
            let mut writer =
                ArrowWriter::try_new(out, schema.clone(), None).map_err(|e| failed(&e))?;
            for batch in batches {
                writer.write(batch).map_err(|e| failed(&e))?;
            }
            writer.close().map_err(|e| failed(&e))?;
            Ok(())
        }
    }
}
