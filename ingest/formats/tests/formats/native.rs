//! The native observation, trap by trap.

use deployforge_formats::{Format, KeyDefaults, ReadOptions};
use deployforge_model::{Presence, Record, RejectCode, Scope, Sweep};

use super::support::{read, read_as, read_in};

#[test]
fn reads_the_documented_example() {
    let outcome = read(
        r#"{"provider":"AWS","account":"123456789012","region":"eu-west-1","type":"AWS::EC2::Instance","id":"i-0abc",
 "observed_at":"2026-11-20T10:00:00Z","version":17,"sweep":null,"deleted":false,"tags":{},"relationships":[{"type":"AWS::EC2::Subnet","id":"subnet-1","name":"contained_in"}],
 "address":"aws_instance.a","aliases":["arn:x"],"extra":{"any":1},
 "attributes":{ "n":1.50e0 , "u":"\u00e9" }}"#,
    );
    let observation = outcome.only();
    assert_eq!(observation.key.to_string(), "aws/123456789012/eu-west-1/AWS::EC2::Instance/i-0abc");
    assert_eq!(observation.observed_at.unwrap().to_string(), "2026-11-20T10:00:00Z");
    assert_eq!(observation.version, Some(17));
    assert_eq!(observation.sweep, None);
    assert_eq!(observation.address.as_deref(), Some("aws_instance.a"));
    assert_eq!(observation.aliases, ["arn:x"]);
    assert_eq!(
        String::from_utf8_lossy(&observation.state),
        r#"{"n":1.50e0 , "u":"\u00e9","relationships":[{"type":"AWS::EC2::Subnet","id":"subnet-1","name":"contained_in"}]}"#,
        "as it was written, and an empty `tags` is left out"
    );
    assert_eq!(outcome.summary.format, Some(Format::Native));
    assert!(!outcome.summary.complete_listing);
}

