//! Observations that are posted.

use std::io::Write as _;
use std::time::{Duration, Instant};

use deployforge_tests::make::Native;
use deployforge_tests::{Answer, Client, Lab, Started, free_address, number, text, until_closed};
use serde_json::{Value, json};

use crate::support::{expect_verdicts, import};
use crate::watch::until;

const LINES: &str = "Content-Type: application/x-ndjson";
const TOKEN: &str = "Authorization: Bearer example-token";

/// A lab with a baseline of three machines, and what an HTTP source needs.
pub(crate) struct Service {
    pub(crate) lab: Lab,
    pub(crate) source: Client,
    pub(crate) operations: Client,
    pub(crate) run: Option<Started>,
}

pub(crate) fn vm(id: &str, n: u64) -> Native {
    Native::new("vm", id, json!({"n": n}))
}

impl Service {
    /// With settings of the source, and others.
    pub(crate) fn new(http: &str, more: &str) -> Self {
        let lab = Lab::new();
        lab.write("base.ndjson", ["a", "b", "c"].map(|id| vm(id, 1).line()).concat());
        let _ = import(&lab, "base.ndjson");
        let (source, operations) = (free_address(), free_address());
        lab.write(
            "http.yaml",
            format!(
                "listen: '{operations}'\nsources:\n  - name: in\n    http: {{listen: '{source}', token: '${{INVENTORY_TOKEN}}'{http}}}\n{more}\n"
            ),
        );
        let source = Client::new(&source).with(TOKEN);
        let mut this = Self { lab, source, operations: Client::new(&operations), run: None };
        this.start();
        this
    }

    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// The same with more arguments.
    pub(crate) fn start_with(&mut self, more: &[&str]) {
        let mut command = self.lab.command(&["run", "-c", "http.yaml"]);
        command.args(more);
        command.env("INVENTORY_TOKEN", "example-token");
        self.run = Some(Started::of(command, "run -c http.yaml".to_owned(), Vec::new()));
        let ready = || self.operations.get("/readyz").status == 200;
        until("it is ready", ready);
    }

    pub(crate) fn post(&self, lines: impl Into<Vec<u8>>) -> Answer {
        self.source.post("/v1/observations", &[LINES], lines)
    }

    fn kill(&mut self) {
        let mut run = self.run.take().expect("it runs");
        run.kill();
        let _ = run.finish();
    }

    /// Ends it in order; what it said.
    pub(crate) fn stop(&mut self) -> String {
        let run = self.run.take().expect("it runs");
        run.terminate();
        run.finish().exits(0).stderr
    }
}

const QUICK: &str = "commit: {interval_seconds: 0.2}";
/// So seldom that only the end commits.
const SELDOM: &str = "commit: {interval_seconds: 3600}";

#[test]
fn what_is_answered_as_durable_outlives_a_kill() {
    let mut service = Service::new("", QUICK);
    let lines = vm("a", 1).at(1).line() + "\n" + &vm("b", 2).at(1).line() + "{\nno record\n";
    let first = service.post(lines).is(200).json();
    assert_eq!(first, json!({"durable": true, "first": 0, "offset": 3}));
    service.kill();
    expect_verdicts(&service.lab, &[("vm a", "in_sync"), ("vm b", "drifted")]);
    let rejects = service.lab.query("select source, \"offset\" as at from rejects order by 2");
    let places: Vec<(&str, u64)> =
        rejects.iter().map(|row| (text(row, "source"), number(row, "at"))).collect();
    assert_eq!(places, [("http/in/0", 2), ("http/in/0", 3)]);
    // Offsets go on where they were.
    service.start();
    let next = service.post(vm("c", 1).at(2).line()).is(200).json();
    assert_eq!((number(&next, "first"), number(&next, "offset")), (4, 4));
    let said = service.stop();
    assert!(said.contains("partitions_come") && said.contains("listening"), "{said}");
    assert!(!said.contains("example-token"), "{said}");
    expect_verdicts(&service.lab, &[("vm a", "in_sync"), ("vm b", "drifted"), ("vm c", "in_sync")]);
}

