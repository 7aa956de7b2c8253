//! One shard: the resources it owns, and the one function that judges observations of them.
//!
//! A resource key belongs to one shard, and one task owns a shard for one epoch, so that order per
//! resource holds without locks. [`Shard::apply`] takes a slice of observations and appends what
//! changed to an [`Output`]; everything it needs besides is in the shared, read-only [`Context`].

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use deployforge_canon::{Canon, CanonError, Node, Normalise, Parser, State};
use deployforge_model::{
    BaselineInfo, Dialect, Key128, Mode, ObservationBatch, ObservationRow, Presence, ResourceKey,
    Severity, Timestamp, Transition, UnknownReason, Verdict,
};
use deployforge_policy::Policy;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::baseline::{BaselineRow, BaselineRows};
use crate::diff::{Comparison, DiffOptions, Difference, compare};
use crate::output::{
    CheckKey, FindingRow, OpenFinding, Output, RejectRow, RowHead, StateRow, VerdictRow,
};

/// A baseline as the shards see it.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) info: BaselineInfo,
    pub(crate) name: Arc<str>,
    pub(crate) rows: BaselineRows,
    pub(crate) raw: Vec<u64>,
}

/// What every shard may read and none may change.
#[derive(Debug)]
pub struct Context {
    /// Seeds keys and fingerprints; per deployment, never leaves the process.
    pub seed: u64,
    /// Keys the hashes that do leave it.
    pub hash_key: [u8; 32],
    /// Makes states canonical.
    pub canon: Canon,
    /// Weights, severities, environments.
    pub policy: Policy,
    /// What counts, if it is not the baseline's own choice.
    pub mode: Option<Mode>,
    /// Which normalisers are asked.
    pub normalise: Normalise,
    /// Whether changed states are put out.
    pub keep_states: bool,
    pub(crate) baselines: Vec<Loaded>,
}

/// Where a batch came from.
#[derive(Clone, Debug)]
pub struct BatchOrigin {
    /// The source's name.
    pub source: Arc<str>,
    /// When it was taken in.
    pub ingested_at: Timestamp,
    /// The states are canonical JSON that we wrote, with hashes of secrets in it.
    pub stored: bool,
}

/// A row of a batch on its way to its shard.
#[derive(Clone, Copy, Debug)]
pub struct Routed {
    /// Row of the batch.
    pub row: u32,
    /// The key under which the resource is known: its own, or the one an alias led to.
    pub key: Key128,
    /// A baseline of another dialect knows this resource, or speaks of nothing in this dialect.
    pub unmapped: bool,
}

/// Observed times may be this far in the future; beyond it they are taken as this far.
const SKEW_MAX_MICROS: i64 = 5 * 60 * 1_000_000;

/// Hashes keys that are hashes already.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

/// The resources of one shard.
#[derive(Debug, Default)]
pub struct Shard {
    entries: Vec<Entry>,
    index: HashMap<Key128, u32, BuildHasherDefault<KeyHasher>>,
}

/// What is known of one resource.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Which baseline and which row of it, if any declares the resource.
    pub(crate) baseline: Option<(u16, u32)>,
    /// Another declaration contradicts the baseline's.
    pub(crate) claimed_twice: bool,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) reason: Option<UnknownReason>,
    pub(crate) score: f64,
    pub(crate) leaves: u32,
    /// Fingerprint of the raw slice last judged; 0: none.
    raw: u64,
    /// Canonical fingerprint last judged; 0: none.
    canonical: u64,
    version: Option<u64>,
    observed_at: Option<Timestamp>,
    /// Sequence number of the batch that last saw it.
    pub(crate) seen: u64,
    put_out: Option<PutOut>,
    /// What only resources that are not simply in sync need.
    pub(crate) detail: Option<Box<Detail>>,
}

#[derive(Debug, Default)]
pub(crate) struct Detail {
    /// The identity of a resource that no baseline row holds.
    pub(crate) identity: Option<(Arc<ResourceKey>, Dialect)>,
    pub(crate) findings: Vec<OpenFinding>,
    state_hash: Option<Box<str>>,
}

