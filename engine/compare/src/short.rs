//! The short way: rows of a frame about resources that a baseline plainly declares.
//!
//! [`Short::settles`] compares fingerprints of raw text (level 0); [`Short::differs`] takes what was
//! [prepared](crate::prepare) of a row, compares canonical fingerprints (level 1), and else settles what
//! the comparison of attributes found (level 2). Either may say that it cannot tell, whereupon the
//! row is judged at length: from the frame where its claim holds, and else as the parser reads the record.

use deployforge_model::{Frame, Timestamp, Verdict};

use crate::entry::Entry;
use crate::judge::{Seen, head, settle, state_hash, told};
use crate::order::{Order, latest, order};
use crate::output::{Head, Output};
use crate::prepare::{Change, Compared, Known, Prepare, Prepared, key};
use crate::route::Routed;
use crate::rows::BaselineRow;
use crate::shard::{BatchOrigin, Context, Shard, Tools};

/// What the short way knows of a frame.
pub(crate) struct Short<'a> {
    context: &'a Context,
    frame: &'a Frame,
    origin: &'a BatchOrigin,
    sequence: u32,
    /// Number of the frame's segment in the epoch.
    segment: u32,
}

impl<'a> Short<'a> {
    pub(crate) fn new(
        context: &'a Context,
        frame: &'a Frame,
        origin: &'a BatchOrigin,
        sequence: u32,
        segment: u32,
    ) -> Self {
        Self { context, frame, origin, sequence, segment }
    }

    /// Level 0: the raw text is that of the last observation, or of the baseline.
    #[inline]
    pub(crate) fn settles(
        &self,
        shard: &mut Shard,
        routed: &Routed,
        prepared: &Prepared,
        out: &mut Output,
    ) -> bool {
        let Some(at) = shard.place_of(routed) else { return false };
        let entry = shard.at_mut(at);
        if entry.raw != routed.raw || !self.context.settings.levels.fingerprint {
            return false;
        }
        if !(entry.is_plain(self.frame.dialect) || is_known_unmanaged(entry)) {
            return false;
        }
        let verdict = prepared.verdict_of(routed).filter(|_| entry.is_untouched());
        if !self.take_note(entry, routed, out) {
            return true;
        }
        out.levels.fingerprint += 1;
        self.agree(entry, routed, verdict, out);
        true
    }

    /// Takes note of a newer observation of the same content. `false`: it was counted already, as late
    /// or as one more of the same moment.
    #[inline]
    fn take_note(&self, entry: &mut Entry, routed: &Routed, out: &mut Output) -> bool {
        let (version, observed_at) = self.when(routed);
        out.observations += 1;
        entry.seen = self.sequence;
        out.strayed += u64::from(entry.belongs(self.origin.owner));
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

    /// The content is that of the last judgement, or, before any, of the baseline. `prepared`: where the
    /// verdict on it stands, if it was prepared and holds.
    #[inline]
    fn agree(&self, entry: &mut Entry, routed: &Routed, prepared: Option<u32>, out: &mut Output) {
        let first = entry.verdict().is_none() && entry.settle_in_sync();
        if first && self.context.settings.tables.verdicts {
            if let Some(at) = prepared {
                out.accepted.verdicts.push((self.segment, at, 1));
            } else if let Some(expected) = self.context.row(entry) {
                let key = key(self.frame, routed.row as usize, entry, expected);
                let head = self.head(entry, expected, key);
                out.put_verdict(&head, told(self.context, entry, entry.version()), None);
            }
        }
        out.counts(entry.group).count(entry.verdict());
    }

    fn head<'h>(&'h self, entry: &Entry, row: BaselineRow<'h>, parts: [&'h str; 5]) -> Head<'h> {
        let observed_at = entry.observed_at().unwrap_or(self.origin.ingested_at);
        let dialect = self.frame.dialect;
        head(self.context, entry, parts, row.address(), dialect, self.origin, observed_at)
    }

    /// Levels 1 and 2. `false`: the row has to be judged at length.
    pub(crate) fn differs(
        &self,
        shard: &mut Shard,
        routed: &Routed,
        prepared: &Prepared,
        tools: &mut Tools,
        out: &mut Output,
    ) -> bool {
        let Some(at) = shard.place_of(routed) else { return false };
        let (version, observed_at) = self.when(routed);
        let row = routed.row as usize;
        let entry = shard.at(at);
        if !entry.is_plain(self.frame.dialect)
            || !matches!(order(entry, version, observed_at), Order::Newer)
        {
            return false;
        }
        let levels = self.context.settings.levels;
        let known = match prepared.take(routed) {
            Known::Unreadable => return false,
            // What an earlier row of the epoch said made it look another way.
            Known::Change(Change { canonical, compared: None })
                if canonical != entry.canonical || !levels.canonical =>
            {
                None
            }
            Known::Change(change) => Some(change),
            Known::Nothing => None,
        };
        let prepare = Prepare { context: self.context, frame: self.frame };
        let change = known.or_else(|| prepare.change(shard, entry, row, tools));
        let Some(Change { canonical, compared }) = change else { return false };
        let entry = shard.at_mut(at);
        // What an earlier row of the epoch put out has to stand before what this one does.
        let first = entry.seen != self.sequence;
        let verdict = prepared.verdict_of(routed).filter(|_| entry.is_untouched());
        self.take_note(entry, routed, out);
        entry.raw = routed.raw;
        match compared {
            Some(compared) if canonical != entry.canonical || !levels.canonical => {
                entry.canonical = canonical;
                out.levels.compared += 1;
                out.attribute_checks += compared.checks;
                out.collisions += u64::from(compared.collision);
                let rows = compared.rows.filter(|_| first);
                self.settle(entry, row, Compared { rows, ..compared }, out);
            }
            _ => {
                out.levels.canonical += 1;
                self.agree(entry, routed, verdict, out);
            }
        }
        true
    }

    fn settle(&self, entry: &mut Entry, row: usize, compared: Compared, out: &mut Output) {
        let context = self.context;
        let Some(expected) = context.row(entry) else { return };
        let head =
            |entry: &Entry| self.head(entry, expected, key(self.frame, row, entry, expected));
        let Compared { judgement, same, state, rows, .. } = compared;
        let differs = judgement.verdict != Some(Verdict::InSync) || !judgement.findings.is_empty();
        let version = self.frame.version(row);
        let mut seen = Seen { version, otherwise: !(differs || same), ..Seen::default() };
        if let Some(text) = state {
            let digest = state_hash(&context.settings.hash_key, text.as_bytes());
            let known = entry.detail.as_ref().and_then(|detail| detail.state_hash.as_ref());
            let keeps = differs || known.is_some();
            seen.new = keeps && known != Some(&digest);
            if seen.new && context.settings.tables.observations {
                out.put_state(&head(entry), version, Some(text));
            }
            if keeps {
                entry.detail().state_hash = Some(digest.clone());
                seen.hash = Some(digest);
            }
        }
        let prepared = rows.map(|(first, length)| (self.segment, first, length));
        settle(context, entry, &head, judgement, seen, prepared, out);
        out.counts(entry.group).count(entry.verdict());
    }
}

/// What no baseline declares and was seen with this very text.
fn is_known_unmanaged(entry: &Entry) -> bool {
    entry.baseline().is_none()
        && entry.verdict() == Some(Verdict::Unmanaged)
        && entry.reason().is_none()
}
