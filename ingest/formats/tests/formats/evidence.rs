//! Audit logs: traps one by one, then every recorded event.

use std::collections::BTreeMap;

use deployforge_formats::Format;
use deployforge_model::{Evidence, RejectCode};
use serde_json::{Value, json};

use super::support::{files, fixtures, read, read_as};

/// The only event, when there is nothing else.
fn one(text: &Value) -> Evidence {
    let outcome = read(text.to_string());
    match (&outcome.evidence()[..], outcome.records.len()) {
        ([evidence], 1) => (*evidence).clone(),
        _ => panic!("not one event: {outcome:#?}"),
    }
}

fn trail() -> Value {
    json!({"eventVersion": "1.08", "eventID": "e-1", "eventTime": "2026-11-20T10:00:00Z", "awsRegion": "eu-west-1",
        "eventSource": "ec2.amazonaws.com", "eventName": "AuthorizeSecurityGroupIngress", "recipientAccountId": "111111111111",
        "sourceIPAddress": "192.0.2.1", "userAgent": "APN/1.0 HashiCorp/1.0 Terraform/1.9", "readOnly": false,
        "userIdentity": {"type": "AssumedRole", "principalId": "AROA:alice", "arn": "arn:aws:sts::111111111111:assumed-role/admin/alice"},
        "requestParameters": {"groupId": "sg-1", "ipPermissions": {"items": [{"cidr": "10.9.8.7/32"}]}, "password": "hunter2"},
        "responseElements": {"securityGroupRuleSet": {"items": [{"securityGroupRuleId": "sgr-1", "x": "arn:aws:ec2:r:1:security-group-rule/sgr-1"}]}},
        "resources": [{"ARN": "arn:aws:ec2:eu-west-1:111111111111:security-group/sg-1", "type": "AWS::EC2::SecurityGroup"}]})
}

#[test]
fn a_record_of_cloudtrail_tells_who_did_what_and_no_values() {
    let event = one(&trail());
    assert_eq!((event.log, event.id.as_str()), ("cloudtrail", "e-1"));
    assert_eq!(event.action, "ec2:AuthorizeSecurityGroupIngress");
    assert_eq!(event.actor, "arn:aws:sts::111111111111:assumed-role/admin/alice");
    assert_eq!((event.actor_type.as_str(), event.from.as_str()), ("AssumedRole", "192.0.2.1"));
    assert!(event.tool.contains("Terraform") && !event.read_only && event.error.is_empty());
    assert_eq!(
        (event.provider.as_str(), event.account.as_str(), event.region.as_str()),
        ("aws", "111111111111", "eu-west-1")
    );
    assert_eq!(event.at.unwrap().to_string(), "2026-11-20T10:00:00Z");
    assert_eq!(
        event.resources,
        [
            "arn:aws:ec2:eu-west-1:111111111111:security-group/sg-1",
            "sg-1",
            "sgr-1",
            "arn:aws:ec2:r:1:security-group-rule/sgr-1"
        ]
    );
    assert_eq!(event.paths, ["requestParameters.ipPermissions", "requestParameters.password"]);
    let text = format!("{event:?}");
    assert!(!text.contains("hunter2") && !text.contains("10.9.8.7"));
}

#[test]
fn records_come_in_many_wrappings() {
    let text = trail().to_string();
    for wrapped in [
        json!({"Records": [trail()]}),
        json!({"version": "0", "detail-type": "AWS API Call via CloudTrail", "source": "aws.ec2", "detail": trail()}),
        json!({"Events": [{"EventId": "e-1", "EventName": "x", "CloudTrailEvent": text}]}),
        json!({"EventId": "e-1", "CloudTrailEvent": text}),
        json!({"messageType": "DATA_MESSAGE", "logGroup": "g", "logEvents": [{"id": "1", "timestamp": 1, "message": text}]}),
        json!({"events": [{"timestamp": 1, "ingestionTime": 2, "message": text}]}),
        json!({"Type": "Notification", "TopicArn": "t", "Message": text}),
        json!({"Messages": [{"Body": text}]}),
        json!([trail()]),
    ] {
        let event = one(&wrapped);
        assert_eq!(event.id, "e-1", "{wrapped}");
        let named = read_as(Format::CloudTrail, wrapped.to_string());
        assert!(named.rejects().is_empty(), "{wrapped}: {:?}", named.rejects());
    }
    let lake: Value =
        trail().as_object().unwrap().iter().map(|(k, v)| (k.to_lowercase(), v.clone())).collect();
    assert_eq!(one(&lake).id, "e-1", "lakes write names in lower case");
    assert_eq!(read(json!({"Records": [trail()]}).to_string()).summary.evidence, 1);
}