/// A verdict as it was last put out, to see whether it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PutOut {
    verdict: Option<Verdict>,
    reason: Option<UnknownReason>,
    score_bits: u64,
    findings: u32,
}

impl Entry {
    pub(crate) fn new(baseline: Option<(u16, u32)>) -> Self {
        Self {
            baseline,
            claimed_twice: false,
            verdict: None,
            reason: None,
            score: 0.0,
            leaves: 0,
            raw: 0,
            canonical: 0,
            version: None,
            observed_at: None,
            seen: 0,
            put_out: None,
            detail: None,
        }
    }

    pub(crate) fn detail(&mut self) -> &mut Detail {
        self.detail.get_or_insert_default()
    }

    pub(crate) fn findings(&self) -> &[OpenFinding] {
        self.detail.as_ref().map_or(&[], |detail| &detail.findings)
    }

    /// The worst severity of what is open.
    pub(crate) fn severity(&self, policy: &Policy) -> Option<Severity> {
        let verdict = self.verdict?;
        policy.verdict_severity(verdict).or_else(|| {
            (verdict == Verdict::Drifted)
                .then(|| self.findings().iter().filter(|f| f.counts()).map(|f| f.severity).max())
                .flatten()
        })
    }
}

/// A judgement before it is compared with what was known.
struct Judgement {
    verdict: Option<Verdict>,
    reason: Option<UnknownReason>,
    score: f64,
    leaves: u32,
    findings: Vec<OpenFinding>,
}

impl Judgement {
    fn plain(verdict: Option<Verdict>) -> Self {
        let score = if verdict == Some(Verdict::Missing) { 100.0 } else { 0.0 };
        Self { verdict, reason: None, score, leaves: 0, findings: Vec::new() }
    }
    fn unknown(reason: UnknownReason) -> Self {
        Self { reason: Some(reason), ..Self::plain(Some(Verdict::Unknown)) }
    }
}

/// The order of an observation among those of its resource.
enum Order {
    Newer,
    Same,
    Older,
}

impl Shard {
    /// Whether the shard knows a key from a baseline.
    pub(crate) fn declares(&self, key: Key128) -> bool {
        self.index.get(&key).is_some_and(|&at| self.entries[at as usize].baseline.is_some())
    }

    /// The entry of a key, made if there is none.
    pub(crate) fn entry(&mut self, key: Key128) -> &mut Entry {
        let at = *self.index.entry(key).or_insert_with(|| {
            self.entries.push(Entry::new(None));
            (self.entries.len() - 1) as u32
        });
        &mut self.entries[at as usize]
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Judges observations in order. `sequence` numbers the batch, for sweeps.
    pub fn apply(
        &mut self,
        context: &Context,
        batch: &ObservationBatch,
        rows: &[Routed],
        origin: &BatchOrigin,
        sequence: u64,
        parser: &mut Parser,
    ) -> Output {
        let mut out = Output::default();
        for routed in rows {
            let observation = batch.row(routed.row as usize);
            let entry = self.entry(routed.key);
            entry.seen = sequence;
            out.observations += 1;
            let mut judge = Judge { context, observation, origin, entry, parser, out: &mut out };
            judge.observe(routed.unmapped);
        }
        out
    }

    /// Ends a sweep: gives `judge` every entry that was not seen since `since`, and puts out what
    /// it decides.
    pub(crate) fn unseen(
        &mut self,
        context: &Context,
        origin: &BatchOrigin,
        since: u64,
        decide: &(dyn Fn(&Context, &Entry) -> Option<Unseen> + Sync),
    ) -> Output {
        let mut out = Output::default();
        for entry in &mut self.entries {
            if entry.seen >= since {
                continue;
            }
            let Some(unseen) = decide(context, entry) else { continue };
            let judgement = match unseen {
                Unseen::Missing => Judgement::plain(Some(Verdict::Missing)),
                Unseen::Gone => Judgement::plain(None),
                Unseen::Unknown(reason) => Judgement::unknown(reason),
            };
            let Some(head) = head_of(context, entry, origin) else { continue };
            settle(context, entry, head, judgement, None, None, &mut out);
        }
        out
    }

    /// Takes up a resource as the history last knew it.
    pub(crate) fn restore(&mut self, key: Key128, restored: Restored) {
        let entry = self.entry(key);
        entry.verdict = restored.verdict;
        entry.reason = restored.reason;
        entry.score = restored.score;
        entry.leaves = restored.leaves;
        entry.version = restored.version;
        entry.observed_at = Some(restored.observed_at);
        entry.put_out = Some(PutOut {
            verdict: restored.verdict,
            reason: restored.reason,
            score_bits: restored.score.to_bits(),
            findings: restored.findings.iter().filter(|f| f.counts()).count() as u32,
        });
        let declared = entry.baseline.is_some();
        if declared && restored.findings.is_empty() && restored.state_hash.is_none() {
            return;
        }
        let detail = entry.detail();
        detail.state_hash = restored.state_hash;
        detail.findings = restored.findings;
        if !declared {
            detail.identity = Some((restored.key, restored.dialect));
        }
    }
}

/// What becomes of a resource that a finished sweep did not list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unseen {
    Missing,
    Gone,
    Unknown(UnknownReason),
}

