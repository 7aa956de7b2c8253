//! Reading: bytes through a format into feeds, on a thread of its own.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel::{Receiver, Sender, bounded};
use deployforge_formats::{Format, KeyDefaults, ReadOptions, ReadSummary, Reader, split_prefix};
use deployforge_model::{
    Clock, Observation, ObservationBatch, ObservationBatchBuilder, Presence, Record, Reject, Scope,
    Sweep,
};
use deployforge_sources::{ByteStream, Location, SourceError, expand, open};
use deployforge_state::FileMark;

/// The limits of reading; they stand in the docs' table of limits too.
pub const LIMITS: FeedLimits = FeedLimits {
    chunk_bytes: 1 << 20,
    batch_bytes: 8 << 20,
    batch_rows: 16_384,
    queued_feeds: 8,
    scopes_per_file: 4096,
};

/// See [`LIMITS`].
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // each is a plain number, named
pub struct FeedLimits {
    pub chunk_bytes: usize,
    pub batch_bytes: usize,
    pub batch_rows: usize,
    pub queued_feeds: usize,
    pub scopes_per_file: usize,
}

/// What to read, as a user writes it: `[format:]path`.
#[derive(Clone, Debug, Default)]
pub struct InputSpec {
    /// A path, folder, glob or `-`, with the format before it if it is named.
    pub spec: String,
    /// Key parts that the content lacks.
    pub defaults: KeyDefaults,
}

/// One file or stream to read.
#[derive(Clone, Debug)]
pub struct Input {
    /// Where the bytes are.
    pub location: Location,
    /// The format, if it was named.
    pub format: Option<Format>,
    /// Key parts that the content lacks.
    pub defaults: KeyDefaults,
    /// The source's name in history; rows of rejects name the file.
    pub source: Arc<str>,
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

impl Input {
    /// Expands what a user wrote into files.
    pub fn expand(specs: &[InputSpec], source: Option<&str>) -> Result<Vec<Self>, SourceError> {
        let mut inputs = Vec::new();
        for spec in specs {
            let (format, path) = split_prefix(&spec.spec);
            for location in expand(path)? {
                inputs.push(Self::of(location, format, spec.defaults.clone(), source));
            }
        }
        Ok(inputs)
    }

    /// One place as an input.
    pub fn of(
        location: Location,
        format: Option<Format>,
        defaults: KeyDefaults,
        source: Option<&str>,
    ) -> Self {
        let name = source.map_or_else(|| name_of(&location), str::to_owned);
        Self { location, format, defaults, source: name.into() }
    }

    /// The size in bytes, where it is known before reading.
    pub fn size(&self) -> Option<u64> {
        match &self.location {
            Location::File(path) => std::fs::metadata(path).ok().map(|meta| meta.len()),
            Location::Stdin => None,
        }
    }

    /// How the file looks now.
    pub fn mark(&self) -> Option<FileMark> {
        let Location::File(path) = &self.location else { return None };
        let meta = std::fs::metadata(path).ok()?;
        let since = meta.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(FileMark { size: meta.len(), modified: since.as_micros() as i64 })
    }

    /// The name of the file or stream.
    pub fn file(&self) -> String {
        name_of(&self.location)
    }
}

fn name_of(location: &Location) -> String {
    match location {
        Location::Stdin => "stdin".to_owned(),
        Location::File(path) => path.display().to_string(),
    }
}

/// Reads inputs in order on a thread and hands on what it finds. Dropping the receiver or setting
/// `stop` ends the thread.
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
            for input in inputs {
                if stop.load(Ordering::Relaxed)
                    || FileReader::read(&input, seed, &*clock, &stop, &sender).is_none()
                {
                    return;
                }
            }
        })
        .expect("a thread can be started");
    receiver
}

/// Reads a stream to its end in chunks and hands records and bytes read (as they lie on the disk) to
/// `each`; `None` from it ends the reading. A stream that fails midway is truncated, not lost.
pub(crate) fn read_records(
    input: &Input,
    mut stream: ByteStream,
    stop: &AtomicBool,
    each: &mut dyn FnMut(&mut Vec<Record>, u64) -> Option<()>,
) -> Option<ReadSummary> {
    let mut reader = Reader::new(ReadOptions {
        format: input.format,
        defaults: input.defaults.clone(),
        ..ReadOptions::default()
    });
    let mut chunk = vec![0; LIMITS.chunk_bytes];
    let mut records = Vec::new();
    let mut packed = 0;
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(size) => reader.push(&chunk[..size], &mut records),
            Err(error) => {
                reader.truncate(&error.to_string(), &mut records);
                break;
            }
        }
        let now = stream.compressed_bytes_read();
        each(&mut records, now - packed)?;
        packed = now;
    }
    let summary = reader.finish(&mut records);
    each(&mut records, 0)?;
    Some(summary)
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
        input: &Input,
        seed: u64,
        clock: &dyn Clock,
        stop: &AtomicBool,
        sender: &Sender<Feed>,
    ) -> Option<()> {
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
        let summary = read_records(input, stream, stop, &mut |records, bytes| {
            this.hand_on(records)?;
            this.send(Feed::Progress { bytes })
        })?;
        this.flush()?;
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
            }
        }
        Some(())
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
fn scope_of(observation: &Observation) -> Scope {
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
