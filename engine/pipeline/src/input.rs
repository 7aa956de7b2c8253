//! What is read: files, objects and streams, and how.

use std::sync::Arc;

use deployforge_formats::{Format, KeyDefaults, ReadOptions, Side, Stack, split_prefix};
use deployforge_model::FileMark;
use deployforge_sources::{Location, SourceError, expand_with};
use deployforge_store::Options;

/// What to read, as a user writes it: `[format:]path`.
#[derive(Clone, Debug, Default)]
pub struct InputSpec {
    /// A path, folder, glob or `-`, with the format before it if it is named.
    pub spec: String,
    /// Key parts that the content lacks.
    pub defaults: KeyDefaults,
}

/// One file or stream to read.
#[derive(Clone, Debug)]
pub struct Input {
    /// Where the bytes are.
    pub location: Location,
    /// The format, if it was named.
    pub format: Option<Format>,
    /// Key parts that the content lacks.
    pub defaults: KeyDefaults,
    /// The source's name in history; rows of rejects name the file.
    pub source: Arc<str>,
    /// The stack whose template it is, if it was named.
    pub stack: Option<Stack>,
}

impl Input {
    /// Expands what a user wrote into files, and objects of stores with their options.
    pub fn expand(
        specs: &[InputSpec],
        source: Option<&str>,
        options: &Options,
    ) -> Result<Vec<Self>, SourceError> {
        let mut inputs = Vec::new();
        for spec in specs {
            let (format, path) = split_prefix(&spec.spec);
            for location in expand_with(path, options)? {
                inputs.push(Self::of(location, format, spec.defaults.clone(), source));
            }
        }
        Ok(inputs)
    }

    /// One place as an input.
    pub fn of(
        location: Location,
        format: Option<Format>,
        defaults: KeyDefaults,
        source: Option<&str>,
    ) -> Self {
        let name = source.map_or_else(|| name_of(&location), str::to_owned);
        Self { location, format, defaults, source: name.into(), stack: None }
    }

    /// How it is read.
    pub(crate) fn options(&self, side: Side) -> ReadOptions {
        ReadOptions {
            format: self.format,
            defaults: self.defaults.clone(),
            side,
            name: self.file().rsplit(['/', '\\']).next().map(str::to_owned),
            stack: self.stack.clone(),
            ..ReadOptions::default()
        }
    }

    /// The size in bytes, where it is known before reading.
    pub fn size(&self) -> Option<u64> {
        match &self.location {
            Location::File(path) => std::fs::metadata(path).ok().map(|meta| meta.len()),
            Location::Object(object) => Some(object.size()),
            Location::Stdin => None,
        }
    }

    /// How the file looks now; an object, how it looked when it was listed.
    pub fn mark(&self) -> Option<FileMark> {
        let path = match &self.location {
            Location::Stdin => return None,
            Location::File(path) => path,
            Location::Object(object) => {
                let modified = object.modified_micros();
                return Some(FileMark { size: object.size(), modified });
            }
        };
        let meta = std::fs::metadata(path).ok()?;
        let since = meta.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(FileMark { size: meta.len(), modified: since.as_micros() as i64 })
    }

    /// The name of the file or stream.
    pub fn file(&self) -> String {
        name_of(&self.location)
    }
}

fn name_of(location: &Location) -> String {
    match location {
        Location::Stdin => "stdin".to_owned(),
        Location::File(path) => path.display().to_string(),
        Location::Object(object) => object.name().to_owned(),
    }
}
