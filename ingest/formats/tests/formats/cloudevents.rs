//! CloudEvents, trap by trap.

use deployforge_formats::Format;
use deployforge_model::RejectCode;

use super::support::read;

const TYPE: &str = "deployforge.observation.v1";
const DATA: &str = r#"{"provider":"p","type":"t","id":"i","attributes":{"a":1.0}}"#;

fn event(kind: &str, rest: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"e","source":"/s","type":"{kind}","time":"2026-11-20T10:00:00Z",{rest}}}"#
    )
}

#[test]
fn data_comes_as_object_text_or_base64() {
    let text = serde_json::to_string(DATA).unwrap();
    let base64 = "eyJwcm92aWRlciI6InAiLCJ0eXBlIjoidCIsImlkIjoiaSIsImF0dHJpYnV0ZXMiOnsiYSI6MS4wfX0=";
    for data in [
        format!("\"data\":{DATA}"),
        format!("\"data\":{text}"),
        format!("\"data_base64\":\"{base64}\""),
    ] {
        let outcome = read(event(TYPE, &data));
        assert_eq!(outcome.only().state, br#"{"a":1.0}"#);
        assert_eq!(outcome.only().observed_at.unwrap().to_string(), "2026-11-20T10:00:00Z");
        assert_eq!(outcome.summary.format, Some(Format::CloudEvents));
    }
    let own = DATA.replace("\"id\"", "\"observed_at\":\"2026-01-01T00:00:00Z\",\"id\"");
    let outcome = read(event(TYPE, &format!("\"data\":{own}")));
    assert_eq!(outcome.only().observed_at.unwrap().to_string(), "2026-01-01T00:00:00Z");
}

#[test]
fn batches_and_lines_are_events_one_by_one() {
    let one = event(TYPE, &format!("\"data\":{DATA}"));
    assert_eq!(read(format!("[{one},{one}]")).observations().len(), 2);
    assert_eq!(read(format!("{one}\n{one}\n")).observations().len(), 2);
}

#[test]
fn other_types_are_read_by_their_data_or_refused_by_name() {
    let item = r#"{"resourceType":"t","resourceId":"i","configuration":{}}"#;
    assert_eq!(read(event("com.example.item", &format!("\"data\":{item}"))).only().key.id, "i");
    assert_eq!(read(event("com.example.x", &format!("\"data\":{DATA}"))).only().key.id, "i");
    for rest in [r#""data":{"x":1}"#, r#""datacontenttype":"application/json""#] {
        let outcome = read(event("com.example.order", rest));
        assert_eq!(outcome.refused().code, RejectCode::Unsupported);
        assert!(outcome.refused().reason.contains("com.example.order"));
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (record, code) in [
        (event(TYPE, "\"subject\":\"x\""), RejectCode::BadField),
        (event(TYPE, "\"data\":[1]"), RejectCode::BadField),
        (event(TYPE, "\"data\":\"{\""), RejectCode::Malformed),
        (event(TYPE, "\"data_base64\":\"%%\""), RejectCode::BadField),
        (event(TYPE, "\"data\":{},\"data_base64\":\"e30=\""), RejectCode::BadField),
        (event(TYPE, "\"data\":{},\"id\":\"f\""), RejectCode::DuplicateKey),
        (event(TYPE, "\"data\":{}").replace("1.0", "0.3"), RejectCode::Unsupported),
        (event(TYPE, "\"data\":{}").replace("10:00:00Z", "10"), RejectCode::BadField),
    ] {
        assert_eq!(read(&record).refused().code, code, "{record}");
    }
}
