//! From text to units in one pass, without a tree.
//!
//! The walk reads JSON text and hashes as it goes. What it cannot decide on the spot (escapes in
//! names, secrets, duplicate members, anything malformed) it does not decide: [`Walk::run`] gives
//! `None`, and the caller takes the exact way over a tree ([`Canon::state`](crate::Canon::state)).
//! Where it gives units they are the units of that tree; a property test holds the two together.
//!
//! Names are not read but recognised: see [`trie`](crate::trie).

use std::sync::Arc;

use deployforge_model::{
    Dialect, HashedMap, HashedSet, MemberKind, Seed, StateForm, StateMember, special,
};

use crate::Canon;
use crate::flat::{Flat, Unit};
use crate::hash;
use crate::number::{Number, is_json_number};
use crate::redact::Redactor;
use crate::rules::{ArrayKind, TypeRules};
use crate::trie::{Id, Members, Trie};

/// Nesting beyond this is left to the exact way.
pub(crate) const DEPTH: usize = 48;

/// How many facts of one sort are remembered; then they are forgotten and learnt again.
const MEMO_MAX: usize = 1 << 16;

/// What a walk remembers from state to state. One per thread.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    pub(crate) trie: Trie,
    /// Texts that redaction leaves as they are.
    harmless: HashedSet<u64>,
}

/// The rules of types, by the hash of dialect and name.
#[derive(Debug, Default)]
pub(crate) struct TypeMemo(HashedMap<u64, OfType>);

/// What a walk needs to know of a type.
#[derive(Clone, Debug)]
pub(crate) struct OfType {
    pub(crate) rules: Arc<TypeRules>,
    pub(crate) id: u64,
    /// The type has secrets at known paths.
    pub(crate) secrets: bool,
    /// A rule speaks of single elements of lists.
    pub(crate) elements: bool,
}

impl TypeMemo {
    #[inline]
    pub(crate) fn of(
        &mut self,
        canon: &Canon,
        seed: &Seed,
        dialect: Dialect,
        resource_type: &str,
    ) -> &OfType {
        let id = seed.mix(seed.text(resource_type.as_bytes()), dialect as u64);
        if self.0.len() >= MEMO_MAX {
            self.0.clear();
        }
        self.0.entry(id).or_insert_with(|| {
            let rules = canon.rules.of(dialect, resource_type);
            let elements = rules.names_elements();
            OfType { rules, id, secrets: canon.redactor.has_paths(resource_type), elements }
        })
    }
}

/// One walk over one text.
pub(crate) struct Walk<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) seed: &'a Seed,
    pub(crate) of_type: &'a OfType,
    pub(crate) redactor: &'a Redactor,
    pub(crate) memo: &'a mut Memo,
    pub(crate) flat: &'a mut Flat,
}

