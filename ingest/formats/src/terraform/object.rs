//! One object of a state, a plan or a view of them, as an observation. All of them make keys, aliases
//! and addresses here, so that they join.

use deployforge_model::{Dialect, Observation, Presence};
use serde_json::value::RawValue;

use super::key::Keyed;
use super::provider::Provider;
use crate::refusal::Refusal;
use crate::sink::Sink;

/// An object as Terraform knows it.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    /// The provider's configuration.
    pub(crate) provider: &'a Provider,
    /// Type name.
    pub(crate) resource_type: &'a str,
    /// Address of the instance.
    pub(crate) address: String,
    /// The attributes, one JSON object.
    pub(crate) state: String,
    /// Other attributes that the key is made from: those before a change.
    pub(crate) named_by: Option<&'a str>,
    /// The identity, where the provider has one.
    pub(crate) identity: Option<&'a RawValue>,
    /// Whether it exists, and its attributes are at hand.
    pub(crate) presence: Presence,
    /// Whether the next apply replaces it.
    pub(crate) tainted: bool,
    /// The lineage.
    pub(crate) collection: Option<&'a str>,
    /// Addresses that it had before.
    pub(crate) other_addresses: &'a [String],
    /// Paths that are sensitive.
    pub(crate) sensitive: Vec<String>,
    /// What could not be resolved is marked in its state.
    pub(crate) resolved: bool,
}

impl Object<'_> {
    /// Delivers it.
    pub(crate) fn observe(self, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let (key, mut aliases) = Keyed {
            provider: self.provider,
            resource_type: self.resource_type,
            address: &self.address,
            identity: self.identity,
        }
        .read(self.named_by.unwrap_or(&self.state), sink)?;
        for other in self.other_addresses {
            if *other != key.id && !aliases.contains(other) {
                aliases.push(other.clone());
            }
        }
        let held = matches!(self.presence, Presence::Present | Presence::Deposed);
        let observation = Observation {
            aliases,
            address: Some(self.address),
            presence: self.presence,
            collection: self.collection.map(str::to_owned),
            tainted: self.tainted,
            sensitive: if held { self.sensitive } else { Vec::new() },
            ..Observation::of(
                key,
                Dialect::Terraform,
                if held { self.state.into_bytes() } else { Vec::new() },
                sink.position,
            )
        };
        if self.resolved {
            sink.observe_resolved(observation);
        } else {
            sink.observe(observation);
        }
        Ok(())
    }
}
