//! `run`: the streaming engine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use deployforge_compare::{Baseline, Comparator, Output};
use deployforge_formats::split_prefix;
use deployforge_pipeline::{Engine, FILE_BYTES, Feed, Input, Recorder, read_inputs};
use deployforge_sources::{FolderWatch, Location};
use deployforge_state::{DataDir, FileMark};

use super::stream::{GATHER, say_totals, show, stored};
use crate::cli::{Cli, Run};
use crate::config::{self, BaselineRef, CommitConfig, ConfigFile, SourceConfig};
use crate::error::{CommandError, CommandResult, Outcome};
use crate::render;
use crate::report::Summary;
use crate::setup::{self, HashKeys};

/// A file must have been still for this long before it is read from a watched folder.
const SETTLE: Duration = Duration::from_millis(500);
/// How often watched folders are looked at.
const POLL: Duration = Duration::from_millis(250);

pub(crate) fn run(cli: &Cli, args: &Run) -> CommandResult {
    let mut config = match &args.config {
        Some(path) => config::load(path)?,
        None => ConfigFile::default(),
    };
    apply_flags(args, &mut config)?;
    let root = setup::data_dir(cli, &config);
    let dir = setup::open_for_work(&root)?;
    let keys = HashKeys::of(&dir);
    let baselines = baselines(&dir, &config.baselines)?;
    let runtime = setup::runtime()?;
    let stop = setup::stop_flag(&runtime);
    let settings = setup::settings(&config, &args.judge, &keys, true)?;
    let mut comparator = Comparator::new(settings, baselines);
    let declared = comparator.declared();
    let (recorder, known) = setup::recorder(&dir, &runtime, &mut comparator)?;
    let engine = Engine::new(comparator, setup::clock(), known);
    let mut stream = Stream::new(dir, engine, recorder, keys.seed, config.commit, stop)?;
    if !cli.quiet {
        stream.status = render::progress("running", None, false);
        anstream::eprintln!("{declared} resources declared; history in {}", show(&root));
    }
    let ended = stream.sources(&config.sources, args.once)?;
    stream.status.finish_and_clear();
    say_totals(stream.engine.totals(), cli.quiet);
    let summary = Summary::of(stream.engine.comparator().resources());
    anstream::eprintln!("{}", summary.line());
    if stream.already > 0 {
        anstream::eprintln!(
            "{} read before and not changed since: not read again",
            render::count(stream.already, "file")
        );
    }
    if !ended {
        return Ok(Outcome::Ok);
    }
    if stream.already > 0 && stream.engine.totals().files == 0 && summary.checked > 0 {
        return Ok(summary.outcome(&args.judge, false));
    }
    Ok(summary.outcome(&args.judge, stream.engine.totals().rejects > 0))
}

/// What was typed goes before what the file says.
fn apply_flags(args: &Run, config: &mut ConfigFile) -> Result<(), CommandError> {
    if !args.baselines.is_empty() {
        config.baselines.clear();
        for text in &args.baselines {
            let (name, version) = super::stream::split_version(text)?;
            config.baselines.push(BaselineRef { name: name.to_owned(), version });
        }
    }
    for path in &args.sources {
        let (format, plain) = split_prefix(path);
        config.sources.push(SourceConfig {
            name: if plain == "-" { "stdin".to_owned() } else { plain.to_owned() },
            path: plain.to_owned(),
            format: format.map(|format| format.name().to_owned()),
            watch: args.watch && plain != "-",
            defaults: config::Defaults {
                provider: None,
                account: args.judge.account.clone(),
                region: args.judge.region.clone(),
            },
        });
    }
    if config.sources.is_empty() {
        return Err(CommandError::new("there is no source to read").hint(
            "name one with --source PATH, or list `sources` in the file given with --config",
        ));
    }
    Ok(())
}

fn baselines(dir: &DataDir, wanted: &[BaselineRef]) -> Result<Vec<Baseline>, CommandError> {
    let mut names: Vec<String> = wanted
        .iter()
        .map(|b| b.version.map_or(b.name.clone(), |version| format!("{}@{version}", b.name)))
        .collect();
    if names.is_empty() {
        names = dir.baselines()?.into_iter().map(|manifest| manifest.name).collect();
        names.dedup();
    }
    if names.is_empty() {
        anstream::eprintln!(
            "{}warning:{} there is no baseline, so every resource will be unmanaged; `deployforge baseline import NAME FILE` makes one",
            render::YELLOW,
            render::RESET
        );
    }
    names.iter().map(|name| stored(dir, name)).collect()
}

/// Called with what came out of each feed, before it is committed.
type Watcher<'a> = Box<dyn FnMut(&Output, (usize, usize)) + 'a>;

/// Sources into an engine, commits, and the frontier.
pub(super) struct Stream<'a> {
    pub(super) engine: Engine,
    pub(super) status: indicatif::ProgressBar,
    pub(super) on_output: Option<Watcher<'a>>,
    /// Files that the frontier says were read before.
    pub(super) already: u64,
    /// Time spent judging and committing.
    pub(super) busy: Duration,
    dir: DataDir,
    recorder: Recorder,
    seed: u64,
    commit: CommitConfig,
    stop: Arc<AtomicBool>,
    frontier: deployforge_state::Frontier,
    marks: Vec<(String, String, FileMark)>,
    last_commit: Instant,
    shown: (usize, usize),
}

