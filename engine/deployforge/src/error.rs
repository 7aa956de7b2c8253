//! Errors for people: what is wrong, and what to do. Exit codes as diff(1).

use std::fmt::Display;
use std::process::ExitCode;

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// In sync, or nothing to compare was asked for.
    Ok,
    /// Drift at or above `--fail-on`.
    Drift,
    /// Something could not be read, though the rest was.
    Trouble,
    /// Coverage below `--min-coverage`.
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
}

impl CommandError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new(), broken_pipe: false }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// A file that could not be written or read.
    pub(crate) fn io(what: impl Display, error: &std::io::Error) -> Self {
        Self {
            message: format!("{what}: {error}"),
            hints: Vec::new(),
            broken_pipe: error.kind() == std::io::ErrorKind::BrokenPipe,
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
    deployforge_policy::PolicyError,
    deployforge_canon::RuleError,
    deployforge_sources::SourceError,
    deployforge_state::StateError,
);

impl From<deployforge_sql::SqlError> for CommandError {
    fn from(error: deployforge_sql::SqlError) -> Self {
        let message = error.to_string();
        let broken_pipe = message.contains("Broken pipe");
        let mut this = Self { message, hints: Vec::new(), broken_pipe };
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
