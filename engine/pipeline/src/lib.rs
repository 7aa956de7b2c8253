//! The way of the data: sources and formats, shards, history.
//!
//! [`read_inputs`] reads files on a thread of its own and hands on [`Feed`]s: batches of
//! observations, sweep frames, rejects, bounded in number and bytes, so that a slow disk or a slow
//! comparator slows the reading and nothing piles up. An [`Engine`] applies them to a comparator
//! and gathers what came out; a [`Worker`] reads a partitioned stream with one; a [`Recorder`] makes that durable in the history. [`import`] turns
//! inputs into a baseline, [`Engine::finish_audit`] ends a batch audit.
//!
//! What is deliberately absent: any format or source by name, any decision about drift, printing.

mod block;
mod committer;
mod engine;
mod feed;
mod import;
mod input;
mod keeper;
mod lines;
mod message;
mod meter;
mod named;
mod partitions;
mod recorder;
mod stall;
mod upkeep;
mod worker;

pub use block::{FileRange, LineBlock};
pub use committer::{Committer, FILE_BYTES, FILE_ROWS};
pub use engine::{Engine, States, Totals};
pub use feed::{Feed, LIMITS, read_inputs};
pub use import::{ImportError, Imported, import};
pub use input::{Input, InputSpec};
pub use keeper::Keeper;
pub use named::is_manifest;
pub use recorder::{RecordError, Recorder, open_findings};
pub use worker::{Breaker, Renew, Renewed, Worker, WorkerError, WorkerSettings, WorkerTotals};
