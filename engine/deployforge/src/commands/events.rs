//! `events`: what the event bus would be told, on standard output.

use std::io::{BufWriter, Write as _};

use deployforge_events::{Outbox, Position};

use crate::cli::{Cli, Events};
use crate::config::{self, ConfigFile};
use crate::error::{CommandResult, Outcome};
use crate::home::Home;
use crate::{render, setup};

/// Events that are read at a time.
const PAGE: usize = 1000;

pub(super) fn run(cli: &Cli, args: &Events) -> CommandResult {
    let config = match &args.config {
        Some(path) => config::load(path)?,
        None => ConfigFile::default(),
    };
    let dir = Home::of(cli, &config)?.open_existing()?;
    let runtime = setup::runtime()?;
    let place = dir.history()?;
    let source = config.events.unwrap_or_default().source;
    let mut outbox = runtime.block_on(Outbox::open(&place, &source))?;
    let mut at =
        args.after.map_or(Position::START, |commit| Position { commit: commit + 1, rows: 0 });
    if args.after.is_none() {
        // All that is still there is what was asked for.
        let oldest = runtime.block_on(outbox.oldest())?;
        at.commit = oldest.unwrap_or(1);
    }
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut lost = 0;
    let mut out = BufWriter::new(std::io::stdout().lock());
    while left > 0 {
        let page = runtime.block_on(outbox.read(at, PAGE.min(left)))?;
        lost += page.lost;
        for event in &page.events {
            out.write_all(&event.body)?;
            out.write_all(b"\n")?;
        }
        left -= page.events.len();
        if page.next == at {
            break;
        }
        at = page.next;
    }
    out.flush()?;
    if lost > 0 {
        anstream::eprintln!(
            "{}warning:{} {} before them are not in the ledger any more; the tables have what they held",
            render::YELLOW,
            render::RESET,
            render::count(lost, "commit")
        );
    }
    Ok(Outcome::Ok)
}
