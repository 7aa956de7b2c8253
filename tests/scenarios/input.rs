//! Bad input: one clear sentence with file and position, the good part processed, the bad part kept.

use deployforge_tests::make::{Native, gzip, lines, sweep_end, sweep_start, terraform_state};
use deployforge_tests::{Lab, Outcome, number, scale, text};
use serde_json::{Value, json};

use crate::support::{import, verdicts};

fn vm(id: &str) -> String {
    Native::new("vm", id, json!({"n": 1})).at(1).line()
}

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("base.ndjson", vm("a") + &vm("b"));
    lab
}

/// Something that cannot be read, and what is to be said of it.
struct Bad {
    name: &'static str,
    bytes: Vec<u8>,
    code: &'static str,
    /// Words of the sentence.
    words: &'static str,
    /// The line, where lines mean something.
    line: Option<u64>,
    /// Resources that can be read nevertheless.
    good: u64,
}

fn bad(
    name: &'static str,
    bytes: impl Into<Vec<u8>>,
    code: &'static str,
    words: &'static str,
) -> Bad {
    Bad { name, bytes: bytes.into(), code, words, line: None, good: 0 }
}

fn text_cases() -> Vec<Bad> {
    let (a, b) = (vm("a"), vm("b"));
    let around = |broken: &str| format!("{a}{broken}\n{b}");
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(300), "]".repeat(300));
    let deep = vm("c").replace("{\"n\":1}", &deep);
    let twice = vm("c").replace("{\"n\":1}", "{\"n\":1,\"n\":2}");
    let in_line_2 = |case: Bad| Bad { line: Some(2), good: 2, ..case };
    vec![
        in_line_2(bad(
            "broken.ndjson",
            around("{\"provider\":\"aws\","),
            "malformed",
            "ends inside a value",
        )),
        in_line_2(bad("junk.ndjson", around("hello, world"), "malformed", "JSON")),
        in_line_2(bad("number.ndjson", around("[7]"), "not_a_record", "JSON object")),
        in_line_2(bad("other.ndjson", around("{\"hello\":1}"), "not_a_record", "record")),
        in_line_2(bad(
            "field.ndjson",
            around("{\"provider\":\"aws\",\"type\":\"vm\",\"attributes\":{}}"),
            "bad_field",
            "`id`",
        )),
        in_line_2(bad("twice.ndjson", around(twice.trim()), "duplicate_key", "twice")),
        in_line_2(bad("deep.ndjson", around(deep.trim()), "too_deep", "nested deeper")),
        in_line_2(Bad {
            bytes: [a.as_bytes(), b"{\"id\":\"\xff\xfe\"}\n", b.as_bytes()].concat(),
            ..bad("latin.ndjson", "", "malformed", "UTF-8")
        }),
        bad("empty.ndjson", "", "empty", "empty"),
        bad("blank.ndjson", "\n\n  \n", "empty", "empty"),
        bad(
            "junk.bin",
            (0..4000_u32)
                .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80)
                .collect::<Vec<u8>>(),
            "malformed",
            "",
        ),
    ]
}

fn file_cases() -> Vec<Bad> {
    let state = terraform_state("l", 1, &[("aws_instance", "app", json!({"id": "i-1"}))]);
    let mut nine = state.clone();
    nine["version"] = json!(9);
    let twice = state.to_string().replace("\"id\":\"i-1\"", "\"id\":\"i-1\",\"id\":\"i-2\"");
    let encrypted = json!({
        "serial": 1, "lineage": "l", "meta": {"key_provider.pbkdf2.k": "e30="},
        "encrypted_data": "c2VjcmV0", "encryption_version": "v0",
    });
    let many: String = (0..5000).map(|i| vm(&format!("{i}-{:x}", i * 7919_u64))).collect();
    let packed = gzip(many.as_bytes());
    vec![
        bad("nine.tfstate", nine.to_string(), "unsupported", "version 9"),
        bad("twice.tfstate", twice, "duplicate_key", "twice"),
        bad("encrypted.tfstate", encrypted.to_string(), "encrypted", "encrypted"),
        bad("half.tfstate", &state.to_string()[..200], "truncated", "whole input"),
        Bad { good: 1, ..bad("half.gz", &packed[..packed.len() * 2 / 3], "truncated", "damaged") },
        bad(
            "not.gz",
            b"\x1f\x8b\x08\x00nonsense that was never packed".to_vec(),
            "truncated",
            "damaged",
        ),
    ]
}

