//! Tags: YAML's own, and CloudFormation's short forms.

use deployforge_model::RejectCode;
use granit_parser::Tag;

use crate::refusal::{Refusal, printable};

/// What a tag says of a node.
#[derive(Debug)]
pub(super) enum Tagged {
    /// Nothing: there is no tag.
    None,
    /// `!!str`, the non-specific `!`, and what JSON has as text only.
    Text,
    /// `!!int` and `!!float`.
    Number,
    /// `!!bool`.
    Boolean,
    /// `!!null`.
    Null,
    /// `!!map`, `!!seq` and their kin.
    Collection,
    /// A short form: the name of the member that its long form has.
    Local(String),
}

impl Tagged {
    /// What `tag` says.
    pub(super) fn of(tag: Option<&Tag>) -> Result<Self, Refusal> {
        let Some(tag) = tag else { return Ok(Self::None) };
        if let Some(name) = tag.suffix_in_namespace("tag:yaml.org,2002:") {
            return match &*name {
                "str" | "binary" | "timestamp" => Ok(Self::Text),
                "int" | "float" => Ok(Self::Number),
                "bool" => Ok(Self::Boolean),
                "null" => Ok(Self::Null),
                "map" | "seq" | "set" | "omap" | "pairs" => Ok(Self::Collection),
                _ => Err(unknown_tag(tag)),
            };
        }
        match tag.parts() {
            ("!", "") | ("", "!") => Ok(Self::Text),
            ("!", name @ ("Ref" | "Condition")) => Ok(Self::Local(name.to_owned())),
            ("!", name) if name.starts_with("Fn::") => Ok(Self::Local(name.to_owned())),
            ("!", name) => Ok(Self::Local(format!("Fn::{name}"))),
            _ => Err(unknown_tag(tag)),
        }
    }
}

fn unknown_tag(tag: &Tag) -> Refusal {
    let tag = printable(&tag.original());
    let reason = format!("The tag `{tag}` of this YAML is not known; write the value without it.");
    Refusal::new(RejectCode::Unsupported, reason)
}
