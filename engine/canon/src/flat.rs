//! A state as a flat list of units, each a path and a hash.
//!
//! A [`Unit`] is what objects alone lead to: a scalar, an empty object, or a whole array. Two states
//! with the same units are equal; where they differ in the values of some units and not in the
//! paths, comparing the values of just those units gives just the differences of the states, since
//! objects are compared member by member.

use deployforge_model::Seed;

use crate::hash;
use crate::node::{Keyed, Node};
use crate::trie::Id;

/// One unit of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Seeded hash of the path.
    pub path: u64,
    /// Seeded hash of the value's meaning.
    pub value: u64,
    /// Where the value stands in the text it was read from; 0 to 0 if it was not read from one.
    pub span: (u32, u32),
    /// The member that the walk knows it as; 0 where it is an empty object, or was not walked.
    pub(crate) of: Id,
}

/// The units of a state, in the order in which they were read.
#[derive(Clone, Debug, Default)]
pub struct Flat {
    /// The units.
    pub units: Vec<Unit>,
    sum: u64,
    layout: u64,
}

impl Flat {
    /// The units of a tree.
    pub fn of(root: &Node, seed: &Seed) -> Self {
        let mut flat = Self::default();
        flat.add(root, hash::ROOT, seed);
        flat
    }

    fn add(&mut self, node: &Node, path: u64, seed: &Seed) {
        match node {
            Node::Object(members) if !members.is_empty() => {
                let mut layout = path;
                for (name, value) in members {
                    let path = hash::member_path(seed, path, seed.text(name.as_bytes()));
                    self.add(value, path, seed);
                    layout = seed.mix(layout, path);
                }
                self.close(seed, layout);
            }
            other => self.push(seed, Unit { path, value: other.hash(seed), span: (0, 0), of: 0 }),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.units.clear();
        self.sum = 0;
        self.layout = 0;
    }

    /// What was read so far, to go back to.
    pub(crate) fn mark(&self) -> (usize, u64, u64) {
        (self.units.len(), self.sum, self.layout)
    }

    /// Forgets what was read since.
    pub(crate) fn reset(&mut self, (units, sum, layout): (usize, u64, u64)) {
        self.units.truncate(units);
        self.sum = sum;
        self.layout = layout;
    }

    #[inline]
    pub(crate) fn push(&mut self, seed: &Seed, unit: Unit) {
        self.sum = self.sum.wrapping_add(part(seed, unit.path, unit.value));
        self.units.push(unit);
    }

    /// An object that leads to units ends; `layout` is the hash of its members' paths in their order.
    #[inline]
    pub(crate) fn close(&mut self, seed: &Seed, layout: u64) {
        self.layout = seed.mix(self.layout, layout);
    }

    /// The canonical fingerprint: equal states have equal ones, whatever the order of members. Never
    /// zero.
    pub fn fingerprint(&self, seed: &Seed) -> u64 {
        fingerprint(seed, self.units.len(), self.sum)
    }

    /// What the units add up to, whatever their order: the fingerprint follows from it and their number.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// A hash of all objects' names in their order: units of two states of one layout have the same
    /// paths in the same order.
    pub fn layout(&self) -> u64 {
        self.layout
    }
}

/// What one unit adds to the sum.
#[inline]
pub(crate) fn part(seed: &Seed, path: u64, value: u64) -> u64 {
    seed.mix(path, value)
}

/// The canonical fingerprint of so many units that add up to `sum`. Never zero.
#[inline]
pub fn fingerprint(seed: &Seed, units: usize, sum: u64) -> u64 {
    seed.mix(units as u64, sum).max(1)
}

impl Node {
    /// A 64-bit hash of the meaning. An element of a set is hashed whole before the elements' hashes
    /// are summed, so that leaves cannot be swapped between elements. A keyed list is hashed as the
    /// set of its elements, which it is, or as the array where its order is told.
    pub fn hash(&self, seed: &Seed) -> u64 {
        let set = |length: usize, elements: &mut dyn Iterator<Item = &Self>| {
            let sum = elements.fold(0u64, |sum, element| {
                sum.wrapping_add(hash::set_step(seed, element.hash(seed)))
            });
            hash::set(seed, length, sum)
        };
        let ordered = |length: usize, elements: &mut dyn Iterator<Item = &Self>| {
            let all = elements.fold(hash::ORDERED, |all, element| {
                hash::ordered_step(seed, all, element.hash(seed))
            });
            hash::ordered(seed, length, all)
        };
        match self {
            Self::Null => hash::null(seed),
            Self::Bool(value) => hash::boolean(seed, *value),
            Self::Number(number) => hash::number(seed, number),
            Self::String(text) => hash::string(seed, text.as_bytes()),
            Self::Secret(secret) => hash::secret(seed, &secret.hmac),
            Self::Unresolved(reason) => hash::unresolved(seed, reason),
            Self::Array(items) => ordered(items.len(), &mut items.iter()),
            Self::Set(items) => set(items.len(), &mut items.iter()),
            Self::Keyed(Keyed { entries, ordered: is_ordered, .. }) => {
                let items = &mut entries.iter().map(|(_, item)| item);
                if *is_ordered { ordered(entries.len(), items) } else { set(entries.len(), items) }
            }
            Self::Object(members) => {
                let sum = members.iter().fold(0u64, |sum, (name, value)| {
                    let name = seed.text(name.as_bytes());
                    sum.wrapping_add(hash::object_step(seed, name, value.hash(seed)))
                });
                hash::object(seed, members.len(), sum)
            }
        }
    }
}
