//! OpenStack, trap by trap.

use deployforge_formats::{Format, KeyDefaults, ReadOptions};
use deployforge_model::{Dialect, Presence, RejectCode};

use super::support::{Outcome, read, read_in};

fn in_region(text: &str) -> Outcome {
    let defaults = KeyDefaults {
        provider: None,
        account: Some("default".to_owned()),
        region: Some("RegionOne".to_owned()),
    };
    read_in(&ReadOptions { defaults, ..ReadOptions::default() }, text.as_bytes(), 64)
}

const SERVER: &str = r#"{"id":"s-1","name":"web","status":"ACTIVE","tenant_id":"p-1","updated":"2013","progress":0,
    "OS-EXT-STS:vm_state":"active","OS-EXT-STS:task_state":null,"metadata":{"links":"kept","n":1.50},
    "links":[{"href":"http://x","rel":"self"}],"flavor":{"id":"1","links":[{"href":"http://x","rel":"bookmark"}]},
    "adminPass":"hunter2"}"#;

#[test]
fn a_reply_says_what_it_holds() {
    for text in [format!(r#"{{"server":{SERVER}}}"#), format!(r#"{{"servers":[{SERVER}]}}"#)] {
        let outcome = in_region(&text);
        let found = outcome.only();
        assert_eq!(found.key.to_string(), "openstack/p-1/RegionOne/OS::Nova::Server/s-1");
        assert_eq!((found.dialect, found.presence), (Dialect::OpenStack, Presence::Present));
        assert_eq!(
            String::from_utf8_lossy(&found.state),
            r#"{"id":"s-1","name":"web","status":"ACTIVE","tenant_id":"p-1","OS-EXT-STS:vm_state":"active","metadata":{"links":"kept","n":1.50},"flavor":{"id":"1"},"adminPass":"hunter2"}"#
        );
        assert_eq!(found.sensitive, ["/adminPass"]);
        assert_eq!(outcome.summary.format, Some(Format::OpenStack));
        assert!(!outcome.summary.complete_listing && outcome.summary.notes.is_empty());
    }
}

#[test]
fn what_a_short_reply_lacks_was_not_removed() {
    let outcome = in_region(
        r#"{"servers":[{"id":"a","name":"x","links":[]},
        {"id":"b","adminPass":"hunter2","links":[],"security_groups":[]}],
        "servers_links":[{"href":"http://x","rel":"next"}]}"#,
    );
    let found = outcome.observations();
    assert_eq!(outcome.ids(), ["a", "b"]);
    for observation in &found {
        assert_eq!(observation.presence, Presence::Unreadable);
        assert!(observation.state.is_empty() && observation.sensitive.is_empty());
    }
    assert_eq!((found[0].position.line, found[1].position.line), (1, 2));
    assert_eq!(
        outcome.summary.notes,
        ["1 list with further pages: read those as well", "2 resources listed without their state"]
    );
}

