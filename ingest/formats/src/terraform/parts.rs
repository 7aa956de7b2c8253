//! Lists of a resource whose elements may be resources of their own.
//!
//! Such a list is filled when the provider next reads the parent: until then, in a state that was written
//! when its parts were made, it is empty though there are some. So where a state holds parts of a parent,
//! an empty list says nothing; it is given as null.

use std::collections::HashSet;

use serde_json::value::RawValue;

use crate::json::{self, Members};

/// A list and what its elements may be.
struct Parts {
    parent: &'static str,
    lists: &'static [&'static str],
    parts: &'static [&'static str],
    /// The attribute of a part that names its parent, by id or by name.
    by: &'static str,
}

const PARTS: &[Parts] = &[
    Parts {
        parent: "aws_security_group",
        lists: &["ingress", "egress"],
        parts: &[
            "aws_security_group_rule",
            "aws_vpc_security_group_ingress_rule",
            "aws_vpc_security_group_egress_rule",
        ],
        by: "security_group_id",
    },
    Parts {
        parent: "aws_route_table",
        lists: &["route"],
        parts: &["aws_route"],
        by: "route_table_id",
    },
    Parts {
        parent: "aws_network_acl",
        lists: &["ingress", "egress"],
        parts: &["aws_network_acl_rule"],
        by: "network_acl_id",
    },
    Parts {
        parent: "aws_iam_role",
        lists: &["inline_policy", "managed_policy_arns"],
        parts: &["aws_iam_role_policy", "aws_iam_role_policy_attachment"],
        by: "role",
    },
    Parts {
        parent: "azurerm_network_security_group",
        lists: &["security_rule"],
        parts: &["azurerm_network_security_rule"],
        by: "network_security_group_name",
    },
    Parts {
        parent: "azurerm_route_table",
        lists: &["route"],
        parts: &["azurerm_route"],
        by: "route_table_name",
    },
    Parts {
        parent: "azurerm_key_vault",
        lists: &["access_policy"],
        parts: &["azurerm_key_vault_access_policy"],
        by: "key_vault_id",
    },
    Parts {
        parent: "azurerm_virtual_network",
        lists: &["subnet"],
        parts: &["azurerm_subnet"],
        by: "virtual_network_name",
    },
];

/// Parents of which a state holds parts: their type, and their id or name.
#[derive(Debug, Default)]
pub(super) struct Parents(HashSet<(&'static str, String)>);

impl Parents {
    /// Takes note of a resource, if it is a part. What cannot be read is refused elsewhere.
    pub(super) fn see(&mut self, resource: &RawValue) {
        let Ok(members) = Members::of(resource, "resources") else { return };
        let Ok(Some(own)) = members.text("type") else { return };
        let Some(of) = PARTS.iter().find(|one| one.parts.contains(&own.as_ref())) else { return };
        for instance in members.array("instances").ok().flatten().unwrap_or_default() {
            let Ok(members) = Members::of(instance, "instances") else { continue };
            let attributes = members.get("attributes").map(|raw| Members::of(raw, "attributes"));
            let Some(Ok(attributes)) = attributes else { continue };
            if let Ok(Some(parent)) = attributes.text(of.by) {
                self.0.insert((of.parent, parent.into_owned()));
            }
        }
    }

    /// The attributes of a resource, its empty lists as null if the state holds what may be in them.
    pub(super) fn mark(&self, resource_type: &str, attributes: &RawValue) -> Box<str> {
        let text: Box<str> = attributes.get().into();
        let Some(of) = PARTS.iter().find(|one| one.parent == resource_type) else { return text };
        let Ok(members) = Members::of(attributes, "attributes") else { return text };
        let is_known = |name: &'static str| {
            let Ok(Some(value)) = members.text(name) else { return false };
            self.0.contains(&(of.parent, value.into_owned()))
        };
        if self.0.is_empty() || !(is_known("id") || is_known("name")) {
            return text;
        }
        let mut marked = String::with_capacity(text.len() + 8);
        let mut at = 0;
        for (name, value) in members.iter() {
            if of.lists.contains(&name) && json::is_empty_container(value) {
                let from = value.get().as_ptr() as usize - attributes.get().as_ptr() as usize;
                marked.push_str(&attributes.get()[at..from]);
                marked.push_str("null");
                at = from + value.get().len();
            }
        }
        marked.push_str(&attributes.get()[at..]);
        marked.into_boxed_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn an_empty_list_says_nothing_where_its_elements_stand_alone() {
        let mut parents = Parents::default();
        let own = r#"{"id":"sg-1","egress":[ ],"ingress":[{"a":[]}],"tags":[]}"#;
        assert_eq!(&*parents.mark("aws_security_group", &raw(own)), own);
        parents.see(&raw(
            r#"{"type":"aws_security_group_rule","instances":[{"attributes":{"security_group_id":"sg-1"}}]}"#,
        ));
        parents.see(&raw(r#"{"type":"aws_security_group_rule","instances":7}"#));
        let marked = r#"{"id":"sg-1","egress":null,"ingress":[{"a":[]}],"tags":[]}"#;
        assert_eq!(&*parents.mark("aws_security_group", &raw(own)), marked);
        let other = own.replace("sg-1", "sg-2");
        assert_eq!(&*parents.mark("aws_security_group", &raw(&other)), other);
        assert_eq!(&*parents.mark("aws_network_acl", &raw(own)), own);
    }
}
