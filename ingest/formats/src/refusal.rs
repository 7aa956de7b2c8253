//! Why a record is refused: semantic variants, each with its reject code and one sentence.

use deployforge_model::{RejectCode, ResourceKey};

/// Bytes of each part of a key: twice what the longest names of the clouds take.
pub const KEY_BYTES: usize = 4096;

/// A record that can't be read. Its text carries field names, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Not JSON.
    #[error("This is not valid JSON: {problem} (line {line}, column {column} of the record).")]
    Json { line: usize, column: usize, problem: String },
    /// Not UTF-8.
    #[error("This is not UTF-8 text; write the file again as UTF-8.")]
    NotUtf8,
    /// A required member is missing.
    #[error("`{field}` is missing from {what}; add it.")]
    Missing { field: &'static str, what: &'static str },
    /// A member has the wrong type or value.
    #[error("`{field}` must be {want}.")]
    Wrong { field: &'static str, want: &'static str },
    /// A member of the envelope stands there twice.
    #[error("The key `{key}` is given twice in {what}, so it is not clear which one counts.")]
    Twice { key: String, what: &'static str },
    /// JSON text within JSON text, or brackets, beyond the limit.
    #[error("This is nested deeper than the limit of {limit}; flatten it before it is read here.")]
    TooDeep { limit: usize },
    /// A record that could be read but isn't.
    #[error("{reason}")]
    Other { code: RejectCode, reason: String },
}

impl Refusal {
    /// A refusal with its own sentence.
    pub(crate) fn new(code: RejectCode, reason: impl Into<String>) -> Self {
        Self::Other { code, reason: reason.into() }
    }

    /// The bounded code that is counted.
    pub(crate) fn code(&self) -> RejectCode {
        match self {
            Self::Json { .. } | Self::NotUtf8 => RejectCode::Malformed,
            Self::Missing { .. } | Self::Wrong { .. } => RejectCode::BadField,
            Self::Twice { .. } => RejectCode::DuplicateKey,
            Self::TooDeep { .. } => RejectCode::TooDeep,
            Self::Other { code, .. } => *code,
        }
    }
}

/// Refuses a key that is longer than anything is called.
pub(crate) fn check_key(key: &ResourceKey) -> Result<(), Refusal> {
    const NAMES: [&str; 5] = ["provider", "account", "region", "type", "id"];
    for (field, part) in NAMES.into_iter().zip(key.parts()) {
        if part.len() > KEY_BYTES {
            return Err(Refusal::Wrong { field, want: "at most 4096 bytes" });
        }
    }
    Ok(())
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        // Only syntax errors reach this point, and their messages carry no payload; a message about
        // a wrong type would quote the value, so it is replaced.
        let problem = if error.is_data() {
            "a value has another type than expected".to_owned()
        } else {
            let text = error.to_string();
            text.split(" at line ").next().unwrap_or_default().to_owned()
        };
        Self::Json { line: error.line(), column: error.column(), problem }
    }
}

/// A name from the input, made fit for a message: short, and without control characters.
pub(crate) fn printable(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
