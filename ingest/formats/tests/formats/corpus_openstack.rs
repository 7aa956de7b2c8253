//! Every recorded reply of Nova's is read, or refused for the right reason.

use std::collections::BTreeMap;

use deployforge_formats::Format;
use deployforge_model::RejectCode;
use serde_json::Value;

use super::support::{files, fixtures, read};

#[test]
fn every_reply_is_read_or_refused_for_its_reason() {
    let mut totals: BTreeMap<String, usize> = BTreeMap::new();
    for path in files(&fixtures("6-inventory/openstack")) {
        let bytes = std::fs::read(&path).unwrap();
        let at = path.display().to_string();
        let outcome = read(&bytes);
        let reply: Value = serde_json::from_slice(&bytes).unwrap();
        // The objects with an id (or, for key pairs, a name) that stand right below a member.
        let mut expected = 0;
        for (name, held) in reply.as_object().unwrap() {
            let list = held.as_array().cloned().unwrap_or_else(|| vec![held.clone()]);
            let named = |one: &&Value| {
                one["id"].is_string()
                    || one["id"].is_number()
                    || one["keypair"].is_object()
                    || name == "keypair"
            };
            if name != "quota_set" {
                expected += list.iter().filter(named).count();
            }
        }
        assert_eq!(outcome.observations().len(), expected, "{at}: {:?}", outcome.rejects());
        for found in outcome.observations() {
            let word = format!("{} {}", found.key.resource_type, found.presence.name());
            *totals.entry(word).or_default() += 1;
            let state = String::from_utf8_lossy(&found.state);
            assert!(!state.contains("href") && !state.contains("\"updated\""), "{at}: {state}");
        }
        if expected > 0 {
            assert_eq!(outcome.summary.format, Some(Format::OpenStack), "{at}");
            assert!(outcome.rejects().is_empty(), "{at}: {:?}", outcome.rejects());
        } else if outcome.rejects().is_empty() {
            *totals.entry("empty lists".to_owned()).or_default() += 1;
        } else {
            assert_eq!(outcome.codes(), [RejectCode::NotARecord], "{at}: {:?}", outcome.rejects());
            let known = outcome.refused().reason.contains("without saying of what");
            // Maps of whatever a user named say nothing of what they are.
            let nameless =
                ["extra-specs-get-resp", "extra-specs-update-resp", "server-ips-network-resp"];
            assert_eq!(known, !nameless.iter().any(|name| at.contains(name)), "{at}");
            let word = if known { "parts refused" } else { "maps refused" };
            *totals.entry(word.to_owned()).or_default() += 1;
        }
    }
    let expected = TOTALS.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect();
    assert_eq!(totals, expected);
}

const TOTALS: &[(&str, usize)] = &[
    ("OS::Glance::Image present", 12),
    ("OS::Glance::Image unreadable", 11),
    ("OS::Neutron::SecurityGroup present", 2),
    ("OS::Neutron::SecurityGroupRule present", 1),
    ("OS::Nova::Flavor present", 31),
    ("OS::Nova::Flavor unreadable", 13),
    ("OS::Nova::FloatingIP present", 3),
    ("OS::Nova::HostAggregate present", 18),
    ("OS::Nova::HostAggregate unreadable", 3),
    ("OS::Nova::Hypervisor present", 13),
    ("OS::Nova::Hypervisor unreadable", 11),
    ("OS::Nova::KeyPair present", 10),
    ("OS::Nova::Server present", 42),
    ("OS::Nova::Server unreadable", 34),
    ("OS::Nova::ServerGroup present", 7),
    ("empty lists", 1),
    ("maps refused", 3),
    ("parts refused", 44),
];
