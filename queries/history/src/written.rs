//! Files between their writing and their commit.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use deltalake::kernel::Add;
use deltalake::parquet::errors::ParquetError;
use deployforge_store::Place;

use crate::{HistoryError, Table, files};

/// Long text: its least and greatest values would help no query, and bloat the log.
const LONG_TEXT: [&str; 4] = ["expected", "observed", "state", "reason"];

/// Writes data files of a history's tables.
#[derive(Clone, Debug)]
pub struct Writer {
    place: Place,
    scratch: PathBuf,
}

impl Writer {
    pub(crate) fn new(place: &Place, scratch: &Path) -> Self {
        Self { place: place.clone(), scratch: scratch.to_owned() }
    }

    /// See [`History::write`](crate::History::write).
    pub fn write(&self, table: Table, batches: &[RecordBatch]) -> Result<Written, HistoryError> {
        let schema = table.schema();
        for batch in batches {
            fits(table, &schema, &batch.schema())?;
        }
        match batches.iter().map(|batch| batch.num_rows() as u64).sum() {
            0 => {
                Ok(Written { table, place: self.place.clone(), rows: 0, add: None, waiting: None })
            }
            rows => self.write_groups(table, rows, files::whole(batches)),
        }
    }

    /// Writes rows of the table's columns that come one batch after another.
    pub(crate) fn rewrite(
        &self,
        table: Table,
        rows: u64,
        batches: impl Iterator<Item = Result<RecordBatch, ParquetError>>,
    ) -> Result<Written, HistoryError> {
        self.write_groups(table, rows, files::gathered(batches))
    }

    fn write_groups(
        &self,
        table: Table,
        rows: u64,
        groups: impl Iterator<Item = Result<Vec<RecordBatch>, ParquetError>>,
    ) -> Result<Written, HistoryError> {
        let (schema, place) = (table.schema(), self.place.below(table.name()));
        let failed = |folder: &Path, error| HistoryError::Write {
            table: table.name(),
            path: folder.display().to_string(),
            error: Box::new(error),
        };
        let (add, waiting) = if let Some(folder) = place.local() {
            let written = files::write(folder, &schema, &LONG_TEXT, groups);
            (written.map_err(|error| failed(folder, error))?, None)
        } else {
            let written = files::write_apart(&self.scratch, &schema, &LONG_TEXT, groups);
            let (add, file) = written.map_err(|error| failed(&self.scratch, error))?;
            (add, Some(file))
        };
        Ok(Written { table, place, rows, add: Some(add), waiting })
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

/// Rows in a file that no commit names yet. What is dropped without a commit is removed again; what was
/// never uploaded is in no store at all.
#[derive(Debug)]
#[must_use = "the rows are in no table before `History::commit_written`"]
pub struct Written {
    table: Table,
    place: Place,
    rows: u64,
    add: Option<Add>,
    /// What has to be uploaded yet.
    waiting: Option<File>,
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

    /// The place of the table.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The file that has to be uploaded yet, if any; asked once.
    pub(crate) fn take_waiting(&mut self) -> Option<File> {
        self.waiting.take()
    }

    /// Gives the file into the hands of a commit.
    pub(crate) fn into_adds(mut self) -> (Table, Option<Add>) {
        (self.table, self.add.take())
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if let (Some(add), Some(folder)) = (&self.add, self.place.local()) {
            // A file that stays is no harm: nothing names it.
            let _ = fs::remove_file(folder.join(&add.path));
        }
    }
}
