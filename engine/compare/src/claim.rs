//! What a scan claimed to be a state, once it was read and found to be one.

use deployforge_canon::{Canon, Node, Parser};
use deployforge_model::{Frame, MemberKind};

/// The state that a row's claim stands for, as a tree. Only for claims that
/// [`Canon::flatten`] could read.
pub(crate) fn tree(canon: &Canon, parser: &mut Parser, frame: &Frame, row: usize) -> Option<Node> {
    let kind = frame.kind(row);
    let text = [b"{", frame.state(row).text, b"}"].concat();
    let state = canon.state(parser, frame.dialect, kind, &text, std::iter::empty()).ok()?;
    let Node::Object(mut members) = state.root else { return None };
    let ignored = |name: &str| {
        let mut members = frame.members.iter();
        members.any(|member| member.name == name && member.kind == MemberKind::Ignored)
    };
    members.retain(|(name, _)| !ignored(name));
    Some(Node::Object(members))
}