/// One sentence that names file and position, and a row that says the same.
#[track_caller]
fn told_and_kept(lab: &Lab, case: &Bad, outcome: &Outcome) {
    let name = case.name;
    let said =
        outcome.stderr.lines().find(|line| line.contains("rejected:") && line.contains(name));
    let said = said.unwrap_or_else(|| panic!("{name} is not named\n{outcome}"));
    assert!(said.contains("byte "), "no position: {said}");
    let rows = lab.query("select * from rejects");
    assert_eq!(rows.len(), 1, "{name}: {rows:?}");
    let row = &rows[0];
    assert_eq!(text(row, "code"), case.code, "{name}: {row}");
    assert!(text(row, "source").ends_with(name), "{row}");
    let reason = text(row, "reason");
    assert!(reason.contains(case.words), "{name}: {reason}");
    assert!(said.contains(reason), "{said} does not say {reason}");
    assert!(reason.len() < 400 && !reason.contains('\n'), "{name}: one sentence: {reason}");
    if let Some(line) = case.line {
        assert_eq!(number(row, "line"), line, "{name}");
        assert!(said.contains(&format!("line {line} (byte")), "{said}");
    }
    assert_eq!(text(row, "hash").len(), 64, "{name}: {row}");
    // Only what is empty, or broke off before a record, has no bytes to count.
    let has_bytes = !matches!(case.code, "empty" | "truncated");
    assert!(!has_bytes || number(row, "size") > 0, "{name}: {row}");
}

#[test]
fn bad_input_is_refused_and_the_rest_is_read() {
    for case in text_cases().into_iter().chain(file_cases()) {
        let lab = lab();
        let _ = import(&lab, "base.ndjson");
        lab.write(case.name, &case.bytes);
        let run = lab.run(&["run", "--once", "--source", case.name]).exits(2);
        told_and_kept(&lab, &case, &run);
        assert!(verdicts(&lab).len() as u64 >= case.good, "{}: {run}", case.name);
        assert_eq!(verdicts(&lab).is_empty(), case.good == 0, "{}", case.name);
        if case.good == 0 {
            let _ = run.says("0 resources compared");
        }
    }
}

#[test]
fn a_recorded_audit_keeps_what_it_refused() {
    for case in text_cases().into_iter().chain(file_cases()) {
        let lab = lab();
        lab.write(case.name, &case.bytes);
        let args = ["audit", "--baseline", "base.ndjson", "--snapshot", case.name, "--record"];
        let audit =
            lab.run(&[&args[..], &["--format", "json", "--fail-on", "never"]].concat()).exits(2);
        told_and_kept(&lab, &case, &audit);
        let summary = &audit.json()["summary"];
        // A snapshot that could not be read completely proves nothing missing.
        assert_eq!(number(summary, "missing"), 0, "{}: {audit}", case.name);
        if case.good == 0 {
            assert_eq!(number(summary, "checked"), 0);
            assert_eq!(number(summary, "unknown"), 2, "{}: {audit}", case.name);
            let _ = audit.says("0 resources compared");
        }
    }
}

#[test]
fn a_baseline_of_bad_input_says_so() {
    for case in text_cases().into_iter().chain(file_cases()) {
        let lab = lab();
        lab.write(case.name, &case.bytes);
        let outcome = lab.run(&["baseline", "import", "b", case.name]).exits(2).says(case.name);
        if case.good == 0 {
            let _ = outcome.says("0 resources");
        } else {
            told_and_kept(&lab, &case, &outcome);
        }
        let audit = lab.run(&["audit", "--baseline", case.name, "--snapshot", "base.ndjson"]);
        let _ = audit.exits(2).says(case.name);
    }
}

#[test]
fn a_parquet_file_in_the_wrong_place_is_recognised() {
    let lab = lab();
    let _ = import(&lab, "base.ndjson");
    let _ = lab.run(&["run", "--once", "--source", "base.ndjson"]).exits(0);
    let sql = "select * from verdicts";
    let _ = lab.run(&["query", sql, "--format", "parquet", "-o", "v.parquet"]).exits(0);
    let args = ["audit", "--baseline", "base.ndjson", "--snapshot", "v.parquet"];
    let outcome = lab.run(&args).exits(2).says("v.parquet").says("Parquet");
    let _ = outcome.says("0 resources compared");
    let _ = lab.run(&["run", "--once", "--source", "v.parquet"]).exits(2).says("Parquet");
    let row = &lab.query("select code, size from rejects")[0];
    assert_eq!(text(row, "code"), "unsupported");
    let size = std::fs::metadata(lab.path("v.parquet")).expect("the file").len();
    assert_eq!(number(row, "size"), size);
}

#[test]
fn places_without_input_are_named() {
    let lab = lab();
    std::fs::create_dir(lab.path("bare")).expect("a folder");
    lab.write("hidden/.x", "{}");
    for (place, words) in [
        ("bare", "holds no file"),
        ("hidden", "holds no file"),
        ("none.ndjson", "no file or folder"),
        ("*.csv", "No file matches"),
        ("", "empty"),
        ("s3a://bucket/key", "named by s3://"),
    ] {
        for args in [
            &["audit", "--baseline", "base.ndjson", "--snapshot", place][..],
            &["audit", "--baseline", place, "--snapshot", "base.ndjson"],
            &["run", "--once", "--source", place],
            &["baseline", "import", "b", place],
        ] {
            let outcome = lab.run(args).exits(2).says(words).says(place);
            assert!(outcome.stderr.contains("error:"), "{outcome}");
        }
    }
}

