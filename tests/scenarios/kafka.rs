//! Streams from a real broker.

use deployforge_tests::make::Native;
use deployforge_tests::{Broker, Drift, Inventory, Lab, Message, Outcome, Round, text};
use serde_json::{Value, json};

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

#[test]
fn the_time_of_a_message_is_that_of_its_record_where_that_has_none() {
    let Some(broker) = Broker::shared() else { return };
    let lab = Lab::new();
    let inventory = Inventory { count: 1, seed: 5 }.text(Round::default()).0;
    let mut item: Value = serde_json::from_str(inventory.trim()).expect("an item");
    let members = item.as_object_mut().expect("an object");
    assert!(members.remove("configurationItemCaptureTime").is_some(), "{inventory}");
    let vm = |n: u64| Native::new("vm", "v", json!({"n": n})).line();
    lab.write("base.ndjson", vm(1) + &inventory);
    let _ = import(&lab, "base.ndjson");
    broker.topic("times", 1);
    // Within one block: minutes apart, and in one millisecond, of which the last counts.
    let start = 1_700_000_000_000;
    let messages = [
        (vm(1), 0),
        (item.to_string(), 60_000),
        (vm(2), 120_000),
        (vm(1), 120_000),
        (vm(3), 60_000),
        (vm(3), 180_000),
    ];
    broker.produce("times", messages.map(|(line, after)| Message::of(line).at(start + after)));
    let _ = run_once(&lab, broker, "times").exits(1);
    let told = lab.query(
        "select type, verdict, (cast(observed_at as bigint) / 1000 - 1700000000000) / 60000 as minute from verdict_transitions order by sequence",
    );
    let told: Vec<String> = told
        .iter()
        .map(|row| format!("{} {} {}", text(row, "type"), text(row, "verdict"), row["minute"]))
        .collect();
    let of = |kind: &str| -> Vec<&str> {
        let rows = told.iter().map(String::as_str);
        rows.filter(|row| row.starts_with(kind)).collect()
    };
    let vms = ["vm in_sync 0", "vm drifted 2", "vm in_sync 2", "vm drifted 3"];
    assert_eq!(of("vm"), vms, "{told:?}");
    let others: Vec<&str> =
        told.iter().map(String::as_str).filter(|row| !row.starts_with("vm")).collect();
    assert!(others.len() == 1 && others[0].ends_with(" in_sync 1"), "{told:?}");
    assert_eq!(lab.query("select sum(late) as n from checks")[0]["n"], 1);
}
