//! The short way: rows of a frame about resources that a baseline plainly declares.
//!
//! Three steps, each of which may say that it cannot tell, whereupon the record is read by the parser
//! and judged at length: [`Short::settles`] compares fingerprints of raw text (level 0);
//! [`Short::differs`] reads the text into units, compares canonical fingerprints (level 1) and hashes
//! of attributes (level 2); [`Short::resolve`] looks up the values of what differs and writes the
//! findings. The result is that of [`compare`](crate::compare) over the whole states: units differ
//! only below objects that both sides have, and those are compared member by member.

use std::sync::Arc;

use deployforge_model::{Frame, Timestamp, UnknownReason, Verdict};

use crate::claim::tree;
use crate::diff::{Comparison, Difference, compare, compare_at, plain_score};
use crate::entry::Entry;
use crate::judge::{Judgement, Order, head, latest, order, settle, verdict_row};
use crate::output::{Output, RowHead, StateRow};
use crate::route::Routed;
use crate::rows::BaselineRow;
use crate::shard::{BatchOrigin, Context, Shard, Tools};

/// What the short way knows of a frame.
pub(crate) struct Short<'a> {
    context: &'a Context,
    frame: &'a Frame,
    origin: &'a BatchOrigin,
    sequence: u32,
}

/// A resource of which something differs, to be looked up.
#[derive(Debug)]
pub(crate) struct Pending {
    at: u32,
    row: u32,
    /// Positions in the baseline's shape, and the observed values. `None`: compare as wholes.
    units: Option<Vec<(u32, (u32, u32))>>,
    /// The fingerprints differ and no attribute does: it is the baseline's state again, or hashes met.
    suspect: bool,
}

/// A comparison, and the canonical text of the observed state where it is kept.
type Resolved = (Comparison, Option<String>);

impl<'a> Short<'a> {
    pub(crate) fn new(
        context: &'a Context,
        frame: &'a Frame,
        origin: &'a BatchOrigin,
        sequence: u32,
    ) -> Self {
        Self { context, frame, origin, sequence }
    }

    /// Level 0: the raw text is that of the last observation, or of the baseline.
    #[inline]
    pub(crate) fn settles(&self, shard: &mut Shard, routed: &Routed, out: &mut Output) -> bool {
        let Some((_, entry, _)) = shard.known(routed) else { return false };
        if entry.raw != routed.raw || !self.context.settings.levels.fingerprint {
            return false;
        }
        if !(entry.is_plain(self.frame.dialect) || is_known_unmanaged(entry)) {
            return false;
        }
        if !self.take_note(entry, routed, out) {
            return true;
        }
        out.levels.fingerprint += 1;
        self.agree(entry, out);
        true
    }

    /// Takes note of a newer observation of the same content. `false`: it was counted already, as late
    /// or as one more of the same moment.
    #[inline]
    fn take_note(&self, entry: &mut Entry, routed: &Routed, out: &mut Output) -> bool {
        let (version, observed_at) = self.when(routed);
        out.observations += 1;
        entry.seen = self.sequence;
        match order(entry, version, observed_at) {
            Order::Newer => {
                entry.set_recalled(false);
                entry.set_version(version.or(entry.version()));
                entry.set_observed_at(Some(observed_at));
                true
            }
            Order::Same => true,
            Order::Older => {
                out.counts(entry.group).late += 1;
                false
            }
        }
    }

    #[inline]
    fn when(&self, routed: &Routed) -> (Option<u64>, Timestamp) {
        let observed_at = routed.observed_at().unwrap_or(self.origin.ingested_at);
        (routed.version(), observed_at.min(latest(self.origin)))
    }

    /// The content is that of the last judgement, or, before any, of the baseline.
    #[inline]
    fn agree(&self, entry: &mut Entry, out: &mut Output) {
        if entry.verdict().is_none()
            && entry.settle_in_sync()
            && self.context.settings.tables.verdicts
            && let Some(row) = self.context.row(entry)
        {
            let head = self.head(entry, row);
            let version = entry.version();
            out.verdicts.push(verdict_row(self.context, entry, head, version, None));
        }
        out.counts(entry.group).count(entry.verdict());
    }

    fn head(&self, entry: &Entry, row: BaselineRow<'_>) -> RowHead {
        let address = row.address.map(Into::into);
        let observed_at = entry.observed_at().unwrap_or(self.origin.ingested_at);
        let key = Arc::new(row.key());
        head(self.context, entry, key, address, row.dialect, self.origin, observed_at)
    }

    /// Levels 1 and 2. `false`: the record has to be read by the parser.
    pub(crate) fn differs(
        &self,
        shard: &mut Shard,
        routed: &Routed,
        tools: &mut Tools,
        pending: &mut Vec<Pending>,
        out: &mut Output,
    ) -> bool {
        let Some((at, entry, hashes)) = shard.known(routed) else { return false };
        let (version, observed_at) = self.when(routed);
        let row = routed.row as usize;
        if !entry.is_plain(self.frame.dialect)
            || !matches!(order(entry, version, observed_at), Order::Newer)
        {
            return false;
        }
        let settings = &self.context.settings;
        let Tools { parser, flat, orders, differing, .. } = tools;
        let seed = &self.context.seed;
        let (kind, state) = (self.frame.kind(row), self.frame.state(row));
        if !settings.canon.flatten(parser, seed, self.frame.dialect, kind, state, flat) {
            return false;
        }
        self.take_note(entry, routed, out);
        entry.raw = routed.raw;
        let canonical = flat.fingerprint(seed);
        let known = entry.canonical;
        if canonical == known && settings.levels.canonical {
            out.levels.canonical += 1;
            self.agree(entry, out);
            return true;
        }
        entry.canonical = canonical;
        out.levels.compared += 1;
        let by_hash = settings.levels.attributes
            && !settings.policy.weighs(kind)
            && hashes
                .differing(&self.context.shapes, orders, entry.attributes, flat, differing)
                .is_some();
        if by_hash {
            out.attribute_checks += flat.units.len() as u64;
        }
        let units = (by_hash && !differing.is_empty()).then(|| {
            let span = |at: u32| flat.units[at as usize].span;
            differing.iter().map(|(k, at)| (*k, span(*at))).collect()
        });
        entry.set_pending(true);
        let suspect = by_hash && units.is_none();
        pending.push(Pending { at, row: row as u32, units, suspect });
        true
    }