#[test]
fn documents_are_read_as_their_content_type_says() {
    let mut service = Service::new("", QUICK);
    let event = |id: &str, n: u64| {
        let data: Value = serde_json::from_str(&vm(id, n).at(1).line()).expect("JSON");
        json!({"specversion": "1.0", "id": id, "source": "test", "type": "deployforge.observation.v1", "data": data})
    };
    let post = |kind: &str, headers: &[&str], body: String| {
        let kind = format!("Content-Type: {kind}");
        let headers = [&[kind.as_str()], headers].concat();
        service.source.post("/v1/observations", &headers, body).is(200).json()
    };
    let one = post("application/cloudevents+json", &[], format!("{:#}", event("a", 1)));
    assert_eq!(number(&one, "offset"), 0);
    let batch = json!([event("b", 2), event("c", 1)]);
    let two = post("application/cloudevents-batch+json; charset=utf-8", &[], batch.to_string());
    assert_eq!(
        (number(&two, "first"), number(&two, "offset")),
        (1, 1),
        "a document has one offset"
    );
    let binary = ["ce-specversion: 1.0", "ce-type: deployforge.observation.v1", "ce-id: 1"];
    post("application/json", &binary, vm("d", 1).at(1).line());
    post("application/json", &[], vm("e", 1).at(1).line());
    // Whoever knows its hash may say so.
    let lines = vm("f", 1).at(1).line() + &vm("g", 1).at(1).line();
    post("application/x-ndjson", &["content-hash: blake3:00"], lines);
    service.stop();
    let verdicts = ["a", "b", "c", "d", "e"].map(|id| match id {
        "a" | "c" => (format!("vm {id}"), "in_sync"),
        "b" => (format!("vm {id}"), "drifted"),
        _ => (format!("vm {id}"), "unmanaged"),
    });
    let verdicts: Vec<(&str, &str)> = verdicts.iter().map(|(id, v)| (id.as_str(), *v)).collect();
    expect_verdicts(&service.lab, &verdicts);
    assert_eq!(service.lab.count("rejects"), 1);
}

#[test]
fn what_is_not_taken_is_said() {
    let mut service = Service::new(", body_bytes: 2000, pressure_bytes: 100000", QUICK);
    let line = vm("a", 1).at(1).line();
    let bare = Client::new(&service.source.address);
    for wrong in ["", "Authorization: Bearer other", "Authorization: Basic example-token"] {
        let refused = bare.post("/v1/observations", &[LINES, wrong], line.clone()).is(401);
        assert_eq!(refused.header("www-authenticate"), Some("bearer"), "{refused:?}");
    }
    bare.get("/v1/receipts/0-0").is(401).json();
    let source = &service.source;
    let long = line.repeat(2000 / line.len() + 1);
    source.post("/v1/observations", &[LINES], long.clone()).is(413).json();
    source
        .post("/v1/observations", &[LINES, "Transfer-Encoding: chunked"], long.clone())
        .is(413)
        .json();
    source.post("/v1/observations", &[], line.clone()).is(415).json();
    source.post("/v1/observations", &["Content-Type: text/plain"], line.clone()).is(415).json();
    let br = [LINES, "Content-Encoding: br"];
    source.post("/v1/observations", &br, line.clone()).is(415).json();
    source.post("/v1/observations", &[LINES], "\n\n").is(400).json();
    let _ = source.get("/v1/observations").is(405);
    source.get("/v1/receipts/0-0").is(404).json();
    let _ = source.get("/v2").is(404);
    let gzip = [LINES, "Content-Encoding: gzip"];
    source.post("/v1/observations", &gzip, line.clone()).is(400).json();
    let packed = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    };
    source.post("/v1/observations", &gzip, packed(long.repeat(100).as_bytes())).is(413).json();
    source.post("/v1/observations", &gzip, packed(line.as_bytes())).is(200).json();
    service.stop();
    expect_verdicts(&service.lab, &[("vm a", "in_sync")]);
    assert_eq!(service.lab.count("rejects"), 0);
}

