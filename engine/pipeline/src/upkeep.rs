//! Maintenance of the history, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam::channel::{Sender, bounded};
use deployforge_history::{HistoryError, Maintained, Maintainer};
use metrics::counter;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// Does a turn of maintenance after some commits. A commit never waits for it: what becomes due during a
/// turn is done once, after it.
#[derive(Debug)]
pub(crate) struct Upkeep {
    due: Option<Sender<u64>>,
    /// For what computes, and for what waits.
    stop: (Arc<AtomicBool>, Arc<Notify>),
    thread: Option<JoinHandle<()>>,
}

impl Upkeep {
    pub(crate) fn new(maintainer: Maintainer, runtime: Arc<Runtime>) -> Self {
        // What has not happened yet is told as none.
        for result in ["done", "failed"] {
            counter!("deployforge_maintenance_total", "result" => result).increment(0);
        }
        counter!("deployforge_merged_files_total").increment(0);
        counter!("deployforge_removed_files_total").increment(0);
        let stop = (maintainer.stop(), Arc::new(Notify::new()));
        let told = Arc::clone(&stop.1);
        let (due, waiting) = bounded::<u64>(1);
        let thread = std::thread::Builder::new()
            .name("upkeep".to_owned())
            .spawn(move || {
                for commit in waiting {
                    let began = Instant::now();
                    let turn = runtime.block_on(async {
                        tokio::select! {
                            biased;
                            () = told.notified() => None,
                            turn = maintainer.turn(commit) => Some(turn),
                        }
                    });
                    // Cut short wherever it stood: another turn does the rest.
                    let Some(turn) = turn else { return };
                    tell(turn, began);
                }
            })
            .expect("a thread can be started");
        Self { due: Some(due), stop, thread: Some(thread) }
    }

    /// A commit was made.
    pub(crate) fn committed(&self, commit: u64) {
        if let Some(due) = &self.due
            && Maintainer::is_due(commit)
        {
            // One waits already: it does for this commit too.
            let _ = due.try_send(commit);
        }
    }

    /// Waits until what is due is done.
    pub(crate) fn finish(mut self) {
        self.join();
    }

    fn join(&mut self) {
        self.due = None;
        if let Some(thread) = self.thread.take() {
            // What it had to say it said.
            let _ = thread.join();
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        // In this order: what was cut short is no failure.
        self.stop.1.notify_one();
        self.stop.0.store(true, Ordering::Relaxed);
        self.join();
    }
}

fn tell(turn: Result<Maintained, HistoryError>, began: Instant) {
    let result = if turn.is_ok() { "done" } else { "failed" };
    counter!("deployforge_maintenance_total", "result" => result).increment(1);
    match turn {
        Ok(Maintained { merged, made, lost, checkpoints, log_files, data_files }) => {
            counter!("deployforge_merged_files_total").increment(merged);
            counter!("deployforge_removed_files_total").increment(log_files + data_files);
            tracing::info!(
                event = "history_maintained",
                merged,
                made,
                lost,
                checkpoints,
                log_files,
                data_files,
                seconds = began.elapsed().as_secs_f64(),
                "the history was put in order"
            );
        }
        Err(error) => tracing::warn!(
            event = "maintenance_failed",
            "the history was not put in order, which the next turn does: {error}"
        ),
    }
}
