//! Plans, which hold more than one truth.
//!
//! `resource_drift` sets the last known state (`before`) against what the refresh found (`after`).
//! `resource_changes` sets what the refresh found (`before`) against what will be (`after`): the same
//! names, the other way about. `prior_state` is what the refresh found.
//!
//! A plan is read for one of three:
//! - what is there ([`Side::Observed`]): `after` of what drifted, and `prior_state` of the rest;
//! - what was declared and applied ([`Side::Declared`]): `before` of what drifted, and `prior_state` of
//!   the rest, so that a plan compared with itself gives the drift that Terraform reports;
//! - what will be (the input is named [`Format::TerraformPlanned`]): `after` of what is planned.
//!
//! What a plan did not look at is never taken for in sync. A plan made with targets refreshes only
//! those: what it has no change for, not even `no-op`, is unreadable on the observed side. Plans from
//! before drift was reported cannot say what was declared: on the declared side all is unresolved.

use std::collections::{HashMap, HashSet};

use deployforge_model::Presence;
use serde_json::value::RawValue;

use super::marks;
use super::place::{self, Change, Id, Listed, Mode, Place};
use crate::json::Members;
use crate::options::{Format, Side};
use crate::refusal::Refusal;
use crate::reserved;
use crate::sink::{Note, Sink};
use crate::terraform::provider::Provider;
use crate::terraform::{Locator, Object};

const KEYS: [&str; 9] = [
    "format_version",
    "plan_format_version",
    "planned_values",
    "resource_drift",
    "resource_changes",
    "deferred_changes",
    "prior_state",
    "configuration",
    "errored",
];

/// What a plan says of the objects that it knows.
#[derive(Debug, Default)]
struct Plan<'a> {
    prior: Vec<Listed<'a>>,
    planned: Vec<Listed<'a>>,
    drift: Vec<Change<'a>>,
    changes: Vec<Change<'a>>,
    deferred: Vec<Change<'a>>,
    /// Sensitive paths of each object, from wherever the plan names them.
    sensitive: HashMap<Id, Vec<String>>,
    /// Former addresses.
    previous: HashMap<Id, Vec<String>>,
    /// Aliases of providers.
    aliases: HashMap<String, String>,
    /// Data sources in the state and among the planned values.
    data: [u64; 2],
    /// Whether a plan of this version reports drift.
    tells_drift: bool,
    /// Whether sensitive values were taken out.
    redacted: bool,
    /// Whether it was made from code alone, without any state.
    estimated: bool,
}

/// Reads a plan.
pub(super) fn read(members: &Members<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    members.unique_among(&KEYS, "the plan")?;
    let plan = Plan::gather(members)?;
    // It lists one state, which it does not name, so it proves nothing missing; what it knows to be
    // gone is delivered as deleted.
    sink.tally.loose += 1;
    let errored = members.flag("errored")?.unwrap_or(false);
    sink.note(FAILED, errored.into());
    let incomplete = !errored && members.flag("complete")? == Some(false);
    sink.note(INCOMPLETE, incomplete.into());
    let start = sink.position;
    let mut locator = Locator::new(text, start);
    let before = sink.tally.observations;
    let result = if sink.options.format == Some(Format::TerraformPlanned) {
        plan.deliver_planned(&mut locator, sink)
    } else {
        plan.deliver_existing(&mut locator, sink)
    };
    sink.position = start;
    sink.note(NOTHING, (sink.tally.observations == before).into());
    result
}

/// The objects of a section, without data sources, which are counted. An entry that can't be read
/// fails the plan: without it, another entry could be taken for the whole truth.
fn managed<'a, T>(
    entries: impl IntoIterator<Item = Result<T, Refusal>>,
    place: impl Fn(&T) -> &Place<'a>,
    data: &mut u64,
) -> Result<Vec<T>, Refusal> {
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        match place(&entry).mode {
            Mode::Managed => found.push(entry),
            Mode::Data => *data += 1,
            Mode::Other => {}
        }
    }
    Ok(found)
}

