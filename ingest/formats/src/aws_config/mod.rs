//! AWS Config: configuration items in every wrapping they travel in.
//!
//! Snapshot and history files on S3 and API replies hold lists of items (`configurationItems`,
//! `baseConfigurationItems`), which the reader cuts into single items. Notifications hold one item,
//! and travel as SNS messages, in SQS replies, as EventBridge events and as the invoking event of a
//! rule: JSON text within JSON text. Query results hold rows as JSON text. The items themselves are
//! read by `item`.
//!
//! A notification that says that an item exists, without holding it, is refused as `elsewhere`: it
//! is neither an observation nor a deletion. A notification about something else (deliveries,
//! compliance) is counted in a note.

mod item;
pub(crate) mod scan;
mod time;

use deployforge_model::RejectCode;
use serde_json::value::RawValue;

use crate::detect;
use crate::evidence::cloudtrail;
use crate::json::{self, Members};
use crate::options::Format;
use crate::refusal::{Refusal, printable};
use crate::sink::{Note, Sink};

/// The members whose arrays hold items and may be large.
pub(crate) const ITEM_LISTS: &[&str] = &["configurationItems", "baseConfigurationItems"];

/// Members that only wrappings of AWS Config have.
const WRAPPINGS: &[&str] = &[
    "configurationItems",
    "baseConfigurationItems",
    "configurationItem",
    "configurationItemSummary",
    "configurationItemDiff",
    "invokingEvent",
];

/// Whether this is an item or something that wraps items.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    item::claims(members)
        || WRAPPINGS.iter().any(|name| members.has(name))
        || is_transport(members)
        || is_query_result(members)
        || (members.has("messageType") && members.has("recordVersion"))
}

/// Whether this is the envelope of a queue, a topic or a recording: whatever was sent through it.
pub(crate) fn is_transport(members: &Members<'_>) -> bool {
    (members.has("Type") && members.has("TopicArn"))
        || (members.has("Type") && members.has("Message"))
        || (members.has("detail-type") && members.has("detail"))
        || members.get("Messages").is_some_and(json::is_array)
        || members.get("Records").is_some_and(json::is_array)
        || (members.has("status_code") && members.has("data"))
}

fn is_query_result(members: &Members<'_>) -> bool {
    members.has("QueryInfo") && members.get("Results").is_some_and(json::is_array)
}

/// Reads an item, or what wraps items.
pub(crate) fn read(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    members.unique("the envelope")?;
    if item::claims(members) {
        sink.saw(Format::AwsConfig);
        let observation = item::read(members, sink)?;
        sink.tally.loose += 1;
        sink.observe(observation);
        return Ok(());
    }
    if let Some(list) = ITEM_LISTS.iter().find_map(|name| members.get(name)) {
        return read_list(members, list, sink);
    }
    if is_query_result(members) {
        return read_results(members, sink);
    }
    if members.has("messageType") || WRAPPINGS.iter().any(|name| members.has(name)) {
        if let Some(event) = members.get("invokingEvent") {
            sink.saw(Format::AwsConfig);
            return read_inner(event, sink);
        }
        return read_notification(members, sink);
    }
    read_transport(members, sink)
}

/// Reads one element of an item list.
pub(crate) fn read_item(text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    sink.saw(Format::AwsConfig);
    if !text.starts_with('{') {
        return Err(Refusal::new(
            RejectCode::NotARecord,
            "This element of the item list is no JSON object.",
        ));
    }
    let members = Members::parse(text)?;
    members.unique("the item")?;
    let observation = item::read(&members, sink)?;
    sink.observe(observation);
    Ok(())
}

/// Reads what stood around an item list whose items were read one by one.
pub(crate) fn read_envelope(text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let members = Members::parse(text)?;
    members.unique("the envelope")?;
    sink.saw(Format::AwsConfig);
    if is_snapshot(&members) {
        sink.tally.whole_listings += 1;
    } else {
        sink.tally.loose += 1;
        if sink.tally.item_at.is_none_or(|item| item < sink.position.offset) {
            sink.note(Note::EmptyList, 1);
        }
    }
    Ok(())
}

