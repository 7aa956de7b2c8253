//! The engine: feeds in, output gathered.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use deployforge_compare::{
    BatchOrigin, Comparator, Levels, Output, Prepared, RejectRow, Rules, Scrubbed, Segment,
    Unsettled,
};
use deployforge_formats::{Format, LineReader, ReadSummary};
use deployforge_model::{
    Clock, Dialect, Frame, ObservationBatch, ObservationBatchBuilder, Presence, Record, Reject,
    RejectCode, Scope, SourcePosition, Sweep,
};
use rayon::prelude::*;

use crate::feed::scope_of;
use crate::{Feed, LIMITS, LineBlock};

/// Canonical states by the hash under which the history knows them.
pub type States = HashMap<Box<str>, String>;

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
    /// Attributes that were compared one by one.
    pub attribute_checks: u64,
    /// States whose fingerprints differed and of which no attribute's hash did, though a value did.
    pub collisions: u64,
    /// What the scrubber found among observations that fingerprints settled.
    pub scrubbed: Scrubbed,
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
    lines: Option<Lines>,
}

/// A file of one record a line, while it is read.
#[derive(Debug)]
struct Lines {
    source: Arc<str>,
    file: Arc<str>,
    reader: Box<LineReader>,
    scopes: HashSet<Scope>,
    /// The epoch that is gathered.
    blocks: Vec<LineBlock>,
    bytes: usize,
    /// When its first block came, in microseconds.
    since: i64,
}

/// What a block came to, in order.
enum Found {
    Rows { frame: usize, first: u32, rows: u32 },
    Batch(Box<ObservationBatch>),
    Sweep(Sweep),
    Reject(Reject),
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
            lines: None,
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

    /// Lets a comparator with other baselines take over, between two epochs; how many resources it judged
    /// again. `held` gives the last states of resources by hash, as far as the history holds them.
    pub fn succeed(
        &mut self,
        mut next: Comparator,
        rules: Rules,
        held: &mut dyn FnMut(&[Unsettled]) -> States,
    ) -> u64 {
        self.flush();
        let origin = self.origin("baseline".into());
        std::mem::swap(&mut self.comparator, &mut next);
        let done = self.comparator.succeed(next, rules, &origin);
        self.gather(done.output);
        if !done.unsettled.is_empty() {
            let states = held(&done.unsettled);
            let state = |one: &Unsettled| states.get(one.state_hash.as_ref()?).map(String::as_str);
            let settled = self.comparator.settle_with(&done.unsettled, &state, &origin);
            self.gather(settled);
        }
        done.judged
    }

