//! The event bus as the configuration names it.

use std::time::Duration;

use deployforge_events::{BusSettings, BusStart, EventType, EventsError, Publisher};
use deployforge_state::DataDir;
use tokio::runtime::Handle;

use crate::config::{ConfigFile, EventsConfig};
use crate::error::CommandError;
use crate::{render, source};

/// How long the end of a process waits until all is published: of one that was told to end, and of one
/// that ends by itself.
const STOPPED: Duration = Duration::from_secs(10);
const DONE: Duration = Duration::from_mins(1);

/// Begins to publish, if the configuration says where.
pub(crate) fn start(
    config: &ConfigFile,
    dir: &DataDir,
    runtime: &Handle,
) -> Result<Option<Publisher>, CommandError> {
    let Some(events) = &config.events else { return Ok(None) };
    let settings = BusSettings { history: dir.keys().key_id.clone(), ..settings(events)? };
    Ok(Some(Publisher::start(settings, dir.history()?, runtime)?))
}

/// Waits until all is published that is committed, within reason.
pub(crate) fn finish(publisher: Option<Publisher>, stopped: bool) {
    let Some(publisher) = publisher else { return };
    if !publisher.finish(if stopped { STOPPED } else { DONE }) {
        anstream::eprintln!(
            "{}warning:{} not every commit is published to the event bus yet; the next `run` goes on with it",
            render::YELLOW,
            render::RESET
        );
    }
}

fn settings(config: &EventsConfig) -> Result<BusSettings, CommandError> {
    let fill = |(name, value): (&String, &String)| {
        Ok((name.clone(), source::filled(value, "events", name)?))
    };
    Ok(BusSettings {
        brokers: config.brokers.clone(),
        topic: config.topic.clone(),
        group: config.group.clone(),
        start: start_of(&config.start)?,
        history: String::new(),
        source: config.source.clone(),
        types: types_of(&config.types)?,
        properties: config.properties.iter().map(fill).collect::<Result<_, CommandError>>()?,
    })
}

/// Where publishing begins.
pub(crate) fn start_of(text: &str) -> Result<BusStart, CommandError> {
    match text {
        "earliest" => Ok(BusStart::Earliest),
        "latest" => Ok(BusStart::Latest),
        _ => Err(CommandError::new(format!(
            "`events.start: {text}` is neither `earliest` nor `latest`"
        ))),
    }
}

/// Which types are published.
pub(crate) fn types_of(names: &[String]) -> Result<Vec<EventType>, CommandError> {
    let of = |name: &String| {
        EventType::of(name).ok_or_else(|| {
            let all = EventType::ALL.map(EventType::name).join(", ");
            CommandError::new(format!("`events.types`: `{name}` is none of {all}"))
        })
    };
    names.iter().map(of).collect()
}

impl From<EventsError> for CommandError {
    fn from(error: EventsError) -> Self {
        Self::new(error.to_string())
    }
}