/// A snapshot lists everything the recorder knows. History files look alike but for the snapshot's
/// id, and list the past of one type: nothing is missing because they lack it.
fn is_snapshot(members: &Members<'_>) -> bool {
    members.has("fileVersion") && members.has("configSnapshotId")
}

fn read_list(members: &Members<'_>, list: &RawValue, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let items = json::elements(list, "configurationItems")?;
    sink.saw(Format::AwsConfig);
    if is_snapshot(members) {
        sink.tally.whole_listings += 1;
    } else {
        sink.tally.loose += 1;
    }
    if items.is_empty() {
        sink.note(Note::EmptyList, 1);
    }
    for item in items {
        if let Err(refusal) = read_item(item.get(), sink) {
            sink.refuse(&refusal, item.get().as_bytes());
        }
    }
    Ok(())
}

/// A message of AWS Config itself.
fn read_notification(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    sink.saw(Format::AwsConfig);
    if let Some(item) = members.get("configurationItem") {
        sink.tally.loose += 1;
        // The oldest notifications hold a list of one item.
        let items = if json::is_array(item) {
            json::elements(item, "configurationItem")?
        } else {
            vec![item]
        };
        for item in items {
            read_item(item.get(), sink)?;
        }
        return Ok(());
    }
    let kind = members.peek("messageType").unwrap_or_default();
    if members.get("configurationItemSummary").is_some() || kind.starts_with("Oversized") {
        return Err(elsewhere(members));
    }
    if kind == "ConfigurationItemChangeNotification" {
        return Err(Refusal::Missing { field: "configurationItem", what: "the notification" });
    }
    sink.note(Note::NoItem, 1);
    Ok(())
}

fn elsewhere(members: &Members<'_>) -> Refusal {
    let place = members
        .get("s3DeliverySummary")
        .and_then(|raw| Members::parse(raw.get()).ok())
        .and_then(|summary| summary.peek("s3BucketLocation").map(String::from));
    let reason = match place {
        Some(place) => {
            let place: String = place.chars().filter(|c| !c.is_control()).take(1024).collect();
            format!(
                "The item is too large for a notification and stands in S3; read s3://{place} as well."
            )
        }
        None => "The item is too large for this event, which holds a summary only; read the item \
                 from the delivery bucket or from GetResourceConfigHistory."
            .to_owned(),
    };
    Refusal::new(RejectCode::Elsewhere, reason)
}

/// Envelopes of queues, topics, buses and recordings.
fn read_transport(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    if members.has("status_code")
        && let Some(data) = members.get("data")
    {
        return read_inner(data, sink);
    }
    if let Some(detail) = members.get("detail") {
        return read_event(members, detail, sink);
    }
    if let Some(kind) = members.peek("Type") {
        if let ("Notification", Some(message)) = (&*kind, members.get("Message")) {
            return read_message(message, sink);
        }
        // Confirmations of subscriptions.
        sink.note(Note::NoItem, 1);
        return Ok(());
    }
    for name in ["Messages", "Records"] {
        let Some(messages) = members.array(name)? else { continue };
        if messages.is_empty() {
            sink.note(Note::EmptyList, 1);
        }
        for message in messages {
            if let Err(refusal) = read_queued(message, sink) {
                sink.refuse(&refusal, message.get().as_bytes());
            }
        }
    }
    Ok(())
}

/// One message of a queue: its body is text, or it is a topic's record.
fn read_queued(message: &RawValue, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let members = Members::of(message, "Messages")?;
    let body = ["Body", "body", "Sns"].into_iter().find_map(|name| members.get(name));
    match body {
        Some(body) => read_message(body, sink),
        // Files of CloudTrail hold their records under the same name.
        None if cloudtrail::claims(&members) => {
            detect::deeper(sink, |sink| detect::read(message.get(), sink))
        }
        None => Err(cloudtrail::other_record(&members)),
    }
}

