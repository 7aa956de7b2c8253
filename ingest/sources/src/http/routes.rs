//! What is asked, and how it is answered.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::body::{self, BadBody};
use super::desk::{Desk, Fate, Place, Refusal, Room};
use crate::message::is_telling;

/// Content types of which each line is a record.
const LINES: [&str; 4] =
    ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"];

/// Content types of one document.
const DOCUMENTS: [&str; 3] =
    ["application/json", "application/cloudevents+json", "application/cloudevents-batch+json"];

/// What content types of documents of a named format begin and end with.
const NAMED: (&str, &str) = ("application/vnd.deployforge.", "+json");

/// Where people and machines look for health, which is not served here.
const HEALTH: [&str; 6] = ["/", "/health", "/healthz", "/ready", "/readyz", "/metrics"];

/// Records of one body of lines: each may become a row, however short it is.
const RECORDS_MAX: u64 = 100_000;

/// What the binding of CloudEvents to HTTP puts before attributes in headers.
const CLOUD_EVENT: &str = "ce-";

/// What the routes know.
#[derive(Debug)]
pub(super) struct Office {
    pub(super) desk: Desk,
    /// The hash of the token.
    pub(super) token: Option<blake3::Hash>,
    pub(super) body_bytes: usize,
    pub(super) wait: Duration,
    pub(super) retry_seconds: u64,
    /// Formats that a content type may name.
    pub(super) formats: Vec<&'static str>,
}

pub(super) fn router(office: Arc<Office>) -> Router {
    Router::new()
        .route("/v1/observations", post(observations))
        .route("/v1/receipts/{receipt}", get(receipt))
        .fallback(no_such_path)
        .method_not_allowed_fallback(other_method)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&office), guard))
        .with_state(office)
}

/// Lets through who has the token, and counts answers.
async fn guard(
    State(office): State<Arc<Office>>,
    request: Request,
    next: axum::middleware::Next,
) -> Response {
    // Who only asks whether it lives has no token, and is told where to ask.
    let asks = HEALTH.contains(&request.uri().path());
    let answer = if asks || is_allowed(office.token.as_ref(), request.headers()) {
        next.run(request).await
    } else {
        let mut refused = refusal(
            StatusCode::UNAUTHORIZED,
            "send the token that is configured as `Authorization: Bearer TOKEN`",
        );
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        refused
    };
    let status = answer.status().as_u16().to_string();
    metrics::counter!("deployforge_http_requests_total", "status" => status).increment(1);
    answer
}

fn is_allowed(token: Option<&blake3::Hash>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let Some((scheme, given)) = given.split_at_checked(7) else { return false };
    // Hashes are compared in a time that tells nothing, and have one length.
    scheme.eq_ignore_ascii_case(b"bearer ") && blake3::hash(given.trim_ascii()) == *token
}

async fn observations(State(office): State<Arc<Office>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let place = match take(&office, &head.headers, body).await {
        Ok(place) => place,
        Err(answer) => return answer,
    };
    let wait = if wants_no_wait(&head.headers) { Duration::ZERO } else { office.wait };
    let Place { life, first, last } = place;
    match office.desk.wait(place, wait).await {
        Fate::Durable => {
            answer(StatusCode::OK, &json!({"durable": true, "first": first, "offset": last}))
        }
        Fate::Pending => {
            let receipt = format!("{life:016x}-{last}");
            let place = format!("/v1/receipts/{receipt}");
            let said =
                json!({"durable": false, "first": first, "offset": last, "receipt": receipt});
            let mut accepted = answer(StatusCode::ACCEPTED, &said);
            // Digits and dashes are a header.
            if let Ok(place) = HeaderValue::from_str(&place) {
                accepted.headers_mut().insert(header::LOCATION, place);
            }
            accepted
        }
        Fate::Unknown => later(
            StatusCode::SERVICE_UNAVAILABLE,
            "reading began anew, and whether this was kept is not known; post it again",
            office.retry_seconds,
        ),
    }
}

async fn receipt(State(office): State<Arc<Office>>, Path(receipt): Path<String>) -> Response {
    let parts = receipt
        .split_once('-')
        .and_then(|(life, last)| Some((u64::from_str_radix(life, 16).ok()?, last.parse().ok()?)));
    let fate = parts.map_or(Fate::Unknown, |(life, last)| office.desk.fate(life, last));
    match fate {
        Fate::Durable => answer(StatusCode::OK, &json!({"durable": true, "receipt": receipt})),
        Fate::Pending => answer(StatusCode::OK, &json!({"durable": false, "receipt": receipt})),
        Fate::Unknown => refusal(
            StatusCode::NOT_FOUND,
            "what became of this is not known; if it was not durable when you last asked, post it again",
        ),
    }
}

