//! Files that inputs name: the templates of a cloud assembly's manifest.
//!
//! A file that is named is read once, as what names it says, also if the listing of the folder holds it
//! too. So manifests are read before the files beside them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use deployforge_formats::{ReadOptions, Reference, Side};
use deployforge_model::{Reject, RejectCode, SourcePosition};
use deployforge_sources::Location;

use crate::{Input, LIMITS};

/// What a cloud assembly's manifest is always called.
const MANIFEST: &str = "manifest.json";

/// Inputs that wait to be read.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: VecDeque<Turn>,
    /// What was named already: real paths, and how each is to be read.
    named: HashMap<PathBuf, Vec<Reference>>,
    /// Listed files that were read before anything named them.
    read: HashSet<PathBuf>,
    files: usize,
}

/// An input whose turn it is.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) input: Input,
    /// How many inputs name one another on the way to it.
    depth: usize,
}

/// Whether an input is called like the manifest of a cloud assembly.
pub fn is_manifest(input: &Input) -> bool {
    matches!(&input.location, Location::File(path) if is_manifest_path(path))
}

fn is_manifest_path(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == MANIFEST)
}

impl Queue {
    /// All inputs, manifests first and outer ones before nested ones; otherwise in their order.
    pub(crate) fn new(inputs: Vec<Input>) -> Self {
        let mut inputs = inputs;
        inputs.sort_by_key(|input| match &input.location {
            Location::File(path) if is_manifest(input) => (0, path.components().count()),
            _ => (1, 0),
        });
        let waiting = inputs.into_iter().map(|input| Turn { input, depth: 0 }).collect();
        Self { waiting, named: HashMap::new(), read: HashSet::new(), files: 0 }
    }

    /// The next input that is to be read.
    pub(crate) fn next(&mut self) -> Option<Turn> {
        while let Some(turn) = self.waiting.pop_front() {
            if let Location::File(path) = &turn.input.location
                && turn.depth == 0
                && (is_manifest(&turn.input) || !self.named.is_empty())
                && let Ok(real) = path.canonicalize()
            {
                if self.named.contains_key(&real) {
                    continue;
                }
                self.read.insert(real);
            }
            return Some(turn);
        }
        None
    }

    /// Puts what `turn` names before everything that waits. What cannot be opened is refused.
    pub(crate) fn add(&mut self, turn: &Turn, references: Vec<Reference>) -> Vec<Reject> {
        let base = turn.input.options(Side::default());
        let mut rejects = Vec::new();
        let mut added = Vec::new();
        for reference in references {
            match self.place(turn, &reference) {
                Ok(Some(path)) => added.push(Turn {
                    input: named(&turn.input, path, reference.options(&base)),
                    depth: turn.depth + 1,
                }),
                Ok(None) => {}
                Err((code, why)) => rejects.push(refused(&reference, code, why)),
            }
        }
        added.into_iter().rev().for_each(|turn| self.waiting.push_front(turn));
        rejects
    }

    /// Where a file is; nothing, if it was read as it is named here.
    fn place(
        &mut self,
        turn: &Turn,
        reference: &Reference,
    ) -> Result<Option<PathBuf>, (RejectCode, &'static str)> {
        let Location::File(manifest) = &turn.input.location else {
            return Err((RejectCode::Unsupported, ELSEWHERE));
        };
        if turn.depth >= LIMITS.nested_files {
            return Err((RejectCode::TooDeep, TOO_DEEP));
        }
        let missing = |_| (RejectCode::Unreadable, MISSING);
        let folder = manifest.parent().unwrap_or(Path::new(""));
        let path = folder.join(&reference.file);
        let real = path.canonicalize().map_err(missing)?;
        let root = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if !real.starts_with(root.canonicalize().map_err(missing)?) {
            return Err((RejectCode::BadField, OUTSIDE));
        }
        if !real.is_file() {
            return Err((RejectCode::Unreadable, MISSING));
        }
        if self.read.contains(&real) && is_manifest_path(&path) {
            return Ok(None);
        }
        let known = self.named.entry(real).or_default();
        if known.contains(reference) {
            return Ok(None);
        }
        if self.files >= LIMITS.named_files {
            return Err((RejectCode::TooLarge, TOO_MANY));
        }
        self.files += 1;
        known.push(reference.clone());
        Ok(Some(path))
    }
}

const ELSEWHERE: &str = "named files are opened only where the manifest is a file of this machine; copy its folder here and name that";
const TOO_DEEP: &str =
    "the assemblies nest deeper than the limit; name the inner manifest as an input of its own";
const MISSING: &str =
    "it is not there or may not be read; synthesise the assembly again, or give all of its folder";
const OUTSIDE: &str =
    "it leads out of the manifest's folder, so it is not opened; copy it into that folder";
