//! A topic checked and committed, against a consumer that only drains it; two workers against one; and how
//! long it takes from a message to its committed verdict.
//!
//! `cargo run --release -p deployforge-benches --example kafka -- [ITEMS [RUNS]]`, after `tests/run.sh` has
//! fetched the broker. Broker, consumer and engine share this machine, so that only ratios mean something.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use deployforge_tests::{Broker, Compression, Lab, Message, binary};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

fn main() {
    let mut args = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let (items, runs) = (args.next().unwrap_or(1_000_000), args.next().unwrap_or(3));
    let broker = Broker::start().expect("a broker: run tests/run.sh first");
    let lab = Lab::new();
    let generate = |name: &str, more: &[&str]| {
        let count = items.to_string();
        let mut args = vec!["generate", "-q", "-n", &count, "-o", name];
        args.extend(more);
        let _ = lab.run(&args).exits(0);
    };
    generate("base.ndjson", &[]);
    generate("seen.ndjson", &["--round", "1", "--drift", "0.02"]);
    generate("again.ndjson", &["--round", "2", "--drift", "0.02"]);
    for (topic, partitions) in [("one", 1), ("two", 2)] {
        broker.topic(topic, partitions);
        fill(&broker, topic, &lab.path("seen.ndjson"));
    }
    let _ = lab.run(&["baseline", "import", "base", "base.ndjson", "-q"]).exits(0);
    println!("Seen for the first time:\n");
    ratios(&broker, (items, runs), &|run| {
        checked(&lab, &broker, ("data", &format!("first-{run}")))
    });
    fill(&broker, "one", &lab.path("again.ndjson"));
    println!("\nSeen before:\n");
    let known = format!("first-{}", runs - 1);
    ratios(&broker, (items, runs), &|run| {
        checked(&lab, &broker, (&known, &format!("again-{run}")))
    });
    println!("\n| run | one worker, s | two workers, s | times |\n|---|---|---|---|");
    for run in 0..runs {
        let one = committed(&lab, &broker, &format!("one-{run}"), 1).as_secs_f64();
        let two = committed(&lab, &broker, &format!("two-{run}"), 2).as_secs_f64();
        println!("| {run} | {one:.2} | {two:.2} | {:.2} |", one / two);
    }
    latency(&lab, &broker);
}

/// Sends a file's lines as messages, keyed by resource.
fn fill(broker: &Broker, topic: &str, file: &Path) {
    let text = std::fs::read_to_string(file).expect("the file was made");
    let producer = broker.producer(Compression::Lz4);
    for line in text.lines() {
        let at = line.find("\"resourceId\":\"").expect("an item has an id") + 14;
        let key = line[at..].split('"').next().unwrap_or_default();
        producer.send(topic, &Message::of(line).key(key));
    }
    producer.flush();
}

/// From the first message to the last, by a consumer that does nothing with them.
fn drain(broker: &Broker, topic: &str, items: u64) -> Duration {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .set("group.id", "drain")
        .set("enable.auto.commit", "false")
        .set("queued.max.messages.kbytes", "65536")
        .set("fetch.message.max.bytes", "4194304")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).expect("a partition");
    consumer.assign(&list).expect("assigned");
    let (mut began, mut read, mut bytes) = (Instant::now(), 0, 0);
    while read < items {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            if read == 0 {
                began = Instant::now();
            }
            read += 1;
            bytes += message.payload().map_or(0, <[u8]>::len);
        }
    }
    assert!(bytes > 0);
    began.elapsed()
}

/// What is checked in a second, against what is drained in one: before it and after it, since the machine
/// wanders.
fn ratios(broker: &Broker, (items, runs): (u64, u64), checked: &dyn Fn(u64) -> f64) {
    println!(
        "| run | drained before and after, messages/s | checked and committed, messages/s | ratio |\n|---|---|---|---|"
    );
    let drained = || items as f64 / drain(broker, "one", items).as_secs_f64();
    for run in 0..runs {
        let before = drained();
        let rate = items as f64 / checked(run);
        let after = drained();
        let ratio = rate * 2.0 / (before + after);
        println!("| {run} | {before:.0}; {after:.0} | {rate:.0} | {ratio:.2} |");
    }
}

