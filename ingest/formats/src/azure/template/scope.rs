//! What a template's names stand for: parameters, variables, and where it is deployed to.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::expression::{self, Expression, Kind};
use super::functions;
use crate::json::Members;
use crate::options::ReadOptions;
use crate::refusal::{Refusal, printable};
use crate::resolved::{Bounds, Value};

/// Where a template is deployed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Group,
    Subscription,
    ManagementGroup,
    Tenant,
}

impl Level {
    /// The level that a template's schema says.
    pub(super) fn of_schema(schema: &str) -> Self {
        let schema = schema.to_ascii_lowercase();
        if schema.contains("subscriptiondeploymenttemplate") {
            Self::Subscription
        } else if schema.contains("managementgroupdeploymenttemplate") {
            Self::ManagementGroup
        } else if schema.contains("tenantdeploymenttemplate") {
            Self::Tenant
        } else {
            Self::Group
        }
    }
}

/// Which subscription and resource group, as far as that is known.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) level: Level,
    pub(super) subscription: Option<String>,
    pub(super) group: Option<String>,
}

/// A parameter or variable that is not yet resolved, resolved, or being resolved.
#[derive(Debug)]
struct Named<'a> {
    value: Value<'a>,
    secret: bool,
}

/// The names of one template.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    parameters: HashMap<String, Named<'a>>,
    variables: HashMap<String, Named<'a>>,
    pub(super) target: Target,
    /// What was resolved; `None` while that goes on.
    known: RefCell<HashMap<String, Option<Value<'a>>>>,
    /// How far resolving may go, in this template and those within it.
    pub(super) bounds: Rc<Bounds>,
    /// How many parameters have the value that the template gives them.
    pub(super) defaults: u64,
}

impl<'a> Scope<'a> {
    /// Reads the sections of a template that define names; `given` are the values of its parameters,
    /// resolved already.
    pub(super) fn read(
        template: &Members<'a>,
        target: Target,
        mut given: HashMap<String, Value<'a>>,
        options: &ReadOptions,
        bounds: Rc<Bounds>,
    ) -> Result<Self, Refusal> {
        let section = |name: &'static str| match template.get(name) {
            Some(raw) => {
                Members::of(raw, name)?.unique("a section of the template")?;
                Value::parse(raw.get(), options.limits.depth)
            }
            None => Ok(Value::Object(Vec::new())),
        };
        let members = |value| match value {
            Value::Object(members) => members,
            _ => Vec::new(),
        };
        let mut defaults = 0;
        let parameters = members(section("parameters")?).into_iter().map(|(name, definition)| {
            let kind = definition.get("type").and_then(Value::as_text).unwrap_or_default();
            let secret = kind.to_ascii_lowercase().starts_with("secure");
            let reason = || Value::unresolved(format!("parameters('{}')", printable(&name)));
            let given = given.remove(&name.to_lowercase());
            let own = definition.get("defaultValue");
            defaults += u64::from(given.is_none() && own.is_some());
            let value = given.or_else(|| own.cloned()).unwrap_or_else(reason);
            (name.to_lowercase(), Named { value, secret })
        });
        let parameters: HashMap<String, Named<'a>> = parameters.collect();
        let variables = members(section("variables")?)
            .into_iter()
            .map(|(name, value)| (name.to_lowercase(), Named { value, secret: false }))
            .collect();
        Ok(Self { parameters, variables, target, known: RefCell::default(), bounds, defaults })
    }

    /// The value of a parameter or variable.
    pub(super) fn named(&self, variable: bool, name: &str) -> Value<'a> {
        let (kind, section) = if variable {
            ("variables", &self.variables)
        } else {
            ("parameters", &self.parameters)
        };
        let unresolved = || Value::unresolved(format!("{kind}('{}')", printable(name)));
        let Some(named) = section.get(&name.to_lowercase()) else { return unresolved() };
        let key = format!("{kind} {}", name.to_lowercase());
        if let Some(known) = self.known.borrow().get(&key) {
            // Without a value yet, it is being resolved: it refers to itself.
            return known.as_ref().map_or_else(unresolved, |value| self.bounds.copied(value));
        }
        self.known.borrow_mut().insert(key.clone(), None);
        let mut value = self.resolve(&named.value);
        if named.secret {
            value = value.kept_secret();
        }
        self.known.borrow_mut().insert(key, Some(value.clone()));
        self.bounds.made(value)
    }

    /// The value with every expression in it resolved, as far as that is possible.
    pub(super) fn resolve(&self, value: &Value<'a>) -> Value<'a> {
        self.bounds.deeper(|| self.resolve_here(value), Value::unresolved)
    }

    fn resolve_here(&self, value: &Value<'a>) -> Value<'a> {
        match value {
            Value::Text { text, secret } => match expression::kind(text) {
                Kind::Literal(literal) if literal.len() == text.len() => value.clone(),
                Kind::Literal(literal) => {
                    Value::Text { text: literal.to_owned().into(), secret: *secret }
                }
                Kind::Expression(expression) => self.evaluate(&expression),
                Kind::Broken => Value::unresolved("an expression that can't be read"),
            },
            Value::List(elements) => {
                Value::List(elements.iter().map(|element| self.resolve(element)).collect())
            }
            Value::Object(members) => self.object(members),
            other => other.clone(),
        }
    }

    fn object(&self, members: &[(Cow<'a, str>, Value<'a>)]) -> Value<'a> {
        let mut found = Vec::with_capacity(members.len());
        for (key, value) in members {
            if key == "copy"
                && let Some(loops) = loops(value)
            {
                let unresolved = |name: &str| (name.to_owned().into(), Value::unresolved("copy"));
                found.extend(loops.into_iter().map(unresolved));
                continue;
            }
            let key = match expression::kind(key) {
                Kind::Literal(literal) if literal.len() == key.len() => key.clone(),
                Kind::Literal(literal) => literal.to_owned().into(),
                Kind::Expression(expression) => match self.evaluate(&expression) {
                    Value::Text { text, .. } => text,
                    // Which member it is decides what the object is.
                    other => {
                        let reason = other.reason().unwrap_or("a member's name").to_owned();
                        let object = Value::Object(members.to_vec());
                        return Value::Unresolved { reason, secret: object.is_secret() };
                    }
                },
                Kind::Broken => return Value::unresolved("an expression that can't be read"),
            };
            found.push((key, self.resolve(value)));
        }
        Value::Object(found)
    }

    /// The value of an expression.
    pub(super) fn evaluate(&self, expression: &Expression) -> Value<'a> {
        self.bounds.deeper(|| self.evaluate_here(expression), Value::unresolved)
    }

    fn evaluate_here(&self, expression: &Expression) -> Value<'a> {
        match expression {
            Expression::Text(text) => Value::text(text.clone()),
            Expression::Number(number) => Value::plain(number.to_string()),
            Expression::Call(name, arguments) => {
                self.bounds.made(functions::call(self, name, arguments))
            }
            Expression::Member(of, name) => functions::member(self.evaluate(of), name),
            Expression::Index(of, index) => {
                let (of, index) = (self.evaluate(of), self.evaluate(index));
                functions::index(of, &index)
            }
        }
    }
}

/// The names of the members that a loop makes, if this is a list of loops.
fn loops<'v>(value: &'v Value<'_>) -> Option<Vec<&'v str>> {
    value
        .elements()?
        .iter()
        .map(|element| element.get("count").and_then(|_| element.get("name")?.as_text()))
        .collect()
}
