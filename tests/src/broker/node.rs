//! One node: a JVM, and the shell that keeps it.

use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::secret;

/// How long a node may take to stop in good order.
const STOP: Duration = Duration::from_secs(30);

/// How much of a log a panic shows.
const LOG_END_BYTES: u64 = 6000;

/// The shell that keeps a JVM: `$1` is the folder of the node, `$2` the id of the cluster, the rest
/// is Java. Its standard input are orders: the name of a signal for the JVM, or `end` when that is
/// gone. If the input ends without it, the test process is gone or has no more use for the node:
/// then the JVM is killed and the folder removed. The JVM, and nothing else, holds the shell's
/// standard output open, so its end is seen there.
const KEEPER: &str = r#"
folder=$1 cluster=$2
shift 2
exec 2>>"$folder/log"
if [ ! -d "$folder/data" ]; then
    # Words of its own, if it has users.
    "$@" kafka.tools.StorageTool format -t "$cluster" -c "$folder/server.properties" $USERS \
        </dev/null >&2 || exit 1
fi
exec 3>&1 >/dev/null
"$@" kafka.Kafka "$folder/server.properties" </dev/null >&2 &
java=$!
exec 3>&-
while read -r order; do
    [ "$order" = end ] && exit 0
    kill -s "$order" "$java"
done
kill -s KILL "$java"
wait "$java"
rm -rf -- "$folder"
"#;

/// What a node is told about itself and the others.
pub(super) struct Plan<'a> {
    pub(super) index: usize,
    pub(super) ports: &'a [u16],
    pub(super) controllers: &'a [u16],
    pub(super) cluster: &'a str,
    pub(super) jars: &'a Path,
    /// The port where it asks for a password, over TLS.
    pub(super) secure: Option<u16>,
}

impl Plan<'_> {
    /// The id of a node: Kafka counts from one.
    fn id(index: usize) -> i32 {
        index as i32 + 1
    }

    fn properties(&self, folder: &Path) -> String {
        let (port, controller) = (self.ports[self.index], self.controllers[self.index]);
        let voters = self.controllers.iter().enumerate();
        let voters: Vec<String> =
            voters.map(|(index, port)| format!("{}@127.0.0.1:{port}", Self::id(index))).collect();
        let replicas = self.ports.len().min(3);
        // A write is known to more than half of the replicas.
        let insync = replicas / 2 + 1;
        // A node that was killed comes back no sooner than this. Others need it longer, or a busy
        // machine loses nodes by itself.
        let session = if replicas == 1 { 2000 } else { 6000 };
        let (id, voters) = (Self::id(self.index), voters.join(","));
        let data = folder.join("data");
        let data = data.display();
        let (secure, secured, rest) = self.secure.map_or_else(Default::default, |port| {
            let at = format!(",SASL_SSL://127.0.0.1:{port}");
            (at, ",SASL_SSL:SASL_SSL", secret::properties(folder))
        });
        format!(
            "process.roles=broker,controller\n\
             node.id={id}\n\
             controller.quorum.voters={voters}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{secure}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}{secure}\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{secured}\n\
             controller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=PLAINTEXT\n\
             log.dirs={data}\n\
             auto.create.topics.enable=false\n\
             default.replication.factor={replicas}\n\
             min.insync.replicas={insync}\n\
             offsets.topic.replication.factor={replicas}\n\
             offsets.topic.num.partitions=4\n\
             transaction.state.log.replication.factor={replicas}\n\
             transaction.state.log.min.isr={insync}\n\
             transaction.state.log.num.partitions=2\n\
             broker.session.timeout.ms={session}\n\
             {rest}{SMALL_AND_QUICK}"
        )
    }
}

