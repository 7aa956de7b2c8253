//! What is known of one resource, and how it comes back from the history.

use std::sync::Arc;

use deployforge_model::{Dialect, ResourceKey, Severity, Timestamp, UnknownReason, Verdict};
use deployforge_policy::Policy;

use crate::output::OpenFinding;

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
    pub(crate) raw: u64,
    /// Canonical fingerprint last judged; 0: none.
    pub(crate) canonical: u64,
    pub(crate) version: Option<u64>,
    pub(crate) observed_at: Option<Timestamp>,
    /// Sequence number of the batch that last saw it.
    pub(crate) seen: u64,
    /// It comes from the history, and was judged against the baseline that is loaded.
    pub(crate) recalled: bool,
    pub(crate) put_out: Option<PutOut>,
    /// What only resources that are not simply in sync need.
    pub(crate) detail: Option<Box<Detail>>,
}

#[derive(Debug, Default)]
pub(crate) struct Detail {
    /// The identity of a resource that no baseline row holds.
    pub(crate) identity: Option<Identity>,
    pub(crate) findings: Vec<OpenFinding>,
    pub(crate) state_hash: Option<Box<str>>,
}

/// Who a resource is that no baseline declares.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) key: Arc<ResourceKey>,
    pub(crate) dialect: Dialect,
    /// The collection that last listed it; empty: none.
    pub(crate) collection: Box<str>,
}

/// A verdict as it was last put out, to see whether it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PutOut {
    pub(crate) verdict: Option<Verdict>,
    pub(crate) reason: Option<UnknownReason>,
    pub(crate) score_bits: u64,
    pub(crate) findings: u32,
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
            recalled: false,
            put_out: None,
            detail: None,
        }
    }

    /// Takes up what the history last knew.
    pub(crate) fn restore(&mut self, restored: Restored) {
        self.verdict = restored.verdict;
        self.reason = restored.reason;
        self.score = restored.score;
        self.leaves = restored.leaves;
        self.version = restored.version;
        self.observed_at = restored.observed_at;
        self.put_out = Some(PutOut {
            verdict: restored.verdict,
            reason: restored.reason,
            score_bits: restored.score.to_bits(),
            findings: restored.findings.iter().filter(|f| f.counts()).count() as u32,
        });
        let declared = self.baseline.is_some();
        if declared && restored.findings.is_empty() && restored.state_hash.is_none() {
            return;
        }
        let detail = self.detail();
        detail.state_hash = restored.state_hash;
        detail.findings = restored.findings;
        if !declared {
            // The history does not keep the collection: a listing of it finds this one again.
            let Restored { key, dialect, .. } = restored;
            detail.identity = Some(Identity { key, dialect, collection: "".into() });
        }
    }

    pub(crate) fn detail(&mut self) -> &mut Detail {
        self.detail.get_or_insert_default()
    }

    pub(crate) fn findings(&self) -> &[OpenFinding] {
        self.detail.as_ref().map_or(&[], |detail| &detail.findings)
    }

    /// The worst severity of what is open.
    pub(crate) fn severity(&self) -> Option<Severity> {
        let verdict = self.verdict?;
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
    pub leaves: u32,
    pub version: Option<u64>,
    pub observed_at: Option<Timestamp>,
    pub baseline_version: u32,
    pub state_hash: Option<Box<str>>,
    pub findings: Vec<OpenFinding>,
}
