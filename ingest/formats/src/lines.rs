//! Inputs of one record a line, read by blocks of whole lines, many at once.
//!
//! [`LineReader::scan`] takes the short way through a block: configuration items become rows of a
//! [`Frame`], whose states are claims ([`StateForm::Members`](deployforge_model::StateForm)). Lines
//! it cannot take that way are left over for [`LineReader::parse`], which needs to know the number of
//! the block's first line, and so comes after the blocks before were scanned. A row whose claim turns
//! out wrong is read again by [`RecordReader::record`]. All three are pure and can run on any thread.

use deployforge_model::{
    Block, Dialect, Frame, FrameBuilder, FrameRow, Record, RecordReader, Seed, SourcePosition, Span,
};

use crate::aws_config::ITEM_LISTS;
use crate::aws_config::scan::{STATE, Scanner};
use crate::framing::Framer;
use crate::options::{Format, ReadOptions};
use crate::reader::{Dispatch, ReadSummary};
use crate::sink::Tally;

/// Bytes of an average record, to size a frame.
const RECORD_BYTES: usize = 1024;

/// Reads blocks of whole lines of one input.
#[derive(Debug)]
pub struct LineReader {
    options: ReadOptions,
    seed: Seed,
    key_seed: u64,
    tally: Tally,
    line: u64,
    bytes: u64,
    /// Reads a line that is too long for a block.
    long: Option<Framer>,
}

/// What a scan of a block came to.
#[derive(Debug)]
pub struct Lines {
    /// The lines that were scanned.
    pub frame: Frame,
    /// How many newlines the block has.
    pub newlines: u64,
    /// Lines that take the parser: how many rows of the frame stand before it, and the line.
    left: Vec<(u32, Left)>,
    block: Block,
}

#[derive(Clone, Copy, Debug)]
struct Left {
    span: Span,
    line: u32,
}

impl Lines {
    /// Whether every line was scanned.
    pub fn is_complete(&self) -> bool {
        self.left.is_empty()
    }
}

impl Default for LineReader {
    /// A reader of nothing.
    fn default() -> Self {
        Self::new(
            ReadOptions::default(),
            Tally::default(),
            0,
            SourcePosition { offset: 0, line: 1 },
        )
    }
}

impl LineReader {
    /// A reader of what stands from `at` on.
    pub(crate) fn new(options: ReadOptions, tally: Tally, seed: u64, at: SourcePosition) -> Self {
        let SourcePosition { offset, line } = at;
        let key_seed = seed;
        Self { options, seed: Seed::new(seed), key_seed, tally, line, bytes: offset, long: None }
    }

    /// Bytes of the longest record; what is longer is read by pieces ([`LineReader::piece`]).
    pub fn record_bytes(&self) -> usize {
        self.options.limits.record_bytes
    }

    /// Scans a block of whole lines.
    pub fn scan(&self, block: &Block) -> Lines {
        let bytes: &[u8] = &block.bytes;
        let short = matches!(self.options.format, None | Some(Format::AwsConfig));
        let mut scanner = Scanner::new(&self.seed, self.key_seed);
        let mut rows = FrameBuilder::with_capacity(bytes.len() / RECORD_BYTES + 16);
        let mut left = Vec::new();
        let (mut start, mut line, mut newlines) = (0, 0u32, 0u64);
        while start < bytes.len() {
            let found = memchr::memchr(b'\n', &bytes[start..]);
            let end = found.map_or(bytes.len(), |length| start + length);
            let text = &bytes[start..end];
            match if short { scanner.scan(text) } else { None } {
                Some(item) => rows.push(&item.row(start as u32, text.len() as u32, line), bytes),
                None if text.iter().all(u8::is_ascii_whitespace) => {}
                None => {
                    let span = (start as u32, (end - start) as u32 + u32::from(found.is_some()));
                    left.push((rows.len() as u32, Left { span, line }));
                }
            }
            start = end + 1;
            line += 1;
            newlines += u64::from(found.is_some());
        }
        let frame = rows.finish(block, Dialect::AwsConfig, "aws", STATE);
        Lines { frame, newlines, left, block: block.clone() }
    }

    /// The number of the next block's first line; to be called once per block, in order. Also counts
    /// what was scanned.
    pub fn number(&mut self, lines: &mut Lines) {
        lines.frame.start.line = self.line;
        self.line += lines.newlines;
        self.bytes = lines.block.offset + lines.block.bytes.len() as u64;
        let rows = lines.frame.len() as u64;
        if rows > 0 {
            self.tally.saw(lines.frame.position(0).offset, Format::AwsConfig);
            self.tally.observations += rows;
            self.tally.loose += rows;
        }
    }

