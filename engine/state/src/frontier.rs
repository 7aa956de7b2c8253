//! Which files were read to the end, in a file of its own: the ledger's manifests say it first, and are
//! not kept for ever.

use deployforge_model::FileMarks;
use serde::{Deserialize, Serialize};

use crate::{DataDir, StateError};

/// The name of its file.
const FILE: &str = "frontier.json";

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
        Ok(self.read_json(FILE)?.unwrap_or_default())
    }

    /// Keeps the frontier; called after the commit that it stands for.
    pub fn save_frontier(&self, frontier: &Frontier) -> Result<(), StateError> {
        self.write_json(FILE, frontier)
    }
}
