//! What people read of a report: a table, and a line of counts.

use std::fmt::Write as _;
use std::io::Write;

use deployforge_model::{FindingKind, Severity, UnknownReason};
use serde_json::value::RawValue;

use super::{
    Attributes, FindingReport, Report, ResourceReport, SkippedReport, Summary, SuppressedReport,
};
use crate::render::{self, safe, shorten};

impl Report {
    /// A table of at most `limit` rows and a line of counts.
    pub(crate) fn write_table(&self, out: &mut dyn Write, limit: usize) -> std::io::Result<()> {
        let mut table = render::table(&["verdict", "severity", "score", "resource", "difference"]);
        let mut rows = 0;
        let total: usize = self.resources.iter().map(|resource| resource.lines().count()).sum();
        'all: for resource in &self.resources {
            let name = match &resource.address {
                Some(address) => safe(address),
                None => safe(&format!("{} {}", resource.key.resource_type, resource.key.id)),
            };
            let place = format!("{} {}", resource.key.account, resource.key.region);
            let tainted = if resource.tainted { " (tainted)" } else { "" };
            let name = format!("{}{tainted}\n{}", shorten(&name, 60), safe(place.trim()));
            for (i, line) in resource.lines().enumerate() {
                let line = line.text();
                if rows == limit {
                    break 'all;
                }
                rows += 1;
                if i == 0 {
                    table.add_row([
                        resource.verdict.name().to_owned(),
                        resource.severity.map_or("", Severity::name).to_owned(),
                        format!("{:.1}", resource.score),
                        name.trim_end().to_owned(),
                        line,
                    ]);
                } else {
                    table.add_row(["", "", "", "", &line]);
                }
            }
        }
        if rows > 0 {
            writeln!(out, "{table}")?;
        }
        if total > rows {
            writeln!(out, "… and {} more rows; --limit or --format json shows them", total - rows)?;
        }
        writeln!(out, "{}", self.summary.line())
    }
}

impl SkippedReport {
    fn line(&self) -> String {
        let Self { path, attributes, reason } = self;
        let path = if path.is_empty() { "(root)" } else { path };
        let count = match attributes {
            1 => String::new(),
            _ => format!(", {attributes} attributes"),
        };
        format!("not compared {} ({reason}{count})", shorten(&safe(path), 80))
    }
}

/// What a table says of a resource in a line of its own.
enum Line<'r> {
    Finding(&'r FindingReport),
    Suppressed(&'r SuppressedReport),
    /// Why nothing can be said, or nothing at all.
    Reason(Option<UnknownReason>),
    NotCompared(&'r SkippedReport),
}

impl Line<'_> {
    fn text(&self) -> String {
        match self {
            Self::Finding(finding) => finding_line(finding),
            Self::Suppressed(suppressed) => suppressed_line(suppressed),
            Self::Reason(reason) => reason.map_or("", UnknownReason::name).to_owned(),
            Self::NotCompared(skipped) => skipped.line(),
        }
    }
}

impl ResourceReport {
    /// At least one line.
    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let nothing = self.findings.is_empty() && self.suppressed.is_empty();
        let reason = nothing && (self.reason.is_some() || self.not_compared.is_empty());
        let findings = self.findings.iter().map(Line::Finding);
        let lines = findings.chain(self.suppressed.iter().map(Line::Suppressed));
        let lines = lines.chain(reason.then_some(Line::Reason(self.reason)));
        lines.chain(self.not_compared.iter().map(Line::NotCompared))
    }
}

impl Summary {
    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let mut line = format!(
            "{} checked: {} in sync, {} drifted; {} missing, {} unmanaged, {} unknown; {}, {} suppressed; coverage {}, score {:.3}",
            self.checked,
            self.in_sync,
            self.drifted,
            self.missing,
            self.unmanaged,
            self.unknown,
            render::count(self.findings, "finding"),
            self.suppressed,
            render::percent(self.coverage),
            self.score,
        );
        if self.unknown > 0 {
            let by = self.unknown_by.iter().map(|(reason, count)| format!("{count} {reason}"));
            let _ = write!(line, "\nunknown: {}", by.collect::<Vec<_>>().join(", "));
        }
        if self.ignored > 0 {
            let _ = write!(line, "\n{} missing or unmanaged and ignored by rules", self.ignored);
        }
        let Attributes { declared, compared } = self.attributes;
        if compared < declared {
            let _ = write!(
                line,
                "\n{compared} of {declared} declared attributes compared: the others have no counterpart in what was observed, or no value that is known"
            );
        }
        if self.checked == 0 {
            let _ = write!(line, "\n0 resources compared: nothing was shown to be in sync");
        }
        line
    }
}

fn finding_line(finding: &FindingReport) -> String {
    let path = if finding.path.is_empty() { "(root)" } else { &finding.path };
    let expected = shorten(&safe(&value(&finding.expected)), 60);
    let observed = shorten(&safe(&value(&finding.observed)), 60);
    let path = shorten(&safe(path), 80);
    match finding.kind {
        FindingKind::Added => format!("{path}: added {observed}"),
        FindingKind::Removed => format!("{path}: removed {expected}"),
        FindingKind::Reordered => format!("{path}: same elements, other order"),
        kind if kind.is_whole() => kind.name().to_owned(),
        _ => format!("{path}: {expected} → {observed}"),
    }
}

fn suppressed_line(suppressed: &SuppressedReport) -> String {
    let SuppressedReport { finding, fold, because } = suppressed;
    format!("suppressed {}\n({fold}: {because})", finding_line(finding))
}

/// A value for people: a redacted one says so.
pub(crate) fn value(raw: &RawValue) -> String {
    let text = raw.get();
    if text.starts_with(r#"{"$deployforge.secret""#)
        && let Ok(value) = serde_json::from_str::<serde_json::Value>(text)
    {
        let secret = &value["$deployforge.secret"];
        let part = |name: &str| secret[name].as_str().unwrap_or_default().to_owned();
        return format!(
            "(secret {}, {} characters)",
            &part("hmac")[..8.min(part("hmac").len())],
            part("length")
        );
    }
    text.to_owned()
}
