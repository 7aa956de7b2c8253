//! Google Cloud: Cloud Asset Inventory, the replies of Google's own APIs, and the topics they travel
//! through.
//!
//! An asset and a reply about the same resource make the same key: the id is the asset's full name
//! (`//compute.googleapis.com/projects/p/zones/z/instances/i`), the type the asset's type. A reply's
//! full name is made from its link or its relative name ([`names`]). The state is the resource as the
//! API has it, without what changes by itself (`data/google-volatile.json`).

pub(crate) mod api;
pub(crate) mod assets;
mod names;
pub(crate) mod pubsub;

use std::collections::HashMap;
use std::sync::LazyLock;

use deployforge_model::{Dialect, Observation, Presence, ResourceKey, Timestamp};
use serde_json::value::RawValue;

use crate::json::{self, Members, write_string};
use crate::prune::Prune;
use crate::refusal::{Refusal, check_key};
use crate::sink::{Note, Sink};

/// What to leave out of states, by service.
static VOLATILE: LazyLock<HashMap<String, Prune>> = LazyLock::new(|| {
    let table: HashMap<String, serde_json::Value> =
        serde_json::from_str(include_str!("../../data/google-volatile.json")).unwrap_or_default();
    let services: HashMap<String, Vec<String>> = table
        .get("services")
        .cloned()
        .and_then(|value| serde_json::from_value(value).ok())
        .unwrap_or_default();
    let any = services.get("*").cloned().unwrap_or_default();
    services
        .iter()
        .map(|(service, own)| {
            let paths = any.iter().chain(own).map(String::as_str);
            (service.clone(), Prune::new(paths))
        })
        .collect()
});

/// The state of a resource of this type: its members without what is volatile, and without the tags
/// that name the API's own types (`"kind":"compute#instance"`).
fn state(resource_type: &str, members: &Members<'_>) -> Result<Vec<u8>, Refusal> {
    let service = resource_type.split('/').next().unwrap_or_default();
    let mut out = Vec::with_capacity(1024);
    match VOLATILE.get(service).or_else(|| VOLATILE.get("*")) {
        Some(prune) => prune.write_members(members, &mut out)?,
        None => Prune::default().write_members(members, &mut out)?,
    }
    if memchr::memmem::find(&out, b"\"kind\"").is_none() {
        return Ok(out);
    }
    let raw: &RawValue = serde_json::from_slice(&out)?;
    let mut without = Vec::with_capacity(out.len());
    copy_without_kinds(raw, &mut without)?;
    Ok(without)
}

/// Members whose keys are chosen by users.
const MAPS: [&str; 4] = ["labels", "annotations", "resourceLabels", "userLabels"];

/// The recursion is as deep as the text, which is limited.
fn copy_without_kinds(raw: &RawValue, out: &mut Vec<u8>) -> Result<(), Refusal> {
    if json::is_object(raw) {
        out.push(b'{');
        let mut first = true;
        for (name, value) in Members::parse(raw.get())?.iter() {
            if name == "kind" && json::text_of(value).is_some_and(|kind| is_kind(&kind)) {
                continue;
            }
            out.extend_from_slice(if first { b"" } else { b"," });
            first = false;
            write_string(out, name);
            out.push(b':');
            if MAPS.contains(&name) {
                out.extend_from_slice(value.get().as_bytes());
            } else {
                copy_without_kinds(value, out)?;
            }
        }
        out.push(b'}');
    } else if json::is_array(raw) {
        out.push(b'[');
        for (index, element) in json::elements(raw, "array")?.into_iter().enumerate() {
            out.extend_from_slice(if index > 0 { b"," } else { b"" });
            copy_without_kinds(element, out)?;
        }
        out.push(b']');
    } else {
        out.extend_from_slice(raw.get().as_bytes());
    }
    Ok(())
}

/// Whether a text is the API's name of a type: `compute#instance`.
fn is_kind(text: &str) -> bool {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    text.split_once('#').is_some_and(|(api, noun)| word(api) && word(noun))
}