#[test]
fn further_pages_are_noted() {
    let user = r#"{"id":"u","domain_id":"default","enabled":true,"links":{"self":"http://x"}}"#;
    let image = r#"{"id":"i","schema":"/v2/schemas/image","disk_format":"raw","status":"active"}"#;
    for (text, more) in [
        (format!(r#"{{"users":[{user}],"links":{{"next":"http://x","self":"http://x"}}}}"#), true),
        (format!(r#"{{"users":[{user}],"links":{{"next":null,"self":"http://x"}}}}"#), false),
        (format!(r#"{{"images":[{image}],"next":"/v2/images?marker=i"}}"#), true),
        (r#"{"servers":[],"servers_links":[{"rel":"previous","href":"x"}]}"#.to_owned(), false),
        (r#"{"servers":[],"servers_links":[{"rel":"next","href":"x"}]}"#.to_owned(), true),
    ] {
        let outcome = in_region(&text);
        assert!(outcome.rejects().is_empty(), "{text}: {:?}", outcome.rejects());
        let noted = outcome.summary.notes.iter().any(|note| note.contains("further pages"));
        assert_eq!(noted, more, "{text}");
    }
}

#[test]
fn keys_have_the_project_and_the_id_that_a_kind_has() {
    for (text, key) in [
        (
            r#"{"keypairs":[{"keypair":{"name":"k","public_key":"x","fingerprint":"y"}}]}"#,
            "openstack/default/RegionOne/OS::Nova::KeyPair/k",
        ),
        (
            r#"{"keypair":{"id":1,"name":"k","public_key":"x","user_id":"u","private_key":"z"}}"#,
            "openstack/default/RegionOne/OS::Nova::KeyPair/k",
        ),
        (
            r#"{"flavors":[{"id":"1","ram":512,"vcpus":1,"tenant_id":"ignored"}]}"#,
            "openstack//RegionOne/OS::Nova::Flavor/1",
        ),
        (
            r#"{"aggregate":{"id":7,"hosts":[],"metadata":{},"availability_zone":null}}"#,
            "openstack//RegionOne/OS::Nova::HostAggregate/7",
        ),
        (
            r#"{"volume":{"id":"v","size":1,"status":"in-use","os-vol-tenant-attr:tenant_id":"p","links":[]}}"#,
            "openstack/p/RegionOne/OS::Cinder::Volume/v",
        ),
        (
            r#"{"networks":[{"id":"n","admin_state_up":true,"project_id":"p","tenant_id":"q","subnets":[]}]}"#,
            "openstack/p/RegionOne/OS::Neutron::Net/n",
        ),
        (
            r#"{"security_groups":[{"id":1,"rules":[],"tenant_id":"p"}]}"#,
            "openstack/p/RegionOne/OS::Neutron::SecurityGroup/1",
        ),
        (
            r#"{"user":{"id":"u","domain_id":"default","enabled":true,"password_expires_at":null}}"#,
            "openstack//RegionOne/OS::Keystone::User/u",
        ),
        (
            r#"{"id":"i","schema":"/v2/schemas/image","disk_format":"raw","status":"active","owner":"p"}"#,
            "openstack/p/RegionOne/OS::Glance::Image/i",
        ),
        (
            r#"{"images":[{"id":"i","schema":"/v2/schemas/image","disk_format":"raw","status":"active","owner":"p"}],"schema":"/v2/schemas/images","first":"/v2/images"}"#,
            "openstack/p/RegionOne/OS::Glance::Image/i",
        ),
    ] {
        let outcome = in_region(text);
        assert_eq!(outcome.only().key.to_string(), key);
        assert_eq!(outcome.only().presence, Presence::Present, "{text}");
    }
    let outcome =
        read(r#"{"keypairs":[{"keypair":{"name":"k","public_key":"x","fingerprint":"y"}}]}"#);
    assert_eq!(
        outcome.summary.notes,
        [
            "account of 1 resource unknown: taken as empty",
            "region of 1 resource unknown: taken as empty"
        ]
    );
}

#[test]
fn what_names_no_resource_is_refused() {
    for (text, code, word) in [
        (
            r#"{"server":{"name":"x","imageRef":"i","flavorRef":"1"}}"#,
            RejectCode::BadField,
            "request",
        ),
        (r#"{"servers":[{"name":"x","links":[]}]}"#, RejectCode::BadField, "request"),
        (r#"{"servers":[{"id":"","links":[]}]}"#, RejectCode::BadField, "request"),
        (r#"{"servers":[{"id":"a","id":"b","links":[]}]}"#, RejectCode::DuplicateKey, "`id`"),
        (r#"{"metadata":{"a":"b"}}"#, RejectCode::NotARecord, "`metadata`"),
        (r#"{"quota_set":{"cores":20}}"#, RejectCode::NotARecord, "`quota_set`"),
        (r#"{"instanceActions":[],"links":[]}"#, RejectCode::NotARecord, "`instanceActions`"),
    ] {
        let outcome = read(text);
        assert_eq!(outcome.refused().code, code, "{text}: {:?}", outcome.refused());
        assert!(outcome.refused().reason.contains(word), "{text}: {:?}", outcome.refused());
    }
    // Names that other clouds use as well.
    for text in [
        r#"{"projects":[{"name":"x","arn":"arn:aws:codebuild:r:1:project/x"}]}"#,
        r#"{"services":[],"failures":[]}"#,
        r#"{"volumes":[]}"#,
        r#"{"image":"x"}"#,
    ] {
        assert_ne!(read(text).summary.format, Some(Format::OpenStack), "{text}");
    }
    let outcome = read(r#"{"servers":[{"id":"a","links":[]},7]}"#);
    assert_eq!((outcome.ids(), outcome.codes()), (vec!["a"], vec![RejectCode::BadField]));
    let outcome = read(r#"{"floating_ips":[]}"#);
    assert_eq!(outcome.summary.notes, ["1 list without items"]);
}
