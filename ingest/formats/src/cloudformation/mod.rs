//! CloudFormation: what stacks declare, and what CloudFormation itself says of them.
//!
//! Templates (JSON and YAML, also in the reply of `GetTemplate`) declare resources ([`template`]).
//! The manifest of a CDK cloud assembly names templates ([`assembly`]). The results of drift
//! detection and change sets hold both sides, and are read for the one that was asked for
//! ([`drift`], [`changes`]). Lists of a stack's resources say that they exist ([`stack`]).
//!
//! A resource of a stack has the alias `cfn://<stack>/<logical id>`; its state is the resource's
//! properties, in CloudFormation's names.

mod assembly;
mod changes;
mod drift;
mod resolve;
mod scope;
mod stack;
mod template;
mod types;

use crate::json::Members;
use crate::refusal::Refusal;
use crate::sink::Sink;

/// What of CloudFormation's a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Template,
    TemplateReply,
    Drift,
    DriftStatus,
    ChangeSet,
    StackList,
    Assembly(assembly::Part),
}

fn kind(members: &Members<'_>) -> Option<Kind> {
    if template::is_template(members) {
        Some(Kind::Template)
    } else if members.has("TemplateBody") {
        Some(Kind::TemplateReply)
    } else if drift::is_drift(members) {
        Some(Kind::Drift)
    } else if members.has("StackDriftDetectionId") {
        Some(Kind::DriftStatus)
    } else if changes::is_change_set(members) {
        Some(Kind::ChangeSet)
    } else if stack::is_list(members) {
        Some(Kind::StackList)
    } else {
        assembly::part(members).map(Kind::Assembly)
    }
}

/// Whether this is something of CloudFormation's.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    kind(members).is_some()
}

/// Reads it.
pub(crate) fn read(members: &Members<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    match kind(members) {
        Some(Kind::Template) => template::read(members, text, sink),
        Some(Kind::TemplateReply) => template::read_reply(members, sink),
        Some(Kind::Drift) => drift::read(members, text, sink),
        Some(Kind::DriftStatus) => Err(stack::refuse_status()),
        Some(Kind::ChangeSet) => changes::read(members, text, sink),
        Some(Kind::StackList) => stack::read_list(members, text, sink),
        Some(Kind::Assembly(part)) => assembly::read(part, members, text, sink),
        None => Ok(()),
    }
}
