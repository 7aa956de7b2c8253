//! Streams as the configuration names them.

use std::time::Duration;

use crossbeam::channel::Receiver;
use deployforge_formats::Format;
use deployforge_model::Timestamp;
use deployforge_pipeline::Breaker;
use deployforge_sources::{
    HttpServer, HttpSettings, KafkaSettings, KafkaSource, SourceError, Start, StreamControl,
    StreamEvent,
};
use tokio::runtime::Handle;

use crate::config::{CommitConfig, KafkaConfig, SourceConfig};
use crate::error::CommandError;

/// The scheme of a topic on the command line.
const SCHEME: &str = "kafka://";

/// What the source is named as its format, if any. The configuration was checked.
pub(crate) fn format_of(source: &SourceConfig) -> Option<Format> {
    source.format.as_deref().and_then(|format| format.parse().ok())
}

/// When a partition that is mostly refused is paused.
pub(crate) fn breaker(source: &SourceConfig) -> Breaker {
    let Some(KafkaConfig { rejects, .. }) = &source.kafka else { return Breaker::default() };
    Breaker {
        messages: rejects.messages,
        share: rejects.share,
        pause: Duration::from_secs_f64(rejects.pause_seconds),
    }
}

/// How long a partition that has more may give nothing.
pub(crate) fn stall(source: &SourceConfig) -> Duration {
    let seconds = source.kafka.as_ref().map_or(60.0, |kafka| kafka.stall_seconds);
    Duration::from_secs_f64(seconds)
}

/// A stream, from one worker to the next.
#[derive(Debug)]
pub(crate) enum Stream {
    Kafka(KafkaSettings),
    /// It listens all the time.
    Http(HttpServer),
}

impl Stream {
    /// Of a source; an HTTP source listens from now on.
    pub(crate) fn start(
        source: &SourceConfig,
        commit: CommitConfig,
        runtime: &Handle,
    ) -> Result<Self, CommandError> {
        if source.http.is_none() {
            let settings = kafka(source)?;
            settings.check()?;
            return Ok(Self::Kafka(settings));
        }
        Ok(Self::Http(HttpServer::start(&http(source, commit)?, runtime)?))
    }

    /// Begins to read it.
    pub(crate) fn open(
        &self,
    ) -> Result<(Box<dyn StreamControl>, Receiver<StreamEvent>), SourceError> {
        match self {
            Self::Kafka(settings) => {
                let (source, events) = KafkaSource::start(settings)?;
                Ok((Box::new(source), events))
            }
            Self::Http(server) => {
                let (source, events) = server.open();
                Ok((Box::new(source), events))
            }
        }
    }
}

/// Whether a stream could be started, as far as no one else is needed for that.
pub(crate) fn check(source: &SourceConfig, commit: CommitConfig) -> Result<(), CommandError> {
    if source.kafka.is_some() {
        kafka(source)?.check()?;
    }
    if source.http.is_some() {
        http(source, commit)?;
    }
    Ok(())
}

/// The HTTP settings of a source.
fn http(source: &SourceConfig, commit: CommitConfig) -> Result<HttpSettings, CommandError> {
    let Some(config) = &source.http else {
        return Err(CommandError::new(format!("sources: `{}` is no HTTP source", source.name)));
    };
    let token = config.token.as_ref().map(|token| filled(token, &source.name, "http.token"));
    let token = token.transpose()?.map(|token| token.trim().to_owned());
    if token.as_ref().is_some_and(String::is_empty) {
        return Err(CommandError::new(format!("sources: `{}`: http.token is empty", source.name)));
    }
    Ok(HttpSettings {
        name: source.name.clone(),
        listen: config.listen,
        token,
        body_bytes: config.body_bytes,
        pressure_bytes: config.pressure_bytes,
        wait: Duration::from_secs_f64(config.wait_seconds),
        // Room comes with the next commit.
        retry_seconds: commit.interval_seconds.ceil().clamp(1.0, 30.0) as u64,
        single: is_single(source),
        formats: Format::ALL.map(Format::name).to_vec(),
    })
}

/// A state is a document, however it is written.
fn is_single(source: &SourceConfig) -> bool {
    format_of(source) == Some(Format::TerraformState)
}

/// The Kafka settings of a source.
fn kafka(source: &SourceConfig) -> Result<KafkaSettings, CommandError> {
    let Some(config) = &source.kafka else {
        return Err(CommandError::new(format!("sources: `{}` is no Kafka source", source.name)));
    };
    let mut properties = std::collections::BTreeMap::new();
    for (name, value) in &config.properties {
        let place = format!("sources: `{}`", source.name);
        properties.insert(name.clone(), filled(value, &place, name)?);
    }
    Ok(KafkaSettings {
        name: source.name.clone(),
        brokers: config.brokers.clone(),
        topics: config.topics.clone(),
        group: config.group.clone(),
        start: start_of(&config.start)?,
        single: is_single(source),
        properties,
    })
}

