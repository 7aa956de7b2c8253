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
    /// Rollups of checks.
    Checks,
    /// Transitions of verdicts. Committed last: a verdict never stands without its findings.
    Verdicts,
}

impl Table {
    /// Every table, in the order of commits.
    pub const ALL: [Self; 5] =
        [Self::Findings, Self::Observations, Self::Rejects, Self::Checks, Self::Verdicts];

    /// The folder's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Findings => "findings",
            Self::Observations => "observations",
            Self::Rejects => "rejects",
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
            Self::Checks => schema::checks(),
            Self::Verdicts => schema::verdicts(),
        }
    }
}
