//! Inputs into a baseline.

use std::sync::atomic::AtomicBool;

use deployforge_canon::Canon;
use deployforge_compare::{Added, Baseline, BaselineBuilder, RejectRow};
use deployforge_model::{BaselineInfo, Clock, Dialect, Observation, Record};
use deployforge_sources::{SourceError, open};

use crate::Input;
use crate::feed::read_records;

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

/// Reads inputs into a baseline. `progress` gets the bytes read, as they lie on the disk.
pub fn import(
    inputs: &[Input],
    mut info: BaselineInfo,
    canon: &Canon,
    seed: u64,
    clock: &dyn Clock,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(u64),
) -> Result<Imported, SourceError> {
    let mut import = Import {
        clock,
        incomplete: false,
        builder: BaselineBuilder::new(canon, seed),
        waiting: Vec::new(),
        dialects: Vec::new(),
        rejects: Vec::new(),
        duplicates: 0,
        notes: Vec::new(),
    };
    for input in inputs {
        import.file(input, stop, progress)?;
    }
    info.incomplete |= import.incomplete;
    Ok(Imported {
        baseline: import.builder.finish(info),
        dialects: import.dialects,
        rejects: import.rejects,
        duplicates: import.duplicates,
        notes: import.notes,
    })
}

struct Import<'c> {
    clock: &'c dyn Clock,
    incomplete: bool,
    builder: BaselineBuilder<'c>,
    waiting: Vec<Observation>,
    dialects: Vec<Dialect>,
    rejects: Vec<RejectRow>,
    duplicates: u64,
    notes: Vec<String>,
}

impl Import<'_> {
    fn file(
        &mut self,
        input: &Input,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), SourceError> {
        let file = input.file();
        let stream = open(&input.location)?;
        let summary = read_records(input, stream, stop, &mut |records, bytes| {
            self.take(records, &file);
            progress(bytes);
            Some(())
        });
        self.flush(&file);
        let notes = summary.map(|summary| summary.notes).unwrap_or_default();
        self.notes.extend(notes.into_iter().map(|note| format!("{file}: {note}")));
        Ok(())
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
