//! What operators see: figures, health, events.

use std::collections::BTreeSet;

use deployforge_tests::{Broker, Client, Lab, Message, files_below, free_address, root};

use crate::http::{Service, vm};
use crate::support::{expect_verdicts, import};
use crate::watch::until;

fn page() -> String {
    let path = root().join("docs/reference/metrics.md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names in the first column of the tables of a section.
fn names(section: &str) -> BTreeSet<String> {
    let page = page();
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).expect("the section is there");
    let section = rest.split("\n## ").next().unwrap_or_default();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    cells.map(str::to_owned).collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_is_there() {
    let rule = "rules: [{name: r, when: id = 'c', effect: {detect: ignore}, owner: o, reason: r, permanent: true}]";
    let mut service = Service::new("", &format!("commit: {{interval_seconds: 0.2}}\n{rule}"));
    let lines = [vm("a", 1), vm("b", 2), vm("c", 2)].map(|vm| vm.at(1).line()).concat() + "{\n";
    service.post(lines).is(200).json();
    let scrape = || service.operations.get("/metrics").is(200).body;
    until("it is told", || {
        scrape().contains("\ndeployforge_rejects_total{code=\"malformed\"} 1\n")
    });
    let text = scrape();
    let exported: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .map(str::to_owned)
        .collect();
    // Those of the event bus are there with it, and looked at there.
    let bus = |name: &String| name.starts_with("deployforge_events_");
    let documented: BTreeSet<String> =
        names("Metrics").into_iter().filter(|name| !bus(name)).collect();
    assert_eq!(exported, documented, "{text}");
    for line in [
        "deployforge_messages_total 4",
        "deployforge_observations_total{level=\"compared\"} 2",
        "deployforge_suppressed_total{by=\"rule:r\"} 1",
        "deployforge_verdicts_total{verdict=\"drifted\"} 1",
        "deployforge_assigned_partitions 1",
        "deployforge_partition_lag_messages{topic=\"http/in\",partition=\"0\"} 0",
        "deployforge_partition_paused{topic=\"http/in\",partition=\"0\"} 0",
        "deployforge_durable_lag_seconds 0",
        "deployforge_http_requests_total{status=\"200\"} 1",
        "deployforge_http_pending_bytes 0",
        "deployforge_stalls_total 0",
    ] {
        until(line, || scrape().lines().any(|one| one == line));
    }
    for name in &exported {
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no description");
    }
    service.stop();
}

#[test]
fn what_comes_in_the_words_of_the_baseline_need_not_be_read() {
    let mut service = Service::new("", "commit: {interval_seconds: 0.2}");
    let spaced = vm("b", 1).at(1).line().replace("{\"n\":1}", "{ \"n\" : 1 }");
    assert!(spaced.contains("{ \"n\" : 1 }"), "{spaced}");
    let lines = vm("a", 1).at(1).line() + &spaced + &vm("c", 2).at(1).line();
    service.post(lines).is(200).json();
    for level in ["fingerprint", "canonical", "compared"] {
        let line = format!("deployforge_observations_total{{level=\"{level}\"}} 1");
        let told = || service.operations.get("/metrics").is(200).body;
        until(&line, || told().lines().any(|one| one == line));
    }
    expect_verdicts(&service.lab, &[("vm a", "in_sync"), ("vm b", "in_sync"), ("vm c", "drifted")]);
    service.post(["a", "b", "c"].map(|id| vm(id, 1).at(2).line()).concat()).is(200).json();
    expect_verdicts(&service.lab, &[("vm a", "in_sync"), ("vm b", "in_sync"), ("vm c", "in_sync")]);
    service.stop();
    // Without the fingerprints it is read, and comes to the same.
    let mut service = Service::new("", "commit: {interval_seconds: 0.2}");
    service.stop();
    let kept = files_below(&service.lab.path("data/baselines"), ".raw", &[]);
    assert_eq!(kept.len(), 1, "{kept:?}");
    std::fs::remove_file(&kept[0]).expect("our own file");
    service.start();
    service.post(vm("a", 1).at(1).line()).is(200).json();
    let line = "deployforge_observations_total{level=\"canonical\"} 1";
    let told = || service.operations.get("/metrics").is(200).body;
    until(line, || told().lines().any(|one| one == line));
    expect_verdicts(&service.lab, &[("vm a", "in_sync")]);
    service.stop();
}

#[test]
fn health_is_that_it_turns_and_readiness_that_it_keeps_up() {
    let mut service = Service::new(", wait_seconds: 0", "commit: {interval_seconds: 3600}");
    assert_eq!(service.operations.get("/healthz").is(200).json()["status"], "ok");
    let ready = service.operations.get("/readyz").is(200).json();
    assert_eq!(ready["obstacles"], serde_json::json!([]));
    service.post(vm("a", 1).at(1).line()).is(202).json();
    let lag = || {
        let text = service.operations.get("/metrics").body;
        let line =
            text.lines().find_map(|line| line.strip_prefix("deployforge_durable_lag_seconds "));
        line.and_then(|seconds| seconds.parse::<f64>().ok()).unwrap_or(0.0)
    };
    until("what is not durable grows old", || lag() > 1.0);
    let _ = service.operations.get("/other").is(404);
    service.stop();
}

#[test]
fn every_event_is_documented() {
    let mut events = BTreeSet::new();
    for folder in ["engine", "ingest", "queries"] {
        for path in files_below(&root().join(folder), ".rs", &["target"]) {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let named = text.split("event = \"").skip(1).filter_map(|rest| rest.split('"').next());
            events.extend(named.map(str::to_owned));
        }
    }
    assert_eq!(events, names("Events"));
}

#[test]
fn events_are_json_where_that_is_wanted() {
    let mut service = Service::new("", "");
    let said = service.stop();
    assert!(said.contains(" event=\"listening\" "), "{said}");
    service.start_with(&["--log-format", "json"]);
    let said = service.stop();
    let objects: Vec<serde_json::Value> = said
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    let listening: Vec<_> = objects.iter().filter(|one| one["event"] == "listening").collect();
    assert_eq!(listening.len(), 2, "{said}");
    for member in ["timestamp", "level", "name", "address", "message"] {
        assert!(listening[0][member].is_string(), "no {member}: {}", listening[0]);
    }
    assert!(!said.contains(" event=\""), "{said}");
}

#[test]
fn a_configuration_is_read_again_where_it_can_change() {
    let mut service = Service::new("", "commit: {interval_seconds: 0.2}");
    service.post(vm("b", 2).at(1).line()).is(200).json();
    let severity = || service.lab.query("select severity from current_findings")[0].clone();
    assert_eq!(severity()["severity"], "degraded");
    let config = service.lab.read("http.yaml");
    let reload = |text: &str| {
        service.lab.write("http.yaml", text);
        service.run.as_ref().expect("it runs").hang_up();
    };
    let told = |result: &str, count: u64| {
        let line = format!("deployforge_reloads_total{{result=\"{result}\"}} {count}");
        let scrape = || service.operations.get("/metrics").body;
        until(&line, || scrape().lines().any(|one| one == line));
    };
    // What was judged before is judged again.
    let strict = "policy: {severities: [{type: vm, path: /n, severity: critical}]}\n";
    reload(&(config.clone() + strict));
    told("reloaded", 1);
    until("it is judged again", || severity()["severity"] == "critical");
    // What is wrong, and what needs a restart, changes nothing.
    reload(&(config.clone() + "polizy: {}\n"));
    told("refused", 1);
    reload(&config.replace("name: in", "name: out"));
    told("refused", 2);
    reload(&(config.clone() + "baselines: [{name: nobody}]\n"));
    told("refused", 3);
    service.post(vm("c", 3).at(2).line()).is(200).json();
    assert_eq!(service.lab.count("current_findings where severity = 'critical'"), 2);
    // Commits come as the file says.
    reload(&(config.replace("0.2", "0.3") + strict));
    told("reloaded", 2);
    reload(&config);
    told("reloaded", 3);
    until("it is judged again", || severity()["severity"] == "degraded");
    let said = service.stop();
    let words =
        ["configuration_reloaded", "configuration_refused", "polizy", "`sources`", "nobody"];
    for words in words {
        assert!(said.contains(words), "no {words}: {said}");
    }
}

#[test]
fn a_partition_that_gives_nothing_is_read_again_and_nothing_counts_twice() {
    let Some(broker) = Broker::shared() else { return };
    broker.topic("stalls", 1);
    let line = |id: u64| vm(&format!("v{id}"), 1).at(1).line();
    let produce = |from: u64| {
        broker.produce("stalls", (from..from + 100).map(line).map(Message::of));
    };
    produce(0);
    let (lab, address) = (Lab::new(), free_address());
    lab.write("base.ndjson", (0..200).map(line).collect::<String>());
    let _ = import(&lab, "base.ndjson");
    // The broker keeps what it has until there is more than there ever will be, or time is up.
    lab.write(
        "kafka.yaml",
        format!(
            "listen: '{address}'\ncommit: {{interval_seconds: 0.2}}\nsources:\n  - name: in\n    kafka:\n      brokers: '{}'\n      topics: [stalls]\n      group: stalls\n      stall_seconds: 1\n      properties: {{fetch.min.bytes: '40000000', fetch.wait.max.ms: '3000'}}\n",
            broker.address()
        ),
    );
    let run = lab.start(&["run", "-c", "kafka.yaml"]);
    let operations = Client::new(&address);
    let figure = |name: &str| {
        let text = operations.get("/metrics").body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<f64>().ok()).unwrap_or(-1.0)
    };
    let lag = "deployforge_partition_lag_messages{topic=\"stalls\",partition=\"0\"}";
    until("it is known to be behind", || figure(lag) >= 100.0);
    until("it is read again", || figure("deployforge_stalls_total") >= 1.0);
    until("all has come", || figure("deployforge_messages_total") >= 100.0);
    produce(100);
    until("the rest has come", || figure("deployforge_messages_total") >= 200.0);
    until("nothing is left", || figure(lag) == 0.0);
    run.terminate();
    let said = run.finish().exits(0).stderr;
    assert!(said.contains("partition_stalled"), "{said}");
    assert_eq!(lab.count("verdicts"), 200);
    assert_eq!(lab.query("select sum(checked) as n from checks")[0]["n"], 200);
}
