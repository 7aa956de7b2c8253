//! The report of an audit: the JSON contract, the table, the exit code.

use std::collections::BTreeMap;
use std::io::Write;

use deployforge_canon::{Fold, Node};
use deployforge_compare::{Comparator, OpenFinding, ResourceView, Skipped};
use deployforge_model::{ResourceKey, Severity, UnknownReason, Verdict};
use deployforge_policy::Ignoring;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::{FailOn, Judge};
use crate::error::{CommandResult, Outcome};

mod text;

pub(crate) use text::value;

/// `audit --format json`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) summary: Summary,
    pub(crate) resources: Vec<ResourceReport>,
}

/// Counts over all resources.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Summary {
    /// Compared with their baseline: in sync or drifted.
    pub(crate) checked: u64,
    pub(crate) in_sync: u64,
    pub(crate) drifted: u64,
    pub(crate) missing: u64,
    pub(crate) unmanaged: u64,
    pub(crate) unknown: u64,
    /// Missing or unmanaged, and a rule ignores that.
    pub(crate) ignored: u64,
    /// Findings that count.
    pub(crate) findings: u64,
    /// Differences that a normaliser or a rule suppressed.
    pub(crate) suppressed: u64,
    /// The same by what suppressed them: a normaliser, or `rule:NAME`.
    pub(crate) suppressed_by: BTreeMap<String, u64>,
    /// The share of resources that could be judged, 0 to 1.
    pub(crate) coverage: f64,
    /// What could not be judged, by the reason.
    pub(crate) unknown_by: BTreeMap<&'static str, u64>,
    /// Resources and what of them could not be judged, by environment and by type, where that is any.
    pub(crate) coverage_by: CoverageBy,
    /// Attributes of what is in sync or drifted.
    pub(crate) attributes: Attributes,
    /// The mean drift score of what was checked or is missing.
    pub(crate) score: f64,
    pub(crate) by_severity: BySeverity,
}

/// Where resources could not be judged.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct CoverageBy {
    pub(crate) environment: BTreeMap<String, Coverage>,
    #[serde(rename = "type")]
    pub(crate) kind: BTreeMap<String, Coverage>,
}

/// How much could be judged.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Coverage {
    pub(crate) resources: u64,
    pub(crate) unknown: u64,
}

/// Declared attributes, and how many of them were compared.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Attributes {
    pub(crate) declared: u64,
    pub(crate) compared: u64,
}

impl CoverageBy {
    /// Counts groups together that have the same environment, or type, and keeps what is not complete.
    fn of(groups: impl Iterator<Item = (String, String, Coverage)>) -> Self {
        let mut all = Self::default();
        for (environment, kind, coverage) in groups {
            for (by, name) in [(&mut all.environment, environment), (&mut all.kind, kind)] {
                let sum = by.entry(name).or_default();
                sum.resources += coverage.resources;
                sum.unknown += coverage.unknown;
            }
        }
        all.environment.retain(|_, coverage| coverage.unknown > 0);
        all.kind.retain(|_, coverage| coverage.unknown > 0);
        all
    }
}

/// Findings by severity; a missing or unmanaged resource counts as one.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct BySeverity {
    pub(crate) critical: u64,
    pub(crate) degraded: u64,
    pub(crate) informational: u64,
}

/// A resource that is not in sync.
#[derive(Debug, Serialize)]
pub(crate) struct ResourceReport {
    pub(crate) key: ResourceKey,
    pub(crate) address: Option<String>,
    pub(crate) verdict: Verdict,
    /// Its declaration says that it is to be replaced.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) tainted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<UnknownReason>,
    pub(crate) score: f64,
    pub(crate) severity: Option<Severity>,
    pub(crate) findings: Vec<FindingReport>,
    /// What a normaliser or a rule suppressed, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) suppressed: Vec<SuppressedReport>,
    /// Declared attributes that were not compared, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) not_compared: Vec<SkippedReport>,
}

