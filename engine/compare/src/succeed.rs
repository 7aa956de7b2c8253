//! A comparator takes over from another: baselines change, and what was known goes on.
//!
//! The successor is made beside the one in use, with the new baselines, and takes over between two
//! epochs. Each resource that was judged is judged against the new row without waiting for the next
//! observation: where the new row says what the old one said, everything stays; where the fingerprint
//! of what was last observed is that of the new row, it is in sync; where it is that of the old row, the
//! two rows are compared. What is left was last seen in a state that only the history holds: it is
//! [`Unsettled`] until [`Comparator::settle_with`] is given that state or there is none.
//!
//! Both comparators must have the same seed, keys and rules, or fingerprints would mean nothing; after
//! a change of rules ([`Rules::Changed`]) only what the history holds is judged again, and what was in sync
//! by a state that it does not hold is `stale`.

use std::collections::HashSet;
use std::sync::Arc;

use deployforge_canon::State;
use deployforge_model::{
    Dialect, Key128, ResourceKey, Timestamp, Transition, UnknownReason, Verdict,
};
use rayon::prelude::*;

use crate::across::Said;
use crate::comparator::{Comparator, SHARDS};
use crate::entry::{Entry, Identity, Unseen};
use crate::index::lock;
use crate::judge::{Seen, conclude, head, settle, state_hash, subject, told};
use crate::judgement::Judgement;
use crate::output::{Head, Output};
use crate::rows::BaselineRow;
use crate::shard::{BatchOrigin, Context, Settings, Shard, Tools};

/// Whether fingerprints of the one before mean the same to its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rules {
    /// Only baselines changed.
    Same,
    /// What a difference means changed: severities, weights, environments, what is ignored. What does not
    /// differ is in sync by them too.
    Meaning,
    /// What is a difference changed.
    Changed,
}

/// A resource that was judged, and whose last state is not at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    key128: Key128,
    /// The resource.
    pub key: ResourceKey,
    /// Keyed hash of its last state as it stands in the history; see [`state_hash`](crate::state_hash).
    pub state_hash: Option<Box<str>>,
}

/// What a succession came to.
#[derive(Debug, Default)]
pub struct Succession {
    /// Transitions of what could be judged.
    pub output: Output,
    /// What could not.
    pub unsettled: Vec<Unsettled>,
    /// Resources that were judged against another row than before.
    pub judged: u64,
}

impl Comparator {
    /// Takes over what `before` knows, and judges it against this one's baselines. Nothing may have been
    /// judged by this one yet.
    pub fn succeed(&mut self, before: Self, rules: Rules, origin: &BatchOrigin) -> Succession {
        let (old, shards) = self.take_over(before);
        let (context, tools, dialects) = (&self.context, &self.tools, &self.dialects);
        let done: Vec<Succession> = self
            .shards
            .par_iter_mut()
            .zip(shards)
            .map(|(shard, known)| {
                let mut tools = lock(tools);
                let mut done = Succession::default();
                let tools = &mut tools;
                let mut heir = Heir { context, old: &old, dialects, rules, origin, tools };
                for entry in known.into_entries() {
                    heir.inherit(shard, entry, &mut done);
                }
                done
            })
            .collect();
        let mut all = Succession::default();
        let mut outputs = Vec::with_capacity(done.len());
        for Succession { output, unsettled, judged } in done {
            outputs.push(output);
            all.unsettled.extend(unsettled);
            all.judged += judged;
        }
        all.output = self.gather(&[], outputs, origin);
        all
    }

    /// Settles what a succession left: `state` gives the last state of a resource as canonical JSON
    /// text. Where there is none, the verdict is `unknown` (`stale`) until the next observation.
    pub fn settle_with<'s>(
        &mut self,
        unsettled: &[Unsettled],
        state: &dyn Fn(&Unsettled) -> Option<&'s str>,
        origin: &BatchOrigin,
    ) -> Output {
        let mut out = Output::default();
        let mut tools = lock(&self.tools);
        for one in unsettled {
            let shard = &mut self.shards[one.key128.shard(SHARDS)];
            let at = shard.place(one.key128);
            let entry = shard.at_mut(at);
            let stale = Unseen::Unknown(UnknownReason::Stale);
            let judged = state(one).and_then(|text| {
                judge_text(&self.context, entry, one, text, origin, &mut tools, &mut out)
            });
            if judged.is_none() {
                conclude(&self.context, entry, origin, stale, &mut out);
            }
        }
        drop(tools);
        self.gather(&[], vec![out], origin)
    }
}

