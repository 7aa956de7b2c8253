//! What the tests share.

use std::path::{Path, PathBuf};

use deployforge_formats::{Format, ReadOptions, ReadSummary, Reader};
use deployforge_model::{Evidence, Observation, Record, Reject, RejectCode};
use serde_json::Value;

/// The folder of vectors and recordings.
pub(crate) fn fixtures(below: &str) -> PathBuf {
    let root = std::env::var_os("DEPLOYFORGE_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
        PathBuf::from,
    );
    let folder = root.join(below);
    assert!(
        folder.is_dir(),
        "The fixtures are not at `{}`; set DEPLOYFORGE_FIXTURES to the folder that holds them.",
        folder.display()
    );
    folder
}

/// Every file below a folder, sorted.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// What an input came to.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) records: Vec<Record>,
    pub(crate) summary: ReadSummary,
}

impl Outcome {
    pub(crate) fn observations(&self) -> Vec<&Observation> {
        let records = self.records.iter();
        records
            .filter_map(|record| match record {
                Record::Observation(observation) => Some(&**observation),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn rejects(&self) -> Vec<&Reject> {
        let records = self.records.iter();
        records
            .filter_map(|record| match record {
                Record::Reject(reject) => Some(reject),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn evidence(&self) -> Vec<&Evidence> {
        let records = self.records.iter();
        records
            .filter_map(|record| match record {
                Record::Evidence(evidence) => Some(&**evidence),
                _ => None,
            })
            .collect()
    }

    /// Asserts that a sentence is among the notes.
    #[track_caller]
    pub(crate) fn notes(&self, sentence: &str) {
        let notes = &self.summary.notes;
        assert!(notes.iter().any(|note| note == sentence), "{sentence} is not in {notes:?}");
    }

    /// The only observation, when there is nothing else.
    pub(crate) fn only(&self) -> &Observation {
        match (self.observations().as_slice(), self.rejects().as_slice()) {
            ([observation], []) => observation,
            _ => panic!("not one observation: {self:#?}"),
        }
    }

    /// The only reject, when there is nothing else.
    pub(crate) fn refused(&self) -> &Reject {
        match (self.observations().as_slice(), self.rejects().as_slice()) {
            ([], [reject]) => reject,
            _ => panic!("not one reject: {self:#?}"),
        }
    }

    pub(crate) fn codes(&self) -> Vec<RejectCode> {
        self.rejects().iter().map(|reject| reject.code).collect()
    }

    pub(crate) fn ids(&self) -> Vec<&str> {
        self.observations().iter().map(|observation| observation.key.id.as_str()).collect()
    }
}

/// Reads an input in chunks of `size`.
pub(crate) fn read_in(options: &ReadOptions, bytes: &[u8], size: usize) -> Outcome {
    let mut reader = Reader::new(options.clone());
    let mut records = Vec::new();
    for chunk in bytes.chunks(size.max(1)) {
        reader.push(chunk, &mut records);
    }
    let summary = reader.finish(&mut records);
    let count = |wanted: fn(&Record) -> bool| records.iter().filter(|r| wanted(r)).count() as u64;
    assert_eq!(summary.observations, count(|r| matches!(r, Record::Observation(_))));
    assert_eq!(summary.rejects, count(|r| matches!(r, Record::Reject(_))));
    assert_eq!(summary.bytes, bytes.len() as u64);
    for record in &records {
        check(record);
    }
    Outcome { records, summary }
}

/// What is true of every record.
fn check(record: &Record) {
    match record {
        Record::Observation(observation) if observation.state.is_empty() => {
            assert_ne!(observation.presence, deployforge_model::Presence::Present);
        }
        Record::Observation(observation) => {
            let state: Value = serde_json::from_slice(&observation.state).expect("JSON");
            assert!(state.is_object());
            assert!(!observation.key.id.is_empty() && !observation.key.resource_type.is_empty());
        }
        Record::Sweep(_) => {}
        Record::Evidence(evidence) => {
            assert!(!evidence.log.is_empty() && !evidence.action.is_empty());
        }
        Record::Reject(reject) => {
            assert_eq!(reject.hash.len(), 64, "{reject:?}");
            assert!(reject.reason.ends_with('.'), "{reject:?}");
            assert!(
                reject.reason.starts_with(|c: char| c.is_uppercase() || c == '`'),
                "{reject:?}"
            );
        }
    }
}

/// Reads an input in one piece, as the defaults have it.
pub(crate) fn read(bytes: impl AsRef<[u8]>) -> Outcome {
    let bytes = bytes.as_ref();
    read_in(&ReadOptions::default(), bytes, bytes.len())
}

/// Reads an input that was given with its format.
pub(crate) fn read_as(format: Format, bytes: impl AsRef<[u8]>) -> Outcome {
    let options = ReadOptions { format: Some(format), ..ReadOptions::default() };
    read_in(&options, bytes.as_ref(), 4096)
}

/// An observation's state, parsed.
pub(crate) fn state(observation: &Observation) -> Value {
    serde_json::from_slice(&observation.state).expect("the state is JSON")
}
