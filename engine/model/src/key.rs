//! Resource keys: the five parts that identify one infrastructure object.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// The identity of one resource: provider, account, region, type and id.
///
/// A part that a format lacks is the empty string. Azure ids and types ignore case, so for the
/// provider `azure` the account, type and id are kept in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResourceKey {
    /// Cloud or system, lower case: `aws`, `azure`, `google`, `kubernetes` …
    pub provider: String,
    /// Account, subscription, project or cluster.
    pub account: String,
    /// Region or location; empty for what has none.
    pub region: String,
    /// Type name in the vocabulary of the dialect it was read from: `AWS::S3::Bucket`, `aws_s3_bucket`.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// The id that is unique within the other four.
    pub id: String,
}

/// A resource key as 128 bits, under a per-deployment seed: what shards and indexes hold.
///
/// 128 and not 64: keys are a birthday problem, and a billion of them in 64 bits would collide with
/// a chance of a few per cent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key128(pub u128);

impl ResourceKey {
    /// Makes a key, putting provider names and Azure ids into their canonical case.
    pub fn new(provider: &str, account: &str, region: &str, resource_type: &str, id: &str) -> Self {
        let provider = provider.to_ascii_lowercase();
        let fold = |part: &str| {
            if provider == "azure" { part.to_lowercase() } else { part.to_owned() }
        };
        Self {
            account: fold(account),
            region: region.to_owned(),
            resource_type: fold(resource_type),
            id: fold(id),
            provider,
        }
    }

    /// The key's 128 bits under `seed`.
    pub fn hash128(&self, seed: u64) -> Key128 {
        Key128::of_parts(
            [&self.provider, &self.account, &self.region, &self.resource_type, &self.id],
            seed,
        )
    }

    /// The five parts in order, for building Arrow columns.
    pub fn parts(&self) -> [&str; 5] {
        [&self.provider, &self.account, &self.region, &self.resource_type, &self.id]
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [provider, account, region, resource_type, id] = self.parts();
        write!(f, "{provider}/{account}/{region}/{resource_type}/{id}")
    }
}

impl Key128 {
    /// Hashes parts with their lengths between them, so that no two lists of parts can be written
    /// the same way.
    pub fn of_parts<const N: usize>(parts: [&str; N], seed: u64) -> Self {
        Self::of_bytes(parts.map(str::as_bytes), seed)
    }

    /// [`Key128::of_parts`] of text that was not checked to be UTF-8.
    pub fn of_bytes<const N: usize>(parts: [&[u8]; N], seed: u64) -> Self {
        // Most keys are short; the hot path makes one per observation, and allocates nothing.
        let mut short = [0u8; 240];
        let size: usize = parts.iter().map(|part| part.len() + 4).sum();
        if size <= short.len() {
            let mut at = 0;
            for part in parts {
                short[at..at + 4].copy_from_slice(&(part.len() as u32).to_le_bytes());
                short[at + 4..at + 4 + part.len()].copy_from_slice(part);
                at += 4 + part.len();
            }
            return Self(xxh3_128_with_seed(&short[..size], seed));
        }
        let mut long = Vec::with_capacity(size);
        for part in parts {
            long.extend_from_slice(&(part.len() as u32).to_le_bytes());
            long.extend_from_slice(part);
        }
        Self(xxh3_128_with_seed(&long, seed))
    }

    /// Big-endian bytes, as the Arrow column holds them.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The inverse of [`Key128::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Which of `shards` shards owns this key. The number of shards is fixed when state is made.
    pub fn shard(self, shards: usize) -> usize {
        ((self.0 >> 64) as u64 % shards as u64) as usize
    }
}

impl fmt::Debug for Key128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_be_shifted_between_fields() {
        let a = ResourceKey::new("aws", "1", "2", "t", "x");
        let b = ResourceKey::new("aws", "12", "", "t", "x");
        assert_ne!(a.hash128(7), b.hash128(7));
        assert_ne!(a.hash128(7), a.hash128(8), "the seed matters");
    }

    #[test]
    fn azure_ids_ignore_case() {
        let a = ResourceKey::new("Azure", "SUB", "westeurope", "Microsoft.Compute/VM", "/A/B");
        let b = ResourceKey::new("azure", "sub", "westeurope", "microsoft.compute/vm", "/a/b");
        assert_eq!(a, b);
        let c = ResourceKey::new("aws", "1", "", "AWS::S3::Bucket", "B");
        assert_eq!(c.id, "B");
    }
}
