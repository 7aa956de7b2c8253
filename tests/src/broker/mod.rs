//! A real Kafka, of one node or of several.
//!
//! A [`Broker`] is Apache Kafka as it was released, in KRaft mode, with its data in temporary
//! folders and its ports on the loopback address. Its jars are fetched once by `tests/run.sh`. It
//! ends with the process that started it, however that ends.
//!
//! Nothing here waits for a fixed time: whatever a broker is still busy with is asked for again,
//! and after a minute there is a panic that says what did not happen.

mod node;
mod producer;
mod ready;
mod records;
mod secret;
mod topics;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use node::{Node, Plan};
pub use producer::{Compression, Producer};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::metadata::{MetadataBroker, MetadataTopic};
pub use records::{Message, Read};

/// How long something that comes about by itself is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Ports that no system hands out by itself: while a node is down, nobody is given its port.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

/// A running Kafka. Dropping it ends it and removes its data.
#[derive(Debug)]
pub struct Broker {
    ports: Vec<u16>,
    secure: Option<u16>,
    nodes: Vec<Mutex<Node>>,
}

impl Broker {
    /// One node, which answers.
    ///
    /// `None` where there is no Java or there are no jars, which is said on standard error.
    ///
    /// # Panics
    ///
    /// Instead of returning `None`, if `DEPLOYFORGE_REQUIRE_KAFKA` is `1`; and if it does not come up.
    pub fn start() -> Option<Self> {
        Self::cluster(1)
    }

    /// Nodes that know each other; topics have a replica on each of them, on three at most. See
    /// [`Broker::start`].
    pub fn cluster(nodes: usize) -> Option<Self> {
        Some(Self::of(nodes, ready::jars()?, false))
    }

    /// One node that also listens where it asks for a password, over TLS with a certificate of its own.
    /// See [`Broker::start`].
    pub fn secure() -> Option<Self> {
        Some(Self::of(1, ready::jars()?, true))
    }

    /// Where it asks for a password, and what a client has to say there by a mechanism, `PLAIN` or
    /// `SCRAM-SHA-512`: librdkafka's properties.
    ///
    /// # Panics
    ///
    /// If it was not started by [`Broker::secure`].
    pub fn access(&self, mechanism: &str) -> (String, Vec<(&'static str, String)>) {
        let port = self.secure.expect("a broker that asks for a password");
        (address_of(port), secret::client(self.node(0).folder(), mechanism))
    }

    /// One node for the whole process, started when it is first asked for. Each test has topics and
    /// groups of its own, and leaves the node alone. See [`Broker::start`].
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        let jars = ready::jars()?;
        Some(SHARED.get_or_init(|| Self::of(1, jars, false)))
    }

    fn of(nodes: usize, jars: &Path, secure: bool) -> Self {
        assert!(nodes > 0, "a broker has a node");
        // Of each node, the port of its clients and the port of its controller.
        let all = free_ports(2 * nodes + 1);
        let (ports, controllers) = all[..2 * nodes].split_at(nodes);
        let secure = secure.then_some(all[2 * nodes]);
        let cluster = cluster_id();
        let plan = |index| Plan { index, ports, controllers, cluster: &cluster, jars, secure };
        let nodes = (0..nodes).map(|index| Mutex::new(Node::new(&plan(index)))).collect();
        let broker = Self { ports: ports.to_vec(), secure, nodes };
        // Started all at once: the first of several answers only when others are there.
        for index in 0..broker.nodes.len() {
            broker.node(index).start();
        }
        for index in 0..broker.nodes.len() {
            broker.wait_for(&mut broker.node(index), broker.nodes.len());
        }
        broker
    }

    /// What clients are given as `bootstrap.servers`: every node, with commas between them.
    pub fn address(&self) -> String {
        let all: Vec<String> = self.ports.iter().map(|port| address_of(*port)).collect();
        all.join(",")
    }

    /// Ends a node at once, as a power cut does. The first node is 0.
    pub fn kill(&self, node: usize) {
        self.node(node).end("KILL");
    }

    /// Stops a node in good order, and at once if it is not gone after half a minute.
    pub fn stop(&self, node: usize) {
        self.node(node).end("TERM");
    }

    /// Starts a node that was killed or stopped, or stops it before, with the ports and the data that
    /// it had; returns when it answers. Of several nodes, more than half must be up by then.
    pub fn restart(&self, node: usize) {
        let mut node = self.node(node);
        node.end("TERM");
        node.start();
        self.wait_for(&mut node, 1);
    }

    fn node(&self, index: usize) -> MutexGuard<'_, Node> {
        self.nodes[index].lock().expect("nothing panicked with this node")
    }

    /// Waits until a node knows itself, and as many nodes as there should be.
    fn wait_for(&self, node: &mut Node, nodes: usize) {
        let start = Instant::now();
        // They share the processors while they start.
        let patience = PATIENCE * self.nodes.len() as u32;
        while let Err(missing) = self.look_at(node, nodes) {
            let gone = node.is_gone();
            if gone || start.elapsed() > patience {
                let how = if gone { "ended by itself" } else { "does not answer" };
                let (id, seconds) = (node.id, start.elapsed().as_secs());
                panic!("node {id} {how} ({seconds} s, {missing}); its log ends:\n{}", node.log());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn look_at(&self, node: &Node, nodes: usize) -> Result<(), String> {
        node.listens()?;
        let metadata = topics::metadata(&topics::consumer(&config(&address_of(node.port)))?, None)?;
        let known: Vec<i32> = metadata.brokers().iter().map(MetadataBroker::id).collect();
        if !known.contains(&node.id) || known.len() < nodes {
            return Err(format!("it knows the nodes {known:?}"));
        }
        // Alone, it is the leader of everything, and not at once after a restart. Of several, there
        // may be partitions whose replicas are all down.
        let leaderless = |topic: &MetadataTopic| {
            topic.partitions().iter().any(|partition| partition.leader() < 0)
        };
        match metadata.topics().iter().find(|topic| self.nodes.len() == 1 && leaderless(topic)) {
            Some(topic) => Err(format!("`{}` has a partition without a leader", topic.name())),
            None => Ok(()),
        }
    }

    fn config(&self) -> ClientConfig {
        config(&self.address())
    }
}

/// What every client of this testkit is configured with.
fn config(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", address)
        // Nodes come back within seconds here; the usual pause grows to ten.
        .set("reconnect.backoff.max.ms", "500")
        // A node that is down is what the tests are about, and no news.
        .set_log_level(RDKafkaLogLevel::Emerg);
    config
}

fn address_of(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Asks until there is an answer; panics with the last refusal after [`PATIENCE`].
#[track_caller]
fn until<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(refusal) => assert!(
                start.elapsed() < PATIENCE,
                "{what}: {refusal}, and that for {} s",
                PATIENCE.as_secs()
            ),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Something that is different each time.
fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let first = u64::from(PORTS.start) + chance() % (PORTS.len() as u64);
    let ports = (first as u16..PORTS.end).chain(PORTS);
    // Held until all are found, so that none is found twice.
    let held: Vec<TcpListener> =
        ports.filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).take(count).collect();
    assert_eq!(held.len(), count, "no free port in {PORTS:?}");
    let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
    held.iter().map(port).collect()
}

/// 16 bytes in base64, as Kafka writes them; the last letter stands for two bits.
fn cluster_id() -> String {
    format!("{:016x}{:05x}A", chance(), chance() & 0xf_ffff)
}
