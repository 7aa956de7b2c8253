//! `rules`: what they hide, what they would hide, and those of other tools.

mod import;
mod list;
mod test;

use std::path::Path;

use crate::cli::{Cli, Rules};
use crate::config::{self, ConfigFile};
use crate::error::{CommandError, CommandResult};

pub(super) fn run(cli: &Cli, command: &Rules) -> CommandResult {
    match command {
        Rules::List { files, config, format } => {
            let config = load(config.as_deref())?.with_rules(files)?;
            list::run(cli, &config, *format)
        }
        Rules::Test { files, since, config, format } => {
            let config = load(config.as_deref())?;
            test::run(cli, &config, files, *since, *format)
        }
        Rules::Import { from, files, module, owner, reason, expires } => {
            let text =
                import::Words { owner, reason: reason.as_deref(), expires: expires.as_ref() };
            import::run(*from, files, module, text)
        }
    }
}

fn load(path: Option<&Path>) -> Result<ConfigFile, CommandError> {
    match path {
        Some(path) => config::load(path),
        None => Ok(ConfigFile::default()),
    }
}