fn with(members: &str) -> String {
    format!(r#"{{"provider":"p","type":"t","id":"i",{members}}}"#)
}

#[test]
fn the_state_is_the_attributes_with_tags_and_relationships() {
    for (members, state) in [
        (r#""attributes":{}"#, "{}"),
        (r#""attributes":{},"tags":{"a":"b"}"#, r#"{"tags":{"a":"b"}}"#),
        (r#""tags":{"a":"b"},"attributes":{"x":1}"#, r#"{"x":1,"tags":{"a":"b"}}"#),
        (r#""attributes":{"tags":{"own":1}},"tags":{}"#, r#"{"tags":{"own":1}}"#),
        (r#""attributes":{"x":1},"tags":null,"relationships":[ ]"#, r#"{"x":1}"#),
        (
            r#""attributes":{"big":123456789012345678901234567890}"#,
            r#"{"big":123456789012345678901234567890}"#,
        ),
    ] {
        let outcome = read(with(members));
        assert_eq!(String::from_utf8_lossy(&outcome.only().state), state);
    }
    let outcome = read(with(r#""deleted":true"#));
    assert_eq!(outcome.only().presence, Presence::Deleted);
    assert!(outcome.only().state.is_empty());
}

#[test]
fn what_is_wrong_is_named() {
    for (record, code, word) in [
        (with(r#""deleted":false"#), RejectCode::BadField, "`attributes`"),
        (with(r#""attribute":{}"#), RejectCode::BadField, "`attributes`"),
        (with(r#""attributes":null"#), RejectCode::BadField, "`attributes`"),
        (with(r#""attributes":[]"#), RejectCode::BadField, "`attributes`"),
        (with(r#""attributes":{"tags":1},"tags":{"a":1}"#), RejectCode::BadField, "`tags`"),
        (
            with(r#""attributes":{"relationships":1},"relationships":[1]"#),
            RejectCode::BadField,
            "`relationships`",
        ),
        (with(r#""attributes":{},"tags":[1]"#), RejectCode::BadField, "`tags`"),
        (
            with(r#""attributes":{},"relationships":{"a":1}"#),
            RejectCode::BadField,
            "`relationships`",
        ),
        (
            with(r#""attributes":{},"observed_at":"yesterday""#),
            RejectCode::BadField,
            "`observed_at`",
        ),
        (with(r#""attributes":{},"observed_at":12"#), RejectCode::BadField, "`observed_at`"),
        (with(r#""attributes":{},"version":-1"#), RejectCode::BadField, "`version`"),
        (with(r#""attributes":{},"version":1.5"#), RejectCode::BadField, "`version`"),
        (with(r#""attributes":{},"deleted":"yes""#), RejectCode::BadField, "`deleted`"),
        (with(r#""attributes":{},"sweep":1"#), RejectCode::BadField, "`sweep`"),
        (with(r#""attributes":{},"aliases":"a""#), RejectCode::BadField, "`aliases`"),
        (with(r#""attributes":{},"aliases":[1]"#), RejectCode::BadField, "`aliases`"),
        (with(r#""attributes":{},"id":"j""#), RejectCode::DuplicateKey, "`id`"),
        (with(r#""attributes":{},"attributes":{}"#), RejectCode::DuplicateKey, "`attributes`"),
        (with(r#""attributes":{},"\u0069d":"j""#), RejectCode::DuplicateKey, "`id`"),
        (r#"{"type":"t","id":"i","attributes":{}}"#.to_owned(), RejectCode::BadField, "`provider`"),
        (r#"{"provider":"p","id":"i","attributes":{}}"#.to_owned(), RejectCode::BadField, "`type`"),
        (r#"{"provider":"p","type":"t","attributes":{}}"#.to_owned(), RejectCode::BadField, "`id`"),
        (
            r#"{"provider":"p","type":"t","id":"","attributes":{}}"#.to_owned(),
            RejectCode::BadField,
            "`id`",
        ),
        (
            r#"{"provider":"p","type":"t","id":7,"attributes":{}}"#.to_owned(),
            RejectCode::BadField,
            "`id`",
        ),
    ] {
        let outcome = read(&record);
        let reject = outcome.refused();
        assert_eq!(reject.code, code, "{record} {reject:?}");
        assert!(reject.reason.contains(word), "{record} {reject:?}");
    }
    let outcome = read(with(r#""attributes":{"a":1,"a":2}"#));
    assert_eq!(outcome.only().state, br#"{"a":1,"a":2}"#, "for the canonicaliser to see");
}

#[test]
fn defaults_fill_what_is_missing_and_nothing_else() {
    let defaults = KeyDefaults {
        provider: Some("aws".to_owned()),
        account: Some("1".to_owned()),
        region: Some("r".to_owned()),
    };
    let options = ReadOptions { defaults, ..ReadOptions::default() };
    for (record, key) in [
        (r#"{"type":"t","id":"i","attributes":{}}"#, "aws/1/r/t/i"),
        (r#"{"type":"t","id":"i","attributes":{},"account":null}"#, "aws/1/r/t/i"),
        (r#"{"type":"t","id":"i","attributes":{},"account":"","region":""}"#, "aws///t/i"),
        (
            r#"{"provider":"x","account":"2","region":"s","type":"t","id":"i","attributes":{}}"#,
            "x/2/s/t/i",
        ),
    ] {
        let outcome = read_in(&options, record.as_bytes(), 5);
        assert_eq!(outcome.only().key.to_string(), key);
    }
}

#[test]
fn sweeps_are_framed() {
    let outcome = read(
        r#"{"sweep":"start","id":"s1","scope":{"provider":"aws","type":"AWS::S3::Bucket"}}
{"provider":"aws","type":"AWS::S3::Bucket","id":"b","sweep":"s1","attributes":{}}
{"sweep":"end","id":"s1"}
{"sweep":"start","id":"s2"}
{"sweep":"start","id":"s3","scope":{"providr":"aws"}}
{"sweep":"start"}
"#,
    );
    let scope = Scope {
        provider: Some("aws".to_owned()),
        resource_type: Some("AWS::S3::Bucket".to_owned()),
        ..Scope::default()
    };
    assert_eq!(outcome.records[0], Record::Sweep(Sweep::Start { id: "s1".to_owned(), scope }));
    assert_eq!(outcome.observations()[0].sweep.as_deref(), Some("s1"));
    assert_eq!(outcome.records[2], Record::Sweep(Sweep::End { id: "s1".to_owned() }));
    let scope = Scope::default();
    assert_eq!(outcome.records[3], Record::Sweep(Sweep::Start { id: "s2".to_owned(), scope }));
    assert_eq!(outcome.codes(), [RejectCode::BadField, RejectCode::BadField]);
    assert!(!outcome.summary.complete_listing, "the frames say what is complete");
}

#[test]
fn a_named_format_refuses_the_others() {
    let item = r#"{"resourceType":"t","resourceId":"i","configuration":{}}"#;
    let reject = read_as(Format::Native, item).refused().clone();
    assert_eq!(reject.code, RejectCode::NotARecord);
    assert!(reject.reason.contains("aws-config"), "{reject:?}");
    assert_eq!(read_as(Format::AwsConfig, item).only().key.id, "i");
    let reject = read_as(Format::Native, "{}").refused().clone();
    assert_eq!(reject.code, RejectCode::BadField);
}