/// Sessions as short as a test's patience, a lost node noticed soon, few threads, little memory.
const SMALL_AND_QUICK: &str = "group.initial.rebalance.delay.ms=0\n\
    group.min.session.timeout.ms=1000\n\
    broker.heartbeat.interval.ms=500\n\
    group.coordinator.threads=1\n\
    num.network.threads=2\n\
    num.io.threads=2\n\
    background.threads=2\n\
    num.recovery.threads.per.data.dir=1\n\
    log.cleaner.threads=1\n\
    log.cleaner.dedupe.buffer.size=4194304\n";

/// A node, running or not.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: i32,
    pub(super) port: u16,
    cluster: String,
    users: String,
    jars: PathBuf,
    // Before the folder: what writes there ends first.
    running: Option<Running>,
    folder: TempDir,
}

impl Node {
    pub(super) fn new(plan: &Plan) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("deployforge-kafka-")
            .tempdir()
            .expect("a temporary folder");
        if plan.secure.is_some() {
            secret::certificate(folder.path());
        }
        let properties = plan.properties(folder.path());
        std::fs::write(folder.path().join("server.properties"), properties).expect("a file");
        Self {
            id: Plan::id(plan.index),
            port: plan.ports[plan.index],
            cluster: plan.cluster.to_owned(),
            users: if plan.secure.is_some() { secret::users() } else { String::new() },
            jars: plan.jars.to_owned(),
            running: None,
            folder,
        }
    }

    pub(super) fn start(&mut self) {
        let folder = self.folder.path();
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh"]).arg(folder).arg(&self.cluster);
        command.args(["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        // What a JVM that is killed would leave behind elsewhere.
        let temporary = format!("-Djava.io.tmpdir={}", folder.display());
        command.args(["-XX:-UsePerfData", &temporary, "-cp"]).arg(&self.jars);
        command.env("USERS", &self.users);
        command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        // A group of its own: a signal for the tests, such as that of Ctrl-C, would end the keeper and
        // not the JVM, which as a process in the background does not hear it.
        let mut shell = command.process_group(0).spawn().expect("`sh` can be started");
        let orders = shell.stdin.take().expect("a pipe");
        let mut life = shell.stdout.take().expect("a pipe");
        let life = std::thread::spawn(move || {
            let _ = std::io::copy(&mut life, &mut std::io::sink());
        });
        self.running = Some(Running { shell, orders: Some(orders), life });
    }

    /// Ends it with a signal, and returns when it is gone.
    pub(super) fn end(&mut self, signal: &str) {
        let Some(mut running) = self.running.take() else { return };
        running.order(signal);
        let start = Instant::now();
        while !running.life.is_finished() {
            std::thread::sleep(Duration::from_millis(10));
            // Among several it may wait for others that will not come.
            if start.elapsed() > STOP {
                running.order("KILL");
            }
        }
        running.order("end");
    }

    /// Whether it was started and is there no more.
    pub(super) fn is_gone(&self) -> bool {
        self.running.as_ref().is_none_or(|running| running.life.is_finished())
    }

    pub(super) fn listens(&self) -> Result<(), String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        TcpStream::connect_timeout(&address, Duration::from_secs(1))
            .map(drop)
            .map_err(|error| format!("port {}: {error}", self.port))
    }

    /// Where its files are.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The end of its log.
    pub(super) fn log(&self) -> String {
        let read = || {
            let mut file = std::fs::File::open(self.folder.path().join("log"))?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_END_BYTES)))?;
            let mut end = Vec::new();
            file.read_to_end(&mut end)?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&end).into_owned())
        };
        read().unwrap_or_else(|error| format!("(no log: {error})"))
    }
}

/// A JVM and its keeper.
#[derive(Debug)]
struct Running {
    shell: Child,
    orders: Option<ChildStdin>,
    /// Ends when the JVM does.
    life: JoinHandle<()>,
}

impl Running {
    fn order(&mut self, word: &str) {
        if let Some(orders) = &mut self.orders {
            // A keeper that is gone has no JVM either.
            let _ = orders.write_all(format!("{word}\n").as_bytes());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Closes the pipe, which is the order to end everything if `end` was not.
        self.orders = None;
        let _ = self.shell.wait();
    }
}
