//! What is known of a partition's resources, on its way out of a process and into another.
//!
//! State belongs to the partition whose observations it comes of. [`Comparator::keep`] gives what
//! changed of it since it was last kept, as rows of [`schema::checkpoint`]; [`Comparator::take_up`]
//! goes on from such rows, oldest first, as if this comparator had judged what they come of;
//! [`Comparator::forget`] lets a partition go. Fingerprints mean something only under the same seed,
//! rules and baselines: the caller sees to that.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, AsArray, BooleanBuilder, FixedSizeBinaryBuilder, Int64Builder, RecordBatch,
    StringBuilder, TimestampMicrosecondBuilder, UInt64Builder,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType, UInt64Type};
use deployforge_model::{
    Dialect, FindingKind, Key128, ResourceKey, Scope, Severity, Timestamp, UnknownReason, Verdict,
    schema,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::comparator::{Comparator, SHARDS, SweepState};
use crate::entry::{Across, Detail, Entry, Identity, Owner};
use crate::findings::OpenFinding;
use crate::shard::Context;

/// The member of a batch's metadata that holds the sweeps under way, as JSON.
const SWEEPS: &str = "sweeps";

/// Rows that are not those of a checkpoint.
#[derive(Debug, thiserror::Error)]
#[error("not a checkpoint of a partition: {0}")]
pub struct NotACheckpoint(String);

/// What taking up a checkpoint came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Rows taken up.
    pub rows: u64,
    /// Rows of resources that no baseline declares any more and of which nothing else is known.
    pub lost: u64,
}

/// What is known besides numbers of a resource that is not simply in sync.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct KeptDetail {
    verdict: Option<Verdict>,
    reason: Option<UnknownReason>,
    put_out: bool,
    /// The bits of the score, which are compared.
    score: u64,
    skipped: u32,
    state_hash: Option<Box<str>>,
    identity: Option<KeptIdentity>,
    findings: Vec<KeptFinding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    across: Option<Across>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptIdentity {
    key: ResourceKey,
    dialect: Dialect,
    collection: Box<str>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptFinding {
    path: String,
    kind: FindingKind,
    expected: Option<String>,
    observed: Option<String>,
    leaves: u32,
    severity: Severity,
    fold: Option<String>,
}

/// A sweep under way.
#[derive(Debug, Serialize, Deserialize)]
struct KeptSweep {
    source: String,
    id: String,
    at: i64,
    scopes: Vec<Scope>,
    dialects: Vec<Dialect>,
    complete: bool,
}

/// The columns of [`schema::checkpoint`], as they are filled.
#[derive(Debug)]
struct Rows {
    key128: FixedSizeBinaryBuilder,
    raw: UInt64Builder,
    canonical: UInt64Builder,
    version: UInt64Builder,
    observed_at: TimestampMicrosecondBuilder,
    seen: Int64Builder,
    otherwise: BooleanBuilder,
    detail: StringBuilder,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            key128: FixedSizeBinaryBuilder::new(16),
            raw: UInt64Builder::new(),
            canonical: UInt64Builder::new(),
            version: UInt64Builder::new(),
            observed_at: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            seen: Int64Builder::new(),
            otherwise: BooleanBuilder::new(),
            detail: StringBuilder::new(),
        }
    }
}

impl Rows {
    fn push(&mut self, entry: &Entry, seen: Option<i64>) {
        let key = entry.key().0.to_be_bytes();
        self.key128.append_value(key).expect("16 bytes");
        self.raw.append_value(entry.raw);
        self.canonical.append_value(entry.canonical);
        self.version.append_option(entry.version());
        self.observed_at.append_option(entry.observed_at().map(Timestamp::micros));
        self.seen.append_option(seen);
        self.otherwise.append_value(entry.is_otherwise());
        self.detail.append_option((!entry.is_simple()).then(|| detail_of(entry)));
    }

