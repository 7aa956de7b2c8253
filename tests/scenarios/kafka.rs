//! Streams from a real broker.

use deployforge_tests::{Broker, Drift, Inventory, Lab, Message, Outcome, Round, text};
use serde_json::Value;

use crate::support::{FINDINGS_NOW, VERDICTS_NOW, import, same_rows, sizes};

const COUNT: u64 = 4000;

/// A lab with a baseline, the broker that all share, and a topic with the rounds of an inventory in it.
fn stream(topic: &str, partitions: i32, rounds: &[Round]) -> Option<(Lab, &'static Broker)> {
    let broker = Broker::shared()?;
    let lab = Lab::new();
    let inventory = Inventory { count: COUNT, seed: 5 };
    lab.write("base.ndjson", inventory.text(Round::default()).0);
    let _ = import(&lab, "base.ndjson");
    broker.topic(topic, partitions);
    for round in rounds {
        let (lines, _) = inventory.text(*round);
        broker.produce(topic, lines.lines().map(keyed));
    }
    Some((lab, broker))
}

/// A line as a message with its resource as key, as producers send it.
fn keyed(line: &str) -> Message {
    let record: Value = serde_json::from_str(line).expect("a record");
    Message::of(line).key(text(&record, "resourceId"))
}

fn topic(broker: &Broker, name: &str) -> String {
    // A group of its own: what joins one makes all its members let go of their partitions for a moment.
    format!("kafka://{}/{name}?group={name}", broker.address())
}

#[track_caller]
fn run_once(lab: &Lab, broker: &Broker, name: &str) -> Outcome {
    lab.run(&["run", "--once", "--quiet", "--source", &topic(broker, name)])
}

/// The same rounds out of files.
fn from_files(rounds: &[Round]) -> Lab {
    let lab = Lab::new();
    let inventory = Inventory { count: COUNT, seed: 5 };
    lab.write("base.ndjson", inventory.text(Round::default()).0);
    let _ = import(&lab, "base.ndjson");
    for round in rounds {
        let name = format!("{}.ndjson", round.number);
        lab.write(&name, inventory.text(*round).0);
        let _ = lab.run(&["run", "--once", "--quiet", "--source", &name]);
    }
    lab
}

const ROUNDS: [Round; 2] = [
    Round { number: 1, drifting: 50, missing: 0, unmanaged: 30 },
    Round { number: 2, drifting: 20, missing: 0, unmanaged: 40 },
];

#[test]
fn a_topic_says_what_files_say() {
    let Some((lab, broker)) = stream("items", 3, &ROUNDS) else { return };
    let _ = run_once(&lab, broker, "items").exits(1);
    let files = from_files(&ROUNDS);
    same_rows("verdicts", &lab.sorted(VERDICTS_NOW), &files.sorted(VERDICTS_NOW));
    same_rows("findings", &lab.sorted(FINDINGS_NOW), &files.sorted(FINDINGS_NOW));
    assert_eq!(
        lab.query("select sum(checked) as n from checks"),
        files.query("select sum(checked) as n from checks")
    );
    // All of it is durable, and the group's tools see that.
    assert_eq!(
        broker.committed("items", "items"),
        broker.ends("items").into_iter().map(Some).collect::<Vec<_>>()
    );
    // There is nothing left to do.
    let before = sizes(&lab);
    let again = run_once(&lab, broker, "items").exits(1);
    assert_eq!(sizes(&lab), before, "{}", again.stderr);
}

#[test]
fn what_cannot_be_read_is_refused_once_and_the_rest_is_read() {
    let Some((lab, broker)) = stream("poison", 1, &[]) else { return };
    let line = r#"{"provider":"aws","type":"T","id":"i","attributes":{"a":1}}"#;
    broker.produce("poison", [Message::of(line), Message::of("{"), Message::of("not json")]);
    broker.produce("poison", [Message::of(line.replace('1', "2")), Message::of(vec![0xff, 0xfe])]);
    let _ = run_once(&lab, broker, "poison").exits(2);
    let rejects = "select source, \"offset\", code from rejects order by \"offset\"";
    let rows = lab.query(rejects);
    let offsets: Vec<u64> =
        rows.iter().map(|row| row["offset"].as_u64().expect("a number")).collect();
    assert_eq!(offsets, [1, 2, 4]);
    assert!(rows.iter().all(|row| text(row, "source") == "poison/0"), "{rows:?}");
    assert_eq!(lab.count("verdicts"), 1);
    // A tail of poison is passed over for good.
    let _ = run_once(&lab, broker, "poison");
    assert_eq!(lab.query(rejects), rows);
    broker.produce("poison", [Message::of(line.replace("\"i\"", "\"j\""))]);
    let _ = run_once(&lab, broker, "poison");
    assert_eq!((lab.count("verdicts"), lab.query(rejects)), (2, rows));
}

#[test]
fn a_message_without_payload_says_that_its_resource_is_gone() {
    let Some((lab, broker)) = stream("tombs", 1, &[]) else { return };
    let (lines, _) = Inventory { count: COUNT, seed: 5 }.text(Round::default());
    let line = lines.lines().next().expect("a line");
    let record: Value = serde_json::from_str(line).expect("a record");
    let key =
        ["awsAccountId", "awsRegion", "resourceType", "resourceId"].map(|part| text(&record, part));
    broker
        .produce("tombs", [keyed(line), Message::default().key(format!("aws/{}", key.join("/")))]);
    let _ = run_once(&lab, broker, "tombs").exits(1);
    let rows = lab.query("select id, verdict from verdicts");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((text(&rows[0], "id"), text(&rows[0], "verdict")), (key[3], "missing"));
}

#[test]
fn drift_of_the_rounds_is_what_was_put_in() {
    let Some((lab, broker)) = stream("truth", 2, &ROUNDS[..1]) else { return };
    let _ = run_once(&lab, broker, "truth").exits(1);
    let (_, truth) = Inventory { count: COUNT, seed: 5 }.text(ROUNDS[0]);
    let mut want: Vec<(String, String)> = truth
        .into_iter()
        .filter(|(_, drift, _)| *drift == Drift::Changed)
        .map(|(id, _, path)| (id, path))
        .collect();
    want.sort();
    let rows = lab.query("select id, path from current_findings order by id, path");
    let have: Vec<(String, String)> =
        rows.iter().map(|row| (text(row, "id").to_owned(), text(row, "path").to_owned())).collect();
    assert_eq!(have, want);
}
