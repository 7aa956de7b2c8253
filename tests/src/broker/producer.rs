//! A producer that loses nothing silently.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use super::{Broker, Message};
use crate::seconds;

/// How batches of messages are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// Its name in Kafka's configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// A producer, for one thread or several. Each message arrives once and in order, also while nodes
/// come and go; [`Producer::flush`] says when they all have.
pub struct Producer {
    inner: BaseProducer<Deliveries>,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}

/// The first delivery that failed.
#[derive(Default)]
struct Deliveries {
    failure: Mutex<Option<String>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let (topic, partition) = (message.topic(), message.partition());
            let said = || format!("to partition {partition} of `{topic}`: {error}");
            self.failure.lock().expect("no panic here").get_or_insert_with(said);
        }
    }
}

impl Producer {
    /// Sends a message; if there is no room, when there is.
    ///
    /// # Panics
    ///
    /// If it can't be sent, or there is no room for longer than [`seconds`].
    #[track_caller]
    pub fn send(&self, topic: &str, message: &Message) {
        let start = Instant::now();
        let mut record = record(topic, message);
        while let Err((error, back)) = self.inner.send(record) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert!(error == full && !is_over(start), "`{topic}` takes no message: {error}");
            self.inner.poll(Duration::from_millis(10));
            record = back;
        }
        // Takes what was delivered off the queue.
        self.inner.poll(Duration::ZERO);
    }

    /// Waits until everything that was sent is delivered. What was not flushed before the producer
    /// is dropped may be lost.
    ///
    /// # Panics
    ///
    /// If a delivery failed, or it takes longer than [`seconds`].
    #[track_caller]
    pub fn flush(&self) {
        let start = Instant::now();
        loop {
            if let Some(failure) = &*self.inner.context().failure.lock().expect("no panic there") {
                panic!("a message was not delivered {failure}");
            }
            let left = self.inner.in_flight_count();
            if left == 0 {
                return;
            }
            assert!(!is_over(start), "{left} messages are not delivered after {} s", seconds());
            // Not the client's own `flush`, which looks ten times a second.
            self.inner.poll(Duration::from_millis(2));
        }
    }
}

fn is_over(start: Instant) -> bool {
    start.elapsed() > Duration::from_secs(seconds())
}

fn record<'a>(topic: &'a str, message: &'a Message) -> BaseRecord<'a, [u8], [u8]> {
    let mut record = BaseRecord::to(topic);
    record.key = message.key.as_deref();
    record.payload = message.payload.as_deref();
    record.partition = message.partition;
    record.timestamp = message.timestamp;
    if !message.headers.is_empty() {
        let header = |headers: OwnedHeaders, (key, value): &(String, Vec<u8>)| {
            headers.insert(Header { key, value: Some(value) })
        };
        record.headers = Some(message.headers.iter().fold(OwnedHeaders::new(), header));
    }
    record
}

impl Broker {
    /// A producer to keep: its first delivery takes half a second, in which it gets an id by which
    /// the broker knows what it has already.
    pub fn producer(&self, compression: Compression) -> Producer {
        self.producer_with(compression, ("enable.idempotence", "true"))
    }

    /// Sends messages in order, and returns when all of them are delivered. If a node is lost
    /// meanwhile, a message may arrive twice; a [`Broker::producer`] sends once.
    ///
    /// # Panics
    ///
    /// If one is not delivered.
    #[track_caller]
    pub fn produce(&self, topic: &str, messages: impl IntoIterator<Item = impl Borrow<Message>>) {
        // Without an id, no request may overtake another.
        let in_order = ("max.in.flight.requests.per.connection", "1");
        let producer = self.producer_with(Compression::None, in_order);
        for message in messages {
            producer.send(topic, message.borrow());
        }
        producer.flush();
    }

    /// Sends messages in a transaction of their own, which is committed or not.
    ///
    /// # Panics
    ///
    /// If the broker does not take it.
    #[track_caller]
    pub fn transaction(&self, topic: &str, messages: &[Message], is_committed: bool) {
        let producer = self.producer_with(Compression::None, ("transactional.id", topic));
        let patience = Duration::from_secs(seconds());
        producer.inner.init_transactions(patience).expect("the broker keeps transactions");
        producer.inner.begin_transaction().expect("a transaction");
        messages.iter().for_each(|message| producer.send(topic, message));
        producer.flush();
        let ended = if is_committed {
            producer.inner.commit_transaction(patience)
        } else {
            producer.inner.abort_transaction(patience)
        };
        ended.expect("the broker ends it");
    }

    fn producer_with(&self, compression: Compression, (name, value): (&str, &str)) -> Producer {
        let mut config = self.config();
        config
            .set(name, value)
            .set("compression.type", compression.name())
            // The partition of a key is that of Java's producers.
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", (seconds() * 1000).to_string())
            // The broker's longest: a message may not take longer than its transaction.
            .set("transaction.timeout.ms", "900000");
        let inner = config.create_with_context(Deliveries::default()).expect("a producer");
        Producer { inner }
    }
}
