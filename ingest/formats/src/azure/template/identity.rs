//! Names of resources: types and names zipped into ids, within a subscription and a group.

use super::scope::{Level, Target};
use crate::resolved::Value;

/// What a resource of a template is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// The namespace and the types below it.
    types: Vec<String>,
    /// A name for each type.
    names: Vec<String>,
    /// The full id, where it is known where the resource is.
    pub(super) id: Option<String>,
}

impl Identity {
    /// Names a resource; `parent` is the one it stands in, `extended` the id of the one it extends.
    pub(super) fn new(
        target: &Target,
        parent: Option<&Self>,
        extended: Option<&str>,
        resource_type: &str,
        name: &str,
    ) -> Self {
        let parts = |text: &str| -> Vec<String> {
            text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let (mut types, mut names) = (parts(resource_type), parts(name));
        let mut extended = extended.map(str::to_owned);
        if let Some(parent) = parent {
            let below = types.len() > parent.types.len()
                && types
                    .iter()
                    .zip(&parent.types)
                    .all(|(own, other)| own.eq_ignore_ascii_case(other));
            if types.first().is_some_and(|first| first.contains('.')) && !below {
                // Of another namespace: it extends the resource that it stands in.
                extended = extended.or(parent.id.clone());
                if extended.is_none() {
                    return Self { types, names, id: None };
                }
            } else {
                if !below {
                    types = [parent.types.clone(), types].concat();
                }
                if names.len() + 1 < types.len() {
                    names = [parent.names.clone(), names].concat();
                }
            }
        }
        let id = Self::full(target, extended.as_deref(), &types, &names);
        Self { types, names, id }
    }

    fn full(
        target: &Target,
        extended: Option<&str>,
        types: &[String],
        names: &[String],
    ) -> Option<String> {
        if types.len() != names.len() + 1 || names.is_empty() {
            return None;
        }
        let subscription = || target.subscription.as_ref().map(|id| format!("/subscriptions/{id}"));
        let kind = types.join("/");
        if extended.is_none() && kind.eq_ignore_ascii_case("Microsoft.Resources/resourceGroups") {
            return Some(format!("{}/resourceGroups/{}", subscription()?, names[0]));
        }
        let holder = match (extended, target.level) {
            (Some(id), _) => id.to_owned(),
            (None, Level::Group) => {
                format!("{}/resourceGroups/{}", subscription()?, target.group.as_ref()?)
            }
            (None, Level::Subscription) => subscription()?,
            (None, Level::Tenant) => String::new(),
            (None, Level::ManagementGroup) => return None,
        };
        Some(format!("{holder}{}", zipped(types, names)))
    }

    /// The type, as the cloud lists the resource.
    pub(super) fn resource_type(&self) -> String {
        // `Microsoft.Web/sites/providers/locks` of `site/Microsoft.Authorization/lock` is a lock.
        let provider = self.types.iter().rposition(|part| part.eq_ignore_ascii_case("providers"));
        let extension = provider.and_then(|at| {
            let namespace = self.names.get(at.checked_sub(1)?)?;
            Some(format!("{namespace}/{}", self.types.get(at + 1..)?.join("/")))
        });
        extension.unwrap_or_else(|| self.types.join("/"))
    }

    /// The address within the template: type and name.
    pub(super) fn address(&self) -> String {
        format!("{}/{}", self.types.join("/"), self.names.join("/"))
    }
}

/// `/providers/<namespace>/<type>/<name>/…`.
fn zipped(types: &[String], names: &[String]) -> String {
    let mut id = format!("/providers/{}", types.first().map_or("", String::as_str));
    for (kind, name) in types.iter().skip(1).zip(names) {
        id.push_str(&format!("/{kind}/{name}"));
    }
    id
}

/// The words of a function's arguments, with the place of the type among them.
fn words(values: &[Value<'_>]) -> Option<(Vec<String>, usize)> {
    let words: Option<Vec<String>> =
        values.iter().map(|value| value.as_text().map(str::to_owned)).collect();
    let words = words?;
    let at = words.iter().take(3).position(|word| word.contains('/'))?;
    Some((words, at))
}

/// The part of an id after what holds the resource.
fn below(words: &[String]) -> Option<String> {
    let (kind, names) = words.split_first()?;
    let types: Vec<String> =
        kind.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    (types.len() == names.len() + 1).then(|| zipped(&types, names))
}

/// `resourceId([subscription], [group], type, names…)`.
pub(super) fn of_resource<'a>(target: &Target, values: &[Value<'a>]) -> Option<Value<'a>> {
    let (words, at) = words(values)?;
    let subscription = if at == 2 { words.first() } else { target.subscription.as_ref() };
    let group = if at > 0 { words.get(at - 1) } else { target.group.as_ref() };
    let below = below(words.get(at..)?)?;
    let holder = match (target.level, at) {
        (Level::Subscription, 0) => format!("/subscriptions/{}", subscription?),
        (Level::Tenant, 0) => String::new(),
        (Level::ManagementGroup, 0) => return None,
        _ => format!("/subscriptions/{}/resourceGroups/{}", subscription?, group?),
    };
    Some(Value::text(format!("{holder}{below}")))
}

