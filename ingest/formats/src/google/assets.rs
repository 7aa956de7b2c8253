//! Cloud Asset Inventory: exports, lists, history, and feeds.
//!
//! An asset comes in parts: the resource itself, and its policies, inventory and relationships, each
//! with a listing or a feed of its own. Every part is an observation of its own type
//! (`…/Bucket`, `…/Bucket/iamPolicy`), so that a message about one part never says that another is
//! gone. The wrapper is spelled in camel or in snake case; the resource within is always as its API
//! has it, and of the other parts the members are brought into camel case.
//!
//! A message of a real-time feed holds the asset and what it was before: the second is the declared
//! side.

use std::borrow::Cow;

use deployforge_model::{Presence, RejectCode, Timestamp};
use serde_json::value::RawValue;

use super::{Resource, pubsub, state};
use crate::json::{self, Members, ObjectWriter, write_string};
use crate::options::Side;
use crate::refusal::Refusal;
use crate::sink::{Note, Sink};

const WHAT: &str = "the asset";

/// The parts beside the resource: both spellings of the member, and the part's name in the type.
const PARTS: [(&str, &str, &str); 8] = [
    ("iamPolicy", "iam_policy", "iamPolicy"),
    ("orgPolicy", "org_policy", "orgPolicy"),
    ("accessPolicy", "access_policy", "accessPolicy"),
    ("accessLevel", "access_level", "accessPolicy"),
    ("servicePerimeter", "service_perimeter", "accessPolicy"),
    ("osInventory", "os_inventory", "osInventory"),
    ("relatedAsset", "related_asset", "relationship"),
    ("relatedAssets", "related_assets", "relationship"),
];

const UNREAD: Note = Note::Counted(
    "asset listed without its content is unreadable",
    "assets listed without their content are unreadable",
);
const EXCEPTIONS: Note = Note::Counted(
    "asset came with exceptions and is unreadable",
    "assets came with exceptions and are unreadable",
);
const NEW: Note = Note::Counted(
    "asset did not exist before and is not declared",
    "assets did not exist before and are not declared",
);

/// A member in either spelling.
fn either<'a>(members: &Members<'a>, camel: &str, snake: &str) -> Option<&'a RawValue> {
    members.get(camel).or_else(|| members.get(snake))
}

fn either_text<'a>(members: &Members<'a>, camel: &str, snake: &str) -> Option<Cow<'a, str>> {
    either(members, camel, snake).and_then(json::text_of)
}

fn is_asset(members: &Members<'_>) -> bool {
    either(members, "assetType", "asset_type").is_some() && members.has("name")
}

fn is_temporal(members: &Members<'_>) -> bool {
    let asset = members.get("asset").or_else(|| either(members, "priorAsset", "prior_asset"));
    asset.is_some_and(|asset| {
        json::is_object(asset) && Members::parse(asset.get()).is_ok_and(|asset| is_asset(&asset))
    })
}

/// The assets of a list, a page of a search, or a history.
fn list<'a>(members: &Members<'a>) -> Option<&'a RawValue> {
    let list = ["assets", "results"].iter().find_map(|name| members.get(name))?;
    if !json::is_array(list) {
        return None;
    }
    if json::is_empty(list) {
        return (members.has("readTime") || members.has("read_time")).then_some(list);
    }
    let first = json::elements(list, "assets").ok()?.into_iter().next()?;
    let first = Members::of(first, "assets").ok()?;
    (is_asset(&first) || is_temporal(&first)).then_some(list)
}

/// Whether this is an asset, a list of them, a message of a feed, or a message of a topic.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    is_asset(members)
        || is_temporal(members)
        || list(members).is_some()
        || pubsub::is_transport(members)
}

