//! What says nothing.

use deployforge_model::path::segments;

use crate::node::Node;

/// Members whose names are the user's own: that one is there is what somebody wrote, with an empty text
/// too; and without any they say nothing.
const MAPS: [&str; 17] = [
    "annotations",
    "binarydata",
    "data",
    "defaulttags",
    "dimensions",
    "effectivelabels",
    "environmentvariables",
    "labels",
    "matchlabels",
    "nodeselector",
    "resourcelabels",
    "tags",
    "tagsall",
    "tagset",
    "terraformlabels",
    "userlabels",
    "variables",
];

/// Members that AWS writes as an object without members where there is none.
const NONE: [&str; 4] = ["deadletterconfig", "environment", "permissionsboundary", "vpcconfig"];

/// Whether neither says anything, whatever they are of.
pub(super) fn alike(a: Option<&Node>, b: Option<&Node>) -> bool {
    a.is_none_or(Node::is_hollow) && b.is_none_or(Node::is_hollow)
}

/// Whether neither of two values at a path says anything. `maps`: an empty object is an empty map, as
/// Terraform writes them, and never a choice.
///
/// An object is more than nothing: which member of a union is there is all that says what was chosen, as
/// `{"Block": {}}`, `{"emptyDir": {}}` or a selector that selects all.
pub(super) fn holds(path: &str, a: Option<&Node>, b: Option<&Node>, maps: bool) -> bool {
    if !alike(a, b) {
        return false;
    }
    let is_object = |node: Option<&Node>| matches!(node, Some(Node::Object(_)));
    let is_text = |node: Option<&Node>| matches!(node, Some(Node::String(_)));
    let names: Vec<String> = segments(path).map(|name| plain(&name)).collect();
    let is_any_of = |from_end: usize, all: &[&str]| {
        names.iter().rev().nth(from_end).is_some_and(|name| all.contains(&name.as_str()))
    };
    let may_be_choice = is_object(a) != is_object(b) && !maps;
    let goes = (a.is_none() && is_text(b)) || (b.is_none() && is_text(a));
    (!may_be_choice || is_any_of(0, &MAPS) || is_any_of(0, &NONE)) && !(goes && is_any_of(1, &MAPS))
}

/// A name in whatever spelling.
fn plain(name: &str) -> String {
    name.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Limits, Parser};

    fn node(text: &str) -> Node {
        Parser::default().value(text.as_bytes(), Limits::default(), false).unwrap()
    }

    fn same(path: &str, a: Option<&str>, b: Option<&str>, maps: bool) -> bool {
        let (a, b) = (a.map(node), b.map(node));
        let one = holds(path, a.as_ref(), b.as_ref(), maps);
        assert_eq!(one, holds(path, b.as_ref(), a.as_ref(), maps), "{path}: both ways");
        one
    }

    #[test]
    fn a_choice_is_no_nothing() {
        for other in [None, Some("null"), Some("[]"), Some("\"\"")] {
            for choice in ["{}", r#"{"a":null}"#, r#"{"a":{}}"#] {
                assert!(!same("/DefaultAction/Block", Some(choice), other, false), "{choice}");
                assert!(same("/timeouts", Some(choice), other, true), "Terraform's are maps");
            }
            assert!(same("/spec/podSelector/matchLabels", Some("{}"), other, false));
        }
        assert!(same("/a", Some("{}"), Some(r#"{"a":null}"#), false), "both are there");
        assert!(same("/configuration/permissionsBoundary", Some("{}"), None, false));
    }

    #[test]
    fn a_free_name_is_there_or_not() {
        for path in ["/metadata/labels/x", "/tags_all/x", "/TagSet/x"] {
            for maps in [true, false] {
                assert!(!same(path, Some("\"\""), None, maps));
                assert!(same(path, Some("\"\""), Some("null"), maps));
                assert!(same(path, None, Some("null"), maps));
            }
        }
        assert!(same("/tags/0/value", Some("\"\""), None, false), "an element's own members");
        assert!(same("/description", Some("\"\""), None, false));
    }
}
