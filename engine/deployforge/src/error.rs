//! Errors for people: what is wrong, and what to do. Exit codes as diff(1).

use std::fmt::Display;
use std::process::ExitCode;

use deployforge_store::StoreError;

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// In sync, or nothing to compare was asked for.
    Ok,
    /// Drift at or above `--fail-on`.
    Drift,
    /// Something could not be read, though the rest was.
    Trouble,
    /// Coverage below `--min-coverage`, or `--min-attributes`.
    Coverage,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Ok => 0,
            Outcome::Drift => 1,
            Outcome::Trouble => 2,
            Outcome::Coverage => 3,
        })
    }
}

/// A failure, with hints on what to do about it.
#[derive(Debug)]
pub(crate) struct CommandError {
    pub(crate) message: String,
    pub(crate) hints: Vec<String>,
    pub(crate) broken_pipe: bool,
    /// Whether it may pass by itself, as a store's silence does.
    pub(crate) passes: bool,
}

impl CommandError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new(), broken_pipe: false, passes: false }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// A file that could not be written or read.
    pub(crate) fn io(what: impl Display, error: &std::io::Error) -> Self {
        Self {
            message: format!("{what}: {error}"),
            broken_pipe: error.kind() == std::io::ErrorKind::BrokenPipe,
            ..Self::new("")
        }
    }
}

macro_rules! from_display {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for CommandError {
            fn from(error: $error) -> Self {
                Self::new(error.to_string())
            }
        })+
    };
}

from_display!(
    deployforge_compare::NotABaseline,
    deployforge_history::HistoryError,
    deployforge_pipeline::ImportError,
    deployforge_pipeline::RecordError,
    deployforge_pipeline::WorkerError,
    deployforge_policy::PolicyError,
    deployforge_canon::RuleError,
    deployforge_maps::MapError,
);

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        let (credentials, endpoint) = access(error.place());
        let hints = match &error {
            StoreError::Url { .. } | StoreError::Option { .. } => Vec::new(),
            StoreError::Refused { .. } => vec![credentials],
            StoreError::Absent { .. } => vec![endpoint],
            // Without credentials it is the machine's own service that is asked for some, in vain.
            StoreError::Failed { .. } => vec![credentials, endpoint],
        };
        let this = Self { passes: !hints.is_empty(), ..Self::new(error.to_string()) };
        hints.into_iter().filter(|hint| !hint.is_empty()).fold(this, Self::hint)
    }
}

/// Where the credentials of a place come from, and how one names a server of one's own.
fn access(place: &str) -> (&'static str, &'static str) {
    match place.split_once("://").map(|(scheme, _)| scheme) {
        Some("s3") => (
            "credentials come from `store_options` or the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            "a server of your own needs `aws_endpoint` in `store_options`, or AWS_ENDPOINT, and without TLS `aws_allow_http`, or AWS_ALLOW_HTTP=true",
        ),
        Some("gs") => (
            "credentials come from `store_options` or the environment, such as GOOGLE_APPLICATION_CREDENTIALS, the path of a file",
            "",
        ),
        Some("az") => (
            "credentials come from `store_options` or the environment, such as AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
            "a server of your own needs `azure_storage_endpoint` in `store_options`, and without TLS `azure_allow_http`",
        ),
        _ => ("", ""),
    }
}

impl From<deployforge_sources::SourceError> for CommandError {
    fn from(error: deployforge_sources::SourceError) -> Self {
        match error {
            deployforge_sources::SourceError::Store { error } => error.into(),
            other => Self::new(other.to_string()),
        }
    }
}

impl From<deployforge_state::StateError> for CommandError {
    fn from(error: deployforge_state::StateError) -> Self {
        match error {
            deployforge_state::StateError::Store(error) => error.into(),
            other => Self::new(other.to_string()),
        }
    }
}

impl From<deployforge_sql::SqlError> for CommandError {
    fn from(error: deployforge_sql::SqlError) -> Self {
        let message = error.to_string();
        let broken_pipe = message.contains("Broken pipe");
        let mut this = Self { broken_pipe, ..Self::new(message) };
        if this.message.contains("not found") || this.message.contains("No field named") {
            this = this.hint("`show tables` lists the tables, `describe NAME` the columns of one");
        } else if this.message.contains("not supported: ") || this.message.contains("not supported")
        {
            this = this
                .hint("sessions are read-only: SELECT, EXPLAIN, SHOW, DESCRIBE and session views");
        }
        this
    }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        Self::io("output", &error)
    }
}

pub(crate) type CommandResult = Result<Outcome, CommandError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_those_of_the_stores_own_cloud() {
        for (place, own, foreign) in [
            ("s3://b/x", "AWS_", "AZURE_"),
            ("gs://b/x", "GOOGLE_", "AWS_"),
            ("az://b/x", "AZURE_", "AWS_"),
        ] {
            let error = StoreError::Failed { place: place.to_owned(), said: "no".to_owned() };
            let hints = CommandError::from(error).hints.join(" ");
            assert!(hints.contains(own) && !hints.contains(foreign), "{hints}");
        }
    }
}
