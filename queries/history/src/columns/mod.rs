//! The columns of a row group as Parquet has them.
//!
//! [`write`] turns the columns of some batches into one [`Chunk`] each, several at a time on
//! rayon's threads. Every type of column has one way to be written, chosen by measuring
//! (`docs/adr/0009-own-parquet-writing.md`).
//!
//! What is deliberately absent: nested columns, and types that no table of the history has.

mod bits;
mod dictionary;
mod levels;
mod numbers;
mod pages;
mod text;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use bytes::Bytes;
use deltalake::parquet::column::writer::ColumnCloseResult;
use deltalake::parquet::errors::{ParquetError, Result};
use deltalake::parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};
use rayon::prelude::*;

use crate::stats::{Bounds, ColumnStats};

/// A column of a row group, ready to be put into a file.
pub(crate) struct Chunk {
    /// Its pages.
    pub(crate) bytes: Bytes,
    /// What the footer says of them.
    pub(crate) close: ColumnCloseResult,
    /// What the log says of them.
    pub(crate) stats: ColumnStats,
}

/// Writes each column of the batches, all of which have the schema; a row keeps its place. Text of
/// the columns `unbounded` has no bounds.
pub(crate) fn write(
    schema: &SchemaDescriptor,
    batches: &[RecordBatch],
    unbounded: &[&str],
) -> Result<Vec<Chunk>> {
    let column = |index: usize| {
        let descriptor = schema.column(index);
        let arrays: Vec<&dyn Array> = batches.iter().map(|batch| &**batch.column(index)).collect();
        let bounded = !unbounded.contains(&descriptor.name());
        write_column(&descriptor, &arrays, bounded)
    };
    // Columns differ in cost: each is a task of its own.
    (0..schema.num_columns()).into_par_iter().with_max_len(1).map(column).collect()
}

fn write_column(descriptor: &ColumnDescPtr, arrays: &[&dyn Array], bounded: bool) -> Result<Chunk> {
    let first = arrays.first().map_or(DataType::Null, |array| array.data_type().clone());
    match first {
        DataType::Utf8 => text::write(descriptor, &all(arrays)?, bounded),
        DataType::Int64 => {
            numbers::write_ints::<Int64Type>(descriptor, &all(arrays)?, Bounds::Ints)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let times = all(arrays)?;
            numbers::write_ints::<TimestampMicrosecondType>(descriptor, &times, Bounds::Times)
        }
        DataType::Float64 => numbers::write_floats(descriptor, &all(arrays)?),
        DataType::Boolean => numbers::write_booleans(descriptor, &all(arrays)?),
        other => Err(ParquetError::NYI(format!("columns of type {other}"))),
    }
}

fn all<'a, A: 'static>(arrays: &[&'a dyn Array]) -> Result<Vec<&'a A>> {
    let typed = arrays.iter().map(|array| array.as_any().downcast_ref());
    typed.collect::<Option<_>>().ok_or_else(|| {
        ParquetError::General("batches of one table differ in their types".to_owned())
    })
}
