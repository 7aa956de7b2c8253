//! The keys of a deployment: made once, on one machine or in the store that machines share.

use std::fs;
use std::path::Path;

use deployforge_store::{Place, wait};
use serde::{Deserialize, Serialize};

use crate::{LAYOUT, StateError, damaged, io, write_atomically};

/// The name of their file.
const FILE: &str = "keys.json";

/// The keys of a deployment. Losing them makes redacted values of before and after incomparable;
/// leaking them lets short secrets be guessed from their hashes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    layout: u32,
    /// What the directory is for.
    pub(crate) purpose: Purpose,
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

/// The keys that a folder holds.
pub(crate) fn of_folder(root: &Path) -> Result<Option<Keys>, StateError> {
    let path = root.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read(&path).map_err(|error| io(&path, error))?;
    parse(&text, &path).map(Some)
}

/// New keys in a folder.
pub(crate) fn make(
    root: &Path,
    purpose: Purpose,
    random: &mut dyn FnMut(&mut [u8]),
) -> Result<Keys, StateError> {
    let keys = Keys::new(purpose, random);
    write_atomically(&root.join(FILE), &keys.text(), true)?;
    Ok(keys)
}

/// Fills bytes at random.
type Random<'r> = &'r mut dyn FnMut(&mut [u8]);

/// The keys that a store holds. With `new`, they are put there if there are none: the folder's own, or
/// new ones. The folder keeps a copy, by which it is known to be of this deployment.
pub(crate) fn of_store(
    root: &Path,
    store: &Place,
    new: Option<(Purpose, Random<'_>)>,
) -> Result<Option<Keys>, StateError> {
    let local = of_folder(root)?;
    let path = root.join(FILE);
    let read = || -> Result<Option<Keys>, StateError> {
        let text = wait(store.read(FILE))?;
        text.map(|text| parse(&text, Path::new(&format!("{store}/{FILE}")))).transpose()
    };
    let writes = new.is_some();
    let mut shared = read()?;
    if let (None, Some((purpose, random))) = (&shared, new) {
        let keys = local.clone().unwrap_or_else(|| Keys::new(purpose, random));
        // Whether it was this one that put them or another, what is there now counts.
        wait(store.create(FILE, keys.text()))?;
        shared = read()?;
    }
    let Some(shared) = shared else { return Ok(None) };
    match local {
        Some(local) if local != shared => {
            return Err(StateError::OtherKeys { path, place: store.to_string() });
        }
        None if writes => write_atomically(&path, &shared.text(), true)?,
        _ => {}
    }
    Ok(Some(shared))
}

impl Keys {
    fn new(purpose: Purpose, random: &mut dyn FnMut(&mut [u8])) -> Self {
        let mut seed = [0; 8];
        let mut redaction_key = [0; 32];
        let mut hash_key = [0; 32];
        random(&mut seed);
        random(&mut redaction_key);
        random(&mut hash_key);
        let key_id = blake3::hash(&redaction_key).to_hex()[..8].to_owned();
        let seed = u64::from_le_bytes(seed);
        Self { layout: LAYOUT, purpose, seed, key_id, redaction_key, hash_key }
    }

    fn text(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("keys are JSON")
    }
}

fn parse(text: &[u8], path: &Path) -> Result<Keys, StateError> {
    let keys: Keys = serde_json::from_slice(text).map_err(|error| damaged(path, &error))?;
    if keys.layout == LAYOUT {
        Ok(keys)
    } else {
        let path = path.parent().unwrap_or(path).to_owned();
        Err(StateError::Layout { path, found: keys.layout })
    }
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
