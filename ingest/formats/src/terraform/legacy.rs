//! States of versions 1 to 3 as states of version 4, by the rules OpenTofu upgrades them with.
//!
//! Before version 4 a resource was what is an instance now, its attributes were flat, its provider
//! was named by its type, and the schema's version stood in the instance's `meta`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use deployforge_model::RejectCode;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::provider;
use super::state::{self, Instance, Resource, State};
use crate::json::{self as text, Members};
use crate::refusal::{Refusal, printable};

/// Upgrades a state of version 1, 2 or 3.
pub(super) fn upgrade(members: &Members<'_>, version: u64) -> Result<State, Refusal> {
    let serial = members.unsigned("serial")?.unwrap_or(0);
    let written_by = members.text("terraform_version")?.filter(|text| !text.is_empty());
    let mut state = State {
        version: 4,
        terraform_version: written_by.map_or_else(|| "0.0.0".to_owned(), String::from),
        serial,
        lineage: members.text("lineage")?.unwrap_or_default().into_owned(),
        outputs: BTreeMap::new(),
        resources: Vec::new(),
    };
    for raw in members.array("modules")?.unwrap_or_default() {
        let module = Members::of(raw, "modules")?;
        module.unique_among(&["path", "resources", "outputs"], "a module of the state")?;
        let path = module_path(&module)?;
        if path.is_empty() {
            outputs(&module, version, &mut state)?;
        }
        resources(&module, &path, version, &mut state)?;
    }
    let order = |resource: &Resource| {
        let Resource { module, mode, resource_type, name, .. } = resource;
        (module.clone(), mode.clone(), resource_type.clone(), name.clone())
    };
    state.resources.sort_by_cached_key(order);
    Ok(state)
}

/// The module's address: `["root","a"]` is `module.a`.
fn module_path(module: &Members<'_>) -> Result<String, Refusal> {
    let wrong = Refusal::Wrong { field: "path", want: "a list that begins with `root`" };
    let mut names = Vec::new();
    for raw in module.array("path")?.unwrap_or_default() {
        names.push(text::text_of(raw).ok_or_else(|| wrong.clone())?);
    }
    match names.split_first() {
        // Some states of version 1 have no path for the root.
        None => Ok(String::new()),
        Some((root, rest)) if root == "root" && rest.iter().all(|name| is_identifier(name)) => {
            Ok(rest.iter().map(|name| format!("module.{name}")).collect::<Vec<_>>().join("."))
        }
        Some(_) => Err(wrong),
    }
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}

fn outputs(module: &Members<'_>, version: u64, state: &mut State) -> Result<(), Refusal> {
    let Some(raw) = module.get("outputs") else { return Ok(()) };
    for (name, raw) in Members::of(raw, "outputs")?.iter() {
        let (value, sensitive) = if version == 1 {
            (raw.get(), false)
        } else {
            let output = Members::of(raw, "outputs")?;
            let value = output.raw("value").map_or("null", RawValue::get);
            (value, output.flag("sensitive")?.unwrap_or(false))
        };
        let parsed: Value = serde_json::from_str(value)?;
        let kind = simplify(implied_type(&parsed));
        let mut entry = Map::new();
        entry.insert("value".to_owned(), parsed);
        entry.insert("type".to_owned(), kind);
        if sensitive {
            entry.insert("sensitive".to_owned(), Value::Bool(true));
        }
        state.outputs.insert(name.to_owned(), to_raw_value(&entry)?);
    }
    Ok(())
}

/// The structural type that a value has by itself.
fn implied_type(value: &Value) -> Value {
    match value {
        Value::Null => json!("dynamic"),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Array(elements) => {
            json!(["tuple", elements.iter().map(implied_type).collect::<Vec<_>>()])
        }
        Value::Object(members) => {
            let types: Map<String, Value> =
                members.iter().map(|(name, value)| (name.clone(), implied_type(value))).collect();
            json!(["object", types])
        }
    }
}