#[test]
fn under_pressure_nothing_more_is_taken() {
    let limits = ", body_bytes: 1000, pressure_bytes: 3000, wait_seconds: 0";
    let mut service = Service::new(limits, SELDOM);
    let mut taken = 0;
    let refused = loop {
        let line = vm(&format!("p{taken}-{}", "x".repeat(700)), 1).at(1).line();
        let answer = service.post(line);
        match answer.status {
            202 => taken += 1,
            _ => break answer,
        }
        assert!(taken < 10, "{answer:?}");
    };
    let refused = refused.is(429);
    assert_eq!(refused.header("retry-after"), Some("30"));
    assert!(taken >= 2, "{taken}");
    service.stop();
    assert_eq!(service.lab.count("verdicts"), taken, "what was taken is kept to the end");
}

#[test]
fn a_receipt_tells_when_it_is_durable() {
    let mut service = Service::new(", wait_seconds: 0.1", "commit: {interval_seconds: 3}");
    let hurried = service.source.post(
        "/v1/observations",
        &[LINES, "Prefer: respond-async"],
        vm("a", 1).at(1).line(),
    );
    let hurried = hurried.is(202);
    let receipt = hurried.json();
    assert_eq!(receipt["durable"], false);
    let place = format!("/v1/receipts/{}", text(&receipt, "receipt"));
    assert_eq!(hurried.header("location"), Some(place.as_str()));
    let late = service.post(vm("b", 1).at(1).line()).is(202).json();
    let durable = |place: &str| service.source.get(place).is(200).json()["durable"] == true;
    until("it is durable", || durable(&place));
    until("so is the other", || durable(&format!("/v1/receipts/{}", text(&late, "receipt"))));
    expect_verdicts(&service.lab, &[("vm a", "in_sync"), ("vm b", "in_sync")]);
    service.stop();
    // Another process knows nothing of it.
    service.start();
    service.source.get(&place).is(404).json();
}

#[test]
fn a_stop_answers_what_became_durable() {
    let mut service = Service::new(", wait_seconds: 100", SELDOM);
    let waiting: Vec<_> = ["a", "b"]
        .map(|id| {
            let body = vm(id, 1).at(1).line().into_bytes();
            service.source.start("/v1/observations", &[LINES], Some(body))
        })
        .into();
    let metric = || service.operations.get("/metrics").body;
    until("both are taken in", || metric().contains("\ndeployforge_messages_total 2\n"));
    service.stop();
    for request in waiting {
        assert_eq!(request.answer().is(200).json()["durable"], true);
    }
    expect_verdicts(&service.lab, &[("vm a", "in_sync"), ("vm b", "in_sync")]);
}

#[test]
fn a_post_whose_fate_is_not_known_is_told_so() {
    let mut service = Service::new("", "commit: {interval_seconds: 1}");
    service.post(vm("a", 1).at(1).line()).is(200).json();
    // Another process takes the same partition over, as if this one were gone.
    let (other, its_operations) = (free_address(), free_address());
    let config = service.lab.read("http.yaml");
    let config = config.replace(&service.source.address, &other);
    service.lab.write("other.yaml", config.replace(&service.operations.address, &its_operations));
    let mut command = service.lab.command(&["run", "-c", "other.yaml"]);
    command.env("INVENTORY_TOKEN", "example-token");
    let run = Started::of(command, "run -c other.yaml".to_owned(), Vec::new());
    let second = Client::new(&other).with(TOKEN);
    until("the other is ready", || Client::new(&its_operations).get("/readyz").status == 200);
    let line = vm("b", 2).at(2).line();
    second.post("/v1/observations", &[LINES], line).is(200).json();
    run.terminate();
    let _ = run.finish().exits(0);
    // The first is fenced: nothing of its commit is kept.
    let line = vm("c", 1).at(3).line();
    let unknown = service.post(line.clone()).is(503);
    assert!(unknown.header("retry-after").is_some(), "{unknown:?}");
    until("it is taken again", || service.post(line.clone()).status == 200);
    let said = service.stop();
    assert!(said.contains("begins_anew"), "{said}");
    expect_verdicts(&service.lab, &[("vm a", "in_sync"), ("vm b", "drifted"), ("vm c", "in_sync")]);
}

