//! HTTP: observations that are posted, answered when they are durable.
//!
//! [`HttpServer`] listens as long as the process lives; [`HttpServer::open`] begins to read, which gives
//! what was posted as [`StreamEvent`]s of one partition, `http/NAME/0`, whose offsets are counted here:
//! one for each line of NDJSON, one for any other body. A request waits until
//! [`StreamControl::durable`] passes its last offset. Where reading ends before that, its fate is not
//! known, and it is told so; to post it again does no harm.
//!
//! What is accepted and not durable is bounded by bytes, beyond which nothing is accepted.

mod body;
mod desk;
mod routes;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};
use deployforge_model::{Frontier, NextOffset, Partition};
use tokio::runtime::Handle;

use self::desk::{Accepted, Desk, Next};
use self::routes::Office;
use crate::message::{Message, Packed, Packer, RawMessage, Started};
use crate::{Listening, SourceError, StreamControl, StreamEvent};

/// Blocks that wait to be taken; then bodies wait at the desk.
const QUEUED: usize = 8;

/// What to listen to.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// The source's name.
    pub name: String,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Who posts has to have it.
    pub token: Option<String>,
    /// Bytes of one body, unpacked.
    pub body_bytes: usize,
    /// Bytes that are accepted and not durable.
    pub pressure_bytes: usize,
    /// How long a request waits until what it posted is durable; then it has a receipt.
    pub wait: Duration,
    /// After how many seconds to post again what was not accepted.
    pub retry_seconds: u64,
    /// Every line is looked at on its own.
    pub single: bool,
    /// Names of formats that a content type may name.
    pub formats: Vec<&'static str>,
}

/// Listens, whether anyone reads or not.
#[derive(Debug)]
pub struct HttpServer {
    office: Arc<Office>,
    partition: Partition,
    single: bool,
    listening: Listening,
}

impl HttpServer {
    /// Listens, on a runtime with more than one thread.
    pub fn start(settings: &HttpSettings, runtime: &Handle) -> Result<Self, SourceError> {
        let office = Arc::new(Office {
            desk: Desk::new(settings.pressure_bytes),
            token: settings.token.as_ref().map(|token| blake3::hash(token.as_bytes())),
            body_bytes: settings.body_bytes,
            wait: settings.wait,
            retry_seconds: settings.retry_seconds,
            formats: settings.formats.clone(),
        });
        let router = routes::router(Arc::clone(&office));
        let listening = Listening::start(settings.listen, &settings.name, router, runtime)?;
        let partition = Partition { topic: format!("http/{}", settings.name).into(), number: 0 };
        Ok(Self { office, partition, single: settings.single, listening })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// Begins to read. Whoever read before must have ended.
    pub fn open(&self) -> (HttpSource, Receiver<StreamEvent>) {
        let (events, receiver) = bounded(QUEUED);
        // Another number each time, also in another process: it tells receipts apart.
        let life = RandomState::new().build_hasher().finish();
        self.office.desk.begin(life);
        let feeder = Feeder {
            office: Arc::clone(&self.office),
            life,
            partition: self.partition.clone(),
            packer: Packer::new(self.single),
            events,
        };
        let thread = std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || {
                // Whoever listened has gone: nothing is left to say.
                let _ = feeder.run();
            })
            .expect("a thread can be started");
        let source = HttpSource {
            office: Arc::clone(&self.office),
            life,
            partition: self.partition.clone(),
            thread: Some(thread),
        };
        (source, receiver)
    }
}

/// Reads what is posted. Dropping it ends that: who waits is told that the fate of their post is not
/// known. The receiver of events must be gone before, or read on until it is closed.
#[derive(Debug)]
pub struct HttpSource {
    office: Arc<Office>,
    life: u64,
    partition: Partition,
    thread: Option<JoinHandle<()>>,
}

impl StreamControl for HttpSource {
    fn durable(&self, frontier: Frontier) {
        if let Some(last) = frontier.get(&self.partition) {
            self.office.desk.durable(self.life, last.0);
        }
    }

    fn pause(&self, _: Partition) -> bool {
        self.office.desk.pause(true);
        true
    }

    fn resume(&self, _: Partition) -> bool {
        self.office.desk.pause(false);
        true
    }

    fn restart(&self, _: Partition, _: NextOffset) -> bool {
        // It never lags behind: it says no end.
        true
    }

    fn last_call(&self) -> bool {
        self.office.desk.close(self.life);
        true
    }
}

impl Drop for HttpSource {
    fn drop(&mut self) {
        self.office.desk.end(self.life);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say any more.
            let _ = thread.join();
        }
    }
}

/// Hands on what was accepted.
struct Feeder {
    office: Arc<Office>,
    life: u64,
    partition: Partition,
    packer: Packer,
    events: Sender<StreamEvent>,
}

impl Feeder {
    /// `None`: nobody listens any more.
    fn run(mut self) -> Option<()> {
        let (answer, answered) = bounded(1);
        let partitions = vec![self.partition.clone()];
        self.events.send(StreamEvent::Assigned { partitions, answer }).ok()?;
        let at = answered.recv().ok()?.into_iter().find_map(|(_, next)| next);
        let at = at.unwrap_or(NextOffset(0));
        let partition = self.partition.clone();
        let started = Started { partition, at, lost: 0, end: at };
        self.events.send(StreamEvent::Started(vec![started])).ok()?;
        self.office.desk.open(self.life, at.0);
        loop {
            // What is packed does not wait for more.
            let bytes = self.office.desk.bytes() as f64;
            metrics::gauge!("deployforge_http_pending_bytes").set(bytes);
            match self.office.desk.next(self.life, self.packer.is_empty()) {
                Next::Body(body) => self.pack(&body)?,
                Next::Nothing => self.hand_on()?,
                Next::Ended => return self.hand_on(),
            }
        }
    }

    fn pack(&mut self, accepted: &Accepted) -> Option<()> {
        let Accepted { first, last, body, headers } = accepted;
        if let Some(headers) = headers {
            self.hand_on()?;
            let message = Message {
                offset: *last,
                payload: Some(body.to_vec()),
                headers: headers.clone(),
                ..Message::default()
            };
            return self.send(Packed::Messages(vec![message]));
        }
        for (offset, line) in (*first..).zip(routes::lines(body)) {
            let raw = RawMessage { offset, key: None, payload: Some(line), time: None };
            if let Some(before) = self.packer.push(raw, Vec::new()) {
                self.send(before)?;
            }
            if self.packer.is_full() {
                self.hand_on()?;
            }
        }
        Some(())
    }

    fn hand_on(&mut self) -> Option<()> {
        match self.packer.take() {
            Some(packed) => self.send(packed),
            None => Some(()),
        }
    }

    fn send(&self, packed: Packed) -> Option<()> {
        let partition = self.partition.clone();
        self.events.send(StreamEvent::Messages { partition, packed }).ok()
    }
}
