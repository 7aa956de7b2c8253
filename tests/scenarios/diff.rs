//! `diff`: two documents.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use deployforge_tests::{Lab, Outcome, fixtures};
use serde_json::{Value, json};

use crate::support::paths;

#[track_caller]
fn diff(expected: &str, observed: &str, flags: &[&str]) -> Outcome {
    let lab = Lab::new();
    lab.write("a.json", expected);
    lab.write("b.json", observed);
    lab.run(&[&["diff", "a.json", "b.json", "--format", "json"], flags].concat())
}

/// Paths and kinds of what differs.
#[track_caller]
fn found(expected: &str, observed: &str, flags: &[&str]) -> BTreeSet<String> {
    let outcome = diff(expected, observed, flags);
    let report = outcome.json();
    let findings = report["findings"].as_array().expect("a list");
    let found: BTreeSet<String> = findings
        .iter()
        .map(|one| format!("{} {}", one["kind"].as_str().unwrap(), one["path"].as_str().unwrap()))
        .collect();
    let counts = found.iter().any(|finding| !finding.starts_with("reordered"));
    let _ = outcome.exits(i32::from(counts));
    assert_eq!(report["verdict"], if counts { "drifted" } else { "in_sync" });
    assert_eq!(paths(&report).len(), found.len(), "one finding a path");
    found
}

#[track_caller]
fn check(expected: &str, observed: &str, flags: &[&str], want: &[&str]) {
    let want: BTreeSet<String> = want.iter().map(|finding| (*finding).to_owned()).collect();
    assert_eq!(found(expected, observed, flags), want, "{expected} {observed} {flags:?}");
}

