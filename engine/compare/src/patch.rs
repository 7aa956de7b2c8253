//! Differences as a JSON Patch (RFC 6902) that leads from the declared state to the observed one.

use std::fmt::Write as _;

use deployforge_model::FindingKind;

use crate::diff::Difference;

/// The patch, as JSON text. It is right for differences of whole states without array rules, where paths
/// are the document's own; elements that appear and go are put in an order in which their numbers hold.
pub fn patch(differences: &[Difference]) -> String {
    // What goes is taken from behind, so that it moves nothing that is yet to go.
    let removed = differences.iter().rev().filter(|one| one.kind == FindingKind::Removed);
    let others = differences.iter().filter(|one| one.kind != FindingKind::Removed);
    let mut out = String::from("[");
    for difference in others.chain(removed) {
        let op = match difference.kind {
            FindingKind::Added => "add",
            FindingKind::Removed => "remove",
            FindingKind::Changed
            | FindingKind::Reordered
            | FindingKind::Missing
            | FindingKind::Unmanaged => "replace",
        };
        if out.len() > 1 {
            out.push(',');
        }
        let path = serde_json::Value::from(difference.path.as_str());
        let _ = write!(out, r#"{{"op":"{op}","path":{path}"#);
        if let Some(value) = difference.observed.as_ref().filter(|_| op != "remove") {
            let _ = write!(out, r#","value":{}"#, value.to_json());
        }
        out.push('}');
    }
    out.push(']');
    out
}
