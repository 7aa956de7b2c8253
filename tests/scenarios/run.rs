//! `run`: what is read, what is kept, and that stopping and starting again changes nothing.

use deployforge_tests::make::{Native, cloud_event, gzip, lines, sweep_end, sweep_start};
use deployforge_tests::{Inventory, Lab, Round, files_below, fixtures, text};
use serde_json::{Value, json};

use crate::support::{
    FINDINGS, VERDICTS, VERDICTS_NOW, expect_verdicts, import, run_once, same_rows, sizes, verdicts,
};

fn vm(id: &str, n: u64) -> Native {
    Native::new("vm", id, json!({"n": n, "name": id}))
}

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("base.ndjson", ["a", "b", "c"].map(|id| vm(id, 1).line()).concat());
    let _ = import(&lab, "base.ndjson");
    lab
}

#[test]
fn every_way_in_gives_the_same() {
    let (one, two) = (vm("a", 2).at(1).line(), vm("b", 1).at(1).line());
    let all = format!("{one}{two}");
    let expected = [("vm a", "drifted"), ("vm b", "in_sync")];
    for source in ["all.ndjson", "folder", "folder/*.gz", "native:folder", "folder/../folder/**/*"]
    {
        let lab = lab();
        lab.write("all.ndjson", &all);
        lab.write("folder/all.ndjson.gz", gzip(all.as_bytes()));
        lab.write("folder/.hidden/other.ndjson", vm("c", 1).line());
        lab.write("folder/unfinished.tmp", vm("c", 1).line());
        let outcome = run_once(&lab, &[source]).exits(1);
        assert!(outcome.stderr.contains("2 checked: 1 in sync, 1 drifted"), "{source}: {outcome}");
        expect_verdicts(&lab, &expected);
    }
    let lab = lab();
    let _ = lab.run_with(&["run", "--once", "--source", "-"], all).exits(1);
    expect_verdicts(&lab, &expected);
    let events = lines(&[cloud_event(1, vm("c", 3).at(1))]);
    let _ = lab.run_with(&["run", "--once", "--source", "cloudevents:-"], events).exits(1);
    assert_eq!(verdicts(&lab)["vm c"], "drifted");
    let row = &lab.query("select expected, observed, path from current_findings where id = 'c'")[0];
    assert_eq!(*row, json!({"path": "/n", "expected": "1", "observed": "3"}));
}

#[test]
fn the_same_input_twice_adds_nothing() {
    let lab = lab();
    let input = vm("a", 2).at(1).line() + &vm("b", 1).at(1).line() + &vm("x", 1).at(1).line();
    lab.write("one.ndjson", input.clone() + "{broken\n");
    let _ = run_once(&lab, &["one.ndjson"]).exits(2);
    let before = sizes(&lab);
    assert_eq!(before[3], 1, "the broken line was kept");
    // The file is known and not even read; as a stream and as another file it is read again.
    let again = run_once(&lab, &["one.ndjson"]).exits(1);
    let _ = again.says("1 file read before");
    assert_eq!(sizes(&lab), before);
    let _ = lab.run_with(&["run", "--once", "--source", "-"], input.clone()).exits(1);
    assert_eq!(sizes(&lab), before);
    lab.write("copy.ndjson", &input);
    let _ = run_once(&lab, &["copy.ndjson"]).exits(1);
    assert_eq!(sizes(&lab), before);
    // A file that changed is read again, and what it says anew is kept.
    lab.write("one.ndjson", vm("a", 1).at(2).line());
    let _ = run_once(&lab, &["one.ndjson"]);
    assert_eq!(verdicts(&lab)["vm a"], "in_sync");
    assert!(sizes(&lab)[0] > before[0], "a closed finding is a transition");
}

#[test]
fn broken_lines_are_kept_once() {
    let lab = lab();
    let input = vm("a", 1).at(1).line() + "{broken\n";
    for _ in 0..3 {
        let _ = lab.run_with(&["run", "--once", "--source", "-"], input.clone()).exits(2);
    }
    assert_eq!(lab.count("rejects"), 1);
}

/// Files that open, change and close findings, list, delete, contradict and go wrong.
fn story() -> Vec<(String, String)> {
    let mut files: Vec<String> = Vec::new();
    let inventory = Inventory { count: 300, seed: 3 };
    for number in 1..4 {
        let round = Round { number, drifting: 100, missing: 0, unmanaged: 3 * number };
        files.push(inventory.text(round).0);
    }
    let of = |id: &str, n, minute| vm(id, n).at(minute).line();
    files.push(of("a", 2, 1) + &of("b", 2, 1) + &of("c", 1, 1) + &of("x", 1, 1));
    files.push(of("a", 3, 2) + "{broken\n" + &of("b", 1, 2));
    let secret = |n: u64| json!({"n": 1, "name": "c", "password": format!("secret-{n}")});
    files.push(Native::new("vm", "c", secret(1)).at(3).line());
    files.push(of("x", 2, 4) + &of("a", 2, 1) + &vm("b", 0).at(4).deleted().line());
    files.push(Native::new("vm", "c", secret(2)).at(5).line() + &of("b", 1, 6));
    let sweep = sweep_start("s", &json!({"type": "vm"}))
        + &vm("a", 3).at(7).listed_by("s").line()
        + &vm("b", 1).at(7).listed_by("s").line()
        + &sweep_end("s");
    files.push(sweep);
    files.push(of("a", 1, 8) + &of("c", 1, 8));
    let name = |(i, text): (usize, String)| (format!("{i:02}.ndjson"), text);
    files.into_iter().enumerate().map(name).collect()
}

