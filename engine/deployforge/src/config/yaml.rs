//! YAML into a configuration, and what is wrong with it in words that hold nothing of its values.
//!
//! The reader's own reports show the lines around an error, and serde's repeat what they refuse. Here an
//! error is its place and its reason.

use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Deserializer};
use serde_json::Value;
use serde_saphyr::{DefaultMessageFormatter, Error, MessageFormatter as _};

use super::SCHEMA;
use crate::error::CommandError;

/// Characters of a name of the file's own that is repeated.
const NAME_CHARS: usize = 60;

/// Names that are told as the nearest to an unknown one are at least as near.
const NEAR: f64 = 0.8;

pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, CommandError> {
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| told(text, &error))
}

/// An error with its place, the keys above it and a hint.
fn told(text: &str, error: &Error) -> CommandError {
    let error = error.without_snippet();
    let schema: Value = serde_json::from_str(SCHEMA).unwrap_or_default();
    let mut known = Vec::new();
    schema_keys(&schema, &mut known);
    let mut message = String::new();
    if let Some(place) = error.location() {
        let (line, column) = (place.line(), place.column());
        message = format!("line {line}, column {column}");
        let path = path_at(text, line as usize, column as usize, &known);
        if !path.is_empty() {
            message = format!("{message} ({path})");
        }
        message.push_str(": ");
    }
    message.push_str(&reason(error));
    let told = CommandError::new(message);
    match nearest(error, &known) {
        Some(name) => told.hint(format!("did you mean `{name}`?")),
        None => told.hint("`deployforge config schema` prints every key with its meaning"),
    }
}

/// Why the text is refused. Only reasons that cannot hold a value are the reader's own.
fn reason(error: &Error) -> String {
    match error {
        Error::AliasError { error, .. } => reason(error),
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown key{}, expected one of {}", quoted(field), expected.join(", "))
        }
        Error::SerdeUnknownVariant { expected, .. } => {
            format!("expected one of {}", expected.join(", "))
        }
        Error::SerdeMissingField { field, .. } => format!("`{field}` is missing"),
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            format!(
                "expected {}",
                if expected.starts_with("struct") { "a mapping" } else { expected }
            )
        }
        Error::InvalidScalar { ty, .. } => format!("expected {}", kind(ty)),
        Error::InvalidBooleanStrict { .. } => format!("expected {}", kind("bool")),
        Error::DuplicateMappingKey { key, .. } => {
            format!("the key{} is there twice; remove one", quoted(key.as_deref().unwrap_or("")))
        }
        Error::MultipleDocuments { .. } => "there is more than one document".to_owned(),
        Error::NullIntoString { .. } => "expected text, and nothing is there".to_owned(),
        // Of the parser, of serde's and of our own: none holds what is read.
        Error::ExternalMessage { .. }
        | Error::Message { .. }
        | Error::Eof { .. }
        | Error::Unexpected { .. }
        | Error::SerdeInvalidLength { .. }
        | Error::UnknownAnchor { .. }
        | Error::ContainerEndMismatch { .. }
        | Error::InvalidUtf8Input
        | Error::FoldedBlockScalarMustIndentContent { .. } => {
            let words = DefaultMessageFormatter.format_message(error);
            words.split_whitespace().collect::<Vec<_>>().join(" ")
        }
        _ => "this cannot be read here".to_owned(),
    }
}

/// The name of a type, for people.
fn kind(name: &str) -> &str {
    match name {
        _ if name.starts_with("bool") => "true or false",
        _ if name.starts_with('f') => "a number",
        _ if name.starts_with(['u', 'i']) => "a whole number",
        _ => "something else",
    }
}

/// A name of the file, unless it is rather a line that lacks its colon.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.len() > NAME_CHARS || !name.chars().all(plain) {
        return String::new();
    }
    format!(" `{name}`")
}

