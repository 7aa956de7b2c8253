//! Fingerprints of the texts from which the rows of a baseline were made: a file beside the rows.
//!
//! An inventory is often streamed by what wrote the snapshot that became the baseline. What comes in the
//! same words is then known to be in sync without being read, from the first observation on. The file is
//! a hint: where it is missing, damaged or of other rules, everything is read once.

use deployforge_store::wait;

use crate::{DataDir, Manifest, StateError, write_atomically};

/// Bytes of the hash that says of what rows, rules and keys the fingerprints are, and of the one of the
/// content.
const HASH: usize = 32;

impl DataDir {
    /// Keeps the fingerprints of a version, a row each, 0 where there is none. `rules` is whatever decides,
    /// besides the text itself, what rows are made of it.
    pub fn save_fingerprints(
        &self,
        manifest: &Manifest,
        rules: &str,
        fingerprints: &[u64],
    ) -> Result<(), StateError> {
        let mut bytes = self.of_what(manifest, rules).to_vec();
        bytes.extend(fingerprints.iter().flat_map(|one| one.to_le_bytes()));
        let sum = blake3::hash(&bytes);
        bytes.extend_from_slice(sum.as_bytes());
        if let Some(store) = self.store() {
            let name = format!("{}/{}.raw", manifest.name, manifest.hash);
            return Ok(wait(store.below("baselines").put(&name, bytes))?);
        }
        let name = format!("{}.raw", manifest.version);
        write_atomically(&self.baseline_dir(&manifest.name)?.join(name), &bytes, true)
    }

    /// The fingerprints of a version, a row each; none, if they are not known.
    pub fn fingerprints(&self, manifest: &Manifest, rules: &str) -> Vec<u64> {
        let read = || -> Option<Vec<u8>> {
            if let Some(store) = self.store() {
                let name = format!("{}/{}.raw", manifest.name, manifest.hash);
                let bytes = wait(store.below("baselines").read(&name)).ok()??;
                return Some(bytes.to_vec());
            }
            let folder = self.baseline_dir(&manifest.name).ok()?;
            std::fs::read(folder.join(format!("{}.raw", manifest.version))).ok()
        };
        let known = read().and_then(|bytes| {
            let (content, sum) = bytes.split_last_chunk::<HASH>()?;
            let (of_what, fingerprints) = content.split_first_chunk::<HASH>()?;
            let (words, rest) = fingerprints.as_chunks();
            let holds = blake3::hash(content) == *sum
                && *of_what == self.of_what(manifest, rules)
                && (words.len() as u64, rest.len()) == (manifest.resources, 0);
            holds.then(|| words.iter().map(|word| u64::from_le_bytes(*word)).collect())
        });
        known.unwrap_or_default()
    }

    fn of_what(&self, manifest: &Manifest, rules: &str) -> [u8; HASH] {
        let keys = self.keys();
        let text = format!("{} {} {} {rules}", manifest.hash, keys.seed, keys.key_id);
        *blake3::hash(text.as_bytes()).as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use deployforge_model::{BaselineKind, Timestamp};
    use deployforge_store::Place;

    use super::*;
    use crate::Purpose;

    fn saved(dir: &DataDir, rows: &[i64]) -> Manifest {
        let column: ArrayRef = Arc::new(Int64Array::from(rows.to_vec()));
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let manifest = Manifest {
            name: "b".to_owned(),
            version: 0,
            kind: BaselineKind::Recorded,
            mode: None,
            imported_at: Timestamp(1),
            sources: Vec::new(),
            resources: rows.len() as u64,
            rejects: 0,
            incomplete: false,
            secrets: String::new(),
            hash: String::new(),
        };
        dir.save_baseline(manifest, &batch.schema(), &mut [&batch].into_iter()).unwrap().0
    }

    #[test]
    fn fingerprints_come_back_to_those_who_would_make_the_same_rows() {
        let (folder, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Place::folder(shared.path()).unwrap();
        for store in [None, Some(store)] {
            let root = folder.path().join(if store.is_some() { "a" } else { "b" });
            let random = &mut |bytes: &mut [u8]| bytes.fill(3);
            let dir = DataDir::create_with(&root, store.clone(), Purpose::Work, random).unwrap();
            let one = saved(&dir, &[1, 2, 3]);
            assert!(dir.fingerprints(&one, "r").is_empty(), "none are kept yet");
            dir.save_fingerprints(&one, "r", &[7, 0, u64::MAX]).unwrap();
            assert_eq!(dir.fingerprints(&one, "r"), [7, 0, u64::MAX]);
            assert!(dir.fingerprints(&one, "other rules").is_empty());
            let two = saved(&dir, &[4, 5, 6]);
            assert!(dir.fingerprints(&two, "r").is_empty(), "they are another version's");
            let place = match &store {
                Some(_) => shared.path().join(format!("baselines/b/{}.raw", one.hash)),
                None => root.join("baselines/b/1.raw"),
            };
            let whole = std::fs::read(&place).unwrap();
            for at in [0, HASH + 3, whole.len() - 1] {
                let mut damaged = whole.clone();
                damaged[at] ^= 1;
                std::fs::write(&place, damaged).unwrap();
                assert!(dir.fingerprints(&one, "r").is_empty(), "damaged at {at}");
            }
            std::fs::write(&place, &whole[..whole.len() - 8]).unwrap();
            assert!(dir.fingerprints(&one, "r").is_empty(), "cut short");
        }
    }
}