const TOO_MANY: &str = "more files are named than the limit; read the assemblies in several runs";

/// Refuses what a record within lines or a message names: such a record has no folder.
pub(crate) fn refuse(references: &[Reference]) -> Vec<Reject> {
    let refuse = |reference| refused(reference, RejectCode::Unsupported, ELSEWHERE);
    references.iter().map(refuse).collect()
}

fn refused(reference: &Reference, code: RejectCode, why: &str) -> Reject {
    let file: String = reference.file.chars().filter(|c| !c.is_control()).take(200).collect();
    Reject {
        position: SourcePosition::default(),
        code,
        reason: format!("The manifest names `{file}`: {why}."),
        // Of the name: what is missing has no bytes.
        hash: blake3::hash(reference.file.as_bytes()).to_hex().to_string(),
        size: 0,
    }
}

/// A file as an input, under the source of what names it.
fn named(by: &Input, path: PathBuf, options: ReadOptions) -> Input {
    let ReadOptions { format, defaults, stack, .. } = options;
    let own = *by.source == *by.file();
    let source = (!own).then(|| by.source.to_string());
    let input = Input::of(Location::File(path), format, defaults, source.as_deref());
    Input { stack, ..input }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deployforge_formats::{Format, KeyDefaults, Stack};
    use std::fs;

    fn reference(file: &str, stack: &str) -> Reference {
        Reference {
            file: file.to_owned(),
            format: Format::CloudFormation,
            defaults: KeyDefaults { account: Some("1".to_owned()), ..KeyDefaults::default() },
            stack: Some(Stack { name: stack.to_owned(), ..Stack::default() }),
        }
    }

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "{}").unwrap();
        }
        root
    }

    fn inputs(root: &Path, files: &[&str]) -> Queue {
        let input = |file: &&str| {
            Input::of(Location::File(root.join(file)), None, KeyDefaults::default(), None)
        };
        Queue::new(files.iter().map(input).collect())
    }

    fn rest(queue: &mut Queue, root: &Path) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(turn) = queue.next() {
            let Location::File(path) = &turn.input.location else { panic!("a file") };
            let stack = turn.input.stack.map_or(String::new(), |stack| format!("={}", stack.name));
            names.push(format!("{}{stack}", path.strip_prefix(root).unwrap().display()));
        }
        names
    }

    #[test]
    fn what_a_manifest_names_is_read_once_and_as_it_says() {
        let files = ["A.json", "b.json", "in/manifest.json", "in/x.json", "manifest.json"];
        let root = folder(&files);
        let mut queue = inputs(root.path(), &files);
        let turn = queue.next().unwrap();
        assert!(turn.input.file().ends_with("manifest.json") && !turn.input.file().contains("in/"));
        let rejects = queue.add(&turn, vec![reference("b.json", "s"), reference("A.json", "t")]);
        assert!(rejects.is_empty());
        assert!(queue.add(&turn, vec![reference("b.json", "s")]).is_empty());
        let turn = queue.next().unwrap();
        assert_eq!(turn.input.stack.as_ref().unwrap().name, "s");
        assert_eq!(turn.input.defaults.account.as_deref(), Some("1"));
        assert_eq!(rest(&mut queue, root.path()), ["A.json=t", "in/manifest.json", "in/x.json"]);
    }

    #[cfg(unix)]
    #[test]
    fn nothing_outside_of_the_folder_is_opened() {
        let root = folder(&["cdk/manifest.json", "secret.json", "cdk/dir/x"]);
        let secret = root.path().join("secret.json");
        std::os::unix::fs::symlink(secret, root.path().join("cdk/link.json")).unwrap();
        let mut queue = inputs(root.path(), &["cdk/manifest.json"]);
        let turn = queue.next().unwrap();
        for (file, code, says) in [
            ("link.json", RejectCode::BadField, "out of the manifest's folder"),
            ("../secret.json", RejectCode::BadField, "out of the manifest's folder"),
            ("none.json", RejectCode::Unreadable, "not there"),
            ("dir", RejectCode::Unreadable, "not there"),
        ] {
            let rejects = queue.add(&turn, vec![reference(file, "s")]);
            assert_eq!(rejects[0].code, code, "{file}");
            assert!(rejects[0].reason.contains(says), "{}", rejects[0].reason);
        }
        assert!(queue.next().is_none());
        let deep = Turn { depth: LIMITS.nested_files, ..turn };
        let rejects = queue.add(&deep, vec![reference("dir/x", "s")]);
        assert_eq!(rejects[0].code, RejectCode::TooDeep);
        assert_eq!(refuse(&[reference("a", "s")])[0].code, RejectCode::Unsupported);
    }
}
