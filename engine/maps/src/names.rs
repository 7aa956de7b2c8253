//! Where the names of a dialect lead.

use deployforge_canon::Node;
use deployforge_model::Dialect;

use crate::align::{as_map, elements};
use crate::data::{Kind, Names, Values, is_place};
use crate::shape::{Leaf, Shape};

/// The declared side: its kind, and the exceptions of its dialect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side<'k> {
    pub(crate) kind: &'k Kind,
    dialect: Dialect,
    names: &'k Names,
    root: &'k Node,
}

/// Members of a dialect's states that speak for others: where the first is there, the others say the
/// same in part, and are not compared by themselves. The provider adds defaults to the second.
const SPOKEN_FOR: [(Dialect, &str, &[&str]); 4] = [
    (Dialect::Terraform, "tags_all", &["tags"]),
    (Dialect::Terraform, "effective_labels", &["labels", "terraform_labels"]),
    (Dialect::Terraform, "effective_annotations", &["annotations"]),
    (Dialect::AwsConfig, "tags", &["configuration/tags"]),
];

/// Members that steer the tool and are no attribute of the resource.
const LOCAL: [(Dialect, &[&str]); 2] = [
    (Dialect::AwsConfig, &["relationships"]),
    (
        Dialect::Terraform,
        &[
            "timeouts",
            "name_prefix",
            "bucket_prefix",
            "identifier_prefix",
            "force_destroy",
            "force_delete",
            "force_detach",
            "force_detach_policies",
            "skip_destroy",
            "skip_final_snapshot",
            "final_snapshot_identifier",
            "apply_immediately",
            "delete_automated_backups",
            "allow_major_version_upgrade",
            "allow_stopping_for_update",
            "revoke_rules_on_delete",
            "user_data_replace_on_change",
            "get_password_data",
            "wait_for_capacity_timeout",
            "wait_for_elb_capacity",
            "wait_for_steady_state",
            "wait_for_fulfillment",
            "min_elb_capacity",
            "force_new_deployment",
            "ignore_failed_scaling_activities",
            "recovery_window_in_days",
            "force_overwrite_replica_secret",
            "source_code_hash",
            "filename",
            "publish",
            "desired_status",
            "deletion_policy",
            "bypass_policy_lockout_safety_check",
            "triggers",
            "keepers",
            "terraform_labels",
            // When it was made is nothing that anyone declares.
            "create_date",
            "created_date",
            "created_at",
            "created_time",
            "creation_date",
            "creation_time",
            "creation_timestamp",
            "create_time",
            "last_updated_time",
            "last_updated_date",
            "last_modified",
            "last_modified_at",
            "update_time",
            "updated_at",
            "time_created",
            "time_updated",
            "updated",
            // Counters of versions, which every change of anything else moves.
            "fingerprint",
            "label_fingerprint",
            "metadata_fingerprint",
            "tags_fingerprint",
            "etag",
            "generation",
            "resource_version",
        ],
    ),
];

/// Members that are none of the resource at any depth: what an object is called in the API's own types,
/// and when something took effect.
const NESTED: [(Dialect, &[&str]); 1] = [(Dialect::Terraform, &["kind", "effective_time"])];

/// Members that say what the resource's key says, where the API's resource has none of them.
const KEYS: [(Dialect, &[&str]); 1] =
    [(Dialect::Terraform, &["id", "arn", "region", "self_link", "owner_id", "project", "name"])];

/// What a name is called where it has another one in every type of a dialect.
const SYNONYMS: [(Dialect, &str, &str); 3] = [
    (Dialect::Terraform, "tags_all", "tags"),
    (Dialect::Terraform, "effective_labels", "labels"),
    (Dialect::Terraform, "effective_annotations", "annotations"),
];

static NONE: Names = Names { lead: Vec::new(), opposite: Vec::new() };

