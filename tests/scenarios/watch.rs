//! A watched folder: files come in while the engine runs.

use std::time::{Duration, Instant};

use deployforge_tests::make::Native;
use deployforge_tests::{Lab, number, seconds};
use serde_json::json;

use crate::support::{expect_verdicts, import};

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, so: impl Fn() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(seconds()), "it never came to be: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Rows of a table, or none while there is no history yet.
fn rows(lab: &Lab, from: &str) -> u64 {
    let sql = format!("select count(*) as n from {from}");
    let outcome = lab.run(&["query", &sql, "--format", "json"]);
    if outcome.code == Some(0) { number(&outcome.json()[0], "n") } else { 0 }
}

fn vm(id: &str, n: u64) -> Native {
    Native::new("vm", id, json!({"n": n}))
}

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("base.ndjson", ["a", "b", "c"].map(|id| vm(id, 1).line()).concat());
    let _ = import(&lab, "base.ndjson");
    lab.write("inbox/1.ndjson", vm("a", 1).at(1).line());
    lab
}

#[test]
fn files_are_read_as_they_come() {
    let lab = lab();
    let watching = lab.start(&["run", "--watch", "--source", "inbox"]);
    until("the file that was there is read", || rows(&lab, "verdicts") == 1);
    lab.write("inbox/deep/2.ndjson", vm("b", 2).at(1).line());
    until("a new file is read", || rows(&lab, "current_findings") == 1);
    // Half of a file under a temporary name, then the whole under its own.
    let whole = vm("c", 1).at(1).line() + &vm("x", 1).at(1).line();
    lab.write("inbox/3.ndjson.part", &whole[..whole.len() / 3]);
    std::thread::sleep(Duration::from_millis(1200));
    lab.write("inbox/3.ndjson.part", &whole);
    std::fs::rename(lab.path("inbox/3.ndjson.part"), lab.path("inbox/3.ndjson")).expect("a rename");
    until("the renamed file is read", || rows(&lab, "verdicts") == 4);
    assert_eq!(rows(&lab, "rejects"), 0, "nothing was read by halves");
    // A file that is written again counts again.
    lab.write("inbox/1.ndjson", vm("a", 2).at(2).line());
    until("the changed file is read", || rows(&lab, "current_findings") == 2);
    watching.terminate();
    let outcome = watching.finish().exits(0);
    assert!(outcome.stderr.contains("3 checked"), "{outcome}");
    let expected =
        [("vm a", "drifted"), ("vm b", "drifted"), ("vm c", "in_sync"), ("vm x", "unmanaged")];
    expect_verdicts(&lab, &expected);
    // The next run knows what was read.
    let again = lab.run(&["run", "--once", "--source", "inbox"]);
    let _ = again.says("3 files read before");
}

#[test]
fn a_stop_commits_what_was_read() {
    let lab = lab();
    // So seldom that only the stop can be what commits.
    lab.write(
        "slow.yaml",
        "commit: {interval_seconds: 3600}\nsources: [{name: in, path: inbox, watch: true}]\n",
    );
    let watching = lab.start(&["run", "-c", "slow.yaml"]);
    until("the history is made", || lab.path("data/history/verdicts/_delta_log").exists());
    std::thread::sleep(Duration::from_millis(1500));
    watching.terminate();
    let _ = watching.finish().exits(0);
    expect_verdicts(&lab, &[("vm a", "in_sync")]);
}

#[test]
fn the_demo_goes_on_watching() {
    let lab = Lab::new();
    let demo = lab.start(&["demo"]);
    until("the stream is through", || rows(&lab, "unmanaged_now") == 8);
    let stray = Native::new("vm", "stray", json!({"n": 1})).at(1).line();
    lab.write("data/inbox/stray.ndjson", stray);
    until("the inbox is read", || rows(&lab, "verdicts where id = 'stray'") == 1);
    demo.terminate();
    let _ = demo.finish().exits(0);
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let lab = lab();
    let _ = lab.run(&["run", "--watch", "--source", "base.ndjson"]).exits(2).says("not a folder");
    let _ = lab.run(&["run", "--watch", "--once", "--source", "inbox"]).exits(2);
    lab.write("stdin.yaml", "sources: [{name: in, path: '-', watch: true}]\n");
    let _ = lab.run(&["run", "-c", "stdin.yaml"]).exits(2).says("cannot be watched");
}

#[test]
fn what_is_not_seen_any_more_grows_stale() {
    let lab = lab();
    lab.write(
        "stale.yaml",
        "stale_after_seconds: 6\ncommit: {interval_seconds: 0.1}\nsources: [{name: in, path: inbox, watch: true}]\n",
    );
    let first = vm("a", 1).at(1).line() + &vm("b", 2).at(1).line() + &vm("x", 1).at(1).line();
    lab.write("inbox/1.ndjson", first);
    let watching = lab.start_logged(&["run", "-c", "stale.yaml"], "log");
    // One is seen again and again.
    let minute = std::cell::Cell::new(1);
    until("the others are stale", || {
        minute.set(minute.get() + 1);
        lab.write("inbox/2.ndjson", vm("c", 1).at(minute.get()).line());
        std::thread::sleep(Duration::from_millis(900));
        rows(&lab, "verdicts where reason = 'stale'") == 3
    });
    let stale = [
        ("vm a", "unknown stale"),
        ("vm b", "unknown stale"),
        ("vm c", "in_sync"),
        ("vm x", "unknown stale"),
    ];
    expect_verdicts(&lab, &stale);
    assert!(lab.read("log").contains("not seen for 6 s"), "{}", lab.read("log"));
    assert_eq!(rows(&lab, "current_findings"), 0, "of what is unknown nothing is found");
    assert_eq!(rows(&lab, "unknown_reasons where reason = 'stale'"), 1);
    // Seen again, it is what it was.
    lab.write("inbox/3.ndjson", vm("a", 1).at(50).line() + &vm("b", 2).at(50).line());
    until("they are known again", || rows(&lab, "drifted_now where id = 'b'") == 1);
    watching.terminate();
    let _ = watching.finish();
    assert_eq!(rows(&lab, "verdicts where id = 'a' and verdict = 'in_sync'"), 1);
}
