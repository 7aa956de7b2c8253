//! Which files of a folder are new, by asking again and again.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::SourceError;
use crate::expand::files_below;

/// Tells which files below a folder are new or changed since they were last told.
///
/// A file is told once it can be taken for complete: its size and time are what they were at the
/// poll before, or its time is further back than the settling time. A file that changes afterwards
/// is told again. Whoever polls does the sleeping and says what time it is.
///
/// Hidden and temporary names are left out, so a writer that renames its file when it is done is
/// always safe.
#[derive(Debug)]
pub struct FolderWatch {
    folder: PathBuf,
    settle: Duration,
    known: HashMap<PathBuf, Known>,
}

/// A file's size and time of change.
type Stamp = (u64, SystemTime);

/// What is known of a file.
#[derive(Clone, Copy, Debug)]
struct Known {
    seen: Stamp,
    told: Option<Stamp>,
}

impl FolderWatch {
    /// A watch over `folder`; files whose time is further back than `settle` are complete at once.
    pub fn new(folder: impl Into<PathBuf>, settle: Duration) -> Self {
        Self { folder: folder.into(), settle, known: HashMap::new() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Files that are new or changed, the oldest first, and by name where the times are the same.
    pub fn poll(&mut self, now: SystemTime) -> Result<Vec<PathBuf>, SourceError> {
        if !self.folder.is_dir() {
            fs::metadata(&self.folder)
                .map_err(|error| SourceError::from_io(&self.folder, error))?;
            let source = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(SourceError::from_io(&self.folder, source));
        }
        let mut known = HashMap::with_capacity(self.known.len());
        let mut ready = Vec::new();
        for path in files_below(&self.folder)? {
            // A file that went away between the listing and this is none.
            let Some(stamp) = stamp(&path) else { continue };
            let before = self.known.get(&path).copied();
            let is_stable = before.is_some_and(|before| before.seen == stamp);
            let is_settled = now.duration_since(stamp.1).is_ok_and(|age| age >= self.settle);
            let mut told = before.and_then(|before| before.told);
            if told != Some(stamp) && (is_stable || is_settled) {
                told = Some(stamp);
                ready.push((stamp.1, path.clone()));
            }
            known.insert(path, Known { seen: stamp, told });
        }
        self.known = known;
        ready.sort();
        Ok(ready.into_iter().map(|(_, path)| path).collect())
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    const SETTLE: Duration = Duration::from_mins(1);

    fn write(path: &Path, text: &str, time: SystemTime) {
        fs::write(path, text).unwrap();
        File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn tells_files_once_they_rest() {
        let root = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let ago = |secs| now - Duration::from_secs(secs);
        let (old, older, fresh) =
            (root.path().join("a"), root.path().join("b"), root.path().join("c"));
        write(&old, "1", ago(100));
        write(&older, "1", ago(200));
        write(&fresh, "1", ago(1));
        write(&root.path().join("d.tmp"), "1", ago(500));
        let mut watch = FolderWatch::new(root.path(), SETTLE);
        assert_eq!(watch.poll(now).unwrap(), [older.clone(), old.clone()], "by time, not by name");
        write(&fresh, "12", now);
        assert!(watch.poll(now).unwrap().is_empty(), "still growing");
        assert_eq!(watch.poll(now).unwrap(), std::slice::from_ref(&fresh), "the same twice");
        assert!(watch.poll(now).unwrap().is_empty(), "told once");
        write(&old, "2", ago(90));
        assert_eq!(watch.poll(now).unwrap(), std::slice::from_ref(&old), "changed and settled");
        fs::remove_file(&old).unwrap();
        assert!(watch.poll(now).unwrap().is_empty());
        write(&old, "2", ago(90));
        assert_eq!(watch.poll(now).unwrap(), [old], "gone and back is new");
    }

    #[test]
    fn times_ahead_of_the_clock_only_need_to_rest() {
        let root = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let path = root.path().join("a");
        write(&path, "1", now + Duration::from_hours(1));
        let mut watch = FolderWatch::new(root.path(), SETTLE);
        assert!(watch.poll(now).unwrap().is_empty());
        assert_eq!(watch.poll(now).unwrap(), [path]);
    }

    #[test]
    fn the_folder_must_be_there() {
        let root = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH;
        let error = FolderWatch::new(root.path().join("none"), SETTLE).poll(now).unwrap_err();
        assert!(matches!(error, SourceError::NotFound { .. }));
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let error = FolderWatch::new(file, SETTLE).poll(now).unwrap_err();
        assert!(matches!(error, SourceError::Io { .. }), "{error}");
    }
}
