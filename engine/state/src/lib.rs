//! What must survive in the data directory besides the history.
//!
//! A [`DataDir`] holds the deployment's keys ([`Keys`], made once, readable by the owner alone), the
//! versions of baselines ([`DataDir::save_baseline`], Arrow IPC beside a small manifest), which files were
//! read to the end ([`Frontier`]), and what verdicts were judged by ([`Stamp`]). One process writes at a
//! time ([`DataDir::lock`]); baselines may be added beside it ([`DataDir::lock_baselines`]). Everything is
//! written beside its place and renamed into it, so that a crash leaves the old or the new, never half.
//!
//! Machines that share a store have all of this there, and the data directory is a cache of it: keys and
//! versions are put where none is, so that of two who do it at once one finds the other's.
//!
//! What is deliberately absent: what is in a baseline, and the history (`deployforge-history`).

mod baselines;
mod fingerprints;
mod frontier;
mod keys;
mod rows;
mod shared;
mod stamp;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

pub use baselines::Manifest;
use deployforge_store::{Place, StoreError, wait};
pub use frontier::Frontier;
pub use keys::{Keys, Purpose};
pub use rows::RowsWriter;
use serde::Serialize;
use serde::de::DeserializeOwned;
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
    /// The store that machines share.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data directory is of another deployment than the store.
    #[error(
        "the keys in {path} are not those of {place}: they belong to another deployment; name another data directory, or another store"
    )]
    OtherKeys {
        /// The local keys.
        path: PathBuf,
        /// The store.
        place: String,
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
    /// What only its keys make sense of is there, and they are not.
    #[error(
        "{0} holds a history or baselines, and no `keys.json`: what was hashed there can be compared with nothing under other keys. Put the file back from a copy, or name another data directory"
    )]
    KeysLost(PathBuf),
    /// The demo's data directory is not for real work, and the other way about.
    #[error("{path} holds {holds}; use another directory with --data-dir, or remove it")]
    Purpose {
        /// The data directory.
        path: PathBuf,
        /// What it holds.
        holds: &'static str,
    },
}

/// A data directory.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    /// What is shared with other machines, and where.
    store: Option<Place>,
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
        Self::create_with(root, None, purpose, random)
    }

    /// The same, with a store that machines share if there is one.
    pub fn create_with(
        root: &Path,
        store: Option<Place>,
        purpose: Purpose,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Self, StateError> {
        fs::create_dir_all(root).map_err(|error| io(root, error))?;
        let keys = match &store {
            Some(store) => keys::of_store(root, store, Some((purpose, random)))?,
            None => None,
        };
        let keys = match keys {
            Some(keys) => keys,
            None => match keys::of_folder(root)? {
                Some(keys) => keys,
                None if holds_work(root) => return Err(StateError::KeysLost(root.to_owned())),
                None => keys::make(root, purpose, random)?,
            },
        };
        if keys.purpose != purpose {
            let holds = match keys.purpose {
                Purpose::Work => "an inventory's history, not a demo's",
                Purpose::Demo => "the demo's data, which the demo may throw away",
            };
            return Err(StateError::Purpose { path: root.to_owned(), holds });
        }
        Ok(Self { root: root.to_owned(), store, keys, locks: Vec::new() })
    }

    /// Opens a data directory for reading, whatever it is for. `None` if there is none.
    pub fn open(root: &Path) -> Result<Option<Self>, StateError> {
        Self::open_with(root, None)
    }

    /// The same, with a store that machines share if there is one: then it is that which has to be there.
    pub fn open_with(root: &Path, store: Option<Place>) -> Result<Option<Self>, StateError> {
        let keys = match &store {
            Some(store) => keys::of_store(root, store, None)?,
            None => keys::of_folder(root)?,
        };
        let root = root.to_owned();
        Ok(keys.map(|keys| Self { root, store, keys, locks: Vec::new() }))
    }

    /// The same directory, for reading beside this one, whatever this one has taken.
    pub fn beside(&self) -> Self {
        let (root, store, keys) = (self.root.clone(), self.store.clone(), self.keys.clone());
        Self { root, store, keys, locks: Vec::new() }
    }

    /// Takes the directory for writing; it is freed when this is dropped or the process ends.
    pub fn lock(&mut self) -> Result<(), StateError> {
        self.take("lock", File::try_lock, StateError::Locked)
    }

    /// Takes the directory for writing beside others that do just this: what they write is kept apart by
    /// the history's ledger.
    pub fn lock_shared(&mut self) -> Result<(), StateError> {
        self.take("lock", File::try_lock_shared, StateError::Locked)
    }

    /// Takes the directory's baselines for writing, beside a process that holds all else.
    pub fn lock_baselines(&mut self) -> Result<(), StateError> {
        self.take("baselines.lock", File::try_lock, StateError::Importing)
    }

    fn take(
        &mut self,
        name: &str,
        lock: fn(&File) -> Result<(), fs::TryLockError>,
        taken: fn(PathBuf) -> StateError,
    ) -> Result<(), StateError> {
        let path = self.root.join(name);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| io(&path, error))?;
        match lock(&file) {
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

    /// The store that machines share, if there is one.
    pub fn store(&self) -> Option<&Place> {
        self.store.as_ref()
    }

    /// Reads one of the small files.
    pub(crate) fn read_json<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, StateError> {
        let path = self.root.join(name);
        let text = match &self.store {
            Some(store) => wait(store.read(name))?,
            None if path.exists() => {
                Some(fs::read(&path).map_err(|error| io(&path, error))?.into())
            }
            None => None,
        };
        let read = |text: bytes::Bytes| serde_json::from_slice(&text);
        text.map(read).transpose().map_err(|error| damaged(&path, &error))
    }

    /// Writes one of the small files.
    pub(crate) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), StateError> {
        let path = self.root.join(name);
        let text = serde_json::to_vec_pretty(value).map_err(|error| damaged(&path, &error))?;
        match &self.store {
            Some(store) => Ok(wait(store.put(name, text))?),
            None => write_atomically(&path, &text, false),
        }
    }

    /// Where the history stands.
    pub fn history(&self) -> Result<Place, StateError> {
        match &self.store {
            Some(store) => Ok(store.below("history")),
            None => Ok(Place::folder(&self.root.join("history"))?),
        }
    }
}

