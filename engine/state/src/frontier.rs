//! Which files were read to the end.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use crate::{DataDir, StateError, damaged, io, write_atomically};

/// How a file looked when it was read to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMark {
    /// Its size in bytes.
    pub size: u64,
    /// Its time of last modification, microseconds since 1970.
    pub modified: i64,
}

/// Per source, the files read to the end and committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontier {
    /// Source name, then path, then how it looked.
    pub files: BTreeMap<String, BTreeMap<String, FileMark>>,
}

impl DataDir {
    /// The frontier as last kept; empty at first.
    pub fn frontier(&self) -> Result<Frontier, StateError> {
        let path = self.root().join("frontier.json");
        if !path.exists() {
            return Ok(Frontier::default());
        }
        let text = fs::read(&path).map_err(|error| io(&path, error))?;
        serde_json::from_slice(&text).map_err(|error| damaged(&path, &error))
    }

    /// Keeps the frontier; called after the commit that it stands for.
    pub fn save_frontier(&self, frontier: &Frontier) -> Result<(), StateError> {
        let path = self.root().join("frontier.json");
        let text = serde_json::to_vec_pretty(frontier).map_err(|error| damaged(&path, &error))?;
        write_atomically(&path, &text, false)
    }
}