/// Where reading begins.
pub(crate) fn start_of(text: &str) -> Result<Start, CommandError> {
    match text {
        "earliest" => Ok(Start::Earliest),
        "latest" => Ok(Start::Latest),
        time => Timestamp::parse(time).map(|time| Start::Time(time.micros() / 1000)).map_err(|_| {
            CommandError::new(format!(
                "`start: {time}` is none of `earliest`, `latest` and a time such as 2026-11-20T10:00:00Z"
            ))
        }),
    }
}

/// A value with `${NAME}` replaced by what the environment has under that name: secrets do not stand in
/// files.
pub(crate) fn filled(value: &str, place: &str, property: &str) -> Result<String, CommandError> {
    let mut filled = String::new();
    let mut rest = value;
    while let Some(at) = rest.find("${") {
        let Some(end) = rest[at..].find('}') else { break };
        let name = &rest[at + 2..at + end];
        let found = std::env::var(name).map_err(|_| {
            CommandError::new(format!(
                "{place}: {property} needs the environment variable {name}, which is not set"
            ))
        })?;
        filled.push_str(&rest[..at]);
        filled.push_str(&found);
        rest = &rest[at + end + 1..];
    }
    filled.push_str(rest);
    Ok(filled)
}

/// A topic on the command line: `kafka://HOST:PORT/TOPIC,TOPIC?group=G&start=S`. `None`: it is none.
pub(crate) fn parse(text: &str) -> Option<Result<KafkaConfig, CommandError>> {
    let rest = text.strip_prefix(SCHEME)?;
    if rest.contains('@') {
        // What stands before it may be a password, and is told nowhere.
        return Some(Err(CommandError::new("a kafka:// URL holds an `@`").hint(
            "it has no place for a user or a password: write `properties` with `sasl.username` and `sasl.password` of the source in the configuration file",
        )));
    }
    let wrong = |problem: &str| {
        Some(Err(CommandError::new(format!("`{text}` {problem}")).hint(
            "write kafka://HOST:PORT/TOPIC, with ?group=NAME&start=latest behind it if need be",
        )))
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let Some((brokers, topics)) = place.split_once('/') else { return wrong("names no topic") };
    let topics: Vec<String> =
        topics.split(',').filter(|topic| !topic.is_empty()).map(str::to_owned).collect();
    if brokers.is_empty() || topics.is_empty() {
        return wrong("names no broker or no topic");
    }
    let mut config = KafkaConfig { brokers: brokers.to_owned(), topics, ..KafkaConfig::default() };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("group", group)) => group.clone_into(&mut config.group),
            Some(("start", start)) => start.clone_into(&mut config.start),
            _ => return wrong(&format!("has `{pair}`, which is neither group= nor start=")),
        }
    }
    Some(Ok(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_can_be_named_on_the_command_line() {
        assert!(parse("items.ndjson").is_none());
        let config = parse("kafka://a:1,b:2/x,y?group=g&start=latest").unwrap().unwrap();
        assert_eq!((&*config.brokers, &*config.group, &*config.start), ("a:1,b:2", "g", "latest"));
        assert_eq!(config.topics, ["x", "y"]);
        let secret = parse("kafka://bob:hidden@h:1,b:2/x").unwrap().unwrap_err();
        assert!(!format!("{} {:?}", secret.message, secret.hints).contains("hidden"));
        for wrong in ["kafka://a:1", "kafka:///x", "kafka://a:1/", "kafka://a:1/x?groop=g"] {
            assert!(parse(wrong).unwrap().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_start_is_a_word_or_a_time() {
        assert_eq!(start_of("latest").unwrap(), Start::Latest);
        assert_eq!(start_of("1970-01-01T00:00:02Z").unwrap(), Start::Time(2000));
        assert!(start_of("yesterday").unwrap_err().message.contains("yesterday"));
    }

    #[test]
    fn what_the_environment_lacks_is_said() {
        assert_eq!(filled("plain ${", "s", "p").unwrap(), "plain ${");
        let error = filled("x${DEPLOYFORGE_NO_SUCH}", "s", "sasl.password").unwrap_err();
        assert!(error.message.contains("DEPLOYFORGE_NO_SUCH"), "{}", error.message);
        assert_eq!(filled("${PATH}", "s", "p").unwrap(), std::env::var("PATH").unwrap());
    }
}
