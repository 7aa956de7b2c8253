//! Stacks: their names, the keys of what they hold, and lists of it.

use deployforge_model::{Dialect, Observation, Presence, RejectCode, ResourceKey};
use serde_json::value::RawValue;

use super::types;
use crate::arn::Arn;
use crate::json::{self, Members};
use crate::options::Side;
use crate::place::Lines;
use crate::refusal::{Refusal, check_key};
use crate::sink::{Note, Sink};

/// The name that stands where neither the caller nor the file has one.
const UNNAMED: &str = "template";

/// The stack that an input is the template of.
pub(super) fn name(sink: &mut Sink<'_>) -> String {
    if let Some(stack) = &sink.options.stack {
        return stack.name.clone();
    }
    sink.note(Note::StackAssumed, 1);
    of_file(sink.options.name.as_deref().unwrap_or_default()).to_owned()
}

/// The name of a file without the endings that say what it is.
fn of_file(name: &str) -> &str {
    let mut name = name;
    for endings in [&[".gz", ".zst"][..], &[".json", ".yaml", ".yml"], &[".template"]] {
        let ending = endings.iter().find_map(|ending| name.strip_suffix(ending));
        name = ending.unwrap_or(name);
    }
    if name.is_empty() { UNNAMED } else { name }
}

/// The alias of a resource of a stack: what a live resource's `aws:cloudformation:stack-name` and
/// `aws:cloudformation:logical-id` tags say.
pub(super) fn alias(stack: &str, logical_id: &str) -> String {
    format!("cfn://{stack}/{logical_id}")
}

/// Which resource of which stack.
#[derive(Debug)]
pub(super) struct Member<'a> {
    /// The stack's name.
    pub(super) stack: &'a str,
    /// The stack's ARN, which has account and region.
    pub(super) stack_id: &'a str,
    /// Its name in the template.
    pub(super) logical_id: &'a str,
    /// Its name in the cloud; empty: not known, or there is none yet.
    pub(super) physical_id: &'a str,
    /// Its type.
    pub(super) resource_type: &'a str,
}

impl Member<'_> {
    /// An observation of it, without a state yet.
    pub(super) fn observe(
        &self,
        presence: Presence,
        sink: &mut Sink<'_>,
    ) -> Result<Observation, Refusal> {
        let own = format!("{}/{}", self.stack, self.logical_id);
        let id = if self.physical_id.is_empty() { own.as_str() } else { self.physical_id };
        let physical = Arn::parse(self.physical_id);
        let holder = Arn::parse(self.stack_id);
        let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let place = |part: fn(Arn<'_>) -> &str| {
            let own = physical.map(part).and_then(filled);
            own.or_else(|| holder.map(part).and_then(filled))
        };
        let defaults = &sink.options.defaults;
        let account = place(|arn| arn.account).or(defaults.account.clone()).unwrap_or_default();
        let global = types::is_global(self.resource_type);
        let region = if global {
            String::new()
        } else {
            place(|arn| arn.region).or(defaults.region.clone()).unwrap_or_default()
        };
        sink.note(Note::AccountUnknown, account.is_empty().into());
        sink.note(Note::RegionUnknown, (region.is_empty() && !global).into());
        let key = ResourceKey::new("aws", &account, &region, self.resource_type, id);
        check_key(&key)?;
        let mut aliases = vec![alias(self.stack, self.logical_id)];
        if physical.is_some() && self.physical_id != key.id {
            aliases.push(self.physical_id.to_owned());
        }
        Ok(Observation {
            address: Some(self.logical_id.to_owned()),
            aliases,
            presence,
            ..Observation::of(key, Dialect::CloudFormation, Vec::new(), sink.position)
        })
    }
}

/// The name in a stack's ARN, `arn:…:stack/<name>/<uuid>`, or the name itself.
pub(super) fn of_id(id: &str) -> Option<&str> {
    let resource = match id.split_once(":stack/") {
        Some((_, resource)) => resource,
        None if id.contains(':') => return None,
        None => id,
    };
    resource.split('/').next().filter(|name| !name.is_empty())
}

