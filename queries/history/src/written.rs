//! Files between their writing and their commit.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use deltalake::kernel::Add;

use crate::{HistoryError, Table, files};

/// Long text: its least and greatest values would help no query, and bloat the log.
const LONG_TEXT: [&str; 4] = ["expected", "observed", "state", "reason"];

/// Writes data files of a history's tables.
#[derive(Clone, Debug)]
pub struct Writer {
    root: PathBuf,
}

impl Writer {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// See [`History::write`](crate::History::write).
    pub fn write(&self, table: Table, batches: &[RecordBatch]) -> Result<Written, HistoryError> {
        let schema = table.schema();
        for batch in batches {
            fits(table, &schema, &batch.schema())?;
        }
        let folder = self.root.join(table.name());
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let mut add = None;
        if rows > 0 {
            let written = files::write(&folder, &schema, &LONG_TEXT, batches);
            add = Some(written.map_err(|error| HistoryError::Write {
                table: table.name(),
                path: folder.clone(),
                error: Box::new(error),
            })?);
        }
        Ok(Written { table, folder, rows, add })
    }
}

/// Refuses rows whose columns are not exactly the table's: nothing is cast, moved or left out.
fn fits(table: Table, schema: &Schema, rows: &Schema) -> Result<(), HistoryError> {
    let columns = schema.fields().len().max(rows.fields().len());
    let name = |schema: &Schema, column: usize| match schema.fields().get(column) {
        Some(field) => describe(field),
        None => "is none".to_owned(),
    };
    let differs = (0..columns).find(|at| schema.fields().get(*at) != rows.fields().get(*at));
    differs.map_or(Ok(()), |column| {
        let (want, got) = (name(schema, column), name(rows, column));
        Err(HistoryError::Rows { table: table.name(), want, got })
    })
}

fn describe(field: &Field) -> String {
    let null = if field.is_nullable() { "or null" } else { "never null" };
    format!("is `{}` of {}, {null}", field.name(), field.data_type())
}

/// Rows in a file that no commit names yet. What is dropped without a commit is removed again.
#[derive(Debug)]
#[must_use = "the rows are in no table before `History::commit_written`"]
pub struct Written {
    table: Table,
    folder: PathBuf,
    rows: u64,
    add: Option<Add>,
}

impl Written {
    /// Whose rows they are.
    pub fn table(&self) -> Table {
        self.table
    }

    /// How many rows were written.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How many bytes the file has.
    pub fn bytes(&self) -> u64 {
        self.add.as_ref().map_or(0, |add| add.size as u64)
    }

    /// What a table's log is to say of the file.
    pub(crate) fn add(&self) -> Option<&Add> {
        self.add.as_ref()
    }

    /// Gives the file into the hands of a commit.
    pub(crate) fn into_adds(mut self) -> (Table, Option<Add>) {
        (self.table, self.add.take())
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if let Some(add) = &self.add {
            // A file that stays is no harm: nothing names it.
            let _ = fs::remove_file(self.folder.join(&add.path));
        }
    }
}
