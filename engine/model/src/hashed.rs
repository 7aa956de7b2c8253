//! Maps by keys that are hashes already.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// Takes a key that is a hash as its own hash, instead of hashing it again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hashed(u64);

/// A set of what is a hash already.
pub type HashedSet<K> = HashSet<K, BuildHasherDefault<Hashed>>;

/// A map whose keys are hashes already.
pub type HashedMap<K, V> = HashMap<K, V, BuildHasherDefault<Hashed>>;

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}
