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
//! a change of rules ([`Rules::Changed`]) only what the history holds is judged again.

use std::sync::Arc;

use deployforge_model::{Key128, ResourceKey, UnknownReason, Verdict};
use rayon::prelude::*;

use crate::comparator::{Comparator, SHARDS};
use crate::diff::compare;
use crate::entry::{Entry, Identity, Unseen};
use crate::index::lock;
use crate::judge::{Judgement, conclude, head, settle};
use crate::output::Output;
use crate::rows::BaselineRow;
use crate::shard::{BatchOrigin, Context, Settings, Shard, Tools};

/// Whether fingerprints of the one before mean the same to its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Only baselines changed.
    Same,
    /// What counts as equal changed.
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
        let (context, tools) = (&self.context, &self.tools);
        let done: Vec<Succession> = self
            .shards
            .par_iter_mut()
            .zip(shards)
            .map(|(shard, known)| {
                let mut tools = lock(tools);
                let mut done = Succession::default();
                let mut heir = Heir { context, old: &old, rules, origin, tools: &mut tools };
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
    let observed = canon.stored_state(&mut tools.parser, dialect, kind, text.as_bytes()).ok()?.root;
    let expected = canon.stored_state(&mut tools.parser, dialect, kind, row.state()).ok()?.root;
    let (options, policy) = (context.options(entry), &context.settings.policy);
    let judgement =
        Judgement::of(context, kind, compare(&expected, &observed, options, policy, kind));
    entry.canonical = deployforge_canon::State { root: observed }.fingerprint(&context.seed);
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
    settle(context, entry, &|_| head, judgement, (None, state_hash, false), None, out);
}

/// One shard's heir.
struct Heir<'a> {
    context: &'a Context,
    old: &'a Context,
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
        // What was never observed has nothing to hand on but the fingerprints of its row.
        if known.verdict().is_none() && known.observed_at().is_none() {
            return;
        }
        let at = shard.place(known.key());
        let entry = shard.at_mut(at);
        let next = self.next(entry, &known);
        let identity = self.identity(entry, &known);
        let state_hash = known.detail.as_ref().and_then(|detail| detail.state_hash.clone());
        let (raw, canonical, key128) = (known.raw, known.canonical, known.key());
        let recalled = known.recalled();
        entry.succeed(known, identity);
        self.group(entry);
        let (context, origin) = (self.context, self.origin);
        done.judged += u64::from(!matches!(next, Next::Stands));
        match next {
            Next::Stands => {
                (entry.raw, entry.canonical) = (raw, canonical);
                entry.set_recalled(recalled);
            }
            Next::Unseen(unseen) => conclude(context, entry, origin, unseen, &mut done.output),
            Next::Judged(judgement) => {
                (entry.raw, entry.canonical) = (raw, canonical);
                if let Some(row) = context.row(entry) {
                    put(context, entry, row, judgement, state_hash, origin, &mut done.output);
                } else {
                    conclude_unmanaged(context, entry, judgement, origin, &mut done.output);
                    (entry.raw, entry.canonical) = (raw, canonical);
                }
            }
            Next::Unsettled => {
                (entry.raw, entry.canonical) = (0, 0);
                let key = context.row(entry).map(|row| row.key());
                done.unsettled.extend(key.map(|key| Unsettled { key128, key, state_hash }));
            }
        }
    }

    /// Decides by rows and fingerprints, as far as they can tell.
    fn next(&mut self, entry: &Entry, known: &Entry) -> Next {
        let (now, before) = (self.context.row(entry), self.old.row(known));
        let now = match (now, known.verdict()) {
            (None, None) => return Next::Stands,
            (Some(row), None | Some(Verdict::Missing)) if !row.is_deposed() => {
                return match known.verdict() {
                    // It was observed and is gone.
                    None => Next::Unseen(Unseen::Missing),
                    _ => Next::Stands,
                };
            }
            (None, Some(Verdict::Missing)) => return Next::Unseen(Unseen::Gone),
            (None, _) if before.is_none() => return Next::Stands,
            (None, _) => return Next::Judged(self.undeclared()),
            (Some(row), _) => row,
        };
        if let Some(before) = before
            && self.rules == Rules::Same
            && same_row(before, now)
            && known.claimed_twice() == entry.claimed_twice()
            && self.old.options(known) == self.context.options(entry)
        {
            return Next::Stands;
        }
        if matches!(
            known.reason(),
            Some(UnknownReason::Conflicting | UnknownReason::Unreadable | UnknownReason::Stale)
        ) {
            return Next::Stands;
        }
        if let Some(reason) = not_comparable(entry, now, before, known) {
            return Next::Unseen(Unseen::Unknown(reason));
        }
        self.by_fingerprint(entry, known, now, before)
    }

    fn undeclared(&self) -> Judgement {
        if self.context.baselines.iter().any(|loaded| loaded.info.incomplete) {
            Judgement::unknown(UnknownReason::Unreadable)
        } else {
            Judgement { verdict: Some(Verdict::Unmanaged), ..Judgement::found(Vec::new(), 0.0) }
        }
    }

    fn by_fingerprint(
        &mut self,
        entry: &Entry,
        known: &Entry,
        now: BaselineRow<'_>,
        before: Option<BaselineRow<'_>>,
    ) -> Next {
        // What was never known to the full cannot be judged now.
        if self.rules == Rules::Changed || known.canonical == 0 {
            let held = known.detail.as_ref().is_some_and(|detail| detail.state_hash.is_some());
            let stands = self.rules == Rules::Changed && !held;
            return if stands { Next::Stands } else { Next::Unsettled };
        }
        if known.canonical == entry.canonical {
            return Next::Judged(Judgement::found(Vec::new(), 0.0));
        }
        let Some(before) = before else { return Next::Unsettled };
        let Settings { canon, policy, .. } = &self.context.settings;
        let (dialect, kind) = (now.dialect(), now.resource_type());
        let mut read = |text| canon.stored_state(&mut self.tools.parser, dialect, kind, text).ok();
        let Some(observed) = read(before.state()) else { return Next::Unsettled };
        if observed.fingerprint(&self.context.seed) != known.canonical {
            return Next::Unsettled;
        }
        let Some(expected) = read(now.state()) else { return Next::Unsettled };
        let options = self.context.options(entry);
        let comparison = compare(&expected.root, &observed.root, options, policy, kind);
        Next::Judged(Judgement::of(self.context, kind, comparison))
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
    let unmapped = known.reason() == Some(UnknownReason::Unmapped) && before.is_some();
    if now.is_deposed() {
        Some(UnknownReason::Deposed)
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
        && a.is_deposed() == b.is_deposed()
        && a.is_duplicate() == b.is_duplicate()
        && a.address() == b.address()
}

/// Settles a resource that no baseline declares any more.
fn conclude_unmanaged(
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
    settle(context, entry, &|_| head, judgement, (None, None, false), None, out);
}