/// A collection type, where all elements have one type: older versions knew nothing else.
fn simplify(kind: Value) -> Value {
    let (name, types): (&str, Vec<&Value>) = match kind.as_array().map(Vec::as_slice) {
        Some([name, Value::Array(types)]) if name == "tuple" => ("list", types.iter().collect()),
        Some([name, Value::Object(types)]) if name == "object" => ("map", types.values().collect()),
        _ => return kind,
    };
    match types.split_first() {
        Some((first, rest)) if rest.iter().all(|other| other == first) => {
            json!([name, simplify((*first).clone())])
        }
        _ => kind,
    }
}

fn resources(
    module: &Members<'_>,
    path: &str,
    version: u64,
    state: &mut State,
) -> Result<(), Refusal> {
    let Some(raw) = module.get("resources") else { return Ok(()) };
    let members = Members::of(raw, "resources")?;
    members.unique("the resources of a module")?;
    let mut found: BTreeMap<(bool, &str, &str), Resource> = BTreeMap::new();
    // Instances in the order of their indexes, whatever the order of the keys.
    let mut entries = members
        .iter()
        .map(|(address, raw)| Ok((Address::parse(address)?, raw)))
        .collect::<Result<Vec<_>, Refusal>>()?;
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    for (address, raw) in entries {
        let old = Members::of(raw, "resources")?;
        old.unique_among(&["primary", "deposed", "provider"], "a resource of the state")?;
        let resource = match found.entry((address.data, address.resource_type, address.name)) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Resource {
                module: path.to_owned(),
                mode: if address.data { "data" } else { "managed" }.to_owned(),
                resource_type: address.resource_type.to_owned(),
                name: address.name.to_owned(),
                each: String::new(),
                provider: provider_of(&old, path, address.resource_type)?,
                instances: Vec::new(),
            }),
        };
        if address.index.is_some() {
            "list".clone_into(&mut resource.each);
        }
        let depends_on = dependencies(&old)?;
        if let Some(primary) = old.get("primary") {
            let mut instance = instance(primary, address.index, version)?;
            instance.depends_on = depends_on;
            resource.instances.push(instance);
        }
        for (at, raw) in old.array("deposed")?.unwrap_or_default().into_iter().enumerate() {
            if raw.get() == "null" {
                continue;
            }
            let mut instance = instance(raw, address.index, version)?;
            instance.deposed = format!("{:08x}", at + 1);
            resource.instances.push(instance);
        }
    }
    state.resources.extend(found.into_values());
    Ok(())
}

/// `data.type.name.0`, in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Address<'a> {
    data: bool,
    resource_type: &'a str,
    name: &'a str,
    index: Option<u64>,
}

impl<'a> Address<'a> {
    fn parse(address: &'a str) -> Result<Self, Refusal> {
        let wrong = || {
            let reason = format!(
                "`{}` is no address of a resource in a state of an old version; repair the state.",
                printable(address)
            );
            Refusal::new(RejectCode::BadField, reason)
        };
        let mut parts: Vec<&str> = address.split('.').collect();
        let data = parts.len() > 2 && parts[0] == "data";
        if data {
            parts.remove(0);
        }
        match parts.as_slice() {
            [resource_type, name] => Ok(Self { data, resource_type, name, index: None }),
            [resource_type, name, index] => {
                let index = Some(index.parse().map_err(|_| wrong())?);
                Ok(Self { data, resource_type, name, index })
            }
            _ => Err(wrong()),
        }
    }
}

fn provider_of(old: &Members<'_>, path: &str, resource_type: &str) -> Result<String, Refusal> {
    let given = old.text("provider")?.unwrap_or_default();
    if given.contains("provider.") || given.contains("provider[") {
        return Ok(provider::full(&given));
    }
    // `aws.alias`, or nothing: the provider is then named by the type's prefix.
    let implied = resource_type.split('_').next().unwrap_or_default();
    let local = if given.is_empty() { implied } else { &given };
    let dot = if path.is_empty() { "" } else { "." };
    Ok(provider::full(&format!("{path}{dot}provider.{local}")))
}

