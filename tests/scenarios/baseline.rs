//! `baseline`: import, list, show, diff.

use deployforge_tests::make::{Native, lines, terraform_state};
use deployforge_tests::{Lab, number, text};
use serde_json::{Value, json};

use crate::support::{import, paths, resources};

fn states(size: &str) -> String {
    let of = |id: &str, size: &str| Native::new("vm", id, json!({"size": size, "on": true})).at(1);
    lines(&[of("a", size).value(), of("b", "small").value()])
}

#[test]
fn versions_are_counted_and_equal_content_makes_none() {
    let lab = Lab::new();
    lab.write("one.ndjson", states("small"));
    lab.write("two.ndjson", states("large"));
    assert!(import(&lab, "one.ndjson").text().contains("imported b@1: 2 resources, recorded"));
    assert!(import(&lab, "one.ndjson").text().contains("unchanged: b@1"));
    assert!(import(&lab, "two.ndjson").text().contains("imported b@2"));
    assert!(import(&lab, "one.ndjson").text().contains("imported b@3"), "going back is a version");
    let list = lab.run(&["baseline", "list", "--format", "json"]).exits(0).json();
    let versions: Vec<u64> =
        list.as_array().expect("a list").iter().map(|one| number(one, "version")).collect();
    assert_eq!(versions, [1, 2, 3]);
    let table = lab.run(&["baseline", "list"]).exits(0);
    assert!(table.text().contains("one.ndjson"), "{table}");
    let _ = lab.run(&["run", "--once", "--source", "one.ndjson"]).exits(0);
    let rows = lab.query("select name, version, kind, resources from baselines order by version");
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[2], json!({"name": "b", "version": 3, "kind": "recorded", "resources": 2}));
}

#[test]
fn a_dry_run_leaves_nothing() {
    let lab = Lab::new();
    lab.write("one.ndjson", states("small"));
    let outcome = lab.run(&["baseline", "import", "b", "one.ndjson", "--dry-run"]).exits(0);
    assert!(outcome.text().contains("would import 2 resources"), "{outcome}");
    assert!(!lab.path("data").exists());
    lab.write("bad.ndjson", states("small") + "{broken\n");
    let _ =
        lab.run(&["baseline", "import", "b", "bad.ndjson", "--dry-run"]).exits(2).says("line 3");
    assert!(!lab.path("data").exists());
}

#[test]
fn show_finds_a_resource_by_any_of_its_names() {
    let lab = Lab::new();
    let arn = "arn:aws:ec2:eu-west-1:111111111111:instance/i-1";
    let machine = json!({"id": "i-1", "arn": arn, "instance_type": "t3.small"});
    let state = terraform_state("l", 1, &[("aws_instance", "app", machine)]);
    lab.write("terraform.tfstate", state.to_string());
    let _ = import(&lab, "terraform.tfstate");
    for name in ["i-1", "aws_instance.app", arn] {
        let shown = lab.run(&["baseline", "show", "b", "--resource", name]).exits(0).json();
        assert_eq!(shown[0]["state"]["instance_type"], "t3.small", "{name}");
        assert_eq!(shown[0]["address"], "aws_instance.app");
    }
    let all = lab.run(&["baseline", "show", "b@1", "--format", "json"]).exits(0).json();
    assert_eq!(all.as_array().map(Vec::len), Some(1));
    assert!(all[0].get("state").is_none(), "states are shown when one is asked for");
    let _ = lab.run(&["baseline", "show", "b", "--resource", "i-2"]).exits(2).says("i-2");
    let _ = lab.run(&["baseline", "show", "c"]).exits(2).says("there are: b");
    let _ = lab.run(&["baseline", "show", "b@7"]).exits(2).says("version 7");
    let _ = lab.run(&["baseline", "show", "b@x"]).exits(2).says("NAME@3");
}

