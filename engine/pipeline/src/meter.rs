//! What a worker tells its operators: the names stand in `docs/reference/metrics.md`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use deployforge_compare::Output;
use deployforge_model::{Partition, Transition, Verdict};
use metrics::{counter, gauge, histogram};

use crate::{Totals, WorkerTotals};

/// How often figures are told.
const EVERY: Duration = Duration::from_secs(1);

/// Between two looks no more than this passes while a worker works: else it was held up itself.
const HELD_UP: Duration = Duration::from_secs(5);

/// Messages that are not durable.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    since: Instant,
    bytes: u64,
}

/// Measures how far behind durability is, and tells figures as they have grown.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Taken in since the last commit began.
    taken: Option<Waiting>,
    /// Part of the commit under way.
    under_way: Option<Waiting>,
    looked: Instant,
    told: Told,
}

/// What was told before.
#[derive(Debug, Default)]
struct Told {
    messages: u64,
    bytes: u64,
    late: u64,
    strayed: u64,
    levels: [u64; 3],
    rejects: BTreeMap<&'static str, u64>,
}

/// What is told of a partition.
#[derive(Debug)]
pub(crate) struct PartitionFigures<'a> {
    pub(crate) partition: &'a Partition,
    pub(crate) lag: u64,
    pub(crate) paused: bool,
}

impl Meter {
    pub(crate) fn new() -> Self {
        // What has not happened yet is told as none.
        for name in [
            "deployforge_commits_total",
            "deployforge_stalls_total",
            "deployforge_lost_messages_total",
        ] {
            counter!(name).increment(0);
        }
        Self { taken: None, under_way: None, looked: Instant::now(), told: Told::default() }
    }

    /// Messages were taken in.
    pub(crate) fn took(&mut self, bytes: usize) {
        let since = Instant::now();
        self.taken.get_or_insert(Waiting { since, bytes: 0 }).bytes += bytes as u64;
    }

    /// A commit begins; `None`: there is nothing to commit.
    pub(crate) fn begins(&mut self, output: Option<&Output>) {
        self.under_way = self.taken.take().filter(|_| output.is_some());
        let Some(output) = output else { return };
        let mut verdicts: BTreeMap<&'static str, u64> = BTreeMap::new();
        for row in output.verdicts() {
            *verdicts.entry(row.verdict.map_or("gone", Verdict::name)).or_default() += 1;
        }
        for (verdict, count) in verdicts {
            counter!("deployforge_verdicts_total", "verdict" => verdict).increment(count);
        }
        let mut suppressed: BTreeMap<&str, u64> = BTreeMap::new();
        for row in output.findings().filter(|row| row.transition != Transition::Closed) {
            let Some(fold) = row.fold else { continue };
            *suppressed.entry(fold).or_default() += 1;
        }
        for (by, count) in suppressed {
            counter!("deployforge_suppressed_total", "by" => by.to_owned()).increment(count);
        }
    }

    /// The commit under way has ended.
    pub(crate) fn committed(&mut self, seconds: f64) {
        self.under_way = None;
        counter!("deployforge_commits_total").increment(1);
        histogram!("deployforge_commit_seconds").record(seconds);
    }

    /// The age of the oldest message that is not durable.
    pub(crate) fn durable_lag(&self) -> Duration {
        let oldest = self.under_way.or(self.taken);
        oldest.map_or(Duration::ZERO, |waiting| waiting.since.elapsed())
    }

    /// Whether it is time for a look; in it, whether the worker was held up since the last.
    pub(crate) fn look(&mut self) -> Option<bool> {
        let passed = self.looked.elapsed();
        (passed >= EVERY).then(|| {
            self.looked = Instant::now();
            passed >= HELD_UP
        })
    }

    /// Tells what is so now, and by how much the rest has grown.
    pub(crate) fn tell<'a>(
        &mut self,
        worker: &WorkerTotals,
        totals: &Totals,
        partitions: impl Iterator<Item = PartitionFigures<'a>>,
    ) {
        let mut assigned = 0;
        for PartitionFigures { partition, lag, paused } in partitions {
            assigned += 1;
            let Partition { topic, number } = partition;
            let labels = [("topic", topic.to_string()), ("partition", number.to_string())];
            gauge!("deployforge_partition_lag_messages", &labels).set(lag as f64);
            gauge!("deployforge_partition_paused", &labels).set(f64::from(u8::from(paused)));
        }
        gauge!("deployforge_assigned_partitions").set(f64::from(assigned));
        gauge!("deployforge_durable_lag_seconds").set(self.durable_lag().as_secs_f64());
        let waiting = [self.taken, self.under_way].into_iter().flatten();
        let bytes: u64 = waiting.map(|waiting| waiting.bytes).sum();
        gauge!("deployforge_durable_lag_bytes").set(bytes as f64);
        self.tell_growth(worker, totals);
    }

    fn tell_growth(&mut self, worker: &WorkerTotals, totals: &Totals) {
        let Told { messages, bytes, late, strayed, levels, rejects } = &mut self.told;
        let grown = |told: &mut u64, now: u64| now - std::mem::replace(told, now);
        counter!("deployforge_messages_total").increment(grown(messages, worker.messages));
        counter!("deployforge_message_bytes_total").increment(grown(bytes, worker.bytes));
        counter!("deployforge_late_observations_total").increment(grown(late, totals.late));
        counter!("deployforge_strayed_observations_total")
            .increment(grown(strayed, totals.strayed));
        let now = [
            ("fingerprint", totals.levels.fingerprint),
            ("canonical", totals.levels.canonical),
            ("compared", totals.levels.compared),
        ];
        for (told, (level, now)) in levels.iter_mut().zip(now) {
            counter!("deployforge_observations_total", "level" => level)
                .increment(grown(told, now));
        }
        for (code, now) in &totals.reject_codes {
            let told = rejects.entry(code).or_default();
            counter!("deployforge_rejects_total", "code" => *code).increment(grown(told, *now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_the_age_of_the_oldest_message_that_is_not_durable() {
        let mut meter = Meter::new();
        assert_eq!(meter.durable_lag(), Duration::ZERO);
        meter.took(10);
        std::thread::sleep(Duration::from_millis(20));
        meter.took(10);
        let first = meter.durable_lag();
        assert!(first >= Duration::from_millis(20));
        meter.begins(Some(&Output::default()));
        meter.took(10);
        assert!(meter.durable_lag() >= first, "a commit under way is not durable");
        meter.committed(0.1);
        assert!(meter.durable_lag() < first);
        meter.begins(None);
        assert_eq!(meter.durable_lag(), Duration::ZERO);
    }
}