/// A resource as the history last knew it.
#[derive(Debug)]
#[allow(missing_docs)] // the columns of `verdicts`, and the open findings
pub struct Restored {
    pub key: Arc<ResourceKey>,
    pub dialect: Dialect,
    pub verdict: Option<Verdict>,
    pub reason: Option<UnknownReason>,
    pub score: f64,
    pub leaves: u32,
    pub version: Option<u64>,
    pub observed_at: Timestamp,
    pub state_hash: Option<Box<str>>,
    pub findings: Vec<OpenFinding>,
}

/// Everything at hand while one observation is judged.
struct Judge<'a, 'b> {
    context: &'a Context,
    observation: ObservationRow<'b>,
    origin: &'a BatchOrigin,
    entry: &'a mut Entry,
    parser: &'a mut Parser,
    out: &'a mut Output,
}

impl<'a> Judge<'a, '_> {
    fn observe(&mut self, unmapped: bool) {
        let raw = xxh3_64_with_seed(self.observation.state, self.context.seed).max(1);
        let latest = Timestamp(self.origin.ingested_at.micros().saturating_add(SKEW_MAX_MICROS));
        let observed_at = self.observation.observed_at.min(latest);
        match self.order(observed_at) {
            // A clock that runs ahead tells nothing about order: what comes later counts.
            Order::Same if observed_at == latest => {}
            Order::Older => return self.count_late(),
            Order::Same if self.entry.raw == raw => {
                self.out.levels.fingerprint += 1;
                return self.count();
            }
            // Two observations claim the same moment. If their content differs (and the first was
            // seen by this process), neither is more right than the other.
            Order::Same if self.entry.raw != 0 && !self.same_content() => {
                self.entry.raw = raw;
                self.settle(Judgement::unknown(UnknownReason::Conflicting), None);
                return;
            }
            Order::Same | Order::Newer => {}
        }
        self.entry.version = self.observation.version.or(self.entry.version);
        self.entry.observed_at = Some(observed_at);
        self.remember_identity();
        if self.observation.presence == Presence::Deleted {
            return self.deleted(raw);
        }
        if let Some(judgement) = self.not_comparable(unmapped) {
            self.entry.raw = raw;
            return self.settle(judgement, None);
        }
        self.judge_present(raw);
    }

    fn order(&self, observed_at: Timestamp) -> Order {
        let versions = self.entry.version.zip(self.observation.version);
        let ordering = match (versions, self.entry.observed_at) {
            (Some((known, new)), _) if known != new => new.cmp(&known),
            (_, Some(known)) => observed_at.cmp(&known),
            (_, None) => std::cmp::Ordering::Greater,
        };
        match ordering {
            std::cmp::Ordering::Greater => Order::Newer,
            std::cmp::Ordering::Equal => Order::Same,
            std::cmp::Ordering::Less => Order::Older,
        }
    }

    /// Whether the canonical content equals what was judged last.
    fn same_content(&mut self) -> bool {
        self.entry.canonical != 0
            && self
                .state()
                .is_ok_and(|s| s.fingerprint(self.context.seed).max(1) == self.entry.canonical)
    }

    fn state(&mut self) -> Result<State, CanonError> {
        if self.origin.stored {
            let ObservationRow { dialect, resource_type, state, .. } = self.observation;
            return self.context.canon.stored_state(self.parser, dialect, resource_type, state);
        }
        self.context.canon.state(
            self.parser,
            self.observation.dialect,
            self.observation.resource_type,
            self.observation.state,
            self.observation.sensitive(),
        )
    }

    fn remember_identity(&mut self) {
        if self.entry.baseline.is_none() {
            let observation = &self.observation;
            let detail = self.entry.detail();
            if detail.identity.is_none() {
                detail.identity = Some((Arc::new(observation.key()), observation.dialect));
            }
        }
    }

    fn baseline_row(&self) -> Option<BaselineRow<'a>> {
        let (baseline, row) = self.entry.baseline?;
        let context: &'a Context = self.context;
        Some(context.baselines[usize::from(baseline)].rows.row(row as usize))
    }

    fn deleted(&mut self, raw: u64) {
        self.entry.raw = raw;
        let verdict = match self.baseline_row() {
            Some(row) if !row.deposed => Some(Verdict::Missing),
            _ => None,
        };
        if self.context.keep_states && self.entry.canonical != 0 {
            self.put_state(None);
        }
        self.entry.canonical = 0;
        self.settle(Judgement::plain(verdict), None);
    }

    /// A verdict that needs no look at the state.
    fn not_comparable(&self, unmapped: bool) -> Option<Judgement> {
        let deposed = self.observation.presence == Presence::Deposed;
        let Some(row) = self.baseline_row() else {
            return match (deposed, unmapped) {
                (true, _) => Some(Judgement::unknown(UnknownReason::Deposed)),
                (_, true) => Some(Judgement::unknown(UnknownReason::Unmapped)),
                _ => None,
            };
        };
        let reason = if deposed || row.deposed {
            UnknownReason::Deposed
        } else if row.dialect != self.observation.dialect || unmapped {
            UnknownReason::Unmapped
        } else if row.duplicate || self.entry.claimed_twice {
            UnknownReason::Duplicate
        } else {
            return None;
        };
        Some(Judgement::unknown(reason))
    }

    fn judge_present(&mut self, raw: u64) {
        if self.entry.raw == raw && self.entry.verdict.is_some() {
            self.out.levels.fingerprint += 1;
            return self.count();
        }
        self.entry.raw = raw;
        let baseline_raw = self.entry.baseline.map(|(baseline, row)| {
            self.context.baselines[usize::from(baseline)].raw.get(row as usize).copied()
        });
        if baseline_raw == Some(Some(raw)) && self.entry.detail.is_none() {
            self.out.levels.fingerprint += 1;
            return self.settle(Judgement::plain(Some(Verdict::InSync)), None);
        }
        let state = match self.state() {
            Ok(state) => state,
            Err(error) => return self.refuse(&error),
        };
        let canonical = state.fingerprint(self.context.seed).max(1);
        if self.entry.canonical == canonical && self.entry.verdict.is_some() {
            self.out.levels.canonical += 1;
            return self.count();
        }
        self.entry.canonical = canonical;
        let judgement = match self.expected() {
            None => Judgement::plain(Some(Verdict::Unmanaged)),
            Some(Ok(expected)) => {
                self.out.levels.compared += 1;
                let comparison = self.compare(&expected, &state.root);
                self.judgement(comparison)
            }
            Some(Err(_)) => Judgement::unknown(UnknownReason::Unreadable),
        };
        let differs = judgement.verdict != Some(Verdict::InSync) || !judgement.findings.is_empty();
        self.settle(judgement, Some((&state.root, differs)));
    }

    fn expected(&mut self) -> Option<Result<Node, CanonError>> {
        let (baseline, row) = self.entry.baseline?;
        let row = self.context.baselines[usize::from(baseline)].rows.row(row as usize);
        let state =
            self.context.canon.stored_state(self.parser, row.dialect, row.resource_type, row.state);
        Some(state.map(|state| state.root))
    }

    fn compare(&self, expected: &Node, observed: &Node) -> Comparison {
        let own = self
            .entry
            .baseline
            .and_then(|(baseline, _)| self.context.baselines[usize::from(baseline)].info.mode);
        let options = DiffOptions {
            mode: self.context.mode.or(own).unwrap_or(Mode::Full),
            normalise: self.context.normalise,
        };
        compare(expected, observed, options, &self.context.policy, self.observation.resource_type)
    }

    fn judgement(&self, comparison: Comparison) -> Judgement {
        let drifted = comparison.differences.iter().any(Difference::counts);
        let text = |node: Option<Node>| node.map(|node| node.to_json().into_boxed_str());
        let resource_type = self.observation.resource_type;
        let findings = comparison.differences.into_iter().map(|difference| OpenFinding {
            severity: self.context.policy.severity(
                resource_type,
                &difference.path,
                difference.kind,
            ),
            path: difference.path.into(),
            kind: difference.kind,
            expected: text(difference.expected),
            observed: text(difference.observed),
            leaves: difference.leaves,
            fold: difference.fold.map(|fold| fold.name().into()),
        });
        Judgement {
            verdict: Some(if drifted { Verdict::Drifted } else { Verdict::InSync }),
            reason: None,
            score: comparison.score,
            leaves: comparison.leaves,
            findings: findings.collect(),
        }
    }

    /// The state has no canonical form: kept as a reject, and the resource is `unknown`.
    fn refuse(&mut self, error: &CanonError) {
        let observation = &self.observation;
        self.out.rejects.push(RejectRow::of_state(
            error,
            &observation.key(),
            observation.state,
            (Arc::clone(&self.origin.source), observation.position, self.origin.ingested_at),
        ));
        self.entry.canonical = 0;
        self.settle(Judgement::unknown(UnknownReason::Unreadable), None);
    }

    fn head(&self) -> RowHead {
        let identity = self.entry.detail.as_ref().and_then(|detail| detail.identity.as_ref());
        let key = match (identity, self.baseline_row()) {
            (_, Some(row)) => Arc::new(row_key(&row)),
            (Some((key, _)), None) => Arc::clone(key),
            (None, None) => Arc::new(self.observation.key()),
        };
        let address = self.baseline_row().and_then(|row| row.address).or(self.observation.address);
        head(
            self.context,
            self.entry,
            key,
            address.map(Into::into),
            self.observation.dialect,
            self.origin,
            self.entry.observed_at.unwrap_or(self.observation.observed_at),
        )
    }

    fn settle(&mut self, judgement: Judgement, state: Option<(&Node, bool)>) {
        let version = self.observation.version;
        let mut hash = None;
        if let Some((root, differs)) = state {
            let text = root.to_json();
            let digest = blake3::keyed_hash(&self.context.hash_key, text.as_bytes()).to_hex();
            let digest: Box<str> = digest[..32].into();
            let known = self.entry.detail.as_ref().and_then(|detail| detail.state_hash.clone());
            let changed = (differs || known.is_some()) && known.as_ref() != Some(&digest);
            if changed && self.context.keep_states {
                self.put_state(Some(text));
            }
            if differs || known.is_some() {
                self.entry.detail().state_hash = Some(digest.clone());
                hash = Some(digest);
            }
        }
        let head = self.head();
        settle(self.context, self.entry, head, judgement, version, hash, self.out);
        self.count();
    }

    fn put_state(&mut self, state: Option<String>) {
        let head = self.head();
        let version = self.observation.version;
        self.out.states.push(StateRow { head, version, state });
    }

    fn check_key(&self) -> CheckKey {
        let observation = &self.observation;
        let environment = self.context.policy.environment(
            observation.provider,
            observation.account,
            observation.region,
        );
        (
            self.origin.ingested_at.minute(),
            environment.into(),
            observation.provider.into(),
            observation.resource_type.into(),
            Arc::clone(&self.origin.source),
        )
    }

    fn count(&mut self) {
        let key = self.check_key();
        self.out.checks.entry(key).or_default().count(self.entry.verdict);
    }

    fn count_late(&mut self) {
        let key = self.check_key();
        self.out.checks.entry(key).or_default().late += 1;
    }
}

