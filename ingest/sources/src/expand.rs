//! From what a user typed to the places that are read.

use std::collections::HashSet;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use deployforge_store::Options;
use globset::{GlobBuilder, GlobMatcher};

use crate::SourceError;
use crate::object::{self, ObjectLocation};

/// More files than this are refused: it is a mistake in the path, or work for several runs.
const FILES: usize = 1_000_000;

/// One place to read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Location {
    /// Standard input.
    Stdin,
    /// A file, or a pipe with a name.
    File(PathBuf),
    /// An object of a store.
    Object(ObjectLocation),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::File(path) => path.display().fmt(f),
            Self::Object(object) => f.write_str(object.name()),
        }
    }
}

/// What `spec` means: `-` is standard input, a file is itself, a folder is every file below it, and
/// anything else is a pattern (`*`, `?`, `[…]`, `{…}`, `**`). With `s3://`, `gs://` or `az://` before it
/// it is an object, a prefix, or a pattern of objects.
///
/// Files come sorted by path. Hidden files and those still being written (`*.tmp`, `*.part` and the
/// like) are left out of folders and patterns, unless a pattern names the dot; named as they are,
/// they are read. A folder reached twice through links is read once.
pub fn expand(spec: &str) -> Result<Vec<Location>, SourceError> {
    expand_with(spec, &Options::new())
}

/// The same, with options for stores.
pub fn expand_with(spec: &str, options: &Options) -> Result<Vec<Location>, SourceError> {
    if deployforge_store::is_url(spec) {
        let objects = object::expand(spec, options, FILES)?;
        return Ok(objects.into_iter().map(Location::Object).collect());
    }
    expand_up_to(spec, FILES)
}

fn expand_up_to(spec: &str, limit: usize) -> Result<Vec<Location>, SourceError> {
    if spec.is_empty() {
        return Err(SourceError::EmptyPath);
    }
    if spec == "-" {
        return Ok(vec![Location::Stdin]);
    }
    let path = match spec.split_once("://") {
        Some(("file", path)) => path,
        Some((scheme, _)) => return Err(unsupported(spec, scheme)),
        None => spec,
    };
    let mut walk = Walk { spec, limit, hidden: false, seen: HashSet::new(), files: Vec::new() };
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            walk.folder(Path::new(path), &mut |_| true)?;
            if walk.files.is_empty() {
                return Err(SourceError::EmptyFolder { path: path.to_owned() });
            }
        }
        Ok(_) => walk.files.push(PathBuf::from(path)),
        Err(_) if path.contains(['*', '?', '[', '{']) => {
            let (folder, matcher, hidden) = pattern(path)?;
            walk.hidden = hidden;
            if folder.is_dir() {
                walk.folder(&folder, &mut |file| matcher.is_match(file))?;
            }
            if walk.files.is_empty() {
                let folder = folder.display().to_string();
                return Err(SourceError::NoMatch { pattern: path.to_owned(), folder });
            }
        }
        Err(error) => return Err(SourceError::from_io(Path::new(path), error)),
    }
    let mut files = walk.files;
    files.sort();
    Ok(files.into_iter().map(Location::File).collect())
}

/// Every readable file below a folder, sorted.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let spec = folder.display().to_string();
    let mut walk =
        Walk { spec: &spec, limit: FILES, hidden: false, seen: HashSet::new(), files: Vec::new() };
    walk.folder(folder, &mut |_| true)?;
    walk.files.sort();
    Ok(walk.files)
}

fn unsupported(spec: &str, scheme: &str) -> SourceError {
    let what = match scheme {
        "http" | "https" => "reading from the web",
        _ => "reading from such a place",
    };
    SourceError::Unsupported { spec: spec.to_owned(), scheme: format!("{what} ({scheme}://)") }
}

/// The folder in which a pattern's search begins, the matcher, and whether it names hidden files.
fn pattern(text: &str) -> Result<(PathBuf, GlobMatcher, bool), SourceError> {
    // The search finds paths without a leading `./` or doubled slashes, so neither may the pattern
    // have them.
    let mut text = text.trim_start_matches("./").to_owned();
    while text.contains("//") {
        text = text.replace("//", "/");
    }
    let text = text.as_str();
    let matcher = GlobBuilder::new(text)
        .literal_separator(true)
        .build()
        .map_err(|error| SourceError::BadPattern {
            pattern: text.to_owned(),
            problem: error.kind().to_string(),
        })?
        .compile_matcher();
    let plain = |component: &Component<'_>| {
        !component.as_os_str().to_string_lossy().contains(['*', '?', '[', '{'])
    };
    let mut components = Path::new(text).components().peekable();
    let mut folder = PathBuf::new();
    while let Some(component) = components.next_if(plain) {
        folder.push(component);
    }
    let hidden =
        components.any(|component| component.as_os_str().to_string_lossy().starts_with('.'));
    let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
    Ok((folder, matcher, hidden))
}

/// A search below a folder.
struct Walk<'a> {
    spec: &'a str,
    limit: usize,
    hidden: bool,
    /// Folders that were entered, by their real path: links can form loops.
    seen: HashSet<PathBuf>,
    files: Vec<PathBuf>,
}

