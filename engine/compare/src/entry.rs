//! What is known of one resource, and how it comes back from the history.
//!
//! An [`Entry`] is 88 bytes and there is one per resource; what only those need that are not simply
//! in sync stands in a [`Detail`] of their own.

use std::sync::Arc;

use deployforge_model::{
    Dialect, FindingKind, Key128, ResourceKey, Severity, Timestamp, UnknownReason, Verdict,
};
use deployforge_policy::Policy;
use serde::{Deserialize, Serialize};

use crate::diff::Skipped;
use crate::findings::OpenFinding;
use crate::shape::Attributes;

/// No row, no group.
const NONE: u32 = u32::MAX;

/// What is known of one resource.
#[derive(Debug)]
pub(crate) struct Entry {
    key: [u64; 2],
    /// Fingerprint of the raw slice last judged, or, before any, of the baseline's; 0: none.
    pub(crate) raw: u64,
    /// Canonical fingerprint last judged, or, before any, of the baseline's; 0: none.
    pub(crate) canonical: u64,
    version: u64,
    observed_at: i64,
    /// Sequence number of the epoch that last saw it.
    pub(crate) seen: u32,
    row: u32,
    /// The hashes of the baseline's attributes.
    pub(crate) attributes: Attributes,
    baseline: u16,
    /// Where its checks are counted.
    pub(crate) group: u16,
    verdict: Option<Verdict>,
    reason: Option<UnknownReason>,
    /// In whose words the baseline speaks.
    dialect: Dialect,
    /// Which facts hold; see the constants.
    facts: u8,
    /// The partition whose observations it comes of.
    pub(crate) owner: Owner,
    /// What only resources that are not simply in sync need.
    pub(crate) detail: Option<Box<Detail>>,
}

const HAS_VERSION: u8 = 1;
const HAS_TIME: u8 = 2;
/// Another declaration contradicts the baseline's.
const CLAIMED_TWICE: u8 = 4;
/// It comes from the history, and was judged against the baseline that is loaded.
const RECALLED: u8 = 8;
/// Its verdict was put out.
const PUT_OUT: u8 = 16;
/// Its row in the baseline cannot be compared just so: deposed, or declared twice.
const SPECIAL: u8 = 32;
/// It was settled by something else than an observation since it was last kept.
const SETTLED: u8 = 64;
/// It is in sync by a state that is not the baseline's, and that the history does not hold.
const OTHERWISE: u8 = 128;

/// The partition of a stream to which the state of a resource belongs, as one process numbers those that
/// it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub u16);

impl Owner {
    /// No partition: files, and what was never observed.
    pub const NONE: Self = Self(0);
}

#[derive(Debug, Default)]
pub(crate) struct Detail {
    /// The identity of a resource that no baseline row holds.
    pub(crate) identity: Option<Identity>,
    pub(crate) findings: Vec<OpenFinding>,
    pub(crate) state_hash: Option<Box<str>>,
    pub(crate) score: f64,
    /// How many of the declared attributes were not compared.
    pub(crate) skipped: u32,
    /// Which they are, where that is asked for.
    pub(crate) skips: Box<[Skipped]>,
    /// In whose words it was last observed, where those are not its declaration's.
    pub(crate) across: Option<Across>,
}

/// Other words than the declaration's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Across {
    /// Whose.
    pub(crate) dialect: Dialect,
    /// The type in these words; empty: not known any more.
    pub(crate) resource_type: Box<str>,
}

/// Who a resource is that no baseline declares.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) key: Arc<ResourceKey>,
    pub(crate) dialect: Dialect,
    /// The collection that last listed it; empty: none.
    pub(crate) collection: Box<str>,
}

/// A verdict as it is put out, to see whether it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PutOut {
    verdict: Option<Verdict>,
    reason: Option<UnknownReason>,
    score_bits: u64,
    severity: Option<Severity>,
    findings: usize,
    skipped: u32,
    otherwise: bool,
}

