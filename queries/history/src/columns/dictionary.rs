//! The dictionary of a column of text.

use std::hash::BuildHasher as _;
use std::ops::ControlFlow;

use arrow::array::{Array, StringArray};
use deltalake::parquet::basic::Encoding;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::bits;
use super::pages::Values;
use super::text::each;

/// Bytes of a dictionary, which a reader holds whole.
const DICTIONARY_BYTES: usize = 1 << 20;

/// Values that a dictionary takes before it asks whether they repeat.
const DISTINCT_FREE: usize = 1024;

/// How often values come, on average and at least, if they have a dictionary.
const REPETITION: usize = 4;

/// Places for values that came lately.
const RECENT: usize = 512;

/// Each value once, in the order in which it first comes: its place is its code.
pub(super) struct Dictionary<'a> {
    codes: HashTable<u32>,
    /// Seeded: who writes an inventory cannot choose values that collide.
    hasher: DefaultHashBuilder,
    values: Vec<&'a str>,
    bytes: usize,
    /// Values that came lately and their codes. Most rows end here, without a hash of all bytes.
    recent: Vec<Option<(Digest, u32)>>,
}

impl<'a> Dictionary<'a> {
    /// The dictionary, and the code of each value; `None` if values hardly repeat.
    pub(super) fn of(arrays: &[&'a StringArray]) -> Option<(Self, Vec<u32>)> {
        let mut this = Self {
            codes: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            values: Vec::new(),
            bytes: 0,
            recent: vec![None; RECENT],
        };
        let count = arrays.iter().map(|array| array.len() - array.null_count()).sum();
        let mut codes = Vec::with_capacity(count);
        for array in arrays {
            let all = each(array, |value| {
                let digest = Digest::of(value.as_bytes());
                if let Some((before, code)) = this.recent[digest.place()]
                    && before == digest
                    && (digest.says_all() || this.values[code as usize] == value)
                {
                    codes.push(code);
                    return ControlFlow::Continue(());
                }
                let code = this.code(value);
                this.recent[digest.place()] = Some((digest, code));
                codes.push(code);
                if this.pays(codes.len()) {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
            if all.is_break() {
                return None;
            }
        }
        Some((this, codes))
    }

    fn code(&mut self, value: &'a str) -> u32 {
        let Self { codes, hasher, values, bytes, .. } = self;
        let hash = hasher.hash_one(value);
        if let Some(code) = codes.find(hash, |code| values[*code as usize] == value) {
            return *code;
        }
        let code = values.len() as u32;
        values.push(value);
        *bytes += size_of::<u32>() + value.len();
        codes.insert_unique(hash, code, |code| hasher.hash_one(values[*code as usize]));
        code
    }

    fn pays(&self, rows: usize) -> bool {
        self.values.len() <= DISTINCT_FREE.max(rows / REPETITION) && self.bytes <= DICTIONARY_BYTES
    }

    pub(super) fn values(&self) -> &[&'a str] {
        &self.values
    }

    /// The bits of a code.
    pub(super) fn width(&self) -> u32 {
        bits::width_of(self.values.len().saturating_sub(1) as u64)
    }

    /// As its page has it: length and bytes of one value after the other.
    pub(super) fn plain(&self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(self.bytes);
        for value in &self.values {
            plain.extend_from_slice(&(value.len() as u32).to_le_bytes());
            plain.extend_from_slice(value.as_bytes());
        }
        plain
    }
}

/// Length, and the first, the middle and the last eight bytes of a value.
#[derive(Clone, Copy, PartialEq)]
struct Digest {
    length: usize,
    first: u64,
    middle: u64,
    last: u64,
}

impl Digest {
    fn of(value: &[u8]) -> Self {
        let eight = |at: usize| value[at..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        let four =
            |at: usize| value[at..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b).into());
        let length = value.len();
        let (first, middle, last) = match length {
            0..4 => (value.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)), 0, 0),
            4..8 => (four(0), 0, four(length - 4)),
            8..=16 => (eight(0), 0, eight(length - 8)),
            _ => (eight(0), eight(length / 2 - 4), eight(length - 8)),
        };
        Self { length, first, middle, last }
    }

    /// Whether no other value has this digest: its parts cover the whole of it.
    fn says_all(self) -> bool {
        self.length <= 24
    }

    fn place(self) -> usize {
        let parts = [self.first, self.middle.rotate_left(21), self.last.rotate_left(42)];
        let mixed = parts.iter().fold(self.length as u64, |all, part| all ^ part);
        // The upper bits of the product depend on all bits of the factor.
        (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as usize % RECENT
    }
}

/// Codes on their way into pages.
pub(super) struct Codes<'a> {
    /// What is not in a page yet; the first `page` belong to the page under way.
    pub(super) codes: &'a [u32],
    pub(super) page: usize,
    pub(super) width: u32,
}

impl Values<'_> for Codes<'_> {
    type Array = StringArray;
    const ENCODING: Encoding = Encoding::RLE_DICTIONARY;

    fn append(&mut self, array: &StringArray, row: usize, rows: usize) {
        let nulls = array.nulls().map_or(0, |nulls| nulls.slice(row, rows).null_count());
        self.page += rows - nulls;
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        let (page, rest) = self.codes.split_at(self.page);
        (self.codes, self.page) = (rest, 0);
        out.push(self.width as u8);
        bits::hybrid(out, self.width, page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_values_of_up_to_24_bytes_apart() {
        for length in 0..=24 {
            let value = vec![b'a'; length];
            for at in 0..length {
                let mut other = value.clone();
                other[at] = b'b';
                assert!(Digest::of(&value) != Digest::of(&other), "{length} {at}");
            }
            assert!(Digest::of(&value) != Digest::of(&vec![b'a'; length + 1]));
        }
    }

    #[test]
    fn a_dictionary_is_given_up_where_values_hardly_repeat() {
        let unique = StringArray::from_iter_values((0..5000).map(|i| format!("value {i}")));
        assert!(Dictionary::of(&[&unique]).is_none());
        // Alike but for a byte that no digest has.
        let middle = |i| format!("{}{i:03}{}", "x".repeat(10), "y".repeat(40));
        let values = (0..6000).map(|i| (i % 3 != 0).then(|| middle(i % 500)));
        let alike: StringArray = values.collect();
        let (dictionary, codes) = Dictionary::of(&[&alike]).expect("values repeat");
        let values: Vec<&str> = codes.iter().map(|c| dictionary.values()[*c as usize]).collect();
        assert_eq!(values, alike.iter().flatten().collect::<Vec<_>>());
        assert_eq!((dictionary.values().len(), dictionary.width()), (500, 9));
        // Long values fill it before they are many.
        let long =
            StringArray::from_iter_values((0..40).map(|i| format!("{i}{}", "z".repeat(65_536))));
        assert!(Dictionary::of(&[&long]).is_none());
    }
}
