//! Where the parts of a document stand.

use deployforge_model::SourcePosition;

/// Finds the line on which a part of the document stands, going forward. In YAML that became JSON
/// the lines are kept, and offsets are not; so the offset stays that of the document.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    text: &'a str,
    at: SourcePosition,
    passed: usize,
}

impl<'a> Lines<'a> {
    /// The document's text, and where it starts.
    pub(crate) fn new(text: &'a str, at: SourcePosition) -> Self {
        Self { text, at, passed: 0 }
    }

    /// Where a part of the text stands.
    pub(crate) fn position(&mut self, part: &str) -> SourcePosition {
        let ahead = (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        if let Some(between) = self.text.as_bytes().get(self.passed..ahead) {
            self.at.line += memchr::memchr_iter(b'\n', between).count() as u64;
            self.passed = ahead;
        }
        self.at
    }
}