    fn finish(mut self, schema: SchemaRef) -> RecordBatch {
        RecordBatch::try_new(
            schema,
            vec![
                Arc::new(self.key128.finish()),
                Arc::new(self.raw.finish()),
                Arc::new(self.canonical.finish()),
                Arc::new(self.version.finish()),
                Arc::new(self.observed_at.finish()),
                Arc::new(self.seen.finish()),
                Arc::new(self.otherwise.finish()),
                Arc::new(self.detail.finish()),
            ],
        )
        .expect("the columns follow the schema")
    }
}

fn detail_of(entry: &Entry) -> String {
    let detail = entry.detail.as_deref();
    let findings = entry.findings().iter().map(|finding| KeptFinding {
        path: finding.path().to_owned(),
        kind: finding.kind,
        expected: finding.expected().map(str::to_owned),
        observed: finding.observed().map(str::to_owned),
        leaves: finding.leaves,
        severity: finding.severity,
        fold: finding.fold().map(str::to_owned),
    });
    let kept = KeptDetail {
        across: entry.across().cloned(),
        verdict: entry.verdict(),
        reason: entry.reason(),
        put_out: entry.is_put_out(),
        score: entry.score().to_bits(),
        skipped: entry.skipped(),
        state_hash: detail.and_then(|detail| detail.state_hash.clone()),
        identity: detail.and_then(|detail| detail.identity.as_ref()).map(|identity| KeptIdentity {
            key: (*identity.key).clone(),
            dialect: identity.dialect,
            collection: identity.collection.clone(),
        }),
        findings: findings.collect(),
    };
    serde_json::to_string(&kept).expect("plain data is JSON")
}

impl Comparator {
    /// What is known of the resources of each partition, as far as it changed since it was last kept:
    /// `since` gives what [`Comparator::mark`] was then, 0 for all there is, and `None` for a partition
    /// that is not asked for. A partition of which nothing changed has an empty batch.
    pub fn keep(
        &mut self,
        owners: &[Owner],
        since: &(dyn Fn(Owner) -> Option<u32> + Sync),
    ) -> BTreeMap<Owner, RecordBatch> {
        let sweeps = self.sweeps_by_owner();
        let seen = |entry: &Entry| -> Option<i64> {
            let newest = sweeps.get(&entry.owner)?.iter().rfind(|(since, _)| entry.seen >= *since);
            newest.map(|(_, at)| *at)
        };
        let found: Vec<BTreeMap<Owner, RecordBatch>> = self
            .shards
            .par_iter_mut()
            .map(|shard| {
                let mut rows: BTreeMap<Owner, Rows> = BTreeMap::new();
                for entry in shard.entries_mut().filter(|entry| entry.owner != Owner::NONE) {
                    let Some(since) = since(entry.owner) else { continue };
                    if entry.seen >= since || entry.was_settled() {
                        entry.set_settled(false);
                        rows.entry(entry.owner).or_default().push(entry, seen(entry));
                    }
                }
                let finish =
                    |(owner, rows): (Owner, Rows)| (owner, rows.finish(schema::checkpoint()));
                rows.into_iter().map(finish).collect()
            })
            .collect();
        let of = |owner: &Owner| {
            let batches = found.iter().filter_map(|found| found.get(owner));
            let all = concat_batches(&schema::checkpoint(), batches).expect("one schema");
            (*owner, self.with_sweeps(*owner, all))
        };
        owners.iter().map(of).collect()
    }

    /// The number of the next epoch: what is seen from now on is seen since then.
    pub fn mark(&self) -> u32 {
        self.sequence + 1
    }

    /// Sweeps under way in each partition, in the order of their beginning: the first epoch that sees
    /// what they list, and the offset.
    fn sweeps_by_owner(&self) -> HashMap<Owner, Vec<(u32, i64)>> {
        let mut sweeps: HashMap<Owner, Vec<(u32, i64)>> = HashMap::new();
        for ((_, owner, _), sweep) in &self.sweeps {
            sweeps.entry(*owner).or_default().push((sweep.since, sweep.at));
        }
        sweeps.values_mut().for_each(|sweeps| sweeps.sort_unstable());
        sweeps
    }

