//! One configuration item, in both of its spellings, as one observation.
//!
//! The state slice has at most four members, in this order: `configuration`,
//! `supplementaryConfiguration`, `tags`, `relationships`. Everything else in an item says when and
//! how it was recorded (capture time, state id, hashes, related events) or repeats the key
//! (`resourceName`, `availabilityZone`, `resourceCreationTime` stand in the configuration of the
//! types that have them). Members that the item lacks are left out, and empty ones are kept.
//!
//! The API writes `configuration` and the values of `supplementaryConfiguration` as JSON text, the
//! files on S3 as JSON: both become JSON here, so that both give the same state. Likewise
//! `relationshipName` becomes `name`.

use std::borrow::Cow;

use deployforge_model::{Dialect, Observation, Presence, RejectCode, ResourceKey};
use serde_json::value::RawValue;

use super::time;
use crate::arn::Arn;
use crate::json::{self, Members, ObjectWriter};
use crate::refusal::{Refusal, check_key};
use crate::sink::{Note, Sink};

const WHAT: &str = "the item";

/// Whether this is a bare item.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    members.has("resourceType")
        && (members.has("configuration") || members.has("configurationItemStatus"))
}

/// Reads one item.
pub(crate) fn read(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<Observation, Refusal> {
    let presence = presence(members)?;
    let observed_at = members
        .get("configurationItemCaptureTime")
        .map(|raw| {
            time::read(raw).ok_or(Refusal::Wrong {
                field: "configurationItemCaptureTime",
                want: "an RFC 3339 time or seconds since the epoch",
            })
        })
        .transpose()?;
    let state = match presence {
        Presence::Deleted => Vec::new(),
        _ => state(members, sink.options.limits.depth)?,
    };
    let (key, aliases) = key(members, sink)?;
    Ok(Observation {
        aliases,
        observed_at,
        version: version(members),
        presence,
        ..Observation::of(key, Dialect::AwsConfig, state, sink.position)
    })
}

fn presence(members: &Members<'_>) -> Result<Presence, Refusal> {
    match members.text("configurationItemStatus")?.as_deref() {
        None | Some("OK" | "ResourceDiscovered") => Ok(Presence::Present),
        Some("ResourceDeleted" | "ResourceDeletedNotRecorded") => Ok(Presence::Deleted),
        Some("ResourceNotRecorded") => Err(Refusal::new(
            RejectCode::Unsupported,
            "The recorder does not record this resource, so the item says nothing of its state; \
             add the type to the recorder.",
        )),
        Some(_) => Err(Refusal::Wrong {
            field: "configurationItemStatus",
            want: "OK, ResourceDiscovered, ResourceNotRecorded, ResourceDeleted or \
                   ResourceDeletedNotRecorded",
        }),
    }
}

/// The state id is a count of milliseconds, as a number or as text. The oldest items have a UUID
/// there, which orders nothing.
fn version(members: &Members<'_>) -> Option<u64> {
    let raw = ["configurationStateId", "configurationStateID"]
        .into_iter()
        .find_map(|name| members.get(name))?;
    match json::text_of(raw) {
        Some(text) => text.parse().ok(),
        None => raw.get().parse().ok(),
    }
}

fn key(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<(ResourceKey, Vec<String>), Refusal> {
    let either = |one, other| -> Result<Option<Cow<'_, str>>, Refusal> {
        Ok(members.text(one)?.or(members.text(other)?).filter(|text| !text.is_empty()))
    };
    let resource_type = members.need_text("resourceType", WHAT)?;
    let arn = either("ARN", "arn")?;
    let name = members.text("resourceName")?.filter(|name| !name.is_empty());
    let id = members.text("resourceId")?.filter(|id| !id.is_empty());
    let Some(id) = id.or_else(|| name.clone()).or_else(|| arn.clone()) else {
        return Err(Refusal::Missing { field: "resourceId", what: WHAT });
    };
    let parsed = arn.as_deref().and_then(Arn::parse);
    let defaults = &sink.options.defaults;
    let from_arn = parsed.map(|arn| arn.account).filter(|account| !account.is_empty());
    let account = match either("awsAccountId", "accountId")? {
        Some(account) => account.into_owned(),
        None => from_arn.or(defaults.account.as_deref()).unwrap_or_default().to_owned(),
    };
    let region_of_arn = parsed.map(|arn| arn.region).filter(|region| !region.is_empty());
    let region = match members.text("awsRegion")?.filter(|region| !region.is_empty()) {
        Some(region) => region.into_owned(),
        None if parsed.is_some_and(Arn::is_global) => String::new(),
        None => region_of_arn.or(defaults.region.as_deref()).unwrap_or_default().to_owned(),
    };
    if account.is_empty() {
        sink.note(Note::AccountUnknown, 1);
    }
    if region.is_empty() && !parsed.is_some_and(Arn::is_global) {
        sink.note(Note::RegionUnknown, 1);
    }
    let key = ResourceKey::new("aws", &account, &region, &resource_type, &id);
    check_key(&key)?;
    let mut aliases: Vec<String> = Vec::new();
    for alias in [arn, name].into_iter().flatten() {
        if *alias != key.id && !aliases.iter().any(|have| *have == *alias) {
            aliases.push(alias.into_owned());
        }
    }
    Ok((key, aliases))
}

/// The state slice.
fn state(members: &Members<'_>, depth: usize) -> Result<Vec<u8>, Refusal> {
    let Some(configuration) = members.raw("configuration") else {
        return Err(Refusal::Missing { field: "configuration", what: WHAT });
    };
    let names = ["configuration", "supplementaryConfiguration", "tags", "relationships"];
    let size: usize =
        names.iter().filter_map(|name| members.raw(name)).map(|raw| raw.get().len() + 32).sum();
    let mut state = ObjectWriter::with_capacity(size);
    // Only the API writes the configuration as text; there every supplementary value is text too.
    let as_text = json::text_of(configuration);
    match &as_text {
        Some(text) => {
            let raw = json::nested(text, depth).map_err(|refusal| match refusal {
                Refusal::TooDeep { .. } => refusal,
                _ => Refusal::Wrong {
                    field: "configuration",
                    want: "a JSON object, or JSON text of one",
                },
            })?;
            state.member("configuration", raw.get().as_bytes());
        }
        None => state.member("configuration", configuration.get().as_bytes()),
    }
    if let Some(raw) = members.raw("supplementaryConfiguration") {
        let value = supplementary(raw, as_text.is_some(), depth)?;
        state.member("supplementaryConfiguration", &value);
    }
    if let Some(tags) = members.raw("tags") {
        state.member("tags", tags.get().as_bytes());
    }
    if let Some(raw) = members.raw("relationships") {
        let value = relationships(raw)?;
        state.member("relationships", &value);
    }
    Ok(state.finish())
}

/// Supplementary values with JSON text opened: any JSON where the API wrote it, objects and arrays
/// where they stand as text in a file.
fn supplementary(raw: &RawValue, of_api: bool, depth: usize) -> Result<Vec<u8>, Refusal> {
    if !json::is_object(raw) || json::is_empty(raw) {
        return Ok(raw.get().as_bytes().to_vec());
    }
    let members = Members::parse(raw.get())?;
    members.unique("the supplementary configuration")?;
    let mut object = ObjectWriter::with_capacity(raw.get().len());
    for (name, value) in members.iter() {
        let opened = json::text_of(value).and_then(|text| opened(&text, of_api, depth));
        object.member(name, opened.as_deref().unwrap_or(value.get()).as_bytes());
    }
    Ok(object.finish())
}

/// JSON text, opened. The API's values are text once more than the file's, so a string that holds
/// text of an object is opened again.
fn opened(text: &str, of_api: bool, depth: usize) -> Option<String> {
    let bracket = |text: &str| text.trim_start().starts_with(['{', '[']);
    if !of_api && !bracket(text) {
        return None;
    }
    let raw = json::nested(text, depth).ok()?;
    match json::text_of(raw) {
        Some(inner) if bracket(&inner) => {
            Some(json::nested(&inner, depth).unwrap_or(raw).get().to_owned())
        }
        _ => Some(raw.get().to_owned()),
    }
}

/// Relationships with the API's `relationshipName` spelled `name`.
fn relationships(raw: &RawValue) -> Result<Vec<u8>, Refusal> {
    if !raw.get().contains("\"relationshipName\"") || !json::is_array(raw) {
        return Ok(raw.get().as_bytes().to_vec());
    }
    let mut list = vec![b'['];
    for (at, element) in json::elements(raw, "relationships")?.into_iter().enumerate() {
        if at > 0 {
            list.push(b',');
        }
        let members = Members::of(element, "relationships")?;
        let mut object = ObjectWriter::with_capacity(element.get().len());
        for (name, value) in members.iter() {
            let name = if name == "relationshipName" { "name" } else { name };
            object.member(name, value.get().as_bytes());
        }
        list.extend(object.finish());
    }
    list.push(b']');
    Ok(list)
}
