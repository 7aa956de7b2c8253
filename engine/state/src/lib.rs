//! What must survive in the data directory besides the history.
//!
//! A [`DataDir`] holds the deployment's keys ([`Keys`], made once, readable by the owner alone), the
//! versions of baselines ([`DataDir::save_baseline`], Arrow IPC beside a small manifest), and which
//! files were read to the end ([`Frontier`]), and what verdicts were judged by ([`Stamp`]). One process writes at a time ([`DataDir::lock`]); baselines may be added beside it ([`DataDir::lock_baselines`]).
//! Everything is written beside its place and renamed into it, so that a crash leaves the old or
//! the new, never half.
//!
//! What is deliberately absent: what is in a baseline, and the history (`deployforge-history`).

mod baselines;
mod frontier;
mod rows;
mod stamp;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

pub use baselines::Manifest;
pub use frontier::Frontier;
pub use rows::RowsWriter;
use serde::{Deserialize, Serialize};
pub use stamp::Stamp;

/// The layout of the data directory this version reads and writes.
const LAYOUT: u32 = 1;

/// Why the data directory could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system refused.
    #[error("{path}: {error}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Written by another version.
    #[error(
        "{path} has layout {found}, and this version reads layout {LAYOUT}; use another data directory"
    )]
    Layout {
        /// The data directory.
        path: PathBuf,
        /// Its layout.
        found: u32,
    },
    /// Another process writes.
    #[error("{0} is in use by another deployforge process; stop it, or use another data directory")]
    Locked(PathBuf),
    /// Another process adds a baseline.
    #[error("another import into {0} is under way; run this one again when that has ended")]
    Importing(PathBuf),
    /// No baseline of that name (or version).
    #[error("there is no baseline `{name}`{}; there are: {known}", version.map_or(String::new(), |v| format!(" version {v}")))]
    NoBaseline {
        /// The name asked for.
        name: String,
        /// The version asked for, if any.
        version: Option<u32>,
        /// The names there are.
        known: String,
    },
    /// A name that cannot be a folder.
    #[error("`{0}` cannot name a baseline: use letters, digits, `-`, `_` and `.`, at most 100")]
    Name(String),
    /// The demo's data directory is not for real work, and the other way about.
    #[error("{path} holds {holds}; use another directory with --data-dir, or remove it")]
    Purpose {
        /// The data directory.
        path: PathBuf,
        /// What it holds.
        holds: &'static str,
    },
}

/// The keys of a deployment. Losing them makes redacted values of before and after incomparable;
/// leaking them lets short secrets be guessed from their hashes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Keys {
    layout: u32,
    /// What the directory is for.
    purpose: Purpose,
    /// Seeds resource keys and fingerprints.
    pub seed: u64,
    /// Names the redaction key.
    pub key_id: String,
    #[serde(with = "hex32")]
    /// Keys the hashes that stand for sensitive values.
    pub redaction_key: [u8; 32],
    #[serde(with = "hex32")]
    /// Keys the hashes of states.
    pub hash_key: [u8; 32],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// What a data directory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// A user's own inventory.
    Work,
    /// The demo, which may start afresh in it.
    Demo,
}

/// A data directory.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    keys: Keys,
    locks: Vec<File>,
}

impl DataDir {
    /// Opens or makes a data directory for `purpose`. `random` fills new keys.
    pub fn create(
        root: &Path,
        purpose: Purpose,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Self, StateError> {
        fs::create_dir_all(root).map_err(|error| io(root, error))?;
        let path = root.join("keys.json");
        let keys = if path.exists() {
            read_keys(root, &path)?
        } else {
            make_keys(&path, purpose, random)?
        };
        if keys.purpose != purpose {
            let holds = match keys.purpose {
                Purpose::Work => "an inventory's history, not a demo's",
                Purpose::Demo => "the demo's data, which the demo may throw away",
            };
            return Err(StateError::Purpose { path: root.to_owned(), holds });
        }
        Ok(Self { root: root.to_owned(), keys, locks: Vec::new() })
    }

    /// Opens a data directory for reading, whatever it is for. `None` if there is none.
    pub fn open(root: &Path) -> Result<Option<Self>, StateError> {
        let path = root.join("keys.json");
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(Self { root: root.to_owned(), keys: read_keys(root, &path)?, locks: Vec::new() }))
    }

