//! All shards together: routing, the parallel epoch, sweeps, and what is true now.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock};

use deployforge_maps::stack_member;
use deployforge_model::{
    BaselineKind, Dialect, Frame, Key128, ObservationBatch, Scope, Seed, Timestamp, UnknownReason,
};
use rayon::prelude::*;

use crate::baseline::Baseline;
use crate::chunks::Prepares;
use crate::entry::{Entry, Identity, Owner, Restored, Unseen};
use crate::group::Groups;
use crate::index::{Aliases, Declared, is_global, lock, per_thread};
use crate::order::latest;
use crate::output::{Accepted, Output};
use crate::prepare::{Prepared, WHEN_TAKEN_IN};
use crate::route::{Routable, Routed, Routes, Stranger};
use crate::rows::CHUNK_ROWS;
use crate::shape::Shapes;
use crate::shard::{BatchOrigin, Context, Loaded, Segment, Settings, Shard, Tier, Tools};

/// How many shards state is split into: more than threads, so that a slow one does not hold up the
/// rest, and fixed, so that state can move.
pub(crate) const SHARDS: usize = 64;

/// Sweeps under way at once; the start of one more ends the oldest unfinished.
const SWEEPS_MAX: usize = 1024;

/// Compares observations with baselines, shard by shard on all cores.
#[derive(Debug)]
pub struct Comparator {
    pub(crate) context: Context,
    pub(crate) shards: Vec<Shard>,
    /// Globally unique names of declared resources, made when first one is looked for.
    aliases: OnceLock<Aliases>,
    /// The same by kind; asked for where the baselines are of another dialect than what is observed.
    kinds: OnceLock<Aliases>,
    pub(crate) dialects: HashSet<Dialect>,
    pub(crate) sweeps: HashMap<SweepKey, SweepState>,
    pub(crate) sequence: u32,
    /// One per thread.
    pub(crate) tools: Vec<Mutex<Tools>>,
}

/// A source, the partition of it in which the sweep stands, and the sweep's id.
pub(crate) type SweepKey = (Arc<str>, Owner, String);

/// A sweep under way.
#[derive(Debug)]
pub(crate) struct SweepState {
    pub(crate) scopes: Vec<Scope>,
    /// The first epoch that can see what it lists.
    pub(crate) since: u32,
    /// The offset in its partition at which it began.
    pub(crate) at: i64,
    pub(crate) dialects: HashSet<Dialect>,
    pub(crate) complete: bool,
}

impl Comparator {
    /// Loads baselines. Where two claim one resource, a declared one goes before a recorded one;
    /// two of a kind must agree, or the resource is `unknown` (`duplicate`).
    pub fn new(mut settings: Settings, baselines: Vec<Baseline>) -> Self {
        let text: u64 = baselines.iter().map(|baseline| baseline.rows.state_bytes()).sum();
        settings.levels.text &= text <= settings.text_bytes;
        let mut all: Vec<(Loaded, Vec<u64>)> = baselines
            .into_iter()
            .map(|Baseline { info, rows, raw }| {
                (Loaded { name: info.name.as_str().into(), info, rows }, raw)
            })
            .collect();
        all.sort_by_key(|(loaded, _)| loaded.info.kind != BaselineKind::Declared);
        let (loaded, raw): (Vec<Loaded>, Vec<Vec<u64>>) = all.into_iter().unzip();
        let context = Context {
            seed: Seed::new(settings.seed),
            settings,
            baselines: loaded,
            shapes: Shapes::default(),
            groups: Groups::default(),
        };
        let mut comparator = Self {
            context,
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            aliases: OnceLock::new(),
            kinds: OnceLock::new(),
            dialects: HashSet::new(),
            sweeps: HashMap::new(),
            sequence: 1,
            tools: per_thread(),
        };
        for (baseline, raw) in raw.iter().enumerate() {
            comparator.index(baseline, raw);
        }
        comparator
    }

