//! `rules import`: other tools' ignore rules, printed as rules.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use deployforge_formats::{IgnoreFormat, Ignored, ignored_rules};
use deployforge_model::Timestamp;
use deployforge_policy::Expiry;
use deployforge_sql::compile_predicates;

use crate::cli::RulesFrom;
use crate::error::{CommandError, CommandResult, Outcome};
use crate::render::{self, safe};
use crate::{report, setup};

/// How long an imported rule lives, in microseconds, unless it was said.
const LIFE: i64 = 90 * 86_400 * 1_000_000;

/// What is the same of all imported rules.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) owner: &'a str,
    pub(super) reason: Option<&'a str>,
    pub(super) expires: Option<&'a Expiry>,
}

pub(super) fn run(
    from: RulesFrom,
    files: &[PathBuf],
    module: &str,
    words: Words<'_>,
) -> CommandResult {
    let (format, tool) = match from {
        RulesFrom::Driftignore => (IgnoreFormat::Driftignore, ".driftignore of driftctl"),
        RulesFrom::Terraform => (IgnoreFormat::Terraform, "ignore_changes of Terraform"),
        RulesFrom::Argocd => (IgnoreFormat::ArgoCd, "ignoreDifferences of Argo CD"),
        RulesFrom::Flux => (IgnoreFormat::Flux, "ignore of Flux"),
    };
    let (mut rules, mut untranslated, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for path in files {
        let text = text_of(path)?;
        let found = ignored_rules(format, &text, module)
            .map_err(|error| CommandError::new(format!("{}: {error}", path.display())))?;
        rules.extend(found.rules.into_iter().map(|rule| (path, rule)));
        let told = found.untranslated.into_iter();
        untranslated.extend(told.map(|what| format!("{}: {what}", path.display())));
        notes.extend(
            found.notes.into_iter().filter(|note| !notes.contains(note)).collect::<Vec<_>>(),
        );
    }
    // Regular expressions of another tool may be none here.
    let whens: Vec<&str> = rules.iter().map(|(_, rule)| rule.when.as_str()).collect();
    let compiled: Vec<_> = compile_predicates(&whens).into_iter().map(Result::err).collect();
    let mut compiled = compiled.into_iter();
    rules.retain(|(path, rule)| match compiled.next().flatten() {
        Some(error) => {
            untranslated.push(format!("{}: {}: {error}", path.display(), rule.place));
            false
        }
        None => true,
    });
    let expires = match words.expires {
        Some(expires) => expires.to_string(),
        None => day(Timestamp(setup::clock().now().micros() + LIFE)),
    };
    let mut names = HashSet::new();
    report::write_to(None, |out| {
        let head = if rules.is_empty() { "rules: []" } else { "rules:" };
        writeln!(out, "{head}")?;
        for (path, rule) in &rules {
            out.write_all(yaml(rule, (path, tool), words, &expires, &mut names).as_bytes())?;
        }
        Ok(())
    })?;
    for note in &notes {
        anstream::eprintln!("{}note:{} {}", render::CYAN, render::RESET, safe(note));
    }
    for what in &untranslated {
        let (yellow, reset) = (render::YELLOW, render::RESET);
        anstream::eprintln!("{yellow}warning:{reset} not translated: {}", safe(what));
    }
    Ok(if untranslated.is_empty() { Outcome::Ok } else { Outcome::Trouble })
}

fn text_of(path: &Path) -> Result<String, CommandError> {
    let failed = |error| CommandError::io(path.display(), &error);
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
        return Ok(text);
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// The day of a time.
fn day(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}

fn yaml(
    rule: &Ignored,
    (path, tool): (&Path, &str),
    words: Words<'_>,
    expires: &str,
    names: &mut HashSet<String>,
) -> String {
    let mut name = rule.name.clone();
    let mut number = 2;
    while !names.insert(name.clone()) {
        name = format!("{}-{number}", rule.name);
        number += 1;
    }
    // JSON's texts are YAML's too.
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let reason = match words.reason {
        Some(reason) => reason.to_owned(),
        None => format!("from {tool}: {}, {}", path.display(), rule.place),
    };
    format!(
        "  - name: {name}\n    when: {}\n    effect: {{detect: ignore}}\n    owner: {}\n    reason: {}\n    expires: {}\n",
        text(&rule.when),
        text(words.owner),
        text(&reason),
        text(expires),
    )
}
