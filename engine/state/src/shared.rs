//! Versions of baselines in a store that machines share: `baselines/<name>/<version>.json`, and the rows
//! in `baselines/<name>/<hash>.arrow`. The data directory keeps copies of the rows that it used, since
//! they are mapped into memory.
//!
//! Rows are named by their content, so that imports at the same time cannot mix theirs up; a version is
//! taken by whoever puts its manifest first.

use std::fs::{self, File};
use std::path::Path;

use arrow::array::RecordBatch;
use deployforge_store::{Place, wait};

use crate::{DataDir, Manifest, StateError, damaged, io, rows};

/// How often a number is looked for that no other import took meanwhile.
const TRIES: u32 = 100;

fn name_of(manifest: &Manifest) -> String {
    format!("{}/{}.json", manifest.name, manifest.version)
}

fn rows_of(manifest: &Manifest) -> String {
    format!("{}/{}.arrow", manifest.name, manifest.hash)
}

fn baselines(store: &Place) -> Place {
    store.below("baselines")
}

impl DataDir {
    /// Puts rows that stand in the file `beside` into the store, as the next version, unless the newest
    /// says the same.
    pub(crate) fn share_baseline(
        &self,
        store: &Place,
        dir: &Path,
        beside: &Path,
        mut manifest: Manifest,
    ) -> Result<(Manifest, bool), StateError> {
        let mut uploaded = false;
        for _ in 0..TRIES {
            let newest = self.shared_versions(store, &manifest.name)?.into_iter().max();
            if let Some(newest) = newest {
                let known = Self::shared_manifest(store, &manifest.name, newest)?;
                if known.says_what(&manifest) {
                    fs::remove_file(beside).map_err(|error| io(beside, error))?;
                    // What an answer was lost to is ours all the same.
                    let ours = uploaded && known.imported_at == manifest.imported_at;
                    return Ok((known, ours));
                }
            }
            if !uploaded {
                let file = File::open(beside).map_err(|error| io(beside, error))?;
                wait(baselines(store).upload(&rows_of(&manifest), &file))?;
                uploaded = true;
            }
            manifest.version = newest.unwrap_or(0) + 1;
            let text = serde_json::to_vec_pretty(&manifest).expect("a manifest is JSON");
            if wait(baselines(store).create(&name_of(&manifest), text))? {
                let place = dir.join(format!("{}.arrow", manifest.hash));
                fs::rename(beside, &place).map_err(|error| io(&place, error))?;
                return Ok((manifest, true));
            }
        }
        Err(StateError::Importing(self.root().to_owned()))
    }

    pub(crate) fn shared_versions(
        &self,
        store: &Place,
        name: &str,
    ) -> Result<Vec<u32>, StateError> {
        // The name is checked where a folder is made of it.
        self.baseline_dir(name)?;
        let found = wait(baselines(store).below(name).list())?;
        let number = |path: &str| path.strip_suffix(".json")?.parse().ok();
        Ok(found.iter().filter_map(|one| number(one.location.filename()?)).collect())
    }

    pub(crate) fn shared_manifest(
        store: &Place,
        name: &str,
        version: u32,
    ) -> Result<Manifest, StateError> {
        let path = format!("{name}/{version}.json");
        let place = baselines(store).below(&path).to_string();
        let text = wait(baselines(store).read(&path))?
            .ok_or_else(|| damaged(Path::new(&place), &"it is gone"))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| damaged(Path::new(&place), &error))?;
        let hex = manifest.hash.len() == 64 && manifest.hash.chars().all(|c| c.is_ascii_hexdigit());
        if !hex || manifest.name != name || manifest.version != version {
            return Err(damaged(Path::new(&place), &"it is not the manifest of this version"));
        }
        Ok(manifest)
    }

    pub(crate) fn shared_baselines(store: &Place) -> Result<Vec<Manifest>, StateError> {
        let names = Self::shared_names(store)?;
        names.iter().map(|(name, version)| Self::shared_manifest(store, name, *version)).collect()
    }

    /// Names and versions, in order.
    pub(crate) fn shared_names(store: &Place) -> Result<Vec<(String, u32)>, StateError> {
        let mut all = Vec::new();
        for one in wait(baselines(store).list())? {
            let parts: Vec<_> = one.location.parts().collect();
            let [.., name, file] = &parts[..] else { continue };
            let version = file.as_ref().strip_suffix(".json").and_then(|v| v.parse().ok());
            all.extend(version.map(|version| (name.as_ref().to_owned(), version)));
        }
        all.sort_unstable();
        Ok(all)
    }

    /// The rows of a version, out of the copy that is here, or one that is made now.
    pub(crate) fn shared_rows(
        &self,
        store: &Place,
        manifest: &Manifest,
    ) -> Result<Vec<RecordBatch>, StateError> {
        let dir = self.baseline_dir(&manifest.name)?;
        fs::create_dir_all(&dir).map_err(|error| io(&dir, error))?;
        let path = dir.join(format!("{}.arrow", manifest.hash));
        if path.exists() {
            let copy = rows::map(&path);
            if let Ok((rows, hash)) = copy
                && hash == manifest.hash
            {
                return Ok(rows);
            }
            // A copy is worth nothing: the store has the rows.
            fs::remove_file(&path).map_err(|error| io(&path, error))?;
        }
        // Several processes may do this at once, each into a file of its own.
        let beside = dir.join(format!("{}-{}.tmp", manifest.hash, std::process::id()));
        let fetched = fetch(store, manifest, &beside);
        if fetched.is_err() {
            // Best effort: what went wrong is what has to be told.
            let _ = fs::remove_file(&beside);
        }
        fetched?;
        fs::rename(&beside, &path).map_err(|error| io(&path, error))?;
        let (rows, hash) = rows::map(&path)?;
        if hash != manifest.hash {
            let place = baselines(store).below(&rows_of(manifest)).to_string();
            let problem = "its content does not match its manifest's hash; import it again";
            return Err(damaged(Path::new(&place), &problem));
        }
        Ok(rows)
    }
}

