//! Blocks of whole lines, and the memory they are read into.
//!
//! A stream is read by its reader, block by block. A plain file is only cut into blocks there: the
//! task that scans a block reads it, into the cache of the core that needs it.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use deployforge_model::{Block, Timestamp};
use deployforge_sources::Message;

use crate::LIMITS;

/// Whole lines of an input.
#[derive(Debug)]
pub enum LineBlock {
    /// Read already.
    Read(Block),
    /// Still in their file.
    InFile(FileRange),
    /// Messages of one line each: the block, the offset of the first, and the times of lines' messages in
    /// milliseconds since 1970, in order.
    Messages(Block, i64, Vec<(u32, i64)>),
    /// Messages that are read one by one.
    Single(Vec<Message>),
}

impl LineBlock {
    /// Bytes.
    pub fn length(&self) -> usize {
        match self {
            Self::Read(block) | Self::Messages(block, ..) => block.bytes.len(),
            Self::InFile(range) => range.length,
            Self::Single(messages) => {
                let payloads = messages.iter().filter_map(|one| one.payload.as_ref());
                payloads.map(Vec::len).sum()
            }
        }
    }

    /// The lines themselves. Fails if they are no longer in the file.
    pub fn block(&self) -> io::Result<Block> {
        match self {
            Self::Read(block) | Self::Messages(block, ..) => Ok(block.clone()),
            Self::InFile(range) => range.read(),
            Self::Single(_) => Ok(Block::new(Vec::new(), 0)),
        }
    }

    /// The offset of the first message, if it holds messages.
    pub(crate) fn first(&self) -> Option<i64> {
        match self {
            Self::Read(_) | Self::InFile(_) => None,
            Self::Messages(_, first, _) => Some(*first),
            Self::Single(messages) => messages.first().map(|message| message.offset),
        }
    }

    /// The time of the message that a line of the block is.
    pub(crate) fn time_of(&self, line: u64) -> Option<Timestamp> {
        match self {
            Self::Messages(.., times) => {
                let at = times.binary_search_by_key(&line, |(line, _)| u64::from(*line)).ok()?;
                Some(Timestamp::from_millis(times[at].1))
            }
            _ => None,
        }
    }
}

/// A part of a file, from the start of a line to the end of one.
#[derive(Debug)]
pub struct FileRange {
    file: Arc<File>,
    from: u64,
    length: usize,
    pool: Pool,
}

impl FileRange {
    fn read(&self) -> io::Result<Block> {
        let mut bytes = self.pool.take(self.length);
        read_at(&self.file, &mut bytes[..self.length], self.from)?;
        if bytes[self.length - 1] != b'\n' {
            return Err(io::Error::other("it was changed while it was read"));
        }
        Ok(self.pool.block(bytes, self.length, self.from))
    }
}

/// Fills `bytes` from the file at `from`.
fn read_at(file: &File, bytes: &mut [u8], from: u64) -> io::Result<()> {
    #[cfg(unix)]
    let result = std::os::unix::fs::FileExt::read_exact_at(file, bytes, from);
    #[cfg(not(unix))]
    let result = Err(io::Error::from(io::ErrorKind::Unsupported));
    result.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::other("it was cut short while it was read"),
        _ => error,
    })
}

/// Cuts a file into ranges of whole lines.
#[derive(Debug)]
pub(crate) struct Cutter {
    pub(crate) file: Arc<File>,
    pub(crate) pool: Pool,
    /// Where the next range starts.
    pub(crate) at: u64,
    /// Bytes of the longest line that makes a block.
    pub(crate) longest: usize,
}

/// Bytes looked at in one go to find a line's end.
const LOOK: usize = 16 << 10;

impl Cutter {
    /// The next range of about [`LIMITS`]`.chunk_bytes`. `None` where the file ends before that, cannot
    /// be read, or holds a line that is too long: the rest is read as a stream.
    pub(crate) fn next(&mut self) -> Option<FileRange> {
        let least = LIMITS.chunk_bytes as u64;
        let mut looked = vec![0; LOOK];
        let mut from = self.at + least - 1;
        loop {
            read_at(&self.file, &mut looked, from).ok()?;
            let Some(found) = memchr::memchr(b'\n', &looked) else {
                from += LOOK as u64;
                if from - self.at > self.longest as u64 {
                    return None;
                }
                continue;
            };
            let end = from + found as u64 + 1;
            let (file, pool) = (Arc::clone(&self.file), self.pool.clone());
            let range = FileRange { file, from: self.at, length: (end - self.at) as usize, pool };
            self.at = end;
            return Some(range);
        }
    }
}

