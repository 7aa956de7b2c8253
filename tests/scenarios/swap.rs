//! Baselines and rules that change while, and between, runs.

use deployforge_tests::make::Native;
use deployforge_tests::{Broker, Lab, Message};
use serde_json::{Value, json};

use crate::http::Service;
use crate::support::{FINDINGS_NOW, expect_verdicts, import};
use crate::watch::until;

fn vm(id: &str, attributes: Value) -> Native {
    Native::new("vm", id, attributes)
}

fn declare(lab: &Lab, rows: &[(&str, Value)]) {
    let lines: String = rows.iter().map(|(id, state)| vm(id, state.clone()).line()).collect();
    lab.write("base.ndjson", lines);
    let _ = import(lab, "base.ndjson");
}

/// a and b as declared, c drifted, d not declared, e never seen.
fn lab() -> Lab {
    let lab = Lab::new();
    let row = |id, n: u64| (id, json!({"n": n, "m": [1, 2]}));
    declare(&lab, &[row("a", 1), row("b", 1), row("c", 1), row("e", 1)]);
    let seen = [("a", 1), ("b", 1), ("c", 2), ("d", 2)];
    let seen = seen.map(|(id, n)| vm(id, json!({"n": n, "m": [1, 2]})).at(1).line());
    lab.write("inbox/1.ndjson", seen.concat());
    lab
}

/// What the first baseline says, and what the second, [`second`], says of the same observations.
const FIRST: [(&str, &str); 4] =
    [("vm a", "in_sync"), ("vm b", "in_sync"), ("vm c", "drifted"), ("vm d", "unmanaged")];
const SECOND: [(&str, &str); 4] =
    [("vm a", "in_sync"), ("vm b", "drifted"), ("vm c", "in_sync"), ("vm d", "drifted")];

fn second(lab: &Lab) {
    let row = |id, n: u64| (id, json!({"n": n, "m": [1, 2]}));
    declare(lab, &[row("a", 1), row("b", 9), row("c", 2), row("d", 9)]);
}

#[test]
fn other_severities_are_told_of_verdicts_too() {
    let lab = lab();
    let _ = lab.run(&["run", "--once", "--source", "inbox"]).exits(1);
    let config = "sources: [{name: s, path: inbox}]\n\
        policy: {severities: [{type: '*', path: /**, severity: critical}]}\n";
    lab.write("other.yaml", config);
    let _ = lab.run(&["run", "--once", "-c", "other.yaml"]).exits(1);
    let severity = json!({"severity": "critical"});
    assert_eq!(lab.query("select severity from verdicts where id = 'c'")[0], severity);
    assert_eq!(lab.query("select severity from current_findings")[0], severity);
    // Once is enough.
    let told = lab.count("verdict_transitions");
    let _ = lab.run(&["run", "--once", "-c", "other.yaml"]).exits(1);
    assert_eq!(lab.count("verdict_transitions"), told);
}

#[test]
fn other_environments_are_told_by_an_engine_that_runs() {
    let Some(broker) = Broker::shared() else { return };
    let lab = Lab::new();
    declare(&lab, &[("a", json!({"n": 1})), ("b", json!({"n": 1}))]);
    broker.topic("environments", 1);
    let seen = [("a", 1), ("b", 2)].map(|(id, n)| vm(id, json!({"n": n})).at(1).line());
    broker.produce("environments", seen.map(|line| Message::of(line.trim_end())));
    let stream = format!(
        "sources: [{{name: s, kafka: {{brokers: '{}', topics: [environments], group: environments}}}}]\ncommit: {{interval_seconds: 0.2}}\n",
        broker.address()
    );
    lab.write("s.yaml", &stream);
    let worker = lab.start(&["run", "-c", "s.yaml"]);
    let ends = vec![Some(2)];
    until("both are judged", || broker.committed("environments", "environments") == ends);
    lab.write("s.yaml", stream + "environments: [{name: everything, accounts: ['*']}]\n");
    worker.hang_up();
    let moved = "select id from verdicts where environment = 'everything'";
    until("both are elsewhere", || lab.query(moved).len() == 2);
    let findings = lab.query("select environment from current_findings");
    assert_eq!(findings, [json!({"environment": "everything"})]);
    worker.terminate();
    let _ = worker.finish().exits(0);
}

#[test]
fn a_newer_baseline_is_taken_up_while_the_engine_runs() {
    let lab = lab();
    let running = lab.start(&["run", "--watch", "--source", "inbox"]);
    until("the first file is judged", || verdict_rows(&lab) == 4);
    expect_verdicts(&lab, &FIRST);
    second(&lab);
    until("b is judged again", || drifted(&lab) == 2);
    expect_verdicts(&lab, &SECOND);
    let findings = lab.sorted(FINDINGS_NOW);
    assert_eq!(findings.len(), 2, "{findings:?}");
    // What comes next is judged by the new one, and what is the same stays the same.
    let seen = [("b", 9), ("d", 2)].map(|(id, n)| vm(id, json!({"n": n, "m": [1, 2]})).at(2));
    lab.write("inbox/2.ndjson", seen.map(Native::line).concat());
    until("b is in sync", || drifted(&lab) == 1);
    running.terminate();
    let outcome = running.finish().exits(0);
    assert!(outcome.stderr.contains("now b@2; 3 resources judged again"), "{outcome}");
    let last = ("vm b", "in_sync");
    expect_verdicts(&lab, &[SECOND[0], last, SECOND[2], SECOND[3]]);
}

