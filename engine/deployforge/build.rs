//! Bundles the demo dataset into the binary: its list of files, as a constant.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("set by cargo"))
        .join("../../datasets/demo");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut code = String::from("pub(super) const FILES: &[(&str, &[u8])] = &[\n");
    for folder in ["baseline", "stream"] {
        let mut files: Vec<PathBuf> = fs::read_dir(root.join(folder))
            .expect("the demo dataset is part of the repository")
            .map(|entry| entry.expect("readable").path())
            .collect();
        files.sort();
        for path in files {
            println!("cargo:rerun-if-changed={}", path.display());
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            let path = path.canonicalize().expect("it exists");
            let path = path.display().to_string();
            writeln!(code, "    ({:?}, include_bytes!({path:?})),", format!("{folder}/{name}"))
                .expect("a string");
        }
    }
    code.push_str("];\n");
    let out = PathBuf::from(env::var("OUT_DIR").expect("set by cargo")).join("demo_files.rs");
    fs::write(out, code).expect("the build directory can be written");
}
