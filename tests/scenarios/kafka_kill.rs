//! Workers of a stream that are killed at any moment, and a broker that is: the history ends up with each
//! observation once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deployforge_tests::{
    Broker, Bucket, Inventory, Lab, Message, Round, Started, number, say_not_run, scale, text,
};
use serde_json::Value;

use crate::support::{FINDINGS, FINDINGS_NOW, VERDICTS, VERDICTS_NOW, import, same_rows};

/// Resources of the inventory.
const COUNT: u64 = 2000;
const TOPIC: &str = "inventory";
const PARTITIONS: i32 = 4;

/// A number that looks like any other, for moments.
fn dice(turn: u64) -> u64 {
    let mixed = (turn + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ mixed >> 29
}

fn lab(broker: &Broker) -> Lab {
    ready(Lab::new(), broker)
}

/// Gives a lab what a worker needs.
fn ready(lab: Lab, broker: &Broker) -> Lab {
    lab.write("base.ndjson", Inventory { count: COUNT, seed: 3 }.text(Round::default()).0);
    let _ = import(&lab, "base.ndjson");
    lab.write(
        "stream.yaml",
        format!(
            "commit: {{interval_seconds: 0.1, rows: 500}}\nsources:\n  - name: inventory\n    kafka:\n      brokers: {}\n      topics: [{TOPIC}]\n      rejects: {{share: 1}}\n      properties: {{session.timeout.ms: '1500', heartbeat.interval.ms: '300'}}\n",
            broker.address()
        ),
    );
    lab
}

/// The messages of a round: all resources, some of them another way than the round before, and now and
/// then something that cannot be read.
fn messages(number: u64) -> Vec<Message> {
    let round = Round { number, drifting: 100, missing: 20, unmanaged: 10 };
    let (lines, _) = Inventory { count: COUNT, seed: 3 }.text(round);
    let keyed = |line: &str| {
        let record: Value = serde_json::from_str(line).expect("a record");
        Message::of(line).key(text(&record, "resourceId"))
    };
    let mut messages: Vec<Message> = lines.lines().map(keyed).collect();
    messages.insert(messages.len() / 2, Message::of(format!("poison {number}")).key("poison"));
    messages
}

fn worker(lab: &Lab, which: usize) -> Started {
    lab.start_logged(&["run", "-c", "stream.yaml"], &format!("{which}.log"))
}

/// Waits until the group has taken in all that is there.
fn until_read(broker: &Broker, lab: &Lab) {
    let start = Instant::now();
    loop {
        let ends: Vec<Option<i64>> = broker.ends(TOPIC).into_iter().map(Some).collect();
        let committed = broker.committed("deployforge", TOPIC);
        if committed == ends {
            return;
        }
        if start.elapsed().as_secs() > 90 {
            let logs = ["0.log", "1.log", "worker.log"]
                .map(|log| std::fs::read_to_string(lab.path(log)).unwrap_or_default())
                .join("\n\n");
            panic!("{committed:?} of {ends:?}\n{logs}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn killed_workers_and_brokers_lose_nothing_and_repeat_nothing() {
    let Some(broker) = Broker::start() else { return };
    broker.topic(TOPIC, PARTITIONS);
    let observations = scale(30_000);
    let rounds = observations / COUNT;
    let kills = if observations < 500_000 { 8 } else { 50 };
    let lab_killed = lab(&broker);
    let written = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=rounds {
                broker.produce(TOPIC, messages(number));
                std::thread::sleep(Duration::from_millis(kills * 1500 / rounds));
            }
            written.store(true, Ordering::Relaxed);
        });
        let mut workers = [worker(&lab_killed, 0), worker(&lab_killed, 1)];
        for turn in 0..kills {
            std::thread::sleep(Duration::from_millis(700 + dice(turn) % 2000));
            let which = (dice(turn * 31) % 2) as usize;
            match turn % 4 {
                // Leaves in order, and comes back.
                1 => workers[which].terminate(),
                _ => workers[which].kill(),
            }
            if turn == kills / 2 {
                broker.kill(0);
                broker.restart(0);
            }
            workers[which] = worker(&lab_killed, which);
        }
        while !written.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
        until_read(&broker, &lab_killed);
        let [one, other] = workers;
        one.terminate();
        assert_eq!(one.finish().code, Some(0));
        other.terminate();
        assert_eq!(other.finish().code, Some(0));
    });
    let calm = lab(&broker);
    // Another group, from the beginning, in one go.
    let config = calm.read("stream.yaml").replace("topics:", "group: calm\n      topics:");
    calm.write("calm.yaml", config);
    let _ = calm.run(&["run", "--once", "-c", "calm.yaml"]).exits(2);
    same_history(&lab_killed, &calm);
    let rejects = lab_killed.query("select source, \"offset\" from rejects");
    assert_eq!(rejects.len() as u64, rounds);
    assert_eq!(lab_killed.count("(select distinct source, \"offset\" from rejects)"), rounds);
}