impl<'k> Side<'k> {
    pub(crate) fn new(kind: &'k Kind, dialect: Dialect, root: &'k Node) -> Self {
        let names = kind.names.get(&dialect).unwrap_or(&NONE);
        Self { kind, dialect, names, root }
    }

    /// Whether a member is not compared by itself: none of the resource, part of its key, or said in full
    /// by another.
    pub(crate) fn is_set_aside(&self, own: &[String]) -> bool {
        let Some((name, before)) = own.split_last() else { return false };
        self.is_spoken_for(before, name) || self.is_key(own.len(), name)
    }

    /// Whether a member is none of the resource, or another one says what it says.
    pub(crate) fn is_spoken_for(&self, own: &[String], name: &str) -> bool {
        let is_local =
            LOCAL.iter().any(|(dialect, names)| *dialect == self.dialect && names.contains(&name));
        let is_nested =
            NESTED.iter().any(|(dialect, names)| *dialect == self.dialect && names.contains(&name));
        let mut whole = own.to_vec();
        whole.push(name.to_owned());
        // What the data says leads somewhere is compared.
        let leads = || self.names.lead.iter().any(|(from, to)| *from == whole && to.is_some());
        if (own.is_empty() && is_local) || (!own.is_empty() && is_nested && !leads()) {
            return true;
        }
        let aside = self.kind.aside.get(&self.dialect);
        if aside.is_some_and(|all| all.iter().any(|one| is_place(one, &whole))) {
            return true;
        }
        SPOKEN_FOR.iter().any(|(dialect, by, names)| {
            *dialect == self.dialect
                && names.iter().any(|other| match other.rsplit_once('/') {
                    Some((before, last)) => last == name && own.join("/") == before,
                    None => *other == name && own.is_empty(),
                })
                && self.root.get(by).is_some_and(|node| *node != Node::Null)
        })
    }

    /// Whether a member at the root only holds the resource's own attributes, as an item of Config does.
    pub(crate) fn is_wrapping(&self, own: &[String]) -> bool {
        self.dialect == Dialect::AwsConfig
            && matches!(own, [one] if one == "configuration" || one == "supplementaryConfiguration")
    }

    /// Whether a member at the root is part of the key, and so known to be equal.
    pub(crate) fn is_key(&self, depth: usize, name: &str) -> bool {
        depth == 1
            && KEYS.iter().any(|(dialect, names)| *dialect == self.dialect && names.contains(&name))
    }

    /// A value in the API's words where it stands under a name that says the opposite, and the other way
    /// about.
    pub(crate) fn turned(&self, own: &[String], value: Node) -> Node {
        match value {
            Node::Bool(flag) if self.says_the_opposite(own) => Node::Bool(!flag),
            value => value,
        }
    }

    /// Whether a name leads to a flag that says the opposite.
    pub(crate) fn says_the_opposite(&self, own: &[String]) -> bool {
        self.names.opposite.iter().any(|from| is_place(from, own))
    }

    /// Where a name leads, in the API's words. `None`: nowhere.
    pub(crate) fn leads(
        &self,
        own: &[String],
        shape: &Shape,
        at: &[String],
        name: &str,
    ) -> Option<Vec<String>> {
        if let Some((_, to)) = self.names.lead.iter().find(|(from, _)| is_place(from, own)) {
            return to.clone();
        }
        let synonym = SYNONYMS
            .iter()
            .find(|(dialect, from, _)| *dialect == self.dialect && own.len() == 1 && *from == name);
        let name = synonym.map_or(name, |(_, _, to)| to);
        // Terraform's id is its own name for the object, unless the data says otherwise.
        if self.dialect == Dialect::Terraform && own.len() == 1 && name == "id" {
            return None;
        }
        let mut place = at.to_vec();
        if let Some((found, _)) = shape.member(name) {
            place.push(found.to_owned());
        } else {
            // Azure keeps all but the envelope one level below.
            let (properties, inner) = shape.member("properties")?;
            let (found, _) = inner.member(name)?;
            place.extend([properties.to_owned(), found.to_owned()]);
        }
        Some(place)
    }
}

