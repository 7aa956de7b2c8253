//! Terraform states, trap by trap.

use deployforge_formats::{Format, KeyDefaults, ReadOptions, terraform};
use deployforge_model::{Presence, RejectCode};
use serde_json::json;

use super::support::{read, read_as, read_in, state};

fn resource(members: &str, instances: &str) -> String {
    format!(
        r#"{{"version":4,"terraform_version":"1.9.0","serial":8,"lineage":"l","outputs":{{}},"future":1,
"resources":[
  {{"mode":"managed","type":"aws_s3_bucket","name":"b","provider":"provider[\"registry.terraform.io/hashicorp/aws\"]",{members}
   "instances":[{instances}]}}],
"check_results":null}}"#
    )
}

#[test]
fn attributes_are_the_state_as_written() {
    let outcome = read(resource(
        "",
        r#"{"schema_version":0,"attributes":{"id":"b", "arn":"arn:aws:s3:::b","n":1.0e3,"region":"eu-west-1"},"private":"x"}"#,
    ));
    let observation = outcome.only();
    assert_eq!(
        observation.state,
        br#"{"id":"b", "arn":"arn:aws:s3:::b","n":1.0e3,"region":"eu-west-1"}"#
    );
    assert_eq!(observation.key.to_string(), "aws//eu-west-1/aws_s3_bucket/b");
    assert_eq!(observation.address.as_deref(), Some("aws_s3_bucket.b"));
    assert_eq!(observation.aliases, ["arn:aws:s3:::b", "aws_s3_bucket.b"]);
    assert_eq!((observation.version, observation.observed_at), (None, None));
    assert_eq!(observation.position.line, 3);
    assert_eq!(outcome.summary.format, Some(Format::TerraformState));
    assert!(outcome.summary.complete_listing);
    let notes = ["state serial 8", "account of 1 resource unknown: taken as empty"];
    assert_eq!(outcome.summary.notes, notes);
}