pub(crate) fn row_key(row: &BaselineRow<'_>) -> ResourceKey {
    ResourceKey {
        provider: row.provider.to_owned(),
        account: row.account.to_owned(),
        region: row.region.to_owned(),
        resource_type: row.resource_type.to_owned(),
        id: row.id.to_owned(),
    }
}

fn head(
    context: &Context,
    entry: &Entry,
    key: Arc<ResourceKey>,
    address: Option<Box<str>>,
    dialect: Dialect,
    origin: &BatchOrigin,
    observed_at: Timestamp,
) -> RowHead {
    let environment = context.policy.environment(&key.provider, &key.account, &key.region).into();
    let baseline = entry.baseline.map(|(baseline, _)| &context.baselines[usize::from(baseline)]);
    RowHead {
        key,
        address,
        environment,
        dialect,
        baseline: baseline.map_or_else(|| "".into(), |loaded| Arc::clone(&loaded.name)),
        baseline_version: baseline.map_or(0, |loaded| loaded.info.version),
        source: Arc::clone(&origin.source),
        observed_at,
        ingested_at: origin.ingested_at,
    }
}

/// The head of a row about an entry that nothing observed just now.
fn head_of(context: &Context, entry: &Entry, origin: &BatchOrigin) -> Option<RowHead> {
    let now = origin.ingested_at;
    if let Some((baseline, row)) = entry.baseline {
        let row = context.baselines[usize::from(baseline)].rows.row(row as usize);
        let address = row.address.map(Into::into);
        let key = Arc::new(row_key(&row));
        return Some(head(context, entry, key, address, row.dialect, origin, now));
    }
    let (key, dialect) = entry.detail.as_ref()?.identity.as_ref()?;
    Some(head(context, entry, Arc::clone(key), None, *dialect, origin, now))
}

