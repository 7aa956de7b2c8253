//! The thread that polls.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, SendTimeoutError, Sender, TrySendError};
use deployforge_model::{Frontier, NextOffset, Partition};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::rebalance::Context;
use super::statistics::End;
use super::{Command, KafkaSettings, config, kafka_problem};
use crate::message::{Packer, RawMessage, Started, is_telling};
use crate::{SourceError, StreamEvent};

/// How long messages wait for others to make a block with.
const LINGER: Duration = Duration::from_millis(20);

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);

/// How long the queue of blocks may be full before the partitions are paused: to pause throws away what
/// was fetched ahead, and not to poll for minutes loses the partitions.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the group is left alone after it did not take offsets.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// How long to seek takes at most.
const SEEK: Duration = Duration::from_secs(5);

/// Messages between two looks at the clock.
const LOOK_EVERY: u32 = 64;

/// How often the broker is asked how far partitions reach of which the client does not learn it.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// How long it may take to answer.
const ASK: Duration = Duration::from_secs(2);

/// A partition that is read.
struct Lane {
    partition: Partition,
    packer: Packer,
    /// Since when what is packed waits.
    since: Instant,
    /// The offset after the last message. `None`: there was none yet.
    next: Option<i64>,
    /// The widest gap between two messages since it was looked at: compaction, the ends of transactions,
    /// or messages that were removed before they were read.
    gap: Option<(i64, i64)>,
}

/// Polls a consumer and packs what it gives.
pub(super) struct Poller {
    consumer: BaseConsumer<Context>,
    events: Sender<StreamEvent>,
    told: Receiver<Command>,
    stop: Arc<AtomicBool>,
    single: bool,
    lanes: Vec<Lane>,
    /// Where the last message went.
    last: usize,
    /// What was packed while something else waited to be handed on.
    backlog: VecDeque<StreamEvent>,
    /// Partitions that are to be read again from an offset.
    restarts: Vec<(Partition, NextOffset)>,
    /// Partitions that are not to be read for now.
    paused: Vec<Partition>,
    asked: Instant,
    /// How far the group was told that partitions are durable, and when.
    durable: (Frontier, Instant),
}

/// Whoever listened is gone.
struct Gone;

impl Poller {
    pub(super) fn new(
        settings: &KafkaSettings,
        events: Sender<StreamEvent>,
        told: Receiver<Command>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, SourceError> {
        let wrong = |error: KafkaError| {
            let (name, problem) = (settings.name.clone(), kafka_problem(&error));
            SourceError::Kafka { name, problem }
        };
        let context = Context {
            name: settings.name.clone(),
            start: settings.start,
            events: events.clone(),
            stop: Arc::clone(&stop),
            gone: Mutex::default(),
            ends: Mutex::default(),
            said: Mutex::default(),
            settled: AtomicBool::new(true),
        };
        let consumer: BaseConsumer<Context> =
            config(settings)?.create_with_context(context).map_err(wrong)?;
        let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(wrong)?;
        let (single, lanes) = (settings.single, Vec::new());
        let (backlog, restarts, paused) = (VecDeque::new(), Vec::new(), Vec::new());
        let asked = Instant::now();
        let durable = (Frontier::new(), Instant::now());
        Ok(Self {
            consumer,
            events,
            told,
            stop,
            single,
            lanes,
            last: 0,
            backlog,
            restarts,
            paused,
            asked,
            durable,
        })
    }

    /// Polls until it is stopped or nobody listens.
    pub(super) fn run(mut self) {
        let _ = self.poll();
        // What is asked for while the group is left is answered by nobody.
        self.stop.store(true, Ordering::Relaxed);
    }

    fn poll(&mut self) -> Result<(), Gone> {
        let mut until_look = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let wait =
                if self.lanes.iter().all(|lane| lane.packer.is_empty()) { POLL } else { LINGER };
            let came = self.poll_once(wait)?;
            self.drop_gone();
            while let Some(event) = self.backlog.pop_front() {
                self.send(event)?;
            }
            if came && until_look > 0 {
                until_look -= 1;
                continue;
            }
            until_look = LOOK_EVERY;
            if came {
                self.consumer.context().is_well();
            }
            self.obey();
            self.restart()?;
            self.hand_on()?;
            self.tell_ends();
            if self.asked.elapsed() >= ASK_EVERY {
                self.asked = Instant::now();
                self.ask()?;
            }
        }
        Ok(())
    }