/// `subscriptionResourceId([subscription], type, names…)`.
pub(super) fn of_subscription<'a>(target: &Target, values: &[Value<'a>]) -> Option<Value<'a>> {
    let (words, at) = words(values)?;
    let subscription = if at == 1 { words.first() } else { target.subscription.as_ref() };
    Some(Value::text(format!("/subscriptions/{}{}", subscription?, below(words.get(at..)?)?)))
}

/// `extensionResourceId(id, type, names…)`.
pub(super) fn of_extension<'a>(id: &str, values: &[Value<'a>]) -> Option<Value<'a>> {
    let (words, at) = words(values)?;
    (at == 0).then_some(())?;
    Some(Value::text(format!("{id}{}", below(&words)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(level: Level, known: bool) -> Target {
        let part = |text: &str| known.then(|| text.to_owned());
        Target { level, subscription: part("s"), group: part("g") }
    }

    #[test]
    fn ids_are_types_and_names_zipped() {
        let group = target(Level::Group, true);
        let site = Identity::new(&group, None, None, "Microsoft.Web/sites", "a");
        assert_eq!(
            site.id.as_deref(),
            Some("/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/a")
        );
        for (kind, name, id, resource_type, address) in [
            (
                "config",
                "web",
                "/sites/a/config/web",
                "Microsoft.Web/sites/config",
                "Microsoft.Web/sites/config/a/web",
            ),
            (
                "Microsoft.Web/sites/config",
                "a/web",
                "/sites/a/config/web",
                "Microsoft.Web/sites/config",
                "Microsoft.Web/sites/config/a/web",
            ),
            (
                "microsoft.web/sites/config",
                "web",
                "/sites/a/config/web",
                "microsoft.web/sites/config",
                "microsoft.web/sites/config/a/web",
            ),
            (
                "providers/locks",
                "Microsoft.Authorization/l",
                "/sites/a/providers/Microsoft.Authorization/locks/l",
                "Microsoft.Authorization/locks",
                "Microsoft.Web/sites/providers/locks/a/Microsoft.Authorization/l",
            ),
            (
                "Microsoft.Authorization/locks",
                "l",
                "/sites/a/providers/Microsoft.Authorization/locks/l",
                "Microsoft.Authorization/locks",
                "Microsoft.Authorization/locks/l",
            ),
        ] {
            let child = Identity::new(&group, Some(&site), None, kind, name);
            let full = child.id.clone().unwrap();
            assert!(full.ends_with(id), "{kind}: {full}");
            assert_eq!(child.resource_type(), resource_type, "{kind}");
            assert_eq!(child.address(), address, "{kind}");
        }
        let unknown = target(Level::Group, false);
        assert_eq!(Identity::new(&unknown, None, None, "Microsoft.Web/sites", "a").id, None);
        let scoped =
            Identity::new(&unknown, None, Some("/x/y"), "Microsoft.Authorization/locks", "l");
        assert_eq!(scoped.id.as_deref(), Some("/x/y/providers/Microsoft.Authorization/locks/l"));
        let whole = target(Level::Subscription, true);
        let made = Identity::new(&whole, None, None, "Microsoft.Resources/resourceGroups", "g2");
        assert_eq!(made.id.as_deref(), Some("/subscriptions/s/resourceGroups/g2"));
        let policy =
            Identity::new(&whole, None, None, "Microsoft.Authorization/policyDefinitions", "p");
        assert_eq!(
            policy.id.as_deref(),
            Some("/subscriptions/s/providers/Microsoft.Authorization/policyDefinitions/p")
        );
        assert_eq!(
            Identity::new(&group, None, None, "Microsoft.Web/sites/config", "a").id,
            None,
            "a name too few"
        );
        assert_eq!(Identity::new(&group, None, None, "", "").id, None);
    }
}
