//! How entries are found: by key, and by the names that resources have besides.

use std::sync::{Mutex, MutexGuard, PoisonError};

use deployforge_canon::Flat;
use deployforge_model::{Dialect, Key128, StateText};

use crate::shard::{Context, Tools};

/// Where the entry of each key of a shard stands.
///
/// Open addressing with linear probing: a slot holds 32 bits of the key and the place of its entry, so
/// that a probe reads one cache line, and many probes can be under way at once. Nothing is ever
/// removed.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// 32 bits of the key, then the entry's place plus one; 0: free. A power of two of them, or none.
    slots: Vec<u64>,
    used: usize,
}

/// Slots of the smallest index.
const SLOTS_MIN: usize = 64;

impl Index {
    #[inline]
    fn tag(key: Key128) -> u64 {
        ((key.0 >> 96) as u64) << 32
    }

    #[inline]
    fn start(&self, key: Key128) -> usize {
        (key.0 as usize) & self.slots.len().wrapping_sub(1)
    }

    /// What stands where a key would stand first.
    #[inline]
    pub(crate) fn first(&self, key: Key128) -> u64 {
        self.slots.get(self.start(key)).copied().unwrap_or(0)
    }

    /// The place of a key's entry; `first` is what [`Index::first`] gave, `is` tells whether an entry
    /// is the key's.
    #[inline]
    pub(crate) fn find(&self, first: u64, key: Key128, is: impl Fn(u32) -> bool) -> Option<u32> {
        let tag = Self::tag(key);
        let mut slot = first;
        let mut at = self.start(key);
        while slot != 0 {
            let place = (slot as u32) - 1;
            if slot & !0xffff_ffff == tag && is(place) {
                return Some(place);
            }
            at = (at + 1) & (self.slots.len() - 1);
            slot = self.slots[at];
        }
        None
    }

    /// Enters a key that is not there; `key_of` gives the keys of those that are.
    pub(crate) fn insert(&mut self, key: Key128, place: u32, key_of: impl Fn(u32) -> Key128) {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            let slots = (self.slots.len() * 2).max(SLOTS_MIN);
            let old = std::mem::replace(&mut self.slots, vec![0; slots]);
            for slot in old.into_iter().filter(|slot| *slot != 0) {
                self.put(key_of((slot as u32) - 1), slot);
            }
        }
        self.used += 1;
        self.put(key, Self::tag(key) | (u64::from(place) + 1));
    }

    fn put(&mut self, key: Key128, slot: u64) {
        let mut at = self.start(key);
        while self.slots[at] != 0 {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = slot;
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u64>()
    }
}

/// Hashes of globally unique names, sorted, with the row that bears each.
#[derive(Debug)]
pub(crate) struct Aliases(Vec<(u64, u16, u32)>);

/// Tools for each of rayon's threads, and for one that is not.
pub(crate) fn per_thread<T: Default>() -> Vec<Mutex<T>> {
    (0..=rayon::current_num_threads()).map(|_| Mutex::default()).collect()
}

/// The tools of this thread. No task of ours waits for another, so no thread finds its own taken.
pub(crate) fn lock<T>(tools: &[Mutex<T>]) -> MutexGuard<'_, T> {
    let thread = rayon::current_thread_index().unwrap_or(tools.len() - 1);
    tools[thread.min(tools.len() - 1)].lock().unwrap_or_else(PoisonError::into_inner)
}

/// A row of a baseline as it is entered into a shard.
pub(crate) struct Declared {
    pub(crate) key: Key128,
    pub(crate) dialect: Dialect,
    pub(crate) special: bool,
    /// 0: no state is in sync for being the same, since nothing is known of what could not be resolved.
    pub(crate) canonical: u64,
    pub(crate) group: u16,
    pub(crate) flat: Option<Flat>,
    /// The units were walked, so that the text may stand for them.
    pub(crate) walked: bool,
}

impl Declared {
    pub(crate) fn read(context: &Context, baseline: usize, row: usize, tools: &mut Tools) -> Self {
        let rows = &context.baselines[baseline].rows;
        let key = rows.key128(row, context.settings.seed);
        let row = rows.row(row);
        let [provider, account, region, resource_type, _] = row.parts();
        let dialect = row.dialect();
        let Flattened { flat, walked, unresolved } =
            flatten(context, dialect, resource_type, row.state(), tools);
        let environment = context.settings.policy.environment(provider, account, region);
        Self {
            key,
            dialect,
            special: row.unknown().is_some() || row.is_duplicate() || flat.is_none(),
            canonical: match &flat {
                Some(flat) if !unresolved => flat.fingerprint(&context.seed),
                _ => 0,
            },
            group: context.groups.of(environment, provider, resource_type),
            flat,
            walked,
        }
    }
}

/// The units of a baseline's state, `None` if it cannot be read.
struct Flattened {
    flat: Option<Flat>,
    walked: bool,
    /// Something in it could not be resolved.
    unresolved: bool,
}

