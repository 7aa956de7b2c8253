//! Lines on their way to an epoch: of a file, or of a partition's messages.

use std::collections::HashSet;
use std::sync::Arc;

use deployforge_compare::{Output, Owner, RejectRow};
use deployforge_formats::{LineReader, ReadOptions};
use deployforge_model::{Scope, SourcePosition, Timestamp};

use crate::message::{ReadMessage, read_message};
use crate::{LIMITS, LineBlock};

/// A file of one record a line, or a partition of messages, while it is read.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) source: Arc<str>,
    /// The file, or the partition.
    pub(crate) file: Arc<str>,
    pub(crate) reader: Box<LineReader>,
    pub(crate) scopes: HashSet<Scope>,
    /// The epoch that is gathered.
    pub(crate) blocks: Vec<LineBlock>,
    pub(crate) bytes: usize,
    /// When its first block came, in microseconds.
    pub(crate) since: i64,
    /// What a partition is read by.
    pub(crate) messages: Option<Messages>,
}

/// What a partition is read by.
#[derive(Debug)]
pub(crate) struct Messages {
    pub(crate) owner: Owner,
    pub(crate) options: ReadOptions,
    /// Where the last sweep began.
    pub(crate) sweep_at: i64,
    /// Messages that wait to be judged.
    pub(crate) gathered: u64,
    /// Messages judged, and how many of them were refused, if only in part.
    pub(crate) counts: (u64, u64),
    /// The last message of which something was refused, and the hashes of that.
    pub(crate) refused: (Option<u64>, HashSet<String>),
}

impl Lines {
    pub(crate) fn new(
        (source, file): (Arc<str>, Arc<str>),
        reader: Box<LineReader>,
        scopes: HashSet<Scope>,
        messages: Option<Messages>,
    ) -> Self {
        let blocks = Vec::new();
        Self { source, file, reader, scopes, blocks, bytes: 0, since: 0, messages }
    }

    /// Adds a block; whether the epoch is to be judged. A source that gives little at a time is not kept
    /// waiting, nor given a block for every line.
    pub(crate) fn push(&mut self, block: LineBlock, now: Timestamp) -> bool {
        if self.blocks.is_empty() {
            self.since = now.micros();
        }
        self.bytes += block.length();
        self.blocks.push(block);
        self.bytes >= LIMITS.epoch_bytes
            || self.blocks.len() >= LIMITS.epoch_blocks
            || now.micros() - self.since >= LIMITS.epoch_micros
    }

    /// Reads the messages of a block that are read one by one, each with its offset.
    pub(crate) fn read_single(&self, block: &LineBlock) -> Vec<(ReadMessage, i64)> {
        match (block, &self.messages) {
            (LineBlock::Single(single), Some(messages)) => single
                .iter()
                .map(|message| (read_message(message, &messages.options), message.offset))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The offset of a sweep that begins at or after another: never that of the one before.
    pub(crate) fn sweep_at(&mut self, at: i64) -> i64 {
        let Some(messages) = &mut self.messages else { return at };
        messages.sweep_at = at.max(messages.sweep_at + 1);
        messages.sweep_at
    }

    /// Takes what is refused of messages, each with its offset: that is what the number of its line says.
    pub(crate) fn take_rejects(&mut self, output: &mut Output) -> Vec<RejectRow> {
        let Some(messages) = &mut self.messages else { return Vec::new() };
        let mut rejects = std::mem::take(&mut output.rejects);
        rejects.retain_mut(|row| {
            let at = row.position.line;
            row.position = SourcePosition { offset: at, line: 0 };
            if messages.refused.0.replace(at) != Some(at) {
                messages.counts.1 += 1;
                messages.refused.1.clear();
            }
            // The same bytes in the same message are one reject.
            messages.refused.1.insert(row.hash.clone())
        });
        rejects
    }
}
