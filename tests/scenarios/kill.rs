//! Killed at any moment and started again, the engine ends where it would have ended anyway.

use std::collections::BTreeSet;
use std::time::Duration;

use deployforge_tests::{Drift, Inventory, Lab, Round, text};
use serde_json::Value;

use crate::support::{FINDINGS_NOW, VERDICTS_NOW, same_rows, sizes};

const FILES: usize = 20;
const COUNT: u64 = 10_000;

/// Two readings of one inventory, in files of which each makes a commit of its own.
fn lab() -> (Lab, Vec<(String, Drift, String)>) {
    let lab = Lab::new();
    let inventory = Inventory { count: COUNT, seed: 11 };
    lab.write("base.ndjson", inventory.text(Round::default()).0);
    let _ = crate::support::import(&lab, "base.ndjson");
    let mut truth = Vec::new();
    for number in 1..=2 {
        let round = Round { number, drifting: 60, missing: 0, unmanaged: 40 };
        let (lines, of_round) = inventory.text(round);
        let lines: Vec<&str> = lines.lines().collect();
        for (i, part) in lines.chunks(lines.len().div_ceil(FILES / 2)).enumerate() {
            lab.write(&format!("stream/{number}-{i:02}.ndjson"), part.join("\n") + "\n");
        }
        truth = of_round;
    }
    lab.write(
        "often.yaml",
        "commit: {interval_seconds: 0.05, rows: 100}\nsources: [{name: s, path: stream}]\n",
    );
    (lab, truth)
}

const RUN: [&str; 5] = ["run", "--once", "-c", "often.yaml", "--quiet"];

#[test]
fn killed_at_any_moment_it_ends_the_same() {
    let (calm, truth) = lab();
    let _ = calm.run(&RUN).exits(1);
    let (lab, _) = lab();
    let mut killed = 0;
    for turn in 0..10_u64 {
        let mut running = lab.start(&RUN);
        std::thread::sleep(Duration::from_millis(120 + (turn * 137) % 700));
        running.kill();
        killed += u64::from(running.finish().code.is_none());
    }
    assert!(killed > 2, "only {killed} of 10 were killed before their end");
    let _ = lab.run(&RUN).exits(1);
    same_rows("verdicts", &lab.sorted(VERDICTS_NOW), &calm.sorted(VERDICTS_NOW));
    same_rows("findings", &lab.sorted(FINDINGS_NOW), &calm.sorted(FINDINGS_NOW));
    let found: BTreeSet<(String, String)> = lab
        .query("select id, path from current_findings")
        .iter()
        .map(|row| (text(row, "id").to_owned(), text(row, "path").to_owned()))
        .collect();
    let changed = truth.iter().filter(|(_, drift, _)| *drift == Drift::Changed);
    let expected: BTreeSet<(String, String)> =
        changed.map(|(id, _, path)| (id.clone(), path.clone())).collect();
    assert!(expected.len() > 300);
    assert_eq!(found, expected);
    every_finding_opens_and_closes_in_turn(&calm);
    every_finding_opens_and_closes_in_turn(&lab);
    let twice = lab.query(
        "select resource_id, path, count(*) as n from current_findings group by 1, 2 having count(*) > 1",
    );
    assert!(twice.is_empty(), "{twice:?}");
    let twice = lab.query("select resource_id from verdicts group by 1 having count(*) > 1");
    assert!(twice.is_empty(), "{twice:?}");
    // And then there is nothing left to do.
    let before = sizes(&lab);
    let _ = lab.run(&RUN).exits(1);
    assert_eq!(sizes(&lab), before);
}

/// What a process that ended between its commit and `frontier.json` left is as if it had not.
#[test]
fn a_file_that_was_committed_is_not_read_again() {
    let (lab, _) = lab();
    let _ = lab.run(&RUN).exits(1);
    let checked = "select sum(checked) as n from checks";
    let (before, sum) = (sizes(&lab), lab.sorted(checked));
    std::fs::remove_file(lab.path("data/frontier.json")).expect("the frontier");
    let again = lab.run(&["run", "--once", "-c", "often.yaml"]).exits(1);
    assert!(again.stderr.contains("20 files read before"), "{}", again.stderr);
    assert_eq!((sizes(&lab), lab.sorted(checked)), (before, sum));
}

/// A finding is opened, then closed, then opened: never twice the same, even in the history.
fn every_finding_opens_and_closes_in_turn(lab: &Lab) {
    let rows = lab.query(
        "select finding_id, transition from finding_transitions order by finding_id, sequence",
    );
    let mut before: Option<&Value> = None;
    for row in &rows {
        let same = before.is_some_and(|before| before["finding_id"] == row["finding_id"]);
        let last = before.filter(|_| same).map_or("closed", |before| text(before, "transition"));
        let fits = match text(row, "transition") {
            "opened" => last == "closed",
            "closed" | "changed" => last != "closed",
            other => panic!("{other}"),
        };
        assert!(fits, "{} after {last}: {row}", text(row, "transition"));
        before = Some(row);
    }
    let doubled = lab.query(
        "select sequence, count(*) as n from finding_transitions group by 1 having count(*) > 1",
    );
    assert!(doubled.is_empty(), "sequence numbers given twice: {doubled:?}");
}
