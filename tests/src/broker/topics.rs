//! Topics and what is known about them.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication, TopicResult,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{Broker, PATIENCE, until};

/// How long one question may take, before it is asked again.
const ANSWER: Duration = Duration::from_secs(5);

impl Broker {
    /// Makes a topic, with a replica on each node, on three at most; returns when every partition has
    /// a leader.
    #[track_caller]
    pub fn topic(&self, name: &str, partitions: i32) {
        self.topic_with(name, partitions, &[]);
    }

    /// See [`Broker::topic`]; with configuration, such as `[("cleanup.policy", "compact")]`.
    #[track_caller]
    pub fn topic_with(&self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        let replicas = TopicReplication::Fixed(self.nodes.len().min(3) as i32);
        let mut topic = NewTopic::new(name, partitions, replicas);
        topic.config.extend(config);
        let admin = self.admin();
        done(name, wait(admin.create_topics([&topic], &options())));
        self.wait_for_leaders(name, partitions);
    }

    /// Adds partitions to a topic until it has as many as said; returns when each has a leader.
    #[track_caller]
    pub fn add_partitions(&self, topic: &str, total: i32) {
        let partitions = NewPartitions::new(topic, total as usize);
        let admin = self.admin();
        done(topic, wait(admin.create_partitions([&partitions], &options())));
        self.wait_for_leaders(topic, total);
    }

    /// Removes a topic with all that is in it.
    #[track_caller]
    pub fn remove_topic(&self, name: &str) {
        let admin = self.admin();
        done(name, wait(admin.delete_topics(&[name], &options())));
        until(&format!("`{name}` is gone"), || {
            let metadata = metadata(&consumer(&self.config())?, None)?;
            let there = metadata.topics().iter().any(|topic| topic.name() == name);
            if there { Err("it is there".to_owned()) } else { Ok(()) }
        });
    }

    /// Removes what a partition holds before an offset, as retention does.
    #[track_caller]
    pub fn forget(&self, topic: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).expect("an offset");
        let admin = self.admin();
        wait(admin.delete_records(&list, &options())).unwrap_or_else(|e| panic!("`{topic}`: {e}"));
    }

    /// The offset behind the last message of each partition.
    #[track_caller]
    pub fn ends(&self, topic: &str) -> Vec<i64> {
        until(&format!("the ends of `{topic}`"), || {
            let consumer = consumer(&self.config())?;
            let partitions = partitions(&consumer, topic)?;
            let end = |partition| {
                let marks = consumer.fetch_watermarks(topic, partition, ANSWER);
                marks.map(|(_, end)| end).map_err(|error| error.to_string())
            };
            (0..partitions).map(end).collect()
        })
    }

    /// The offset that a group committed in each partition: that of the message it reads next.
    #[track_caller]
    pub fn committed(&self, group: &str, topic: &str) -> Vec<Option<i64>> {
        let mut config = self.config();
        config.set("group.id", group);
        until(&format!("what `{group}` committed in `{topic}`"), || {
            let consumer = consumer(&config)?;
            let partitions = partitions(&consumer, topic)?;
            let mut list = TopicPartitionList::new();
            list.add_partition_range(topic, 0, partitions - 1);
            let list = consumer.committed_offsets(list, ANSWER).map_err(|e| e.to_string())?;
            let mut elements = list.elements();
            elements.sort_by_key(TopicPartitionListElem::partition);
            let offset = |element: &TopicPartitionListElem| {
                element.error().map_err(|error| error.to_string())?;
                Ok(if let Offset::Offset(at) = element.offset() { Some(at) } else { None })
            };
            elements.iter().map(offset).collect()
        })
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().expect("a client")
    }

    #[track_caller]
    fn wait_for_leaders(&self, topic: &str, partitions: i32) {
        until(&format!("leaders for `{topic}`"), || {
            let metadata = metadata(&consumer(&self.config())?, Some(topic))?;
            let known = metadata.topics().iter().flat_map(MetadataTopic::partitions);
            let led = known.filter(|partition| partition.leader() >= 0).count();
            if led == partitions as usize {
                Ok(())
            } else {
                Err(format!("{led} of {partitions} partitions have one"))
            }
        });
    }
}

/// A client that asks; it reads no messages.
pub(super) fn consumer(config: &ClientConfig) -> Result<BaseConsumer, String> {
    config.create().map_err(|error| error.to_string())
}

/// What a broker says about its nodes, and about one topic or all of them.
pub(super) fn metadata(consumer: &BaseConsumer, topic: Option<&str>) -> Result<Metadata, String> {
    consumer.fetch_metadata(topic, ANSWER).map_err(|error| error.to_string())
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<i32, String> {
    let metadata = metadata(consumer, Some(topic))?;
    match metadata.topics().first().map_or(0, |topic| topic.partitions().len()) {
        0 => Err("there is no such topic".to_owned()),
        count => Ok(count as i32),
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

#[track_caller]
fn done(topic: &str, results: KafkaResult<Vec<TopicResult>>) {
    let results = results.unwrap_or_else(|error| panic!("`{topic}`: {error}"));
    for result in results {
        result.unwrap_or_else(|(_, code)| panic!("`{topic}`: {code}"));
    }
}

/// Waits for a future. The client's own thread completes it, so all that is needed is to sleep.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
