//! What a worker knows goes on in the next one: sweeps, baselines, verdicts.

use std::time::{Duration, Instant};

use deployforge_tests::{Broker, Lab, Message, text};

use crate::support::{expect_verdicts, sizes};

const GROUP: &str = "
sources:
  - name: s
    kafka:
      brokers: BROKERS
      topics: [TOPIC]
      group: TOPIC
      rejects: {messages: 1000, share: 0.5, pause_seconds: 2}
      properties: {session.timeout.ms: '1500', heartbeat.interval.ms: '300'}
commit: {interval_seconds: 0.1}
";

fn lab(broker: &Broker, topic: &str) -> Lab {
    let lab = Lab::new();
    broker.topic(topic, 1);
    let config = GROUP.replace("BROKERS", &broker.address()).replace("TOPIC", topic);
    lab.write("s.yaml", config);
    lab
}

fn vm(id: &str, size: &str, version: u64) -> String {
    format!(
        r#"{{"provider":"acme","account":"a","region":"r","type":"vm","id":"{id}","version":{version},"attributes":{{"size":"{size}"}}}}"#
    )
}

#[track_caller]
fn once(lab: &Lab) -> String {
    lab.run(&["run", "--once", "-c", "s.yaml"]).stderr
}

/// Waits until a query has the rows that are wanted.
#[track_caller]
fn until(lab: &Lab, what: &str, holds: impl Fn(&Lab) -> bool) {
    let start = Instant::now();
    while !holds(lab) {
        let log = std::fs::read_to_string(lab.path("0.log")).unwrap_or_default();
        assert!(start.elapsed() < Duration::from_mins(1), "{what}\n{log}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_sweep_goes_on_in_the_next_worker() {
    let Some(broker) = Broker::shared() else { return };
    let lab = lab(broker, "sweep");
    lab.write("base.ndjson", ["a", "b", "c"].map(|id| vm(id, "l", 0)).join("\n"));
    let _ = lab.run(&["baseline", "import", "b", "base.ndjson"]).exits(0);
    let scope = r#"{"provider":"acme","account":"a"}"#;
    let start = format!(r#"{{"sweep":"start","id":"1","scope":{scope}}}"#);
    broker.produce("sweep", [vm("c", "l", 1), start, vm("a", "l", 1)].map(Message::of));
    once(&lab);
    let seen = [("vm a", "in_sync"), ("vm c", "in_sync")];
    expect_verdicts(&lab, &seen);
    // The rest of it, to a process that knows of its beginning only what the first one kept.
    let end = r#"{"sweep":"end","id":"1"}"#.to_owned();
    broker.produce("sweep", [vm("b", "m", 1), end].map(Message::of));
    once(&lab);
    let all = [("vm a", "in_sync"), ("vm b", "drifted"), ("vm c", "missing")];
    expect_verdicts(&lab, &all);
}

#[test]
fn a_baseline_that_changes_beside_a_worker_or_without_one_is_judged_by() {
    let Some(broker) = Broker::shared() else { return };
    let lab = lab(broker, "swaps");
    let import = |sizes: [&str; 3]| {
        let rows = ["a", "b", "c"].into_iter().zip(sizes).map(|(id, size)| vm(id, size, 0));
        lab.write("base.ndjson", rows.collect::<Vec<_>>().join("\n"));
        let _ = lab.run(&["baseline", "import", "b", "base.ndjson"]).exits(0);
    };
    import(["l", "l", "l"]);
    broker.produce("swaps", [vm("a", "l", 1), vm("b", "m", 1), vm("c", "l", 1)].map(Message::of));
    let worker = lab.start_logged(&["run", "-c", "s.yaml"], "0.log");
    until(&lab, "the first verdicts", |lab| {
        lab.path("data/history/verdicts/_delta_log").is_dir() && lab.count("verdicts") == 3
    });
    import(["l", "m", "s"]);
    until(&lab, "the second version", |lab| lab.read("0.log").contains("baselines are now b@2"));
    worker.terminate();
    assert_eq!(worker.finish().code, Some(0));
    expect_verdicts(&lab, &[("vm a", "in_sync"), ("vm b", "in_sync"), ("vm c", "drifted")]);
    // Changed while nobody runs, and nothing new comes.
    import(["m", "m", "l"]);
    let said = once(&lab);
    assert!(said.contains("baselines are now b@3"), "{said}");
    expect_verdicts(&lab, &[("vm a", "drifted"), ("vm b", "in_sync"), ("vm c", "in_sync")]);
    let before = sizes(&lab);
    once(&lab);
    assert_eq!(sizes(&lab), before);
}

#[test]
fn what_comes_late_is_late_for_the_next_worker_too() {
    let Some(broker) = Broker::shared() else { return };
    let lab = lab(broker, "late");
    lab.write("base.ndjson", vm("a", "l", 0));
    let _ = lab.run(&["baseline", "import", "b", "base.ndjson"]).exits(0);
    // In sync from the first to the ninth version: no verdict is put out after the first.
    broker.produce("late", [1, 5, 9].map(|version| Message::of(vm("a", "l", version))));
    once(&lab);
    broker.produce("late", [Message::of(vm("a", "m", 7)), Message::of(vm("a", "l", 9))]);
    let said = once(&lab);
    assert!(said.contains("1 observations were older"), "{said}");
    expect_verdicts(&lab, &[("vm a", "in_sync")]);
    assert_eq!(lab.count("finding_transitions"), 0);
}

#[test]
fn a_partition_that_is_mostly_refused_is_paused_and_tried_again() {
    let Some(broker) = Broker::shared() else { return };
    let lab = lab(broker, "breaker");
    let junk = "x".repeat(10_000);
    broker.produce("breaker", (0..4000).map(|n| Message::of(format!("{n} {junk}"))));
    let worker = lab.start_logged(&["run", "-c", "s.yaml"], "0.log");
    let paused = "too much is refused";
    until(&lab, "the pause", |lab| lab.read("0.log").contains(paused));
    // What was read before the pause is committed a little later.
    until(&lab, "the first of it", |lab| lab.count("rejects") > 0);
    let early = lab.count("rejects");
    assert!(early < 4000, "{early}");
    until(&lab, "reading on", |lab| lab.read("0.log").contains("reads on"));
    until(&lab, "all of it", |lab| lab.count("rejects") == 4000);
    worker.terminate();
    assert_eq!(worker.finish().code, Some(0));
}

#[test]
fn reading_begins_where_it_is_told_to() {
    let Some(broker) = Broker::shared() else { return };
    let at = |id: &str, millis: i64| Message::of(vm(id, "l", 1)).at(millis);
    for (topic, start, ids) in [
        ("start-time", "2023-11-14T22:13:21Z", &["b", "c"][..]),
        ("start-earliest", "earliest", &["a", "b", "c"]),
        ("start-latest", "latest", &[]),
    ] {
        let lab = lab(broker, topic);
        let base = 1_700_000_000_000;
        broker.produce(topic, [at("a", base), at("b", base + 1000), at("c", base + 2000)]);
        let config =
            lab.read("s.yaml").replace("topics:", &format!("start: {start}\n      topics:"));
        lab.write("s.yaml", config);
        once(&lab);
        let read = |lab: &Lab| -> Vec<String> {
            let rows = lab.query("select id from verdicts order by id");
            rows.iter().map(|row| text(row, "id").to_owned()).collect()
        };
        assert_eq!(read(&lab), ids, "{start}");
        // What was begun goes on where it was, whatever `start` says.
        broker.produce(topic, [Message::of(vm("d", "l", 1))]);
        once(&lab);
        assert_eq!(read(&lab), [ids, &["d"]].concat(), "{start}");
    }
}

#[test]
fn what_grew_stale_is_so_for_the_next_worker_too() {
    let Some(broker) = Broker::shared() else { return };
    let lab = lab(broker, "stale");
    let config = lab.read("s.yaml");
    lab.write("s.yaml", format!("stale_after_seconds: 3\n{config}"));
    lab.write("base.ndjson", ["a", "b"].map(|id| vm(id, "l", 0)).join("\n"));
    let _ = lab.run(&["baseline", "import", "b", "base.ndjson"]).exits(0);
    broker.produce("stale", [vm("a", "l", 1), vm("b", "m", 1)].map(Message::of));
    let worker = lab.start_logged(&["run", "-c", "s.yaml"], "0.log");
    until(&lab, "both are stale", |lab| {
        lab.path("data/history/verdicts/_delta_log").is_dir()
            && lab.count("verdicts where reason = 'stale'") == 2
    });
    worker.terminate();
    assert_eq!(worker.finish().code, Some(0));
    let before = sizes(&lab);
    let source = lab.query("select distinct source from coverage where unknown > 0");
    assert_eq!(text(&source[0], "source"), "s");
    // The next process neither forgets it nor says it again.
    once(&lab);
    assert_eq!(sizes(&lab), before);
    broker.produce("stale", [vm("a", "l", 1), vm("b", "m", 2)].map(Message::of));
    once(&lab);
    expect_verdicts(&lab, &[("vm a", "in_sync"), ("vm b", "drifted")]);
}
