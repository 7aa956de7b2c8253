//! Rows of any table.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::DataType;
use deployforge_history::Table;

/// Rows of a table that carry offsets: `source` is the partition, the first number the offset.
pub(crate) fn rows(table: Table, partition: &str, offsets: std::ops::Range<i64>) -> RecordBatch {
    let length = (offsets.end - offsets.start) as usize;
    let mut first = true;
    let schema = table.schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.data_type() {
            DataType::Int64 if std::mem::take(&mut first) => {
                Arc::new(Int64Array::from_iter_values(offsets.clone()))
            }
            DataType::Utf8 if field.name() == "source" => {
                Arc::new(StringArray::from_iter_values(offsets.clone().map(|_| partition)))
            }
            _ if field.is_nullable() => new_null_array(field.data_type(), length),
            other => {
                let zeros: ArrayRef = Arc::new(Int64Array::from(vec![0; length]));
                arrow::compute::cast(&zeros, other).expect("a number casts to it")
            }
        }
    });
    RecordBatch::try_new(table.schema(), columns.collect()).expect("the columns follow the schema")
}
