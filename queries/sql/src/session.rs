//! The session: catalog, views, read-only queries.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use deployforge_history::{History, HistoryError, Table};

/// A table that does not come from the history, such as the list of baselines.
#[derive(Debug)]
pub struct Extra {
    /// Its name in schema `deployforge`.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub rows: Vec<RecordBatch>,
}

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The history could not be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The query is wrong, or failed while it ran.
    #[error("{0}")]
    Query(String),
    /// The result could not be written.
    #[error("the result could not be written: {0}")]
    Write(String),
}

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> Self {
        Self::Query(error.strip_backtrace())
    }
}

const VIEWS: &str = include_str!("../views/views.sql");

/// The views: name, description, and the statement that makes it.
pub fn views() -> Vec<(&'static str, String, &'static str)> {
    VIEWS
        .split_inclusive(';')
        .filter_map(|statement| {
            let at = statement.find("CREATE VIEW ")?;
            let (comments, create) = statement.split_at(at);
            let name = create["CREATE VIEW ".len()..].split_whitespace().next()?;
            // The last comment block belongs to this statement.
            let block = comments.trim_end().rsplit("\n\n").next().unwrap_or_default();
            let lines = block.lines().map(|line| line.trim_start_matches("--").trim());
            Some((name, lines.collect::<Vec<_>>().join(" ").trim().to_owned(), create))
        })
        .collect()
}

/// A read-only SQL session over one history.
pub struct Session {
    context: SessionContext,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    /// Registers the history's tables, the extra tables and the views.
    pub async fn new(history: &History, extra: Vec<Extra>) -> Result<Self, SqlError> {
        let config = SessionConfig::new()
            .with_default_catalog_and_schema("history", "deployforge")
            .with_information_schema(true);
        let context = SessionContext::new_with_config(config);
        for table in Table::ALL {
            let name = match table {
                // The view of what is true now has the plain name.
                Table::Verdicts => "verdict_transitions",
                Table::Findings => "finding_transitions",
                other => other.name(),
            };
            let Some(delta) = history.find(table) else {
                let empty = MemTable::try_new(table.schema(), vec![Vec::new()])?;
                context.register_table(name, Arc::new(empty))?;
                continue;
            };
            delta
                .update_datafusion_session(&context.state())
                .map_err(|error| SqlError::Query(error.to_string()))?;
            let provider = delta.table_provider().await?;
            context.register_table(name, provider)?;
        }
        for Extra { name, schema, rows } in extra {
            context.register_table(name, Arc::new(MemTable::try_new(schema, vec![rows])?))?;
        }
        for (_, _, create) in views() {
            context.sql(create).await?;
        }
        Ok(Self { context })
    }

    /// Plans one read-only statement. DDL is refused but for `CREATE VIEW` and `DROP VIEW`.
    pub async fn plan(&self, sql: &str) -> Result<DataFrame, SqlError> {
        let start = sql.trim_start().to_ascii_lowercase();
        let words: Vec<&str> = start.split_whitespace().take(4).collect();
        let view = matches!(words[..], ["create" | "drop", "view", ..])
            || matches!(words[..], ["create", "or", "replace", "view"]);
        let options = SQLOptions::new()
            .with_allow_ddl(view)
            .with_allow_dml(false)
            .with_allow_statements(false);
        Ok(self.context.sql_with_options(sql, options).await?)
    }

    /// Runs one read-only statement.
    pub async fn query(&self, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>), SqlError> {
        let frame = self.plan(sql).await?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        Ok((schema, frame.collect().await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_is_described() {
        let views = views();
        assert!(views.len() >= 12, "{}", views.len());
        for (name, description, create) in views {
            assert!(description.ends_with('.'), "{name}: {description}");
            assert!(create.starts_with("CREATE VIEW"));
        }
    }
}