    /// Packs what a poll gives; whether it gave a message. What is full goes to the backlog.
    fn poll_once(&mut self, wait: Duration) -> Result<bool, Gone> {
        let message = match self.consumer.poll(wait) {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                self.failed(&error)?;
                return Ok(false);
            }
            None => return Ok(false),
        };
        self.last = find(&mut self.lanes, self.last, self.single, &message);
        let lane = &mut self.lanes[self.last];
        if let Some(next) = lane.next.filter(|next| message.offset() < *next) {
            let (partition, end) = (lane.partition.to_string(), message.offset());
            let failed = SourceError::KafkaBehind { partition, frontier: next, end };
            let _ = self.events.send(StreamEvent::Failed(failed));
            return Err(Gone);
        }
        lane.comes(message.offset());
        let Lane { partition, packer, .. } = lane;
        let before = pack(packer, &message);
        let full = if packer.is_full() { packer.take() } else { None };
        for packed in [before, full].into_iter().flatten() {
            self.backlog.push_back(StreamEvent::Messages { partition: partition.clone(), packed });
        }
        Ok(true)
    }

    /// Hands on what has waited long enough.
    fn hand_on(&mut self) -> Result<(), Gone> {
        let now = Instant::now();
        for at in 0..self.lanes.len() {
            let Lane { partition, packer, since, .. } = &mut self.lanes[at];
            if !packer.is_empty()
                && now.duration_since(*since) >= LINGER
                && let Some(packed) = packer.take()
            {
                let partition = partition.clone();
                self.send(StreamEvent::Messages { partition, packed })?;
                // Waiting may have served a rebalance.
                if at >= self.lanes.len() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// What was packed of partitions that went is another's to read.
    fn drop_gone(&mut self) {
        let mut gone = self.consumer.context().gone.lock().unwrap_or_else(PoisonError::into_inner);
        if !gone.is_empty() {
            self.lanes.retain(|lane| !gone.contains(&lane.partition));
            self.paused.retain(|partition| !gone.contains(partition));
            self.backlog.retain(|event| !is_of(event, &gone));
            self.restarts.retain(|(partition, _)| !gone.contains(partition));
            // Another tells of them now, and further.
            self.durable.0.retain(|partition, _| !gone.contains(partition));
            gone.clear();
        }
    }

    /// Hands on an event, and waits while there is no room: at first without a poll, then with the
    /// partitions paused.
    fn send(&mut self, event: StreamEvent) -> Result<(), Gone> {
        let mut event = match self.events.try_send(event) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(_)) => return Err(Gone),
            Err(TrySendError::Full(event)) => event,
        };
        let waits = Instant::now();
        let mut paused = None;
        loop {
            match self.events.send_timeout(event, POLL) {
                Ok(()) => break,
                Err(SendTimeoutError::Disconnected(_)) => return Err(Gone),
                Err(SendTimeoutError::Timeout(back)) => event = back,
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(Gone);
            }
            if waits.elapsed() < PATIENCE {
                continue;
            }
            if paused.is_none() {
                let all = self.consumer.assignment().unwrap_or_default();
                let _ = self.consumer.pause(&all);
                paused = Some(all);
            }
            // Little comes but what the group wants.
            self.poll_once(Duration::ZERO)?;
            let gone = self.consumer.context().gone.lock().unwrap_or_else(PoisonError::into_inner);
            if is_of(&event, &gone) {
                break;
            }
        }
        if let Some(all) = paused {
            let _ = self.consumer.resume(&all);
            let _ = self.consumer.pause(&list(&self.paused));
        }
        self.drop_gone();
        Ok(())
    }

    /// Tells how far partitions reach. The last offsets may be of no message, such as the end of a
    /// transaction: where all was handed over, a partition ends with the last that came.
    fn tell_ends(&self) {
        let ends = &self.consumer.context().ends;
        let ends = std::mem::take(&mut *ends.lock().unwrap_or_else(PoisonError::into_inner));
        let told = ends.into_iter().filter_map(|End { partition, at, is_read }| {
            let lane = self.lanes.iter().find(|lane| lane.partition == partition);
            let packed = lane.is_some_and(|lane| !lane.packer.is_empty());
            let last = lane.and_then(|lane| lane.next).unwrap_or_default();
            // What is packed is on its way: the next figures say.
            (!packed).then_some((partition, if is_read { NextOffset(last) } else { at }))
        });
        let told: Vec<_> = told.collect();
        if !told.is_empty() {
            // The next ones are as good.
            let _ = self.events.try_send(StreamEvent::Ends(told));
        }
    }

    /// Asks how far partitions reach that are paused, which the client does not learn then, and whether
    /// what is missing between two messages was removed before it was read.
    fn ask(&mut self) -> Result<(), Gone> {
        let mut asked = Vec::new();
        for lane in &mut self.lanes {
            let gap = lane.gap.take();
            if gap.is_some() || self.paused.contains(&lane.partition) {
                asked.push((lane.partition.clone(), gap));
            }
        }
        for partition in &self.paused {
            if asked.iter().all(|(of, _)| of != partition) {
                asked.push((partition.clone(), None));
            }
        }
        for (partition, gap) in asked {
            let Partition { topic, number } = &partition;
            let Ok((low, high)) = self.consumer.fetch_watermarks(topic, *number, ASK) else {
                // Who does not answer now is asked again.
                if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.partition == partition) {
                    lane.gap = wider(lane.gap, gap);
                }
                continue;
            };
            let lost = gap.map_or(0, |(from, to)| (low.min(to) - from).max(0));
            if lost > 0 {
                let partition = partition.clone();
                self.send(StreamEvent::Lost { partition, messages: lost as u64 })?;
            }
            if self.paused.contains(&partition) {
                self.send(StreamEvent::Ends(vec![(partition, NextOffset(high))]))?;
            }
        }
        Ok(())
    }

    fn failed(&self, error: &KafkaError) -> Result<(), Gone> {
        if let KafkaError::MessageConsumptionFatal(_) = error {
            let name = self.consumer.context().name.clone();
            let failed = SourceError::Kafka { name, problem: error.to_string() };
            let _ = self.events.send(StreamEvent::Failed(failed));
            return Err(Gone);
        }
        self.consumer.context().trouble(&error.to_string());
        Ok(())
    }

    /// Reads partitions again that are to be; those that cannot be now are tried again with the next look.
    fn restart(&mut self) -> Result<(), Gone> {
        let mut wait = Vec::new();
        for (partition, at) in std::mem::take(&mut self.restarts) {
            let Partition { topic, number } = &partition;
            if let Err(error) = self.consumer.seek(topic, *number, Offset::Offset(at.0), SEEK) {
                self.consumer
                    .context()
                    .trouble(&format!("{partition} cannot be read again: {error}"));
                wait.push((partition, at));
                continue;
            }
            // What was packed of it comes again.
            if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.partition == partition) {
                lane.packer = Packer::new(self.single);
                (lane.next, lane.gap) = (Some(at.0), None);
            }
            self.backlog.retain(|event| !is_of(event, std::slice::from_ref(&partition)));
            // What comes from here on is what was asked for. Where it ends the next figures say.
            let started = Started { partition, at, lost: 0, end: at };
            self.send(StreamEvent::Started(vec![started]))?;
        }
        self.restarts.extend(wait);
        Ok(())
    }

    /// Does what it was told.
    fn obey(&mut self) {
        while let Ok(command) = self.told.try_recv() {
            let done = match command {
                Command::Durable(frontier) => {
                    self.durable.0 = frontier;
                    self.tell_durable();
                    continue;
                }
                Command::Pause(partition) => {
                    let done = self.consumer.pause(&list(std::slice::from_ref(&partition)));
                    self.paused.push(partition);
                    done
                }
                Command::Resume(partition) => {
                    self.paused.retain(|paused| *paused != partition);
                    self.consumer.resume(&list(&[partition]))
                }
                Command::Restart(partition, next) => {
                    self.restarts.push((partition, next));
                    continue;
                }
            };
            if let Err(error) = done {
                tracing::debug!("{error}");
            }
        }
        let settled = self.consumer.context().settled.load(Ordering::Relaxed);
        if !settled && self.durable.1.elapsed() >= TELL_AGAIN {
            self.tell_durable();
        }
    }

    /// Tells the group how far its partitions are durable. In the middle of a rebalance it does not
    /// listen; then it is told again.
    fn tell_durable(&mut self) {
        self.durable.1 = Instant::now();
        let mut list = TopicPartitionList::new();
        for (Partition { topic, number }, last) in &self.durable.0 {
            let _ = list.add_partition_offset(topic, *number, Offset::Offset(last.next().0));
        }
        let told = list.count() == 0 || self.consumer.commit(&list, CommitMode::Async).is_ok();
        self.consumer.context().settled.store(told, Ordering::Relaxed);
    }
}

