//! The configuration file: what is wrong with one, and that nothing of it is told that may be a secret.

use deployforge_tests::{Lab, free_address};

use crate::http::Service;
use crate::watch::until;

/// A file of a Kafka source, with something more in it.
fn kafka(properties: &str, more: &str) -> String {
    format!(
        "sources:\n  - name: in\n    kafka:\n      brokers: 127.0.0.1:1\n      topics: [cloud.inventory]\n      properties: {{{properties}}}\n{more}"
    )
}

#[test]
fn what_run_refuses_at_once_the_check_refuses() {
    let lab = Lab::new();
    lab.write("in.ndjson", "");
    for (yaml, words) in [
        (kafka("enable.auto.commit: 'true'", ""), "`enable.auto.commit`"),
        (kafka("sasl.pasword: hunter2", ""), "sasl.pasword"),
        (kafka("socket.timeout.ms: hunter2", ""), "socket.timeout.ms"),
        (kafka("sasl.password: '${DEPLOYFORGE_NO_SUCH}'", ""), "DEPLOYFORGE_NO_SUCH"),
        (kafka("", "").replace("cloud.inventory", "cloud inventory"), "cannot name a topic"),
        (kafka("", "").replace("cloud.inventory", "''"), "cannot name a topic"),
        (kafka("", "").replace("cloud.inventory", "'^cloud['"), "`^cloud[`"),
        (kafka("", "  - {name: b, path: in.ndjson}\n"), "the only source"),
        ("listen: 127.0.0.1:9\nsources: [{name: a, path: in.ndjson}]".to_owned(), "for a stream"),
        (
            "listen: 127.0.0.1:9\nsources: [{name: a, http: {listen: '127.0.0.1:9'}}]".to_owned(),
            "a port each",
        ),
        ("listen: 127.0.0.1\nsources: [{name: a, path: in.ndjson}]".to_owned(), "127.0.0.1:9464"),
        (kafka("", "store: s3://me:hunter2@b/p\n"), "credentials and parameters"),
        (kafka("", "store: s3://b/p\nstore_options: {aws_regoin: hunter2}\n"), "`aws_regoin`"),
    ] {
        lab.write("bad.yaml", yaml);
        for args in [&["config", "check", "bad.yaml"][..], &["run", "-c", "bad.yaml"]] {
            // A store is asked before the streams are looked at.
            if args[0] == "run" && words == "`aws_regoin`" {
                continue;
            }
            let outcome = lab.run(args).exits(2).says(words);
            assert!(!outcome.stderr.contains("hunter2"), "{outcome}");
        }
    }
    let events = "events: {brokers: '127.0.0.1:1', topic: t, properties: {acks: '1'}}";
    lab.write("bad.yaml", events);
    let _ = lab.run(&["config", "check", "bad.yaml"]).exits(2).says("`acks`");
}

#[test]
fn the_check_says_what_is_there() {
    let lab = Lab::new();
    let more = "baselines: [{name: prod, version: 3}, {name: dev}]\nenvironments: [{name: prod}]\n\
         listen: 127.0.0.1:9464\nevents: {brokers: '127.0.0.1:1', topic: drift.events}\n\
         store: s3://drift/prod\nstore_options: {aws_region: eu-central-1}\n";
    lab.write("all.yaml", kafka("sasl.password: hunter2", more));
    let outcome = lab.run(&["config", "check", "all.yaml"]).exits(0);
    assert_eq!(
        outcome.text().trim_end(),
        "all.yaml: ok (1 Kafka source, baselines prod@3 dev, 1 environment, listen 127.0.0.1:9464, \
         events to drift.events, store s3://drift/prod)"
    );
    lab.write(
        "files.yaml",
        "sources: [{name: a, path: a}, {name: b, path: b}, {name: c, path: c, watch: true}, \
         {name: d, path: '-'}, {name: e, path: 's3://b/e'}]\n",
    );
    let outcome = lab.run(&["config", "check", "files.yaml"]).exits(0);
    let sources = "2 sources of files, 1 watched folder, 1 standard input, 1 source of objects";
    assert!(outcome.text().contains(&format!("({sources}, all imported")), "{outcome}");
}

/// Lines that are wrong, below a token and above a password.
const BROKEN: [&str; 4] =
    ["body_bytes: hunter2", "body_byte: 5", "'body_bytes", "token: hunter2-again"];

#[test]
fn no_error_shows_what_stands_around_it() {
    let lab = Lab::new();
    let address = free_address();
    for broken in BROKEN {
        let http =
            format!("http:\n      listen: '{address}'\n      token: hunter2\n      {broken}");
        let both = format!(
            "sources:\n  - name: in\n    {http}\n    kafka:\n      properties: {{sasl.password: hunter2}}\n"
        );
        lab.write("bad.yaml", both);
        for args in [&["config", "check", "bad.yaml"][..], &["run", "-c", "bad.yaml"]] {
            let outcome = lab.run(args).exits(2).says("bad.yaml: line ");
            assert!(!outcome.stderr.contains("hunter2"), "{outcome}");
            assert_eq!(outcome.stderr.lines().count(), 2, "an error and a hint: {outcome}");
        }
    }
}

#[test]
fn no_refusal_of_a_running_stream_shows_it_either() {
    let mut service = Service::new("", "commit: {interval_seconds: 0.2}");
    let config = service.lab.read("http.yaml").replace("${INVENTORY_TOKEN}", "hunter2");
    for (at, broken) in BROKEN.iter().enumerate() {
        let broken = broken.replace("body_byte", "commits").replace('\'', "\"");
        service.lab.write("http.yaml", format!("{config}{broken}\n"));
        service.run.as_ref().expect("it runs").hang_up();
        let line = format!("deployforge_reloads_total{{result=\"refused\"}} {}", at + 1);
        until(&line, || service.operations.get("/metrics").body.contains(&line));
    }
    let said = service.stop();
    assert!(!said.contains("hunter2"), "{said}");
    let refused = said.lines().filter(|line| line.contains("configuration_refused"));
    assert_eq!(refused.clone().count(), BROKEN.len(), "{said}");
    assert!(refused.clone().all(|line| line.contains("line ")), "each is one line: {said}");
}

#[test]
fn a_baseline_that_is_not_there_is_named_as_it_was_asked_for() {
    let lab = Lab::new();
    lab.write("in.ndjson", crate::http::vm("a", 1).line());
    let _ = lab.run(&["baseline", "import", "prod", "in.ndjson"]).exits(0);
    let run = |name: &str| {
        lab.run(&["run", "--once", "--source", "in.ndjson", "--baseline", name]).exits(2)
    };
    let _ = run("nope").says("there is no baseline `nope`; there are: prod");
    let _ = run("nope@2").says("there is no baseline `nope` version 2; there are: prod");
}
