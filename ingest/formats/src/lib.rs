//! Foreign formats: bytes in, observations out.
//!
//! The principal type is [`Reader`]: bytes are pushed into it in chunks of any size, and complete
//! [`Record`](deployforge_model::Record)s come out as soon as they are complete. On the way the
//! bytes are framed into JSON values by a scanner that knows depth, strings and escapes (`framing`),
//! each value is recognised by its content or by the [`Format`] that was asked for (`detect`), and
//! the one module that knows the format turns it into a resource key and a state slice: `native`,
//! `cloudevents`, `aws_config`, [`terraform`], [`terraform_json`], `cloudformation`, `kubernetes`,
//! `google`, `azure` and the others that the table of readers lists. An input that is YAML (`yaml`)
//! becomes JSON first. Audit logs (`evidence`) yield [`Evidence`](deployforge_model::Evidence) instead,
//! and recordings of calls (`recording`) hand on the replies they hold.
//!
//! What it holds in memory is one record, not one file: the items of an AWS Config snapshot leave
//! one by one, and a line larger than [`Limits::record_bytes`] is skipped while it is hashed. The
//! exceptions are documents that hold many resources (a Terraform state, a plan, an API's reply), an
//! input that is YAML, and tables in columns (`columns`: Parquet, Arrow), which are held whole, up to
//! [`Limits::document_bytes`].
//!
//! What can't be read becomes a `Reject` with a position, a code from a bounded set, one sentence
//! for people, and a hash in place of the bytes. Nothing is dropped in silence: what is skipped on
//! purpose (data sources, notifications without an item) is counted in [`ReadSummary::notes`].
//!
//! What it will not do: I/O, reading a clock, decompression, comparing, redacting. State slices are
//! copied out of the input as they were written, so that numbers keep their exact text; what they
//! mean is for the canonicaliser to say. Templates are resolved as far as they themselves say what
//! their values are (`resolved`); the rest is marked as unresolved, never guessed. Files that a record
//! names are for the caller to open ([`Reference`]).
//!
//! ```
//! use deployforge_formats::{ReadOptions, Reader};
//! use deployforge_model::Record;
//!
//! let line = br#"{"provider":"aws","type":"AWS::S3::Bucket","id":"logs","attributes":{"size":1.50}}"#;
//! let mut reader = Reader::new(ReadOptions::default());
//! let mut records = Vec::new();
//! reader.push(line, &mut records);
//! let summary = reader.finish(&mut records);
//! assert_eq!(summary.observations, 1);
//! let Record::Observation(observation) = &records[0] else { panic!("not an observation") };
//! assert_eq!(observation.state, br#"{"size":1.50}"#);
//! ```

mod arn;
mod aws_api;
mod aws_config;
mod azure;
mod cloudevents;
mod cloudformation;
mod columns;
mod detect;
mod evidence;
mod foreign;
mod framing;
mod google;
mod ignored;
mod json;
mod kubernetes;
mod lines;
mod native;
mod openstack;
mod options;
mod oracle;
mod place;
mod prune;
mod reader;
mod recording;
mod reference;
mod refusal;
mod reserved;
mod resolved;
mod sink;
pub mod terraform;
pub mod terraform_json;
mod yaml;

pub use columns::expects_panic;
pub use ignored::{IgnoreFormat, Ignored, IgnoredRules, ignored_rules};
pub use lines::{LineReader, Lines, Parsed};
pub use options::{Format, KeyDefaults, Limits, ReadOptions, Side, UnknownFormat, split_prefix};
pub use reader::{ReadSummary, Reader};
pub use reference::{Reference, Stack};
pub use refusal::KEY_BYTES;