/// Whether something was made in a directory with keys.
fn holds_work(root: &Path) -> bool {
    let filled =
        |name: &str| fs::read_dir(root.join(name)).is_ok_and(|mut all| all.next().is_some());
    filled("history") || filled("baselines")
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

    /// New keys were made without a word, and every secret seemed to have changed.
    #[test]
    fn keys_that_are_lost_are_not_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        DataDir::create(root, Purpose::Work, &mut fill).unwrap();
        let keys = fs::read(root.join("keys.json")).unwrap();
        fs::remove_file(root.join("keys.json")).unwrap();
        DataDir::create(root, Purpose::Work, &mut fill).expect("nothing was made with them");
        for name in ["history", "baselines"] {
            fs::remove_file(root.join("keys.json")).unwrap();
            fs::create_dir_all(root.join(name).join("x")).unwrap();
            let lost = DataDir::create(root, Purpose::Work, &mut |_| panic!("no keys are made"));
            assert!(matches!(lost, Err(StateError::KeysLost(_))));
            fs::write(root.join("keys.json"), &keys).unwrap();
            DataDir::create(root, Purpose::Work, &mut |_| panic!("they are there again")).unwrap();
            fs::remove_dir_all(root.join(name)).unwrap();
        }
    }

    #[test]
    fn one_writer_and_one_purpose() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = DataDir::create(dir.path(), Purpose::Work, &mut fill).unwrap();
        let mut second = DataDir::create(dir.path(), Purpose::Work, &mut fill).unwrap();
        first.lock().unwrap();
        assert!(matches!(second.lock(), Err(StateError::Locked(_))));
        assert!(matches!(second.lock_shared(), Err(StateError::Locked(_))));
        drop(first);
        second.lock_shared().unwrap();
        let mut beside = DataDir::create(dir.path(), Purpose::Work, &mut fill).unwrap();
        beside.lock_shared().unwrap();
        assert!(matches!(beside.lock(), Err(StateError::Locked(_))));
        drop((second, beside));
        let mut second = DataDir::create(dir.path(), Purpose::Work, &mut fill).unwrap();
        second.lock().unwrap();
        let mut third = DataDir::create(dir.path(), Purpose::Work, &mut fill).unwrap();
        third.lock_baselines().unwrap();
        assert!(matches!(second.lock_baselines(), Err(StateError::Importing(_))));
        let demo = DataDir::create(dir.path(), Purpose::Demo, &mut fill);
        assert!(matches!(demo, Err(StateError::Purpose { .. })));
    }
}
