//! Inputs into a baseline.
//!
//! Rows are made canonical on all cores, an [`Epoch`] at a time. While one is made, the rows of the one
//! before are taken in by the [`Sink`], in order: what is ahead is never more than one epoch.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use deployforge_canon::Canon;
use deployforge_compare::{Added, Baseline, MadeRow, NotAdded, RejectRow, RowMaker, RowTable};
use deployforge_formats::{LineReader, Lines, Parsed, ReadSummary, Side};
use deployforge_model::{BaselineInfo, Clock, Dialect, Observation, Record, schema};
use deployforge_sources::{SourceError, open};
use deployforge_state::{RowsWriter, StateError};
use rayon::prelude::*;

use crate::block::LineBlock;
use crate::feed::{Ended, Read, read_stream};
use crate::named::{self, Queue, Turn};
use crate::{Input, LIMITS};

/// A baseline and what was noticed on the way.
#[derive(Debug)]
pub struct Imported {
    /// The baseline.
    pub baseline: Baseline,
    /// The dialects it is written in.
    pub dialects: Vec<Dialect>,
    /// Records that were refused.
    pub rejects: Vec<RejectRow>,
    /// Resources that two declarations claim with different contents.
    pub duplicates: u64,
    /// What readers skipped or assumed.
    pub notes: Vec<String>,
}

/// Observations made canonical at once.
const CHUNK: usize = 8192;

/// Why a baseline could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// An input could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The rows could not be kept.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Reads inputs into a baseline. `progress` gets the bytes read, as they lie on the disk. Values are
/// kept in a file in the folder `spill` that goes with the process.
#[allow(clippy::too_many_arguments)] // two call sites, each argument a thing of its own
pub fn import(
    inputs: &[Input],
    mut info: BaselineInfo,
    canon: &Canon,
    seed: u64,
    clock: &dyn Clock,
    spill: &Path,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(u64),
) -> Result<Imported, ImportError> {
    let sink = Sink {
        clock,
        table: RowTable::new(seed),
        writer: RowsWriter::temporary(spill, &schema::baseline())?,
        dialects: Vec::new(),
        rejects: Vec::new(),
        duplicates: 0,
        incomplete: false,
        kept: Ok(()),
    };
    let maker = RowMaker::new(canon, seed);
    let mut import =
        Import { seed, maker, sink, made: None, waiting: Vec::new(), notes: Vec::new() };
    let mut queue = Queue::new(inputs.to_vec());
    while let Some(turn) = queue.next() {
        import.file(&turn, &mut queue, stop, progress)?;
    }
    import.step(|_| ());
    let Import { mut sink, notes, .. } = import;
    sink.table.seal();
    sink.write();
    sink.kept?;
    let kept = sink.writer.finish_temporary()?;
    info.incomplete |= sink.incomplete;
    Ok(Imported {
        baseline: sink.table.finish(info, kept),
        dialects: sink.dialects,
        rejects: sink.rejects,
        duplicates: sink.duplicates,
        notes,
    })
}

/// Rows that were made and wait to be taken in.
struct Epoch {
    file: Arc<str>,
    /// The dialects in which they are written, in the order in which they came.
    dialects: Vec<Dialect>,
    /// Block by block.
    rows: Vec<Vec<Result<MadeRow, NotAdded>>>,
}

/// Takes rows in, in order.
struct Sink<'c> {
    clock: &'c dyn Clock,
    table: RowTable,
    writer: RowsWriter,
    dialects: Vec<Dialect>,
    rejects: Vec<RejectRow>,
    duplicates: u64,
    incomplete: bool,
    /// Whether all rows could be kept so far.
    kept: Result<(), StateError>,
}

impl Sink<'_> {
    fn take(&mut self, epoch: Epoch) {
        let Epoch { file, dialects, rows } = epoch;
        dialects.into_iter().for_each(|dialect| note_dialect(&mut self.dialects, dialect));
        let now = self.clock.now();
        for row in rows.into_iter().flatten() {
            match self.table.add(row) {
                Ok(Added::Duplicate) => self.duplicates += 1,
                Ok(Added::New | Added::Superseded) => {}
                Err(NotAdded::State(error, observation)) => {
                    let Observation { key, state, position, .. } = &*observation;
                    let at = (Arc::clone(&file), *position, now);
                    self.rejects.push(RejectRow::of_state(&error, key, state, at));
                }
                Err(NotAdded::Reject(reject)) => {
                    self.incomplete = true;
                    self.rejects.push(RejectRow::of(reject, Arc::clone(&file), now));
                }
            }
        }
        self.write();
    }

    /// Writes the batches that are complete.
    fn write(&mut self) {
        for batch in self.table.take_sealed() {
            if self.kept.is_ok() {
                self.kept = self.writer.write(&batch);
            }
        }
    }
}

