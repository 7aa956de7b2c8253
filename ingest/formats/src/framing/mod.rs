//! Cuts a byte stream into JSON values, whatever the chunks.
//!
//! A [`Framer`] knows brackets, strings, escapes and newlines, and nothing of what a value means. It
//! learns from the first value whether the input has one value per line or documents that span
//! lines. In lines, a broken one ends at its newline. In documents, reading goes on at the next line
//! that begins with a bracket. Lists that can be large (the outermost array, and the item lists of
//! the format that has such) are cut into their elements; what stands around them is delivered at
//! the end as an envelope with an empty list.
//!
//! An input that begins with text instead of a bracket is held until it can be told what the text
//! is: if it is YAML, the whole input is, and is delivered at its end; if not, it is refused up to
//! the first line that begins with a bracket.

mod held;
mod scan;
mod value;

use deployforge_model::{Reject, RejectCode, SourcePosition};

use crate::columns;
use crate::foreign;
use crate::options::Limits;
use held::Held;
use scan::Scan;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// One value that stands by itself.
    Value,
    /// One element of the outermost array.
    Element,
    /// One element of an item list.
    Item,
    /// What stood around the elements of an item list.
    Envelope,
    /// The whole input, which is YAML: one or several documents.
    Yaml,
}

/// Receives what was framed.
pub(crate) trait Frames {
    /// A complete value.
    fn frame(&mut self, part: Part, at: SourcePosition, bytes: &[u8]);
    /// The whole input, which is a table in columns.
    fn table(&mut self, at: SourcePosition, bytes: Vec<u8>);
    /// Bytes that are no value.
    fn reject(&mut self, reject: Reject);
}

/// How values are laid out, as learnt from the first one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Layout {
    #[default]
    Undecided,
    Lines,
    Documents,
}

/// Where the framer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first bytes are gathered, to see what the input is at all.
    Head,
    /// Between values.
    Between,
    /// Within a value.
    Value,
    /// Within a list that is cut into elements, between two of them.
    Gap,
    /// Within a table in columns, which is read from its end.
    Table,
    /// Refusing bytes.
    Skip(Until),
}

/// How far bytes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// To the end of the line.
    Line,
    /// To a line whose first visible byte is a bracket: text before the first value.
    Bracket,
    /// To a line that begins with a bracket, right after a line that begins with a closing one:
    /// after a document that is broken. Less would take its fragments for records.
    Margin,
    /// To the end of the input.
    End,
}

/// A list that is being cut into elements.
#[derive(Debug)]
struct List {
    part: Part,
    /// The depth of its elements.
    depth: usize,
    /// The envelope so far, and where it began.
    envelope: Vec<u8>,
    at: SourcePosition,
    /// The last thing seen between elements: the bracket, a comma, or `e` for an element.
    last: u8,
}

/// How much of refused text is looked at to say what it is.
const SAMPLE_BYTES: usize = 256;
/// How many bytes are gathered before anything is decided.
const HEAD_BYTES: usize = 16;

/// Cuts a byte stream into JSON values.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact, independent of the others")]
pub(crate) struct Framer {
    limits: Limits,
    /// Keys whose arrays are item lists.
    lists: &'static [&'static str],
    /// Whether the first value may be a document, and so as large as one.
    documents: bool,
    /// Whether the input may be YAML.
    yaml: bool,
    /// Whether the input may be a table in columns.
    tables: bool,
    layout: Layout,
    state: State,
    offset: u64,
    line: u64,
    /// Offset of the first byte of the current line.
    margin: u64,
    head: Vec<u8>,
    sample: Vec<u8>,
    /// If the input began with text that may turn out to be YAML: how far it is indented.
    opening: Option<usize>,
    /// Whether the line of that text is a comment of YAML's, which says nothing of what it is.
    comment: bool,
    held: Held,
    scan: Scan,
    list: Option<List>,
    /// The part that the outermost value is, once one of its lists was cut.
    cut: Option<Part>,
    /// Whether the current element is neither object nor array.
    scalar: bool,
    /// Whether a newline passed since the last visible byte of the value.
    fresh_line: bool,
    /// Whether the last visible byte that was refused closed something at the start of a line.
    closed: bool,
    /// Whether any value or reject was seen.
    seen: bool,
}

