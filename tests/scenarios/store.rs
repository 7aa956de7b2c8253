//! Machines that share a store: each has a data directory of its own, and nothing of it matters.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use deployforge_tests::{
    Broker, Bucket, Inventory, Lab, Message, Round, files_below, number, text,
};
use serde_json::Value;

use crate::support::{FINDINGS, FINDINGS_NOW, VERDICTS, VERDICTS_NOW, import, same_rows, sizes};

const COUNT: u64 = 3000;

const ROUNDS: [Round; 2] = [
    Round { number: 1, drifting: 50, missing: 0, unmanaged: 30 },
    Round { number: 2, drifting: 20, missing: 0, unmanaged: 40 },
];

fn inventory() -> Inventory {
    Inventory { count: COUNT, seed: 5 }
}

/// Writes the files that a run of two rounds needs.
fn write_inventory(lab: &Lab) {
    lab.write("base.ndjson", inventory().text(Round::default()).0);
    for round in &ROUNDS {
        lab.write(&format!("{}.ndjson", round.number), inventory().text(*round).0);
    }
}

fn run_file(lab: &Lab, round: Round) {
    let file = format!("{}.ndjson", round.number);
    let _ = lab.run(&["run", "--once", "--quiet", "--source", &file]).exits(1);
}

/// Two rounds of files on this machine alone.
fn alone() -> Lab {
    alone_with_checks().0
}

/// The same, and how many checks there were after each round.
fn alone_with_checks() -> (Lab, Vec<u64>) {
    let lab = Lab::new();
    write_inventory(&lab);
    let _ = import(&lab, "base.ndjson");
    let mut checks = Vec::new();
    for round in &ROUNDS {
        run_file(&lab, *round);
        checks.push(number(&lab.query(CHECKED)[0], "n"));
    }
    (lab, checks)
}

#[test]
fn a_history_in_a_store_says_what_one_in_a_folder_says() {
    let Some(bucket) = Bucket::shared() else { return };
    let place = bucket.place("files");
    let lab = Lab::sharing(bucket, &place);
    write_inventory(&lab);
    let imported = import(&lab, "base.ndjson");
    assert!(imported.text().contains("b@1"), "{}", imported.text());
    ROUNDS.into_iter().for_each(|round| run_file(&lab, round));
    let folder = alone();
    same_rows("findings", &lab.sorted(FINDINGS), &folder.sorted(FINDINGS));
    same_rows("verdicts", &lab.sorted(VERDICTS), &folder.sorted(VERDICTS));
    assert!(!lab.path("data/history").exists(), "nothing of the history is here");
    // Another machine sees the same, makes nothing, and has nothing left to read.
    let other = Lab::sharing(bucket, &place);
    same_rows("verdicts", &other.sorted(VERDICTS_NOW), &lab.sorted(VERDICTS_NOW));
    assert_eq!(other.query("select name, version from baselines").len(), 1);
    assert!(!other.path("data").exists());
    // It takes up what was known, and learns nothing from what was read before.
    let before = sizes(&lab);
    write_inventory(&other);
    let _ = other.run(&["run", "--once", "--quiet", "--source", "2.ndjson"]).exits(1);
    assert_eq!(sizes(&other), before);
}

#[test]
fn a_baseline_of_one_machine_is_every_machines() {
    let Some(bucket) = Bucket::shared() else { return };
    let place = bucket.place("baselines");
    let one = Lab::sharing(bucket, &place);
    let other = Lab::sharing(bucket, &place);
    write_inventory(&one);
    write_inventory(&other);
    let _ = import(&one, "base.ndjson");
    let again = import(&other, "base.ndjson");
    assert!(again.text().contains("unchanged"), "{}", again.text());
    let _ = other.run(&["run", "--once", "--quiet", "--source", "1.ndjson"]).exits(1);
    let drifted = other.count("verdicts where verdict = 'drifted'");
    assert_eq!(drifted, one.count("verdicts where verdict = 'drifted'"));
    assert!(drifted > 50, "{drifted}");
    // Keys are made once: hashes of one machine are those of the other.
    assert_eq!(one.read("data/keys.json"), other.read("data/keys.json"));
    // A data directory of another deployment is not taken for a cache of this one.
    let mut stranger = Lab::new();
    stranger.write("base.ndjson", one.read("base.ndjson"));
    let _ = import(&stranger, "base.ndjson");
    bucket.environment().iter().for_each(|(name, value)| stranger.set(name, value));
    stranger.set("DEPLOYFORGE_STORE", &place);
    let refused = stranger.run(&["baseline", "import", "b", "base.ndjson"]).exits(2);
    assert!(refused.stderr.contains("another deployment"), "{}", refused.stderr);
}