#[test]
fn addresses_render_modules_and_indexes() {
    let outcome = read(resource(
        r#""module":"module.a[\"x.y\"].module.c[0]","#,
        r#"{"index_key":0,"attributes":{"id":"1"}},
           {"index_key":"k\"q.é","attributes":{"id":"2"}},
           {"index_key":null,"attributes":{"id":"3"}},
           {"index_key":1,"deposed":"0badcafe","attributes":{"id":"4"}},
           {"index_key":1,"status":"tainted","attributes":{"id":"5"}}"#,
    ));
    let addresses: Vec<&str> =
        outcome.observations().iter().filter_map(|o| o.address.as_deref()).collect();
    let root = r#"module.a["x.y"].module.c[0].aws_s3_bucket.b"#;
    let want = ["[0]", r#"["k\"q.é"]"#, "", "[1]", "[1]"].map(|index| format!("{root}{index}"));
    assert_eq!(addresses, want);
    let presences: Vec<Presence> = outcome.observations().iter().map(|o| o.presence).collect();
    assert_eq!(presences[3], Presence::Deposed);
    assert!(presences.iter().filter(|p| **p == Presence::Present).count() == 4);
    let tainted: Vec<bool> = outcome.observations().iter().map(|o| o.tainted).collect();
    assert_eq!(tainted, [false, false, false, false, true]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn keys_come_from_arn_attributes_alias_and_configuration() {
    let options = ReadOptions {
        defaults: KeyDefaults {
            provider: None,
            account: Some("9".to_owned()),
            region: Some("default".to_owned()),
        },
        ..ReadOptions::default()
    };
    let registry = "registry.terraform.io/hashicorp";
    for (provider, kind, attributes, key) in [
        (
            "aws",
            "aws_instance",
            r#"{"id":"i","arn":"arn:aws:ec2:eu-west-1:1:instance/i"}"#,
            "aws/1/eu-west-1/aws_instance/i",
        ),
        ("aws\"].us_east_1", "aws_route", r#"{"id":"r"}"#, "aws/9/us-east-1/aws_route/r"),
        (
            "aws\"].us_east_1",
            "aws_x",
            r#"{"id":"r","region":"ap-south-1"}"#,
            "aws/9/ap-south-1/aws_x/r",
        ),
        (
            "aws\"].us_east_1",
            "aws_iam_role",
            r#"{"id":"r","arn":"arn:aws:iam::1:role/r"}"#,
            "aws/1//aws_iam_role/r",
        ),
        (
            "aws\"].us_east_1",
            "aws_iam_role_policy",
            r#"{"id":"r"}"#,
            "aws/9//aws_iam_role_policy/r",
        ),
        ("aws\"].primary", "aws_route", r#"{"id":"r"}"#, "aws/9/default/aws_route/r"),
        (
            "aws",
            "aws_x",
            r#"{"id":"","arn":"arn:aws:ec2:r:1:x"}"#,
            "aws/1/r/aws_x/arn:aws:ec2:r:1:x",
        ),
        ("aws", "aws_x", r#"{"name":"n"}"#, "aws/9/default/aws_x/aws_x.n"),
        (
            "aws",
            "aws_bedrock_guardrail",
            r#"{"guardrail_id":"g","guardrail_arn":"arn:aws:bedrock:r:1:guardrail/g"}"#,
            "aws/1/r/aws_bedrock_guardrail/g",
        ),
        // What another resource is called is not its own name.
        (
            "aws",
            "aws_lb_listener_certificate",
            r#"{"id":"x","certificate_arn":"arn:aws:acm:r:1:certificate/c"}"#,
            "aws/9/default/aws_lb_listener_certificate/x",
        ),
        (
            "azurerm",
            "azurerm_lb",
            r#"{"id":"/subscriptions/S-1/resourceGroups/G/x","location":"West Europe"}"#,
            "azure/s-1/westeurope/azurerm_lb//subscriptions/s-1/resourcegroups/g/x",
        ),
        ("azuread", "azuread_group", r#"{"id":"ABC"}"#, "azure/9//azuread_group/abc"),
        (
            "google-beta",
            "google_compute_instance",
            r#"{"id":"projects/p/zones/us-central1-a/instances/i","zone":"us-central1-a"}"#,
            "google/p/us-central1/google_compute_instance/projects/p/zones/us-central1-a/instances/i",
        ),
        (
            "google",
            "google_storage_bucket",
            r#"{"id":"b","project":"q","location":"EU"}"#,
            "google/q/eu/google_storage_bucket/b",
        ),
        ("random", "random_id", r#"{"id":"x"}"#, "random/9/default/random_id/x"),
    ] {
        let (source, rest) = provider.split_once("\"]").unwrap_or((provider, ""));
        let provider =
            serde_json::to_string(&format!("provider[\"{registry}/{source}\"]{rest}")).unwrap();
        let text = format!(
            r#"{{"version":4,"resources":[{{"mode":"managed","type":"{kind}","name":"n","provider":{provider},"instances":[{{"attributes":{attributes}}}]}}]}}"#
        );
        let outcome = read_in(&options, text.as_bytes(), 64);
        assert_eq!(outcome.only().key.to_string(), key);
    }
}

#[test]
fn identity_stands_in_for_an_id() {
    let outcome = read(resource("", r#"{"attributes":{"x":1},"identity":{"bucket":"b"}}"#));
    assert_eq!(outcome.only().key.id, r#"{"bucket":"b"}"#);
}

#[test]
fn sensitive_paths_are_pointers() {
    let outcome = read(resource(
        "",
        r#"{"attributes":{"id":"1","a":[{"b":"s"}]},"sensitive_attributes":[[{"type":"get_attr","value":"a"},
           {"type":"index","value":{"value":0,"type":"number"}},{"type":"get_attr","value":"b"}]]}"#,
    ));
    assert_eq!(outcome.only().sensitive, ["/a/0/b"]);
}

#[test]
fn flat_attributes_become_a_tree() {
    let outcome = read(resource(
        "",
        r#"{"attributes_flat":{"id":"1","tags.%":"1","tags.a.b":"c","l.#":"2","l.0":"x","l.1":"y"}}"#,
    ));
    assert_eq!(state(outcome.only()), json!({"id": "1", "tags": {"a.b": "c"}, "l": ["x", "y"]}));
}

#[test]
fn data_sources_are_counted_and_bad_resources_refused_one_by_one() {
    let text = r#"{"version":4,"serial":1,"resources":[
        {"mode":"data","type":"d","name":"d","provider":"provider.p","instances":[{"attributes":{"id":"0"}}]},
        {"mode":"managed","type":"t","name":"a","provider":"provider.p","instances":[{"schema_version":0}]},
        {"mode":"managed","type":"t","name":"c","provider":"provider.p","instances":[{"attributes":{"id":"1"},"attributes":{"id":"2"}}]},
        {"mode":"managed","type":"t","provider":"provider.p","instances":[]},
        {"mode":"managed","type":"t","name":"b","provider":"provider.p","instances":[{"attributes":{"id":"1"},"dependencies":[],"dependencies":["x"]}]}]}"#;
    let outcome = read(text);
    assert_eq!(outcome.ids(), ["1"]);
    assert_eq!(
        outcome.codes(),
        [RejectCode::BadField, RejectCode::DuplicateKey, RejectCode::BadField]
    );
    assert!(!outcome.summary.complete_listing);
    assert!(outcome.summary.notes.contains(&"1 data source skipped".to_owned()));
}

#[test]
fn what_is_no_state_is_named() {
    for (text, code, word) in [
        (
            r#"{"encryption_version":"v0","meta":{},"encrypted_data":"eA=="}"#,
            RejectCode::Encrypted,
            "tofu state pull",
        ),
        (r#"{"version":5,"serial":1,"resources":[]}"#, RejectCode::Unsupported, "version 5"),
        (r#"{"version":0,"serial":1,"resources":[]}"#, RejectCode::Unsupported, "version 0"),
        (r#"{"version":4.5,"serial":1}"#, RejectCode::BadField, "`version`"),
        (r#"{"version":4,"serial":-1}"#, RejectCode::BadField, "`serial`"),
        (r#"{"version":4,"serial":1,"resources":{}}"#, RejectCode::BadField, "`resources`"),
        (r#"{"version":4,"version":3,"serial":1}"#, RejectCode::DuplicateKey, "`version`"),
        (
            r#"{"version":3,"serial":1,"modules":[{"path":["child"]}]}"#,
            RejectCode::BadField,
            "`path`",
        ),
        (
            r#"{"version":3,"serial":1,"modules":[{"path":["root"],"resources":{"x":{}}}]}"#,
            RejectCode::BadField,
            "address",
        ),
    ] {
        let outcome = read(text);
        assert_eq!(outcome.refused().code, code, "{text}");
        assert!(outcome.refused().reason.contains(word), "{:?}", outcome.refused());
        assert!(!outcome.summary.complete_listing);
        let error = terraform::upgrade(text.as_bytes());
        assert!(code == RejectCode::DuplicateKey || error.is_err(), "{text}");
    }
    let reject = read_as(Format::TerraformState, "{\"a\":1}").refused().clone();
    assert!(reject.reason.contains("terraform-state"), "{reject:?}");
}

#[test]
fn where_the_state_is_kept_is_no_state() {
    let outcome = read(
        r#"{"version":3,"serial":1,"lineage":"l","backend":{"type":"s3"},"modules":[{"path":["root"],"outputs":{},"resources":{}}]}"#,
    );
    assert!(outcome.records.is_empty());
    assert!(!outcome.summary.complete_listing, "nothing is missing because of it");
    assert!(outcome.summary.notes.iter().any(|note| note.contains("pull the state")));
    let empty = read(r#"{"version":4,"serial":1,"lineage":"l","resources":[]}"#);
    assert!(empty.summary.complete_listing, "an empty state says that there is nothing");
}

#[test]
fn numbers_beyond_64_bits_keep_their_text() {
    let number = "123456789012345678901234567890.10";
    let text = format!(
        r#"{{"version":4,"serial":18446744073709551615,"resources":[{{"mode":"managed","type":"t","name":"n","provider":"provider.p","instances":[{{"attributes":{{"id":"1","n":{number}}}}}]}}]}}"#
    );
    let state = terraform::upgrade(text.as_bytes()).unwrap();
    assert_eq!(state.serial, u64::MAX);
    assert!(serde_json::to_string(&state).unwrap().contains(number));
    assert!(String::from_utf8_lossy(&read(&text).only().state).contains(number));
}
