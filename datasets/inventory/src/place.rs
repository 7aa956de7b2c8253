//! Accounts and times.

use crate::dice::mix;
use crate::text::{put, put_digits};

/// Between two rounds: every resource is seen once in each.
pub(crate) const ROUND_MILLIS: u64 = 3_600_000;

/// When round 0 begins: 2026-01-01T00:00:00Z. It is in the past, since engines take times ahead of
/// their clock for wrong.
const START_MILLIS: u64 = 1_767_225_600_000;

const DAY_MILLIS: u64 = 86_400_000;

/// An account's number: twelve digits, no two alike for one seed.
pub(crate) fn account(rank: u32, seed: u64) -> [u8; 12] {
    const NUMBERS: u64 = 900_000_000_000;
    // Coprime to NUMBERS: neighbours lie far apart, and none meets another.
    const STEP: u64 = 397_204_094_951;
    let first = mix(seed) % NUMBERS;
    let number = (first + u64::from(rank) * STEP) % NUMBERS;
    let mut text = Vec::with_capacity(12);
    put_digits::<12>(&mut text, 100_000_000_000 + number);
    let mut digits = [b'0'; 12];
    digits.copy_from_slice(&text);
    digits
}

/// The times of one round.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    /// The start of the round, in milliseconds since 1970.
    start: u64,
    /// The same as text, up to the hour.
    hour: String,
}

impl Times {
    pub(crate) fn of(round: u32) -> Self {
        let start = START_MILLIS + u64::from(round) * ROUND_MILLIS;
        let (year, month, day) = date(start / DAY_MILLIS);
        let hour = start % DAY_MILLIS / ROUND_MILLIS;
        Self { start, hour: format!("{year:04}-{month:02}-{day:02}T{hour:02}:") }
    }

    /// When the resource of this index is seen, in milliseconds since 1970.
    pub(crate) fn millis(&self, index: u64) -> u64 {
        self.start + index % ROUND_MILLIS
    }

    /// The same as text.
    pub(crate) fn put(&self, out: &mut Vec<u8>, index: u64) {
        let millis = index % ROUND_MILLIS;
        put(out, &self.hour);
        put_digits::<2>(out, millis / 60_000);
        put(out, b":");
        put_digits::<2>(out, millis / 1_000 % 60);
        put(out, b".");
        put_digits::<3>(out, millis);
        put(out, b"Z");
    }
}

/// Year, month and day of a day since 1970, by eras of 400 years that begin in March, so that the
/// leap day is the last of a year.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (year, day) = (era * 400 + year, day - (153 * month + 2) / 5 + 1);
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::options::{ACCOUNTS_MAX, ROUND_MAX};

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, want) in [
            (0, (1970, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (START_MILLIS / DAY_MILLIS, (2026, 1, 1)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(days), want, "{days}");
        }
    }

    #[test]
    fn every_round_is_later() {
        let text = |round, index| {
            let mut out = Vec::new();
            Times::of(round).put(&mut out, index);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(0, 0), "2026-01-01T00:00:00.000Z");
        assert_eq!(text(25, 3_599_999), "2026-01-02T01:59:59.999Z");
        assert_eq!(text(0, 3_600_001), "2026-01-01T00:00:00.001Z");
        assert_eq!(text(ROUND_MAX, 0).len(), 24);
        for index in [0, 3_599_999, 3_600_000, u64::MAX / 2] {
            assert!(Times::of(0).millis(index) < Times::of(1).millis(index));
            assert!(text(0, index) < text(1, index));
        }
    }

    #[test]
    fn accounts_are_distinct() {
        for seed in [0, 1, u64::MAX] {
            let all: HashSet<[u8; 12]> =
                (0..ACCOUNTS_MAX).map(|rank| account(rank, seed)).collect();
            assert_eq!(all.len(), ACCOUNTS_MAX as usize);
            assert!(all.iter().all(|account| account[0] != b'0'));
        }
    }
}
