//! Templates: what a stack declares, one observation per resource.
//!
//! The state of a resource is its `Properties`, with functions resolved as far as the template says
//! what they give, and [`UNRESOLVED_MEMBER`](deployforge_model::UNRESOLVED_MEMBER) elsewhere.

use deployforge_model::{Observation, Presence, RejectCode};
use serde_json::value::RawValue;

use super::scope::Scope;
use super::stack::{self, Member};
use super::types;
use crate::json::{self, Members};
use crate::place::Lines;
use crate::refusal::{Refusal, printable};
use crate::resolved::Value;
use crate::sink::{Note, Sink};
use crate::yaml;

const PROCESSED: &str = "give the processed template (`get-template --template-stage Processed`)";

/// The call of a macro, which is given what stands beside it.
const CALL: &str = "Fn::Transform";

/// Sections that only a template has.
const SECTIONS: [&str; 5] = ["Parameters", "Mappings", "Conditions", "Outputs", "Transform"];

/// Whether this is a template.
pub(super) fn is_template(members: &Members<'_>) -> bool {
    if members.has("AWSTemplateFormatVersion") {
        // Whatever else is wrong with it.
        return true;
    }
    let Some(raw) = members.get("Resources").filter(|raw| json::is_object(raw)) else {
        return false;
    };
    SECTIONS.iter().any(|section| members.has(section))
        || Members::parse(raw.get())
            .is_ok_and(|resources| resources.iter().any(|(id, raw)| is_resource(id, raw)))
}

fn is_resource(id: &str, raw: &RawValue) -> bool {
    id.starts_with("Fn::")
        || Members::parse(raw.get()).is_ok_and(|resource| {
            resource.peek("Type").is_some_and(|resource_type| resource_type.contains("::"))
        })
}

/// Reads the reply of `GetTemplate`: the template stands in it, as an object or as text.
pub(super) fn read_reply(members: &Members<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let Some(body) = members.get("TemplateBody") else {
        return Err(Refusal::Missing { field: "TemplateBody", what: "the reply" });
    };
    match json::text_of(body) {
        None => read(&Members::of(body, "TemplateBody")?, body.get(), sink),
        Some(text) if yaml::is_likely(&text) => {
            let json = yaml::single(&text, sink)?;
            read_text(&json, sink)
        }
        Some(text) => read_text(json::nested(&text, sink.options.limits.depth)?.get(), sink),
    }
}

fn read_text(text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    if !text.starts_with('{') {
        return Err(Refusal::Wrong { field: "TemplateBody", want: "a template" });
    }
    check_size(text, sink)?;
    // The lines of the inner text are not those of the input.
    declare(&Members::parse(text)?, Lines::new("", sink.position), sink)
}

/// Reads a template.
pub(super) fn read(members: &Members<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    check_size(text, sink)?;
    declare(members, Lines::new(text, sink.position), sink)
}

/// A template is resolved as a tree, so it may be as large as a record, not as a document.
fn check_size(text: &str, sink: &Sink<'_>) -> Result<(), Refusal> {
    let limit = sink.options.limits.record_bytes;
    if text.len() <= limit {
        return Ok(());
    }
    let reason = format!(
        "This template is larger than the limit of {limit} bytes, and AWS takes none above a megabyte; check which file it is."
    );
    Err(Refusal::new(RejectCode::TooLarge, reason))
}

fn declare(
    members: &Members<'_>,
    mut lines: Lines<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    sink.tally.loose += 1;
    members.unique("the template")?;
    let Some(raw) = members.get("Resources") else {
        return Err(Refusal::Missing { field: "Resources", what: "the template" });
    };
    let resources = Members::of(raw, "Resources")?;
    resources.unique("the template's resources")?;
    sink.note(Note::EmptyList, json::is_empty(raw).into());
    let scope = Scope::read(members, &resources, sink.options)?;
    sink.note(Note::Defaults, scope.defaults);
    let reader = TemplateReader {
        stack: stack::name(sink),
        rewritten: is_rewritten(members, &resources),
        scope,
    };
    let start = sink.position;
    for (id, raw) in resources.iter() {
        sink.position = lines.position(raw.get());
        match reader.resource(id, raw, sink) {
            Ok(Some(observation)) => sink.observe_resolved(observation),
            Ok(None) => sink.note(Note::NotDeclared, 1),
            Err(refusal) => sink.refuse(&refusal, raw.get().as_bytes()),
        }
    }
    sink.position = start;
    Ok(())
}

