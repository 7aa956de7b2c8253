//! Which object an entry of a state or a plan speaks of.

use std::borrow::Cow;
use std::collections::HashMap;

use deployforge_model::Presence;
use serde_json::value::RawValue;

use crate::json::{self, Members};
use crate::refusal::Refusal;
use crate::terraform;

const RESOURCE: &str = "a resource";

/// Whether Terraform manages the object or only looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Managed,
    Data,
    /// Something that lives during a run only.
    Other,
}

/// What tells the objects of one document apart: the address, and the key of a deposed object.
pub(super) type Id = (String, String);

/// Which object.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    pub(super) mode: Mode,
    pub(super) resource_type: Cow<'a, str>,
    /// Address of the instance, made of its parts: old versions leave out modules and indexes.
    pub(super) address: String,
    /// Address of the resource in the configuration, which has no indexes.
    pub(super) configured: String,
    /// Source address of the provider.
    pub(super) provider: Cow<'a, str>,
    /// Key of a deposed object, or empty.
    pub(super) deposed: Cow<'a, str>,
}

impl<'a> Place<'a> {
    fn read(members: &Members<'a>, module: &str, deposed: &'static str) -> Result<Self, Refusal> {
        const NAMES: [&str; 8] =
            ["address", "mode", "type", "name", "index", "values", "change", "provider_name"];
        members.unique_among(&NAMES, RESOURCE)?;
        let mode = match members.text("mode")?.as_deref() {
            None | Some("managed") => Mode::Managed,
            Some("data") => Mode::Data,
            Some(_) => Mode::Other,
        };
        let resource_type = members.need_text("type", RESOURCE)?;
        let name = members.need_text("name", RESOURCE)?;
        let index = members.get("index");
        if index.is_some_and(|index| !json::is_number(index) && json::text_of(index).is_none()) {
            return Err(Refusal::Wrong { field: "index", want: "a number or a string" });
        }
        let dot = if module.is_empty() { "" } else { "." };
        let root = format!("{module}{dot}{resource_type}.{name}");
        Ok(Self {
            mode,
            address: terraform::address(&root, index),
            configured: format!("{}{dot}{resource_type}.{name}", without_indexes(module)),
            provider: members.text("provider_name")?.unwrap_or_default(),
            deposed: members.text(deposed)?.unwrap_or_default(),
            resource_type,
        })
    }

    pub(super) fn id(&self) -> Id {
        (self.address.clone(), self.deposed.clone().into_owned())
    }

    /// The presence of a deposed object, or else `other`.
    pub(super) fn presence(&self, other: Presence) -> Presence {
        if self.deposed.is_empty() { other } else { Presence::Deposed }
    }
}

/// The module's address without the keys of its instances, in which anything may stand.
fn without_indexes(module: &str) -> String {
    let mut out = String::with_capacity(module.len());
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for c in module.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' if depth > 0 => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth = depth.saturating_sub(1),
            _ if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

/// An object that a state lists.
#[derive(Debug)]
pub(super) struct Listed<'a> {
    pub(super) place: Place<'a>,
    values: Option<&'a RawValue>,
    pub(super) sensitive: Option<&'a RawValue>,
    pub(super) identity: Option<&'a RawValue>,
    pub(super) tainted: bool,
    pub(super) raw: &'a RawValue,
}

impl<'a> Listed<'a> {
    pub(super) fn read(raw: &'a RawValue, module: &str) -> Result<Self, Refusal> {
        let members = Members::of(raw, "resources")?;
        members.unique_among(&["values", "sensitive_values"], "a resource of the state")?;
        Ok(Self {
            place: Place::read(&members, module, "deposed_key")?,
            values: members.get("values"),
            sensitive: members.get("sensitive_values"),
            identity: members.get("identity"),
            tainted: members.flag("tainted")?.unwrap_or(false),
            raw,
        })
    }

    /// Whether the attributes are there.
    pub(super) fn presence(&self) -> Presence {
        let held = if self.values.is_some() { Presence::Present } else { Presence::Unreadable };
        self.place.presence(held)
    }

    /// The attributes, if they are there.
    pub(super) fn values(&self) -> Result<Option<&'a RawValue>, Refusal> {
        match self.values {
            Some(values) if !json::is_object(values) => {
                Err(Refusal::Wrong { field: "values", want: "a JSON object" })
            }
            values => Ok(values),
        }
    }
}

/// A change of an object: of one that drifted, or one that is planned.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) place: Place<'a>,
    /// The address before the object was moved.
    pub(super) previous: Option<String>,
    pub(super) actions: Vec<Cow<'a, str>>,
    pub(super) before: Option<&'a RawValue>,
    pub(super) after: Option<&'a RawValue>,
    pub(super) unknown: Option<&'a RawValue>,
    pub(super) sensitive: [Option<&'a RawValue>; 2],
    pub(super) identity: Option<&'a RawValue>,
    pub(super) raw: &'a RawValue,
}

