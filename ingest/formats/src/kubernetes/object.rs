//! One object: its key, and what of it is its state.
//!
//! Left out of the state is what changes without anyone changing the object: `status`, and of the
//! metadata the server's own bookkeeping. What was last applied, which `kubectl` keeps in an
//! annotation, is what was declared: on the declared side it stands in for the object.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use deployforge_model::{Dialect, Observation, Presence, ResourceKey};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{refuse_template, secret};
use crate::json::{self, Members, ObjectWriter};
use crate::options::Side;
use crate::refusal::{Refusal, check_key};
use crate::sink::{Note, Sink};

const WHAT: &str = "the object";

/// Members of the metadata that the server keeps.
const VOLATILE: [&str; 8] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

const SECRET: &str = "Secret";

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Annotations that tools, the server and its controllers keep.
    bookkeeping: BTreeSet<String>,
    /// Types that stand in a namespace, `default` where none is given.
    namespaced: BTreeSet<String>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../data/kubernetes.json"))
        .expect("the table of types is valid, which a test proves")
});

/// What is known of an object besides itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known<'a> {
    pub(super) kind: Option<&'a str>,
    pub(super) api: Option<&'a str>,
}

/// An object with a name.
#[derive(Debug)]
pub(super) struct Object<'a> {
    members: &'a Members<'a>,
    metadata: Members<'a>,
    /// The kind with its group.
    resource_type: String,
    /// What the list says that the object leaves out, as members.
    added: String,
    namespace: Cow<'a, str>,
    name: Cow<'a, str>,
}

impl<'a> Object<'a> {
    /// Reads an object; `None`: it has no name yet.
    pub(super) fn read(
        members: &'a Members<'a>,
        known: Known<'_>,
    ) -> Result<Option<Self>, Refusal> {
        members.unique(WHAT)?;
        let kind = members.text("kind")?.filter(|kind| !kind.is_empty());
        let api = members.text("apiVersion")?.filter(|api| !api.is_empty());
        let mut added = Vec::new();
        for (name, own, other) in [("apiVersion", &api, known.api), ("kind", &kind, known.kind)] {
            if let (None, Some(other)) = (own, other) {
                added.extend_from_slice(if added.is_empty() { b"" } else { b"," });
                json::write_string(&mut added, name);
                added.push(b':');
                json::write_string(&mut added, other);
            }
        }
        let missing = |field| Refusal::Missing { field, what: WHAT };
        let kind = kind.as_deref().or(known.kind).ok_or(missing("kind"))?;
        let api = api.as_deref().or(known.api).ok_or(missing("apiVersion"))?;
        let metadata = match members.get("metadata") {
            Some(raw) => Members::of(raw, "metadata")?,
            None => return Err(missing("metadata")),
        };
        metadata.unique("the metadata")?;
        let name = metadata.text("name")?.unwrap_or_default();
        if name.is_empty() {
            if metadata.has("generateName") {
                return Ok(None);
            }
            return Err(Refusal::Missing { field: "name", what: "the metadata" });
        }
        let namespace = metadata.text("namespace")?.unwrap_or_default();
        let parts =
            [("kind", kind), ("apiVersion", api), ("name", &name), ("namespace", &namespace)];
        if let Some((field, _)) = parts.into_iter().find(|(_, part)| part.contains("{{")) {
            return Err(refuse_template(field));
        }
        Ok(Some(Self {
            members,
            resource_type: resource_type(kind, api),
            added: String::from_utf8(added).unwrap_or_default(),
            namespace,
            name,
            metadata,
        }))
    }

    /// The object as an observation.
    pub(super) fn observe(
        &self,
        presence: Presence,
        sink: &mut Sink<'_>,
    ) -> Result<Observation, Refusal> {
        let key = key(&self.resource_type, &self.namespace, &self.name, sink)?;
        let (mut state, mut sensitive) = (Vec::new(), Vec::new());
        if presence == Presence::Present {
            let granted = GRANTS
                .iter()
                .filter(|_| sink.options.side == Side::Declared)
                .find(|(of, _)| *of == self.resource_type)
                .map(|(_, member)| *member);
            state = match self.applied(sink)? {
                Some(text) => {
                    sink.note(Note::LastApplied, 1);
                    let applied = Members::parse(text.trim())?;
                    applied.unique("what was last applied")?;
                    self.state_of(&applied, granted)?
                }
                None => self.state_of(self.members, granted)?,
            };
            if self.resource_type == SECRET {
                sensitive = vec!["/data".to_owned(), "/stringData".to_owned()];
            }
        }
        Ok(Observation {
            version: self.version(sink),
            presence,
            sensitive,
            ..Observation::of(key, Dialect::Kubernetes, state, sink.position)
        })
    }

