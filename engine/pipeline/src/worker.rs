//! The worker: events of a partitioned stream in, commits out.
//!
//! A worker reads the partitions that are assigned to it, judges their messages, and commits what came
//! of them together with the offsets and the state of the partitions: one manifest, all or nothing. So
//! another worker that takes a partition over knows what this one knew as of its last commit, and reads
//! on from there. Nothing is committed of a partition that another has taken over meanwhile: then the
//! commit is *fenced*, [`Worker::event`] and [`Worker::tick`] fail, and what this worker holds in memory is
//! worth nothing any more: it has to be made anew.
//!
//! One commit is under way at a time, on the keeper's thread, while the next epochs are judged. If the
//! store is slower than the stream, judging waits for it; then the source waits for judging.

mod look;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use crossbeam::channel::{Receiver, RecvTimeoutError, TryRecvError};
use deployforge_compare::{Comparator, NotACheckpoint, Output, Owner, Rules, Unsettled};
use deployforge_formats::ReadOptions;
use deployforge_history::{HistoryError, StatePart};
use deployforge_model::{Frontier, LastOffset, Moved, NextOffset, Partition, Timestamp};
use deployforge_sources::{Packed, SourceError, Started, StreamControl, StreamEvent};

use crate::keeper::{CommitJob, Committed, Held, Keeper};
use crate::meter::Meter;
use crate::stall::Watch;
use crate::{Engine, FILE_BYTES, States};

pub use look::Breaker;

/// Parts of a partition's state after which one with all there is is written.
const PARTS_MAX: usize = 32;

/// Rows of changes that are cheaper to keep than a part with all there is.
const ROWS_MIN: u64 = 10_000;

/// How long a commit is waited for without a look at how things stand.
const WAIT: Duration = Duration::from_secs(1);

/// The member of a state's metadata that says by what it was judged.
const STAMP: &str = "stamp";

/// Why a worker cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The history cannot be read or written, or another worker took a partition over.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The source has ended.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// What another worker kept cannot be taken up.
    #[error("the state of {partition} cannot be taken up: {error}")]
    State {
        /// Whose.
        partition: Partition,
        /// What is wrong with it.
        error: NotACheckpoint,
    },
    /// What was judged by other baselines or rules cannot be judged again.
    #[error("{0}")]
    Renewal(String),
}

/// How a stream is read and committed.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// The source's name, in every row that comes of it.
    pub source: Arc<str>,
    /// How its messages are read.
    pub options: ReadOptions,
    /// By what is judged: baselines and rules, as one text. State that was judged by something else is
    /// [renewed](Renew).
    pub stamp: String,
    /// The longest time between two commits.
    pub interval: Duration,
    /// Rows after which a commit comes sooner.
    pub rows: usize,
    /// When a partition that is mostly refused is paused.
    pub breaker: Breaker,
    /// How long a partition that has more may give nothing; then it is read again.
    pub stall: Duration,
}

/// States that were judged by something else, given with what they were judged by: judged again, and what
/// came of that.
pub type Renew<'a> = dyn FnMut(&str, &[(Owner, Vec<RecordBatch>)]) -> Result<Renewed, String> + 'a;

/// States that were judged again, and what came of that.
pub type Renewed = (BTreeMap<Owner, RecordBatch>, Output);

/// A partition that this worker knows.
#[derive(Debug)]
struct Place {
    owner: Owner,
    /// It is read. One that went is kept until the next come: it may be among them.
    assigned: bool,
    /// The last offset that is committed.
    offset: Option<LastOffset>,
    /// The last offset that was taken in.
    reached: Option<LastOffset>,
    /// The commit that moved it last.
    commit: u64,
    parts: Vec<StatePart>,
    /// The first epoch of which nothing is kept yet; 0: all is to be kept.
    since: u32,
    /// Since when it is read here: what others saw before counts as seen then.
    taken: Timestamp,
    /// Its state changed where no offset did.
    changed: bool,
    /// Where it ended when reading began.
    end: Option<NextOffset>,
    /// Messages and rejects that the breaker looks at.
    looked: (u64, u64),
    paused_until: Option<Instant>,
    /// The source was told so; when partitions come it has forgotten.
    paused: bool,
    watch: Watch,
}

