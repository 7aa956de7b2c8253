//! The age of what was seen, in epochs and times.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use deployforge_compare::{BatchOrigin, Owner};
use deployforge_model::Timestamp;

use crate::Engine;

/// How many times within an age it is looked.
const LOOKS: u32 = 16;

/// How old what was seen may become, and when epochs were.
#[derive(Debug, Default)]
pub(super) struct Ages {
    most: Option<Duration>,
    /// Epochs and times at which none of them had begun: the oldest first, [`LOOKS`] and one at most.
    marks: VecDeque<(u32, Timestamp)>,
}

impl Ages {
    /// The epoch since which everything has to have been seen, if it is time to look. `next` is the
    /// epoch to come.
    fn look(&mut self, next: u32, now: Timestamp) -> Option<u32> {
        let most = self.most?;
        if self.marks.back().is_some_and(|(_, last)| *last > before(now, most / LOOKS)) {
            return None;
        }
        self.marks.push_back((next, now));
        let too_old = self.marks.partition_point(|(_, time)| *time <= before(now, most));
        let found = too_old.checked_sub(1).map(|last| self.marks[last].0);
        self.marks.drain(..too_old.saturating_sub(1));
        found
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    let micros = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_sub(micros))
}

impl Engine {
    /// What was not seen for longer is `unknown` (`stale`). Without an age nothing ever is.
    #[must_use]
    pub fn stale_after(mut self, age: Option<Duration>) -> Self {
        self.set_stale_after(age);
        self
    }

    /// The same for an engine that runs.
    pub fn set_stale_after(&mut self, age: Option<Duration>) {
        self.ages.most = age;
    }

    /// Looks, if it is time to, whether something of these partitions of a source was not seen for too
    /// long; the partitions of which something was not. Each comes with the time since which it is read:
    /// what another process saw of it before counts as seen then.
    pub fn look_at_age(&mut self, source: &Arc<str>, owners: &[(Owner, Timestamp)]) -> Vec<Owner> {
        let now = self.clock.now();
        let Some(since) = self.ages.look(self.comparator.mark(), now) else {
            return Vec::new();
        };
        let oldest = self.ages.most.map_or(now, |age| before(now, age));
        let mut found = Vec::new();
        let seconds = self.ages.most.map_or(0, |age| age.as_secs());
        for (owner, _) in owners.iter().filter(|(_, taken)| *taken <= oldest) {
            let origin = BatchOrigin { owner: *owner, ..self.origin(Arc::clone(source)) };
            let output = self.comparator.grow_stale(since, &origin);
            if output.rows() > 0 {
                found.push(*owner);
            }
            self.gather(output);
        }
        if !found.is_empty() {
            tracing::warn!(
                event = "resources_stale",
                seconds,
                "resources were not seen for {seconds} s: their verdict is unknown"
            );
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicI64, Ordering};

    use deployforge_canon::{Canon, Normalise};
    use deployforge_compare::{Comparator, LevelSwitch, Settings, Tables, Tier};
    use deployforge_maps::SharedMaps;
    use deployforge_model::{
        Clock, Dialect, Observation, ObservationBatchBuilder, ResourceKey, SourcePosition,
    };
    use deployforge_policy::Policy;

    use super::*;
    use crate::Feed;

    fn at(second: i64) -> Timestamp {
        Timestamp(second * 1_000_000)
    }

    /// A clock that is set by hand, in seconds.
    #[derive(Debug, Default)]
    struct Seconds(AtomicI64);

    impl Clock for Seconds {
        fn now(&self) -> Timestamp {
            at(self.0.load(Ordering::Relaxed))
        }
    }

    /// An engine that saw one resource at second 0.
    fn engine(clock: Arc<Seconds>) -> Engine {
        let settings = Settings {
            seed: 1,
            hash_key: [0; 32],
            canon: Canon::default(),
            maps: SharedMaps::default(),
            policy: Policy::default(),
            mode: None,
            normalise: Normalise::Standard,
            tables: Tables::ALL,
            levels: LevelSwitch::ALL,
            tier: Tier::Full,
            text_bytes: u64::MAX,
            explain: false,
        };
        let comparator = Comparator::new(settings, Vec::new());
        let mut engine = Engine::new(comparator, clock, HashSet::new())
            .stale_after(Some(Duration::from_secs(16)));
        let key = ResourceKey { id: "a".into(), ..ResourceKey::default() };
        let seen = Observation::of(
            key,
            Dialect::Native,
            br#"{"n":1}"#.to_vec(),
            SourcePosition::default(),
        );
        let mut batch = ObservationBatchBuilder::new(1);
        batch.push(&seen, Timestamp(0));
        engine.feed(Feed::Batch {
            source: "s".into(),
            file: "f".into(),
            batch: Box::new(batch.finish()),
        });
        engine
    }

    #[test]
    fn what_comes_with_a_partition_counts_as_seen_when_it_comes() {
        // The seconds at which something is found, of what is read since a second.
        let found = |taken: i64| {
            let clock = Arc::new(Seconds::default());
            let mut engine = engine(Arc::clone(&clock));
            let owners = [(Owner::NONE, at(taken))];
            let mut look = |second: &i64| {
                clock.0.store(*second, Ordering::Relaxed);
                !engine.look_at_age(&"s".into(), &owners).is_empty()
            };
            (1..60).filter(|second| look(second)).collect::<Vec<_>>()
        };
        assert_eq!(found(0), [17]);
        assert_eq!(found(10), [26]);
        assert_eq!(found(30), [46]);
    }

    #[test]
    fn what_is_too_old_is_never_younger_than_the_age() {
        let mut ages = Ages { most: Some(Duration::from_secs(160)), ..Ages::default() };
        // Epoch `n` begins at second `n`.
        for second in 0..1000u32 {
            let now = at(second.into());
            if let Some(since) = ages.look(second + 1, now) {
                let newest = i64::from(since) - 1;
                let age = i64::from(second) - newest;
                assert!(
                    (160..=170).contains(&age),
                    "at {second}: {newest} is the newest of the old"
                );
            }
            assert!(ages.marks.len() <= LOOKS as usize + 2, "{}", ages.marks.len());
        }
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_makes_nothing_old() {
        let mut ages = Ages { most: Some(Duration::from_secs(10)), ..Ages::default() };
        for second in [100, 100, 50, 101, 100] {
            assert_eq!(ages.look(7, at(second)), None);
        }
        assert_eq!(Ages::default().look(1, at(1 << 40)), None);
    }
}
