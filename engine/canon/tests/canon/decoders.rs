//! Every decoder gives the same trees and the same refusals. With the feature `sonic` that is one more.

use deployforge_canon::{Canon, CanonError, Decoder, Limits, Parser, State};
use deployforge_model::Dialect;
use proptest::prelude::*;

use super::generate::{json, object};

/// What all decoders make of a text, each twice with the same buffers, as a value or as our own
/// canonical text.
fn read(text: &[u8], stored: bool) -> Result<State, CanonError> {
    let canon = Canon { limits: Limits { depth: 100, bytes: 1 << 20 }, ..Canon::default() };
    let mut first = None;
    for decoder in Decoder::ALL {
        let mut parser = Parser::new(*decoder);
        for _ in 0..2 {
            let state = if stored {
                canon.stored_state(&mut parser, Dialect::Native, "t", text)
            } else {
                canon.value(&mut parser, Dialect::Native, "t", text)
            };
            match &first {
                None => first = Some(state),
                Some(first) => {
                    assert_eq!(*first, state, "{decoder:?}: {}", String::from_utf8_lossy(text));
                }
            }
        }
    }
    first.expect("there is a decoder")
}

proptest! {
    #[test]
    fn decoders_agree(text in prop_oneof![json(), object(json())]) {
        let _ = (read(text.as_bytes(), false), read(text.as_bytes(), true));
    }

    #[test]
    fn decoders_agree_on_what_is_broken(text in object(json()), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..4)) {
        let mut bytes = text.into_bytes();
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len() + 1);
            match kind {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, byte),
                2 => bytes.insert(at, b"\"\\{}[]:,-+.eE0 \x01"[usize::from(byte & 15)]),
                _ if at < bytes.len() => bytes[at] = byte,
                _ => {}
            }
        }
        let _ = read(&bytes, false);
    }
}

#[test]
fn what_is_no_json_is_refused() {
    let texts: &[&[u8]] = &[
        b"",
        b" ",
        b"{",
        b"{}x",
        b"{} {}",
        b"{}\0",
        b"[1,]",
        b"[,1]",
        b"{\"a\":1,}",
        b"{\"a\" 1}",
        b"{a:1}",
        b"01",
        b"-",
        b"+1",
        b"1.",
        b".5",
        b"1e",
        b"tru",
        b"nulll",
        b"NaN",
        b"\xef\xbb\xbf{}",
        b"\"\x01\"",
        b"\"a\nb\"",
        b"\"\\x\"",
        b"\"\\u12\"",
        b"\"\\u00g0\"",
        b"\"\xff\"",
        b"{\"\xc3\":1}",
        b"\"\xed\xa0\x80\"",
        b"[\"a\", \xff]",
        br#""\ud800""#,
        br#""\udc00""#,
        br#""\ud800\ud800""#,
        br#""\ud800x""#,
        br#""\ud800\n""#,
        br#"{"\udfff":1}"#,
        br#"{"a":"\ud83d"}"#,
    ];
    for text in texts {
        let error = read(text, false).unwrap_err();
        assert!(
            matches!(error, CanonError::Malformed(_)),
            "{error}: {}",
            String::from_utf8_lossy(text)
        );
    }
}

#[test]
fn numbers_are_exact_and_escapes_are_read() {
    for (text, canonical) in [
        ("-0", "0"),
        ("-0.0", "0"),
        ("1E2", "100"),
        ("9223372036854775808", "9223372036854775808"),
        ("18446744073709551616", "1.8446744073709551616e19"),
        ("-9223372036854775809", "-9.223372036854775809e18"),
        ("0.1", "0.1"),
        ("0.10000000000000001", "1.0000000000000001e-1"),
        ("[1e400,123456789012345678901234567890]", "[1e400,1.2345678901234567890123456789e29]"),
        (r#""\ud83d\ude00\u00e9\/\b""#, "\"\u{1F600}é/\\u0008\""),
        ("\t{ \"b\" : [ ] ,\r\n\"\\u0061\":{ } } ", r#"{"a":{},"b":[]}"#),
        ("\"\u{7f}\u{2028}\"", "\"\u{7f}\u{2028}\""),
    ] {
        assert_eq!(read(text.as_bytes(), false).unwrap().root.to_json(), canonical, "{text}");
    }
}

#[test]
fn refusals_are_the_same() {
    let twice = CanonError::DuplicateKey("ab".to_owned());
    for text in [r#"{"ab":1,"a\u0062":2}"#, r#"[{"x":0.5,"y":{"ab":[],"ab":[]}}]"#] {
        assert_eq!(read(text.as_bytes(), false).unwrap_err(), twice);
    }
    let secret = r#"{"a":{"$deployforge.secret":{"hmac":"0","key_id":"k","length":"1-8"}}}"#;
    assert_eq!(read(secret.as_bytes(), false).unwrap_err(), CanonError::Reserved);
    assert_eq!(read(secret.as_bytes(), true).unwrap().root.to_json(), secret);
}

#[test]
fn depth_is_checked_before_descent() {
    let nested = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        assert!(read(nested(open, "1", close, 100).as_bytes(), false).is_ok());
        for times in [101, 300, 100_000] {
            for inner in ["1", "1e999"] {
                let error = read(nested(open, inner, close, times).as_bytes(), false);
                assert_eq!(error.unwrap_err(), CanonError::TooDeep(100));
            }
        }
        assert!(matches!(
            read(open.repeat(100_000).as_bytes(), false),
            Err(CanonError::Malformed(_))
        ));
    }
}
