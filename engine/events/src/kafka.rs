//! Kafka: who publishes, and transactions of events with the position behind them.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use deployforge_sources::kafka_problem;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::{EventType, EventsError, Page, Position};

/// How long a broker is waited for before the attempt is given up.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a full queue of the client is waited for at a time.
const ROOM: Duration = Duration::from_millis(100);

/// Attempts at a request of a transaction that may be tried again.
const TRIES: u32 = 3;

/// Kinds of trouble that are said until there is none any more.
const SAID_MAX: usize = 32;

/// What clients and brokers take as one message, unless they are told otherwise.
const EVENT_BYTES: usize = 1_000_000;

/// What of that a message takes besides its key and its value.
const ENVELOPE_BYTES: usize = 4096;

/// What the value is.
const CONTENT_TYPE: &str = "application/cloudevents+json; charset=UTF-8";

/// Properties that a user may not set: the engine decides them, or relies on them.
pub const OWN_PROPERTIES: [&str; 10] = [
    "bootstrap.servers",
    "group.id",
    "transactional.id",
    "enable.idempotence",
    "acks",
    "isolation.level",
    "enable.auto.commit",
    "auto.offset.reset",
    "partition.assignment.strategy",
    "log_level",
];

/// Where publishing begins where the group has no position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BusStart {
    /// With the oldest commit that is still there.
    #[default]
    Earliest,
    /// With what is committed from now on.
    Latest,
}

/// Where events go.
#[derive(Clone, Default)]
pub struct BusSettings {
    /// Brokers to begin with, as `host:port,host:port`.
    pub brokers: String,
    /// The topic, which has to be there.
    pub topic: String,
    /// The group of the processes that publish this history; it keeps their position.
    pub group: String,
    /// Where to begin where the group has no position.
    pub start: BusStart,
    /// What tells this history from others: a position of another one is not taken for its own.
    pub history: String,
    /// The `source` of the CloudEvents.
    pub source: String,
    /// Types that are published; none: all.
    pub types: Vec<EventType>,
    /// Settings of librdkafka, such as those of TLS and SASL.
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for BusSettings {
    /// Properties by their names alone: their values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { brokers, topic, group, start, history, source, types, properties } = self;
        f.debug_struct("BusSettings")
            .field("brokers", brokers)
            .field("topic", topic)
            .field("group", group)
            .field("start", start)
            .field("history", history)
            .field("source", source)
            .field("types", types)
            .field("properties", &properties.keys())
            .finish()
    }
}

impl BusSettings {
    /// What both clients are told.
    fn client(&self) -> Result<ClientConfig, EventsError> {
        let mut config = ClientConfig::new();
        config.set("client.id", "deployforge-events");
        // An OpenSSL that is built in knows of no certificates of the system by itself.
        config.set("ssl.ca.location", "probe");
        for (name, value) in &self.properties {
            if OWN_PROPERTIES.contains(&name.as_str()) {
                return Err(EventsError::Property(name.clone()));
            }
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        Ok(config)
    }

    /// Bytes of an event that the client takes, at most about.
    pub(crate) fn event_bytes(&self) -> usize {
        let told = self.properties.get("message.max.bytes").and_then(|bytes| bytes.parse().ok());
        told.unwrap_or(EVENT_BYTES).saturating_sub(ENVELOPE_BYTES)
    }

    /// Whether they make clients.
    pub(crate) fn check(&self) -> Result<(), EventsError> {
        let _: BaseProducer = self.client()?.create().map_err(|error| failed(&error))?;
        Ok(())
    }

    /// The partition under whose name the group keeps its position, and whose holder publishes.
    fn seat(&self) -> TopicPartitionList {
        let mut seat = TopicPartitionList::new();
        seat.add_partition(&self.topic, 0);
        seat
    }
}

fn failed(error: &KafkaError) -> EventsError {
    EventsError::Kafka(match error {
        // What the client says of a transaction is more than the name of the error.
        KafkaError::Transaction(said) => said.string(),
        error => kafka_problem(error),
    })
}

/// What the clients call back.
struct Seat {
    topic: String,
    /// The group said which partitions are this process's.
    joined: AtomicBool,
    /// Partition 0 is among them.
    held: AtomicBool,
    said: Mutex<HashSet<String>>,
}

impl ClientContext for Seat {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(topic = %self.topic, facility, "{text}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let text = format!("{error}: {reason}");
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() < SAID_MAX && said.insert(text.clone()) {
            tracing::warn!(event = "events_trouble", topic = %self.topic, "{text}");
        }
    }
}

impl ConsumerContext for Seat {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let taken = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        self.held.store(taken && list.find_partition(&self.topic, 0).is_some(), Ordering::Relaxed);
        let done = if taken {
            self.joined.store(true, Ordering::Relaxed);
            // Nothing is read of them: to hold one is all that they are for.
            list.set_all_offsets(Offset::End)
                .and_then(|()| consumer.assign(list))
                .and_then(|()| consumer.pause(list))
        } else {
            consumer.unassign()
        };
        if let Err(error) = done {
            self.error(error, "the group's answer was not taken");
        }
    }
}

