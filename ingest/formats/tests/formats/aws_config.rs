//! AWS Config in its wrappings, trap by trap.

use deployforge_formats::{Format, KeyDefaults, ReadOptions};
use deployforge_model::{Presence, RejectCode};
use serde_json::{Value, json};

use super::support::{read, read_in, state};

fn text(value: &Value) -> Value {
    Value::String(value.to_string())
}

/// One bucket as the files on S3 spell it.
fn of_file() -> Value {
    json!({
        "configurationItemVersion": "1.3", "awsAccountId": "123456789012",
        "ARN": "arn:aws:s3:::b", "configurationStateMd5Hash": "",
        "configurationStateId": 1_484_002_215_156_u64,
        "configurationItemCaptureTime": "2017-01-09T22:50:15.156Z",
        "configurationItemStatus": "OK", "resourceType": "AWS::S3::Bucket", "resourceId": "b",
        "resourceName": "b", "awsRegion": "eu-west-1", "tags": {"ARN": "not this one"},
        "relationships": [{"resourceType": "AWS::IAM::Role", "resourceId": "r", "name": "Uses"}],
        "configuration": {"name": "b", "size": 1},
        "supplementaryConfiguration": {
            "AccessControlList": "{\"grantList\":[]}", "BucketPolicy": {"policyText": null},
            "IsRequesterPaysEnabled": false
        },
        "relatedEvents": ["e"], "recordingFrequency": "CONTINUOUS"
    })
}

/// The same as the API spells it.
fn of_api() -> Value {
    json!({
        "version": "1.3", "accountId": "123456789012", "arn": "arn:aws:s3:::b",
        "configurationItemMD5Hash": "", "configurationStateId": "1484002215156",
        "configurationItemCaptureTime": 1_484_002_215.156,
        "configurationItemStatus": "OK", "resourceType": "AWS::S3::Bucket", "resourceId": "b",
        "resourceName": "b", "awsRegion": "eu-west-1", "tags": {"ARN": "not this one"},
        "relationships": [
            {"resourceType": "AWS::IAM::Role", "resourceId": "r", "relationshipName": "Uses"}
        ],
        "configuration": text(&json!({"name": "b", "size": 1})),
        "supplementaryConfiguration": {
            "AccessControlList": text(&text(&json!({"grantList": []}))),
            "BucketPolicy": text(&json!({"policyText": null})),
            "IsRequesterPaysEnabled": "false"
        },
        "relatedEvents": []
    })
}

#[test]
fn both_spellings_are_one_observation() {
    let (file, api) = (read(of_file().to_string()), read(of_api().to_string()));
    let (file, api) = (file.only(), api.only());
    assert_eq!(state(file), state(api));
    assert_eq!(
        state(file),
        json!({
            "configuration": {"name": "b", "size": 1},
            "supplementaryConfiguration": {
                "AccessControlList": {"grantList": []}, "BucketPolicy": {"policyText": null},
                "IsRequesterPaysEnabled": false
            },
            "tags": {"ARN": "not this one"},
            "relationships": [{"resourceType": "AWS::IAM::Role", "resourceId": "r", "name": "Uses"}]
        })
    );
    assert_eq!(file.key.to_string(), "aws/123456789012/eu-west-1/AWS::S3::Bucket/b");
    assert_eq!((file.key.clone(), file.version), (api.key.clone(), api.version));
    assert_eq!(file.observed_at, api.observed_at);
    assert_eq!(file.version, Some(1_484_002_215_156));
    assert_eq!(file.aliases, ["arn:aws:s3:::b"]);
}