    fn with_sweeps(&self, owner: Owner, rows: RecordBatch) -> RecordBatch {
        let of = self.sweeps.iter().filter(|((_, of, _), _)| *of == owner);
        let mut sweeps: Vec<KeptSweep> = of
            .map(|((source, _, id), sweep)| KeptSweep {
                source: source.to_string(),
                id: id.clone(),
                at: sweep.at,
                scopes: sweep.scopes.clone(),
                dialects: sweep.dialects.iter().copied().collect(),
                complete: sweep.complete,
            })
            .collect();
        sweeps.sort_by_key(|sweep| sweep.at);
        let text = serde_json::to_string(&sweeps).expect("plain data is JSON");
        let mut schema = (*rows.schema()).clone();
        schema.metadata.insert(SWEEPS.to_owned(), text);
        rows.with_schema(Arc::new(schema)).expect("the same columns")
    }

    /// Goes on from what was kept of a partition, oldest first.
    pub fn take_up(&mut self, owner: Owner, kept: &[RecordBatch]) -> Result<Taken, NotACheckpoint> {
        let Some(last) = kept.last() else { return Ok(Taken::default()) };
        let schema = last.schema();
        let text = schema.metadata.get(SWEEPS).map_or("[]", String::as_str);
        let sweeps: Vec<KeptSweep> =
            serde_json::from_str(text).map_err(|error| NotACheckpoint(error.to_string()))?;
        let base = self.sequence;
        let offsets: Vec<i64> = sweeps.iter().map(|sweep| sweep.at).collect();
        // A row was seen by so many of the sweeps, the oldest first.
        let seen = |offset: Option<i64>| {
            base + offset.map_or(0, |offset| offsets.partition_point(|at| *at <= offset)) as u32
        };
        let mut taken = Taken::default();
        for batch in kept {
            self.take_up_rows(owner, batch, &seen, &mut taken)?;
        }
        for (i, sweep) in sweeps.into_iter().enumerate() {
            let KeptSweep { source, id, at, scopes, dialects, complete } = sweep;
            let dialects: HashSet<Dialect> = dialects.into_iter().collect();
            let since = base + i as u32 + 1;
            let state = SweepState { scopes, since, at, dialects, complete };
            self.sweeps.insert((source.into(), owner, id), state);
        }
        self.sequence = base + offsets.len() as u32;
        Ok(taken)
    }

    fn take_up_rows(
        &mut self,
        owner: Owner,
        batch: &RecordBatch,
        seen: &dyn Fn(Option<i64>) -> u32,
        taken: &mut Taken,
    ) -> Result<(), NotACheckpoint> {
        let columns = Columns::of(batch)?;
        let seed = self.context.settings.seed;
        for row in 0..batch.num_rows() {
            let detail = columns.detail(row)?;
            let identity = detail.as_ref().and_then(|detail| detail.identity.as_ref());
            let key = columns.key(row);
            if identity.is_some_and(|identity| identity.key.hash128(seed) != key) {
                return Err(NotACheckpoint("it was made under another seed".to_owned()));
            }
            let entry = self.shards[key.shard(SHARDS)].entry(key);
            if entry.baseline().is_none() && identity.is_none() {
                taken.lost += 1;
                continue;
            }
            let when = (columns.version(row), columns.observed_at(row));
            // Two partitions that speak of one resource: what is newer counts.
            let strange = entry.owner != owner && entry.owner != Owner::NONE;
            if strange && (entry.version(), entry.observed_at()) > when {
                continue;
            }
            taken.rows += 1;
            entry.owner = owner;
            entry.seen = seen(columns.seen(row));
            (entry.raw, entry.canonical) = (columns.raw.value(row), columns.canonical.value(row));
            entry.set_version(when.0);
            entry.set_observed_at(when.1);
            entry.set_recalled(false);
            entry.set_settled(false);
            revive(&self.context, entry, detail);
            entry.set_otherwise(columns.otherwise.value(row));
        }
        Ok(())
    }

    /// Lets a partition go: what is known of its resources is another process's to know.
    pub fn forget(&mut self, owner: Owner) {
        self.sweeps.retain(|(_, of, _), _| *of != owner);
        self.shards.par_iter_mut().for_each(|shard| {
            for entry in shard.entries_mut().filter(|entry| entry.owner == owner) {
                entry.forget();
            }
        });
    }
}