    /// Takes the directory for writing; it is freed when this is dropped or the process ends.
    pub fn lock(&mut self) -> Result<(), StateError> {
        self.take("lock", StateError::Locked)
    }

    /// Takes the directory's baselines for writing, beside a process that holds all else.
    pub fn lock_baselines(&mut self) -> Result<(), StateError> {
        self.take("baselines.lock", StateError::Importing)
    }

    fn take(&mut self, name: &str, taken: fn(PathBuf) -> StateError) -> Result<(), StateError> {
        let path = self.root.join(name);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| io(&path, error))?;
        match file.try_lock() {
            Ok(()) => {
                self.locks.push(file);
                Ok(())
            }
            Err(fs::TryLockError::WouldBlock) => Err(taken(self.root.clone())),
            Err(fs::TryLockError::Error(error)) => Err(io(&path, error)),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The deployment's keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What the directory is for.
    pub fn purpose(&self) -> Purpose {
        self.keys.purpose
    }

    /// Where the history stands.
    pub fn history(&self) -> PathBuf {
        self.root.join("history")
    }
}

fn read_keys(root: &Path, path: &Path) -> Result<Keys, StateError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|mut file| file.read_to_string(&mut text))
        .map_err(|error| io(path, error))?;
    let keys: Keys = serde_json::from_str(&text).map_err(|error| damaged(path, &error))?;
    if keys.layout == LAYOUT {
        Ok(keys)
    } else {
        Err(StateError::Layout { path: root.to_owned(), found: keys.layout })
    }
}

fn make_keys(
    path: &Path,
    purpose: Purpose,
    random: &mut dyn FnMut(&mut [u8]),
) -> Result<Keys, StateError> {
    let mut seed = [0; 8];
    let mut redaction_key = [0; 32];
    let mut hash_key = [0; 32];
    random(&mut seed);
    random(&mut redaction_key);
    random(&mut hash_key);
    let key_id = blake3::hash(&redaction_key).to_hex()[..8].to_owned();
    let seed = u64::from_le_bytes(seed);
    let keys = Keys { layout: LAYOUT, purpose, seed, key_id, redaction_key, hash_key };
    let text = serde_json::to_vec_pretty(&keys).map_err(|error| damaged(path, &error))?;
    write_atomically(path, &text, true)?;
    Ok(keys)
}

/// Writes a file beside its place and renames it into it. `private`: for the owner alone.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8], private: bool) -> Result<(), StateError> {
    let beside = path.with_extension("tmp");
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    if private {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let _ = private;
    options
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|error| io(path, error))
}

pub(crate) fn io(path: &Path, error: std::io::Error) -> StateError {
    StateError::Io { path: path.to_owned(), error }
}

pub(crate) fn damaged(path: &Path, reason: &dyn std::fmt::Display) -> StateError {
    StateError::Damaged { path: path.to_owned(), reason: reason.to_string() }
}

mod hex32 {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(key: &[u8; 32], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&blake3::Hash::from_bytes(*key).to_hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(d)?;
        blake3::Hash::from_hex(text)
            .map(Into::into)
            .map_err(|_| serde::de::Error::custom("not 64 hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(bytes: &mut [u8]) {
        bytes.fill(7);
    }

    #[test]
    fn keys_are_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::create(dir.path(), Purpose::Work, &mut fill).unwrap();
        let again =
            DataDir::create(dir.path(), Purpose::Work, &mut |_| panic!("they exist")).unwrap();
        assert_eq!(first.keys().redaction_key, again.keys().redaction_key);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(dir.path().join("keys.json")).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
        assert!(!format!("{:?}", first.keys()).contains("0707"));
    }

    #[test]
    fn one_writer_and_one_purpose() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = DataDir::create(dir.path(), Purpose::Work, &mut fill).unwrap();
        let mut second = DataDir::create(dir.path(), Purpose::Work, &mut fill).unwrap();
        first.lock().unwrap();
        assert!(matches!(second.lock(), Err(StateError::Locked(_))));
        drop(first);
        second.lock().unwrap();
        let mut third = DataDir::create(dir.path(), Purpose::Work, &mut fill).unwrap();
        third.lock_baselines().unwrap();
        assert!(matches!(second.lock_baselines(), Err(StateError::Importing(_))));
        let demo = DataDir::create(dir.path(), Purpose::Demo, &mut fill);
        assert!(matches!(demo, Err(StateError::Purpose { .. })));
    }
}
