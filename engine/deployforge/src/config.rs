//! The configuration file: YAML, every key documented in the JSON Schema beside the docs.

use std::path::{Path, PathBuf};

use deployforge_canon::{ArrayRule, Normalise};
use deployforge_formats::KeyDefaults;
use deployforge_model::Mode;
use deployforge_policy::{Environment, PolicyRules};
use serde::Deserialize;

use crate::error::CommandError;

/// The JSON Schema, as `config schema` prints it.
pub(crate) const SCHEMA: &str = include_str!("../../../docs/reference/deployforge.schema.json");

/// The file as a user writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ConfigFile {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) baselines: Vec<BaselineRef>,
    pub(crate) sources: Vec<SourceConfig>,
    pub(crate) mode: Option<Mode>,
    pub(crate) normalise: Option<Normalise>,
    pub(crate) arrays: Vec<ArrayRule>,
    pub(crate) environments: Vec<Environment>,
    pub(crate) policy: PolicyRules,
    pub(crate) commit: CommitConfig,
    pub(crate) tier: Option<crate::cli::Tier>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BaselineRef {
    pub(crate) name: String,
    pub(crate) version: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceConfig {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) format: Option<String>,
    #[serde(default)]
    pub(crate) watch: bool,
    #[serde(default)]
    pub(crate) defaults: Defaults,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Defaults {
    pub(crate) provider: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
}

impl From<Defaults> for KeyDefaults {
    fn from(defaults: Defaults) -> Self {
        Self { provider: defaults.provider, account: defaults.account, region: defaults.region }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CommitConfig {
    pub(crate) interval_seconds: f64,
    pub(crate) rows: usize,
}

impl Default for CommitConfig {
    fn default() -> Self {
        Self { interval_seconds: 5.0, rows: 200_000 }
    }
}

/// Reads and checks a configuration file.
pub(crate) fn load(path: &Path) -> Result<ConfigFile, CommandError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| CommandError::io(path.display(), &error))?;
    let config = parse(&text).map_err(|mut error| {
        error.message = format!("{}: {}", path.display(), error.message);
        error
    })?;
    Ok(config)
}

fn parse(text: &str) -> Result<ConfigFile, CommandError> {
    if text.trim().is_empty() {
        return Ok(ConfigFile::default());
    }
    let config: ConfigFile = serde_saphyr::from_str(text).map_err(|error| {
        let message = error.to_string();
        let hint = suggestion(&message);
        let error = CommandError::new(message);
        match hint {
            Some(name) => error.hint(format!("did you mean `{name}`?")),
            None => error.hint("`deployforge config schema` prints every key with its meaning"),
        }
    })?;
    check(&config)?;
    Ok(config)
}

fn check(config: &ConfigFile) -> Result<(), CommandError> {
    for (i, source) in config.sources.iter().enumerate() {
        if config.sources[..i].iter().any(|other| other.name == source.name) {
            return Err(CommandError::new(format!("two sources are named `{}`", source.name)));
        }
        if let Some(format) = &source.format {
            format.parse::<deployforge_formats::Format>().map_err(|error| {
                CommandError::new(format!("sources: `{}`: {error}", source.name))
            })?;
        }
        if source.watch && source.path == "-" {
            return Err(CommandError::new(format!(
                "sources: `{}`: standard input cannot be watched; remove `watch`",
                source.name
            )));
        }
    }
    if !(0.05..=3600.0).contains(&config.commit.interval_seconds) {
        return Err(CommandError::new("commit.interval_seconds must be between 0.05 and 3600"));
    }
    if config.commit.rows == 0 {
        return Err(CommandError::new("commit.rows must be at least 1"));
    }
    deployforge_canon::ArrayRules::with(config.arrays.clone())?;
    deployforge_policy::Policy::new(&config.policy, config.environments.clone())?;
    Ok(())
}

/// The key nearest to the unknown one that the message names, out of all keys of the schema.
fn suggestion(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("unknown field ")?;
    let quote = rest.chars().next()?;
    let wrong = rest[quote.len_utf8()..].split(quote).next()?;
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).ok()?;
    let mut keys = Vec::new();
    schema_keys(&schema, &mut keys);
    keys.into_iter()
        .filter(|key| *key != wrong)
        .map(|key| (strsim::jaro_winkler(wrong, key), key))
        .filter(|(near, _)| *near > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, key)| key.to_owned())
}

/// Every property name of a JSON Schema.
fn schema_keys<'a>(schema: &'a serde_json::Value, keys: &mut Vec<&'a str>) {
    match schema {
        serde_json::Value::Object(members) => {
            for (name, value) in members {
                if name == "properties"
                    && let Some(properties) = value.as_object()
                {
                    keys.extend(properties.keys().map(String::as_str));
                }
                schema_keys(value, keys);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| schema_keys(item, keys)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_an_error_with_line_and_suggestion() {
        let error = parse("data_dir: x\nsource:\n  - name: a\n").unwrap_err();
        assert!(error.message.contains("source"), "{}", error.message);
        assert!(error.message.contains('2'), "the line: {}", error.message);
        assert_eq!(error.hints, ["did you mean `sources`?"]);
    }

    #[test]
    fn the_example_in_the_docs_is_valid() {
        let docs = include_str!("../../../docs/reference/configuration.md");
        let yaml = docs.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
        let config = parse(yaml).unwrap();
        assert!(!config.sources.is_empty() && !config.environments.is_empty());
    }

    #[test]
    fn impossible_values_are_refused() {
        for (yaml, words) in [
            ("sources: [{name: a, path: '-', watch: true}]", "cannot be watched"),
            ("sources: [{name: a, path: x, format: nativ}]", "nativ"),
            ("sources: [{name: a, path: x}, {name: a, path: y}]", "two sources"),
            ("commit: {interval_seconds: 0}", "between"),
            ("policy: {weights: [{type: '*', path: /a, weight: -1}]}", "0 or more"),
            ("arrays: [{type: '*', path: /a, as: keyed}]", "needs `key`"),
            ("mode: half", "half"),
        ] {
            let error = parse(yaml).unwrap_err();
            assert!(error.message.contains(words), "{yaml}: {}", error.message);
        }
    }
}