/// A copy of a data directory.
fn copy(lab: &Lab, from: &str, to: &str) {
    let status = Command::new("cp").arg("-r").arg(lab.path(from)).arg(lab.path(to)).status();
    assert!(status.expect("`cp` can be started").success());
}

/// Goes on in a copy of a data directory: seconds from the first message to the last commit, as the
/// engine says.
fn checked(lab: &Lab, broker: &Broker, (from, to): (&str, &str)) -> f64 {
    copy(lab, from, to);
    let source = format!("kafka://{}/one?group={to}", broker.address());
    let done = lab.run(&["run", "--once", "--data-dir", to, "--source", &source]);
    let said = done.stderr.lines().find_map(|line| line.split(" messages in ").nth(1));
    let seconds = said.and_then(|said| said.split(' ').next()?.parse().ok());
    seconds.unwrap_or_else(|| panic!("{}", done.stderr))
}

/// From the first commit that the group's tools see to the last.
fn committed(lab: &Lab, broker: &Broker, group: &str, workers: usize) -> Duration {
    copy(lab, "data", group);
    // What is left at the end waits for an interval: a short one, not to measure that.
    let config = format!("{group}.yaml");
    lab.write(
        &config,
        format!(
            "commit: {{interval_seconds: 0.25}}\nsources:\n  - name: two\n    kafka: {{brokers: '{}', topics: [two], group: {group}}}\n",
            broker.address()
        ),
    );
    let run = || {
        let log = format!("{group}.log");
        lab.start_logged(&["run", "-q", "--data-dir", group, "-c", &config], &log)
    };
    let started: Vec<_> = (0..workers).map(|_| run()).collect();
    let ends: Vec<Option<i64>> = broker.ends("two").into_iter().map(Some).collect();
    let mut began = None;
    let took = loop {
        let now = broker.committed(group, "two");
        if now.iter().any(Option::is_some) {
            began.get_or_insert_with(Instant::now);
        }
        if now == ends {
            break began.unwrap_or_else(Instant::now).elapsed();
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    for worker in started {
        worker.terminate();
        let _ = worker.finish();
    }
    std::fs::remove_dir_all(lab.path(group)).expect("our own folder");
    took
}

/// From the sending of a message to the commit of its verdict, with a commit each second.
fn latency(lab: &Lab, broker: &Broker) {
    broker.topic("slow", 1);
    lab.write(
        "slow.yaml",
        format!(
            "data_dir: slow\ncommit: {{interval_seconds: 1}}\nsources:\n  - name: slow\n    kafka: {{brokers: '{}', topics: [slow], group: slow}}\n",
            broker.address()
        ),
    );
    let worker =
        lab.start_logged(&["run", "-q", "-c", "slow.yaml", "--data-dir", "slow"], "slow.log");
    let producer = broker.producer(Compression::None);
    for n in 0..10_000 {
        let now = Command::new("date").args(["-u", "+%FT%T.%6NZ"]).output().expect("`date`").stdout;
        let now = String::from_utf8_lossy(&now);
        let record = format!(
            r#"{{"provider":"p","type":"t","id":"{n}","observed_at":"{}","attributes":{{}}}}"#,
            now.trim()
        );
        producer.send("slow", &Message::of(record));
        if n % 100 == 0 {
            producer.flush();
        }
    }
    producer.flush();
    std::thread::sleep(Duration::from_secs(4));
    worker.terminate();
    let _ = worker.finish();
    let sql = "select count(*) as n, approx_percentile_cont(ms, 0.5) as p50, approx_percentile_cont(ms, 0.99) as p99 from (select (cast(committed_at as bigint) - cast(observed_at as bigint)) / 1000 as ms from verdict_transitions)";
    let told = Command::new(binary())
        .args(["query", sql, "--data-dir", "slow"])
        .current_dir(lab.folder())
        .output()
        .expect("a query");
    println!("\nmilliseconds from a message to its committed verdict, a commit each second:\n");
    println!("{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
}
