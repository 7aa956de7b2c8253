//! What can be said of a frame's rows before their shards are asked.
//!
//! Reading a state, comparing it with its baseline and looking up the values of what differs take most
//! of the time, and none of it depends on what a shard knows of the resource besides the baseline. So
//! it is done here, block by block while the block is in the processor's cache, for all rows whose raw
//! fingerprint is not the last one; a shard then only decides whether the observation counts, and what
//! changed since the last. The result is that of [`compare`](crate::compare) over the whole states:
//! units differ only below objects that both sides have, and those are compared member by member.

use std::sync::{Mutex, MutexGuard, PoisonError};

use deployforge_canon::fold::plainly_differ;
use deployforge_canon::{DeclaredText, Differing, Guide, fingerprint, locate, value_at};
use deployforge_model::{FindingKind, Frame, Timestamp, Transition, UnknownReason, Verdict};

use crate::chunks::Columns;
use crate::claim::tree;
use crate::columns::COLUMN_BYTES;
use crate::diff::{DiffOptions, compare_at};
use crate::entry::Entry;
use crate::findings::{Findings, OpenFinding};
use crate::judge::subject;
use crate::judgement::{Judgement, finding_of, ignore};
use crate::route::{NOTHING, Routed, Routes};
use crate::rows::BaselineRow;
use crate::score::Score;
use crate::shard::{Context, Shard, Tools};
use crate::verdicts::{Told, Verdicts};

/// The rows of a frame, sorted by shard, and what is known of those that changed.
#[derive(Debug, Default)]
pub struct Prepared {
    pub(crate) routes: Routes,
    /// Each is taken once, by the shard that judges the row.
    changes: Vec<Mutex<Option<Change>>>,
    /// Their findings as they would be put out if none was open before. What was observed at
    /// [`WHEN_TAKEN_IN`] does not say when.
    findings: Mutex<Findings>,
    /// What would be put out of those that are seen for the first time and in sync, timed likewise.
    verdicts: Mutex<Verdicts>,
    /// Which of them is that of a row, or [`NOTHING`]; empty: there are none.
    verdict_of: Vec<u32>,
    /// Rows whose fingerprints settle them and that were compared all the same.
    pub(crate) scrubbed: Scrubbed,
}

/// Of so many settled rows one is compared in full all the same.
const SCRUB_ONE_IN: u64 = 1024;

/// Rows whose declared states are fetched at once: one waits for memory as long as all of them.
const AT_ONCE: usize = 8;

/// What the scrubber found: rows that fingerprints had settled, and those of which they were wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // named in the sentence above
pub struct Scrubbed {
    pub rows: u64,
    pub mismatches: u64,
}

impl Scrubbed {
    pub(crate) fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.mismatches += other.mismatches;
    }
}

/// What a state that was read came to.
#[derive(Debug)]
pub(crate) struct Change {
    /// Its canonical fingerprint.
    pub(crate) canonical: u64,
    /// How it compares with the baseline; `None` if its fingerprint was the last one known.
    pub(crate) compared: Option<Compared>,
}

/// What comparing a state with the baseline came to.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) judgement: Judgement,
    /// It is what the baseline says, and not in sync otherwise.
    pub(crate) same: bool,
    /// Canonical text of the state where it is kept.
    pub(crate) state: Option<String>,
    /// Attributes that were compared one by one.
    pub(crate) checks: u64,
    /// Something differs though no hash does.
    pub(crate) collision: bool,
    /// Where all its findings stand as opened in what was prepared: the first, and how many.
    pub(crate) rows: Option<(u32, u32)>,
}

/// What is known of a row before it is judged.
pub(crate) enum Known {
    /// Nothing yet.
    Nothing,
    /// The scan was wrong: the parser has to read the record.
    Unreadable,
    /// Its change.
    Change(Change),
}

const UNREADABLE: u32 = u32::MAX - 1;
/// Its canonical fingerprint was the last one known, and stands in the row.
const SAME: u32 = u32::MAX - 2;