    /// Takes the rows of a baseline into the shards, some chunks at a time: read on all cores,
    /// entered in order.
    fn index(&mut self, baseline: usize, raw: &[u64]) {
        let rows = self.context.baselines[baseline].rows.len();
        let starts: Vec<usize> = (0..rows).step_by(CHUNK_ROWS).collect();
        for some in starts.chunks(rayon::current_num_threads() * 2) {
            let context = &self.context;
            let tools = &self.tools;
            let read: Vec<Vec<Declared>> = some
                .par_iter()
                .map(|&first| {
                    let mut tools = lock(tools);
                    (first..rows.min(first + CHUNK_ROWS))
                        .map(|row| Declared::read(context, baseline, row, &mut tools))
                        .collect()
                })
                .collect();
            for (first, declared) in some.iter().zip(read) {
                for (i, declared) in declared.into_iter().enumerate() {
                    let row = first + i;
                    self.enter(baseline, row, declared, raw.get(row).copied().unwrap_or(0));
                }
            }
        }
    }

    fn enter(&mut self, baseline: usize, row: usize, declared: Declared, raw: u64) {
        let Declared { key, dialect, special, canonical, group, flat, walked } = declared;
        self.dialects.insert(dialect);
        let shard = &mut self.shards[key.shard(SHARDS)];
        let at = shard.place(key);
        if let Some((other, first)) = shard.at(at).baseline() {
            let first_of = &self.context.baselines[usize::from(other)];
            let this = &self.context.baselines[baseline];
            let same = first_of.rows.row(first as usize).state() == this.rows.row(row).state();
            if first_of.info.kind == this.info.kind && !same {
                shard.at_mut(at).claim_twice();
            }
            return;
        }
        let attributes = match (self.context.settings.tier, flat) {
            (Tier::Full, Some(flat)) => {
                let text = self.context.baselines[baseline].rows.row(row).state();
                let shape = self.context.shapes.intern(&flat, text);
                shape.map(|shape| shard.hashes.push(&self.context.shapes, shape, &flat, walked))
            }
            _ => None,
        };
        let entry = shard.at_mut(at);
        entry.declare(baseline as u16, row as u32, dialect, special);
        entry.raw = if special || canonical == 0 { 0 } else { raw };
        entry.canonical = canonical;
        entry.group = group;
        if let Some(attributes) = attributes {
            entry.attributes = attributes;
        }
    }

    /// Takes another's place in the stream: its sweeps and its count of epochs. What it knew is left to
    /// the caller.
    pub(crate) fn take_over(&mut self, before: Self) -> (Context, Vec<Shard>) {
        let Self { context, shards, sweeps, sequence, .. } = before;
        (self.sweeps, self.sequence) = (sweeps, sequence);
        (context, shards)
    }

    /// How many resources the baselines declare.
    pub fn declared(&self) -> usize {
        self.entries().filter(|entry| entry.baseline().is_some()).count()
    }

    /// The policy by which it judges.
    pub fn policy(&self) -> &deployforge_policy::Policy {
        &self.context.settings.policy
    }

    /// The seed of keys and fingerprints.
    pub fn seed(&self) -> u64 {
        self.context.settings.seed
    }

    /// Takes up what the history last knew. `exact`: some of it was judged by other baselines than these,
    /// which is told by each resource's baseline and version.
    pub fn restore(&mut self, resources: Vec<Restored>, exact: bool) {
        for restored in resources {
            let key = restored.key.hash128(self.context.settings.seed);
            let shard = &mut self.shards[key.shard(SHARDS)];
            let loaded = shard.entry(key).baseline().map(|(baseline, _)| {
                let Loaded { name, info, .. } = &self.context.baselines[usize::from(baseline)];
                (&**name, info.version)
            });
            let by = restored.baseline.as_deref().map(|name| (name, restored.baseline_version));
            let same = by == loaded;
            shard.restore(key, restored);
            let entry = shard.entry(key);
            entry.set_recalled(same);
            if !same && exact {
                // In sync with another row than the one at hand: what was seen is not known here.
                (entry.raw, entry.canonical) = (0, 0);
            }
        }
    }

