//! Messages that are looked at one by one: documents, tombstones, and what headers say of a message.

use std::borrow::Cow;

use deployforge_formats::{Format, KEY_BYTES, ReadOptions, Reader};
use deployforge_model::{
    Dialect, Observation, Presence, Record, Reject, RejectCode, ResourceKey, Scope, SourcePosition,
    Timestamp,
};
use deployforge_sources::Message;

use crate::feed::scope_of;
use crate::{LIMITS, named};

/// What a message came to.
#[derive(Debug, Default)]
pub(crate) struct ReadMessage {
    pub(crate) records: Vec<Record>,
    /// It lists all there is of these scopes, in these words.
    pub(crate) listing: Option<(Vec<Scope>, Dialect)>,
    /// Its time, which stands in where a record has none.
    pub(crate) time: Option<Timestamp>,
}

/// Reads one message. Every record of it stands where the message does.
pub(crate) fn read_message(message: &Message, options: &ReadOptions) -> ReadMessage {
    let time = message.time.map(Timestamp::from_millis);
    let mut read = match &message.payload {
        None => ReadMessage { records: vec![tombstone(message, options)], ..Default::default() },
        Some(payload) => match told(message, options, payload) {
            Ok((options, version, text)) => document(&text, options, version),
            Err(reason) => ReadMessage {
                records: vec![Record::Reject(refused(payload, RejectCode::Unsupported, reason))],
                ..Default::default()
            },
        },
    };
    read.time = time;
    let position = SourcePosition { offset: 0, line: message.offset as u64 };
    for record in &mut read.records {
        match record {
            Record::Observation(observation) => observation.position = position,
            Record::Reject(reject) => reject.position = position,
            Record::Sweep(_) => {}
            Record::Evidence(evidence) => evidence.position = position,
        }
    }
    read
}

/// How a message is to be read, the version it has, and the text to read.
type Told<'m> = (ReadOptions, Option<u64>, Cow<'m, [u8]>);

/// The message's headers: how it is to be read, the version it has, and the text to read.
fn told<'m>(
    message: &'m Message,
    options: &ReadOptions,
    payload: &'m [u8],
) -> Result<Told<'m>, String> {
    let header =
        |name: &str| message.headers.iter().find(|(of, _)| of == name).map(|(_, value)| &value[..]);
    let text = |name: &str| {
        header(name).map(|value| {
            std::str::from_utf8(value).map_err(|_| format!("Its header `{name}` is not UTF-8."))
        })
    };
    let mut options = options.clone();
    let mut body = Cow::Borrowed(payload);
    if let Some(kind) = text("ce_type").transpose()? {
        body = structured(kind, text("ce_time").transpose()?, payload).into();
        options.format = Some(Format::CloudEvents);
    } else if let Some(kind) = text("content-type").transpose()? {
        options.format = format_of(kind, options.format)?;
    }
    if let Some(hash) = text("content-hash").transpose()? {
        let found = blake3::hash(payload).to_hex();
        if hash.strip_prefix("blake3:") != Some(found.as_str()) {
            return Err(format!(
                "Its header `content-hash` is not that of its payload (blake3:{found}); the message was changed on its way, or the hash is of another kind."
            ));
        }
    }
    let version = text("source-version").transpose()?.map(str::parse::<i64>).transpose();
    let version = version.ok().map(|version| version.map(u64::try_from).transpose());
    let wrong = "Its header `source-version` is not a whole number from 0 to 9223372036854775807.";
    let version = version.and_then(Result::ok).ok_or_else(|| wrong.to_owned())?;
    Ok((options, version, body))
}

/// The format that a content type means.
fn format_of(kind: &str, configured: Option<Format>) -> Result<Option<Format>, String> {
    let plain = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match plain.as_str() {
        "application/cloudevents+json" | "application/cloudevents-batch+json" => {
            Ok(Some(Format::CloudEvents))
        }
        "application/json"
        | "application/x-ndjson"
        | "application/octet-stream"
        | "text/plain"
        | "text/json"
        | "" => Ok(configured),
        _ => {
            let name = plain.strip_prefix("application/vnd.deployforge.");
            let format = name.and_then(|name| name.trim_end_matches("+json").parse().ok());
            format.map(Some).ok_or_else(|| {
                format!("Its content type `{plain}` is not read; send JSON, NDJSON or CloudEvents.")
            })
        }
    }
}