/// Judges a resource by a state of the history. `None`: it is not the last one, or cannot be compared.
fn judge_text(
    context: &Context,
    entry: &mut Entry,
    one: &Unsettled,
    text: &str,
    origin: &BatchOrigin,
    tools: &mut Tools,
    out: &mut Output,
) -> Option<()> {
    let row = context.row(entry)?;
    let (dialect, kind) = (row.dialect(), row.resource_type());
    let canon = &context.settings.canon;
    let across = entry.across().cloned();
    let seen = across.as_ref().map_or((dialect, kind), |of| (of.dialect, &*of.resource_type));
    let text = text.as_bytes();
    let observed = canon.stored_state(&mut tools.parser, seen.0, seen.1, text).ok()?.root;
    let expected = canon.stored_state(&mut tools.parser, dialect, kind, row.state()).ok()?.root;
    let declared = Said { dialect, resource_type: kind, state: &expected };
    let said = Said { dialect: seen.0, resource_type: seen.1, state: &observed };
    let comparison = context.compare_said(entry, declared, said)?;
    let subject = || subject(context, entry, row.parts(), row.address(), dialect);
    let judgement = Judgement::of(context, subject, kind, &comparison);
    entry.canonical = State { root: observed }.fingerprint(&context.seed);
    entry.set_settled(true);
    put(context, entry, row, judgement, one.state_hash.clone(), origin, out);
    Some(())
}

/// Settles an entry that a baseline row declares, as of when it was last observed.
fn put(
    context: &Context,
    entry: &mut Entry,
    row: BaselineRow<'_>,
    judgement: Judgement,
    state_hash: Option<Box<str>>,
    origin: &BatchOrigin,
    out: &mut Output,
) {
    let observed_at = entry.observed_at().unwrap_or(origin.ingested_at);
    let (key, address, dialect) = (row.parts(), row.address(), row.dialect());
    let head = head(context, entry, key, address, dialect, origin, observed_at);
    let seen = Seen { hash: state_hash, ..Seen::default() };
    settle(context, entry, &|_| head, judgement, seen, None, out);
}

/// One shard's heir.
struct Heir<'a> {
    context: &'a Context,
    old: &'a Context,
    /// The dialects that the new baselines speak.
    dialects: &'a HashSet<Dialect>,
    rules: Rules,
    origin: &'a BatchOrigin,
    tools: &'a mut Tools,
}

/// What is to be done with a resource.
enum Next {
    /// Its verdict stands.
    Stands,
    Judged(Judgement),
    Unseen(Unseen),
    /// Its last state is needed.
    Unsettled,
}

