//! Reading: bytes through a format into feeds, on a thread of its own.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel::{Receiver, Sender, bounded};
use deployforge_formats::{LineReader, ReadSummary, Reader, Side};
use deployforge_model::{
    Block, Clock, Evidence, FileMark, Observation, ObservationBatch, ObservationBatchBuilder,
    Presence, Record, Reject, Scope, Sweep,
};
use deployforge_sources::{ByteStream, SourceError, open};

use crate::Input;
use crate::block::{Cutter, LineBlock, Pool};
use crate::named::{Queue, Turn};

/// The limits of reading; they stand in the docs' table of limits too.
pub const LIMITS: FeedLimits = FeedLimits {
    chunk_bytes: 512 << 10,
    batch_bytes: 8 << 20,
    batch_rows: 16_384,
    queued_feeds: 48,
    epoch_bytes: 8 << 20,
    epoch_blocks: 64,
    epoch_micros: 50_000,
    epoch_messages: 100_000,
    message_records: 100_000,
    probe_lines: 16,
    scopes_per_file: 4096,
    named_files: 10_000,
    recent_events: 500_000,
    nested_files: 8,
};

/// See [`LIMITS`].
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // each is a plain number, named
pub struct FeedLimits {
    pub chunk_bytes: usize,
    pub batch_bytes: usize,
    pub batch_rows: usize,
    pub queued_feeds: usize,
    pub epoch_bytes: usize,
    pub epoch_blocks: usize,
    pub epoch_micros: i64,
    pub epoch_messages: u64,
    pub message_records: usize,
    pub probe_lines: usize,
    pub scopes_per_file: usize,
    pub named_files: usize,
    pub recent_events: usize,
    pub nested_files: usize,
}

/// What reading hands on.
#[derive(Debug)]
pub enum Feed {
    /// A file begins.
    FileStart {
        /// Whose it is.
        source: Arc<str>,
        /// Its name.
        file: Arc<str>,
    },
    /// Observations.
    Batch {
        /// Whose they are.
        source: Arc<str>,
        /// The file they stand in.
        file: Arc<str>,
        /// The observations.
        batch: Box<ObservationBatch>,
    },
    /// The rest of the file is one record a line: blocks of whole lines follow.
    Lines {
        /// Whose it is.
        source: Arc<str>,
        /// Its name.
        file: Arc<str>,
        /// Reads them.
        reader: Box<LineReader>,
        /// What was listed before them.
        scopes: HashSet<Scope>,
    },
    /// Whole lines.
    Block(LineBlock),
    /// A part of a line that is too long for a block; the part with its newline is the last.
    Piece(Vec<u8>),
    /// The lines end; a `FileEnd` does not follow.
    LinesEnd {
        /// Whose they are.
        source: Arc<str>,
        /// The file's name.
        file: Arc<str>,
        /// The last line, if no newline ends it.
        rest: Vec<u8>,
        /// Why the stream broke off, if it did.
        reason: Option<String>,
        /// How the file looked before it was read; none for a stream.
        mark: Option<FileMark>,
    },
    /// The frame of a sweep.
    Sweep {
        /// Whose it is.
        source: Arc<str>,
        /// The frame.
        sweep: Sweep,
    },
    /// Something refused.
    Reject {
        /// Whose it is.
        source: Arc<str>,
        /// The file it stands in.
        file: Arc<str>,
        /// What and why.
        reject: Reject,
    },
    /// Events of audit logs.
    Evidence {
        /// Whose they are.
        source: Arc<str>,
        /// The events.
        events: Vec<Evidence>,
    },
    /// Bytes of the file read so far, as they lie on the disk.
    Progress {
        /// Bytes since the last progress.
        bytes: u64,
    },
    /// A file ends.
    FileEnd {
        /// Whose it is.
        source: Arc<str>,
        /// Its name.
        file: Arc<str>,
        /// What was read.
        summary: ReadSummary,
        /// How the file looked before it was read; none for a stream.
        mark: Option<FileMark>,
        /// What a complete listing covers.
        scopes: Vec<Scope>,
    },
    /// A file could not be opened.
    Unreadable {
        /// Whose it is.
        source: Arc<str>,
        /// Its name.
        file: Arc<str>,
        /// Why.
        error: SourceError,
    },
}

