//! Messages of a partitioned stream, packed into blocks, and what else happens to its partitions.

use crossbeam::channel::Sender;
use deployforge_model::{Frontier, NextOffset, Partition};

use crate::SourceError;

/// Bytes after which a block is handed on.
pub const BLOCK_BYTES: usize = 512 << 10;

/// Offsets that may lie between two messages of one block: a compacted topic has gaps.
const GAP_MAX: i64 = 1024;

/// What a message on its own takes besides its payload, about.
const MESSAGE_BYTES: usize = 128;

/// Names of headers that say how a message is to be read.
const TELLING: [&str; 3] = ["content-type", "source-version", "content-hash"];

/// What headers of CloudEvents in binary mode begin with.
const CLOUD_EVENT: &str = "ce_";

/// One message, where it cannot be packed with others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its offset in the partition.
    pub offset: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its payload; none: a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Those of its headers that say how to read it.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its time, in milliseconds since 1970.
    pub time: Option<i64>,
}

/// Messages of one partition, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packed {
    /// Messages of one line each.
    Lines(PackedLines),
    /// Messages that have to be looked at one by one.
    Messages(Vec<Message>),
}

/// Messages of one line each: the line after `n` newlines is the message of offset `first + n`, and an
/// empty one is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedLines {
    /// The lines, each with its newline.
    pub bytes: Vec<u8>,
    /// The offset of the first.
    pub first: i64,
    /// The offset of the last.
    pub last: i64,
    /// How many there are.
    pub messages: u64,
    /// Lines, counted from 0, and the times of their messages, in milliseconds since 1970; lines whose
    /// message has none are left out.
    pub times: Vec<(u32, i64)>,
}

impl Packed {
    /// The offset of the last message.
    pub fn last(&self) -> i64 {
        match self {
            Self::Lines(lines) => lines.last,
            Self::Messages(messages) => messages.last().map_or(-1, |message| message.offset),
        }
    }

    /// How many messages there are.
    pub fn messages(&self) -> u64 {
        match self {
            Self::Lines(lines) => lines.messages,
            Self::Messages(messages) => messages.len() as u64,
        }
    }

    /// Bytes of all payloads.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Lines(lines) => lines.bytes.len(),
            Self::Messages(messages) => {
                messages.iter().filter_map(|one| one.payload.as_ref()).map(Vec::len).sum()
            }
        }
    }
}

/// A message as a source hands it over, before it is copied.
#[derive(Clone, Copy, Debug)]
pub struct RawMessage<'a> {
    /// Its offset in the partition.
    pub offset: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its payload; none: a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Its time, in milliseconds since 1970.
    pub time: Option<i64>,
}

/// Packs messages of one partition.
#[derive(Debug, Default)]
pub struct Packer {
    /// Every message is looked at on its own.
    single: bool,
    packed: Option<Packed>,
    bytes: usize,
}

impl Packer {
    /// A packer; `single`: no message is a line that can be read with others.
    pub fn new(single: bool) -> Self {
        Self { single, ..Self::default() }
    }

    /// Adds a message, with those of its headers that [tell](is_telling) something. What has to go first
    /// is given back.
    pub fn push(
        &mut self,
        message: RawMessage<'_>,
        headers: Vec<(String, Vec<u8>)>,
    ) -> Option<Packed> {
        let RawMessage { offset, payload, time, .. } = message;
        let text = line(payload).filter(|_| !self.single && headers.is_empty());
        let Some(text) = text else { return self.push_single(message, headers) };
        let fits = |packed: &Packed| match packed {
            Packed::Lines(lines) => (1..=GAP_MAX).contains(&(offset - lines.last)),
            Packed::Messages(_) => false,
        };
        let before = self.give_unless(fits);
        let packed = self.packed.get_or_insert_with(|| {
            let bytes = Vec::with_capacity(BLOCK_BYTES + BLOCK_BYTES / 8);
            let (first, last) = (offset, offset - 1);
            Packed::Lines(PackedLines { bytes, first, last, ..PackedLines::default() })
        });
        if let Packed::Lines(lines) = packed {
            // Messages that are not there are empty lines.
            let missing = (offset - lines.last - 1) as usize;
            lines.bytes.extend(std::iter::repeat_n(b'\n', missing));
            lines.times.extend(time.map(|time| ((offset - lines.first) as u32, time)));
            lines.bytes.extend_from_slice(text);
            lines.bytes.push(b'\n');
            (lines.last, lines.messages) = (offset, lines.messages + 1);
            self.bytes = lines.bytes.len();
        }
        before
    }