impl Walk<'_> {
    /// Reads the members of the root.
    pub(crate) fn run(&mut self, form: StateForm) -> Option<()> {
        if !self.is_fit() {
            return None;
        }
        self.flat.clear();
        let root = self.memo.trie.root(self.of_type.id);
        let at = self.space(0);
        let end = match form {
            StateForm::Object if self.byte(at)? == b'{' => self.object(at, root, 0)?,
            StateForm::Object => return None,
            StateForm::Members(allowed) => self.bare(at, root, allowed)?,
        };
        (self.space(end) == self.text.len()).then_some(())
    }

    /// Whether names and places can tell all there is to know.
    pub(crate) fn is_fit(&self) -> bool {
        u32::try_from(self.text.len()).is_ok() && !self.of_type.secrets && !self.of_type.elements
    }

    /// Members without braces, to the end of the text.
    fn bare(&mut self, mut at: usize, root: Id, allowed: &[StateMember]) -> Option<usize> {
        let mut members = self.memo.trie.open(root);
        let mut needed = allowed.iter().filter(|one| one.kind == MemberKind::Object).count();
        loop {
            let (start, value_at) = (at, self.name(at, &mut members)?);
            let kind = if allowed.is_empty() {
                MemberKind::Any
            } else {
                let is = |name: &str| {
                    let quoted = self.text.get(start + 1..start + 2 + name.len());
                    quoted.and_then(|text| text.strip_prefix(name.as_bytes())) == Some(b"\"")
                };
                allowed.iter().find(|member| is(member.name))?.kind
            };
            let units = self.flat.mark();
            let end = self.member(members.last, value_at, 0)?;
            let object = self.byte(value_at)? == b'{';
            match kind {
                MemberKind::Any => {}
                // Each stands once: a name that stands twice is not decided here.
                MemberKind::Object if object => needed = needed.checked_sub(1)?,
                MemberKind::EmptyObject if object && self.space(value_at + 1) + 1 == end => {}
                MemberKind::Ignored => self.flat.reset(units),
                MemberKind::Object | MemberKind::EmptyObject => return None,
            }
            at = self.space(end);
            match self.byte(at) {
                Some(b',') => at = self.space(at + 1),
                None if needed > 0 => return None,
                None => {
                    self.flat.close(self.seed, members.layout);
                    return Some(at);
                }
                Some(_) => return None,
            }
        }
    }

    #[inline]
    pub(crate) fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    #[inline]
    pub(crate) fn space(&self, mut at: usize) -> usize {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte(at) {
            at += 1;
        }
        at
    }

    /// An object that leads to units; returns the place after it.
    fn object(&mut self, at: usize, object: Id, depth: usize) -> Option<usize> {
        let inside = self.space(at + 1);
        if self.byte(inside)? == b'}' {
            let path = self.memo.trie.node(object).path;
            self.unit(path, hash::object(self.seed, 0, 0), (at, inside + 1), 0);
            return Some(inside + 1);
        }
        if depth > DEPTH {
            return None;
        }
        let (mut at, mut members) = (inside, self.memo.trie.open(object));
        loop {
            let value_at = self.name(at, &mut members)?;
            let end = self.member(members.last, value_at, depth)?;
            at = self.space(end);
            match self.byte(at)? {
                b',' => at = self.space(at + 1),
                b'}' => {
                    self.flat.close(self.seed, members.layout);
                    return Some(at + 1);
                }
                _ => return None,
            }
        }
    }

    /// The value of a member that leads to units; returns the place after it.
    #[inline]
    fn member(&mut self, member: Id, at: usize, depth: usize) -> Option<usize> {
        let (value, end) = match self.byte(at)? {
            b'{' => {
                let object = self.memo.trie.object(member);
                return self.object(at, object, depth + 1);
            }
            b'[' => self.array(at, member, depth + 1)?,
            _ => self.scalar(at, self.memo.trie.node(member).is_label)?,
        };
        self.unit(self.memo.trie.node(member).path, value, (at, end), member);
        Some(end)
    }

    #[inline]
    fn unit(&mut self, path: u64, value: u64, (start, end): (usize, usize), of: Id) {
        let span = (start as u32, end as u32);
        self.flat.push(self.seed, Unit { path, value, span, of });
    }

    /// An object within an array, hashed whole.
    fn whole(&mut self, at: usize, object: Id, depth: usize) -> Option<(u64, usize)> {
        let mut at = self.space(at + 1);
        if self.byte(at)? == b'}' {
            return Some((hash::object(self.seed, 0, 0), at + 1));
        }
        if depth > DEPTH {
            return None;
        }
        let (mut sum, mut members) = (0u64, self.memo.trie.open(object));
        loop {
            let value_at = self.name(at, &mut members)?;
            let (value, end) = self.container_or_scalar(value_at, members.last, depth)?;
            let name = self.memo.trie.node(members.last).name;
            sum = sum.wrapping_add(hash::object_step(self.seed, name, value));
            at = self.space(end);
            match self.byte(at)? {
                b',' => at = self.space(at + 1),
                b'}' => return Some((hash::object(self.seed, members.count(), sum), at + 1)),
                _ => return None,
            }
        }
    }

    /// A value within an array, hashed whole. `of`: the member or element that it is.
    #[inline]
    pub(crate) fn container_or_scalar(
        &mut self,
        at: usize,
        of: Id,
        depth: usize,
    ) -> Option<(u64, usize)> {
        match self.byte(at)? {
            b'{' => {
                let object = self.memo.trie.object(of);
                self.whole(at, object, depth + 1)
            }
            b'[' => self.array(at, of, depth + 1),
            _ => self.scalar(at, self.memo.trie.node(of).is_label),
        }
    }

    /// An array, hashed whole by its kind.
    fn array(&mut self, at: usize, of: Id, depth: usize) -> Option<(u64, usize)> {
        if depth > DEPTH {
            return None;
        }
        let rules = &self.of_type.rules;
        let ordered = rules.is_empty() || self.memo.trie.kind(of, rules) == ArrayKind::Ordered;
        let mut at = self.space(at + 1);
        let (mut all, mut sum, mut length) = (hash::ORDERED, 0u64, 0);
        if self.byte(at)? == b']' {
            at += 1;
        } else {
            let elements = self.memo.trie.elements(of, self.seed);
            loop {
                let (value, end) = self.container_or_scalar(at, elements, depth)?;
                length += 1;
                if ordered {
                    all = hash::ordered_step(self.seed, all, value);
                } else {
                    sum = sum.wrapping_add(hash::set_step(self.seed, value));
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
        let value = if ordered {
            hash::ordered(self.seed, length, all)
        } else {
            hash::set(self.seed, length, sum)
        };
        Some((value, at))
    }

    /// Reads the name of one more member, which stands at `at`; returns the place of its value.
    #[inline]
    pub(crate) fn name(&mut self, at: usize, members: &mut Members) -> Option<usize> {
        let (member, value_at) = match self.memo.trie.expected(members, self.text, at) {
            Some(found) => found,
            None => self.read_name(at, members)?,
        };
        self.memo.trie.enter(members, self.seed, member)?;
        Some(self.space(value_at))
    }

    fn read_name(&mut self, at: usize, after: &Members) -> Option<(Id, usize)> {
        if self.byte(at)? != b'"' || self.memo.trie.is_full() {
            return None;
        }
        let (end, escaped) = self.string(at + 1)?;
        if escaped {
            return None;
        }
        let member =
            self.memo.trie.member((self.seed, self.redactor), after, &self.text[at + 1..end]);
        let colon = self.space(end + 1);
        (self.byte(colon)? == b':').then_some((member, colon + 1))
    }

    /// The end of a string whose first byte stands at `at`, and whether it has escapes. What has none
    /// is valid UTF-8.
    #[inline]
    pub(crate) fn string(&self, start: usize) -> Option<(usize, bool)> {
        let mut at = start;
        let (mut escaped, mut ascii) = (false, true);
        loop {
            let (found, only_ascii) = special(self.text.get(at..)?)?;
            at += found;
            ascii &= only_ascii;
            match self.text[at] {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    at += 2;
                }
                _ => return None,
            }
        }
        (ascii || escaped || std::str::from_utf8(&self.text[start..at]).is_ok())
            .then_some((at, escaped))
    }

    /// A value that is neither object nor array. `is_label`: it may say that what stands beside it is
    /// secret.
    #[inline]
    fn scalar(&mut self, at: usize, is_label: bool) -> Option<(u64, usize)> {
        match self.byte(at)? {
            b'"' => self.text_value(at, is_label),
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
    fn text_value(&mut self, at: usize, is_label: bool) -> Option<(u64, usize)> {
        let (end, escaped) = self.string(at + 1)?;
        let decoded: String;
        let text = if escaped {
            decoded = serde_json::from_slice(&self.text[at..=end]).ok()?;
            decoded.as_bytes()
        } else {
            &self.text[at + 1..end]
        };
        let value = hash::string(self.seed, text);
        // The exact way looks for secrets in JSON text, and beside a name that says secret.
        if is_label
            || self.redactor.reads_texts()
            || matches!(text.first(), Some(b'{' | b'[' | b'"' | b'\t'..=b' ' | 0x80..))
        {
            self.harmless(text, value, is_label)?;
        }
        Some((value, end + 1))
    }

    /// Whether redaction would leave a text as it is, and what stands beside it.
    fn harmless(&mut self, text: &[u8], value: u64, is_label: bool) -> Option<()> {
        let known = value ^ u64::from(is_label);
        if self.memo.harmless.contains(&known) {
            return Some(());
        }
        let text = std::str::from_utf8(text).ok()?;
        if (is_label && self.redactor.is_secret_name(text)) || self.redactor.holds_secret(text) {
            return None;
        }
        if self.memo.harmless.len() >= MEMO_MAX {
            self.memo.harmless.clear();
        }
        self.memo.harmless.insert(known);
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
}