/// A part of the declaration that was not compared.
#[derive(Debug, Serialize)]
pub(crate) struct SkippedReport {
    pub(crate) path: String,
    /// How many declared attributes it spans.
    pub(crate) attributes: u32,
    /// `unmapped`, `unresolved`, or the fold by which any value will do.
    pub(crate) reason: &'static str,
}

impl SkippedReport {
    fn all(skipped: &[Skipped]) -> Vec<Self> {
        let of = |one: &Skipped| Self {
            path: one.path.clone(),
            attributes: one.leaves,
            reason: one.why.name(),
        };
        let mut all: Vec<Self> = skipped.iter().filter(|one| one.leaves > 0).map(of).collect();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }
}

/// A difference that a normaliser or a rule suppressed.
#[derive(Debug, Serialize)]
pub(crate) struct SuppressedReport {
    #[serde(flatten)]
    pub(crate) finding: FindingReport,
    /// The normaliser, or `rule:NAME`.
    pub(crate) fold: String,
    /// What it says.
    pub(crate) because: String,
}

impl SuppressedReport {
    fn new(finding: FindingReport, fold: &str, ignoring: &Ignoring) -> Self {
        let known = Fold::ALL.iter().find(|one| one.name() == fold);
        let because = known.map(|fold| fold.meaning().trim()).or(ignoring.because(fold));
        let because = because.unwrap_or_default().to_owned();
        Self { finding, fold: fold.to_owned(), because }
    }
}

/// A difference.
#[derive(Debug, Serialize)]
pub(crate) struct FindingReport {
    pub(crate) path: String,
    pub(crate) kind: deployforge_model::FindingKind,
    pub(crate) expected: Box<RawValue>,
    pub(crate) observed: Box<RawValue>,
    pub(crate) severity: Severity,
}

impl FindingReport {
    pub(crate) fn of(finding: &OpenFinding) -> Self {
        Self {
            path: finding.path().to_owned(),
            kind: finding.kind,
            expected: raw(finding.expected()),
            observed: raw(finding.observed()),
            severity: finding.severity,
        }
    }
}

/// Canonical JSON text as JSON; nothing is null.
pub(crate) fn raw(text: Option<&str>) -> Box<RawValue> {
    RawValue::from_string(text.unwrap_or("null").to_owned())
        .unwrap_or_else(|_| RawValue::NULL.to_owned())
}

impl Summary {
    fn add(&mut self, resource: &ResourceView<'_>) {
        match resource.verdict {
            _ if resource.ignored => self.ignored += 1,
            Verdict::InSync => self.in_sync += 1,
            Verdict::Drifted => self.drifted += 1,
            Verdict::Missing => self.missing += 1,
            Verdict::Unmanaged => self.unmanaged += 1,
            Verdict::Unknown => {
                self.unknown += 1;
                let reason = resource.reason.map_or("", UnknownReason::name);
                *self.unknown_by.entry(reason).or_default() += 1;
            }
        }
        let leaves = resource.leaves();
        self.attributes.declared += u64::from(leaves);
        self.attributes.compared += u64::from(leaves.saturating_sub(resource.skipped));
        for finding in resource.findings {
            if finding.counts() {
                self.findings += 1;
                self.by_severity.add(finding.severity);
            } else if let Some(fold) = finding.fold() {
                self.suppressed += 1;
                match self.suppressed_by.get_mut(fold) {
                    Some(count) => *count += 1,
                    None => _ = self.suppressed_by.insert(fold.to_owned(), 1),
                }
            }
        }
        if matches!(resource.verdict, Verdict::Missing | Verdict::Unmanaged)
            && let Some(severity) = resource.severity
        {
            self.by_severity.add(severity);
        }
        if matches!(resource.verdict, Verdict::InSync | Verdict::Drifted | Verdict::Missing)
            && !resource.ignored
        {
            self.score += resource.score;
        }
    }

