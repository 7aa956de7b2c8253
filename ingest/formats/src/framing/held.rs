//! The bytes of the record in progress: kept, or, once they are refused, only hashed.

use deployforge_model::{Reject, RejectCode, SourcePosition};

/// A buffer of up to this size is used again for the next record.
const KEEP_BYTES: usize = 4 << 20;

/// What to say of a record that is too large.
pub(crate) fn too_large(limit: usize) -> String {
    format!(
        "This record is larger than the limit of {limit} bytes; split it, or leave out what need not be compared."
    )
}

/// A record in progress.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Where it started.
    pub(crate) at: SourcePosition,
    bytes: Vec<u8>,
    refused: Option<Refused>,
}

/// Bytes that were refused before their end was seen.
#[derive(Debug)]
struct Refused {
    code: RejectCode,
    reason: String,
    hasher: Box<blake3::Hasher>,
    size: u64,
}

impl Held {
    /// Starts a record at `at` with nothing in it.
    pub(crate) fn start(&mut self, at: SourcePosition) {
        self.at = at;
        self.bytes.clear();
        // One large document must not be paid for until the end of the input.
        self.bytes.shrink_to(KEEP_BYTES);
        self.refused = None;
    }

    /// Adds bytes; beyond `limit` they are only hashed.
    pub(crate) fn keep(&mut self, bytes: &[u8], limit: usize) {
        if self.refused.is_none() && self.bytes.len() + bytes.len() > limit {
            self.refuse(RejectCode::TooLarge, too_large(limit));
        }
        match &mut self.refused {
            Some(refused) => {
                refused.hasher.update(bytes);
                refused.size += bytes.len() as u64;
            }
            None => self.bytes.extend_from_slice(bytes),
        }
    }

    /// Refuses the record from here on; the first reason stands.
    pub(crate) fn refuse(&mut self, code: RejectCode, reason: String) {
        if self.refused.is_none() {
            let mut hasher = Box::new(blake3::Hasher::new());
            hasher.update(&self.bytes);
            let size = self.bytes.len() as u64;
            // A buffer that outgrew the usual is given back.
            self.bytes = Vec::new();
            self.refused = Some(Refused { code, reason, hasher, size });
        }
    }

    /// Replaces the reason of a refusal, once more is known.
    pub(crate) fn explain(&mut self, code: RejectCode, reason: String) {
        self.refuse(code, String::new());
        if let Some(refused) = &mut self.refused {
            refused.code = code;
            refused.reason = reason;
        }
    }

    /// The bytes, unless they were refused.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        self.refused.is_none().then_some(&self.bytes)
    }

    /// Takes the bytes out, to set them aside.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Puts bytes back that were set aside.
    pub(crate) fn resume(&mut self, at: SourcePosition, bytes: Vec<u8>) {
        self.at = at;
        self.bytes = bytes;
        self.refused = None;
    }

    /// Whether the record was refused.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// The refusal as a record, and an empty start.
    pub(crate) fn reject(&mut self) -> Reject {
        self.refuse(RejectCode::Malformed, "This can't be read.".to_owned());
        let position = self.at;
        let (code, reason, hash, size) = match self.refused.take() {
            Some(refused) => (
                refused.code,
                refused.reason,
                refused.hasher.finalize().to_hex().to_string(),
                refused.size,
            ),
            None => (RejectCode::Malformed, String::new(), String::new(), 0),
        };
        self.bytes.clear();
        Reject { position, code, reason, hash, size }
    }
}
