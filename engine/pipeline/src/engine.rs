//! The engine: feeds in, output gathered.

mod evidence;
mod stale;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::Arc;

use deployforge_compare::{
    BatchOrigin, Comparator, Levels, Output, Owner, Prepared, RejectRow, Rules, Scrubbed, Segment,
    Unsettled,
};
use deployforge_formats::{Format, LineReader, ReadSummary};
use deployforge_model::{
    Clock, Dialect, Evidence, Frame, ObservationBatch, ObservationBatchBuilder, Presence, Record,
    Reject, RejectCode, Scope, SourcePosition, Sweep, Timestamp,
};
use rayon::prelude::*;

use crate::feed::scope_of;
use crate::lines::Lines;
use crate::message::ReadMessage;
use crate::{Feed, LIMITS, LineBlock, named};

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
    /// Events of audit logs, each once.
    pub evidence: u64,
    /// Records refused, repeated ones included.
    pub rejects: u64,
    /// The same by their codes.
    pub reject_codes: BTreeMap<&'static str, u64>,
    /// The first refusals, for people: file, position and reason.
    pub first_rejects: Vec<String>,
    /// What readers skipped or assumed, by file.
    pub notes: Vec<String>,
    /// Observations that were older than what was known of their resource.
    pub late: u64,
    /// Observations of resources that another partition spoke of before.
    pub strayed: u64,
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
    pub(crate) clock: Arc<dyn Clock>,
    output: Output,
    totals: Totals,
    known_rejects: HashSet<String>,
    recent: evidence::Recent,
    ages: stale::Ages,
    lines: Option<Lines>,
    /// Partitions that are read.
    pub(crate) partitions: BTreeMap<Owner, Lines>,
}

/// What a block came to, in order.
enum Found {
    Rows {
        frame: usize,
        first: u32,
        rows: u32,
    },
    Batch(Box<ObservationBatch>),
    /// With the offset at which it stands.
    Sweep(Sweep, i64),
    /// A message that listed all there is ends.
    Listed(String, Vec<Scope>, Dialect),
    Reject(Reject),
    Evidence(Vec<Evidence>),
}

