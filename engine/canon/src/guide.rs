//! Text held against declared text, without reading it.
//!
//! States of one type mostly have the same names in the same order, so that the same bytes stand
//! between their values. A [`Guide`] is learnt from a state that was walked: it holds those bytes, the
//! *gaps*, and which unit of the declared state stands between two of them. A text with the same gaps
//! has the same members; a value whose text is the declared one is the declared value; only values of
//! another text are read, on both sides. What follows a guide is known as exactly as if it had been
//! walked, and what does not is walked.

use deployforge_model::{StateForm, StateText, WIDE, same};

use crate::flat::{Flat, part};
use crate::hash;
use crate::parse::Parser;
use crate::trie::Id;
use crate::walk::Walk;

/// How the texts of states run that have the same members in the same order.
#[derive(Debug)]
pub struct Guide {
    /// All gaps, end to end, and some bytes behind them.
    gaps: Vec<u8>,
    /// Where they end.
    end: usize,
    steps: Vec<Step>,
    /// The text is members without braces.
    bare: bool,
    /// To what state of the trie its members belong.
    forgotten: u64,
}

/// A gap, and the value behind it.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Where the gap ends in the guide's gaps.
    end: u32,
    /// The number of the unit in the declared state.
    unit: u32,
    /// How many bytes stand behind its value there, before the next.
    behind: u32,
    /// Where the lower half of its hash stands; 0: nowhere.
    lower: u32,
    /// The member; 0: an empty object, whose text belongs to the gap.
    of: Id,
    depth: u32,
}

/// A declared state, as canonical text, and where the values of its units stand in it.
#[derive(Clone, Copy, Debug)]
pub struct DeclaredText<'a> {
    /// The text.
    pub text: &'a [u8],
    /// Where the value of each unit starts.
    pub starts: &'a [u32],
    /// The upper halves of the hashes of all units' values, and behind them the lower halves of some.
    pub hashes: &'a [u32],
}

/// What the declared states have in common that one guide speaks of.
#[derive(Clone, Copy, Debug)]
pub struct DeclaredShape<'a> {
    /// How many bytes stand before each value, after the one before it; and behind the last.
    pub gaps: &'a [u32],
    /// Where in [`DeclaredText::hashes`] the lower half of each unit's hash stands; 0: it does not.
    pub lower: &'a [u32],
}

/// A unit whose two values differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Differing {
    /// Its number in the declared state.
    pub unit: u32,
    /// Where the declared value stands, if that is known.
    pub declared: Option<(u32, u32)>,
    /// Where the observed value stands.
    pub observed: (u32, u32),
}

impl Guide {
    /// Learns how a state slice runs that [`Canon::flatten`](crate::Canon::flatten) just read into `flat`
    /// with this parser. `numbers` tells which unit of the declared state each unit is. `None` if that
    /// cannot be told of all.
    pub fn learn(
        parser: &Parser,
        slice: StateText<'_>,
        flat: &Flat,
        numbers: &[u32],
        declared: DeclaredShape<'_>,
    ) -> Option<Self> {
        let (text, trie) = (slice.text, &parser.memo.trie);
        let bare = slice.form != StateForm::Object;
        let (mut gaps, mut steps) = (Vec::new(), Vec::with_capacity(flat.units.len()));
        let mut at = 0;
        for (k, unit) in flat.units.iter().enumerate() {
            let (start, end) = (unit.span.0 as usize, unit.span.1 as usize);
            let behind = if unit.of == 0 { end } else { start };
            gaps.extend_from_slice(text.get(at..behind)?);
            let depth = if unit.of == 0 { 0 } else { trie.depth(unit.of) as u32 };
            let end_of_gap = u32::try_from(gaps.len()).ok()?;
            let number = *numbers.get(k)?;
            let behind = *declared.gaps.get(number as usize + 1)?;
            let lower = *declared.lower.get(number as usize)?;
            steps.push(Step { end: end_of_gap, unit: number, behind, lower, of: unit.of, depth });
            at = end;
        }
        gaps.extend_from_slice(text.get(at..)?);
        let end = gaps.len();
        gaps.resize(end + WIDE, 0);
        gaps.shrink_to_fit();
        Some(Self { gaps, end, steps, bare, forgotten: trie.forgotten() })
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        self.gaps.capacity() + self.steps.capacity() * size_of::<Step>()
    }
}

