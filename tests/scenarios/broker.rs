//! The testkit's Kafka: it gives back what it took, and a lost node loses nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use deployforge_tests::{Broker, Compression, Message, Read, scale};

fn as_read(offset: i64, message: &Message) -> Read {
    Read {
        partition: message.partition.expect("it was sent to a partition"),
        offset,
        key: message.key.clone(),
        payload: message.payload.clone(),
        headers: message.headers.clone(),
        timestamp: message.timestamp,
    }
}

#[test]
fn the_broker_gives_back_what_it_took_also_after_a_power_cut() {
    let Some(broker) = Broker::start() else { return };
    broker.topic("taken", 2);
    let mut expected = [Vec::new(), Vec::new()];
    for (at, compression) in (1_700_000_000_000..).zip(Compression::ALL) {
        let producer = broker.producer(compression);
        let name = compression.name();
        let first = Message::of(name.repeat(1000)).key(name).header("by", name).header("by", "");
        for message in [
            first.to(0).at(at),
            Message::default().key(name).to(1).at(at),
            Message::of("").to(1).at(at),
        ] {
            producer.send("taken", &message);
            let list = &mut expected[message.partition.unwrap_or_default() as usize];
            list.push(as_read(list.len() as i64, &message));
        }
        producer.flush();
    }
    let expected = expected.concat();
    assert_eq!(broker.drain("taken"), expected);
    assert_eq!(broker.ends("taken"), [5, 10]);
    assert_eq!(broker.committed("nobody", "taken"), [None, None]);

    broker.kill(0);
    broker.restart(0);
    assert_eq!(broker.drain("taken"), expected);
    broker.add_partitions("taken", 3);
    broker.produce("taken", [Message::of("later").to(2)]);
    assert_eq!(broker.ends("taken"), [5, 10, 1]);
    broker.stop(0);
    broker.restart(0);
    assert_eq!(broker.drain("taken").len(), 16);
}

#[test]
fn one_broker_serves_many_tests() {
    let Some(broker) = Broker::shared() else { return };
    broker.topic_with("shared", 1, &[("cleanup.policy", "compact"), ("retention.ms", "-1")]);
    // More than the client's queue has room for, so that it fills.
    let count = 150_000;
    broker.produce("shared", (0..count).map(|i| Message::of(i.to_string()).key(i.to_string())));
    let read = broker.drain("shared");
    assert_eq!(read.len(), count);
    let in_order = (0..count).zip(&read).all(|(i, read)| read.key == Some(i.to_string().into()));
    assert!(in_order, "the messages come back in another order");
    assert!(std::ptr::eq(broker, Broker::shared().expect("it runs")));
}

#[test]
fn three_nodes_go_on_when_one_is_lost() {
    // A minute of two processors: passed by tests/soak.sh.
    if scale(0) == 0 {
        return;
    }
    let Some(broker) = Broker::cluster(3) else { return };
    broker.topic("kept", 3);
    let (sent, done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let producer = broker.producer(Compression::Lz4);
            while !done.load(Ordering::Relaxed) {
                let number = sent.fetch_add(1, Ordering::Relaxed);
                producer.send("kept", &Message::of(number.to_string()).to((number % 3) as i32));
                std::thread::sleep(Duration::from_millis(1));
            }
            producer.flush();
        });
        let more = || {
            let before = broker.ends("kept");
            while broker.ends("kept").iter().zip(&before).any(|(now, then)| now <= then) {
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        for node in 0..3 {
            more();
            broker.kill(node);
            more();
            broker.restart(node);
        }
        done.store(true, Ordering::Relaxed);
    });
    let text = |read: Read| String::from_utf8(read.payload.expect("a payload")).expect("text");
    let mut numbers: Vec<u64> = broker
        .drain("kept")
        .into_iter()
        .map(|read| text(read).parse().expect("a number"))
        .collect();
    numbers.sort_unstable();
    let expected: Vec<u64> = (0..sent.into_inner()).collect();
    assert!(numbers == expected, "{} sent, {} there", expected.len(), numbers.len());
}