#[test]
fn a_store_that_fails_half_its_calls_loses_nothing_and_repeats_nothing() {
    let (Some(bucket), Some(broker)) = (Bucket::shared(), Broker::start()) else { return };
    broker.topic(TOPIC, PARTITIONS);
    let place = bucket.place("half");
    let asker = ready(Lab::sharing(bucket, &place), &broker);
    let faults = bucket.failing(11);
    let machines = [0, 1].map(|_| {
        let mut machine = Lab::sharing(bucket, &place);
        machine.write("stream.yaml", asker.read("stream.yaml"));
        machine.set("AWS_ENDPOINT", &faults.url());
        machine
    });
    let mut workers = [0, 1].map(|which| worker(&machines[which], which));
    for number in 1..=6 {
        broker.produce(TOPIC, messages(number));
        std::thread::sleep(Duration::from_millis(1500 + dice(number) % 2000));
        // One machine is gone from one moment to the next, and back; who found no way to the store at all
        // is started again, as a service manager does.
        let gone = (dice(number * 31) % 2) as usize;
        workers[gone].kill();
        for (which, running) in workers.iter_mut().enumerate() {
            if which == gone || running.ended() {
                *running = worker(&machines[which], which);
            }
        }
    }
    let start = Instant::now();
    let ends: Vec<Option<i64>> = broker.ends(TOPIC).into_iter().map(Some).collect();
    while broker.committed("deployforge", TOPIC) != ends {
        for (which, running) in workers.iter_mut().enumerate() {
            if running.ended() {
                *running = worker(&machines[which], which);
            }
        }
        let logs =
            || [0, 1].map(|which| machines[which].read(&format!("{which}.log"))).join("\n\n");
        assert!(start.elapsed().as_secs() < 120, "{:?}\n{}", faults.calls(), logs());
        std::thread::sleep(Duration::from_millis(200));
    }
    workers.iter().for_each(Started::terminate);
    workers.into_iter().for_each(|worker| drop(worker.finish()));
    let (calls, failed) = faults.calls();
    println!("{failed} of {calls} calls failed, {} of them unknown", faults.unanswered());
    assert!(failed * 5 > calls * 2 && faults.unanswered() > 20, "{failed} of {calls}");
    let calm = lab(&broker);
    let config = calm.read("stream.yaml").replace("topics:", "group: calm\n      topics:");
    calm.write("calm.yaml", config);
    let _ = calm.run(&["run", "--once", "-c", "calm.yaml", "--quiet"]).exits(2);
    same_history(&asker, &calm);
    assert_eq!(asker.count("rejects"), 6);
}

/// What runs on a disk of its own: reads a round, fills the disk, reads on, makes room.
const FULL_DISK: &str = r#"
mount -t tmpfs -o size=40m none data || exit 77
deployforge baseline import b base.ndjson -q || exit 3
deployforge run --once -q -c stream.yaml
echo read > first
until [ -e more ]; do sleep 0.1; done
cat /dev/zero > data/fill 2> /dev/null
deployforge run -c stream.yaml 2> worker.log &
worker=$!
until [ "$(grep -c 'begins anew' worker.log)" -ge 3 ]; do sleep 0.1; done
rm data/fill
until [ -e done ]; do sleep 0.1; done
kill -TERM $worker
wait $worker
cp -r data kept
"#;

#[test]
fn a_full_disk_loses_nothing_and_repeats_nothing() {
    let Some(broker) = Broker::start() else { return };
    broker.topic(TOPIC, PARTITIONS);
    broker.produce(TOPIC, messages(1));
    let full = lab(&broker);
    full.write("data/.here", "");
    full.write("full.sh", FULL_DISK);
    // A mount that only this shell and what it starts can see; no right of root is needed for it.
    let shell = full.start_shell("unshare --user --map-root-user --mount bash full.sh");
    let until = |file: &str| {
        let start = Instant::now();
        while !full.path(file).exists() {
            assert!(start.elapsed().as_secs() < 120, "no {file}");
            std::thread::sleep(Duration::from_millis(100));
            if !std::path::Path::new(&format!("/proc/{}/exe", shell.id())).exists() {
                return false;
            }
        }
        true
    };
    if !until("first") {
        let ended = shell.finish();
        let no_mount = ended.code == Some(77) || ended.stderr.starts_with("unshare: ");
        assert!(no_mount, "{}", ended.all());
        say_not_run("`unshare` gives no mount of its own here");
        return;
    }
    (2..=4).for_each(|number| broker.produce(TOPIC, messages(number)));
    full.write("more", "");
    until_read(&broker, &full);
    full.write("done", "");
    let _ = shell.finish();
    let calm = lab(&broker);
    calm.write(
        "calm.yaml",
        calm.read("stream.yaml").replace("topics:", "group: calm\n      topics:"),
    );
    let _ = calm.run(&["run", "--once", "-c", "calm.yaml", "--quiet"]).exits(2);
    std::fs::remove_dir_all(full.path("data")).expect("our own folder");
    std::fs::rename(full.path("kept"), full.path("data")).expect("our own folder");
    same_history(&full, &calm);
}

/// Two histories tell the same of every resource: each transition once, and each check.
pub(crate) fn same_history(one: &Lab, other: &Lab) {
    let twice = "select sequence from (select sequence from finding_transitions union all select \
        sequence from verdict_transitions) group by 1 having count(*) > 1";
    assert_eq!(one.query(twice).len(), 0, "numbers given twice");
    same_rows("verdicts", &one.sorted(VERDICTS_NOW), &other.sorted(VERDICTS_NOW));
    same_rows("findings", &one.sorted(FINDINGS_NOW), &other.sorted(FINDINGS_NOW));
    same_rows("transitions", &one.sorted(FINDINGS), &other.sorted(FINDINGS));
    same_rows("verdict transitions", &one.sorted(VERDICTS), &other.sorted(VERDICTS));
    let checked = |lab: &Lab| number(&lab.query("select sum(checked) as n from checks")[0], "n");
    assert_eq!(checked(one), checked(other));
}