impl Stream<'_> {
    pub(super) fn new(
        dir: DataDir,
        engine: Engine,
        recorder: Recorder,
        seed: u64,
        commit: CommitConfig,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, CommandError> {
        let frontier = dir.frontier()?;
        Ok(Self {
            engine,
            status: indicatif::ProgressBar::hidden(),
            on_output: None,
            already: 0,
            busy: Duration::ZERO,
            dir,
            recorder,
            seed,
            commit,
            stop,
            frontier,
            marks: Vec::new(),
            last_commit: Instant::now(),
            shown: (0, 0),
        })
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Reads all sources; `false` if it was stopped before they ended.
    fn sources(&mut self, sources: &[SourceConfig], once: bool) -> Result<bool, CommandError> {
        let mut watches: Vec<(SourceConfig, FolderWatch)> = Vec::new();
        let mut inputs = Vec::new();
        for source in sources {
            if source.watch && !once {
                let folder = PathBuf::from(&source.path);
                if !folder.is_dir() {
                    return Err(CommandError::new(format!(
                        "{} is not a folder, so it cannot be watched",
                        source.path
                    )));
                }
                watches.push((source.clone(), FolderWatch::new(folder, SETTLE)));
                continue;
            }
            let format = source.format.as_deref().and_then(|format| format.parse().ok());
            for location in deployforge_sources::expand(&source.path)? {
                let defaults = source.defaults.clone().into();
                inputs.push(Input::of(location, format, defaults, Some(&source.name)));
            }
        }
        self.read(inputs)?;
        while !watches.is_empty() && !self.stopped() {
            for (source, watch) in &mut watches {
                let format = source.format.as_deref().and_then(|format| format.parse().ok());
                let found = watch.poll(SystemTime::now())?.into_iter().map(|path| {
                    let defaults = source.defaults.clone().into();
                    Input::of(Location::File(path), format, defaults, Some(&source.name))
                });
                let found: Vec<Input> = found.collect();
                self.read(found)?;
            }
            std::thread::sleep(POLL);
        }
        Ok(!self.stopped())
    }

    /// Reads inputs that the frontier does not hold, and commits.
    pub(super) fn read(&mut self, inputs: Vec<Input>) -> Result<(), CommandError> {
        let before = inputs.len();
        let fresh: Vec<Input> = inputs.into_iter().filter(|input| !self.knows(input)).collect();
        self.already += (before - fresh.len()) as u64;
        if fresh.is_empty() {
            return Ok(());
        }
        let feeds = read_inputs(fresh, self.seed, setup::clock(), Arc::clone(&self.stop));
        loop {
            // A quiet stream is committed in time too.
            let feed = match feeds.recv_timeout(self.patience()) {
                Ok(feed) => Some(feed),
                Err(crossbeam::channel::RecvTimeoutError::Timeout) => None,
                Err(crossbeam::channel::RecvTimeoutError::Disconnected) => break,
            };
            let start = Instant::now();
            match feed {
                Some(feed) => self.feed(feed),
                None => self.engine.flush(),
            }
            let pending = self.engine.pending();
            if pending.rows() >= self.commit.rows
                || pending.bytes() >= FILE_BYTES
                || self.last_commit.elapsed().as_secs_f64() >= self.commit.interval_seconds
            {
                self.commit()?;
            }
            self.busy += start.elapsed();
        }
        let start = Instant::now();
        self.commit()?;
        self.busy += start.elapsed();
        Ok(())
    }

    /// How long to wait for more: what was gathered is judged soon, a full epoch at once.
    fn patience(&self) -> Duration {
        if self.engine.is_gathering() { GATHER } else { Duration::from_millis(100) }
    }

    fn knows(&self, input: &Input) -> bool {
        let known = self
            .frontier
            .files
            .get(&*input.source)
            .and_then(|files: &BTreeMap<String, FileMark>| files.get(&input.file()));
        known.is_some() && known == input.mark().as_ref()
    }

    fn feed(&mut self, feed: Feed) {
        if let Feed::FileEnd { source, file, mark: Some(mark), .. }
        | Feed::LinesEnd { source, file, mark: Some(mark), .. } = &feed
            && !self.stopped()
        {
            self.marks.push((source.to_string(), file.to_string(), mark.clone()));
        }
        if let Feed::Progress { bytes } = &feed {
            self.status.inc(*bytes);
        }
        self.engine.feed(feed);
        let totals = self.engine.totals();
        self.status.set_message(format!("{} observations", totals.observations));
        let pending = self.engine.pending();
        if let Some(watch) = &mut self.on_output {
            watch(pending, self.shown);
        }
        self.shown = (pending.transitions(), pending.verdicts.len());
    }

    /// Rows first, then the frontier that stands for them.
    fn commit(&mut self) -> Result<(), CommandError> {
        let output = self.engine.take();
        self.shown = (0, 0);
        self.recorder.commit(output)?;
        if !self.marks.is_empty() {
            for (source, file, mark) in self.marks.drain(..) {
                self.frontier.files.entry(source).or_default().insert(file, mark);
            }
            self.dir.save_frontier(&self.frontier)?;
        }
        self.last_commit = Instant::now();
        Ok(())
    }
}