impl Entry {
    pub(crate) fn new(key: Key128) -> Self {
        Self {
            key: [key.0 as u64, (key.0 >> 64) as u64],
            raw: 0,
            canonical: 0,
            version: 0,
            observed_at: 0,
            seen: 0,
            row: NONE,
            attributes: Attributes::NONE,
            baseline: 0,
            group: u16::MAX,
            verdict: None,
            reason: None,
            dialect: Dialect::Native,
            facts: 0,
            owner: Owner::NONE,
            detail: None,
        }
    }

    #[inline]
    pub(crate) fn is(&self, key: Key128) -> bool {
        self.key == [key.0 as u64, (key.0 >> 64) as u64]
    }

    pub(crate) fn key(&self) -> Key128 {
        Key128(u128::from(self.key[0]) | u128::from(self.key[1]) << 64)
    }

    fn set(&mut self, fact: u8, holds: bool) {
        self.facts = if holds { self.facts | fact } else { self.facts & !fact };
    }

    /// Which baseline and which row of it, if any declares the resource.
    #[inline]
    pub(crate) fn baseline(&self) -> Option<(u16, u32)> {
        (self.row != NONE).then_some((self.baseline, self.row))
    }

    pub(crate) fn declare(&mut self, baseline: u16, row: u32, dialect: Dialect, special: bool) {
        (self.baseline, self.row, self.dialect) = (baseline, row, dialect);
        self.set(SPECIAL, special);
    }

    pub(crate) fn claimed_twice(&self) -> bool {
        self.facts & CLAIMED_TWICE != 0
    }

    pub(crate) fn claim_twice(&mut self) {
        self.set(CLAIMED_TWICE, true);
    }

    pub(crate) fn recalled(&self) -> bool {
        self.facts & RECALLED != 0
    }

    pub(crate) fn set_recalled(&mut self, recalled: bool) {
        self.set(RECALLED, recalled);
    }

    /// Whether it is in sync by a state that is not the baseline's, and that the history does not hold: by
    /// other rules it may not be, and nobody could tell.
    pub(crate) fn is_otherwise(&self) -> bool {
        self.facts & OTHERWISE != 0
    }

    pub(crate) fn set_otherwise(&mut self, otherwise: bool) {
        self.set(OTHERWISE, otherwise);
    }

    /// The hash of its last state as a verdict's row bears it: empty for one that the history does not
    /// hold.
    pub(crate) fn told_hash(&self) -> Option<&str> {
        self.state_hash().or(self.is_otherwise().then_some(""))
    }

    /// Whether it was settled by something else than an observation since it was last kept.
    pub(crate) fn was_settled(&self) -> bool {
        self.facts & SETTLED != 0
    }

    pub(crate) fn set_settled(&mut self, settled: bool) {
        self.set(SETTLED, settled);
    }

    /// An observation of a partition is about it; whether those before were another's.
    #[inline]
    pub(crate) fn belongs(&mut self, owner: Owner) -> bool {
        let before = std::mem::replace(&mut self.owner, owner);
        before != owner && before != Owner::NONE
    }

    /// What is known of it is its partition's, which goes: only what the baseline says stays. The
    /// baseline's fingerprints are not known any more.
    pub(crate) fn forget(&mut self) {
        self.facts &= SPECIAL | CLAIMED_TWICE;
        (self.raw, self.canonical, self.version, self.observed_at, self.seen) = (0, 0, 0, 0, 0);
        (self.verdict, self.reason, self.detail) = (None, None, None);
        self.owner = Owner::NONE;
    }

    /// Whether it is in sync, as was put out, and nothing more is known of it.
    pub(crate) fn is_simple(&self) -> bool {
        self.verdict == Some(Verdict::InSync) && self.detail.is_none() && self.facts & PUT_OUT != 0
    }

    /// Whether its verdict was put out.
    pub(crate) fn is_put_out(&self) -> bool {
        self.facts & PUT_OUT != 0
    }

    /// Takes up a verdict that was put out before.
    pub(crate) fn take_up(
        &mut self,
        (verdict, reason): (Option<Verdict>, Option<UnknownReason>),
        put_out: bool,
        detail: Option<Box<Detail>>,
    ) {
        (self.verdict, self.reason, self.detail) = (verdict, reason, detail);
        self.set(PUT_OUT, put_out);
    }

