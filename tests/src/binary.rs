//! The binary under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The path of the binary under test: `DEPLOYFORGE_BIN`, else the one that was built beside this
/// test; it is built if it is not there.
pub fn binary() -> &'static Path {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(find);
    &BINARY
}

fn find() -> PathBuf {
    if let Some(path) = std::env::var_os("DEPLOYFORGE_BIN") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "DEPLOYFORGE_BIN names {}, which is no file", path.display());
        return path;
    }
    // The test runs as target/<profile>/deps/scenarios-<hash>: the binary of the same profile is
    // two folders up.
    let this = std::env::current_exe().expect("the test's own path");
    let profile = this.ancestors().nth(2).expect("target/<profile>/deps").to_path_buf();
    let path = profile.join(format!("deployforge{}", std::env::consts::EXE_SUFFIX));
    if !path.is_file() {
        build(&profile);
    }
    assert!(path.is_file(), "cargo built no binary at {}", path.display());
    path
}

fn build(profile: &Path) {
    // The folder of the profile `dev` is called `debug`.
    let name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(crate::root())
        .args(["build", "--locked", "--workspace", "--bins", "--tests", "--profile", name])
        .status()
        .expect("cargo can be started");
    assert!(status.success(), "the binary under test can't be built");
}
