//! Partitions that come and go.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use deployforge_model::{NextOffset, Partition};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::Start;
use super::statistics::{self, End};
use crate::message::Started;
use crate::{SourceError, StreamEvent};

/// Kinds of trouble that are said until there is none any more.
const SAID_MAX: usize = 32;

/// How long a broker is waited for before it is asked again.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer is waited for before it is looked whether all ends.
const LOOK: Duration = Duration::from_millis(100);

/// What the client calls back.
pub(super) struct Context {
    pub(super) name: String,
    pub(super) start: Start,
    pub(super) events: Sender<StreamEvent>,
    pub(super) stop: Arc<AtomicBool>,
    /// Partitions that went since the poller last looked.
    pub(super) gone: Mutex<Vec<Partition>>,
    /// How far partitions reach, where the poller has not looked yet.
    pub(super) ends: Mutex<Vec<End>>,
    /// What was said of trouble since there was none.
    pub(super) said: Mutex<HashSet<String>>,
    /// The group took the offsets that it was told last; a refusal clears it.
    pub(super) settled: AtomicBool,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        // What follows is part of a property's value, which may be a secret.
        let text = text.split(" beginning at:").next().unwrap_or_default();
        match level {
            RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
                tracing::debug!(source = %self.name, facility, "{text}");
            }
            _ => tracing::warn!(source = %self.name, facility, "{text}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble(&format!("{error}: {reason}"));
    }

    fn stats_raw(&self, statistics: &[u8]) {
        // The poller tells them, who knows which messages came.
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = statistics::ends(statistics);
    }
}

impl Context {
    /// There is no trouble: what was said may be said again.
    pub(super) fn is_well(&self) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.is_empty() {
            said.clear();
        }
    }

    /// Says once what is the same again and again.
    pub(super) fn trouble(&self, text: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() < SAID_MAX && !self.stopped() && said.insert(text.to_owned()) {
            // Whoever listened may be gone; a full queue has other worries.
            let _ = self.events.try_send(StreamEvent::Trouble(format!("{}: {text}", self.name)));
        }
    }

    /// Waits for an answer until all ends: whoever was to give it may be gone, and a question that is still
    /// queued keeps its answer open.
    fn wait<T>(&self, answered: &Receiver<T>) -> Option<T> {
        while !self.stopped() {
            match answered.recv_timeout(LOOK) {
                Ok(answer) => return Some(answer),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        answered.try_recv().ok()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Where to read partitions from, as far as whoever keeps their state knows.
    fn ask(&self, partitions: Vec<Partition>) -> Option<Vec<(Partition, Option<NextOffset>)>> {
        let (answer, answered) = bounded(1);
        self.events.send(StreamEvent::Assigned { partitions, answer }).ok()?;
        self.wait(&answered)
    }

    fn assigned(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: Vec<Partition>,
    ) -> Option<TopicPartitionList> {
        let mut assignment = TopicPartitionList::new();
        let mut started = Vec::new();
        for (partition, known) in self.ask(partitions)? {
            let one = self.patiently(|| self.begin(consumer, &partition, known))?;
            let one = match one {
                Ok(one) => one,
                Err(error) => {
                    let _ = self.events.send(StreamEvent::Failed(error));
                    return None;
                }
            };
            let Partition { topic, number } = &partition;
            assignment.add_partition_offset(topic, *number, Offset::Offset(one.at.0)).ok()?;
            started.push(one);
        }
        self.events.send(StreamEvent::Started(started)).ok()?;
        Some(assignment)
    }

    /// Asks a broker until it answers, or until all ends.
    fn patiently<T>(&self, ask: impl Fn() -> KafkaResult<T>) -> Option<T> {
        while !self.stopped() {
            match ask() {
                Ok(answer) => return Some(answer),
                Err(error) => self.trouble(&error.to_string()),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        None
    }

    /// Where the reading of a partition begins.
    fn begin(
        &self,
        consumer: &BaseConsumer<Self>,
        partition: &Partition,
        known: Option<NextOffset>,
    ) -> KafkaResult<Result<Started, SourceError>> {
        let Partition { topic, number } = partition;
        let (low, high) = consumer.fetch_watermarks(topic, *number, TIMEOUT)?;
        let at = match known {
            Some(NextOffset(next)) if next > high => {
                return Ok(Err(SourceError::KafkaBehind {
                    partition: partition.to_string(),
                    frontier: next,
                    end: high,
                }));
            }
            Some(NextOffset(next)) => next.max(low),
            None => match self.start {
                Start::Earliest => low,
                Start::Latest => high,
                Start::Time(millis) => {
                    let mut times = TopicPartitionList::new();
                    times.add_partition_offset(topic, *number, Offset::Offset(millis))?;
                    let found = consumer.offsets_for_times(times, TIMEOUT)?;
                    let found = found.find_partition(topic, *number);
                    match found.map(|found| found.offset()) {
                        Some(Offset::Offset(offset)) => offset,
                        _ => high,
                    }
                }
            },
        };
        let lost = known.map_or(0, |NextOffset(next)| (low - next).max(0)) as u64;
        let (at, end) = (NextOffset(at), NextOffset(high));
        Ok(Ok(Started { partition: partition.clone(), at, lost, end }))
    }

    fn revoked(&self, consumer: &BaseConsumer<Self>, partitions: Vec<Partition>) {
        if self.stopped() {
            return;
        }
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).extend(partitions.clone());
        let (answer, answered) = bounded(1);
        let lost = consumer.assignment_lost();
        if self.events.send(StreamEvent::Revoked { partitions, lost, answer }).is_ok() {
            // No answer: nobody is there who could do anything.
            let _ = self.wait(&answered);
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let partitions: Vec<Partition> = list
            .elements()
            .iter()
            .map(|one| Partition { topic: one.topic().into(), number: one.partition() })
            .collect();
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let done = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let assignment = self.assigned(consumer, partitions).unwrap_or_default();
            if cooperative {
                consumer.incremental_assign(&assignment)
            } else {
                consumer.assign(&assignment)
            }
        } else {
            self.revoked(consumer, partitions);
            if cooperative { consumer.incremental_unassign(list) } else { consumer.unassign() }
        };
        if let Err(error) = done {
            self.trouble(&format!("partitions cannot be taken or left: {error}"));
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        self.settled.store(result.is_ok(), Ordering::Relaxed);
        if let Err(error) = result {
            // Nothing is read by them; they are told again.
            tracing::debug!(source = %self.name, "the group's offsets were not taken: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue keeps what is in it while one who may send is there, and with it the answer to a question.
    #[test]
    fn a_question_that_nobody_takes_ends_with_the_reader() {
        let (events, queued) = bounded(4);
        let stop = Arc::new(AtomicBool::new(false));
        let context = Context {
            name: "topic".to_owned(),
            start: Start::Earliest,
            events,
            stop: Arc::clone(&stop),
            gone: Mutex::default(),
            ends: Mutex::default(),
            said: Mutex::default(),
            settled: AtomicBool::new(false),
        };
        let ends = std::thread::spawn(move || {
            while queued.is_empty() {
                std::thread::yield_now();
            }
            drop(queued);
            stop.store(true, Ordering::Relaxed);
        });
        let partition = Partition { topic: "topic".into(), number: 0 };
        assert!(context.ask(vec![partition]).is_none());
        ends.join().expect("it ends");
    }
}
