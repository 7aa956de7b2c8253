//! What each command means.

mod audit;
mod baseline;
mod bench;
mod config;
mod demo;
mod diff;
mod events;
mod generate;
mod query;
mod reload;
mod repl;
mod rules;
mod run;
mod stream;
mod versions;
mod worker;

use clap::CommandFactory as _;

use crate::cli::{Cli, Command};
use crate::error::{CommandResult, Outcome};

/// Runs the command that was typed.
pub(crate) fn run(cli: &Cli) -> CommandResult {
    match &cli.command {
        Command::Demo(args) => demo::run(cli, args),
        Command::Run(args) => run::run(cli, args),
        Command::Audit(args) => audit::run(cli, args),
        Command::Diff(args) => diff::run(args),
        Command::Bench(args) => bench::run(cli, args),
        Command::Baseline(command) => baseline::run(cli, command),
        Command::Rules(command) => rules::run(cli, command),
        Command::Query(args) => query::run(cli, args),
        Command::Events(args) => events::run(cli, args),
        Command::Sql(_) => repl::run(cli),
        Command::Generate(args) => generate::run(cli, args),
        Command::Config(command) => config::run(cli, command),
        Command::Completions(args) => {
            let mut out = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "deployforge", &mut out);
            std::io::Write::write_all(&mut std::io::stdout(), &out)?;
            Ok(Outcome::Ok)
        }
    }
}