#[test]
fn actors_are_resolved() {
    for (identity, actor) in [
        (json!({"type": "IAMUser", "userName": "bob"}), "bob"),
        (json!({"type": "Root", "arn": "arn:aws:iam::1:root"}), "arn:aws:iam::1:root"),
        (
            json!({"type": "AWSService", "invokedBy": "autoscaling.amazonaws.com"}),
            "autoscaling.amazonaws.com",
        ),
        (
            json!({"type": "AssumedRole", "principalId": "AROA:ci", "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::1:role/r"}}}),
            "arn:aws:iam::1:role/r/ci",
        ),
        (json!({"type": "AWSAccount", "accountId": "2", "principalId": "AIDA"}), "AIDA"),
        (json!({"type": "IdentityCenterUser", "onBehalfOf": {"userId": "u-1"}}), "u-1"),
        (json!(null), ""),
    ] {
        let mut record = trail();
        record["userIdentity"] = identity;
        assert_eq!(one(&record).actor, actor);
    }
    let mut record = trail();
    record["eventName"] = json!("DescribeInstances");
    record["errorCode"] = json!("Client.UnauthorizedOperation");
    record.as_object_mut().unwrap().remove("readOnly");
    let event = one(&record);
    assert!(event.read_only && event.paths.is_empty());
    assert_eq!(event.error, "Client.UnauthorizedOperation");
}

#[test]
fn what_stands_where_records_do_is_named() {
    let bucket = json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "awsRegion": "r", "s3": {"object": {"key": "k"}}}]});
    assert_eq!(read(bucket.to_string()).refused().code, RejectCode::Elsewhere);
    let stream = json!({"Records": [{"eventSource": "aws:dynamodb", "eventName": "INSERT", "awsRegion": "r"}]});
    assert_eq!(read(stream.to_string()).refused().code, RejectCode::Unsupported);
    let mixed = json!({"Records": [trail(), {"x": 1}, trail()]});
    let outcome = read(mixed.to_string());
    assert_eq!((outcome.summary.evidence, outcome.codes()), (2, vec![RejectCode::Unsupported]));
    let lines = json!({"logGroup": "g", "logEvents": [{"message": "START"}]});
    assert_eq!(read(lines.to_string()).summary.notes, ["1 log line without an event skipped"]);
    let text = json!({"Events": [{"CloudTrailEvent": "{}"}]});
    assert_eq!(read(text.to_string()).refused().code, RejectCode::BadField);
}

const GROUP: &str =
    "/subscriptions/S-1/resourceGroups/G/providers/Microsoft.Storage/storageAccounts/A";

#[test]
fn both_schemas_of_the_activity_log() {
    let upn = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn";
    let exported = json!({"time": "2026-11-20T10:00:00.1234567Z", "resourceId": GROUP, "operationName": "MICROSOFT.STORAGE/STORAGEACCOUNTS/WRITE",
        "category": "Administrative", "resultType": "Failure", "resultSignature": "Failed.Forbidden", "callerIpAddress": "192.0.2.1",
        "correlationId": "c", "location": "West Europe", "identity": {"authorization": {"scope": GROUP, "evidence": {"principalType": "User"}},
        "claims": {upn: "a@b", "appid": "app"}}, "properties": {"requestbody": "{\"properties\":{\"minimumTlsVersion\":\"hunter2\"},\"tags\":{}}"}});
    let event = one(&exported);
    assert_eq!(
        (event.log, event.id.as_str(), event.actor.as_str()),
        ("azure-activity", "c", "a@b")
    );
    assert_eq!(
        (event.actor_type.as_str(), event.tool.as_str(), event.from.as_str()),
        ("User", "app", "192.0.2.1")
    );
    assert_eq!((event.account.as_str(), event.region.as_str()), ("s-1", "westeurope"));
    assert_eq!(event.action, "MICROSOFT.STORAGE/STORAGEACCOUNTS/WRITE");
    assert_eq!(event.resources, [GROUP.to_lowercase()]);
    assert_eq!((event.error.as_str(), event.read_only), ("Failed.Forbidden", false));
    assert_eq!(event.paths, ["properties.minimumTlsVersion", "tags"]);
    assert!(!format!("{event:?}").contains("hunter2"));

    let returned = json!({"eventTimestamp": "2026-11-20T10:00:00Z", "eventDataId": "e", "id": "/x", "caller": "a@b", "resourceId": GROUP,
        "operationName": {"value": "Microsoft.Storage/storageAccounts/read", "localizedValue": "Read"},
        "status": {"value": "Succeeded"}, "httpRequest": {"clientIpAddress": "192.0.2.1"}, "subscriptionId": "S-1"});
    let event = one(&returned);
    assert_eq!(
        (event.id.as_str(), event.actor.as_str(), event.from.as_str()),
        ("e", "a@b", "192.0.2.1")
    );
    assert!(event.read_only && event.error.is_empty());
    for wrapped in [json!({"records": [exported]}), json!({"value": [returned]}), json!([exported])]
    {
        assert_eq!(one(&wrapped).log, "azure-activity", "{wrapped}");
    }
    let grid = json!({"id": "g", "eventType": "Microsoft.Resources.ResourceWriteSuccess", "eventTime": "2026-11-20T10:00:00Z",
        "data": {"operationName": "Microsoft.Storage/storageAccounts/write", "resourceUri": GROUP, "claims": {"name": "n"}}});
    let event = one(&grid);
    assert_eq!((event.id.as_str(), event.actor.as_str(), event.resources.len()), ("g", "n", 1));
    assert!(event.at.is_some());
}

