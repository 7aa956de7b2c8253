//! YAML documents to JSON text, event by event, without a tree.
//!
//! What an anchor names is remembered as the JSON text it became, and an alias copies it. How much
//! may be copied is bounded, so that a few lines cannot become gigabytes.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use deployforge_model::RejectCode;
use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::value::RawValue;

use super::scalar;
use super::tag::Tagged;
use crate::json::{self, Members};
use crate::options::Limits;
use crate::refusal::{Refusal, printable};

/// How many times as large as the text its copies may be, with so much that is always allowed.
const COPIES: usize = 8;
const COPIED_BYTES: usize = 1 << 20;

/// One document of a YAML text.
#[derive(Debug)]
pub(crate) struct Document {
    /// The line of the text (1-based) where its content starts.
    pub(crate) line: u64,
    /// Where it stands in the text.
    pub(crate) bytes: Range<usize>,
    /// Its JSON text, in which the keys and elements of the two outermost levels stand on the lines
    /// they have in the YAML; or why it can't be read.
    pub(crate) json: Result<String, Refusal>,
    /// If it is a list, the lines of its elements.
    pub(crate) elements: Vec<u64>,
}

impl Document {
    /// Whether nothing stands in it, as between two `---` with comments only.
    pub(crate) fn is_empty(&self) -> bool {
        self.json.as_deref() == Ok("null")
    }
}

/// The documents of a YAML text. One that can't be read does not hide those after it.
pub(crate) fn documents(text: &str, limits: Limits) -> Vec<Document> {
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = limits.depth;
    options.block_nesting_limit = limits.depth;
    let mut parser = Parser::new_from_str_with_options(text, options).keep_tags(true);
    let mut found: Vec<Document> = Vec::new();
    let mut builder = Builder::new(text, limits);
    let mut failed_at = None;
    while let Some(next) = parser.next_event() {
        let result = match next {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => builder.event(&event, span),
            Err(error) => {
                builder.start(error.marker().line(), error.marker().byte_offset());
                Err(syntax(&error, limits))
            }
        };
        match result {
            Ok(None) => {}
            Ok(Some(json)) => found.push(builder.end(Ok(json))),
            Err(refusal) => {
                found.push(builder.end(Err(refusal)));
                // A parser that does not move on would give the same error for ever.
                let at = parser.peek().and_then(Result::ok).map(|(_, span)| span.start.index());
                let stuck = at.is_some() && at == failed_at;
                failed_at = at;
                if stuck || !matches!(parser.proceed_next_document(), Ok(true)) {
                    break;
                }
            }
        }
    }
    let mut end = text.len();
    for document in found.iter_mut().rev() {
        document.bytes.end = end;
        end = document.bytes.start.min(end);
    }
    found
}

fn syntax(error: &ScanError, limits: Limits) -> Refusal {
    if matches!(error.kind(), granit_parser::ErrorKind::RecursionLimitExceeded) {
        return Refusal::TooDeep { limit: limits.depth };
    }
    let (line, column) = (error.marker().line(), error.marker().col() + 1);
    let problem = error.info();
    let reason =
        format!("This is not valid YAML: {problem} (line {line}, column {column} of the text).");
    Refusal::new(RejectCode::Malformed, reason)
}

/// A mapping or sequence that is open.
#[derive(Debug)]
struct Open {
    kind: Kind,
    value: Value,
}

/// A value in progress.
#[derive(Clone, Copy, Debug)]
struct Value {
    /// Where its text starts.
    start: usize,
    anchor: usize,
    /// Whether a bracket of its tag is to be closed after it.
    wrapped: bool,
}

#[derive(Debug)]
enum Kind {
    Sequence { filled: bool },
    Mapping { keys: HashSet<String>, pending: Pending, merged: Vec<String> },
}

/// What a mapping waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Key,
    Value,
    /// The value of `<<`.
    Merge,
}

/// Builds the JSON text of one document after another.
#[derive(Debug)]
struct Builder {
    limits: Limits,
    /// How much may still be copied.
    copies: usize,
    out: Vec<u8>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Vec<u8>>,
    /// Where the document's content starts.
    started: Option<(usize, usize)>,
    /// The line on which the text written so far ends.
    line: usize,
    elements: Vec<u64>,
}

type Done = Result<Option<String>, Refusal>;

impl Builder {
    fn new(text: &str, limits: Limits) -> Self {
        Self {
            limits,
            copies: text.len().saturating_mul(COPIES).max(COPIED_BYTES).min(limits.document_bytes),
            out: Vec::new(),
            stack: Vec::new(),
            anchors: HashMap::new(),
            started: None,
            line: 1,
            elements: Vec::new(),
        }
    }

    /// Remembers where the document starts.
    fn start(&mut self, line: usize, offset: Option<usize>) {
        if self.started.is_none() {
            self.started = Some((line, offset.unwrap_or_default()));
            self.line = line;
        }
    }

