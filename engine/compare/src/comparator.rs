//! All shards together: routing, the parallel epoch, sweeps, and what is true now.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use deployforge_canon::Parser;
use deployforge_model::{
    BaselineKind, Dialect, Key128, ObservationBatch, ResourceKey, Scope, Severity, UnknownReason,
    Verdict,
};
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::baseline::{Baseline, BaselineRows, NotABaseline};
use crate::entry::{Entry, Identity, Restored, Unseen};
use crate::output::{OpenFinding, Output};
use crate::shard::{BatchOrigin, Context, Loaded, Routed, Settings, Shard};

/// How many shards state is split into: more than threads, so that a slow one does not hold up the
/// rest, and fixed, so that state can move.
const SHARDS: usize = 64;

/// Sweeps under way at once; the start of one more ends the oldest unfinished.
const SWEEPS_MAX: usize = 1024;

/// Compares observations with baselines, shard by shard on all cores.
#[derive(Debug)]
pub struct Comparator {
    context: Context,
    shards: Vec<Shard>,
    /// Globally unique names of declared resources; `None` where two resources share one.
    aliases: HashMap<u64, Option<(Key128, Dialect)>>,
    dialects: HashSet<Dialect>,
    sweeps: HashMap<(Arc<str>, String), SweepState>,
    sequence: u64,
}

#[derive(Debug)]
struct SweepState {
    scopes: Vec<Scope>,
    since: u64,
    dialects: HashSet<Dialect>,
    complete: bool,
}

/// One resource as it is now, for listing.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the fields of the JSON that `audit` prints
pub struct ResourceView<'a> {
    pub key: ResourceKey,
    pub address: Option<&'a str>,
    pub verdict: Verdict,
    pub reason: Option<UnknownReason>,
    pub score: f64,
    pub severity: Option<Severity>,
    pub leaves: u32,
    pub findings: &'a [OpenFinding],
    /// A loaded baseline declares it.
    pub declared: bool,
    /// This process observed it.
    pub seen: bool,
}

impl Comparator {
    /// Loads baselines. Where two claim one resource, a declared one goes before a recorded one;
    /// two of a kind must agree, or the resource is `unknown` (`duplicate`).
    pub fn new(settings: Settings, baselines: Vec<Baseline>) -> Result<Self, NotABaseline> {
        let mut loaded = Vec::with_capacity(baselines.len());
        for baseline in baselines {
            loaded.push(Loaded {
                name: baseline.info.name.as_str().into(),
                info: baseline.info,
                rows: BaselineRows::new(&baseline.rows)?,
                raw: baseline.raw,
            });
        }
        loaded.sort_by_key(|loaded| loaded.info.kind != BaselineKind::Declared);
        let context = Context { settings, baselines: loaded };
        let mut comparator = Self {
            context,
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            aliases: HashMap::new(),
            dialects: HashSet::new(),
            sweeps: HashMap::new(),
            sequence: 1,
        };
        comparator.index();
        Ok(comparator)
    }

    fn index(&mut self) {
        for (b, loaded) in self.context.baselines.iter().enumerate() {
            for r in 0..loaded.rows.len() {
                let row = loaded.rows.row(r);
                self.dialects.insert(row.dialect);
                let key = loaded.rows.key128(r, self.context.settings.seed);
                let entry = self.shards[key.shard(SHARDS)].entry(key);
                match entry.baseline {
                    None => entry.baseline = Some((b as u16, r as u32)),
                    Some((other, at)) => {
                        let first = &self.context.baselines[usize::from(other)];
                        let same = first.rows.row(at as usize).state == row.state;
                        if first.info.kind == loaded.info.kind && !same {
                            entry.claimed_twice = true;
                        }
                        continue;
                    }
                }
                for alias in row.aliases.split('\n').filter(|alias| is_global(alias)) {
                    let hash = xxh3_64_with_seed(alias.as_bytes(), self.context.settings.seed);
                    self.aliases
                        .entry(hash)
                        .and_modify(|known| {
                            if known.is_some_and(|(other, _)| other != key) {
                                *known = None;
                            }
                        })
                        .or_insert(Some((key, row.dialect)));
                }
            }
        }
    }

    /// How many resources the baselines declare.
    pub fn declared(&self) -> usize {
        self.entries().filter(|entry| entry.baseline.is_some()).count()
    }

