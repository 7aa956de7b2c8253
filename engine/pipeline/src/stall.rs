//! A watch over one partition: whether what is there comes.

use std::time::{Duration, Instant};

use deployforge_model::{LastOffset, NextOffset};

/// What is known of a partition's end, and since when nothing of it came.
#[derive(Debug)]
pub(crate) struct Watch {
    ahead: Option<NextOffset>,
    quiet_since: Instant,
    restarting: bool,
    /// How often it was read again in vain since something came.
    tried: u32,
}

/// Patience doubles so often at most: what is slow is not made slower by being asked again and again.
const DOUBLED_MAX: u32 = 6;

impl Watch {
    pub(crate) fn new() -> Self {
        Self { ahead: None, quiet_since: Instant::now(), restarting: false, tried: 0 }
    }

    /// Something of it came.
    pub(crate) fn came(&mut self) {
        self.tried = 0;
        self.heard();
    }

    /// Nothing of it could have come: patience begins again.
    pub(crate) fn heard(&mut self) {
        self.quiet_since = Instant::now();
    }

    /// It reaches so far.
    pub(crate) fn reaches(&mut self, end: NextOffset) {
        self.ahead = Some(end);
    }

    /// Reading begins. `true`: it was asked for.
    pub(crate) fn started(&mut self) -> bool {
        self.heard();
        std::mem::take(&mut self.restarting)
    }

    /// It is to be read again; what comes before that has begun comes again.
    pub(crate) fn restarts(&mut self) {
        self.restarting = true;
        self.tried += 1;
    }

    pub(crate) fn is_restarting(&self) -> bool {
        self.restarting
    }

    /// Messages that are there and were not taken in.
    pub(crate) fn lag(&self, reached: Option<LastOffset>) -> u64 {
        let next = reached.map_or(0, |last| last.next().0);
        self.ahead.map_or(0, |end| (end.0 - next).max(0) as u64)
    }

    /// Whether there is something that did not come for so long.
    pub(crate) fn is_stalled(&self, reached: Option<LastOffset>, patience: Duration) -> bool {
        let patience = patience * (1 << self.tried.min(DOUBLED_MAX));
        !self.restarting && self.lag(reached) > 0 && self.quiet_since.elapsed() >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_and_does_not_come_is_stalled() {
        let mut watch = Watch::new();
        let (reached, now, later) = (Some(LastOffset(4)), Duration::ZERO, Duration::from_mins(1));
        assert!(!watch.is_stalled(reached, now), "nothing is known of its end");
        watch.reaches(NextOffset(5));
        assert!(!watch.is_stalled(reached, now), "all is read");
        watch.reaches(NextOffset(7));
        assert_eq!(watch.lag(reached), 2);
        assert_eq!(watch.lag(None), 7);
        assert!(!watch.is_stalled(reached, later), "it may still come");
        assert!(watch.is_stalled(reached, now));
        watch.restarts();
        assert!(watch.is_restarting() && !watch.is_stalled(reached, now));
        assert!(watch.started() && !watch.started());
        let soon = Duration::from_millis(30);
        std::thread::sleep(soon);
        assert!(!watch.is_stalled(reached, soon), "the second time it is waited for longer");
        std::thread::sleep(soon);
        assert!(watch.is_stalled(reached, soon));
        watch.came();
        std::thread::sleep(soon);
        assert!(watch.is_stalled(reached, soon), "what came makes it as it was");
        // What is left is no message, and is not waited for.
        watch.reaches(NextOffset(0));
        assert_eq!((watch.lag(reached), watch.is_stalled(reached, now)), (0, false));
    }
}
