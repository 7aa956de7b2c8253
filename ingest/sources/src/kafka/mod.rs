//! Kafka: partitions of topics, read by a thread of their own.
//!
//! [`KafkaSource::start`] joins a consumer group and hands on [`StreamEvent`]s. Where to read from is
//! asked for when partitions come, and waited for when they go, so that whoever keeps the state of a
//! partition takes it up before its first message and lets it go after its last. The group's committed
//! offsets are for people and their tools: [`StreamControl::durable`] tells them, nothing is read by them.

mod check;
mod poll;
mod rebalance;
mod statistics;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};
use deployforge_model::{Frontier, NextOffset, Partition};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

pub use self::check::check_kafka_properties;
use crate::{SourceError, StreamControl, StreamEvent};

/// Blocks that wait to be taken; then reading waits.
const QUEUED: usize = 24;

/// What the reader may be told before it listens.
const COMMANDS: usize = 64;

/// Kilobytes of messages that the client fetches ahead.
const AHEAD_KB: &str = "65536";

/// Bytes of one partition that are asked for at a time.
const FETCH_BYTES: &str = "4194304";

/// How long the client waits after it has fetched enough ahead. Its own second is longer than what it has
/// fetched lasts.
const FULL_MILLIS: &str = "5";

/// How often the client says how far partitions reach.
const STATISTICS_MILLIS: &str = "5000";

/// What a user may not set: the engine decides it, or relies on it.
const OURS: [&str; 9] = [
    "bootstrap.servers",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "enable.partition.eof",
    // What was aborted never was.
    "isolation.level",
    "log_level",
    "statistics.interval.ms",
];

/// Where reading begins where no frontier says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the oldest message that is there.
    #[default]
    Earliest,
    /// With what comes from now on.
    Latest,
    /// With the first message of this time or later, in milliseconds since 1970.
    Time(i64),
}

/// What to read.
#[derive(Clone, Default)]
pub struct KafkaSettings {
    /// The source's name, for messages to people.
    pub name: String,
    /// Brokers to begin with, as `host:port,host:port`.
    pub brokers: String,
    /// Topics; what begins with `^` is a pattern.
    pub topics: Vec<String>,
    /// The consumer group; workers of one group share the partitions.
    pub group: String,
    /// Where to begin where no frontier says.
    pub start: Start,
    /// Every message is looked at on its own.
    pub single: bool,
    /// Settings of librdkafka, such as those of TLS and SASL.
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for KafkaSettings {
    /// Properties by their names alone: their values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, brokers, topics, group, start, single, properties } = self;
        f.debug_struct("KafkaSettings")
            .field("name", name)
            .field("brokers", brokers)
            .field("topics", topics)
            .field("group", group)
            .field("start", start)
            .field("single", single)
            .field("properties", &properties.keys())
            .finish()
    }
}

/// What the source is told.
#[derive(Debug)]
enum Command {
    Durable(Frontier),
    Pause(Partition),
    Resume(Partition),
    Restart(Partition, NextOffset),
}

/// A running reader. Dropping it leaves the group.
#[derive(Debug)]
pub struct KafkaSource {
    commands: Sender<Command>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl KafkaSource {
    /// Joins the group and reads. Fails where the settings are wrong; that no broker answers is
    /// [trouble](StreamEvent::Trouble).
    pub fn start(settings: &KafkaSettings) -> Result<(Self, Receiver<StreamEvent>), SourceError> {
        let (events, receiver) = bounded(QUEUED);
        let (commands, told) = bounded(COMMANDS);
        let stop = Arc::new(AtomicBool::new(false));
        let poller = poll::Poller::new(settings, events, told, Arc::clone(&stop))?;
        let thread = std::thread::Builder::new()
            .name("kafka".to_owned())
            .spawn(move || poller.run())
            .expect("a thread can be started");
        Ok((Self { commands, stop, thread: Some(thread) }, receiver))
    }

    /// Never waits: the reader may be waiting for whoever tells it.
    fn tell(&self, command: Command) -> bool {
        self.commands.try_send(command).is_ok()
    }

    /// Leaves the group without asking for what is not durable, and waits until it is left. The receiver
    /// of events must be gone, or read on until it is closed.
    pub fn leave(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say any more.
            let _ = thread.join();
        }
    }
}

impl StreamControl for KafkaSource {
    fn durable(&self, frontier: Frontier) {
        self.tell(Command::Durable(frontier));
    }

    fn pause(&self, partition: Partition) -> bool {
        self.tell(Command::Pause(partition))
    }

    fn resume(&self, partition: Partition) -> bool {
        self.tell(Command::Resume(partition))
    }

    fn restart(&self, partition: Partition, next: NextOffset) -> bool {
        self.tell(Command::Restart(partition, next))
    }

    fn last_call(&self) -> bool {
        // What is not taken in is another's to read.
        false
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The client's configuration.
fn config(settings: &KafkaSettings) -> Result<ClientConfig, SourceError> {
    let mut config = ClientConfig::new();
    config.set("queued.max.messages.kbytes", AHEAD_KB);
    config.set("fetch.message.max.bytes", FETCH_BYTES);
    config.set("fetch.queue.backoff.ms", FULL_MILLIS);
    config.set("partition.assignment.strategy", "range");
    config.set("client.id", "deployforge");
    // An OpenSSL that is built in knows of no certificates of the system by itself.
    config.set("ssl.ca.location", "probe");
    for (name, value) in &settings.properties {
        if OURS.contains(&name.as_str()) {
            return Err(SourceError::KafkaProperty {
                source_name: settings.name.clone(),
                name: name.clone(),
            });
        }
        config.set(name, value);
    }
    config.set("bootstrap.servers", &settings.brokers);
    config.set("group.id", &settings.group);
    config.set("statistics.interval.ms", STATISTICS_MILLIS);
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    // Where a frontier points to nothing is seen before; what is removed after is gone either way.
    config.set("auto.offset.reset", "earliest");
    Ok(config)
}

/// What a person is told of an error of the client: never a property's value, which may be a secret.
pub fn kafka_problem(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, description, name, _) => format!("{description} (`{name}`)"),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_property_is_told() {
        let properties = [("sasl.pasword", "a-secret"), ("socket.timeout.ms", "a-secret")];
        for (name, value) in properties {
            let settings = KafkaSettings {
                brokers: "127.0.0.1:1".to_owned(),
                topics: vec!["t".to_owned()],
                group: "g".to_owned(),
                properties: BTreeMap::from([(name.to_owned(), value.to_owned())]),
                ..KafkaSettings::default()
            };
            let error = KafkaSource::start(&settings).expect_err("it is no such property");
            for told in [error.to_string(), format!("{error:?}"), format!("{settings:?}")] {
                assert!(told.contains(name) && !told.contains(value), "{told}");
            }
        }
    }
}
