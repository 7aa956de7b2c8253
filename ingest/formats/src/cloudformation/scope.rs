//! What a template's names stand for: parameters, conditions, mappings, resources, and what AWS
//! defines itself.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;

use super::types;
use crate::json::Members;
use crate::options::ReadOptions;
use crate::refusal::{Refusal, printable};
use crate::resolved::{Bounds, PARTS, Value};

/// A resource as far as others refer to it.
#[derive(Debug)]
struct Named<'a> {
    resource_type: Cow<'a, str>,
    properties: Option<Value<'a>>,
}

/// The names of one template.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    parameters: HashMap<Cow<'a, str>, Value<'a>>,
    mappings: Value<'a>,
    conditions: HashMap<Cow<'a, str>, Value<'a>>,
    resources: HashMap<Cow<'a, str>, Named<'a>>,
    account: Option<String>,
    region: Option<String>,
    stack: Option<String>,
    /// Conditions that were evaluated, and the names that `Ref` gives; `None` while that goes on.
    known: RefCell<HashMap<String, Option<bool>>>,
    names: RefCell<HashMap<String, Option<Value<'a>>>>,
    /// How far resolving may go.
    pub(super) bounds: Bounds,
    /// How many parameters have the value that the template gives them.
    pub(super) defaults: u64,
}

impl<'a> Scope<'a> {
    /// Reads the sections of a template that define names.
    pub(super) fn read(
        template: &Members<'a>,
        resources: &Members<'a>,
        options: &ReadOptions,
    ) -> Result<Self, Refusal> {
        let depth = options.limits.depth;
        let section = |name: &'static str| match template.get(name) {
            Some(raw) => {
                Members::of(raw, name)?.unique("a section of the template")?;
                Value::parse(raw.get(), depth)
            }
            None => Ok(Value::Object(Vec::new())),
        };
        let named = |value: Value<'a>| match value {
            Value::Object(members) => members.into_iter().collect::<HashMap<_, _>>(),
            _ => HashMap::new(),
        };
        let given = options.stack.as_ref().map(|stack| &stack.parameters);
        let mut defaults = 0;
        let parameters = named(section("Parameters")?)
            .into_iter()
            .map(|(name, definition)| {
                let given = given.and_then(|given| given.get(&*name)).cloned();
                defaults += u64::from(given.is_none() && definition.get("Default").is_some());
                let value = parameter(&name, &definition, given);
                (name, value)
            })
            .collect();
        let mut all = HashMap::new();
        for (id, raw) in resources.iter() {
            let Ok(resource) = Members::parse(raw.get()) else { continue };
            let Some(resource_type) = resource.peek("Type") else { continue };
            // What is not referred to by a name of its own need not be kept.
            let kept = types::name_of(&resource_type).and(resource.get("Properties"));
            let properties = kept.map(|raw| Value::parse(raw.get(), depth)).transpose()?;
            all.insert(Cow::Owned(id.to_owned()), Named { resource_type, properties });
        }
        Ok(Self {
            parameters,
            mappings: section("Mappings")?,
            conditions: named(section("Conditions")?),
            resources: all,
            account: options.defaults.account.clone().filter(|account| !account.is_empty()),
            region: options.defaults.region.clone().filter(|region| !region.is_empty()),
            stack: options.stack.as_ref().map(|stack| stack.name.clone()),
            known: RefCell::default(),
            names: RefCell::default(),
            bounds: Bounds::new(template, options.limits),
            defaults,
        })
    }

    /// What `Ref` gives.
    pub(super) fn reference(&self, name: &str) -> Value<'a> {
        if let Some(value) = self.parameters.get(name) {
            return self.bounds.copied(value);
        }
        if name.starts_with("AWS::") {
            return self.pseudo(name);
        }
        let unresolved = || Value::unresolved(format!("Ref {}", printable(name)));
        let Some(resource) = self.resources.get(name) else { return unresolved() };
        if let Some(found) = self.names.borrow().get(name) {
            // Without an entry yet, the name is being resolved: it refers to itself.
            return found.as_ref().map_or_else(unresolved, |value| self.bounds.copied(value));
        }
        let value = types::name_of(&resource.resource_type)
            .zip(resource.properties.as_ref())
            .and_then(|(property, properties)| properties.get(property));
        let Some(value) = value else { return unresolved() };
        self.names.borrow_mut().insert(name.to_owned(), None);
        let value = match self.resolve(value) {
            Value::Text { text, secret } => Value::Text { text, secret },
            _ => unresolved(),
        };
        self.names.borrow_mut().insert(name.to_owned(), Some(value.clone()));
        self.bounds.made(value)
    }

    /// What AWS defines for every template.
    fn pseudo(&self, name: &str) -> Value<'a> {
        let known = |text: &Option<String>| match text {
            Some(text) => Value::text(text.clone()),
            None => Value::unresolved(format!("Ref {}", printable(name))),
        };
        let of_region = |pick: fn(&str) -> &'static str| {
            known(&self.region.as_deref().map(|region| pick(region).to_owned()))
        };
        match name {
            "AWS::NoValue" => Value::Absent,
            "AWS::AccountId" => known(&self.account),
            "AWS::Region" => known(&self.region),
            "AWS::StackName" => known(&self.stack),
            "AWS::Partition" => of_region(|region| partition(region).0),
            "AWS::URLSuffix" => of_region(|region| partition(region).1),
            _ => known(&None),
        }
    }

    /// Whether a condition is met; `None`: that cannot be told.
    pub(super) fn condition(&self, name: &str) -> Option<bool> {
        if let Some(known) = self.known.borrow().get(name) {
            return *known;
        }
        let test = self.conditions.get(name)?;
        self.known.borrow_mut().insert(name.to_owned(), None);
        let result = self.test(test);
        self.known.borrow_mut().insert(name.to_owned(), result);
        result
    }

    /// The value at two keys of a mapping: `Err` if mappings are made elsewhere, so that the lack of
    /// a key says nothing.
    pub(super) fn mapped(
        &self,
        mapping: &str,
        first: &str,
        second: &str,
    ) -> Result<Option<&Value<'a>>, ()> {
        let mut at = &self.mappings;
        for key in [mapping, first, second] {
            match at.get(key) {
                Some(value) => at = value,
                None if at.get("Fn::Transform").is_some() => return Err(()),
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }
}

