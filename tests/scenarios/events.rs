//! The event bus: what the history holds is told, once and in order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use deployforge_tests::make::Native;
use deployforge_tests::{
    Broker, Client, Inventory, Lab, Message, Round, Started, free_address, root, text,
};
use serde_json::{Value, json};

use crate::support::import;
use crate::watch::until;

/// Ids of the events that the tables call for.
const DUE: &str = "select finding_id || '-' || sequence as id from finding_transitions \
    where (fold is null and kind <> 'reordered') or transition = 'changed' \
    union all select resource_id || '-' || sequence from verdict_transitions";

fn due(lab: &Lab) -> BTreeSet<String> {
    lab.query(DUE).iter().map(|row| text(row, "id").to_owned()).collect()
}

/// Changes of three machines, one after the other.
fn changes() -> String {
    let at = |id: &str, n: u64, at: u64| Native::new("vm", id, json!({"n": n})).at(at).line();
    [at("a", 1, 1), at("b", 2, 2), at("b", 3, 3), at("b", 1, 4), at("x", 1, 5)].concat()
}

fn lab() -> Lab {
    let lab = Lab::new();
    let vm = |id: &str| Native::new("vm", id, json!({"n": 1})).line();
    lab.write("base.ndjson", ["a", "b", "c"].map(vm).concat());
    let _ = import(&lab, "base.ndjson");
    lab.write("in.ndjson", changes());
    lab
}

/// The schema of each type's events, out of the document.
fn schemas() -> BTreeMap<String, Value> {
    let path = root().join("docs/reference/events.asyncapi.json");
    let document =
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let messages = document["components"]["messages"].as_object().expect("messages");
    let schema = |message: &Value| {
        let mut schema = message["payload"].clone();
        // What the payload refers to stands in the document.
        schema["components"] = document["components"].clone();
        (text(message, "name").to_owned(), schema)
    };
    messages.values().map(schema).collect()
}

/// Each event is what the document says of its type.
fn fits(event: &Value, schemas: &BTreeMap<String, Value>) {
    let schema = schemas.get(text(event, "type")).unwrap_or_else(|| panic!("{event}"));
    let validator = jsonschema::validator_for(schema).expect("the document has schemas");
    let errors: Vec<String> = validator.iter_errors(event).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{event}: {errors:?}");
}

#[test]
fn each_transition_is_an_event_that_the_document_describes() {
    let lab = lab();
    let _ = lab.run(&["run", "--once", "--quiet", "--source", "in.ndjson"]).exits(1);
    let events = lab.run(&["events"]).exits(0).lines();
    let types: Vec<&str> = events.iter().map(|event| text(event, "type")).collect();
    let count = |name: &str| types.iter().filter(|one| **one == name).count();
    assert_eq!(count("deployforge.finding.opened.v1"), 1);
    assert_eq!(count("deployforge.finding.changed.v1"), 1);
    assert_eq!(count("deployforge.finding.closed.v1"), 1);
    let schemas = schemas();
    assert_eq!(schemas.len(), 4, "each type is described");
    events.iter().for_each(|event| fits(event, &schemas));
    let ids: Vec<String> = events.iter().map(|event| text(event, "id").to_owned()).collect();
    assert_eq!(BTreeSet::from_iter(ids.clone()), due(&lab));
    assert_eq!(ids.len(), due(&lab).len());
    let opened = &events[types.iter().position(|one| one.contains("opened")).expect("one")];
    assert_eq!(opened["data"]["path"], "/n");
    assert_eq!((&opened["data"]["expected"], &opened["data"]["observed"]), (&json!(1), &json!(2)));
    assert_eq!(opened["data"]["baseline"], json!({"name": "b", "version": 1}));
    // From a commit on, and so many.
    let commit = events[0]["data"]["commit"].as_u64().expect("a number").to_string();
    assert_eq!(lab.run(&["events", "--after", &commit]).exits(0).text(), "");
    assert_eq!(lab.run(&["events", "--limit", "2"]).exits(0).lines(), events[..2]);
}

#[test]
fn what_does_not_count_is_not_told() {
    let lab = Lab::new();
    let vm = |state: Value| Native::new("vm", "a", state);
    lab.write("base.ndjson", vm(json!({"n": 1})).line());
    let _ = import(&lab, "base.ndjson");
    // Empty and absent are one.
    lab.write("in.ndjson", vm(json!({"n": 1, "tags": {}})).at(1).line());
    let _ = lab.run(&["run", "--once", "--quiet", "--source", "in.ndjson"]).exits(0);
    assert_eq!(lab.count("finding_transitions"), 1);
    let events = lab.run(&["events"]).exits(0).lines();
    let types: Vec<&str> = events.iter().map(|event| text(event, "type")).collect();
    assert_eq!(types, ["deployforge.verdict.changed.v1"]);
}

