//! The rules of the house that no compiler checks.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use deployforge_tests::{files_below, root};

/// Folders that are no source of ours.
const NOT_OURS: [&str; 5] = ["target", ".git", "book", ".venv", "demo"];

/// Lines of a Rust file at most.
const LINES_MAX: usize = 600;

/// Files that may be longer, each with its reason.
const LONGER: [(&str, &str); 0] = [];

fn sources(ending: &str) -> Vec<(String, String)> {
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root()).expect("it is below").display().to_string();
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        (name, text)
    };
    let found: Vec<_> = files_below(&root(), ending, &NOT_OURS).into_iter().map(read).collect();
    assert!(!found.is_empty(), "no {ending} below {}", root().display());
    found
}

#[test]
fn no_file_is_too_long_to_read() {
    for (name, text) in sources(".rs") {
        let lines = text.lines().count();
        let longer = LONGER.iter().any(|(file, _)| *file == name);
        assert_eq!(lines > LINES_MAX, longer, "{name} has {lines} lines");
    }
}

#[test]
fn every_crate_says_what_it_is() {
    let manifests = sources("Cargo.toml");
    assert!(manifests.len() > 10);
    for (name, text) in &manifests {
        if name == "Cargo.toml" {
            continue;
        }
        assert!(text.contains("[lints]\nworkspace = true"), "{name} has lints of its own");
        assert!(text.contains("\ndescription = "), "{name} has no description");
    }
    for (name, text) in sources(".rs") {
        if name.ends_with("lib.rs") || name.ends_with("main.rs") {
            assert!(text.starts_with("//! "), "{name} does not begin with what it is");
        }
    }
}

#[test]
fn nothing_is_left_for_later_in_the_code() {
    // Put together here, so that this file does not hold them.
    let words = ["FIX|ME", "TO|DO", "XX|X", "to|do!(", "unimple|mented!(", "#[ig|nore", "db|g!("];
    let words: Vec<String> = words.iter().map(|word| word.replace('|', "")).collect();
    for (name, text) in sources(".rs") {
        for word in &words {
            assert!(!text.contains(word.as_str()), "{name} holds {word}");
        }
    }
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let places = ["/wo|rk/", "/ro|ot/", "/ho|me/", "/Us|ers/"].map(|place| place.replace('|', ""));
    for ending in [".rs", ".toml", ".md", ".sh", ".py", ".json", ".yaml", ".yml", ".sql"] {
        for path in files_below(&root(), ending, &NOT_OURS) {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            for place in &places {
                assert!(!text.contains(place.as_str()), "{} holds {place}", path.display());
            }
        }
    }
}

#[test]
fn the_hot_path_is_light() {
    for package in ["model", "canon", "policy", "compare", "formats"] {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let name = format!("deployforge-{package}");
        let output = Command::new(cargo)
            .current_dir(root())
            .args([
                "tree",
                "--offline",
                "--locked",
                "-e",
                "normal",
                "--prefix",
                "none",
                "-p",
                &name,
            ])
            .output()
            .expect("cargo can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let tree = String::from_utf8_lossy(&output.stdout);
        let tree: BTreeSet<&str> =
            tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert!(tree.contains(name.as_str()));
        for heavy in ["datafusion", "deltalake", "tokio", "deltalake-core", "object_store"] {
            assert!(!tree.contains(heavy), "{name} depends on {heavy}");
        }
    }
}

#[test]
fn pure_crates_touch_nothing() {
    // A crate that does no I/O and reads no clock is one in which these words never stand.
    let words =
        ["std::fs", "std::net", "std::env::", "SystemTime::now", "Instant::now", "println!"];
    let pure =
        ["engine/canon/src", "engine/compare/src", "engine/policy/src", "ingest/formats/src"];
    let mut seen = 0;
    for (name, text) in sources(".rs") {
        if pure.iter().any(|folder| name.starts_with(folder)) {
            seen += 1;
            for word in words {
                assert!(!text.contains(word), "{name} holds {word}");
            }
        }
    }
    assert!(seen > 20, "only {seen} files of pure crates");
}