    /// Takes up what the history last knew.
    pub fn restore(&mut self, resources: Vec<Restored>) {
        for restored in resources {
            let key = restored.key.hash128(self.context.settings.seed);
            let version = restored.baseline_version;
            let shard = &mut self.shards[key.shard(SHARDS)];
            shard.restore(key, restored);
            let entry = shard.entry(key);
            let loaded = entry.baseline.map_or(0, |(baseline, _)| {
                self.context.baselines[usize::from(baseline)].info.version
            });
            entry.recalled = version == loaded;
        }
    }

    /// Judges one batch: one task per shard.
    pub fn apply(&mut self, batch: &ObservationBatch, origin: &BatchOrigin) -> Output {
        self.sequence += 1;
        let sequence = self.sequence;
        let routed = self.route(batch, origin);
        let context = &self.context;
        let outputs: Vec<Output> = self
            .shards
            .par_iter_mut()
            .zip(routed)
            .filter(|(_, rows)| !rows.is_empty())
            .map_init(Parser::default, |parser, (shard, rows)| {
                shard.apply(context, batch, &rows, origin, sequence, parser)
            })
            .collect();
        let mut all = Output::default();
        outputs.into_iter().for_each(|output| all.merge(output));
        all
    }

    /// Finds the shard and the key of each row. An observation whose key no baseline knows may be
    /// known by a globally unique alias.
    fn route(&mut self, batch: &ObservationBatch, origin: &BatchOrigin) -> Vec<Vec<Routed>> {
        let mut routed: Vec<Vec<Routed>> = (0..SHARDS).map(|_| Vec::new()).collect();
        let mut dialects = HashSet::new();
        for row in 0..batch.len() {
            let observation = batch.row(row);
            dialects.insert(observation.dialect);
            let own = observation.key128;
            let (mut key, mut unmapped) = (own, false);
            if !self.shards[own.shard(SHARDS)].declares(own) {
                let known = observation.aliases().filter(|alias| is_global(alias)).find_map(|a| {
                    let hash = xxh3_64_with_seed(a.as_bytes(), self.context.settings.seed);
                    self.aliases.get(&hash).copied().flatten()
                });
                match known {
                    Some((other, dialect)) if dialect == observation.dialect => key = other,
                    Some(_) => unmapped = true,
                    None => {
                        unmapped = !self.dialects.is_empty()
                            && !self.dialects.contains(&observation.dialect);
                    }
                }
            }
            routed[key.shard(SHARDS)].push(Routed { row: row as u32, key, unmapped });
        }
        for ((source, _), sweep) in &mut self.sweeps {
            if *source == origin.source {
                sweep.dialects.extend(&dialects);
            }
        }
        routed
    }

    /// A listing of `scope` by a source begins.
    pub fn sweep_start(&mut self, source: &Arc<str>, id: &str, scope: Scope) {
        if self.sweeps.len() >= SWEEPS_MAX
            && let Some(oldest) =
                self.sweeps.iter().min_by_key(|(_, sweep)| sweep.since).map(|(key, _)| key.clone())
        {
            self.sweeps.remove(&oldest);
        }
        let sweep = SweepState {
            scopes: vec![scope.canonical()],
            since: self.sequence + 1,
            dialects: HashSet::new(),
            complete: true,
        };
        self.sweeps.insert((Arc::clone(source), id.to_owned()), sweep);
    }

    /// Something of this source could not be read: its sweeps under way prove nothing missing.
    pub fn sweep_damaged(&mut self, source: &Arc<str>) {
        for ((of, _), sweep) in &mut self.sweeps {
            if of == source {
                sweep.complete = false;
            }
        }
    }

    /// The listing is complete: what its scope covers and it did not list is missing, or gone if no
    /// baseline declares it. `scopes` replaces the scope it began with; `dialect` is what a listing
    /// of nothing is written in. An unknown id does nothing.
    pub fn sweep_end(
        &mut self,
        origin: &BatchOrigin,
        id: &str,
        scopes: Option<Vec<Scope>>,
        dialect: Dialect,
    ) -> Output {
        let Some(mut sweep) = self.sweeps.remove(&(Arc::clone(&origin.source), id.to_owned()))
        else {
            return Output::default();
        };
        if let Some(scopes) = scopes {
            sweep.scopes = scopes;
        }
        if sweep.dialects.is_empty() {
            sweep.dialects.insert(dialect);
        }
        let decide = |context: &Context, entry: &Entry| {
            let Described { key, dialect, collection, declared } = describe(context, entry)?;
            let covered = sweep.scopes.iter().any(|scope| scope.covers(&key, collection));
            if !covered || !sweep.dialects.contains(&dialect) {
                return None;
            }
            Some(match (sweep.complete, declared) {
                (true, true) => Unseen::Missing,
                (true, false) => Unseen::Gone,
                (false, _) => Unseen::Unknown(UnknownReason::Unreadable),
            })
        };
        self.unseen(origin, sweep.since, &decide)
    }

