//! The testkit: the binary in a folder of its own, and things to feed it.
//!
//! A [`Lab`] is a temporary folder in which commands of the `deployforge` binary run as a user would
//! type them; an [`Outcome`] is what one came to. [`make`] builds records of every format,
//! [`Inventory`] a seeded inventory of any size whose drift is known, [`count_leaves`] counts
//! attributes without any code of the engine. A [`Broker`] is a real Kafka, on machines with Java, a
//! [`Bucket`] a real S3 server, on machines with Go; [`Faults`] lose half of its calls. A [`Client`] speaks HTTP with curl.
//! Secrets are planted in inventories and looked for in all that commands say and keep ([`leaks`]).
//! The scenarios in `scenarios/` use nothing else: they know the command line, the files and the
//! SQL, and no crate that computes.

mod binary;
mod broker;
mod bucket;
mod faults;
mod http;
mod inventory;
mod lab;
pub mod make;
mod outcome;
mod places;
mod planted;

pub use binary::binary;
pub use broker::{Broker, Compression, Message, Producer, Read};
pub use bucket::Bucket;
pub use faults::Faults;
pub use http::{Answer, Client, Request, free_address, until_closed};
pub use inventory::{Drift, Inventory, Round};
pub use lab::{Lab, Started};
pub use outcome::Outcome;
pub use places::{files_below, fixtures, root, scale, seconds};
pub use planted::{PLANTED, leaks, leaks_below};

use serde_json::Value;

/// How many attributes a JSON value holds: scalars and empty containers, each one.
pub fn count_leaves(value: &Value) -> u64 {
    match value {
        Value::Array(items) if !items.is_empty() => items.iter().map(count_leaves).sum(),
        Value::Object(members) if !members.is_empty() => members.values().map(count_leaves).sum(),
        _ => 1,
    }
}

/// The text of a member; panics where there is none, naming it.
pub fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no text `{member}` in {value}"))
}

/// The whole number of a member; panics where there is none, naming it.
pub fn number(value: &Value, member: &str) -> u64 {
    value[member].as_u64().unwrap_or_else(|| panic!("no whole number `{member}` in {value}"))
}

/// Says loudly that the present test did not run, and why.
pub fn say_not_run(reason: &str) {
    use std::io::Write as _;
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not `eprintln!`, whose text is shown only of tests that fail.
    let line = format!("\n!!! {test} DID NOT RUN: {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
