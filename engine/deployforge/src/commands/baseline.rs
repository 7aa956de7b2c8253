//! `baseline`: import, list, show, diff.

use std::collections::HashSet;

use deployforge_canon::{Canon, Parser};
use deployforge_compare::{BaselineRows, Comparator};
use deployforge_formats::{KeyDefaults, Stack};
use deployforge_model::{
    BaselineKind, Mode, Observation, ObservationBatchBuilder, Presence, ResourceKey,
    SourcePosition, schema,
};
use deployforge_pipeline::Engine;
use deployforge_state::{DataDir, Manifest};
use serde::Serialize;

use super::stream::{from_files, keep_fingerprints, keep_rejects, split_version, stored};
use crate::cli::{Baseline, Cli, DiffFormat, Judge, ReportFormat};
use crate::config::{self, ConfigFile};
use crate::error::{CommandError, CommandResult, Outcome};
use crate::home::{self, Home};
use crate::render::{self, safe};
use crate::report::{Report, raw, write_to};
use crate::setup::{self, HashKeys};

pub(crate) fn run(cli: &Cli, command: &Baseline) -> CommandResult {
    match command {
        Baseline::Import { name, paths, kind, mode, account, region, stack, dry_run, config } => {
            let config = match config {
                Some(path) => config::load(path)?,
                None => ConfigFile::default(),
            };
            let defaults =
                KeyDefaults { provider: None, account: account.clone(), region: region.clone() };
            let stack = stack.stack();
            let (kind, mode, dry_run) = (*kind, *mode, *dry_run);
            let import = Import { name, paths, kind, mode, defaults, stack, dry_run };
            import.run(cli, &config)
        }
        Baseline::List { format } => list(&existing(cli)?, *format),
        Baseline::Show { name, resource, format } => {
            show(&existing(cli)?, name, resource.as_deref(), *format)
        }
        Baseline::Diff { expected, observed, format } => {
            compare(&existing(cli)?, expected, observed, *format)
        }
    }
}

fn existing(cli: &Cli) -> Result<DataDir, CommandError> {
    Home::of(cli, &ConfigFile::default())?.open_existing()
}

struct Import<'a> {
    name: &'a str,
    paths: &'a [String],
    kind: Option<BaselineKind>,
    mode: Option<Mode>,
    defaults: KeyDefaults,
    stack: Option<Stack>,
    dry_run: bool,
}

impl Import<'_> {
    fn run(&self, cli: &Cli, config: &ConfigFile) -> CommandResult {
        // A dry run leaves nothing behind, not even a data directory.
        let dir =
            if self.dry_run { None } else { Some(Home::of(cli, config)?.open_for_baselines()?) };
        let keys = dir.as_ref().map_or_else(HashKeys::ephemeral, HashKeys::of);
        let canon = setup::canon(config, &keys)?;
        let read = from_files(
            (self.paths, &home::options(config)?),
            self.name,
            (&self.defaults, self.stack.clone()),
            self.kind,
            (&canon, keys.seed),
            &dir.as_ref().map_or_else(std::env::temp_dir, |dir| dir.root().to_owned()),
            cli.quiet,
        )?;
        let resources = read.baseline.rows.len() as u64;
        let rejects = read.rejects.len() as u64;
        let outcome = if rejects > 0 { Outcome::Trouble } else { Outcome::Ok };
        if resources == 0 {
            return Err(CommandError::new("0 resources found, so there is no baseline to keep")
                .hint("formats: native, cloudevents, terraform-state, aws-config; see the notes above"));
        }
        let Some(dir) = dir else {
            println!(
                "would import {resources} resources as a {} baseline `{}` ({} claimed twice, {rejects} records refused)",
                read.baseline.info.kind.name(),
                self.name,
                read.duplicates
            );
            return Ok(outcome);
        };
        let manifest = Manifest {
            name: self.name.to_owned(),
            version: 0,
            kind: read.baseline.info.kind,
            mode: self.mode,
            imported_at: setup::clock().now(),
            sources: self.paths.to_vec(),
            resources,
            rejects,
            incomplete: read.baseline.info.incomplete,
            secrets: canon.redactor.stamp(),
            hash: String::new(),
        };
        let (manifest, new) =
            dir.save_baseline(manifest, &schema::baseline(), &mut read.baseline.rows.batches())?;
        keep_fingerprints(&dir, &manifest, &read.baseline, &canon);
        let Manifest { name, version, kind, resources, .. } = &manifest;
        if new {
            println!("imported {name}@{version}: {resources} resources, {}", kind.name());
        } else {
            println!("unchanged: {name}@{version} already holds these {resources} resources");
        }
        if rejects > 0 {
            keep(dir, read.rejects)?;
        }
        Ok(outcome)
    }
}

/// Keeps what was refused in the history, unless a running engine is writing there.
fn keep(
    mut dir: DataDir,
    rejects: Vec<deployforge_compare::RejectRow>,
) -> Result<(), CommandError> {
    if let Err(error) = dir.lock() {
        anstream::eprintln!(
            "{}note:{} what was refused is told here and not kept in the table `rejects`: {error}",
            render::CYAN,
            render::RESET
        );
        return Ok(());
    }
    let dir = &dir;
    let runtime = setup::runtime()?;
    let settings =
        setup::settings(&ConfigFile::default(), &Judge::default(), &HashKeys::of(dir), false)?;
    let mut comparator = Comparator::new(settings, Vec::new());
    let (mut recorder, known) = setup::recorder(dir, &runtime, &mut comparator)?;
    keep_rejects(&mut recorder, &known, rejects)
}

