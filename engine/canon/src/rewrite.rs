//! From text to canonical text in one pass, without a tree.
//!
//! A [`Rewrite`] goes over text that the walk has read, along the names the walk learnt, and writes
//! what [`Node::to_json`](crate::Node::to_json) would write of the state's tree. Members are written in
//! the order in which they come and then put in order, which most are not far from: each object notes
//! its [`Part`]s, and copies them once if they do not ascend. Sets and keyed lists are put in order the
//! same way. What cannot be told without a tree (a key with escapes, very deep nesting) is left to it.

use std::ops::Range;

use deployforge_model::{MemberKind, StateForm, StateMember};

use crate::locate::member;
use crate::node::write_text;
use crate::number::Number;
use crate::rules::ArrayKind;
use crate::trie::{Id, Members};
use crate::walk::Walk;

/// A state in canonical text, and where its units stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Canonical {
    /// The text of [`Node::to_json`](crate::Node::to_json).
    pub text: Vec<u8>,
    /// How many attributes it has.
    pub leaves: u32,
    /// Where the value of each unit starts in the text.
    pub units: Vec<u32>,
}

/// A member or element that was written.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Where the name that orders it stands: a member's in the source, an element's in what was
    /// written.
    name: (u32, u32),
    /// Where it stands in what was written.
    span: (u32, u32),
    /// Its units.
    units: (u32, u32),
    /// How many attributes it has.
    leaves: u32,
}

/// What rewriting needs besides, kept from state to state.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    parts: Vec<Part>,
    text: Vec<u8>,
    units: Vec<u32>,
}

/// Where an object or array began to be written.
struct Start {
    part: usize,
    text: usize,
    unit: usize,
}

/// One rewriting of one text.
pub(crate) struct Rewrite<'a> {
    pub(crate) walk: Walk<'a>,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) out: &'a mut Canonical,
    /// Arrays around what is written: within them is no unit.
    pub(crate) arrays: usize,
    /// Nesting beyond this is left to the tree.
    pub(crate) depth_max: usize,
}

fn range((from, to): (u32, u32)) -> Range<usize> {
    from as usize..to as usize
}

