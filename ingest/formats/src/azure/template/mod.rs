//! ARM templates: what a deployment declares, one observation per resource.
//!
//! The state of a resource is the resource itself without what says how it is deployed
//! ([`DEPLOYMENT`]), with expressions resolved as far as the template says what they give, and
//! [`UNRESOLVED_MEMBER`](deployforge_model::UNRESOLVED_MEMBER) elsewhere. Where subscription and
//! resource group are known, the key has the id that Azure itself will give the resource.

mod expression;
mod functions;
mod identity;
mod scope;

use std::collections::HashMap;
use std::rc::Rc;

use deployforge_model::{Dialect, Observation, Presence, RejectCode, ResourceKey};
use serde_json::value::RawValue;

use crate::json::{self, Members};
use crate::place::Lines;
use crate::refusal::{Refusal, check_key};
use crate::resolved::{Bounds, Value};
use crate::sink::{Note, Sink};
use identity::Identity;
use scope::{Level, Scope, Target};

/// Members of a resource that are not part of it.
const DEPLOYMENT: [&str; 11] = [
    "apiVersion",
    "comments",
    "condition",
    "copy",
    "dependsOn",
    "existing",
    "metadata",
    "name",
    "resources",
    "scope",
    "type",
];

/// How deep deployments stand in deployments, and resources in resources.
const LEVELS: usize = 8;

/// Whether this is a template, or a reply that holds one.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    schema(members).is_some()
        || (members.has("contentVersion") && members.has("resources"))
        || exported(members).is_some()
}

/// The schema, if it is one of deployments.
fn schema(members: &Members<'_>) -> Option<String> {
    let schema = members.peek("$schema")?;
    let lower = schema.to_ascii_lowercase();
    (lower.contains("deploymenttemplate") || lower.contains("deploymentparameters"))
        .then(|| schema.into_owned())
}

/// The template within a reply that exports one.
fn exported<'a>(members: &Members<'a>) -> Option<&'a RawValue> {
    let raw = members.get("template").filter(|raw| json::is_object(raw))?;
    schema(&Members::parse(raw.get()).ok()?).map(|_| raw)
}

/// Reads it.
pub(crate) fn read(members: &Members<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    sink.tally.loose += 1;
    let limit = sink.options.limits.record_bytes;
    if text.len() > limit {
        let reason = format!(
            "This template is larger than the limit of {limit} bytes, and Azure takes none above four megabytes; check which file it is."
        );
        return Err(Refusal::new(RejectCode::TooLarge, reason));
    }
    let inner = exported(members).filter(|_| schema(members).is_none());
    let inner = inner.map(|raw| Members::parse(raw.get())).transpose()?;
    let members = inner.as_ref().unwrap_or(members);
    let schema = schema(members).unwrap_or_default();
    if schema.to_ascii_lowercase().contains("deploymentparameters") {
        let reason = "This holds the parameters of a template; give the template.";
        return Err(Refusal::new(RejectCode::Unsupported, reason));
    }
    let options = sink.options;
    let known = |part: &Option<String>| part.clone().filter(|part| !part.is_empty());
    let target = Target {
        level: Level::of_schema(&schema),
        subscription: known(&options.defaults.account),
        group: options.stack.as_ref().map(|stack| stack.name.clone()),
    };
    let given = options.stack.iter().flat_map(|stack| &stack.parameters);
    let given = given.map(|(name, text)| (name.to_lowercase(), given_value(members, name, text)));
    let bounds = Rc::new(Bounds::new(members, options.limits));
    let scope = Scope::read(members, target.clone(), given.collect(), options, bounds)?;
    sink.note(Note::Defaults, scope.defaults);
    let start = sink.position;
    let mut reader = Reader { lines: Lines::new(text, start), sink };
    let result = reader.template(members, &scope, &target, 0);
    sink.position = start;
    result
}

/// A parameter's value that was given as text, as its type has it.
fn given_value<'a>(members: &Members<'_>, name: &str, text: &str) -> Value<'a> {
    let kind = members
        .get("parameters")
        .and_then(|raw| Members::parse(raw.get()).ok())
        .and_then(|parameters| Members::parse(parameters.raw(name)?.get()).ok())
        .and_then(|parameter| parameter.peek("type").map(|kind| kind.to_ascii_lowercase()));
    match kind.as_deref() {
        Some("int" | "bool") => Value::plain(text.trim().to_owned()),
        // A text that begins with a bracket would be taken for an expression.
        _ if text.starts_with('[') => Value::text(format!("[{text}")),
        _ => Value::text(text.to_owned()),
    }
}

/// Reads the resources of one template.
struct Reader<'s, 'o, 't> {
    lines: Lines<'t>,
    sink: &'s mut Sink<'o>,
}

/// A resource whose members are resolved.
struct Resource<'a> {
    members: Members<'a>,
    identity: Identity,
    /// Whether its name could not be resolved, or one of those it stands in.
    nameless: bool,
}

