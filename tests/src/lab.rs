//! A folder in which commands run.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Bucket, Outcome, binary, leaks, leaks_below, seconds};

/// A temporary folder in which `deployforge` runs, with its data directory `data`.
#[derive(Debug)]
pub struct Lab {
    folder: TempDir,
    variables: Vec<(String, String)>,
    /// Where else its commands keep what they know.
    kept: Vec<PathBuf>,
}

/// Whatever a test is about: what its commands kept holds none of the secrets that were planted.
impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for folder in self.kept.iter().chain([&self.path("data")]) {
            let found = leaks_below(folder);
            assert!(found.is_empty(), "planted secrets were kept: {found:?}");
        }
    }
}

impl Default for Lab {
    fn default() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder, variables: Vec::new(), kept: Vec::new() }
    }
}

impl Lab {
    /// A new, empty folder.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new folder, of another machine as it were, whose commands share a place of a bucket.
    pub fn sharing(bucket: &Bucket, place: &str) -> Self {
        let mut lab = Self::with_access(bucket);
        lab.set("DEPLOYFORGE_STORE", place);
        lab.kept.push(bucket.files(place));
        lab
    }

    /// A new folder whose commands may read what a bucket holds.
    pub fn with_access(bucket: &Bucket) -> Self {
        let mut lab = Self::new();
        bucket.environment().iter().for_each(|(name, value)| lab.set(name, value));
        lab
    }

    /// Sets a variable of the environment of commands to come.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in the folder, with the folders above it.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        std::fs::write(&path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Reads a file of the folder.
    #[track_caller]
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// A command of the binary, in this folder, that nothing of the environment changes.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args);
        self.tame(&mut command);
        command
    }

    /// Runs a command to its end that no variable names a data directory to.
    #[track_caller]
    pub fn run_plain(&self, args: &[&str]) -> Outcome {
        let mut command = self.command(args);
        command.env_remove("DEPLOYFORGE_DATA_DIR");
        Started::of(command, args.join(" "), Vec::new()).finish()
    }

    /// Runs a line that a page of the docs shows: in a shell, with the binary as `deployforge`, no
    /// data directory named, and everything it says on standard output.
    #[track_caller]
    pub fn run_shown(&self, line: &str) -> Outcome {
        let mut command = Command::new("bash");
        command.arg("-c").arg(format!("exec 2>&1\n{line}"));
        self.tame(&mut command);
        command.env("PATH", with_binary()).env_remove("DEPLOYFORGE_DATA_DIR");
        Started::of(command, line.to_owned(), Vec::new()).finish()
    }

    /// Starts a shell command line in this folder, with the binary as `deployforge`.
    pub fn start_shell(&self, line: &str) -> Started {
        let mut command = Command::new("bash");
        command.arg("-c").arg(format!("exec {line}"));
        self.tame(&mut command);
        command.env("PATH", with_binary());
        Started::of(command, line.to_owned(), Vec::new())
    }

    /// Runs a shell command line in this folder.
    pub fn shell(&self, line: &str) -> Outcome {
        let mut command = Command::new("bash");
        command.args(["-c", line]);
        self.tame(&mut command);
        Started::of(command, line.to_owned(), Vec::new()).finish()
    }

    fn tame(&self, command: &mut Command) {
        command
            .current_dir(self.folder())
            .env("DEPLOYFORGE_DATA_DIR", "data")
            .env("COLUMNS", "100")
            .env("TZ", "UTC")
            .env("HOME", self.folder())
            .env_remove("RUST_LOG")
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            .env_remove("DEPLOYFORGE_STORE")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Outcome {
        self.start(args).finish()
    }

    /// Runs a command to its end, with bytes on its standard input.
    #[track_caller]
    pub fn run_with(&self, args: &[&str], input: impl Into<Vec<u8>>) -> Outcome {
        Started::of(self.command(args), args.join(" "), input.into()).finish()
    }

    /// Starts a command.
    pub fn start(&self, args: &[&str]) -> Started {
        Started::of(self.command(args), args.join(" "), Vec::new())
    }

    /// Starts a command that writes what it says, operational events included, behind what a file of this
    /// folder holds.
    pub fn start_logged(&self, args: &[&str], log: &str) -> Started {
        let mut command = self.command(args);
        command.env("RUST_LOG", "deployforge=info");
        let path = self.path(log);
        let file = std::fs::File::options().create(true).append(true).open(&path);
        let file = file.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let typed = args.join(" ");
        let child = command.spawn().unwrap_or_else(|e| panic!("{typed}: {e}"));
        Started { child, typed, peak_memory: None, stdout: None, stderr: None }
    }

    /// The rows of a query on the data directory.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<Value> {
        let outcome = self.run(&["query", sql, "--format", "json"]).exits(0);
        match outcome.json() {
            Value::Array(rows) => rows,
            other => panic!("not a list of rows: {other}"),
        }
    }

    /// The rows of a query, each as its values in a sorted list of JSON texts: for comparing what
    /// two data directories hold.
    #[track_caller]
    pub fn sorted(&self, sql: &str) -> Vec<String> {
        let mut rows: Vec<String> = self.query(sql).iter().map(Value::to_string).collect();
        rows.sort();
        rows
    }

    /// How many rows a query has.
    #[track_caller]
    pub fn count(&self, from: &str) -> u64 {
        let rows = self.query(&format!("select count(*) as n from {from}"));
        crate::number(&rows[0], "n")
    }
}

