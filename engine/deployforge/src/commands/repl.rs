//! `sql`: an interactive session.

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::query::{on_big_stack, write_table};
use crate::cli::Cli;
use crate::config::ConfigFile;
use crate::error::{CommandError, CommandResult, Outcome};
use crate::home::Home;
use crate::setup;

const HELP: &str = "\
A statement ends with `;` and may span lines. Read-only: SELECT, EXPLAIN, SHOW, DESCRIBE, and views
that live as long as the session.
  \\d         tables and views
  \\d NAME    columns of one
  \\v         the built-in views and what they answer
  \\r         read what was committed since
  \\q         leave (also Ctrl-D)";

pub(crate) fn run(cli: &Cli) -> CommandResult {
    let dir = Home::of(cli, &ConfigFile::default())?.open_existing()?;
    let runtime = setup::runtime()?;
    let mut session = setup::session(&dir, &runtime)?;
    let failed = |error: ReadlineError| CommandError::new(error.to_string());
    let mut editor = DefaultEditor::new().map_err(failed)?;
    let history = dir.root().join("sql_history");
    let _ = editor.load_history(&history);
    anstream::eprintln!("deployforge sql, \\? for help");
    let mut statement = String::new();
    loop {
        let prompt = if statement.is_empty() { "deployforge> " } else { "        ...> " };
        let line = match editor.readline(prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                statement.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error)),
        };
        let trimmed = line.trim();
        if statement.is_empty() && trimmed.is_empty() {
            continue;
        }
        let sql = if statement.is_empty() && trimmed.starts_with('\\') {
            let _ = editor.add_history_entry(trimmed);
            match command(trimmed) {
                Meta::Quit => break,
                Meta::Refresh => {
                    session = setup::session(&dir, &runtime)?;
                    continue;
                }
                Meta::Say(text) => {
                    println!("{text}");
                    continue;
                }
                Meta::Sql(sql) => sql,
            }
        } else {
            statement.push_str(&line);
            statement.push('\n');
            if !trimmed.ends_with(';') {
                continue;
            }
            let sql = std::mem::take(&mut statement);
            let sql = sql.trim().trim_end_matches(';').to_owned();
            let _ = editor.add_history_entry(format!("{sql};"));
            sql
        };
        match on_big_stack(&runtime, session.query(&sql))? {
            Ok((schema, rows)) => write_table(&mut std::io::stdout(), &schema, &rows)?,
            Err(error) => {
                let error = CommandError::from(error);
                anstream::eprintln!("error: {}", error.message);
                for hint in error.hints {
                    anstream::eprintln!("hint: {hint}");
                }
            }
        }
    }
    let _ = editor.save_history(&history);
    Ok(Outcome::Ok)
}

enum Meta {
    Quit,
    Refresh,
    Say(String),
    Sql(String),
}

fn command(line: &str) -> Meta {
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some("\\q"), _) => Meta::Quit,
        (Some("\\r"), _) => Meta::Refresh,
        (Some("\\d"), Some(name)) => Meta::Sql(format!("DESCRIBE {}", name.trim_end_matches(';'))),
        (Some("\\d"), None) => Meta::Sql(
            "SELECT table_name, table_type FROM information_schema.tables \
             WHERE table_schema = 'deployforge' ORDER BY table_name"
                .to_owned(),
        ),
        (Some("\\v"), _) => {
            let lines = deployforge_sql::views()
                .into_iter()
                .map(|(name, description, _)| format!("{name:20} {description}"));
            Meta::Say(lines.collect::<Vec<_>>().join("\n"))
        }
        _ => Meta::Say(HELP.to_owned()),
    }
}
