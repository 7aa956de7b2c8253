//! Events of audit logs: kept as they come, each once.

use std::collections::HashSet;
use std::sync::Arc;

use deployforge_compare::EvidenceRow;
use deployforge_model::Evidence;

use crate::{Engine, LIMITS};

/// Ids of the newest events: up to twice the limit.
#[derive(Debug, Default)]
pub(super) struct Recent {
    newer: HashSet<String>,
    older: HashSet<String>,
}

impl Recent {
    /// Whether an id is new.
    fn insert(&mut self, id: String, limit: usize) -> bool {
        if self.older.contains(&id) || self.newer.contains(&id) {
            return false;
        }
        if self.newer.len() >= limit {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(id)
    }
}

impl Engine {
    /// Keeps events. `placed` are those of messages, whose offsets are committed with them, so that each
    /// comes once; a file may be read again, and what it repeats is told by its id.
    pub(super) fn evidence(&mut self, source: &Arc<str>, events: Vec<Evidence>, placed: bool) {
        let ingested_at = self.clock.now();
        for evidence in events {
            let (source, evidence) = (Arc::clone(source), Box::new(evidence));
            let row = EvidenceRow { evidence, source, ingested_at };
            if !placed {
                let id = row.id();
                if self.known_rejects.contains(&id) || !self.recent.insert(id, LIMITS.recent_events)
                {
                    continue;
                }
            }
            self.totals.evidence += 1;
            self.output.evidence.push(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_among_the_newest() {
        let mut recent = Recent::default();
        let mut insert = |id: &str| recent.insert(id.to_owned(), 2);
        assert!(insert("a") && insert("b") && !insert("a"));
        assert!(insert("c") && insert("d") && !insert("a") && !insert("b"));
        assert!(insert("e") && insert("a"), "forgotten, the oldest first");
    }
}
