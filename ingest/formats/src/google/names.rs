//! Full names of resources, from links and relative names, and the types that they tell.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::json::Members;

/// What is known of names and types: `data/google-types.json`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Table {
    /// Services whose resources are named after another.
    hosts: std::collections::HashMap<String, String>,
    /// Services, by the word that addresses of the shared host begin with.
    apis: std::collections::HashMap<String, String>,
    /// Types whose lists hold summaries.
    pub(super) summaries: Vec<String>,
    /// Lists of what is no resource.
    pub(super) not_resources: Vec<String>,
    types: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    #[serde(rename = "type")]
    resource_type: String,
    #[serde(default)]
    has: Vec<String>,
}

pub(super) static TABLE: LazyLock<Table> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../data/google-types.json")).unwrap_or_default()
});

/// Who is asked for what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    /// The service, such as `spanner.googleapis.com`; empty where it is not told.
    pub(super) service: String,
    /// What is asked for, below the version: `projects/p/instances`; empty where it is not told.
    pub(super) path: String,
    /// What is to be done with it: `getIamPolicy`.
    pub(super) action: Option<String>,
    /// Whether only some fields are asked for.
    pub(super) partial: bool,
    /// The path as a file's name has it, with `-` for every slash; empty where the path is told.
    pub(super) flat: String,
}

impl Call {
    /// Reads an address or a link; anything else is `None`.
    pub(super) fn of_link(link: &str) -> Option<Self> {
        let rest = link.strip_prefix("https://").or_else(|| link.strip_prefix("http://"))?;
        let (host, rest) = rest.split_once('/')?;
        let host = host.split(':').next()?.to_ascii_lowercase();
        if host != "googleapis.com" && !host.ends_with(".googleapis.com") {
            return None;
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let partial = query.split('&').any(|part| part.starts_with("fields="));
        let path = path.replace("%40", "@");
        if let Some(name) = path.strip_prefix("-/") {
            return Some(Self::of_name(&host, name));
        }
        let segments: Vec<&str> = path.split('/').collect();
        let version = segments.iter().take(4).position(|segment| is_version(segment))?;
        let api = segments.first().copied().filter(|_| version > 0).unwrap_or_default();
        let shared = matches!(host.as_str(), "www.googleapis.com" | "content.googleapis.com");
        let service = match TABLE.apis.get(api) {
            Some(service) => service.clone(),
            None if api == "apis" => (*segments.get(1)?).to_owned(),
            None if shared && !api.is_empty() => format!("{api}.googleapis.com"),
            None => service(&host),
        };
        let path = segments.get(version + 1..)?.join("/");
        let path = path.trim_end_matches('/');
        let (path, action) =
            match path.rsplit_once('/').map_or(path, |(_, last)| last).split_once(':') {
                Some((_, action)) => {
                    let end = path.len() - action.len() - 1;
                    (&path[..end], Some(action.to_owned()))
                }
                None => (path, None),
            };
        let path = path.to_owned();
        Some(Self { service, path, action, partial, flat: String::new() })
    }

    /// What a file's name tells of a call: the service perhaps, and the path without its slashes.
    fn of_name(host: &str, name: &str) -> Self {
        let words: Vec<&str> = name.split('-').collect();
        let version = words.iter().take(4).position(|word| is_version(word));
        let api = words.first().copied().filter(|_| version.is_some_and(|at| at > 0));
        let service = match api {
            _ if host != "googleapis.com" => service(host),
            Some(api) => {
                TABLE.apis.get(api).cloned().unwrap_or_else(|| format!("{api}.googleapis.com"))
            }
            None => String::new(),
        };
        let mut rest = words.get(version.map_or(0, |at| at + 1)..).unwrap_or_default();
        let action = rest.last().filter(|last| last.eq_ignore_ascii_case("getIamPolicy"));
        if action.is_some() {
            rest = &rest[..rest.len() - 1];
        }
        let action = action.map(|action| (*action).to_owned());
        Self { service, action, flat: rest.join("-"), ..Self::default() }
    }

    /// The path, where the file's name is that of something in the table; `listed`: of its list.
    pub(super) fn unflattened(&self, listed: bool) -> Option<String> {
        let patterns = TABLE.types.iter().filter_map(|entry| {
            let (host, path) = entry.name.trim_start_matches('/').split_once('/')?;
            let own = TABLE.hosts.get(&self.service).unwrap_or(&self.service);
            (own.is_empty() || own == host).then_some(path)
        });
        let found = patterns.filter_map(|pattern| {
            let pattern = if listed { pattern.strip_suffix("/*")? } else { pattern };
            Some((
                pattern.split('/').filter(|part| *part != "*").count(),
                unflatten(pattern, &self.flat)?,
            ))
        });
        found.max_by_key(|(literals, _)| *literals).map(|(_, path)| path)
    }

    /// Whether the policy of the resource is asked for.
    pub(super) fn asks_policy(&self) -> bool {
        let asks = |word: &str| word.eq_ignore_ascii_case("getIamPolicy");
        self.action.as_deref().is_some_and(asks)
            || self.path.rsplit('/').next().is_some_and(|last| asks(last) || last == "iam")
    }

    /// What is asked for, without the words that ask for its policy.
    pub(super) fn subject(&self) -> &str {
        let last = self.path.rsplit('/').next().unwrap_or_default();
        if last.eq_ignore_ascii_case("getIamPolicy") || last == "iam" {
            self.path[..self.path.len() - last.len()].trim_end_matches('/')
        } else {
            &self.path
        }
    }
}

/// A path whose slashes became hyphens, by the pattern it is of. A name ends where the next word of the
/// pattern stands first; the last takes the rest.
fn unflatten(pattern: &str, flat: &str) -> Option<String> {
    let mut path: Vec<&str> = Vec::new();
    let mut rest = flat;
    let mut parts = pattern.split('/').peekable();
    while let Some(part) = parts.next() {
        let end = match (part, parts.peek()) {
            (_, None) => rest.len(),
            ("*", Some(next)) => {
                let next = format!("-{next}");
                let ends =
                    |at: &usize| matches!(rest.as_bytes().get(at + next.len()), None | Some(b'-'));
                rest.match_indices(&next).map(|(at, _)| at).find(ends)?
            }
            (literal, Some(_)) => literal.len(),
        };
        let word = rest.get(..end)?;
        if word.is_empty() || (part != "*" && word != part) {
            return None;
        }
        path.push(word);
        rest = rest.get(end..)?;
        if parts.peek().is_some() {
            rest = rest.strip_prefix('-')?;
        }
    }
    Some(path.join("/"))
}

/// The service of a host: `us-east1-aiplatform.googleapis.com` serves one region of it.
fn service(host: &str) -> String {
    let name = host.strip_suffix(".googleapis.com").unwrap_or(host);
    let own = name.rsplit('.').next().unwrap_or(name);
    let own = match own.rsplit_once('-') {
        Some((region, own))
            if region.contains('-') && region.ends_with(|c: char| c.is_ascii_digit()) =>
        {
            own
        }
        _ => own,
    };
    format!("{own}.googleapis.com")
}

fn is_version(segment: &str) -> bool {
    let numbered = segment.strip_prefix('v').is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_digit())
            && rest.chars().all(|c| c.is_ascii_alphanumeric())
    });
    numbered || matches!(segment, "alpha" | "beta")
}