impl Rewrite<'_> {
    /// Rewrites the whole text; `None` where it takes the tree.
    pub(crate) fn run(&mut self, form: StateForm) -> Option<()> {
        self.scratch.parts.clear();
        self.out.text.clear();
        self.out.text.reserve(self.walk.text.len() + 2);
        self.out.units.clear();
        self.out.leaves = 0;
        let root = self.walk.memo.trie.root(self.walk.of_type.id);
        let at = self.walk.space(0);
        let end = match form {
            StateForm::Object => self.object(at, root, 0)?,
            StateForm::Members(allowed) => self.members(at, root, 0, allowed)?,
        };
        // The root is its one unit if nothing is in it.
        if self.out.leaves == 0 {
            self.out.units.push(0);
            self.out.leaves = 1;
        }
        (self.walk.space(end) == self.walk.text.len()).then_some(())
    }

    /// Writes the value at `at`; returns the place after it.
    fn value(&mut self, at: usize, of: Id, depth: usize) -> Option<usize> {
        if depth > self.depth_max {
            return None;
        }
        match self.walk.byte(at)? {
            b'{' => {
                let object = self.walk.memo.trie.object(of);
                self.object(at, object, depth)
            }
            b'[' => {
                self.unit();
                self.arrays += 1;
                let end = self.array(at, of, depth)?;
                self.arrays -= 1;
                Some(end)
            }
            _ => {
                self.unit();
                self.out.leaves += 1;
                self.scalar(at)
            }
        }
    }

    #[inline]
    fn unit(&mut self) {
        if self.arrays == 0 {
            self.out.units.push(self.out.text.len() as u32);
        }
    }

    fn object(&mut self, at: usize, object: Id, depth: usize) -> Option<usize> {
        let inside = self.walk.space(at + 1);
        if self.walk.byte(inside)? == b'}' {
            self.unit();
            self.out.leaves += 1;
            self.out.text.extend_from_slice(b"{}");
            return Some(inside + 1);
        }
        let end = self.members(inside, object, depth, &[])?;
        (self.walk.byte(end)? == b'}').then_some(end + 1)
    }

    /// Writes an object whose members start at `at`; returns the place after the last. Those that
    /// `allowed` calls ignored are left out.
    fn members(
        &mut self,
        mut at: usize,
        object: Id,
        depth: usize,
        allowed: &[StateMember],
    ) -> Option<usize> {
        let start = self.start(b'{');
        let mut members = self.walk.memo.trie.open(object);
        loop {
            let (name_at, value_at) = (at + 1, self.walk.name(at, &mut members)?);
            let member = members.last;
            let name = name_at..name_at + self.walk.memo.trie.node(member).name_length();
            let undo = (self.out.text.len(), self.out.units.len(), self.out.leaves);
            self.comma(&start);
            let from = self.out.text.len() as u32;
            self.out.text.extend_from_slice(self.walk.text.get(at..=name.end)?);
            self.out.text.push(b':');
            let end = self.value(value_at, member, depth + 1)?;
            let is_ignored = |ignored: &StateMember| {
                ignored.kind == MemberKind::Ignored
                    && ignored.name.as_bytes() == &self.walk.text[name.clone()]
            };
            if allowed.iter().any(is_ignored) {
                self.out.text.truncate(undo.0);
                self.out.units.truncate(undo.1);
                self.out.leaves = undo.2;
            } else {
                let units = (undo.1 as u32, self.out.units.len() as u32);
                let leaves = self.out.leaves - undo.2;
                self.part((name.start as u32, name.end as u32), from, units, leaves);
            }
            at = self.walk.space(end);
            if self.walk.byte(at) != Some(b',') {
                break;
            }
            at = self.walk.space(at + 1);
        }
        self.sort_members(&start, &members);
        self.end(&start, b'}');
        Some(at)
    }

    /// Puts the members of an object in order. The same names in the same order as the last time need no
    /// sorting.
    fn sort_members(&mut self, start: &Start, members: &Members) {
        let Self { walk, scratch, out, .. } = self;
        let parts = &scratch.parts[start.part..];
        let whole = parts.len() == members.count();
        if whole && let Some(order) = walk.memo.trie.order(members) {
            if !order.is_empty() {
                put_in_order(scratch, out, start, order.iter().map(|at| usize::from(*at)));
            }
            return;
        }
        let name = |at: &u16| &walk.text[range(parts[usize::from(*at)].name)];
        // The walk has seen to it that members are few.
        let mut order: Vec<u16> = (0..parts.len() as u16).collect();
        if order.is_sorted_by_key(name) {
            order.clear();
        } else {
            order.sort_unstable_by_key(name);
        }
        if whole {
            walk.memo.trie.learn_order(members, &order);
        }
        if !order.is_empty() {
            put_in_order(scratch, out, start, order.iter().map(|at| usize::from(*at)));
        }
    }

    fn array(&mut self, at: usize, of: Id, depth: usize) -> Option<usize> {
        let mut at = self.walk.space(at + 1);
        if self.walk.byte(at)? == b']' {
            self.out.leaves += 1;
            self.out.text.extend_from_slice(b"[]");
            return Some(at + 1);
        }
        let elements = self.walk.memo.trie.elements(of, self.walk.seed);
        let start = self.start(b'[');
        let before = self.out.leaves;
        loop {
            let leaves = self.out.leaves;
            self.comma(&start);
            let from = self.out.text.len() as u32;
            let end = self.value(at, elements, depth + 1)?;
            self.part((from, from), from, (0, 0), self.out.leaves - leaves);
            at = self.walk.space(end);
            match self.walk.byte(at)? {
                b',' => at = self.walk.space(at + 1),
                b']' => break,
                _ => return None,
            }
        }
        let of_type = self.walk.of_type;
        let rules = &*of_type.rules;
        if !rules.is_empty() {
            let keys = match self.walk.memo.trie.kind(of, rules) {
                ArrayKind::Ordered => None,
                ArrayKind::Set => Some(&[][..]),
                ArrayKind::Keyed => Some(self.walk.memo.trie.keys(of, rules)),
            };
            if let Some(keys) = keys {
                self.arrange(&start, keys, before)?;
            }
        }
        self.end(&start, b']');
        Some(at + 1)
    }

    /// Puts the elements of an array in order: by the first of `keys` that names all of them, or else
    /// by their texts, as a set. `before`: attributes before the array.
    fn arrange(&mut self, start: &Start, keys: &[String], before: u32) -> Option<()> {
        for key in keys {
            // Several fields together name an element: the tree puts them in order.
            if key.contains(['+', '=']) {
                return None;
            }
            if !self.names_all(start, key.as_bytes())? {
                continue;
            }
            // A key field is part of the address, not an attribute.
            let leaves = self.scratch.parts[start.part..].iter().map(|part| part.leaves.max(2) - 1);
            self.out.leaves = before + leaves.sum::<u32>();
            self.put_elements(start);
            return Some(());
        }
        let text = &self.out.text;
        let parts = &mut self.scratch.parts[start.part..];
        parts.sort_unstable_by(|a, b| text[range(a.span)].cmp(&text[range(b.span)]));
        self.put_elements(start);
        Some(())
    }

    /// Writes elements once more, in the order in which their parts now stand.
    fn put_elements(&mut self, start: &Start) {
        let all = 0..self.scratch.parts.len() - start.part;
        put_in_order(self.scratch, self.out, start, all);
    }

    /// Whether each element has a text named `key`, each another; if so, they are sorted by it. `None`
    /// if such a text has escapes.
    fn names_all(&mut self, start: &Start, key: &[u8]) -> Option<bool> {
        let text = &self.out.text;
        let parts = &mut self.scratch.parts[start.part..];
        for part in &mut *parts {
            let element = &text[range(part.span)];
            let Some(value) = member(element, key) else { return Some(false) };
            let [b'"', name @ .., b'"'] = &element[value.clone()] else { return Some(false) };
            if name.contains(&b'\\') {
                return None;
            }
            let from = part.span.0 + value.start as u32 + 1;
            part.name = (from, from + name.len() as u32);
        }
        let name = |part: &Part| &text[range(part.name)];
        parts.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        Some(parts.windows(2).all(|pair| name(&pair[0]) != name(&pair[1])))
    }

    fn start(&mut self, bracket: u8) -> Start {
        self.out.text.push(bracket);
        Start {
            part: self.scratch.parts.len(),
            text: self.out.text.len(),
            unit: self.out.units.len(),
        }
    }

    fn end(&mut self, start: &Start, bracket: u8) {
        self.scratch.parts.truncate(start.part);
        self.out.text.push(bracket);
    }

    #[inline]
    fn comma(&mut self, start: &Start) {
        if self.scratch.parts.len() > start.part {
            self.out.text.push(b',');
        }
    }

    #[inline]
    fn part(&mut self, name: (u32, u32), from: u32, units: (u32, u32), leaves: u32) {
        let span = (from, self.out.text.len() as u32);
        self.scratch.parts.push(Part { name, span, units, leaves });
    }

    #[inline]
    fn scalar(&mut self, at: usize) -> Option<usize> {
        let end = match self.walk.byte(at)? {
            b'"' => {
                let (end, escaped) = self.walk.string(at + 1)?;
                if escaped {
                    self.escaped(at..end + 1)?;
                    return Some(end + 1);
                }
                end + 1
            }
            b't' | b'n' => at + 4,
            b'f' => at + 5,
            _ => return self.number(at),
        };
        self.out.text.extend_from_slice(self.walk.text.get(at..end)?);
        Some(end)
    }

    #[cold]
    fn escaped(&mut self, span: Range<usize>) -> Option<()> {
        let text: String = serde_json::from_slice(&self.walk.text[span]).ok()?;
        let mut written = String::with_capacity(text.len() + 8);
        write_text(&text, &mut written);
        self.out.text.extend_from_slice(written.as_bytes());
        Some(())
    }

    fn number(&mut self, at: usize) -> Option<usize> {
        let rest = &self.walk.text[at..];
        let is_part = |b: &&u8| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let text = &rest[..rest.iter().take_while(is_part).count()];
        let digits = text.split_first()?.1;
        if text.len() <= 18 && text != b"-0" && digits.iter().all(u8::is_ascii_digit) {
            self.out.text.extend_from_slice(text);
        } else {
            let number = Number::from_text(std::str::from_utf8(text).ok()?)?;
            self.out.text.extend_from_slice(number.to_string().as_bytes());
        }
        Some(at + text.len())
    }
}

/// Writes the parts since `start` once more, in this order.
fn put_in_order(
    scratch: &mut Scratch,
    out: &mut Canonical,
    start: &Start,
    order: impl Iterator<Item = usize>,
) {
    let Scratch { parts, text, units } = scratch;
    text.clear();
    text.extend_from_slice(&out.text[start.text..]);
    units.clear();
    units.extend_from_slice(&out.units[start.unit..]);
    out.text.truncate(start.text);
    out.units.truncate(start.unit);
    for (i, at) in order.enumerate() {
        if i > 0 {
            out.text.push(b',');
        }
        let part = &parts[start.part + at];
        let now = out.text.len();
        let was = range(part.span);
        out.text.extend_from_slice(&text[was.start - start.text..was.end - start.text]);
        if part.units.0 < part.units.1 {
            let noted = range(part.units);
            let noted = &units[noted.start - start.unit..noted.end - start.unit];
            out.units.extend(noted.iter().map(|unit| (*unit as usize - was.start + now) as u32));
        }
    }
}
