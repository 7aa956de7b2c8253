//! Where bytes come from: files, folders, globs, objects of stores, standard input, Kafka, HTTP.
//!
//! [`expand`] turns what a user typed into [`Location`]s, in a stable order. [`open`] turns one
//! location into a [`ByteStream`], the principal type here, which unpacks gzip and zstd by their
//! first bytes and counts as it goes. [`FolderWatch`] tells which files of a folder are new or
//! changed and no longer being written.
//!
//! [`KafkaSource`] reads partitions of topics on a thread of its own and hands on [`StreamEvent`]s:
//! messages packed into blocks of lines, and partitions that come and go. [`HttpServer`] takes what is
//! posted, as a stream of one partition, on [`Listening`], a server with limits.
//!
//! What it will not do: know any format, keep an offset. A source that fails says so
//! with a [`SourceError`] that names the place and what to do; what was read before stays good. What is
//! read is what a user named: no message names a place.
//!
//! ```
//! use deployforge_sources::{expand, open};
//!
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("a.ndjson"), "{}\n")?;
//! let locations = expand(folder.path().to_str().unwrap())?;
//! let mut stream = open(&locations[0])?;
//! let mut chunk = [0; 64];
//! let read = stream.read(&mut chunk)?;
//! assert_eq!(&chunk[..read], b"{}\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod expand;
mod http;
mod kafka;
mod message;
mod object;
mod serve;
mod stream;
mod watch;

pub use error::SourceError;
pub use expand::{Location, expand, expand_with};
pub use http::{HttpServer, HttpSettings, HttpSource};
pub use kafka::{KafkaSettings, KafkaSource, Start, check_kafka_properties, kafka_problem};
pub use message::{
    BLOCK_BYTES, Message, Packed, PackedLines, Packer, RawMessage, Started, StreamControl,
    StreamEvent, is_telling,
};
pub use object::ObjectLocation;
pub use serve::Listening;
pub use stream::{ByteStream, Compression, ExpansionLimits, open, open_with};
pub use watch::FolderWatch;
