//! The nouns of DeployForge as plain types.
//!
//! A [`ResourceKey`] names one infrastructure object. An [`Observation`] is the state of one
//! resource, as one source saw it, at one time; many of them travel as an [`ObservationBatch`],
//! which is an Arrow `RecordBatch` with the payload bytes packed in one buffer. What the comparator
//! decides is a [`Verdict`] per resource and a finding per difference ([`FindingKind`]), kept as
//! [`Transition`]s in the tables whose schemas stand in [`schema`].
//!
//! What is deliberately absent: any reading of JSON, any format, any I/O, any clock but the
//! [`Clock`] trait. This crate depends on nothing else of ours.
//!
//! ```
//! use deployforge_model::ResourceKey;
//! let key = ResourceKey::new("aws", "123456789012", "eu-west-1", "AWS::S3::Bucket", "logs");
//! assert_eq!(key.to_string(), "aws/123456789012/eu-west-1/AWS::S3::Bucket/logs");
//! ```

mod baseline;
mod batch;
mod frame;
mod frontier;
mod hashed;
mod key;
mod observation;
pub mod path;
mod predicate;
pub mod schema;
mod seed;
mod special;
mod time;
mod verdict;

pub use baseline::{BaselineInfo, BaselineKind, Mode};
pub use batch::{ObservationBatch, ObservationBatchBuilder, ObservationRow};
pub use frame::{Block, Frame, FrameBuilder, FrameRow, RecordReader, Span};
pub use frontier::{FileMark, FileMarks, Frontier, LastOffset, Moved, NextOffset, Partition};
pub use hashed::{Hashed, HashedMap, HashedSet};
pub use key::{Key128, ResourceKey};
pub use observation::{
    Dialect, Evidence, MemberKind, Observation, Presence, Record, Reject, RejectCode, Scope,
    SourcePosition, StateForm, StateMember, StateText, Sweep, UNRESOLVED_MEMBER,
};
pub use predicate::Predicate;
pub use seed::Seed;
pub use special::{WIDE, same, special};
pub use time::{Clock, FixedClock, SystemClock, Timestamp, TimestampError};
pub use verdict::{FindingKind, Severity, Transition, UnknownReason, Verdict};
