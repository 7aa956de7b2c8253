//! How one observation is judged: order, the three levels of check, transitions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::across::Said;
use crate::claim::Claim;
use crate::entry::{Across, Entry, Identity, Owner, Unseen};
use crate::findings::OpenFinding;
use crate::judgement::Judgement;
use crate::order::{Order, latest, order};
use crate::output::{Head, Output, RejectRow, Subject};
use crate::rows::BaselineRow;
use crate::shard::{BatchOrigin, Context, Settings};
use crate::verdicts::Told;
use deployforge_canon::{CanonError, Node, Parser, State};
use deployforge_model::{
    Dialect, ObservationRow, Presence, ResourceKey, Timestamp, Transition, UnknownReason, Verdict,
};

/// The hash under which the history knows a state, given as canonical JSON text.
pub fn state_hash(key: &[u8; 32], text: &[u8]) -> Box<str> {
    blake3::keyed_hash(key, text).to_hex()[..32].into()
}

/// What is told of an observed state besides what it is judged to be.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) version: Option<u64>,
    /// Under which the history holds it.
    pub(crate) hash: Option<Box<str>>,
    /// The history holds it from now on.
    pub(crate) new: bool,
    /// It is not the baseline's, in sync or not.
    pub(crate) otherwise: bool,
}

/// Everything at hand while one observation is judged.
pub(crate) struct Judge<'a, 'b> {
    pub(crate) context: &'a Context,
    pub(crate) observation: ObservationRow<'b>,
    /// Where it stands in a frame, if its text was scanned and not parsed.
    pub(crate) claim: Option<Claim<'b>>,
    pub(crate) origin: &'a BatchOrigin,
    pub(crate) entry: &'a mut Entry,
    pub(crate) parser: &'a mut Parser,
    pub(crate) out: &'a mut Output,
}

impl<'a, 'b> Judge<'a, 'b> {
    /// Judges the observation and puts out what changed.
    ///
    /// `raw` is the fingerprint of the text it was read from.
    pub(crate) fn observe(&mut self, unmapped: bool, raw: u64) {
        let latest = latest(self.origin);
        let observed_at = self.observation.observed_at.min(latest);
        match order(self.entry, self.observation.version, observed_at) {
            // A clock that runs ahead tells nothing about order: what comes later counts.
            Order::Same if observed_at == latest => {}
            // Nor does one that the source did not name: the order in which they came does.
            Order::Same if !self.observation.timed => {}
            Order::Older => return self.count_late(),
            Order::Same if self.entry.raw == raw => {
                self.out.levels.fingerprint += 1;
                return self.count();
            }
            // Deleted at this very moment: whatever else claims it is late.
            Order::Same if self.deleted_now() => return self.count_late(),
            // Two observations claim the same moment. If their content differs, neither is more
            // right than the other.
            Order::Same => match self.same_content() {
                Ok(true) => {}
                Ok(false) => return self.contradicted(raw),
                Err(error) => {
                    self.entry.raw = raw;
                    return self.refuse(&error);
                }
            },
            Order::Newer => {}
        }
        if self.entry.reason() == Some(UnknownReason::Conflicting) {
            self.entry.raw = 0;
            self.entry.canonical = 0;
        }
        self.entry.set_recalled(false);
        self.entry.set_version(self.observation.version.or(self.entry.version()));
        self.entry.set_observed_at(Some(observed_at));
        self.remember_identity();
        if self.observation.presence == Presence::Deleted {
            return self.deleted(raw);
        }
        if let Some(judgement) = self.not_comparable(unmapped) {
            // What can be compared again is judged afresh, even if it is the state from before.
            (self.entry.raw, self.entry.canonical) = (0, 0);
            return self.settle(judgement, None, false);
        }
        self.judge_present(raw);
    }

    fn deleted_now(&self) -> bool {
        self.observation.presence != Presence::Deleted
            && self.entry.raw != 0
            && self.entry.canonical == 0
            && matches!(self.entry.verdict(), None | Some(Verdict::Missing))
    }

    fn contradicted(&mut self, raw: u64) {
        self.entry.raw = raw;
        self.entry.canonical = 0;
        self.settle(Judgement::unknown(UnknownReason::Conflicting), None, false);
    }

