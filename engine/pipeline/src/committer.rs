//! Commits on a thread of their own, so that the history is written while the next epochs are judged.

use std::thread::JoinHandle;

use crossbeam::channel::{Sender, bounded};
use deployforge_compare::Output;
use deployforge_history::HistoryError;

use crate::Recorder;

/// Outputs that may wait for their commit; then judging waits.
const WAITING: usize = 2;

/// Commits outputs in order on a thread.
#[derive(Debug)]
pub struct Committer {
    jobs: Sender<Output>,
    thread: JoinHandle<Result<Recorder, HistoryError>>,
}

impl Committer {
    /// Moves a recorder to a thread.
    pub fn new(mut recorder: Recorder) -> Self {
        let (jobs, waiting) = bounded::<Output>(WAITING);
        let thread = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || {
                for output in waiting {
                    recorder.commit(&output)?;
                }
                Ok(recorder)
            })
            .expect("a thread can be started");
        Self { jobs, thread }
    }

    /// Hands an output on. An error that came before is told by [`Committer::finish`]; what is handed
    /// on after it is not committed.
    pub fn commit(&self, output: Output) -> bool {
        self.jobs.send(output).is_ok()
    }

    /// Waits until everything is committed.
    pub fn finish(self) -> Result<Recorder, HistoryError> {
        drop(self.jobs);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
