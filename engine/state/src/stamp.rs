//! What the verdicts in the history were judged by.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use crate::{DataDir, StateError, damaged, io, write_atomically};

/// What decides about verdicts besides observations. While it is the same, verdicts stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Versions of the loaded baselines, by name.
    pub baselines: BTreeMap<String, u32>,
    /// A hash of the rules and of the version of the code that makes states canonical.
    pub rules: String,
    /// What verdicts are being judged by just now: some of them may be already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coming: Option<Box<Stamp>>,
}

impl DataDir {
    /// The stamp as last kept; `None` before the first.
    pub fn stamp(&self) -> Result<Option<Stamp>, StateError> {
        let path = self.root().join("stamp.json");
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read(&path).map_err(|error| io(&path, error))?;
        serde_json::from_slice(&text).map(Some).map_err(|error| damaged(&path, &error))
    }

    /// Keeps the stamp: with `coming` before anything is judged anew, and without once all of that is
    /// committed.
    pub fn save_stamp(&self, stamp: &Stamp) -> Result<(), StateError> {
        let path = self.root().join("stamp.json");
        let text = serde_json::to_vec_pretty(stamp).map_err(|error| damaged(&path, &error))?;
        write_atomically(&path, &text, false)
    }
}