impl Kind {
    /// What is said of the values at a place in the API's words.
    pub(crate) fn values_at(&self, at: &[String]) -> Option<&Values> {
        self.values.iter().find(|(of, _)| is_place(of, at)).map(|(_, values)| values)
    }

    /// The members of a list's elements that are taken apart.
    pub(crate) fn taken_apart(&self, at: &[String]) -> Option<&[Vec<String>]> {
        self.apart.iter().find(|(of, _)| of == at).map(|(_, members)| members.as_slice())
    }

    /// The elements of a list without those that the cloud puts there by itself.
    pub(crate) fn not_provided<'n>(&self, at: &[String], items: Vec<&'n Node>) -> Vec<&'n Node> {
        let Some((_, is)) = self.provided.iter().find(|(of, _)| of == at) else { return items };
        let provided = |node: &Node| {
            is.iter().all(|(name, value)| {
                let value = value.to_string();
                node.get(name).is_some_and(|found| found.to_json() == value)
            })
        };
        items.into_iter().filter(|node| !provided(node)).collect()
    }

    /// Whether order means something in the list at a place.
    pub(crate) fn is_ordered(&self, at: &[String]) -> bool {
        self.ordered.iter().any(|of| is_place(of, at))
    }
}

/// An observed state in the API's words.
pub(crate) fn to_api(kind: &Kind, dialect: Dialect, observed: &Node) -> Node {
    match dialect {
        Dialect::AwsConfig => of_config(kind, observed),
        Dialect::Terraform | Dialect::CloudFormation => {
            let side = Side::new(kind, dialect, observed);
            let mut out = Vec::new();
            rename(&side, observed, &kind.shape, &[], &[], &mut out);
            tree(out)
        }
        _ => unwrapped(kind, observed).clone(),
    }
}

/// A resource without the request that holds it under the name of its type.
fn unwrapped<'n>(kind: &Kind, observed: &'n Node) -> &'n Node {
    let own = kind.name.rsplit(['/', ':']).next().unwrap_or_default();
    let Node::Object(members) = observed else { return observed };
    let mut inner = members.iter().filter(|(name, _)| name.eq_ignore_ascii_case(own));
    match inner.next() {
        Some((name, node @ Node::Object(_))) if kind.shape.member(name).is_none() => node,
        _ => observed,
    }
}

/// An item of Config: its configuration, what supplements it, and the tags, in the API's spelling.
fn of_config(kind: &Kind, observed: &Node) -> Node {
    let side = Side::new(kind, Dialect::AwsConfig, observed);
    let mut out = Vec::new();
    for part in ["supplementaryConfiguration", "configuration"] {
        if let Some(node) = observed.get(part) {
            rename(&side, node, &kind.shape, &[part.to_owned()], &[], &mut out);
        }
    }
    if let (Some(tags), Some((name, _))) = (observed.get("tags"), kind.shape.member("tags")) {
        out.retain(|(at, _): &(Vec<String>, Node)| at.first().is_none_or(|first| first != name));
        out.push((vec![name.to_owned()], tags.clone()));
    }
    tree(out)
}

/// The members of a state at their places in the API's words.
fn rename(
    side: &Side<'_>,
    node: &Node,
    shape: &Shape,
    own: &[String],
    at: &[String],
    out: &mut Vec<(Vec<String>, Node)>,
) {
    let Node::Object(members) = node else { return };
    for (name, value) in members {
        let mut here = own.to_vec();
        here.push(name.to_string());
        let Some(place) = side.leads(&here, shape, at, name) else { continue };
        if place.is_empty() {
            rename(side, value, &side.kind.shape, &here, &[], out);
            continue;
        }
        let Some(found) = side.kind.shape.at(&place) else { continue };
        let value = side.turned(&here, renamed(side, value, found, &here, &place));
        // One member of each element: one object for each value.
        let star = place.iter().skip(at.len()).position(|segment| segment.starts_with('*'));
        match star.map(|star| star + at.len()).filter(|_| place.starts_with(at)) {
            Some(star) => {
                let inner = &place[star + 1..];
                let objects = listed(side, &value, found)
                    .into_iter()
                    .map(|value| tree(vec![(inner.to_vec(), value)]));
                add(out, &place[at.len()..star], objects.collect());
            }
            None if place.starts_with(at) => out.push((place[at.len()..].to_vec(), value)),
            None => {}
        }
    }
}

