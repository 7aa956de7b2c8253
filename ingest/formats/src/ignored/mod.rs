//! Other tools' ignore rules, as expressions over the columns of a finding.
//!
//! A rule is never wider than what it is made of: what cannot be said so is told in words, and no rule
//! is made of it. What an expression speaks of, [`deployforge_model::schema::rule_columns`] says.

mod argocd;
mod driftignore;
mod flux;
mod kubernetes;
mod sql;
mod terraform;

use serde_json::Value;

use crate::options::Limits;
use crate::yaml::documents;

/// Whose ignore rules a text holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgnoreFormat {
    /// driftctl's `.driftignore`.
    Driftignore,
    /// `ignore_changes` of Terraform and OpenTofu, in their own language.
    Terraform,
    /// `ignoreDifferences` of Argo CD.
    ArgoCd,
    /// `ignore` of Flux's HelmReleases and Kustomizations.
    Flux,
}

/// An ignore rule of another tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// A name made of what it is about: letters, digits, `.`, `_` and `-`. Several may have the same.
    pub name: String,
    /// SQL that is true of the findings that it is about.
    pub when: String,
    /// Where it stands, for people.
    pub place: String,
}

/// What a text came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoredRules {
    /// What could be said, in the order of the text.
    pub rules: Vec<Ignored>,
    /// What could not, each with its place and the reason.
    pub untranslated: Vec<String>,
    /// What is to be known of rules that were made.
    pub notes: Vec<String>,
}

/// Reads the ignore rules of a text. `module` is the path of the Terraform module that it is part of,
/// such as `module.network`; empty for the root.
pub fn ignored_rules(
    format: IgnoreFormat,
    text: &str,
    module: &str,
) -> Result<IgnoredRules, String> {
    let mut found = IgnoredRules::default();
    match format {
        IgnoreFormat::Driftignore => driftignore::read(text, &mut found),
        IgnoreFormat::Terraform => terraform::read(text, module, &mut found)?,
        IgnoreFormat::ArgoCd => each_object(text, &mut found, &argocd::read)?,
        IgnoreFormat::Flux => each_object(text, &mut found, &flux::read)?,
    }
    Ok(found)
}

impl IgnoredRules {
    fn add(&mut self, about: &str, when: String, place: &str) {
        self.rules.push(Ignored { name: name_of(about), when, place: place.to_owned() });
    }

    fn refuse(&mut self, place: &str, reason: &str) {
        self.untranslated.push(format!("{place}: {reason}"));
    }

    fn note(&mut self, note: &str) {
        if !self.notes.iter().any(|known| known == note) {
            self.notes.push(note.to_owned());
        }
    }
}

/// Characters of a name at most; another may be put behind it.
const NAME_CHARS: usize = 80;

/// A name out of a text.
fn name_of(about: &str) -> String {
    let mut name = String::new();
    for c in about.chars().take(NAME_CHARS) {
        let plain = c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
        match (plain, name.ends_with('-')) {
            (true, _) => name.push(c),
            (false, false) => name.push('-'),
            (false, true) => {}
        }
    }
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() { "all".to_owned() } else { name.to_owned() }
}

/// Gives each object of a YAML text, lists of them and lists as objects taken apart, with its place.
fn each_object(
    text: &str,
    found: &mut IgnoredRules,
    read: &dyn Fn(&Value, &str, &mut IgnoredRules),
) -> Result<(), String> {
    for document in documents(text, Limits::default()) {
        if document.is_empty() {
            continue;
        }
        let line = document.line;
        let json = document.json.map_err(|refusal| format!("line {line}: {refusal}"))?;
        let value: Value = serde_json::from_str(&json).map_err(|error| error.to_string())?;
        let items = match &value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(object) => match object.get("items") {
                Some(Value::Array(items)) => items.iter().collect(),
                _ => vec![&value],
            },
            _ => Vec::new(),
        };
        for item in items {
            let part = |pointer: &str| item.pointer(pointer).and_then(Value::as_str);
            let kind = part("/kind").unwrap_or("object");
            let name = part("/metadata/name").unwrap_or("(no name)");
            read(item, &format!("{kind} {name}"), found);
        }
    }
    Ok(())
}

/// The texts of a list.
fn texts<'v>(of: &'v Value, name: &str) -> impl Iterator<Item = &'v str> {
    of.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests;
