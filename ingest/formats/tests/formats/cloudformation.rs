//! CloudFormation templates and manifests, trap by trap.

use std::collections::BTreeMap;

use deployforge_formats::{Format, KeyDefaults, ReadOptions, Side, Stack};
use deployforge_model::{Dialect, Observation, Presence, RejectCode, UNRESOLVED_MEMBER};
use serde_json::{Value, json};

use super::support::{read, read_in, state};

pub(crate) fn with(side: Side) -> ReadOptions {
    let defaults = KeyDefaults {
        provider: None,
        account: Some("111111111111".to_owned()),
        region: Some("eu-west-1".to_owned()),
    };
    ReadOptions {
        side,
        defaults,
        name: Some("web.template.json".to_owned()),
        ..ReadOptions::default()
    }
}

/// Reads a template whose one resource `R` has these properties, beside these sections.
fn resolved(sections: &str, properties: &str) -> Observation {
    let text = format!(
        r#"{{{sections}"Resources":{{"R":{{"Type":"AWS::X::Y","Properties":{{"P":{properties}}}}}}}}}"#
    );
    let outcome = read_in(&with(Side::Declared), text.as_bytes(), 4096);
    outcome.only().clone()
}

/// What a property of a template comes to: its value, or why it has none.
fn value(sections: &str, property: &str) -> Value {
    let state = state(&resolved(sections, property));
    match state["P"].get(UNRESOLVED_MEMBER) {
        Some(reason) => json!(format!("? {}", reason.as_str().unwrap())),
        None => state.get("P").cloned().unwrap_or(json!("(absent)")),
    }
}

const NAMES: &str = r#"
"Parameters":{
  "Env":{"Type":"String","Default":"prod"},
  "Port":{"Type":"Number","Default":"8080"},
  "Zip":{"Type":"String","Default":12345},
  "Flag":{"Type":"String","Default":true},
  "Nets":{"Type":"CommaDelimitedList","Default":"a, b,c"},
  "Ports":{"Type":"List<Number>","Default":"1,2"},
  "Ami":{"Type":"AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>","Default":"/aws/ami"},
  "Open":{"Type":"String"},
  "Pass":{"Type":"String","NoEcho":true,"Default":"hunter2"},
  "Pin":{"Type":"Number","NoEcho":true,"Default":1234},
  "Word":{"Type":"String","NoEcho":"true"}},
"Mappings":{"M":{"prod":{"Size":"large","List":["x","y"]},"8080":{"Size":"port"}}},
"Conditions":{
  "IsProd":{"Fn::Equals":[{"Ref":"Env"},"prod"]},
  "IsPort":{"Fn::Equals":[{"Ref":"Port"},8080]},
  "IsOpen":{"Fn::Equals":[{"Ref":"Open"},"x"]},
  "Not":{"Fn::Not":[{"Condition":"IsProd"}]},
  "And":{"Fn::And":[{"Condition":"IsProd"},{"Condition":"IsOpen"}]},
  "AndNot":{"Fn::And":[{"Condition":"IsOpen"},{"Condition":"Not"}]},
  "Or":{"Fn::Or":[{"Condition":"IsOpen"},{"Condition":"IsProd"}]},
  "Loop":{"Fn::Not":[{"Condition":"Loop"}]}},"#;