/// The values of which a list's elements hold one each. A flag that leads to a text says that the resource
/// itself is one of them, as `self` of a rule.
fn listed(side: &Side<'_>, value: &Node, shape: &Shape) -> Vec<Node> {
    let itself = side.root.get("id").filter(|id| !id.is_hollow());
    match value {
        Node::Bool(is_one) if matches!(shape, Shape::Leaf(Leaf::Text)) => {
            itself.filter(|_| *is_one).cloned().into_iter().collect()
        }
        value => elements(value).unwrap_or_else(|| vec![value]).into_iter().cloned().collect(),
    }
}

/// Adds elements to the list at a place: several members may lead to one list.
fn add(out: &mut Vec<(Vec<String>, Node)>, at: &[String], more: Vec<Node>) {
    match out.iter_mut().find(|(place, _)| place == at) {
        Some((_, Node::Array(items))) => items.extend(more),
        Some(_) => {}
        None => out.push((at.to_vec(), Node::Array(more))),
    }
}

/// A value with the names below it in the API's words.
pub(crate) fn renamed(
    side: &Side<'_>,
    value: &Node,
    shape: &Shape,
    own: &[String],
    at: &[String],
) -> Node {
    match (shape, value) {
        _ if shape.is_map_as_list() => as_map(value),
        (Shape::Object(_), Node::Object(_)) if shape.free().is_none() => {
            let mut all = Vec::new();
            rename(side, value, shape, own, at, &mut all);
            tree(all)
        }
        (Shape::List(inner), list) if elements(list).is_some() => {
            let (mut own, mut at) = (own.to_vec(), at.to_vec());
            own.push("*".to_owned());
            at.push("*".to_owned());
            let items = elements(list).unwrap_or_default();
            let items = items.into_iter().map(|item| renamed(side, item, &inner[0], &own, &at));
            Node::Array(items.collect())
        }
        (Shape::Object(_), list) if shape.free().is_none() => match elements(list).as_deref() {
            Some([one]) => {
                let mut own = own.to_vec();
                own.push("*".to_owned());
                renamed(side, one, shape, &own, at)
            }
            _ => value.clone(),
        },
        _ => value.clone(),
    }
}

/// A tree of values at their places; the first of two that claim one place stays.
fn tree(all: Vec<(Vec<String>, Node)>) -> Node {
    let mut root: Vec<(Box<str>, Node)> = Vec::new();
    for (at, value) in all {
        put(&mut root, &at, value);
    }
    root.sort_by(|a, b| a.0.cmp(&b.0));
    Node::Object(root)
}

fn put(members: &mut Vec<(Box<str>, Node)>, at: &[String], value: Node) {
    let Some((first, rest)) = at.split_first() else { return };
    let found = members.iter().position(|(name, _)| **name == **first);
    match (found, rest) {
        (None, []) => members.push((first.as_str().into(), value)),
        (Some(_), []) => {}
        (found, rest) => {
            let at = found.unwrap_or_else(|| {
                members.push((first.as_str().into(), Node::Object(Vec::new())));
                members.len() - 1
            });
            if let Node::Object(inner) = &mut members[at].1 {
                put(inner, rest, value);
                inner.sort_by(|a, b| a.0.cmp(&b.0));
            }
        }
    }
}
