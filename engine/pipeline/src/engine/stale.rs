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
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let since = |age: Duration| Timestamp(now.0.saturating_sub(micros(age)));
        if self.marks.back().is_some_and(|(_, last)| *last > since(most / LOOKS)) {
            return None;
        }
        self.marks.push_back((next, now));
        let too_old = self.marks.partition_point(|(_, time)| *time <= since(most));
        let found = too_old.checked_sub(1).map(|last| self.marks[last].0);
        self.marks.drain(..too_old.saturating_sub(1));
        found
    }
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
    /// long; the partitions of which something was not. What was known before this process began counts as seen at its begin.
    pub fn look_at_age(&mut self, source: &Arc<str>, owners: &[Owner]) -> Vec<Owner> {
        let Some(since) = self.ages.look(self.comparator.mark(), self.clock.now()) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let seconds = self.ages.most.map_or(0, |age| age.as_secs());
        for owner in owners {
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
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp(second * 1_000_000)
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
