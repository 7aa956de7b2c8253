//! The binary: wires and prints, decides nothing.
//!
//! `cli` says what may be typed, `commands` what it means, `config` reads the YAML file, `report` and
//! `render` print. Everything else happens in the crates this one joins.

mod cli;
mod cli_stack;
mod commands;
mod config;
mod error;
mod events;
mod home;
mod operations;
mod render;
mod report;
mod setup;
mod source;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Colour, Command, LogFormat};
use crate::error::CommandError;

/// mimalloc: states are many small trees, made and dropped on all cores, which is where the system
/// allocator loses most.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.color {
        Colour::Auto => {}
        Colour::Always => anstream::ColorChoice::Always.write_global(),
        Colour::Never => anstream::ColorChoice::Never.write_global(),
    }
    start_log(&cli);
    keep_caught_panics_quiet();
    match commands::run(&cli) {
        Ok(outcome) => outcome.into(),
        Err(CommandError { broken_pipe: true, .. }) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!(
                "{}error:{} {}",
                render::RED,
                render::RESET,
                render::safe_lines(&error.message)
            );
            for hint in &error.hints {
                anstream::eprintln!(
                    "{}hint:{} {}",
                    render::CYAN,
                    render::RESET,
                    render::safe_lines(hint)
                );
            }
            ExitCode::from(2)
        }
    }
}

/// Damaged tables make the libraries that read them panic; that is caught and told as a reject. What they
/// say of it is not for the user. Every other panic is shown.
fn keep_caught_panics_quiet() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !deployforge_formats::expects_panic() {
            usual(panic);
        }
    }));
}

/// Logs go to stderr; `RUST_LOG` chooses, by default our warnings alone: what a library calls an error
/// may be a question we asked it, such as whether a table exists. Who lets a stream run wants to know
/// more than who waits for a command.
fn start_log(cli: &Cli) {
    let default = match &cli.command {
        _ if cli.quiet => "off",
        Command::Run(run) if !run.once => "off,deployforge=info",
        _ => "off,deployforge=warn",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