/// A commit under way.
#[derive(Debug)]
struct UnderWay {
    reply: Receiver<Result<Committed, HistoryError>>,
    reached: BTreeMap<Partition, (Option<LastOffset>, u32)>,
    began: Instant,
    /// It was said that it takes long.
    said: bool,
}

/// What a worker has done, for people and metrics.
#[derive(Clone, Debug, Default)]
pub struct WorkerTotals {
    /// Commits.
    pub commits: u64,
    /// Messages taken in.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Seconds that the last commit took, from its beginning to its end.
    pub commit_seconds: f64,
    /// Seconds from the first message to the end of the last commit.
    pub seconds: f64,
}

/// Reads the partitions of one stream.
#[derive(Debug)]
pub struct Worker {
    engine: Engine,
    keeper: Keeper,
    settings: WorkerSettings,
    places: BTreeMap<Partition, Place>,
    under_way: Option<UnderWay>,
    last_commit: Instant,
    first_message: Option<Instant>,
    totals: WorkerTotals,
    meter: Meter,
    /// Records that were refused and said so, and when.
    said_refused: (u64, Option<Instant>),
}

impl Worker {
    /// A worker that reads nothing yet.
    pub fn new(engine: Engine, keeper: Keeper, settings: WorkerSettings) -> Self {
        Self {
            engine,
            keeper,
            settings,
            places: BTreeMap::new(),
            under_way: None,
            last_commit: Instant::now(),
            first_message: None,
            totals: WorkerTotals::default(),
            meter: Meter::new(),
            said_refused: (0, None),
        }
    }

    /// What judges.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What was done so far.
    pub fn totals(&self) -> &WorkerTotals {
        &self.totals
    }

    /// Partitions that are read now.
    pub fn assigned(&self) -> impl Iterator<Item = &Partition> {
        self.places.iter().filter(|(_, place)| place.assigned).map(|(partition, _)| partition)
    }

    /// How many of them are paused, because too much was refused.
    pub fn paused(&self) -> usize {
        let paused = |place: &&Place| place.assigned && place.paused_until.is_some();
        self.places.values().filter(paused).count()
    }

    /// The age of the oldest message that was taken in and is not durable.
    pub fn durable_lag(&self) -> Duration {
        self.meter.durable_lag()
    }

    /// How far partitions are durable.
    pub fn frontier(&self) -> Frontier {
        let assigned = self.places.iter().filter(|(_, place)| place.assigned);
        assigned.filter_map(|(name, place)| Some((name.clone(), place.offset?))).collect()
    }

    /// Whether all that was there when reading began is taken in.
    pub fn is_at_end(&self) -> bool {
        let mut assigned = self.places.values().filter(|place| place.assigned).peekable();
        assigned.peek().is_some()
            && assigned.all(|place| {
                let next = place.reached.map_or(0, |last| last.next().0);
                place.end.is_some_and(|end| next >= end.0)
            })
    }