    /// Whether the canonical content equals what was judged last, as far as that is known: in this
    /// process by its fingerprint, after a restart by its hash, or by the baseline where it was in
    /// sync. Where nothing is known of it, it is taken as equal and judged.
    fn same_content(&mut self) -> Result<bool, CanonError> {
        if self.entry.reason() == Some(UnknownReason::Conflicting) {
            return Ok(!self.entry.recalled() && self.entry.raw == 0);
        }
        if self.observation.presence != Presence::Present {
            return Ok(true);
        }
        if self.entry.canonical != 0 {
            let state = self.state()?;
            return Ok(state.fingerprint(&self.context.seed) == self.entry.canonical);
        }
        if !self.entry.recalled() && self.entry.raw == 0 {
            return Ok(true);
        }
        let known = self.entry.detail.as_ref().and_then(|detail| detail.state_hash.clone());
        if let Some(known) = known {
            let text = self.state()?.root.to_json();
            return Ok(*self.hash(&text) == *known);
        }
        if self.entry.verdict() != Some(Verdict::InSync) || self.entry.is_otherwise() {
            return Ok(true);
        }
        let state = self.state()?;
        Ok(self.expected().is_none_or(|expected| expected.is_ok_and(|root| root == state.root)))
    }

    /// The keyed hash that stands for a state in the history.
    fn hash(&self, text: &str) -> Box<str> {
        state_hash(&self.context.settings.hash_key, text.as_bytes())
    }

    fn state(&mut self) -> Result<State, CanonError> {
        if let Some(claim) = &self.claim {
            return claim.state(&self.context.settings.canon, self.parser);
        }
        if self.origin.stored {
            let ObservationRow { dialect, resource_type, state, .. } = self.observation;
            return self.context.settings.canon.stored_state(
                self.parser,
                dialect,
                resource_type,
                state,
            );
        }
        self.context.settings.canon.state(
            self.parser,
            self.observation.dialect,
            self.observation.resource_type,
            self.observation.state,
            self.observation.sensitive(),
        )
    }

    fn remember_identity(&mut self) {
        if self.entry.baseline().is_none() {
            let observation = &self.observation;
            let collection = observation.collection.unwrap_or_default();
            let detail = self.entry.detail();
            if detail.identity.as_ref().is_none_or(|known| *known.collection != *collection) {
                detail.identity = Some(Identity {
                    key: Arc::new(observation.key()),
                    dialect: observation.dialect,
                    collection: collection.into(),
                });
            }
        }
    }

