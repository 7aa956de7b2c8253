//! Messages of topics, as they are pushed (`{"message":{"data":…},"subscription":…}`) and pulled
//! (`{"receivedMessages":[…]}`, `{"ackId":…,"message":{…}}`). What is in them is read as what it is.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::value::RawValue;

use crate::detect;
use crate::json::{self, Members};
use crate::refusal::Refusal;
use crate::sink::{Note, Sink};

use super::assets;

const MEMBERS: [&str; 5] =
    ["messageId", "message_id", "publishTime", "publish_time", "orderingKey"];
const GREETING: Note = Note::Counted(
    "message that greets a new feed skipped",
    "messages that greet a new feed skipped",
);
const NO_DATA: Note =
    Note::Counted("message without data skipped", "messages without data skipped");

/// Base64 as it comes, with padding or without.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

/// Whether this wraps messages of a topic.
pub(crate) fn is_transport(members: &Members<'_>) -> bool {
    is_message(members)
        || members.get("receivedMessages").is_some_and(json::is_array)
        || members.get("message").is_some_and(|raw| {
            json::is_object(raw)
                && (members.has("subscription") || members.has("ackId"))
                && Members::parse(raw.get()).is_ok_and(|inner| {
                    inner.has("data") || MEMBERS.iter().any(|name| inner.has(name))
                })
        })
}

fn is_message(members: &Members<'_>) -> bool {
    members.has("data") && MEMBERS.iter().any(|name| members.has(name))
}

/// Reads what is wrapped.
pub(super) fn read(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    if is_message(members) {
        return read_message(members, sink);
    }
    if let Some(raw) = members.get("message") {
        return read_message(&Members::of(raw, "message")?, sink);
    }
    let messages = members.array("receivedMessages")?.unwrap_or_default();
    sink.note(Note::EmptyList, messages.is_empty().into());
    for raw in messages {
        if let Err(refusal) = read_received(raw, sink) {
            sink.refuse(&refusal, raw.get().as_bytes());
        }
    }
    Ok(())
}

fn read_received(raw: &RawValue, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let received = Members::of(raw, "receivedMessages")?;
    let message = received
        .get("message")
        .ok_or(Refusal::Missing { field: "message", what: "a received message" })?;
    read_message(&Members::of(message, "message")?, sink)
}

fn read_message(message: &Members<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    message.unique("the message")?;
    let Some(data) = message.text("data")?.filter(|data| !data.is_empty()) else {
        sink.note(NO_DATA, 1);
        return Ok(());
    };
    let wrong = Refusal::Wrong { field: "data", want: "JSON text encoded as base64" };
    let bytes = STANDARD.decode(data.as_bytes()).or_else(|_| URL_SAFE.decode(data.as_bytes()));
    let text = String::from_utf8(bytes.map_err(|_| wrong.clone())?).map_err(|_| wrong)?;
    let text = text.trim();
    if text.starts_with('{') {
        return detect::read_nested(text, sink);
    }
    // The first message of a new feed is a sentence.
    if text.contains("real time feed") || text.starts_with("You have successfully") {
        sink.note(GREETING, 1);
        return Ok(());
    }
    Err(assets::not_an_asset())
}
