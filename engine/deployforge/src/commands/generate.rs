//! `generate`: a synthetic inventory of any size, and the truth about it.

use std::fs::File;
use std::io::{IsTerminal as _, Write};
use std::path::Path;

use deployforge_formats::Limits;
use deployforge_inventory::{
    Envelope, Format, Inventory, Options, OptionsError, Size, Summary, WriteError,
};
use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};

use crate::cli::{Cli, Generate, InventoryEnvelope, InventoryFormat, InventorySize};
use crate::error::{CommandError, CommandResult, Outcome};
use crate::render;

pub(crate) fn run(cli: &Cli, args: &Generate) -> CommandResult {
    let inventory = Inventory::new(options(args)).map_err(|error| refused(&error))?;
    let output = args.output.as_deref().filter(|path| *path != Path::new("-"));
    let truth = args.truth.as_deref();
    if let Some(truth) = truth
        && (truth == Path::new("-") || output.is_some_and(|output| is_same(output, truth)))
    {
        return Err(CommandError::new("the truth needs a file of its own")
            .hint("name another file: --truth truth.ndjson"));
    }
    let mut out: Box<dyn Write> = match output {
        Some(path) => Box::new(create(path)?),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut truth_file = truth.map(create).transpose()?;
    let bar = progress(cli.quiet, output.is_none(), inventory.indices());
    let lines = truth_file.as_mut().map(|file| file as &mut dyn Write);
    let summary = inventory
        .write(&mut out, lines, &mut |done| bar.set_position(done))
        .map_err(|error| unwritten(error, output, truth))?;
    bar.finish_and_clear();
    if !cli.quiet {
        say(inventory.options(), &summary);
    }
    Ok(Outcome::Ok)
}

fn options(args: &Generate) -> Options {
    Options {
        resources: args.resources,
        seed: args.seed,
        round: args.round,
        types: args.types,
        accounts: args.accounts,
        regions: args.regions,
        skew: args.skew,
        change: args.change,
        drift: args.drift,
        missing: args.missing,
        unmanaged: args.unmanaged,
        size: match args.size {
            InventorySize::Small => Size::Small,
            InventorySize::Medium => Size::Medium,
            InventorySize::Large => Size::Large,
        },
        envelope: match args.envelope {
            InventoryEnvelope::First => Envelope::First,
            InventoryEnvelope::Last => Envelope::Last,
        },
        format: match args.format {
            InventoryFormat::AwsConfig => Format::AwsConfig,
            InventoryFormat::AwsConfigSnapshot => Format::AwsConfigSnapshot,
            InventoryFormat::Native => Format::Native,
            InventoryFormat::CloudEvents => Format::CloudEvents,
            InventoryFormat::TerraformState => Format::TerraformState,
        },
    }
}

fn refused(error: &OptionsError) -> CommandError {
    let this = CommandError::new(error.to_string());
    match error {
        OptionsError::DifferentBaseline { option } => {
            this.hint(format!("add --round 1, the same inventory seen again, to use --{option}"))
        }
        OptionsError::MoreThanAll => {
            this.hint("both are shares of all resources: lower --drift or --missing")
        }
        OptionsError::NoEnvelope { .. } => {
            this.hint("--envelope last goes with --format aws-config or aws-config-snapshot")
        }
        OptionsError::OutOfRange { .. } | OptionsError::NotAShare { .. } => this,
    }
}

fn unwritten(error: WriteError, output: Option<&Path>, truth: Option<&Path>) -> CommandError {
    match error {
        WriteError::Inventory(error) => match output {
            Some(path) => CommandError::io(path.display(), &error),
            None => CommandError::from(error),
        },
        WriteError::Truth(error) => {
            let what = truth.unwrap_or(Path::new("the truth")).display();
            // Only who reads the inventory may have had enough of it.
            CommandError { broken_pipe: false, ..CommandError::io(what, &error) }
        }
    }
}

/// Whether two paths are one file, as far as can be told before it is there.
fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        // Devices such as /dev/null take both.
        (Ok(one), Ok(other)) => one == other && one.is_file(),
        _ => one == other,
    }
}

fn create(path: &Path) -> Result<File, CommandError> {
    File::create(path).map_err(|error| CommandError::io(path.display(), &error))
}

/// A bar over resources; hidden where the inventory itself goes to the terminal.
fn progress(quiet: bool, to_stdout: bool, resources: u64) -> ProgressBar {
    let shown = to_stdout && std::io::stdout().is_terminal();
    let bar = render::progress("generating", Some(resources), quiet || shown);
    bar.set_style(
        ProgressStyle::with_template("{msg} {bar:32} {human_pos}/{human_len} {per_sec} {eta}")
            .expect("a valid template"),
    );
    bar
}

fn say(options: &Options, summary: &Summary) {
    let Summary { listed, rewritten, drifted, unmanaged, missing, bytes } = *summary;
    let mut line = format!(
        "round {}: {} listed in {}",
        options.round,
        render::count(listed, "resource"),
        DecimalBytes(bytes)
    );
    if options.round > 0 {
        line += &format!(
            "; {drifted} drifted, {missing} missing, {unmanaged} unmanaged, {rewritten} rewritten"
        );
    }
    anstream::eprintln!("{line}");
    let most = Limits::default().document_bytes;
    if options.format == Format::TerraformState && bytes > most as u64 {
        anstream::eprintln!(
            "{}warning:{} a state is read whole, up to {} MiB; this one is larger and would be refused: generate fewer resources",
            render::YELLOW,
            render::RESET,
            most >> 20
        );
    }
}
