//! Recordings of calls to an API: what was asked, and what came back.
//!
//! Cassettes hold `interactions`, each with its request and its response; another kind holds the
//! `headers` and the `body` of one reply, and is named after its call. The bodies of calls that only
//! read are handed on, with the call beside them ([`Request`]), since many replies don't say what they
//! are replies to. What failed, what changed something and what has no JSON in it is counted.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use deployforge_model::{RejectCode, Timestamp};
use serde_json::value::RawValue;

use crate::detect;
use crate::json::{self, Members};
use crate::refusal::Refusal;
use crate::sink::{Note, Sink};
use crate::terraform::Locator;

/// The call that a reply answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// The method, in capitals.
    pub(crate) method: String,
    /// The whole address, or empty where the recording does not tell.
    pub(crate) uri: String,
    /// When the reply was sent.
    pub(crate) at: Option<Timestamp>,
}

impl Request {
    /// The host, in lower case, without a port.
    pub(crate) fn host(&self) -> String {
        let rest = self.uri.split_once("://").map_or("", |(_, rest)| rest);
        let host = rest.split(['/', '?', ':']).next().unwrap_or_default();
        host.to_ascii_lowercase()
    }

    /// The path, without the query.
    pub(crate) fn path(&self) -> &str {
        let rest = self.uri.split_once("://").map_or(&*self.uri, |(_, rest)| rest);
        let path = rest.find('/').map_or("", |at| &rest[at..]);
        path.split(['?', '#']).next().unwrap_or_default()
    }

    /// Whether the call changes nothing. Of the calls that send something, these only ask.
    fn reads(&self) -> bool {
        const QUERIES: [&str; 9] = [
            "getiampolicy",
            "microsoft.resourcegraph/resources",
            "resourcechanges",
            "resourcechangedetails",
            ":search",
            "/search",
            ":searchall",
            "listorgpolicies",
            "getancestry",
        ];
        let path = self.path().to_ascii_lowercase();
        match self.method.as_str() {
            "GET" | "" => true,
            "POST" => QUERIES.iter().any(|query| path.trim_end_matches('/').ends_with(query)),
            _ => false,
        }
    }
}

const FAILED: Note =
    Note::Counted("recorded call failed and was skipped", "recorded calls failed and were skipped");
const CHANGES: Note = Note::Counted(
    "recorded call that is no listing was skipped",
    "recorded calls that are no listings were skipped",
);
const NO_JSON: Note = Note::Counted(
    "recorded reply without JSON was skipped",
    "recorded replies without JSON were skipped",
);

/// Whether this is a recording.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    members.get("interactions").is_some_and(json::is_array) || is_flight(members)
}

/// The headers and the body of one reply, and nothing else.
fn is_flight(members: &Members<'_>) -> bool {
    members.get("headers").is_some_and(json::is_object)
        && members.has("body")
        && members.iter().count() == 2
}

/// Reads the replies of a recording.
pub(crate) fn read(members: &Members<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    members.unique("the recording")?;
    if is_flight(members) {
        return read_flight(members, sink);
    }
    let interactions = members.array("interactions")?.unwrap_or_default();
    sink.note(Note::EmptyList, interactions.is_empty().into());
    let start = sink.position;
    let mut locator = Locator::new(text, start);
    for raw in interactions {
        sink.position = locator.position(raw.get());
        if let Err(refusal) = read_interaction(raw, sink) {
            sink.refuse(&refusal, raw.get().as_bytes());
        }
    }
    sink.position = start;
    Ok(())
}

