//! Where bytes come from: files, folders, globs, standard input.
//!
//! [`expand`] turns what a user typed into [`Location`]s, in a stable order. [`open`] turns one
//! location into a [`ByteStream`], the principal type here, which unpacks gzip and zstd by their
//! first bytes and counts as it goes. [`FolderWatch`] tells which files of a folder are new or
//! changed and no longer being written.
//!
//! What it will not do: know any format, retry, sleep, read a clock. A source that fails says so
//! with a [`SourceError`] that names the place and what to do; what was read before stays good.
//! Object stores are named and refused.
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
mod stream;
mod watch;

pub use error::SourceError;
pub use expand::{Location, expand};
pub use stream::{ByteStream, Compression, ExpansionLimits, open, open_with};
pub use watch::FolderWatch;