fn list(dir: &DataDir, format: DiffFormat) -> CommandResult {
    let all = dir.baselines()?;
    write_to(None, |out| {
        if format == DiffFormat::Json {
            serde_json::to_writer_pretty(&mut *out, &all)?;
            return out.write_all(b"\n");
        }
        let mut table =
            render::table(&["name", "version", "kind", "resources", "imported", "from"]);
        for manifest in &all {
            table.add_row([
                manifest.name.clone(),
                manifest.version.to_string(),
                manifest.kind.name().to_owned(),
                manifest.resources.to_string(),
                manifest.imported_at.to_string(),
                safe(&render::shorten(&manifest.sources.join(", "), 60)),
            ]);
        }
        if all.is_empty() {
            return writeln!(
                out,
                "no baselines yet; `deployforge baseline import NAME FILE` makes one"
            );
        }
        writeln!(out, "{table}")
    })
}

#[derive(Serialize)]
struct ShowResource {
    key: ResourceKey,
    address: Option<String>,
    dialect: &'static str,
    tainted: bool,
    deposed: bool,
    leaves: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Box<serde_json::value::RawValue>>,
}

fn show(dir: &DataDir, name: &str, resource: Option<&str>, format: DiffFormat) -> CommandResult {
    let (plain, version) = split_version(name)?;
    let (manifest, batch) = dir.load_baseline(plain, version)?;
    let rows = BaselineRows::new(&batch)?;
    let mut found = Vec::new();
    for i in 0..rows.len() {
        let row = rows.row(i);
        let wanted = resource.is_none_or(|wanted| {
            row.parts()[4] == wanted
                || row.address() == Some(wanted)
                || row.aliases().any(|alias| alias == wanted)
        });
        if wanted {
            found.push(ShowResource {
                key: row.key(),
                address: row.address().map(str::to_owned),
                dialect: row.dialect().name(),
                tainted: row.is_tainted(),
                deposed: row.is_deposed(),
                leaves: row.leaves(),
                state: resource
                    .and_then(|_| std::str::from_utf8(row.state()).ok())
                    .map(|t| raw(Some(t))),
            });
        }
    }
    if let (Some(wanted), true) = (resource, found.is_empty()) {
        return Err(CommandError::new(format!(
            "`{wanted}` is not in {}@{}",
            manifest.name, manifest.version
        ))
        .hint("an id, an address or an alias such as an ARN is looked for"));
    }
    write_to(None, |out| {
        if format == DiffFormat::Json || resource.is_some() {
            serde_json::to_writer_pretty(&mut *out, &found)?;
            return out.write_all(b"\n");
        }
        let mut table =
            render::table(&["type", "id", "account", "region", "address", "attributes"]);
        for one in &found {
            table.add_row([
                safe(&one.key.resource_type),
                safe(&render::shorten(&one.key.id, 60)),
                safe(&one.key.account),
                safe(&one.key.region),
                safe(&render::shorten(one.address.as_deref().unwrap_or(""), 60)),
                one.leaves.to_string(),
            ]);
        }
        writeln!(out, "{table}")?;
        writeln!(out, "{}@{}: {} resources", manifest.name, manifest.version, found.len())
    })
}

/// One version as the baseline, the other as what was observed.
fn compare(dir: &DataDir, expected: &str, observed: &str, format: ReportFormat) -> CommandResult {
    let keys = HashKeys::of(dir);
    let settings = setup::settings(&ConfigFile::default(), &Judge::default(), &keys, false)?;
    let canon = settings.canon.clone();
    let comparator = Comparator::new(settings, vec![stored(dir, expected, None)?]);
    let mut engine = Engine::new(comparator, setup::clock(), HashSet::default());
    let other = stored(dir, observed, None)?;
    let rows = &other.rows;
    let mut builder = ObservationBatchBuilder::new(keys.seed);
    for i in 0..rows.len() {
        builder.push(&as_observation(rows, i, &canon)?, setup::clock().now());
    }
    engine.feed_stored(&builder.finish());
    engine.finish_audit();
    let report = Report::of(engine.comparator(), false);
    write_to(None, |out| match format {
        ReportFormat::Json => report.write_json(out),
        ReportFormat::Ndjson => report.write_ndjson(out),
        ReportFormat::Table => report.write_table(out, 200),
    })?;
    Ok(report.summary.outcome(&Judge::default(), false))
}

fn as_observation(
    rows: &BaselineRows,
    i: usize,
    canon: &Canon,
) -> Result<Observation, CommandError> {
    let row = rows.row(i);
    // Read back to be sure that a damaged row is an error here and not a false difference.
    canon
        .stored_state(&mut Parser::default(), row.dialect(), row.resource_type(), row.state())
        .map_err(|error| CommandError::new(format!("{}: {error}", row.parts()[4])))?;
    Ok(Observation {
        address: row.address().map(str::to_owned),
        aliases: row.aliases().map(str::to_owned).collect(),
        presence: if row.is_deposed() { Presence::Deposed } else { Presence::Present },
        tainted: row.is_tainted(),
        ..Observation::of(row.key(), row.dialect(), row.state().to_vec(), SourcePosition::default())
    })
}