/// The keys above a place and its own, as far as the schema knows them: what else stands there may be no key.
fn path_at(text: &str, line: usize, column: usize, known: &[&str]) -> String {
    let mut path: Vec<String> = Vec::new();
    let mut within = usize::MAX;
    let lines: Vec<&str> = text.lines().take(line).collect();
    for (at, line) in lines.iter().enumerate().rev() {
        let bare = line.trim_start_matches([' ', '-']);
        let (indent, item) = (line.len() - bare.len(), line.trim_start().starts_with("- "));
        // A key that begins after the place is not above it.
        let own = at + 1 == lines.len() && indent >= column;
        if bare.is_empty() || bare.starts_with('#') || indent >= within || own {
            continue;
        }
        let Some((name, _)) = bare.split_once(':').filter(|(name, _)| known.contains(name)) else {
            continue;
        };
        path.push(name.to_owned());
        within = indent;
        if item {
            // The list is a key of a line before, not further in than the dash.
            within = line.len() - line.trim_start().len() + 1;
        }
    }
    path.reverse();
    path.join(".")
}

/// The key nearest to an unknown one, out of all keys of the schema.
fn nearest(error: &Error, known: &[&str]) -> Option<String> {
    let Error::SerdeUnknownField { field, .. } = error else { return None };
    known
        .iter()
        .filter(|key| **key != field)
        .map(|key| (strsim::jaro_winkler(field, key), key))
        .filter(|(near, _)| *near > NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, key)| (*key).to_owned())
}

/// Every property name of a JSON Schema.
fn schema_keys<'a>(schema: &'a Value, keys: &mut Vec<&'a str>) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                if name == "properties"
                    && let Some(properties) = value.as_object()
                {
                    keys.extend(properties.keys().map(String::as_str));
                }
                schema_keys(value, keys);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| schema_keys(item, keys)),
        _ => {}
    }
}

/// Where to listen; who forgets the port sees how it is written.
pub(super) fn address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    String::deserialize(from)?.trim().parse().map_err(|_| {
        serde::de::Error::custom("expected an IP address and a port, such as 127.0.0.1:9464")
    })
}

pub(super) fn address_if_any<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<SocketAddr>, D::Error> {
    struct Address(SocketAddr);
    impl<'de> serde::Deserialize<'de> for Address {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            address(from).map(Self)
        }
    }
    Ok(Option::<Address>::deserialize(from)?.map(|Address(address)| address))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str =
        "sources:\n  - name: in\n    http:\n      listen: '[::1]:1'\n      token: hunter2\n";

    #[test]
    fn an_error_has_its_place_and_no_value() {
        for (broken, place, words) in [
            ("listen: 127.0.0.1\n", "line 6, column 9 (listen)", "such as 127.0.0.1:9464"),
            ("listen: hunter2\n", "line 6", "an IP address and a port"),
            ("listen: [hunter2]\n", "line 6", "expected"),
            ("      body_bytes: hunter2\n", "(sources.http.body_bytes)", "a whole number"),
            ("      wait_seconds: hunter2\n", "line 6", "a number"),
            ("      token: hunter2\n", "line 6", "`token` is there twice"),
            ("      tokens: hunter2\n", "line 6", "unknown key `tokens`, expected one of listen"),
            ("      hunter2 is: x\n", "line 6", "unknown key, expected one of"),
            ("      hunter2\n", "line ", ""),
            ("      'hunter2\n", "line ", ""),
            ("      body_bytes: *hunter2\n", "line 6", "unknown anchor"),
            ("    kafka: hunter2\n", "line 6, column 12 (sources.kafka)", "expected"),
            ("    kafka: {properties: {sasl.password: [hunter2]}}\n", "(sources.kafka)", "string"),
            ("    kafka: {properties: {sasl.password: \"hunter2}}\n", "line ", ""),
            ("    watch: hunter2\n", "(sources.watch)", "true or false"),
            ("mode: hunter2\n", "line 6, column 7 (mode)", "one of full, declared"),
            ("mode: full\n  hunter2: x\n", "line ", ""),
            ("baselines: [{name: a, version: hunter2}]\n", "(baselines)", "a whole number"),
            ("--- hunter2\n", "line ", ""),
        ] {
            let Err(error) = read::<super::super::ConfigFile>(&format!("{SOURCE}{broken}")) else {
                panic!("{broken}")
            };
            let all = format!("{} {}", error.message, error.hints.join(" "));
            assert!(all.contains(place) && all.contains(words), "{broken}: {all}");
            assert!(!all.contains("hunter2") && !all.contains('\n'), "{broken}: {all}");
        }
    }
}
