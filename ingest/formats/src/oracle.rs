//! Replies of Oracle's APIs: one observation per resource, known by its OCID.
//!
//! An OCID names the kind of what it identifies (`ocid1.instance.oc1.iad.…`), so a reply needs no other
//! name: a resource is an object whose `id` is an OCID of a kind that is known, by itself, in a list, or
//! under `data`, as the SDKs and the command line wrap replies. Search results hold summaries under
//! other names, and are counted.

use std::sync::LazyLock;

use deployforge_model::{Dialect, Observation, Presence, RejectCode, ResourceKey};
use serde_json::value::RawValue;

use crate::json::{self, Members};
use crate::refusal::{Refusal, check_key};
use crate::sink::{Note, Sink};

/// Kinds of OCIDs, and the types they are of.
static TYPES: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../data/oracle-types.json"))
        .expect("the types parse, see the test")
});

/// The kind and the region that an OCID names.
fn parts(id: &str) -> Option<(&str, &str)> {
    let mut parts = id.strip_prefix("ocid1.")?.split('.');
    let kind = parts.next()?;
    let (_realm, region) = (parts.next()?, parts.next().unwrap_or_default());
    Some((kind, region))
}

/// The type of what an id names.
fn type_of(id: &str) -> Option<&'static str> {
    let (kind, _) = parts(id)?;
    TYPES.iter().find(|(name, _)| name == kind).map(|(_, of)| of.as_str())
}

fn is_resource(members: &Members<'_>) -> bool {
    members.peek("id").is_some_and(|id| parts(&id).is_some())
}

/// Whether this is a resource, or wraps resources.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    if is_resource(members) {
        return true;
    }
    let Some(data) = members.get("data") else { return false };
    let first = if json::is_array(data) {
        json::elements(data, "data").ok().and_then(|items| items.first().copied())
    } else {
        Some(data)
    };
    first.filter(|raw| json::is_object(raw)).is_some_and(|raw| {
        Members::parse(raw.get()).is_ok_and(|members| {
            is_resource(&members)
                || members.get("items").is_some_and(json::is_array)
                || members.peek("identifier").is_some_and(|id| parts(&id).is_some())
        })
    })
}

/// Reads a resource, or what wraps resources.
pub(crate) fn read(members: &Members<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    sink.tally.loose += 1;
    if is_resource(members) {
        return resource(members, text, sink);
    }
    let Some(data) = members.get("data") else {
        return Err(Refusal::Missing { field: "data", what: "the reply" });
    };
    if !json::is_array(data) {
        return one(data, sink);
    }
    let items = json::elements(data, "data")?;
    sink.note(Note::EmptyList, items.is_empty().into());
    for item in items {
        if let Err(refusal) = one(item, sink) {
            sink.refuse(&refusal, item.get().as_bytes());
        }
    }
    Ok(())
}

fn one(raw: &RawValue, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let members = Members::of(raw, "data")?;
    if is_resource(&members) {
        return resource(&members, raw.get(), sink);
    }
    // Summaries say that something exists, under a name of the search's own.
    sink.note(Note::StateElsewhere, 1);
    Ok(())
}

fn resource(members: &Members<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    members.unique("the resource")?;
    let id = members.need_text("id", "the resource")?;
    let Some(resource_type) = type_of(&id) else {
        let reason = "This is a resource of a kind that is not known; the documentation lists those that are read.";
        return Err(Refusal::new(RejectCode::Unsupported, reason));
    };
    let defaults = &sink.options.defaults;
    let account = members.peek("compartmentId").map(std::borrow::Cow::into_owned);
    let account = account.or_else(|| defaults.account.clone()).unwrap_or_default();
    let named = parts(&id).map(|(_, region)| region).filter(|region| !region.is_empty());
    let region = named.map(str::to_owned).or_else(|| defaults.region.clone()).unwrap_or_default();
    sink.note(Note::AccountUnknown, account.is_empty().into());
    let key = ResourceKey::new("oci", &account, &region, resource_type, &id);
    check_key(&key)?;
    sink.observe(Observation {
        presence: match members.peek("lifecycleState").as_deref() {
            Some("TERMINATED" | "DELETED") => Presence::Deleted,
            _ => Presence::Present,
        },
        ..Observation::of(
            key,
            Dialect::Oracle,
            match members.peek("lifecycleState").as_deref() {
                Some("TERMINATED" | "DELETED") => Vec::new(),
                _ => text.as_bytes().to_vec(),
            },
            sink.position,
        )
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_kind_and_region() {
        assert_eq!(type_of("ocid1.instance.oc1.iad.abc"), Some("oci/core/Instance"));
        assert_eq!(parts("ocid1.vcn.oc1.iad.abc"), Some(("vcn", "iad")));
        assert_eq!(parts("ocid1.group.oc1..abc"), Some(("group", "")));
        assert_eq!(type_of("ocid1.nothing.oc1..abc"), None);
        assert_eq!(parts("i-0abc"), None);
    }
}