impl Prepared {
    /// Reads the rows that changed.
    pub(crate) fn new(
        context: &Context,
        frame: &Frame,
        mut found: Vec<(u8, Routed)>,
        shards: &[Shard],
        tools: &mut Tools,
    ) -> Self {
        let prepare = Prepare { context, frame };
        let mut scrubbed = Scrubbed::default();
        let (mut verdicts, mut verdict_of) = (Verdicts::default(), Vec::new());
        let mut in_sync = |entry: &Entry, routed: &Routed| {
            if prepare.is_first(entry) {
                prepare.put_verdict(entry, routed, &mut verdicts, &mut verdict_of);
            }
        };
        let mut unsettled = Vec::new();
        for (k, (shard, routed)) in found.iter_mut().enumerate() {
            let shard = &shards[usize::from(*shard)];
            let Some(at) = routed.at().filter(|_| !routed.is_unmapped()) else { continue };
            let entry = shard.at(at);
            let levels = &context.settings.levels;
            let settled = if entry.raw == routed.raw && levels.fingerprint {
                true
            } else if !entry.is_plain(frame.dialect) {
                continue;
            } else if levels.fingerprint && prepare.is_arranged(entry, routed, tools) {
                (routed.change, routed.canonical) = (SAME, entry.canonical);
                true
            } else {
                false
            };
            if !settled {
                unsettled.push((k as u32, at));
                continue;
            }
            in_sync(entry, routed);
            if routed.raw % SCRUB_ONE_IN == 0 {
                scrubbed.add(prepare.scrub(shard, routed, tools));
            }
        }
        let mut changes = Vec::new();
        let mut findings = Findings::default();
        for some in unsettled.chunks(AT_ONCE) {
            let entries = some.iter().map(|(k, at)| {
                let shard = &shards[usize::from(found[*k as usize].0)];
                (shard, shard.at(*at))
            });
            if context.settings.levels.text {
                entries.for_each(|(shard, entry)| prepare.fetch(shard, entry));
            }
            for (k, at) in some {
                let (shard, routed) = &mut found[*k as usize];
                let shard = &shards[usize::from(*shard)];
                let (entry, row) = (shard.at(*at), routed.row as usize);
                let Some(mut change) = prepare.change(shard, entry, row, tools) else {
                    routed.change = UNREADABLE;
                    continue;
                };
                let Some(compared) = &mut change.compared else {
                    (routed.change, routed.canonical) = (SAME, change.canonical);
                    in_sync(entry, routed);
                    continue;
                };
                if changes.is_empty() {
                    changes.reserve_exact(unsettled.len());
                    findings = Findings::with_capacity(unsettled.len());
                }
                prepare.put_findings(entry, routed, compared, &mut findings);
                routed.change = changes.len() as u32;
                changes.push(Mutex::new(Some(change)));
            }
        }
        let routes = Routes::sort(&found, shards.len());
        let (findings, verdicts) = (Mutex::new(findings), Mutex::new(verdicts));
        Self { routes, changes, findings, verdicts, verdict_of, scrubbed }
    }

    /// The prepared findings.
    pub(crate) fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The prepared verdicts.
    pub(crate) fn verdicts(&self) -> MutexGuard<'_, Verdicts> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of the prepared verdicts is that of a row that is seen for the first time, and in sync.
    #[inline]
    pub(crate) fn verdict_of(&self, routed: &Routed) -> Option<u32> {
        self.verdict_of.get(routed.row as usize).copied().filter(|at| *at != NOTHING)
    }

    /// Takes what is known of a row.
    pub(crate) fn take(&self, routed: &Routed) -> Known {
        match routed.change {
            NOTHING => Known::Nothing,
            UNREADABLE => Known::Unreadable,
            SAME => Known::Change(Change { canonical: routed.canonical, compared: None }),
            at => {
                let change = &self.changes[at as usize];
                let change = change.lock().unwrap_or_else(PoisonError::into_inner).take();
                change.map_or(Known::Nothing, Known::Change)
            }
        }
    }
}

/// Reads and compares rows of one frame.
pub(crate) struct Prepare<'a> {
    pub(crate) context: &'a Context,
    pub(crate) frame: &'a Frame,
}

/// The time of an observation whose source does not say when it was made.
pub(crate) const WHEN_TAKEN_IN: Timestamp = Timestamp(i64::MAX);

/// The key of a row that a baseline row declares: read from the frame, which is at hand, unless it goes
/// by another name there.
pub(crate) fn key<'k>(
    frame: &'k Frame,
    row: usize,
    entry: &Entry,
    expected: BaselineRow<'k>,
) -> [&'k str; 5] {
    if !entry.is(frame.key128(row)) {
        return expected.parts();
    }
    let [account, region, kind, id] = frame.parts(row);
    [frame.provider, account, region, kind, id]
}

