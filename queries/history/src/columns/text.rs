//! Text: codes into a dictionary where values repeat, else lengths and bytes.

use std::ops::ControlFlow;

use arrow::array::{Array, StringArray};
use deltalake::parquet::basic::Encoding;
use deltalake::parquet::errors::Result;
use deltalake::parquet::schema::types::ColumnDescPtr;

use super::Chunk;
use super::bits;
use super::dictionary::{Codes, Dictionary};
use super::pages::{Pages, Values};
use crate::stats::{Bounds, ColumnStats};

/// Bytes of text in a page, unless one value alone is longer.
const PAGE_BYTES: usize = 1 << 20;

/// Writes a chunk of text. `bounded`: its least and greatest value are kept.
pub(super) fn write(
    descriptor: &ColumnDescPtr,
    arrays: &[&StringArray],
    bounded: bool,
) -> Result<Chunk> {
    let mut pages = Pages::new(descriptor)?;
    let mut range = Range::default();
    let mut add = |value| {
        range.add(value);
        ControlFlow::<()>::Continue(())
    };
    if let Some((dictionary, codes)) = Dictionary::of(arrays) {
        pages.dictionary(&dictionary.plain(), dictionary.values().len())?;
        pages.data(arrays, &mut Codes { codes: &codes, page: 0, width: dictionary.width() })?;
        if bounded {
            let _ = dictionary.values().iter().try_for_each(|value| add(*value));
        }
    } else {
        pages.data(arrays, &mut Plain::default())?;
        if bounded {
            let _ = arrays.iter().try_for_each(|array| each(array, &mut add));
        }
    }
    let nulls = arrays.iter().map(|array| array.null_count() as u64).sum();
    pages.close(ColumnStats { nulls, bounds: range.bounds() })
}

/// Each value that is there, until one says stop.
pub(super) fn each<'a>(
    array: &'a StringArray,
    mut take: impl FnMut(&'a str) -> ControlFlow<()>,
) -> ControlFlow<()> {
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => (0..array.len()).try_for_each(|row| take(array.value(row))),
        Some(nulls) => nulls.valid_indices().try_for_each(|row| take(array.value(row))),
    }
}

/// Lengths and bytes of the page under way; the bytes stay in their arrays until it is full.
#[derive(Default)]
struct Plain<'a> {
    lengths: Vec<i64>,
    parts: Vec<&'a [u8]>,
    bytes: usize,
}

impl<'a> Values<'a> for Plain<'a> {
    type Array = StringArray;
    const ENCODING: Encoding = Encoding::DELTA_LENGTH_BYTE_ARRAY;

    fn fitting(&self, array: &StringArray, row: usize, rows: usize) -> usize {
        let offsets = array.value_offsets();
        let end = offsets[row] as usize + PAGE_BYTES.saturating_sub(self.bytes);
        let fitting = offsets[row + 1..=row + rows].partition_point(|next| *next as usize <= end);
        fitting.max(usize::from(self.bytes == 0))
    }

    fn append(&mut self, array: &'a StringArray, row: usize, rows: usize) {
        let offsets = &array.value_offsets()[row..=row + rows];
        let mut stretch = |start: usize, end: usize| {
            let offsets = &offsets[start..=end];
            self.lengths.extend(offsets.windows(2).map(|ends| i64::from(ends[1] - ends[0])));
            let (first, last) = (offsets[0] as usize, offsets[end - start] as usize);
            self.parts.push(&array.value_data()[first..last]);
            self.bytes += last - first;
        };
        let nulls = array.nulls().map(|nulls| nulls.slice(row, rows));
        match nulls.filter(|nulls| nulls.null_count() > 0) {
            None => stretch(0, rows),
            // Stretches between nulls: a null may have bytes, and they are not of any value.
            Some(nulls) => nulls.valid_slices().for_each(|(start, end)| stretch(start, end)),
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        bits::differences(out, &self.lengths);
        out.reserve(self.bytes);
        self.parts.iter().for_each(|part| out.extend_from_slice(part));
        self.lengths.clear();
        self.parts.clear();
        self.bytes = 0;
    }
}

/// The least and the greatest of some values.
#[derive(Default)]
struct Range<'a> {
    ends: Option<(&'a str, &'a str)>,
    /// Their first eight bytes, which nearly always decide.
    heads: (u64, u64),
}

impl<'a> Range<'a> {
    fn add(&mut self, value: &'a str) {
        let head = head(value.as_bytes());
        let Some((least, greatest)) = &mut self.ends else {
            (self.ends, self.heads) = (Some((value, value)), (head, head));
            return;
        };
        if head <= self.heads.0 && value < *least {
            (*least, self.heads.0) = (value, head);
        }
        if head >= self.heads.1 && value > *greatest {
            (*greatest, self.heads.1) = (value, head);
        }
    }

    fn bounds(self) -> Bounds {
        self.ends.map_or(Bounds::None, |(least, greatest)| {
            Bounds::Text(least.to_owned(), greatest.to_owned())
        })
    }
}

fn head(value: &[u8]) -> u64 {
    let first = value.first_chunk().copied().unwrap_or_else(|| {
        let mut first = [0; 8];
        first[..value.len()].copy_from_slice(value);
        first
    });
    u64::from_be_bytes(first)
}
