//! Inputs into a baseline.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use deployforge_canon::Canon;
use deployforge_compare::{Added, Baseline, BaselineBuilder, NotAdded, RejectRow};
use deployforge_formats::{LineReader, ReadSummary};
use deployforge_model::{BaselineInfo, Clock, Dialect, Frame, Observation, Record, schema};
use deployforge_sources::{SourceError, open};
use deployforge_state::{RowsWriter, StateError};
use rayon::prelude::*;

use crate::block::LineBlock;
use crate::feed::{Ended, Read, read_stream};
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

/// Keeps what a builder has sealed; gets the bytes read.
type Keep<'a, 'c> = &'a mut dyn FnMut(&mut BaselineBuilder<'c>, u64) -> Result<(), StateError>;

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
    let mut import = Import {
        clock,
        seed,
        incomplete: false,
        builder: BaselineBuilder::new(canon, seed),
        waiting: Vec::new(),
        dialects: Vec::new(),
        rejects: Vec::new(),
        duplicates: 0,
        notes: Vec::new(),
    };
    let mut rows = RowsWriter::temporary(spill, &schema::baseline())?;
    for input in inputs {
        import.file(input, stop, &mut |builder, bytes| {
            progress(bytes);
            builder.take_sealed().iter().try_for_each(|batch| rows.write(batch))
        })?;
    }
    import.builder.seal();
    for batch in import.builder.take_sealed() {
        rows.write(&batch)?;
    }
    let kept = rows.finish_temporary()?;
    info.incomplete |= import.incomplete;
    Ok(Imported {
        baseline: import.builder.finish(info, kept),
        dialects: import.dialects,
        rejects: import.rejects,
        duplicates: import.duplicates,
        notes: import.notes,
    })
}

struct Import<'c> {
    clock: &'c dyn Clock,
    seed: u64,
    incomplete: bool,
    builder: BaselineBuilder<'c>,
    waiting: Vec<Observation>,
    dialects: Vec<Dialect>,
    rejects: Vec<RejectRow>,
    duplicates: u64,
    notes: Vec<String>,
}

impl<'c> Import<'c> {
    fn file(
        &mut self,
        input: &Input,
        stop: &AtomicBool,
        keep: Keep<'_, 'c>,
    ) -> Result<(), ImportError> {
        let file = input.file();
        let mut kept = Ok(());
        let stream = open(&input.location)?;
        let mut lines: Option<(Box<LineReader>, Vec<LineBlock>, usize)> = None;
        let ended = read_stream(input, stream, self.seed, stop, &mut |read| {
            match read {
                Read::Records(mut records, bytes) => {
                    self.take(&mut records, &file);
                    kept = keep(&mut self.builder, bytes);
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
                    kept = keep(&mut self.builder, bytes);
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
                    self.take(&mut records, &file);
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
            kept.is_ok().then_some(())
        });
        kept?;
        self.flush(&file);
        if let Some(Ended::Document(summary)) = ended {
            self.note(&file, summary);
        }
        Ok(())
    }

    fn end_lines(&mut self, reader: Box<LineReader>, rest: &[u8], why: Option<&str>, file: &str) {
        let mut records = Vec::new();
        let summary = reader.finish(rest, why, &mut records);
        self.take(&mut records, file);
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
        file: &str,
    ) -> io::Result<()> {
        let shared = &*reader;
        let read: Vec<io::Result<_>> =
            blocks.par_iter().map(|block| Ok(shared.scan(&block.block()?))).collect();
        let mut end = Ok(());
        let whole = read.into_iter().map_while(|read| read.map_err(|error| end = Err(error)).ok());
        let mut scans: Vec<_> = whole.collect();
        scans.iter_mut().for_each(|scan| reader.number(scan));
        let shared = &*reader;
        let mut parsed: Vec<_> = scans.par_iter().map(|scan| shared.parse(scan)).collect();
        parsed.iter_mut().for_each(|parsed| reader.count(parsed));
        for (scan, parsed) in scans.iter().zip(parsed) {
            let mut first = 0;
            for (before, record) in parsed.records {
                self.rows(&scan.frame, first..before as usize, reader, file);
                first = before as usize;
                self.take(&mut vec![record], file);
                self.flush(file);
            }
            self.rows(&scan.frame, first..scan.frame.len(), reader, file);
        }
        end
    }

    /// Adds rows of a frame.
    fn rows(&mut self, frame: &Frame, rows: Range<usize>, reader: &LineReader, file: &str) {
        if rows.is_empty() {
            return;
        }
        if !self.dialects.contains(&frame.dialect) {
            self.dialects.push(frame.dialect);
        }
        let now = self.clock.now();
        for (row, added) in rows.clone().zip(self.builder.add_frame(frame, rows, reader)) {
            match added {
                Ok(Added::Duplicate) => self.duplicates += 1,
                Ok(Added::New | Added::Superseded) => {}
                Err(NotAdded::State(error, observation)) => {
                    let at = (file.into(), frame.position(row), now);
                    let Observation { key, state, .. } = &*observation;
                    self.rejects.push(RejectRow::of_state(&error, key, state, at));
                }
                Err(NotAdded::Reject(reject)) => {
                    self.incomplete = true;
                    self.rejects.push(RejectRow::of(reject, file.into(), now));
                }
            }
        }
    }

    fn take(&mut self, records: &mut Vec<Record>, file: &str) {
        for record in records.drain(..) {
            match record {
                Record::Observation(observation) => self.waiting.push(*observation),
                Record::Reject(reject) => {
                    self.incomplete = true;
                    self.rejects.push(RejectRow::of(reject, file.into(), self.clock.now()));
                }
                Record::Sweep(_) => {}
            }
            if self.waiting.len() >= CHUNK {
                self.flush(file);
            }
        }
    }

    fn flush(&mut self, file: &str) {
        let results = self.builder.add_all(&self.waiting);
        for (observation, result) in self.waiting.drain(..).zip(results) {
            if !self.dialects.contains(&observation.dialect) {
                self.dialects.push(observation.dialect);
            }
            match result {
                Ok(Added::Duplicate) => self.duplicates += 1,
                Ok(Added::New | Added::Superseded) => {}
                Err(error) => {
                    let at = (file.into(), observation.position, self.clock.now());
                    self.rejects.push(RejectRow::of_state(
                        &error,
                        &observation.key,
                        &observation.state,
                        at,
                    ));
                }
            }
        }
    }
}
