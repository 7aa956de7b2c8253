//! From text to units in one pass, without a tree.
//!
//! The walk reads JSON text and hashes as it goes. What it cannot decide on the spot (escapes in
//! names, secrets, duplicate members, anything malformed) it does not decide: [`Walk::run`] gives
//! `None`, and the caller takes the exact way over a tree ([`Canon::state`](crate::Canon::state)).
//! Where it gives units they are the units of that tree; a property test holds the two together.
//!
//! What does not depend on values is remembered by its hash and looked at once: whether the names of
//! an object are unique and harmless, what kind of array stands at a path, whether a JSON text holds
//! no secret.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use deployforge_model::{Dialect, MemberKind, Seed, StateForm, StateMember};

use crate::flat::{Flat, Unit};
use crate::hash;
use crate::node::SECRET_MEMBER;
use crate::number::{Number, is_json_number};
use crate::redact::{Redactor, is_secret_name};
use crate::rules::{ArrayKind, ArrayRules, TypeRules};

/// Nesting beyond this is left to the exact way.
const DEPTH: usize = 48;

/// How many facts of one sort are remembered; then they are forgotten and learnt again.
const MEMO_MAX: usize = 1 << 16;

/// A hasher for keys that are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

type ByHash = BuildHasherDefault<Hashed>;

/// What a walk remembers from state to state. One per thread.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    /// Names of objects, in order: whether they are unique and none says secret.
    plain: HashMap<u64, bool, ByHash>,
    /// Arrays, by rules and path.
    arrays: HashMap<u64, ArrayKind, ByHash>,
    /// JSON texts without a secret.
    harmless: HashSet<u64, ByHash>,
    names: Vec<Name>,
    segments: Vec<Segment>,
}

/// The rules of types, by the hash of dialect and name.
#[derive(Debug, Default)]
pub(crate) struct TypeMemo(HashMap<u64, OfType, ByHash>);

/// What a walk needs to know of a type.
#[derive(Clone, Debug)]
pub(crate) struct OfType {
    pub(crate) rules: Arc<TypeRules>,
    pub(crate) id: u64,
    /// The type has secrets at known paths.
    pub(crate) secrets: bool,
}