/// Bytes of a block that is used again: a line may reach beyond where a file is cut.
const BLOCK_BYTES: usize = LIMITS.chunk_bytes + (64 << 10);

/// Blocks that were read and are free again. The one that was freed last is used first: it is the
/// likeliest to be in the processor's cache still.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool(Arc<Mutex<Vec<Vec<u8>>>>);

impl Pool {
    /// At least `length` bytes, whatever they are.
    pub(crate) fn take(&self, length: usize) -> Vec<u8> {
        if length > BLOCK_BYTES {
            return vec![0; length];
        }
        let block = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        block.unwrap_or_else(|| vec![0; BLOCK_BYTES])
    }

    /// The first `length` of bytes as a block, which go back to the pool when nothing points into them
    /// any more.
    pub(crate) fn block(&self, bytes: Vec<u8>, length: usize, offset: u64) -> Block {
        Block::new(Pooled { bytes, length, pool: self.clone() }, offset)
    }

    fn give(&self, block: Vec<u8>) {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A block that held one very long line is not kept.
        if block.len() == BLOCK_BYTES && free.len() < LIMITS.queued_feeds {
            free.push(block);
        }
    }
}

struct Pooled {
    bytes: Vec<u8>,
    length: usize,
    pool: Pool,
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn cut(text: &[u8], at: u64, longest: usize) -> (Vec<FileRange>, u64) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        let mut cutter = Cutter { file: Arc::new(file), pool: Pool::default(), at, longest };
        let ranges = std::iter::from_fn(|| cutter.next()).collect();
        (ranges, cutter.at)
    }

    #[test]
    fn a_file_is_cut_into_whole_lines() {
        let text: Vec<u8> = (0..400_000)
            .flat_map(|n| format!("{n}{}\n", "x".repeat(n % 90)).into_bytes())
            .collect();
        let first = memchr::memchr(b'\n', &text).unwrap() as u64 + 1;
        let (ranges, rest) = cut(&text, first, 1 << 20);
        assert!(ranges.len() > 20);
        let mut all = text[..first as usize].to_vec();
        for range in &ranges {
            assert!((LIMITS.chunk_bytes..LIMITS.chunk_bytes + 100).contains(&range.length));
            let block = range.read().unwrap();
            assert_eq!(block.offset, all.len() as u64);
            assert_eq!(block.bytes.last(), Some(&b'\n'));
            all.extend_from_slice(&block.bytes);
        }
        all.extend_from_slice(&text[rest as usize..]);
        assert_eq!(all, text);
        assert!(text.len() as u64 - rest < (LIMITS.chunk_bytes + LOOK) as u64);
    }

    #[test]
    fn a_line_that_is_too_long_is_left_to_the_stream() {
        let mut text = b"short\n".repeat(200_000);
        let short = text.len() as u64;
        text.extend(std::iter::repeat_n(b'x', 4 << 20));
        text.push(b'\n');
        text.extend(b"short\n".repeat(200_000));
        let (ranges, rest) = cut(&text, 0, 1 << 20);
        assert!(!ranges.is_empty() && rest <= short);
        let (ranges, _) = cut(&text, 0, 8 << 20);
        assert!(ranges.iter().any(|range| range.length > 4 << 20));
    }

    #[test]
    fn a_file_that_changes_under_the_reader_is_noticed() {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&path, b"a line\n".repeat(200_000)).unwrap();
        let file = Arc::new(File::open(&path).unwrap());
        let mut cutter = Cutter { file, pool: Pool::default(), at: 0, longest: 1 << 20 };
        let range = cutter.next().unwrap();
        range.read().unwrap();
        let read = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            range.read().map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(read(b"a line\n").unwrap_err(), "it was cut short while it was read");
        let changed = read(&b"another line\n".repeat(100_000)).unwrap_err();
        assert_eq!(changed, "it was changed while it was read");
    }
}
