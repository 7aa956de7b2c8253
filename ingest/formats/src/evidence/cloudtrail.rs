//! CloudTrail: records alone and in files, in the events of the bus, as `LookupEvents` returns them, and
//! in the lines of CloudWatch Logs.

use std::collections::HashSet;
use std::sync::LazyLock;

use deployforge_model::{Evidence, RejectCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Fields, add, looks, tidy, time};
use crate::detect;
use crate::json::{self, Members};
use crate::refusal::Refusal;
use crate::sink::{Note, Sink};

/// Levels of requests and replies that names are taken from.
const DEPTH: usize = 8;

const NO_EVENT: Note =
    Note::Counted("log line without an event skipped", "log lines without an event skipped");

#[derive(Debug, Default, Deserialize)]
struct Table {
    names: Vec<String>,
}

/// Members that name resources, in lower case.
static NAMING: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let table: Table =
        serde_json::from_str(include_str!("../../data/cloudtrail-fields.json")).unwrap_or_default();
    table.names.into_iter().map(|name| name.to_ascii_lowercase()).collect()
});

/// Whether this is a record of CloudTrail, or something that holds such records.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    is_record(&Fields::of(members)) || is_lookup(members) || lines(members).is_some()
}

fn is_record(fields: &Fields<'_>) -> bool {
    const BESIDE: [&str; 5] =
        ["eventsource", "useridentity", "requestparameters", "awsregion", "recipientaccountid"];
    let source = fields.text("eventsource").unwrap_or_default();
    // Streams and buckets notify with records that look alike.
    fields.text("eventname").is_some()
        && !source.starts_with("aws:")
        && !fields.has("s3")
        && BESIDE.iter().any(|name| fields.has(name))
}

/// A page of `LookupEvents`, or one of its events.
fn is_lookup(members: &Members<'_>) -> bool {
    members.has("CloudTrailEvent")
        || members.get("Events").is_some_and(|raw| {
            json::elements(raw, "Events").is_ok_and(|events| {
                let first = events.first().and_then(|raw| Members::parse(raw.get()).ok());
                first.is_some_and(|first| first.has("CloudTrailEvent"))
            })
        })
}

/// The lines of CloudWatch Logs, as a subscription sends them or a search returns them.
fn lines<'a>(members: &Members<'a>) -> Option<Vec<&'a RawValue>> {
    let raw = members.get("logEvents").or_else(|| members.get("events"))?;
    let lines = json::elements(raw, "logEvents").ok()?;
    let known = members.has("logGroup") || members.has("nextForwardToken");
    let first = lines.first().and_then(|raw| Members::parse(raw.get()).ok());
    let line = |first: Members<'_>| {
        first.has("message")
            && ["timestamp", "ingestionTime", "logStreamName"].iter().any(|name| first.has(name))
    };
    (known || first.is_some_and(line)).then_some(lines)
}

/// Reads it.
pub(crate) fn read(members: &Members<'_>, _: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    sink.tally.loose += 1;
    let fields = Fields::of(members);
    if is_record(&fields) {
        sink.evidence(record(&fields, sink));
        return Ok(());
    }
    if let Some(event) = members.get("CloudTrailEvent") {
        return read_text(event, sink);
    }
    if let Some(lines) = lines(members) {
        read_lines(&lines, sink);
        return Ok(());
    }
    for raw in members.array("Events")?.unwrap_or_default() {
        let result = Members::of(raw, "Events").and_then(|event| {
            let what = "an event of the list";
            let missing = Refusal::Missing { field: "CloudTrailEvent", what };
            read_text(event.get("CloudTrailEvent").ok_or(missing)?, sink)
        });
        if let Err(refusal) = result {
            sink.refuse(&refusal, raw.get().as_bytes());
        }
    }
    Ok(())
}

/// A record as JSON text.
fn read_text(raw: &RawValue, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let wrong = Refusal::Wrong { field: "CloudTrailEvent", want: "a record as JSON text" };
    let text = json::text_of(raw).ok_or_else(|| wrong.clone())?;
    let limit = sink.options.limits.depth;
    let members = Members::of(json::nested(&text, limit)?, "CloudTrailEvent")?;
    let fields = Fields::of(&members);
    if !is_record(&fields) {
        return Err(wrong);
    }
    sink.evidence(record(&fields, sink));
    Ok(())
}

/// Whatever the lines hold is read as what it is.
fn read_lines(lines: &[&RawValue], sink: &mut Sink<'_>) {
    sink.note(Note::EmptyList, lines.is_empty().into());
    for raw in lines {
        let Ok(line) = Members::of(raw, "logEvents") else { continue };
        let message = line.peek("message").unwrap_or_default();
        if !message.trim_start().starts_with('{') {
            sink.note(NO_EVENT, 1);
        } else if let Err(refusal) = detect::read_nested(message.trim(), sink) {
            sink.refuse(&refusal, raw.get().as_bytes());
        }
    }
}