/// A command under way. Dropping it kills it.
#[derive(Debug)]
pub struct Started {
    child: Child,
    typed: String,
    peak_memory: Option<u64>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Started {
    /// Starts a command, with bytes on its standard input; `typed` is what it is called.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn of(mut command: Command, typed: String, input: Vec<u8>) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{typed}: {e}"));
        let mut stdin = child.stdin.take().expect("a pipe");
        // A command that does not read its input may close it early: that is its right.
        std::thread::spawn(move || drop(stdin.write_all(&input)));
        let stdout = Some(gather(child.stdout.take().expect("a pipe")));
        let stderr = Some(gather(child.stderr.take().expect("a pipe")));
        Self { child, typed, peak_memory: None, stdout, stderr }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, as a service manager does.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Tells it to read its configuration again.
    pub fn hang_up(&self) {
        self.signal("HUP");
    }

    /// Sends it a signal, such as `STOP`.
    ///
    /// # Panics
    ///
    /// If it has ended.
    pub fn signal(&self, name: &str) {
        let (signal, id) = (format!("-{name}"), self.id().to_string());
        let status = Command::new("kill").args([signal, id]).status();
        assert!(status.expect("`kill` can be started").success(), "{} is gone", self.typed);
    }

    /// Ends it at once, as a power cut does. It may have ended by itself.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
    }

    /// Whether it has ended by itself, or because it was told to.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// If it takes longer than [`seconds`].
    #[track_caller]
    pub fn finish(mut self) -> Outcome {
        let start = Instant::now();
        let status = loop {
            self.look_at_memory();
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            if start.elapsed() > Duration::from_secs(seconds()) {
                self.kill();
                let stderr = self.stderr.take().map(join).unwrap_or_default();
                let stderr = String::from_utf8_lossy(&stderr).into_owned();
                panic!("`{}` did not end in {} s\n{stderr}", self.typed, seconds());
            }
            std::thread::sleep(Duration::from_millis(4));
        };
        let stderr = self.stderr.take().map(join).unwrap_or_default();
        let stdout = self.stdout.take().map(join).unwrap_or_default();
        for said in [&stdout, &stderr] {
            let found = leaks(said);
            assert!(found.is_empty(), "`{}` says planted secrets: {found:?}", self.typed);
        }
        Outcome {
            typed: self.typed.clone(),
            code: status.code(),
            stdout,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            peak_memory: self.peak_memory,
        }
    }

    /// The kernel's high-water mark of resident memory; the last look before the end counts.
    fn look_at_memory(&mut self) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()));
        let peak = status.ok().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        });
        self.peak_memory = peak.map(|kib| kib * 1024).or(self.peak_memory);
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

/// The search path, with the binary's folder before all others.
fn with_binary() -> std::ffi::OsString {
    let mut path = std::ffi::OsString::from(binary().parent().expect("it is in a folder"));
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}

fn gather(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

fn join(thread: JoinHandle<Vec<u8>>) -> Vec<u8> {
    thread.join().expect("reading a pipe does not panic")
}
