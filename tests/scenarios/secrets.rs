//! Secrets: planted everywhere, found nowhere.

use deployforge_tests::make::{
    Native, cloud_event, config_item, config_snapshot, lines, terraform_state,
};
use deployforge_tests::{Lab, PLANTED, files_below, leaks_below};
use serde_json::{Value, json};

use crate::support::import;

/// A state full of secrets, in the places where clouds and code put them.
fn state(mark: &str) -> Value {
    let secret = |n: u64| format!("{PLANTED}{mark}-{n}");
    json!({
        "instanceClass": "db.t3.small",
        "masterUserPassword": secret(1),
        "connection": {"password": secret(2), "user": "admin", "port": 5432},
        "environment": [
            {"name": "DB_PASSWORD", "value": secret(3)},
            {"name": "PORT", "value": "80"},
            {"Name": "client-secret", "Value": secret(4)},
        ],
        "variables": {"API_KEY": secret(5), "STRIPE_SECRET_KEY": secret(6)},
        "containerDefinitions": json!([{
            "environment": [{"name": "AUTH_TOKEN", "value": secret(7)}],
        }]).to_string(),
        "indented": format!("\n  {}", json!({"db": {"password": secret(8)}})),
        "nested": json!({"inner": json!({"privateKey": secret(9)}).to_string()}).to_string(),
        "connectionString": secret(10),
        "private_key_pem": secret(11),
        "logins": [{"user": "a", "password": secret(12)}, {"user": "b", "password": secret(13)}],
        "password": [secret(14)],
        "adminPassword": {"value": secret(15)},
        "cut": format!(r#"[{{"name":"DB_PASSWORD","value":"{}"}},"#, secret(16)),
        "escaped": format!(r#"{{"pass\u0077ord":"{}","#, secret(17)),
    })
}

fn terraform(mark: &str, serial: u64) -> Value {
    let secret = |n: u64| format!("{PLANTED}tf-{mark}-{n}");
    let list = [
        ("aws_db_instance", "db", json!({"id": "db-1", "password": secret(1), "size": mark})),
        ("random_password", "root", json!({"id": "none", "result": secret(2), "length": 16})),
        (
            "aws_ssm_parameter",
            "p",
            json!({"id": "/app/x", "type": "SecureString", "value": secret(3)}),
        ),
        ("custom_thing", "t", json!({"id": "t-1", "data": {"odd": secret(4), "n": 5}})),
        ("custom_thing", "g", json!({"id": "g-1", "odd": secret(7)})),
        ("custom_thing", "h", json!({"id": "h-1", "odd": [{"a": secret(8)}]})),
        ("custom_thing", "i", json!({"id": "i-1", "odd": [{"a": secret(9)}]})),
    ];
    let mut state = terraform_state("l", serial, &list);
    state["resources"][2]["instances"][0]["sensitive_attributes"] =
        json!([[{"type": "get_attr", "value": "value"}]]);
    state["resources"][3]["instances"][0]["sensitive_attributes"] = json!([[
        {"type": "get_attr", "value": "data"},
        {"type": "index", "value": {"value": "odd", "type": "string"}},
    ]]);
    // What cannot be read covers everything, and what is left of a path all that it leads to.
    state["resources"][4]["instances"][0]["sensitive_attributes"] = json!("garbage");
    state["resources"][5]["instances"][0]["sensitive_attributes"] = json!([[]]);
    state["resources"][6]["instances"][0]["sensitive_attributes"] = json!([[
        {"type": "get_attr", "value": "odd"},
        {"type": "index", "value": {"value": 0.0, "type": "number"}},
        {"type": "get_attr", "value": "a"},
    ]]);
    state["outputs"] = json!({"o": {"value": secret(5), "type": "string", "sensitive": true}});
    state["resources"][0]["instances"][0]["private"] = json!(secret(6));
    state
}

/// Writes one reading in every format; `mark` makes its secrets differ from another's.
fn write(lab: &Lab, folder: &str, mark: &str, minute: u64) {
    let native = Native::new("vm", "native", state(mark)).at(minute);
    let event = Native::new("vm", "event", state(mark)).at(minute);
    let item = config_item("AWS::RDS::DBInstance", "db", minute, &state(mark));
    let mut api = config_item("AWS::RDS::DBCluster", "cluster", minute, &json!({}));
    api["configuration"] = json!(state(mark).to_string());
    lab.write(&format!("{folder}/1.ndjson"), native.line());
    lab.write(&format!("{folder}/2.ndjson"), lines(&[cloud_event(minute, event)]));
    lab.write(&format!("{folder}/3.json"), config_snapshot(&[item]).to_string());
    lab.write(&format!("{folder}/4.ndjson"), lines(&[api]));
    lab.write(&format!("{folder}/5.tfstate"), terraform(mark, minute).to_string());
}

/// Records that cannot be read, with secrets in them.
fn broken() -> String {
    let line = Native::new("vm", "x", json!({"password": format!("{PLANTED}broken")})).line();
    let deep = format!("{}\"{PLANTED}deep\"{}", "[".repeat(200), "]".repeat(200));
    [
        line[..line.len() - 4].to_owned() + "\n",
        line.replace("\"id\":\"x\"", "\"id\":[1]"),
        line.replace("\"password\"", "\"password\":1,\"password\""),
        line.replace("{\"password\"", &format!("{{\"d\":{deep},\"password\"")),
        line.replace("\"vm\"", "7"),
        format!("{{\"{PLANTED}name\":1}}\n"),
        format!("{PLANTED}text\n"),
    ]
    .concat()
}

/// A query of all there is in each table and view.
fn every_table(lab: &Lab) -> Vec<String> {
    let tables = lab.query(
        "select table_name from information_schema.tables where table_schema = 'deployforge'",
    );
    let all = |table| format!("select * from {}", deployforge_tests::text(table, "table_name"));
    tables.iter().map(all).collect()
}

/// Everything the commands say and keep about the planted secrets.
fn gather() -> (Lab, Vec<(String, String)>) {
    let lab = Lab::new();
    write(&lab, "base", "one", 1);
    write(&lab, "now", "two", 2);
    lab.write("new.ndjson", Native::new("vm", "new", state("three")).at(3).line());
    lab.write("broken.ndjson", broken());
    let mut said = Vec::new();
    let mut run = |args: &[&str]| {
        let outcome = lab.run(args);
        said.push((outcome.typed.clone(), outcome.all()));
    };
    run(&["baseline", "import", "b", "base"]);
    run(&["baseline", "import", "b", "now"]);
    run(&["baseline", "import", "bad", "base", "broken.ndjson"]);
    run(&["baseline", "show", "b", "--format", "json"]);
    for id in
        ["native", "event", "db", "cluster", "db-1", "none", "/app/x", "t-1", "g-1", "h-1", "i-1"]
    {
        run(&["baseline", "show", "b", "--resource", id]);
    }
    run(&["baseline", "list", "--format", "json"]);
    for format in ["table", "json", "ndjson"] {
        run(&["baseline", "diff", "b@1", "b@2", "--format", format]);
        run(&[
            "audit",
            "--baseline",
            "base",
            "--snapshot",
            "now",
            "broken.ndjson",
            "--format",
            format,
        ]);
        run(&[
            "audit",
            "--baseline",
            "@b@1",
            "--snapshot",
            "now",
            "new.ndjson",
            "--format",
            format,
            "--record",
        ]);
    }
    run(&[
        "run",
        "--once",
        "--baseline",
        "b@1",
        "--source",
        "now",
        "--source",
        "new.ndjson",
        "--source",
        "broken.ndjson",
    ]);
    lab.write("a.json", state("four").to_string());
    lab.write("b.json", state("five").to_string());
    for format in ["table", "json"] {
        run(&["diff", "a.json", "b.json", "--format", format]);
    }
    for sql in every_table(&lab) {
        for format in ["table", "json", "csv"] {
            run(&["query", &sql, "--format", format]);
        }
    }
    (lab, said)
}

#[test]
fn no_planted_secret_is_said_or_kept() {
    // What is said and what is kept is looked through by the testkit, here as everywhere.
    let (lab, said) = gather();
    assert!(said.len() > 30 && said.iter().any(|(_, text)| text.contains("hmac")));
    assert!(files_below(&lab.path("data"), "", &[]).len() > 20);
    let sources = leaks_below(&lab.path("now"));
    assert!(sources.len() > 50, "what looks for secrets finds those that are there");
}

/// What the user's rules call sensitive, in the words of the user's own formats.
const RULES: &str = r#"
secrets:
  - { type: "v*", path: /scripts/*/body }
  - { name: "*_pin" }
  - { text: "://[^/ ]+:[^/ ]+@" }
"#;

/// A state whose secrets nothing but the user's rules can tell.
fn odd(mark: &str) -> Value {
    let secret = |n: u64| format!("{PLANTED}odd-{mark}-{n}");
    json!({
        "scripts": [{"body": secret(1), "on": true}],
        "door_pin": secret(2),
        "url": format!("db://me:{}@host/x", secret(3)),
        "settings": json!({"proxy": format!("http://me:{}@proxy", secret(4))}).to_string(),
        "size": mark,
    })
}

#[test]
fn what_users_call_a_secret_is_one() {
    let lab = Lab::new();
    lab.write("deployforge.yaml", RULES);
    for (name, minute) in [("one", 1), ("two", 2)] {
        lab.write(&format!("{name}.ndjson"), Native::new("vm", "a", odd(name)).at(minute).line());
    }
    let with = ["--config", "deployforge.yaml"];
    let run = |args: &[&str]| lab.run(&[args, &with].concat());
    let _ = run(&["baseline", "import", "b", "one.ndjson"]).exits(0);
    let source = ["run", "--once", "--baseline", "b", "--source", "two.ndjson"];
    let _ = run(&source).exits(1);
    let paths = lab.sorted("select path from current_findings");
    let expected = ["/door_pin", "/scripts/0/body", "/settings", "/size", "/url"];
    assert_eq!(paths, expected.map(|path| json!({"path": path}).to_string()));
    for table in ["observations", "finding_transitions"] {
        let _ = lab.query(&format!("select * from {table}"));
    }
    let audit = ["audit", "--baseline", "one.ndjson", "--snapshot", "two.ndjson", "--format"];
    for format in ["table", "json", "ndjson"] {
        let _ = run(&[&audit[..], &[format]].concat()).exits(1);
    }

    // A baseline that hides something else cannot be compared: it says what to do.
    let again = lab.run(&source).exits(2).says("other rules about secrets");
    assert!(again.stderr.contains("deployforge baseline import b one.ndjson"), "{again}");
    lab.write("deployforge.yaml", RULES.replace("*_pin", "*-Pin-*"));
    let _ = run(&source).exits(2).says("other rules about secrets");
    for wrong in ["- {}", "- {name: a, text: b}", "- {text: '('}", "- {name: '*'}", "- {text: ''}"]
    {
        lab.write("deployforge.yaml", format!("secrets:\n  {wrong}\n"));
        let _ = run(&source).exits(2).says("secrets");
    }
}

#[test]
fn that_a_secret_changed_is_seen() {
    let (lab, _) = gather();
    let paths = |id: &str| -> Vec<String> {
        let sql = format!("select path from current_findings where id = '{id}' order by 1");
        lab.query(&sql).iter().map(|row| row["path"].as_str().expect("a path").to_owned()).collect()
    };
    let native = paths("native");
    for path in [
        "/masterUserPassword",
        "/connection/password",
        "/variables/API_KEY",
        "/containerDefinitions",
    ] {
        assert!(native.iter().any(|one| one == path), "{path} is not in {native:?}");
    }
    assert_eq!(paths("db-1"), ["/password", "/size"]);
    let open = lab.query(
        "select expected, observed from current_findings where path = '/masterUserPassword'",
    );
    assert!(!open.is_empty());
    for row in open {
        assert_ne!(row["expected"], row["observed"]);
        assert!(row["observed"].as_str().is_some_and(|text| text.contains("hmac")), "{row}");
    }
}

#[cfg(unix)]
#[test]
fn the_keys_are_for_their_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let lab = Lab::new();
    lab.write("base.ndjson", Native::new("vm", "a", json!({})).line());
    let _ = import(&lab, "base.ndjson");
    let mode =
        std::fs::metadata(lab.path("data/keys.json")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Two deployments never share a key.
    let other = Lab::new();
    other.write("base.ndjson", Native::new("vm", "a", json!({})).line());
    let _ = import(&other, "base.ndjson");
    assert_ne!(lab.read("data/keys.json"), other.read("data/keys.json"));
}

#[test]
fn the_demo_keeps_its_passwords() {
    let lab = Lab::new();
    let said = lab.run(&["demo", "--once"]).exits(0);
    // The dataset's own files are unpacked beside the history, placeholders and all.
    let secret = "not-a-real-password";
    assert!(!said.all().contains(secret));
    for table in ["observations", "finding_transitions", "verdict_transitions"] {
        let rows = lab.run(&["query", &format!("select * from {table}"), "--format", "json"]);
        assert!(!rows.exits(0).text().contains(secret), "{table}");
    }
    for id in lab.query("select id from verdicts where type = 'aws_db_instance'") {
        let id = id["id"].as_str().expect("an id");
        let shown = lab.run(&["baseline", "show", "declared", "--resource", id]).exits(0);
        assert!(shown.text().contains("hmac") && !shown.text().contains(secret), "{shown}");
    }
}
