//! The thread that publishes.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use deployforge_history::{HistoryError, Place};
use metrics::{counter, gauge};
use tokio::runtime::Handle;

use crate::kafka::{Lead, Member};
use crate::{BusSettings, BusStart, EventType, EventsError, Outbox, Page, Position};

/// How often it is looked for new commits.
const POLL: Duration = Duration::from_millis(250);

/// How often the commits are listed, to tell one that is to come from one that is gone.
const LOOK: Duration = Duration::from_mins(1);

/// Events of one transaction, at most about.
const PAGE_EVENTS: usize = 10_000;

/// The longest time for which a position stands in memory only, where commits hold no events.
const MARK: Duration = Duration::from_secs(10);

/// How often the history is told which commits are needed yet.
const KEEP: Duration = Duration::from_secs(30);

/// The first pause after trouble; each further one is twice as long, up to the last.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Publishes a history's events while it is not dropped.
#[derive(Debug)]
pub struct Publisher {
    until: Until,
    thread: Option<JoinHandle<bool>>,
}

/// When to end: once all is published, or at a time.
type Until = Arc<Mutex<Option<Instant>>>;

impl Publisher {
    /// Joins the group of publishers, and publishes when it is this process's turn. The settings must make
    /// a client; that no broker answers is trouble that passes.
    pub fn start(
        settings: BusSettings,
        place: Place,
        runtime: &Handle,
    ) -> Result<Self, EventsError> {
        settings.check()?;
        for event_type in EventType::ALL {
            counter!("deployforge_events_total", "type" => event_type.name()).increment(0);
        }
        counter!("deployforge_events_lost_commits_total").increment(0);
        counter!("deployforge_events_left_out_total").increment(0);
        gauge!("deployforge_events_lag_commits").set(0.0);
        let until = Until::default();
        let work = Work { settings, place, runtime: runtime.clone(), until: Arc::clone(&until) };
        let thread = std::thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || work.run())
            .expect("a thread can be started");
        Ok(Self { until, thread: Some(thread) })
    }

    /// Ends when all is published that is committed now, or another process publishes, or `patience` is
    /// over; whether it was not.
    pub fn finish(mut self, patience: Duration) -> bool {
        self.end(patience)
    }

    fn end(&mut self, patience: Duration) -> bool {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = Some(Instant::now() + patience);
        drop(until);
        self.thread.take().is_none_or(|thread| thread.join().unwrap_or(false))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

struct Work {
    settings: BusSettings,
    place: Place,
    runtime: Handle,
    until: Until,
}

/// How a session ended.
enum Ended {
    Done,
    TimeIsUp,
}

/// What is published, from one page to the next.
struct Progress {
    outbox: Outbox,
    at: Position,
    /// Up to where the group knows it, and since when not further.
    marked: (Position, Instant),
    kept: Option<Instant>,
    looked: Instant,
    /// Where all is published that was committed when the end was near.
    target: Option<u64>,
}

impl Work {
    fn run(self) -> bool {
        let mut pause = PAUSE;
        let mut said = None;
        let mut at = Position::START;
        loop {
            let began = Instant::now();
            match self.session(&mut at) {
                Ok(Ended::Done) => return true,
                Ok(Ended::TimeIsUp) => return false,
                Err(error) => {
                    let text = error.to_string();
                    if began.elapsed() > PAUSE_MAX {
                        (pause, said) = (PAUSE, None);
                    }
                    if said.as_ref() != Some(&text) {
                        tracing::warn!(event = "events_trouble", topic = %self.settings.topic, "{text}");
                        said = Some(text);
                    }
                    self.tell_waiting(at);
                    // No waiting makes it another group.
                    let lasts =
                        matches!(error, EventsError::Foreign { .. } | EventsError::Ahead { .. });
                    if lasts && self.until().is_some() {
                        return false;
                    }
                }
            }
            let over = Instant::now() + pause;
            while Instant::now() < over {
                if self.until().is_some_and(|until| Instant::now() >= until) {
                    return false;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn until(&self) -> Option<Instant> {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From joining the group to an error or the end; `at` is where publishing goes on.
    fn session(&self, at: &mut Position) -> Result<Ended, EventsError> {
        let member = Member::join(&self.settings)?;
        let mut lead: Option<(Lead, Progress)> = None;
        let mut wait = Duration::ZERO;
        loop {
            member.stay(wait)?;
            wait = POLL;
            let until = self.until();
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(Ended::TimeIsUp);
            }
            if !member.leads() {
                if lead.take().is_some() {
                    gauge!("deployforge_events_lag_commits").set(0.0);
                    tracing::info!(event = "events_follow", topic = %self.settings.topic, "another process publishes");
                }
                // Another publishes what is left.
                if until.is_some() && member.joined() {
                    return Ok(Ended::Done);
                }
                continue;
            }
            if lead.is_none() {
                lead = Some(self.take(&member)?);
            }
            let Some((leading, progress)) = &mut lead else { continue };
            let more = self.step(&member, leading, progress)?;
            *at = progress.at;
            if more {
                wait = Duration::ZERO;
            } else if until.is_some() && self.is_at_end(progress)? {
                return Ok(Ended::Done);
            }
        }
    }

    /// Takes the lead, and goes on from where the group stands.
    fn take(&self, member: &Member) -> Result<(Lead, Progress), EventsError> {
        let lead = Lead::take(member)?;
        let outbox = self.runtime.block_on(Outbox::open(&self.place, &self.settings.source))?;
        let newest = outbox.newest();
        let at = match (lead.position, self.settings.start) {
            (Some(position), _) if position.commit > newest + 1 => {
                let group = self.settings.group.clone();
                return Err(EventsError::Ahead { group, position: position.commit, newest });
            }
            (Some(position), _) => position,
            (None, BusStart::Latest) => Position { commit: newest + 1, rows: 0 },
            (None, BusStart::Earliest) => {
                let oldest = self.runtime.block_on(outbox.oldest())?;
                Position { commit: oldest.unwrap_or(1), rows: 0 }
            }
        };
        tracing::info!(
            event = "events_lead",
            topic = %self.settings.topic,
            commit = at.commit,
            "this process publishes from now on"
        );
        let now = Instant::now();
        let marked = (lead.position.unwrap_or(Position::START), now);
        let progress = Progress { outbox, at, marked, kept: None, looked: now, target: None };
        Ok((lead, progress))
    }

    /// Publishes one page; whether there may be more at once.
    fn step(
        &self,
        member: &Member,
        lead: &mut Lead,
        progress: &mut Progress,
    ) -> Result<bool, EventsError> {
        let Progress { outbox, at, marked, kept, looked, .. } = progress;
        if looked.elapsed() >= LOOK {
            self.runtime.block_on(outbox.look())?;
            *looked = Instant::now();
        }
        let mut page = self.runtime.block_on(outbox.read(*at, PAGE_EVENTS))?;
        let types = &self.settings.types;
        page.events.retain(|event| types.is_empty() || types.contains(&event.event_type));
        self.leave_out_too_large(&mut page);
        let moved = page.next > *at;
        if page.events.is_empty() {
            if page.next > marked.0 && marked.1.elapsed() >= MARK {
                lead.publish(member, &page)?;
                *marked = (page.next, Instant::now());
            }
        } else {
            lead.publish(member, &page)?;
            *marked = (page.next, Instant::now());
        }
        *at = page.next;
        self.tell(&page, outbox.newest());
        // Where to begin without a position is said at once: from now on commits wait for it.
        if kept.is_none_or(|kept| kept.elapsed() >= KEEP) {
            let follower = &self.settings.group;
            self.runtime.block_on(outbox.keep_from(follower, marked.0.max(first(lead, *at))))?;
            *kept = Some(Instant::now());
        }
        Ok(moved)
    }

    /// No broker would take them, and what comes behind them is not to wait for ever.
    fn leave_out_too_large(&self, page: &mut Page) {
        let most = self.settings.event_bytes();
        page.events.retain(|event| {
            let bytes = event.key.len() + event.body.len();
            if bytes > most {
                counter!("deployforge_events_left_out_total").increment(1);
                tracing::error!(
                    event = "events_left_out",
                    topic = %self.settings.topic,
                    bytes,
                    most,
                    resource = %event.key.chars().take(200).collect::<String>(),
                    "an event is too large to be published; the history has what it says"
                );
            }
            bytes <= most
        });
    }

    /// Tells what waits while nothing can be published.
    fn tell_waiting(&self, at: Position) {
        let waiting = self.runtime.block_on(async {
            let outbox = Outbox::open(&self.place, &self.settings.source).await?;
            let oldest = outbox.oldest().await?.unwrap_or(1);
            Ok::<u64, HistoryError>((outbox.newest() + 1).saturating_sub(at.commit.max(oldest)))
        });
        if let Ok(waiting) = waiting {
            gauge!("deployforge_events_lag_commits").set(waiting as f64);
        }
    }

    fn tell(&self, page: &Page, newest: u64) {
        for event in &page.events {
            counter!("deployforge_events_total", "type" => event.event_type.name()).increment(1);
        }
        let lag = (newest + 1).saturating_sub(page.next.commit);
        gauge!("deployforge_events_lag_commits").set(lag as f64);
        if page.lost > 0 {
            counter!("deployforge_events_lost_commits_total").increment(page.lost);
            tracing::error!(
                event = "events_lost",
                topic = %self.settings.topic,
                commits = page.lost,
                "commits were removed before they were published; the history has what they held"
            );
        }
    }

    /// Whether all is published that was committed when this was first asked.
    fn is_at_end(&self, progress: &mut Progress) -> Result<bool, EventsError> {
        let target = match progress.target {
            Some(target) => target,
            None => *progress.target.insert(self.runtime.block_on(progress.outbox.look())?),
        };
        Ok(progress.at.commit > target)
    }
}

/// What is needed where the group has no position yet: what is published next.
fn first(lead: &Lead, at: Position) -> Position {
    if lead.position.is_none() { at } else { Position::START }
}
