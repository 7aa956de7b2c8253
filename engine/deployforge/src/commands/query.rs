//! `query`: one SQL statement.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use deployforge_sql::{OutputFormat, write_batches};

use crate::cli::{Cli, Query, QueryFormat};
use crate::config::ConfigFile;
use crate::error::{CommandError, CommandResult, Outcome};
use crate::home::Home;
use crate::render::{self, safe, shorten};
use crate::report::write_to;
use crate::setup;

/// Characters of a cell of a table at most.
const CELL_CHARS: usize = 120;

pub(crate) fn run(cli: &Cli, args: &Query) -> CommandResult {
    let dir = Home::of(cli, &ConfigFile::default())?.open_existing()?;
    let runtime = setup::runtime()?;
    let session = setup::session(&dir, &runtime)?;
    let (schema, rows) = on_big_stack(&runtime, async move { session.query(&args.sql).await })??;
    let format = match args.format {
        QueryFormat::Table => None,
        QueryFormat::Json => Some(OutputFormat::Json),
        QueryFormat::Csv => Some(OutputFormat::Csv),
        QueryFormat::Parquet => Some(OutputFormat::Parquet),
    };
    if args.format == QueryFormat::Parquet
        && args.output.is_none()
        && std::io::IsTerminal::is_terminal(&std::io::stdout())
    {
        return Err(CommandError::new("Parquet is not for terminals")
            .hint("name a file with -o, or redirect stdout"));
    }
    let mut failed = None;
    write_to(args.output.as_deref(), |out| match format {
        None => write_table(out, &schema, &rows),
        Some(format) => {
            failed = write_batches(out, &schema, &rows, format).err();
            Ok(())
        }
    })?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(Outcome::Ok),
    }
}

/// Plans of many joins recurse deeply, and the main thread's stack is the system's choice: run on a
/// thread whose stack is ours.
pub(crate) fn on_big_stack<T: Send>(
    runtime: &tokio::runtime::Runtime,
    future: impl Future<Output = T> + Send,
) -> Result<T, CommandError> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(64 << 20)
            .spawn_scoped(scope, || runtime.block_on(future))
            .map_err(|error| CommandError::io("a thread", &error))?
            .join()
            .map_err(|_| CommandError::new("the query failed; please report it with the statement"))
    })
}

/// Prints a result for people, and how many rows it has.
pub(crate) fn write_table(
    out: &mut dyn Write,
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> std::io::Result<()> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut table = render::table(&names);
    for (column, field) in table.column_iter_mut().zip(schema.fields()) {
        if field.data_type().is_numeric() || matches!(field.data_type(), DataType::Duration(_)) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
    }
    let options = FormatOptions::default().with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S"));
    let mut rows = 0;
    for batch in batches {
        let columns: Result<Vec<ArrayFormatter<'_>>, _> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options)).collect();
        let columns = columns.map_err(std::io::Error::other)?;
        for row in 0..batch.num_rows() {
            rows += 1;
            table.add_row(
                columns.iter().map(|c| shorten(&safe(&c.value(row).to_string()), CELL_CHARS)),
            );
        }
    }
    if rows > 0 {
        writeln!(out, "{table}")?;
    }
    writeln!(out, "{rows} {}", if rows == 1 { "row" } else { "rows" })
}