/// The members under which replies list the resources of a stack.
const LISTS: [&str; 3] = ["StackResourceSummaries", "StackResources", "StackResourceDetail"];

/// Whether this lists resources without their state.
pub(super) fn is_list(members: &Members<'_>) -> bool {
    LISTS.iter().any(|name| members.has(name))
}

/// Reads the replies of `ListStackResources`, `DescribeStackResources` and `DescribeStackResource`.
pub(super) fn read_list(
    members: &Members<'_>,
    text: &str,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    sink.tally.loose += 1;
    sink.note(Note::MorePages, members.has("NextToken").into());
    let listed = |name| match members.get(name) {
        Some(raw) if json::is_array(raw) => json::elements(raw, name),
        Some(raw) => Ok(vec![raw]),
        None => Ok(Vec::new()),
    };
    let mut lines = Lines::new(text, sink.position);
    for name in LISTS {
        for raw in listed(name)? {
            sink.position = lines.position(raw.get());
            if let Err(refusal) = read_entry(raw, name, sink) {
                sink.refuse(&refusal, raw.get().as_bytes());
            }
        }
        sink.note(Note::EmptyList, u64::from(members.get(name).is_some_and(json::is_empty)));
    }
    Ok(())
}

fn read_entry(raw: &RawValue, list: &'static str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    const WHAT: &str = "the resource of the stack";
    let members = Members::of(raw, list)?;
    members.unique(WHAT)?;
    let logical_id = members.need_text("LogicalResourceId", WHAT)?;
    let resource_type = members.need_text("ResourceType", WHAT)?;
    let stack_id = members.text("StackId")?.unwrap_or_default();
    let stack = match members.text("StackName")? {
        Some(name) if !name.is_empty() => name.into_owned(),
        _ => of_id(&stack_id).map_or_else(|| name(sink), str::to_owned),
    };
    let status = members.text("ResourceStatus")?.unwrap_or_default();
    let presence = match (sink.options.side, &*status) {
        (_, "DELETE_COMPLETE") => Presence::Deleted,
        (Side::Observed, _) => Presence::Unreadable,
        (Side::Declared, _) => Presence::Unresolved,
    };
    if (sink.options.side, presence) == (Side::Declared, Presence::Deleted) {
        sink.note(Note::Removed, 1);
        return Ok(());
    }
    let member = Member {
        stack: &stack,
        stack_id: &stack_id,
        logical_id: &logical_id,
        physical_id: &members.text("PhysicalResourceId")?.unwrap_or_default(),
        resource_type: &resource_type,
    };
    let observation = member.observe(presence, sink)?;
    sink.note(Note::StateElsewhere, (presence != Presence::Deleted).into());
    sink.observe_resolved(observation);
    Ok(())
}

/// Refuses a reply that only says how far the detection of drift is.
pub(super) fn refuse_status() -> Refusal {
    let reason = "This says how far the detection of drift is; give the reply of describe-stack-resource-drifts.";
    Refusal::new(RejectCode::Elsewhere, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_stacks() {
        for (file, stack) in [
            ("web.template.json", "web"),
            ("web.template", "web"),
            ("web.yaml", "web"),
            ("web.yml.gz", "web"),
            ("web", "web"),
            ("web.v2.json", "web.v2"),
            ("template.json", "template"),
            (".json", "template"),
            ("", "template"),
        ] {
            assert_eq!(of_file(file), stack, "{file}");
        }
        for (id, stack) in [
            ("arn:aws:cloudformation:eu-west-1:1:stack/web/uuid", Some("web")),
            ("web", Some("web")),
            ("arn:aws:s3:::b", None),
            ("", None),
        ] {
            assert_eq!(of_id(id), stack, "{id}");
        }
    }
}
