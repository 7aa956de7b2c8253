//! The key of an object in a state, from its attributes, its provider and the configuration.
//!
//! Account and region come from the ARN, the resource's own attributes, the provider's alias, and
//! the source's configuration, in that order. What is global has no region, whatever the provider
//! was configured with.

use deployforge_model::ResourceKey;
use serde_json::value::RawValue;

use super::provider::Provider;
use crate::arn::Arn;
use crate::google;
use crate::json::{self, Members};
use crate::refusal::{KEY_BYTES, Refusal, check_key};
use crate::sink::{Note, Sink};

/// Types of AWS services that have no regions, for those that have no ARN to say so.
const GLOBAL: &[&str] = &[
    "aws_iam_",
    "aws_route53_record",
    "aws_route53_zone",
    "aws_cloudfront_",
    "aws_organizations_",
];

/// What identifies an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keyed<'a> {
    pub(super) provider: &'a Provider,
    pub(super) resource_type: &'a str,
    pub(super) address: &'a str,
    pub(super) identity: Option<&'a RawValue>,
}

impl Keyed<'_> {
    /// The key and the aliases.
    pub(super) fn read(
        self,
        state: &str,
        sink: &mut Sink<'_>,
    ) -> Result<(ResourceKey, Vec<String>), Refusal> {
        let members = Members::parse(state)?;
        members.unique_among(&["id", "arn"], "the attributes")?;
        let arn = word(&members, "arn")
            .or_else(|| self.own(&members, "arn").filter(|text| Arn::parse(text).is_some()));
        let id = word(&members, "id").or_else(|| self.own(&members, "id"));
        let identity = self.identity.map(|raw| raw.get().to_owned());
        let name = [id.clone(), arn.clone(), identity]
            .into_iter()
            .flatten()
            // What some providers call an id is a text of any length.
            .find(|name| name.len() <= KEY_BYTES)
            .unwrap_or_else(|| self.address.to_owned());
        let defaults = sink.options.defaults.clone();
        let provider = match self.provider.short() {
            "" => defaults.provider.clone().unwrap_or_default(),
            short => short.to_owned(),
        };
        let place = match provider.as_str() {
            "aws" => self.aws(&members, arn.as_deref()),
            "azure" => azure(&members, id.as_deref()),
            "google" => in_google(&members, id.as_deref()),
            _ => Place::default(),
        };
        let account = place.account.or(defaults.account).unwrap_or_default();
        let region = if place.global {
            String::new()
        } else {
            place.region.or(defaults.region).unwrap_or_default()
        };
        if matches!(provider.as_str(), "aws" | "azure" | "google") {
            sink.note(Note::AccountUnknown, account.is_empty().into());
            sink.note(Note::RegionUnknown, (region.is_empty() && !place.global).into());
        }
        let key = ResourceKey::new(&provider, &account, &region, self.resource_type, &name);
        check_key(&key)?;
        let mut aliases = Vec::new();
        let of_google = match provider.as_str() {
            "google" => self.google_names(&members, id.as_deref()),
            _ => Vec::new(),
        };
        let own = [arn, id, Some(self.address.to_owned())].into_iter().flatten();
        for alias in own.chain(of_google) {
            if alias != key.id && !aliases.contains(&alias) {
                aliases.push(alias);
            }
        }
        Ok((key, aliases))
    }

    /// What newer resources of the AWS provider have instead of `arn` and `id`: `guardrail_arn` of an
    /// `aws_bedrock_guardrail`.
    fn own(&self, members: &Members<'_>, what: &str) -> Option<String> {
        let (_, noun) = self.resource_type.strip_prefix("aws_")?.split_once('_')?;
        word(members, &format!("{noun}_{what}"))
    }

    /// By which names else Google knows it: ids lack the service, and where they lack the project or
    /// say another word than assets do, a link or another attribute tells.
    fn google_names(&self, members: &Members<'_>, id: Option<&str>) -> Vec<String> {
        let link = word(members, "self_link");
        let of_link = link.as_deref().and_then(google::name_of_link);
        let numbered = |list: &str, number: &str| {
            word(members, number).map(|number| format!("{list}/{number}"))
        };
        let other = match (self.resource_type, id) {
            ("google_project", _) => numbered("projects", "number"),
            ("google_service_account", Some(id)) => {
                id.rsplit_once('/').and_then(|(list, _)| numbered(list, "unique_id"))
            }
            // A cluster of one zone, whose asset says so.
            (_, Some(id)) if self.resource_type.starts_with("google_container_") => {
                Some(id.replacen("/locations/", "/zones/", 1)).filter(|other| other != id)
            }
            _ => None,
        };
        [link, of_link, other].into_iter().flatten().collect()
    }

    fn aws(&self, members: &Members<'_>, arn: Option<&str>) -> Place {
        let arn = arn.and_then(Arn::parse);
        let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let region = arn
            .and_then(|arn| filled(arn.region))
            .or_else(|| word(members, "region"))
            .or_else(|| self.provider.region.clone());
        let global = match arn {
            Some(arn) => arn.is_global(),
            None => GLOBAL.iter().any(|prefix| self.resource_type.starts_with(prefix)),
        };
        Place { account: arn.and_then(|arn| filled(arn.account)), region, global }
    }
}

/// Where an object is.
#[derive(Debug, Default)]
struct Place {
    account: Option<String>,
    region: Option<String>,
    global: bool,
}

fn azure(members: &Members<'_>, id: Option<&str>) -> Place {
    let account = id.and_then(|id| after(id, "subscriptions", true));
    // `West Europe` and `westeurope` are the same place.
    let region = word(members, "location").map(|text| text.replace(' ', "").to_lowercase());
    // What isn't placed in a region (role assignments, groups) has none.
    let global = region.is_none() || region.as_deref() == Some("global");
    Place { account, region: region.filter(|_| !global), global }
}

fn in_google(members: &Members<'_>, id: Option<&str>) -> Place {
    let account =
        word(members, "project").or_else(|| id.and_then(|id| after(id, "projects", false)));
    let last = |text: String| text.rsplit('/').next().unwrap_or_default().to_lowercase();
    let zone = || {
        let zone = last(word(members, "zone")?);
        let (region, _) = zone.rsplit_once('-')?;
        Some(region.to_owned())
    };
    let region = word(members, "region")
        .or_else(|| word(members, "location"))
        .map(|place| google::region_of(&last(place)))
        .filter(|region| !region.is_empty())
        .or_else(zone);
    let global = region.is_none() || region.as_deref() == Some("global");
    Place { account, region: region.filter(|_| !global), global }
}

/// The segment after `name` in a path.
fn after(path: &str, name: &str, ignore_case: bool) -> Option<String> {
    let mut segments = path.split('/');
    segments
        .find(|segment| *segment == name || (ignore_case && segment.eq_ignore_ascii_case(name)))?;
    segments.next().filter(|segment| !segment.is_empty()).map(str::to_owned)
}

/// An attribute that is text, or a number taken as its text.
fn word(members: &Members<'_>, name: &str) -> Option<String> {
    let raw = members.get(name)?;
    match json::text_of(raw) {
        Some(text) => (!text.is_empty()).then(|| text.into_owned()),
        None => json::is_number(raw).then(|| raw.get().to_owned()),
    }
}
