//! The attributes of baselines as hashes, by shape.
//!
//! A [`Shape`] is a list of paths in canonical order; resources of one type mostly share a few. A
//! resource holds four bytes per attribute of its baseline, in a slab of its shard, and an
//! observation is compared with them by position. What is compared is hashes of the meaning of
//! *units* ([`deployforge_canon::Unit`]); where the paths of the two sides differ, the states are
//! compared as trees.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use deployforge_canon::{DeclaredShape, Differing, Flat, Located, Unit, locate};

/// Hashes in one slab: memory grows in steps of 256 KiB, and nothing is ever moved.
const SLAB: usize = 1 << 16;

/// Shapes that are told apart. Baselines of more are compared as trees beyond it.
const SHAPES_MAX: usize = 1 << 16;

/// Paths of one shape; resources with more are compared as trees.
const UNITS_MAX: usize = 4096;

/// What stands before the hashes of one resource: the sum of its units, in two.
const SUM: usize = 2;

/// Where a resource's hashes stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    shape: u32,
    slot: u32,
}

impl Attributes {
    /// None are held.
    pub(crate) const NONE: Self = Self { shape: u32::MAX, slot: 0 };

    /// The number of the shape.
    pub(crate) fn shape(self) -> u32 {
        self.shape
    }
}

/// One list of paths.
#[derive(Debug)]
pub(crate) struct Shape {
    /// In ascending order, each with its number.
    paths: Box<[(u64, u16)]>,
    /// The same as JSON Pointers.
    pointers: Box<[Arc<str>]>,
    /// How many bytes of canonical text stand before each value, after the one before it; and behind
    /// the last.
    gaps: Box<[u32]>,
    /// Units whose texts seldom are those of the declared ones, though they say the same: lists of
    /// objects. Their hashes are held in full.
    wide: Box<[u32]>,
    /// Where the lower half of each unit's hash stands among a resource's hashes; 0: it is not held.
    lower: Box<[u32]>,
}

/// Every shape of the loaded baselines.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    shapes: Vec<Shape>,
    by_layout: HashMap<u64, u32>,
    /// Shapes of one type share most pointers.
    pointers: HashSet<Arc<str>>,
}

impl Shapes {
    /// The shape of a baseline's state, whose units stand in canonical order; `text` is the state.
    pub(crate) fn intern(&mut self, flat: &Flat, text: &[u8]) -> Option<u32> {
        if let Some(known) = self.by_layout.get(&flat.layout()) {
            return Some(*known);
        }
        if self.shapes.len() >= SHAPES_MAX || flat.units.len() > UNITS_MAX {
            return None;
        }
        let all: Vec<u32> = (0..flat.units.len() as u32).collect();
        let located = locate(text, &all)?;
        let gaps = gaps(&located, text)?;
        let is_wide = |unit: &Located| text[unit.span.clone()].starts_with(b"[{");
        let wide: Box<[u32]> =
            (0..).zip(&located).filter(|(_, unit)| is_wide(unit)).map(|(k, _)| k).collect();
        let mut lower = vec![0; located.len()].into_boxed_slice();
        let places = (located.len() as u32..).zip(&wide);
        places.for_each(|(place, unit)| lower[*unit as usize] = place);
        let pointers = located.into_iter().map(|unit| self.pointer(&unit.path)).collect();
        let id = self.shapes.len() as u32;
        let mut paths: Box<[_]> =
            (0..).zip(&flat.units).map(|(number, unit)| (unit.path, number)).collect();
        paths.sort_unstable();
        self.shapes.push(Shape { paths, pointers, gaps, wide, lower });
        self.by_layout.insert(flat.layout(), id);
        Some(id)
    }

    fn pointer(&mut self, path: &str) -> Arc<str> {
        if let Some(known) = self.pointers.get(path) {
            return Arc::clone(known);
        }
        let pointer: Arc<str> = path.into();
        self.pointers.insert(Arc::clone(&pointer));
        pointer
    }

    /// The path of a unit of a resource.
    pub(crate) fn path(&self, attributes: Attributes, unit: u32) -> Option<&str> {
        let shape = self.shapes.get(attributes.shape as usize)?;
        shape.pointers.get(unit as usize).map(|pointer| &**pointer)
    }

    /// What the declared states of a resource's shape have in common.
    pub(crate) fn declared(&self, attributes: Attributes) -> Option<DeclaredShape<'_>> {
        let Shape { gaps, lower, .. } = self.shapes.get(attributes.shape as usize)?;
        Some(DeclaredShape { gaps, lower })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.shapes.len()
    }
}

fn gaps(located: &[Located], text: &[u8]) -> Option<Box<[u32]>> {
    let ends = std::iter::once(0).chain(located.iter().map(|unit| unit.span.end));
    let starts = located.iter().map(|unit| unit.span.start).chain(std::iter::once(text.len()));
    ends.zip(starts).map(|(end, start)| start.checked_sub(end)?.try_into().ok()).collect()
}

/// The hashes of one shard's resources.
#[derive(Debug, Default)]
pub(crate) struct Hashes {
    slabs: Vec<Vec<u32>>,
}