impl Engine {
    /// An engine around a comparator. `known_rejects` are ids that the history already holds: of what
    /// was refused, and of the newest events.
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
            recent: evidence::Recent::default(),
            ages: stale::Ages::default(),
            lines: None,
            partitions: BTreeMap::new(),
        }
    }

    /// What is known now.
    pub fn comparator(&self) -> &Comparator {
        &self.comparator
    }

    pub(crate) fn comparator_mut(&mut self) -> &mut Comparator {
        &mut self.comparator
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
                self.lines = Some(Lines::new((source, file), reader, scopes, None));
            }
            Feed::Block(block) => self.block(block),
            Feed::Piece(bytes) => self.piece(&bytes),
            Feed::LinesEnd { rest, reason, .. } => self.end_lines(&rest, reason.as_deref()),
            Feed::FileStart { source, file } => {
                let origin = self.origin(source);
                self.comparator.sweep_start(&origin, &file_sweep(&file), Scope::default(), 0);
            }
            Feed::Batch { source, file, batch } => {
                let origin = BatchOrigin { file, ..self.origin(source) };
                for row in 0..batch.len() {
                    self.totals.dialects.insert(batch.row(row).dialect);
                }
                let output = self.comparator.apply(&batch, &origin);
                self.gather(output);
            }
            Feed::Sweep { source, sweep } => self.sweep(&self.origin(source), sweep, 0),
            Feed::Reject { source, file, reject } => self.reject(&source, &file, reject),
            Feed::Evidence { source, events } => self.evidence(&source, events, false),
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
        if lines.push(block, self.clock.now()) {
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
        let read = self.epoch(&mut lines);
        self.lines = Some(lines);
        // What cannot be read any more ends the file where it is.
        if let Err(error) = read {
            self.end_lines(&[], Some(&error.to_string()));
        }
    }

    /// One epoch of what was gathered: its blocks are read and scanned on all cores, what a scan left over
    /// is parsed on all cores, and then all shards judge. Fails after the last block that could be read.
    pub(crate) fn epoch(&mut self, lines: &mut Lines) -> io::Result<()> {
        let blocks = std::mem::take(&mut lines.blocks);
        lines.bytes = 0;
        if blocks.is_empty() {
            return Ok(());
        }
        let reader = &*lines.reader;
        let comparator = &self.comparator;
        // Each block on one core, while it is in that core's cache.
        let read: Vec<io::Result<_>> = blocks
            .par_iter()
            .map(|block| {
                let mut scan = reader.scan(&block.block()?);
                scan.frame.stand_in(|line| block.time_of(line.into()));
                let prepared = comparator.prepare(&scan.frame);
                Ok((scan, (prepared, lines.read_single(block))))
            })
            .collect();
        let mut end = Ok(());
        let whole = read.into_iter().map_while(|read| read.map_err(|error| end = Err(error)).ok());
        let (mut scans, prepared): (Vec<_>, Vec<_>) = whole.unzip();
        let (prepared, single): (Vec<_>, Vec<_>) = prepared.into_iter().unzip();
        for (scan, block) in scans.iter_mut().zip(&blocks) {
            if let Some(first) = block.first() {
                lines.reader.go_to(first as u64);
            }
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
            let first = blocks[at].first();
            // Lines of messages are numbered by their offsets.
            let time = |line: u64| blocks[at].time_of(line.wrapping_sub(first? as u64));
            let frame = (at, scan.frame.len() as u32);
            self.order(lines, frame, records, (first, &time), &mut found);
        }
        for (message, first) in single.into_iter().flatten() {
            self.order_message(lines, message, first, &mut found);
        }
        if scans.iter().any(|scan| !scan.frame.is_empty()) {
            self.totals.dialects.extend(scans.first().map(|scan| scan.frame.dialect));
        }
        let frames: Vec<_> = scans.iter().map(|scan| &scan.frame).zip(&prepared).collect();
        self.judge(lines, &frames, found);
        end
    }

    /// Puts the rows of a frame and the records between them in order. `at` is the offset of the first
    /// message, and `time` of a record's line stands in where the record has none.
    fn order(
        &self,
        lines: &mut Lines,
        (frame, length): (usize, u32),
        records: Vec<(u32, Record)>,
        (at, time): (Option<i64>, &dyn Fn(u64) -> Option<Timestamp>),
        found: &mut Vec<Found>,
    ) {
        let mut builder = ObservationBatchBuilder::new(self.comparator.seed());
        let mut first = 0;
        for (number, (before, record)) in records.into_iter().enumerate() {
            if before > first {
                seal(&mut builder, found);
                found.push(Found::Rows { frame, first, rows: before - first });
                first = before;
            }
            match record {
                Record::Observation(observation) => {
                    if observation.presence == Presence::Present
                        && lines.scopes.len() < LIMITS.scopes_per_file
                        && lines.messages.is_none()
                    {
                        lines.scopes.insert(scope_of(&observation));
                    }
                    let time = time(observation.position.line);
                    builder.push(&observation, time.unwrap_or_else(|| self.clock.now()));
                }
                Record::Sweep(sweep) => {
                    seal(&mut builder, found);
                    let at = at.map_or(0, |at| lines.sweep_at(at + number as i64));
                    found.push(Found::Sweep(sweep, at));
                }
                Record::Reject(reject) => found.push(Found::Reject(reject)),
                Record::Evidence(evidence) => found.push(Found::Evidence(vec![*evidence])),
            }
        }
        seal(&mut builder, found);
        if length > first {
            found.push(Found::Rows { frame, first, rows: length - first });
        }
    }

    /// Puts the records of a message that was read on its own in order.
    fn order_message(
        &self,
        lines: &mut Lines,
        message: ReadMessage,
        at: i64,
        found: &mut Vec<Found>,
    ) {
        let ReadMessage { records, listing, time } = message;
        let id = format!("message:{at}");
        if listing.is_some() {
            let start = Sweep::Start { id: id.clone(), scope: Scope::default() };
            found.push(Found::Sweep(start, lines.sweep_at(at)));
        }
        let records = records.into_iter().map(|record| (0, record)).collect();
        self.order(lines, (0, 0), records, (Some(at), &|_| time), found);
        if let Some((scopes, dialect)) = listing {
            found.push(Found::Listed(id, scopes, dialect));
        }
    }

    /// Judges what was found up to each frame of a sweep.
    fn judge(&mut self, lines: &mut Lines, frames: &[(&Frame, &Prepared)], found: Vec<Found>) {
        let origin = self.origin_of(lines);
        let mut batches = Vec::new();
        for one in found {
            if matches!(one, Found::Rows { .. } | Found::Batch(_)) {
                batches.push(one);
                continue;
            }
            if !matches!(one, Found::Reject(_) | Found::Evidence(_)) {
                self.apply(lines, frames, &batches, &origin);
                batches.clear();
            }
            match one {
                Found::Sweep(sweep, at) => self.sweep(&origin, sweep, at),
                Found::Listed(id, scopes, dialect) => {
                    self.totals.dialects.insert(dialect);
                    let output = self.comparator.sweep_end(&origin, &id, Some(scopes), dialect);
                    self.gather(output);
                }
                Found::Reject(reject) => self.reject_of(lines, &origin, reject),
                Found::Evidence(events) => {
                    self.evidence(&origin.source, events, lines.messages.is_some());
                }
                Found::Rows { .. } | Found::Batch(_) => {}
            }
        }
        self.apply(lines, frames, &batches, &origin);
    }

    fn apply(
        &mut self,
        lines: &mut Lines,
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
                Found::Sweep(..) | Found::Listed(..) | Found::Reject(_) | Found::Evidence(_) => {
                    None
                }
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
        drop(segments);
        if output.unread > 0 {
            self.comparator.sweep_damaged(origin);
        }
        self.gather_from(lines, output);
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
        self.order(lines, (0, 0), records, (None, &|_| None), &mut found);
        self.judge(lines, &[], found);
    }

    fn end_lines(&mut self, rest: &[u8], reason: Option<&str>) {
        let Some(mut lines) = self.lines.take() else { return };
        // What has no newline is a line all the same, but for its end.
        let mut records = Vec::new();
        let reader = std::mem::replace(&mut lines.reader, Box::new(LineReader::default()));
        let summary = reader.finish(rest, reason, &mut records);
        records.extend(named::refuse(&summary.references).into_iter().map(Record::Reject));
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

    fn sweep(&mut self, origin: &BatchOrigin, sweep: Sweep, at: i64) {
        match sweep {
            Sweep::Start { id, scope } => self.comparator.sweep_start(origin, &id, scope, at),
            Sweep::End { id } => {
                let output = self.comparator.sweep_end(origin, &id, None, Dialect::Native);
                self.gather(output);
            }
        }
    }

    fn reject(&mut self, source: &Arc<str>, file: &Arc<str>, reject: Reject) {
        let origin = BatchOrigin { file: Arc::clone(file), ..self.origin(Arc::clone(source)) };
        self.comparator.sweep_damaged(&origin);
        self.gather(rejected(&origin, reject));
    }

    fn reject_of(&mut self, lines: &mut Lines, origin: &BatchOrigin, reject: Reject) {
        self.comparator.sweep_damaged(origin);
        self.gather_from(lines, rejected(origin, reject));
    }

    pub(crate) fn gather(&mut self, mut output: Output) {
        self.totals.observations += output.observations;
        self.totals.late += output.late();
        self.totals.strayed += output.strayed;
        self.totals.levels.fingerprint += output.levels.fingerprint;
        self.totals.levels.canonical += output.levels.canonical;
        self.totals.levels.compared += output.levels.compared;
        self.totals.attribute_checks += output.attribute_checks;
        self.totals.collisions += output.collisions;
        self.totals.scrubbed.rows += output.scrubbed.rows;
        self.totals.scrubbed.mismatches += output.scrubbed.mismatches;
        self.note_rejects(&output.rejects, ToString::to_string);
        let known = &mut self.known_rejects;
        output.rejects.retain(|reject| known.insert(reject.id()));
        self.output.merge(output);
    }

    /// What has an offset is refused once; a file may be read again.
    fn gather_from(&mut self, lines: &mut Lines, mut output: Output) {
        let rejects = lines.take_rejects(&mut output);
        self.note_rejects(&rejects, |position| format!("offset {}", position.offset));
        self.gather(output);
        let mut placed = Output::default();
        placed.rejects = rejects;
        self.output.merge(placed);
    }

    fn note_rejects(&mut self, rejects: &[RejectRow], place: impl Fn(&SourcePosition) -> String) {
        self.totals.rejects += rejects.len() as u64;
        for reject in rejects {
            *self.totals.reject_codes.entry(reject.code.name()).or_default() += 1;
            if self.totals.first_rejects.len() < FIRST_REJECTS {
                let RejectRow { source, position, reason, .. } = reject;
                self.totals.first_rejects.push(format!("{source}, {}: {reason}", place(position)));
            }
        }
    }

    /// Where what was read last comes from.
    fn origin_of(&self, lines: &Lines) -> BatchOrigin {
        let owner = lines.messages.as_ref().map_or(Owner::NONE, |messages| messages.owner);
        let file = Arc::clone(&lines.file);
        BatchOrigin { file, owner, ..self.origin(Arc::clone(&lines.source)) }
    }

    fn origin(&self, source: Arc<str>) -> BatchOrigin {
        let file = Arc::clone(&source);
        let owner = Owner::NONE;
        BatchOrigin { source, file, ingested_at: self.clock.now(), stored: false, owner }
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

/// The output that a refused record is.
fn rejected(origin: &BatchOrigin, reject: Reject) -> Output {
    let mut output = Output::default();
    let row = RejectRow::of(reject, Arc::clone(&origin.file), origin.ingested_at);
    output.rejects.push(row);
    output
}

/// Ends a batch of records that were parsed.
fn seal(builder: &mut ObservationBatchBuilder, found: &mut Vec<Found>) {
    if !builder.is_empty() {
        found.push(Found::Batch(Box::new(builder.finish())));
    }
}

/// The dialect that a format's resources are written in, for a listing that lists none.
fn dialect_of(format: Option<Format>) -> Dialect {
    format.map_or(Dialect::Native, Format::dialect)
}

fn file_sweep(file: &str) -> String {
    format!("file:{file}")
}
