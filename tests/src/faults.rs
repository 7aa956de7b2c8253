//! A server whose calls fail: what stands between a client and it.
//!
//! [`Faults`] listens on the loopback address and hands every HTTP request on to a server, or does not: by
//! seeded dice it answers that the server is busy, hangs up without having asked the server, or hangs up
//! when the server has done what it was asked. The last is the worst, since the client cannot know.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A head longer than this is no head of these clients.
const HEAD_BYTES: usize = 64 << 10;

/// How long either side may be silent.
const SILENCE: Duration = Duration::from_mins(1);

const BUSY: &str = "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// What became of the calls so far.
#[derive(Debug, Default)]
struct Counts {
    calls: AtomicU64,
    busy: AtomicU64,
    unheard: AtomicU64,
    unanswered: AtomicU64,
}

/// The way to a server on which calls are lost. It ends with the process, or when it is dropped.
#[derive(Debug)]
pub struct Faults {
    address: SocketAddr,
    counts: Arc<Counts>,
    over: Arc<AtomicBool>,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Fine,
    Busy,
    Unheard,
    Unanswered,
}

impl Faults {
    /// A way to the server of an address on which half of the calls fail.
    ///
    /// # Panics
    ///
    /// If the machine has no port left.
    pub fn before(server: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let counts = Arc::new(Counts::default());
        let over = Arc::new(AtomicBool::new(false));
        let (theirs, ended) = (Arc::clone(&counts), Arc::clone(&over));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let call = theirs.calls.fetch_add(1, Ordering::Relaxed);
                let (fate, counts) = (fate(seed, call), Arc::clone(&theirs));
                std::thread::spawn(move || drop(serve(client, server, fate, &counts)));
            }
        });
        Self { address, counts, over }
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many calls there were, and how many of them failed.
    pub fn calls(&self) -> (u64, u64) {
        let Counts { calls, busy, unheard, unanswered } = &*self.counts;
        let failed = [busy, unheard, unanswered].map(|count| count.load(Ordering::Relaxed));
        (calls.load(Ordering::Relaxed), failed.into_iter().sum())
    }

    /// How many calls did what they should, and were told nothing of it.
    pub fn unanswered(&self) -> u64 {
        self.counts.unanswered.load(Ordering::Relaxed)
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // So that it looks.
        drop(TcpStream::connect(self.address));
    }
}

fn fate(seed: u64, call: u64) -> Fate {
    let mixed = (seed ^ call.wrapping_add(1)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    match (mixed ^ mixed >> 31).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 61 {
        0..=3 => Fate::Fine,
        4 | 5 => Fate::Busy,
        6 => Fate::Unheard,
        _ => Fate::Unanswered,
    }
}

/// One call on a connection of its own.
fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    fate: Fate,
    counts: &Counts,
) -> std::io::Result<()> {
    client.set_read_timeout(Some(SILENCE))?;
    let request = request(&mut client)?;
    match fate {
        Fate::Fine => client.write_all(&answer(server, &request)?),
        Fate::Busy => {
            counts.busy.fetch_add(1, Ordering::Relaxed);
            client.write_all(BUSY.as_bytes())
        }
        Fate::Unheard => {
            counts.unheard.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        Fate::Unanswered => {
            let _ = answer(server, &request)?;
            counts.unanswered.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }
}

/// A whole request, with a head that says that no other follows it.
fn request(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let head = loop {
        let found = bytes.windows(4).position(|end| end == b"\r\n\r\n");
        match found {
            Some(at) => break at,
            None if bytes.len() > HEAD_BYTES || take(client, &mut bytes)? == 0 => {
                return Err(std::io::ErrorKind::InvalidData.into());
            }
            None => {}
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let field = |line: &str, name: &str| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    };
    let length = text.lines().find_map(|line| field(line, "content-length")?.parse::<usize>().ok());
    while bytes.len() < head + 4 + length.unwrap_or(0) {
        if take(client, &mut bytes)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let kept = text.lines().filter(|line| field(line, "connection").is_none());
    let mut request: String = kept.flat_map(|line| [line, "\r\n"]).collect();
    request.push_str("Connection: close\r\n\r\n");
    let mut request = request.into_bytes();
    request.extend_from_slice(&bytes[head + 4..]);
    Ok(request)
}

fn take(from: &mut TcpStream, bytes: &mut Vec<u8>) -> std::io::Result<usize> {
    let mut block = [0; 16 << 10];
    let read = from.read(&mut block)?;
    bytes.extend_from_slice(&block[..read]);
    Ok(read)
}

fn answer(server: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(server)?;
    server.set_read_timeout(Some(SILENCE))?;
    server.write_all(request)?;
    let mut bytes = Vec::new();
    server.read_to_end(&mut bytes)?;
    Ok(bytes)
}