    fn finish(&mut self) {
        self.checked = self.in_sync + self.drifted;
        let scored = self.checked + self.missing;
        self.score = if scored > 0 { round(self.score / scored as f64) } else { 0.0 };
        let all = scored + self.unmanaged + self.unknown + self.ignored;
        self.coverage = if all > 0 { (all - self.unknown) as f64 / all as f64 } else { 0.0 };
    }

    /// The summary of those resources of a comparator that are `concerned`.
    pub(crate) fn of(
        comparator: &Comparator,
        concerned: impl Fn(&ResourceView<'_>) -> bool,
    ) -> Self {
        let mut summary = Self::default();
        let mut groups: Vec<Coverage> = Vec::new();
        for resource in comparator.resources().filter(concerned) {
            summary.add(&resource);
            let group = usize::from(resource.group);
            if group >= groups.len() {
                groups.resize(group + 1, Coverage::default());
            }
            groups[group].resources += 1;
            groups[group].unknown += u64::from(resource.verdict == Verdict::Unknown);
        }
        let named = groups.into_iter().enumerate().filter_map(|(group, coverage)| {
            let (environment, kind) = comparator.group(group as u16)?;
            Some((environment.to_string(), kind.to_string(), coverage))
        });
        summary.coverage_by = CoverageBy::of(named);
        summary.finish();
        summary
    }

    /// The exit code: trouble before drift before coverage.
    pub(crate) fn outcome(&self, judge: &Judge, trouble: bool) -> Outcome {
        let known = self.checked + self.missing + self.unmanaged + self.unknown + self.ignored;
        if trouble || known == 0 {
            return Outcome::Trouble;
        }
        let BySeverity { critical, degraded, informational } = self.by_severity;
        let failing = match judge.fail_on.unwrap_or(FailOn::Informational) {
            FailOn::Informational => critical + degraded + informational,
            FailOn::Degraded => critical + degraded,
            FailOn::Critical => critical,
            FailOn::Never => 0,
        };
        if failing > 0 {
            return Outcome::Drift;
        }
        if judge.min_coverage.is_some_and(|least| self.coverage * 100.0 < least) {
            return Outcome::Coverage;
        }
        let Attributes { declared, compared } = self.attributes;
        let share = compared as f64 / declared.max(1) as f64;
        if declared > 0 && judge.min_attributes.is_some_and(|least| share * 100.0 < least) {
            return Outcome::Coverage;
        }
        // Nothing was compared although there was something to compare: not a success.
        if self.checked == 0 && self.unknown > 0 { Outcome::Trouble } else { Outcome::Ok }
    }
}

impl BySeverity {
    fn add(&mut self, severity: Severity) {
        match severity {
            Severity::Critical => self.critical += 1,
            Severity::Degraded => self.degraded += 1,
            Severity::Informational => self.informational += 1,
        }
    }
}

/// Scores and shares to four places: enough for people, the same on every machine.
pub(crate) fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

impl Report {
    /// What the baselines declare and what was observed by this process (the history may know
    /// more), what is in sync only counted; sorted by severity, then
    /// score, then key, so that it is the same whatever the order of input.
    pub(crate) fn of(comparator: &Comparator, explain: bool) -> Self {
        let concerned = |resource: &ResourceView<'_>| resource.declared || resource.seen;
        let summary = Summary::of(comparator, concerned);
        let ignoring = comparator.policy().ignoring();
        let mut resources: Vec<ResourceReport> = comparator
            .resources()
            .filter(concerned)
            .filter(|resource| {
                let more = !resource.findings.is_empty() || !resource.skips.is_empty();
                (resource.verdict != Verdict::InSync && !resource.ignored) || (explain && more)
            })
            .map(|resource| {
                let mut findings: Vec<FindingReport> = resource
                    .findings
                    .iter()
                    .filter(|finding| finding.fold().is_none())
                    .map(FindingReport::of)
                    .collect();
                findings.sort_by(|a, b| a.path.cmp(&b.path));
                let suppressed = resource.findings.iter().filter(|_| explain);
                let mut suppressed: Vec<SuppressedReport> = suppressed
                    .filter_map(|one| {
                        Some(SuppressedReport::new(FindingReport::of(one), one.fold()?, ignoring))
                    })
                    .collect();
                suppressed.sort_by(|a, b| a.finding.path.cmp(&b.finding.path));
                ResourceReport {
                    address: resource.address().map(str::to_owned),
                    verdict: resource.verdict,
                    tainted: resource.is_tainted(),
                    reason: resource.reason,
                    score: round(resource.score),
                    severity: resource.severity,
                    findings,
                    suppressed,
                    not_compared: SkippedReport::all(resource.skips),
                    key: resource.key(),
                }
            })
            .collect();
        resources.sort_by(|a, b| {
            b.severity
                .cmp(&a.severity)
                .then(b.score.total_cmp(&a.score))
                .then_with(|| a.key.cmp(&b.key))
        });
        Self { summary, resources }
    }

