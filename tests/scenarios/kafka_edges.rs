//! Streams where things are not as usual: passwords, many workers, topics that lose messages, clocks that
//! are wrong.

use std::time::{Duration, Instant};

use deployforge_tests::{
    Broker, Client, Compression, Inventory, Lab, Message, Round, Started, free_address, number,
    text,
};
use serde_json::{Value, json};

use crate::kafka_kill::same_history;
use crate::support::import;
use crate::watch::until;

const COUNT: u64 = 1000;

fn vm(id: &str, n: u64, observed_at: &str) -> Message {
    let line = format!(
        r#"{{"provider":"acme","account":"a","region":"r","type":"vm","id":"{id}","observed_at":"{observed_at}","attributes":{{"n":{n}}}}}"#
    );
    Message::of(line).key(id)
}

/// A lab with one machine in its baseline, and a topic of one partition.
fn machine(broker: &Broker, topic: &str) -> Lab {
    let lab = Lab::new();
    let base = r#"{"provider":"acme","account":"a","region":"r","type":"vm","id":"a","attributes":{"n":1}}"#;
    lab.write("base.ndjson", base);
    let _ = import(&lab, "base.ndjson");
    broker.topic(topic, 1);
    lab
}

fn source(broker: &Broker, topic: &str) -> String {
    format!("kafka://{}/{topic}?group={topic}", broker.address())
}

#[test]
fn a_stream_and_its_bus_go_over_tls_with_a_password() {
    let Some(broker) = Broker::secure() else { return };
    broker.topic("bus", 1);
    for (mechanism, topic) in [("PLAIN", "plain"), ("SCRAM-SHA-512", "scram")] {
        let lab = machine(&broker, topic);
        broker.produce(topic, [vm("a", 2, "2026-11-20T10:00:00Z")]);
        let (address, properties) = broker.access(mechanism);
        let password = |value: &str| {
            let lines = properties.iter().map(|(name, text)| {
                let text = if *name == "sasl.password" { value } else { text };
                format!("        {name}: '{text}'\n")
            });
            lines.collect::<String>()
        };
        let config = |value: &str| {
            let properties = password(value);
            format!(
                "sources:\n  - name: s\n    kafka:\n      brokers: {address}\n      topics: [{topic}]\n      group: {topic}\n      properties:\n{properties}events:\n  brokers: {address}\n  topic: bus\n  group: {topic}.bus\n  properties:\n{properties}"
            )
        };
        lab.write("s.yaml", config("${DRIFT_PASSWORD}"));
        let mut command = lab.command(&["run", "--once", "-c", "s.yaml"]);
        command.env("DRIFT_PASSWORD", "example-password");
        let ended = Started::of(command, "run".to_owned(), Vec::new()).finish().exits(1);
        assert_eq!(lab.count("current_findings"), 1, "{}", ended.stderr);
        let told = broker.drain("bus").len();
        assert!(told > 0, "{}", ended.stderr);
        // A wrong one is told, and not what it is.
        lab.write("wrong.yaml", config("not-the-password"));
        let mut wrong = lab.start_logged(&["run", "-c", "wrong.yaml"], "log");
        until("it says so", || {
            let log = lab.read("log");
            log.contains("source_trouble") && log.contains("events_trouble")
        });
        wrong.kill();
        let log = lab.read("log");
        assert!(log.contains("Authentication failed"), "{log}");
        assert!(!log.contains("not-the-password"), "{log}");
        // So is a certificate that nobody vouches for.
        let untrusted = config("x");
        let lines: Vec<&str> =
            untrusted.lines().filter(|line| !line.contains("ssl.ca.location")).collect();
        lab.write("trust.yaml", lines.join("\n"));
        let mut wrong = lab.start_logged(&["run", "-c", "trust.yaml"], "trust.log");
        until("it says so", || lab.read("trust.log").contains("certificate verify failed"));
        wrong.kill();
    }
}

#[test]
fn a_clock_that_is_ahead_freezes_nothing() {
    let Some(broker) = Broker::shared() else { return };
    let lab = machine(broker, "skew");
    // A year ahead, taken as five minutes; the next is a year ahead too, and newer.
    broker.produce("skew", [vm("a", 2, "2036-11-20T10:00:00Z")]);
    let once = || lab.run(&["run", "--once", "--quiet", "--source", &source(broker, "skew")]);
    let _ = once().exits(1);
    let ahead = "select count(*) as n from verdict_transitions \
        where observed_at > ingested_at + interval '5 minutes 1 second'";
    assert_eq!(number(&lab.query(ahead)[0], "n"), 0);
    std::thread::sleep(Duration::from_millis(20));
    broker.produce("skew", [vm("a", 1, "2036-11-20T10:00:01Z")]);
    let _ = once().exits(0);
    assert_eq!(lab.count("current_findings"), 0);
    // What is behind changes nothing.
    broker.produce("skew", [vm("a", 3, "2020-11-20T10:00:01Z")]);
    let _ = once().exits(0);
    assert_eq!(lab.count("current_findings"), 0);
}

