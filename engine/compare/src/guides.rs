//! How observations of each shape mostly run: see [`deployforge_canon::Guide`].

use std::collections::hash_map::Entry as Slot;

use deployforge_canon::Guide;
use deployforge_model::HashedMap;

/// Bytes of guides that one thread keeps; then they are forgotten and learnt again.
const GUIDES_BYTES: usize = 16 << 20;

/// The guides of one thread, by shape and type.
#[derive(Debug, Default)]
pub(crate) struct Guides {
    known: HashedMap<u64, Known>,
    bytes: usize,
}

#[derive(Debug)]
struct Known {
    guide: Guide,
    /// How many observations in turn did not follow it.
    misses: u32,
}

impl Guides {
    /// Of each guide, how many observations in turn did not follow it.
    #[cfg(test)]
    pub(crate) fn misses(&self) -> Vec<u32> {
        self.known.values().map(|known| known.misses).collect()
    }

    /// The guide to try.
    pub(crate) fn get(&self, id: u64) -> Option<&Guide> {
        self.known.get(&id).map(|known| &known.guide)
    }

    /// An observation followed the guide.
    pub(crate) fn hit(&mut self, id: u64) {
        if let Some(known) = self.known.get_mut(&id) {
            // One that follows by chance does not make the guide a good one.
            known.misses /= 2;
        }
    }

    /// An observation had no guide, or did not follow it, and was walked. It becomes the guide, unless
    /// there were many such in turn: what has no order is not learnt again and again.
    pub(crate) fn missed(&mut self, id: u64, learn: impl FnOnce() -> Option<Guide>) {
        if self.bytes > GUIDES_BYTES {
            (self.bytes, self.known) = (0, HashedMap::default());
        }
        match self.known.entry(id) {
            Slot::Occupied(mut slot) => {
                let known = slot.get_mut();
                known.misses = known.misses.saturating_add(1);
                if known.misses.is_power_of_two()
                    && let Some(guide) = learn()
                {
                    self.bytes += guide.bytes();
                    self.bytes -= known.guide.bytes();
                    known.guide = guide;
                }
            }
            Slot::Vacant(slot) => {
                let Some(guide) = learn() else { return };
                self.bytes += guide.bytes();
                slot.insert(Known { guide, misses: 0 });
            }
        }
    }
}
