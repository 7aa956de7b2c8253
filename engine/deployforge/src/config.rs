//! The configuration file: YAML, every key documented in the JSON Schema beside the docs.
//!
//! What is said of a file never repeats its values: passwords and tokens may stand beside what is wrong.

mod check;
pub(crate) mod rules;
mod yaml;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use deployforge_canon::{ArrayRule, Fold, FoldRule, Normalise, SecretRule};
use deployforge_formats::KeyDefaults;
use deployforge_maps::KindRule;
use deployforge_model::Mode;
use deployforge_policy::{Environment, PolicyRules};
use serde::Deserialize;

pub(crate) use self::check::{check_source, check_together, check_without_network};
use self::yaml::{address, address_if_any};
use crate::error::CommandError;

/// The JSON Schema, as `config schema` prints it.
pub(crate) const SCHEMA: &str = include_str!("../../../docs/reference/deployforge.schema.json");

/// The file as a user writes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ConfigFile {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) store: Option<String>,
    pub(crate) store_options: BTreeMap<String, String>,
    pub(crate) baselines: Vec<BaselineRef>,
    pub(crate) sources: Vec<SourceConfig>,
    pub(crate) mode: Option<Mode>,
    pub(crate) stale_after_seconds: Option<u64>,
    pub(crate) normalise: Option<Normalise>,
    pub(crate) arrays: Vec<ArrayRule>,
    pub(crate) folds: FoldsConfig,
    pub(crate) secrets: Vec<SecretRule>,
    pub(crate) kinds: Vec<KindRule>,
    pub(crate) environments: Vec<Environment>,
    pub(crate) policy: PolicyRules,
    pub(crate) rules: Vec<rules::RuleEntry>,
    pub(crate) commit: CommitConfig,
    pub(crate) history: HistoryConfig,
    pub(crate) tier: Option<crate::cli::Tier>,
    /// Where operators ask a stream.
    #[serde(deserialize_with = "address_if_any")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where committed transitions are published.
    pub(crate) events: Option<EventsConfig>,
}