    fn push_single(
        &mut self,
        message: RawMessage<'_>,
        headers: Vec<(String, Vec<u8>)>,
    ) -> Option<Packed> {
        let before = self.give_unless(|packed| matches!(packed, Packed::Messages(_)));
        let packed = self.packed.get_or_insert_with(|| Packed::Messages(Vec::new()));
        if let Packed::Messages(messages) = packed {
            let RawMessage { offset, key, payload, time } = message;
            let (key, payload) = (key.map(Into::into), payload.map(Into::into));
            messages.push(Message { offset, key, payload, headers, time });
            self.bytes += message.payload.map_or(0, <[u8]>::len) + MESSAGE_BYTES;
        }
        before
    }

    fn give_unless(&mut self, fits: impl Fn(&Packed) -> bool) -> Option<Packed> {
        if self.packed.as_ref().is_none_or(fits) { None } else { self.take() }
    }

    /// Whether it holds enough to be handed on.
    pub fn is_full(&self) -> bool {
        self.bytes >= BLOCK_BYTES
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.packed.is_none()
    }

    /// Gives what was packed.
    pub fn take(&mut self) -> Option<Packed> {
        self.bytes = 0;
        self.packed.take()
    }
}

/// A payload without the white space around it, if it is one line and something.
fn line(payload: Option<&[u8]>) -> Option<&[u8]> {
    let text = payload?.trim_ascii();
    (!text.is_empty() && memchr::memchr(b'\n', text).is_none()).then_some(text)
}

/// Whether a header says how its message is to be read.
pub fn is_telling(name: &str, value: &[u8]) -> bool {
    // What the content says of itself anyway.
    let plain = name == "content-type"
        && matches!(value, b"application/json" | b"application/cloudevents+json");
    (TELLING.contains(&name) && !plain) || name.starts_with(CLOUD_EVENT)
}

/// What happens in a partitioned stream.
#[derive(Debug)]
pub enum StreamEvent {
    /// Partitions come to this process. The source waits for the answer: from where to read each; `None`
    /// as its settings say.
    Assigned {
        /// Which.
        partitions: Vec<Partition>,
        /// Where the answer goes.
        answer: Sender<Vec<(Partition, Option<NextOffset>)>>,
    },
    /// Reading of partitions begins here.
    Started(Vec<Started>),
    /// Partitions go from this process. The source waits for the answer: what came of them before is
    /// durable, or given up.
    Revoked {
        /// Which.
        partitions: Vec<Partition>,
        /// They are another's already: what came of them cannot be committed any more.
        lost: bool,
        /// Where the answer goes.
        answer: Sender<()>,
    },
    /// Messages.
    Messages {
        /// Whose they are.
        partition: Partition,
        /// The messages.
        packed: Packed,
    },
    /// How far partitions reach: the offset after the last message that can be read. One that is not ahead
    /// of what was taken says that nothing waits.
    Ends(Vec<(Partition, NextOffset)>),
    /// Messages were removed before they were read.
    Lost {
        /// Of which partition.
        partition: Partition,
        /// How many offsets there are no messages for any more.
        messages: u64,
    },
    /// Something that passes, said for people.
    Trouble(String),
    /// Nothing more comes.
    Failed(SourceError),
}

/// What whoever takes events may tell their source. None of it waits.
pub trait StreamControl: std::fmt::Debug {
    /// Partitions are durable so far.
    fn durable(&self, frontier: Frontier);

    /// Reads no more of a partition for now. `false`: it is busy, and has to be told again.
    fn pause(&self, partition: Partition) -> bool;

    /// Reads on. `false`: it is busy, and has to be told again.
    fn resume(&self, partition: Partition) -> bool;

    /// Reads a partition again from an offset, as if it had just come: [`StreamEvent::Started`] says where
    /// that begins among the events. `false`: it is busy, and has to be told again.
    fn restart(&self, partition: Partition, next: NextOffset) -> bool;

