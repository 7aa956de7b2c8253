//! Integers and times as differences; fractions, and true and false, as they are.

use std::marker::PhantomData;

use arrow::array::{
    Array, ArrowPrimitiveType, BooleanArray, BooleanBufferBuilder, Float64Array, PrimitiveArray,
};
use deltalake::parquet::basic::Encoding;
use deltalake::parquet::errors::Result;
use deltalake::parquet::schema::types::ColumnDescPtr;

use super::Chunk;
use super::bits;
use super::pages::{Pages, Values};
use crate::stats::{Bounds, ColumnStats};

/// Writes a chunk of integers or times; `bounds` says which.
pub(super) fn write_ints<T: ArrowPrimitiveType<Native = i64>>(
    descriptor: &ColumnDescPtr,
    arrays: &[&PrimitiveArray<T>],
    bounds: fn(i64, i64) -> Bounds,
) -> Result<Chunk> {
    let mut ints = Ints::<T> { page: Vec::new(), ends: None, of: PhantomData };
    write(descriptor, arrays, &mut ints, |ints| {
        ints.ends.map_or(Bounds::None, |(least, greatest)| bounds(least, greatest))
    })
}

/// Writes a chunk of fractions.
pub(super) fn write_floats(descriptor: &ColumnDescPtr, arrays: &[&Float64Array]) -> Result<Chunk> {
    let mut floats = Floats::default();
    write(descriptor, arrays, &mut floats, |floats| {
        floats.ends.map_or(Bounds::None, |(least, greatest)| Bounds::Floats(least, greatest))
    })
}

/// Writes a chunk of true and false; Delta keeps no bounds of them.
pub(super) fn write_booleans(
    descriptor: &ColumnDescPtr,
    arrays: &[&BooleanArray],
) -> Result<Chunk> {
    let mut booleans = Booleans(BooleanBufferBuilder::new(0));
    write(descriptor, arrays, &mut booleans, |_| Bounds::None)
}

fn write<'a, V: Values<'a>>(
    descriptor: &ColumnDescPtr,
    arrays: &[&'a V::Array],
    values: &mut V,
    bounds: impl FnOnce(&V) -> Bounds,
) -> Result<Chunk> {
    let mut pages = Pages::new(descriptor)?;
    pages.data(arrays, values)?;
    let nulls = arrays.iter().map(|array| array.null_count() as u64).sum();
    pages.close(ColumnStats { nulls, bounds: bounds(values) })
}

struct Ints<T> {
    page: Vec<i64>,
    ends: Option<(i64, i64)>,
    of: PhantomData<T>,
}

impl<T: ArrowPrimitiveType<Native = i64>> Values<'_> for Ints<T> {
    type Array = PrimitiveArray<T>;
    const ENCODING: Encoding = Encoding::DELTA_BINARY_PACKED;

    fn append(&mut self, array: &Self::Array, row: usize, rows: usize) {
        let part = array.slice(row, rows);
        let start = self.page.len();
        if part.null_count() == 0 {
            self.page.extend_from_slice(part.values());
        } else {
            self.page.extend(part.iter().flatten());
        }
        let added = self.page[start..].iter().copied();
        if let (Some(least), Some(greatest)) = (added.clone().min(), added.max()) {
            let (a, b) = self.ends.unwrap_or((least, greatest));
            self.ends = Some((a.min(least), b.max(greatest)));
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        bits::differences(out, &self.page);
        self.page.clear();
    }
}

#[derive(Default)]
struct Floats {
    page: Vec<f64>,
    ends: Option<(f64, f64)>,
}

impl Values<'_> for Floats {
    type Array = Float64Array;
    const ENCODING: Encoding = Encoding::PLAIN;

    fn append(&mut self, array: &Float64Array, row: usize, rows: usize) {
        for value in array.slice(row, rows).iter().flatten() {
            self.page.push(value);
            // What is no number has no place in an order.
            if !value.is_nan() {
                // A zero of either sign is within bounds of both.
                let (least, greatest) = self.ends.unwrap_or((value, value));
                self.ends = Some((least.min(value), greatest.max(value)));
            }
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        out.extend(self.page.drain(..).flat_map(f64::to_le_bytes));
    }
}

struct Booleans(BooleanBufferBuilder);

impl Values<'_> for Booleans {
    type Array = BooleanArray;
    const ENCODING: Encoding = Encoding::PLAIN;

    fn append(&mut self, array: &BooleanArray, row: usize, rows: usize) {
        array.slice(row, rows).iter().flatten().for_each(|value| self.0.append(value));
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_slice());
        self.0.truncate(0);
    }
}
