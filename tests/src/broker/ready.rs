//! What a broker needs of the machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The Java that Kafka needs at least.
const JAVA: u32 = 17;

/// The jars, as a class path. `None` where a broker cannot be started: then the test that asks is
/// named on standard error, with what is missing.
pub(super) fn jars() -> Option<&'static Path> {
    static FOUND: LazyLock<Result<PathBuf, String>> = LazyLock::new(find);
    match &*FOUND {
        Ok(jars) => Some(jars),
        Err(missing) => {
            did_not_run(missing);
            None
        }
    }
}

fn did_not_run(missing: &str) {
    let required = std::env::var_os("DEPLOYFORGE_REQUIRE_KAFKA").is_some_and(|value| value == "1");
    assert!(!required, "Kafka is required and cannot be started: {missing}");
    crate::say_not_run(&format!("it needs Kafka, and {missing}"));
}

fn find() -> Result<PathBuf, String> {
    find_java()?;
    let folder = match std::env::var_os("DEPLOYFORGE_KAFKA") {
        Some(folder) => std::path::absolute(folder).map_err(|error| error.to_string())?,
        None => crate::root().join("target/kafka"),
    };
    let lib = folder.join("lib");
    let names = std::fs::read_dir(&lib).into_iter().flatten().flatten();
    let names: Vec<_> = names.map(|entry| entry.file_name()).collect();
    if !names.iter().any(|name| name.to_string_lossy().starts_with("kafka_2.")) {
        return Err(format!(
            "its jars are not in {}. tests/run.sh fetches them, as does\n    \
             mvn -q -B -f tests/kafka/pom.xml -Dkafka.folder={} package",
            lib.display(),
            folder.display()
        ));
    }
    Ok(lib.join("*"))
}

fn find_java() -> Result<(), String> {
    let get = format!(
        "Java {JAVA} or newer is needed (Debian, Ubuntu: the package openjdk-17-jre-headless). \
         tests/run.sh installs it as root"
    );
    let output = Command::new("java")
        .arg("-version")
        .output()
        .map_err(|_| format!("there is no `java`. {get}"))?;
    // It says so on standard error: openjdk version "17.0.15" 2025-04-15
    let said = String::from_utf8_lossy(&output.stderr);
    let version = said.split('"').nth(1).unwrap_or("no version");
    match version.split(['.', '-', '+']).next().unwrap_or_default().parse::<u32>() {
        Ok(major) if major >= JAVA => Ok(()),
        _ => Err(format!("`java -version` says {version}. {get}")),
    }
}
