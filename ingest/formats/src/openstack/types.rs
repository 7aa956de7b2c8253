//! Which members of replies hold which resources: a table, not code.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// A kind of resource.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kind {
    /// The member that holds one.
    pub(super) member: String,
    /// The member that holds many.
    pub(super) list: String,
    /// The type, in the orchestrator's names.
    #[serde(rename = "type")]
    pub(super) resource_type: String,
    /// The member that has the id.
    #[serde(default = "id")]
    pub(super) id: String,
    /// Members of which one says that it is this kind and not another cloud's of the same name.
    pub(super) marks: Vec<String>,
    /// Whether the names alone say so.
    #[serde(default)]
    pub(super) distinct: bool,
    /// Groups of members of which one is complete if the whole resource is there; short lists and the
    /// replies of actions hold less.
    #[serde(default)]
    pub(super) whole: Vec<Vec<String>>,
    /// Members that change by themselves.
    #[serde(default)]
    pub(super) volatile: Vec<String>,
    /// Members that must not be shown.
    #[serde(default)]
    pub(super) sensitive: Vec<String>,
    /// Members that may name the project.
    #[serde(default = "project")]
    pub(super) project: Vec<String>,
    /// Whether it belongs to no project.
    #[serde(default)]
    pub(super) shared: bool,
}

fn id() -> String {
    "id".to_owned()
}

fn project() -> Vec<String> {
    vec!["project_id".to_owned(), "tenant_id".to_owned()]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    resources: Vec<Kind>,
    /// Members that hold parts of a resource, or figures about many, without an id.
    parts: Vec<String>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../data/openstack.json"))
        .expect("the table of types is valid, which a test proves")
});

static BY_MEMBER: LazyLock<HashMap<&'static str, &'static Kind>> = LazyLock::new(|| {
    let kinds = TABLE.resources.iter();
    kinds.flat_map(|kind| [(kind.member.as_str(), kind), (kind.list.as_str(), kind)]).collect()
});

/// The kind that a member of a reply holds.
pub(super) fn of_member(name: &str) -> Option<&'static Kind> {
    BY_MEMBER.get(name).copied()
}

/// The kind of images.
pub(super) fn image() -> Option<&'static Kind> {
    of_member("image")
}

/// Whether a member holds a part of a resource only.
pub(super) fn is_part(name: &str) -> bool {
    TABLE.parts.iter().any(|part| part == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_valid() {
        assert_eq!(BY_MEMBER.len(), TABLE.resources.len() * 2, "each name stands for one kind");
        assert!(TABLE.parts.is_sorted());
        for kind in &TABLE.resources {
            assert!(kind.resource_type.starts_with("OS::"), "{kind:?}");
            assert!(!kind.marks.is_empty(), "{kind:?}");
            assert!(!kind.volatile.contains(&kind.id), "{kind:?}");
        }
        assert_eq!(of_member("servers").unwrap().resource_type, "OS::Nova::Server");
        assert!(image().is_some() && is_part("metadata") && !is_part("server"));
    }
}