    /// The next block begins with this line, whatever came before.
    pub fn go_to(&mut self, line: u64) {
        self.line = line;
    }

    /// Parses the lines that the scan left over: each with the number of rows that stand before it.
    pub fn parse(&self, lines: &Lines) -> Parsed {
        let mut parsed = Parsed::default();
        let mut records = Vec::new();
        for (rows, left) in &lines.left {
            let at = SourcePosition {
                offset: lines.block.offset + u64::from(left.span.0),
                line: lines.frame.start.line + u64::from(left.line),
            };
            let (start, end) = (left.span.0 as usize, (left.span.0 + left.span.1) as usize);
            self.line(&lines.block.bytes[start..end], at, &mut parsed.tally, &mut records);
            parsed.records.extend(records.drain(..).map(|record| (*rows, record)));
        }
        parsed
    }

    /// Takes note of what parsing a block came to; to be called once per block, in order. What is to be
    /// refused once for the whole input, and was so of a block before, is taken out.
    pub fn count(&mut self, parsed: &mut Parsed) {
        for offset in self.tally.repeated(&mut parsed.tally) {
            parsed.records.retain(|(_, record)| {
                !matches!(record, Record::Reject(reject) if reject.position.offset == offset)
            });
        }
        self.tally.merge(std::mem::take(&mut parsed.tally));
    }

    /// Reads one line, with its newline or without.
    fn line(&self, text: &[u8], at: SourcePosition, tally: &mut Tally, out: &mut Vec<Record>) {
        // A message, or one of several files, may begin here.
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut framer = Framer::at_line(self.options.limits, ITEM_LISTS, at);
        let mut dispatch = Dispatch { options: &self.options, tally, out };
        framer.push(text, &mut dispatch);
        // What is still open at the end of a line is a broken line, not an input that ends early.
        if text.last() != Some(&b'\n') {
            framer.push(b"\n", &mut dispatch);
        }
        framer.finish(None, &mut dispatch);
    }

    /// Reads on in a line that is too long for a block; the piece with its newline is the last of it.
    pub fn piece(&mut self, bytes: &[u8], out: &mut Vec<Record>) {
        let mut framer = self.long.take().unwrap_or_else(|| self.framer());
        let mut dispatch = Dispatch { options: &self.options, tally: &mut self.tally, out };
        framer.push(bytes, &mut dispatch);
        self.bytes += bytes.len() as u64;
        if bytes.last() == Some(&b'\n') {
            self.line += 1;
        } else {
            self.long = Some(framer);
        }
    }

    fn framer(&self) -> Framer {
        let at = SourcePosition { offset: self.bytes, line: self.line };
        Framer::at_line(self.options.limits, ITEM_LISTS, at)
    }

    /// The input is complete, or broke off for `reason`, after `rest`: an incomplete line. The summary
    /// counts every row as an observation: who reads one again counts what comes of it.
    pub fn finish(
        mut self,
        rest: &[u8],
        reason: Option<&str>,
        out: &mut Vec<Record>,
    ) -> ReadSummary {
        let mut framer = self.long.take().unwrap_or_else(|| self.framer());
        let mut dispatch = Dispatch { options: &self.options, tally: &mut self.tally, out };
        framer.push(rest, &mut dispatch);
        framer.finish(reason, &mut dispatch);
        ReadSummary::of(&self.tally, self.bytes + rest.len() as u64)
    }
}

impl RecordReader for LineReader {
    fn record(&self, frame: &Frame, row: usize) -> Vec<Record> {
        let mut records = Vec::new();
        let tally = &mut Tally::default();
        self.line(frame.record(row), frame.position(row), tally, &mut records);
        records
    }
}

/// What the parser made of the lines that a scan left over.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Records, each with the number of rows of the frame that stand before it.
    pub records: Vec<(u32, Record)>,
    tally: Tally,
}

impl crate::aws_config::scan::Item {
    /// The row of an item in a line that starts at `start`.
    #[inline]
    fn row(&self, start: u32, length: u32, line: u32) -> FrameRow {
        let shift = |span: Span| (start + span.0, span.1);
        FrameRow {
            key128: self.key128,
            raw: self.raw,
            version: self.version,
            observed_at: self.observed_at,
            line,
            record: (start, length),
            state: shift(self.state),
            parts: self.parts.map(shift),
            alias: shift(self.alias),
        }
    }
}