    /// Ends an audit: the snapshot was everything there is. What the baseline declares and nothing
    /// listed is missing, unless the snapshot was damaged or speaks another dialect.
    pub fn audit_end(
        &mut self,
        origin: &BatchOrigin,
        damaged: bool,
        seen: &HashSet<Dialect>,
    ) -> Output {
        let decide = |context: &Context, entry: &Entry| {
            let Described { dialect, declared, .. } = describe(context, entry)?;
            if !declared {
                return None;
            }
            Some(if damaged {
                Unseen::Unknown(UnknownReason::Unreadable)
            } else if seen.contains(&dialect) {
                Unseen::Missing
            } else if seen.is_empty() {
                Unseen::Unknown(UnknownReason::Unobserved)
            } else {
                Unseen::Unknown(UnknownReason::Unmapped)
            })
        };
        self.unseen(origin, 1, &decide)
    }

    fn unseen(
        &mut self,
        origin: &BatchOrigin,
        since: u64,
        decide: &(dyn Fn(&Context, &Entry) -> Option<Unseen> + Sync),
    ) -> Output {
        let context = &self.context;
        let outputs: Vec<Output> = self
            .shards
            .par_iter_mut()
            .map(|shard| shard.unseen(context, origin, since, decide))
            .collect();
        let mut all = Output::default();
        outputs.into_iter().for_each(|output| all.merge(output));
        all
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.shards.iter().flat_map(Shard::entries)
    }

    /// Every resource with a verdict, or declared without one (`unknown`, `unobserved`).
    pub fn resources(&self) -> impl Iterator<Item = ResourceView<'_>> {
        self.entries().filter_map(|entry| {
            let declared = entry.baseline.map(|(baseline, row)| {
                self.context.baselines[usize::from(baseline)].rows.row(row as usize)
            });
            if entry.verdict.is_none() && declared.is_none_or(|row| row.deposed) {
                return None;
            }
            let (key, address) = if let Some(row) = declared {
                (row.key(), row.address)
            } else {
                let identity = entry.detail.as_ref()?.identity.as_ref()?;
                ((*identity.key).clone(), None)
            };
            let unobserved = entry.verdict.is_none().then_some(UnknownReason::Unobserved);
            Some(ResourceView {
                key,
                address,
                verdict: entry.verdict.unwrap_or(Verdict::Unknown),
                reason: entry.reason.or(unobserved),
                score: entry.score,
                severity: entry.severity(),
                leaves: entry.leaves,
                findings: entry.findings(),
                declared: declared.is_some(),
                seen: entry.seen > 0,
            })
        })
    }
}

/// What a sweep needs to know of an entry.
struct Described<'a> {
    key: ResourceKey,
    dialect: Dialect,
    collection: &'a str,
    declared: bool,
}

/// Describes an entry. Deposed objects are nobody's loss: `None`.
fn describe<'a>(context: &'a Context, entry: &'a Entry) -> Option<Described<'a>> {
    if let Some((baseline, row)) = entry.baseline {
        let row = context.baselines[usize::from(baseline)].rows.row(row as usize);
        let (key, dialect, collection) = (row.key(), row.dialect, row.collection);
        return (!row.deposed).then_some(Described { key, dialect, collection, declared: true });
    }
    entry.verdict?;
    let Identity { key, dialect, collection } = entry.detail.as_ref()?.identity.as_ref()?;
    Some(Described { key: (**key).clone(), dialect: *dialect, collection, declared: false })
}

/// Whether an alias names one object in the whole world: an ARN, a full resource id or a URL. Plain
/// names do not, and never join two resources.
fn is_global(alias: &str) -> bool {
    alias.starts_with("arn:")
        || alias.starts_with("//")
        || alias.starts_with("/subscriptions/")
        || alias.contains("://")
}

