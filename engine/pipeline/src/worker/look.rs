//! Looks that a worker takes between events: at what is refused, and at what does not come.

use std::time::{Duration, Instant};

use deployforge_model::{LastOffset, NextOffset};
use deployforge_sources::StreamControl;

use super::Worker;
use crate::meter::PartitionFigures;

/// How long a commit may take before it is said.
const SLOW: Duration = Duration::from_secs(10);

/// How often it is said that more is refused.
const SAY_EVERY: Duration = Duration::from_mins(1);

/// When a partition that is mostly refused is paused, rather than its topic emptied into `rejects`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breaker {
    /// Messages that are looked at together.
    pub messages: u64,
    /// The share of them that may be refused.
    pub share: f64,
    /// For how long it is paused.
    pub pause: Duration,
}

impl Default for Breaker {
    /// Half of 1,000 messages; one minute.
    fn default() -> Self {
        Self { messages: 1000, share: 0.5, pause: Duration::from_mins(1) }
    }
}

impl Worker {
    /// From now on what was not seen for longer is `unknown`.
    pub fn set_stale_after(&mut self, age: Option<Duration>) {
        self.engine.set_stale_after(age);
    }

    /// Looks for what was not seen for too long; what is known of its partitions is kept anew.
    pub(super) fn look_at_age(&mut self) {
        let assigned = self.places.values().filter(|place| place.assigned);
        let owners: Vec<_> = assigned.map(|place| (place.owner, place.taken)).collect();
        let found = self.engine.look_at_age(&self.settings.source, &owners);
        for place in self.places.values_mut().filter(|place| found.contains(&place.owner)) {
            place.changed = true;
        }
    }

    /// Pauses partitions of which too much is refused, for a while.
    pub(super) fn look_at_rejects(&mut self, source: &dyn StreamControl) {
        let Breaker { messages, share, pause } = self.settings.breaker;
        let now = Instant::now();
        for (partition, place) in self.places.iter_mut().filter(|(_, place)| place.assigned) {
            match place.paused_until {
                Some(until)
                    if now >= until && (!place.paused || source.resume(partition.clone())) =>
                {
                    tracing::info!(event = "partition_resumed", %partition, "reads on");
                    (place.paused_until, place.paused) = (None, false);
                    place.watch.heard();
                }
                Some(_) if !place.paused => place.paused = source.pause(partition.clone()),
                _ => {}
            }
            let (taken, refused) = self.engine.take_counts(place.owner);
            place.looked = (place.looked.0 + taken, place.looked.1 + refused);
            if place.looked.0 < messages {
                continue;
            }
            let (taken, refused) = std::mem::take(&mut place.looked);
            if refused as f64 > share * taken as f64 && place.paused_until.is_none() {
                place.paused_until = Some(now + pause);
                place.paused = source.pause(partition.clone());
                tracing::error!(event = "partition_paused", %partition, messages = taken, refused, seconds = pause.as_secs(), "too much is refused: the partition is paused");
            }
        }
    }

    /// Looks for partitions that give nothing though they have more, and tells how things stand. A worker
    /// that was `held_up` cannot know what would have come.
    pub(super) fn look_around(&mut self, source: &dyn StreamControl, held_up: bool) {
        let stall = self.settings.stall;
        for (partition, place) in self.places.iter_mut().filter(|(_, place)| place.assigned) {
            let next = place.reached.map_or(NextOffset(0), LastOffset::next);
            if held_up || place.paused_until.is_some() {
                place.watch.heard();
            } else if place.watch.is_stalled(place.reached, stall)
                && source.restart(partition.clone(), next)
            {
                place.watch.restarts();
                metrics::counter!("deployforge_stalls_total").increment(1);
                tracing::warn!(event = "partition_stalled", %partition, next = next.0, messages = place.watch.lag(place.reached), seconds = stall.as_secs(), "nothing came though there is more: it is read again");
            }
        }
        self.say_what_waits();
        let assigned = self.places.iter().filter(|(_, place)| place.assigned);
        let figures = assigned.map(|(partition, place)| PartitionFigures {
            partition,
            lag: place.watch.lag(place.reached),
            paused: place.paused_until.is_some(),
        });
        self.meter.tell(&self.totals, self.engine.totals(), figures);
    }

    /// Says what its operators would otherwise learn late: a commit that takes long, and what is refused.
    fn say_what_waits(&mut self) {
        if let Some(under_way) = &mut self.under_way
            && !under_way.said
            && under_way.began.elapsed() >= SLOW
        {
            under_way.said = true;
            tracing::warn!(
                event = "commit_waits",
                seconds = under_way.began.elapsed().as_secs(),
                "a commit takes long: the store is slow or does not answer; it is tried on"
            );
        }
        let refused = self.engine.totals().rejects;
        let (said, at) = self.said_refused;
        if refused > said && at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            self.said_refused = (refused, Some(Instant::now()));
            tracing::warn!(
                event = "records_refused",
                records = refused - said,
                "records cannot be read: the table `rejects` says which and why"
            );
        }
    }
}