#[test]
fn what_retention_removed_is_told() {
    let Some(broker) = Broker::shared() else { return };
    let lab = machine(broker, "retention");
    let read = |code: i32| {
        let command = lab.command(&["run", "--once", "--source", &source(broker, "retention")]);
        Started::of(command, "run".to_owned(), Vec::new()).finish().exits(code)
    };
    broker.produce("retention", [vm("a", 2, "2026-11-20T10:00:00Z")]);
    let _ = read(1);
    broker.produce("retention", (3..8).map(|n| vm("a", n, &format!("2026-11-20T10:00:0{n}Z"))));
    broker.forget("retention", 0, 5);
    let told = read(1);
    assert!(told.stderr.contains("messages=4"), "{}", told.stderr);
    let observed = lab.query("select observed from current_findings");
    assert_eq!(text(&observed[0], "observed"), "7");
}

#[test]
fn a_topic_that_was_made_again_is_not_mixed_with_the_one_before() {
    let Some(broker) = Broker::shared() else { return };
    let lab = machine(broker, "again");
    broker.produce("again", (1..5).map(|n| vm("a", n, &format!("2026-11-20T10:00:0{n}Z"))));
    let once = || lab.run(&["run", "--once", "--quiet", "--source", &source(broker, "again")]);
    let _ = once().exits(1);
    broker.remove_topic("again");
    broker.topic("again", 1);
    broker.produce("again", [vm("a", 1, "2026-11-20T11:00:00Z")]);
    let _ = once().exits(2).says("deleted and made again");
}

#[test]
fn transactions_are_read_where_they_were_committed_and_have_an_end() {
    let Some(broker) = Broker::shared() else { return };
    let lab = machine(broker, "transactions");
    broker.transaction("transactions", &[vm("a", 2, "2026-11-20T10:00:01Z")], true);
    broker.transaction("transactions", &[vm("a", 3, "2026-11-20T10:00:02Z")], false);
    let args = ["run", "--once", "--quiet", "--source", &source(broker, "transactions")];
    let _ = lab.run(&args).exits(1);
    let observed = lab.query("select observed from current_findings");
    assert_eq!(text(&observed[0], "observed"), "2");
    // Nothing is left, and that is seen too.
    let _ = lab.run(&args).exits(1);
    lab.write(
        "s.yaml",
        format!(
            "sources: [{{name: s, kafka: {{brokers: '{}', topics: [transactions], properties: {{isolation.level: read_uncommitted}}}}}}]",
            broker.address()
        ),
    );
    let _ = lab.run(&["run", "--once", "-c", "s.yaml"]).exits(2).says("isolation.level");
}

#[test]
fn a_message_of_very_many_records_or_a_very_long_name_is_refused() {
    let Some(broker) = Broker::shared() else { return };
    let lab = machine(broker, "many");
    let producer = broker.producer(Compression::Zstd);
    // A few kilobytes on the wire.
    producer.send("many", &Message::of("{}\n".repeat(300_000)));
    producer.send("many", &Message::of("{\n}\n".repeat(2000)));
    producer.send("many", &vm(&"x".repeat(5000), 1, "2026-11-20T10:00:01Z"));
    producer.send("many", &vm("a", 2, "2026-11-20T10:00:01Z"));
    producer.flush();
    let _ = lab.run(&["run", "--once", "--quiet", "--source", &source(broker, "many")]).exits(2);
    let rejects =
        lab.query("select code, \"offset\", count(*) as n from rejects group by 1, 2 order by 2");
    let row = |code, offset, n| json!({"code": code, "offset": offset, "n": n});
    assert_eq!(rejects[0], row("too_large", 0, 1));
    assert_eq!(
        (&rejects[1]["offset"], &rejects[1]["n"]),
        (&json!(1), &json!(1)),
        "the same is one"
    );
    assert_eq!(rejects[2], row("bad_field", 2, 1));
    assert_eq!(lab.count("current_findings"), 1);
}

#[test]
fn what_was_removed_while_a_worker_slept_is_told() {
    let Some(broker) = Broker::shared() else { return };
    let lab = machine(broker, "slept");
    broker.produce("slept", [vm("a", 2, "2026-11-20T10:00:00Z")]);
    let worker = lab.start_logged(&["run", "--source", &source(broker, "slept")], "log");
    let ends = vec![Some(1)];
    until("it reads", || broker.committed("slept", "slept") == ends);
    worker.signal("STOP");
    let time = |n: u64| format!("2026-11-20T10:00:{n:02}Z");
    // What was asked for before it slept may be answered while it does: with this one.
    broker.produce("slept", [vm("a", 9, &time(9))]);
    std::thread::sleep(Duration::from_millis(300));
    broker.produce("slept", (10..29).map(|n| vm("a", n, &time(n))));
    broker.forget("slept", 0, 15);
    worker.signal("CONT");
    until("it says so", || lab.read("log").contains("messages_lost"));
    let log = lab.read("log");
    assert!(log.contains("messages=13") || log.contains("messages=14"), "{log}");
    worker.terminate();
    let _ = worker.finish();
    let observed = lab.query("select observed from current_findings");
    assert_eq!(text(&observed[0], "observed"), "28");
}

