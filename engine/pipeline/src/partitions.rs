//! The engine's partitions: messages in, state out and in.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use deployforge_compare::{NotACheckpoint, Output, Owner, Taken};
use deployforge_formats::{ReadOptions, Reader};
use deployforge_model::{Block, Partition};
use deployforge_sources::Packed;

use crate::lines::{Lines, Messages};
use crate::{Engine, LIMITS, LineBlock};

impl Engine {
    /// Reads a partition from now on, as `owner`.
    pub fn open_partition(
        &mut self,
        owner: Owner,
        partition: &Partition,
        source: Arc<str>,
        options: ReadOptions,
    ) {
        let reader = Reader::new(options.clone()).into_lines(self.comparator().seed());
        let (counts, refused) = ((0, 0), Default::default());
        let sweep_at = i64::MIN;
        let messages = Messages { owner, options, sweep_at, gathered: 0, counts, refused };
        let names = (source, partition.to_string().into());
        let lines = Lines::new(names, Box::new(reader), HashSet::new(), Some(messages));
        self.partitions.insert(owner, lines);
    }

    /// Takes messages of a partition that is read.
    pub fn messages(&mut self, owner: Owner, packed: Packed) {
        let now = self.clock.now();
        let Some(lines) = self.partitions.get_mut(&owner) else { return };
        let Some(messages) = &mut lines.messages else { return };
        messages.gathered += packed.messages();
        // Of tiny messages less bytes are judged together: each may become a row.
        let many = messages.gathered >= LIMITS.epoch_messages;
        let block = match packed {
            Packed::Lines(lines) => {
                LineBlock::Messages(Block::new(lines.bytes, 0), lines.first, lines.times)
            }
            Packed::Messages(messages) => LineBlock::Single(messages),
        };
        if lines.push(block, now) || many {
            self.flush_partition(owner);
        }
    }

    /// Judges what was gathered of a partition.
    fn flush_partition(&mut self, owner: Owner) {
        let Some(mut lines) = self.partitions.remove(&owner) else { return };
        if lines.blocks.is_empty() {
            self.partitions.insert(owner, lines);
            return;
        }
        let began = Instant::now();
        // Messages are in memory: there is nothing that could not be read.
        let _ = self.epoch(&mut lines);
        if let Some(messages) = &mut lines.messages {
            messages.counts.0 += std::mem::take(&mut messages.gathered);
        }
        metrics::histogram!("deployforge_epoch_seconds").record(began.elapsed());
        self.partitions.insert(owner, lines);
    }

    /// Judges what was gathered of all partitions; to be called when nothing more is at hand, and before
    /// anything is kept or committed.
    pub fn flush_partitions(&mut self) {
        let owners: Vec<Owner> = self.partitions.keys().copied().collect();
        owners.into_iter().for_each(|owner| self.flush_partition(owner));
    }

    /// Whether messages wait to be judged.
    pub fn is_gathering_messages(&self) -> bool {
        self.partitions.values().any(|lines| !lines.blocks.is_empty())
    }

    /// Messages judged of a partition, and how many of them were refused, since this was last asked.
    pub fn take_counts(&mut self, owner: Owner) -> (u64, u64) {
        let messages = self.partitions.get_mut(&owner).and_then(|lines| lines.messages.as_mut());
        messages.map(|messages| std::mem::take(&mut messages.counts)).unwrap_or_default()
    }

    /// Reads a partition no more. What was gathered of it and not judged is given up.
    pub fn close_partition(&mut self, owner: Owner) {
        self.partitions.remove(&owner);
    }

    /// Goes on from what another process knew of a partition's resources.
    pub fn take_up(&mut self, owner: Owner, kept: &[RecordBatch]) -> Result<Taken, NotACheckpoint> {
        self.comparator_mut().take_up(owner, kept)
    }

    /// What is known of partitions' resources, as far as it changed since `since`; see
    /// [`Comparator::keep`](deployforge_compare::Comparator::keep).
    pub fn keep(
        &mut self,
        owners: &[Owner],
        since: &(dyn Fn(Owner) -> Option<u32> + Sync),
    ) -> BTreeMap<Owner, RecordBatch> {
        self.comparator_mut().keep(owners, since)
    }

    /// Takes in what came out elsewhere.
    pub fn merge(&mut self, output: Output) {
        self.gather(output);
    }

    /// Knows no more of a partition's resources.
    pub fn forget(&mut self, owner: Owner) {
        self.close_partition(owner);
        self.comparator_mut().forget(owner);
    }
}
