//! What CloudFormation says of stacks: drift, change sets, lists; trap by trap.

use deployforge_formats::Side;
use deployforge_model::{Presence, RejectCode, UNRESOLVED_MEMBER};
use serde_json::json;

use super::cloudformation::with;
use super::support::{Outcome, read, read_in, state};

fn drifts(elements: &str) -> String {
    format!(r#"{{"StackResourceDrifts":[{elements}]}}"#)
}

fn drift(status: &str, rest: &str) -> String {
    drifts(&format!(
        r#"{{"StackId":"arn:aws:cloudformation:us-east-1:222222222222:stack/shop/uuid","LogicalResourceId":"Q",
        "PhysicalResourceId":"https://sqs/q","ResourceType":"AWS::SQS::Queue","Timestamp":"2023-05-23T08:42:44.951000+00:00",
        "StackResourceDriftStatus":"{status}"{rest}}}"#
    ))
}

fn both(text: &str) -> (Outcome, Outcome) {
    let read = |side| read_in(&with(side), text.as_bytes(), 50);
    (read(Side::Declared), read(Side::Observed))
}

#[test]
fn drift_results_hold_both_sides() {
    let (declared, observed) = both(&drift(
        "MODIFIED",
        r#","ExpectedProperties":"{\"DelaySeconds\":20}","ActualProperties":{"DelaySeconds":120},
        "PropertyDifferences":[{"PropertyPath":"/DelaySeconds","ExpectedValue":"20","ActualValue":"120","DifferenceType":"NOT_EQUAL"}]"#,
    ));
    let (left, right) = (declared.only(), observed.only());
    assert_eq!(left.key, right.key);
    assert_eq!(left.key.to_string(), "aws/222222222222/us-east-1/AWS::SQS::Queue/https://sqs/q");
    assert_eq!(left.aliases, ["cfn://shop/Q"]);
    assert_eq!(left.address.as_deref(), Some("Q"));
    assert_eq!(
        (&*left.state, &*right.state),
        (&b"{\"DelaySeconds\":20}"[..], &b"{\"DelaySeconds\":120}"[..])
    );
    assert_eq!(
        (left.observed_at, right.observed_at.unwrap().to_string()),
        (None, "2023-05-23T08:42:44.951Z".to_owned())
    );
    assert_eq!((declared.summary.evidence, observed.summary.evidence), (0, 1));
    let evidence = observed.records.iter().find_map(|record| match record {
        deployforge_model::Record::Evidence(evidence) => Some(evidence),
        _ => None,
    });
    let evidence = evidence.unwrap();
    assert_eq!((evidence.log, &*evidence.action), ("cloudformation", "drift"));
    assert_eq!(evidence.paths, ["/DelaySeconds"]);
    assert_eq!(evidence.resources, ["cfn://shop/Q", "https://sqs/q"]);
}

