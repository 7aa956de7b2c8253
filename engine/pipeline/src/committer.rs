//! Commits on a thread of their own, so that the history is written while the next epochs are judged.

use std::thread::JoinHandle;

use crossbeam::channel::{Sender, bounded};
use deployforge_compare::Output;
use deployforge_history::HistoryError;

use crate::Recorder;

/// Outputs that may wait to be written; then judging waits.
const WAITING: usize = 1;

/// Rows that make a file worth its name: so many are gathered before they are handed to a committer.
pub const FILE_ROWS: usize = 1 << 16;

/// Text in one column of findings beyond which no more is gathered: an Arrow column holds 2 GiB.
pub const FILE_BYTES: usize = 256 << 20;

/// Writes outputs in order on a thread, and commits them.
#[derive(Debug)]
pub struct Committer {
    jobs: Sender<Output>,
    thread: JoinHandle<Result<Recorder, HistoryError>>,
}

impl Committer {
    /// Moves a recorder to a thread; it commits after every `rows` rows.
    pub fn new(mut recorder: Recorder, rows: u64) -> Self {
        let (jobs, waiting) = bounded::<Output>(WAITING);
        let thread = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || {
                for output in waiting {
                    if recorder.write(output)? >= rows {
                        recorder.commit_written()?;
                    }
                }
                recorder.commit_written()?;
                Ok(recorder)
            })
            .expect("a thread can be started");
        Self { jobs, thread }
    }

    /// Hands an output on. `false`: an error came before, which [`Committer::finish`] tells; nothing
    /// more is committed.
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
