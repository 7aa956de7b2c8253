//! What can go wrong before a byte means anything.

use std::io;
use std::path::Path;

/// Why bytes could not be had. Each text is for people: what is wrong, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No such file or folder.
    #[error(
        "There is no file or folder `{path}`; check the path, and the format's name if one stands before it."
    )]
    NotFound {
        /// As it was given.
        path: String,
    },
    /// A pattern that no file matches.
    #[error(
        "No file matches `{pattern}` (looked in `{folder}`; hidden and temporary files don't count); check the pattern, and quote it so that the shell leaves it alone."
    )]
    NoMatch {
        /// As it was given.
        pattern: String,
        /// Where the search began.
        folder: String,
    },
    /// Neither an object nor a prefix of any.
    #[error(
        "There is no object `{path}`, and none to read below it; check the bucket, the prefix, and the region."
    )]
    NoObject {
        /// As it was given.
        path: String,
    },
    /// A store that cannot be used.
    #[error("{error}.")]
    Store {
        /// Why.
        error: deployforge_store::StoreError,
    },
    /// A folder without a file to read.
    #[error("The folder `{path}` holds no file to read; hidden and temporary files don't count.")]
    EmptyFolder {
        /// As it was given.
        path: String,
    },
    /// The pattern itself is wrong.
    #[error("`{pattern}` is not a pattern: {problem}.")]
    BadPattern {
        /// As it was given.
        pattern: String,
        /// What the parser says.
        problem: String,
    },
    /// Nothing was given.
    #[error("The path is empty; give a file, a folder, a pattern, or `-` for standard input.")]
    EmptyPath,
    /// The user may not read it.
    #[error("`{path}` may not be read; give this user permission to read it.")]
    PermissionDenied {
        /// The place.
        path: String,
    },
    /// A folder where a file is needed.
    #[error("`{path}` is a folder, and a file is needed here.")]
    IsDirectory {
        /// The place.
        path: String,
    },
    /// A kind of place that is not read.
    #[error(
        "`{spec}` can't be read: {scheme} comes later; copy the files here, or mount them. Objects are named by s3://, gs:// or az://."
    )]
    Unsupported {
        /// As it was given.
        spec: String,
        /// What it is, such as `S3 (s3://)`.
        scheme: String,
    },
    /// More files than is sensible.
    #[error("`{spec}` means more than {limit} files; give a part of them at a time.")]
    TooManyFiles {
        /// As it was given.
        spec: String,
        /// The limit.
        limit: usize,
    },
    /// Compressed data that breaks off or is wrong. What was read before it is good.
    #[error(
        "`{name}` is damaged after {position} unpacked bytes: {problem}; copy or download it again."
    )]
    Damaged {
        /// The place.
        name: String,
        /// How many bytes were unpacked before.
        position: u64,
        /// What is wrong.
        problem: String,
    },
    /// Compressed data that grows beyond the limits.
    #[error(
        "`{name}` unpacks to more than is sensible ({expanded} bytes from {packed}); if it is genuine, unpack it first."
    )]
    TooMuchExpansion {
        /// The place.
        name: String,
        /// Bytes unpacked.
        expanded: u64,
        /// Bytes they were unpacked from.
        packed: u64,
    },
    /// Kafka refuses, or its settings are wrong.
    #[error(
        "the Kafka source `{name}` cannot be read: {problem}; check its brokers and properties."
    )]
    Kafka {
        /// The source.
        name: String,
        /// What the client says.
        problem: String,
    },
    /// A property that is not the user's to set.
    #[error(
        "the Kafka source `{source_name}` sets `{name}`, which the engine sets itself; remove it."
    )]
    KafkaProperty {
        /// The source.
        source_name: String,
        /// The property.
        name: String,
    },
    /// No partition came.
    #[error(
        "`{name}`: no partition came in {seconds} s; check that the brokers answer and that the topics are there. Other members of the group may read all of them."
    )]
    KafkaNothing {
        /// The source.
        name: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A partition ends before what was read of it.
    #[error(
        "{partition} ends at offset {end}, and it was read up to {frontier} before: the topic was deleted and made again, or the brokers lost messages; read it under another source name and data directory, or give the topic another name."
    )]
    KafkaBehind {
        /// Which.
        partition: String,
        /// From where reading would go on.
        frontier: i64,
        /// Where it ends.
        end: i64,
    },
    /// Nothing can listen there.
    #[error(
        "`{name}` cannot listen at {address}: {problem}; name another address, or end what listens there."
    )]
    Listen {
        /// What would listen.
        name: String,
        /// Where.
        address: String,
        /// What the operating system says.
        problem: String,
    },
    /// Anything else the operating system says.
    #[error("`{name}` can't be read: {source}.")]
    Io {
        /// The place.
        name: String,
        /// What the operating system says.
        source: io::Error,
    },
}

impl SourceError {
    /// The error of an operation on a path, by its meaning.
    pub(crate) fn from_io(path: &Path, error: io::Error) -> Self {
        let path = path.display().to_string();
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { path },
            io::ErrorKind::IsADirectory => Self::IsDirectory { path },
            _ => Self::Io { name: path, source: error },
        }
    }
}