    #[inline]
    pub(crate) fn version(&self) -> Option<u64> {
        (self.facts & HAS_VERSION != 0).then_some(self.version)
    }

    #[inline]
    pub(crate) fn set_version(&mut self, version: Option<u64>) {
        self.version = version.unwrap_or(0);
        self.set(HAS_VERSION, version.is_some());
    }

    #[inline]
    pub(crate) fn observed_at(&self) -> Option<Timestamp> {
        (self.facts & HAS_TIME != 0).then_some(Timestamp(self.observed_at))
    }

    #[inline]
    pub(crate) fn set_observed_at(&mut self, time: Option<Timestamp>) {
        self.observed_at = time.map_or(0, Timestamp::micros);
        self.set(HAS_TIME, time.is_some());
    }

    #[inline]
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    pub(crate) fn reason(&self) -> Option<UnknownReason> {
        self.reason
    }

    pub(crate) fn score(&self) -> f64 {
        self.detail.as_ref().map_or(0.0, |detail| detail.score)
    }

    /// Whether the short way holds: a baseline row that can be compared just so, nothing in dispute.
    #[inline]
    pub(crate) fn is_plain(&self, dialect: Dialect) -> bool {
        self.facts & (SPECIAL | CLAIMED_TWICE) == 0
            && self.row != NONE
            && self.dialect == dialect
            && self.reason.is_none()
    }

    /// Whether no observation of it is known.
    #[inline]
    pub(crate) fn is_untouched(&self) -> bool {
        self.verdict.is_none() && self.facts & (PUT_OUT | HAS_TIME | HAS_VERSION) == 0
    }

    /// Settles that a resource without detail is in sync; whether that is the first verdict put out.
    #[inline]
    pub(crate) fn settle_in_sync(&mut self) -> bool {
        self.verdict = Some(Verdict::InSync);
        self.set_otherwise(false);
        let first = self.facts & PUT_OUT == 0;
        self.facts |= PUT_OUT;
        first
    }

    /// Takes a new judgement; what was put out before, if anything was.
    pub(crate) fn settle(
        &mut self,
        (verdict, reason): (Option<Verdict>, Option<UnknownReason>),
        (score, skipped): (f64, u32),
        findings: Vec<OpenFinding>,
        otherwise: bool,
    ) -> Option<PutOut> {
        let before = (self.facts & PUT_OUT != 0).then(|| self.put_out());
        self.set_otherwise(otherwise);
        self.verdict = verdict;
        self.reason = reason;
        if self.detail.is_some() || !findings.is_empty() || score != 0.0 || skipped != 0 {
            let detail = self.detail();
            detail.findings = findings;
            detail.score = score;
            detail.skipped = skipped;
        }
        self.set(PUT_OUT, true);
        before
    }

    /// Takes note of which attributes were not compared.
    pub(crate) fn tell_skips(&mut self, skips: Vec<Skipped>) {
        if let Some(detail) = &mut self.detail {
            detail.skips = skips.into();
        }
    }

    /// The verdict as it is put out.
    pub(crate) fn put_out(&self) -> PutOut {
        PutOut {
            verdict: self.verdict,
            reason: self.reason,
            score_bits: self.score().to_bits(),
            severity: self.severity(),
            findings: self.findings().iter().filter(|finding| finding.counts()).count(),
            skipped: self.skipped(),
            otherwise: self.is_otherwise(),
        }
    }

