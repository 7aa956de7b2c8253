//! Which shard judges which row.
//!
//! [`Routes`] sorts the rows of a segment by shard and packs what the short way asks of each row, so
//! that a shard reads what it judges one after the other. The memory of a million resources is in no
//! cache: it is fetched here, for many rows at once, and not in the loop that judges them one by one.

use deployforge_model::{Key128, Timestamp};

use crate::shard::{Segment, Shard};

/// No entry.
const NOWHERE: u32 = u32::MAX;

const HAS_VERSION: u8 = 1;
const HAS_TIME: u8 = 2;
const UNMAPPED: u8 = 4;

/// A row of a segment on its way to its shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routed {
    key: [u64; 2],
    /// Fingerprint of the state's text; 0 in a batch.
    pub(crate) raw: u64,
    version: u64,
    observed_at: i64,
    /// Row of the segment.
    pub(crate) row: u32,
    at: u32,
    facts: u8,
}

impl Routed {
    const NONE: Self =
        Self { key: [0; 2], raw: 0, version: 0, observed_at: 0, row: 0, at: NOWHERE, facts: 0 };

    /// The key under which the resource is known: its own, or the one an alias led to.
    #[inline]
    pub(crate) fn key(&self) -> Key128 {
        Key128(u128::from(self.key[0]) | u128::from(self.key[1]) << 64)
    }

    /// The place of its entry in the shard, if it had one when it was routed.
    #[inline]
    pub(crate) fn at(&self) -> Option<u32> {
        (self.at != NOWHERE).then_some(self.at)
    }

    /// The source's version.
    #[inline]
    pub(crate) fn version(&self) -> Option<u64> {
        (self.facts & HAS_VERSION != 0).then_some(self.version)
    }

    /// When it was observed.
    #[inline]
    pub(crate) fn observed_at(&self) -> Option<Timestamp> {
        (self.facts & HAS_TIME != 0).then_some(Timestamp(self.observed_at))
    }

    /// The same on another row.
    pub(crate) fn of_row(self, row: u32) -> Self {
        Self { row, ..self }
    }

    /// A baseline of another dialect knows this resource, or speaks of nothing in this dialect.
    pub(crate) fn is_unmapped(&self) -> bool {
        self.facts & UNMAPPED != 0
    }
}

/// Where a row that no baseline knows by its own key belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stranger {
    pub(crate) key: Key128,
    pub(crate) unmapped: bool,
}

/// The rows of a segment by shard, in order within each.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    rows: Vec<Routed>,
    /// Where the rows of each shard begin, and where the last end.
    starts: Vec<u32>,
    strangers: bool,
}

impl Routes {
    /// Finds the shard of each row of a segment; `by_alias` is asked about rows whose key no baseline
    /// knows.
    pub(crate) fn new(
        segment: &Segment<'_>,
        shards: &[Shard],
        by_alias: impl Fn(usize, Key128) -> Stranger,
    ) -> Self {
        let first = segment.rows().start;
        let hints: Vec<u64> = segment
            .rows()
            .map(|row| {
                let key = segment.key128(row);
                shards[key.shard(shards.len())].hint(key)
            })
            .collect();
        let mut starts = vec![0u32; shards.len() + 1];
        let mut strangers = false;
        let mut found: Vec<(u8, Routed)> = Vec::with_capacity(hints.len());
        for (row, hint) in segment.rows().zip(&hints) {
            let mut key = segment.key128(row);
            let shard = &shards[key.shard(shards.len())];
            let mut at = shard.find_from(*hint, key);
            let mut facts = 0;
            if !at.is_some_and(|at| shard.at(at).baseline().is_some()) {
                strangers = true;
                let stranger = by_alias(row, key);
                facts = if stranger.unmapped { UNMAPPED } else { 0 };
                if stranger.key != key {
                    (key, at) = (stranger.key, None);
                }
            }
            let shard = key.shard(shards.len());
            starts[shard + 1] += 1;
            let key = [key.0 as u64, (key.0 >> 64) as u64];
            let at = at.unwrap_or(NOWHERE);
            found.push((shard as u8, Routed { key, row: row as u32, at, facts, ..Routed::NONE }));
        }
        for shard in 0..shards.len() {
            starts[shard + 1] += starts[shard];
        }
        let mut next = starts.clone();
        let mut rows = vec![Routed::NONE; found.len()];
        for (shard, routed) in found {
            let place = &mut next[usize::from(shard)];
            rows[*place as usize] = pack(segment, routed);
            *place += 1;
        }
        debug_assert_eq!(first + rows.len(), segment.rows().end);
        Self { rows, starts, strangers }
    }

    /// Whether any row is of a resource that no baseline knows by its key.
    pub(crate) fn has_strangers(&self) -> bool {
        self.strangers
    }

    /// Rows of one shard.
    pub(crate) fn of(&self, shard: usize) -> &[Routed] {
        &self.rows[self.starts[shard] as usize..self.starts[shard + 1] as usize]
    }
}

/// Adds what the short way asks of a row.
#[inline]
fn pack(segment: &Segment<'_>, mut routed: Routed) -> Routed {
    if let Segment::Frame { frame, .. } = segment {
        let row = routed.row as usize;
        routed.raw = frame.raw(row);
        if let Some(version) = frame.version(row) {
            routed.version = version;
            routed.facts |= HAS_VERSION;
        }
        if let Some(time) = frame.observed_at(row) {
            routed.observed_at = time.micros();
            routed.facts |= HAS_TIME;
        }
    }
    routed
}