/// Dependencies with their indexes in brackets; names that can't be any more are left out.
fn dependencies(old: &Members<'_>) -> Result<Option<Box<RawValue>>, Refusal> {
    let mut addresses = Vec::new();
    for raw in old.array("depends_on")?.unwrap_or_default() {
        let Some(address) = text::text_of(raw) else { continue };
        let (base, index) = match address.rsplit_once('.') {
            Some((base, "*")) => (base.to_owned(), String::new()),
            Some((base, index)) if index.bytes().all(|byte| byte.is_ascii_digit()) => {
                (base.to_owned(), format!("[{index}]"))
            }
            _ => (address.into_owned(), String::new()),
        };
        if base.split('.').all(is_identifier) {
            addresses.push(base + &index);
        }
    }
    Ok(if addresses.is_empty() { None } else { Some(to_raw_value(&addresses)?) })
}

fn instance(raw: &RawValue, index: Option<u64>, version: u64) -> Result<Instance, Refusal> {
    let members = Members::of(raw, "primary")?;
    members.unique_among(&["id", "attributes", "meta", "tainted"], "an instance of the state")?;
    let mut flat = members.get("attributes").map(state::flat).transpose()?;
    if let (Some(flat), 1 | 2) = (&mut flat, version) {
        mark_maps(flat);
    }
    if let Some(id) = members.text("id")?.filter(|id| !id.is_empty()) {
        let known = flat.get_or_insert_default().entry("id".to_owned()).or_default();
        if known.is_empty() {
            *known = id.into_owned();
        }
    }
    let (schema_version, private) = meta(&members)?;
    let tainted = members.flag("tainted")?.unwrap_or(false);
    Ok(Instance {
        index_key: index.map(|index| to_raw_value(&index)).transpose()?,
        status: if tainted { "tainted".to_owned() } else { String::new() },
        schema_version,
        attributes_flat: flat,
        private,
        ..Instance::default()
    })
}

/// The schema's version, and what else the provider kept, as base64 of JSON.
fn meta(members: &Members<'_>) -> Result<(u64, Option<String>), Refusal> {
    let Some(raw) = members.get("meta") else { return Ok((0, None)) };
    let mut meta: Map<String, Value> = serde_json::from_str(raw.get())
        .map_err(|_| Refusal::Wrong { field: "meta", want: "a JSON object" })?;
    let version = match meta.get("schema_version") {
        Some(Value::String(text)) => text.parse().ok(),
        Some(Value::Number(number)) => number.as_u64(),
        _ => None,
    };
    if version.is_some() {
        meta.remove("schema_version");
    }
    let private =
        if meta.is_empty() { None } else { Some(STANDARD.encode(serde_json::to_vec(&meta)?)) };
    Ok((version.unwrap_or(0), private))
}

/// Before version 3 maps were counted with `#`, as lists are: what has a key that is no number is a
/// map. Empty collections could be either, so their count goes.
fn mark_maps(flat: &mut BTreeMap<String, String>) {
    let prefixes: Vec<String> =
        flat.keys().filter_map(|key| key.strip_suffix('#')).map(str::to_owned).collect();
    for prefix in prefixes.into_iter().filter(|prefix| prefix.ends_with('.')) {
        let keys: Vec<&str> = flat
            .range(prefix.clone()..)
            .map_while(|(key, _)| key.strip_prefix(prefix.as_str()))
            .filter(|key| *key != "#")
            .map(|key| key.split('.').next().unwrap_or(key))
            .collect();
        let is_map = keys.iter().any(|key| key.parse::<i64>().is_err());
        let is_empty = keys.is_empty();
        if is_map || is_empty {
            let count = flat.remove(&format!("{prefix}#")).unwrap_or_default();
            if is_map {
                flat.insert(format!("{prefix}%"), count);
            }
        }
    }
}
