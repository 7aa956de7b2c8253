//! The keeper: commits and looks into the history, on a thread of its own.

use std::collections::BTreeMap;
use std::thread::JoinHandle;

use arrow::array::RecordBatch;
use crossbeam::channel::{Receiver, Sender, bounded};
use deployforge_compare::Output;
use deployforge_history::{HistoryError, PartitionState, StatePart, Step};
use deployforge_model::{LastOffset, Moved, Partition};

use crate::Recorder;

/// What a commit makes durable.
#[derive(Debug)]
pub(crate) struct CommitJob {
    pub(crate) output: Output,
    pub(crate) moved: BTreeMap<Partition, Moved>,
    /// What changed of states, or all there is.
    pub(crate) states: BTreeMap<Partition, RecordBatch>,
    /// The parts of states that stay, before those that are new.
    pub(crate) chains: BTreeMap<Partition, Vec<StatePart>>,
}

/// A commit that is done.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) number: u64,
    /// Where the states of its partitions stand now.
    pub(crate) parts: BTreeMap<Partition, Vec<StatePart>>,
}

/// A partition as the history holds it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) partition: Partition,
    pub(crate) offset: Option<LastOffset>,
    pub(crate) state: PartitionState,
    /// Its state, unless it is known already.
    pub(crate) kept: Vec<RecordBatch>,
}

enum Job {
    Commit(Box<CommitJob>, Sender<Result<Committed, HistoryError>>),
    Hold(Vec<Partition>, BTreeMap<Partition, u64>, Sender<Result<Vec<Held>, HistoryError>>),
}

/// Commits on a thread of its own.
#[derive(Debug)]
pub struct Keeper {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Moves a recorder to a thread.
    pub fn new(mut recorder: Recorder) -> Self {
        let (jobs, waiting) = bounded::<Job>(1);
        let thread = std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || {
                for job in waiting {
                    // Who asked may have gone.
                    match job {
                        Job::Commit(job, reply) => {
                            let _ = reply.send(commit(&mut recorder, *job));
                        }
                        Job::Hold(partitions, known, reply) => {
                            let _ = reply.send(hold(&mut recorder, partitions, &known));
                        }
                    }
                }
            })
            .expect("a thread can be started");
        Self { jobs: Some(jobs), thread: Some(thread) }
    }

    /// Begins a commit.
    pub(crate) fn commit(&self, job: CommitJob) -> Receiver<Result<Committed, HistoryError>> {
        let (reply, ended) = bounded(1);
        self.send(Job::Commit(Box::new(job), reply));
        ended
    }

    /// What the history holds of partitions; `known` are commits as of which their states are known.
    pub(crate) fn hold(
        &self,
        partitions: Vec<Partition>,
        known: BTreeMap<Partition, u64>,
    ) -> Result<Vec<Held>, HistoryError> {
        let (reply, ended) = bounded(1);
        self.send(Job::Hold(partitions, known, reply));
        ended.recv().expect("the keeper answers")
    }

    fn send(&self, job: Job) {
        let jobs = self.jobs.as_ref().expect("it ends with its owner");
        jobs.send(job).expect("the keeper ends with its owner");
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // What it had to say it said in its replies.
            let _ = thread.join();
        }
    }
}

fn commit(recorder: &mut Recorder, job: CommitJob) -> Result<Committed, HistoryError> {
    let CommitJob { output, moved, states, mut chains } = job;
    recorder.write(output)?;
    for (partition, part) in recorder.write_states(&states)? {
        chains.entry(partition).or_default().push(part);
    }
    let step = Step { moved, states: chains.clone(), ..Step::default() };
    let number = recorder.commit_step(step)?;
    Ok(Committed { number, parts: chains })
}

fn hold(
    recorder: &mut Recorder,
    partitions: Vec<Partition>,
    known: &BTreeMap<Partition, u64>,
) -> Result<Vec<Held>, HistoryError> {
    recorder.look()?;
    let (frontier, mut states) = (recorder.history().frontier(), recorder.history().states());
    let hold = |partition: Partition| {
        let state = states.remove(&partition).unwrap_or_default();
        let same = known.get(&partition) == Some(&state.commit);
        let kept = if same { Vec::new() } else { recorder.read_state(&state.parts)? };
        let offset = frontier.get(&partition).copied();
        Ok(Held { partition, offset, state, kept })
    };
    partitions.into_iter().map(hold).collect()
}