impl Hashes {
    /// Keeps the hashes of one resource. `walked`: its text may stand for them.
    pub(crate) fn push(
        &mut self,
        shapes: &Shapes,
        shape: u32,
        flat: &Flat,
        walked: bool,
    ) -> Attributes {
        let wide = &shapes.shapes[shape as usize].wide;
        let length = SUM + flat.units.len() + wide.len();
        if length > SLAB || self.slabs.len() >= SLAB {
            return Attributes::NONE;
        }
        if self.slabs.last().is_none_or(|slab| slab.len() + length > SLAB) {
            self.slabs.push(Vec::with_capacity(SLAB));
        }
        let slab = self.slabs.len() - 1;
        let hashes = &mut self.slabs[slab];
        let slot = (slab * SLAB + hashes.len()) as u32;
        let sum = if walked { flat.sum() } else { 0 };
        hashes.extend([sum as u32, (sum >> 32) as u32]);
        hashes.extend(flat.units.iter().map(short));
        hashes.extend(wide.iter().map(|unit| flat.units[*unit as usize].value as u32));
        Attributes { shape, slot }
    }

    fn get(&self, attributes: Attributes, length: usize) -> &[u32] {
        let slot = attributes.slot as usize;
        &self.slabs[slot / SLAB][slot % SLAB..][..length]
    }

    /// What the units of a resource add up to ([`Flat::sum`]; 0: its text does not tell), and their hashes
    /// ([`DeclaredText::hashes`](deployforge_canon::DeclaredText)).
    pub(crate) fn of(&self, shapes: &Shapes, attributes: Attributes) -> Option<(u64, &[u32])> {
        let shape = shapes.shapes.get(attributes.shape as usize)?;
        let length = SUM + shape.paths.len() + shape.wide.len();
        let (sum, hashes) = self.get(attributes, length).split_at(SUM);
        Some((u64::from(sum[0]) | u64::from(sum[1]) << 32, hashes))
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.slabs.iter().map(|slab| slab.capacity() * 4).sum()
    }

    /// The units of an observation that differ from the baseline's, in the shape's order. `None` where the
    /// two have other paths.
    pub(crate) fn differing(
        &self,
        shapes: &Shapes,
        orders: &mut Orders,
        attributes: Attributes,
        flat: &Flat,
        found: &mut Vec<Differing>,
    ) -> Option<()> {
        found.clear();
        let shape = shapes.shapes.get(attributes.shape as usize)?;
        if shape.paths.len() != flat.units.len() {
            return None;
        }
        let order = orders.of(attributes.shape, shape, flat)?;
        let (_, hashes) = self.of(shapes, attributes)?;
        for (k, (&hash, &at)) in hashes.iter().zip(order).enumerate() {
            let unit = &flat.units[at as usize];
            if short(unit) != hash {
                found.push(Differing { unit: k as u32, declared: None, observed: unit.span });
            }
        }
        Some(())
    }
}

#[inline]
fn short(unit: &Unit) -> u32 {
    (unit.value >> 32) as u32
}

/// How the units of observations, in the order of their texts, map to shapes. One per thread.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    known: HashMap<(u32, u64), Order>,
    last: Option<((u32, u64), Order)>,
}

/// Where each path of a shape stands; `None`: the paths are others.
type Order = Option<Arc<[u16]>>;

/// How many orders are remembered; then they are forgotten and learnt again.
const ORDERS_MAX: usize = 1 << 16;

impl Orders {
    /// Which path of the shape each unit of an observation is, if it has these and no others.
    pub(crate) fn numbers(
        &mut self,
        shapes: &Shapes,
        attributes: Attributes,
        flat: &Flat,
    ) -> Option<Vec<u32>> {
        let shape = shapes.shapes.get(attributes.shape as usize)?;
        let order = self.of(attributes.shape, shape, flat)?;
        let mut numbers = vec![0; flat.units.len()];
        for (number, &at) in order.iter().enumerate() {
            *numbers.get_mut(usize::from(at))? = number as u32;
        }
        Some(numbers)
    }

    fn of(&mut self, id: u32, shape: &Shape, flat: &Flat) -> Option<&[u16]> {
        let key = (id, flat.layout());
        if self.last.as_ref().is_none_or(|(last, _)| *last != key) {
            if self.known.len() >= ORDERS_MAX {
                self.known.clear();
            }
            let order = self.known.entry(key).or_insert_with(|| order(shape, flat)).clone();
            self.last = Some((key, order));
        }
        self.last.as_ref().and_then(|(_, order)| order.as_deref())
    }
}

/// Where each path of the shape stands in `flat`; `None` if one is missing.
fn order(shape: &Shape, flat: &Flat) -> Order {
    const NOWHERE: u16 = u16::MAX;
    (shape.paths.len() == flat.units.len()).then_some(())?;
    let mut order = vec![NOWHERE; flat.units.len()];
    for (at, unit) in (0..).zip(&flat.units) {
        let found = shape.paths.binary_search_by_key(&unit.path, |(path, _)| *path).ok()?;
        let place = &mut order[usize::from(shape.paths[found].1)];
        if std::mem::replace(place, at) != NOWHERE {
            return None;
        }
    }
    Some(order.into())
}