    /// Takes up what the history last knew.
    pub(crate) fn restore(&mut self, mut restored: Restored) {
        let otherwise = restored.state_hash.take_if(|hash| hash.is_empty()).is_some();
        self.set_otherwise(otherwise);
        self.verdict = restored.verdict;
        self.reason = restored.reason;
        self.set_version(restored.version);
        self.set_observed_at(restored.observed_at);
        self.set(PUT_OUT, true);
        let declared = self.baseline().is_some();
        let plain = restored.verdict == Some(Verdict::InSync) && restored.findings.is_empty();
        if otherwise || !(plain && declared) {
            // What was seen last is not what the baseline says, and is not known here.
            self.raw = 0;
            self.canonical = 0;
        }
        let across = (declared && restored.dialect != self.dialect)
            .then(|| Across { dialect: restored.dialect, resource_type: "".into() });
        if declared
            && across.is_none()
            && restored.findings.is_empty()
            && restored.state_hash.is_none()
            && restored.score == 0.0
            && restored.skipped == 0
        {
            return;
        }
        let detail = self.detail();
        detail.across = across;
        detail.score = restored.score;
        detail.skipped = restored.skipped;
        detail.state_hash = restored.state_hash;
        detail.findings = restored.findings;
        if !declared {
            // The history does not keep the collection: a listing of it finds this one again.
            let Restored { key, dialect, .. } = restored;
            detail.identity = Some(Identity { key, dialect, collection: "".into() });
        }
    }

    /// Goes on from what another comparator knew, but for fingerprints and where the resource stands in
    /// a baseline. `identity`: who it is, if no baseline declares it any more.
    pub(crate) fn succeed(&mut self, known: Self, identity: Option<Identity>) {
        const KNOWN: u8 = HAS_VERSION | HAS_TIME | PUT_OUT | OTHERWISE;
        self.facts = self.facts & !KNOWN | known.facts & KNOWN;
        (self.version, self.observed_at, self.seen) =
            (known.version, known.observed_at, known.seen);
        self.owner = known.owner;
        self.set_settled(true);
        (self.verdict, self.reason, self.detail) = (known.verdict, known.reason, known.detail);
        if let Some(identity) = identity {
            self.detail().identity = Some(identity);
        } else if let Some(detail) = &mut self.detail
            && self.row != NONE
        {
            detail.identity = None;
        }
    }

    /// The hash of its last state in the history, if it stands there.
    pub(crate) fn state_hash(&self) -> Option<&str> {
        self.detail.as_ref()?.state_hash.as_deref()
    }

    /// In whose words it was last observed, where those are not its declaration's.
    pub(crate) fn across(&self) -> Option<&Across> {
        self.detail.as_ref()?.across.as_ref()
    }

    /// Takes note of it.
    pub(crate) fn set_across(&mut self, across: Option<Across>) {
        if self.detail.is_some() || across.is_some() {
            self.detail().across = across;
        }
    }

    /// Who it is, if no baseline declares it.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.detail.as_ref()?.identity.as_ref()
    }

    pub(crate) fn detail(&mut self) -> &mut Detail {
        self.detail.get_or_insert_default()
    }

    /// How many of the declared attributes were not compared.
    pub(crate) fn skipped(&self) -> u32 {
        self.detail.as_ref().map_or(0, |detail| detail.skipped)
    }

    /// Which they are, where that was asked for.
    pub(crate) fn skips(&self) -> &[Skipped] {
        self.detail.as_ref().map_or(&[], |detail| &detail.skips)
    }

    pub(crate) fn findings(&self) -> &[OpenFinding] {
        self.detail.as_ref().map_or(&[], |detail| &detail.findings)
    }

    /// Whether it is missing, or declared by none, and a rule ignores that.
    pub(crate) fn is_ignored(&self) -> bool {
        self.verdict.and_then(FindingKind::of_whole).is_some()
            && self.findings().iter().any(|one| one.kind.is_whole() && one.fold().is_some())
    }

    /// The worst severity of what is open.
    pub(crate) fn severity(&self) -> Option<Severity> {
        let verdict = self.verdict.filter(|_| !self.is_ignored())?;
        Policy::verdict_severity(verdict).or_else(|| {
            (verdict == Verdict::Drifted)
                .then(|| self.findings().iter().filter(|f| f.counts()).map(|f| f.severity).max())
                .flatten()
        })
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
    pub skipped: u32,
    pub version: Option<u64>,
    pub observed_at: Option<Timestamp>,
    pub baseline: Option<Box<str>>,
    pub baseline_version: u32,
    pub state_hash: Option<Box<str>>,
    pub findings: Vec<OpenFinding>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 88, "{}", size_of::<Entry>());
    }
}