/// Whether a macro may change any resource of the template: one that the template names, or one that
/// is called beside its sections or its resources and so is given all of them.
fn is_rewritten(members: &Members<'_>, resources: &Members<'_>) -> bool {
    let calls = [members.get("Transform"), members.get(CALL), resources.get(CALL)];
    calls.into_iter().flatten().any(|raw| match json::elements(raw, "Transform") {
        Ok(list) => !list.into_iter().all(is_harmless),
        Err(_) => !is_harmless(raw),
    })
}

/// Whether a macro, by its name or in a call, leaves alone what is there.
fn is_harmless(raw: &RawValue) -> bool {
    let name = match json::text_of(raw) {
        Some(name) => Some(name.into_owned()),
        None => Members::parse(raw.get()).ok().and_then(|call| call.peek("Name").map(String::from)),
    };
    name.is_some_and(|name| types::is_known_macro(&name))
}

/// Reads the resources of one template.
struct TemplateReader<'a> {
    stack: String,
    rewritten: bool,
    scope: Scope<'a>,
}

impl<'a> TemplateReader<'a> {
    /// One resource; `None`: its condition says that there is none.
    fn resource(
        &self,
        id: &str,
        raw: &'a RawValue,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Observation>, Refusal> {
        if id.starts_with("Fn::") {
            let name = printable(id);
            let reason =
                format!("`{name}` makes resources that the template does not hold; {PROCESSED}.");
            return Err(Refusal::new(RejectCode::Unsupported, reason));
        }
        let wrong = |problem: &str| {
            let reason = format!("The resource `{}` {problem}.", printable(id));
            Refusal::new(RejectCode::BadField, reason)
        };
        if !json::is_object(raw) {
            return Err(wrong("must be a JSON object"));
        }
        let members = Members::parse(raw.get())?;
        if members.unique("a resource").is_err() {
            return Err(wrong("has a member twice, so it is not clear which one counts"));
        }
        let resource_type = members
            .peek("Type")
            .filter(|resource_type| !resource_type.is_empty())
            .ok_or_else(|| wrong("lacks its `Type`, which must be a string"))?;
        let declared = match members.get("Condition").map(json::text_of) {
            None => Some(true),
            Some(Some(name)) => self.scope.condition(&name),
            Some(None) => return Err(wrong("has a `Condition` that is no name")),
        };
        if declared == Some(false) {
            return Ok(None);
        }
        let depth = sink.options.limits.depth;
        let properties = match members.get("Properties") {
            None => Value::Object(Vec::new()),
            Some(raw) if json::is_object(raw) => Value::parse(raw.get(), depth)?,
            Some(_) => return Err(wrong("has `Properties` that are no JSON object")),
        };
        let state = match self.scope.resolve(&properties) {
            Value::Absent => Value::Object(Vec::new()),
            state => state,
        };
        let generated = self.rewritten || types::is_generated(&resource_type) || members.has(CALL);
        let presence = if generated {
            sink.note(Note::Generated, 1);
            Presence::Unsupported
        } else if declared.is_none() {
            sink.note(Note::ConditionUnknown, 1);
            Presence::Unresolved
        } else if matches!(state, Value::Object(_)) {
            sink.note(Note::ValuesUnknown, state.count_unresolved());
            Presence::Present
        } else {
            sink.note(Note::ValuesUnknown, 1);
            Presence::Unresolved
        };
        let member = Member {
            stack: &self.stack,
            stack_id: "",
            logical_id: id,
            physical_id: "",
            resource_type: &resource_type,
        };
        let mut observation = member.observe(presence, sink)?;
        if presence == Presence::Present {
            observation.state = state.to_json();
            observation.sensitive = state.secrets();
        }
        Ok(Some(observation))
    }
}
