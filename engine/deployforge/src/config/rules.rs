//! Rules: in the configuration file, or in files of their own, which it or the command line names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use deployforge_model::{Predicate, Timestamp};
use deployforge_policy::{Ignoring, Rule};
use deployforge_sql::compile_predicates;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{ConfigFile, yaml};
use crate::error::CommandError;
use crate::render;

/// An element of `rules`: a rule, or a file of rules.
#[derive(Clone, Debug)]
pub(crate) enum RuleEntry {
    Rule(Box<Rule>),
    File(PathBuf),
}

impl<'de> Deserialize<'de> for RuleEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RuleEntry;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a rule or the path of a file of rules")
            }

            fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<RuleEntry, E> {
                Ok(RuleEntry::File(path.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RuleEntry, A::Error> {
                let rule = Rule::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RuleEntry::Rule(Box::new(rule)))
            }
        }
        from.deserialize_any(Either)
    }
}

/// A file of rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesFile {
    rules: Vec<Rule>,
}

/// Reads a file of rules.
pub(crate) fn read(path: &Path) -> Result<Vec<Rule>, CommandError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| CommandError::io(path.display(), &error))?;
    let file: Result<RulesFile, _> = yaml::read(&text);
    let named = |mut error: CommandError| {
        error.message = format!("{}: {}", path.display(), error.message);
        error
    };
    let rules = file.map_err(named)?.rules;
    Rule::check_all(&rules).map_err(|error| named(CommandError::new(error.to_string())))?;
    Ok(rules)
}

impl ConfigFile {
    /// Adds the rules of files that were named, and puts those of files in the place of their names.
    pub(crate) fn with_rules(mut self, files: &[PathBuf]) -> Result<Self, CommandError> {
        let more = files.iter().cloned().map(RuleEntry::File);
        let mut all = Vec::new();
        for entry in self.rules.drain(..).chain(more) {
            match entry {
                RuleEntry::File(path) => {
                    let rules = read(&path)?.into_iter();
                    all.extend(rules.map(|rule| RuleEntry::Rule(Box::new(rule))));
                }
                rule @ RuleEntry::Rule(_) => all.push(rule),
            }
        }
        self.rules = all;
        let rules: Vec<Rule> = self.rules().cloned().collect();
        Rule::check_all(&rules).map_err(|error| CommandError::new(error.to_string()))?;
        Ok(self)
    }

    /// The rules, in the order in which they are tried.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter_map(|entry| match entry {
            RuleEntry::Rule(rule) => Some(&**rule),
            RuleEntry::File(_) => None,
        })
    }
}

/// The compiled expression of each rule.
pub(crate) fn compile(rules: &[&Rule]) -> Result<Vec<Arc<dyn Predicate>>, CommandError> {
    let expressions: Vec<&str> = rules.iter().map(|rule| rule.when.as_str()).collect();
    let compiled = compile_predicates(&expressions).into_iter().zip(rules);
    compiled
        .map(|(compiled, rule)| {
            compiled.map_err(|error| {
                CommandError::new(format!("the rule `{}`: `when`: {error}", rule.name))
            })
        })
        .collect()
}

/// The rules that make differences not count from now on.
pub(crate) fn ignoring(config: &ConfigFile, now: Timestamp) -> Result<Ignoring, CommandError> {
    let rules: Vec<&Rule> = config.rules().collect();
    let predicates = compile(&rules)?;
    Ok(Ignoring::new(rules.into_iter().zip(predicates), now))
}

/// Warns of each rule that has expired.
pub(crate) fn warn_expired(config: &ConfigFile, now: Timestamp) {
    for rule in config.rules().filter(|rule| !rule.applies(now)) {
        let Rule { name, owner, expires: Some(expires), .. } = rule else { continue };
        let owner = render::safe(owner);
        say_expired(&format!("`{name}` has expired ({expires}); its owner is {owner}"));
    }
}

/// Warns that a rule does not apply any more.
pub(crate) fn say_expired(what: &str) {
    anstream::eprintln!(
        "{}warning:{} the rule {what}. It does not apply any more: renew or remove it",
        render::YELLOW,
        render::RESET
    );
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    const RULE: &str = "rules:\n  - name: a\n    when: path = '/x'\n    effect: {detect: ignore}\n    owner: team\n    reason: known\n    expires: 2026-12-31\n";

    #[test]
    fn rules_stand_in_the_file_or_in_files() {
        let config = parse(&format!("{RULE}  - other.yaml\n")).unwrap();
        assert_eq!(config.rules.len(), 2);
        let rule = config.rules().next().unwrap();
        assert_eq!(rule.expires.as_ref().unwrap().to_string(), "2026-12-31");
        assert!(config.with_rules(&[]).unwrap_err().message.contains("other.yaml"));
    }

    #[test]
    fn what_is_wrong_with_a_rule_has_its_place() {
        for (more, words) in [
            (
                "    expiry: 2026-12-31\n",
                "unknown key `expiry`, expected one of name, when, effect",
            ),
            ("    permanent: perhaps\n", "line 8"),
            ("  - name: b\n", "is missing"),
            ("  - [x]\n", "a rule or the path of a file of rules"),
        ] {
            let error = parse(&format!("{RULE}{more}")).unwrap_err();
            assert!(error.message.contains(words), "{more}: {}", error.message);
        }
        let expiry = RULE.replace("2026-12-31", "soon");
        let error = parse(&expiry).unwrap_err();
        assert!(error.message.contains("a day such as"), "{}", error.message);
        let stage = RULE.replace("detect: ignore", "see: ignore");
        let error = parse(&stage).unwrap_err();
        assert!(error.message.contains("detect, alert, heal"), "{}", error.message);
    }

    #[test]
    fn rules_are_checked_together() {
        let twice = format!("{RULE}{}", RULE.trim_start_matches("rules:\n"));
        let error = parse(&twice).unwrap().with_rules(&[]).unwrap_err();
        assert!(error.message.contains("two rules are named `a`"), "{}", error.message);
        let config = parse(&RULE.replace("/x'", "/x' and pth = 1")).unwrap();
        let error = super::ignoring(&config, deployforge_model::Timestamp(0)).unwrap_err();
        assert!(error.message.contains("did you mean `path`?"), "{}", error.message);
    }
}
