//! The built-in data holds together, and states of two dialects are put side by side.

use deployforge_canon::{Canon, FoldRules, Node, Parser};
use deployforge_maps::{Aligned, KindRule, MapError, Maps};
use deployforge_model::Dialect;

fn node(dialect: Dialect, kind: &str, text: &str) -> Node {
    let state = Canon::default().value(&mut Parser::default(), dialect, kind, text.as_bytes());
    state.expect("a state").root
}

fn align(maps: &Maps, declared: (Dialect, &str, &str), seen: (Dialect, &str, &str)) -> Aligned {
    maps.align(
        (declared.0, declared.1),
        &node(declared.0, declared.1, declared.2),
        (seen.0, seen.1),
        &node(seen.0, seen.1, seen.2),
        &FoldRules::default(),
    )
    .expect("one kind")
}

#[test]
fn the_built_in_data_holds_together() {
    let maps = Maps::built_in();
    assert!(maps.kinds().count() > 200);
    for (dialect, least) in [
        (Dialect::Aws, 60),
        (Dialect::AwsConfig, 60),
        (Dialect::CloudFormation, 60),
        (Dialect::Google, 20),
        (Dialect::Azure, 20),
        (Dialect::Kubernetes, 20),
        (Dialect::Terraform, 200),
    ] {
        assert!(maps.types(dialect) >= least, "{dialect}: {}", maps.types(dialect));
    }
}