async fn no_such_path(request: Request) -> Response {
    let problem = if HEALTH.contains(&request.uri().path()) {
        "health and metrics are not served here but at `listen` of the configuration, as /healthz, /readyz and /metrics; observations are posted to /v1/observations"
    } else {
        "there is nothing at this path; post observations to /v1/observations"
    };
    refusal(StatusCode::NOT_FOUND, problem)
}

async fn other_method(request: Request) -> Response {
    let problem = if request.uri().path() == "/v1/observations" {
        "send observations with POST"
    } else {
        "ask for a receipt with GET"
    };
    refusal(StatusCode::METHOD_NOT_ALLOWED, problem)
}

/// How a body is read.
enum Kind {
    Lines,
    /// One message, with what of its headers tells something.
    Message(Vec<(String, Vec<u8>)>),
}

/// Reads a body and puts it in its place.
async fn take(office: &Office, headers: &HeaderMap, body: Body) -> Result<Place, Response> {
    let kind = kind(headers, &office.formats)
        .map_err(|problem| refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, &problem))?;
    let packed = is_packed(headers)
        .map_err(|problem| refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, problem))?;
    let bad = |bad| bad_body(office, bad);
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if length.and_then(|length| length.parse::<u64>().ok()) > Some(office.body_bytes as u64) {
        return Err(bad(BadBody::TooLarge));
    }
    office.desk.look().map_err(|refused| bad(refused.into()))?;
    let mut room = Room::new(&office.desk);
    let mut bytes: Bytes =
        body::read(body, &mut room, office.body_bytes).await.map_err(bad)?.into();
    if packed {
        let unpack = || body::unpack(&bytes, &mut room, office.body_bytes);
        bytes = tokio::task::block_in_place(unpack).map_err(bad)?.into();
    }
    let (records, headers) = match kind {
        Kind::Lines => (lines(&bytes).count() as u64, None),
        Kind::Message(headers) => (u64::from(!bytes.trim_ascii().is_empty()), Some(headers)),
    };
    if records > RECORDS_MAX {
        let problem = format!("a body has at most {RECORDS_MAX} records; send less at a time");
        return Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, &problem));
    }
    if records == 0 {
        return Err(refusal(StatusCode::BAD_REQUEST, "the body is empty"));
    }
    let accepted = office.desk.accept(&mut room, bytes, records, headers);
    accepted.map_err(|refused| bad(refused.into()))
}

/// The lines of a body that hold something.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    let cut = std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(line)
    });
    cut.map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
}

/// How a body with such headers is read.
fn kind(headers: &HeaderMap, formats: &[&str]) -> Result<Kind, String> {
    let text = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let text = text.unwrap_or_default();
    let plain = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let lines = LINES.contains(&plain.as_str());
    let (begin, end) = NAMED;
    let named = plain.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end));
    let named = named.is_some_and(|name| formats.contains(&name));
    if !lines && !named && !DOCUMENTS.contains(&plain.as_str()) {
        return Err(format!(
            "send `Content-Type: application/x-ndjson` with a record a line, or {} with a document, or {begin}FORMAT{end} with one of a format: {}",
            DOCUMENTS.join(", "),
            formats.join(", ")
        ));
    }
    let mut telling: Vec<(String, Vec<u8>)> = headers
        .iter()
        .filter(|(name, _)| *name != header::CONTENT_TYPE)
        .map(|(name, value)| (as_message(name), value.as_bytes().to_vec()))
        .filter(|(name, value)| is_telling(name, value))
        .collect();
    // What is said of all lines together is said of one message.
    if lines && telling.is_empty() {
        return Ok(Kind::Lines);
    }
    if is_telling("content-type", text.as_bytes()) && !lines {
        telling.push(("content-type".to_owned(), plain.into_bytes()));
    }
    Ok(Kind::Message(telling))
}

/// A header's name as messages have it.
fn as_message(name: &HeaderName) -> String {
    match name.as_str().strip_prefix(CLOUD_EVENT) {
        Some(attribute) => format!("ce_{attribute}"),
        None => name.as_str().to_owned(),
    }
}

fn is_packed(headers: &HeaderMap) -> Result<bool, &'static str> {
    let mut all = headers.get_all(header::CONTENT_ENCODING).iter();
    let encoding = all.next().map(HeaderValue::as_bytes).unwrap_or_default();
    let encoding = encoding.trim_ascii().to_ascii_lowercase();
    match (encoding.as_slice(), all.next()) {
        (b"" | b"identity", None) => Ok(false),
        (b"gzip" | b"x-gzip", None) => Ok(true),
        _ => Err("send the body as it is, or with `Content-Encoding: gzip`"),
    }
}

/// Whether the client takes a receipt instead of waiting (RFC 7240).
fn wants_no_wait(headers: &HeaderMap) -> bool {
    let prefers = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    prefers
        .flat_map(|value| value.split([',', ';']))
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}

