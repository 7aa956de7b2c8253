//! `diff --pairs`: one line in, one line out.

use deployforge_tests::{Lab, Outcome};
use serde_json::{Value, json};

#[track_caller]
fn pairs(input: &str, flags: &[&str]) -> Outcome {
    Lab::new().run_with(&[&["diff", "--pairs", "-"], flags].concat(), input)
}

#[test]
fn ids_come_back_as_they_were() {
    let ids = ["7", "7.0", "\"a b\"", "1e400", "null", "{\"x\" : [1,2]}", "\"\\u00fc\"", "-0"];
    let pair = |id: &&str| format!("{{\"id\":{id},\"expected\":[1],\"observed\":[1]}}");
    let input = ids.iter().map(pair).collect::<Vec<_>>().join("\n");
    let outcome = pairs(&input, &[]).exits(0);
    let lines: Vec<&str> = outcome.text().lines().collect();
    assert_eq!(lines.len(), ids.len());
    for (line, id) in lines.iter().zip(ids) {
        assert!(line.starts_with(&format!("{{\"id\":{id},")), "{id}: {line}");
        assert!(line.contains("\"verdict\":\"in_sync\""), "{line}");
    }
}

#[test]
fn each_pair_has_its_own_options() {
    let pair = |extra: Value, expected: Value, observed: Value| {
        let mut pair = json!({"id": 1, "expected": expected, "observed": observed});
        for (name, value) in extra.as_object().expect("an object") {
            pair[name] = value.clone();
        }
        format!("{pair}\n")
    };
    let groups =
        (json!({"ingress": [{"p": 1}, {"p": 2}]}), json!({"ingress": [{"p": 2}, {"p": 1}]}));
    let input = [
        pair(json!({}), json!({"a": null}), json!({})),
        pair(json!({"normalise": "off"}), json!({"a": null}), json!({})),
        pair(json!({"mode": "declared"}), json!({}), json!({"a": 1})),
        pair(json!({"mode": "full"}), json!({}), json!({"a": 1})),
        pair(json!({"type": "aws_security_group"}), groups.0.clone(), groups.1.clone()),
        pair(json!({}), groups.0, groups.1),
        pair(json!({}), json!([1]), json!("1")),
    ];
    let lines = pairs(&input.concat(), &[]).exits(1).lines();
    let found: Vec<Vec<&str>> = lines
        .iter()
        .map(|line| {
            let findings = line["findings"].as_array().expect("a list").iter();
            findings.map(|finding| finding["kind"].as_str().expect("a kind")).collect()
        })
        .collect();
    let none: Vec<&str> = Vec::new();
    assert_eq!(
        found,
        [
            &none,
            &vec!["removed"],
            &none,
            &vec!["added"],
            &none,
            &vec!["reordered"],
            &vec!["changed"]
        ]
        .map(Clone::clone)
    );
    // The flags are what a pair does not say.
    let first = pairs(&input[..1].concat(), &["--normalise", "off"]).exits(1).lines();
    assert_eq!(first[0]["findings"][0]["kind"], "removed");
}

#[test]
fn a_broken_pair_is_one_error_line() {
    let good = r#"{"id":"good","expected":{"a":1},"observed":{"a":2}}"#;
    let broken = [
        ("not json", Value::Null, "line 1"),
        (r#"{"id":1,"expected":{}}"#, Value::Null, "observed"),
        (r#"{"id":2,"expected":{},"observed":{},"modus":"full"}"#, Value::Null, "modus"),
        (r#"{"id":3,"expected":{"a":1,"a":1},"observed":{}}"#, json!(3), "expected: "),
        (r#"{"id":"x","expected":{},"observed":{"b":{"a":1,"a":1}}}"#, json!("x"), "observed: "),
    ];
    for (line, id, words) in broken {
        let outcome = pairs(&format!("{line}\n{good}\n\n"), &[]).exits(2);
        let lines = outcome.lines();
        assert_eq!(lines.len(), 2, "{line}: the good pair is compared: {outcome}");
        assert_eq!(lines[0]["id"], id, "{line}");
        let error = lines[0]["error"].as_str().unwrap_or_else(|| panic!("{outcome}"));
        assert!(error.contains(words) && error.contains("line 1"), "{error}");
        assert_eq!(lines[1]["id"], "good");
        assert_eq!(lines[1]["verdict"], "drifted");
        let _ = outcome.says("line 1");
    }
}

#[test]
fn no_pairs_is_no_success() {
    let _ = pairs("", &[]).exits(2).says("0 pairs");
    let _ = pairs("\n \n", &[]).exits(2).says("0 pairs");
    let lab = Lab::new();
    let _ = lab.run(&["diff", "--pairs", "none.ndjson"]).exits(2).says("none.ndjson");
    lab.write("a.json", "{}");
    let _ = lab.run(&["diff", "--pairs", "a.json", "a.json", "a.json"]).exits(2);
}

#[test]
fn secrets_are_not_printed() {
    let state = |secret: &str| {
        json!({
            "master_password": secret,
            "container": {"env": [{"name": "DB_PASSWORD", "value": secret}, {"name": "PORT", "value": "1"}]},
            "definition": json!([{"api_key": secret, "port": 1}]).to_string(),
            "set": [{"client_secret": secret}],
        })
    };
    let pair = json!({"id": 1, "expected": state("PLANTED-one"), "observed": state("PLANTED-two")});
    let outcome = pairs(&format!("{pair}\n"), &[]).exits(1);
    let findings = outcome.lines()[0]["findings"].as_array().expect("a list").len();
    assert_eq!(findings, 4, "that a secret changed is seen: {outcome}");
    assert!(!outcome.all().contains("PLANTED"), "{outcome}");
    let lab = Lab::new();
    lab.write("a.json", state("PLANTED-one").to_string());
    lab.write("b.json", state("PLANTED-two").to_string());
    for format in ["table", "json"] {
        let outcome = lab.run(&["diff", "a.json", "b.json", "--format", format]).exits(1);
        assert!(!outcome.all().contains("PLANTED"), "{outcome}");
    }
    let same = pairs(
        &format!(
            "{}\n",
            json!({"id": 1, "expected": state("PLANTED-one"), "observed": state("PLANTED-one")})
        ),
        &[],
    );
    let _ = same.exits(0);
}