/// The message of a topic or queue. The console's e-mails about oversized items are text with the
/// summary at the end.
fn read_message(message: &RawValue, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let oversized = |text: &str| {
        !text.trim_start().starts_with('{')
            && text.contains("OversizedConfigurationItemChangeNotification")
    };
    match json::text_of(message) {
        Some(text) if oversized(&text) => {
            let summary = text.find('{').map_or("{}", |at| &text[at..]);
            Err(Members::parse(summary.trim())
                .map_or_else(|_| elsewhere_without_summary(), |members| elsewhere(&members)))
        }
        _ => read_inner(message, sink),
    }
}

fn elsewhere_without_summary() -> Refusal {
    let reason = "The item is too large for a notification; read it from the delivery bucket.";
    Refusal::new(RejectCode::Elsewhere, reason)
}

/// An event of the event bus.
fn read_event(
    members: &Members<'_>,
    detail: &RawValue,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    let kind = members.peek("detail-type").unwrap_or_default();
    let of_config = members.peek("source").as_deref() == Some("aws.config");
    let inner = Members::of(detail, "detail")?;
    if of_config || detect::recognise(&inner).is_some() {
        if of_config && detect::recognise(&inner).is_none() {
            sink.saw(Format::AwsConfig);
            sink.note(Note::NoItem, 1);
            return Ok(());
        }
        return read_inner(detail, sink);
    }
    let reason = format!(
        "This event is a `{}`, which holds no resource; subscribe to the changes of configuration items.",
        printable(&kind)
    );
    Err(Refusal::new(RejectCode::Unsupported, reason))
}

/// What is wrapped: an object, or JSON text.
fn read_inner(raw: &RawValue, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    match json::text_of(raw) {
        Some(text) => detect::read_nested(&text, sink),
        None => detect::deeper(sink, |sink| detect::read(raw.get(), sink)),
    }
}

/// The rows of an advanced query. They hold the fields that were selected: what was not selected is
/// not absent, so only rows with the whole configuration are observations.
fn read_results(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    sink.saw(Format::AwsConfig);
    sink.tally.loose += 1;
    let rows = members.array("Results")?.unwrap_or_default();
    if rows.is_empty() {
        sink.note(Note::EmptyList, 1);
    }
    let whole = selects_configuration(members)?;
    for row in rows {
        if let Err(refusal) = read_row(row, whole, sink) {
            sink.refuse(&refusal, row.get().as_bytes());
        }
    }
    Ok(())
}

fn selects_configuration(members: &Members<'_>) -> Result<bool, Refusal> {
    let Some(info) = members.get("QueryInfo") else { return Ok(true) };
    let info = Members::of(info, "QueryInfo")?;
    let Some(fields) = info.array("SelectFields")? else { return Ok(true) };
    let names = fields.into_iter().filter_map(|field| Members::parse(field.get()).ok());
    let whole = |name: &str| matches!(name, "configuration" | "*");
    Ok(names.into_iter().any(|field| field.peek("Name").is_some_and(|name| whole(&name))))
}

fn read_row(row: &RawValue, whole: bool, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let Some(text) = json::text_of(row) else {
        return Err(Refusal::Wrong { field: "Results", want: "a JSON array of JSON texts" });
    };
    let row = json::nested(&text, sink.options.limits.depth)?;
    let members = Members::of(row, "Results")?;
    if !whole || members.get("configuration").is_none() {
        let reason = "A query result holds selected fields only; select `configuration` as a whole, \
                      with resourceType, resourceId, accountId and awsRegion.";
        return Err(Refusal::new(RejectCode::Unsupported, reason));
    }
    members.unique("the row")?;
    let observation = item::read(&members, sink)?;
    sink.observe(observation);
    Ok(())
}