/// Reads inputs in order on a thread, with the files that they name, and hands on what it finds.
/// Dropping the receiver or setting `stop` ends the thread.
pub fn read_inputs(
    inputs: Vec<Input>,
    seed: u64,
    clock: Arc<dyn Clock>,
    stop: Arc<AtomicBool>,
) -> Receiver<Feed> {
    let (sender, receiver) = bounded(LIMITS.queued_feeds);
    std::thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || {
            let mut queue = Queue::new(inputs);
            while let Some(turn) = queue.next() {
                if stop.load(Ordering::Relaxed)
                    || FileReader::read(&turn, &mut queue, seed, &*clock, &stop, &sender).is_none()
                {
                    return;
                }
            }
        })
        .expect("a thread can be started");
    receiver
}

/// What reading a stream yields.
pub(crate) enum Read {
    /// Records, and bytes read as they lie on the disk.
    Records(Vec<Record>, u64),
    /// The rest is one record a line.
    Lines(Box<LineReader>),
    /// Whole lines, and bytes read as they lie on the disk.
    Block(LineBlock, u64),
    /// A part of a line that is too long for a block.
    Piece(Vec<u8>),
    /// The lines end: what has no newline, and why it broke off, if it did.
    LinesEnd(Vec<u8>, Option<String>),
}

/// How the reading of a stream ended.
pub(crate) enum Ended {
    /// All of it was read here.
    Document(ReadSummary),
    /// The lines were handed on; whoever reads them knows what they came to.
    Lines,
}

/// Reads a stream to its end and hands what it finds to `each`; `None` from it ends the reading. A
/// stream that fails midway is truncated, not lost.
pub(crate) fn read_stream(
    input: &Input,
    side: Side,
    mut stream: ByteStream,
    seed: u64,
    stop: &AtomicBool,
    each: &mut dyn FnMut(Read) -> Option<()>,
) -> Option<Ended> {
    let mut reader = Reader::new(input.options(side));
    let mut chunk = vec![0; LIMITS.chunk_bytes];
    let mut packed = 0;
    let mut probes = LIMITS.probe_lines;
    while !stop.load(Ordering::Relaxed) {
        let mut records = Vec::new();
        let at_line = match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(size) => probe(&mut reader, &chunk[..size], &mut probes, &mut records),
            Err(error) => {
                reader.truncate(&error.to_string(), &mut records);
                each(Read::Records(records, 0))?;
                break;
            }
        };
        let now = stream.compressed_bytes_read();
        each(Read::Records(records, now - packed))?;
        packed = now;
        if let Some((used, size)) = at_line {
            let lines = reader.into_lines(seed);
            let longest = lines.record_bytes();
            each(Read::Lines(Box::new(lines)))?;
            let mut rest = chunk[used..size].to_vec();
            let offset = stream.position() - rest.len() as u64;
            let mut place = Place { offset, packed, longest };
            cut_file(&mut stream, &mut rest, &mut place, stop, each)?;
            hand_on_lines(&mut rest, &mut place, each)?;
            return read_lines(stream, rest, place, stop, each).map(|()| Ended::Lines);
        }
    }
    let mut records = Vec::new();
    let summary = reader.finish(&mut records);
    each(Read::Records(records, 0))?;
    Some(Ended::Document(summary))
}

/// Reads the first lines of a chunk one by one. If the input turns out to have one record a line: how
/// many bytes of how many were used.
fn probe(
    reader: &mut Reader,
    chunk: &[u8],
    probes: &mut usize,
    records: &mut Vec<Record>,
) -> Option<(usize, usize)> {
    let mut used = 0;
    while *probes > 0 {
        let Some(end) = memchr::memchr(b'\n', &chunk[used..]) else { break };
        *probes -= 1;
        reader.push(&chunk[used..=used + end], records);
        used += end + 1;
        if reader.is_at_line() {
            return Some((used, chunk.len()));
        }
    }
    reader.push(&chunk[used..], records);
    None
}

/// Where the reading of lines begins.
struct Place {
    /// Offset in the stream.
    offset: u64,
    /// Bytes read, as they lie on the disk.
    packed: u64,
    /// Bytes of the longest line that makes a block.
    longest: usize,
}

/// Hands on what a plain file has in blocks of whole lines without reading them; what remains is left
/// to the stream.
fn cut_file(
    stream: &mut ByteStream,
    rest: &mut Vec<u8>,
    place: &mut Place,
    stop: &AtomicBool,
    each: &mut dyn FnMut(Read) -> Option<()>,
) -> Option<()> {
    let Some(file) = stream.plain_file() else { return Some(()) };
    let Place { offset: at, longest, .. } = *place;
    let mut cutter = Cutter { file, pool: Pool::default(), at, longest };
    while !stop.load(Ordering::Relaxed)
        && let Some(range) = cutter.next()
    {
        let block = LineBlock::InFile(range);
        let bytes = block.length() as u64;
        each(Read::Block(block, bytes))?;
    }
    if cutter.at > at {
        rest.clear();
        (place.offset, place.packed) = (cutter.at, cutter.at);
        stream.seek(cutter.at);
    }
    Some(())
}

