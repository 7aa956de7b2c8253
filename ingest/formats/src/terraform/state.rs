//! The state of version 4, as far as it is of interest here.

use std::collections::BTreeMap;

use deployforge_model::RejectCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::provider;
use crate::json::{self, Members};
use crate::refusal::Refusal;

/// A state file of version 4. Values that are not interpreted are kept as their JSON text, so that
/// numbers stay exact.
#[derive(Clone, Debug, Serialize)]
pub struct State {
    /// 4.
    pub version: u64,
    /// The version that wrote the state.
    pub terraform_version: String,
    /// Counts the writes.
    pub serial: u64,
    /// Identifies the state across its serials.
    pub lineage: String,
    /// Outputs of the root module, by name.
    pub outputs: BTreeMap<String, Box<RawValue>>,
    /// Resources.
    pub resources: Vec<Resource>,
}

/// One resource: its instances share type, name and provider.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Resource {
    /// Address of the module, empty for the root.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub module: String,
    /// `managed` or `data`.
    pub mode: String,
    /// Type name.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// Name in the configuration.
    pub name: String,
    /// `list` or `map`, from before instances had keys of their own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub each: String,
    /// Address of the provider configuration, in its full form.
    pub provider: String,
    /// The objects.
    pub instances: Vec<Instance>,
}

/// One object of a resource.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Instance {
    /// Number (`count`) or string (`for_each`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_key: Option<Box<RawValue>>,
    /// `tainted`, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// The key of a deposed object, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deposed: String,
    /// Version of the provider's schema.
    pub schema_version: u64,
    /// The attributes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Box<RawValue>>,
    /// The attributes as old providers kept them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes_flat: Option<BTreeMap<String, String>>,
    /// Paths that are sensitive: a lower bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensitive_attributes: Option<Box<RawValue>>,
    /// The identity, where the provider has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Box<RawValue>>,
    /// Version of the identity's schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_schema_version: Option<u64>,
    /// The provider's own data, as base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private: Option<String>,
    /// Addresses this one depends on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Box<RawValue>>,
    /// The same, as version 3 had it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<Box<RawValue>>,
    /// Whether the replacement is made first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub create_before_destroy: bool,
}

impl State {
    /// Reads a state of version 4.
    pub(super) fn read(members: &Members<'_>) -> Result<Self, Refusal> {
        let text = |name| Ok::<_, Refusal>(members.text(name)?.unwrap_or_default().into_owned());
        let outputs = match members.get("outputs") {
            None => BTreeMap::new(),
            Some(raw) => Members::of(raw, "outputs")?
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        };
        let mut resources = Vec::new();
        for raw in members.array("resources")?.unwrap_or_default() {
            resources.push(Resource::read(&Members::of(raw, "resources")?)?);
        }
        Ok(Self {
            version: 4,
            terraform_version: text("terraform_version")?,
            serial: members.unsigned("serial")?.unwrap_or(0),
            lineage: text("lineage")?,
            outputs,
            resources,
        })
    }
}

const RESOURCE: [&str; 6] = ["module", "mode", "type", "name", "provider", "instances"];
const INSTANCE: [&str; 8] = [
    "index_key",
    "status",
    "deposed",
    "attributes",
    "attributes_flat",
    "sensitive_attributes",
    "identity",
    "schema_version",
];

impl Resource {
    /// Reads one element of `resources`.
    pub(super) fn read(members: &Members<'_>) -> Result<Self, Refusal> {
        members.unique_among(&RESOURCE, "a resource of the state")?;
        let text = |name| Ok::<_, Refusal>(members.text(name)?.unwrap_or_default().into_owned());
        let mut instances = Vec::new();
        for raw in members.array("instances")?.unwrap_or_default() {
            instances.push(Instance::read(&Members::of(raw, "instances")?)?);
        }
        Ok(Self {
            module: text("module")?,
            mode: members.need_text("mode", "a resource of the state")?.into_owned(),
            resource_type: members.need_text("type", "a resource of the state")?.into_owned(),
            name: members.need_text("name", "a resource of the state")?.into_owned(),
            each: text("each")?,
            provider: provider::full(&text("provider")?),
            instances,
        })
    }
}

impl Instance {
    fn read(members: &Members<'_>) -> Result<Self, Refusal> {
        // Only what is interpreted must be unique: states with `dependencies` given twice exist.
        members.unique_among(&INSTANCE, "an instance of the state")?;
        let text = |name| Ok::<_, Refusal>(members.text(name)?.unwrap_or_default().into_owned());
        let raw = |name| members.get(name).map(ToOwned::to_owned);
        let index_key = members.get("index_key");
        if index_key.is_some_and(|key| !json::is_number(key) && json::text_of(key).is_none()) {
            return Err(Refusal::Wrong { field: "index_key", want: "a number or a string" });
        }
        let status = text("status")?;
        if !matches!(status.as_str(), "" | "tainted") {
            return Err(Refusal::Wrong { field: "status", want: "`tainted` or absent" });
        }
        Ok(Self {
            index_key: index_key.map(ToOwned::to_owned),
            status,
            deposed: text("deposed")?,
            schema_version: members.unsigned("schema_version")?.unwrap_or(0),
            attributes: raw("attributes"),
            attributes_flat: members.get("attributes_flat").map(flat).transpose()?,
            sensitive_attributes: raw("sensitive_attributes"),
            identity: raw("identity"),
            identity_schema_version: members.unsigned("identity_schema_version")?,
            private: members.text("private")?.map(std::borrow::Cow::into_owned),
            dependencies: raw("dependencies"),
            depends_on: raw("depends_on"),
            create_before_destroy: members.flag("create_before_destroy")?.unwrap_or(false),
        })
    }
}

/// Reads flat attributes: an object of strings. Other scalars are taken as their text.
pub(super) fn flat(raw: &RawValue) -> Result<BTreeMap<String, String>, Refusal> {
    let members = Members::of(raw, "attributes")?;
    let mut flat = BTreeMap::new();
    for (name, value) in members.iter() {
        let text = match json::text_of(value) {
            Some(text) => text.into_owned(),
            None if json::is_object(value) || json::is_array(value) => {
                let reason =
                    "A flat attribute holds an object or a list, where only text can stand.";
                return Err(Refusal::new(RejectCode::BadField, reason));
            }
            None if value.get() == "null" => String::new(),
            None => value.get().to_owned(),
        };
        if flat.insert(name.to_owned(), text).is_some() {
            return Err(Refusal::Twice {
                key: crate::refusal::printable(name),
                what: "the flat attributes",
            });
        }
    }
    Ok(flat)
}