#[test]
fn names_match_whatever_their_spelling_and_the_rest_is_told() {
    let aligned = align(
        &Maps::built_in(),
        (
            Dialect::Terraform,
            "aws_autoscaling_group",
            r#"{"id":"g","max_size":3,"health_check_type":"EC2","force_delete":true,"nonsense":1,"tags":null}"#,
        ),
        (
            Dialect::Aws,
            "AWS::AutoScaling::AutoScalingGroup",
            r#"{"AutoScalingGroupName":"g","MaxSize":4,"HealthCheckType":"EC2","MinSize":1}"#,
        ),
    );
    assert_eq!(aligned.expected.to_json(), r#"{"health_check_type":"EC2","max_size":3}"#);
    assert_eq!(aligned.observed.to_json(), r#"{"health_check_type":"EC2","max_size":4}"#);
    let unmatched: Vec<&str> = aligned.unmatched.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(unmatched, ["/nonsense"], "what steers the tool is no attribute");
}

#[test]
fn what_the_api_could_show_and_does_not_is_absent() {
    let maps = Maps::built_in();
    let declared = (Dialect::Terraform, "aws_sqs_queue", r#"{"delay_seconds":5}"#);
    let aligned = align(&maps, declared, (Dialect::Aws, "AWS::SQS::Queue", "{}"));
    assert_eq!(aligned.expected.to_json(), r#"{"delay_seconds":5}"#);
    assert_eq!(aligned.observed.to_json(), "{}");
    // Unless the reply says that it tells no more.
    let partial = r#"{"*":{"$deployforge.unresolved":"a part"}}"#;
    let aligned = align(&maps, declared, (Dialect::Aws, "AWS::SQS::Queue", partial));
    assert_eq!(aligned.expected.to_json(), "{}");
    assert_eq!(aligned.unmatched.len(), 1);
}

/// A role in Config's words has neither a description nor a longest session, whatever the role has.
#[test]
fn what_a_dialect_never_tells_is_not_compared_unless_it_does() {
    let maps = Maps::built_in();
    let declared =
        r#"{"description":"of the shop","max_session_duration":7200,"path":"/","id":"shop"}"#;
    let told = |dialect, seen: &str| -> (String, String, Vec<String>) {
        let declared = (Dialect::Terraform, "aws_iam_role", declared);
        let aligned = align(&maps, declared, (dialect, "AWS::IAM::Role", seen));
        let lost = aligned.unmatched.into_iter().map(|one| one.path).collect();
        (aligned.expected.to_json(), aligned.observed.to_json(), lost)
    };
    for empty in ["", r#","description":"","maxSessionDuration":null"#] {
        let item = format!(r#"{{"configuration":{{"path":"/"{empty}}}}}"#);
        let (expected, observed, lost) = told(Dialect::AwsConfig, &item);
        assert_eq!(expected, r#"{"path":"/"}"#);
        assert_eq!(expected, observed);
        assert_eq!(lost, ["/description", "/max_session_duration"]);
    }
    let item = r#"{"configuration":{"path":"/","maxSessionDuration":3600}}"#;
    let (expected, observed, lost) = told(Dialect::AwsConfig, item);
    assert_eq!(expected, r#"{"max_session_duration":7200,"path":"/"}"#);
    assert_eq!(observed, r#"{"max_session_duration":3600,"path":"/"}"#);
    assert_eq!(lost, ["/description"]);
    // The API tells both.
    let (expected, observed, lost) = told(Dialect::Aws, r#"{"Path":"/"}"#);
    assert!(expected.contains("of the shop") && expected.contains("7200"), "{expected}");
    assert_eq!((observed.as_str(), lost.len()), (r#"{"path":"/"}"#, 0));
}

#[test]
fn a_flag_may_say_the_opposite_of_another_whichever_side_declares() {
    let own = r#"{"kind":"Q","types":{"native":["q"],"terraform":["t_q"],"google":["Q"]},"shape":{"Off":"b"},"names":{"terraform":{"/enabled":"!/Off"},"native":{"/off":"/Off"}}}"#;
    let maps = Maps::with(vec![kind(own)]).expect("it holds together");
    let terraform = (Dialect::Terraform, "t_q", r#"{"enabled":true}"#);
    for (seen, is_same) in [(r#"{"Off":false}"#, true), (r#"{"Off":true}"#, false)] {
        let aligned = align(&maps, terraform, (Dialect::Google, "Q", seen));
        assert_eq!(aligned.expected.to_json(), terraform.2);
        assert_eq!(aligned.expected == aligned.observed, is_same, "{seen}");
    }
    let aligned = align(&maps, (Dialect::Native, "q", r#"{"off":false}"#), terraform);
    assert_eq!(aligned.expected, aligned.observed);
}

#[test]
fn what_is_untold_may_stand_below_a_list_or_a_block() {
    let own = r#"{"kind":"Q","types":{"native":["q"],"google":["Q"]},"shape":{"A":[{"N":"s","B":"n"}],"O":{"X":"s","Y":"s"}},"untold":{"google":["/A/*/B","/O"]}}"#;
    let maps = Maps::with(vec![kind(own)]).expect("it holds together");
    let declared = r#"{"a":[{"n":"x","b":1}],"o":{"x":"1","y":"2"}}"#;
    let lost = |seen| -> Vec<String> {
        let aligned = align(&maps, (Dialect::Native, "q", declared), (Dialect::Google, "Q", seen));
        aligned.unmatched.into_iter().map(|one| one.path).collect()
    };
    assert_eq!(lost(r#"{"A":[{"N":"x"}]}"#), ["/a/0/b", "/o"]);
    assert_eq!(lost(r#"{"A":[{"N":"x","B":2}],"O":{"X":"1"}}"#), ["/o/y"]);
}

#[test]
fn rules_of_security_groups_are_taken_apart() {
    let declared = r#"{"ingress":[{"from_port":443,"to_port":443,"protocol":"tcp","cidr_blocks":["10.0.0.0/8","10.1.0.0/16"],"ipv6_cidr_blocks":[],"self":false}]}"#;
    let seen = r#"{"IpPermissions":[{"IpProtocol":"tcp","FromPort":443,"ToPort":443,"IpRanges":[{"CidrIp":"10.1.0.0/16","Description":"x"},{"CidrIp":"10.0.0.0/8"}],"UserIdGroupPairs":[]}]}"#;
    let aligned = align(
        &Maps::built_in(),
        (Dialect::Terraform, "aws_security_group", declared),
        (Dialect::Aws, "AWS::EC2::SecurityGroup", seen),
    );
    assert_eq!(aligned.expected, aligned.observed);
    let config = r#"{"configuration":{"ipPermissions":[{"ipProtocol":"tcp","fromPort":443,"toPort":443,"ipRanges":["10.1.0.0/16","10.0.0.0/8"]}]}}"#;
    let aligned = align(
        &Maps::built_in(),
        (Dialect::Terraform, "aws_security_group", declared),
        (Dialect::AwsConfig, "AWS::EC2::SecurityGroup", config),
    );
    assert_eq!(aligned.expected, aligned.observed);
}

#[test]
fn a_rule_that_names_the_group_itself_has_it_as_a_peer() {
    let declared = |groups: &str, itself: bool| {
        format!(
            r#"{{"id":"sg-1","ingress":[{{"protocol":"-1","cidr_blocks":[],"security_groups":[{groups}],"self":{itself}}}]}}"#
        )
    };
    let seen = |groups: &str| {
        format!(
            r#"{{"GroupId":"sg-1","IpPermissions":[{{"IpProtocol":"-1","UserIdGroupPairs":[{groups}]}}]}}"#
        )
    };
    let (own, both) = (r#"{"GroupId":"sg-1"}"#, r#"{"GroupId":"sg-1"},{"GroupId":"sg-2"}"#);
    let maps = Maps::built_in();
    for (declared, seen, is_same) in [
        (declared("", true), seen(own), true),
        (declared(r#""sg-2""#, true), seen(both), true),
        (declared("", false), seen(own), false),
        (declared(r#""sg-2""#, false), seen(both), false),
        (declared(r#""sg-2""#, true), seen(own), false),
    ] {
        let aligned = align(
            &maps,
            (Dialect::Terraform, "aws_security_group", &declared),
            (Dialect::Aws, "AWS::EC2::SecurityGroup", &seen),
        );
        assert_eq!(aligned.expected == aligned.observed, is_same, "{declared} {seen}");
        assert!(aligned.unmatched.is_empty());
    }
}

#[test]
fn what_is_lost_where_a_rule_is_taken_apart_is_told() {
    let declared = r#"{"configuration":{"ipPermissions":[{"ipProtocol":"tcp","ipRanges":["10.0.0.0/8"],"userIdGroupPairs":[{"groupId":"sg-1","userId":"1"}]}]}}"#;
    let seen = r#"{"IpPermissions":[{"IpProtocol":"tcp","IpRanges":[{"CidrIp":"10.0.0.0/8"}],"UserIdGroupPairs":[{"GroupId":"sg-1","UserId":"2"}]}]}"#;
    let kind = "AWS::EC2::SecurityGroup";
    let maps = Maps::built_in();
    let lost = |declared, seen| -> Vec<String> {
        let aligned = align(&maps, declared, seen);
        assert_eq!(aligned.expected, aligned.observed);
        aligned.unmatched.into_iter().map(|one| one.path).collect()
    };
    let seen = (Dialect::Aws, kind, seen);
    assert_eq!(
        lost((Dialect::AwsConfig, kind, declared), seen),
        ["/configuration/ipPermissions/0/userIdGroupPairs/0/userId"]
    );
    let declared = r#"{"ingress":[{"protocol":"tcp","cidr_blocks":["10.0.0.0/8"],"security_groups":["sg-1"],"description":"x"}]}"#;
    assert_eq!(
        lost((Dialect::Terraform, "aws_security_group", declared), seen),
        ["/ingress/0/description"]
    );
}

fn kind(text: &str) -> KindRule {
    serde_json::from_str(text).expect("a kind")
}

#[test]
fn kinds_of_ones_own_come_first() {
    let own = r#"{"kind":"Queue","types":{"terraform":["aws_sqs_queue"],"native":["queue"]},"shape":{"Size":"n","Labels":{"*":"s"}},"names":{"terraform":{"/max_size":"/Size","/comment":null}}}"#;
    let maps = Maps::with(vec![kind(own)]).expect("it holds together");
    let aligned = align(
        &maps,
        (Dialect::Terraform, "aws_sqs_queue", r#"{"max_size":1,"comment":"x","labels":{"A":"1"}}"#),
        (Dialect::Native, "queue", r#"{"Size":2,"Labels":{"a":"1"}}"#),
    );
    assert_eq!(aligned.expected.to_json(), r#"{"labels":{"A":"1"},"max_size":1}"#);
    assert_eq!(aligned.observed.to_json(), r#"{"labels":{"a":"1"},"max_size":2}"#);
    assert!(maps.kind(Dialect::Aws, "AWS::SQS::Queue").is_some(), "other dialects keep theirs");
}

#[test]
fn kinds_that_cannot_work_are_refused() {
    let error = |texts: &[&str]| {
        Maps::with(texts.iter().map(|text| kind(text)).collect()).expect_err("refused")
    };
    let nowhere =
        error(&[r#"{"kind":"Q","types":{"native":["q"]},"shape":{"A":"s"},"absent":{"/B":1}}"#]);
    assert!(matches!(nowhere, MapError::Nowhere { .. }), "{nowhere}");
    let nowhere = error(&[
        r#"{"kind":"Q","types":{"native":["q"]},"shape":{"A":"s"},"untold":{"native":["/B"]}}"#,
    ]);
    assert!(matches!(nowhere, MapError::Nowhere { .. }), "{nowhere}");
    let no_flag = error(&[
        r#"{"kind":"Q","types":{"native":["q"]},"shape":{"A":"s"},"names":{"native":{"/b":"!/A"}}}"#,
    ]);
    assert!(matches!(no_flag, MapError::Nowhere { .. }), "{no_flag}");
    let shapeless = error(&[r#"{"kind":"Q","types":{"native":["q"]}}"#]);
    assert!(matches!(shapeless, MapError::NoShape(_)), "{shapeless}");
    let one = r#"{"kind":"Q","types":{"native":["q"]},"shape":{"A":"s"}}"#;
    let twice = error(&[one, &one.replace("\"Q\"", "\"R\"")]);
    assert!(matches!(twice, MapError::ClaimedTwice { .. }), "{twice}");
}

/// Of a Deployment of Terraform's, what a pod runs was not compared, and what the server keeps for itself was
/// missing from every object.
#[test]
fn pods_of_terraform_are_compared() {
    let maps = Maps::built_in();
    let state = include_str!("../../../tests/vectors/data/terraform-deployment.json");
    let live = include_str!("../../../tests/vectors/data/deployment.json");
    let declared = (Dialect::Terraform, "kubernetes_deployment", state);
    let aligned = align(&maps, declared, (Dialect::Kubernetes, "Deployment.apps", live));
    let told: Vec<&str> = aligned.unmatched.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(told, ["/spec/0/template/0/spec/0/volume/0/config_map/0/default_mode"]);
    let text = aligned.expected.to_json();
    for value in ["web:1.4", "info", "512Mi", "web-config", "/ready", "/etc/web"] {
        assert!(text.contains(value), "{value}: {text}");
        assert!(aligned.observed.to_json().contains(value), "{value}");
    }
    for none in ["resource_version", "uid", "generation", "wait_for_rollout"] {
        assert!(!text.contains(none), "{none}: {text}");
    }
}