fn read_interaction(raw: &RawValue, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let what = "an interaction of the recording";
    let interaction = Members::of(raw, "interactions")?;
    let part = |name: &'static str| {
        let raw = interaction.get(name).ok_or(Refusal::Missing { field: name, what })?;
        Members::of(raw, name)
    };
    let (asked, reply) = (part("request")?, part("response")?);
    let uri = asked.peek("uri").or_else(|| asked.peek("url")).unwrap_or_default();
    let headers = reply.get("headers").map(|raw| Members::of(raw, "headers")).transpose()?;
    let request = Request {
        method: asked.peek("method").unwrap_or_default().to_ascii_uppercase(),
        uri: uri.into_owned(),
        at: headers.as_ref().and_then(date),
    };
    let status = reply.get("status").and_then(|raw| match Members::of(raw, "status") {
        Ok(status) => status.get("code").map(|code| code.get().to_owned()),
        Err(_) => Some(raw.get().to_owned()),
    });
    let Some(body) = reply.get("body") else {
        sink.note(NO_JSON, 1);
        return Ok(());
    };
    if let Some(body) = body_of(body) {
        return exchange(request, status.as_deref(), &body, sink);
    }
    sink.note(NO_JSON, 1);
    Ok(())
}

/// One reply, recorded under the name of its call: `get-compute-v1-projects-p-….json`.
fn read_flight(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let headers = members.get("headers").map(|raw| Members::of(raw, "headers")).transpose()?;
    let header = |name: &str| headers.as_ref().and_then(|headers| first(headers, name));
    let name = sink.options.name.clone().unwrap_or_default();
    let method = name.split('-').next().unwrap_or_default().to_ascii_uppercase();
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str());
    let google = header("server").is_some_and(|server| {
        ["ESF", "GSE", "UploadServer", "Google Frontend"].contains(&&*server)
    });
    let uri = match header("content-location") {
        Some(uri) => uri,
        None if known => named_after(&name, google),
        None => String::new(),
    };
    let request = Request {
        method: if known { method } else { String::new() },
        uri,
        at: headers.as_ref().and_then(date),
    };
    let status = header("status");
    let Some(body) = members.get("body") else {
        sink.note(NO_JSON, 1);
        return Ok(());
    };
    let text = json::text_of(body);
    exchange(request, status.as_deref(), text.as_deref().unwrap_or(body.get()), sink)
}

/// What a file's name tells of the call: the service, if it is spelled out, and the path, which has
/// lost its slashes, below `/-/`.
fn named_after(name: &str, google: bool) -> String {
    let stem = name.trim_end_matches(".json");
    let stem = stem.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_');
    let (_, call) = stem.split_once('-').unwrap_or_default();
    let host = call.find(".googleapis.com-").map(|at| &call[..at + ".googleapis.com".len()]);
    match host {
        Some(host) => format!("https://{host}/-/{}", &call[host.len() + 1..]),
        None if google => format!("https://googleapis.com/-/{call}"),
        None => format!("/-/{call}"),
    }
}

/// Hands a reply on, if it is one to read.
fn exchange(
    request: Request,
    status: Option<&str>,
    body: &str,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    if status.is_some_and(|status| !status.trim_matches('"').starts_with('2')) {
        sink.note(FAILED, 1);
        return Ok(());
    }
    if !request.reads() {
        sink.note(CHANGES, 1);
        return Ok(());
    }
    let limit = sink.options.limits.depth;
    let body = match json::nested(body.trim(), limit) {
        Ok(body) if json::is_object(body) || json::is_array(body) => body,
        Err(refusal @ Refusal::TooDeep { .. }) => return Err(refusal),
        _ => {
            sink.note(NO_JSON, 1);
            return Ok(());
        }
    };
    if json::is_empty(body) {
        sink.note(Note::EmptyList, 1);
        return Ok(());
    }
    let before = sink.request.replace(request);
    let result = detect::deeper(sink, |sink| deliver(body, sink));
    sink.request = before;
    result
}

/// A list at the outermost level is read element by element.
fn deliver(body: &RawValue, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    if json::is_object(body) {
        return detect::read_reply(body.get(), sink);
    }
    for element in json::elements(body, "body")? {
        if let Err(refusal) = detect::read_reply(element.get(), sink) {
            sink.refuse(&refusal, element.get().as_bytes());
        }
    }
    Ok(())
}