/// Reads it.
pub(crate) fn read(members: &Members<'_>, _text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    if is_asset(members) {
        return read_asset(members, &Moment::default(), sink);
    }
    if is_temporal(members) {
        return read_temporal(members, sink);
    }
    let Some(list) = list(members) else { return pubsub::read(members, sink) };
    sink.tally.loose += 1;
    let assets = json::elements(list, "assets")?;
    sink.note(Note::EmptyList, assets.is_empty().into());
    for raw in assets {
        let result = Members::of(raw, "assets").and_then(|members| {
            if is_asset(&members) {
                read_asset(&members, &Moment::default(), sink)
            } else {
                read_temporal(&members, sink)
            }
        });
        if let Err(refusal) = result {
            sink.refuse(&refusal, raw.get().as_bytes());
        }
    }
    Ok(())
}

/// What a message says of the asset in it.
#[derive(Clone, Copy, Debug, Default)]
struct Moment {
    /// When the window of the message began.
    from: Option<Timestamp>,
    deleted: bool,
    /// It existed, and as what is not known.
    invalid: bool,
}

/// A message of a feed, or an entry of a history.
fn read_temporal(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    const NAMES: [&str; 8] = [
        "asset",
        "priorAsset",
        "prior_asset",
        "deleted",
        "priorAssetState",
        "prior_asset_state",
        "window",
        "content_type",
    ];
    members.unique_among(&NAMES, "the message")?;
    let window = members.get("window").map(|raw| Members::of(raw, "window")).transpose()?;
    let from = window.and_then(|window| time(&window, "startTime", "start_time"));
    let part = |raw: Option<&'_ RawValue>| raw.is_some_and(json::is_object);
    let asset = members.get("asset").filter(|raw| part(Some(raw)));
    let prior = either(members, "priorAsset", "prior_asset").filter(|raw| part(Some(raw)));
    let before = either_text(members, "priorAssetState", "prior_asset_state").unwrap_or_default();
    if sink.options.side == Side::Declared {
        let moment = Moment { from: None, deleted: false, invalid: before == "INVALID" };
        return match (prior, asset) {
            (Some(prior), _) => read_asset(&Members::parse(prior.get())?, &moment, sink),
            (None, _) if matches!(&*before, "DELETED" | "DOES_NOT_EXIST") => {
                sink.note(NEW, 1);
                Ok(())
            }
            (None, Some(asset)) => read_asset(&Members::parse(asset.get())?, &moment, sink),
            (None, None) => Err(Refusal::Missing { field: "asset", what: "the message" }),
        };
    }
    let deleted = members.flag("deleted")?.unwrap_or(false);
    let asset = asset.or(prior).ok_or(Refusal::Missing { field: "asset", what: "the message" })?;
    let asset = Members::parse(asset.get())?;
    let moment = Moment { from, deleted, invalid: false };
    let prior = prior.map(|prior| Members::parse(prior.get())).transpose()?;
    if let (true, Some(prior)) = (deleted, prior) {
        // What is gone has no place any more; what it was has.
        return read_deleted(&asset, &prior, &moment, sink);
    }
    read_asset(&asset, &moment, sink)
}

/// A deletion, with the asset as it was.
fn read_deleted(
    asset: &Members<'_>,
    prior: &Members<'_>,
    moment: &Moment,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    let own = has_content(asset);
    let content = if own || !is_asset(prior) { asset } else { prior };
    let at = time(asset, "updateTime", "update_time").or(moment.from);
    read_parts(content, moment, at, sink)
}

fn has_content(asset: &Members<'_>) -> bool {
    asset.get("resource").is_some()
        || PARTS.iter().any(|(camel, snake, _)| either(asset, camel, snake).is_some())
}

fn time(members: &Members<'_>, camel: &str, snake: &str) -> Option<Timestamp> {
    Timestamp::parse(&either_text(members, camel, snake)?).ok()
}

fn read_asset(members: &Members<'_>, moment: &Moment, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let at = time(members, "updateTime", "update_time").or(moment.from);
    read_parts(members, moment, at, sink)
}