#[test]
fn a_group_publishes_one_history() {
    let Some(broker) = Broker::shared() else { return };
    broker.topic("one-history", 1);
    let config = format!(
        "events: {{brokers: '{}', topic: one-history, group: one-history}}\nsources: [{{name: s, path: in.ndjson}}]\n",
        broker.address()
    );
    let run = |lab: &Lab| {
        lab.write("bus.yaml", &config);
        lab.run(&["run", "--once", "-c", "bus.yaml"]).exits(1).stderr
    };
    let (one, other) = (lab(), lab());
    let _ = run(&one);
    let told = broker.drain("one-history").len();
    assert!(told > 0);
    // As many commits, and not the same.
    let said = run(&other);
    assert!(said.contains("publishes another history"), "{said}");
    assert_eq!(broker.drain("one-history").len(), told);
    // The first goes on.
    one.write("in.ndjson", changes() + &Native::new("vm", "a", json!({"n": 7})).at(9).line());
    let _ = run(&one);
    assert!(broker.drain("one-history").len() > told);
}

#[test]
fn commits_that_are_gone_are_told_of() {
    let lab = lab();
    let _ = lab.run(&["run", "--once", "--quiet", "--source", "in.ndjson"]).exits(1);
    lab.write("more.ndjson", Native::new("vm", "a", json!({"n": 5})).at(9).line());
    let _ = lab.run(&["run", "--once", "--quiet", "--source", "more.ndjson"]).exits(1);
    let ledger = lab.path("data/history/ledger");
    std::fs::remove_file(ledger.join(format!("{:020}.json", 1))).expect("the first commit");
    let events = lab.run(&["events", "--after", "0"]).exits(0).says("1 commit before them");
    assert_eq!(events.lines().len(), 2);
    let all_there_is = lab.run(&["events"]).exits(0);
    assert_eq!((all_there_is.lines().len(), &*all_there_is.stderr), (2, ""));
}

fn config(broker: &Broker, topic: &str, more: &str) -> String {
    format!(
        "events:\n  brokers: {}\n  topic: {topic}\n  group: {topic}.publisher\n  properties: {{session.timeout.ms: '1500', heartbeat.interval.ms: '300'}}\n{more}",
        broker.address()
    )
}

/// Events that readers of what is committed see, in the order of each partition.
fn published(broker: &Broker, topic: &str) -> Vec<(Vec<u8>, Value)> {
    let read = broker.drain(topic).into_iter().map(|read| {
        let body = read.payload.expect("an event");
        let header =
            ("content-type".to_owned(), b"application/cloudevents+json; charset=UTF-8".to_vec());
        assert_eq!(read.headers, [header]);
        (read.key.expect("a key"), serde_json::from_slice(&body).expect("JSON"))
    });
    read.collect()
}

/// Each event that the tables call for once, those of a resource in order.
fn are_whole(broker: &Broker, topic: &str, lab: &Lab) {
    let events = published(broker, topic);
    let mut ids = BTreeSet::new();
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for (key, event) in &events {
        assert!(ids.insert(text(event, "id").to_owned()), "twice: {event}");
        let subject = text(event, "subject");
        assert_eq!(key, subject.as_bytes());
        let sequence = text(event, "sequence");
        let before = last.insert(subject, sequence);
        assert!(before.is_none_or(|before| before < sequence), "{before:?} before {event}");
    }
    assert_eq!(ids, due(lab));
}

#[test]
fn a_run_publishes_what_it_commits() {
    let Some(broker) = Broker::shared() else { return };
    broker.topic("bus-files", 3);
    let lab = lab();
    lab.write("bus.yaml", config(broker, "bus-files", ""));
    let run = |file: &str, code: i32| {
        lab.run(&["run", "--once", "--quiet", "-c", "bus.yaml", "--source", file]).exits(code)
    };
    let _ = run("in.ndjson", 1);
    are_whole(broker, "bus-files", &lab);
    // The next one goes on from there.
    lab.write("more.ndjson", Native::new("vm", "a", json!({"n": 5})).at(9).line());
    let _ = run("more.ndjson", 1);
    are_whole(broker, "bus-files", &lab);
    let printed = lab.run(&["events"]).exits(0).lines();
    let told: BTreeSet<String> =
        published(broker, "bus-files").into_iter().map(|(_, event)| event.to_string()).collect();
    assert_eq!(told, printed.iter().map(Value::to_string).collect());
}

#[test]
fn some_types_alone_are_published_and_from_now_on() {
    let Some(broker) = Broker::shared() else { return };
    broker.topic("bus-types", 1);
    let lab = lab();
    let _ = lab.run(&["run", "--once", "--quiet", "--source", "in.ndjson"]).exits(1);
    let more = "  start: latest\n  types: [deployforge.finding.opened.v1]\n";
    lab.write("bus.yaml", config(broker, "bus-types", more));
    lab.write("inbox/more.ndjson", Native::new("vm", "a", json!({"n": 5})).at(9).line());
    // It has no position yet, and begins behind what is there when it leads.
    let watching = lab.start(&["run", "--quiet", "-c", "bus.yaml", "--watch", "--source", "inbox"]);
    until("it leads", || lab.path("data/history/followers/bus-types.publisher.json").exists());
    lab.write("inbox/now.ndjson", Native::new("vm", "c", json!({"n": 7})).at(9).line());
    let told = || published(broker, "bus-types");
    until("it is told", || told().iter().any(|(_, event)| event["data"]["observed"] == 7));
    watching.terminate();
    assert_eq!(watching.finish().code, Some(0));
    assert!(told().iter().all(|(_, event)| event["type"] == "deployforge.finding.opened.v1"));
}