fn told(how: impl Fn(&Lab, &[&str])) -> Lab {
    let lab = Lab::new();
    lab.write("base.ndjson", ["a", "b", "c"].map(|id| vm(id, 1).line()).concat());
    lab.write("items.ndjson", Inventory { count: 300, seed: 3 }.text(Round::default()).0);
    let _ = lab.run(&["baseline", "import", "b", "base.ndjson", "items.ndjson"]).exits(0);
    let files = story();
    for (name, text) in &files {
        lab.write(name, text);
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    how(&lab, &names);
    lab
}

/// Findings and verdicts as a history, resource by resource.
fn history(lab: &Lab) -> [Vec<Value>; 2] {
    // What a sweep finds missing carries the time at which it was read, which differs.
    let findings = FINDINGS.replace(", observed_at", "");
    let order = "order by provider, account, region, type, id, sequence";
    [format!("{findings} {order}"), format!("{VERDICTS} {order}")].map(|sql| lab.query(&sql))
}

#[test]
fn a_restart_between_files_changes_nothing() {
    let through = told(|lab, files| drop(run_once(lab, files).exits(2)));
    let restarted = told(|lab, files| {
        for file in files {
            let outcome = run_once(lab, &[file]);
            assert!(matches!(outcome.code, Some(0..=2)), "{outcome}");
        }
    });
    let (through_now, restarted_now) =
        (through.sorted(VERDICTS_NOW), restarted.sorted(VERDICTS_NOW));
    assert!(through_now.len() > 300);
    same_rows("verdicts now", &through_now, &restarted_now);
    // A secret's hash is under each deployment's own key.
    let plain = |rows: Vec<Value>| -> Vec<String> {
        rows.iter().map(|row| hide_hashes(&row.to_string())).collect()
    };
    let [findings, verdicts] = history(&through).map(plain);
    let [other_findings, other_verdicts] = history(&restarted).map(plain);
    assert!(findings.len() > 50 && verdicts.len() > 300);
    same_rows("verdicts", &verdicts, &other_verdicts);
    same_rows("findings", &findings, &other_findings);
}

/// Replaces runs of 8 and more hex digits.
fn hide_hashes(text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_hexdigit() && !c.is_ascii_uppercase() {
            run.push(c);
            continue;
        }
        out.push_str(if run.len() >= 64 || run.len() == 8 { "#" } else { &run });
        run.clear();
        out.push(c);
    }
    out
}

#[test]
fn one_process_writes_at_a_time() {
    let lab = lab();
    std::fs::create_dir(lab.path("inbox")).expect("a folder");
    let first = lab.start(&["run", "--watch", "--source", "inbox"]);
    crate::watch::until("the first process holds the data directory", || {
        lab.path("data/history/verdicts/_delta_log").exists()
    });
    lab.write("one.ndjson", vm("a", 1).at(1).line());
    for args in [
        &["run", "--once", "--source", "one.ndjson"][..],
        &["audit", "--baseline", "@b", "--snapshot", "one.ndjson", "--record"],
    ] {
        let _ = lab.run(args).exits(2).says("in use by another deployforge process");
    }
    // Reading is free, and so is adding a baseline; what that refuses cannot be kept meanwhile.
    lab.write("bad.ndjson", vm("a", 1).line() + "no record\n");
    let kept_not = "not kept in the table `rejects`";
    let _ = lab.run(&["baseline", "import", "c", "bad.ndjson"]).exits(2).says(kept_not);
    let _ = lab.run(&["query", "select count(*) from verdicts"]).exits(0);
    let _ = lab.run(&["audit", "--baseline", "@b", "--snapshot", "one.ndjson"]);
    first.terminate();
    let _ = first.finish().exits(0);
    let _ = lab.run(&["run", "--once", "--source", "one.ndjson"]);
    assert_eq!(verdicts(&lab)["vm a"], "in_sync");
}