impl TypeMemo {
    #[inline]
    pub(crate) fn of(
        &mut self,
        rules: &ArrayRules,
        seed: &Seed,
        dialect: Dialect,
        resource_type: &str,
    ) -> &OfType {
        let id = seed.mix(seed.text(resource_type.as_bytes()), dialect as u64);
        if self.0.len() >= MEMO_MAX {
            self.0.clear();
        }
        self.0.entry(id).or_insert_with(|| OfType {
            rules: rules.of(dialect, resource_type),
            id,
            secrets: Redactor::has_paths(resource_type),
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Name {
    hash: u64,
    span: (u32, u32),
}

#[derive(Clone, Copy, Debug)]
enum Segment {
    Member(u32, u32),
    Element(usize),
}

/// One walk over one text.
pub(crate) struct Walk<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) seed: &'a Seed,
    pub(crate) rules: &'a TypeRules,
    /// Tells the rules of one type from those of another.
    pub(crate) rules_id: u64,
    pub(crate) redactor: &'a Redactor,
    pub(crate) memo: &'a mut Memo,
    pub(crate) flat: &'a mut Flat,
}

impl Walk<'_> {
    /// Reads the members of the root.
    pub(crate) fn run(&mut self, form: StateForm) -> Option<()> {
        if self.text.len() > u32::MAX as usize || std::str::from_utf8(self.text).is_err() {
            return None;
        }
        self.memo.names.clear();
        self.memo.segments.clear();
        self.flat.clear();
        let at = self.space(0);
        let end = match form {
            StateForm::Object if self.byte(at)? == b'{' => self.object(at, hash::ROOT, 0)?,
            StateForm::Object => return None,
            StateForm::Members(allowed) => self.bare(at, allowed)?,
        };
        (self.space(end) == self.text.len()).then_some(())
    }

    /// Members without braces, to the end of the text.
    fn bare(&mut self, mut at: usize, allowed: &[StateMember]) -> Option<usize> {
        loop {
            let (name, value_at) = self.name(at)?;
            let text = &self.text[name.span.0 as usize..name.span.1 as usize];
            let kind = if allowed.is_empty() {
                MemberKind::Any
            } else {
                allowed.iter().find(|member| member.name.as_bytes() == text)?.kind
            };
            let units = self.flat.mark();
            let end = self.member(name, value_at, hash::ROOT, 0)?;
            let object = self.byte(value_at)? == b'{';
            match kind {
                MemberKind::Any => {}
                MemberKind::Object if object => {}
                MemberKind::EmptyObject if object && self.space(value_at + 1) + 1 == end => {}
                MemberKind::Ignored => self.flat.reset(units),
                MemberKind::Object | MemberKind::EmptyObject => return None,
            }
            at = self.space(end);
            match self.byte(at) {
                Some(b',') => at = self.space(at + 1),
                None => {
                    self.plain(0)?;
                    return Some(at);
                }
                Some(_) => return None,
            }
        }
    }

    #[inline]
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    #[inline]
    fn space(&self, mut at: usize) -> usize {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte(at) {
            at += 1;
        }
        at
    }

    /// An object that leads to units; returns the place after it.
    fn object(&mut self, at: usize, path: u64, depth: usize) -> Option<usize> {
        let inside = self.space(at + 1);
        if self.byte(inside)? == b'}' {
            let value = hash::object(self.seed, 0, 0);
            self.flat.push(self.seed, unit(path, value, at, inside + 1));
            return Some(inside + 1);
        }
        self.members(inside, path, depth)
    }

    /// Members up to the closing brace.
    fn members(&mut self, mut at: usize, path: u64, depth: usize) -> Option<usize> {
        if depth > DEPTH {
            return None;
        }
        let first = self.memo.names.len();
        loop {
            let (name, value_at) = self.name(at)?;
            let end = self.member(name, value_at, path, depth)?;
            at = self.space(end);
            match self.byte(at)? {
                b',' => at = self.space(at + 1),
                b'}' => {
                    self.plain(first)?;
                    return Some(at + 1);
                }
                _ => return None,
            }
        }
    }

    /// The value of a member that leads to units; returns the place after it.
    #[inline]
    fn member(&mut self, name: Name, at: usize, path: u64, depth: usize) -> Option<usize> {
        let place = hash::member_path(self.seed, path, name.hash);
        match self.byte(at)? {
            b'{' => {
                self.memo.segments.push(Segment::Member(name.span.0, name.span.1));
                let end = self.object(at, place, depth + 1)?;
                self.memo.segments.pop();
                Some(end)
            }
            b'[' => {
                self.memo.segments.push(Segment::Member(name.span.0, name.span.1));
                let (value, end) = self.array(at, place, depth + 1)?;
                self.memo.segments.pop();
                self.flat.push(self.seed, unit(place, value, at, end));
                Some(end)
            }
            _ => {
                let (value, end) = self.scalar(at, name)?;
                self.flat.push(self.seed, unit(place, value, at, end));
                Some(end)
            }
        }
    }

    /// An object within an array, hashed whole.
    fn whole(&mut self, at: usize, path: u64, depth: usize) -> Option<(u64, usize)> {
        let mut at = self.space(at + 1);
        if self.byte(at)? == b'}' {
            return Some((hash::object(self.seed, 0, 0), at + 1));
        }
        if depth > DEPTH {
            return None;
        }
        let first = self.memo.names.len();
        let (mut sum, mut length) = (0u64, 0);
        loop {
            let (name, value_at) = self.name(at)?;
            let (value, end) = match self.byte(value_at)? {
                b'{' | b'[' => {
                    self.memo.segments.push(Segment::Member(name.span.0, name.span.1));
                    let place = hash::member_path(self.seed, path, name.hash);
                    let found = self.container(value_at, place, depth + 1)?;
                    self.memo.segments.pop();
                    found
                }
                _ => self.scalar(value_at, name)?,
            };
            sum = sum.wrapping_add(hash::object_step(self.seed, name.hash, value));
            length += 1;
            at = self.space(end);
            match self.byte(at)? {
                b',' => at = self.space(at + 1),
                b'}' => {
                    self.plain(first)?;
                    return Some((hash::object(self.seed, length, sum), at + 1));
                }
                _ => return None,
            }
        }
    }

    fn container(&mut self, at: usize, path: u64, depth: usize) -> Option<(u64, usize)> {
        if self.byte(at)? == b'{' {
            self.whole(at, path, depth)
        } else {
            self.array(at, path, depth)
        }
    }

    /// An array, hashed whole by its kind.
    fn array(&mut self, at: usize, path: u64, depth: usize) -> Option<(u64, usize)> {
        if depth > DEPTH {
            return None;
        }
        let kind = self.kind(path);
        let mut at = self.space(at + 1);
        let (mut all, mut sum, mut length) = (hash::ORDERED, 0u64, 0);
        if self.byte(at)? == b']' {
            at += 1;
        } else {
            loop {
                let (value, end) = match self.byte(at)? {
                    b'{' | b'[' => {
                        self.memo.segments.push(Segment::Element(length));
                        let place = hash::element_path(self.seed, path, length);
                        let found = self.container(at, place, depth + 1)?;
                        self.memo.segments.pop();
                        found
                    }
                    _ => self.scalar(at, Name { hash: 0, span: (0, 0) })?,
                };
                length += 1;
                match kind {
                    ArrayKind::Ordered => all = hash::ordered_step(self.seed, all, value),
                    ArrayKind::Set | ArrayKind::Keyed => {
                        sum = sum.wrapping_add(hash::set_step(self.seed, value));
                    }
                }
                at = self.space(end);
                match self.byte(at)? {
                    b',' => at = self.space(at + 1),
                    b']' => {
                        at += 1;
                        break;
                    }
                    _ => return None,
                }
            }
        }
        let value = match kind {
            ArrayKind::Ordered => hash::ordered(self.seed, length, all),
            ArrayKind::Set | ArrayKind::Keyed => hash::set(self.seed, length, sum),
        };
        Some((value, at))
    }

    /// A member's name; returns it and the place of its value.
    #[inline]
    fn name(&mut self, at: usize) -> Option<(Name, usize)> {
        if self.byte(at)? != b'"' {
            return None;
        }
        let (end, escaped) = self.string(at + 1)?;
        if escaped {
            return None;
        }
        let hash = self.seed.text(&self.text[at + 1..end]);
        let name = Name { hash, span: ((at + 1) as u32, end as u32) };
        self.memo.names.push(name);
        let mut at = end + 1;
        if self.byte(at)? != b':' {
            at = self.space(at);
            if self.byte(at)? != b':' {
                return None;
            }
        }
        Some((name, self.space(at + 1)))
    }

    /// The end of a string whose first byte stands at `at`, and whether it has escapes.
    #[inline]
    fn string(&self, at: usize) -> Option<(usize, bool)> {
        let mut at = at;
        let mut escaped = false;
        loop {
            at += special(&self.text[at..])?;
            match self.text[at] {
                b'"' => return Some((at, escaped)),
                b'\\' => {
                    escaped = true;
                    at += 2;
                    if at > self.text.len() {
                        return None;
                    }
                }
                _ => return None,
            }
        }
    }

    /// A value that is neither object nor array. `name`: whose value it is.
    #[inline]
    fn scalar(&mut self, at: usize, name: Name) -> Option<(u64, usize)> {
        match self.byte(at)? {
            b'"' => self.text_value(at, name),
            b't' => self.literal(at, b"true", hash::boolean(self.seed, true)),
            b'f' => self.literal(at, b"false", hash::boolean(self.seed, false)),
            b'n' => self.literal(at, b"null", hash::null(self.seed)),
            _ => self.number(at),
        }
    }

    #[inline]
    fn literal(&self, at: usize, word: &[u8], value: u64) -> Option<(u64, usize)> {
        let end = at + word.len();
        (self.text.get(at..end)? == word).then_some((value, end))
    }

    #[inline]
    fn text_value(&mut self, at: usize, name: Name) -> Option<(u64, usize)> {
        let (end, escaped) = self.string(at + 1)?;
        let plain = &self.text[at + 1..end];
        let decoded: String;
        let text = if escaped {
            decoded = serde_json::from_slice(&self.text[at..=end]).ok()?;
            decoded.as_bytes()
        } else {
            plain
        };
        // The exact way looks for secrets in JSON text, and beside a name that says secret.
        if let Some(b'{' | b'[' | b'\t'..=b' ' | 0x80..) = text.first() {
            self.harmless(text)?;
        }
        let length = name.span.1 - name.span.0;
        if matches!(length, 3 | 4) {
            let of = &self.text[name.span.0 as usize..name.span.1 as usize];
            if matches!(of, b"name" | b"Name" | b"key" | b"Key")
                && is_secret_name(std::str::from_utf8(text).ok()?)
            {
                return None;
            }
        }
        Some((hash::string(self.seed, text), end + 1))
    }

    /// Whether redaction would leave a text as it is.
    fn harmless(&mut self, text: &[u8]) -> Option<()> {
        let hash = self.seed.text(text);
        if self.memo.harmless.contains(&hash) {
            return Some(());
        }
        let text = std::str::from_utf8(text).ok()?;
        if !text.trim_start().starts_with(['{', '[']) {
            return Some(());
        }
        if self.redactor.holds_secret(text) {
            return None;
        }
        if self.memo.harmless.len() >= MEMO_MAX {
            self.memo.harmless.clear();
        }
        self.memo.harmless.insert(hash);
        Some(())
    }

    #[inline]
    fn number(&self, at: usize) -> Option<(u64, usize)> {
        let negative = self.byte(at)? == b'-';
        let first = at + usize::from(negative);
        let mut end = first;
        let mut value: i64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.byte(end) {
            if end - first >= 18 {
                return self.long_number(at);
            }
            value = value * 10 + i64::from(digit - b'0');
            end += 1;
        }
        if end == first || (self.text[first] == b'0' && end - first > 1) {
            return None;
        }
        if let Some(b'.' | b'e' | b'E') = self.byte(end) {
            return self.long_number(at);
        }
        let value = if negative { -value } else { value };
        Some((hash::integer(self.seed, value), end))
    }

    /// A number that is no short integer.
    #[cold]
    fn long_number(&self, at: usize) -> Option<(u64, usize)> {
        let rest = &self.text[at..];
        let is_part = |b: &u8| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().take_while(|b| is_part(b)).count();
        let text = std::str::from_utf8(&rest[..length]).ok()?;
        if !is_json_number(text.as_bytes()) {
            return None;
        }
        Some((hash::number(self.seed, &Number::from_text(text)?), at + length))
    }

    /// Checks the names since `first`: each once, none a secret's. What was seen before in this order
    /// is known.
    #[inline]
    fn plain(&mut self, first: usize) -> Option<()> {
        let names = &self.memo.names[first..];
        let order =
            names.iter().fold(names.len() as u64, |all, name| self.seed.mix(all, name.hash));
        let known = match self.memo.plain.get(&order) {
            Some(known) => *known,
            None => self.learn(first, order),
        };
        self.memo.names.truncate(first);
        known.then_some(())
    }

    #[cold]
    fn learn(&mut self, first: usize, order: u64) -> bool {
        let names = &self.memo.names[first..];
        let mut hashes: Vec<u64> = names.iter().map(|name| name.hash).collect();
        hashes.sort_unstable();
        let unique = hashes.windows(2).all(|pair| pair[0] != pair[1]);
        let harmless = names.iter().all(|name| {
            let text = &self.text[name.span.0 as usize..name.span.1 as usize];
            std::str::from_utf8(text).is_ok_and(|n| n != SECRET_MEMBER && !is_secret_name(n))
                // A format may spell it otherwise: its reader decides.
                && text != b"relationshipName"
        });
        if self.memo.plain.len() >= MEMO_MAX {
            self.memo.plain.clear();
        }
        self.memo.plain.insert(order, unique && harmless);
        unique && harmless
    }

    /// The kind of the array at the current path.
    #[inline]
    fn kind(&mut self, path: u64) -> ArrayKind {
        if self.rules.is_empty() {
            return ArrayKind::Ordered;
        }
        let key = self.seed.mix(self.rules_id, path);
        match self.memo.arrays.get(&key) {
            Some(kind) => *kind,
            None => self.learn_kind(key),
        }
    }

    #[cold]
    fn learn_kind(&mut self, key: u64) -> ArrayKind {
        let path: Vec<String> = self
            .memo
            .segments
            .iter()
            .map(|segment| match *segment {
                Segment::Member(start, end) => {
                    String::from_utf8_lossy(&self.text[start as usize..end as usize]).into_owned()
                }
                Segment::Element(index) => index.to_string(),
            })
            .collect();
        let (kind, _) = self.rules.of(&path);
        if self.memo.arrays.len() >= MEMO_MAX {
            self.memo.arrays.clear();
        }
        self.memo.arrays.insert(key, kind);
        kind
    }
}

#[inline]
fn unit(path: u64, value: u64, start: usize, end: usize) -> Unit {
    Unit { path, value, span: (start as u32, end as u32) }
}

/// Where the first quote, backslash or control character stands, eight bytes at a time.
#[inline]
pub(crate) fn special(text: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut at = 0;
    while let Some(bytes) = text.get(at..at + 8) {
        let word = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let zero = |x: u64| x.wrapping_sub(LOW) & !x;
        let quote = zero(word ^ (LOW * u64::from(b'"')));
        let backslash = zero(word ^ (LOW * u64::from(b'\\')));
        let control = word.wrapping_sub(LOW * 0x20) & !word;
        let found = (quote | backslash | control) & HIGH;
        if found != 0 {
            // The lowest hit is exact; those above it need not be.
            return Some(at + (found.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    text[at..].iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20).map(|found| at + found)
}

#[cfg(test)]
mod tests;
