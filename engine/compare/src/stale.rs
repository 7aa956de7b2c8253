//! What nobody has seen for too long.

use deployforge_model::{UnknownReason, Verdict};

use crate::comparator::{Comparator, describe};
use crate::entry::{Entry, Unseen};
use crate::output::Output;
use crate::shard::{BatchOrigin, Context};

impl Comparator {
    /// What was judged by an observation and was not seen since an epoch ([`Comparator::mark`]) is not
    /// known any more: its verdict is `unknown` (`stale`) until it is seen again. Of one partition, if
    /// `origin` names one; else of all.
    pub fn grow_stale(&mut self, since: u32, origin: &BatchOrigin) -> Output {
        let decide = |context: &Context, entry: &Entry| {
            describe(context, entry)?;
            let was_there = matches!(
                entry.verdict(),
                Some(Verdict::InSync | Verdict::Drifted | Verdict::Unmanaged)
            );
            was_there.then_some(Unseen::Unknown(UnknownReason::Stale))
        };
        self.unseen(origin, since, &decide)
    }
}
