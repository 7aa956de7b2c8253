//! What Terraform and OpenTofu print of states and plans as JSON (`show -json`), and their providers'
//! schemas.
//!
//! A state is read as its file would be: the same keys, addresses, aliases and attributes. A plan
//! holds more than one truth, and `plan` says which is read when. Format versions 0 and 1 are read;
//! a later one may mean something else by the same names, and is refused.
//!
//! The event stream of `plan -json` and `apply -json` holds no values: it is refused once, with what
//! to give instead.

mod marks;
mod place;
mod plan;
mod schema;

use deployforge_model::RejectCode;

use serde_json::value::RawValue;

use crate::json::Members;
use crate::refusal::Refusal;
use crate::sink::{Note, Sink};
use crate::terraform::provider::Provider;
use crate::terraform::{Locator, Object};
use place::{Listed, Mode};

pub use schema::{Attribute, ResourceSchema, Schemas, Shape};

/// What a JSON text of Terraform's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    State,
    Plan,
    Schemas,
    Functions,
    Configuration,
    Stream,
    Bookmark,
}

fn kind(members: &Members<'_>) -> Option<Kind> {
    if members.has("@level") && members.has("@message") {
        let ours = members.has("type")
            || members.peek("@module").is_some_and(|module| {
                ["terraform.", "tofu.", "opentofu."].iter().any(|name| module.starts_with(name))
            });
        return ours.then_some(Kind::Stream);
    }
    if members.has("remote_plan_format") && members.has("run_id") {
        return Some(Kind::Bookmark);
    }
    if !members.has("format_version") && !members.has("plan_format_version") {
        return None;
    }
    let any = |names: &[&str]| names.iter().any(|name| members.has(name));
    let bare = || {
        let known = ["format_version", "terraform_version", "checks"];
        members.iter().all(|(name, _)| known.contains(&name))
    };
    if any(&["planned_values", "resource_changes", "resource_drift", "prior_state"])
        || members.has("plan_format_version")
    {
        Some(Kind::Plan)
    } else if members.has("provider_schemas") {
        Some(Kind::Schemas)
    } else if members.has("function_signatures") {
        Some(Kind::Functions)
    } else if members.has("values") || bare() {
        Some(Kind::State)
    } else if any(&["configuration", "root_module"]) {
        Some(Kind::Configuration)
    } else {
        None
    }
}

/// Whether this is JSON that Terraform or OpenTofu prints.
pub(crate) fn claims(members: &Members<'_>) -> bool {
    kind(members).is_some()
}

/// Reads a state or a plan.
pub(crate) fn read(members: &Members<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let unsupported = |reason: &str| Err(Refusal::new(RejectCode::Unsupported, reason));
    match kind(members) {
        Some(Kind::State) => read_state(members, text, sink),
        Some(Kind::Plan) => plan::read(members, text, sink),
        Some(Kind::Schemas) => unsupported(
            "These are the schemas of providers, which hold no resources; give them where schemas are asked for.",
        ),
        Some(Kind::Functions) => unsupported(
            "These are signatures of functions, which hold no resources; give `show -json` of a state or a plan.",
        ),
        Some(Kind::Bookmark) => unsupported(
            "This only says where a plan is kept; run `terraform show -json` on it and give the result.",
        ),
        Some(Kind::Stream) => read_stream(sink),
        Some(Kind::Configuration) | None => unsupported(
            "This is JSON of Terraform's that is neither a state nor a plan; give `show -json` of one of them.",
        ),
    }
}

/// One event of a run. It tells addresses and no values, so there is nothing to compare.
fn read_stream(sink: &mut Sink<'_>) -> Result<(), Refusal> {
    if sink.tell("terraform stream") {
        let reason = "This is the event stream of a run (`-json`), which holds no values; write the plan \
                      with `-out=FILE` and give the output of `terraform show -json FILE`.";
        return Err(Refusal::new(RejectCode::Unsupported, reason));
    }
    sink.note(Note::Counted("more event of the run skipped", "more events of the run skipped"), 1);
    Ok(())
}

/// Checks the version of the format.
fn version(members: &Members<'_>, field: &'static str) -> Result<(u64, u64), Refusal> {
    let wrong = Refusal::Wrong { field, want: "a version such as \"1.2\"" };
    let text = members.text(field)?.ok_or_else(|| wrong.clone())?;
    let (major, minor) = text.split_once('.').unwrap_or((&text, "0"));
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong.clone());
    let version = (number(major)?, number(minor.split('.').next().unwrap_or_default())?);
    if version.0 > 1 {
        let reason = format!(
            "Version {} of Terraform's JSON output is not known; versions 0 and 1 are read.",
            version.0
        );
        return Err(Refusal::new(RejectCode::Unsupported, reason));
    }
    Ok(version)
}

fn read_state(members: &Members<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    members.unique_among(&["format_version", "values"], "the state")?;
    version(members, "format_version")?;
    // It does not name the state it shows, so it proves nothing missing.
    sink.tally.loose += 1;
    let start = sink.position;
    let mut locator = Locator::new(text, start);
    let (mut resources, mut data) = (0, 0);
    for (module, raw) in place::listed(members.get("values"))? {
        sink.position = locator.position(raw.get());
        let result = Listed::read(raw, &module).and_then(|listed| {
            match listed.place.mode {
                Mode::Managed => {
                    resources += 1;
                    return observe(&listed, sink);
                }
                Mode::Data => data += 1,
                Mode::Other => {}
            }
            Ok(())
        });
        if let Err(refusal) = result {
            sink.refuse(&refusal, raw.get().as_bytes());
        }
    }
    sink.position = start;
    sink.note(Note::DataSources, data);
    sink.note(Note::NoResources, u64::from(resources == 0));
    Ok(())
}

/// Delivers an object of a state.
fn observe(listed: &Listed<'_>, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let place = &listed.place;
    let state = listed.values()?;
    Object {
        provider: &Provider::of_source(&place.provider, ""),
        resource_type: &place.resource_type,
        address: place.address.clone(),
        state: state.map_or("{}", RawValue::get).to_owned(),
        named_by: None,
        identity: listed.identity,
        presence: listed.presence(),
        tainted: listed.tainted,
        collection: None,
        other_addresses: &[],
        sensitive: marks::pointers(listed.sensitive),
        resolved: false,
    }
    .observe(sink)
}
