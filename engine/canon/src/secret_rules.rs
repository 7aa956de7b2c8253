//! What users call sensitive, beside what sources declare and names say.

use deployforge_model::path::{PathPattern, wildcard};
use regex::{RegexSet, RegexSetBuilder};
use serde::{Deserialize, Serialize};

use crate::rules::RuleError;

/// Bytes that the patterns of texts may take compiled.
const PATTERN_BYTES: usize = 8 << 20;

/// One rule: what stands there, is called so or reads so is sensitive. It has one of `path`, `name`
/// and `text`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRule {
    /// For `path`: the resource type; `*` stands for any run of characters. None: every type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// A JSON Pointer in which a segment `*` is any one segment and `**` any number of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The name of a member, wherever it stands: `*` stands for any run of characters, and case, `_`,
    /// `-`, `.` and spaces do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A regular expression that a text holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// The rules, ready to be asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct SecretRules {
    rules: Vec<SecretRule>,
    paths: Vec<(String, PathPattern)>,
    names: Vec<String>,
    texts: RegexSet,
}

impl SecretRules {
    pub(crate) fn new(rules: Vec<SecretRule>) -> Result<Self, RuleError> {
        let (mut paths, mut names, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for rule in &rules {
            match (&rule.resource_type, &rule.path, &rule.name, &rule.text) {
                (kind, Some(path), None, None) => {
                    if !path.starts_with('/') {
                        return Err(RuleError::NotAPointer(path.clone()));
                    }
                    let kind = kind.clone().unwrap_or_else(|| "*".to_owned());
                    paths.push((kind, PathPattern::new(path)));
                }
                (None, None, Some(name), None) => {
                    let name = plain(name);
                    if name.bytes().all(|byte| byte == b'*') {
                        return Err(RuleError::AnyName);
                    }
                    names.push(name);
                }
                (None, None, None, Some(text)) => texts.push(text.as_str()),
                _ => return Err(RuleError::NotOneSecret),
            }
        }
        let texts = RegexSetBuilder::new(texts)
            .size_limit(PATTERN_BYTES)
            .build()
            .map_err(|error| RuleError::Pattern(error.to_string()))?;
        if texts.is_match("") {
            return Err(RuleError::AnyText);
        }
        Ok(Self { rules, paths, names, texts })
    }

    /// The patterns of paths in states of this type.
    pub(crate) fn paths(&self, resource_type: &str) -> impl Iterator<Item = &PathPattern> {
        let of = move |(kind, _): &&(String, PathPattern)| wildcard(kind, resource_type);
        self.paths.iter().filter(of).map(|(_, path)| path)
    }

    /// Whether there is a rule about names.
    pub(crate) fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    /// Whether a name, as [`plain`] writes it, is one of a secret.
    pub(crate) fn is_name(&self, plain: &str) -> bool {
        self.names.iter().any(|name| wildcard(name, plain))
    }

    /// Whether any text could be a secret.
    pub(crate) fn reads_texts(&self) -> bool {
        !self.texts.is_empty()
    }

    /// Whether a text holds what a secret looks like.
    pub(crate) fn is_text(&self, text: &str) -> bool {
        self.reads_texts() && self.texts.is_match(text)
    }

    /// What the rules come to: the same for the same rules, empty without any.
    pub(crate) fn stamp(&self) -> String {
        if self.rules.is_empty() {
            return String::new();
        }
        let all = format!("{:?}", self.rules);
        blake3::hash(all.as_bytes()).to_hex()[..32].to_owned()
    }
}

/// A name as names are compared.
pub(crate) fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '_' | '-' | '.' | ' '))
        .map(|c| c.to_ascii_lowercase())
        .collect()
}
