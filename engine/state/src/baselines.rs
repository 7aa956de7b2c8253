//! Versions of baselines: `baselines/<name>/<version>.arrow` and `.json` beside it. Where machines share a
//! store, see `shared`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use deployforge_model::{BaselineInfo, BaselineKind, Mode, Timestamp};
use serde::{Deserialize, Serialize};

use crate::rows::{self, RowsWriter};
use crate::{DataDir, StateError, damaged, io, write_atomically};

/// What is known of one version of a baseline without reading it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The baseline's name.
    pub name: String,
    /// Its version, counted from 1.
    pub version: u32,
    /// Its kind.
    pub kind: BaselineKind,
    /// What counts, if not the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// When it was imported.
    pub imported_at: Timestamp,
    /// From where.
    pub sources: Vec<String>,
    /// How many resources it declares.
    pub resources: u64,
    /// How many records of its sources were refused.
    pub rejects: u64,
    /// Whether records were refused whose resource is unknown: then nothing is unmanaged for sure.
    #[serde(default)]
    pub incomplete: bool,
    /// What the user's rules about secrets came to when it was imported; empty: there were none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub secrets: String,
    /// BLAKE3 of its Arrow file, in hex: equal content has equal hashes.
    pub hash: String,
}

impl Manifest {
    /// The part of it that the comparator needs.
    pub fn info(&self) -> BaselineInfo {
        BaselineInfo {
            name: self.name.clone(),
            version: self.version,
            kind: self.kind,
            mode: self.mode,
            incomplete: self.incomplete,
        }
    }

    /// Whether another one declares the same.
    pub(crate) fn says_what(&self, other: &Self) -> bool {
        self.hash == other.hash
            && self.kind == other.kind
            && self.mode == other.mode
            && self.incomplete == other.incomplete
            && self.secrets == other.secrets
    }
}

impl DataDir {
    /// The folder of a baseline: where it is kept, or where copies of what the store keeps are.
    pub(crate) fn baseline_dir(&self, name: &str) -> Result<PathBuf, StateError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(fits) {
            return Err(StateError::Name(name.to_owned()));
        }
        let shared = if self.store().is_some() { "shared/baselines" } else { "baselines" };
        Ok(self.root().join(shared).join(name))
    }

    /// Keeps rows as the next version of a baseline. If they equal the newest version's, that one
    /// is returned and nothing is written.
    pub fn save_baseline(
        &self,
        mut manifest: Manifest,
        schema: &SchemaRef,
        rows: &mut dyn Iterator<Item = &RecordBatch>,
    ) -> Result<(Manifest, bool), StateError> {
        let dir = self.baseline_dir(&manifest.name)?;
        fs::create_dir_all(&dir).map_err(|error| io(&dir, error))?;
        // Written beside its place: what it is called depends on what is there already.
        let beside = dir.join("next.tmp");
        manifest.hash = match write_rows(&beside, schema, rows) {
            Ok(hash) => hash,
            Err(error) => {
                // Best effort: what went wrong is what has to be told.
                let _ = fs::remove_file(&beside);
                return Err(error);
            }
        };
        if let Some(store) = self.store() {
            return self.share_baseline(store, &dir, &beside, manifest);
        }
        let newest = self.versions(&manifest.name)?.into_iter().max();
        if let Some(newest) = newest {
            let known = self.manifest(&manifest.name, newest)?;
            if known.says_what(&manifest) {
                fs::remove_file(&beside).map_err(|error| io(&beside, error))?;
                return Ok((known, false));
            }
        }
        manifest.version = newest.unwrap_or(0) + 1;
        // The rows first: a version exists once its manifest does.
        let place = dir.join(format!("{}.arrow", manifest.version));
        fs::rename(&beside, &place).map_err(|error| io(&place, error))?;
        let path = dir.join(format!("{}.json", manifest.version));
        let text = serde_json::to_vec_pretty(&manifest).map_err(|error| damaged(&path, &error))?;
        write_atomically(&path, &text, false)?;
        Ok((manifest, true))
    }

    fn versions(&self, name: &str) -> Result<Vec<u32>, StateError> {
        if let Some(store) = self.store() {
            return self.shared_versions(store, name);
        }
        let dir = self.baseline_dir(name)?;
        let Ok(entries) = fs::read_dir(&dir) else { return Ok(Vec::new()) };
        Ok(entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok())
            .collect())
    }

    fn manifest(&self, name: &str, version: u32) -> Result<Manifest, StateError> {
        if let Some(store) = self.store() {
            return Self::shared_manifest(store, name, version);
        }
        let path = self.baseline_dir(name)?.join(format!("{version}.json"));
        let text = fs::read(&path).map_err(|error| io(&path, error))?;
        serde_json::from_slice(&text).map_err(|error| damaged(&path, &error))
    }

    /// Every version of every baseline, by name and version.
    pub fn baselines(&self) -> Result<Vec<Manifest>, StateError> {
        if let Some(store) = self.store() {
            return Self::shared_baselines(store);
        }
        let root = self.root().join("baselines");
        let Ok(entries) = fs::read_dir(&root) else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for entry in entries.flatten() {
            if let Some(name) = entry.file_name().to_str() {
                for version in self.versions(name)? {
                    all.push(self.manifest(name, version)?);
                }
            }
        }
        all.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
        Ok(all)
    }

    /// The newest version of every baseline, by name.
    pub fn newest_baselines(&self) -> Result<BTreeMap<String, u32>, StateError> {
        if let Some(store) = self.store() {
            return Ok(Self::shared_names(store)?.into_iter().collect());
        }
        // By name and version, so that the newest stays.
        Ok(self
            .baselines()?
            .into_iter()
            .map(|manifest| (manifest.name, manifest.version))
            .collect())
    }

    /// One version of a baseline, by default the newest, with its rows, which
    /// stay in the file.
    pub fn load_baseline(
        &self,
        name: &str,
        version: Option<u32>,
    ) -> Result<(Manifest, Vec<RecordBatch>), StateError> {
        let versions = self.versions(name)?;
        let found = match version {
            Some(version) => versions.contains(&version).then_some(version),
            None => versions.into_iter().max(),
        };
        let Some(found) = found else {
            let mut known: Vec<String> = self.baselines()?.into_iter().map(|m| m.name).collect();
            known.dedup();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(StateError::NoBaseline { name: name.to_owned(), version, known });
        };
        let manifest = self.manifest(name, found)?;
        if let Some(store) = self.store() {
            let rows = self.shared_rows(store, &manifest)?;
            return Ok((manifest, rows));
        }
        let path = self.baseline_dir(name)?.join(format!("{found}.arrow"));
        let (rows, hash) = rows::map(&path)?;
        if hash != manifest.hash {
            return Err(damaged(&path, &"its content does not match its manifest's hash"));
        }
        Ok((manifest, rows))
    }
}

/// Writes rows into a new file; the hash of its content.
fn write_rows(
    path: &Path,
    schema: &SchemaRef,
    rows: &mut dyn Iterator<Item = &RecordBatch>,
) -> Result<String, StateError> {
    let mut writer = RowsWriter::create(path, schema)?;
    for batch in rows {
        writer.write(batch)?;
    }
    Ok(writer.finish()?.1)
}