/// One resource, or one part of what is known of it.
#[derive(Debug)]
struct Resource<'a> {
    /// Full name.
    name: &'a str,
    /// Type of the asset, with the part's name if it is one: `…/Bucket/iamPolicy`.
    resource_type: &'a str,
    /// The resource itself, from which places are taken that the name lacks.
    data: Option<&'a Members<'a>>,
    /// Where the envelope says that it is.
    location: Option<&'a str>,
    /// The project, as the envelope tells it.
    project: Option<String>,
    presence: Presence,
    state: Vec<u8>,
    observed_at: Option<Timestamp>,
    /// What the id has beyond the name.
    suffix: &'a str,
    aliases: Vec<String>,
}

impl Resource<'_> {
    /// Delivers it.
    fn observe(self, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let account = self.account(sink);
        let region = region(self.name, self.location, self.data);
        let id = format!("{}{}", self.name, self.suffix);
        let key = ResourceKey::new("google", &account, &region, self.resource_type, &id);
        check_key(&key)?;
        let mut aliases = self.aliases;
        for field in ["selfLink", "selfLinkWithId"] {
            let link = self.data.and_then(|data| data.peek(field)).filter(|link| is_link(link));
            aliases.extend(link.map(String::from));
        }
        if self.suffix.is_empty() {
            aliases.extend(relative_name(self.name).map(str::to_owned));
        }
        aliases.retain(|alias| *alias != key.id);
        aliases.dedup();
        sink.tally.loose += 1;
        sink.observe(Observation {
            aliases,
            observed_at: self.observed_at,
            presence: self.presence,
            ..Observation::of(
                key,
                Dialect::Google,
                if self.presence == Presence::Present { self.state } else { Vec::new() },
                sink.position,
            )
        });
        Ok(())
    }

    /// The project's id or number. What belongs to an organisation or a folder has none.
    fn account(&self, sink: &mut Sink<'_>) -> String {
        let of_data = || {
            let data = self.data?;
            ["projectNumber", "projectId"].iter().find_map(|field| word(data, field))
        };
        let found = project(self.name).map(str::to_owned).or_else(|| self.project.clone());
        if let Some(found) = found {
            return found;
        }
        let above = ["/organizations/", "/folders/", "/accessPolicies/", "/billingAccounts/"];
        if above.iter().any(|part| self.name.contains(part)) {
            return String::new();
        }
        let found = of_data().or_else(|| sink.options.defaults.account.clone()).unwrap_or_default();
        sink.note(Note::AccountUnknown, found.is_empty().into());
        found
    }
}

/// A member that is text, or a number taken as its text.
fn word(members: &Members<'_>, name: &str) -> Option<String> {
    let raw = members.get(name)?;
    match json::text_of(raw) {
        Some(text) => (!text.is_empty()).then(|| text.into_owned()),
        None => json::is_number(raw).then(|| raw.get().to_owned()),
    }
}

fn is_link(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// The segment after `name` in a path.
fn after<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let mut segments = path.split('/');
    segments.find(|segment| *segment == name)?;
    segments.next().filter(|segment| !segment.is_empty())
}

/// The project in a name.
pub(crate) fn project(name: &str) -> Option<&str> {
    let found = after(name, "projects").or_else(|| {
        name.starts_with("//appengine.googleapis.com/").then(|| after(name, "apps"))?
    })?;
    // Storage writes its buckets' project as `_`.
    (found != "_").then_some(found)
}

/// The region: from the name, else from where the envelope or the resource says that it is. What is
/// global has none.
fn region(name: &str, location: Option<&str>, data: Option<&Members<'_>>) -> String {
    let place = ["zones", "regions", "locations"].iter().find_map(|part| after(name, part));
    if let Some(place) = place {
        return region_of(place);
    }
    if name.split('/').any(|segment| segment == "global") {
        return String::new();
    }
    let of_data = || {
        let data = data?;
        ["location", "zone", "region", "locationId"].iter().find_map(|field| word(data, field))
    };
    let place = location.filter(|text| !text.is_empty()).map(str::to_owned).or_else(of_data);
    place.map_or_else(String::new, |place| region_of(place.rsplit('/').next().unwrap_or_default()))
}