impl Walk<'_> {
    /// Follows a guide along the text: what its units add up to more than those of the declared state,
    /// and which of them differ. `None`: the text does not follow the guide, or holds a value that the
    /// walk would not decide.
    pub(crate) fn follow(
        &mut self,
        guide: &Guide,
        bare: bool,
        declared: DeclaredText<'_>,
        found: &mut Vec<Differing>,
    ) -> Option<u64> {
        found.clear();
        let fits = guide.bare == bare
            && guide.forgotten == self.memo.trie.forgotten()
            && guide.steps.len() == declared.starts.len()
            && self.is_fit();
        if !fits {
            return None;
        }
        let (mut at, mut gap, mut more) = (0, 0, 0u64);
        for step in &guide.steps {
            let known = step.end as usize - gap;
            if !same(self.text.get(at..)?, &guide.gaps[gap..], known) {
                return None;
            }
            (at, gap) = (at + known, step.end as usize);
            let from = *declared.starts.get(step.unit as usize)?;
            let next = match declared.starts.get(step.unit as usize + 1) {
                Some(next) => *next,
                None => declared.text.len() as u32,
            };
            let to = next.checked_sub(step.behind)?;
            let length = to.checked_sub(from)? as usize;
            let value = declared.text.get(from as usize..)?;
            // What a damaged row says of itself need not be so.
            let whole = value.get(..length)?;
            if step.of == 0 {
                // Another value than the empty object is a matter of members.
                (whole == b"{}").then_some(())?;
                continue;
            }
            let text = &self.text[at..];
            let goes_on =
                |next: Option<&u8>| matches!(next, Some(b'0'..=b'9' | b'.' | b'e' | b'E'));
            if same(text, value, length) && !goes_on(text.get(length)) {
                at += length;
                continue;
            }
            let (difference, end) = self.other(step, at, &declared, from as usize)?;
            if difference != 0 {
                more = more.wrapping_add(difference);
                let (declared, observed) = (Some((from, to)), (at as u32, end as u32));
                found.push(Differing { unit: step.unit, declared, observed });
            }
            at = end;
        }
        (self.text.get(at..)? == &guide.gaps[gap..guide.end]).then_some(more)
    }

    /// A value of another text: what it adds to the sum more than the declared one, and the place
    /// after it.
    fn other(
        &mut self,
        step: &Step,
        start: usize,
        declared: &DeclaredText<'_>,
        declared_start: usize,
    ) -> Option<(u64, usize)> {
        let depth = step.depth as usize;
        if self.byte(start)? == b'{' {
            return None;
        }
        let (is, end) = self.container_or_scalar(start, step.of, depth)?;
        let was = if step.lower != 0 {
            let upper = u64::from(*declared.hashes.get(step.unit as usize)?);
            upper << 32 | u64::from(*declared.hashes.get(step.lower as usize)?)
        } else if *declared.text.get(declared_start)? == b'{' {
            hash::object(self.seed, 0, 0)
        } else {
            let (seed, of_type, redactor) = (self.seed, self.of_type, self.redactor);
            let (memo, flat) = (&mut *self.memo, &mut *self.flat);
            let text = declared.text;
            let mut walk = Walk { text, seed, of_type, redactor, memo, flat };
            walk.container_or_scalar(declared_start, step.of, depth)?.0
        };
        if is == was {
            return Some((0, end));
        }
        let path = self.memo.trie.node(step.of).path;
        Some((part(self.seed, path, is).wrapping_sub(part(self.seed, path, was)), end))
    }
}