/// Whether a text is a relative name: `projects/p/topics/t`.
pub(super) fn is_relative(name: &str) -> bool {
    const ROOTS: [&str; 6] =
        ["projects/", "organizations/", "folders/", "billingAccounts/", "accessPolicies/", "apps/"];
    ROOTS.iter().any(|root| name.len() > root.len() && name.starts_with(root))
        && !name.contains("//")
        && name.split('/').count().is_multiple_of(2)
        || name.contains("/global/")
}

/// The full name of what a service has at a path.
pub(super) fn full(service: &str, path: &str) -> String {
    if service == "storage.googleapis.com" {
        // Buckets are named without their project.
        let rest = path.strip_prefix("b/").or_else(|| path.strip_prefix("projects/_/buckets/"));
        return format!("//{service}/{}", rest.unwrap_or(path));
    }
    let host = TABLE.hosts.get(service).map_or(service, String::as_str);
    format!("//{host}/{path}")
}

/// The type of what has this name: from the table, else from the name of its collection.
pub(super) fn resource_type(service: &str, name: &str, members: Option<&Members<'_>>) -> String {
    if let Some(bucket) = name.strip_prefix("//storage.googleapis.com/") {
        let object = bucket.contains('/');
        return if object {
            "storage.googleapis.com/Object"
        } else {
            "storage.googleapis.com/Bucket"
        }
        .to_owned();
    }
    let found = || TABLE.types.iter().filter(|entry| fits(&entry.name, name));
    let marked = found().find(|entry| has(entry, members)).or_else(|| found().next_back());
    if let Some(entry) = marked {
        return entry.resource_type.clone();
    }
    let mut segments = name.rsplit('/').skip(1);
    let collection = segments.next().unwrap_or_default();
    format!("{service}/{}", singular(collection))
}