    /// The document is complete, or can't be completed.
    fn end(&mut self, json: Result<String, Refusal>) -> Document {
        let (line, offset) = self.started.take().unwrap_or((1, 0));
        self.out.clear();
        self.stack.clear();
        self.anchors.clear();
        Document {
            line: line as u64,
            bytes: offset..offset,
            json,
            elements: std::mem::take(&mut self.elements),
        }
    }

    /// Takes an event; a document that is complete with it is returned.
    fn event(&mut self, event: &Event<'_>, span: Span) -> Done {
        let line = span.start.line();
        if event.is_node() {
            self.start(line, span.start.byte_offset());
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = Tagged::of(tag.as_deref())?;
                if self.wants_key() {
                    return self.key(text, *style, *anchor, &tag, line);
                }
                let value = self.open(*anchor, &tag, line);
                self.scalar(text, *style, &tag)?;
                self.close(value)
            }
            Event::SequenceStart(_, anchor, tag) => {
                let kind = Kind::Sequence { filled: false };
                self.start_collection(b'[', kind, *anchor, tag.as_deref(), line)
            }
            Event::MappingStart(_, anchor, tag) => {
                let kind = Kind::Mapping {
                    keys: HashSet::new(),
                    pending: Pending::Key,
                    merged: Vec::new(),
                };
                self.start_collection(b'{', kind, *anchor, tag.as_deref(), line)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end_collection(),
            Event::Alias(anchor) => self.alias(*anchor, line),
            _ => Ok(None),
        }
    }

    fn wants_key(&self) -> bool {
        matches!(
            self.stack.last(),
            Some(Open { kind: Kind::Mapping { pending: Pending::Key, .. }, .. })
        )
    }

    /// Moves on to the line that a key or element of the outer levels has.
    fn move_to(&mut self, line: usize) {
        if matches!(self.stack.len(), 1 | 2) {
            while self.line < line {
                self.out.push(b'\n');
                self.line += 1;
            }
        }
    }

    /// A value begins: what stands before it is written.
    fn open(&mut self, anchor: usize, tag: &Tagged, line: usize) -> Value {
        let outermost = self.stack.len() == 1;
        if let Some(Open { kind: Kind::Sequence { filled }, .. }) = self.stack.last_mut() {
            if std::mem::replace(filled, true) {
                self.out.push(b',');
            }
            if outermost {
                self.elements.push(line as u64);
            }
            self.move_to(line);
        }
        let start = self.out.len();
        if let Tagged::Local(name) = tag {
            self.out.push(b'{');
            json::write_string(&mut self.out, name);
            self.out.push(b':');
        }
        Value { start, anchor, wrapped: matches!(tag, Tagged::Local(_)) }
    }

    /// A value ends: it is remembered if it has an anchor, and given to what it stands in.
    fn close(&mut self, value: Value) -> Done {
        if value.wrapped {
            self.out.push(b'}');
        }
        if self.out.len() > self.limits.document_bytes {
            return Err(self.too_large());
        }
        if value.anchor > 0 {
            // What line it stood on means nothing where it is copied to.
            let text = self.out[value.start..].iter().filter(|byte| **byte != b'\n').copied();
            let text: Vec<u8> = text.collect();
            self.spend(text.len())?;
            self.anchors.insert(value.anchor, text);
        }
        match self.stack.last_mut().map(|open| &mut open.kind) {
            None => return self.whole().map(Some),
            Some(Kind::Sequence { .. }) => {}
            Some(Kind::Mapping { pending, merged, .. }) => {
                if *pending == Pending::Merge {
                    let text = self.out.split_off(value.start);
                    merged.push(text_of(text).replace('\n', ""));
                }
                *pending = Pending::Key;
            }
        }
        Ok(None)
    }

    /// The text of the document, which is complete.
    fn whole(&mut self) -> Result<String, Refusal> {
        let text = text_of(std::mem::take(&mut self.out));
        // Aliases and tags nest deeper than the brackets that the parser counted.
        json::nested(&text, self.limits.depth)?;
        Ok(text)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: &Tagged) -> Result<(), Refusal> {
        let plain = style == ScalarStyle::Plain;
        let literal = match tag {
            Tagged::None if plain => scalar::literal(text),
            Tagged::None | Tagged::Text | Tagged::Local(_) => None,
            Tagged::Number => Some(scalar::number(text).ok_or_else(|| misfit("a number"))?),
            Tagged::Boolean => Some(
                scalar::literal(text)
                    .filter(|json| matches!(&**json, "true" | "false"))
                    .ok_or_else(|| misfit("a boolean"))?,
            ),
            Tagged::Null => Some(Cow::Borrowed("null")),
            Tagged::Collection => return Err(misfit("a mapping or sequence")),
        };
        match (literal, tag) {
            (Some(json), _) => self.out.extend_from_slice(json.as_bytes()),
            (None, Tagged::Local(name)) if *name == "Fn::GetAtt" => match text.split_once('.') {
                Some((id, attribute)) => {
                    self.out.push(b'[');
                    json::write_string(&mut self.out, id);
                    self.out.push(b',');
                    json::write_string(&mut self.out, attribute);
                    self.out.push(b']');
                }
                None => json::write_string(&mut self.out, text),
            },
            (None, _) => json::write_string(&mut self.out, text),
        }
        Ok(())
    }