impl Reader<'_, '_, '_> {
    /// The resources of a template, or of a deployment within one.
    fn template<'a>(
        &mut self,
        members: &Members<'a>,
        scope: &Scope<'a>,
        target: &Target,
        level: usize,
    ) -> Result<(), Refusal> {
        members.unique("the template")?;
        let Some(raw) = members.get("resources") else {
            return Err(Refusal::Missing { field: "resources", what: "the template" });
        };
        self.sink.note(Note::EmptyList, json::is_empty(raw).into());
        self.resources(raw, scope, target, None, level)
    }

    /// A list of resources, or an object of them by symbolic name.
    fn resources<'a>(
        &mut self,
        raw: &'a RawValue,
        scope: &Scope<'a>,
        target: &Target,
        parent: Option<&Resource<'a>>,
        level: usize,
    ) -> Result<(), Refusal> {
        if level >= LEVELS {
            return Err(Refusal::TooDeep { limit: LEVELS });
        }
        let found: Vec<&RawValue> = if json::is_object(raw) {
            let named = Members::parse(raw.get())?;
            named.unique("the template's resources")?;
            named.iter().map(|(_, raw)| raw).collect()
        } else {
            json::elements(raw, "resources")?
        };
        for raw in found {
            self.sink.position = self.lines.position(raw.get());
            if let Err(refusal) = self.resource(raw, scope, target, parent, level) {
                self.sink.refuse(&refusal, raw.get().as_bytes());
            }
        }
        Ok(())
    }

    fn resource<'a>(
        &mut self,
        raw: &'a RawValue,
        scope: &Scope<'a>,
        target: &Target,
        parent: Option<&Resource<'a>>,
        level: usize,
    ) -> Result<(), Refusal> {
        const WHAT: &str = "the resource";
        let members = Members::of(raw, "resources")?;
        members.unique(WHAT)?;
        let kind = members.need_text("type", WHAT)?.into_owned();
        let name = members.need_text("name", WHAT)?.into_owned();
        if members.flag("existing")?.unwrap_or(false) {
            self.sink.note(Note::Existing, 1);
            return Ok(());
        }
        let resource = named(members, &kind, &name, scope, target, parent);
        let depth = self.sink.options.limits.depth;
        let declared = match resource.members.get("condition") {
            None => Some(true),
            Some(raw) => match scope.resolve(&Value::parse(raw.get(), depth)?).word() {
                Some("true") => Some(true),
                Some("false") => Some(false),
                _ => None,
            },
        };
        if declared == Some(false) {
            self.sink.note(Note::NotDeclared, 1);
        } else if kind.eq_ignore_ascii_case("Microsoft.Resources/deployments") {
            self.deployment(&resource, scope, target, declared, level)?;
        } else {
            self.deliver(&resource, scope, target, declared)?;
        }
        match resource.members.get("resources") {
            Some(raw) => self.resources(raw, scope, target, Some(&resource), level + 1),
            None => Ok(()),
        }
    }

    /// Delivers a resource as far as it is known.
    fn deliver<'a>(
        &mut self,
        resource: &Resource<'a>,
        scope: &Scope<'a>,
        target: &Target,
        declared: Option<bool>,
    ) -> Result<(), Refusal> {
        let state = self.state(resource, scope)?;
        let presence = if declared.is_none() {
            self.sink.note(Note::ConditionUnknown, 1);
            Presence::Unresolved
        } else if resource.nameless || !matches!(state, Value::Object(_)) {
            self.sink.note(Note::ValuesUnknown, 1);
            Presence::Unresolved
        } else {
            self.sink.note(Note::ValuesUnknown, state.count_unresolved());
            Presence::Present
        };
        self.observe(resource, target, presence, &state)
    }

    fn state<'a>(&self, resource: &Resource<'a>, scope: &Scope<'a>) -> Result<Value<'a>, Refusal> {
        let depth = self.sink.options.limits.depth;
        let mut members = Vec::new();
        for (key, raw) in resource.members.iter() {
            if !DEPLOYMENT.contains(&key) {
                members.push((key.to_owned().into(), Value::parse(raw.get(), depth)?));
            }
        }
        Ok(scope.resolve(&Value::Object(members)))
    }

    fn observe(
        &mut self,
        resource: &Resource<'_>,
        target: &Target,
        presence: Presence,
        state: &Value<'_>,
    ) -> Result<(), Refusal> {
        let identity = &resource.identity;
        let address = identity.address();
        let id = identity.id.clone().filter(|_| !resource.nameless);
        let account = target.subscription.clone().unwrap_or_default();
        let region = self.region(state);
        self.sink.note(Note::AccountUnknown, account.is_empty().into());
        let key = ResourceKey::new(
            "azure",
            &account,
            &region,
            &identity.resource_type(),
            id.as_deref().unwrap_or(&address),
        );
        check_key(&key)?;
        let present = presence == Presence::Present;
        self.sink.observe_resolved(Observation {
            address: Some(address),
            presence,
            sensitive: if present { state.secrets() } else { Vec::new() },
            ..Observation::of(
                key,
                Dialect::Azure,
                if present { state.to_json() } else { Vec::new() },
                self.sink.position,
            )
        });
        Ok(())
    }

    /// Where a resource is. What has no location, and what is everywhere, has no region.
    fn region(&mut self, state: &Value<'_>) -> String {
        match state.get("location") {
            None => String::new(),
            Some(Value::Text { text, .. }) => {
                let region = text.replace(' ', "").to_lowercase();
                if region == "global" { String::new() } else { region }
            }
            Some(_) => {
                let region = self.sink.options.defaults.region.clone().unwrap_or_default();
                self.sink.note(Note::RegionUnknown, region.is_empty().into());
                region
            }
        }
    }

    /// A deployment within the template: what it deploys is declared as well.
    fn deployment<'a>(
        &mut self,
        resource: &Resource<'a>,
        scope: &Scope<'a>,
        target: &Target,
        declared: Option<bool>,
        level: usize,
    ) -> Result<(), Refusal> {
        let properties = resource.members.get("properties");
        let properties = properties.map(|raw| Members::of(raw, "properties")).transpose()?;
        let template = properties.as_ref().and_then(|properties| properties.get("template"));
        let looped = resource.members.has("copy");
        let (Some(properties), Some(raw), Some(true), false) =
            (&properties, template, declared, looped)
        else {
            // A template that is elsewhere, or of which it cannot be told whether it is deployed.
            self.sink.note(Note::Generated, 1);
            return self.observe(resource, target, Presence::Unsupported, &Value::Absent);
        };
        let inner = Members::of(raw, "template")?;
        let text = |name: &str| match resource.members.get(name) {
            None => Ok(None),
            Some(raw) => {
                let value = Value::parse(raw.get(), self.sink.options.limits.depth)?;
                Ok::<_, Refusal>(Some(scope.resolve(&value).as_text().map(str::to_owned)))
            }
        };
        let mut target = target.clone();
        if let Some(subscription) = text("subscriptionId")? {
            target.subscription = subscription;
        }
        if let Some(group) = text("resourceGroup")? {
            target.group = group;
            target.level = Level::Group;
        } else {
            target.level = Level::of_schema(&schema(&inner).unwrap_or_default());
        }
        self.sink.note(Note::Deployments, 1);
        let own = properties
            .get("expressionEvaluationOptions")
            .and_then(|raw| Members::parse(raw.get()).ok())
            .and_then(|options| {
                options.peek("scope").map(|name| name.eq_ignore_ascii_case("inner"))
            });
        if own != Some(true) {
            return self.template(&inner, scope, &target, level + 1);
        }
        let given = given_by(properties, scope, self.sink.options.limits.depth)?;
        let bounds = Rc::clone(&scope.bounds);
        let scope = Scope::read(&inner, target.clone(), given, self.sink.options, bounds)?;
        self.sink.note(Note::Defaults, scope.defaults);
        self.template(&inner, &scope, &target, level + 1)
    }
}