#[cfg(test)]
mod tests {
    use deployforge_model::{
        BaselineInfo, Observation, ObservationBatchBuilder, Presence, SourcePosition, Timestamp,
    };

    use super::*;
    use crate::baseline::BaselineBuilder;
    use deployforge_canon::{Canon, Normalise};
    use deployforge_policy::Policy;

    fn observation(id: &str, state: &str, minute: i64) -> Observation {
        Observation {
            key: ResourceKey::new("aws", "1", "eu-west-1", "volume", id),
            dialect: Dialect::Native,
            address: None,
            aliases: Vec::new(),
            observed_at: Some(Timestamp(minute * 60_000_000)),
            version: None,
            presence: Presence::Present,
            sweep: None,
            collection: None,
            tainted: false,
            state: state.as_bytes().to_vec(),
            sensitive: Vec::new(),
            position: SourcePosition::default(),
        }
    }

    fn comparator(declared: &[Observation]) -> Comparator {
        comparator_of(declared, false)
    }

    fn comparator_of(declared: &[Observation], incomplete: bool) -> Comparator {
        let canon = Canon::default();
        let mut builder = BaselineBuilder::new(&canon, 1);
        builder.add_all(declared);
        let info = BaselineInfo {
            name: "b".into(),
            version: 1,
            kind: BaselineKind::Recorded,
            mode: None,
            incomplete,
        };
        let baseline = builder.finish(info);
        let settings = Settings {
            seed: 1,
            hash_key: [0; 32],
            canon: canon.clone(),
            policy: Policy::default(),
            mode: None,
            normalise: Normalise::Standard,
            keep_states: true,
        };
        Comparator::new(settings, vec![baseline]).unwrap()
    }

    fn origin() -> BatchOrigin {
        let ingested_at = Timestamp(1_000_000 * 60_000_000);
        BatchOrigin { source: "s".into(), file: "f".into(), ingested_at, stored: false }
    }

    fn observe(comparator: &mut Comparator, observation: &Observation) -> Output {
        let mut builder = ObservationBatchBuilder::new(1);
        builder.push(observation, Timestamp(0));
        comparator.apply(&builder.finish(), &origin())
    }

    fn verdict(comparator: &Comparator, id: &str) -> (Verdict, Option<UnknownReason>) {
        let view = comparator.resources().find(|view| view.key.id == id).unwrap();
        (view.verdict, view.reason)
    }

    fn sweep(comparator: &mut Comparator, listed: &[Observation]) -> Output {
        let origin = origin();
        comparator.sweep_start(&origin.source, "id", Scope::default());
        for observation in listed {
            observe(comparator, observation);
        }
        comparator.sweep_end(&origin, "id", None, Dialect::Native)
    }