    /// One line per resource, then the summary.
    pub(crate) fn write_ndjson(&self, out: &mut dyn Write) -> std::io::Result<()> {
        for resource in &self.resources {
            serde_json::to_writer(&mut *out, resource)?;
            out.write_all(b"\n")?;
        }
        serde_json::to_writer(&mut *out, &serde_json::json!({ "summary": self.summary }))?;
        out.write_all(b"\n")
    }

    /// The JSON document of the contract.
    pub(crate) fn write_json(&self, out: &mut dyn Write) -> std::io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        out.write_all(b"\n")
    }
}

/// A comparison of two documents as one element of `resources`.
pub(crate) fn of_comparison(
    resource_type: &str,
    comparison: &deployforge_compare::Comparison,
    policy: &deployforge_policy::Policy,
    explain: bool,
) -> (ResourceReport, u64) {
    let (mut suppressed, mut explained) = (0, Vec::new());
    let mut findings = Vec::new();
    let text = |node: &Option<Node>| raw(node.as_ref().map(Node::to_json).as_deref());
    for difference in &comparison.differences {
        let finding = FindingReport {
            path: difference.path.clone(),
            kind: difference.kind,
            expected: text(&difference.expected),
            observed: text(&difference.observed),
            severity: policy.severity(resource_type, &difference.path, difference.kind),
        };
        match difference.fold {
            Some(fold) => {
                suppressed += 1;
                if explain {
                    explained.push(SuppressedReport::new(finding, fold.name(), policy.ignoring()));
                }
            }
            None => findings.push(finding),
        }
    }
    findings.sort_by(|a, b| a.path.cmp(&b.path));
    let drifted = comparison.differences.iter().any(deployforge_compare::Difference::counts);
    let severity = findings.iter().filter(|f| f.kind.counts()).map(|f| f.severity).max();
    let (verdict, reason) = match comparison.nothing_compared() {
        _ if drifted => (Verdict::Drifted, None),
        Some(reason) => (Verdict::Unknown, Some(reason)),
        None => (Verdict::InSync, None),
    };
    let report = ResourceReport {
        key: ResourceKey { resource_type: resource_type.to_owned(), ..ResourceKey::default() },
        address: None,
        verdict,
        tainted: false,
        reason,
        score: round(comparison.score),
        severity,
        findings,
        suppressed: explained,
        not_compared: if explain { SkippedReport::all(&comparison.skipped) } else { Vec::new() },
    };
    (report, suppressed)
}

/// Opens the file `path`, or stdout, and hands it to `write`.
pub(crate) fn write_to(
    path: Option<&std::path::Path>,
    write: impl FnOnce(&mut (dyn Write + Send)) -> std::io::Result<()>,
) -> CommandResult {
    use crate::error::CommandError;
    if let Some(path) = path {
        let failed = |error| CommandError::io(path.display(), &error);
        let mut file = std::io::BufWriter::new(std::fs::File::create(path).map_err(failed)?);
        write(&mut file).and_then(|()| file.flush()).map_err(failed)?;
    } else {
        let mut out = std::io::BufWriter::new(std::io::stdout());
        write(&mut out).and_then(|()| out.flush())?;
    }
    Ok(Outcome::Ok)
}