#[test]
fn every_wrapping_is_opened() {
    let item = of_file();
    let notification = json!({
        "messageType": "ConfigurationItemChangeNotification", "recordVersion": "1.3",
        "configurationItemDiff": {"changeType": "UPDATE", "changedProperties": {}},
        "configurationItem": item, "notificationCreationTime": "2017-01-09T22:50:16Z"
    });
    let topic = json!({
        "Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": text(&notification)
    });
    let queue = json!({"Messages": [{"MessageId": "m", "Body": text(&topic)}]});
    let wrappings = [
        json!({"configurationItems": [item]}),
        json!({"baseConfigurationItems": [item], "unprocessedResourceKeys": []}),
        json!([item]),
        notification.clone(),
        json!({"Type": "Notification", "TopicArn": "a", "Message": notification}),
        topic.clone(),
        queue.clone(),
        json!({"status_code": 200, "data": queue}),
        json!({"Records": [{"messageId": "m", "body": text(&topic)}]}),
        json!({"Records": [{"EventSource": "aws:sns", "Sns": topic}]}),
        json!({
            "version": "0", "source": "aws.config", "account": "1", "region": "r",
            "detail-type": "Config Configuration Item Change", "detail": notification
        }),
        json!({"version": "1.0", "invokingEvent": text(&notification), "ruleParameters": "{}"}),
        json!({
            "QueryInfo": {"SelectFields": [{"Name": "configuration"}]}, "Results": [text(&item)]
        }),
    ];
    let plain = read(item.to_string());
    for wrapping in wrappings {
        for spelling in [wrapping.to_string(), serde_json::to_string_pretty(&wrapping).unwrap()] {
            let outcome = read(&spelling);
            assert_eq!(state(outcome.only()), state(plain.only()), "{wrapping}");
            assert_eq!(outcome.only().key, plain.only().key);
            assert_eq!(outcome.summary.format, Some(Format::AwsConfig));
            assert!(!outcome.summary.complete_listing, "{wrapping}");
        }
    }
}

#[test]
fn lines_of_different_kinds_are_told_apart() {
    let topic = json!({"Type": "Notification", "TopicArn": "a", "Message": text(&json!({"configurationItem": of_file()}))});
    let native = json!({"provider": "p", "type": "t", "id": "n", "attributes": {}});
    let outcome = read(format!("{}\n{native}\n{topic}\n{}\n", of_file(), of_api()));
    assert_eq!(outcome.ids(), ["b", "n", "b", "b"]);
    assert!(outcome.rejects().is_empty());
}

#[test]
fn only_snapshots_list_everything() {
    let items = json!([of_file(), of_file()]);
    let snapshot =
        json!({"fileVersion": "1.0", "configSnapshotId": "s", "configurationItems": items});
    let outcome = read(snapshot.to_string());
    assert_eq!(outcome.observations().len(), 2);
    assert!(outcome.summary.complete_listing);
    let history = json!({"fileVersion": "1.0", "configurationItems": items});
    assert!(!read(history.to_string()).summary.complete_listing);
    let mut broken = items.clone();
    broken[0]["configurationItemStatus"] = json!("Odd");
    let partly =
        json!({"fileVersion": "1.0", "configSnapshotId": "s", "configurationItems": broken});
    let outcome = read(partly.to_string());
    assert_eq!((outcome.observations().len(), outcome.rejects().len()), (1, 1));
    assert!(!outcome.summary.complete_listing, "what was refused is not missing");
    let twice = format!(
        r#"{{"fileVersion":"1.0","configSnapshotId":"s","configurationItems":[{}],"fileVersion":"1.0"}}"#,
        of_file()
    );
    assert_eq!(read(twice).codes(), [RejectCode::DuplicateKey]);
    let none = json!({"configurationItems": [], "nextToken": ""});
    assert_eq!(read(none.to_string()).summary.notes, ["1 list without items"]);
}

#[test]
fn statuses_decide_presence() {
    let mut item = of_file();
    for (status, presence) in [
        ("OK", Presence::Present),
        ("ResourceDiscovered", Presence::Present),
        ("ResourceDeleted", Presence::Deleted),
        ("ResourceDeletedNotRecorded", Presence::Deleted),
    ] {
        item["configurationItemStatus"] = json!(status);
        let outcome = read(item.to_string());
        assert_eq!(outcome.only().presence, presence);
        assert_eq!(outcome.only().state.is_empty(), presence == Presence::Deleted);
    }
    item["configurationItemStatus"] = json!("ResourceNotRecorded");
    let outcome = read(item.to_string());
    assert_eq!(outcome.refused().code, RejectCode::Unsupported);
    assert!(outcome.refused().reason.contains("does not record"));
}

#[test]
fn what_is_elsewhere_is_no_deletion() {
    let summary = json!({
        "configurationItemSummary": {"changeType": "DELETE", "resourceId": "i"},
        "s3DeliverySummary": {"s3BucketLocation": "bucket/AWSLogs/item.json.gz"},
        "messageType": "OversizedConfigurationItemChangeNotification", "recordVersion": "1.0"
    });
    let mail = format!("View the Timeline:\n\n{}", serde_json::to_string_pretty(&summary).unwrap());
    for message in [
        summary.clone(),
        json!({"Type": "Notification", "TopicArn": "a", "Message": text(&summary)}),
        json!({"Type": "Notification", "TopicArn": "a", "Message": mail}),
    ] {
        let outcome = read(message.to_string());
        assert_eq!(outcome.refused().code, RejectCode::Elsewhere, "{message}");
        assert!(outcome.refused().reason.contains("s3://bucket/AWSLogs/item.json.gz"));
    }
}

