//! Scanning within a value.

use deployforge_model::RejectCode;

use super::scan::{Kind, Quoted};
use super::{Framer, Frames, Layout, List, Part, State, Until};

/// What a byte did to the value.
enum Step {
    /// The value goes on.
    On,
    /// The value is complete with this byte.
    Complete,
    /// The value was complete before this byte.
    CompleteBefore,
    /// A list began that is cut into elements.
    Cut(Part),
    /// The byte can't stand here.
    Wrong,
    /// The line ends inside the value.
    Broken,
    /// The line before this byte was broken.
    BrokenBefore,
}

impl Framer {
    /// Scans on within a value; returns how many bytes it took.
    pub(super) fn value(&mut self, rest: &[u8], frames: &mut impl Frames) -> usize {
        let mut at = 0;
        while at < rest.len() {
            if self.scan.quoted != Quoted::No {
                match self.string(&rest[at..]) {
                    Ok(used) => at += used,
                    Err(used) => return self.raw_newline(rest, at + used, frames),
                }
                continue;
            }
            match self.step(rest[at], at) {
                Step::On => at += 1,
                Step::Complete => {
                    self.held.keep(&rest[..=at], self.limit());
                    self.complete(frames);
                    return at + 1;
                }
                Step::CompleteBefore => {
                    self.held.keep(&rest[..at], self.limit());
                    self.complete(frames);
                    return at;
                }
                Step::Cut(part) => {
                    self.held.keep(&rest[..=at], self.limit());
                    self.start_list(part);
                    return at + 1;
                }
                Step::Wrong => {
                    self.held.keep(&rest[..at], self.limit());
                    return self.wrong(at);
                }
                Step::Broken | Step::BrokenBefore => {
                    self.held.keep(&rest[..at], self.limit());
                    self.broken_line("The line ends inside a value", frames);
                    return at;
                }
            }
        }
        self.held.keep(rest, self.limit());
        rest.len()
    }

    /// Passes over string bytes; `Err` is where a newline stands, which no string may hold.
    fn string(&mut self, rest: &[u8]) -> Result<usize, usize> {
        let mut at = 0;
        if self.scan.quoted == Quoted::Escape {
            let Some(&byte) = rest.first() else { return Ok(0) };
            if byte == b'\n' {
                return Err(0);
            }
            // An escaped key is spelled out so that it equals no plain name.
            self.scan.string_bytes(b"\\", 0..1);
            self.scan.quoted = Quoted::Yes;
            at = 1;
        }
        match memchr::memchr3(b'"', b'\\', b'\n', &rest[at..]).map(|found| at + found) {
            None => {
                self.scan.string_bytes(rest, at..rest.len());
                Ok(rest.len())
            }
            Some(found) => {
                self.scan.string_bytes(rest, at..found);
                match rest[found] {
                    b'"' => self.scan.close_string(),
                    b'\\' => self.scan.quoted = Quoted::Escape,
                    _ => return Err(found),
                }
                Ok(found + 1)
            }
        }
    }

    /// One byte outside strings.
    fn step(&mut self, byte: u8, at: usize) -> Step {
        let scalar_ends =
            self.scalar && self.list.as_ref().is_some_and(|list| list.depth == self.scan.depth());
        match byte {
            b'\n' => return self.line_end(at),
            b' ' | b'\t' | b'\r' => return Step::On,
            b',' | b']' | b'}' if scalar_ends => return Step::CompleteBefore,
            b'{' | b'[' if self.fresh_line && !self.continues(at) => return Step::BrokenBefore,
            _ => {}
        }
        if self.fresh_line {
            self.fresh_line = false;
            if self.layout == Layout::Undecided {
                self.layout = Layout::Documents;
            }
        }
        match byte {
            b'"' => self.scan.open_string(),
            b'{' => self.open(Kind::Object, byte),
            b'[' => match self.list_part() {
                Some(part) => {
                    self.open(Kind::Array, byte);
                    return Step::Cut(part);
                }
                None => self.open(Kind::Array, byte),
            },
            b'}' | b']' => {
                let kind = if byte == b'}' { Kind::Object } else { Kind::Array };
                if !self.scan.close(kind, byte) {
                    return Step::Wrong;
                }
                let base = self.list.as_ref().map_or(0, |list| list.depth);
                if self.scan.depth() == base {
                    return Step::Complete;
                }
            }
            _ => self.scan.last = byte,
        }
        Step::On
    }