/// Names a resource, as far as its name is known.
fn named<'a>(
    members: Members<'a>,
    kind: &str,
    name: &str,
    scope: &Scope<'a>,
    target: &Target,
    parent: Option<&Resource<'a>>,
) -> Resource<'a> {
    let evaluated = scope.resolve(&Value::text(name.to_owned()));
    let found = evaluated.word().filter(|_| !evaluated.is_secret()).map(str::to_owned);
    let looped = members.has("copy");
    let nameless = found.is_none() || looped || parent.is_some_and(|parent| parent.nameless);
    let extended = members.peek("scope").map(|scope_text| {
        let value = scope.resolve(&Value::text(scope_text.into_owned()));
        value.as_text().filter(|id| id.starts_with('/')).map(str::to_owned)
    });
    // An unknown scope leaves the id unknown.
    let nameless_scope = matches!(extended, Some(None));
    // What has no name yet is known by the expression that makes one.
    let name = found.unwrap_or_else(|| name.replace('/', "|"));
    let mut identity = Identity::new(
        target,
        parent.map(|parent| &parent.identity),
        extended.flatten().as_deref(),
        kind,
        &name,
    );
    if nameless_scope {
        identity.id = None;
    }
    Resource { members, identity, nameless }
}

/// The parameters that a deployment within a template is given.
fn given_by<'a>(
    properties: &Members<'a>,
    scope: &Scope<'a>,
    depth: usize,
) -> Result<HashMap<String, Value<'a>>, Refusal> {
    let Some(raw) = properties.get("parameters") else { return Ok(HashMap::new()) };
    let Value::Object(members) = Value::parse(raw.get(), depth)? else {
        return Err(Refusal::Wrong { field: "parameters", want: "a JSON object" });
    };
    let given = members.into_iter().map(|(name, parameter)| {
        let value = match parameter.get("value") {
            Some(value) => literal(scope.resolve(value)),
            None => Value::Unresolved { reason: "a reference to a vault".to_owned(), secret: true },
        };
        (name.to_lowercase(), value)
    });
    Ok(given.collect())
}

/// A value that was resolved, such that resolving it again changes nothing.
fn literal(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Text { text, secret } if text.starts_with('[') => {
            Value::Text { text: format!("[{text}").into(), secret }
        }
        Value::List(elements) => Value::List(elements.into_iter().map(literal).collect()),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(key, value)| (key, literal(value))).collect())
        }
        other => other,
    }
}