    /// Applies one feed.
    pub fn feed(&mut self, feed: Feed) {
        if !matches!(feed, Feed::Block(_) | Feed::Progress { .. }) {
            self.flush();
        }
        match feed {
            Feed::Lines { source, file, reader, scopes } => {
                let blocks = Vec::new();
                self.lines =
                    Some(Lines { source, file, reader, scopes, blocks, bytes: 0, since: 0 });
            }
            Feed::Block(block) => self.block(block),
            Feed::Piece(bytes) => self.piece(&bytes),
            Feed::LinesEnd { rest, reason, .. } => self.end_lines(&rest, reason.as_deref()),
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
                self.end_file(source, &file, summary, scopes);
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

    fn end_file(&mut self, source: Arc<str>, file: &str, summary: ReadSummary, scopes: Vec<Scope>) {
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
        let output = self.comparator.sweep_end(&origin, &file_sweep(file), Some(scopes), dialect);
        self.gather(output);
    }

    fn block(&mut self, block: LineBlock) {
        let Some(lines) = &mut self.lines else { return };
        let now = self.clock.now().micros();
        if lines.blocks.is_empty() {
            lines.since = now;
        }
        lines.bytes += block.length();
        lines.blocks.push(block);
        // A source that gives little at a time is not kept waiting, nor given a block for every line.
        if lines.bytes >= LIMITS.epoch_bytes
            || lines.blocks.len() >= LIMITS.epoch_blocks
            || now - lines.since >= LIMITS.epoch_micros
        {
            self.flush();
        }
    }

    /// Whether an epoch is being gathered.
    pub fn is_gathering(&self) -> bool {
        self.lines.as_ref().is_some_and(|lines| !lines.blocks.is_empty())
    }

    /// Judges what was gathered: one epoch. To be called when nothing more is at hand.
    pub fn flush(&mut self) {
        let Some(mut lines) = self.lines.take() else { return };
        let blocks = std::mem::take(&mut lines.blocks);
        lines.bytes = 0;
        let read = if blocks.is_empty() { Ok(()) } else { self.epoch(&mut lines, &blocks) };
        self.lines = Some(lines);
        // What cannot be read any more ends the file where it is.
        if let Err(error) = read {
            self.end_lines(&[], Some(&error.to_string()));
        }
    }

    /// One epoch: its blocks are read and scanned on all cores, what a scan left over is parsed on all
    /// cores, and then all shards judge. Fails after the last block that could be read.
    fn epoch(&mut self, lines: &mut Lines, blocks: &[LineBlock]) -> io::Result<()> {
        let reader = &*lines.reader;
        let comparator = &self.comparator;
        // Each block on one core, while it is in that core's cache.
        let read: Vec<io::Result<_>> = blocks
            .par_iter()
            .map(|block| {
                let scan = reader.scan(&block.block()?);
                let prepared = comparator.prepare(&scan.frame);
                Ok((scan, prepared))
            })
            .collect();
        let mut end = Ok(());
        let whole = read.into_iter().map_while(|read| read.map_err(|error| end = Err(error)).ok());
        let (mut scans, prepared): (Vec<_>, Vec<_>) = whole.unzip();
        for scan in &mut scans {
            lines.reader.number(scan);
        }
        let reader = &*lines.reader;
        let parse =
            |scan: &_| (!deployforge_formats::Lines::is_complete(scan)).then(|| reader.parse(scan));
        let mut parsed: Vec<_> = scans.par_iter().map(parse).collect();
        parsed.iter_mut().flatten().for_each(|parsed| lines.reader.count(parsed));
        let mut found = Vec::with_capacity(scans.len());
        for (at, (scan, parsed)) in scans.iter().zip(parsed).enumerate() {
            let records = parsed.map(|parsed| parsed.records).unwrap_or_default();
            self.order(lines, at, scan.frame.len() as u32, records, &mut found);
        }
        if scans.iter().any(|scan| !scan.frame.is_empty()) {
            self.totals.dialects.extend(scans.first().map(|scan| scan.frame.dialect));
        }
        let frames: Vec<_> = scans.iter().map(|scan| &scan.frame).zip(&prepared).collect();
        self.judge(lines, &frames, found);
        end
    }

    /// Puts the rows of a frame and the records between them in order.
    fn order(
        &self,
        lines: &mut Lines,
        frame: usize,
        length: u32,
        records: Vec<(u32, Record)>,
        found: &mut Vec<Found>,
    ) {
        let mut builder = ObservationBatchBuilder::new(self.comparator.seed());
        let mut first = 0;
        for (before, record) in records {
            if before > first {
                seal(&mut builder, found);
                found.push(Found::Rows { frame, first, rows: before - first });
                first = before;
            }
            match record {
                Record::Observation(observation) => {
                    if observation.presence == Presence::Present
                        && lines.scopes.len() < LIMITS.scopes_per_file
                    {
                        lines.scopes.insert(scope_of(&observation));
                    }
                    builder.push(&observation, self.clock.now());
                }
                Record::Sweep(sweep) => {
                    seal(&mut builder, found);
                    found.push(Found::Sweep(sweep));
                }
                Record::Reject(reject) => found.push(Found::Reject(reject)),
            }
        }
        seal(&mut builder, found);
        if length > first {
            found.push(Found::Rows { frame, first, rows: length - first });
        }
    }

    /// Judges what was found up to each frame of a sweep.
    fn judge(&mut self, lines: &Lines, frames: &[(&Frame, &Prepared)], found: Vec<Found>) {
        let (source, file) = (&lines.source, &lines.file);
        let origin = BatchOrigin { file: Arc::clone(file), ..self.origin(Arc::clone(source)) };
        let mut batches = Vec::new();
        for one in found {
            match one {
                Found::Rows { .. } | Found::Batch(_) => batches.push(one),
                Found::Sweep(sweep) => {
                    self.apply(lines, frames, &batches, &origin);
                    batches.clear();
                    self.sweep(Arc::clone(source), sweep);
                }
                Found::Reject(reject) => self.reject(source, file, reject),
            }
        }
        self.apply(lines, frames, &batches, &origin);
    }

    fn apply(
        &mut self,
        lines: &Lines,
        frames: &[(&Frame, &Prepared)],
        found: &[Found],
        origin: &BatchOrigin,
    ) {
        let segments: Vec<Segment<'_>> = found
            .iter()
            .filter_map(|one| match one {
                Found::Rows { frame, first, rows } => Some(Segment::Frame {
                    frame: frames[*frame].0,
                    prepared: frames[*frame].1,
                    first: *first,
                    rows: *rows,
                    reader: &*lines.reader,
                }),
                Found::Batch(batch) => Some(Segment::Batch(batch)),
                Found::Sweep(_) | Found::Reject(_) => None,
            })
            .collect();
        if segments.is_empty() {
            return;
        }
        for segment in &segments {
            if let Segment::Batch(batch) = segment {
                self.totals.dialects.extend((0..batch.len()).map(|row| batch.row(row).dialect));
            }
        }
        let output = self.comparator.apply_epoch(&segments, origin);
        if output.unread > 0 {
            self.comparator.sweep_damaged(&origin.source);
        }
        self.gather(output);
    }

    fn piece(&mut self, bytes: &[u8]) {
        let Some(mut lines) = self.lines.take() else { return };
        let mut records = Vec::new();
        lines.reader.piece(bytes, &mut records);
        self.loose(&mut lines, records);
        self.lines = Some(lines);
    }

    fn loose(&mut self, lines: &mut Lines, records: Vec<Record>) {
        let mut found = Vec::new();
        let records = records.into_iter().map(|record| (0, record)).collect();
        self.order(lines, 0, 0, records, &mut found);
        self.judge(lines, &[], found);
    }

    fn end_lines(&mut self, rest: &[u8], reason: Option<&str>) {
        let Some(mut lines) = self.lines.take() else { return };
        // What has no newline is a line all the same, but for its end.
        let mut records = Vec::new();
        let reader = std::mem::replace(&mut lines.reader, Box::new(LineReader::default()));
        let summary = reader.finish(rest, reason, &mut records);
        self.loose(&mut lines, records);
        let Lines { source, file, mut scopes, .. } = lines;
        let listed = summary.collections.iter();
        scopes.extend(
            listed.map(|collection| Scope {
                collection: Some(collection.clone()),
                ..Scope::default()
            }),
        );
        self.end_file(source, &file, summary, scopes.into_iter().collect());
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
        self.totals.attribute_checks += output.attribute_checks;
        self.totals.collisions += output.collisions;
        self.totals.scrubbed.rows += output.scrubbed.rows;
        self.totals.scrubbed.mismatches += output.scrubbed.mismatches;
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

/// Ends a batch of records that were parsed.
fn seal(builder: &mut ObservationBatchBuilder, found: &mut Vec<Found>) {
    if !builder.is_empty() {
        found.push(Found::Batch(Box::new(builder.finish())));
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