    fn line_end(&mut self, at: usize) -> Step {
        if self.layout == Layout::Lines {
            return Step::Broken;
        }
        if self.list.is_some() || self.cut.is_some() {
            self.layout = Layout::Documents;
        }
        self.newline(at);
        self.fresh_line = true;
        Step::On
    }

    /// Whether a bracket at the start of a line goes on with the value: if not, the lines before it
    /// were a value that broke off.
    fn continues(&self, at: usize) -> bool {
        let at_margin = self.offset + at as u64 == self.margin;
        let suspect = self.layout == Layout::Undecided || at_margin;
        !suspect || self.scan.expects_value()
    }

    fn open(&mut self, kind: Kind, byte: u8) {
        let base = self.list.as_ref().map_or(0, |list| list.depth);
        let limit = self.limits.depth;
        if !self.scan.open(kind, byte, base + limit) {
            let reason = format!(
                "This is nested deeper than the limit of {limit}; flatten it before it is read here."
            );
            self.held.refuse(RejectCode::TooDeep, reason);
        }
    }

    /// What the list that begins here would be cut into, if it is one to be cut.
    fn list_part(&self) -> Option<Part> {
        if self.list.is_some() || self.held.is_refused() {
            None
        } else if self.scan.depth() == 0 {
            Some(Part::Element)
        } else {
            self.scan.is_list_of(self.lists).then_some(Part::Item)
        }
    }

    fn start_list(&mut self, part: Part) {
        self.cut = Some(part);
        self.list = Some(List {
            part,
            depth: self.scan.depth(),
            envelope: self.held.take(),
            at: self.held.at,
            last: b'[',
        });
        self.state = State::Gap;
    }

    /// The value is complete: it, or why it was refused, is delivered.
    pub(super) fn complete(&mut self, frames: &mut impl Frames) {
        let (part, next) = match (&self.list, self.cut) {
            (Some(list), _) => (list.part, State::Gap),
            (None, Some(_)) => (Part::Envelope, State::Between),
            (None, None) => (Part::Value, State::Between),
        };
        if next == State::Between && self.layout == Layout::Undecided {
            self.layout = Layout::Lines;
        }
        self.scalar = false;
        self.state = next;
        // The brackets of an outermost array say nothing.
        let bare = part == Part::Envelope && self.cut == Some(Part::Element);
        match self.held.bytes() {
            Some(_) if bare => {}
            Some(bytes) => frames.frame(part, self.held.at, bytes),
            None => {
                let reject = self.held.reject();
                frames.reject(reject);
            }
        }
    }

    /// A newline inside a string, `at` bytes into `rest`.
    fn raw_newline(&mut self, rest: &[u8], at: usize, frames: &mut impl Frames) -> usize {
        self.held.keep(&rest[..at], self.limit());
        if self.layout == Layout::Documents {
            return self.wrong(at);
        }
        self.broken_line("The line ends inside a string", frames);
        at
    }

    /// The line broke off; reading goes on with the next one.
    pub(super) fn broken_line(&mut self, what: &str, frames: &mut impl Frames) {
        let reason = format!("{what}; each record must stand on one line, or the file is damaged.");
        self.held.refuse(RejectCode::Malformed, reason);
        let reject = self.held.reject();
        if self.fresh_line && self.layout == Layout::Undecided {
            self.layout = Layout::Lines;
        }
        self.list = None;
        self.state = State::Between;
        frames.reject(reject);
    }

    /// The byte `at` bytes from here can't stand there: the document is refused from the record it
    /// is in, and reading goes on where a new one can be told.
    pub(super) fn wrong(&mut self, at: usize) -> usize {
        if self.state == State::Gap {
            self.held.start(self.here(at));
        }
        let what = if self.list.is_some() || self.cut.is_some() {
            "; what stood before it was read"
        } else {
            ""
        };
        let place = self.here(at);
        let reason = format!(
            "The brackets, quotes or commas don't fit together at {place}{what}; repair the file."
        );
        self.held.refuse(RejectCode::Malformed, reason);
        self.list = None;
        self.closed = false;
        self.sample.clear();
        let until = if self.layout == Layout::Documents { Until::Margin } else { Until::Line };
        self.state = State::Skip(until);
        at
    }

    /// The input ends inside the value.
    pub(super) fn break_off(&mut self, sentence: String, frames: &mut impl Frames) {
        if self.list.is_some() {
            let sentence = format!("{sentence} The complete items before it were read.");
            self.held.explain(RejectCode::Truncated, sentence);
        } else if !self.held.is_refused() {
            self.held.refuse(RejectCode::Truncated, sentence);
        }
        let reject = self.held.reject();
        frames.reject(reject);
    }
}
