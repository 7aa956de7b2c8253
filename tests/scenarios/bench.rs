//! `bench`: the pipeline's figures add up, and its findings are the generator's truth whichever levels
//! decide.

use deployforge_tests::{Lab, number};
use serde_json::Value;

fn inventory(options: &str) -> (Lab, u64) {
    let lab = Lab::new();
    let usual = ["generate", "-n", "3000", "--seed", "5"];
    let with = |more: &str| -> Vec<String> {
        let more = more.split_whitespace();
        usual.into_iter().chain(options.split_whitespace()).chain(more).map(str::to_owned).collect()
    };
    let run = |args: Vec<String>| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let _ = lab.run(&args).exits(0);
    };
    run(with("-o base.ndjson"));
    run(with("--round 1 --drift 0.02 --change 0.05 --truth truth -o seen.ndjson"));
    let drifted = lab.read("truth").lines().count() as u64;
    (lab, drifted)
}

fn bench(lab: &Lab, more: &str) -> Value {
    let usual =
        ["bench", "-q", "--baseline", "base.ndjson", "--observations", "seen.ndjson", "--json"];
    let args: Vec<&str> = usual.into_iter().chain(more.split_whitespace()).collect();
    lab.run(&args).exits(0).json()
}

#[test]
fn figures_add_up() {
    for options in ["", "--envelope last", "--format native"] {
        let (lab, drifted) = inventory(options);
        assert!(drifted > 20);
        for more in [
            "",
            "--threads 1",
            "--tier lite",
            "--without fingerprint",
            "--without fingerprint,canonical,attributes",
            "--tables verdicts,observations",
        ] {
            let figures = bench(&lab, more);
            assert_eq!(number(&figures, "observations"), 3000, "{options} {more}");
            assert_eq!(number(&figures, "drifted"), drifted, "{options} {more}");
            assert_eq!(number(&figures, "findings"), drifted, "{options} {more}");
            assert_eq!(number(&figures, "hash_collisions"), 0, "{options} {more}");
            assert_eq!(number(&figures, "scrub_mismatches"), 0, "{options} {more}");
            let levels = &figures["levels"];
            let [raw, canonical, compared] =
                ["fingerprint", "canonical", "compared"].map(|level| number(levels, level));
            assert_eq!(raw + canonical + compared, 3000, "{options} {more}: {levels}");
            if more.is_empty() {
                assert_eq!(compared, drifted, "{options}");
                assert!(canonical > 50, "{options}: {levels}");
                let tables = figures["tables"].as_array().expect("a list");
                assert_eq!(tables, &["checks", "findings"]);
                assert!(number(&figures, "peak_rss_bytes") > 0);
            }
            if more.contains("canonical") {
                assert_eq!(compared, 3000, "{options}");
            }
        }
    }
}

#[test]
fn nothing_is_left_behind() {
    let (lab, _) = inventory("");
    let folder = lab.path("runs");
    std::fs::create_dir(&folder).expect("our own folder");
    let _ = bench(&lab, "--folder runs");
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0);
    let failed = lab.run(&["bench", "--baseline", "absent", "--observations", "seen.ndjson"]);
    let _ = failed.exits(2).says("absent");
}