    fn baseline_row(&self) -> Option<BaselineRow<'a>> {
        let context: &'a Context = self.context;
        context.row(self.entry)
    }

    fn deleted(&mut self, raw: u64) {
        self.entry.raw = raw;
        let verdict = match self.baseline_row() {
            Some(row) if !row.is_deposed() => Some(Verdict::Missing),
            _ => None,
        };
        let existed = !matches!(self.entry.verdict(), None | Some(Verdict::Missing));
        if self.context.settings.tables.observations && existed {
            self.put_state(None);
        }
        if let Some(detail) = &mut self.entry.detail {
            detail.state_hash = None;
        }
        self.entry.canonical = 0;
        self.settle(Judgement::plain(verdict), None, false);
    }

    /// A verdict that needs no look at the state.
    fn not_comparable(&self, unmapped: bool) -> Option<Judgement> {
        let unread = self.observation.presence.unknown();
        let Some(row) = self.baseline_row() else {
            let reason = unread.or(unmapped.then_some(UnknownReason::Unmapped));
            return reason.map(Judgement::unknown);
        };
        let reason = if let Some(reason) = unread.or(row.unknown()) {
            reason
        } else if unmapped || !self.is_of_kind(row) {
            UnknownReason::Unmapped
        } else if row.is_duplicate() || self.entry.claimed_twice() {
            UnknownReason::Duplicate
        } else {
            return None;
        };
        Some(Judgement::unknown(reason))
    }

    /// Whether the observation is of the row's dialect, or a map joins the two.
    fn is_of_kind(&self, row: BaselineRow<'_>) -> bool {
        let ObservationRow { dialect, resource_type, .. } = self.observation;
        row.dialect() == dialect
            || self
                .context
                .settings
                .maps
                .are_one((row.dialect(), row.resource_type()), (dialect, resource_type))
    }

    fn judge_present(&mut self, raw: u64) {
        // Before the first verdict these are the baseline's own fingerprints.
        let unjudged = self.entry.verdict().is_none();
        let declared = self.entry.baseline().is_some();
        if self.entry.raw == raw
            && self.context.settings.levels.fingerprint
            && (declared || !unjudged)
        {
            self.out.levels.fingerprint += 1;
            if unjudged {
                return self.settle(Judgement::plain(Some(Verdict::InSync)), None, false);
            }
            return self.count();
        }
        self.entry.raw = raw;
        let (canonical, state) = match self.read() {
            Ok(read) => read,
            Err(error) => return self.refuse(&error),
        };
        if self.entry.canonical == canonical
            && self.context.settings.levels.canonical
            && (declared || !unjudged)
        {
            self.out.levels.canonical += 1;
            if unjudged {
                return self.settle(Judgement::plain(Some(Verdict::InSync)), None, false);
            }
            return self.count();
        }
        self.entry.canonical = canonical;
        let mut same = false;
        let judgement = match (self.expected(), &state) {
            // A baseline that could not be read whole may declare it all the same.
            (None, _) if self.context.baselines.iter().any(|loaded| loaded.info.incomplete) => {
                Judgement::unknown(UnknownReason::Unreadable)
            }
            (None, _) => Judgement::plain(Some(Verdict::Unmanaged)),
            (Some(Ok(expected)), Some(state)) => {
                self.out.levels.compared += 1;
                same = expected == state.root;
                self.compared(&expected, &state.root)
            }
            (Some(_), _) => Judgement::unknown(UnknownReason::Unreadable),
        };
        let differs = judgement.verdict != Some(Verdict::InSync) || !judgement.findings.is_empty();
        let text = self.kept(state.as_ref()).map(|text| (text, differs));
        self.settle(judgement, text, !(differs || same));
    }

    /// The canonical fingerprint of the state, and its tree, unless there is nothing to compare it with
    /// and the fingerprint is known.
    fn read(&mut self) -> Result<(u64, Option<State>), CanonError> {
        match &self.claim {
            Some(claim) if self.entry.baseline().is_none() => Ok((claim.canonical, None)),
            _ => {
                let state = self.state()?;
                Ok((state.fingerprint(&self.context.seed), Some(state)))
            }
        }
    }

    /// The canonical text of the state, if it is kept.
    fn kept(&mut self, state: Option<&State>) -> Option<String> {
        let Settings { tables, canon, .. } = &self.context.settings;
        match (tables.keep_states(), state, &self.claim) {
            (false, ..) | (true, None, None) => None,
            (true, Some(state), _) => Some(state.root.to_json()),
            (true, None, Some(claim)) => claim.text(canon, &self.context.seed, self.parser),
        }
    }

    fn expected(&mut self) -> Option<Result<Node, CanonError>> {
        let (baseline, row) = self.entry.baseline()?;
        let row = self.context.baselines[usize::from(baseline)].rows.row(row as usize);
        let state = self.context.settings.canon.stored_state(
            self.parser,
            row.dialect(),
            row.resource_type(),
            row.state(),
        );
        Some(state.map(|state| state.root))
    }

    /// Compares with what is declared, and takes note where that is in other words.
    fn compared(&mut self, expected: &Node, observed: &Node) -> Judgement {
        let ObservationRow { dialect, resource_type, .. } = self.observation;
        let row = self.baseline_row();
        let of = row.map_or((dialect, resource_type), |row| (row.dialect(), row.resource_type()));
        let across =
            (of.0 != dialect).then(|| Across { dialect, resource_type: resource_type.into() });
        self.entry.set_across(across);
        let expected = Said { dialect: of.0, resource_type: of.1, state: expected };
        let observed = Said { dialect, resource_type, state: observed };
        match self.context.compare_said(self.entry, expected, observed) {
            Some(comparison) => {
                let identity = self.identity();
                let subject = || self.head(identity.as_deref()).subject;
                Judgement::of(self.context, subject, of.1, &comparison)
            }
            None => Judgement::unknown(UnknownReason::Unmapped),
        }
    }

    /// The state has no canonical form: kept as a reject, and the resource is `unknown`.
    fn refuse(&mut self, error: &CanonError) {
        let observation = &self.observation;
        self.out.rejects.push(RejectRow::of_state(
            error,
            &observation.key(),
            observation.state,
            (Arc::clone(&self.origin.file), observation.position, self.origin.ingested_at),
        ));
        self.entry.canonical = 0;
        self.settle(Judgement::unknown(UnknownReason::Unreadable), None, false);
    }

    /// What every row about the entry shares. `identity` is that of an entry which no baseline row
    /// holds.
    fn head<'h>(&self, identity: Option<&'h ResourceKey>) -> Head<'h>
    where
        'a: 'h,
        'b: 'h,
    {
        let row = self.baseline_row();
        let observation = &self.observation;
        let key = match (row, identity) {
            (Some(row), _) => row.parts(),
            (None, Some(key)) => key.parts(),
            (None, None) => observation.parts(),
        };
        let address = row.and_then(|row| row.address()).or(observation.address);
        let observed_at = self.entry.observed_at().unwrap_or(observation.observed_at);
        head(self.context, self.entry, key, address, observation.dialect, self.origin, observed_at)
    }

    fn identity(&self) -> Option<Arc<ResourceKey>> {
        let identity = self.entry.detail.as_ref()?.identity.as_ref()?;
        Some(Arc::clone(&identity.key))
    }

    /// `otherwise`: it is in sync by a state that is not the baseline's.
    fn settle(&mut self, judgement: Judgement, state: Option<(String, bool)>, otherwise: bool) {
        let version = self.observation.version;
        let mut seen = Seen { version, otherwise, ..Seen::default() };
        if let Some((text, differs)) = state {
            let digest = self.hash(&text);
            let known = self.entry.detail.as_ref().and_then(|detail| detail.state_hash.clone());
            seen.new = (differs || known.is_some()) && known.as_ref() != Some(&digest);
            if seen.new && self.context.settings.tables.observations {
                self.put_state(Some(text));
            }
            if differs || known.is_some() {
                self.entry.detail().state_hash = Some(digest.clone());
                seen.hash = Some(digest);
            }
        }
        let identity = self.identity();
        let head = self.head(identity.as_deref());
        settle(self.context, self.entry, &|_| head, judgement, seen, None, self.out);
        self.count();
    }

    fn put_state(&mut self, state: Option<String>) {
        let identity = self.identity();
        let head = self.head(identity.as_deref());
        self.out.put_state(&head, self.observation.version, state);
    }

    /// Where the checks of this resource are counted.
    fn group(&mut self) -> u16 {
        if self.entry.group == u16::MAX {
            let ObservationRow { provider, account, region, resource_type, .. } = self.observation;
            let environment = self.context.settings.policy.environment(provider, account, region);
            self.entry.group = self.context.groups.of(environment, provider, resource_type);
        }
        self.entry.group
    }

    fn count(&mut self) {
        let group = self.group();
        self.out.counts(group).count(self.entry.verdict());
    }

    fn count_late(&mut self) {
        let group = self.group();
        self.out.counts(group).late += 1;
    }
}