/// Compares a judgement with what was known, puts out the transitions, and remembers.
fn settle(
    context: &Context,
    entry: &mut Entry,
    head: RowHead,
    judgement: Judgement,
    version: Option<u64>,
    state_hash: Option<Box<str>>,
    out: &mut Output,
) {
    put_transitions(entry, &head, &judgement.findings, out);
    entry.verdict = judgement.verdict;
    entry.reason = judgement.reason;
    entry.score = judgement.score;
    entry.leaves = judgement.leaves;
    let findings = judgement.findings.iter().filter(|f| f.counts()).count() as u32;
    let now = PutOut {
        verdict: entry.verdict,
        reason: entry.reason,
        score_bits: entry.score.to_bits(),
        findings,
    };
    if !judgement.findings.is_empty() || entry.detail.is_some() {
        entry.detail().findings = judgement.findings;
    }
    let before = entry.put_out.replace(now);
    if before != Some(now) {
        let severity = entry.severity(&context.policy);
        out.verdicts.push(VerdictRow {
            head,
            verdict: entry.verdict,
            reason: entry.reason,
            score: entry.score,
            severity,
            findings,
            leaves: entry.leaves,
            version,
            state_hash,
        });
    }
}

fn put_transitions(entry: &Entry, head: &RowHead, new: &[OpenFinding], out: &mut Output) {
    let mut put = |transition, finding: &OpenFinding| {
        out.findings.push(FindingRow { head: head.clone(), transition, finding: finding.clone() });
    };
    let old = entry.findings();
    if old.is_empty() && new.is_empty() {
        return;
    }
    let known: HashMap<&str, &OpenFinding> = old.iter().map(|f| (&*f.path, f)).collect();
    for finding in new {
        match known.get(&*finding.path) {
            None => put(Transition::Opened, finding),
            Some(before) if *before != finding => put(Transition::Changed, finding),
            Some(_) => {}
        }
    }
    let current: std::collections::HashSet<&str> = new.iter().map(|f| &*f.path).collect();
    for finding in old.iter().filter(|finding| !current.contains(&*finding.path)) {
        put(Transition::Closed, finding);
    }
}