fn bad_body(office: &Office, bad: BadBody) -> Response {
    let seconds = office.retry_seconds;
    match bad {
        BadBody::TooLarge => refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!(
                "a body has at most {} bytes, also unpacked; send less at a time",
                office.body_bytes
            ),
        ),
        BadBody::TooSlow => refusal(StatusCode::REQUEST_TIMEOUT, "the body came too slowly"),
        BadBody::BrokenOff => refusal(StatusCode::BAD_REQUEST, "the body broke off"),
        BadBody::NotGzip => refusal(StatusCode::BAD_REQUEST, "the body is not gzip, or damaged"),
        BadBody::Refused(Refusal::Pressure) => later(
            StatusCode::TOO_MANY_REQUESTS,
            "too much waits to become durable; post again later",
            seconds,
        ),
        BadBody::Refused(Refusal::Paused) => later(
            StatusCode::TOO_MANY_REQUESTS,
            "too much of what came was refused, and reading pauses; look at the table `rejects`",
            seconds,
        ),
        BadBody::Refused(Refusal::Closed) => later(
            StatusCode::SERVICE_UNAVAILABLE,
            "nothing is read at the moment; post again later",
            seconds,
        ),
    }
}

fn answer(status: StatusCode, said: &Value) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (status, [kind], said.to_string()).into_response()
}

fn refusal(status: StatusCode, problem: &str) -> Response {
    answer(status, &json!({"error": problem}))
}

fn later(status: StatusCode, problem: &str, seconds: u64) -> Response {
    let mut answer = refusal(status, problem);
    answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        all.iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_token_is_the_same_or_it_is_not() {
        let token = blake3::hash(b"abc");
        let given = |value| headers(&[("authorization", value)]);
        for right in ["Bearer abc", "bearer  abc "] {
            assert!(is_allowed(Some(&token), &given(right)), "{right}");
        }
        for wrong in ["", "Bearer", "Bearer ", "Bearer ab", "Bearer abcd", "Basic abc", "abc"] {
            assert!(!is_allowed(Some(&token), &given(wrong)), "{wrong}");
        }
        assert!(!is_allowed(Some(&token), &HeaderMap::new()));
        assert!(is_allowed(None, &HeaderMap::new()));
    }

    #[test]
    fn headers_say_how_a_body_is_read() {
        let of = |all: &[(&'static str, &'static str)]| {
            kind(&headers(all), &["native", "terraform-state"])
        };
        let lines = ("content-type", "application/x-NDJSON; charset=utf-8");
        assert!(matches!(of(&[lines]), Ok(Kind::Lines)));
        let told = |all: &[(&'static str, &'static str)]| match of(all) {
            Ok(Kind::Message(headers)) => {
                headers.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
            }
            Ok(Kind::Lines) => panic!("lines"),
            Err(problem) => panic!("{problem}"),
        };
        assert_eq!(told(&[lines, ("content-hash", "blake3:0")]), ["content-hash"]);
        let json = ("content-type", "application/json");
        assert_eq!(told(&[json]), [""; 0]);
        assert_eq!(told(&[json, ("ce-type", "t"), ("cookie", "c")]), ["ce_type"]);
        assert_eq!(
            told(&[("content-type", "application/cloudevents-batch+json")]),
            ["content-type"]
        );
        assert_eq!(
            told(&[("content-type", "application/vnd.deployforge.terraform-state+json")]),
            ["content-type"]
        );
        // What a page of another site may send without being asked is not read.
        for other in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "",
            "application/vnd.x+json",
            "application/vnd.deployforge.x+json",
            "application/vnd.deployforge.native",
            "application/vnd.deployforge.+json",
        ] {
            assert!(of(&[("content-type", other)]).is_err(), "{other}");
        }
        assert!(of(&[]).is_err());
    }

    #[test]
    fn lines_are_what_holds_something() {
        let found: Vec<&[u8]> = lines(b"\n a\r\n\n \nb").collect();
        assert_eq!(found, [b"a", b"b"]);
        assert_eq!(lines(b"\n\n").count(), 0);
    }

    #[test]
    fn preferences_and_encodings_are_read_as_they_are_written() {
        assert!(wants_no_wait(&headers(&[("prefer", "wait=3, Respond-Async")])));
        assert!(!wants_no_wait(&headers(&[("prefer", "return=minimal")])));
        assert_eq!(is_packed(&headers(&[("content-encoding", "GZIP")])), Ok(true));
        assert_eq!(is_packed(&HeaderMap::new()), Ok(false));
        assert!(is_packed(&headers(&[("content-encoding", "br")])).is_err());
        assert!(is_packed(&headers(&[("content-encoding", "gzip, gzip")])).is_err());
    }
}
