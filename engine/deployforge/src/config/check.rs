//! What is wrong with a configuration: by itself, together with what was typed, and, for `config check`,
//! all that `run` would refuse at once. Nothing here speaks to a broker or a store.

use std::net::SocketAddr;

use deployforge_events::OWN_PROPERTIES;
use deployforge_sources::check_kafka_properties;
use deployforge_store::object_store::aws::AmazonS3ConfigKey;
use deployforge_store::object_store::azure::AzureConfigKey;
use deployforge_store::object_store::gcp::GoogleConfigKey;
use deployforge_store::{CLOUDS, StoreError};

use super::{ConfigFile, EventsConfig, HttpConfig, KafkaConfig, RejectsConfig, SourceConfig};
use crate::error::CommandError;
use crate::{home, source};

/// Characters of a topic's name at most, as Kafka has it.
const TOPIC_CHARS: usize = 249;

/// What is wrong with a file by itself.
pub(super) fn check_file(config: &ConfigFile) -> Result<(), CommandError> {
    for (i, source) in config.sources.iter().enumerate() {
        if config.sources[..i].iter().any(|other| other.name == source.name) {
            return Err(CommandError::new(format!("two sources are named `{}`", source.name)));
        }
        check_source(source)?;
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
    if config.stale_after_seconds == Some(0) {
        return Err(CommandError::new(
            "stale_after_seconds must be at least 1; without it nothing ever is stale",
        ));
    }
    if let Some(events) = &config.events {
        check_events(events)?;
    }
    deployforge_canon::ArrayRules::with(config.arrays.clone())?;
    deployforge_maps::SharedMaps::with(config.kinds.clone())?;
    deployforge_canon::FoldRules::with(config.folds.rules.clone(), config.folds.off.clone())?;
    deployforge_canon::Redactor::default().with_rules(config.secrets.clone())?;
    deployforge_policy::Policy::new(&config.policy, config.environments.clone())?;
    Ok(())
}

/// What is wrong with a source by itself.
pub(crate) fn check_source(source: &SourceConfig) -> Result<(), CommandError> {
    if let Some(format) = &source.format {
        format
            .parse::<deployforge_formats::Format>()
            .map_err(|error| CommandError::new(format!("sources: `{}`: {error}", source.name)))?;
    }
    check_place(source)?;
    if source.watch && source.path == "-" {
        return Err(CommandError::new(format!(
            "sources: `{}`: standard input cannot be watched; remove `watch`",
            source.name
        )));
    }
    Ok(())
}

/// What stands before the `@` may be a password, and is told nowhere.
const NO_USER: &str = "`brokers` holds an `@`, and has no place for a user or a password: they are `properties`, `sasl.username` and `sasl.password`";

fn check_events(events: &EventsConfig) -> Result<(), CommandError> {
    let EventsConfig { brokers, topic, group, source, .. } = events;
    if brokers.contains('@') {
        return Err(CommandError::new(format!("events: {NO_USER}")));
    }
    if [brokers, topic, group, source].iter().any(|text| text.is_empty()) {
        return Err(CommandError::new(
            "events needs `brokers` and a `topic`; `group` and `source` must not be empty",
        ));
    }
    check_topic(topic).map_err(|problem| CommandError::new(format!("events: {problem}")))?;
    crate::events::start_of(&events.start)?;
    crate::events::types_of(&events.types)?;
    Ok(())
}

/// A name that Kafka takes.
fn check_topic(topic: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if matches!(topic, "" | "." | "..") || topic.len() > TOPIC_CHARS || !topic.chars().all(plain) {
        return Err(format!(
            "`{topic}` cannot name a topic: use up to {TOPIC_CHARS} characters of A-Z a-z 0-9 - _ ., or begin a pattern with ^"
        ));
    }
    Ok(())
}

/// A source is files or a stream.
fn check_place(source: &SourceConfig) -> Result<(), CommandError> {
    let wrong = |problem: &str| CommandError::new(format!("sources: `{}`: {problem}", source.name));
    let problem = match (&source.kafka, &source.http) {
        (None, None) if source.path.is_empty() => {
            Some("its path is empty; it needs `path`, `kafka` or `http`")
        }
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
    if kafka.brokers.contains('@') {
        return Ok(Some(NO_USER));
    }
    for topic in kafka.topics.iter().filter(|topic| !topic.starts_with('^')) {
        check_topic(topic)
            .map_err(|problem| CommandError::new(format!("kafka.topics: {problem}")))?;
    }
    source::start_of(&kafka.start)?;
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

/// What does not go together: the file's own with what was typed.
pub(crate) fn check_together(config: &ConfigFile) -> Result<(), CommandError> {
    let stream = config.sources.iter().find(|source| source.is_stream());
    let Some(stream) = stream else {
        if config.listen.is_some() && !config.sources.is_empty() {
            return Err(CommandError::new("`listen` is for a stream, and the sources are files")
                .hint("remove `listen`, or read from `kafka` or `http`"));
        }
        return Ok(());
    };
    if config.sources.len() > 1 {
        return Err(CommandError::new(format!(
            "a stream is the only source of its process, and beside `{}` there are others",
            stream.name
        ))
        .hint("start another `run` with another data directory for the other sources"));
    }
    if let (Some(listen), Some(http)) = (config.listen, &stream.http)
        && collide(listen, http.listen)
    {
        return Err(CommandError::new(format!(
            "`listen` and `http.listen` are both {listen}; observations and metrics need a port each"
        )));
    }
    Ok(())
}

/// Whether two servers cannot listen at both; with port 0 the system gives each its own.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let all = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port()
        && a.port() != 0
        && (a.ip() == b.ip() || (all && a.is_ipv4() == b.is_ipv4()))
}

/// What `run` would refuse at once. `store` is the one that goes before the file's.
pub(crate) fn check_without_network(
    config: &ConfigFile,
    store: Option<&str>,
) -> Result<(), CommandError> {
    check_together(config)?;
    for source in &config.sources {
        source::check(source, config.commit)?;
    }
    if let Some(events) = &config.events {
        check_events_properties(events)?;
    }
    check_stores(config, store)
}

fn check_events_properties(events: &EventsConfig) -> Result<(), CommandError> {
    let mut properties = std::collections::BTreeMap::new();
    for (name, value) in &events.properties {
        if OWN_PROPERTIES.contains(&name.as_str()) {
            return Err(CommandError::new(format!(
                "events: `{name}` is set by the engine itself; remove it from `properties`"
            )));
        }
        properties.insert(name.clone(), source::filled(value, "events", name)?);
    }
    check_kafka_properties(&properties)
        .map_err(|problem| CommandError::new(format!("events.properties: {problem}")))
}

/// URLs and options of stores.
fn check_stores(config: &ConfigFile, store: Option<&str>) -> Result<(), CommandError> {
    let options = home::options(config)?;
    let store = store.or(config.store.as_deref());
    if let Some(store) = store {
        check_url(store, true)?;
    }
    let objects = config.sources.iter().map(|source| source.path.as_str());
    let objects: Vec<&str> = objects.filter(|path| deployforge_store::is_url(path)).collect();
    for url in &objects {
        check_url(url, false)?;
    }
    let urls: Vec<&str> = store.into_iter().chain(objects).collect();
    for name in options.keys() {
        check_option(name, &urls)?;
    }
    Ok(())
}

/// A URL of a store, or of objects in one, whose path may be a pattern.
fn check_url(url: &str, is_store: bool) -> Result<(), CommandError> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let (bucket, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let parameters = is_store && path.contains('?');
    let problem = if bucket.contains('@') || parameters {
        "credentials and parameters do not belong into it"
    } else if scheme != "file" && !deployforge_store::is_url(url) {
        "its scheme is none of a store"
    } else if scheme != "file" && bucket.is_empty() {
        "it names no bucket"
    } else {
        return Ok(());
    };
    let bucket = bucket.rsplit('@').next().unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let url = format!("{scheme}://{bucket}{path}");
    Err(StoreError::Url { url, problem: problem.to_owned() }.into())
}

/// An option's name has to be known to the cloud whose it is; one that names no cloud, to each that is used.
fn check_option(name: &str, urls: &[&str]) -> Result<(), CommandError> {
    let lower = name.to_ascii_lowercase();
    let own = CLOUDS.iter().find(|(_, prefix)| lower.starts_with(prefix));
    let used = |scheme: &str| urls.iter().any(|url| url.split("://").next() == Some(scheme));
    let mut asked =
        CLOUDS.iter().filter(|(scheme, _)| own.map_or(used(scheme), |(own, _)| own == scheme));
    let unknown = asked.find(|(scheme, _)| match *scheme {
        "s3" => lower.parse::<AmazonS3ConfigKey>().is_err(),
        "gs" => lower.parse::<GoogleConfigKey>().is_err(),
        _ => lower.parse::<AzureConfigKey>().is_err(),
    });
    match unknown {
        None => Ok(()),
        Some((scheme, _)) => Err(StoreError::Option {
            place: format!("{scheme}://"),
            name: name.to_owned(),
            problem: "there is no such option; docs/how-to/object-store.md lists the usual ones",
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn what_run_refuses_at_once_is_refused_without_a_network() {
        let kafka = |more: &str| {
            format!("sources: [{{name: a, kafka: {{brokers: 'h:1', topics: [t], {more}}}}}]")
        };
        let events =
            |more: &str| format!("events: {{brokers: 'h:1', topic: t, properties: {{{more}}}}}");
        let options = |more: &str| format!("store: s3://b/p\nstore_options: {{{more}}}");
        let http = "sources: [{name: a, http: {listen: '127.0.0.1:9'}}]\nlisten: ";
        for (yaml, words) in [
            (kafka("properties: {group.id: x}"), "`group.id`"),
            (kafka("properties: {sasl.pasword: hunter2}"), "sasl.pasword"),
            (kafka("properties: {session.timeout.ms: hunter2}"), "session.timeout.ms"),
            (kafka("properties: {sasl.password: '${DEPLOYFORGE_NO_SUCH}'}"), "DEPLOYFORGE_NO_SUCH"),
            (kafka("").replace("[t]", "['^[']"), "`^[`"),
            (events("acks: '1'"), "`acks`"),
            (events("sasl.pasword: hunter2"), "sasl.pasword"),
            (events("sasl.password: '${DEPLOYFORGE_NO_SUCH}'"), "DEPLOYFORGE_NO_SUCH"),
            (options("aws_regoin: hunter2"), "`aws_regoin`"),
            (options("google_regoin: hunter2"), "`google_regoin`"),
            (options("regoin: hunter2"), "`regoin`"),
            (options("aws_region: '${DEPLOYFORGE_NO_SUCH}'"), "DEPLOYFORGE_NO_SUCH"),
            ("store: s3://me:hunter2@b/p".to_owned(), "`s3://b/p` names no store"),
            ("store: s3://b/p?key=hunter2".to_owned(), "do not belong"),
            ("store: s3:///p".to_owned(), "names no bucket"),
            ("sources: [{name: a, path: 's3://me:hunter2@b/p'}]".to_owned(), "do not belong"),
            ("listen: 127.0.0.1:9\nsources: [{name: a, path: x}]".to_owned(), "for a stream"),
            (format!("{http}127.0.0.1:9"), "a port each"),
            (format!("{http}0.0.0.0:9"), "a port each"),
            (kafka("").replace("[{", "[{name: b, path: x}, {"), "the only source"),
        ] {
            let config = parse(&yaml).expect("each for itself it is right");
            let error = check_without_network(&config, None).expect_err(&yaml).message;
            assert!(error.contains(words) && !error.contains("hunter2"), "{yaml}: {error}");
        }
    }

    #[test]
    fn what_is_right_is_not_refused() {
        for yaml in [
            "sources: [{name: a, kafka: {brokers: 'h:1', topics: [a.b, '^c\\..*'], properties: {sasl.password: x, session.timeout.ms: '9000'}}}]\nlisten: 127.0.0.1:9",
            "events: {brokers: 'h:1', topic: t, properties: {linger.ms: '5'}}",
            "store: file:///x\nstore_options: {aws_region: x, Google_Service_Account: y}",
            "store: az://c/p\nstore_options: {azure_storage_account_name: x, allow_http: 'true'}",
            "sources: [{name: a, path: 's3://b/2026-??/*'}]\nstore_options: {region: x}",
            "sources: [{name: a, http: {listen: '127.0.0.1:0'}}]\nlisten: 127.0.0.1:0",
            "listen: 127.0.0.1:9",
        ] {
            let config = parse(yaml).expect(yaml);
            let checked = check_without_network(&config, None);
            assert!(checked.is_ok(), "{yaml}: {checked:?}");
        }
    }

    #[test]
    fn a_topic_has_a_name_that_kafka_takes() {
        for wrong in ["", ".", "..", "a b", " ", "a/b", "ä", &"x".repeat(250)] {
            assert!(check_topic(wrong).is_err(), "{wrong}");
        }
        let yaml = "sources: [{name: a, kafka: {brokers: 'h:1', topics: [t, 'a b']}}]";
        assert!(parse(yaml).unwrap_err().message.contains("`a b`"));
        let yaml = "events: {brokers: 'h:1', topic: 'a b'}";
        assert!(parse(yaml).unwrap_err().message.contains("`a b`"));
    }
}