#[test]
fn a_bus_that_is_not_there_is_told_and_holds_nothing_up() {
    let Some(broker) = Broker::shared() else { return };
    let lab = lab();
    lab.write("bus.yaml", config(broker, "bus-nowhere", ""));
    let running = lab.start_logged(&["run", "-c", "bus.yaml", "--watch", "--source", "."], "log");
    until("it says so", || lab.read("log").contains("there is no topic `bus-nowhere`"));
    until("it judges", || lab.path("data/history/verdicts").exists());
    broker.topic("bus-nowhere", 1);
    until("it publishes", || !published(broker, "bus-nowhere").is_empty());
    running.terminate();
    assert_eq!(running.finish().code, Some(0));
    assert!(lab.read("log").contains("events_lead"));
    // Another history under the same name is not mixed with it.
    let other = Lab::new();
    other.write("base.ndjson", Native::new("vm", "a", json!({"n": 1})).line());
    let _ = import(&other, "base.ndjson");
    other.write("bus.yaml", config(broker, "bus-nowhere", ""));
    let mut running =
        other.start_logged(&["run", "-c", "bus.yaml", "--watch", "--source", "."], "log");
    until("it says so", || other.read("log").contains("publishes another history"));
    running.kill();
}

const TOPIC: &str = "bus-in";
const COUNT: u64 = 500;

fn stream(broker: &Broker) -> Lab {
    let lab = Lab::new();
    lab.write("base.ndjson", Inventory { count: COUNT, seed: 5 }.text(Round::default()).0);
    let _ = import(&lab, "base.ndjson");
    let source = format!(
        "commit: {{interval_seconds: 0.1}}\nsources:\n  - name: inventory\n    kafka:\n      brokers: {}\n      topics: [{TOPIC}]\n      properties: {{session.timeout.ms: '1500', heartbeat.interval.ms: '300'}}\n",
        broker.address()
    );
    lab.write("stream.yaml", config(broker, "bus", &source));
    lab
}

fn produce(broker: &Broker, number: u64) {
    let round = Round { number, drifting: 200, missing: 20, unmanaged: 10 };
    let (lines, _) = Inventory { count: COUNT, seed: 5 }.text(round);
    broker.produce(
        TOPIC,
        lines.lines().map(|line| {
            let record: Value = serde_json::from_str(line).expect("a record");
            Message::of(line).key(text(&record, "resourceId"))
        }),
    );
}

#[test]
fn killed_publishers_and_brokers_lose_no_event_and_repeat_none() {
    let Some(broker) = Broker::start() else { return };
    broker.topic(TOPIC, 4);
    broker.topic("bus", 3);
    let lab = stream(&broker);
    let listen = free_address();
    lab.write("0.yaml", format!("listen: '{listen}'\n{}", lab.read("stream.yaml")));
    lab.write("1.yaml", lab.read("stream.yaml"));
    let worker = |which: usize| -> Started {
        lab.start_logged(&["run", "-c", &format!("{which}.yaml")], &format!("{which}.log"))
    };
    let mut workers = [worker(0), worker(1)];
    for turn in 0..8_usize {
        produce(&broker, turn as u64 + 1);
        std::thread::sleep(Duration::from_millis(900 + (turn as u64 * 677) % 1500));
        let which = turn % 2;
        if turn % 4 == 3 {
            workers[which].terminate();
        } else {
            workers[which].kill();
        }
        if turn == 4 {
            broker.kill(0);
            broker.restart(0);
        }
        workers[which] = worker(which);
    }
    produce(&broker, 9);
    let ended = || {
        let ends: Vec<Option<i64>> = broker.ends(TOPIC).into_iter().map(Some).collect();
        broker.committed("deployforge", TOPIC) == ends
    };
    until("all is read", ended);
    let operations = Client::new(&listen);
    let named = |text: &str| -> BTreeSet<String> {
        let names = text.split([' ', '{', '`', '\n']);
        names
            .filter(|name| {
                name.starts_with("deployforge_events_") && *name != "deployforge_events_"
            })
            .map(str::to_owned)
            .collect()
    };
    let page = std::fs::read_to_string(root().join("docs/reference/metrics.md")).expect("a page");
    until("its metrics are those of the page", || {
        named(&operations.get("/metrics").body) == named(&page)
    });
    for worker in workers {
        worker.terminate();
        assert_eq!(worker.finish().code, Some(0));
    }
    // Whatever is left.
    let rest = lab.run(&["run", "--once", "-c", "stream.yaml"]);
    assert!(!rest.stderr.contains("not every commit is published"), "{}", rest.stderr);
    are_whole(&broker, "bus", &lab);
    assert!(published(&broker, "bus").len() > 1000);
}