struct Import<'c> {
    seed: u64,
    maker: RowMaker<'c>,
    sink: Sink<'c>,
    /// What was made last.
    made: Option<Epoch>,
    /// What a parser read, refused records included.
    waiting: Vec<Result<Box<Observation>, NotAdded>>,
    notes: Vec<String>,
}

impl<'c> Import<'c> {
    /// Does something while what was made last is taken in.
    fn step<T: Send>(&mut self, make: impl FnOnce(&RowMaker<'c>) -> T + Send) -> T {
        let Self { maker, sink, made, .. } = self;
        let Some(epoch) = made.take() else { return make(maker) };
        rayon::join(|| make(maker), || sink.take(epoch)).0
    }

    fn file(
        &mut self,
        turn: &Turn,
        queue: &mut Queue,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ImportError> {
        let input = &turn.input;
        let file: Arc<str> = input.file().into();
        let stream = open(&input.location)?;
        let mut lines: Option<(Box<LineReader>, Vec<LineBlock>, usize)> = None;
        let ended = read_stream(input, Side::Declared, stream, self.seed, stop, &mut |read| {
            match read {
                Read::Records(records, bytes) => {
                    self.take(records, &file);
                    progress(bytes);
                }
                Read::Lines(reader) => {
                    self.flush(&file);
                    lines = Some((reader, Vec::new(), 0));
                }
                Read::Block(block, bytes) => {
                    let (reader, blocks, size) = lines.as_mut()?;
                    *size += block.length();
                    blocks.push(block);
                    if *size >= LIMITS.epoch_bytes {
                        *size = 0;
                        if let Err(error) = self.blocks(reader, &std::mem::take(blocks), &file) {
                            let (reader, ..) = lines.take()?;
                            self.end_lines(reader, &[], Some(&error.to_string()), &file);
                        }
                    }
                    progress(bytes);
                }
                Read::Piece(bytes) => {
                    let (reader, blocks, _) = lines.as_mut()?;
                    let read = self.blocks(reader, &std::mem::take(blocks), &file);
                    if let Err(error) = read {
                        let (reader, ..) = lines.take()?;
                        self.end_lines(reader, &[], Some(&error.to_string()), &file);
                        return None;
                    }
                    let mut records = Vec::new();
                    reader.piece(&bytes, &mut records);
                    self.take(records, &file);
                    self.flush(&file);
                }
                Read::LinesEnd(rest, reason) => {
                    let (mut reader, blocks, _) = lines.take()?;
                    let read = self.blocks(&mut reader, &blocks, &file);
                    let changed = read.err().map(|error| error.to_string());
                    let rest = if changed.is_some() { Vec::new() } else { rest };
                    self.end_lines(reader, &rest, changed.or(reason).as_deref(), &file);
                }
            }
            self.sink.kept.is_ok().then_some(())
        });
        std::mem::replace(&mut self.sink.kept, Ok(()))?;
        if let Some(Ended::Document(mut summary)) = ended {
            let rejects = queue.add(turn, std::mem::take(&mut summary.references));
            self.take(rejects.into_iter().map(Record::Reject).collect(), &file);
            self.note(&file, summary);
        }
        self.flush(&file);
        Ok(())
    }

    fn end_lines(
        &mut self,
        reader: Box<LineReader>,
        rest: &[u8],
        why: Option<&str>,
        file: &Arc<str>,
    ) {
        let mut records = Vec::new();
        let summary = reader.finish(rest, why, &mut records);
        records.extend(named::refuse(&summary.references).into_iter().map(Record::Reject));
        self.take(records, file);
        self.note(file, summary);
    }

    fn note(&mut self, file: &str, summary: ReadSummary) {
        self.notes.extend(summary.notes.into_iter().map(|note| format!("{file}: {note}")));
    }

    /// Reads blocks of lines, and adds what they hold in order. Fails after the last that could be read.
    fn blocks(
        &mut self,
        reader: &mut LineReader,
        blocks: &[LineBlock],
        file: &Arc<str>,
    ) -> io::Result<()> {
        let (epoch, end) = self.step(|maker| {
            let (scans, end) = scanned(reader, blocks);
            (Epoch::of_lines(maker, reader, scans, file), end)
        });
        self.made = Some(epoch);
        end
    }

    fn take(&mut self, records: Vec<Record>, file: &Arc<str>) {
        for record in records {
            self.waiting.extend(entry(record));
            if self.waiting.len() >= CHUNK {
                self.flush(file);
            }
        }
    }

    fn flush(&mut self, file: &Arc<str>) {
        let waiting = std::mem::take(&mut self.waiting);
        if !waiting.is_empty() {
            self.made = Some(self.step(|maker| Epoch::of_records(maker, waiting, file)));
        }
    }
}

/// What of a record concerns a baseline.
fn entry(record: Record) -> Option<Result<Box<Observation>, NotAdded>> {
    match record {
        Record::Observation(observation) => Some(Ok(observation)),
        Record::Reject(reject) => Some(Err(NotAdded::Reject(reject))),
        Record::Sweep(_) | Record::Evidence(_) => None,
    }
}

/// Scans blocks and parses what the scan leaves over, up to the first that could not be read.
fn scanned(
    reader: &mut LineReader,
    blocks: &[LineBlock],
) -> (Vec<(Lines, Parsed)>, io::Result<()>) {
    let shared = &*reader;
    let read: Vec<io::Result<_>> =
        blocks.par_iter().map(|block| Ok(shared.scan(&block.block()?))).collect();
    let mut end = Ok(());
    let whole = read.into_iter().map_while(|read| read.map_err(|error| end = Err(error)).ok());
    let mut scans: Vec<Lines> = whole.collect();
    scans.iter_mut().for_each(|scan| reader.number(scan));
    let shared = &*reader;
    let mut parsed: Vec<Parsed> = scans.par_iter().map(|scan| shared.parse(scan)).collect();
    parsed.iter_mut().for_each(|parsed| reader.count(parsed));
    (scans.into_iter().zip(parsed).collect(), end)
}

impl Epoch {
    /// The rows of records that a parser read.
    fn of_records(
        maker: &RowMaker<'_>,
        records: Vec<Result<Box<Observation>, NotAdded>>,
        file: &Arc<str>,
    ) -> Self {
        let mut dialects = Vec::new();
        records.iter().flatten().for_each(|one| note_dialect(&mut dialects, one.dialect));
        let rows = records.into_par_iter();
        let rows = rows.map(|record| record.and_then(|one| maker.of_observation(one))).collect();
        Self { file: Arc::clone(file), dialects, rows: vec![rows] }
    }

    /// The rows of blocks that were scanned.
    fn of_lines(
        maker: &RowMaker<'_>,
        reader: &LineReader,
        scans: Vec<(Lines, Parsed)>,
        file: &Arc<str>,
    ) -> Self {
        let blocks = scans.into_par_iter();
        let made: Vec<_> =
            blocks.map(|(lines, parsed)| of_block(maker, reader, &lines, parsed)).collect();
        let mut epoch = Self { file: Arc::clone(file), dialects: Vec::new(), rows: Vec::new() };
        for (dialects, rows) in made {
            dialects.into_iter().for_each(|dialect| note_dialect(&mut epoch.dialects, dialect));
            epoch.rows.push(rows);
        }
        epoch
    }
}

/// The rows of a block in order, and the dialects in which they are written.
fn of_block(
    maker: &RowMaker<'_>,
    reader: &LineReader,
    lines: &Lines,
    parsed: Parsed,
) -> (Vec<Dialect>, Vec<Result<MadeRow, NotAdded>>) {
    let frame = &lines.frame;
    let (mut dialects, mut rows, mut first) = (Vec::new(), Vec::new(), 0);
    let mut to = |end: usize, dialects: &mut Vec<_>, rows: &mut Vec<_>| {
        if first < end {
            note_dialect(dialects, frame.dialect);
            rows.append(&mut maker.of_frame(frame, first..end, reader));
            first = end;
        }
    };
    for (before, record) in parsed.records {
        to(before as usize, &mut dialects, &mut rows);
        if let Some(one) = entry(record) {
            one.iter().for_each(|one| note_dialect(&mut dialects, one.dialect));
            rows.push(one.and_then(|one| maker.of_observation(one)));
        }
    }
    to(frame.len(), &mut dialects, &mut rows);
    (dialects, rows)
}

fn note_dialect(dialects: &mut Vec<Dialect>, dialect: Dialect) {
    if !dialects.contains(&dialect) {
        dialects.push(dialect);
    }
}
