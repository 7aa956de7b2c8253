//! Which objects a rule of Argo CD or Flux is about, and paths of them.

use super::IgnoredRules;
use super::sql::{self, INDEX, Segment, quoted};

/// Only objects of Kubernetes.
pub(super) fn provider() -> String {
    "provider = 'kubernetes'".to_owned()
}

/// What a rule without a namespace is about: what the release or application puts into its own namespace,
/// and what stands in none.
pub(super) fn within(namespace: Option<&str>, found: &mut IgnoredRules) -> Option<String> {
    let Some(namespace) = namespace.filter(|name| !name.is_empty()) else {
        found.note("a rule without a namespace speaks of all objects of its kind, whichever application has them");
        return None;
    };
    let own = quoted(&format!("{namespace}/"));
    Some(format!("(starts_with(id, {own}) or id not like '%/%')"))
}

/// Adds a rule for one path of the objects that conditions are about.
pub(super) fn add(
    conditions: &[Option<String>],
    path: &[Segment],
    (about, place): (&str, &str),
    found: &mut IgnoredRules,
) {
    if path.iter().any(sql::is_index) {
        found.note(INDEX);
    }
    let all = conditions.iter().cloned().chain([Some(sql::differences(path))]);
    let label = path.iter().map(|segment| match segment {
        Segment::Name(name) | Segment::Wild(name) => name.as_str(),
        Segment::Any => "all",
    });
    let label = label.collect::<Vec<_>>().join(".");
    found.add(&format!("{about}-{label}"), sql::all(all), place);
}