    fn start_collection(
        &mut self,
        bracket: u8,
        kind: Kind,
        anchor: usize,
        tag: Option<&Tag>,
        line: usize,
    ) -> Done {
        if self.wants_key() {
            return Err(complex_key(line));
        }
        let tag = Tagged::of(tag)?;
        if !matches!(tag, Tagged::None | Tagged::Collection | Tagged::Local(_) | Tagged::Text) {
            return Err(misfit("a scalar"));
        }
        let value = self.open(anchor, &tag, line);
        self.out.push(bracket);
        self.stack.push(Open { kind, value });
        Ok(None)
    }

    fn end_collection(&mut self) -> Done {
        let Some(Open { kind, value }) = self.stack.pop() else { return Ok(None) };
        match kind {
            Kind::Sequence { .. } => self.out.push(b']'),
            Kind::Mapping { mut keys, merged, .. } => {
                for text in &merged {
                    self.merge(text, &mut keys)?;
                }
                self.out.push(b'}');
            }
        }
        self.close(value)
    }

    /// Adds the members of a merged mapping that the mapping itself does not have.
    fn merge(&mut self, text: &str, keys: &mut HashSet<String>) -> Result<(), Refusal> {
        let wrong = || {
            let reason = "The merge key `<<` must name a mapping or a list of mappings.";
            Refusal::new(RejectCode::BadField, reason)
        };
        let raw: &RawValue = serde_json::from_str(text)?;
        if json::is_array(raw) {
            for element in json::elements(raw, "<<")? {
                if !json::is_object(element) {
                    return Err(wrong());
                }
                self.merge(element.get(), keys)?;
            }
            return Ok(());
        }
        if !json::is_object(raw) {
            return Err(wrong());
        }
        for (key, value) in Members::parse(text)?.iter() {
            if !keys.insert(key.to_owned()) {
                continue;
            }
            if keys.len() > 1 {
                self.out.push(b',');
            }
            json::write_string(&mut self.out, key);
            self.out.push(b':');
            self.out.extend_from_slice(value.get().as_bytes());
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Done {
        let Some(text) = self.anchors.get(&anchor).cloned() else {
            let reason =
                format!("The alias in line {line} stands inside what it names; write it out.");
            return Err(Refusal::new(RejectCode::Malformed, reason));
        };
        if self.wants_key() {
            let raw: &RawValue = serde_json::from_slice(&text)?;
            let key = json::text_of(raw).ok_or_else(|| complex_key(line))?;
            return self.key(&key, ScalarStyle::DoubleQuoted, 0, &Tagged::None, line);
        }
        self.spend(text.len())?;
        let value = self.open(0, &Tagged::None, line);
        self.out.extend_from_slice(&text);
        self.close(value)
    }

    fn key(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: &Tagged,
        line: usize,
    ) -> Done {
        if matches!(tag, Tagged::Local(_) | Tagged::Collection) {
            return Err(complex_key(line));
        }
        if anchor > 0 {
            let mut name = Vec::new();
            json::write_string(&mut name, text);
            self.anchors.insert(anchor, name);
        }
        let Some(Open { kind: Kind::Mapping { keys, pending, .. }, .. }) = self.stack.last_mut()
        else {
            return Ok(None);
        };
        if text == "<<" && style == ScalarStyle::Plain && matches!(tag, Tagged::None) {
            *pending = Pending::Merge;
            return Ok(None);
        }
        *pending = Pending::Value;
        if !keys.insert(text.to_owned()) {
            let key = printable(text);
            let reason = format!(
                "The key `{key}` is given twice in one mapping (again in line {line} of the text), so it is not clear which one counts."
            );
            return Err(Refusal::new(RejectCode::DuplicateKey, reason));
        }
        if keys.len() > 1 {
            self.out.push(b',');
        }
        self.move_to(line);
        json::write_string(&mut self.out, text);
        self.out.push(b':');
        Ok(None)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Refusal> {
        match self.copies.checked_sub(bytes) {
            Some(left) => {
                self.copies = left;
                Ok(())
            }
            None => Err(Refusal::new(
                RejectCode::TooLarge,
                "The anchors and aliases of this YAML repeat much more than it holds; write it out.",
            )),
        }
    }

    fn too_large(&self) -> Refusal {
        let limit = self.limits.document_bytes;
        let reason = format!(
            "This YAML is larger than the limit of {limit} bytes once it is JSON; split it into several files."
        );
        Refusal::new(RejectCode::TooLarge, reason)
    }
}

/// What was written is JSON and so is UTF-8.
fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

fn complex_key(line: usize) -> Refusal {
    let reason = format!(
        "The key in line {line} of the text is no plain name, and a JSON object has only such; quote it."
    );
    Refusal::new(RejectCode::BadField, reason)
}

fn misfit(want: &str) -> Refusal {
    let reason = format!("A tag of this YAML says {want}, and its value is none; correct either.");
    Refusal::new(RejectCode::BadField, reason)
}