#[test]
fn differences_stand_at_their_paths() {
    let check = |expected, observed, want: &[&str]| check(expected, observed, &[], want);
    check("{}", "{}", &[]);
    check(r#"{"a":1,"b":[1,{"c":2}]}"#, r#"{"b":[1,{"c":2}],"a":1}"#, &[]);
    check(r#"{"a":1}"#, r#"{"a":2}"#, &["changed /a"]);
    check(r#"{"a":1}"#, r#"{"a":"1"}"#, &["changed /a"]);
    check(r#"{"a":true}"#, r#"{"a":1}"#, &["changed /a"]);
    check(r#"{"a":0}"#, "{}", &["removed /a"]);
    check("{}", r#"{"a":false}"#, &["added /a"]);
    // A subtree that appears or goes is one finding at its root.
    check("{}", r#"{"a":{"b":{"c":1,"d":[2,3]}}}"#, &["added /a"]);
    check(r#"{"a":{"b":{"c":1,"d":2}},"x":1}"#, r#"{"a":{},"x":1}"#, &["removed /a/b"]);
    check(r#"{"a":{"b":1}}"#, r#"{"a":[1]}"#, &["changed /a"]);
    // Names that are special in a pointer.
    check(
        r#"{"a/b":1,"m~n":1,"":{"":1}," ":1,"~1":1}"#,
        r#"{"a/b":2,"m~n":2,"":{"":2}," ":2,"~1":2}"#,
        &["changed /a~1b", "changed /m~0n", "changed //", "changed / ", "changed /~01"],
    );
    check(r#"{"k\"uü\u0000":1}"#, r#"{"k\"uü\u0000":2}"#, &["changed /k\"uü\u{0}"]);
    // Lists have an order: what is equal at both ends is not told of.
    check("[1,2,3]", "[1,9,3]", &["changed /1"]);
    check("[1,2,3]", "[1,2,3,4]", &["added /3"]);
    check("[1,2,3]", "[2,3]", &["removed /0"]);
    check(r#"{"l":[[1],[2]]}"#, r#"{"l":[[1],[3]]}"#, &["changed /l/1/0"]);
}

#[test]
fn another_order_is_information() {
    check("[1,2,3]", "[3,1,2]", &[], &["reordered "]);
    check(r#"{"l":["a","b"]}"#, r#"{"l":["b","a"]}"#, &["--normalise", "off"], &["reordered /l"]);
    check(r#"{"l":[{"a":1},{"b":2}]}"#, r#"{"l":[{"b":2.0},{"a":1}]}"#, &[], &["reordered /l"]);
    check(r#"{"l":[1,1,2]}"#, r#"{"l":[1,2,2]}"#, &[], &["changed /l/1"]);
    // Where a rule of the type says that the list is a set there is no order to tell of.
    let (a, b) = (r#"{"ingress":[{"p":1},{"p":2}]}"#, r#"{"ingress":[{"p":2},{"p":1}]}"#);
    check(a, b, &[], &["reordered /ingress"]);
    check(a, b, &["--type", "aws_security_group"], &[]);
    // Tags are addressed by key.
    check(
        r#"{"tags":[{"key":"Owner","value":"a"},{"key":"Team","value":"x"}]}"#,
        r#"{"tags":[{"key":"Team","value":"x"},{"key":"Owner","value":"b"}]}"#,
        &[],
        &["changed /tags/Owner"],
    );
}

#[test]
fn numbers_are_compared_by_value() {
    // The exit code tells: some of these numbers no reader of JSON in Rust can hold.
    let same = |a: &str, b: &str| {
        let (a, b) = (format!("{{\"n\":{a}}}"), format!("{{\"n\":{b}}}"));
        let outcome = diff(&a, &b, &["--normalise", "off"]);
        match outcome.code {
            Some(0) => true,
            Some(1) => false,
            _ => panic!("{outcome}"),
        }
    };
    for (a, b) in [
        ("1", "1.0"),
        ("100", "1e2"),
        ("0", "-0.0"),
        ("0.1", "1E-1"),
        ("9007199254740993", "9007199254740993.0"),
        ("123456789012345678901234567890", "1.2345678901234567890123456789e29"),
        ("1e400", "10e399"),
        ("18446744073709551615", "18446744073709551615"),
    ] {
        assert!(same(a, b), "{a} is {b}");
    }
    for (a, b) in [
        ("9007199254740993", "9007199254740992"),
        ("123456789012345678901234567890", "123456789012345678901234567891"),
        ("1e400", "1e401"),
        ("1e400", "-1e400"),
        ("1e-400", "0"),
        ("0.1", "0.10000000000000001"),
        ("18446744073709551615", "18446744073709551616"),
        ("1", "\"1\""),
    ] {
        assert!(!same(a, b), "{a} is not {b}");
    }
    // What is printed is the number that was read.
    let big = diff(r#"{"n":12345678901234567890123456789}"#, r#"{"n":1}"#, &[]).exits(1);
    assert!(big.text().contains("1.2345678901234567890123456789e28"), "{big}");
}

#[test]
fn nothing_has_many_spellings() {
    let nothing = ["{}", r#"{"a":null}"#, r#"{"a":""}"#, r#"{"a":[]}"#];
    for a in nothing {
        for b in nothing {
            assert!(found(a, b, &[]).is_empty(), "{a} {b}");
            let off = found(a, b, &["--normalise", "off"]);
            assert_eq!(off.is_empty(), a == b, "{a} {b}: {off:?}");
        }
        for something in
            [r#"{"a":{}}"#, r#"{"a":false}"#, r#"{"a":0}"#, r#"{"a":[null]}"#, r#"{"a":" "}"#]
        {
            assert!(!found(a, something, &[]).is_empty(), "{a} {something}");
        }
    }
    // JSON in text is compared as JSON, unless that is turned off.
    let (a, b) = (r#"{"p":"{\"x\":[1],\"y\":2}"}"#, r#"{"p":"{ \"y\":2.0, \"x\":[1] }"}"#);
    check(a, b, &[], &[]);
    check(a, b, &["--normalise", "off"], &["changed /p"]);
    check(r#"{"p":"[1,2]"}"#, r#"{"p":"[2,1]"}"#, &[], &["changed /p"]);
}

#[test]
fn declared_mode_looks_at_what_is_declared() {
    let (a, b) = (r#"{"a":1,"o":{"x":1}}"#, r#"{"a":2,"b":3,"o":{"x":1,"y":2}}"#);
    check(a, b, &[], &["changed /a", "added /b", "added /o/y"]);
    check(a, b, &["--mode", "declared"], &["changed /a"]);
    check(r#"{"a":1}"#, r#"{"b":1}"#, &["--mode", "declared"], &["removed /a"]);
}

#[test]
fn what_is_not_a_document_is_refused() {
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let _ = diff(&deep(128), &deep(128), &[]).exits(0);
    for (expected, observed, words) in [
        (r#"{"a":1,"a":1}"#, "{}", "`a` stands twice"),
        ("{}", r#"{"x":{"b":1,"c":2,"b":3}}"#, "b.json"),
        ("{", "{}", "a.json"),
        ("{} {}", "{}", "a.json"),
        ("{}", "", "b.json: the file is empty"),
        ("{}", "  \n", "b.json: the file is empty"),
        ("NaN", "1", "a.json"),
        (deep(129).as_str(), "1", "deeper than 128 levels"),
        (deep(100_000).as_str(), "1", "a.json"),
        (r#"{"$deployforge.secret":{"hmac":"a","key_id":"b","length":"c"}}"#, "{}", "reserved"),
    ] {
        let outcome = diff(expected, observed, &[]).exits(2).says(words);
        assert!(outcome.stdout.is_empty(), "{outcome}");
    }
    let lab = Lab::new();
    lab.write("a.json", "{}");
    let _ = lab.run(&["diff", "a.json", "none.json"]).exits(2).says("none.json");
    let _ = lab.run(&["diff", "a.json"]).exits(2);
    let _ = lab.run_with(&["diff", "a.json", "-"], "{\"a\":1}").exits(1);
}

#[test]
fn the_table_is_for_people() {
    let lab = Lab::new();
    lab.write("a.json", r#"{"size":"small","gone":1}"#);
    lab.write("b.json", "{\"size\":\"\\u001b[31mlarge\",\"new\":[1,2]}");
    let outcome = lab.run(&["diff", "a.json", "b.json"]).exits(1);
    for words in ["/gone: removed 1", "/new: added [1,2]", "/size: \"small\" → ", "3 findings"] {
        assert!(outcome.text().contains(words), "no `{words}`\n{outcome}");
    }
    assert!(!outcome.text().contains('\u{1b}'), "what is observed does not steer the terminal");
}

/// The suites of the JSON Patch community: documents that others say are equal or not.
#[test]
fn documents_differ_exactly_if_they_are_not_equal() {
    let folder = fixtures("8-vectors/json-patch__json-patch-tests");
    let mut pairs = Vec::new();
    for name in ["spec_tests.json", "tests.json"] {
        let text = std::fs::read_to_string(folder.join(name)).expect("a file of vectors");
        let records: Vec<Value> = serde_json::from_str(&text).expect("JSON");
        for record in records {
            if let (Some(doc), Some(expected)) = (record.get("doc"), record.get("expected")) {
                pairs.push((doc.clone(), expected.clone()));
            }
        }
    }
    assert!(pairs.len() > 60, "only {} vectors have both sides", pairs.len());
    let mut input = String::new();
    for (i, (doc, expected)) in pairs.iter().enumerate() {
        for (turn, (a, b)) in [(doc, expected), (expected, doc), (doc, doc)].iter().enumerate() {
            let pair = json!({"id": [i, turn], "normalise": "off", "expected": a, "observed": b});
            let _ = writeln!(input, "{pair}");
        }
    }
    let lines = Lab::new().run_with(&["diff", "--pairs", "-"], input).exits(1).lines();
    assert_eq!(lines.len(), pairs.len() * 3);
    for (n, line) in lines.iter().enumerate() {
        let (doc, expected) = &pairs[n / 3];
        assert_eq!(line["id"], json!([n / 3, n % 3]));
        let equal = n % 3 == 2 || doc == expected;
        let none = line["findings"].as_array().expect("a list").is_empty();
        assert_eq!(none, equal, "{doc} {expected}: {line}");
    }
}