/// Delivers each part of an asset.
fn read_parts(
    members: &Members<'_>,
    moment: &Moment,
    at: Option<Timestamp>,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    members.unique(WHAT)?;
    let wrong = Refusal::Wrong { field: "name", want: "a full name, which begins with `//`" };
    let name = members.need_text("name", WHAT)?;
    if !name.starts_with("//") {
        return Err(wrong);
    }
    let resource_type = either_text(members, "assetType", "asset_type")
        .filter(|text| !text.is_empty())
        .ok_or(Refusal::Missing { field: "assetType", what: WHAT })?;
    let exceptions = either(members, "assetExceptions", "asset_exceptions");
    let truncated = exceptions.is_some_and(|raw| !json::is_empty(raw));
    sink.note(EXCEPTIONS, truncated.into());
    let asset = Asset { members, name, resource_type, moment, truncated, at };
    let mut any = false;
    for part in PARTS {
        let Some(content) = either(members, part.0, part.1) else { continue };
        any = true;
        asset.part(part.0, part.2, content, sink)?;
    }
    let resource = members.get("resource");
    if !any || resource.is_some() {
        asset.resource(resource, sink)?;
    }
    Ok(())
}

/// An asset, as one message has it.
struct Asset<'m, 'a> {
    members: &'m Members<'a>,
    name: Cow<'a, str>,
    resource_type: Cow<'a, str>,
    moment: &'m Moment,
    truncated: bool,
    at: Option<Timestamp>,
}

impl Asset<'_, '_> {
    fn presence(&self) -> Presence {
        if self.moment.deleted {
            Presence::Deleted
        } else if self.moment.invalid || self.truncated {
            Presence::Unreadable
        } else {
            Presence::Present
        }
    }

    /// The resource itself. Without it, the asset is known to exist.
    fn resource(&self, raw: Option<&RawValue>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let wrapper = raw.map(|raw| Members::of(raw, "resource")).transpose()?;
        let data = wrapper.as_ref().and_then(|resource| resource.get("data"));
        let data = data.map(|raw| Members::of(raw, "data")).transpose()?;
        let mut presence = self.presence();
        if data.is_none() && presence == Presence::Present {
            presence = Presence::Unreadable;
            sink.note(UNREAD, 1);
        }
        let text = |camel: &str, snake: &str| {
            wrapper.as_ref().and_then(|resource| either_text(resource, camel, snake))
        };
        let location = text("location", "location").or_else(|| self.members.peek("location"));
        let parent = text("parent", "parent");
        let link = text("resourceUrl", "resource_url").filter(|link| super::is_link(link));
        Resource {
            name: &self.name,
            resource_type: &self.resource_type,
            data: data.as_ref(),
            location: location.as_deref(),
            project: self.project(parent.as_deref()),
            presence,
            state: data.as_ref().map_or(Ok(Vec::new()), |data| state(&self.resource_type, data))?,
            observed_at: self.at,
            suffix: "",
            aliases: link.map(String::from).into_iter().collect(),
        }
        .observe(sink)
    }

    /// One of the other parts.
    fn part(
        &self,
        field: &str,
        kind: &str,
        content: &RawValue,
        sink: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        let resource_type = format!("{}/{kind}", self.resource_type);
        let mut value = Vec::with_capacity(content.get().len());
        if self.members.has("asset_type") {
            camel(content, &mut value)?;
        } else {
            value.extend_from_slice(content.get().as_bytes());
        }
        let mut whole = ObjectWriter::with_capacity(value.len() + 32);
        whole.member(field, &value);
        let whole = String::from_utf8(whole.finish()).map_err(|_| Refusal::NotUtf8)?;
        Resource {
            name: &self.name,
            resource_type: &resource_type,
            data: None,
            location: None,
            project: self.project(None),
            presence: self.presence(),
            state: state("", &Members::parse(&whole)?)?,
            observed_at: self.at,
            suffix: &self.suffix(field, content),
            aliases: Vec::new(),
        }
        .observe(sink)
    }

