//! Audit logs beside the inventory: who changed what differs.

use deployforge_tests::make::{Native, lines};
use deployforge_tests::{Lab, number, text};
use serde_json::{Value, json};

fn event(id: &str, time: &str, name: &str, group: &str, read_only: bool) -> Value {
    json!({"eventVersion": "1.08", "eventID": id, "eventTime": time, "eventType": "AwsApiCall",
        "eventSource": "ec2.amazonaws.com", "eventName": name, "awsRegion": "eu-west-1",
        "recipientAccountId": "111111111111", "sourceIPAddress": "198.51.100.7",
        "userAgent": "aws-cli/2.15", "readOnly": read_only,
        "userIdentity": {"type": "IAMUser", "accountId": "111111111111",
                         "arn": format!("arn:aws:iam::111111111111:user/{id}")},
        "requestParameters": {"groupId": group}})
}

fn group(id: &str, port: u64, time: &str) -> String {
    let observation = Native::new("AWS::EC2::SecurityGroup", id, json!({"port": port}));
    observation.with("observed_at", json!(time)).line()
}

/// Two groups that drift, and a log of what was done to them.
fn lab() -> Lab {
    let lab = Lab::new();
    let at = "2026-11-20T10:00:00Z";
    let (first, second) = ("sg-0aaaaaaaaaaaaaaa1", "sg-0aaaaaaaaaaaaaaa2");
    lab.write("base.ndjson", group(first, 1, at) + &group(second, 1, at));
    lab.write("seen.ndjson", group(first, 2, at) + &group(second, 2, at));
    let write = "AuthorizeSecurityGroupIngress";
    let failed = {
        let mut event = event("failed", "2026-11-20T09:58:00Z", write, first, false);
        event["errorCode"] = json!("AccessDenied");
        event
    };
    let log = [
        event("early", "2026-11-20T08:00:00Z", write, first, false),
        event("mallory", "2026-11-20T09:55:00Z", write, first, false),
        event("reader", "2026-11-20T09:59:00Z", "DescribeSecurityGroups", first, true),
        failed,
        event("late", "2026-11-20T10:05:00Z", write, first, false),
        event("old", "2026-11-18T10:00:00Z", write, second, false),
    ];
    lab.write("trail.json", json!({"Records": log}).to_string());
    lab.write("trail.ndjson", lines(&log));
    let _ = lab.run(&["baseline", "import", "base", "base.ndjson"]).exits(0);
    lab
}

#[test]
fn who_changed_what_differs_is_told() {
    let lab = lab();
    let run = ["run", "--once", "--source", "seen.ndjson", "--source", "trail.json"];
    let _ = lab.run(&run).exits(1);
    assert_eq!(lab.count("evidence"), 6);
    let rows = lab.query("select id, path, actor, action, tool, caller, matched from who_changed");
    let expected = json!([{"id": "sg-0aaaaaaaaaaaaaaa1", "path": "/port",
        "actor": "arn:aws:iam::111111111111:user/mallory",
        "action": "ec2:AuthorizeSecurityGroupIngress", "tool": "aws-cli/2.15",
        "caller": "198.51.100.7", "matched": "id"}]);
    assert_eq!(Value::from(rows), expected);
    // The same events in another file, and lines of them, are the same events.
    let _ = lab.run(&["run", "--once", "--source", "trail.ndjson"]);
    assert_eq!(lab.count("evidence"), 6);
    let row =
        &lab.query("select count(distinct evidence_id) as n, min(log) as log from evidence")[0];
    assert_eq!((number(row, "n"), text(row, "log")), (6, "cloudtrail"));
    lab.write("more.json", event("more", "2026-11-20T11:00:00Z", "X", "sg-9", false).to_string());
    let _ = lab.run(&["run", "--once", "--source", "more.json"]);
    assert_eq!(lab.count("evidence"), 7);
}

#[test]
fn an_audit_keeps_events_if_it_keeps_anything() {
    let lab = lab();
    let audit = ["audit", "--baseline", "@base", "--snapshot", "seen.ndjson", "trail.json"];
    let _ = lab.run(&audit).exits(1);
    let _ = lab.run(&[&audit[..], &["--record"]].concat()).exits(1);
    assert_eq!(lab.count("evidence"), 6);
    assert_eq!(lab.count("who_changed"), 1);
}