/// Hands on the whole lines that were read already: a stream may give nothing more for a long time.
fn hand_on_lines(
    rest: &mut Vec<u8>,
    place: &mut Place,
    each: &mut dyn FnMut(Read) -> Option<()>,
) -> Option<()> {
    let Some(end) = memchr::memrchr(b'\n', rest) else { return Some(()) };
    let whole: Vec<u8> = rest.drain(..=end).collect();
    let length = whole.len() as u64;
    // They were counted when they were read.
    each(Read::Block(LineBlock::Read(Block::new(whole, place.offset)), 0))?;
    place.offset += length;
    Some(())
}

/// Reads blocks of whole lines, after `rest`, which was read already. A line longer than a block makes
/// its block longer; one that is too long is handed on in pieces.
fn read_lines(
    mut stream: ByteStream,
    mut rest: Vec<u8>,
    mut place: Place,
    stop: &AtomicBool,
    each: &mut dyn FnMut(Read) -> Option<()>,
) -> Option<()> {
    let pool = Pool::default();
    let mut long = false;
    while !stop.load(Ordering::Relaxed) {
        let more = if rest.len() > LIMITS.chunk_bytes / 2 { rest.len() } else { 0 };
        let mut bytes = pool.take(more + LIMITS.chunk_bytes);
        bytes[..rest.len()].copy_from_slice(&rest);
        let (filled, end) = fill(&mut stream, &mut bytes, rest.len());
        rest.clear();
        let last = if long {
            memchr::memchr(b'\n', &bytes[..filled])
        } else {
            memchr::memrchr(b'\n', &bytes[..filled])
        };
        let length = last.map_or(0, |end| end + 1);
        let now = stream.compressed_bytes_read();
        let read = std::mem::replace(&mut place.packed, now);
        if long || (length == 0 && filled > place.longest) {
            let taken = if length == 0 { filled } else { length };
            long = length == 0;
            rest.extend_from_slice(&bytes[taken..filled]);
            place.offset += taken as u64;
            bytes.truncate(taken);
            each(Read::Piece(bytes))?;
        } else {
            rest.extend_from_slice(&bytes[length..filled]);
            if length > 0 {
                let block = pool.block(bytes, length, place.offset);
                each(Read::Block(LineBlock::Read(block), now - read))?;
            }
            place.offset += length as u64;
        }
        match end {
            End::NotYet => {}
            End::Done => return each(Read::LinesEnd(rest, None)),
            End::Broke(reason) => return each(Read::LinesEnd(rest, Some(reason))),
        }
    }
    each(Read::LinesEnd(rest, None))
}

/// Whether a stream has ended.
enum End {
    NotYet,
    Done,
    /// It broke off, for this reason.
    Broke(String),
}

/// Fills a block from `filled` on, at least to the end of a line; says how far it is filled, and, at the
/// end of the stream, why that came.
fn fill(stream: &mut ByteStream, bytes: &mut [u8], mut filled: usize) -> (usize, End) {
    while filled < bytes.len() {
        let from = filled;
        match stream.read(&mut bytes[filled..]) {
            Ok(0) => return (filled, End::Done),
            Ok(size) => filled += size,
            Err(error) => return (filled, End::Broke(error.to_string())),
        }
        // What a slow source gave is handed on as soon as it has a whole line; a file gives all.
        let short = filled - from < LIMITS.chunk_bytes / 8 && filled < bytes.len();
        if short && memchr::memchr(b'\n', &bytes[from..filled]).is_some() {
            break;
        }
    }
    (filled, End::NotYet)
}

/// Reads one file; `None` from its methods says that nobody listens any more.
struct FileReader<'a> {
    source: Arc<str>,
    file: Arc<str>,
    clock: &'a dyn Clock,
    sender: &'a Sender<Feed>,
    builder: ObservationBatchBuilder,
    scopes: HashSet<Scope>,
}