/// A member of the publishers' group.
pub(crate) struct Member {
    settings: BusSettings,
    consumer: BaseConsumer<Seat>,
}

impl Member {
    /// Asks to join. That the topic is not there, or no broker answers, is an error.
    pub(crate) fn join(settings: &BusSettings) -> Result<Self, EventsError> {
        let mut config = settings.client()?;
        config.set("group.id", &settings.group);
        config.set("enable.auto.commit", "false");
        // A position within a transaction that is not ended yet is waited for.
        config.set("isolation.level", "read_committed");
        config.set("partition.assignment.strategy", "range");
        let context = Seat {
            topic: settings.topic.clone(),
            joined: AtomicBool::new(false),
            held: AtomicBool::new(false),
            said: Mutex::default(),
        };
        let consumer: BaseConsumer<Seat> =
            config.create_with_context(context).map_err(|error| failed(&error))?;
        let topic = settings.topic.as_str();
        let metadata =
            consumer.fetch_metadata(Some(topic), TIMEOUT).map_err(|error| failed(&error))?;
        if metadata.topics().iter().all(|topic| topic.partitions().is_empty()) {
            let problem = format!(
                "there is no topic `{topic}` at {}; make it, with as many partitions as its readers need",
                settings.brokers
            );
            return Err(EventsError::Kafka(problem));
        }
        consumer.subscribe(&[topic]).map_err(|error| failed(&error))?;
        Ok(Self { settings: settings.clone(), consumer })
    }

    /// Stays in the group; waits for so long at most.
    pub(crate) fn stay(&self, wait: Duration) -> Result<(), EventsError> {
        match self.consumer.poll(wait) {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(
                    RDKafkaErrorCode::AllBrokersDown
                    | RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::OperationTimedOut,
                ) => Ok(()),
                _ => Err(failed(&error)),
            },
        }
    }

    /// Whether the group has said who publishes.
    pub(crate) fn joined(&self) -> bool {
        self.consumer.context().joined.load(Ordering::Relaxed)
    }

    /// Whether it is this process that publishes.
    pub(crate) fn leads(&self) -> bool {
        self.consumer.context().held.load(Ordering::Relaxed)
    }

    /// Where the group's last transaction ended. `None`: there was none, or the group forgot it.
    fn position(&self) -> Result<Option<Position>, EventsError> {
        let seat = self.settings.seat();
        let known =
            self.consumer.committed_offsets(seat, TIMEOUT).map_err(|error| failed(&error))?;
        let known = known.elements().into_iter().next();
        let Some(Ok(Offset::Offset(commit))) =
            known.as_ref().map(|one| one.error().map(|()| one.offset()))
        else {
            return Ok(None);
        };
        let text = known.as_ref().map_or("", |one| one.metadata());
        let (text, history) = text.split_once(' ').unwrap_or((text, &self.settings.history));
        if history != self.settings.history {
            return Err(EventsError::Foreign { group: self.settings.group.clone() });
        }
        let position = text.parse().ok().filter(|it: &Position| it.commit == commit as u64);
        Ok(Some(position.unwrap_or(Position { commit: commit as u64, rows: 0 })))
    }
}

