//! The event bus: what the history holds, told to others as it comes to be.
//!
//! [`Event`] is one transition of a finding or a verdict as a CloudEvent 1.0 in JSON. An [`Outbox`] reads
//! commits of a history, in order, and makes events of their rows; a [`Position`] says how far. A
//! [`Publisher`] puts them into a Kafka topic, keyed by resource, on a thread of its own.
//!
//! The invariants:
//!
//! - Nothing is told that is not committed: events are made of the files that commits name, by whoever
//!   publishes, and never of what a worker holds in memory.
//! - Each event is in the topic once, for readers of what is committed there: events and the position
//!   behind them are one transaction of Kafka.
//! - One process publishes at a time: that which holds partition 0 of the topic in the publishers' group.
//!   One that was taken for dead is fenced by the broker, twice over: by its transactional id, and by the
//!   generation of the group.
//! - Events of one resource are in one partition, in the order of their rows' numbers.
//!
//! The format is written down in `docs/reference/events.md` and `docs/reference/events.asyncapi.json`, the
//! decision in `docs/adr/0021-events-from-the-ledger.md`.

mod event;
mod kafka;
mod outbox;
mod publisher;

pub use event::{Event, EventType};
pub use kafka::{BusSettings, BusStart, OWN_PROPERTIES};
pub use outbox::{Outbox, Page, Position};
pub use publisher::Publisher;

use deployforge_history::HistoryError;

/// Why events are not published.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// Kafka refuses, does not answer, or its settings are wrong.
    #[error("events cannot be published: {0}")]
    Kafka(String),
    /// A property that is not the user's to set.
    #[error("events: `{0}` is set by the engine itself; remove it from `properties`")]
    Property(String),
    /// The position is one that the history never reached.
    #[error(
        "events: the group `{group}` published up to commit {position}, and the history ends with {newest}: it publishes another history; give `events.group` another name"
    )]
    Ahead {
        /// The publishers' group.
        group: String,
        /// The next commit that it would publish.
        position: u64,
        /// The newest commit.
        newest: u64,
    },
    /// The group's position is that of another history.
    #[error(
        "events: the group `{group}` publishes another history; give `events.group` another name, and the topic too if its readers are to tell the histories apart"
    )]
    Foreign {
        /// The publishers' group.
        group: String,
    },
    /// The history cannot be read.
    #[error("events cannot be read: {0}")]
    History(#[from] HistoryError),
}