    /// Takes nothing new. `true`: what was taken before still comes, and then the events end.
    fn last_call(&self) -> bool;
}

/// Where the reading of a partition begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Which partition.
    pub partition: Partition,
    /// From where.
    pub at: NextOffset,
    /// Messages that were removed before they were read: retention is shorter than the absence was.
    pub lost: u64,
    /// The offset after the last message that was there.
    pub end: NextOffset,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(packer: &mut Packer, offset: i64, payload: Option<&str>) -> Option<Packed> {
        let payload = payload.map(str::as_bytes);
        packer.push(RawMessage { offset, key: None, payload, time: Some(offset) }, Vec::new())
    }

    /// The lines of a block by their offsets.
    fn lines(packed: Option<Packed>) -> Vec<(i64, String)> {
        let Some(Packed::Lines(lines)) = packed else { panic!("{packed:?}") };
        let text = String::from_utf8(lines.bytes).expect("text");
        let all = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
        let all: Vec<_> = all.map(|(n, line)| (lines.first + n as i64, line.to_owned())).collect();
        let times = lines.times.iter().map(|(line, time)| (lines.first + i64::from(*line), *time));
        assert!(times.eq(all.iter().map(|(offset, _)| (*offset, *offset))), "{:?}", lines.times);
        assert_eq!((all.len() as u64, all[all.len() - 1].0), (lines.messages, lines.last));
        all
    }

    #[test]
    fn a_line_of_a_block_tells_its_offset() {
        let mut packer = Packer::new(false);
        for (offset, text) in [(7, "{}"), (8, " {\"a\":1}\n"), (20, "[]")] {
            assert_eq!(push(&mut packer, offset, Some(text)), None);
        }
        let want = [(7, "{}"), (8, "{\"a\":1}"), (20, "[]")].map(|(n, text)| (n, text.to_owned()));
        assert_eq!(lines(packer.take()), want);
        assert!(packer.is_empty());
        // A gap that is too wide for empty lines begins a block.
        push(&mut packer, 30, Some("{}"));
        let before = push(&mut packer, 30 + GAP_MAX + 1, Some("{}"));
        assert_eq!(lines(before), [(30, "{}".to_owned())]);
        assert_eq!(lines(packer.take())[0].0, 30 + GAP_MAX + 1);
    }

    #[test]
    fn what_is_no_line_stands_alone_and_in_order() {
        let mut packer = Packer::new(false);
        push(&mut packer, 1, Some("{}"));
        assert_eq!(lines(push(&mut packer, 2, None)), [(1, "{}".to_owned())]);
        assert_eq!(push(&mut packer, 3, Some("{\n}")), None);
        assert_eq!(push(&mut packer, 4, Some("  ")), None);
        let Some(Packed::Messages(alone)) = push(&mut packer, 5, Some("{}")) else { panic!() };
        let payloads: Vec<_> = alone.iter().map(|one| (one.offset, one.payload.clone())).collect();
        let text = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(payloads, [(2, None), (3, text("{\n}")), (4, text("  "))]);
        assert_eq!(lines(packer.take()), [(5, "{}".to_owned())]);
        let headers = vec![("source-version".to_owned(), b"9".to_vec())];
        let message = RawMessage { offset: 6, key: None, payload: Some(b"{}"), time: None };
        assert_eq!(packer.push(message, headers.clone()), None);
        let Some(Packed::Messages(alone)) = packer.take() else { panic!() };
        assert_eq!(alone[0].headers, headers);
    }

    #[test]
    fn full_is_what_makes_a_block() {
        let mut packer = Packer::new(false);
        let text = "x".repeat(1000);
        let mut offset = 0;
        while !packer.is_full() {
            assert_eq!(push(&mut packer, offset, Some(&text)), None);
            offset += 1;
        }
        assert_eq!(offset, (BLOCK_BYTES as i64).div_euclid(1001) + 1);
    }

    #[test]
    fn headers_of_others_tell_nothing() {
        assert!(is_telling("source-version", b"1") && is_telling("ce_type", b"x"));
        assert!(is_telling("content-type", b"text/plain"));
        assert!(
            !is_telling("content-type", b"application/json") && !is_telling("traceparent", b"")
        );
    }
}