impl Prepare<'_> {
    /// Whether a row's state has the members of the last one in another order.
    fn is_arranged(&self, entry: &Entry, routed: &Routed, tools: &mut Tools) -> bool {
        let Context { settings, seed, .. } = self.context;
        // The parser has to have a say where the last state was not read here.
        let known = settings.levels.canonical && entry.raw != 0 && entry.canonical != 0;
        let state = self.frame.state(routed.row as usize);
        known && tools.arranger.is_arranged(seed, state, entry.raw)
    }

    /// Reads what a row will be held against from one end to the other, so that it is in the cache.
    fn fetch(&self, shard: &Shard, entry: &Entry) {
        let Some(row) = self.context.row(entry) else { return };
        let lines = row.state().iter().step_by(64).map(|byte| u32::from(*byte));
        let starts = row.starts().iter().step_by(16);
        let hashes = shard.hashes.of(&self.context.shapes, entry.attributes);
        let hashes = hashes.map_or(&[][..], |(_, hashes)| hashes).iter().step_by(16);
        let read = lines.chain(starts.copied()).chain(hashes.copied()).fold(0, u32::wrapping_add);
        std::hint::black_box(read);
    }

    /// Whether an observation that agrees with the baseline is the first there is of a resource.
    fn is_first(&self, entry: &Entry) -> bool {
        self.context.settings.tables.verdicts
            && entry.is_untouched()
            && entry.is_plain(self.frame.dialect)
    }

    /// Writes the verdict down as it would be put out if nothing else is known by then.
    fn put_verdict(
        &self,
        entry: &Entry,
        routed: &Routed,
        verdicts: &mut Verdicts,
        verdict_of: &mut Vec<u32>,
    ) {
        let (row, rows) = (routed.row as usize, self.frame.len());
        let Some(expected) = self.context.row(entry) else { return };
        if verdict_of.is_empty() {
            // Where one is seen for the first time, mostly all are.
            *verdicts = Verdicts::with_capacity(rows);
            verdict_of.resize(rows, NOTHING);
        }
        verdict_of[row] = verdicts.rows() as u32;
        let key = key(self.frame, row, entry, expected);
        let subject = subject(self.context, entry, key, expected.address(), self.frame.dialect);
        let observed_at = routed.observed_at().unwrap_or(WHEN_TAKEN_IN);
        let told = Told::in_sync(expected.leaves(), routed.version(), observed_at);
        verdicts.push(&subject, observed_at, told, None);
    }

    /// Writes the findings down as they would be put out if none was open before.
    fn put_findings(
        &self,
        entry: &Entry,
        routed: &Routed,
        compared: &mut Compared,
        findings: &mut Findings,
    ) {
        let found = &compared.judgement.findings;
        let Some(expected) = self.context.row(entry) else { return };
        let key = key(self.frame, routed.row as usize, entry, expected);
        let widest = key.iter().map(|part| part.len()).max().unwrap_or(0);
        let more: usize = found.iter().map(|finding| finding.bytes() + widest).sum();
        // What is very large is put out row by row.
        if found.is_empty() || findings.bytes() + more >= COLUMN_BYTES {
            return;
        }
        compared.rows = Some((findings.rows() as u32, found.len() as u32));
        let dialect = self.frame.dialect;
        let subject = subject(self.context, entry, key, expected.address(), dialect);
        let observed_at = routed.observed_at().unwrap_or(WHEN_TAKEN_IN);
        let opened = found.iter().map(|finding| (Transition::Opened, finding));
        findings.push(&subject, observed_at, opened);
    }

    /// Levels 1 and 2 of a row of which the baseline has a plain entry. `None`: the record has to be
    /// read by the parser.
    pub(crate) fn change(
        &self,
        shard: &Shard,
        entry: &Entry,
        row: usize,
        tools: &mut Tools,
    ) -> Option<Change> {
        let settings = &self.context.settings;
        let seed = &self.context.seed;
        let kind = self.frame.kind(row);
        let by_hash = settings.levels.attributes && !settings.policy.weighs(kind);
        if by_hash
            && settings.levels.text
            && let Some(change) = self.by_text(shard, entry, (row, kind), tools)
        {
            return Some(change);
        }
        let state = self.frame.state(row);
        let Tools { parser, flat, orders, differing, .. } = tools;
        if !settings.canon.flatten(parser, seed, self.frame.dialect, kind, state, flat) {
            return None;
        }
        let canonical = flat.fingerprint(seed);
        let by_hash = by_hash && {
            let (shapes, attributes) = (&self.context.shapes, entry.attributes);
            shard.hashes.differing(shapes, orders, attributes, flat, differing).is_some()
        };
        if by_hash && settings.levels.text {
            self.learn(entry, (row, kind), tools);
        }
        if canonical == entry.canonical && settings.levels.canonical {
            return Some(Change { canonical, compared: None });
        }
        let expected = self.context.row(entry)?;
        let mut compared = None;
        if by_hash && !tools.differing.is_empty() {
            compared = self.by_units(expected, entry, (row, kind), tools);
        }
        let suspect = by_hash && tools.differing.is_empty();
        let mut compared =
            compared.unwrap_or_else(|| self.as_whole(expected, entry, row, tools, suspect));
        if by_hash {
            compared.checks += tools.flat.units.len() as u64;
        }
        Some(Change { canonical, compared: Some(compared) })
    }

    /// Which guide may fit a row.
    fn guide(&self, entry: &Entry, kind: &str) -> u64 {
        let seed = &self.context.seed;
        let shape = u64::from(entry.attributes.shape()) << 8 | self.frame.dialect as u64;
        seed.mix(seed.text(kind.as_bytes()), shape)
    }

    /// The same from the declared text, if the state runs as its kind mostly does: only values whose
    /// text is not the declared one are read.
    fn by_text(
        &self,
        shard: &Shard,
        entry: &Entry,
        (row, kind): (usize, &str),
        tools: &mut Tools,
    ) -> Option<Change> {
        let Context { settings, seed, .. } = self.context;
        let id = self.guide(entry, kind);
        let Tools { parser, guides, differing, .. } = &mut *tools;
        let guide = guides.get(id)?;
        let expected = self.context.row(entry)?;
        let (sum, hashes) = shard.hashes.of(&self.context.shapes, entry.attributes)?;
        // What was not walked may hold secrets, and of another type lists may be of another kind.
        if sum == 0 || !entry.is(self.frame.key128(row)) {
            return None;
        }
        let declared = DeclaredText { text: expected.state(), starts: expected.starts(), hashes };
        let (dialect, state) = (self.frame.dialect, self.frame.state(row));
        let more = settings
            .canon
            .follow(parser, seed, dialect, kind, state, guide, declared, differing)?;
        guides.hit(id);
        let units = declared.starts.len();
        let canonical = fingerprint(seed, units, sum.wrapping_add(more));
        if canonical == entry.canonical && settings.levels.canonical {
            return Some(Change { canonical, compared: None });
        }
        differing.sort_unstable_by_key(|differing| differing.unit);
        let mut compared = self.by_units(expected, entry, (row, kind), tools)?;
        compared.checks += units as u64;
        Some(Change { canonical, compared: Some(compared) })
    }

    /// Takes note of how a row runs that was just walked.
    fn learn(&self, entry: &Entry, (row, kind): (usize, &str), tools: &mut Tools) {
        let Tools { parser, flat, orders, guides, .. } = tools;
        let shapes = &self.context.shapes;
        guides.missed(self.guide(entry, kind), || {
            let numbers = orders.numbers(shapes, entry.attributes, flat)?;
            let declared = shapes.declared(entry.attributes)?;
            Guide::learn(parser, self.frame.state(row), flat, &numbers, declared)
        });
    }

    /// Compares the units that are known to differ. `None` where they cannot be found.
    fn by_units(
        &self,
        expected: BaselineRow<'_>,
        entry: &Entry,
        (row, kind): (usize, &str),
        tools: &mut Tools,
    ) -> Option<Compared> {
        let context = self.context;
        let canon = &context.settings.canon;
        let (dialect, seed) = (self.frame.dialect, &context.seed);
        let folds = context.folds(dialect, kind);
        if folds.asks_containers() {
            return None;
        }
        let options = DiffOptions { mode: context.mode(entry), folds: &folds };
        // Only what is asked everywhere is known to leave plain scalars alone.
        let plain = folds.is_plain();
        let (text, whole) = (self.frame.state(row).text, expected.state());
        let keep = context.settings.tables.keep_states();
        let (mut state, mut copied) = (String::new(), 0);
        let Tools { parser, differing, .. } = tools;
        let same = differing.is_empty();
        let mut findings = Vec::with_capacity(differing.len());
        // What each finding adds to the score: a rule may take it out again.
        let mut scores = Vec::with_capacity(differing.len());
        for Differing { unit, declared, observed } in differing.iter() {
            let path = context.shapes.path(entry.attributes, *unit)?;
            let span = match (declared, expected.starts().get(*unit as usize)) {
                (Some((start, end)), _) => *start as usize..*end as usize,
                (None, Some(start)) => value_at(whole, *start as usize)?,
                (None, None) => locate(whole, &[*unit])?.pop()?.span,
            };
            let (start, was_text) = (span.start, whole.get(span)?);
            let is_text = &text[observed.0 as usize..observed.1 as usize];
            if plain
                && !keep
                && let Some((was, is)) = plainly_differ(was_text, is_text)
            {
                findings.push(changed(context, kind, path, was, is));
                scores.push(Score::CHANGED);
                continue;
            }
            let was = canon.unit(parser, seed, dialect, kind, path, was_text, true).ok()?;
            let is = canon.unit(parser, seed, dialect, kind, path, is_text, false).ok()?;
            if keep {
                state.push_str(std::str::from_utf8(&whole[copied..start]).ok()?);
                state.push_str(&is.to_json());
                copied = start + was_text.len();
            }
            let policy = &context.settings.policy;
            for difference in &compare_at(path, &was, &is, options, policy, kind) {
                scores.push(Score::one(difference));
                findings.push(finding_of(context, kind, difference));
            }
        }
        if keep {
            state.push_str(std::str::from_utf8(&whole[copied..]).ok()?);
        }
        let subject = || {
            let key = key(self.frame, row, entry, expected);
            subject(context, entry, key, expected.address(), dialect)
        };
        let ignored = ignore(context, subject, &mut findings);
        let each = scores.into_iter().zip(&findings);
        let score = each
            .filter(|(_, finding)| !ignored || finding.counts())
            .fold(Score::default(), |all, (one, _)| all.and(one));
        let judgement = Judgement::found(findings, score.of(expected.leaves()));
        Some(Compared {
            judgement,
            same,
            state: keep.then_some(state),
            checks: 0,
            collision: false,
            rows: None,
        })
    }

    /// Compares a row in full that its raw fingerprint settles: the canonical fingerprint must be the
    /// last one known, and a resource that is in sync must show no difference. What cannot be read here
    /// was never settled by what is read here.
    fn scrub(&self, shard: &Shard, routed: &Routed, tools: &mut Tools) -> Scrubbed {
        let nothing = Scrubbed::default();
        let (settings, row) = (&self.context.settings, routed.row as usize);
        let Some(at) = routed.at().filter(|_| !routed.is_unmapped()) else { return nothing };
        let entry = shard.at(at);
        if !entry.is_plain(self.frame.dialect) || entry.canonical == 0 {
            return nothing;
        }
        let (kind, state) = (self.frame.kind(row), self.frame.state(row));
        let Tools { parser, flat, .. } = tools;
        let seed = &self.context.seed;
        if !settings.canon.flatten(parser, seed, self.frame.dialect, kind, state, flat) {
            return nothing;
        }
        let mut same = flat.fingerprint(seed) == entry.canonical;
        if let (None | Some(Verdict::InSync), true, Some(expected)) =
            (entry.verdict(), entry.findings().is_empty(), self.context.row(entry))
        {
            let compared = self.as_whole(expected, entry, row, tools, false);
            same &= compared.judgement.findings.is_empty();
        }
        Scrubbed { rows: 1, mismatches: u64::from(!same) }
    }

    /// Compares the states as wholes. `suspect`: no hash says that they differ.
    fn as_whole(
        &self,
        expected: BaselineRow<'_>,
        entry: &Entry,
        row: usize,
        tools: &mut Tools,
        suspect: bool,
    ) -> Compared {
        let Context { settings, .. } = self.context;
        let (dialect, kind) = (self.frame.dialect, self.frame.kind(row));
        let parser = &mut tools.parser;
        let was = settings.canon.stored_state(parser, dialect, kind, expected.state());
        let is = tree(&settings.canon, parser, self.frame, row);
        let (Ok(was), Some(is)) = (was, is) else {
            let judgement = Judgement::unknown(UnknownReason::Unreadable);
            return Compared {
                judgement,
                same: false,
                state: None,
                checks: 0,
                collision: false,
                rows: None,
            };
        };
        let comparison = self.context.compare(entry, (dialect, kind), &was.root, &is);
        let subject = || {
            let key = key(self.frame, row, entry, expected);
            subject(self.context, entry, key, expected.address(), dialect)
        };
        Compared {
            checks: u64::from(comparison.leaves),
            same: was.root == is,
            collision: suspect && !comparison.differences.is_empty(),
            judgement: Judgement::of(self.context, subject, kind, &comparison),
            state: settings.tables.keep_states().then(|| is.to_json()),
            rows: None,
        }
    }
}

/// The finding that a scalar is another one.
fn changed(context: &Context, kind: &str, path: &str, was: &str, is: &str) -> OpenFinding {
    let changed = FindingKind::Changed;
    let severity = context.settings.policy.severity(kind, path, changed);
    OpenFinding::new(path, changed, (Some(was), Some(is)), 1, severity, None)
}
