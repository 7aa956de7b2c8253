//! Which of two observations of a resource counts.

use deployforge_model::Timestamp;

use crate::entry::Entry;
use crate::shard::BatchOrigin;

/// Observed times may be this far in the future; beyond it they are taken as this far.
const SKEW_MAX_MICROS: i64 = 5 * 60 * 1_000_000;

/// The order of an observation among those of its resource.
pub(crate) enum Order {
    Newer,
    Same,
    Older,
}

/// The latest time that an observation taken in now may bear.
pub(crate) fn latest(origin: &BatchOrigin) -> Timestamp {
    Timestamp(origin.ingested_at.micros().saturating_add(SKEW_MAX_MICROS))
}

/// The order of an observation among those of its resource.
pub(crate) fn order(entry: &Entry, version: Option<u64>, observed_at: Timestamp) -> Order {
    let versions = entry.version().zip(version);
    let ordering = match (versions, entry.observed_at()) {
        (Some((known, new)), _) if known != new => new.cmp(&known),
        (_, Some(known)) => observed_at.cmp(&known),
        (_, None) => std::cmp::Ordering::Greater,
    };
    match ordering {
        std::cmp::Ordering::Greater => Order::Newer,
        std::cmp::Ordering::Equal => Order::Same,
        std::cmp::Ordering::Less => Order::Older,
    }
}