pub(crate) fn head<'h>(
    context: &'h Context,
    entry: &Entry,
    key: [&'h str; 5],
    address: Option<&'h str>,
    dialect: Dialect,
    origin: &'h BatchOrigin,
    observed_at: Timestamp,
) -> Head<'h> {
    Head {
        subject: subject(context, entry, key, address, dialect),
        source: &origin.source,
        observed_at,
        ingested_at: origin.ingested_at,
    }
}

pub(crate) fn subject<'h>(
    context: &'h Context,
    entry: &Entry,
    key: [&'h str; 5],
    address: Option<&'h str>,
    dialect: Dialect,
) -> Subject<'h> {
    let [provider, account, region, ..] = key;
    let baseline = entry.baseline().map(|(baseline, _)| &context.baselines[usize::from(baseline)]);
    Subject {
        key,
        address,
        environment: context.settings.policy.environment(provider, account, region),
        dialect,
        baseline: baseline.map(|loaded| (&loaded.name, loaded.info.version)),
    }
}

/// Settles an entry that a finished sweep did not list.
pub(crate) fn conclude(
    context: &Context,
    entry: &mut Entry,
    origin: &BatchOrigin,
    unseen: Unseen,
    out: &mut Output,
) {
    let judgement = match unseen {
        Unseen::Missing => Judgement::plain(Some(Verdict::Missing)),
        Unseen::Gone => Judgement::plain(None),
        Unseen::Unknown(reason) => Judgement::unknown(reason),
    };
    // The next observation is judged afresh, even if it is the one from before.
    entry.raw = 0;
    entry.canonical = 0;
    entry.set_settled(true);
    if entry.owner == Owner::NONE {
        entry.owner = origin.owner;
    }
    let now = origin.ingested_at;
    if let Some(row) = context.row(entry) {
        let (key, address) = (row.parts(), row.address());
        let head = head(context, entry, key, address, row.dialect(), origin, now);
        settle(context, entry, &|_| head, judgement, Seen::default(), None, out);
    } else if let Some(Identity { key, dialect, .. }) =
        entry.detail.as_ref().and_then(|detail| detail.identity.as_ref())
    {
        let (key, dialect) = (Arc::clone(key), *dialect);
        let head = head(context, entry, key.parts(), None, dialect, origin, now);
        settle(context, entry, &|_| head, judgement, Seen::default(), None, out);
    }
}