#[test]
fn messages_without_items_are_counted() {
    let delivery =
        json!({"messageType": "ConfigurationSnapshotDeliveryCompleted", "recordVersion": "1.1"});
    let topic = json!({"Type": "Notification", "TopicArn": "a", "Message": text(&delivery)});
    let outcome = read(format!("{delivery}\n{topic}\n"));
    assert!(outcome.records.is_empty(), "{outcome:?}");
    assert_eq!(outcome.summary.notes, ["2 notifications without an item were skipped"]);
}

#[test]
fn keys_are_filled_in_order() {
    let options = ReadOptions {
        defaults: KeyDefaults {
            provider: None,
            account: Some("9".to_owned()),
            region: Some("default".to_owned()),
        },
        ..ReadOptions::default()
    };
    for (members, key, notes) in [
        (
            r#""resourceId":"i","ARN":"arn:aws:ec2:eu-west-1:1:instance/i""#,
            "aws/1/eu-west-1/t/i",
            0,
        ),
        (r#""ARN":"arn:aws:iam::1:role/r","resourceName":"r""#, "aws/1//t/r", 0),
        (r#""arn":"arn:aws:s3:::b""#, "aws/9/default/t/arn:aws:s3:::b", 0),
        (
            r#""resourceId":"i","accountId":"2","awsRegion":"r","arn":"arn:aws:ec2:x:1:y""#,
            "aws/2/r/t/i",
            0,
        ),
        (r#""resourceId":"i""#, "aws/9/default/t/i", 0),
    ] {
        let item = format!(r#"{{"resourceType":"t","configuration":{{}},{members}}}"#);
        let outcome = read_in(&options, item.as_bytes(), 9);
        assert_eq!(outcome.only().key.to_string(), key);
        assert_eq!(outcome.summary.notes.len(), notes);
    }
    let outcome = read(r#"{"resourceType":"t","configuration":{},"resourceId":"i"}"#);
    let notes = [
        "account of 1 resource unknown: taken as empty",
        "region of 1 resource unknown: taken as empty",
    ];
    assert_eq!(outcome.summary.notes, notes);
}

#[test]
fn what_is_wrong_is_named() {
    for (item, code, word) in [
        (r#"{"resourceType":"t","configuration":{}}"#, RejectCode::BadField, "`resourceId`"),
        (
            r#"{"resourceType":"t","resourceId":"i","configurationItemStatus":"OK"}"#,
            RejectCode::BadField,
            "`configuration`",
        ),
        (
            r#"{"resourceType":"t","resourceId":"i","configuration":"{not json"}"#,
            RejectCode::BadField,
            "`configuration`",
        ),
        (
            r#"{"resourceType":"t","resourceId":"i","configuration":{},"configurationItemCaptureTime":"?"}"#,
            RejectCode::BadField,
            "`configurationItemCaptureTime`",
        ),
        (
            r#"{"resourceType":"t","resourceId":"i","resourceId":"j","configuration":{}}"#,
            RejectCode::DuplicateKey,
            "`resourceId`",
        ),
        (
            r#"{"QueryInfo":{"SelectFields":[{"Name":"configuration.a"}]},"Results":["{\"resourceId\":\"i\",\"resourceType\":\"t\",\"configuration\":{\"a\":1}}"]}"#,
            RejectCode::Unsupported,
            "selected fields only",
        ),
        (
            r#"{"source":"aws.ec2","detail-type":"AWS API Call via CloudTrail","detail":{"eventName":"x"}}"#,
            RejectCode::Unsupported,
            "CloudTrail",
        ),
        (
            r#"{"Records":[{"eventVersion":"1.08","eventName":"PutBucketAcl"}]}"#,
            RejectCode::Unsupported,
            "CloudTrail",
        ),
    ] {
        let outcome = read(item);
        assert_eq!(outcome.refused().code, code, "{item}");
        assert!(outcome.refused().reason.contains(word), "{:?}", outcome.refused());
    }
    let nothing = r#"{"resourceType":"t","resourceId":"i","configuration":null,"configurationItemStatus":"OK"}"#;
    assert_eq!(read(nothing).only().state, br#"{"configuration":null}"#);
    let mut message = json!({"configurationItem": of_file()});
    for _ in 0..12 {
        message = json!({"Type": "Notification", "TopicArn": "a", "Message": text(&message)});
    }
    assert_eq!(read(message.to_string()).refused().code, RejectCode::TooDeep);
}