#[test]
fn a_newer_baseline_is_taken_up_at_the_next_start() {
    let lab = lab();
    let _ = lab.run(&["run", "--once", "--source", "inbox"]).exits(1);
    expect_verdicts(&lab, &FIRST);
    second(&lab);
    // Nothing new is read: the last states come from the history.
    let again = lab.run(&["run", "--once", "--source", "inbox"]);
    assert!(again.stderr.contains("3 resources judged again"), "{again}");
    expect_verdicts(&lab, &SECOND);
    let third = lab.run(&["run", "--once", "--source", "inbox"]);
    assert!(!third.stderr.contains("judged again"), "{third}");
}

#[test]
fn a_baseline_that_is_taken_back_was_never_there() {
    let lab = lab();
    let _ = lab.run(&["run", "--once", "--source", "inbox"]);
    let first = lab.read("base.ndjson");
    second(&lab);
    let _ = lab.run(&["run", "--once", "--source", "inbox"]);
    expect_verdicts(&lab, &SECOND);
    lab.write("base.ndjson", first);
    let _ = import(&lab, "base.ndjson");
    let _ = lab.run(&["run", "--once", "--source", "inbox"]);
    expect_verdicts(&lab, &FIRST);
    assert_eq!(lab.count("put_right where id = 'c'"), 1);
}

/// The process was ended between the commit of what it judged again and the stamp that says so.
#[test]
fn a_swap_that_was_cut_short_is_finished() {
    let lab = lab();
    let _ = lab.run(&["run", "--once", "--source", "inbox"]);
    let before = lab.read("data/stamp.json");
    second(&lab);
    let _ = lab.run(&["run", "--once", "--source", "inbox"]);
    let after = lab.read("data/stamp.json");
    let open = before.trim_end().trim_end_matches('}').trim_end().to_owned();
    lab.write("data/stamp.json", format!("{open}, \"coming\": {after}}}"));
    let again = lab.run(&["run", "--once", "--source", "inbox"]);
    assert!(again.stderr.contains("judged again"), "{again}");
    expect_verdicts(&lab, &SECOND);
    assert_eq!(lab.read("data/stamp.json"), after);
}

#[test]
fn without_a_stamp_nothing_is_taken_for_granted() {
    let lab = lab();
    let _ = lab.run(&["run", "--once", "--source", "inbox"]);
    std::fs::remove_file(lab.path("data/stamp.json")).expect("a stamp");
    second(&lab);
    let _ = lab.run(&["run", "--once", "--source", "inbox"]);
    // Of b no state is held, and what it was in sync with is not what is declared now.
    expect_verdicts(&lab, &[SECOND[0], ("vm b", "unknown stale"), SECOND[2], SECOND[3]]);
}

#[test]
fn a_baseline_that_was_incomplete_says_more_once_it_is_whole() {
    let lab = lab();
    let whole = lab.read("base.ndjson");
    lab.write("base.ndjson", format!("{whole}no record\n"));
    let _ = lab.run(&["baseline", "import", "b", "base.ndjson"]).exits(2);
    let _ = lab.run(&["run", "--once", "--source", "inbox"]);
    let unknown = ("vm d", "unknown unreadable");
    expect_verdicts(&lab, &[FIRST[0], FIRST[1], FIRST[2], unknown]);
    lab.write("base.ndjson", whole);
    let _ = import(&lab, "base.ndjson");
    let _ = lab.run(&["run", "--once", "--source", "inbox"]);
    expect_verdicts(&lab, &FIRST);
}

#[test]
fn a_baseline_that_vanishes_was_not_taken_back() {
    let lab = lab();
    let running = lab.start(&["run", "--watch", "--source", "inbox"]);
    until("the first file is judged", || verdict_rows(&lab) == 4);
    std::fs::rename(lab.path("data/baselines"), lab.path("data/gone")).expect("a folder");
    std::thread::sleep(std::time::Duration::from_millis(2500));
    running.terminate();
    let outcome = running.finish().exits(0);
    assert_eq!(outcome.stderr.matches("those before stay").count(), 1, "{outcome}");
    expect_verdicts(&lab, &FIRST);
}

