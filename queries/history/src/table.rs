//! The tables by name and by columns.

use arrow::datatypes::SchemaRef;
use deployforge_model::schema;
use serde::{Deserialize, Serialize};

/// The tables of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Transitions of findings.
    Findings,
    /// Each changed state.
    Observations,
    /// What could not be read.
    Rejects,
    /// Events of audit logs.
    Evidence,
    /// Rollups of checks.
    Checks,
    /// Transitions of verdicts. Committed last: a verdict never stands without its findings.
    Verdicts,
}

impl Table {
    /// Every table, in the order of commits.
    pub const ALL: [Self; 6] = [
        Self::Findings,
        Self::Observations,
        Self::Rejects,
        Self::Evidence,
        Self::Checks,
        Self::Verdicts,
    ];

    /// Whether histories were made before there was this table: one that lacks it gets it from the next
    /// writer, and reads as empty before.
    pub(crate) fn is_newer(self) -> bool {
        self == Self::Evidence
    }

    /// The folder's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Findings => "findings",
            Self::Observations => "observations",
            Self::Rejects => "rejects",
            Self::Evidence => "evidence",
            Self::Checks => "checks",
            Self::Verdicts => "verdicts",
        }
    }

    /// The Arrow schema.
    pub fn schema(self) -> SchemaRef {
        match self {
            Self::Findings => schema::findings(),
            Self::Observations => schema::observations(),
            Self::Rejects => schema::rejects(),
            Self::Evidence => schema::evidence(),
            Self::Checks => schema::checks(),
            Self::Verdicts => schema::verdicts(),
        }
    }
}
