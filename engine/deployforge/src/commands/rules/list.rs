//! `rules list`: rules with what the history knows of them.

use deployforge_model::Timestamp;
use deployforge_policy::{RULE_FOLD, Rule};
use deployforge_sql::Hits;
use serde::Serialize;

use crate::cli::{Cli, DiffFormat};
use crate::commands::query::on_big_stack;
use crate::config::{self, ConfigFile};
use crate::error::{CommandError, CommandResult, Outcome};
use crate::home::Home;
use crate::render::{self, safe, shorten};
use crate::{report, setup};

/// A rule as it is listed.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    name: &'a str,
    /// `active`, `expired`, or `gone` from all files.
    state: &'static str,
    effect: Vec<&'static str>,
    owner: Option<&'a str>,
    reason: Option<&'a str>,
    expires: Option<String>,
    when: Option<&'a str>,
    /// Transitions that it suppressed.
    hits: u64,
    findings: u64,
    resources: u64,
    hidden_now: u64,
    last_hit: Option<Timestamp>,
}

impl<'a> Listed<'a> {
    fn of(name: &'a str, rule: Option<&'a Rule>, hits: Option<&Hits>, now: Timestamp) -> Self {
        let state = match rule {
            Some(rule) if rule.applies(now) => "active",
            Some(_) => "expired",
            None => "gone",
        };
        let effect = rule.iter().flat_map(|rule| rule.effect.keys().map(|stage| stage.name()));
        let expires = rule.map(|rule| match &rule.expires {
            Some(expires) => expires.to_string(),
            None => "never".to_owned(),
        });
        Self {
            name,
            state,
            effect: effect.collect(),
            owner: rule.map(|rule| rule.owner.as_str()),
            reason: rule.map(|rule| rule.reason.as_str()),
            expires,
            when: rule.map(|rule| rule.when.as_str()),
            hits: hits.map_or(0, |hits| hits.hits),
            findings: hits.map_or(0, |hits| hits.findings),
            resources: hits.map_or(0, |hits| hits.resources),
            hidden_now: hits.map_or(0, |hits| hits.now),
            last_hit: hits.map(|hits| hits.last),
        }
    }
}

pub(super) fn run(cli: &Cli, config: &ConfigFile, format: DiffFormat) -> CommandResult {
    let rules: Vec<&Rule> = config.rules().collect();
    config::rules::compile(&rules)?;
    let hits = hits(cli, config)?;
    let now = setup::clock().now();
    let of = |name: &str| hits.iter().find(|hits| hits.fold.strip_prefix(RULE_FOLD) == Some(name));
    let known = rules.iter().map(|rule| Listed::of(&rule.name, Some(rule), of(&rule.name), now));
    let mut all: Vec<Listed<'_>> = known.collect();
    let names = hits.iter().filter_map(|hits| hits.fold.strip_prefix(RULE_FOLD));
    let gone = names.filter(|name| rules.iter().all(|rule| rule.name != *name));
    all.extend(gone.map(|name| Listed::of(name, None, of(name), now)));
    report::write_to(None, |out| {
        if format == DiffFormat::Json {
            serde_json::to_writer_pretty(&mut *out, &all)?;
            return writeln!(out);
        }
        let names =
            ["rule", "state", "effect", "hits", "hidden now", "last hit", "expires", "owner"];
        let mut table = render::table(&names);
        for one in &all {
            table.add_row([
                safe(one.name),
                one.state.to_owned(),
                one.effect.join(", "),
                one.hits.to_string(),
                one.hidden_now.to_string(),
                one.last_hit.map_or(String::new(), |time| time.to_string()),
                one.expires.clone().unwrap_or_default(),
                shorten(&safe(one.owner.unwrap_or_default()), 40),
            ]);
        }
        if !all.is_empty() {
            writeln!(out, "{table}")?;
        }
        writeln!(out, "{}", render::count(all.len() as u64, "rule"))
    })?;
    Ok(Outcome::Ok)
}

/// What the history knows, if there is one yet.
fn hits(cli: &Cli, config: &ConfigFile) -> Result<Vec<Hits>, CommandError> {
    let Some(dir) = Home::of(cli, config)?.open_if_there()? else { return Ok(Vec::new()) };
    let runtime = setup::runtime()?;
    let session = setup::session(&dir, &runtime)?;
    Ok(on_big_stack(&runtime, async move { session.hits().await })??)
}