#[test]
fn a_partition_of_which_much_is_refused_is_paused_and_its_lag_is_told() {
    let Some(broker) = Broker::shared() else { return };
    let lab = machine(broker, "breaker-lag");
    let operations = free_address();
    lab.write(
        "s.yaml",
        format!(
            "listen: '{operations}'\nsources: [{{name: s, kafka: {{brokers: '{}', topics: [breaker-lag], group: breaker-lag, rejects: {{pause_seconds: 3600}}}}}}]",
            broker.address()
        ),
    );
    let producer = broker.producer(Compression::Zstd);
    (0..3000).for_each(|n| producer.send("breaker-lag", &Message::of(format!("bad {n}")).key("a")));
    producer.flush();
    let worker = lab.start_logged(&["run", "-c", "s.yaml"], "log");
    until("it is paused", || lab.read("log").contains("partition_paused"));
    until("what is refused is told", || lab.read("log").contains("records_refused"));
    (0..50).for_each(|_| producer.send("breaker-lag", &vm("a", 1, "2026-11-20T10:00:00Z")));
    producer.flush();
    let lag = r#"deployforge_partition_lag_messages{topic="breaker-lag",partition="0"} 50"#;
    until("its lag is told", || Client::new(&operations).get("/metrics").body.contains(lag));
    worker.terminate();
    assert_eq!(worker.finish().code, Some(0));
}

fn stream(broker: &Broker, topic: &str, strategy: &str) -> Lab {
    let lab = Lab::new();
    lab.write("base.ndjson", Inventory { count: COUNT, seed: 3 }.text(Round::default()).0);
    let _ = import(&lab, "base.ndjson");
    let config = |group: &str| {
        format!(
            "commit: {{interval_seconds: 0.1, rows: 500}}\nsources:\n  - name: inventory\n    kafka:\n      brokers: {}\n      topics: [{topic}]\n      group: {group}\n      properties: {{session.timeout.ms: '3000', heartbeat.interval.ms: '300', partition.assignment.strategy: {strategy}}}\n",
            broker.address()
        )
    };
    lab.write("stream.yaml", config(topic));
    lab.write("calm.yaml", config(&format!("{topic}.calm")));
    lab
}

fn produce(broker: &Broker, topic: &str, round: u64) {
    let round = Round { number: round, drifting: 100, missing: 20, unmanaged: 10 };
    let (lines, _) = Inventory { count: COUNT, seed: 3 }.text(round);
    let keyed = |line: &str| {
        let record: Value = serde_json::from_str(line).expect("a record");
        Message::of(line).key(text(&record, "resourceId"))
    };
    broker.produce(topic, lines.lines().map(keyed));
}

/// Workers come and go in order while messages come; the group's protocol is `strategy`.
fn three_workers(topic: &str, strategy: &str) {
    let Some(broker) = Broker::shared() else { return };
    broker.topic(topic, 6);
    let lab = stream(broker, topic, strategy);
    let worker =
        |which: usize| lab.start_logged(&["run", "-c", "stream.yaml"], &format!("{which}.log"));
    let mut workers = vec![worker(0)];
    // A broker's first group takes seconds to be made.
    until("the first one has partitions", || lab.read("0.log").contains("partitions_come"));
    for round in 1..=12 {
        produce(broker, topic, round);
        std::thread::sleep(Duration::from_millis(400));
        match round {
            2 | 4 => workers.push(worker(workers.len())),
            7 => {
                let first = workers.remove(0);
                first.terminate();
                assert_eq!(first.finish().code, Some(0));
            }
            9 => workers.push(worker(3)),
            _ => {}
        }
    }
    let start = Instant::now();
    let ends: Vec<Option<i64>> = broker.ends(topic).into_iter().map(Some).collect();
    while broker.committed(topic, topic) != ends {
        assert!(start.elapsed() < Duration::from_secs(90), "{:?}", broker.committed(topic, topic));
        std::thread::sleep(Duration::from_millis(200));
    }
    // On a busy machine the last one may join when all is read.
    until("the last one has partitions", || lab.read("3.log").contains("partitions_come"));
    for worker in workers {
        worker.terminate();
        assert_eq!(worker.finish().code, Some(0));
    }
    let calm = stream(broker, topic, "range");
    let _ = calm.run(&["run", "--once", "-c", "calm.yaml", "--quiet"]).exits(1);
    same_history(&lab, &calm);
    // Each of them had something to do.
    for which in 0..4 {
        assert!(lab.read(&format!("{which}.log")).contains("partitions_come"), "worker {which}");
    }
}

#[test]
fn three_workers_come_and_go() {
    three_workers("three", "range");
}

#[test]
fn three_workers_come_and_go_cooperatively() {
    three_workers("cooperative", "cooperative-sticky");
}
