//! What is known now, for listing.

use std::sync::Arc;

use deployforge_model::{ResourceKey, Severity, UnknownReason, Verdict};

use crate::comparator::Comparator;
use crate::diff::Skipped;
use crate::findings::OpenFinding;
use crate::rows::BaselineRow;

/// One resource as it is now, for listing.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the fields of the JSON that `audit` prints
pub struct ResourceView<'a> {
    name: Name<'a>,
    pub verdict: Verdict,
    pub reason: Option<UnknownReason>,
    pub score: f64,
    pub severity: Option<Severity>,
    pub findings: &'a [OpenFinding],
    /// A loaded baseline declares it.
    pub declared: bool,
    /// This process observed it.
    pub seen: bool,
    /// How many of the declared attributes were not compared.
    pub skipped: u32,
    /// Which they are, if [`Settings::explain`](crate::Settings::explain) asks for it.
    pub skips: &'a [Skipped],
    /// It is missing, or declared by none, and a rule ignores that.
    pub ignored: bool,
    /// Its group: see [`Comparator::group`].
    pub group: u16,
}

/// Where a resource's key stands. Who only counts does not read it: it lies in a file, a place of its
/// own for each part.
#[derive(Clone, Debug)]
enum Name<'a> {
    Declared(BaselineRow<'a>),
    Observed(&'a ResourceKey),
}

impl<'a> ResourceView<'a> {
    /// What it is known by.
    pub fn key(&self) -> ResourceKey {
        match self.name {
            Name::Declared(row) => row.key(),
            Name::Observed(key) => key.clone(),
        }
    }

    /// How many attributes its declaration has, if it was compared with one.
    pub fn leaves(&self) -> u32 {
        match (&self.name, self.verdict) {
            (Name::Declared(row), Verdict::InSync | Verdict::Drifted) => row.leaves(),
            _ => 0,
        }
    }

    /// Whether its declaration says that it is to be replaced.
    pub fn is_tainted(&self) -> bool {
        matches!(&self.name, Name::Declared(row) if row.is_tainted())
    }

    /// What its declaration calls it.
    pub fn address(&self) -> Option<&'a str> {
        match self.name {
            Name::Declared(row) => row.address(),
            Name::Observed(_) => None,
        }
    }
}

impl Comparator {
    /// Every resource with a verdict, or declared without one (`unknown`, `unobserved`).
    pub fn resources(&self) -> impl Iterator<Item = ResourceView<'_>> {
        self.entries().filter_map(|entry| {
            let declared = self.context.row(entry);
            if entry.verdict().is_none() && declared.is_none_or(|row| row.is_deposed()) {
                return None;
            }
            let name = match declared {
                Some(row) => Name::Declared(row),
                None => Name::Observed(&entry.detail.as_ref()?.identity.as_ref()?.key),
            };
            let unobserved = entry.verdict().is_none().then_some(UnknownReason::Unobserved);
            Some(ResourceView {
                name,
                verdict: entry.verdict().unwrap_or(Verdict::Unknown),
                reason: entry.reason().or(unobserved),
                score: entry.score(),
                severity: entry.severity(),
                findings: entry.findings(),
                declared: declared.is_some(),
                seen: entry.seen > 0,
                skipped: entry.skipped(),
                skips: entry.skips(),
                ignored: entry.is_ignored(),
                group: entry.group,
            })
        })
    }

    /// Environment and type of the resources of a group; `None` for one that has no name.
    pub fn group(&self, group: u16) -> Option<(Arc<str>, Arc<str>)> {
        self.context.groups.parts(group)
    }
}
