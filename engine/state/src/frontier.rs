//! Which files were read to the end, in a file of its own: the ledger's manifests say it first, and are
//! not kept for ever.

use std::fs;

use deployforge_model::FileMarks;
use serde::{Deserialize, Serialize};

use crate::{DataDir, StateError, damaged, io, write_atomically};

/// Per source, the files read to the end and committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontier {
    /// Source name, then path, then how it looked.
    pub files: FileMarks,
    /// The last commit of the history of which this knows.
    #[serde(default)]
    pub commit: u64,
}

impl Frontier {
    /// Takes note of the files that a commit says were read to the end.
    pub fn note(&mut self, commit: u64, read: &FileMarks) {
        for (source, marks) in read {
            let files = self.files.entry(source.clone()).or_default();
            files.extend(marks.iter().map(|(file, mark)| (file.clone(), mark.clone())));
        }
        self.commit = self.commit.max(commit);
    }
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
