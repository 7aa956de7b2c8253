//! Where things are, and how large and how patient a run is.

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().expect("the workspace is where it was built")
}

/// A folder of the fixtures: recordings and vectors that nobody of this project wrote.
///
/// # Panics
///
/// Without the fixtures, since a test that silently checks nothing is worse than one that fails.
pub fn fixtures(below: &str) -> PathBuf {
    let all = std::env::var_os("DEPLOYFORGE_FIXTURES")
        .map_or_else(|| root().join("../shared/fixtures"), PathBuf::from);
    let folder = all.join(below);
    assert!(
        folder.is_dir(),
        "The fixtures are not at {}; set DEPLOYFORGE_FIXTURES to the folder that holds them.",
        folder.display()
    );
    folder
}

/// Every file below a folder whose name ends in `ending`, sorted; folders named in `without` are
/// left out.
pub fn files_below(folder: &Path, ending: &str, without: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() {
                if !without.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// How many resources the large scenarios use: `DEPLOYFORGE_SCALE`, else what suits every run.
pub fn scale(usual: u64) -> u64 {
    match std::env::var("DEPLOYFORGE_SCALE") {
        Ok(text) => text.parse().expect("DEPLOYFORGE_SCALE is a number of resources"),
        Err(_) => usual,
    }
}

/// How long a command may take before it counts as hung: generous, for busy machines.
pub fn seconds() -> u64 {
    if std::env::var_os("DEPLOYFORGE_SCALE").is_some() { 3600 } else { 240 }
}