/// The full name of what a service calls by a relative name; `None` where it is no such name.
pub(crate) fn full_name(service: &str, name: &str) -> Option<String> {
    let path = name.trim_start_matches('/');
    let known = service.ends_with(".googleapis.com");
    (known && names::is_relative(path)).then(|| names::full(service, path))
}

/// A full name without its service, as Terraform's ids have it.
fn relative_name(full: &str) -> Option<&str> {
    let (_, name) = full.strip_prefix("//")?.split_once('/')?;
    (!name.is_empty()).then_some(name)
}

/// The relative name that a link ends with: what follows the version of the service.
pub(crate) fn name_of_link(link: &str) -> Option<String> {
    names::Call::of_link(link).map(|call| call.path).filter(|path| !path.is_empty())
}

/// The region of a place: of a zone, its region; of what is everywhere, none.
pub(crate) fn region_of(place: &str) -> String {
    let place = place.to_ascii_lowercase();
    if matches!(place.as_str(), "global" | "-") {
        return String::new();
    }
    match place.rsplit_once('-') {
        Some((region, zone))
            if zone.len() == 1
                && zone.bytes().all(|byte| byte.is_ascii_lowercase())
                && region.ends_with(|c: char| c.is_ascii_digit()) =>
        {
            region.to_owned()
        }
        _ => place,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_from_the_name_first() {
        let data = Members::parse(
            r#"{"location":"US-EAST4","zone":"https://x/zones/europe-west1-b","projectNumber":"7"}"#,
        )
        .unwrap();
        for (name, location, region_, project_) in [
            (
                "//compute.googleapis.com/projects/p/zones/us-central1-a/instances/i",
                None,
                "us-central1",
                Some("p"),
            ),
            ("//compute.googleapis.com/projects/p/global/networks/n", Some("us"), "", Some("p")),
            (
                "//container.googleapis.com/projects/p/locations/us-west1-b/clusters/c",
                None,
                "us-west1",
                Some("p"),
            ),
            (
                "//cloudkms.googleapis.com/projects/p/locations/global/keyRings/k",
                None,
                "",
                Some("p"),
            ),
            ("//storage.googleapis.com/b", Some("US"), "us", None),
            ("//storage.googleapis.com/b", None, "us-east4", None),
            ("//appengine.googleapis.com/apps/p/services/s", Some("global"), "", Some("p")),
            (
                "//x.googleapis.com/projects/p/locations/us-central1a/x/y",
                None,
                "us-central1a",
                Some("p"),
            ),
        ] {
            assert_eq!(region(name, location, Some(&data)), region_, "{name}");
            assert_eq!(project(name), project_, "{name}");
        }
    }

    #[test]
    fn kinds_go_and_labels_stay() {
        let text = r#"{"kind":"compute#instance","etag":"e","n":1.0,"disks":[{"kind":"compute#attachedDisk","boot":true}],
            "labels":{"kind":"a#b","etag":"mine"},"spec":{"kind":"Service"},"tags":{"fingerprint":"f","items":[]}}"#;
        let members = Members::parse(text).unwrap();
        let state = state("compute.googleapis.com/Instance", &members).unwrap();
        assert_eq!(
            String::from_utf8(state).unwrap(),
            r#"{"n":1.0,"disks":[{"boot":true}],"labels":{"kind":"a#b","etag":"mine"},"spec":{"kind":"Service"},"tags":{"items":[]}}"#
        );
    }

    #[test]
    fn the_table_parses() {
        assert!(VOLATILE.len() > 5 && VOLATILE.contains_key("*"));
    }
}