/// Compares a judgement with what was known, puts out the transitions, and remembers. `prepared`: where
/// all findings stand as opened already; that holds if none was open. `head` is asked for only where
/// something is put out.
pub(crate) fn settle<'h>(
    context: &Context,
    entry: &mut Entry,
    head: &dyn Fn(&Entry) -> Head<'h>,
    judgement: Judgement,
    seen: Seen,
    prepared: Option<(u32, u32, u32)>,
    out: &mut Output,
) {
    let judgement = judgement.excused(context, entry, || head(entry).subject);
    match prepared {
        Some(rows) if entry.findings().is_empty() => out.accepted.findings.push(rows),
        _ => put_transitions(entry, head, &judgement.findings, out),
    }
    let Judgement { verdict, reason, score, skipped, skips, findings } = judgement;
    let Seen { version, hash, new, otherwise } = seen;
    let otherwise = otherwise && hash.is_none() && verdict == Some(Verdict::InSync);
    let before = entry.settle((verdict, reason), (score, skipped), findings, otherwise);
    entry.tell_skips(skips);
    // A new state is put out too, so that a restart knows what was last seen and when.
    if (before != Some(entry.put_out()) || new) && context.settings.tables.verdicts {
        let version = version.or(entry.version());
        let hash = hash.as_deref().or(otherwise.then_some(""));
        out.put_verdict(&head(entry), told(context, entry, version), hash);
    }
}

/// What is true of an entry.
pub(crate) fn told(context: &Context, entry: &Entry, version: Option<u64>) -> Told {
    let leaves = context.leaves(entry);
    Told {
        verdict: entry.verdict(),
        reason: entry.reason(),
        score: entry.score(),
        severity: entry.severity(),
        findings: entry.findings().iter().filter(|f| f.counts()).count() as u32,
        leaves,
        skipped: entry.skipped().min(leaves),
        version,
        last_observed_at: entry.observed_at(),
    }
}

fn put_transitions<'h>(
    entry: &Entry,
    head: &dyn Fn(&Entry) -> Head<'h>,
    new: &[OpenFinding],
    out: &mut Output,
) {
    let old = entry.findings();
    if old.is_empty() && new.is_empty() {
        return;
    }
    if old.is_empty() {
        let opened = new.iter().map(|finding| (Transition::Opened, finding));
        return out.put_findings(&head(entry), opened);
    }
    let known: HashMap<&str, &OpenFinding> = old.iter().map(|f| (f.path(), f)).collect();
    let current: HashSet<&str> = new.iter().map(OpenFinding::path).collect();
    let begun = new.iter().filter_map(|finding| match known.get(finding.path()) {
        None => Some((Transition::Opened, finding)),
        Some(before) if *before != finding => Some((Transition::Changed, finding)),
        Some(_) => None,
    });
    let gone = old.iter().filter(|finding| !current.contains(finding.path()));
    let gone = gone.map(|finding| (Transition::Closed, finding));
    let mut rows = begun.chain(gone).peekable();
    if rows.peek().is_some() {
        out.put_findings(&head(entry), rows);
    }
}