#[cfg(unix)]
#[test]
fn what_may_not_be_read_is_said() {
    use std::os::unix::fs::PermissionsExt as _;
    let lab = lab();
    lab.write("locked.ndjson", vm("a"));
    let locked = lab.path("locked.ndjson");
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o000))
        .expect("our own file");
    if std::fs::File::open(&locked).is_ok() {
        // Root may read everything: a link that leads nowhere is what root cannot open.
        std::fs::remove_file(&locked).expect("our own file");
        std::os::unix::fs::symlink("nowhere", &locked).expect("a link");
    }
    let args = ["audit", "--baseline", "base.ndjson", "--snapshot", "locked.ndjson"];
    let _ = lab.run(&args).exits(2).says("locked.ndjson");
    lab.write("folder/good.ndjson", vm("a"));
    std::fs::rename(locked, lab.path("folder/locked.ndjson")).expect("our own file");
    let args = ["audit", "--baseline", "base.ndjson", "--snapshot", "folder", "--format", "json"];
    let outcome = lab.run(&args).exits(2).says("locked.ndjson");
    assert_eq!(number(&outcome.json()["summary"], "checked"), 1, "the good file was read");
}

/// A line of `size` bytes that is one record.
fn long_line(size: usize) -> Vec<u8> {
    let mut line =
        b"{\"provider\":\"aws\",\"type\":\"vm\",\"id\":\"long\",\"attributes\":{\"x\":\"".to_vec();
    line.resize(size, b'x');
    line.extend_from_slice(b"\"}}\n");
    line
}

#[test]
fn a_very_long_line_is_skipped_in_bounded_memory() {
    let size = if scale(0) > 0 { 1 << 30 } else { 40 << 20 };
    let lab = lab();
    let _ = import(&lab, "base.ndjson");
    lab.write(
        "long.ndjson",
        [vm("a").into_bytes(), long_line(size), vm("b").into_bytes()].concat(),
    );
    let outcome = lab.run(&["run", "--once", "--source", "long.ndjson"]).exits(2);
    let outcome = outcome.says("long.ndjson, line 2 (byte").says("limit");
    assert_eq!(verdicts(&lab).len(), 2, "the lines around it are read");
    let row = &lab.query("select code, line, size from rejects")[0];
    assert_eq!(text(row, "code"), "too_large");
    assert!(number(row, "size") >= size as u64 - 64, "{row}");
    let peak = outcome.peak_memory.unwrap_or(0);
    assert!(peak < 300 << 20, "{} MiB for one line that is skipped", peak >> 20);
}

#[test]
fn a_very_long_first_line_is_skipped_too() {
    let size = if scale(0) > 0 { 1 << 30 } else { 40 << 20 };
    let lab = lab();
    let _ = import(&lab, "base.ndjson");
    lab.write("long.ndjson", [long_line(size), vm("b").into_bytes()].concat());
    let outcome = lab.run(&["run", "--once", "--source", "long.ndjson"]).exits(2);
    let _ = outcome.says("long.ndjson, line 1 (byte").says("limit");
    assert_eq!(verdicts(&lab).len(), 1, "the line after it is read");
}

#[test]
fn broken_lines_of_a_sweep_are_all_counted() {
    let lab = lab();
    let broken = "{\"a\":\n".repeat(500);
    let input = sweep_start("s", &json!({})) + &vm("a") + &broken + &sweep_end("s");
    lab.write("many.ndjson", input);
    let args = ["audit", "--baseline", "base.ndjson", "--snapshot", "many.ndjson", "--record"];
    let outcome = lab.run(&args).exits(2).says("500 records could not be read");
    assert!(outcome.stderr.lines().count() < 30, "not one message a line: {outcome}");
    assert_eq!(lab.count("rejects"), 500);
    let distinct = lab.query("select count(distinct line) as n, min(line) as first from rejects");
    assert_eq!(distinct[0], json!({"n": 500, "first": 3}));
}

#[test]
fn a_named_format_is_a_promise() {
    let lab = lab();
    let state = terraform_state("l", 1, &[("aws_instance", "app", json!({"id": "i-1"}))]);
    lab.write("state.json", state.to_string());
    let audit = |snapshot: &str| {
        lab.run(&["audit", "--baseline", "state.json", "--snapshot", snapshot, "--format", "json"])
    };
    let _ = audit("terraform-state:state.json").exits(0);
    let _ = audit("aws-config:state.json").exits(2).says("aws-config");
    let _ = audit("native:state.json").exits(2).says("native");
    lab.write("items.ndjson", lines(&[Value::Null]));
    let _ = audit("items.ndjson").exits(2).says("items.ndjson");
}

#[test]
fn an_unreadable_state_of_a_moment_known_already_is_refused_too() {
    let lab = lab();
    let _ = import(&lab, "base.ndjson");
    let twice = vm("a").replace("{\"n\":1}", "{\"n\":1,\"n\":2}");
    lab.write("twice.ndjson", vm("a") + &twice + &vm("b"));
    let _ = lab.run(&["run", "--once", "--source", "twice.ndjson"]).exits(2).says("stands twice");
    assert_eq!(lab.count("rejects where code = 'duplicate_key' and line = 2"), 1);
}