/// Normalisers: those that are never asked, and where others are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FoldsConfig {
    pub(crate) off: Vec<Fold>,
    pub(crate) rules: Vec<FoldRule>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EventsConfig {
    pub(crate) brokers: String,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) start: String,
    pub(crate) source: String,
    pub(crate) types: Vec<String>,
    pub(crate) properties: BTreeMap<String, String>,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            topic: String::new(),
            group: "deployforge.events".to_owned(),
            start: "earliest".to_owned(),
            source: "/deployforge".to_owned(),
            types: Vec::new(),
            properties: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BaselineRef {
    pub(crate) name: String,
    pub(crate) version: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceConfig {
    pub(crate) name: String,
    /// A place of files; a stream has none.
    #[serde(default)]
    pub(crate) path: String,
    pub(crate) kafka: Option<KafkaConfig>,
    pub(crate) http: Option<HttpConfig>,
    pub(crate) format: Option<String>,
    #[serde(default)]
    pub(crate) watch: bool,
    #[serde(default)]
    pub(crate) defaults: Defaults,
}

impl SourceConfig {
    /// Whether it gives messages, and not files.
    pub(crate) fn is_stream(&self) -> bool {
        self.kafka.is_some() || self.http.is_some()
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct KafkaConfig {
    pub(crate) brokers: String,
    pub(crate) topics: Vec<String>,
    pub(crate) group: String,
    pub(crate) start: String,
    pub(crate) rejects: RejectsConfig,
    pub(crate) stall_seconds: f64,
    pub(crate) properties: BTreeMap<String, String>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            topics: Vec::new(),
            group: "deployforge".to_owned(),
            start: "earliest".to_owned(),
            rejects: RejectsConfig::default(),
            stall_seconds: 60.0,
            properties: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpConfig {
    #[serde(deserialize_with = "address")]
    pub(crate) listen: SocketAddr,
    pub(crate) token: Option<String>,
    #[serde(default = "body_bytes")]
    pub(crate) body_bytes: usize,
    #[serde(default = "pressure_bytes")]
    pub(crate) pressure_bytes: usize,
    #[serde(default = "wait_seconds")]
    pub(crate) wait_seconds: f64,
}

fn body_bytes() -> usize {
    16 << 20
}

fn pressure_bytes() -> usize {
    64 << 20
}

fn wait_seconds() -> f64 {
    30.0
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RejectsConfig {
    pub(crate) messages: u64,
    pub(crate) share: f64,
    pub(crate) pause_seconds: f64,
}

impl Default for RejectsConfig {
    fn default() -> Self {
        Self { messages: 1000, share: 0.5, pause_seconds: 60.0 }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
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

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HistoryConfig {
    pub(crate) retention_hours: u64,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self { retention_hours: 168 }
    }
}

impl ConfigFile {
    /// How long what nobody sees is known.
    pub(crate) fn stale_after(&self) -> Option<Duration> {
        self.stale_after_seconds.map(Duration::from_secs)
    }
}

impl HistoryConfig {
    /// How long files stay that no table names.
    pub(crate) fn retention(self) -> Duration {
        Duration::from_hours(self.retention_hours)
    }
}

/// Reads and checks a configuration file.
pub(crate) fn load(path: &Path) -> Result<ConfigFile, CommandError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| CommandError::io(path.display(), &error))?;
    let named = |mut error: CommandError| {
        error.message = format!("{}: {}", path.display(), error.message);
        error
    };
    parse(&text).and_then(|config| config.with_rules(&[])).map_err(named)
}

fn parse(text: &str) -> Result<ConfigFile, CommandError> {
    if text.trim().is_empty() {
        return Ok(ConfigFile::default());
    }
    let config = yaml::read(text)?;
    check::check_file(&config)?;
    Ok(config)
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
            ("sources: [{name: a}]", "needs `path`, `kafka` or `http`"),
            ("sources: [{name: a, path: x, kafka: {brokers: 'h:1', topics: [t]}}]", "both"),
            ("sources: [{name: a, kafka: {brokers: 'h:1'}}]", "topics"),
            ("sources: [{name: a, kafka: {brokers: 'h:1', topics: [t], start: now}}]", "earliest"),
            ("sources: [{name: a, kafka: {brokers: 'u:p@h:1', topics: [t]}}]", "sasl.password"),
            ("events: {brokers: 'u:p@h:1', topic: t}", "sasl.password"),
            ("sources: [{name: a, path: x}, {name: a, path: y}]", "two sources"),
            (
                "sources: [{name: a, kafka: {brokers: 'h:1', topics: [t], stall_seconds: 0}}]",
                "stall",
            ),
            ("sources: [{name: a, path: x, http: {listen: '127.0.0.1:1'}}]", "both"),
            ("sources: [{name: a, http: {listen: '0.0.0.0:1'}}]", "`token`"),
            ("sources: [{name: a, http: {listen: 'here:1'}}]", "such as 127.0.0.1:9464"),
            ("sources: [{name: a/b, http: {listen: '127.0.0.1:1'}}]", "characters"),
            ("sources: [{name: a, http: {listen: '127.0.0.1:1', token: ' '}}]", "empty"),
            ("sources: [{name: a, http: {listen: '127.0.0.1:1', body_bytes: 0}}]", "body_bytes"),
            ("sources: [{name: a, http: {listen: '[::1]:1', pressure_bytes: 9}}]", "twice"),
            ("sources: [{name: a, http: {listen: '[::1]:1', wait_seconds: 601}}]", "600"),
            ("commit: {interval_seconds: 0}", "between"),
            ("history: {retention_hours: 1}", "between 24 and 168"),
            ("policy: {weights: [{type: '*', path: /a, weight: -1}]}", "0 or more"),
            ("arrays: [{type: '*', path: /a, as: keyed}]", "needs `key`"),
            ("events: {brokers: 'h:1'}", "topic"),
            ("events: {brokers: 'h:1', topic: t, start: now}", "latest"),
            ("events: {brokers: 'h:1', topic: t, types: [a.b]}", "deployforge.finding.opened.v1"),
            ("mode: half", "full, declared"),
            ("store: /mnt/shared", "must be a URL"),
        ] {
            let error = parse(yaml).unwrap_err();
            assert!(error.message.contains(words), "{yaml}: {}", error.message);
        }
    }
}