impl Heir<'_> {
    fn inherit(&mut self, shard: &mut Shard, known: Entry, done: &mut Succession) {
        // What was never observed has nothing to hand on but the fingerprints of its row. Findings whose
        // verdict a crash has cut off are open all the same.
        let observed = known.verdict().is_some() || known.observed_at().is_some();
        if !observed && known.findings().is_empty() {
            return;
        }
        let at = shard.place(known.key());
        let entry = shard.at_mut(at);
        // Most rows say what they said: nothing is parsed for them.
        let observed = if self.row_stands(entry, &known) { None } else { self.observed(&known) };
        let next = self.next(entry, &known, observed.as_ref().map(|(state, _)| state));
        let identity = self.identity(entry, &known);
        let state_hash = known.state_hash().map(Into::into);
        let (raw, canonical, key128) = (known.raw, known.canonical, known.key());
        let recalled = known.recalled();
        entry.succeed(known, identity);
        self.group(entry);
        let (context, origin) = (self.context, self.origin);
        let moved = self.moved(entry);
        let verdicts = done.output.verdict_transitions();
        done.judged += u64::from(moved || !matches!(next, Next::Stands));
        let state_hash = match observed {
            Some((_, text)) if !matches!(next, Next::Stands) && state_hash.is_none() => {
                remember(context, entry, text, origin, &mut done.output)
            }
            _ => state_hash,
        };
        match next {
            Next::Stands => {
                // By other rules it is read again when it is observed next.
                let anew = self.rules == Rules::Changed && entry.verdict() == Some(Verdict::InSync);
                (entry.raw, entry.canonical) = if anew { (0, 0) } else { (raw, canonical) };
                entry.set_recalled(recalled);
            }
            Next::Unseen(unseen) => conclude(context, entry, origin, unseen, &mut done.output),
            Next::Judged(judgement) => {
                (entry.raw, entry.canonical) = (raw, canonical);
                if let Some(row) = context.row(entry) {
                    put(context, entry, row, judgement, state_hash, origin, &mut done.output);
                } else {
                    put_undeclared(context, entry, judgement, origin, &mut done.output);
                }
            }
            Next::Unsettled => {
                (entry.raw, entry.canonical) = (0, 0);
                let key = context.row(entry).map(|row| row.key());
                done.unsettled.extend(key.map(|key| Unsettled { key128, key, state_hash }));
            }
        }
        if moved && done.output.verdict_transitions() == verdicts {
            put_moved(context, entry, origin, &mut done.output);
        }
    }

    /// Whether other rules put a resource into another environment.
    fn moved(&self, entry: &Entry) -> bool {
        if self.rules == Rules::Same || entry.verdict().is_none() {
            return false;
        }
        let identity = entry.identity().map(|of| of.key.parts());
        let parts = self.context.row(entry).map(|row| row.parts()).or(identity);
        parts.is_some_and(|[provider, account, region, ..]| {
            let [before, now] = [self.old, self.context]
                .map(|context| context.settings.policy.environment(provider, account, region));
            before != now
        })
    }

    /// Decides by rows and fingerprints, as far as they can tell.
    fn next(&mut self, entry: &Entry, known: &Entry, observed: Option<&State>) -> Next {
        let (now, before) = (self.context.row(entry), self.old.row(known));
        let now = match (now, known.verdict()) {
            (_, None) if known.observed_at().is_none() => return Next::Stands,
            (None, None) => return Next::Stands,
            (None, _) if before.is_none() => return self.still_undeclared(known),
            (Some(row), None | Some(Verdict::Missing)) if !row.is_deposed() => {
                return match known.verdict() {
                    // It was observed and is gone.
                    None => Next::Unseen(Unseen::Missing),
                    // Whether that counts, other rules may say otherwise.
                    _ if self.rules != Rules::Same => {
                        Next::Judged(Judgement::plain(Some(Verdict::Missing)))
                    }
                    _ => Next::Stands,
                };
            }
            (None, Some(Verdict::Missing)) => return Next::Unseen(Unseen::Gone),
            (None, _) => return Next::Judged(self.undeclared(known, before)),
            (Some(row), _) => row,
        };
        if self.row_stands(entry, known) {
            return Next::Stands;
        }
        if is_known(known, before) {
            return Next::Stands;
        }
        if let Some(reason) = not_comparable(entry, now, before, known) {
            return Next::Unseen(Unseen::Unknown(reason));
        }
        self.by_fingerprint(entry, known, now, observed)
    }

    /// Whether the new row says what the old one said of a resource that is judged by its state.
    fn row_stands(&self, entry: &Entry, known: &Entry) -> bool {
        let (Some(now), Some(before)) = (self.context.row(entry), self.old.row(known)) else {
            return false;
        };
        let gone = matches!(known.verdict(), None | Some(Verdict::Missing));
        (!gone || now.is_deposed())
            && self.rules == Rules::Same
            && same_row(before, now)
            && known.claimed_twice() == entry.claimed_twice()
            && self.old.mode(known) == self.context.mode(entry)
    }

    /// What was declared by none and is not now. Whether that makes it unmanaged, baselines decide.
    fn still_undeclared(&self, known: &Entry) -> Next {
        let judgement = match (known.verdict(), known.reason()) {
            (Some(Verdict::Unmanaged), _) | (_, Some(UnknownReason::Unmapped)) => {
                self.undeclared(known, None)
            }
            // It was read, so that it was a baseline that was not.
            (_, Some(UnknownReason::Unreadable)) if was_read(known) => self.undeclared(known, None),
            _ => return Next::Stands,
        };
        let same = (judgement.verdict, judgement.reason) == (known.verdict(), known.reason());
        if same && self.rules == Rules::Same { Next::Stands } else { Next::Judged(judgement) }
    }

    fn undeclared(&self, known: &Entry, before: Option<BaselineRow<'_>>) -> Judgement {
        let dialect = before.map(|row| row.dialect()).or(known.identity().map(|of| of.dialect));
        let speaks = |dialect| self.dialects.is_empty() || self.dialects.contains(&dialect);
        if before.is_some_and(|row| row.is_deposed())
            || known.reason() == Some(UnknownReason::Deposed)
        {
            Judgement::unknown(UnknownReason::Deposed)
        } else if dialect.is_some_and(|dialect| !speaks(dialect)) {
            Judgement::unknown(UnknownReason::Unmapped)
        } else if self.context.baselines.iter().any(|loaded| loaded.info.incomplete) {
            Judgement::unknown(UnknownReason::Unreadable)
        } else {
            Judgement { verdict: Some(Verdict::Unmanaged), ..Judgement::found(Vec::new(), 0.0) }
        }
    }

    /// What was last observed, if that is what the old row says: as a tree and as text.
    fn observed(&mut self, known: &Entry) -> Option<(State, String)> {
        let row = self.old.row(known)?;
        if known.canonical == 0 || self.rules != Rules::Same || known.verdict().is_none() {
            return None;
        }
        let Settings { canon, .. } = &self.context.settings;
        let (dialect, kind, text) = (row.dialect(), row.resource_type(), row.state());
        let parser = &mut self.tools.parser;
        let state = canon.stored_state(parser, dialect, kind, text).ok()?;
        let same = state.fingerprint(&self.context.seed) == known.canonical;
        let text = std::str::from_utf8(text).ok()?;
        same.then(|| (state, text.to_owned()))
    }

    fn by_fingerprint(
        &mut self,
        entry: &Entry,
        known: &Entry,
        now: BaselineRow<'_>,
        observed: Option<&State>,
    ) -> Next {
        // Fingerprints by other rules say nothing. What was seen as the baseline has it is in sync whatever
        // they are, and what was in sync otherwise is if they ask for no more than before.
        if self.rules != Rules::Same {
            let before = self.old.row(known).is_some_and(|before| same_row(before, now));
            let asked = self.rules == Rules::Changed && known.is_otherwise();
            let stands = before && known.state_hash().is_none() && !asked;
            return if stands { Next::Stands } else { Next::Unsettled };
        }
        if known.canonical == 0 {
            return Next::Unsettled;
        }
        if known.canonical == entry.canonical {
            return Next::Judged(Judgement::found(Vec::new(), 0.0));
        }
        let Some(observed) = observed else { return Next::Unsettled };
        let canon = &self.context.settings.canon;
        let (dialect, kind, text) = (now.dialect(), now.resource_type(), now.state());
        let Ok(expected) = canon.stored_state(&mut self.tools.parser, dialect, kind, text) else {
            return Next::Unsettled;
        };
        let (expected, observed) = (&expected.root, &observed.root);
        let comparison = self.context.compare(entry, (dialect, kind), expected, observed);
        let subject = || subject(self.context, entry, now.parts(), now.address(), dialect);
        Next::Judged(Judgement::of(self.context, subject, kind, &comparison))
    }

    /// Who a resource is that no baseline declares any more.
    fn identity(&self, entry: &Entry, known: &Entry) -> Option<Identity> {
        if entry.baseline().is_some() {
            return None;
        }
        let row = self.old.row(known)?;
        let (key, dialect) = (Arc::new(row.key()), row.dialect());
        Some(Identity { key, dialect, collection: row.collection().into() })
    }

    /// Where its checks are counted, which the short way does not ask again.
    fn group(&self, entry: &mut Entry) {
        let Some(Identity { key, .. }) = entry.identity().filter(|_| entry.baseline().is_none())
        else {
            return;
        };
        let ResourceKey { provider, account, region, resource_type, .. } = &**key;
        let environment = self.context.settings.policy.environment(provider, account, region);
        entry.group = self.context.groups.of(environment, provider, resource_type);
    }
}