fn flatten(
    context: &Context,
    dialect: Dialect,
    kind: &str,
    state: &[u8],
    Tools { parser, flat, .. }: &mut Tools,
) -> Flattened {
    let (canon, seed) = (&context.settings.canon, &context.seed);
    // Read into what is used again, and copied at its size.
    if canon.flatten(parser, seed, dialect, kind, StateText::object(state), flat) {
        return Flattened { flat: Some(flat.clone()), walked: true, unresolved: false };
    }
    let state = canon.stored_state(parser, dialect, kind, state).ok();
    let unresolved = state.as_ref().is_some_and(|state| state.root.holds_unresolved());
    let flat = state.map(|state| Flat::of(&state.root, seed));
    Flattened { flat, walked: false, unresolved }
}

impl Aliases {
    pub(crate) fn of(context: &Context) -> Self {
        let mut all = Vec::new();
        for (baseline, loaded) in context.baselines.iter().enumerate() {
            for row in 0..loaded.rows.len() {
                for alias in loaded.rows.row(row).aliases().filter(|alias| is_global(alias)) {
                    let hash = context.seed.text(alias.as_bytes());
                    all.push((hash, baseline as u16, row as u32));
                }
            }
        }
        all.sort_unstable();
        Self(all)
    }

    /// The names of what is of a known kind, by kind: they need not be unique in the whole world.
    pub(crate) fn of_kinds(context: &Context) -> Self {
        let mut all = Vec::new();
        for (baseline, loaded) in context.baselines.iter().enumerate() {
            for row in 0..loaded.rows.len() {
                let of = loaded.rows.row(row);
                let maps = &context.settings.maps;
                let Some(kind) = maps.number(of.dialect(), of.resource_type()) else { continue };
                let [.., id] = of.parts();
                let names = std::iter::once(id).chain(of.aliases());
                for name in names.filter(|name| !name.is_empty()) {
                    all.push((kind_hash(context, kind, name), baseline as u16, row as u32));
                }
            }
        }
        all.sort_unstable();
        all.dedup();
        Self(all)
    }

    /// The one resource of a kind that bears a name, in another dialect and not in another place; `None`
    /// if none does, or two.
    pub(crate) fn find_kind(
        &self,
        context: &Context,
        (kind, name): (usize, &str),
        (account, region): (&str, &str),
        dialect: Dialect,
    ) -> Option<Key128> {
        let hash = kind_hash(context, kind, name);
        let first = self.0.partition_point(|known| known.0 < hash);
        let mut found = None;
        for (_, baseline, row) in self.0[first..].iter().take_while(|known| known.0 == hash) {
            let rows = &context.baselines[usize::from(*baseline)].rows;
            let of = rows.row(*row as usize);
            let [_, its_account, its_region, ..] = of.parts();
            let elsewhere =
                |one: &str, other: &str| !one.is_empty() && !other.is_empty() && one != other;
            if of.dialect() == dialect
                || (elsewhere(its_account, account) && !is_other_name(its_account, account))
                || elsewhere(its_region, region)
            {
                continue;
            }
            let key = rows.key128(*row as usize, context.settings.seed);
            match found {
                None => found = Some(key),
                Some(other) if other == key => {}
                Some(_) => return None,
            }
        }
        found
    }

    /// The one resource that bears a name; `None` if none does, or two.
    pub(crate) fn find(&self, context: &Context, alias: &str) -> Option<(Key128, Dialect)> {
        let hash = context.seed.text(alias.as_bytes());
        let first = self.0.partition_point(|known| known.0 < hash);
        let mut found = None;
        for (_, baseline, row) in self.0[first..].iter().take_while(|known| known.0 == hash) {
            let rows = &context.baselines[usize::from(*baseline)].rows;
            let key = rows.key128(*row as usize, context.settings.seed);
            match found {
                None => found = Some((key, rows.row(*row as usize).dialect())),
                Some((other, _)) if other == key => {}
                Some(_) => return None,
            }
        }
        found
    }
}

/// The hash of a name among the resources of one kind.
/// Whether one is a number and the other none: Google knows a project by its id and by its number, and
/// the two do not tell each other.
fn is_other_name(one: &str, other: &str) -> bool {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    is_number(one) != is_number(other)
}

fn kind_hash(context: &Context, kind: usize, name: &str) -> u64 {
    context.seed.mix(context.seed.text(name.as_bytes()), kind as u64 + 1)
}

/// Whether an alias names one object in the whole world: an ARN, a full resource id or a URL. Plain
/// names do not, and never join two resources.
pub(crate) fn is_global(alias: &str) -> bool {
    alias.starts_with("arn:")
        || alias.starts_with("//")
        || alias.starts_with("/subscriptions/")
        || alias.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_however_they_crowd() {
        // Keys that all want one slot, and some that share the tag too.
        let keys: Vec<Key128> =
            (0..5000u128).map(|i| Key128((i % 7) | (i << 64) | ((i % 3) << 96))).collect();
        let mut index = Index::default();
        let find =
            |index: &Index, key| index.find(index.first(key), key, |at| keys[at as usize] == key);
        for (place, key) in keys.iter().enumerate() {
            assert_eq!(find(&index, *key), None);
            index.insert(*key, place as u32, |at| keys[at as usize]);
        }
        for (place, key) in keys.iter().enumerate() {
            assert_eq!(find(&index, *key), Some(place as u32));
        }
        assert_eq!(find(&index, Key128(u128::MAX)), None);
    }
}