#[test]
fn other_rules_judge_again_what_the_history_holds() {
    let lab = lab();
    let seen = vm("a", json!({"n": 1, "m": [2, 1]})).at(2).line();
    lab.write("inbox/2.ndjson", vm("b", json!({"n": 1, "m": [1, 2, 3]})).at(2).line() + &seen);
    let _ = lab.run(&["run", "--once", "--source", "inbox"]).exits(1);
    let drifted = ("vm b", "drifted");
    expect_verdicts(&lab, &[FIRST[0], drifted, FIRST[2], FIRST[3]]);
    assert_eq!(lab.count("current_findings where kind = 'reordered'"), 1);
    lab.write(
        "sets.yaml",
        "sources: [{name: inbox, path: inbox}]\narrays: [{type: vm, path: /m, as: set}]\n",
    );
    let again = lab.run(&["run", "--once", "-c", "sets.yaml"]);
    assert!(again.stderr.contains("judged again"), "{again}");
    assert_eq!(lab.count("current_findings where kind = 'reordered'"), 0);
    expect_verdicts(&lab, &[FIRST[0], drifted, FIRST[2], FIRST[3]]);
}

#[test]
fn a_version_that_cannot_be_read_leaves_the_one_before() {
    let lab = lab();
    let running = lab.start(&["run", "--watch", "--source", "inbox"]);
    until("the first file is judged", || verdict_rows(&lab) == 4);
    let of = |version: u32, kind: &str| format!("data/baselines/b/{version}.{kind}");
    lab.write(&of(2, "arrow"), "this is not Arrow");
    let manifest = lab.read(&of(1, "json")).replace("\"version\": 1", "\"version\": 2");
    lab.write(&of(2, "json"), manifest);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    lab.write("inbox/2.ndjson", vm("a", json!({"n": 3})).at(2).line());
    until("a is judged by the first version", || drifted(&lab) == 2);
    running.terminate();
    let outcome = running.finish().exits(0);
    assert_eq!(outcome.stderr.matches("those before stay").count(), 1, "{outcome}");
}

fn verdict_rows(lab: &Lab) -> u64 {
    count(lab, "verdicts")
}

fn drifted(lab: &Lab) -> u64 {
    count(lab, "verdicts where verdict = 'drifted'")
}

/// Rows, or none while there is no history yet.
fn count(lab: &Lab, from: &str) -> u64 {
    let sql = format!("select count(*) as n from {from}");
    let outcome = lab.run(&["query", &sql, "--format", "json"]);
    if outcome.code == Some(0) { deployforge_tests::number(&outcome.json()[0], "n") } else { 0 }
}

/// What is in sync because nobody asked for more is not in sync by rules that ask for more, and that could
/// not be told: it stayed in sync, however often it was observed again.
#[test]
fn what_was_in_sync_by_less_is_not_known_by_more() {
    let lab = Lab::new();
    let vm = |id: &str, more: Value| {
        let mut state = json!({"size": 1});
        if let (Some(state), Value::Object(more)) = (state.as_object_mut(), more) {
            state.extend(more);
        }
        Native::new("vm", id, state).at(1)
    };
    lab.write("base.ndjson", vm("a", json!({})).line() + &vm("b", json!({})).line());
    let mut seen = vm("a", json!({"extra": 1})).line() + &vm("b", json!({})).line();
    lab.write("seen.ndjson", &seen);
    let _ = import(&lab, "base.ndjson");
    let run = |mode: &str| lab.run(&["run", "--once", "--mode", mode, "--source", "seen.ndjson"]);
    let _ = run("declared").exits(0);
    expect_verdicts(&lab, &[("vm a", "in_sync"), ("vm b", "in_sync")]);
    // A file that grew is read again as a whole, and what it says again contradicts nothing.
    seen.push_str(&vm("b", json!({})).at(2).line());
    lab.write("seen.ndjson", &seen);
    let _ = run("declared").exits(0);
    expect_verdicts(&lab, &[("vm a", "in_sync"), ("vm b", "in_sync")]);
    let _ = run("full").exits(0).says("rules have changed");
    expect_verdicts(&lab, &[("vm a", "unknown stale"), ("vm b", "in_sync")]);
    seen.push_str(&vm("a", json!({"extra": 1})).at(3).line());
    lab.write("seen.ndjson", &seen);
    let _ = run("full").exits(1);
    expect_verdicts(&lab, &[("vm a", "drifted"), ("vm b", "in_sync")]);
}

#[test]
fn a_stream_that_asks_for_more_judges_afresh() {
    let rest = "commit: {interval_seconds: 0.2}\nmode: declared\n";
    let mut service = Service::new("", rest);
    let more = || {
        let state = json!({"n": 1, "extra": 1});
        Native::new("vm", "a", state)
    };
    let verdict = |service: &Service, wanted: &str| {
        let sql = "select verdict from verdicts where id = 'a'";
        service.lab.query(sql) == [json!({"verdict": wanted})]
    };
    let _ = service.post(more().at(1).with("version", json!(1)).line()).is(200);
    until("it is in sync", || verdict(&service, "in_sync"));
    let before = service.lab.read("http.yaml");
    service.lab.write("http.yaml", before.replace("mode: declared", "mode: full"));
    service.run.as_ref().expect("it runs").hang_up();
    until("it is not known", || verdict(&service, "unknown"));
    let _ = service.post(more().at(2).with("version", json!(2)).line()).is(200);
    until("it has drifted", || verdict(&service, "drifted"));
    service.stop();
}
