//! Azure: the resources of Resource Manager, as its replies, Resource Graph and templates have them.
//!
//! The key is made from the resource's id: subscription, type and id in lower case, and the location
//! without spaces. The state is the resource as Resource Manager has it, without the envelope and
//! without what changes by itself (`data/azure-volatile.json`); its `location` is spelled as the key's
//! region is.

mod changes;
pub(crate) mod resources;
pub(crate) mod template;

use std::sync::LazyLock;

use deployforge_model::{Dialect, Observation, Presence, ResourceKey, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{self, Members, write_string};
use crate::prune::Prune;
use crate::refusal::{Refusal, check_key};
use crate::sink::{Note, Sink};

#[derive(Debug, Default, Deserialize)]
struct Volatile {
    paths: Vec<String>,
}

static VOLATILE: LazyLock<Prune> = LazyLock::new(|| {
    let table: Volatile =
        serde_json::from_str(include_str!("../../data/azure-volatile.json")).unwrap_or_default();
    Prune::new(table.paths.iter().map(String::as_str))
});

/// Members beside the properties that Resource Graph has for every resource, empty where it has none.
const ENVELOPE: [&str; 8] =
    ["plan", "sku", "kind", "managedBy", "identity", "zones", "extendedLocation", "tags"];

/// What an id tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    /// Subscription, or empty.
    pub(crate) subscription: String,
    /// Type, in lower case, or empty.
    pub(crate) resource_type: String,
}

/// Whether a text is the id of a resource.
pub(crate) fn is_id(text: &str) -> bool {
    let head = |prefix: &str| {
        text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    head("/subscriptions/") || head("/providers/")
}

impl Id {
    /// Reads `/subscriptions/…/resourceGroups/…/providers/<namespace>/<type>/<name>`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !is_id(text) {
            return None;
        }
        let lower = text.trim_end_matches('/').to_lowercase();
        let segments: Vec<&str> = lower.split('/').skip(1).collect();
        let after = |name: &str| {
            let at = segments.iter().position(|segment| *segment == name)?;
            segments.get(at + 1).copied()
        };
        let subscription = after("subscriptions").unwrap_or_default().to_owned();
        let last = segments.iter().rposition(|segment| *segment == "providers");
        let resource_type = match last {
            Some(at) => {
                let namespace = segments.iter().skip(at + 1).take(1);
                let types = segments.iter().skip(at + 2).step_by(2);
                namespace.chain(types).copied().collect::<Vec<_>>().join("/")
            }
            None if after("resourcegroups").is_some() => {
                "microsoft.resources/resourcegroups".to_owned()
            }
            None => "microsoft.resources/subscriptions".to_owned(),
        };
        Some(Self { subscription, resource_type })
    }
}

/// `West Europe` and `westeurope` are the same place.
pub(crate) fn location(text: &str) -> String {
    text.replace(' ', "").to_lowercase()
}

/// The type in lower case; groups are spelled in two ways.
pub(crate) fn type_name(text: &str) -> String {
    let lower = text.to_lowercase();
    match lower.as_str() {
        "microsoft.resources/subscriptions/resourcegroups" => {
            "microsoft.resources/resourcegroups".to_owned()
        }
        _ => lower,
    }
}

/// The state of a resource: its members without the envelope and what is volatile.
pub(crate) fn state(members: &Members<'_>) -> Result<Vec<u8>, Refusal> {
    let mut pruned = Vec::with_capacity(1024);
    VOLATILE.write_members(members, &mut pruned)?;
    let raw: &RawValue = serde_json::from_slice(&pruned)?;
    let mut out = Vec::with_capacity(pruned.len());
    out.push(b'{');
    let mut first = true;
    for (name, value) in Members::parse(raw.get())?.iter() {
        let empty = matches!(value.get(), "null" | "\"\"");
        let mark = matches!(name, "etag" | "provisioningState") && value.get().starts_with('"');
        if (empty && ENVELOPE.contains(&name)) || mark {
            continue;
        }
        out.extend_from_slice(if first { b"" } else { b"," });
        first = false;
        write_string(&mut out, name);
        out.push(b':');
        match json::text_of(value) {
            Some(text) if name == "location" => write_string(&mut out, &location(&text)),
            _ => copy(name, value, &mut out)?,
        }
    }
    out.push(b'}');
    Ok(out)
}