#[test]
fn functions_are_resolved() {
    for (property, want) in [
        (r#""plain""#, json!("plain")),
        (r#"{"Ref":"Env"}"#, json!("prod")),
        (r#"{"Ref":"Port"}"#, json!(8080)),
        (r#"{"Ref":"Zip"}"#, json!("12345")),
        (r#"{"Ref":"Pin"}"#, json!(1234)),
        (r#"{"Ref":"Flag"}"#, json!("true")),
        (r#"{"Ref":"Nets"}"#, json!(["a", "b", "c"])),
        (r#"{"Ref":"Ports"}"#, json!([1, 2])),
        (r#"{"Ref":"AWS::AccountId"}"#, json!("111111111111")),
        (r#"{"Ref":"AWS::Region"}"#, json!("eu-west-1")),
        (r#"{"Ref":"AWS::Partition"}"#, json!("aws")),
        (r#"{"Ref":"AWS::URLSuffix"}"#, json!("amazonaws.com")),
        (r#"{"Ref":"AWS::NoValue"}"#, json!("(absent)")),
        (r#"[1,{"Ref":"AWS::NoValue"},3]"#, json!([1, 3])),
        (r#"{"a":{"Ref":"AWS::NoValue"},"b":1.50}"#, json!({"b":1.5})),
        (r#"{"Fn::Join":["-",["a",{"Ref":"Env"},{"Ref":"Port"},7]]}"#, json!("a-prod-8080-7")),
        (r#"{"Fn::Join":[",",{"Ref":"Nets"}]}"#, json!("a,b,c")),
        (
            r#"{"Fn::Sub":"${Env}/${AWS::Region}:${!Kept}:${Port}$x${"}"#,
            json!("prod/eu-west-1:${Kept}:8080$x${"),
        ),
        (
            r#"{"Fn::Sub":["${A}-${Env}",{"A":{"Fn::Select":["1",{"Ref":"Nets"}]}}]}"#,
            json!("b-prod"),
        ),
        (r#"{"Fn::Select":[0,{"Fn::Split":[".","x.y"]}]}"#, json!("x")),
        (r#"{"Fn::Split":["|","a||b"]}"#, json!(["a", "", "b"])),
        (r#"{"Fn::Base64":{"Fn::Sub":"hi ${Env}"}}"#, json!("aGkgcHJvZA==")),
        (r#"{"Fn::Length":{"Ref":"Nets"}}"#, json!(3)),
        (r#"{"Fn::ToJsonString":{"a":[{"Ref":"Env"},1.0]}}"#, json!(r#"{"a":["prod",1.0]}"#)),
        (r#"{"Fn::FindInMap":["M",{"Ref":"Env"},"Size"]}"#, json!("large")),
        (r#"{"Fn::FindInMap":["M",{"Ref":"Port"},"Size"]}"#, json!("port")),
        (r#"{"Fn::FindInMap":["M","no","Size",{"DefaultValue":{"Ref":"Env"}}]}"#, json!("prod")),
        (r#"{"Fn::Select":[1,{"Fn::FindInMap":["M","prod","List"]}]}"#, json!("y")),
        (r#"{"Fn::If":["IsProd","yes","no"]}"#, json!("yes")),
        (r#"{"Fn::If":["Not",{"Fn::GetAtt":"A.b"},[{"Fn::If":["IsPort",1,2]}]]}"#, json!([1])),
        (r#"{"Fn::If":["Not",1,{"Ref":"AWS::NoValue"}]}"#, json!("(absent)")),
        (r#"{"Fn::If":["Or",1,2]}"#, json!(1)),
        (r#"{"Fn::If":["AndNot",1,2]}"#, json!(2)),
        (
            r#"{"Condition":{"StringEquals":{"a":"b"}},"Ref":"x"}"#,
            json!({"Condition":{"StringEquals":{"a":"b"}},"Ref":"x"}),
        ),
    ] {
        assert_eq!(value(NAMES, property), want, "{property}");
    }
}

#[test]
fn what_the_template_does_not_say_is_unresolved() {
    for (property, want) in [
        (r#"{"Ref":"Open"}"#, "? Ref Open: a parameter without a default"),
        (r#"{"Ref":"Ami"}"#, "? Ref Ami: kept in Parameter Store"),
        (r#"{"Ref":"Nowhere"}"#, "? Ref Nowhere"),
        (r#"{"Ref":"R"}"#, "? Ref R"),
        (r#"{"Ref":"AWS::StackName"}"#, "? Ref AWS::StackName"),
        (r#"{"Ref":"AWS::StackId"}"#, "? Ref AWS::StackId"),
        (r#"{"Ref":7}"#, "? Ref"),
        (r#"{"Fn::GetAtt":["R","Arn"]}"#, "? Fn::GetAtt R"),
        (r#"{"Fn::GetAtt":"R.Arn"}"#, "? Fn::GetAtt R"),
        (r#"{"Fn::ImportValue":"x"}"#, "? Fn::ImportValue"),
        (r#"{"Fn::GetAZs":""}"#, "? Fn::GetAZs"),
        (r#"{"Fn::Cidr":["10.0.0.0/8",1,2]}"#, "? Fn::Cidr"),
        (r#"{"Fn::Transform":{"Name":"AWS::Include"}}"#, "? Fn::Transform"),
        (r#"{"a":1,"Fn::Transform":{"Name":"AWS::Include"}}"#, "? Fn::Transform"),
        (r#"{"Fn::ForEach::X":["a",["b"],{"${a}":1}],"c":1}"#, "? Fn::ForEach::X"),
        (r#"{"Fn::Novel":1}"#, "? Fn::Novel"),
        (r#""{{resolve:ssm:/a/b}}""#, "? a dynamic reference to ssm"),
        (r#"{"Fn::Sub":"x-${R.Arn}-${Env}"}"#, "? Fn::GetAtt R"),
        (r#"{"Fn::Join":["",["a",{"Ref":"R"}]]}"#, "? Ref R"),
        (r#"{"Fn::Join":["",{"Ref":"R"}]}"#, "? Ref R"),
        (r#"{"Fn::Join":["",[["a"]]]}"#, "? Fn::Join"),
        (r#"{"Fn::Join":"x"}"#, "? Fn::Join"),
        (r#"{"Fn::Select":[9,{"Ref":"Nets"}]}"#, "? Fn::Select"),
        (r#"{"Fn::Select":[0,{"Fn::GetAZs":""}]}"#, "? Fn::GetAZs"),
        (r#"{"Fn::FindInMap":["M","no","Size"]}"#, "? Fn::FindInMap"),
        (
            r#"{"Fn::FindInMap":["M",{"Ref":"Open"},"Size",{"DefaultValue":1}]}"#,
            "? Ref Open: a parameter without a default",
        ),
        (r#"{"Fn::If":["IsOpen",1,2]}"#, "? Fn::If IsOpen"),
        (r#"{"Fn::If":["And",1,2]}"#, "? Fn::If And"),
        (r#"{"Fn::If":["Loop",1,2]}"#, "? Fn::If Loop"),
        (r#"{"Fn::If":["Missing",1,2]}"#, "? Fn::If Missing"),
        (r#"{"Fn::Length":{"Ref":"R"}}"#, "? Ref R"),
        (r#"{"Fn::ToJsonString":{"a":{"Ref":"R"}}}"#, "? Ref R"),
    ] {
        assert_eq!(value(NAMES, property), json!(want), "{property}");
    }
    // Only what could not be resolved is; the rest of the list stands.
    assert_eq!(
        value(NAMES, r#"[{"Ref":"Env"},{"Ref":"R"}]"#),
        json!(["prod", {UNRESOLVED_MEMBER: "Ref R"}])
    );
}

#[test]
fn secrets_are_followed() {
    for (property, paths) in [
        (r#"{"Ref":"Pass"}"#, &["/P"][..]),
        (r#"{"Ref":"Word"}"#, &["/P"]),
        (r#"{"Ref":"Pin"}"#, &["/P"]),
        (r#"{"Fn::Sub":"${Pin}"}"#, &["/P"]),
        (r#"[{"Ref":"Env"},{"Fn::Sub":"a${Pass}b"}]"#, &["/P/1"]),
        (r#"{"a/b":{"Fn::Join":["",["a",{"Ref":"Pass"}]]}}"#, &["/P/a~1b"]),
        (r#"{"Fn::Join":["",[{"Ref":"R"},{"Ref":"Pass"}]]}"#, &["/P"]),
        (r#"{"Fn::Base64":{"Ref":"Pass"}}"#, &["/P"]),
        (r#"{"Fn::Split":["n",{"Ref":"Pass"}]}"#, &["/P/0", "/P/1"]),
        (r#"{"Fn::Select":[0,[{"Ref":"Pass"}]]}"#, &["/P"]),
        (r#"{"Fn::ToJsonString":{"p":{"Ref":"Pass"}}}"#, &["/P"]),
        (r#"{"Fn::If":["IsOpen",{"Ref":"Pass"},"x"]}"#, &["/P"]),
        (r#"{"Fn::If":["IsProd","x",{"Ref":"Pass"}]}"#, &[]),
        (r#"{"Fn::Novel":[{"Ref":"Pass"}]}"#, &["/P"]),
        (r#"{"Fn::Sub":["${a}",{"a":{"Ref":"Pass"}}]}"#, &["/P"]),
        (r#""{{resolve:ssm-secure:p:1}}""#, &["/P"]),
        (r#"{"Fn::Sub":"{{resolve:secretsmanager:${R}:SecretString:p}}"}"#, &["/P"]),
        (
            r#"{"Fn::Join":["",["{{resolve:secretsmanager:",{"Ref":"R"},":SecretString::}}"]]}"#,
            &["/P"],
        ),
        (r#""{{resolve:ssm:/plain}}""#, &[]),
        (r#"{"Ref":"Env"}"#, &[]),
    ] {
        assert_eq!(resolved(NAMES, property).sensitive, paths, "{property}");
    }
}

#[test]
fn resources_are_named_where_the_template_names_them() {
    let text = r#"{"Resources":{
        "B":{"Type":"AWS::S3::Bucket","Properties":{"BucketName":{"Fn::Sub":"b-${AWS::AccountId}"}}},
        "Plain":{"Type":"AWS::S3::Bucket"},
        "Q":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":"q"}},
        "A":{"Type":"AWS::Logs::LogGroup","Properties":{"LogGroupName":{"Ref":"C"}}},
        "C":{"Type":"AWS::Logs::LogGroup","Properties":{"LogGroupName":{"Ref":"A"}}},
        "R":{"Type":"AWS::X::Y","DependsOn":["B"],"Metadata":{"m":1},"Properties":{
            "Bucket":{"Ref":"B"},"Policy":{"Fn::Sub":"arn:aws:s3:::${B}/*"},
            "Plain":{"Ref":"Plain"},"Queue":{"Ref":"Q"},"Loop":{"Ref":"A"}}}}}"#;
    let outcome = read_in(&with(Side::Declared), text.as_bytes(), 64);
    let found = outcome.observations();
    assert_eq!(
        state(found.last().unwrap()),
        json!({
            "Bucket": "b-111111111111", "Policy": "arn:aws:s3:::b-111111111111/*",
            "Plain": {UNRESOLVED_MEMBER: "Ref Plain"}, "Queue": {UNRESOLVED_MEMBER: "Ref Q"},
            "Loop": {UNRESOLVED_MEMBER: "Ref A"}
        })
    );
    let bucket = found[0];
    assert_eq!(bucket.key.to_string(), "aws/111111111111/eu-west-1/AWS::S3::Bucket/web/B");
    assert_eq!(bucket.dialect, Dialect::CloudFormation);
    assert_eq!(bucket.address.as_deref(), Some("B"));
    assert_eq!(bucket.aliases, ["cfn://web/B"]);
    assert_eq!(state(found[1]), json!({}), "no properties");
    let lines: Vec<u64> = found.iter().map(|observation| observation.position.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 7]);
    assert!(!outcome.summary.complete_listing);
}

#[test]
fn references_to_references_end() {
    // Each name is twice the next one: what would be 2^40 bytes is not made.
    let mut resources = Vec::new();
    for level in 0..40 {
        let name = if level == 39 {
            r#""x""#.to_owned()
        } else {
            format!(r#"{{"Fn::Sub":"${{L{0}}}${{L{0}}}"}}"#, level + 1)
        };
        resources.push(format!(
            r#""L{level}":{{"Type":"AWS::S3::Bucket","Properties":{{"BucketName":{name}}}}}"#
        ));
    }
    let text = format!(r#"{{"Resources":{{{}}}}}"#, resources.join(","));
    let outcome = read(&text);
    assert_eq!(outcome.observations().len(), 40);
    assert!(outcome.observations().iter().map(|found| found.state.len()).sum::<usize>() < 64 << 20);
    // A chain longer than the stack is deep.
    let chain: Vec<String> = (0..20_000)
        .map(|at| {
            format!(
                r#""L{at}":{{"Type":"AWS::S3::Bucket","Properties":{{"BucketName":{{"Ref":"L{}"}}}}}}"#,
                at + 1
            )
        })
        .collect();
    let outcome = read(format!(r#"{{"Resources":{{{}}}}}"#, chain.join(",")));
    assert_eq!(outcome.observations().len(), 20_000);
    let conditions: Vec<String> = (0..20_000)
        .map(|at| format!(r#""C{at}":{{"Fn::Not":[{{"Condition":"C{}"}}]}}"#, at + 1))
        .collect();
    let text = format!(
        r#"{{"Conditions":{{{}}},"Resources":{{"R":{{"Type":"A::B::C","Condition":"C0"}}}}}}"#,
        conditions.join(",")
    );
    assert_eq!(read(&text).only().presence, Presence::Unresolved);
}

/// What makes nothing was not counted, so a template of 700 bytes took minutes.
#[test]
fn what_is_asked_again_and_again_ends() {
    let nested = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    let equals = nested(r#"{"Fn::Equals":["#, r#"{"Ref":"Open"}"#, ",1]}", 60);
    let open = format!(r#"{{"Fn::Sub":["{}",{{"A":"#, "${A}".repeat(3000));
    let sub = nested(&open, r#""x""#, "}]}", 4);
    for property in [equals, sub] {
        let state = state(&resolved("", &property));
        assert!(state["P"].get(UNRESOLVED_MEMBER).is_some(), "{state}");
    }
    // Lists that are copied, and texts that are split, beyond what may be made.
    let list =
        format!(r#""Parameters":{{"L":{{"Type":"String","Default":"{}"}}}},"#, "x,".repeat(30_000));
    let split = r#"{"Fn::Split":[",",{"Ref":"L"}]},"#.repeat(2000);
    let state = state(&resolved(&list, &format!("[{split}1]")));
    assert_eq!(state["P"].as_array().unwrap().len(), 2001);
}

#[test]
fn what_is_not_declared_and_what_cannot_be_told() {
    let text = format!(
        r#"{{{NAMES}"Resources":{{
        "A":{{"Type":"AWS::X::Y","Condition":"IsProd"}},
        "B":{{"Type":"AWS::X::Y","Condition":"Not"}},
        "C":{{"Type":"AWS::X::Y","Condition":"IsOpen"}},
        "D":{{"Type":"AWS::Serverless::Function"}},
        "E":{{"Type":"Custom::Thing"}},
        "F":{{"Type":"Mine::Own::Thing::MODULE"}},
        "G":{{"Type":"AWS::X::Y","Properties":{{"Fn::Transform":{{"Name":"AWS::Include"}}}}}},
        "H":{{"Type":"AWS::X::Y","Properties":{{"Ref":"AWS::NoValue"}}}},
        "Fn::ForEach::Many":["X",["a"],{{"R${{X}}":{{"Type":"AWS::X::Y"}}}}],
        "I":{{"Properties":{{}}}},
        "J":"text",
        "K":{{"Type":"AWS::X::Y","Properties":[]}},
        "L":{{"Type":"AWS::IAM::Role"}}}}}}"#
    );
    let outcome = read_in(&with(Side::Declared), text.as_bytes(), 100);
    let found: Vec<(&str, Presence)> = outcome
        .observations()
        .iter()
        .map(|found| (found.address.as_deref().unwrap(), found.presence))
        .collect();
    assert_eq!(
        found,
        [
            ("A", Presence::Present),
            ("C", Presence::Unresolved),
            ("D", Presence::Unsupported),
            ("E", Presence::Unsupported),
            ("F", Presence::Unsupported),
            ("G", Presence::Unresolved),
            ("H", Presence::Present),
            ("L", Presence::Present),
        ]
    );
    assert_eq!(outcome.observations()[7].key.region, "", "IAM has no regions");
    assert_eq!(
        outcome.codes(),
        [RejectCode::Unsupported, RejectCode::BadField, RejectCode::BadField, RejectCode::BadField]
    );
    assert!(outcome.rejects()[0].reason.contains("--template-stage Processed"));
    for note in [
        "1 resource not declared, since the condition is false",
        "3 resources not compared: macros, modules or custom code make what becomes of them",
        "1 resource not compared: the condition could not be resolved",
        "1 value could not be resolved",
        "name of 1 stack taken from the name of the file",
    ] {
        outcome.notes(note);
    }
}

#[test]
fn macros_may_change_everything() {
    for (transform, presence) in [
        (r#""AWS::Serverless-2016-10-31""#, Presence::Present),
        (r#"["AWS::LanguageExtensions","AWS::Serverless-2016-10-31"]"#, Presence::Present),
        (r#"{"Name":"AWS::Include","Parameters":{"Location":"s3://b/k"}}"#, Presence::Present),
        (r#""Mine""#, Presence::Unsupported),
        (r#"["AWS::LanguageExtensions","Mine"]"#, Presence::Unsupported),
        ("7", Presence::Unsupported),
        ("null", Presence::Present),
    ] {
        let text = format!(
            r#"{{"Transform":{transform},"Resources":{{"R":{{"Type":"AWS::X::Y","Properties":{{"a":1}}}}}}}}"#
        );
        let outcome = read(&text);
        assert_eq!(outcome.only().presence, presence, "{transform}");
        assert_eq!(outcome.only().state.is_empty(), presence != Presence::Present);
    }
}

#[test]
fn a_call_is_given_what_stands_beside_it() {
    for (root, beside, within, presence) in [
        (r#""Fn::Transform":{"Name":"Mine"},"#, "", "", Presence::Unsupported),
        (r#""Fn::Transform":{"Name":"AWS::Include"},"#, "", "", Presence::Present),
        ("", r#""Fn::Transform":[{"Name":"Mine"}],"#, "", Presence::Unsupported),
        ("", "", r#","Fn::Transform":{"Name":"AWS::Include"}"#, Presence::Unsupported),
    ] {
        let text = format!(
            r#"{{{root}"Resources":{{{beside}"R":{{"Type":"AWS::X::Y","Properties":{{"a":1}}{within}}}}}}}"#
        );
        let outcome = read(&text);
        assert_eq!(outcome.observations()[0].presence, presence, "{text}");
        assert_eq!(outcome.rejects().len(), usize::from(!beside.is_empty()));
    }
}

#[test]
fn broken_templates_are_named() {
    for (text, code, word) in [
        (r#"{"AWSTemplateFormatVersion":"2010-09-09"}"#, RejectCode::BadField, "`Resources`"),
        (
            r#"{"AWSTemplateFormatVersion":null,"Resources":[]}"#,
            RejectCode::BadField,
            "`Resources`",
        ),
        (r#"{"Resources":{"A":{"Type":"A::B::C"}},"Resources":{}}"#, RejectCode::NotARecord, ""),
        (
            r#"{"Resources":{},"Resources":{"A":{"Type":"A::B::C"}}}"#,
            RejectCode::DuplicateKey,
            "`Resources`",
        ),
        (
            r#"{"Resources":{"A":{"Type":"A::B::C"},"A":{"Type":"A::B::C"}}}"#,
            RejectCode::DuplicateKey,
            "`A`",
        ),
        (r#"{"Resources":{"A":{"Type":"A::B::C","Type":"A::B::C"}}}"#, RejectCode::BadField, "`A`"),
        (
            r#"{"Parameters":[],"Resources":{"A":{"Type":"A::B::C"}}}"#,
            RejectCode::BadField,
            "`Parameters`",
        ),
        (
            r#"{"Parameters":{"A":{},"A":{}},"Resources":{"A":{"Type":"A::B::C"}}}"#,
            RejectCode::DuplicateKey,
            "`A`",
        ),
        (
            r#"{"Resources":{"A":{"Type":"A::B::C","Condition":1}}}"#,
            RejectCode::BadField,
            "`Condition`",
        ),
    ] {
        let outcome = read(text);
        assert_eq!(outcome.refused().code, code, "{text}: {:?}", outcome.refused());
        assert!(outcome.refused().reason.contains(word), "{text}: {:?}", outcome.refused());
    }
    let large = format!(
        r#"{{"Resources":{{"A":{{"Type":"A::B::C","Properties":{{"x":"{}"}}}}}}}}"#,
        "x".repeat(17 << 20)
    );
    assert_eq!(read(&large).refused().code, RejectCode::TooLarge);
}

#[test]
fn templates_are_yaml_too() {
    let text = "# a template\nAWSTemplateFormatVersion: 2010-09-09\nParameters:\n  Env: {Type: String, Default: on}\nResources:\n  # the bucket\n  Bucket:\n    Type: AWS::S3::Bucket\n    Properties:\n      BucketName: !Sub 'b-${Env}'\n      Tags:\n        - Key: account\n          Value: 012345678901\n  Topic:\n    Type: AWS::SNS::Topic\n    Properties:\n      DisplayName: !Ref Bucket\n      Arn: !GetAtt Bucket.Arn\n";
    let outcome = read(text);
    let found = outcome.observations();
    assert_eq!(
        state(found[0]),
        json!({"BucketName": "b-on", "Tags": [{"Key": "account", "Value": "012345678901"}]})
    );
    assert_eq!(
        state(found[1]),
        json!({"DisplayName": "b-on", "Arn": {UNRESOLVED_MEMBER: "Fn::GetAtt Bucket"}})
    );
    assert_eq!((found[0].position.line, found[1].position.line), (7, 14));
    assert_eq!(outcome.summary.format, Some(Format::CloudFormation));
}

#[test]
fn replies_of_get_template_hold_templates() {
    let template = r#"{"Resources":{"R":{"Type":"A::B::C","Properties":{"a":1}}}}"#;
    let yaml = "Resources:\n  R:\n    Type: A::B::C\n    Properties:\n      a: 1\n";
    for body in [template.to_owned(), json!(template).to_string(), json!(yaml).to_string()] {
        let outcome = read(format!(r#"{{"TemplateBody":{body},"StagesAvailable":["Original"]}}"#));
        assert_eq!(state(outcome.only()), json!({"a": 1}), "{body}");
    }
    for body in ["7", "\"- a\"", "\"{\"", "null", "\"a: 1\\n---\\nb: 2\""] {
        let outcome = read(format!(r#"{{"TemplateBody":{body},"StagesAvailable":["Original"]}}"#));
        assert!(outcome.observations().is_empty() && outcome.rejects().len() == 1, "{body}");
    }
}

#[test]
fn a_stack_that_is_known_counts_before_defaults() {
    let text = format!(
        r#"{{{NAMES}"Resources":{{"R":{{"Type":"A::B::C","Properties":{{"e":{{"Ref":"Env"}},"n":{{"Ref":"AWS::StackName"}}}}}}}}}}"#
    );
    let parameters = BTreeMap::from([("Env".to_owned(), "test".to_owned())]);
    let stack = Some(Stack { name: "web-7".to_owned(), parameters });
    let outcome = read_in(&ReadOptions { stack, ..with(Side::Declared) }, text.as_bytes(), 99);
    assert_eq!(state(outcome.only()), json!({"e": "test", "n": "web-7"}));
    assert_eq!(outcome.only().aliases, ["cfn://web-7/R"]);
    assert_eq!(outcome.only().key.id, "web-7/R");
    assert_eq!(outcome.summary.notes, ["8 parameters of a template taken at the default"]);
}

#[test]
fn a_manifest_names_templates() {
    let outcome = read(
        r#"{"version":"54.0.0","missing":[{"key":"x"}],"artifacts":{
        "Tree":{"type":"cdk:tree","properties":{"file":"tree.json"}},
        "App":{"type":"aws:cloudformation:stack","environment":"aws://111111111111/eu-west-1",
          "properties":{"templateFile":"App.template.json","stackName":"app-prod","parameters":{"A":"x","N":7}},
          "dependencies":["Net","App.assets"]},
        "App.assets":{"type":"cdk:asset-manifest","properties":{"file":"App.assets.json"}},
        "Net":{"type":"aws:cloudformation:stack","environment":"aws://unknown-account/us-east-1",
          "properties":{"templateFile":"sub/Net.template.json"}},
        "Stage":{"type":"cdk:cloud-assembly","properties":{"directoryName":"assembly-Stage"}},
        "Up":{"type":"aws:cloudformation:stack","properties":{"templateFile":"../x.json"}},
        "Root":{"type":"aws:cloudformation:stack","properties":{"templateFile":"/etc/x.json"}},
        "None":{"type":"aws:cloudformation:stack"}}}"#,
    );
    let references = &outcome.summary.references;
    let files: Vec<&str> = references.iter().map(|found| found.file.as_str()).collect();
    assert_eq!(
        files,
        ["sub/Net.template.json", "App.template.json", "assembly-Stage/manifest.json"]
    );
    let app = &references[1];
    assert_eq!(app.defaults.account.as_deref(), Some("111111111111"));
    let stack = app.stack.as_ref().unwrap();
    assert_eq!(stack.name, "app-prod");
    assert_eq!(stack.parameters["N"], "7");
    assert_eq!(references[0].stack.as_ref().unwrap().name, "Net");
    assert_eq!(references[0].defaults.account, None);
    assert_eq!(references[0].defaults.region.as_deref(), Some("us-east-1"));
    assert_eq!(references[2].stack, None);
    assert!(outcome.observations().is_empty());
    assert_eq!(outcome.codes(), [RejectCode::BadField; 3]);
    assert_eq!(
        outcome.summary.notes,
        [
            "3 files named, to be read as well",
            "1 lookup missing from the cloud assembly: its templates hold stand-ins"
        ]
    );
    let options = references[0].options(&with(Side::Declared));
    assert_eq!(options.defaults.account.as_deref(), Some("111111111111"), "as configured");
    assert_eq!(options.name.as_deref(), Some("Net.template.json"));
    for other in [
        r#"{"version":"54.0.0"}"#,
        r#"{"version":"54.0.0","files":{},"dockerImages":{}}"#,
        r#"{"version":"tree-0.1","tree":{"id":"App"}}"#,
    ] {
        let outcome = read(other);
        assert!(outcome.records.is_empty(), "{other}");
        assert_eq!(
            outcome.summary.notes,
            ["1 file of a cloud assembly without resources was skipped"]
        );
    }
}