impl Walk<'_> {
    fn folder(
        &mut self,
        root: &Path,
        wanted: &mut dyn FnMut(&Path) -> bool,
    ) -> Result<(), SourceError> {
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let real =
                folder.canonicalize().map_err(|error| SourceError::from_io(&folder, error))?;
            if !self.seen.insert(real) {
                continue;
            }
            let entries =
                std::fs::read_dir(&folder).map_err(|error| SourceError::from_io(&folder, error))?;
            for entry in entries {
                let entry = entry.map_err(|error| SourceError::from_io(&folder, error))?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if (name.starts_with('.') && !self.hidden) || is_unfinished(&name) {
                    continue;
                }
                let path = plain(&folder).join(entry.file_name());
                match std::fs::metadata(&path) {
                    Ok(metadata) if metadata.is_dir() => folders.push(path),
                    // Pipes and sockets in a folder would block for ever.
                    Ok(metadata) if !metadata.is_file() => {}
                    // A link that leads nowhere is listed, so that opening it says so.
                    Ok(_) | Err(_) if wanted(&path) => self.files.push(path),
                    Ok(_) | Err(_) => {}
                }
                if self.files.len() > self.limit || folders.len() > self.limit {
                    let spec = self.spec.to_owned();
                    return Err(SourceError::TooManyFiles { spec, limit: self.limit });
                }
            }
        }
        Ok(())
    }
}

/// The folder as paths below it are written: without `./`.
fn plain(folder: &Path) -> &Path {
    folder.strip_prefix(".").unwrap_or(folder)
}

/// Whether a name says that the file is still being written, or is an editor's copy.
pub(crate) fn is_unfinished(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let endings = [".tmp", ".temp", ".part", ".partial", ".crdownload", ".swp", ".inprogress"];
    endings.iter().any(|ending| lower.ends_with(ending)) || name.ends_with('~')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(locations: &[Location], root: &Path) -> Vec<String> {
        let name = |location: &Location| match location {
            Location::Stdin => "-".to_owned(),
            Location::File(path) => path.strip_prefix(root).unwrap_or(path).display().to_string(),
            Location::Object(object) => object.name().to_owned(),
        };
        locations.iter().map(name).collect()
    }

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in [
            "b.json",
            "a.json",
            "sub/c.ndjson.gz",
            "sub/deep/d.json",
            ".hidden/x.json",
            ".y.json",
            "w.json.tmp",
            "v.part",
            "u.json~",
            "[1].json",
        ] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "{}").unwrap();
        }
        root
    }

    #[test]
    fn folders_are_read_recursively_and_sorted() {
        let root = tree();
        let found = expand(root.path().to_str().unwrap()).unwrap();
        let want = ["[1].json", "a.json", "b.json", "sub/c.ndjson.gz", "sub/deep/d.json"];
        assert_eq!(names(&found, root.path()), want);
        let root = root.path().display();
        assert_eq!(expand(&format!("file://{root}")).unwrap(), found);
        assert_eq!(expand(&format!("{root}/w.json.tmp")).unwrap().len(), 1, "named as it is");
    }

    #[test]
    fn patterns_match_within_folders() {
        let root = tree();
        let at = root.path().display();
        for (pattern, want) in [
            ("*.json", vec!["[1].json", "a.json", "b.json"]),
            ("?.json", vec!["a.json", "b.json"]),
            ("**/*.json", vec!["[1].json", "a.json", "b.json", "sub/deep/d.json"]),
            ("sub/*.{gz,zst}", vec!["sub/c.ndjson.gz"]),
            ("[1].json", vec!["[1].json"]),
            (".y*.json", vec![".y.json"]),
            ("/sub//d*/*.json", vec!["sub/deep/d.json"]),
        ] {
            let found = expand(&format!("{at}/{pattern}")).unwrap();
            assert_eq!(names(&found, root.path()), want, "{pattern}");
        }
        let error = expand(&format!("{at}/*.csv")).unwrap_err();
        assert!(matches!(&error, SourceError::NoMatch { .. }), "{error}");
        assert!(error.to_string().contains("*.csv"), "{error}");
        let error = expand(&format!("{at}/none/*.csv")).unwrap_err();
        assert!(matches!(error, SourceError::NoMatch { .. }));
        let error = expand(&format!("{at}/a[")).unwrap_err();
        assert!(matches!(error, SourceError::BadPattern { .. }), "{error}");
    }

    #[test]
    fn errors_say_what_it_is() {
        assert!(matches!(expand(""), Err(SourceError::EmptyPath)));
        assert_eq!(expand("-").unwrap(), [Location::Stdin]);
        for spec in ["s3a://b/k", "abfss://b/k", "https://x/y"] {
            let error = expand(spec).unwrap_err();
            assert!(matches!(error, SourceError::Unsupported { .. }));
            assert!(error.to_string().contains("copy the files"), "{error}");
        }
        let root = tempfile::tempdir().unwrap();
        let spec = root.path().to_str().unwrap();
        assert!(matches!(expand(spec), Err(SourceError::EmptyFolder { .. })));
        let spec = root.path().join("none");
        assert!(matches!(expand(spec.to_str().unwrap()), Err(SourceError::NotFound { .. })));
    }

    #[test]
    fn there_is_a_limit() {
        let root = tree();
        let error = expand_up_to(root.path().to_str().unwrap(), 2).unwrap_err();
        assert!(matches!(error, SourceError::TooManyFiles { limit: 2, .. }));
    }

    #[cfg(unix)]
    #[test]
    fn links_may_form_loops_and_lead_nowhere() {
        let root = tree();
        std::os::unix::fs::symlink(root.path(), root.path().join("sub/loop")).unwrap();
        std::os::unix::fs::symlink("/no/such/file", root.path().join("z.json")).unwrap();
        let found = expand(root.path().to_str().unwrap()).unwrap();
        let want = ["[1].json", "a.json", "b.json", "sub/c.ndjson.gz", "sub/deep/d.json", "z.json"];
        assert_eq!(names(&found, root.path()), want);
        let error = crate::open(found.last().unwrap()).unwrap_err();
        assert!(matches!(error, SourceError::NotFound { .. }));
    }
}
