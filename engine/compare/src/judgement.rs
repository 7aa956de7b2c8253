//! What is said of one resource, before it is compared with what was known, and rules by which some of
//! what differs does not count.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use deployforge_canon::Node;
use deployforge_model::{FindingKind, UnknownReason, Verdict, schema};
use deployforge_policy::Policy;

use crate::diff::{Comparison, Difference, Skipped};
use crate::entry::Entry;
use crate::findings::OpenFinding;
use crate::output::Subject;
use crate::shard::Context;

/// A judgement before it is compared with what was known.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) verdict: Option<Verdict>,
    pub(crate) reason: Option<UnknownReason>,
    pub(crate) score: f64,
    /// How many of the declared attributes were not compared.
    pub(crate) skipped: u32,
    /// Which they are, where that is asked for.
    pub(crate) skips: Vec<Skipped>,
    pub(crate) findings: Vec<OpenFinding>,
}

impl Judgement {
    pub(crate) fn plain(verdict: Option<Verdict>) -> Self {
        let score = if verdict == Some(Verdict::Missing) { 100.0 } else { 0.0 };
        Self { verdict, reason: None, score, skipped: 0, skips: Vec::new(), findings: Vec::new() }
    }

    pub(crate) fn unknown(reason: UnknownReason) -> Self {
        Self { reason: Some(reason), ..Self::plain(Some(Verdict::Unknown)) }
    }

    /// What a comparison says of a resource, whose severities are those of `resource_type`. `subject` is
    /// asked for only where there are rules.
    pub(crate) fn of<'s>(
        context: &Context,
        subject: impl FnOnce() -> Subject<'s>,
        resource_type: &str,
        comparison: &Comparison,
    ) -> Self {
        let finding = |difference| finding_of(context, resource_type, difference);
        let mut findings: Vec<_> = comparison.differences.iter().map(finding).collect();
        let ignored = ignore(context, subject, &mut findings);
        let drifted = findings.iter().any(OpenFinding::counts);
        let skipped = comparison.leaves - comparison.compared();
        let told = context.settings.explain;
        let skips = if told { comparison.skipped.clone() } else { Vec::new() };
        if let Some(reason) = comparison.nothing_compared_but(drifted) {
            return Self { skipped, skips, findings, ..Self::unknown(reason) };
        }
        let score = if ignored {
            comparison.score_of(|at| findings[at].counts())
        } else {
            comparison.score
        };
        Self { skipped, skips, ..Self::found(findings, score) }
    }

    /// What findings say of a resource.
    pub(crate) fn found(findings: Vec<OpenFinding>, score: f64) -> Self {
        let drifted = findings.iter().any(OpenFinding::counts);
        let verdict = Some(if drifted { Verdict::Drifted } else { Verdict::InSync });
        Self { verdict, reason: None, score, skipped: 0, skips: Vec::new(), findings }
    }

    /// The same, unless rules ignore that the resource is missing, or that none declares it: it does not
    /// count then, and a finding says which rule it was.
    pub(crate) fn excused<'s>(
        self,
        context: &Context,
        entry: &Entry,
        subject: impl FnOnce() -> Subject<'s>,
    ) -> Self {
        // Asked of every settled verdict: where there are no rules, nothing is made for them.
        if context.settings.policy.ignoring().is_empty() {
            return self;
        }
        let whole = self.verdict.and_then(|verdict| {
            Some((FindingKind::of_whole(verdict)?, Policy::verdict_severity(verdict)?))
        });
        let Some((kind, severity)) = whole else { return self };
        let leaves = context.leaves(entry);
        let mut findings = [OpenFinding::new("", kind, (None, None), leaves, severity, None)];
        if ignore(context, subject, &mut findings) {
            return Self { score: 0.0, findings: findings.into(), ..self };
        }
        self
    }
}

/// The finding that a difference is.
pub(crate) fn finding_of(
    context: &Context,
    resource_type: &str,
    difference: &Difference,
) -> OpenFinding {
    let Difference { path, kind, expected, observed, leaves, fold } = difference;
    let text = |node: &Option<Node>| node.as_ref().map(Node::to_json);
    let (expected, observed) = (text(expected), text(observed));
    OpenFinding::new(
        path,
        *kind,
        (expected.as_deref(), observed.as_deref()),
        *leaves,
        context.settings.policy.severity(resource_type, path, *kind),
        fold.map(deployforge_canon::Fold::name),
    )
}

/// Asks the rules about the findings of one resource that no normaliser suppressed; whether one of them
/// ignores any.
pub(crate) fn ignore<'s>(
    context: &Context,
    subject: impl FnOnce() -> Subject<'s>,
    findings: &mut [OpenFinding],
) -> bool {
    let ignoring = context.settings.policy.ignoring();
    if ignoring.is_empty() {
        return false;
    }
    let mut asked: Vec<&mut OpenFinding> =
        findings.iter_mut().filter(|finding| finding.fold().is_none()).collect();
    if asked.is_empty() {
        return false;
    }
    let batch = columns(&subject(), &asked);
    let mut any = false;
    for (finding, by) in asked.iter_mut().zip(ignoring.of(&batch)) {
        if let Some(by) = by {
            **finding = finding.suppressed(by);
            any = true;
        }
    }
    any
}

/// Findings in the columns that rules speak of.
fn columns(subject: &Subject<'_>, findings: &[&mut OpenFinding]) -> RecordBatch {
    fn texts<'t>(all: impl Iterator<Item = Option<&'t str>>) -> ArrayRef {
        Arc::new(all.collect::<StringArray>())
    }
    let same = |text: Option<&str>| texts(std::iter::repeat_n(text, findings.len()));
    let each = || findings.iter().map(|finding| &**finding);
    let [provider, account, region, kind, id] = subject.key.map(|part| same(Some(part)));
    let leaves = each().map(|finding| i64::from(finding.leaves));
    let columns = vec![
        provider,
        account,
        region,
        kind,
        id,
        same(subject.address),
        same(Some(subject.environment)),
        texts(each().map(|finding| Some(finding.path()))),
        texts(each().map(|finding| Some(finding.kind.name()))),
        texts(each().map(OpenFinding::expected)),
        texts(each().map(OpenFinding::observed)),
        Arc::new(Int64Array::from_iter_values(leaves)),
        texts(each().map(|finding| Some(finding.severity.name()))),
        same(Some(subject.baseline_name())),
    ];
    RecordBatch::try_new(schema::rule_columns(), columns).expect("the columns follow the schema")
}