/// The value of a parameter: as given, or its default.
fn parameter<'a>(name: &str, definition: &Value<'a>, given: Option<String>) -> Value<'a> {
    let hidden = definition.get("NoEcho").and_then(Value::word) == Some("true");
    let kind = definition.get("Type").and_then(Value::as_text).unwrap_or("String");
    let reason = |why: &str| Value::unresolved(format!("Ref {}: {why}", printable(name)));
    let value = match given.map(Value::text).or_else(|| definition.get("Default").cloned()) {
        // What is given is the name of another parameter, kept elsewhere.
        _ if kind.starts_with("AWS::SSM::Parameter::Value") => reason("kept in Parameter Store"),
        None => reason("a parameter without a default"),
        Some(value) => typed(kind, value).unwrap_or_else(|| reason("a default of another type")),
    };
    if hidden { value.kept_secret() } else { value }
}

/// A value as a parameter's type has it.
fn typed<'a>(kind: &str, value: Value<'a>) -> Option<Value<'a>> {
    let number = |text: &str| {
        let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        is_number && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    };
    let single = |numeric: bool, text: Cow<'a, str>| {
        if numeric && number(&text) { Value::plain(text) } else { Value::text(text) }
    };
    let list = kind == "CommaDelimitedList" || kind.starts_with("List<");
    let numeric = matches!(kind, "Number" | "List<Number>");
    match value {
        Value::Plain { text, .. } if text == "null" => None,
        Value::Text { text, .. } | Value::Plain { text, .. }
            if list && text.matches(',').count() > PARTS =>
        {
            None
        }
        Value::Text { text, .. } | Value::Plain { text, .. } if list => Some(Value::List(
            text.split(',').map(|part| single(numeric, part.trim().to_owned().into())).collect(),
        )),
        Value::Text { text, .. } | Value::Plain { text, .. } => Some(single(numeric, text)),
        Value::List(elements) if list => elements
            .into_iter()
            .map(|element| match element {
                Value::Text { text, .. } | Value::Plain { text, .. } => Some(single(numeric, text)),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
            .map(Value::List),
        _ => None,
    }
}

/// The partition and the domain of a region.
fn partition(region: &str) -> (&'static str, &'static str) {
    const PARTITIONS: [(&str, &str, &str); 7] = [
        ("cn-", "aws-cn", "amazonaws.com.cn"),
        ("us-gov-", "aws-us-gov", "amazonaws.com"),
        ("us-iso-", "aws-iso", "c2s.ic.gov"),
        ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
        ("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"),
        ("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
        ("eusc-", "aws-eusc", "amazonaws.eu"),
    ];
    PARTITIONS
        .iter()
        .find(|(start, ..)| region.starts_with(start))
        .map_or(("aws", "amazonaws.com"), |(_, partition, domain)| (partition, domain))
}