    /// How long to wait for the next event: what was gathered is judged soon.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(if self.engine.is_gathering_messages() { 10 } else { 100 })
    }

    /// Takes an event in.
    pub fn event(
        &mut self,
        event: StreamEvent,
        source: &dyn StreamControl,
        renew: &mut Renew<'_>,
    ) -> Result<(), WorkerError> {
        match event {
            StreamEvent::Assigned { partitions, answer } => {
                let starts = self.assign(partitions, source, renew)?;
                // If the source is gone, it will say so.
                let _ = answer.send(starts);
            }
            StreamEvent::Started(started) => {
                started.into_iter().for_each(|started| self.started(started));
                // Who read them before may have had no time to tell the group.
                source.durable(self.frontier());
            }
            StreamEvent::Revoked { partitions, lost, answer } => {
                tracing::info!(event = "partitions_go", ?lost, partitions = %names(&partitions), "partitions go");
                self.commit_now(source)?;
                for partition in &partitions {
                    if let Some(place) = self.places.get_mut(partition) {
                        place.assigned = false;
                        self.engine.close_partition(place.owner);
                    }
                }
                let _ = answer.send(());
            }
            StreamEvent::Messages { partition, packed } => self.messages(&partition, packed),
            StreamEvent::Ends(ends) => {
                for (partition, end) in ends {
                    if let Some(place) = self.places.get_mut(&partition) {
                        place.watch.reaches(end);
                        // The last offsets may be of no message, such as the end of a transaction.
                        place.end = place.end.map(|first| first.min(end));
                    }
                }
            }
            StreamEvent::Lost { partition, messages } => say_lost(&partition, messages),
            StreamEvent::Trouble(text) => tracing::warn!(event = "source_trouble", "{text}"),
            StreamEvent::Failed(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// To be called after each event, and when none came in time: judges what has waited, takes note of
    /// what became durable, and begins the next commit when it is due.
    pub fn tick(&mut self, source: &dyn StreamControl, idle: bool) -> Result<(), WorkerError> {
        if idle {
            self.engine.flush_partitions();
        }
        self.settle(false, source)?;
        self.look_at_rejects(source);
        self.look_at_age();
        if let Some(held_up) = self.meter.look() {
            self.look_around(source, held_up);
        }
        let pending = self.engine.pending();
        let full = pending.rows() >= self.settings.rows || pending.bytes() >= FILE_BYTES;
        if full || self.last_commit.elapsed() >= self.settings.interval {
            // The store is slower than the stream: the stream waits.
            if full || self.under_way.is_none() {
                self.settle(true, source)?;
                self.begin_commit();
            }
        }
        Ok(())
    }

    /// Makes everything durable that was taken in.
    pub fn commit_now(&mut self, source: &dyn StreamControl) -> Result<(), WorkerError> {
        self.settle(true, source)?;
        self.begin_commit();
        self.settle(true, source)
    }

    /// Commits, pauses and reads again by other settings from now on.
    pub fn retune(&mut self, interval: Duration, rows: usize, breaker: Breaker, stall: Duration) {
        let settings = &mut self.settings;
        (settings.interval, settings.rows) = (interval, rows);
        (settings.breaker, settings.stall) = (breaker, stall);
    }

    /// Lets a comparator with other baselines or rules take over; how many resources it judged again.
    /// `stamp` says by what is judged now.
    pub fn succeed(
        &mut self,
        (next, rules): (Comparator, Rules),
        stamp: String,
        source: &dyn StreamControl,
        held: &mut dyn FnMut(&[Unsettled]) -> States,
    ) -> Result<u64, WorkerError> {
        // The history is to hold the last states.
        self.commit_now(source)?;
        // What another worker reads, it judges again itself.
        self.forget_parked();
        let judged = self.engine.succeed(next, rules, held);
        self.settings.stamp = stamp;
        for place in self.places.values_mut() {
            (place.since, place.changed) = (0, true);
        }
        Ok(judged)
    }

    fn assign(
        &mut self,
        partitions: Vec<Partition>,
        source: &dyn StreamControl,
        renew: &mut Renew<'_>,
    ) -> Result<Vec<(Partition, Option<NextOffset>)>, WorkerError> {
        self.commit_now(source)?;
        let known = self.places.iter().map(|(name, place)| (name.clone(), place.commit));
        let held = self.keeper.hold(partitions, known.collect())?;
        let mut old: BTreeMap<String, Vec<(Owner, Vec<RecordBatch>)>> = BTreeMap::new();
        let mut starts = Vec::new();
        for Held { partition, offset, state, kept } in held {
            let same =
                self.places.get(&partition).is_some_and(|place| place.commit == state.commit);
            if !same && let Some(place) = self.places.remove(&partition) {
                self.engine.forget(place.owner);
            }
            let owner = self.places.get(&partition).map_or_else(|| self.free(), |p| p.owner);
            if !same {
                let stamp = stamp_of(&kept);
                if stamp.as_ref().is_none_or(|stamp| *stamp == self.settings.stamp) {
                    self.take_up(&partition, owner, &kept)?;
                } else {
                    old.entry(stamp.unwrap_or_default()).or_default().push((owner, kept));
                }
            }
            let (since, now) = (self.engine.comparator().mark(), self.engine.clock.now());
            let place = self.places.entry(partition.clone()).or_insert_with(|| Place {
                owner,
                assigned: true,
                offset,
                reached: offset,
                commit: state.commit,
                since: if state.parts.is_empty() { 0 } else { since },
                taken: now,
                parts: state.parts,
                changed: false,
                end: None,
                looked: (0, 0),
                paused_until: None,
                paused: false,
                watch: Watch::new(),
            });
            (place.assigned, place.taken) = (true, now);
            (place.offset, place.reached, place.end, place.paused) = (offset, offset, None, false);
            place.watch = Watch::new();
            let WorkerSettings { source, options, .. } = &self.settings;
            self.engine.open_partition(owner, &partition, Arc::clone(source), options.clone());
            starts.push((partition, offset.map(LastOffset::next)));
        }
        for (stamp, states) in old {
            self.renew(&stamp, &states, renew)?;
        }
        self.forget_parked();
        let named: Vec<Partition> = starts.iter().map(|(partition, _)| partition.clone()).collect();
        tracing::info!(event = "partitions_come", partitions = %names(&named), "partitions come");
        Ok(starts)
    }

    fn take_up(
        &mut self,
        partition: &Partition,
        owner: Owner,
        kept: &[RecordBatch],
    ) -> Result<(), WorkerError> {
        let wrong = |error| WorkerError::State { partition: partition.clone(), error };
        let taken = self.engine.take_up(owner, kept).map_err(wrong)?;
        if taken.lost > 0 {
            tracing::warn!(event = "resources_unknown", %partition, resources = taken.lost, "resources are known by no baseline any more");
        }
        Ok(())
    }

    /// Judges states again that were judged by something else.
    fn renew(
        &mut self,
        stamp: &str,
        states: &[(Owner, Vec<RecordBatch>)],
        renew: &mut Renew<'_>,
    ) -> Result<(), WorkerError> {
        let (renewed, output) = renew(stamp, states).map_err(WorkerError::Renewal)?;
        self.engine.merge(output);
        for (owner, rows) in renewed {
            let place = self.places.iter_mut().find(|(_, place)| place.owner == owner);
            let Some((partition, place)) = place else { continue };
            (place.since, place.changed) = (0, true);
            let partition = partition.clone();
            self.take_up(&partition, owner, &[rows])?;
        }
        Ok(())
    }

    /// The smallest number that no partition has.
    fn free(&self) -> Owner {
        let taken: BTreeSet<u16> = self.places.values().map(|place| place.owner.0).collect();
        let free = (1..u16::MAX).find(|number| !taken.contains(number));
        Owner(free.expect("fewer partitions than the group can give one worker"))
    }

    /// Lets go what went and did not come back.
    fn forget_parked(&mut self) {
        let engine = &mut self.engine;
        self.places.retain(|_, place| {
            if !place.assigned {
                engine.forget(place.owner);
            }
            place.assigned
        });
    }

    fn started(&mut self, started: Started) {
        let Started { partition, at, lost, end } = started;
        let Some(place) = self.places.get_mut(&partition) else { return };
        if place.watch.started() {
            return;
        }
        if lost > 0 {
            say_lost(&partition, lost);
        }
        // Where reading began is kept, though nothing may come of it for long.
        place.reached = place.reached.max(Some(LastOffset(at.0 - 1)));
        place.end = Some(end);
        place.watch.reaches(end);
    }

    fn messages(&mut self, partition: &Partition, packed: Packed) {
        let Some(place) = self.places.get_mut(partition).filter(|place| place.assigned) else {
            return;
        };
        let last = LastOffset(packed.last());
        if Some(last) <= place.reached || place.watch.is_restarting() {
            // Taken in already, or to come again.
            return;
        }
        place.reached = Some(last);
        self.first_message.get_or_insert_with(Instant::now);
        place.watch.came();
        self.meter.took(packed.bytes());
        self.totals.messages += packed.messages();
        self.totals.bytes += packed.bytes() as u64;
        let owner = place.owner;
        self.engine.messages(owner, packed);
    }

    /// Begins a commit of everything that was taken in. None may be under way.
    fn begin_commit(&mut self) {
        self.last_commit = Instant::now();
        self.engine.flush_partitions();
        let moves = |place: &Place| {
            place.assigned
                && (place.reached > place.offset || place.changed && place.offset.is_some())
        };
        let moving: Vec<(&Partition, &Place)> =
            self.places.iter().filter(|(_, place)| moves(place)).collect();
        let since: BTreeMap<Owner, u32> =
            moving.iter().map(|(_, place)| (place.owner, place.keeps_since())).collect();
        let owners: Vec<Owner> = since.keys().copied().collect();
        let mut moved = BTreeMap::new();
        let mut names = BTreeMap::new();
        let mut chains = BTreeMap::new();
        for (partition, place) in moving {
            let Some(to) = place.reached else { continue };
            let after = Some(place.commit);
            moved.insert(partition.clone(), Moved { from: place.offset, to, after });
            names.insert(place.owner, partition.clone());
            let parts = if since[&place.owner] == 0 { Vec::new() } else { place.parts.clone() };
            chains.insert(partition.clone(), parts);
        }
        let output = self.engine.take();
        let some = !moved.is_empty() || output.rows() > 0;
        self.meter.begins(some.then_some(&output));
        if !some {
            return;
        }
        let kept = self.engine.keep(&owners, &|owner| since.get(&owner).copied());
        let mark = self.engine.comparator().mark();
        let states = kept.into_iter().filter_map(|(owner, rows)| {
            let partition = names.get(&owner)?;
            // Nothing new: the parts from before say it all.
            let new = rows.num_rows() > 0 || chains[partition].is_empty();
            new.then(|| (partition.clone(), self.stamped(rows)))
        });
        let states = states.collect();
        let reached = moved.iter().map(|(name, moved)| (name.clone(), (Some(moved.to), mark)));
        let reached = reached.collect();
        moved.keys().for_each(|partition| {
            if let Some(place) = self.places.get_mut(partition) {
                place.changed = false;
            }
        });
        let reply = self.keeper.commit(CommitJob { output, moved, states, chains });
        self.under_way = Some(UnderWay { reply, reached, began: Instant::now(), said: false });
    }

    /// State with what it was judged by.
    fn stamped(&self, rows: RecordBatch) -> RecordBatch {
        let mut schema = (*rows.schema()).clone();
        schema.metadata.insert(STAMP.to_owned(), self.settings.stamp.clone());
        rows.with_schema(Arc::new(schema)).expect("the same columns")
    }

    /// Takes note of what the commit under way came to, if it has ended; `wait`: until it has.
    fn settle(&mut self, wait: bool, source: &dyn StreamControl) -> Result<(), WorkerError> {
        let committed = loop {
            let Some(under_way) = &self.under_way else { return Ok(()) };
            let ended = if wait {
                under_way.reply.recv_timeout(WAIT)
            } else {
                under_way.reply.try_recv().map_err(|error| match error {
                    TryRecvError::Empty => RecvTimeoutError::Timeout,
                    TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                })
            };
            match ended {
                Ok(ended) => break ended?,
                Err(RecvTimeoutError::Timeout) if wait => self.look_around(source, true),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => panic!("the keeper ended without a word"),
            }
        };
        let Some(UnderWay { reached, began, .. }) = self.under_way.take() else { return Ok(()) };
        self.totals.commits += 1;
        self.totals.commit_seconds = began.elapsed().as_secs_f64();
        self.totals.seconds = self.first_message.map_or(0.0, |first| first.elapsed().as_secs_f64());
        self.meter.committed(self.totals.commit_seconds);
        let Committed { number, mut parts } = committed;
        for (partition, (offset, since)) in reached {
            let Some(place) = self.places.get_mut(&partition) else { continue };
            (place.offset, place.commit, place.since) = (offset, number, since);
            if let Some(parts) = parts.remove(&partition) {
                place.parts = parts;
            }
        }
        source.durable(self.frontier());
        Ok(())
    }
}

impl Place {
    /// From which epoch on state is kept with the next commit; 0: all there is.
    fn keeps_since(&self) -> u32 {
        let rows = |parts: &[StatePart]| parts.iter().map(|part| part.rows).sum::<u64>();
        let (first, changes) = self.parts.split_at(self.parts.len().min(1));
        let grown = rows(changes) > rows(first).max(ROWS_MIN) || self.parts.len() >= PARTS_MAX;
        if grown || self.parts.is_empty() { 0 } else { self.since }
    }
}

fn say_lost(partition: &Partition, messages: u64) {
    metrics::counter!("deployforge_lost_messages_total").increment(messages);
    tracing::error!(event = "messages_lost", %partition, messages, "messages were removed before they were read: the topic's retention is shorter than they waited");
}

/// By what states were judged. `None`: there is none.
fn stamp_of(kept: &[RecordBatch]) -> Option<String> {
    Some(kept.last()?.schema().metadata.get(STAMP).cloned().unwrap_or_default())
}

fn names(partitions: &[Partition]) -> String {
    let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    names.join(" ")
}