    #[test]
    fn what_returns_after_a_sweep_is_judged_afresh() {
        let one = observation("v1", r#"{"size":8}"#, 1);
        let two = observation("v2", r#"{"size":8}"#, 1);
        let mut comparator = comparator(&[one.clone(), two.clone()]);
        sweep(&mut comparator, &[one.clone(), two.clone()]);
        assert_eq!(verdict(&comparator, "v1"), (Verdict::InSync, None));
        sweep(&mut comparator, std::slice::from_ref(&two));
        assert_eq!(verdict(&comparator, "v1"), (Verdict::Missing, None));
        sweep(&mut comparator, &[one, two]);
        assert_eq!(verdict(&comparator, "v1"), (Verdict::InSync, None));
        sweep(&mut comparator, &[]);
        assert_eq!(
            verdict(&comparator, "v2"),
            (Verdict::Missing, None),
            "nothing is listed either"
        );
    }

    #[test]
    fn a_damaged_sweep_proves_nothing_missing() {
        let one = observation("v1", r#"{"size":8}"#, 1);
        let mut comparator = comparator(&[one]);
        let origin = origin();
        comparator.sweep_start(&origin.source, "id", Scope::default());
        comparator.sweep_damaged(&origin.source);
        comparator.sweep_end(&origin, "id", None, Dialect::Native);
        let unreadable = (Verdict::Unknown, Some(UnknownReason::Unreadable));
        assert_eq!(verdict(&comparator, "v1"), unreadable);
    }

    #[test]
    fn a_contradiction_lasts_for_its_moment() {
        let mut comparator = comparator(&[observation("v", r#"{"a":2}"#, 0)]);
        let conflicting = (Verdict::Unknown, Some(UnknownReason::Conflicting));
        observe(&mut comparator, &observation("v", r#"{"a":1}"#, 9));
        observe(&mut comparator, &observation("v", r#"{"a":2}"#, 9));
        assert_eq!(verdict(&comparator, "v"), conflicting);
        observe(&mut comparator, &observation("v", r#"{"a":1}"#, 9));
        assert_eq!(verdict(&comparator, "v"), conflicting, "whatever comes again");
        observe(&mut comparator, &observation("v", r#"{"a":2}"#, 10));
        assert_eq!(verdict(&comparator, "v"), (Verdict::InSync, None));
    }

    #[test]
    fn the_same_again_puts_out_nothing() {
        let mut comparator = comparator(&[observation("v", r#"{"a":1}"#, 0)]);
        let seen = observation("v", r#"{"a":2}"#, 5);
        let first = observe(&mut comparator, &seen);
        assert_eq!((first.findings.len(), first.verdicts.len(), first.states.len()), (1, 1, 1));
        for again in [&seen, &observation("v", r#"{ "a": 2.0 }"#, 6)] {
            let output = observe(&mut comparator, again);
            assert!(output.findings.is_empty() && output.verdicts.is_empty());
            assert!(output.states.is_empty(), "a cosmetic change is no change");
        }
        let late = observe(&mut comparator, &observation("v", r#"{"a":1}"#, 4));
        assert_eq!(late.late(), 1);
        assert_eq!(verdict(&comparator, "v").0, Verdict::Drifted);
    }

    #[test]
    fn a_baseline_read_in_part_makes_nothing_unmanaged() {
        let seen = observation("v2", r#"{"a":1}"#, 1);
        let declared = [observation("v1", r#"{"a":1}"#, 0)];
        let mut whole = comparator_of(&declared, false);
        observe(&mut whole, &seen);
        assert_eq!(verdict(&whole, "v2"), (Verdict::Unmanaged, None));
        let mut part = comparator_of(&declared, true);
        observe(&mut part, &seen);
        let unreadable = (Verdict::Unknown, Some(UnknownReason::Unreadable));
        assert_eq!(verdict(&part, "v2"), unreadable);
    }

    #[test]
    fn a_deposed_twin_says_nothing_of_the_current_one() {
        let declared = [observation("v", r#"{"a":1}"#, 0)];
        let current = observation("v", r#"{"a":2}"#, 1);
        let deposed = Observation { presence: Presence::Deposed, ..current.clone() };
        for order in [[&current, &deposed], [&deposed, &current]] {
            let mut comparator = comparator(&declared);
            sweep(&mut comparator, &order.map(Clone::clone));
            assert_eq!(verdict(&comparator, "v"), (Verdict::Drifted, None));
        }
        let mut comparator = comparator(&declared);
        sweep(&mut comparator, &[deposed]);
        assert_eq!(verdict(&comparator, "v"), (Verdict::Missing, None), "only the twin is left");
    }

    #[test]
    fn scopes_fold_case_as_keys_do() {
        let mut comparator = comparator(&[observation("v", r#"{"a":1}"#, 0)]);
        let origin = origin();
        let scope = Scope { provider: Some("AWS".to_owned()), ..Scope::default() };
        comparator.sweep_start(&origin.source, "id", scope);
        comparator.sweep_end(&origin, "id", None, Dialect::Native);
        assert_eq!(verdict(&comparator, "v"), (Verdict::Missing, None));
    }

    #[test]
    fn an_arn_joins_what_lacks_other_parts() {
        let arn = vec!["arn:aws:ec2:eu-west-1:1:volume/v".to_owned()];
        let declared = Observation { aliases: arn.clone(), ..observation("v", r#"{"a":1}"#, 0) };
        let mut comparator = comparator(&[declared]);
        let mut seen = Observation { aliases: arn, ..observation("v", r#"{"a":1}"#, 1) };
        seen.key = ResourceKey::new("aws", "", "", "volume", "v");
        observe(&mut comparator, &seen);
        assert_eq!(verdict(&comparator, "v"), (Verdict::InSync, None));
        assert_eq!(comparator.resources().count(), 1);
        seen.dialect = Dialect::Terraform;
        seen.key.id = "other".to_owned();
        observe(&mut comparator, &seen);
        let unmapped = (Verdict::Unknown, Some(UnknownReason::Unmapped));
        assert_eq!(verdict(&comparator, "other"), unmapped);
    }
}
