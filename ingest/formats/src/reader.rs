//! The reader: bytes in, records out.

use bytes::Bytes;
use deployforge_model::{Record, Reject, SourcePosition};

use crate::aws_config;
use crate::columns;
use crate::detect;
use crate::framing::{Framer, Frames, Part};
use crate::lines::LineReader;
use crate::options::{Format, ReadOptions};
use crate::reference::Reference;
use crate::refusal::Refusal;
use crate::sink::{Sink, Tally};
use crate::yaml;

/// Turns the bytes of one input into records, as they come.
///
/// Memory is bounded by [`Limits`](crate::Limits); where the chunks are cut changes nothing.
#[derive(Debug)]
pub struct Reader {
    options: ReadOptions,
    framer: Framer,
    tally: Tally,
    finished: bool,
}

/// What one input came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadSummary {
    /// The format of the first record that was recognised.
    pub format: Option<Format>,
    /// Resources read.
    pub observations: u64,
    /// Events of logs read, which tell who did what.
    pub evidence: u64,
    /// Records refused.
    pub rejects: u64,
    /// Whether the input lists everything there is, and all of it was read, so that what it lacks
    /// does not exist: a Terraform state, or an AWS Config snapshot (an item list with a
    /// `configSnapshotId`; history files look alike and list one type's past).
    pub complete_listing: bool,
    /// The collections listed, when each lists itself: lineages of Terraform states, empty ones too.
    pub collections: Vec<String>,
    /// Bytes read.
    pub bytes: u64,
    /// What was skipped or assumed on purpose, as short sentences with counts.
    pub notes: Vec<String>,
    /// Files that the input names and that are to be read with it, those first that others depend on.
    pub references: Vec<Reference>,
}

impl ReadSummary {
    pub(crate) fn of(tally: &Tally, bytes: u64) -> Self {
        Self {
            format: tally.format(),
            observations: tally.observations,
            evidence: tally.evidence,
            rejects: tally.rejects,
            complete_listing: tally.whole_listings > 0 && tally.loose == 0 && tally.rejects == 0,
            collections: tally.collections.clone(),
            bytes,
            notes: tally.sentences(),
            references: tally.references.clone(),
        }
    }
}

impl Reader {
    /// A reader for one input.
    pub fn new(options: ReadOptions) -> Self {
        let lists = match options.format {
            None | Some(Format::AwsConfig) => aws_config::ITEM_LISTS,
            Some(_) => &[],
        };
        let documents = options.format.is_none_or(Format::is_document);
        let yaml = options.format.is_none_or(Format::may_be_yaml);
        let tables = options.format.is_none_or(Format::is_table);
        let framer = Framer::new(options.limits, lists, documents, yaml).with_tables(tables);
        Self { options, framer, tally: Tally::default(), finished: false }
    }

    /// Takes the next bytes; records that became complete are appended to `out`.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<Record>) {
        if !self.finished {
            let mut dispatch = Dispatch { options: &self.options, tally: &mut self.tally, out };
            self.framer.push(chunk, &mut dispatch);
        }
    }

    /// Whether the input turned out to have one record a line, and the next byte begins a line: the
    /// rest can be read by blocks of whole lines ([`Reader::into_lines`]). What names other files is
    /// a document, also on one line.
    pub fn is_at_line(&self) -> bool {
        !self.finished && self.framer.is_at_line() && self.tally.references.is_empty()
    }

    /// Reads the rest by blocks of whole lines, many at once; `seed` is the deployment's.
    pub fn into_lines(self, seed: u64) -> LineReader {
        let at = SourcePosition { offset: self.framer.offset(), line: self.framer.line() };
        LineReader::new(self.options, self.tally, seed, at)
    }

    /// The input is complete.
    pub fn finish(&mut self, out: &mut Vec<Record>) -> ReadSummary {
        if !self.finished {
            self.end(None, out);
        }
        ReadSummary::of(&self.tally, self.framer.offset())
    }

    /// The source failed midway (a damaged archive, a lost connection): what is incomplete becomes
    /// one `truncated` reject with `reason`, and nothing more is taken. Call `finish` afterwards.
    pub fn truncate(&mut self, reason: &str, out: &mut Vec<Record>) {
        if !self.finished {
            self.end(Some(reason), out);
        }
    }

    fn end(&mut self, reason: Option<&str>, out: &mut Vec<Record>) {
        self.finished = true;
        let mut dispatch = Dispatch { options: &self.options, tally: &mut self.tally, out };
        self.framer.finish(reason, &mut dispatch);
    }
}

/// Hands frames to the format modules.
pub(crate) struct Dispatch<'a> {
    pub(crate) options: &'a ReadOptions,
    pub(crate) tally: &'a mut Tally,
    pub(crate) out: &'a mut Vec<Record>,
}

impl Dispatch<'_> {
    fn sink(&mut self, position: SourcePosition) -> Sink<'_> {
        Sink {
            out: self.out,
            tally: self.tally,
            options: self.options,
            position,
            nesting: 0,
            request: None,
        }
    }
}

impl Frames for Dispatch<'_> {
    fn frame(&mut self, part: Part, at: SourcePosition, bytes: &[u8]) {
        if matches!(part, Part::Item) {
            self.tally.item_at = Some(at.offset);
        }
        let mut sink = self.sink(at);
        let Ok(text) = std::str::from_utf8(bytes) else {
            return sink.refuse(&Refusal::NotUtf8, bytes);
        };
        let result = match part {
            Part::Value | Part::Element => detect::read(text, &mut sink),
            Part::Item => aws_config::read_item(text, &mut sink),
            Part::Envelope => aws_config::read_envelope(text, &mut sink),
            Part::Yaml => yaml::read(text, &mut sink),
        };
        if let Err(refusal) = result {
            sink.refuse(&refusal, bytes);
        }
    }

    fn table(&mut self, at: SourcePosition, bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        let mut sink = self.sink(at);
        if let Err(refusal) = columns::read(&bytes, &mut sink) {
            sink.position = at;
            sink.refuse(&refusal, &bytes);
        }
    }

    fn reject(&mut self, reject: Reject) {
        self.tally.item_at = Some(reject.position.offset);
        self.sink(reject.position).reject(reject);
    }
}
