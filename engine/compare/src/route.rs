//! Which shard judges which row.
//!
//! [`Routes`] sorts the rows of a segment by shard and packs what the short way asks of each row, so
//! that a shard reads what it judges one after the other. The memory of a million resources is in no
//! cache: it is fetched here, for many rows at once, and not in the loop that judges them one by one.

use std::ops::Range;

use deployforge_model::{Frame, Key128, ObservationBatch, Timestamp};

use crate::shard::Shard;

/// No change was prepared.
pub(crate) const NOTHING: u32 = u32::MAX;

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
    /// Canonical fingerprint, where it was prepared and was the last one known.
    pub(crate) canonical: u64,
    /// Which change was prepared, see [`Prepared`](crate::prepare::Prepared).
    pub(crate) change: u32,
    facts: u8,
}

impl Routed {
    const NONE: Self = Self {
        key: [0; 2],
        raw: 0,
        version: 0,
        observed_at: 0,
        canonical: 0,
        row: 0,
        at: NOWHERE,
        change: NOTHING,
        facts: 0,
    };

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

    /// A baseline of another dialect knows this resource, or speaks of nothing in this dialect.
    pub(crate) fn is_unmapped(&self) -> bool {
        self.facts & UNMAPPED != 0
    }
}

/// What has rows to route.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Routable<'a> {
    Batch(&'a ObservationBatch),
    Frame(&'a Frame),
}

impl Routable<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.len(),
            Self::Frame(frame) => frame.len(),
        }
    }

    /// The key under which a row names its resource.
    #[inline]
    fn key128(&self, row: usize) -> Key128 {
        match self {
            Self::Batch(batch) => batch.key128(row),
            Self::Frame(frame) => frame.key128(row),
        }
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
}

impl Routes {
    /// Finds the shard of each row, in the rows' order; `by_alias` is asked about rows whose key no
    /// baseline knows.
    pub(crate) fn find(
        routable: &Routable<'_>,
        shards: &[Shard],
        by_alias: impl Fn(usize, Key128) -> Stranger,
    ) -> Vec<(u8, Routed)> {
        let hints: Vec<u64> = (0..routable.len())
            .map(|row| {
                let key = routable.key128(row);
                shards[key.shard(shards.len())].hint(key)
            })
            .collect();
        let mut found = Vec::with_capacity(hints.len());
        for (row, hint) in hints.iter().enumerate() {
            let mut key = routable.key128(row);
            let shard = &shards[key.shard(shards.len())];
            let mut at = shard.find_from(*hint, key);
            let mut facts = 0;
            if at.is_none_or(|at| shard.at(at).baseline().is_none()) {
                let stranger = by_alias(row, key);
                facts = if stranger.unmapped { UNMAPPED } else { 0 };
                if stranger.key != key {
                    (key, at) = (stranger.key, None);
                }
            }
            let shard = key.shard(shards.len()) as u8;
            let key = [key.0 as u64, (key.0 >> 64) as u64];
            let at = at.unwrap_or(NOWHERE);
            let routed = Routed { key, row: row as u32, at, facts, ..Routed::NONE };
            found.push((shard, pack(routable, routed)));
        }
        found
    }

    /// Sorts rows by shard.
    pub(crate) fn sort(found: &[(u8, Routed)], shards: usize) -> Self {
        let mut starts = vec![0u32; shards + 1];
        found.iter().for_each(|(shard, _)| starts[usize::from(*shard) + 1] += 1);
        for shard in 0..shards {
            starts[shard + 1] += starts[shard];
        }
        let mut next = starts.clone();
        let mut rows = vec![Routed::NONE; found.len()];
        for (shard, routed) in found {
            let place = &mut next[usize::from(*shard)];
            rows[*place as usize] = *routed;
            *place += 1;
        }
        Self { rows, starts }
    }

    /// Rows of one shard, of those between `rows` of the segment.
    pub(crate) fn of(&self, shard: usize, rows: Range<usize>) -> &[Routed] {
        let all = &self.rows[self.starts[shard] as usize..self.starts[shard + 1] as usize];
        let before = |end: usize| all.partition_point(|routed| (routed.row as usize) < end);
        if all.is_empty() { all } else { &all[before(rows.start)..before(rows.end)] }
    }
}

/// Adds what the short way asks of a row.
#[inline]
fn pack(routable: &Routable<'_>, mut routed: Routed) -> Routed {
    if let Routable::Frame(frame) = routable {
        let row = routed.row as usize;
        routed.raw = frame.raw(row);
        if let Some(version) = frame.version(row) {
            routed.version = version;
            routed.facts |= HAS_VERSION;
        }
        if let Some(time) = frame.when(row) {
            routed.observed_at = time.micros();
            routed.facts |= HAS_TIME;
        }
    }
    routed
}