/// The services that have resources of this relative name, if the name and the members tell just one.
pub(super) fn service_of(path: &str, members: Option<&Members<'_>>) -> Option<String> {
    let fits_path = |entry: &&Entry| {
        let pattern = entry.name.trim_start_matches('/').split_once('/').map(|(_, path)| path);
        pattern.is_some_and(|pattern| fits(pattern, path))
    };
    let found: Vec<&Entry> = TABLE.types.iter().filter(fits_path).collect();
    let service = |entry: &Entry| entry.resource_type.split('/').next().map(str::to_owned);
    let one = |entries: &[&Entry]| -> Option<String> {
        let first = service(entries.first()?)?;
        entries.iter().all(|entry| service(entry).as_ref() == Some(&first)).then_some(first)
    };
    let marked: Vec<&Entry> = found.iter().copied().filter(|entry| has(entry, members)).collect();
    // Of those that have marks, none shows: what is left are those without.
    let plain: Vec<&Entry> = found.into_iter().filter(|entry| entry.has.is_empty()).collect();
    if marked.is_empty() { one(&plain) } else { one(&marked) }
}

fn has(entry: &Entry, members: Option<&Members<'_>>) -> bool {
    members.is_some_and(|members| entry.has.iter().any(|name| members.has(name)))
}

/// Whether a name fits a pattern, in which `*` is one segment.
fn fits(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.split('/'), name.split('/'));
    loop {
        match (pattern.next(), name.next()) {
            (None, None) => return true,
            (Some("*"), Some(segment)) if !segment.is_empty() => {}
            (Some(want), Some(segment)) if want == segment => {}
            _ => return false,
        }
    }
}

