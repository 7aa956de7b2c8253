//! The configuration file: YAML, every key documented in the JSON Schema beside the docs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use deployforge_canon::{ArrayRule, Normalise};
use deployforge_formats::KeyDefaults;
use deployforge_model::Mode;
use deployforge_policy::{Environment, PolicyRules};
use serde::Deserialize;

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
    pub(crate) normalise: Option<Normalise>,
    pub(crate) arrays: Vec<ArrayRule>,
    pub(crate) environments: Vec<Environment>,
    pub(crate) policy: PolicyRules,
    pub(crate) commit: CommitConfig,
    pub(crate) history: HistoryConfig,
    pub(crate) tier: Option<crate::cli::Tier>,
    /// Where operators ask a stream.
    pub(crate) listen: Option<SocketAddr>,
    /// Where committed transitions are published.
    pub(crate) events: Option<EventsConfig>,
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
        check_place(source)?;
        if source.watch && source.path == "-" {
            return Err(CommandError::new(format!(
                "sources: `{}`: standard input cannot be watched; remove `watch`",
                source.name
            )));
        }
    }
    if let Some(store) = &config.store
        && !deployforge_store::is_url(store)
        && !store.starts_with("file:///")
    {
        return Err(CommandError::new(
            "store must be a URL: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///FOLDER",
        ));
    }
    if !(0.05..=3600.0).contains(&config.commit.interval_seconds) {
        return Err(CommandError::new("commit.interval_seconds must be between 0.05 and 3600"));
    }
    if config.commit.rows == 0 {
        return Err(CommandError::new("commit.rows must be at least 1"));
    }
    if !(24..=168).contains(&config.history.retention_hours) {
        return Err(CommandError::new("history.retention_hours must be between 24 and 168"));
    }
    if let Some(events) = &config.events {
        if [&events.brokers, &events.topic, &events.group, &events.source]
            .iter()
            .any(|t| t.is_empty())
        {
            return Err(CommandError::new(
                "events needs `brokers` and a `topic`; `group` and `source` must not be empty",
            ));
        }
        crate::events::start_of(&events.start)?;
        crate::events::types_of(&events.types)?;
    }
    deployforge_canon::ArrayRules::with(config.arrays.clone())?;
    deployforge_policy::Policy::new(&config.policy, config.environments.clone())?;
    Ok(())
}

/// A source is files or a stream.
fn check_place(source: &SourceConfig) -> Result<(), CommandError> {
    let wrong = |problem: &str| CommandError::new(format!("sources: `{}`: {problem}", source.name));
    let problem = match (&source.kafka, &source.http) {
        (None, None) if source.path.is_empty() => Some("it needs `path`, `kafka` or `http`"),
        (None, None) => None,
        (Some(_), Some(_)) => Some("it has both `kafka` and `http`; remove one"),
        (Some(_), None) if !source.path.is_empty() || source.watch => {
            Some("it has both `kafka` and `path` or `watch`; remove one")
        }
        (None, Some(_)) if !source.path.is_empty() || source.watch => {
            Some("it has both `http` and `path` or `watch`; remove one")
        }
        (Some(kafka), None) => check_kafka(kafka)?,
        (None, Some(http)) => check_http(&source.name, http),
    };
    problem.map_or(Ok(()), |problem| Err(wrong(problem)))
}

fn check_kafka(kafka: &KafkaConfig) -> Result<Option<&'static str>, CommandError> {
    if kafka.brokers.is_empty() || kafka.topics.is_empty() || kafka.group.is_empty() {
        return Ok(Some("kafka needs `brokers`, `topics` and a `group` that is not empty"));
    }
    crate::source::start_of(&kafka.start)?;
    let RejectsConfig { messages, share, pause_seconds } = kafka.rejects;
    if messages == 0 || !(0.0..=1.0).contains(&share) || !(0.0..=86_400.0).contains(&pause_seconds)
    {
        return Ok(Some(
            "kafka.rejects needs `messages` of at least 1, a `share` from 0 to 1 and `pause_seconds` up to 86400",
        ));
    }
    let stall = (1.0..=86_400.0).contains(&kafka.stall_seconds);
    Ok((!stall).then_some("kafka.stall_seconds must be between 1 and 86400"))
}

fn check_http(name: &str, http: &HttpConfig) -> Option<&'static str> {
    // It is part of the name of a partition.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 100 || !name.chars().all(plain) {
        return Some("the name of an HTTP source has up to 100 characters of A-Z a-z 0-9 - _ .");
    }
    if http.token.is_none() && !http.listen.ip().is_loopback() {
        return Some(
            "http needs a `token` unless it listens at a loopback address such as 127.0.0.1",
        );
    }
    if http.token.as_ref().is_some_and(|token| token.trim().is_empty()) {
        return Some("http.token is empty; remove it or write `${NAME}` of a variable that is set");
    }
    if !(1..=1 << 30).contains(&http.body_bytes) {
        return Some("http.body_bytes must be between 1 and 1073741824");
    }
    // A body is counted packed and unpacked while it is unpacked.
    if http.pressure_bytes < http.body_bytes.saturating_mul(2) {
        return Some("http.pressure_bytes must be at least twice http.body_bytes");
    }
    (!(0.0..=600.0).contains(&http.wait_seconds))
        .then_some("http.wait_seconds must be between 0 and 600")
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
            ("sources: [{name: a}]", "needs `path`, `kafka` or `http`"),
            ("sources: [{name: a, path: x, kafka: {brokers: 'h:1', topics: [t]}}]", "both"),
            ("sources: [{name: a, kafka: {brokers: 'h:1'}}]", "topics"),
            ("sources: [{name: a, kafka: {brokers: 'h:1', topics: [t], start: now}}]", "earliest"),
            ("sources: [{name: a, path: x}, {name: a, path: y}]", "two sources"),
            (
                "sources: [{name: a, kafka: {brokers: 'h:1', topics: [t], stall_seconds: 0}}]",
                "stall",
            ),
            ("sources: [{name: a, path: x, http: {listen: '127.0.0.1:1'}}]", "both"),
            ("sources: [{name: a, http: {listen: '0.0.0.0:1'}}]", "`token`"),
            ("sources: [{name: a, http: {listen: 'here:1'}}]", "socket address"),
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
            ("mode: half", "half"),
            ("store: /mnt/shared", "must be a URL"),
        ] {
            let error = parse(yaml).unwrap_err();
            assert!(error.message.contains(words), "{yaml}: {}", error.message);
        }
    }
}
