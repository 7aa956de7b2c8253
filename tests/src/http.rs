//! HTTP as others speak it: curl, and bare connections for what curl would never do.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status; 0 where there was no answer.
    pub status: u16,
    /// The head, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    fn of(text: &str) -> Self {
        let mut rest = text;
        loop {
            let (head, body) = rest.split_once("\r\n\r\n").unwrap_or((rest, ""));
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
            // What comes before the answer proper.
            if status != 100 {
                return Self { status, head: head.to_lowercase(), body: body.to_owned() };
            }
            rest = body;
        }
    }

    /// Asserts the status.
    #[track_caller]
    #[must_use]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// A field of the head.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// If it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A request under way.
#[derive(Debug)]
pub struct Request(Child);

impl Request {
    /// Waits for the answer.
    ///
    /// # Panics
    ///
    /// If curl cannot be waited for.
    pub fn answer(self) -> Answer {
        let output = self.0.wait_with_output().expect("curl ends");
        Answer::of(&String::from_utf8_lossy(&output.stdout))
    }
}

/// Speaks to one server.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its address, such as `127.0.0.1:8080`.
    pub address: String,
    /// Headers that go with every request.
    pub headers: Vec<String>,
}

impl Client {
    /// A client of a server.
    pub fn new(address: &str) -> Self {
        Self { address: address.to_owned(), headers: Vec::new() }
    }

    /// The same, with a header that goes with every request.
    #[must_use]
    pub fn with(mut self, header: &str) -> Self {
        self.headers.push(header.to_owned());
        self
    }

    /// Starts to post a body.
    ///
    /// # Panics
    ///
    /// Where there is no curl.
    pub fn start(&self, path: &str, headers: &[&str], body: Option<Vec<u8>>) -> Request {
        let mut command = Command::new("curl");
        command.args(["-sS", "-i", "--max-time", "120", "--noproxy", "*"]);
        for header in self.headers.iter().map(String::as_str).chain(headers.iter().copied()) {
            command.args(["-H", header]);
        }
        if body.is_some() {
            command.args(["--data-binary", "@-"]);
        }
        command.arg(format!("http://{}{path}", self.address));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the tests need curl");
        let mut stdin = child.stdin.take().expect("a pipe");
        // Who refuses early does not take it all.
        std::thread::spawn(move || drop(stdin.write_all(&body.unwrap_or_default())));
        Request(child)
    }

    /// Posts a body.
    pub fn post(&self, path: &str, headers: &[&str], body: impl Into<Vec<u8>>) -> Answer {
        self.start(path, headers, Some(body.into())).answer()
    }

    /// Gets a page.
    pub fn get(&self, path: &str) -> Answer {
        self.start(path, &[], None).answer()
    }

    /// A bare connection on which some bytes are sent.
    ///
    /// # Panics
    ///
    /// If nobody listens.
    pub fn bare(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.write_all(bytes).expect("it takes some bytes");
        stream
    }
}

/// What comes of a bare connection until the other side closes it; `None`: it does not in that time.
pub fn until_closed(stream: &mut TcpStream, patience: Duration) -> Option<String> {
    stream.set_read_timeout(Some(patience)).expect("a timeout can be set");
    let mut bytes = Vec::new();
    let closed = stream.read_to_end(&mut bytes);
    let late = closed.is_err_and(|error| {
        matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
    });
    (!late).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// An address at which nothing listens.
///
/// # Panics
///
/// If the machine has no port left.
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has an address").to_string()
}