/// Why what was seen last cannot be compared with a row, if it cannot.
fn not_comparable(
    entry: &Entry,
    now: BaselineRow<'_>,
    before: Option<BaselineRow<'_>>,
    known: &Entry,
) -> Option<UnknownReason> {
    let dialect = before.map(|row| row.dialect()).or(known.identity().map(|of| of.dialect));
    // What was observed in other words is held against them again when it is observed again.
    let dialect = dialect.filter(|_| known.across().is_none());
    let unmapped = known.reason() == Some(UnknownReason::Unmapped) && before.is_some();
    if let Some(reason) = now.unknown() {
        Some(reason)
    } else if unmapped || dialect.is_some_and(|dialect| dialect != now.dialect()) {
        Some(UnknownReason::Unmapped)
    } else if now.is_duplicate() || entry.claimed_twice() {
        Some(UnknownReason::Duplicate)
    } else {
        // Whatever else made it unknown, what was seen last is not what would be compared.
        (known.verdict() == Some(Verdict::Unknown)).then_some(UnknownReason::Stale)
    }
}

/// Whether two rows say the same of a resource.
fn same_row(a: BaselineRow<'_>, b: BaselineRow<'_>) -> bool {
    a.state() == b.state()
        && a.dialect() == b.dialect()
        && a.unknown() == b.unknown()
        && a.is_duplicate() == b.is_duplicate()
        && a.address() == b.address()
}

