//! An S3 server on this machine.
//!
//! A [`Bucket`] is a bucket of Versity's gateway, as its module is released, which keeps objects as files
//! in a temporary folder, checks signatures, and puts an object where there is none for one of many at a
//! time. It is built once by `tests/run.sh`. It listens on the loopback address, and ends with the process
//! that started it, however that ends.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::broker::free_ports;
use crate::faults::Faults;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The one bucket of a server.
const NAME: &str = "shared";

/// The key id and the secret with which the server lets one in.
const ACCESS: (&str, &str) = ("the-tests", "no-secret-at-all");

/// The shell that keeps a server: `$1` is a folder that goes with it, the rest its command line. When the
/// standard input ends, which it does when the test process does, the server is killed.
const KEEPER: &str = r#"
folder=$1
shift
exec 2>>"$folder/log"
"$@" </dev/null >&2 &
server=$!
read -r order
kill -s KILL "$server"
wait "$server"
[ "$order" = keep ] || rm -rf -- "$folder"
"#;

/// A running server with a bucket. Dropping it ends it and removes its data.
#[derive(Debug)]
pub struct Bucket {
    port: u16,
    shell: Mutex<Option<Child>>,
    /// Places that were given out.
    places: AtomicU64,
    folder: TempDir,
}

impl Bucket {
    /// A server of one's own, to end and start again.
    ///
    /// `None` where there is none to be had, which is said on standard error.
    ///
    /// # Panics
    ///
    /// Instead of returning `None`, if `DEPLOYFORGE_REQUIRE_S3` is `1`; and if it does not come up.
    pub fn start() -> Option<Self> {
        let server = server()?;
        let folder = tempfile::Builder::new().prefix("deployforge-s3-").tempdir();
        let folder = folder.expect("a temporary folder");
        for name in ["data", "meta"] {
            std::fs::create_dir_all(folder.path().join(name).join(NAME)).expect("a folder");
        }
        let port = free_ports(1)[0];
        let bucket = Self { port, shell: Mutex::new(None), places: AtomicU64::new(0), folder };
        bucket.run(server);
        Some(bucket)
    }

    /// One server for the whole process. Each test has a prefix of its own: see [`Bucket::place`].
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Bucket> = OnceLock::new();
        server()?;
        Some(SHARED.get_or_init(|| Self::start().expect("there is a server")))
    }

    /// A prefix that is nobody else's, as a URL.
    pub fn place(&self, name: &str) -> String {
        format!("s3://{NAME}/{name}-{}", self.places.fetch_add(1, Ordering::Relaxed))
    }

    /// A way to it on which half of the calls fail, for `AWS_ENDPOINT`.
    pub fn failing(&self, seed: u64) -> Faults {
        Faults::before(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)), seed)
    }

    /// What clients have in their environment.
    pub fn environment(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        [
            ("AWS_ENDPOINT", endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", ACCESS.0),
            ("AWS_SECRET_ACCESS_KEY", ACCESS.1),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// Where the objects below a place lie as files.
    pub fn files(&self, place: &str) -> PathBuf {
        let key = place.strip_prefix("s3://").expect("a URL");
        self.folder.path().join("data").join(key)
    }

    /// Puts an object, past the server.
    pub fn write(&self, place: &str, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.files(place).join(name);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Ends the server at once; its data stay.
    pub fn kill(&self) {
        if let Some(shell) = self.shell.lock().expect("nothing panicked with it").take() {
            end(shell, "keep\n");
        }
    }

    /// Starts the server again, with the port and the data that it had.
    pub fn restart(&self) {
        self.kill();
        self.run(server().expect("there was one"));
    }

    fn run(&self, server: &Path) {
        let folder = self.folder.path();
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh"]).arg(folder).arg(server);
        command.args(["--port", &format!("127.0.0.1:{}", self.port), "--quiet", "--keep-alive"]);
        command.args(["--access", ACCESS.0, "--secret", ACCESS.1, "posix", "--sidecar"]);
        command.arg(folder.join("meta")).arg(folder.join("data"));
        command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::null());
        // A group of its own: a signal for the tests would end the keeper and not the server.
        let shell = command.process_group(0).spawn().expect("`sh` can be started");
        *self.shell.lock().expect("nothing panicked with it") = Some(shell);
        let start = Instant::now();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(start.elapsed() < PATIENCE, "the S3 server does not answer:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        if let Some(shell) = self.shell.lock().ok().and_then(|mut shell| shell.take()) {
            end(shell, "remove\n");
        }
    }
}

/// Gives the last order to a keeper, and returns when its server is gone.
fn end(mut shell: Child, order: &str) {
    if let Some(mut orders) = shell.stdin.take() {
        // A keeper that is gone has no server either.
        let _ = orders.write_all(order.as_bytes());
    }
    let _ = shell.wait();
}

/// The server's program. `None`: the test that asks is named on standard error, with what is missing.
fn server() -> Option<&'static Path> {
    static FOUND: LazyLock<Result<PathBuf, String>> = LazyLock::new(find);
    match &*FOUND {
        Ok(server) => Some(server),
        Err(missing) => {
            let required = std::env::var_os("DEPLOYFORGE_REQUIRE_S3").is_some_and(|v| v == "1");
            assert!(!required, "an S3 server is required and cannot be started: {missing}");
            let thread = std::thread::current();
            let test = thread.name().unwrap_or("a test");
            // Not `eprintln!`, whose text is shown only of tests that fail.
            let line = format!("\n!!! {test} DID NOT RUN: it needs an S3 server, and {missing}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            None
        }
    }
}

fn find() -> Result<PathBuf, String> {
    let folder = match std::env::var_os("DEPLOYFORGE_S3") {
        Some(folder) => std::path::absolute(folder).map_err(|error| error.to_string())?,
        None => crate::root().join("target/s3"),
    };
    let server = folder.join("versitygw");
    if server.is_file() {
        return Ok(server);
    }
    Err(format!("there is none at {}; tests/run.sh builds it with Go", server.display()))
}
