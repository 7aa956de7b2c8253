//! `rules test`: rules, each by itself, on the findings of the history.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use deployforge_model::{Predicate, ResourceKey, Timestamp};
use deployforge_policy::Rule;
use deployforge_sql::Replayed;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::{Cli, DiffFormat, Since};
use crate::commands::query::on_big_stack;
use crate::config::{self, ConfigFile};
use crate::error::{CommandResult, Outcome};
use crate::home::Home;
use crate::render::{self, safe, shorten};
use crate::report::{self, raw};
use crate::setup;

/// Paths of a rule that are shown.
const PATHS: usize = 5;

/// What a rule would have hidden.
#[derive(Debug, Serialize)]
struct Tested<'a> {
    name: &'a str,
    effect: Vec<&'static str>,
    expired: bool,
    findings: usize,
    resources: usize,
    /// Of them so many are critical.
    critical: usize,
    /// The commonest paths, with how many findings each has.
    paths: Vec<Sample>,
    /// Every critical finding, in the state in which it was last seen.
    criticals: Vec<Critical>,
}

#[derive(Debug, Serialize)]
struct Sample {
    path: String,
    findings: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Critical {
    key: ResourceKey,
    address: Option<String>,
    path: String,
    kind: String,
    expected: Box<RawValue>,
    observed: Box<RawValue>,
    observed_at: Timestamp,
}

/// What a rule has hidden so far.
#[derive(Debug, Default)]
struct Found {
    findings: HashSet<String>,
    resources: HashSet<ResourceKey>,
    paths: BTreeMap<String, u64>,
    criticals: BTreeMap<String, Critical>,
}

pub(super) fn run(
    cli: &Cli,
    config: &ConfigFile,
    files: &[PathBuf],
    since: Since,
    format: DiffFormat,
) -> CommandResult {
    let only = ConfigFile::default().with_rules(files)?;
    let rules: Vec<&Rule> = only.rules().collect();
    let predicates = config::rules::compile(&rules)?;
    let now = setup::clock().now();
    let since = match since {
        Since::Ago(micros) => Timestamp(now.micros().saturating_sub(micros)),
        Since::At(time) => time,
    };
    let dir = Home::of(cli, config)?.open_existing()?;
    let runtime = setup::runtime()?;
    let session = setup::session(&dir, &runtime)?;
    let (found, asked) = on_big_stack(&runtime, async move {
        let mut found: Vec<Found> = predicates.iter().map(|_| Found::default()).collect();
        let mut asked = HashSet::new();
        let mut each = |replayed: &Replayed| {
            asked.extend(replayed.finding_ids.iter().cloned());
            for (found, predicate) in found.iter_mut().zip(&predicates) {
                found.add(predicate, replayed);
            }
        };
        session.replay(since, &mut each).await.map(|()| (found, asked.len()))
    })??;
    let tested: Vec<Tested<'_>> = rules
        .iter()
        .zip(found)
        .map(|(rule, found)| found.tested(rule, !rule.applies(now)))
        .collect();
    report::write_to(None, |out| match format {
        DiffFormat::Json => {
            let all = serde_json::json!({ "since": since, "findings": asked, "rules": tested });
            serde_json::to_writer_pretty(&mut *out, &all)?;
            writeln!(out)
        }
        DiffFormat::Table => write_tables(out, &tested, since, asked),
    })?;
    let critical = tested.iter().any(|one| one.critical > 0);
    Ok(if critical { Outcome::Drift } else { Outcome::Ok })
}

impl Found {
    fn add(&mut self, predicate: &Arc<dyn Predicate>, replayed: &Replayed) {
        let holds = predicate.holds(&replayed.findings);
        for (row, _) in holds.iter().enumerate().filter(|(_, holds)| *holds == Some(true)) {
            let text = |name: &str| text(&replayed.findings, name, row);
            let part = |name: &str| text(name).unwrap_or_default();
            let [provider, account, region, kind, id] =
                ["provider", "account", "region", "type", "id"].map(part);
            let key = ResourceKey::new(provider, account, region, kind, id);
            let finding = &replayed.finding_ids[row];
            if self.findings.insert(finding.clone()) {
                *self.paths.entry(part("path").to_owned()).or_default() += 1;
            }
            if part("severity") == "critical" {
                let critical = Critical {
                    key: key.clone(),
                    address: text("address").map(str::to_owned),
                    path: part("path").to_owned(),
                    kind: part("kind").to_owned(),
                    expected: raw(text("expected")),
                    observed: raw(text("observed")),
                    observed_at: replayed.observed_at[row],
                };
                let last =
                    self.criticals.entry(finding.clone()).or_insert_with(|| critical.clone());
                if critical.observed_at > last.observed_at {
                    *last = critical;
                }
            }
            self.resources.insert(key);
        }
    }

    fn tested(self, rule: &Rule, expired: bool) -> Tested<'_> {
        let mut paths: Vec<Sample> =
            self.paths.into_iter().map(|(path, findings)| Sample { path, findings }).collect();
        paths.sort_by(|a, b| b.findings.cmp(&a.findings).then_with(|| a.path.cmp(&b.path)));
        paths.truncate(PATHS);
        let mut criticals: Vec<Critical> = self.criticals.into_values().collect();
        criticals.sort_by(|a, b| (&a.key, &a.path).cmp(&(&b.key, &b.path)));
        Tested {
            name: &rule.name,
            effect: rule.effect.keys().map(|stage| stage.name()).collect(),
            expired,
            findings: self.findings.len(),
            resources: self.resources.len(),
            critical: criticals.len(),
            paths,
            criticals,
        }
    }
}

fn text<'b>(batch: &'b RecordBatch, name: &str, row: usize) -> Option<&'b str> {
    let column = batch.column_by_name(name)?.as_string::<i32>();
    arrow::array::Array::is_valid(column, row).then(|| column.value(row))
}

fn write_tables(
    out: &mut dyn Write,
    tested: &[Tested<'_>],
    since: Timestamp,
    asked: usize,
) -> std::io::Result<()> {
    let mut table =
        render::table(&["rule", "effect", "findings", "resources", "critical", "paths"]);
    for one in tested {
        let paths: Vec<String> = one
            .paths
            .iter()
            .map(|sample| format!("{} ({})", shorten(&safe(&sample.path), 60), sample.findings))
            .collect();
        let name =
            if one.expired { format!("{} (expired)", one.name) } else { one.name.to_owned() };
        table.add_row([
            name,
            one.effect.join(", "),
            one.findings.to_string(),
            one.resources.to_string(),
            one.critical.to_string(),
            paths.join("\n"),
        ]);
    }
    if !tested.is_empty() {
        writeln!(out, "{table}")?;
    }
    for one in tested.iter().filter(|one| one.critical > 0) {
        let criticals = render::count(one.critical as u64, "critical finding");
        writeln!(out, "{} would hide {criticals}:", one.name)?;
        for critical in &one.criticals {
            let Critical { key, address, path, expected, observed, .. } = critical;
            let name = address.clone().unwrap_or_else(|| key.to_string());
            let [expected, observed] =
                [expected, observed].map(|value| shorten(&safe(&report::value(value)), 60));
            let (name, path) = (safe(&name), safe(path));
            writeln!(out, "  {name} {path}: {expected} → {observed} ({})", critical.observed_at)?;
        }
    }
    let findings = render::count(asked as u64, "finding");
    writeln!(out, "tried on {findings} since {since}")
}