/// An event in binary mode, in which headers are its envelope, as one in structured mode.
fn structured(kind: &str, time: Option<&str>, data: &[u8]) -> Vec<u8> {
    let quote = |text: &str| {
        let mut quoted = String::from("\"");
        for c in text.chars() {
            match c {
                '"' | '\\' => quoted.extend(['\\', c]),
                c if c < ' ' => quoted.push_str(&format!("\\u{:04x}", c as u32)),
                c => quoted.push(c),
            }
        }
        quoted + "\""
    };
    let mut event = format!("{{\"specversion\":\"1.0\",\"type\":{}", quote(kind)).into_bytes();
    if let Some(time) = time {
        event.extend_from_slice(format!(",\"time\":{}", quote(time)).as_bytes());
    }
    event.extend_from_slice(b",\"data\":");
    event.extend_from_slice(data);
    event.push(b'}');
    event
}

fn document(text: &[u8], options: ReadOptions, version: Option<u64>) -> ReadMessage {
    let mut reader = Reader::new(options);
    let mut records = Vec::new();
    for chunk in text.chunks(LIMITS.chunk_bytes) {
        reader.push(chunk, &mut records);
        // A few kilobytes that unpack to millions of records are no message that someone meant.
        if records.len() > LIMITS.message_records {
            let reason = format!(
                "It holds more than {} records; send less in a message.",
                LIMITS.message_records
            );
            let reject = Record::Reject(refused(text, RejectCode::TooLarge, reason));
            return ReadMessage { records: vec![reject], ..Default::default() };
        }
    }
    let summary = reader.finish(&mut records);
    records.extend(named::refuse(&summary.references).into_iter().map(Record::Reject));
    let mut scopes = Vec::new();
    for record in &mut records {
        if let Record::Observation(observation) = record {
            observation.version = observation.version.or(version);
            let scope = scope_of(observation);
            if summary.complete_listing
                && observation.presence == Presence::Present
                && !scopes.contains(&scope)
            {
                scopes.push(scope);
            }
        }
    }
    let listed =
        |collection: &String| Scope { collection: Some(collection.clone()), ..Scope::default() };
    for scope in summary.collections.iter().map(listed) {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    let dialect = summary.format.map_or(Dialect::Native, Format::dialect);
    let listing = summary.complete_listing.then_some((scopes, dialect));
    ReadMessage { records, listing, time: None }
}

/// A message without a payload: the resource that its key names is gone.
fn tombstone(message: &Message, options: &ReadOptions) -> Record {
    let key = message.key.as_deref().unwrap_or_default();
    let parts = std::str::from_utf8(key).ok().and_then(|text| {
        let mut parts = text.splitn(5, '/');
        let key: [&str; 5] = std::array::from_fn(|_| parts.next().unwrap_or_default());
        let fits = key.iter().all(|part| part.len() <= KEY_BYTES);
        (fits && !key[0].is_empty() && !key[3].is_empty() && !key[4].is_empty()).then_some(key)
    });
    let Some([provider, account, region, resource_type, id]) = parts else {
        let reason = "A message without a payload says that a resource is gone, and its key does not name one; key messages by provider/account/region/type/id.";
        return Record::Reject(refused(key, RejectCode::BadField, reason.to_owned()));
    };
    let dialect = options.format.map_or_else(|| Dialect::of_type(resource_type), Format::dialect);
    Record::Observation(Box::new(Observation {
        presence: Presence::Deleted,
        ..Observation::of(
            ResourceKey::new(provider, account, region, resource_type, id),
            dialect,
            Vec::new(),
            SourcePosition::default(),
        )
    }))
}

fn refused(bytes: &[u8], code: RejectCode, reason: String) -> Reject {
    let (hash, size) = (blake3::hash(bytes).to_hex().to_string(), bytes.len() as u64);
    Reject { position: SourcePosition::default(), code, reason, hash, size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: Option<&str>, headers: &[(&str, &str)]) -> Message {
        Message {
            offset: 7,
            key: Some(b"aws/1/eu-west-1/AWS::S3::Bucket/a/b".to_vec()),
            payload: payload.map(|text| text.as_bytes().to_vec()),
            headers: headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()))
                .collect(),
            time: Some(1_700_000_000_000),
        }
    }

    fn read(message: &Message) -> ReadMessage {
        read_message(message, &ReadOptions::default())
    }

    fn observation(read: &ReadMessage) -> &Observation {
        match &read.records[..] {
            [Record::Observation(observation)] => observation,
            other => panic!("{other:?}"),
        }
    }

    fn reason(message: &Message) -> String {
        match &read(message).records[..] {
            [Record::Reject(reject)] => {
                assert_eq!(reject.position.line, 7);
                reject.reason.clone()
            }
            other => panic!("{other:?}"),
        }
    }

    const RECORD: &str = r#"{"provider":"aws","type":"T","id":"i","attributes":{"a":1}}"#;

    #[test]
    fn a_message_without_payload_is_a_deletion_of_its_key() {
        let read = read(&message(None, &[]));
        let gone = observation(&read);
        assert_eq!(gone.key.id, "a/b");
        assert_eq!((gone.presence, gone.dialect), (Presence::Deleted, Dialect::AwsConfig));
        assert_eq!(gone.observed_at, None, "the message's time stands in, and is no claim");
        assert_eq!(read.time, Some(Timestamp(1_700_000_000_000_000)));
        let nameless = Message { key: Some(b"i-1".to_vec()), ..message(None, &[]) };
        assert!(reason(&nameless).contains("provider/account/region/type/id"));
    }

    #[test]
    fn headers_say_what_a_message_is() {
        let read_one = read(&message(Some(RECORD), &[("source-version", "12")]));
        assert_eq!(observation(&read_one).version, Some(12));
        assert!(
            reason(&message(Some(RECORD), &[("source-version", "x")])).contains("whole number")
        );
        let event =
            [("ce_type", "deployforge.observation.v1"), ("ce_time", "2026-11-20T10:00:00Z")];
        let read_one = read(&message(Some(RECORD), &event));
        let time = Timestamp::parse("2026-11-20T10:00:00Z").ok();
        assert_eq!(observation(&read_one).observed_at, time);
        let quoted = [("ce_type", "a\"b\\")];
        let other = message(Some("{\"x\":1}"), &quoted);
        assert!(reason(&other).contains("This CloudEvent is of type"));
        assert!(
            reason(&message(Some("x"), &[("content-type", "image/png")])).contains("image/png")
        );
        let hash = format!("blake3:{}", blake3::hash(RECORD.as_bytes()).to_hex());
        observation(&read(&message(Some(RECORD), &[("content-hash", &hash)])));
        let wrong = reason(&message(Some("{}"), &[("content-hash", &hash)]));
        assert!(wrong.contains("content-hash"), "{wrong}");
    }

    #[test]
    fn a_message_of_too_many_records_is_refused_as_one() {
        let many = "{}\n".repeat(LIMITS.message_records + LIMITS.chunk_bytes);
        let [Record::Reject(reject)] = &read(&message(Some(&many), &[])).records[..] else {
            panic!("one reject");
        };
        assert_eq!((reject.code, reject.size), (RejectCode::TooLarge, many.len() as u64));
        let fit = format!("{RECORD}\n").repeat(3);
        assert_eq!(read(&message(Some(&fit), &[])).records.len(), 3);
    }

    #[test]
    fn a_document_over_lines_is_one_message() {
        let pretty = RECORD.replace(',', ",\n");
        assert_eq!(observation(&read(&message(Some(&pretty), &[]))).position.line, 7);
        let two = format!("{RECORD}\n{RECORD}\n");
        assert_eq!(read(&message(Some(&two), &[])).records.len(), 2);
        let state = r#"{"version":4,"terraform_version":"1.5.0","serial":1,"lineage":"l","outputs":{},"resources":[]}"#;
        let (scopes, dialect) = read(&message(Some(state), &[])).listing.expect("it lists all");
        assert_eq!((scopes[0].collection.as_deref(), dialect), (Some("l"), Dialect::Terraform));
    }
}
