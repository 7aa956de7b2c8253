//! The results of drift detection: what CloudFormation expected, and what it found.
//!
//! Both sides are compared again here; the differences that AWS lists are kept as evidence, by path.
//! A resource that was not checked, or whose type cannot be, is delivered without a state.

use deployforge_model::{Evidence, Presence, Timestamp};
use serde_json::value::RawValue;

use super::stack::{self, Member};
use crate::arn::Arn;
use crate::json::{self, Members};
use crate::options::Side;
use crate::place::Lines;
use crate::refusal::Refusal;
use crate::sink::{Note, Sink};

const WHAT: &str = "the drift of a resource";

/// Whether this is a result of drift detection.
pub(super) fn is_drift(members: &Members<'_>) -> bool {
    members.get("StackResourceDrifts").is_some_and(json::is_array)
        || members.get("StackResourceDrift").is_some_and(json::is_object)
}

/// Reads the replies of `DescribeStackResourceDrifts` and `DetectStackResourceDrift`.
pub(super) fn read(members: &Members<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    sink.tally.loose += 1;
    sink.note(Note::MorePages, members.has("NextToken").into());
    let found = match members.get("StackResourceDrift") {
        Some(one) => vec![one],
        None => members.array("StackResourceDrifts")?.unwrap_or_default(),
    };
    sink.note(Note::EmptyList, found.is_empty().into());
    let mut lines = Lines::new(text, sink.position);
    for raw in found {
        sink.position = lines.position(raw.get());
        if let Err(refusal) = read_one(raw, sink) {
            sink.refuse(&refusal, raw.get().as_bytes());
        }
    }
    Ok(())
}

fn read_one(raw: &RawValue, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let members = Members::of(raw, "StackResourceDrifts")?;
    members.unique(WHAT)?;
    let stack_id = members.need_text("StackId", WHAT)?;
    let logical_id = members.need_text("LogicalResourceId", WHAT)?;
    let resource_type = members.need_text("ResourceType", WHAT)?;
    let physical_id = members.text("PhysicalResourceId")?.unwrap_or_default();
    let status = members.text("StackResourceDriftStatus")?.unwrap_or_default();
    let stack = stack::of_id(&stack_id)
        .ok_or(Refusal::Wrong { field: "StackId", want: "the ARN of a stack" })?;
    let at = members.text("Timestamp")?.and_then(|text| Timestamp::parse(&text).ok());
    let side = sink.options.side;
    let field = match side {
        Side::Declared => "ExpectedProperties",
        Side::Observed => "ActualProperties",
    };
    let state = properties(&members, field, sink)?;
    let presence = match (side, &*status) {
        (Side::Observed, "DELETED") => Presence::Deleted,
        (_, "UNSUPPORTED") => Presence::Unsupported,
        (Side::Observed, "NOT_CHECKED" | "UNKNOWN") => Presence::Unreadable,
        _ if state.is_some() => Presence::Present,
        (Side::Observed, _) => Presence::Unreadable,
        (Side::Declared, _) => Presence::Unresolved,
    };
    let member = Member {
        stack,
        stack_id: &stack_id,
        logical_id: &logical_id,
        physical_id: &physical_id,
        resource_type: &resource_type,
    };
    let mut observation = member.observe(presence, sink)?;
    if presence == Presence::Present {
        observation.state = state.unwrap_or_default();
    } else if presence != Presence::Deleted {
        sink.note(Note::StateElsewhere, 1);
    }
    if side == Side::Observed {
        observation.observed_at = at;
        if let Some(evidence) = evidence(&members, &member, at, sink)? {
            sink.evidence(evidence);
        }
    }
    sink.observe(observation);
    Ok(())
}

/// Properties as an object or as JSON text.
pub(super) fn properties(
    members: &Members<'_>,
    field: &'static str,
    sink: &Sink<'_>,
) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(raw) = members.get(field) else { return Ok(None) };
    let wrong = Refusal::Wrong { field, want: "a JSON object, or the text of one" };
    if json::is_object(raw) {
        return Ok(Some(raw.get().as_bytes().to_vec()));
    }
    let text = json::text_of(raw).ok_or(wrong.clone())?;
    if text.is_empty() {
        return Ok(None);
    }
    let raw = json::nested(&text, sink.options.limits.depth)?;
    if json::is_object(raw) { Ok(Some(raw.get().as_bytes().to_vec())) } else { Err(wrong) }
}

/// What AWS says differs: the paths only, since a value may be secret.
fn evidence(
    members: &Members<'_>,
    member: &Member<'_>,
    at: Option<Timestamp>,
    sink: &Sink<'_>,
) -> Result<Option<Evidence>, Refusal> {
    let differences = members.array("PropertyDifferences")?.unwrap_or_default();
    let paths: Vec<String> = differences
        .into_iter()
        .filter_map(|raw| Members::parse(raw.get()).ok())
        .filter_map(|difference| difference.peek("PropertyPath").map(String::from))
        .collect();
    if paths.is_empty() {
        return Ok(None);
    }
    let place = Arn::parse(member.stack_id);
    let part = |part: fn(Arn<'_>) -> &str| place.map(part).unwrap_or_default().to_owned();
    let time = members.text("Timestamp")?.unwrap_or_default();
    let mut resources = vec![stack::alias(member.stack, member.logical_id)];
    if !member.physical_id.is_empty() {
        resources.push(member.physical_id.to_owned());
    }
    Ok(Some(Evidence {
        id: format!("{}/{}@{time}", member.stack_id, member.logical_id),
        log: "cloudformation",
        at,
        action: "drift".to_owned(),
        provider: "aws".to_owned(),
        account: part(|arn| arn.account),
        region: part(|arn| arn.region),
        resources,
        paths,
        position: sink.position,
        ..Evidence::default()
    }))
}