fn fetch(store: &Place, manifest: &Manifest, beside: &Path) -> Result<(), StateError> {
    let mut options = File::options();
    options.create(true).truncate(true).write(true);
    // States may hold what is not for everybody on the machine.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(beside).map_err(|error| io(beside, error))?;
    Ok(wait(baselines(store).download(&rows_of(manifest), &file))?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use deployforge_model::{BaselineKind, Timestamp};

    use super::*;
    use crate::{Frontier, Purpose, Stamp};

    fn manifest() -> Manifest {
        Manifest {
            name: "b".to_owned(),
            version: 0,
            kind: BaselineKind::Declared,
            mode: None,
            imported_at: Timestamp(7),
            sources: Vec::new(),
            resources: 1,
            rejects: 0,
            incomplete: false,
            secrets: String::new(),
            hash: String::new(),
        }
    }

    fn rows(number: i64) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![number]));
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    /// A data directory of a machine, whose random bytes are all the same.
    fn machine(folder: &tempfile::TempDir, store: &Place, random: u8) -> DataDir {
        let random = &mut |bytes: &mut [u8]| bytes.fill(random);
        DataDir::create_with(folder.path(), Some(store.clone()), Purpose::Work, random).unwrap()
    }

    fn save(dir: &DataDir, number: i64) -> (u32, bool) {
        let rows = rows(number);
        let (manifest, new) =
            dir.save_baseline(manifest(), &rows.schema(), &mut [&rows].into_iter()).unwrap();
        (manifest.version, new)
    }

    #[test]
    fn machines_that_begin_at_once_have_the_same_keys() {
        let shared = tempfile::tempdir().unwrap();
        let store = &Place::folder(shared.path()).unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let begin = |random| {
                let folder = tempfile::tempdir().unwrap();
                scope.spawn(move || machine(&folder, store, random).keys().clone())
            };
            let begun: Vec<_> = (0..8).map(begin).collect();
            begun.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|one| *one == keys[0]));
    }

    #[test]
    fn what_one_machine_makes_another_has() {
        let [shared, a, b, c] = [(); 4].map(|()| tempfile::tempdir().unwrap());
        let store = Place::folder(shared.path()).unwrap();
        assert!(DataDir::open_with(b.path(), Some(store.clone())).unwrap().is_none());
        let (one, other) = (machine(&a, &store, 1), machine(&b, &store, 2));
        assert_eq!(one.keys(), other.keys());
        assert_eq!(
            (save(&one, 5), save(&other, 5), save(&other, 6)),
            ((1, true), (1, false), (2, true))
        );
        let versions = one.baselines().unwrap();
        assert_eq!(versions.iter().map(|one| one.version).collect::<Vec<_>>(), [1, 2]);
        for dir in [&one, &other] {
            assert_eq!(dir.load_baseline("b", Some(1)).unwrap().1, [rows(5)]);
            assert_eq!(dir.load_baseline("b", None).unwrap().1, [rows(6)]);
        }
        // A copy that is damaged is made again.
        for copy in fs::read_dir(b.path().join("shared/baselines/b")).unwrap() {
            fs::write(copy.unwrap().path(), "damaged").unwrap();
        }
        assert_eq!(other.load_baseline("b", None).unwrap().1, [rows(6)]);
        let frontier = Frontier { commit: 3, ..Frontier::default() };
        one.save_frontier(&frontier).unwrap();
        assert_eq!(other.frontier().unwrap(), frontier);
        one.save_stamp(&Stamp::default()).unwrap();
        assert_eq!(other.stamp().unwrap(), Some(Stamp::default()));
        // A data directory of another deployment.
        let random = &mut |bytes: &mut [u8]| bytes.fill(3);
        DataDir::create(c.path(), Purpose::Work, random).unwrap();
        let wrong = DataDir::open_with(c.path(), Some(store));
        assert!(matches!(wrong, Err(StateError::OtherKeys { .. })), "{wrong:?}");
    }

    #[test]
    fn imports_at_once_take_versions_of_their_own() {
        let shared = tempfile::tempdir().unwrap();
        let store = Place::folder(shared.path()).unwrap();
        let importer = |number: i64| {
            let store = store.clone();
            std::thread::spawn(move || {
                let folder = tempfile::tempdir().unwrap();
                let dir = machine(&folder, &store, number as u8);
                (save(&dir, number).0, number)
            })
        };
        let importers: Vec<_> = (1..=8).map(importer).collect();
        let mut taken: Vec<(u32, i64)> =
            importers.into_iter().map(|one| one.join().unwrap()).collect();
        taken.sort_unstable();
        assert_eq!(taken.iter().map(|one| one.0).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
        let folder = tempfile::tempdir().unwrap();
        let dir = machine(&folder, &store, 9);
        for (version, number) in taken {
            assert_eq!(dir.load_baseline("b", Some(version)).unwrap().1, [rows(number)]);
        }
    }
}