impl FileReader<'_> {
    fn read(
        turn: &Turn,
        queue: &mut Queue,
        seed: u64,
        clock: &dyn Clock,
        stop: &AtomicBool,
        sender: &Sender<Feed>,
    ) -> Option<()> {
        let input = &turn.input;
        let source = Arc::clone(&input.source);
        let file: Arc<str> = input.file().into();
        let mark = input.mark();
        let stream = match open(&input.location) {
            Ok(stream) => stream,
            Err(error) => return sender.send(Feed::Unreadable { source, file, error }).ok(),
        };
        sender
            .send(Feed::FileStart { source: Arc::clone(&source), file: Arc::clone(&file) })
            .ok()?;
        let builder = ObservationBatchBuilder::new(seed);
        let mut this = FileReader { source, file, clock, sender, builder, scopes: HashSet::new() };
        let ended =
            read_stream(input, Side::Observed, stream, seed, stop, &mut |read| match read {
                Read::Records(mut records, bytes) => {
                    this.hand_on(&mut records)?;
                    this.send(Feed::Progress { bytes })
                }
                Read::Lines(reader) => {
                    this.flush()?;
                    let (source, file) = (Arc::clone(&this.source), Arc::clone(&this.file));
                    let scopes = std::mem::take(&mut this.scopes);
                    this.send(Feed::Lines { source, file, reader, scopes })
                }
                Read::Block(block, bytes) => {
                    this.send(Feed::Block(block))?;
                    this.send(Feed::Progress { bytes })
                }
                Read::Piece(bytes) => this.send(Feed::Piece(bytes)),
                Read::LinesEnd(rest, reason) => {
                    let (source, file) = (Arc::clone(&this.source), Arc::clone(&this.file));
                    this.send(Feed::LinesEnd { source, file, rest, reason, mark: mark.clone() })
                }
            })?;
        this.flush()?;
        let Ended::Document(mut summary) = ended else { return Some(()) };
        for reject in queue.add(turn, std::mem::take(&mut summary.references)) {
            let (source, file) = (Arc::clone(&this.source), Arc::clone(&this.file));
            this.send(Feed::Reject { source, file, reject })?;
        }
        // A state that lists nothing still lists all of its collection.
        let listed = summary
            .collections
            .iter()
            .map(|collection| Scope { collection: Some(collection.clone()), ..Scope::default() });
        this.scopes.extend(listed);
        let scopes = this.scopes.drain().collect();
        let (source, file) = (Arc::clone(&this.source), Arc::clone(&this.file));
        this.send(Feed::FileEnd { source, file, summary, mark, scopes })
    }

    fn send(&self, feed: Feed) -> Option<()> {
        self.sender.send(feed).ok()
    }

    fn hand_on(&mut self, records: &mut Vec<Record>) -> Option<()> {
        let mut events = Vec::new();
        for record in records.drain(..) {
            match record {
                Record::Observation(observation) => {
                    if observation.presence == Presence::Present
                        && self.scopes.len() < LIMITS.scopes_per_file
                    {
                        self.scopes.insert(scope_of(&observation));
                    }
                    self.builder.push(&observation, self.clock.now());
                    if self.builder.bytes() >= LIMITS.batch_bytes
                        || self.builder.len() >= LIMITS.batch_rows
                    {
                        self.flush()?;
                    }
                }
                // A frame stands between observations, so what came before it goes first.
                Record::Sweep(sweep) => {
                    self.flush()?;
                    self.send(Feed::Sweep { source: Arc::clone(&self.source), sweep })?;
                }
                Record::Reject(reject) => {
                    let (source, file) = (Arc::clone(&self.source), Arc::clone(&self.file));
                    self.send(Feed::Reject { source, file, reject })?;
                }
                Record::Evidence(evidence) => events.push(*evidence),
            }
        }
        if events.is_empty() {
            return Some(());
        }
        self.send(Feed::Evidence { source: Arc::clone(&self.source), events })
    }

    fn flush(&mut self) -> Option<()> {
        if self.builder.is_empty() {
            return Some(());
        }
        let batch = Box::new(self.builder.finish());
        let (source, file) = (Arc::clone(&self.source), Arc::clone(&self.file));
        self.send(Feed::Batch { source, file, batch })
    }
}

/// What a file that lists everything lists, judged by one of its resources: all of the collection
/// that claims it, else all of its account and region.
pub(crate) fn scope_of(observation: &Observation) -> Scope {
    if observation.collection.is_some() {
        return Scope { collection: observation.collection.clone(), ..Scope::default() };
    }
    let key = &observation.key;
    Scope {
        provider: Some(key.provider.clone()),
        account: Some(key.account.clone()),
        region: Some(key.region.clone()),
        ..Scope::default()
    }
}