    /// What tells apart the parts of one kind: an asset has many relationships, and an organisation
    /// lists many perimeters.
    fn suffix(&self, field: &str, content: &RawValue) -> String {
        let Ok(content) = Members::of(content, field_name(field)) else { return String::new() };
        match field {
            "relatedAsset" => {
                let other = either_text(&content, "asset", "asset").unwrap_or_default();
                let kind = either_text(&content, "relationshipType", "relationship_type");
                format!("#{}:{other}", kind.unwrap_or_default())
            }
            "relatedAssets" => {
                let about = either(&content, "relationshipAttributes", "relationship_attributes");
                let kind = about
                    .and_then(|raw| Members::parse(raw.get()).ok())
                    .and_then(|about| either_text(&about, "type", "type").map(String::from));
                format!("#{}", kind.unwrap_or_default())
            }
            "accessPolicy" | "accessLevel" | "servicePerimeter" => {
                let name = content.peek("name").unwrap_or_default();
                let own = name.is_empty() || self.name.ends_with(&*name);
                if own { String::new() } else { format!("#{name}") }
            }
            _ => String::new(),
        }
    }

    /// The project among the ancestors, for names that have none.
    fn project(&self, parent: Option<&str>) -> Option<String> {
        let of_list = self.members.get("ancestors").and_then(|raw| {
            json::elements(raw, "ancestors")
                .ok()?
                .into_iter()
                .find_map(|raw| json::text_of(raw)?.strip_prefix("projects/").map(str::to_owned))
        });
        let of_parent = || parent.and_then(|parent| super::after(parent, "projects"));
        let path = || either_text(self.members, "ancestryPath", "ancestry_path");
        // A search names the project beside the asset.
        let beside = || self.members.peek("project")?.strip_prefix("projects/").map(str::to_owned);
        of_list.or_else(|| of_parent().map(str::to_owned)).or_else(beside).or_else(|| {
            let path = path()?;
            let found = super::after(&path, "project").or_else(|| super::after(&path, "projects"));
            found.map(str::to_owned)
        })
    }
}

fn field_name(field: &str) -> &'static str {
    PARTS.iter().find(|part| part.0 == field).map_or("asset", |part| part.0)
}

/// Copies a value with its members in camel case. The items of an inventory are keyed freely.
fn camel(raw: &RawValue, out: &mut Vec<u8>) -> Result<(), Refusal> {
    if json::is_object(raw) {
        out.push(b'{');
        for (index, (name, value)) in Members::parse(raw.get())?.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b"," } else { b"" });
            write_string(out, &camel_name(name));
            out.push(b':');
            if name == "items" && json::is_object(value) {
                out.extend_from_slice(value.get().as_bytes());
            } else {
                camel(value, out)?;
            }
        }
        out.push(b'}');
    } else if json::is_array(raw) {
        out.push(b'[');
        for (index, element) in json::elements(raw, "array")?.into_iter().enumerate() {
            out.extend_from_slice(if index > 0 { b"," } else { b"" });
            camel(element, out)?;
        }
        out.push(b']');
    } else {
        out.extend_from_slice(raw.get().as_bytes());
    }
    Ok(())
}

/// `audit_log_configs` is `auditLogConfigs`.
fn camel_name(name: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.contains('_') || name.starts_with('_') || !name.chars().all(plain) {
        return Cow::Borrowed(name);
    }
    let mut parts = name.split('_');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    Cow::Owned(out)
}

/// What to say of a message that is no JSON.
pub(super) fn not_an_asset() -> Refusal {
    let reason = "This message is text, not an asset or an event; check which topic it comes from.";
    Refusal::new(RejectCode::NotARecord, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_camel_case() {
        for (name, want) in [
            ("audit_log_configs", "auditLogConfigs"),
            ("bindings", "bindings"),
            ("already_Camel", "already_Camel"),
            ("_x", "_x"),
            ("ipv6_a", "ipv6A"),
        ] {
            assert_eq!(camel_name(name), want);
        }
    }
}