#[test]
fn what_was_not_checked_is_not_in_sync() {
    let expected = r#","ExpectedProperties":"{\"a\":1}""#;
    for (status, rest, declared, observed) in [
        ("DELETED", expected, Presence::Present, Presence::Deleted),
        ("NOT_CHECKED", "", Presence::Unresolved, Presence::Unreadable),
        ("NOT_CHECKED", expected, Presence::Present, Presence::Unreadable),
        ("UNKNOWN", "", Presence::Unresolved, Presence::Unreadable),
        ("UNSUPPORTED", "", Presence::Unsupported, Presence::Unsupported),
        ("IN_SYNC", expected, Presence::Present, Presence::Unreadable),
        ("NOVEL", "", Presence::Unresolved, Presence::Unreadable),
    ] {
        let (left, right) = both(&drift(status, rest));
        assert_eq!(left.only().presence, declared, "{status}");
        assert_eq!(right.only().presence, observed, "{status}");
    }
    for broken in [
        drift("IN_SYNC", r#","ActualProperties":"{""#),
        drift("IN_SYNC", r#","ActualProperties":[]"#),
        drift("IN_SYNC", r#","ActualProperties":"[]""#),
        drifts("{}"),
        drifts("7"),
        drift("IN_SYNC", "")
            .replace("arn:aws:cloudformation", "arn:aws:x")
            .replace(":stack/", ":other/"),
    ] {
        let (_, observed) = both(&broken);
        assert_eq!(observed.rejects().len(), 1, "{broken}");
    }
    let reject = read(r#"{"StackDriftDetectionId":"x","DetectionStatus":"DETECTION_COMPLETE"}"#);
    assert_eq!(reject.refused().code, RejectCode::Elsewhere);
}

fn change(action: &str, rest: &str) -> String {
    format!(
        r#"{{"ChangeSetName":"c","StackName":"shop","StackId":"arn:aws:cloudformation:us-east-1:222222222222:stack/shop/uuid",
        "Changes":[{{"Type":"Resource","ResourceChange":{{"Action":"{action}","LogicalResourceId":"T","ResourceType":"AWS::SNS::Topic",
        "Scope":[],"Details":[]{rest}}}}}]}}"#
    )
}

#[test]
fn change_sets_hold_both_sides() {
    let contexts = r#","PhysicalResourceId":"arn:aws:sns:us-east-1:222222222222:t",
        "BeforeContext":"{\"Properties\":{\"DisplayName\":\"a\"}}",
        "AfterContext":"{\"Properties\":{\"DisplayName\":\"b\",\"Other\":[\"x-{{changeSet:KNOWN_AFTER_APPLY}}\"]}}""#;
    let (declared, observed) = both(&change("Modify", contexts));
    assert_eq!(
        state(declared.only()),
        json!({"DisplayName": "b", "Other": [{UNRESOLVED_MEMBER: "known after apply"}]})
    );
    assert_eq!(state(observed.only()), json!({"DisplayName": "a"}));
    assert_eq!(declared.only().key, observed.only().key);
    assert_eq!(declared.only().aliases, ["cfn://shop/T"]);
    let after = r#","AfterContext":"{\"Properties\":{}}""#;
    for (action, rest, declared, observed) in [
        ("Add", after, Some(Presence::Present), Presence::Deleted),
        ("Add", "", Some(Presence::Unresolved), Presence::Deleted),
        ("Remove", contexts, None, Presence::Present),
        ("Remove", "", None, Presence::Unreadable),
        ("Import", after, Some(Presence::Present), Presence::Unreadable),
        ("Dynamic", "", Some(Presence::Unresolved), Presence::Unreadable),
        ("SyncWithActual", contexts, Some(Presence::Present), Presence::Present),
        ("Modify", "", Some(Presence::Unresolved), Presence::Unreadable),
        (
            "Modify",
            r#","AfterContext":"{}","BeforeContext":"{}""#,
            Some(Presence::Present),
            Presence::Present,
        ),
    ] {
        let (left, right) = both(&change(action, rest));
        let found = left.observations().first().map(|found| found.presence);
        assert_eq!(found, declared, "{action} {rest}");
        assert!(left.rejects().is_empty(), "{action}");
        assert_eq!(right.only().presence, observed, "{action} {rest}");
    }
    let (added, _) = both(&change("Add", after));
    assert_eq!(added.only().key.id, "shop/T");
    let (broken, _) = both(&change("Add", r#","AfterContext":"{""#));
    assert_eq!(broken.refused().code, RejectCode::Malformed);
    let empty = read(r#"{"ChangeSetName":"c","StackName":"s","Changes":[]}"#);
    assert!(empty.records.is_empty());
    assert_eq!(empty.summary.notes, ["1 list without items"]);
}

#[test]
fn lists_of_a_stacks_resources_say_that_they_exist() {
    let text = r#"{"StackResources":[
        {"StackName":"shop","StackId":"arn:aws:cloudformation:us-east-1:222222222222:stack/shop/uuid","LogicalResourceId":"T",
         "PhysicalResourceId":"arn:aws:sns:us-east-1:222222222222:t","ResourceType":"AWS::SNS::Topic","ResourceStatus":"CREATE_COMPLETE"},
        {"StackName":"shop","LogicalResourceId":"Gone","ResourceType":"AWS::SNS::Topic","ResourceStatus":"DELETE_COMPLETE"},
        {"LogicalResourceId":"NoType"}]}"#;
    let (declared, observed) = both(text);
    let found = observed.observations();
    assert_eq!(found[0].presence, Presence::Unreadable);
    assert_eq!(
        found[0].key.to_string(),
        "aws/222222222222/us-east-1/AWS::SNS::Topic/arn:aws:sns:us-east-1:222222222222:t"
    );
    assert_eq!(found[0].aliases, ["cfn://shop/T"]);
    assert_eq!(found[1].presence, Presence::Deleted);
    assert_eq!(observed.codes(), [RejectCode::BadField]);
    assert_eq!(declared.observations().len(), 1);
    assert_eq!(declared.observations()[0].presence, Presence::Unresolved);
    let text = r#"{"StackResourceSummaries":[{"LogicalResourceId":"Q","PhysicalResourceId":"q","ResourceType":"AWS::SQS::Queue",
        "ResourceStatus":"CREATE_COMPLETE"}],"NextToken":"x"}"#;
    let (_, observed) = both(text);
    assert_eq!(observed.only().aliases, ["cfn://web/Q"]);
    assert_eq!(observed.only().key.id, "q");
    assert!(observed.summary.notes.iter().any(|note| note.contains("further pages")));
}
