//! Messages, as they are sent and as they are read back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::topics::metadata;
use super::{Broker, PATIENCE, until};

/// A message to send. The default has nothing: no key, and no payload, which is a tombstone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The payload; `None` makes a tombstone.
    pub payload: Option<Vec<u8>>,
    /// The partition; without it, the key decides as it does for Java's producers.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; without it, the time at which it is sent.
    pub timestamp: Option<i64>,
    /// Headers, in order; a name may stand more than once.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Message {
    /// A message with a payload.
    pub fn of(payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: Some(payload.into()), ..Self::default() }
    }

    /// With a key.
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// To a partition.
    pub fn to(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// With a timestamp in milliseconds since 1970.
    pub fn at(mut self, timestamp: i64) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// With one header more.
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// A message as it was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its payload; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
}

impl Read {
    fn of(message: &BorrowedMessage) -> Self {
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        let header = |header: rdkafka::message::Header<&[u8]>| {
            (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
        };
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
            headers: headers.map(header).collect(),
            timestamp: message.timestamp().to_millis(),
        }
    }
}

impl Broker {
    /// What a topic holds now, by partition and offset.
    #[track_caller]
    pub fn drain(&self, topic: &str) -> Vec<Read> {
        let ends = self.ends(topic);
        let mut open: BTreeSet<i32> =
            (0..).zip(&ends).filter(|(_, end)| **end > 0).map(|(partition, _)| partition).collect();
        let consumer = self.reader(topic, &open);
        let mut read = Vec::new();
        let mut progress = Instant::now();
        let mut trouble = None;
        while !open.is_empty() {
            assert!(progress.elapsed() < PATIENCE, "`{topic}` gives nothing: {trouble:?}");
            match consumer.poll(Duration::from_millis(100)) {
                None => continue,
                // The last offsets may belong to no message, such as after compaction.
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
                // A node that is down, or not yet the leader: the client tries again by itself.
                Some(Err(error)) => {
                    trouble = Some(error);
                    continue;
                }
                Some(Ok(message)) => {
                    let (partition, next) = (message.partition(), message.offset() + 1);
                    let end = ends[partition as usize];
                    if next <= end {
                        read.push(Read::of(&message));
                    }
                    if next >= end {
                        open.remove(&partition);
                    }
                }
            }
            progress = Instant::now();
        }
        read.sort_by_key(|read| (read.partition, read.offset));
        read
    }

    /// A consumer of partitions from their beginning.
    #[track_caller]
    fn reader(&self, topic: &str, partitions: &BTreeSet<i32>) -> BaseConsumer {
        let mut config = self.config();
        config
            // The group is not joined and nothing is committed; without a name for one, the client
            // reads no messages.
            .set("group.id", "testkit")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            // What is asked for is there; an answer with nothing need not come late.
            .set("fetch.wait.max.ms", "10");
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition_offset(topic, *partition, Offset::Beginning).expect("an offset");
        }
        let consumer: BaseConsumer = config.create().expect("a consumer");
        // A client that does not know the leaders yet waits for half a second before it asks.
        until(&format!("the leaders of `{topic}`"), || metadata(&consumer, Some(topic)));
        consumer.assign(&list).expect("partitions that are there");
        consumer
    }
}
