//! What the verdicts in the history were judged by.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{DataDir, StateError};

/// The name of its file.
const FILE: &str = "stamp.json";

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
        self.read_json(FILE)
    }

    /// Keeps the stamp: with `coming` before anything is judged anew, and without once all of that is
    /// committed.
    pub fn save_stamp(&self, stamp: &Stamp) -> Result<(), StateError> {
        self.write_json(FILE, stamp)
    }
}