#[test]
fn the_slow_hold_nobody_up() {
    let mut service = Service::new("", QUICK);
    let half = b"POST /v1/observations HTTP/1.1\r\nHost: x\r\n";
    let mut heads: Vec<_> = (0..50).map(|_| service.source.bare(half)).collect();
    let _silent: Vec<_> = (0..50).map(|_| service.source.bare(b"")).collect();
    let body = format!(
        "POST /v1/observations HTTP/1.1\r\nHost: x\r\n{TOKEN}\r\n{LINES}\r\nContent-Length: 100\r\n\r\n{{"
    );
    let mut bodies: Vec<_> = (0..10).map(|_| service.source.bare(body.as_bytes())).collect();
    let start = Instant::now();
    service.post(vm("a", 1).at(1).line()).is(200).json();
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    let closed = until_closed(&mut bodies[0], Duration::from_secs(30)).expect("it is closed");
    assert!(closed.starts_with("HTTP/1.1 408"), "{closed}");
    until_closed(&mut heads[0], Duration::from_secs(30)).expect("it is closed");
    // One that hangs does not keep the process from its end.
    let _hanging = service.source.bare(body.as_bytes());
    service.stop();
    expect_verdicts(&service.lab, &[("vm a", "in_sync")]);
}

#[test]
fn what_cannot_be_served_is_refused_at_the_start() {
    let lab = Lab::new();
    let run = |yaml: &str, more: &[&str]| {
        lab.write("http.yaml", yaml);
        lab.run(&[&["run", "-c", "http.yaml"], more].concat()).exits(2)
    };
    let open = "sources: [{name: in, http: {listen: '0.0.0.0:9'}}]";
    let _ = run(open, &[]).says("needs a `token`");
    let local = format!("sources: [{{name: in, http: {{listen: '{}'}}}}]", free_address());
    let _ = run(&local, &["--once"]).says("never ends");
    let _ = run("listen: '127.0.0.1:9'\nsources: [{name: in, path: x}]", &[]).says("for a stream");
    let unset = local.replace("'}}", "', token: '${DEPLOYFORGE_NO_SUCH}'}}");
    let _ = run(&unset, &[]).says("DEPLOYFORGE_NO_SUCH");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it has an address");
    let busy = format!("sources: [{{name: in, http: {{listen: '{address}'}}}}]");
    let _ = run(&busy, &[]).says("cannot listen");
}

#[test]
fn who_asks_for_something_else_is_told_what_to_ask_for() {
    let mut service = Service::new("", QUICK);
    let said = |answer: &Answer| text(&answer.json(), "error").to_owned();
    let bare = Client::new(&service.source.address);
    for path in ["/", "/health", "/healthz", "/readyz", "/metrics"] {
        let answer = bare.get(path).is(404);
        assert!(said(&answer).contains("`listen`"), "{answer:?}");
    }
    bare.get("/other").is(401).json();
    let answer = service.source.get("/other").is(404);
    assert!(said(&answer).contains("/v1/observations"), "{answer:?}");
    let answer = service.source.get("/v1/observations").is(405);
    assert!(said(&answer).contains("POST"), "{answer:?}");
    assert_eq!(answer.header("allow"), Some("post"));
    let answer = service.source.post("/v1/receipts/0-0", &[LINES], "{}").is(405);
    assert!(said(&answer).contains("GET"), "{answer:?}");
    for kind in ["application/vnd.x+json", "application/vnd.deployforge.x+json"] {
        let kind = format!("Content-Type: {kind}");
        let line = vm("a", 1).at(1).line();
        let answer = service.source.post("/v1/observations", &[&kind], line).is(415);
        assert!(said(&answer).contains("terraform-state"), "{answer:?}");
    }
    let named = "Content-Type: application/vnd.deployforge.native+json";
    service.source.post("/v1/observations", &[named], vm("a", 1).at(1).line()).is(200).json();
    service.stop();
}

#[test]
fn a_stream_without_a_baseline_is_warned_of() {
    let lab = Lab::new();
    let (source, operations) = (free_address(), free_address());
    lab.write(
        "http.yaml",
        format!("listen: '{operations}'\nsources: [{{name: in, http: {{listen: '{source}'}}}}]\n"),
    );
    let run = lab.start(&["run", "-c", "http.yaml"]);
    until("it is ready", || Client::new(&operations).get("/readyz").status == 200);
    run.terminate();
    let outcome = run.finish().exits(0);
    assert_eq!(outcome.stderr.matches("there is no baseline, so every").count(), 1, "{outcome}");
}