#[test]
fn diff_compares_versions() {
    let lab = Lab::new();
    lab.write("one.ndjson", states("small"));
    let third = Native::new("vm", "c", json!({"on": false})).at(1).line();
    lab.write(
        "two.ndjson",
        states("large").lines().next().expect("a line").to_owned() + "\n" + &third,
    );
    let _ = import(&lab, "one.ndjson");
    let _ = import(&lab, "two.ndjson");
    let diff = |a: &str, b: &str| lab.run(&["baseline", "diff", a, b, "--format", "json"]);
    let report = diff("b@1", "b").exits(1).json();
    let expected = [("a", "drifted"), ("b", "missing"), ("c", "unmanaged")];
    assert_eq!(resources(&report), expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    let list = report["resources"].as_array().expect("a list");
    let drifted = list.iter().find(|one| text(one, "verdict") == "drifted").expect("it is there");
    assert_eq!(paths(drifted), ["/size".to_owned()].into());
    let _ = diff("b@2", "b@2").exits(0);
    let _ = diff("b@1", "b@9").exits(2);
    let ndjson = lab.run(&["baseline", "diff", "b@1", "b@2", "--format", "ndjson"]).exits(1);
    assert_eq!(ndjson.lines().len(), 4);
    assert!(lab.run(&["baseline", "diff", "b@1", "b@2"]).exits(1).text().contains("missing"));
}

#[test]
fn names_stay_in_their_folder() {
    let lab = Lab::new();
    lab.write("one.ndjson", states("small"));
    let long = "n".repeat(101);
    for name in ["../b", "a/b", "a\\b", "", ".b", "..", "a b", "ü", "a@b", long.as_str()] {
        let outcome = lab.run(&["baseline", "import", name, "one.ndjson"]).exits(2);
        assert!(outcome.stdout.is_empty(), "{outcome}");
    }
    let _ = lab
        .run(&["baseline", "import", "a/b", "one.ndjson"])
        .exits(2)
        .says("cannot name a baseline");
    assert!(!lab.path("data/baselines/a").exists() && !lab.path("data/b").exists());
    let _ = lab.run(&["baseline", "show", "../../etc"]).exits(2);
}

#[test]
fn a_damaged_file_is_noticed() {
    for name in ["1.arrow", "1.json"] {
        let lab = Lab::new();
        lab.write("one.ndjson", states("small"));
        let _ = import(&lab, "one.ndjson");
        let path = format!("data/baselines/b/{name}");
        let mut bytes = std::fs::read(lab.path(&path)).expect("the file is there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x15;
        lab.write(&path, &bytes);
        for args in [
            &["baseline", "show", "b"][..],
            &["run", "--once", "--source", "one.ndjson"],
            &["audit", "--baseline", "@b", "--snapshot", "one.ndjson"],
        ] {
            let outcome = lab.run(args);
            // A flipped bit in a manifest may still be a manifest; in rows it never goes unseen.
            if name == "1.arrow" {
                let _ = outcome.exits(2).says("is damaged").says("1.arrow");
            }
        }
        if name == "1.json" {
            bytes[0] = b'!';
            lab.write(&path, &bytes);
            let _ = lab.run(&["baseline", "show", "b"]).exits(2).says("is damaged").says("1.json");
        }
    }
}

#[test]
fn the_newest_version_is_used_unless_one_is_named() {
    let lab = Lab::new();
    lab.write("one.ndjson", states("small"));
    lab.write("two.ndjson", states("large"));
    let _ = import(&lab, "one.ndjson");
    let _ = import(&lab, "two.ndjson");
    let audit = |name: &str| lab.run(&["audit", "--baseline", name, "--snapshot", "two.ndjson"]);
    let _ = audit("@b").exits(0);
    let _ = audit("@b@2").exits(0);
    let _ = audit("@b@1").exits(1);
    let _ = audit("@c").exits(2).says("there is no baseline `c`");
    let run = lab.run(&["run", "--once", "--baseline", "b@1", "--source", "two.ndjson"]).exits(1);
    assert!(run.stderr.contains("1 drifted"), "{run}");
    let row = &lab
        .query("select id, baseline, baseline_version from verdicts where verdict = 'drifted'")[0];
    assert_eq!(*row, json!({"id": "a", "baseline": "b", "baseline_version": 1}));
}

#[test]
fn claims_that_contradict_each_other_are_unknown() {
    let lab = Lab::new();
    let of = |n: u64| Native::new("vm", "a", json!({"n": n})).line();
    lab.write("twice.ndjson", of(1) + &of(2));
    lab.write("now.ndjson", of(1));
    let args =
        ["audit", "--baseline", "twice.ndjson", "--snapshot", "now.ndjson", "--format", "json"];
    let report: Value = lab.run(&args).says("declared twice").json();
    assert_eq!(report["resources"][0]["verdict"], "unknown");
    assert_eq!(report["resources"][0]["reason"], "duplicate");
}

#[test]
fn nothing_to_keep_is_an_error() {
    let lab = Lab::new();
    lab.write("empty.ndjson", "");
    let _ = lab.run(&["baseline", "import", "b", "empty.ndjson"]).exits(2).says("0 resources");
    let list = lab.run(&["baseline", "list"]);
    assert!(!list.text().contains("empty"), "{list}");
    let _ = lab.run(&["baseline", "import", "b", "none.ndjson"]).exits(2).says("none.ndjson");
}