#[test]
fn google_names_resources_as_assets_do() {
    let entry = json!({"insertId": "i", "logName": "projects/p/logs/cloudaudit.googleapis.com%2Factivity", "timestamp": "2026-11-20T10:00:00Z",
        "resource": {"type": "gce_instance", "labels": {"project_id": "p", "zone": "us-central1-a"}},
        "protoPayload": {"@type": "type.googleapis.com/google.cloud.audit.AuditLog", "serviceName": "compute.googleapis.com",
            "methodName": "v1.compute.instances.setLabels", "resourceName": "projects/p/zones/us-central1-a/instances/i",
            "authenticationInfo": {"principalEmail": "sa@p.iam.gserviceaccount.com"}, "status": {"code": 7, "message": "hunter2"},
            "requestMetadata": {"callerIp": "192.0.2.1", "callerSuppliedUserAgent": "google-cloud-sdk"},
            "request": {"@type": "t", "labels": [{"value": "hunter2"}]}}});
    let event = one(&entry);
    assert_eq!((event.log, event.id.as_str()), ("google-audit", "i"));
    assert_eq!(event.action, "compute:v1.compute.instances.setLabels");
    assert_eq!(
        (event.actor.as_str(), event.actor_type.as_str()),
        ("sa@p.iam.gserviceaccount.com", "serviceAccount")
    );
    assert_eq!((event.tool.as_str(), event.from.as_str()), ("google-cloud-sdk", "192.0.2.1"));
    assert_eq!((event.account.as_str(), event.region.as_str()), ("p", "us-central1"));
    assert_eq!(
        event.resources,
        [
            "//compute.googleapis.com/projects/p/zones/us-central1-a/instances/i",
            "projects/p/zones/us-central1-a/instances/i"
        ]
    );
    assert_eq!(
        (event.error.as_str(), event.paths),
        ("PERMISSION_DENIED", vec!["request.labels".to_owned()])
    );
    let reads = json!({"protoPayload": {"methodName": "storage.objects.get", "serviceName": "storage.googleapis.com",
        "resourceName": "projects/_/buckets/b", "authorizationInfo": [{"permissionType": "DATA_READ", "resource": "projects/_/buckets/b"}]}});
    let event = one(&reads);
    assert!(event.read_only && event.account.is_empty());
    assert_eq!(event.resources, ["//storage.googleapis.com/b", "projects/_/buckets/b"]);
    assert_eq!(one(&json!({"entries": [entry]})).id, "i");
    let empty = json!({"protoPayload": {"serviceName": "x"}});
    assert_eq!(read(empty.to_string()).refused().code, RejectCode::BadField);
}