/// Whether an event is of one of some partitions.
fn is_of(event: &StreamEvent, partitions: &[Partition]) -> bool {
    matches!(event, StreamEvent::Messages { partition, .. } if partitions.contains(partition))
}

fn list(partitions: &[Partition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for Partition { topic, number } in partitions {
        list.add_partition(topic, *number);
    }
    list
}

impl Lane {
    /// A message comes.
    fn comes(&mut self, offset: i64) {
        if self.packer.is_empty() {
            self.since = Instant::now();
        }
        let from = self.next.replace(offset + 1).unwrap_or(offset);
        if offset > from {
            self.gap = wider(self.gap, Some((from, offset)));
        }
    }
}

/// The wider of two gaps.
fn wider(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    one.into_iter().chain(other).max_by_key(|(from, to)| to - from)
}

/// The lane of a message's partition, made if there is none.
fn find(lanes: &mut Vec<Lane>, last: usize, single: bool, message: &BorrowedMessage<'_>) -> usize {
    let (topic, number) = (message.topic(), message.partition());
    let is = |lane: &Lane| lane.partition.number == number && *lane.partition.topic == *topic;
    if lanes.get(last).is_some_and(is) {
        return last;
    }
    lanes.iter().position(is).unwrap_or_else(|| {
        let partition = Partition { topic: topic.into(), number };
        let (packer, since) = (Packer::new(single), Instant::now());
        lanes.push(Lane { partition, packer, since, next: None, gap: None });
        lanes.len() - 1
    })
}

fn pack(packer: &mut Packer, message: &BorrowedMessage<'_>) -> Option<crate::Packed> {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let telling = headers.iter().filter_map(|header| {
            let value = header.value.unwrap_or_default();
            is_telling(header.key, value).then(|| (header.key.to_owned(), value.to_vec()))
        });
        telling.collect()
    });
    let raw = RawMessage {
        offset: message.offset(),
        key: message.key(),
        payload: message.payload(),
        time: message.timestamp().to_millis(),
    };
    packer.push(raw, headers)
}