#[test]
fn imports_at_once_take_versions_of_their_own() {
    let Some(bucket) = Bucket::shared() else { return };
    let place = bucket.place("imports");
    let labs: Vec<Lab> = (0..4).map(|_| Lab::sharing(bucket, &place)).collect();
    // The keys of the deployment are there.
    labs[0].write("other.ndjson", inventory().text(Round::default()).0);
    let _ = labs[0].run(&["baseline", "import", "other", "other.ndjson"]).exits(0);
    for (at, lab) in labs.iter().enumerate() {
        let line = format!(
            r#"{{"provider":"aws","type":"T","id":"i","attributes":{{"a":{at}}}}}{}"#,
            "\n"
        );
        lab.write("base.ndjson", line);
    }
    let imports: Vec<_> =
        labs.iter().map(|lab| lab.start(&["baseline", "import", "b", "base.ndjson"])).collect();
    for import in imports {
        let _ = import.finish().exits(0);
    }
    let list = labs[0].run(&["baseline", "list", "--format", "json"]).exits(0).json();
    let rows = list.as_array().expect("a list");
    let ours = rows.iter().filter(|row| row["name"] == "b");
    let versions: Vec<u64> = ours.map(|row| row["version"].as_u64().expect("one")).collect();
    assert_eq!(versions, [1, 2, 3, 4], "{rows:?}");
    for version in versions {
        let _ = labs[3].run(&["baseline", "show", &format!("b@{version}")]).exits(0);
    }
}

/// A line as a message with its resource as key, as producers send it.
fn keyed(line: &str) -> Message {
    let record: Value = serde_json::from_str(line).expect("a record");
    Message::of(line).key(text(&record, "resourceId"))
}

fn produce(broker: &Broker, topic: &str, round: Round) {
    let (lines, _) = inventory().text(round);
    broker.produce(topic, lines.lines().map(keyed));
}

const CHECKED: &str = "select coalesce(sum(checked), 0) as n from checks";