impl Framer {
    /// A framer that cuts the arrays named `lists`; `documents` says whether values larger than a
    /// record can be of use, `yaml` whether the input may be YAML.
    pub(crate) fn new(
        limits: Limits,
        lists: &'static [&'static str],
        documents: bool,
        yaml: bool,
    ) -> Self {
        Self {
            limits,
            lists,
            documents,
            yaml,
            tables: false,
            layout: Layout::Undecided,
            state: State::Head,
            offset: 0,
            line: 1,
            margin: 0,
            head: Vec::new(),
            sample: Vec::new(),
            opening: None,
            comment: false,
            held: Held::default(),
            scan: Scan::default(),
            list: None,
            cut: None,
            scalar: false,
            fresh_line: false,
            closed: false,
            seen: false,
        }
    }

    /// The same, for inputs that may be tables in columns, or not.
    pub(crate) fn with_tables(self, tables: bool) -> Self {
        Self { tables, ..self }
    }

    /// A framer at the start of a line, in an input of which it is known that each line is a value.
    pub(crate) fn at_line(
        limits: Limits,
        lists: &'static [&'static str],
        at: SourcePosition,
    ) -> Self {
        Self {
            layout: Layout::Lines,
            state: State::Between,
            offset: at.offset,
            margin: at.offset,
            line: at.line,
            seen: true,
            ..Self::new(limits, lists, false, false)
        }
    }

    /// Whether the input is one value a line, and the next byte begins a line.
    pub(crate) fn is_at_line(&self) -> bool {
        self.layout == Layout::Lines && self.state == State::Between && self.offset == self.margin
    }

    /// The line that is read.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Bytes taken so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset + self.head.len() as u64
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, chunk: &[u8], frames: &mut impl Frames) {
        if self.state != State::Head {
            return self.run(chunk, frames);
        }
        let room = HEAD_BYTES.saturating_sub(self.head.len()).min(chunk.len());
        let (first, rest) = chunk.split_at(room);
        self.head.extend_from_slice(first);
        if self.head.len() >= HEAD_BYTES {
            self.start(frames);
            self.run(rest, frames);
        }
    }

    /// The input is complete, or broke off for `reason`.
    pub(crate) fn finish(&mut self, reason: Option<&str>, frames: &mut impl Frames) {
        if self.state == State::Head {
            self.start(frames);
        }
        let cause = reason.unwrap_or("the input ends inside a record");
        let sentence = format!("{}; get the whole input and read it again.", capital(cause));
        match self.state {
            State::Value => self.break_off(sentence, frames),
            State::Table => {
                if reason.is_some() {
                    self.held.explain(RejectCode::Truncated, sentence);
                }
                if self.held.is_refused() {
                    frames.reject(self.held.reject());
                } else {
                    frames.table(self.held.at, self.held.take());
                }
            }
            State::Gap => {
                self.held.start(self.here(0));
                self.break_off(sentence, frames);
            }
            State::Skip(_) if reason.is_some() && self.is_yaml() => {
                // What is left may be valid YAML all the same, and would be taken for the whole.
                self.held.explain(RejectCode::Truncated, sentence);
                let reject = self.held.reject();
                frames.reject(reject);
            }
            State::Skip(_) => {
                self.end_skip(frames);
                if reason.is_some() {
                    self.empty_reject(RejectCode::Truncated, sentence, frames);
                }
            }
            State::Head | State::Between if reason.is_some() => {
                self.empty_reject(RejectCode::Truncated, sentence, frames);
            }
            State::Head | State::Between if !self.seen => {
                let sentence = "The input is empty; check the path and the export that wrote it.";
                self.empty_reject(RejectCode::Empty, sentence.to_owned(), frames);
            }
            State::Head | State::Between => {}
        }
        self.state = State::Between;
        self.list = None;
        self.seen = true;
    }

    /// Decides, from the first bytes, whether this is text that can hold JSON.
    fn start(&mut self, frames: &mut impl Frames) {
        let head = std::mem::take(&mut self.head);
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head);
        self.offset = (head.len() - text.len()) as u64;
        self.margin = self.offset;
        self.state = State::Between;
        if self.tables && columns::is_table(text) {
            self.held.start(self.here(0));
            self.seen = true;
            self.state = State::Table;
        } else if let Some((code, reason)) = foreign::by_magic(text) {
            self.held.start(self.here(0));
            self.held.refuse(code, reason);
            self.seen = true;
            self.state = State::Skip(Until::End);
        }
        self.run(text, frames);
    }

    fn run(&mut self, mut rest: &[u8], frames: &mut impl Frames) {
        while !rest.is_empty() {
            let used = match self.state {
                State::Head | State::Between => self.between(rest),
                State::Value => self.value(rest, frames),
                State::Gap => self.gap(rest, frames),
                State::Table => {
                    self.held.keep(rest, self.limits.document_bytes);
                    rest.len()
                }
                State::Skip(until) => self.skip(until, rest, frames),
            };
            self.offset += used as u64;
            rest = &rest[used..];
        }
    }

    /// The position `ahead` bytes from here.
    fn here(&self, ahead: usize) -> SourcePosition {
        SourcePosition { offset: self.offset + ahead as u64, line: self.line }
    }

    /// A newline stands `ahead` bytes from here.
    fn newline(&mut self, ahead: usize) {
        self.line += 1;
        self.margin = self.offset + ahead as u64 + 1;
    }

    /// Skips white space up to the next value, or up to what is none.
    fn between(&mut self, rest: &[u8]) -> usize {
        for (at, &byte) in rest.iter().enumerate() {
            match byte {
                b'\n' => self.newline(at),
                b' ' | b'\t' | b'\r' => {}
                b'{' | b'[' => {
                    self.held.start(self.here(at));
                    self.scan.reset();
                    self.cut = None;
                    self.scalar = false;
                    self.fresh_line = false;
                    self.seen = true;
                    self.state = State::Value;
                    return at;
                }
                _ => {
                    self.held.start(self.here(at));
                    self.sample.clear();
                    self.fresh_line = false;
                    if self.seen || !self.yaml {
                        self.held.refuse(RejectCode::Malformed, String::new());
                    } else {
                        self.opening = Some((self.held.at.offset - self.margin) as usize);
                        self.comment = byte == b'#';
                    }
                    // Text before the first value is one thing, however many lines it has.
                    let until = if self.seen { Until::Line } else { Until::Bracket };
                    self.seen = true;
                    self.state = State::Skip(until);
                    return at;
                }
            }
        }
        rest.len()
    }

    /// Between two elements of a list.
    fn gap(&mut self, rest: &[u8], frames: &mut impl Frames) -> usize {
        for (at, &byte) in rest.iter().enumerate() {
            let Some(list) = &mut self.list else {
                self.state = State::Between;
                return at;
            };
            match byte {
                b'\n' if self.layout == Layout::Lines => {
                    self.held.start(self.here(at));
                    self.broken_line("The line ends inside a list", frames);
                    return at;
                }
                b'\n' => {
                    self.layout = Layout::Documents;
                    self.newline(at);
                }
                b' ' | b'\t' | b'\r' => {}
                b',' if list.last == b'e' => list.last = b',',
                b']' if list.last != b',' => {
                    self.end_list(frames);
                    return at + 1;
                }
                b',' | b'}' | b']' | b':' => return self.wrong(at),
                _ if list.last == b'e' => return self.wrong(at),
                _ => {
                    list.last = b'e';
                    self.held.start(self.here(at));
                    self.scalar = !matches!(byte, b'{' | b'[');
                    self.fresh_line = false;
                    self.state = State::Value;
                    return at;
                }
            }
        }
        rest.len()
    }

    /// The list is complete: what is left is the rest of its envelope.
    fn end_list(&mut self, frames: &mut impl Frames) {
        let Some(list) = self.list.take() else { return };
        self.scan.close(scan::Kind::Array, b']');
        self.scalar = false;
        self.held.resume(list.at, list.envelope);
        self.held.keep(b"]", self.limit());
        self.state = State::Value;
        if self.scan.depth() == 0 {
            self.complete(frames);
        }
    }

    /// Refuses bytes up to where reading can go on.
    fn skip(&mut self, until: Until, rest: &[u8], frames: &mut impl Frames) -> usize {
        for (at, &byte) in rest.iter().enumerate() {
            let bracket = matches!(byte, b'{' | b'[');
            let first = self.offset + at as u64 == self.margin;
            let stop = match until {
                Until::Bracket => bracket && self.fresh_line && !foreign::goes_on(&self.sample),
                Until::Margin => bracket && first && self.closed,
                Until::Line | Until::End => false,
            };
            if stop {
                self.keep_text(&rest[..at]);
                self.end_skip(frames);
                return at;
            }
            self.comment |= byte == b'#' && self.fresh_line && self.opening.is_some();
            if self.sample.len() < SAMPLE_BYTES && !self.comment {
                self.sample.push(byte);
                if self.sample.len() == SAMPLE_BYTES && !self.is_yaml() {
                    self.held.refuse(RejectCode::Malformed, String::new());
                }
            }
            if byte == b'\n' {
                self.comment = false;
                self.newline(at);
                if until == Until::Line {
                    // The newline ends the line and is none of it: a message has none.
                    self.keep_text(&rest[..at]);
                    self.end_skip(frames);
                    return at + 1;
                }
            }
            self.fresh_line = byte == b'\n' || (self.fresh_line && byte.is_ascii_whitespace());
            if !byte.is_ascii_whitespace() {
                self.closed = first && matches!(byte, b'}' | b']');
            }
        }
        self.keep_text(rest);
        rest.len()
    }

    /// Whether the text that the input began with is YAML, as far as it was seen.
    fn is_yaml(&self) -> bool {
        self.opening.is_some() && foreign::is_yaml(&self.sample)
    }

    /// Keeps bytes that are no JSON: text that may be YAML as it is, up to the limit of a document.
    fn keep_text(&mut self, bytes: &[u8]) {
        let limit = self.limits.document_bytes;
        if self.held.bytes().is_some_and(|held| held.len() + bytes.len() > limit) {
            self.held.refuse(RejectCode::Malformed, String::new());
        }
        self.held.keep(bytes, usize::MAX);
    }

    fn end_skip(&mut self, frames: &mut impl Frames) {
        let is_yaml = self.is_yaml();
        let indent = self.opening.take().unwrap_or_default();
        self.state = State::Between;
        if let (true, Some(bytes)) = (is_yaml, self.held.bytes()) {
            // In YAML the white space at the start of a line counts.
            let mut at = self.held.at;
            at.offset -= indent as u64;
            match indent {
                0 => frames.frame(Part::Yaml, at, bytes),
                _ => frames.frame(Part::Yaml, at, &[&b" ".repeat(indent), bytes].concat()),
            }
            self.held.start(at);
            return;
        }
        self.held.refuse(RejectCode::Malformed, String::new());
        let mut reject = self.held.reject();
        if reject.reason.is_empty() {
            (reject.code, reject.reason) = if is_yaml {
                (RejectCode::TooLarge, held::too_large(self.limits.document_bytes))
            } else {
                foreign::by_sample(&self.sample)
            };
        }
        self.sample.clear();
        frames.reject(reject);
    }

    fn empty_reject(&mut self, code: RejectCode, reason: String, frames: &mut impl Frames) {
        self.held.start(self.here(0));
        self.held.refuse(code, reason);
        let reject = self.held.reject();
        frames.reject(reject);
    }

    /// How large what is held may grow.
    fn limit(&self) -> usize {
        let may_be_document = self.documents && self.layout != Layout::Lines;
        if self.list.is_none() && may_be_document {
            self.limits.document_bytes
        } else {
            self.limits.record_bytes
        }
    }
}

/// The first letter as a capital: a cause becomes a sentence.
fn capital(text: &str) -> String {
    let mut letters = text.trim_end_matches('.').chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