impl<'a> Plan<'a> {
    fn gather(members: &Members<'a>) -> Result<Self, Refusal> {
        let redacted = members.has("plan_format_version");
        let field = if redacted { "plan_format_version" } else { "format_version" };
        let version = super::version(members, field)?;
        let mut data = [0; 2];
        let mut other = 0;
        let prior = match members.get("prior_state") {
            Some(raw) => Members::of(raw, "prior_state")?.get("values"),
            None => None,
        };
        let list = |values, data: &mut u64| {
            let found = place::listed(values)?;
            let read = found.into_iter().map(|(module, raw)| Listed::read(raw, &module));
            managed(read, |listed: &Listed<'a>| &listed.place, data)
        };
        let estimated = members.has("infracost_resource_changes");
        let prior = if estimated { Vec::new() } else { list(prior, &mut data[0])? };
        let planned = list(members.get("planned_values"), &mut data[1])?;
        let mut changes = |entries: Vec<&'a RawValue>| {
            let read = entries.into_iter().map(Change::read);
            managed(read, |change: &Change<'a>| &change.place, &mut other)
        };
        let section = |name| members.array(name).map(Option::unwrap_or_default);
        let deferred = section("deferred_changes")?
            .into_iter()
            .filter_map(|raw| Members::of(raw, "deferred_changes").ok()?.get("resource_change"));
        let mut plan = Self {
            prior,
            planned,
            drift: changes(section("resource_drift")?)?,
            changes: changes(section("resource_changes")?)?,
            deferred: changes(deferred.collect())?,
            aliases: place::aliases(members.get("configuration"))?,
            data,
            tells_drift: redacted || version >= (0, 2) || members.has("resource_drift"),
            redacted,
            estimated,
            ..Self::default()
        };
        plan.mark();
        Ok(plan)
    }

    /// Gathers sensitive paths and former addresses, whichever section has them.
    fn mark(&mut self) {
        let mut sensitive: HashMap<Id, Vec<String>> = HashMap::new();
        let mut previous: HashMap<Id, Vec<String>> = HashMap::new();
        for listed in self.prior.iter().chain(&self.planned) {
            let paths = marks::pointers(listed.sensitive);
            sensitive.entry(listed.place.id()).or_default().extend(paths);
        }
        for change in self.drift.iter().chain(&self.changes).chain(&self.deferred) {
            let id = change.place.id();
            let paths = change.sensitive.into_iter().flat_map(marks::pointers);
            sensitive.entry(id.clone()).or_default().extend(paths);
            previous.entry(id).or_default().extend(change.previous.clone());
        }
        for paths in sensitive.values_mut() {
            paths.sort();
            paths.dedup();
        }
        (self.sensitive, self.previous) = (sensitive, previous);
    }

    /// Delivers what is there, or what was declared, as the caller's side has it.
    fn deliver_existing(&self, locator: &mut Locator<'_>, sink: &mut Sink<'_>) -> Outcome {
        let declared = sink.options.side == Side::Declared;
        let mut seen: HashSet<Id> = HashSet::new();
        for change in &self.drift {
            if !seen.insert(change.place.id()) {
                continue;
            }
            let state = if declared { change.before } else { change.after };
            let presence = match (state, change.before) {
                (Some(_), _) => change.place.presence(Presence::Present),
                (None, Some(_)) if !declared => Presence::Deleted,
                (None, _) => continue,
            };
            let hidden = change.sensitive[usize::from(!declared)];
            let view = View { presence, state, hidden, ..View::of_change(change) };
            // Both sides are named as the state names it, whatever drifted.
            self.deliver(View { named_by: change.before, ..view }, locator, sink)?;
        }
        let checked: HashSet<Id> = self.changes.iter().map(|change| change.place.id()).collect();
        let mut unchecked = 0;
        for listed in &self.prior {
            if !seen.insert(listed.place.id()) {
                continue;
            }
            let looked_at = checked.is_empty() || checked.contains(&listed.place.id());
            unchecked += u64::from(!looked_at);
            let view = View::of_listed(listed)?;
            let presence = match view.presence {
                Presence::Present => self.unchanged(&listed.place, looked_at, declared),
                other => other,
            };
            self.deliver(View { presence, ..view }, locator, sink)?;
        }
        for change in &self.changes {
            if change.exists() && seen.insert(change.place.id()) {
                let presence = self.unchanged(&change.place, true, declared);
                let (state, hidden) = (change.before, change.sensitive[0]);
                let view = View { presence, state, hidden, ..View::of_change(change) };
                self.deliver(view, locator, sink)?;
            }
        }
        self.note_existing(unchecked, declared, sink);
        Ok(())
    }

    /// The presence of what did not drift, as far as the plan tells.
    fn unchanged(&self, place: &Place<'_>, looked_at: bool, declared: bool) -> Presence {
        place.presence(match declared {
            true if !self.tells_drift => Presence::Unresolved,
            false if !looked_at => Presence::Unreadable,
            _ => Presence::Present,
        })
    }

    fn note_existing(&self, unchecked: u64, declared: bool, sink: &mut Sink<'_>) {
        sink.note(Note::DataSources, self.data[0]);
        if !declared {
            sink.note(UNCHECKED, unchecked);
        } else if !self.tells_drift {
            let known = self.changes.iter().filter(|change| change.exists()).count();
            sink.note(UNTOLD, self.prior.len().max(known) as u64);
        }
        if self.estimated {
            sink.note(ESTIMATED, 1);
        }
        let new = self.changes.iter().filter(|change| change.is_new()).count();
        sink.note(TO_CREATE, new as u64);
    }

    /// Delivers what will be, once the plan is applied.
    fn deliver_planned(&self, locator: &mut Locator<'_>, sink: &mut Sink<'_>) -> Outcome {
        let mut seen: HashSet<Id> = HashSet::new();
        let mut leaves = 0;
        for change in &self.changes {
            if !seen.insert(change.place.id()) {
                continue;
            }
            let open = marks::covers_all(change.unknown);
            if change.after.is_none() && !open {
                leaves += 1;
                continue;
            }
            let presence = if open { Presence::Unresolved } else { Presence::Present };
            let (state, hidden) = (change.after, change.sensitive[1]);
            let view = View { presence, state, hidden, ..View::of_change(change) };
            let named_by = change.before.filter(|_| !change.does("create"));
            self.deliver(View { unknown: change.unknown, named_by, ..view }, locator, sink)?;
        }
        for listed in &self.planned {
            if seen.insert(listed.place.id()) {
                self.deliver(View::of_listed(listed)?, locator, sink)?;
            }
        }
        for change in &self.deferred {
            if seen.insert(change.place.id()) {
                let view = View::of_change(change);
                self.deliver(View { named_by: change.before, ..view }, locator, sink)?;
            }
        }
        sink.note(DEFERRED, self.deferred.len() as u64);
        sink.note(LEAVES, leaves);
        sink.note(Note::DataSources, self.data[1]);
        Ok(())
    }

    /// Delivers one object.
    fn deliver(
        &self,
        view: View<'_, '_>,
        locator: &mut Locator<'_>,
        sink: &mut Sink<'_>,
    ) -> Outcome {
        let View { place, presence, state, unknown, hidden, named_by, identity, .. } = view;
        let id = place.id();
        let foreign = state.is_some_and(|state| reserved::holds(state.get().as_bytes()));
        let mut state = match state {
            Some(state) => marks::resolve(state, unknown, "known after apply"),
            None => "{}".to_owned(),
        };
        if self.redacted && hidden.is_some() {
            let raw: &RawValue = serde_json::from_str(&state)?;
            state = marks::resolve(raw, hidden, "redacted in the plan");
        }
        let alias = self.aliases.get(&place.configured).map_or("", String::as_str);
        sink.position = locator.position(view.raw.get());
        Object {
            provider: &Provider::of_source(&place.provider, alias),
            resource_type: &place.resource_type,
            address: place.address.clone(),
            state,
            named_by: named_by.map(RawValue::get),
            identity,
            presence,
            tainted: view.tainted,
            collection: None,
            other_addresses: self.previous.get(&id).map_or(&[], Vec::as_slice),
            sensitive: self.sensitive.get(&id).cloned().unwrap_or_default(),
            resolved: !foreign,
        }
        .observe(sink)
    }
}

const FAILED: Note =
    Note::Counted("plan failed and may be incomplete", "plans failed and may be incomplete");
const INCOMPLETE: Note =
    Note::Counted("plan says that it is not complete", "plans say that they are not complete");
const NOTHING: Note = Note::Counted(
    "plan without managed resources on this side",
    "plans without managed resources on this side",
);
const UNCHECKED: Note = Note::Counted(
    "resource was not refreshed, since the plan has targets",
    "resources were not refreshed, since the plan has targets",
);
const UNTOLD: Note = Note::Counted(
    "resource whose declared state is not in the plan: plans of this version do not report drift",
    "resources whose declared state is not in the plan: plans of this version do not report drift",
);
const ESTIMATED: Note = Note::Counted(
    "plan made from code alone knows nothing of what exists; name it terraform-planned to read it",
    "plans made from code alone know nothing of what exists; name them terraform-planned to read them",
);
const TO_CREATE: Note = Note::Counted(
    "resource is still to be created; name the input terraform-planned to read what will be",
    "resources are still to be created; name the input terraform-planned to read what will be",
);
const LEAVES: Note =
    Note::Counted("resource will no longer be managed", "resources will no longer be managed");
const DEFERRED: Note = Note::Counted(
    "resource is left to a later plan and unresolved",
    "resources are left to a later plan and unresolved",
);

type Outcome = Result<(), Refusal>;

/// One object, as one side of the plan sees it.
#[derive(Clone, Copy, Debug)]
struct View<'p, 'a> {
    place: &'p Place<'a>,
    presence: Presence,
    state: Option<&'a RawValue>,
    /// Marks what is not known yet.
    unknown: Option<&'a RawValue>,
    /// Marks what is sensitive on this side, and so taken out of a redacted plan.
    hidden: Option<&'a RawValue>,
    /// What the key is made from, if not the state.
    named_by: Option<&'a RawValue>,
    identity: Option<&'a RawValue>,
    tainted: bool,
    raw: &'a RawValue,
}

impl<'p, 'a> View<'p, 'a> {
    /// Of a change, without saying which of its states.
    fn of_change(change: &'p Change<'a>) -> Self {
        Self {
            place: &change.place,
            presence: Presence::Unresolved,
            state: None,
            unknown: None,
            hidden: None,
            named_by: None,
            identity: change.identity,
            tainted: false,
            raw: change.raw,
        }
    }

    fn of_listed(listed: &'p Listed<'a>) -> Result<Self, Refusal> {
        Ok(Self {
            place: &listed.place,
            presence: listed.presence(),
            state: listed.values()?,
            unknown: None,
            hidden: listed.sensitive,
            named_by: None,
            identity: listed.identity,
            tainted: listed.tainted,
            raw: listed.raw,
        })
    }
}