impl<'a> Change<'a> {
    pub(super) fn read(raw: &'a RawValue) -> Result<Self, Refusal> {
        const NAMES: [&str; 6] =
            ["actions", "before", "after", "after_unknown", "before_sensitive", "after_sensitive"];
        let members = Members::of(raw, "resource_changes")?;
        let module = members.text("module_address")?.unwrap_or_default();
        let what = "a change of a resource";
        let change = members.get("change").ok_or(Refusal::Missing { field: "change", what })?;
        let change = Members::of(change, "change")?;
        change.unique_among(&NAMES, what)?;
        let object = |name: &'static str| match change.get(name) {
            Some(raw) if !json::is_object(raw) => {
                Err(Refusal::Wrong { field: name, want: "a JSON object or null" })
            }
            other => Ok(other),
        };
        let actions = change.array("actions")?.unwrap_or_default();
        Ok(Self {
            place: Place::read(&members, &module, "deposed")?,
            previous: members.text("previous_address")?.map(Cow::into_owned),
            actions: actions.into_iter().filter_map(json::text_of).collect(),
            before: object("before")?,
            after: object("after")?,
            unknown: change.get("after_unknown"),
            sensitive: [change.get("before_sensitive"), change.get("after_sensitive")],
            identity: change.get("before_identity").or_else(|| change.get("after_identity")),
            raw,
        })
    }

    /// Whether there is something that is changed, or left as it is.
    pub(super) fn exists(&self) -> bool {
        self.before.is_some() && !self.is_new()
    }

    /// Whether it is created, and replaces nothing.
    pub(super) fn is_new(&self) -> bool {
        self.actions == ["create"]
    }

    pub(super) fn does(&self, action: &str) -> bool {
        self.actions.iter().any(|one| one == action)
    }
}

/// The resources of `values`, each with the address of its module.
pub(super) fn listed(values: Option<&RawValue>) -> Result<Vec<(String, &RawValue)>, Refusal> {
    let mut found = Vec::new();
    let Some(values) = values else { return Ok(found) };
    let values = Members::of(values, "values")?;
    if let Some(root) = values.get("root_module") {
        walk(&Members::of(root, "root_module")?, "", &mut found)?;
    }
    Ok(found)
}

/// The recursion is as deep as the text, which is limited.
fn walk<'a>(
    module: &Members<'a>,
    address: &str,
    found: &mut Vec<(String, &'a RawValue)>,
) -> Result<(), Refusal> {
    module.unique_among(&["address", "resources", "child_modules"], "a module")?;
    for raw in module.array("resources")?.unwrap_or_default() {
        found.push((address.to_owned(), raw));
    }
    for raw in module.array("child_modules")?.unwrap_or_default() {
        let child = Members::of(raw, "child_modules")?;
        let address = child.text("address")?.unwrap_or_default();
        walk(&child, &address, found)?;
    }
    Ok(())
}

/// The aliases of providers that the configuration names, by the configured address of the resource.
/// States name them beside each resource, and regions are read from them.
pub(super) fn aliases(
    configuration: Option<&RawValue>,
) -> Result<HashMap<String, String>, Refusal> {
    let mut found = HashMap::new();
    let Some(configuration) = configuration else { return Ok(found) };
    let configuration = Members::of(configuration, "configuration")?;
    if let Some(root) = configuration.get("root_module") {
        walk_configuration(&Members::of(root, "root_module")?, "", &mut found)?;
    }
    Ok(found)
}

fn walk_configuration(
    module: &Members<'_>,
    address: &str,
    found: &mut HashMap<String, String>,
) -> Result<(), Refusal> {
    for raw in module.array("resources")?.unwrap_or_default() {
        let resource = Members::of(raw, "resources")?;
        let key = resource.peek("provider_config_key").unwrap_or_default();
        // `module.a:aws.eu_west_1`.
        let key = key.rsplit_once(':').map_or(&*key, |(_, key)| key);
        let (Some((_, alias)), Some(kind), Some(name)) =
            (key.split_once('.'), resource.peek("type"), resource.peek("name"))
        else {
            continue;
        };
        found.insert(format!("{address}{kind}.{name}"), alias.to_owned());
    }
    let Some(calls) = module.get("module_calls") else { return Ok(()) };
    for (name, raw) in Members::of(calls, "module_calls")?.iter() {
        let Some(child) = Members::of(raw, "module_calls")?.get("module") else { continue };
        let address = format!("{address}module.{name}.");
        walk_configuration(&Members::of(child, "module")?, &address, found)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_of_modules_may_hold_anything() {
        for (module, want) in [
            ("", ""),
            ("module.a", "module.a"),
            (r#"module.a["x.y]"].module.b[0]"#, "module.a.module.b"),
            (r#"module.a["\"]"].module.b"#, "module.a.module.b"),
        ] {
            assert_eq!(without_indexes(module), want);
        }
    }
}