/// What to say of a notification that stands where CloudTrail's records do.
pub(crate) fn other_record(members: &Members<'_>) -> Refusal {
    let reason = if members.has("s3") {
        "This notification says that an object was written to a bucket; read that object as well."
    } else {
        "This record is no message of a queue or topic and no record of CloudTrail; give one of these."
    };
    let code = if members.has("s3") { RejectCode::Elsewhere } else { RejectCode::Unsupported };
    Refusal::new(code, reason)
}

fn record(fields: &Fields<'_>, sink: &Sink<'_>) -> Evidence {
    let text = |name: &str| fields.text(name).unwrap_or_default().into_owned();
    let user = fields.object("useridentity");
    let name = text("eventname");
    let source = text("eventsource");
    let service = source.strip_suffix(".amazonaws.com").unwrap_or(&source);
    let said = fields.word("readonly").filter(|text| text == "true" || text == "false");
    let read_only = said.map_or_else(|| looks(&name), |said| said == "true");
    let (request, reply) = (fields.get("requestparameters"), fields.get("responseelements"));
    let mut resources = Vec::new();
    for raw in fields.list("resources") {
        let one = Fields::within(raw);
        if let Some(name) = one.first(&["arn", "resourcename", "arnprefix"]) {
            add(&mut resources, name);
        }
    }
    for raw in [request, reply].into_iter().flatten() {
        name_resources(raw, DEPTH, &mut resources);
    }
    let mut paths = Vec::new();
    if let Some(request) = request.filter(|raw| !read_only && json::is_object(raw)) {
        // As they are written: paths are in the log's own words.
        let members = Members::parse(request.get());
        for (name, _) in members.iter().flat_map(Members::iter) {
            if !NAMING.contains(&name.to_ascii_lowercase()) {
                add(&mut paths, format!("requestParameters.{name}"));
            }
        }
    }
    tidy(Evidence {
        id: text("eventid"),
        log: "cloudtrail",
        at: time(&text("eventtime")),
        actor: actor(&user),
        actor_type: user.text("type").unwrap_or_default().into_owned(),
        tool: fields
            .first(&["useragent"])
            .or_else(|| user.first(&["invokedby"]))
            .unwrap_or_default(),
        action: if service.is_empty() { name } else { format!("{service}:{name}") },
        from: text("sourceipaddress"),
        provider: "aws".to_owned(),
        account: fields
            .word("recipientaccountid")
            .or_else(|| user.word("accountid"))
            .unwrap_or_default(),
        region: text("awsregion"),
        read_only,
        error: text("errorcode"),
        resources,
        paths,
        position: sink.position,
    })
}

/// Who: the ARN, which of an assumed role holds the session; else the session of the role that issued
/// it; else whatever name there is.
fn actor(user: &Fields<'_>) -> String {
    let principal = user.text("principalid").unwrap_or_default();
    let session = principal.split_once(':').map(|(_, session)| session);
    let issuer = || {
        let issuer = user.object("sessioncontext").object("sessionissuer");
        let role = issuer.first(&["arn", "username"])?;
        Some(session.map_or_else(|| role.clone(), |session| format!("{role}/{session}")))
    };
    let on_behalf = || user.object("onbehalfof").first(&["userid"]);
    user.first(&["arn"])
        .or_else(issuer)
        .or_else(|| user.first(&["username"]))
        .or_else(on_behalf)
        .or_else(|| user.first(&["invokedby"]))
        .or_else(|| (!principal.is_empty()).then(|| principal.clone().into_owned()))
        .or_else(|| user.word("accountid"))
        .unwrap_or_default()
}

/// Takes the names of resources from a request or a reply.
fn name_resources(raw: &RawValue, depth: usize, names: &mut Vec<String>) {
    if depth == 0 {
        return;
    }
    if json::is_array(raw) {
        for element in json::elements(raw, "array").unwrap_or_default() {
            match json::text_of(element) {
                Some(text) if text.starts_with("arn:") => add(names, text),
                Some(_) => {}
                None => name_resources(element, depth - 1, names),
            }
        }
    } else if json::is_object(raw) {
        for (name, value) in Fields::within(raw).iter() {
            let naming = NAMING.contains(name);
            match json::text_of(value) {
                Some(text) if naming || text.starts_with("arn:") => add(names, text),
                Some(_) => {}
                None if name == "credentials" => {}
                None => {
                    if naming {
                        name_each(value, names);
                    }
                    name_resources(value, depth - 1, names);
                }
            }
        }
    }
}

/// A list of names.
fn name_each(raw: &RawValue, names: &mut Vec<String>) {
    for element in json::elements(raw, "array").unwrap_or_default() {
        if let Some(text) = json::text_of(element) {
            add(names, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_parses() {
        assert!(NAMING.len() > 150 && NAMING.contains("instanceid"));
    }
}
