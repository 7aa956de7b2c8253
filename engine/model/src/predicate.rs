//! A statement about findings, whatever language it was written in.

use std::fmt;

use arrow::array::{BooleanArray, RecordBatch};

/// A statement that holds or does not hold of each finding of a batch.
///
/// Rules are written in SQL and compiled where SQL is known; the stream knows only this. It has to
/// say the same of a row whichever rows stand beside it.
pub trait Predicate: fmt::Debug + Send + Sync {
    /// For each row of a batch of [`schema::rule_columns`](crate::schema::rule_columns) whether the
    /// statement holds: never null, and false of a row of which it says nothing.
    fn holds(&self, findings: &RecordBatch) -> BooleanArray;
}