/// Waits until the history of a lab has so many checks; more are too many.
#[track_caller]
fn until_checked(lab: &Lab, want: u64) {
    let start = Instant::now();
    loop {
        // There may be no history yet, or no store.
        let asked = lab.run(&["query", CHECKED, "--format", "json"]);
        let checked = if asked.code == Some(0) { number(&asked.json()[0], "n") } else { 0 };
        assert!(checked <= want, "{checked} of {want}");
        if checked == want {
            return;
        }
        let seconds = start.elapsed().as_secs();
        assert!(
            seconds < 90,
            "after {seconds} s {checked} of {want} are checked\n{}",
            asked.stderr
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn workers_on_two_machines_share_a_topic_and_a_store() {
    let (Some(bucket), Some(broker)) = (Bucket::shared(), Broker::shared()) else { return };
    let place = bucket.place("workers");
    let machines = [Lab::sharing(bucket, &place), Lab::sharing(bucket, &place)];
    write_inventory(&machines[0]);
    let _ = import(&machines[0], "base.ndjson");
    broker.topic("machines", 4);
    produce(broker, "machines", ROUNDS[0]);
    let source = format!("kafka://{}/machines?group=machines", broker.address());
    let mut workers: Vec<_> =
        machines.iter().map(|lab| lab.start(&["run", "--quiet", "--source", &source])).collect();
    let (files, checks) = alone_with_checks();
    until_checked(&machines[1], checks[0]);
    produce(broker, "machines", ROUNDS[1]);
    // One machine is gone from one moment to the next; the other goes on.
    workers[0].kill();
    until_checked(&machines[1], checks[1]);
    for worker in &workers[1..] {
        worker.terminate();
    }
    workers.into_iter().for_each(|worker| drop(worker.finish()));
    same_rows("verdicts", &machines[1].sorted(VERDICTS_NOW), &files.sorted(VERDICTS_NOW));
    same_rows("findings", &machines[1].sorted(FINDINGS_NOW), &files.sorted(FINDINGS_NOW));
    assert_eq!(machines[1].query(CHECKED), files.query(CHECKED));
    assert!(!machines[1].path("data/history").exists());
}

#[test]
fn a_worker_outlives_its_store_and_another_machine_goes_on_from_there() {
    let (Some(bucket), Some(broker)) = (Bucket::start(), Broker::shared()) else { return };
    let place = bucket.place("restart");
    let lab = Lab::sharing(&bucket, &place);
    write_inventory(&lab);
    let _ = import(&lab, "base.ndjson");
    broker.topic("outlives", 2);
    produce(broker, "outlives", ROUNDS[0]);
    let source = format!("kafka://{}/outlives?group=outlives", broker.address());
    let mut worker = lab.start(&["run", "--quiet", "--source", &source]);
    let (files, checks) = alone_with_checks();
    until_checked(&lab, checks[0]);
    bucket.kill();
    produce(broker, "outlives", ROUNDS[1]);
    std::thread::sleep(Duration::from_secs(8));
    bucket.restart();
    until_checked(&lab, checks[1]);
    worker.kill();
    drop(worker.finish());
    let other = Lab::sharing(&bucket, &place);
    let _ = other.run(&["run", "--once", "--quiet", "--source", &source]).exits(1);
    same_rows("verdicts", &other.sorted(VERDICTS_NOW), &files.sorted(VERDICTS_NOW));
    same_rows("findings", &other.sorted(FINDINGS_NOW), &files.sorted(FINDINGS_NOW));
    assert_eq!(other.query(CHECKED), files.query(CHECKED));
}

#[test]
fn killed_and_gone_on_with_elsewhere_a_run_of_files_ends_the_same() {
    let Some(bucket) = Bucket::shared() else { return };
    let place = bucket.place("killed");
    let one = Lab::sharing(bucket, &place);
    write_inventory(&one);
    let _ = import(&one, "base.ndjson");
    let config = "commit: {interval_seconds: 0.05, rows: 100}\nsources: [{name: s, path: in}]\n";
    for turn in 0..5_u64 {
        let lab = Lab::sharing(bucket, &place);
        lab.write("often.yaml", config);
        for round in &ROUNDS {
            lab.write(&format!("in/{}.ndjson", round.number), inventory().text(*round).0);
        }
        let mut running = lab.start(&["run", "--once", "--quiet", "-c", "often.yaml"]);
        if turn < 4 {
            std::thread::sleep(Duration::from_millis(300 + turn * 350));
            running.kill();
            drop(running.finish());
        } else {
            let _ = running.finish().exits(1);
        }
    }
    let files = alone();
    same_rows("verdicts", &one.sorted(VERDICTS_NOW), &files.sorted(VERDICTS_NOW));
    same_rows("findings", &one.sorted(FINDINGS_NOW), &files.sorted(FINDINGS_NOW));
}

#[test]
fn objects_are_read_by_name_prefix_and_pattern() {
    let Some(bucket) = Bucket::shared() else { return };
    let inputs = bucket.place("in");
    let lab = Lab::with_access(bucket);
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(inventory().text(ROUNDS[0]).0.as_bytes()).expect("packed");
    bucket.write(&inputs, "day/1.ndjson.gz", packer.finish().expect("packed"));
    let packed = zstd::encode_all(inventory().text(ROUNDS[1]).0.as_bytes(), 3).expect("packed");
    bucket.write(&inputs, "day/2.ndjson.zst", packed);
    bucket.write(&inputs, "day/3.ndjson.tmp", "not whole");
    bucket.write(&inputs, "base/all.ndjson", inventory().text(Round::default()).0);
    let base = format!("{inputs}/base/*.ndjson");
    let _ = lab.run(&["baseline", "import", "b", &base]).exits(0);
    let day = format!("{inputs}/day");
    let _ = lab.run(&["run", "--once", "--quiet", "--source", &day]).exits(1);
    let files = alone();
    same_rows("verdicts", &lab.sorted(VERDICTS_NOW), &files.sorted(VERDICTS_NOW));
    // Objects that did not change are not read again.
    let again = lab.run(&["run", "--once", "--source", &day]).exits(1);
    assert!(again.stderr.contains("2 files read before"), "{}", again.stderr);
    let audit = |snapshot: &str, code: i32| {
        let snapshot = format!("{inputs}/{snapshot}");
        let base = format!("{inputs}/base/all.ndjson");
        let args = ["audit", "--baseline", &base, "--snapshot", &snapshot, "--quiet"];
        lab.run(&args).exits(code).stderr
    };
    audit("day/1.ndjson.gz", 1);
    audit("day/*.zst", 1);
    audit("day/", 1);
    let absent = audit("day/none.ndjson", 2);
    assert!(absent.contains("no object"), "{absent}");
    let absent = audit("none/*.ndjson", 2);
    assert!(absent.contains("No file matches"), "{absent}");
}

#[test]
fn a_store_that_refuses_or_is_silent_is_told_with_what_to_do_and_no_secret() {
    let Some(bucket) = Bucket::shared() else { return };
    let place = bucket.place("refused");
    let secret = "a-wrong-and-private-one";
    let mut lab = Lab::sharing(bucket, &place);
    lab.set("AWS_SECRET_ACCESS_KEY", secret);
    lab.write("base.ndjson", inventory().text(Round::default()).0);
    let mut said = Vec::new();
    let mut tell = |lab: &Lab, args: &[&str], words: &[&str]| {
        let outcome = lab.run(args).exits(2);
        for word in words {
            assert!(outcome.stderr.contains(word), "{word}: {}", outcome.stderr);
        }
        assert!(!outcome.stderr.contains(secret), "{}", outcome.stderr);
        said.push(outcome.stderr);
    };
    let import = ["baseline", "import", "b", "base.ndjson"];
    tell(&lab, &import, &["refuses access", &place, "credentials", "AWS_SECRET_ACCESS_KEY"]);
    tell(&lab, &["query", "select 1"], &["refuses access"]);
    tell(&lab, &["audit", "--baseline", "base.ndjson", "--snapshot", &place], &["refuses access"]);
    let mut lab = Lab::sharing(bucket, "s3://none-such/x");
    lab.write("base.ndjson", "{}\n");
    tell(&lab, &import, &["is not there", "s3://none-such/x"]);
    lab.set("DEPLOYFORGE_STORE", "s3://user:a-wrong-and-private-one@bucket/x");
    tell(&lab, &import, &["do not belong into it"]);
    lab.set("DEPLOYFORGE_STORE", "ftp://bucket/x");
    tell(&lab, &import, &["names no store"]);
    lab.set("DEPLOYFORGE_STORE", &place);
    // Nothing listens there.
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("one").port();
    lab.set("AWS_ENDPOINT", &format!("http://127.0.0.1:{port}"));
    tell(&lab, &import, &["cannot be used", "check the endpoint", "AWS_ENDPOINT"]);
    lab.write("c.yaml", "store_options: {aws_endpiont: x}\n");
    let wrong = ["run", "-c", "c.yaml", "--source", "base.ndjson"];
    tell(&lab, &wrong, &["aws_endpiont", "no such option"]);
    lab.write("c.yaml", "store_options: {aws_endpoint: '${NO_SUCH_VARIABLE}'}\n");
    tell(&lab, &wrong, &["NO_SUCH_VARIABLE"]);
    let demo = ["demo", "--once"];
    tell(&lab, &demo, &["leave out --store"]);
}

#[test]
fn no_secret_reaches_the_store() {
    let Some(bucket) = Bucket::shared() else { return };
    let place = bucket.place("secrets");
    let lab = Lab::sharing(bucket, &place);
    let line = |password: &str| {
        let attributes = format!(r#"{{"password":"{password}","a":1}}"#);
        format!(r#"{{"provider":"aws","type":"T","id":"i","attributes":{attributes}}}{}"#, "\n")
    };
    lab.write("base.ndjson", line("tiger-in-the-tank"));
    lab.write("seen.ndjson", line("lion-in-the-tank"));
    let _ = import(&lab, "base.ndjson");
    let _ = lab.run(&["run", "--once", "--quiet", "--source", "seen.ndjson"]).exits(1);
    let objects = files_below(&bucket.files(&place), "", &[]);
    assert!(objects.len() > 10, "{objects:?}");
    for object in objects {
        let mut bytes = Vec::new();
        let mut file = std::fs::File::open(&object).expect("a file");
        file.read_to_end(&mut bytes).expect("read");
        assert!(!bytes.windows(11).any(|part| part == b"in-the-tank"), "{}", object.display());
    }
}
