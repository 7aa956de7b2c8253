//! The native observation: DeployForge's own format, one JSON object a record.
//!
//! `provider`, `type` and `id` make the key, with `account` and `region`; `attributes` is the state.
//! `tags` and `relationships` that hold something stand in the state under their names. A record of
//! the form `{"sweep":"start"|"end", …}` frames a complete listing. Members that are not known are
//! left alone, so that producers can be newer than this reader.

use deployforge_model::{Dialect, Observation, Presence, ResourceKey, Scope, Sweep, Timestamp};
use serde_json::value::RawValue;

use crate::json::{self, Members, ObjectWriter};
use crate::options::Format;
use crate::refusal::{KEY_BYTES, Refusal, check_key};
use crate::sink::Sink;

const WHAT: &str = "the observation";

/// Whether this is a native record, or an attempt at one.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    is_sweep(members)
        || members.has("attributes")
        || (members.has("provider") && (members.has("type") || members.has("id")))
        || (members.has("type") && members.has("id") && members.has("deleted"))
}

/// Whether this can be nothing else: the usual case, told at little cost.
pub(crate) fn is_plain(members: &Members<'_>) -> bool {
    ["attributes", "provider", "type", "id"].iter().all(|name| members.has(name))
}

fn is_sweep(members: &Members<'_>) -> bool {
    !members.has("type")
        && !members.has("attributes")
        && members.peek("sweep").is_some_and(|frame| matches!(&*frame, "start" | "end"))
}

/// Reads an observation or a frame of a sweep; `time` stands in where the record has none.
pub(crate) fn read(
    members: &Members<'_>,
    time: Option<Timestamp>,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    members.unique(WHAT)?;
    sink.saw(Format::Native);
    if is_sweep(members) {
        let sweep = read_sweep(members)?;
        sink.tally.loose += 1;
        sink.sweep(sweep);
        return Ok(());
    }
    let observation = read_observation(members, time, sink)?;
    sink.tally.loose += 1;
    sink.observe(observation);
    Ok(())
}

fn read_sweep(members: &Members<'_>) -> Result<Sweep, Refusal> {
    let id = members.need_text("id", "the frame of the sweep")?.into_owned();
    if members.peek("sweep").as_deref() == Some("end") {
        return Ok(Sweep::End { id });
    }
    let wrong = Refusal::Wrong {
        field: "scope",
        want: "an object of `provider`, `account`, `region` and `type`, each a string",
    };
    let scope = match members.get("scope") {
        None => Scope::default(),
        Some(raw) => {
            Members::of(raw, "scope")?.unique("the scope")?;
            serde_json::from_str(raw.get()).map_err(|_| wrong)?
        }
    };
    Ok(Sweep::Start { id, scope })
}

fn read_observation(
    members: &Members<'_>,
    time: Option<Timestamp>,
    sink: &Sink<'_>,
) -> Result<Observation, Refusal> {
    let defaults = &sink.options.defaults;
    let resource_type = members.need_text("type", WHAT)?;
    let id = members.need_text("id", WHAT)?;
    let provider = match (members.text("provider")?, &defaults.provider) {
        (Some(provider), _) if !provider.is_empty() => provider.into_owned(),
        (_, Some(provider)) => provider.clone(),
        _ => return Err(Refusal::Missing { field: "provider", what: WHAT }),
    };
    let part = |name, default: &Option<String>| -> Result<String, Refusal> {
        let given = members.text(name)?.map(std::borrow::Cow::into_owned);
        Ok(given.or_else(|| default.clone()).unwrap_or_default())
    };
    let account = part("account", &defaults.account)?;
    let region = part("region", &defaults.region)?;
    let observed_at = match members.text("observed_at")? {
        None => time,
        Some(text) => Some(Timestamp::parse(&text).map_err(|_| Refusal::Wrong {
            field: "observed_at",
            want: "an RFC 3339 time such as 2026-11-20T10:00:00Z",
        })?),
    };
    let deleted = members.flag("deleted")?.unwrap_or(false);
    let key = ResourceKey::new(&provider, &account, &region, &resource_type, &id);
    check_key(&key)?;
    let address = members.text("address")?.map(std::borrow::Cow::into_owned);
    if address.as_ref().is_some_and(|address| address.len() > KEY_BYTES) {
        return Err(Refusal::Wrong { field: "address", want: "at most 4096 bytes" });
    }
    // A column holds no more than `i64` does.
    let want = "a whole number from 0 to 9223372036854775807";
    let wrong = Refusal::Wrong { field: "version", want };
    let version = match members.unsigned("version") {
        Ok(version) if version.is_none_or(|version| i64::try_from(version).is_ok()) => version,
        _ => return Err(wrong),
    };
    Ok(Observation {
        address,
        aliases: read_aliases(members)?,
        observed_at,
        version,
        presence: if deleted { Presence::Deleted } else { Presence::Present },
        sweep: members.text("sweep")?.map(std::borrow::Cow::into_owned),
        ..Observation::of(
            key,
            Dialect::Native,
            if deleted { Vec::new() } else { read_state(members)? },
            sink.position,
        )
    })
}

fn read_aliases(members: &Members<'_>) -> Result<Vec<String>, Refusal> {
    let wrong = Refusal::Wrong { field: "aliases", want: "a JSON array of strings" };
    members
        .array("aliases")?
        .unwrap_or_default()
        .into_iter()
        .map(|raw| json::text_of(raw).map(String::from).ok_or_else(|| wrong.clone()))
        .collect()
}

/// The state slice: the attributes, with tags and relationships beside them.
fn read_state(members: &Members<'_>) -> Result<Vec<u8>, Refusal> {
    let attributes = members.get("attributes").ok_or(Refusal::Missing {
        field: "attributes",
        what: "an observation that isn't deleted",
    })?;
    if !json::is_object(attributes) {
        return Err(Refusal::Wrong { field: "attributes", want: "a JSON object" });
    }
    let tags = filled(members, "tags", json::is_object, "a JSON object")?;
    let relationships = filled(members, "relationships", json::is_array, "a JSON array")?;
    if tags.is_none() && relationships.is_none() {
        return Ok(attributes.get().as_bytes().to_vec());
    }
    let own = Members::parse(attributes.get())?;
    let size = attributes.get().len()
        + tags.map_or(0, |raw| raw.get().len())
        + relationships.map_or(0, |raw| raw.get().len());
    let mut state = ObjectWriter::with_capacity(size + 32);
    state.members(json::inside(attributes));
    for (name, value) in [("tags", tags), ("relationships", relationships)] {
        let Some(value) = value else { continue };
        if own.has(name) {
            let want = "given once: it stands beside `attributes` and inside them";
            return Err(Refusal::Wrong { field: name, want });
        }
        state.member(name, value.get().as_bytes());
    }
    Ok(state.finish())
}

/// A member of the right kind that isn't empty.
fn filled<'a>(
    members: &Members<'a>,
    field: &'static str,
    right: fn(&RawValue) -> bool,
    want: &'static str,
) -> Result<Option<&'a RawValue>, Refusal> {
    match members.get(field) {
        Some(raw) if !right(raw) => Err(Refusal::Wrong { field, want }),
        other => Ok(other.filter(|raw| !json::is_empty(raw))),
    }
}