/// Copies a value without the marks of parts of resources: the version of a part, which has an id, and how
/// its last change went, which its properties say. Elsewhere these are names that users chose. The
/// recursion is as deep as the text, which is limited.
fn copy(name: &str, value: &RawValue, out: &mut Vec<u8>) -> Result<(), Refusal> {
    if name == "tags" {
        out.extend_from_slice(value.get().as_bytes());
    } else if json::is_object(value) {
        out.push(b'{');
        let mut first = true;
        let members = Members::parse(value.get())?;
        let is_part = members.get("id").and_then(json::text_of).is_some_and(|id| is_id(&id));
        let is_mark = |of: &str, value: &RawValue| {
            let said = is_part && of == "etag" || name == "properties" && of == "provisioningState";
            said && value.get().starts_with('"')
        };
        for (name, value) in members.iter().filter(|(name, value)| !is_mark(name, value)) {
            out.extend_from_slice(if first { b"" } else { b"," });
            first = false;
            write_string(out, name);
            out.push(b':');
            copy(name, value, out)?;
        }
        out.push(b'}');
    } else if json::is_array(value) {
        out.push(b'[');
        for (index, element) in json::elements(value, "array")?.into_iter().enumerate() {
            out.extend_from_slice(if index > 0 { b"," } else { b"" });
            copy("", element, out)?;
        }
        out.push(b']');
    } else {
        out.extend_from_slice(value.get().as_bytes());
    }
    Ok(())
}

/// One resource.
#[derive(Debug)]
pub(crate) struct Resource<'a> {
    /// The id as it was given.
    pub(crate) id: &'a str,
    /// The type, if it is told beside the id.
    pub(crate) resource_type: Option<&'a str>,
    /// Where it is.
    pub(crate) location: Option<&'a str>,
    pub(crate) presence: Presence,
    pub(crate) state: Vec<u8>,
    pub(crate) observed_at: Option<Timestamp>,
}

impl Resource<'_> {
    /// Delivers it.
    pub(crate) fn observe(self, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let wrong = Refusal::Wrong { field: "id", want: "the full id of a resource" };
        let id = Id::parse(self.id).ok_or(wrong)?;
        let resource_type = match self.resource_type.filter(|text| text.contains('/')) {
            Some(text) => type_name(text),
            None => id.resource_type,
        };
        let mut account = id.subscription;
        if account.is_empty() && !resource_type.starts_with("microsoft.management/") {
            account = sink.options.defaults.account.clone().unwrap_or_default();
            sink.note(Note::AccountUnknown, account.is_empty().into());
        }
        let region = self.location.map(location).filter(|region| region != "global");
        let key = ResourceKey::new(
            "azure",
            &account,
            &region.unwrap_or_default(),
            &resource_type,
            self.id.trim_end_matches('/'),
        );
        check_key(&key)?;
        sink.tally.loose += 1;
        sink.observe(Observation {
            observed_at: self.observed_at,
            presence: self.presence,
            ..Observation::of(
                key,
                Dialect::Azure,
                if self.presence == Presence::Present { self.state } else { Vec::new() },
                sink.position,
            )
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_subscription_and_type() {
        for (id, subscription, resource_type) in [
            (
                "/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/V/extensions/E/",
                "s",
                "microsoft.compute/virtualmachines/extensions",
            ),
            ("/subscriptions/S/resourcegroups/G", "s", "microsoft.resources/resourcegroups"),
            ("/subscriptions/S", "s", "microsoft.resources/subscriptions"),
            (
                "/providers/Microsoft.Management/managementGroups/M",
                "",
                "microsoft.management/managementgroups",
            ),
            (
                "/subscriptions/s/resourceGroups/g/providers/A.B/c/d/providers/Microsoft.Authorization/locks/l",
                "s",
                "microsoft.authorization/locks",
            ),
        ] {
            let want = Id {
                subscription: subscription.to_owned(),
                resource_type: resource_type.to_owned(),
            };
            assert_eq!(Id::parse(id), Some(want), "{id}");
        }
        assert_eq!(Id::parse("https://x/subscriptions/s"), None);
        assert_eq!(location("South Central US"), "southcentralus");
    }

    #[test]
    fn states_have_no_envelope_and_no_marks() {
        let text = r#"{"id":"/x","name":"n","type":"a/b","location":"West US","etag":"e","plan":null,"kind":"","tags":{"etag":"mine"},
            "tenantId":"t","properties":{"provisioningState":"Succeeded","n":1.50,"subnets":[{"id":"/subscriptions/s/x","etag":"W/x","properties":{"provisioningState":"Updating"}}],
            "definition":{"actions":{"etag":"mine","provisioningState":"mine"}}}}"#;
        let state = state(&Members::parse(text).unwrap()).unwrap();
        assert_eq!(
            String::from_utf8(state).unwrap(),
            r#"{"location":"westus","tags":{"etag":"mine"},"properties":{"n":1.50,"subnets":[{"id":"/subscriptions/s/x","properties":{}}],"definition":{"actions":{"etag":"mine","provisioningState":"mine"}}}}"#
        );
    }

    #[test]
    fn the_table_parses() {
        assert!(!VOLATILE.is_empty());
    }
}