/// Publishes, as the only one.
pub(crate) struct Lead {
    producer: BaseProducer,
    /// Where the last transaction ended.
    pub(crate) position: Option<Position>,
}

impl Lead {
    /// Fences whoever published before, and finds out how far they came.
    pub(crate) fn take(member: &Member) -> Result<Self, EventsError> {
        let settings = &member.settings;
        let mut config = settings.client()?;
        if !settings.properties.contains_key("compression.type") {
            config.set("compression.type", "lz4");
        }
        if !settings.properties.contains_key("partitioner") {
            // As Java's clients do.
            config.set("partitioner", "murmur2_random");
        }
        config.set("transactional.id", format!("deployforge.{}", settings.group));
        let producer: BaseProducer = config.create().map_err(|error| failed(&error))?;
        producer.init_transactions(TIMEOUT).map_err(|error| failed(&error))?;
        // What those before left open is ended now.
        let position = member.position()?;
        Ok(Self { producer, position })
    }

    /// Publishes events and the position behind them: all or nothing. After an error nothing of this
    /// object is of use.
    pub(crate) fn publish(&mut self, member: &Member, page: &Page) -> Result<(), EventsError> {
        self.producer.begin_transaction().map_err(|error| failed(&error))?;
        let ended = self.transaction(member, page);
        if let Err(error) = ended {
            // If this fails too, whoever publishes next ends it.
            let _ = self.producer.abort_transaction(TIMEOUT);
            return Err(failed(&error));
        }
        self.position = Some(page.next);
        Ok(())
    }

    fn transaction(&self, member: &Member, page: &Page) -> KafkaResult<()> {
        let Member { settings, consumer } = member;
        for event in &page.events {
            let header = Header { key: "content-type", value: Some(CONTENT_TYPE) };
            let mut record = BaseRecord::to(&settings.topic)
                .key(&event.key)
                .payload(&event.body)
                .headers(OwnedHeaders::new_with_capacity(1).insert(header));
            let mut waited = Duration::ZERO;
            while let Err((error, again)) = self.producer.send(record) {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !full || waited >= TIMEOUT {
                    return Err(error);
                }
                self.producer.poll(ROOM);
                waited += ROOM;
                record = again;
            }
            self.producer.poll(Duration::ZERO);
        }
        let behind = settings.seat();
        let mut seat = behind.find_partition(&settings.topic, 0).expect("it is in it");
        seat.set_offset(Offset::Offset(page.next.commit as i64))?;
        seat.set_metadata(format!("{} {}", page.next, settings.history));
        let Some(group) = consumer.group_metadata() else {
            return Err(KafkaError::Canceled);
        };
        let offsets = || self.producer.send_offsets_to_transaction(&behind, &group, TIMEOUT);
        patiently(offsets)?;
        patiently(|| self.producer.commit_transaction(TIMEOUT))
    }
}

/// Tries again what the client says may be tried again.
fn patiently(request: impl Fn() -> KafkaResult<()>) -> KafkaResult<()> {
    let mut tries = 1;
    loop {
        match request() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && tries < TRIES => {
                tries += 1;
            }
            ended => return ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_that_is_not_the_users_is_refused_and_no_value_is_told() {
        let property = |name: &str| BusSettings {
            properties: BTreeMap::from([(name.to_owned(), "a-secret".to_owned())]),
            ..BusSettings::default()
        };
        let refused = property("transactional.id").client().expect_err("it is the engine's");
        assert!(refused.to_string().contains("`transactional.id`"), "{refused}");
        let settings = property("sasl.pasword");
        let wrong = Member::join(&settings).err().expect("there is no such property").to_string();
        assert!(wrong.contains("sasl.pasword") && !wrong.contains("a-secret"), "{wrong}");
        assert!(!format!("{settings:?}").contains("a-secret"));
    }
}
