//! CloudEvents 1.0 in JSON, structured mode: an envelope around a native observation.
//!
//! The observation is the event's `data`: an object, JSON text, or `data_base64`. The event's `time`
//! stands in where the observation has no `observed_at`. A batch is an array of events. An event of
//! another type is read if its data is of a format that is known, and refused by name if not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use deployforge_model::{RejectCode, Timestamp};

use crate::detect;
use crate::json::{self, Members};
use crate::native;
use crate::options::Format;
use crate::refusal::{Refusal, printable};
use crate::sink::Sink;

const WHAT: &str = "the event";
const OBSERVATION: &str = "deployforge.observation.v1";

/// Whether this is a CloudEvent.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    members.has("specversion")
}

/// Reads one event.
pub(crate) fn read(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    members.unique(WHAT)?;
    sink.saw(Format::CloudEvents);
    if members.peek("specversion").as_deref() != Some("1.0") {
        let reason = "This CloudEvent is of another version than 1.0; send version 1.0.";
        return Err(Refusal::new(RejectCode::Unsupported, reason));
    }
    let kind = members.need_text("type", WHAT)?;
    let time = match members.text("time")? {
        None => None,
        Some(text) => Some(Timestamp::parse(&text).map_err(|_| Refusal::Wrong {
            field: "time",
            want: "an RFC 3339 time such as 2026-11-20T10:00:00Z",
        })?),
    };
    let data = data(members)?;
    let limit = sink.options.limits.depth;
    let Some(data) = data else {
        return Err(match &*kind {
            OBSERVATION => Refusal::Missing { field: "data", what: WHAT },
            other => other_type(other),
        });
    };
    let data = json::nested(&data, limit)?;
    let inner = Members::of(data, "data")?;
    if kind == OBSERVATION {
        return native::read(&inner, time, sink);
    }
    match detect::recognise(&inner) {
        Some(Format::Native) => native::read(&inner, time, sink),
        Some(_) => detect::read_nested(data.get(), sink),
        None => Err(other_type(&kind)),
    }
}

fn other_type(kind: &str) -> Refusal {
    let reason = format!(
        "This CloudEvent is of type `{}`; observations are of type {OBSERVATION}.",
        printable(kind)
    );
    Refusal::new(RejectCode::Unsupported, reason)
}

/// The event's data as JSON text.
fn data(members: &Members<'_>) -> Result<Option<String>, Refusal> {
    let plain = members.get("data");
    let encoded = members.text("data_base64")?;
    match (plain, encoded) {
        (Some(_), Some(_)) => Err(Refusal::Wrong {
            field: "data",
            want: "given once: it stands there both as `data` and as `data_base64`",
        }),
        (None, None) => Ok(None),
        (Some(raw), None) => {
            Ok(Some(json::text_of(raw).map_or_else(|| raw.get().to_owned(), String::from)))
        }
        (None, Some(text)) => STANDARD
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(Some)
            .ok_or(Refusal::Wrong { field: "data_base64", want: "JSON text encoded as base64" }),
    }
}
