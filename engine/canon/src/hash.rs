//! The hash of a value's meaning: one definition for a tree and for text.
//!
//! Equal meaning gives equal hashes whichever way a state was read; `walk` and `flat` both call
//! these functions and nothing else.

use deployforge_model::Seed;

use crate::number::Number;

/// The path of a state's root.
pub(crate) const ROOT: u64 = 0x5f0d;

/// The path of a member.
#[inline]
pub(crate) fn member_path(seed: &Seed, path: u64, name: u64) -> u64 {
    seed.mix(path, name)
}

/// The path of an array's element: no name hashes to it but by chance.
pub(crate) fn element_path(seed: &Seed, path: u64, index: usize) -> u64 {
    seed.mix(seed.mix(path, 0xe1e), index as u64)
}

pub(crate) fn null(seed: &Seed) -> u64 {
    seed.mix(1, 0)
}

pub(crate) fn boolean(seed: &Seed, value: bool) -> u64 {
    seed.mix(2, u64::from(value))
}

#[inline]
pub(crate) fn integer(seed: &Seed, value: i64) -> u64 {
    seed.mix(3, value as u64)
}

pub(crate) fn number(seed: &Seed, number: &Number) -> u64 {
    match number {
        Number::Int(value) => integer(seed, *value),
        Number::UInt(value) => seed.mix(4, *value),
        Number::Float(value) => seed.mix(5, value.to_bits()),
        Number::Text(text) => seed.mix(6, seed.text(text.as_bytes())),
    }
}

#[inline]
pub(crate) fn string(seed: &Seed, text: &[u8]) -> u64 {
    seed.mix(7, seed.text(text))
}

pub(crate) fn secret(seed: &Seed, hmac: &str) -> u64 {
    seed.mix(8, seed.text(hmac.as_bytes()))
}

pub(crate) fn unresolved(seed: &Seed, reason: &str) -> u64 {
    seed.mix(12, seed.text(reason.as_bytes()))
}

/// Where the hash of an ordered array starts.
pub(crate) const ORDERED: u64 = 0x0a11;

/// The hash of an ordered array with one more element.
#[inline]
pub(crate) fn ordered_step(seed: &Seed, all: u64, element: u64) -> u64 {
    seed.mix(all, element)
}

pub(crate) fn ordered(seed: &Seed, length: usize, all: u64) -> u64 {
    seed.mix(0x9 ^ ((length as u64) << 8), all)
}

/// What one element adds to the sum of a set. It was hashed whole before, so that leaves cannot be
/// swapped between elements.
pub(crate) fn set_step(seed: &Seed, element: u64) -> u64 {
    seed.mix(10, element)
}

pub(crate) fn set(seed: &Seed, length: usize, sum: u64) -> u64 {
    seed.mix(0xb ^ ((length as u64) << 8), sum)
}

/// What one member adds to the sum of an object that is hashed as a whole.
#[inline]
pub(crate) fn object_step(seed: &Seed, name: u64, value: u64) -> u64 {
    seed.mix(name, value)
}

#[inline]
pub(crate) fn object(seed: &Seed, length: usize, sum: u64) -> u64 {
    seed.mix(0xd ^ ((length as u64) << 8), sum)
}
