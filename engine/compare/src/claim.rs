//! What a scan claimed to be a state, once it was read and found to be one.

use deployforge_canon::{Canon, CanonError, Canonical, Node, Parser, State};
use deployforge_model::{Frame, MemberKind, Seed};

/// A row of a frame whose claim holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) row: usize,
    /// The canonical fingerprint of its state.
    pub(crate) canonical: u64,
}

impl Claim<'_> {
    /// The state.
    pub(crate) fn state(&self, canon: &Canon, parser: &mut Parser) -> Result<State, CanonError> {
        state(canon, parser, self.frame, self.row)
    }

    /// The canonical text of the state.
    pub(crate) fn text(&self, canon: &Canon, seed: &Seed, parser: &mut Parser) -> Option<String> {
        let Self { frame, row, .. } = *self;
        let (kind, slice) = (frame.kind(row), frame.state(row));
        let mut written = Canonical::default();
        if canon.rewrite(parser, seed, frame.dialect, kind, slice, &mut written) {
            return String::from_utf8(written.text).ok();
        }
        tree(canon, parser, frame, row).map(|root| root.to_json())
    }
}

/// The state that a row's claim stands for, as a tree. Only for claims that
/// [`Canon::flatten`] could read.
pub(crate) fn tree(canon: &Canon, parser: &mut Parser, frame: &Frame, row: usize) -> Option<Node> {
    state(canon, parser, frame, row).ok().map(|state| state.root)
}

fn state(
    canon: &Canon,
    parser: &mut Parser,
    frame: &Frame,
    row: usize,
) -> Result<State, CanonError> {
    let kind = frame.kind(row);
    let text = [b"{", frame.state(row).text, b"}"].concat();
    let mut state = canon.state(parser, frame.dialect, kind, &text, std::iter::empty())?;
    let ignored = |name: &str| {
        let mut members = frame.members.iter();
        members.any(|member| member.name == name && member.kind == MemberKind::Ignored)
    };
    if let Node::Object(members) = &mut state.root {
        members.retain(|(name, _)| !ignored(name));
    }
    Ok(state)
}