/// The text of a cassette's body: as such, or under `data`, `string` or `base64_string`.
fn body_of(body: &RawValue) -> Option<Cow<'_, str>> {
    if let Some(text) = json::text_of(body) {
        return Some(text);
    }
    let plain = || Some(Cow::Borrowed(body.get()));
    if !json::is_object(body) {
        return plain();
    }
    let members = Members::parse(body.get()).ok()?;
    if members.iter().count() > 2 {
        return plain();
    }
    if let Some(text) = members.peek("base64_string") {
        return String::from_utf8(STANDARD.decode(text.as_bytes()).ok()?).ok().map(Cow::Owned);
    }
    let inner = members.raw("string").or_else(|| members.raw("data"));
    match inner {
        Some(raw) => json::text_of(raw).or(Some(Cow::Borrowed(raw.get()))),
        None => plain(),
    }
}

/// A header's first value; names of headers ignore case.
fn first(headers: &Members<'_>, name: &str) -> Option<String> {
    let (_, raw) = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    if json::is_array(raw) {
        let values = json::elements(raw, "headers").ok()?;
        return values.into_iter().find_map(json::text_of).map(String::from);
    }
    json::text_of(raw).map(String::from)
}

/// When a reply was sent: `Fri, 13 Sep 2019 22:07:21 GMT`.
fn date(headers: &Members<'_>) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = first(headers, "date")?;
    let mut words = text.split_whitespace().skip(1);
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    Timestamp::parse(&format!("{year}-{month:02}-{day:0>2}T{time}Z")).ok()
}

/// What to say of a reply that nothing reads.
pub(crate) fn unknown_reply(request: &Request) -> Refusal {
    let host = crate::refusal::printable(&request.host());
    let of = if host.is_empty() { String::new() } else { format!(" of {host}") };
    let reason = format!(
        "This recorded reply{of} is of no kind that is read; record listings of resources."
    );
    Refusal::new(RejectCode::NotARecord, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_their_parts() {
        let request = |method: &str, uri: &str| Request {
            method: method.to_owned(),
            uri: uri.to_owned(),
            at: None,
        };
        let one = request("GET", "https://Management.Azure.com:443/subscriptions/s?api-version=1");
        assert_eq!((one.host().as_str(), one.path()), ("management.azure.com", "/subscriptions/s"));
        assert_eq!(
            (request("GET", "/-/x").host().as_str(), request("", "/-/x").path()),
            ("", "/-/x")
        );
        for (method, uri, reads) in [
            ("GET", "https://a/b", true),
            ("POST", "https://a/providers/Microsoft.ResourceGraph/resources?api-version=1", true),
            ("POST", "https://a/v1/projects/p/topics/t:getIamPolicy", true),
            ("POST", "https://a/storageAccounts/x/listKeys", false),
            ("PUT", "https://a/b", false),
        ] {
            assert_eq!(request(method, uri).reads(), reads, "{method} {uri}");
        }
    }

    #[test]
    fn file_names_tell_the_call() {
        let name = "post-v1-projects-p-getIamPolicy_12.json";
        assert_eq!(named_after(name, false), "/-/v1-projects-p-getIamPolicy");
        assert_eq!(named_after(name, true), "https://googleapis.com/-/v1-projects-p-getIamPolicy");
        assert_eq!(
            named_after("get-us-east1-aiplatform.googleapis.com-v1-projects-p-models_1.json", true),
            "https://us-east1-aiplatform.googleapis.com/-/v1-projects-p-models"
        );
    }

    #[test]
    fn times_of_headers() {
        let headers = Members::parse(r#"{"Date":["Fri, 3 Sep 2019 22:07:21 GMT"]}"#).unwrap();
        assert_eq!(date(&headers).unwrap().to_string(), "2019-09-03T22:07:21Z");
        let headers = Members::parse(r#"{"date":"Fri, 13 Foo 2019 22:07:21 GMT"}"#).unwrap();
        assert_eq!(date(&headers), None);
    }
}
