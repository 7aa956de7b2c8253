//! The engine: feeds in, output gathered.

use std::collections::HashSet;
use std::sync::Arc;

use deployforge_compare::{BatchOrigin, Comparator, Levels, Output, RejectRow};
use deployforge_formats::Format;
use deployforge_model::{
    Clock, Dialect, ObservationBatch, Reject, RejectCode, Scope, SourcePosition, Sweep,
};

use crate::Feed;

/// Counts over the life of an engine.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Observations judged.
    pub observations: u64,
    /// Files read to the end.
    pub files: u64,
    /// Files that could not be opened.
    pub unreadable: u64,
    /// Records refused, repeated ones included.
    pub rejects: u64,
    /// The first refusals, for people: file, position and reason.
    pub first_rejects: Vec<String>,
    /// What readers skipped or assumed, by file.
    pub notes: Vec<String>,
    /// Observations that were older than what was known of their resource.
    pub late: u64,
    /// Observations per level of check.
    pub levels: Levels,
    /// Bytes read, as they lie on the disk.
    pub bytes: u64,
    /// Dialects observed.
    pub dialects: HashSet<Dialect>,
}

/// How many refusals are kept as text; all are in `rejects`.
const FIRST_REJECTS: usize = 10;
/// How many notes are kept.
const NOTES: usize = 1000;

/// Applies feeds to a comparator and gathers what comes out until it is taken.
#[derive(Debug)]
pub struct Engine {
    comparator: Comparator,
    clock: Arc<dyn Clock>,
    output: Output,
    totals: Totals,
    known_rejects: HashSet<String>,
}

impl Engine {
    /// An engine around a comparator. `known_rejects` are ids that the history already holds.
    pub fn new(
        comparator: Comparator,
        clock: Arc<dyn Clock>,
        known_rejects: HashSet<String>,
    ) -> Self {
        Self {
            comparator,
            clock,
            output: Output::default(),
            totals: Totals::default(),
            known_rejects,
        }
    }

    /// What is known now.
    pub fn comparator(&self) -> &Comparator {
        &self.comparator
    }

    /// Counts so far.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// What came out since it was last taken.
    pub fn pending(&self) -> &Output {
        &self.output
    }

    /// Takes what came out.
    pub fn take(&mut self) -> Output {
        std::mem::take(&mut self.output)
    }

    /// Applies states that a baseline holds as if they were observed: version against version.
    pub fn feed_stored(&mut self, batch: &ObservationBatch) {
        let origin = BatchOrigin { stored: true, ..self.origin("baseline".into()) };
        for row in 0..batch.len() {
            self.totals.dialects.insert(batch.row(row).dialect);
        }
        let output = self.comparator.apply(batch, &origin);
        self.gather(output);
    }

    /// Applies one feed.
    pub fn feed(&mut self, feed: Feed) {
        match feed {
            Feed::FileStart { source, file } => {
                self.comparator.sweep_start(&source, &file_sweep(&file), Scope::default());
            }
            Feed::Batch { source, file, batch } => {
                let origin = BatchOrigin { file, ..self.origin(source) };
                for row in 0..batch.len() {
                    self.totals.dialects.insert(batch.row(row).dialect);
                }
                let output = self.comparator.apply(&batch, &origin);
                self.gather(output);
            }
            Feed::Sweep { source, sweep } => self.sweep(source, sweep),
            Feed::Reject { source, file, reject } => self.reject(&source, &file, reject),
            Feed::Progress { bytes } => self.totals.bytes += bytes,
            Feed::FileEnd { source, file, summary, scopes, .. } => {
                self.totals.files += 1;
                for note in summary.notes {
                    if self.totals.notes.len() < NOTES {
                        self.totals.notes.push(format!("{file}: {note}"));
                    }
                }
                // Only a complete listing proves absence; any other file's frame just ends.
                let scopes = if summary.complete_listing { scopes } else { Vec::new() };
                let origin = self.origin(source);
                let dialect = dialect_of(summary.format);
                if summary.complete_listing {
                    self.totals.dialects.insert(dialect);
                }
                let output =
                    self.comparator.sweep_end(&origin, &file_sweep(&file), Some(scopes), dialect);
                self.gather(output);
            }
            Feed::Unreadable { source, file, error } => {
                self.totals.unreadable += 1;
                let reject = Reject {
                    position: SourcePosition::default(),
                    code: RejectCode::Unreadable,
                    reason: error.to_string(),
                    hash: String::new(),
                    size: 0,
                };
                self.reject(&source, &file, reject);
            }
        }
    }

    fn sweep(&mut self, source: Arc<str>, sweep: Sweep) {
        match sweep {
            Sweep::Start { id, scope } => self.comparator.sweep_start(&source, &id, scope),
            Sweep::End { id } => {
                let origin = self.origin(source);
                let output = self.comparator.sweep_end(&origin, &id, None, Dialect::Native);
                self.gather(output);
            }
        }
    }

    fn reject(&mut self, source: &Arc<str>, file: &Arc<str>, reject: Reject) {
        self.comparator.sweep_damaged(source);
        let mut output = Output::default();
        output.rejects.push(RejectRow::of(reject, Arc::clone(file), self.clock.now()));
        self.gather(output);
    }

    fn gather(&mut self, mut output: Output) {
        self.totals.observations += output.observations;
        self.totals.late += output.late();
        self.totals.levels.fingerprint += output.levels.fingerprint;
        self.totals.levels.canonical += output.levels.canonical;
        self.totals.levels.compared += output.levels.compared;
        self.totals.rejects += output.rejects.len() as u64;
        for reject in &output.rejects {
            if self.totals.first_rejects.len() < FIRST_REJECTS {
                let RejectRow { source, position, reason, .. } = reject;
                self.totals.first_rejects.push(format!("{source}, {position}: {reason}"));
            }
        }
        let known = &mut self.known_rejects;
        output.rejects.retain(|reject| known.insert(reject.id()));
        self.output.merge(output);
    }

    fn origin(&self, source: Arc<str>) -> BatchOrigin {
        let file = Arc::clone(&source);
        BatchOrigin { source, file, ingested_at: self.clock.now(), stored: false }
    }

    /// Ends a batch audit: the inputs were everything there is.
    pub fn finish_audit(&mut self) {
        let damaged = self.totals.rejects > 0;
        let origin = self.origin("audit".into());
        let dialects = self.totals.dialects.clone();
        let output = self.comparator.audit_end(&origin, damaged, &dialects);
        self.gather(output);
    }
}

/// The dialect that a format's resources are written in, for a listing that lists none.
fn dialect_of(format: Option<Format>) -> Dialect {
    match format {
        Some(Format::TerraformState) => Dialect::Terraform,
        Some(Format::AwsConfig) => Dialect::AwsConfig,
        Some(Format::Native | Format::CloudEvents) | None => Dialect::Native,
    }
}

fn file_sweep(file: &str) -> String {
    format!("file:{file}")
}
