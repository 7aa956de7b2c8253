//! Which rows of a page hold a value.

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::NullBuffer;

use super::bits;

/// Validity of the rows of the page under way.
pub(super) struct Levels {
    /// Empty until a row is null: most pages never need it.
    valid: BooleanBufferBuilder,
    rows: usize,
    nulls: usize,
}

impl Levels {
    pub(super) fn new() -> Self {
        Self { valid: BooleanBufferBuilder::new(0), rows: 0, nulls: 0 }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Appends rows; without a buffer, all are there.
    pub(super) fn append(&mut self, rows: usize, nulls: Option<&NullBuffer>) {
        match nulls.filter(|nulls| nulls.null_count() > 0) {
            Some(nulls) => {
                self.valid.append_n(self.rows - self.valid.len(), true);
                self.valid.append_buffer(nulls.inner());
                self.nulls += nulls.null_count();
            }
            None if self.nulls > 0 => self.valid.append_n(rows, true),
            None => {}
        }
        self.rows += rows;
    }

    /// The definition levels of a column that may be null: a length, then runs and groups.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        if self.nulls == 0 || self.nulls == self.rows {
            bits::repeated(out, 1, u32::from(self.nulls == 0), self.rows);
        } else {
            // Arrow packs validity as Parquet packs groups of one bit.
            bits::header_of_groups(out, self.valid.as_slice().len());
            out.extend_from_slice(self.valid.as_slice());
        }
        let length = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }

    pub(super) fn clear(&mut self) {
        self.valid.truncate(0);
        (self.rows, self.nulls) = (0, 0);
    }
}