    /// The server's version of the object, which orders what is seen of it. What is declared has none.
    fn version(&self, sink: &Sink<'_>) -> Option<u64> {
        let version = self.metadata.peek("resourceVersion")?.parse().ok();
        version.filter(|version| {
            sink.options.side == Side::Observed && i64::try_from(*version).is_ok()
        })
    }

    /// The object without what changes by itself.
    fn state_of(&self, members: &Members<'_>, granted: Option<&str>) -> Result<Vec<u8>, Refusal> {
        let mut state = ObjectWriter::with_capacity(1024);
        state.members(&self.added);
        let granted = granted.filter(|member| members.get(member).is_none());
        if let Some(member) = granted {
            state.member(member, b"[]");
        }
        let data = if self.resource_type == SECRET { secret::data_of(members)? } else { None };
        if let Some(data) = &data {
            state.member("data", data);
        }
        for (key, value) in members.iter() {
            match key {
                _ if granted == Some(key) => {}
                "data" | "stringData" if data.is_some() => {}
                "status" => {}
                "metadata" if json::is_object(value) => {
                    state.member(key, &metadata_of(value)?);
                }
                _ => state.member(key, value.get().as_bytes()),
            }
        }
        Ok(state.finish())
    }

    /// What was last applied, where that is asked for.
    fn applied(&self, sink: &Sink<'_>) -> Result<Option<Cow<'a, str>>, Refusal> {
        if sink.options.side == Side::Observed {
            return Ok(None);
        }
        let Some(raw) = self.metadata.get("annotations") else { return Ok(None) };
        let annotations = Members::of(raw, "annotations")?;
        let Some(text) = annotations.raw(LAST_APPLIED).and_then(json::text_of) else {
            return Ok(None);
        };
        let raw = json::nested(&text, sink.options.limits.depth)?;
        if !json::is_object(raw) {
            return Err(Refusal::Wrong { field: LAST_APPLIED, want: "the text of a JSON object" });
        }
        Ok(Some(text))
    }
}

/// The key of an object.
fn key(
    resource_type: &str,
    namespace: &str,
    name: &str,
    sink: &mut Sink<'_>,
) -> Result<ResourceKey, Refusal> {
    let assumed = namespace.is_empty() && TABLE.namespaced.contains(resource_type);
    sink.note(Note::NamespaceAssumed, assumed.into());
    let namespace = if assumed { "default" } else { namespace };
    let id = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
    let account = sink.options.defaults.account.clone().unwrap_or_default();
    sink.note(Note::AccountUnknown, account.is_empty().into());
    let key = ResourceKey::new("kubernetes", &account, "", resource_type, &id);
    check_key(&key)?;
    Ok(key)
}

/// The kind with its group.
pub(super) fn resource_type(kind: &str, api: &str) -> String {
    match api.split_once('/') {
        Some((group, _)) => format!("{kind}.{group}"),
        None => kind.to_owned(),
    }
}

/// What grants access: where the declaration leaves it out it declares that there is none, so that what
/// someone adds is found.
const GRANTS: [(&str, &str); 4] = [
    ("Role.rbac.authorization.k8s.io", "rules"),
    ("ClusterRole.rbac.authorization.k8s.io", "rules"),
    ("RoleBinding.rbac.authorization.k8s.io", "subjects"),
    ("ClusterRoleBinding.rbac.authorization.k8s.io", "subjects"),
];

fn metadata_of(raw: &RawValue) -> Result<Vec<u8>, Refusal> {
    let mut metadata = ObjectWriter::with_capacity(256);
    for (key, value) in Members::parse(raw.get())?.iter() {
        if VOLATILE.contains(&key) {
            continue;
        }
        if key != "annotations" || !json::is_object(value) {
            metadata.member(key, value.get().as_bytes());
            continue;
        }
        let annotations = Members::parse(value.get())?;
        let mut kept = ObjectWriter::with_capacity(value.get().len());
        let mut count = 0;
        for (key, value) in annotations.iter().filter(|(key, _)| !TABLE.bookkeeping.contains(*key))
        {
            kept.member(key, value.get().as_bytes());
            count += 1;
        }
        // An object that only had what tools keep has no annotations of its own.
        if count > 0 {
            metadata.member(key, &kept.finish());
        }
    }
    Ok(metadata.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_valid() {
        assert!(TABLE.namespaced.contains("Deployment.apps"));
        assert!(TABLE.bookkeeping.contains(LAST_APPLIED));
        assert!(!TABLE.namespaced.contains("ClusterRole.rbac.authorization.k8s.io"));
    }

    #[test]
    fn types_have_their_group() {
        assert_eq!(resource_type("Deployment", "apps/v1"), "Deployment.apps");
        assert_eq!(resource_type("Service", "v1"), "Service");
    }
}