    /// Looks up the values of what differs, and puts out the findings.
    pub(crate) fn resolve(
        &self,
        shard: &mut Shard,
        pending: &mut Vec<Pending>,
        tools: &mut Tools,
        out: &mut Output,
    ) {
        for one in pending.drain(..) {
            let entry = shard.at_mut(one.at);
            entry.set_pending(false);
            let row = one.row as usize;
            let context = self.context;
            let Some(expected) = context.row(entry) else { continue };
            let resolved = one
                .units
                .and_then(|units| self.by_units(expected, entry, row, &units, tools))
                .or_else(|| self.as_whole(expected, entry, row, tools, out));
            let differs = |resolved: &Resolved| !resolved.0.differences.is_empty();
            out.collisions += u64::from(one.suspect && resolved.as_ref().is_some_and(differs));
            self.settle(entry, expected, row, resolved, out);
        }
    }

    fn settle(
        &self,
        entry: &mut Entry,
        expected: BaselineRow<'_>,
        row: usize,
        resolved: Option<Resolved>,
        out: &mut Output,
    ) {
        let head = self.head(entry, expected);
        let context = self.context;
        let (judgement, state) = match resolved {
            Some((comparison, state)) => {
                (Judgement::of(context, expected.resource_type, comparison), state)
            }
            None => (Judgement::unknown(UnknownReason::Unreadable), None),
        };
        let differs = judgement.verdict != Some(Verdict::InSync) || !judgement.findings.is_empty();
        let (mut hash, mut new) = (None, false);
        if let Some(text) = state {
            let key = &context.settings.hash_key;
            let digest: Box<str> = blake3::keyed_hash(key, text.as_bytes()).to_hex()[..32].into();
            let known = entry.detail.as_ref().and_then(|detail| detail.state_hash.as_ref());
            let keeps = differs || known.is_some();
            new = keeps && known != Some(&digest);
            if new && context.settings.tables.observations {
                let version = self.frame.version(row);
                out.states.push(StateRow { head: head.clone(), version, state: Some(text) });
            }
            if keeps {
                entry.detail().state_hash = Some(digest.clone());
                hash = Some(digest);
            }
        }
        let version = self.frame.version(row);
        settle(context, entry, head, judgement, (version, hash, new), out);
        out.counts(entry.group).count(entry.verdict());
    }

    /// Compares the units whose hashes differ. `None` where they cannot be found.
    fn by_units(
        &self,
        expected: BaselineRow<'_>,
        entry: &Entry,
        row: usize,
        units: &[(u32, (u32, u32))],
        tools: &mut Tools,
    ) -> Option<Resolved> {
        let numbers: Vec<u32> = units.iter().map(|(number, _)| *number).collect();
        let located = deployforge_canon::locate(expected.state, &numbers)?;
        let text = self.frame.state(row).text;
        let canon = &self.context.settings.canon;
        let options = self.context.options(entry);
        let keep = self.context.settings.tables.keep_states();
        let mut state = String::new();
        let mut copied = 0;
        let mut differences: Vec<Difference> = Vec::new();
        for (unit, (_, span)) in located.iter().zip(units) {
            let mut node = |text: &[u8], stored| {
                let (dialect, kind) = (expected.dialect, expected.resource_type);
                canon.unit(&mut tools.parser, dialect, kind, &unit.path, text, stored).ok()
            };
            let was = node(&expected.state[unit.span.clone()], true)?;
            let is = node(&text[span.0 as usize..span.1 as usize], false)?;
            if keep {
                state.push_str(std::str::from_utf8(&expected.state[copied..unit.span.start]).ok()?);
                state.push_str(&is.to_json());
                copied = unit.span.end;
            }
            compare_at(&unit.path, &was, &is, options, &mut differences);
        }
        if keep {
            state.push_str(std::str::from_utf8(&expected.state[copied..]).ok()?);
        }
        let score = plain_score(&differences, expected.leaves);
        let comparison = Comparison { differences, score, leaves: expected.leaves };
        Some((comparison, keep.then_some(state)))
    }

    /// Compares the states as wholes.
    fn as_whole(
        &self,
        expected: BaselineRow<'_>,
        entry: &Entry,
        row: usize,
        tools: &mut Tools,
        out: &mut Output,
    ) -> Option<Resolved> {
        let canon = &self.context.settings.canon;
        let (dialect, kind) = (expected.dialect, expected.resource_type);
        let was = canon.stored_state(&mut tools.parser, dialect, kind, expected.state);
        let (was, is) = (was.ok()?, tree(canon, &mut tools.parser, self.frame, row)?);
        let policy = &self.context.settings.policy;
        let options = self.context.options(entry);
        let comparison = compare(&was.root, &is, options, policy, kind);
        out.attribute_checks += u64::from(comparison.leaves);
        let keep = self.context.settings.tables.keep_states();
        Some((comparison, keep.then(|| is.to_json())))
    }
}

/// What no baseline declares and was seen with this very text.
fn is_known_unmanaged(entry: &Entry) -> bool {
    entry.baseline().is_none()
        && entry.verdict() == Some(Verdict::Unmanaged)
        && entry.reason().is_none()
}