    /// Judges one batch.
    pub fn apply(&mut self, batch: &ObservationBatch, origin: &BatchOrigin) -> Output {
        self.apply_epoch(&[Segment::Batch(batch)], origin)
    }

    /// Judges an epoch: segments of one source, in order; one task per shard.
    pub fn apply_epoch(&mut self, segments: &[Segment<'_>], origin: &BatchOrigin) -> Output {
        self.sequence += 1;
        let sequence = self.sequence;
        self.note_dialects(segments, origin);
        let routes: Vec<Option<Routes>> = segments
            .par_iter()
            .map(|segment| match segment {
                Segment::Batch(batch) => {
                    Some(Routes::sort(&self.route(&Routable::Batch(batch)), SHARDS))
                }
                Segment::Frame { .. } => None,
            })
            .collect();
        let (context, tools) = (&self.context, &self.tools);
        let outputs: Vec<Output> = self
            .shards
            .par_iter_mut()
            .enumerate()
            .map(|(s, shard)| {
                let mut tools = lock(tools);
                let mut out = Output::default();
                for (number, (segment, routes)) in segments.iter().zip(&routes).enumerate() {
                    let routes = match segment {
                        Segment::Frame { prepared, .. } => Some(&prepared.routes),
                        Segment::Batch(_) => routes.as_ref(),
                    };
                    let rows = routes.map_or(&[][..], |routes| routes.of(s, segment.rows()));
                    let segment = (number as u32, *segment);
                    shard.apply(context, segment, rows, origin, sequence, &mut tools, &mut out);
                }
                out
            })
            .collect();
        self.gather(segments, outputs, origin)
    }

    /// Puts together what the shards put out: first what was prepared and holds, in the order in which it
    /// was observed.
    pub(crate) fn gather(
        &self,
        segments: &[Segment<'_>],
        mut outputs: Vec<Output>,
        origin: &BatchOrigin,
    ) -> Output {
        let mut all = Output::default();
        let findings = outputs.iter_mut().flat_map(|out| out.accepted.findings.drain(..));
        let findings = Accepted::by_segment(findings, segments.len());
        let verdicts = outputs.iter_mut().flat_map(|out| out.accepted.verdicts.drain(..));
        let verdicts = Accepted::by_segment(verdicts, segments.len());
        let (now, latest) = (origin.ingested_at, latest(origin));
        let when = |t: Timestamp| if t == WHEN_TAKEN_IN { now } else { t.min(latest) };
        for ((segment, findings), verdicts) in segments.iter().zip(findings).zip(verdicts) {
            let Segment::Frame { frame, prepared, first, rows, .. } = segment else { continue };
            // A frame in pieces was scrubbed once, as a whole.
            if *first == 0 {
                all.scrubbed.add(prepared.scrubbed);
            }
            let whole = *rows as usize == frame.len();
            if !findings.is_empty() {
                let mut findings = prepared.findings().accepted(&findings, whole);
                findings.observe(when);
                all.findings.add(findings, &origin.source, now);
            }
            if !verdicts.is_empty() {
                let mut verdicts = prepared.verdicts().accepted(&verdicts, whole);
                verdicts.observe(when);
                all.verdicts.add(verdicts, &origin.source, now);
            }
        }
        outputs.into_iter().for_each(|output| all.merge(output));
        all.join();
        let minute = origin.ingested_at.minute();
        all.name_counts(|group| self.context.groups.name(group, minute, &origin.source));
        all
    }

    /// Does what can be done with a frame before its epoch is judged: finds the shard of each row, reads
    /// what changed, compares it. Changes nothing, so that frames can be prepared on all cores.
    pub fn prepare(&self, frame: &Frame) -> Prepared {
        let found = self.route(&Routable::Frame(frame));
        let mut tools = lock(&self.tools);
        Prepared::new(&self.context, frame, found, &self.shards, &mut tools)
    }

    /// Finds the shard and the key of each row. An observation whose key no baseline knows may be known
    /// by a globally unique alias.
    fn route(&self, routable: &Routable<'_>) -> Vec<(u8, Routed)> {
        Routes::find(routable, &self.shards, |row, own| self.by_alias(routable, row, own))
    }

    /// Sweeps under way take note of the dialects that their source speaks.
    fn note_dialects(&mut self, segments: &[Segment<'_>], origin: &BatchOrigin) {
        let mut dialects = HashSet::new();
        for segment in segments {
            match segment {
                Segment::Frame { frame, .. } => drop(dialects.insert(frame.dialect)),
                Segment::Batch(batch) => {
                    dialects.extend((0..batch.len()).map(|row| batch.row(row).dialect));
                }
            }
        }
        for ((source, owner, _), sweep) in &mut self.sweeps {
            if *source == origin.source && *owner == origin.owner {
                sweep.dialects.extend(&dialects);
            }
        }
    }

    /// The key under which a baseline knows a resource by another name, and whether it is out of reach
    /// of the baselines' words.
    fn by_alias(&self, routable: &Routable<'_>, row: usize, own: Key128) -> Stranger {
        let find = |alias: &str| {
            let aliases = || self.aliases.get_or_init(|| Aliases::of(&self.context));
            if is_global(alias) { aliases().find(&self.context, alias) } else { None }
        };
        let (known, dialect) = match routable {
            Routable::Frame(frame) => (find(frame.alias(row)), frame.dialect),
            Routable::Batch(batch) => {
                let observation = batch.row(row);
                (observation.aliases().find_map(find), observation.dialect)
            }
        };
        if let Some((key, of)) = known
            && of == dialect
        {
            return Stranger { key, unmapped: false };
        }
        if let Some(stranger) = self.by_kind(routable, row, own, dialect) {
            return stranger;
        }
        let unmapped =
            known.is_some() || (!self.dialects.is_empty() && !self.dialects.contains(&dialect));
        Stranger { key: own, unmapped }
    }

    /// A resource that a baseline of another dialect may declare: under a key that bears one of its
    /// names, or under none; `None` if no map knows its type in any dialect of the baselines.
    fn by_kind(
        &self,
        routable: &Routable<'_>,
        row: usize,
        own: Key128,
        dialect: Dialect,
    ) -> Option<Stranger> {
        let maps = &self.context.settings.maps;
        let mut others = self.dialects.iter().filter(|of| **of != dialect).peekable();
        others.peek()?;
        let (parts, mut names, state) = match routable {
            Routable::Frame(frame) => {
                (frame.parts(row), vec![frame.alias(row)], frame.state(row).text)
            }
            Routable::Batch(batch) => {
                let observation = batch.row(row);
                let [_, parts @ ..] = observation.parts();
                (parts, observation.aliases().collect(), observation.state)
            }
        };
        let [account, region, resource_type, id] = parts;
        let kind = maps.number(dialect, resource_type)?;
        if !others.any(|of| maps.speaks(*of, kind)) {
            return None;
        }
        let of_stack = self.dialects.contains(&Dialect::CloudFormation);
        let member = if of_stack { stack_member(state) } else { None };
        names.extend(member.as_deref());
        let kinds = self.kinds.get_or_init(|| Aliases::of_kinds(&self.context));
        let mut names = std::iter::once(id).chain(names).filter(|name| !name.is_empty());
        let found = names.find_map(|name| {
            kinds.find_kind(&self.context, (kind, name), (account, region), dialect)
        });
        Some(Stranger { key: found.unwrap_or(own), unmapped: false })
    }

    /// Bytes held for what is known of resources, and how many shapes their attributes have.
    pub fn held(&self) -> (usize, usize) {
        (self.shards.iter().map(Shard::bytes).sum(), self.context.shapes.len())
    }

    /// A listing of `scope` by a source begins, at an offset of its partition.
    pub fn sweep_start(&mut self, origin: &BatchOrigin, id: &str, scope: Scope, at: i64) {
        if self.sweeps.len() >= SWEEPS_MAX
            && let Some(oldest) =
                self.sweeps.iter().min_by_key(|(_, sweep)| sweep.since).map(|(key, _)| key.clone())
        {
            self.sweeps.remove(&oldest);
        }
        let sweep = SweepState {
            scopes: vec![scope.canonical()],
            since: self.sequence + 1,
            at,
            dialects: HashSet::new(),
            complete: true,
        };
        self.sweeps.insert((Arc::clone(&origin.source), origin.owner, id.to_owned()), sweep);
    }

    /// Something of this source could not be read: its sweeps under way prove nothing missing.
    pub fn sweep_damaged(&mut self, origin: &BatchOrigin) {
        for ((source, owner, _), sweep) in &mut self.sweeps {
            if *source == origin.source && *owner == origin.owner {
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
        let key = (Arc::clone(&origin.source), origin.owner, id.to_owned());
        let Some(mut sweep) = self.sweeps.remove(&key) else {
            return Output::default();
        };
        if let Some(scopes) = scopes {
            sweep.scopes = scopes;
        }
        if sweep.scopes.is_empty() {
            // It covers nothing, as the end of a file that is no listing: nobody need be asked.
            return Output::default();
        }
        if sweep.dialects.is_empty() {
            sweep.dialects.insert(dialect);
        }
        let decide = |context: &Context, entry: &Entry| {
            let Described { key, dialect, collection, declared } = describe(context, entry)?;
            let covered = sweep.scopes.iter().any(|scope| scope.covers(key, collection));
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
            let Described { key, dialect, declared, .. } = describe(context, entry)?;
            if !declared {
                return None;
            }
            // A template does not say which account it is for: what is there stands under another key.
            let of_template = matches!(dialect, Dialect::CloudFormation | Dialect::Azure);
            let [_, account, ..] = key;
            Some(if damaged {
                Unseen::Unknown(UnknownReason::Unreadable)
            } else if of_template && account.is_empty() {
                Unseen::Unknown(UnknownReason::Unobserved)
            } else if seen.contains(&dialect) {
                Unseen::Missing
            } else if seen.is_empty() || is_mapped(context, entry, seen) {
                // By another name it may still be there: only its own words show that it is not.
                Unseen::Unknown(UnknownReason::Unobserved)
            } else {
                Unseen::Unknown(UnknownReason::Unmapped)
            })
        };
        self.unseen(origin, 1, &decide)
    }

    pub(crate) fn unseen(
        &mut self,
        origin: &BatchOrigin,
        since: u32,
        decide: &(dyn Fn(&Context, &Entry) -> Option<Unseen> + Sync),
    ) -> Output {
        let context = &self.context;
        let outputs: Vec<Output> = self
            .shards
            .par_iter_mut()
            .map(|shard| shard.unseen(context, origin, since, decide))
            .collect();
        self.gather(&[], outputs, origin)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.shards.iter().flat_map(Shard::entries)
    }
}

/// Whether a dialect that was observed has a type for what an entry's row declares.
fn is_mapped(context: &Context, entry: &Entry, seen: &HashSet<Dialect>) -> bool {
    let maps = &context.settings.maps;
    let kind = context.row(entry).and_then(|row| maps.number(row.dialect(), row.resource_type()));
    kind.is_some_and(|kind| seen.iter().any(|dialect| maps.speaks(*dialect, kind)))
}

/// What a sweep needs to know of an entry.
pub(crate) struct Described<'a> {
    key: [&'a str; 5],
    dialect: Dialect,
    collection: &'a str,
    declared: bool,
}

/// Describes an entry. Deposed objects are nobody's loss: `None`.
pub(crate) fn describe<'a>(context: &'a Context, entry: &'a Entry) -> Option<Described<'a>> {
    if let Some(row) = context.row(entry) {
        let (key, dialect, collection) = (row.parts(), row.dialect(), row.collection());
        return (!row.is_deposed()).then_some(Described {
            key,
            dialect,
            collection,
            declared: true,
        });
    }
    entry.verdict()?;
    let Identity { key, dialect, collection } = entry.detail.as_ref()?.identity.as_ref()?;
    Some(Described { key: key.parts(), dialect: *dialect, collection, declared: false })
}

#[cfg(test)]
mod tests;