/// `instances` is `Instance`, `policies` is `Policy`, `addresses` is `Address`.
fn singular(collection: &str) -> String {
    let one = if let Some(stem) = collection.strip_suffix("ies") {
        format!("{stem}y")
    } else if collection.ends_with("sses") || collection.ends_with("xes") {
        collection[..collection.len() - 2].to_owned()
    } else {
        collection.strip_suffix('s').unwrap_or(collection).to_owned()
    };
    let mut letters = one.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_tell_service_and_path() {
        for (link, service, path, action) in [
            (
                "https://www.googleapis.com/compute/v1/projects/p/zones/z/instances/i?alt=json",
                "compute.googleapis.com",
                "projects/p/zones/z/instances/i",
                None,
            ),
            (
                "https://compute.googleapis.com/compute/beta/projects/p",
                "compute.googleapis.com",
                "projects/p",
                None,
            ),
            (
                "https://www.googleapis.com/sql/v1beta4/projects/p/instances/i",
                "sqladmin.googleapis.com",
                "projects/p/instances/i",
                None,
            ),
            (
                "https://us-east1-aiplatform.googleapis.com/v1/projects/p/locations/l/models",
                "aiplatform.googleapis.com",
                "projects/p/locations/l/models",
                None,
            ),
            (
                "https://cloudfunctions.googleapis.com/v1/projects/p/locations/l/functions/f:getIamPolicy?alt=json",
                "cloudfunctions.googleapis.com",
                "projects/p/locations/l/functions/f",
                Some("getIamPolicy"),
            ),
            (
                "https://us-central1-run.googleapis.com/apis/run.googleapis.com/v1/namespaces/p/jobs",
                "run.googleapis.com",
                "namespaces/p/jobs",
                None,
            ),
            ("https://googleapis.com/-/v1-projects-p-getIamPolicy", "", "", Some("getIamPolicy")),
        ] {
            let call = Call::of_link(link).unwrap();
            assert_eq!(
                (call.service.as_str(), call.path.as_str(), call.action.as_deref()),
                (service, path, action),
                "{link}"
            );
        }
        assert_eq!(Call::of_link("https://example.org/v1/x"), None);
        assert_eq!(Call::of_link("projects/p"), None);
        assert!(
            Call::of_link("https://x.googleapis.com/v1/projects/p?fields=name").unwrap().partial
        );
        let policy = Call::of_link("https://storage.googleapis.com/storage/v1/b/x/iam").unwrap();
        assert!(policy.asks_policy());
        assert_eq!(full(&policy.service, policy.subject()), "//storage.googleapis.com/x");
    }

    #[test]
    fn file_names_tell_paths_that_are_in_the_table() {
        for (host, name, listed, service, path) in [
            (
                "googleapis.com",
                "v1-projects-my-p-topics-t-1-getIamPolicy",
                false,
                "",
                Some("projects/my-p/topics/t-1"),
            ),
            ("googleapis.com", "v1-projects-p-getIamPolicy", false, "", Some("projects/p")),
            (
                "googleapis.com",
                "v1-projects-my-p-regions-us-central1-clusters",
                true,
                "",
                Some("projects/my-p/regions/us-central1/clusters"),
            ),
            (
                "googleapis.com",
                "sql-v1beta4-projects-p-instances-i",
                false,
                "sqladmin.googleapis.com",
                Some("projects/p/instances/i"),
            ),
            (
                "us-east1-x.googleapis.com",
                "v1-projects-p-unheard-u",
                false,
                "x.googleapis.com",
                None,
            ),
            ("googleapis.com", "v1-unheard-x", false, "", None),
        ] {
            let call = Call::of_name(host, name);
            assert_eq!(
                (call.service.as_str(), call.unflattened(listed).as_deref()),
                (service, path),
                "{name}"
            );
        }
    }

    #[test]
    fn names_tell_types() {
        for (service, path, name, kind) in [
            (
                "compute.googleapis.com",
                "projects/p/regions/r/disks/d",
                "//compute.googleapis.com/projects/p/regions/r/disks/d",
                "compute.googleapis.com/RegionDisk",
            ),
            (
                "compute.googleapis.com",
                "projects/p/global/targetHttpProxies/t",
                "//compute.googleapis.com/projects/p/global/targetHttpProxies/t",
                "compute.googleapis.com/TargetHttpProxy",
            ),
            (
                "sqladmin.googleapis.com",
                "projects/p/instances/i",
                "//cloudsql.googleapis.com/projects/p/instances/i",
                "sqladmin.googleapis.com/Instance",
            ),
            (
                "storage.googleapis.com",
                "b/x",
                "//storage.googleapis.com/x",
                "storage.googleapis.com/Bucket",
            ),
            (
                "new.googleapis.com",
                "projects/p/indexes/i",
                "//new.googleapis.com/projects/p/indexes/i",
                "new.googleapis.com/Index",
            ),
            (
                "new.googleapis.com",
                "projects/p/databases/i",
                "//new.googleapis.com/projects/p/databases/i",
                "new.googleapis.com/Database",
            ),
        ] {
            assert_eq!(full(service, path), name);
            assert_eq!(resource_type(service, name, None), kind);
        }
        let functions = "//cloudfunctions.googleapis.com/projects/p/locations/l/functions/f";
        let second = Members::parse(r#"{"buildConfig":{}}"#).unwrap();
        assert_eq!(
            resource_type("cloudfunctions.googleapis.com", functions, Some(&second)),
            "cloudfunctions.googleapis.com/Function"
        );
        assert_eq!(
            resource_type("cloudfunctions.googleapis.com", functions, None),
            "cloudfunctions.googleapis.com/CloudFunction"
        );
    }

    #[test]
    fn a_name_that_two_services_use_needs_a_mark() {
        let with = |text: &str, path: &str| service_of(path, Some(&Members::parse(text).unwrap()));
        let spanner = Some("spanner.googleapis.com".to_owned());
        assert_eq!(with(r#"{"nodeCount":1}"#, "projects/p/instances/i"), spanner);
        assert_eq!(with(r#"{"labels":1}"#, "projects/p/instances/i"), None);
        assert_eq!(with(r#"{"nodeCount":1,"databaseVersion":1}"#, "projects/p/instances/i"), None);
        assert_eq!(
            service_of("projects/p/topics/t", None),
            Some("pubsub.googleapis.com".to_owned())
        );
        assert_eq!(service_of("projects/p/unheard/t", None), None);
        assert!(is_relative("projects/p/topics/t") && !is_relative("projects/p/topics"));
    }

    #[test]
    fn the_table_parses() {
        assert!(TABLE.types.len() > 90 && !TABLE.summaries.is_empty());
        for entry in &TABLE.types {
            assert!(
                entry.name.starts_with("//") && entry.resource_type.contains(".googleapis.com/"),
                "{entry:?}"
            );
        }
    }
}