/// Gives an entry back what is known of it besides numbers.
fn revive(context: &Context, entry: &mut Entry, kept: Option<KeptDetail>) {
    let Some(kept) = kept else {
        return entry.take_up((Some(Verdict::InSync), None), true, None);
    };
    let KeptDetail {
        verdict,
        reason,
        put_out,
        score,
        skipped,
        state_hash,
        identity,
        findings,
        across,
    } = kept;
    let score = f64::from_bits(score);
    let findings: Vec<OpenFinding> = findings
        .iter()
        .map(|one| {
            let values = (one.expected.as_deref(), one.observed.as_deref());
            let fold = one.fold.as_deref();
            OpenFinding::new(&one.path, one.kind, values, one.leaves, one.severity, fold)
        })
        .collect();
    let declared = entry.baseline().is_some();
    let identity =
        identity.filter(|_| !declared).map(|KeptIdentity { key, dialect, collection }| {
            let [provider, account, region, resource_type, _] = key.parts();
            let environment = context.settings.policy.environment(provider, account, region);
            entry.group = context.groups.of(environment, provider, resource_type);
            Identity { key: Arc::new(key), dialect, collection }
        });
    let empty = identity.is_none()
        && findings.is_empty()
        && state_hash.is_none()
        && score == 0.0
        && skipped == 0
        && across.is_none();
    let detail =
        Detail { identity, findings, state_hash, score, skipped, skips: Box::default(), across };
    entry.take_up((verdict, reason), put_out, (!empty).then(|| Box::new(detail)));
}

/// The columns of a batch, by name.
struct Columns<'a> {
    key128: &'a arrow::array::FixedSizeBinaryArray,
    raw: &'a arrow::array::UInt64Array,
    canonical: &'a arrow::array::UInt64Array,
    version: &'a arrow::array::UInt64Array,
    observed_at: &'a arrow::array::TimestampMicrosecondArray,
    seen: &'a arrow::array::Int64Array,
    otherwise: &'a arrow::array::BooleanArray,
    detail: &'a arrow::array::StringArray,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, NotACheckpoint> {
        let wrong =
            |name: &str| NotACheckpoint(format!("its column `{name}` is not as it should be"));
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| wrong(name));
        let number =
            |name: &str| column(name)?.as_primitive_opt::<UInt64Type>().ok_or_else(|| wrong(name));
        let columns = Self {
            key128: column("key128")?
                .as_fixed_size_binary_opt()
                .filter(|keys| keys.value_length() == 16)
                .ok_or_else(|| wrong("key128"))?,
            raw: number("raw")?,
            canonical: number("canonical")?,
            version: number("version")?,
            observed_at: column("observed_at")?
                .as_primitive_opt::<TimestampMicrosecondType>()
                .ok_or_else(|| wrong("observed_at"))?,
            seen: column("seen")?.as_primitive_opt::<Int64Type>().ok_or_else(|| wrong("seen"))?,
            otherwise: column("otherwise")?.as_boolean_opt().ok_or_else(|| wrong("otherwise"))?,
            detail: column("detail")?.as_string_opt::<i32>().ok_or_else(|| wrong("detail"))?,
        };
        Ok(columns)
    }

    fn key(&self, row: usize) -> Key128 {
        let bytes = self.key128.value(row).try_into().expect("16 bytes");
        Key128(u128::from_be_bytes(bytes))
    }

    fn version(&self, row: usize) -> Option<u64> {
        self.version.is_valid(row).then(|| self.version.value(row))
    }

    fn observed_at(&self, row: usize) -> Option<Timestamp> {
        self.observed_at.is_valid(row).then(|| Timestamp(self.observed_at.value(row)))
    }

    fn seen(&self, row: usize) -> Option<i64> {
        self.seen.is_valid(row).then(|| self.seen.value(row))
    }

    fn detail(&self, row: usize) -> Result<Option<KeptDetail>, NotACheckpoint> {
        let text = self.detail.is_valid(row).then(|| self.detail.value(row));
        text.map(serde_json::from_str)
            .transpose()
            .map_err(|error| NotACheckpoint(format!("a detail cannot be read: {error}")))
    }
}