#[test]
fn kubernetes_tells_verbs_on_objects() {
    let event = json!({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": "a", "verb": "create", "requestURI": "/api/v1/namespaces/n/pods?x=1",
        "user": {"username": "system:serviceaccount:kube-system:x"}, "sourceIPs": ["192.0.2.1"], "userAgent": "kubectl",
        "objectRef": {"resource": "pods", "subresource": "exec", "namespace": "n", "name": "p"}, "responseStatus": {"code": 403, "reason": "Forbidden"},
        "requestReceivedTimestamp": "2026-11-20T10:00:00.000000Z", "requestObject": {"password": "hunter2"}});
    let read = one(&event);
    assert_eq!(
        (read.log, read.id.as_str(), read.action.as_str()),
        ("kubernetes-audit", "a", "pods/exec:create")
    );
    assert_eq!(
        (read.actor.as_str(), read.actor_type.as_str()),
        ("system:serviceaccount:kube-system:x", "serviceaccount")
    );
    assert_eq!(read.resources, ["pods/n/p", "/api/v1/namespaces/n/pods"]);
    assert_eq!(
        (read.error.as_str(), read.read_only, read.tool.as_str()),
        ("Forbidden", false, "kubectl")
    );
    let within = json!({"category": "kube-audit", "operationName": "Microsoft.ContainerService/managedClusters/diagnosticLogs/Read",
        "resourceId": "/SUBSCRIPTIONS/S", "properties": {"log": event.to_string()}});
    let read = one(&within);
    assert_eq!(
        (read.log, read.resources.last().map(String::as_str)),
        ("kubernetes-audit", Some("/subscriptions/s"))
    );
    let list = json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": [event]});
    assert_eq!(one(&list).id, "a");
}

/// Samples that are no events: what a rule has to bear.
fn is_stub(log: &Value) -> bool {
    let names: Vec<String> =
        log.as_object().into_iter().flatten().map(|(name, _)| name.to_lowercase()).collect();
    let has = |name: &str| names.iter().any(|own| own == name);
    let method =
        |payload: &Value| payload["methodName"].is_string() || payload["methodname"].is_string();
    let google =
        has("protopayload") && !(method(&log["protoPayload"]) || method(&log["protopayload"]));
    let known = ["eventname", "protopayload", "operationname", "verb", "requesturi", "apiversion"];
    log.is_null() || google || !known.iter().any(|name| has(name))
}

#[test]
fn every_event_of_the_rules_is_read() {
    let mut counts: BTreeMap<(String, &str), usize> = BTreeMap::new();
    let mut stubs = 0;
    let (mut actors, mut resources, mut times) = (0, 0, 0);
    for path in files(&fixtures("7-audit/panther-labs__panther-analysis")) {
        let at = path.to_str().unwrap();
        let rule: Value = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        for test in rule["Tests"].as_array().into_iter().flatten() {
            let log = &test["Log"];
            if is_stub(log) {
                stubs += 1;
                continue;
            }
            let outcome = read(log.to_string());
            let [event] = outcome.evidence()[..] else {
                panic!("{at}: {} {:?}", log, outcome.rejects())
            };
            assert!(outcome.rejects().is_empty() && outcome.observations().is_empty(), "{at}");
            actors += usize::from(!event.actor.is_empty());
            resources += usize::from(!event.resources.is_empty());
            times += usize::from(event.at.is_some());
            *counts.entry((folder.clone(), event.log)).or_default() += 1;
        }
    }
    let total: usize = counts.values().sum();
    println!(
        "{counts:#?} {total} events, {stubs} stubs; {actors} with an actor, {resources} with resources, {times} with a time"
    );
    assert_eq!((total, stubs), (844, 19));
}

#[test]
fn events_of_the_bus_are_read_or_named() {
    let mut classes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for path in files(&fixtures("7-audit/cloud-custodian__cloud-custodian")) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = std::fs::read(&path).unwrap();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        let outcome = read(&bytes);
        let trail = value["detail"]["eventName"].is_string() || value["eventName"].is_string();
        let class = if trail {
            assert_eq!(
                (outcome.evidence().len(), outcome.rejects().len()),
                (1, 0),
                "{name}: {:?}",
                outcome.rejects()
            );
            "read"
        } else if name == "sqs-discover.json" {
            assert_eq!(outcome.only().key.resource_type, "AWS::SQS::Queue");
            "item"
        } else {
            assert_eq!(outcome.rejects().len(), 1, "{name}: {outcome:#?}");
            assert_eq!(
                outcome.refused().code,
                RejectCode::Unsupported,
                "{name}: {:?}",
                outcome.refused()
            );
            "named"
        };
        classes.entry(class).or_default().push(name);
    }
    println!("{classes:#?}");
    assert_eq!((classes["read"].len(), classes["named"].len()), (12, 10));
}