#[test]
fn the_configuration_is_checked() {
    let lab = lab();
    lab.write("one.ndjson", vm("a", 1).at(1).line());
    lab.write("bad.yaml", "sources:\n  - name: a\n    path: one.ndjson\nenvironmets: []\n");
    for args in [&["run", "--once", "-c", "bad.yaml"][..], &["config", "check", "bad.yaml"]] {
        let outcome = lab.run(args).exits(2).says("bad.yaml").says("environmets");
        let outcome = outcome.says("did you mean `environments`?");
        assert!(outcome.stderr.contains("line 4") || outcome.stderr.contains(" 4:"), "{outcome}");
    }
    lab.write(
        "good.yaml",
        "data_dir: data\nbaselines: [{name: b}]\nsources:\n  - {name: feed, path: one.ndjson}\n\
         environments:\n  - {name: prod, accounts: ['1111*']}\n",
    );
    let _ = lab.run(&["config", "check", "good.yaml"]).exits(0);
    let _ = lab.run(&["run", "--once", "-c", "good.yaml"]).exits(0);
    let row = &lab.query("select id, environment, source from verdicts")[0];
    assert_eq!(*row, json!({"id": "a", "environment": "prod", "source": "feed"}));
    let _ = lab.run(&["run", "--once", "-c", "none.yaml"]).exits(2).says("none.yaml");
    let _ = lab.run(&["run", "--once"]).exits(2).says("--source");
    let _ = lab.run(&["run", "--once", "--baseline", "zzz", "--source", "one.ndjson"]).exits(2);
    let schema = lab.run(&["config", "schema"]).exits(0).json();
    assert!(schema["properties"]["environments"].is_object());
}

#[test]
fn without_a_baseline_everything_is_unmanaged() {
    let lab = Lab::new();
    lab.write("one.ndjson", vm("a", 1).at(1).line());
    let outcome = run_once(&lab, &["one.ndjson"]).says("there is no baseline");
    let _ = outcome.says("0 resources compared");
    expect_verdicts(&lab, &[("vm a", "unmanaged")]);
}

#[test]
fn the_history_is_read_only() {
    let lab = lab();
    lab.write("one.ndjson", vm("a", 2).at(1).line());
    let _ = run_once(&lab, &["one.ndjson"]).exits(1);
    for sql in [
        "delete from finding_transitions",
        "insert into rejects select * from rejects",
        "update verdicts set verdict = 'in_sync'",
        "drop table rejects",
        "create table t as select 1",
        "create external table t stored as csv location '/etc/passwd'",
        "copy (select 1) to 'out.csv'",
        "select * from 'one.ndjson'",
        "select * from read_csv('/etc/passwd')",
        "set datafusion.catalog.create_default_catalog_and_schema = false; drop table rejects",
        "select nothing from verdicts",
        "selec 1",
        "",
    ] {
        let outcome = lab.run(&["query", sql]).exits(2);
        assert!(outcome.stdout.is_empty(), "{outcome}");
    }
    assert!(!lab.path("out.csv").exists());
    assert_eq!(lab.count("verdicts"), 1);
    let _ = Lab::new().run(&["query", "select 1"]).exits(2).says("demo --once");
}

#[test]
fn every_form_of_output_holds_the_same() {
    let lab = lab();
    lab.write("one.ndjson", vm("a", 2).at(1).line());
    let _ = run_once(&lab, &["one.ndjson"]).exits(1);
    let sql = "select id, path, expected from current_findings";
    let csv = lab.run(&["query", sql, "--format", "csv"]).exits(0);
    assert_eq!(csv.text(), "id,path,expected\na,/n,1\n");
    assert!(lab.run(&["query", sql]).exits(0).text().contains("1 row"));
    let _ = lab.run(&["query", sql, "--format", "parquet", "-o", "out.parquet"]).exits(0);
    let parquet = std::fs::read(lab.path("out.parquet")).expect("a file");
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    let none = lab.run(&["query", "select id from rejects limit 0", "--format", "json"]);
    assert!(none.code == Some(2), "rejects have no id: {none}");
    let none = lab.run(&["query", "select source from rejects", "--format", "json"]).exits(0);
    assert_eq!(none.json(), json!([]));
    let session = lab.run_with(&["sql"], format!("{sql};\n\\d\nselec;\nselect 1 as one;\n\\q\n"));
    let session = session.exits(0).says("error");
    for words in ["/n", "current_findings", "one"] {
        assert!(session.text().contains(words), "{session}");
    }
}

/// Inventories that nobody of this project wrote: all are read, or refused with a reason.
#[test]
fn recorded_states_are_read_or_refused_with_a_reason() {
    let lab = Lab::new();
    let mut read = 0;
    for (folder, endings) in [("1-terraform-state", "state"), ("3-aws-config", ".json")] {
        let files = files_below(&fixtures(folder), endings, &[]);
        assert!(files.len() > 20, "{folder} holds {} files", files.len());
        for file in files.iter().step_by(files.len() / 15) {
            let path = file.display().to_string();
            let args = ["audit", "--baseline", &path, "--snapshot", &path, "--format", "json"];
            let outcome = lab.run(&args);
            match outcome.code {
                // A state against itself never drifts.
                Some(0) => read += 1,
                Some(2) => assert!(
                    ["rejected:", "error:", "0 resources compared"]
                        .iter()
                        .any(|words| outcome.stderr.contains(words)),
                    "{outcome}"
                ),
                _ => panic!("{outcome}"),
            }
            if outcome.code == Some(0) {
                let report = outcome.json();
                assert_eq!(text(&json!({"v": report["resources"].to_string()}), "v"), "[]");
            }
        }
    }
    assert!(read > 10, "only {read} could be compared");
}
