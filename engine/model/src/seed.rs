//! The deployment's seed: fast keyed hashes that never leave the process.

use std::fmt;

use xxhash_rust::xxh3::{xxh3_64_with_secret, xxh3_64_with_seed};

/// Hashes texts and mixes words under a deployment's seed (xxh3, with a secret derived from it).
///
/// xxh3 is fast and not safe against an adversary who knows the seed: what it yields stays in the
/// process. What is kept is hashed with keyed BLAKE3.
#[derive(Clone)]
pub struct Seed {
    secret: Box<[u8; 192]>,
    keys: [u64; 2],
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed").finish_non_exhaustive()
    }
}

impl Seed {
    /// Derives the secret from a seed.
    pub fn new(seed: u64) -> Self {
        let word = |i: u64| xxh3_64_with_seed(&i.to_le_bytes(), seed);
        let mut secret = Box::new([0u8; 192]);
        for (i, bytes) in secret.chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&word(i as u64).to_le_bytes());
        }
        Self { secret, keys: [word(1000) | 1, word(1001) | 1] }
    }

    /// The hash of bytes.
    #[inline]
    pub fn text(&self, bytes: &[u8]) -> u64 {
        xxh3_64_with_secret(bytes, &*self.secret)
    }

    /// Mixes two words into one; the order of the two matters.
    #[inline]
    pub fn mix(&self, a: u64, b: u64) -> u64 {
        let product = u128::from(a ^ self.keys[0]) * u128::from(b.rotate_left(32) ^ self.keys[1]);
        (product as u64) ^ ((product >> 64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_and_the_order_matter() {
        let (a, b) = (Seed::new(1), Seed::new(2));
        for text in ["", "x", "a text of more than sixteen bytes", &"long ".repeat(100)] {
            assert_eq!(a.text(text.as_bytes()), Seed::new(1).text(text.as_bytes()));
            assert_ne!(a.text(text.as_bytes()), b.text(text.as_bytes()));
        }
        assert_ne!(a.mix(1, 2), a.mix(2, 1));
        assert_ne!(a.mix(1, 2), b.mix(1, 2));
        assert!(!format!("{a:?}").contains("secret"));
    }

    #[test]
    fn mixing_small_words_does_not_collide() {
        let seed = Seed::new(7);
        let mut all: Vec<u64> = (0..300)
            .flat_map(|a| (0..300).map(move |b| (a, b)))
            .map(|(a, b)| seed.mix(a, b))
            .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 300 * 300);
    }
}
