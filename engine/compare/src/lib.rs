//! The columnar baseline, the shards and the comparator.
//!
//! A [`Baseline`] holds what resources should be, in Arrow columns. A [`Comparator`] splits what it
//! knows into shards; [`Comparator::apply`] judges an observation batch, one rayon task per shard,
//! and returns an [`Output`]: transitions of findings and verdicts, changed states, rollups. The
//! work itself is `Shard::apply`, one function from shard state and a slice of observations to
//! differences, in three levels: raw fingerprint, canonical fingerprint, attribute by attribute
//! ([`compare`]).
//!
//! What is deliberately absent: I/O, clocks, tokio, DataFusion, Delta, and every foreign format.
//! Given the same bytes, times and baseline it gives the same findings.

mod across;
mod baseline;
mod checkpoint;
mod chunks;
mod claim;
mod columns;
mod comparator;
mod diff;
mod entry;
mod evidence;
mod findings;
mod group;
mod guides;
mod index;
mod judge;
mod judgement;
mod maker;
mod order;
mod output;
mod patch;
mod prepare;
mod route;
mod rows;
mod score;
mod shape;
mod shard;
mod short;
mod stale;
mod states;
mod succeed;
mod verdicts;
mod view;

pub use across::{Said, compare_across};
pub use baseline::{Added, Baseline, BaselineBuilder, RowTable};
pub use checkpoint::{NotACheckpoint, Taken};
pub use comparator::Comparator;
pub use diff::{Comparison, DiffOptions, Difference, Skip, Skipped, compare};
pub use entry::{Owner, Restored};
pub use evidence::EvidenceRow;
pub use findings::{FindingRow, OpenFinding};
pub use judge::state_hash;
pub use maker::{MadeRow, NotAdded, RowMaker};
pub use output::{CheckCounts, Levels, Output, RejectRow};
pub use patch::patch;
pub use prepare::{Prepared, Scrubbed};
pub use rows::{BaselineRow, BaselineRows, CHUNK_ROWS, NotABaseline};
pub use shard::{BatchOrigin, LevelSwitch, Segment, Settings, Tables, Tier};
pub use states::StateRow;
pub use succeed::{Rules, Succession, Unsettled};
pub use verdicts::VerdictRow;
pub use view::ResourceView;
