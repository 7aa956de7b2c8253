//! Depth, strings and escapes: what the scanner remembers about the value it is in.

use std::ops::Range;

/// The name under which recordings of API replies wrap the reply.
const WRAPPER: &[u8] = b"data";

/// Keys longer than this are not of interest.
const KEY_BYTES: usize = 32;

/// What a bracket opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
}

/// Where in a string the scanner is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Quoted {
    #[default]
    No,
    Yes,
    Escape,
}

/// The state of the scanner.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    stack: Vec<Kind>,
    /// Brackets open beyond the depth limit: they are counted, not remembered.
    beyond: usize,
    pub(crate) quoted: Quoted,
    /// The last byte that is neither white space nor inside a string.
    pub(crate) last: u8,
    /// The keys that lead to the current value at the two outermost levels.
    keys: [Vec<u8>; 2],
    capturing: Option<usize>,
}

impl Scan {
    /// Forgets everything.
    pub(crate) fn reset(&mut self) {
        self.stack.clear();
        self.beyond = 0;
        self.quoted = Quoted::No;
        self.last = 0;
        self.capturing = None;
        for key in &mut self.keys {
            key.clear();
        }
    }

    /// How many brackets are open.
    pub(crate) fn depth(&self) -> usize {
        self.stack.len() + self.beyond
    }

    /// Opens a bracket; `false` if that is deeper than `limit`.
    pub(crate) fn open(&mut self, kind: Kind, byte: u8, limit: usize) -> bool {
        self.last = byte;
        if self.beyond > 0 || self.stack.len() >= limit {
            self.beyond += 1;
            return false;
        }
        self.stack.push(kind);
        true
    }

    /// Closes a bracket; `false` if it doesn't match the one that is open.
    pub(crate) fn close(&mut self, kind: Kind, byte: u8) -> bool {
        self.last = byte;
        if self.beyond > 0 {
            self.beyond -= 1;
            return true;
        }
        self.stack.pop() == Some(kind)
    }

    /// Whether a value may begin after what was seen last. Not the whole grammar: it tells a broken
    /// line from a value that goes on, when the next line begins with a bracket.
    pub(crate) fn expects_value(&self) -> bool {
        match self.last {
            b'[' | b':' => true,
            b',' => self.beyond > 0 || self.stack.last() == Some(&Kind::Array),
            _ => false,
        }
    }

    /// A string begins.
    pub(crate) fn open_string(&mut self) {
        self.quoted = Quoted::Yes;
        let depth = self.depth();
        let is_key = self.stack.last() == Some(&Kind::Object) && matches!(self.last, b'{' | b',');
        if is_key && matches!(depth, 1 | 2) && self.beyond == 0 {
            self.keys[depth - 1].clear();
            self.capturing = Some(depth - 1);
        }
    }

    /// More of the string's bytes.
    pub(crate) fn string_bytes(&mut self, chunk: &[u8], range: Range<usize>) {
        if let Some(level) = self.capturing {
            let key = &mut self.keys[level];
            // One byte beyond the limit is kept, so that a long key equals no short one.
            let room = (KEY_BYTES + 1).saturating_sub(key.len());
            let bytes = chunk.get(range).unwrap_or_default();
            key.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// The string ends.
    pub(crate) fn close_string(&mut self) {
        self.quoted = Quoted::No;
        self.capturing = None;
        self.last = b'"';
    }

    /// Whether a list that begins here is the value of one of `names` in the outermost object, or in
    /// the one that wraps it.
    pub(crate) fn is_list_of(&self, names: &[&str]) -> bool {
        let named = |key: &Vec<u8>| names.iter().any(|name| name.as_bytes() == key.as_slice());
        self.last == b':'
            && self.beyond == 0
            && match self.stack.as_slice() {
                [Kind::Object] => named(&self.keys[0]),
                [Kind::Object, Kind::Object] => self.keys[0] == WRAPPER && named(&self.keys[1]),
                _ => false,
            }
    }
}