/// Whether a verdict depends on what was observed alone, whatever is declared.
fn is_known(known: &Entry, before: Option<BaselineRow<'_>>) -> bool {
    match known.reason() {
        Some(UnknownReason::Conflicting | UnknownReason::Stale) => true,
        // Of what nobody declared a baseline was unreadable, if its state was read.
        Some(UnknownReason::Unreadable) => before.is_some() || !was_read(known),
        _ => false,
    }
}

/// Whether the last state could be read: by its fingerprint, or, after a restart, by the hash that only
/// the verdict on a state that was read bears.
fn was_read(known: &Entry) -> bool {
    known.canonical != 0 || (known.raw == 0 && known.state_hash().is_some())
}

/// Keeps a state that so far was known by its baseline alone, so that the history can tell it from now
/// on; its hash.
fn remember(
    context: &Context,
    entry: &mut Entry,
    text: String,
    origin: &BatchOrigin,
    out: &mut Output,
) -> Option<Box<str>> {
    let tables = context.settings.tables;
    if !tables.keep_states() {
        return None;
    }
    let hash = state_hash(&context.settings.hash_key, text.as_bytes());
    let at = entry.observed_at().unwrap_or(origin.ingested_at);
    let identity = entry.identity().map(|of| (Arc::clone(&of.key), of.dialect));
    let head = head_of(context, entry, identity.as_ref(), origin, at)?;
    if tables.observations {
        out.put_state(&head, entry.version(), Some(text));
    }
    entry.detail().state_hash = Some(hash.clone());
    Some(hash)
}

/// What a row says of a resource, by its baseline's row or by who it is.
fn head_of<'h>(
    context: &'h Context,
    entry: &Entry,
    identity: Option<&'h (Arc<ResourceKey>, Dialect)>,
    origin: &'h BatchOrigin,
    observed_at: Timestamp,
) -> Option<Head<'h>> {
    let (key, address, dialect) = match (context.row(entry), identity) {
        (Some(row), _) => (row.parts(), row.address(), row.dialect()),
        (None, Some((key, dialect))) => (key.parts(), None, *dialect),
        (None, None) => return None,
    };
    Some(head(context, entry, key, address, dialect, origin, observed_at))
}

/// Says again what is known of a resource that is in another environment now.
fn put_moved(context: &Context, entry: &Entry, origin: &BatchOrigin, out: &mut Output) {
    let observed_at = entry.observed_at().unwrap_or(origin.ingested_at);
    let identity = entry.identity().map(|of| (Arc::clone(&of.key), of.dialect));
    let Some(head) = head_of(context, entry, identity.as_ref(), origin, observed_at) else {
        return;
    };
    let open = entry.findings().iter().filter(|finding| finding.counts());
    out.put_findings(&head, open.map(|finding| (Transition::Changed, finding)));
    if context.settings.tables.verdicts {
        out.put_verdict(&head, told(context, entry, entry.version()), entry.told_hash());
    }
}

/// Settles a resource that no baseline declares.
fn put_undeclared(
    context: &Context,
    entry: &mut Entry,
    judgement: Judgement,
    origin: &BatchOrigin,
    out: &mut Output,
) {
    let Some(Identity { key, dialect, .. }) = entry.identity() else { return };
    let (key, dialect) = (Arc::clone(key), *dialect);
    let observed_at = entry.observed_at().unwrap_or(origin.ingested_at);
    let head = head(context, entry, key.parts(), None, dialect, origin, observed_at);
    let seen = Seen { hash: entry.state_hash().map(Into::into), ..Seen::default() };
    settle(context, entry, &|_| head, judgement, seen, None, out);
}
