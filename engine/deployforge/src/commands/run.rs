//! `run`: the streaming engine.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use deployforge_compare::{Comparator, Output, Owner, Rules};
use deployforge_formats::split_prefix;
use deployforge_model::{FileMarks, Timestamp};
use deployforge_pipeline::{
    Engine, FILE_BYTES, Feed, Input, Recorder, States, is_manifest, read_inputs,
};
use deployforge_sources::{FolderWatch, Location};
use deployforge_state::{DataDir, Stamp};
use deployforge_store::Options;
use tokio::runtime::Runtime;

use super::stream::{GATHER, say_totals};
use super::versions::{self, Newer, Versions};
use crate::cli::{Cli, Run};
use crate::config::{self, BaselineRef, CommitConfig, ConfigFile, SourceConfig};
use crate::error::{CommandError, CommandResult, Outcome};
use crate::events;
use crate::home::{self, Home};
use crate::report::Summary;
use crate::setup::{self, HashKeys, Past};
use crate::{render, source};

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
    config::check_together(&config)?;
    config::rules::warn_expired(&config, setup::clock().now());
    let home = Home::of(cli, &config)?;
    if config.sources.iter().any(SourceConfig::is_stream) {
        return super::worker::run(cli, args, &config, &home);
    }
    let dir = home.open_for_work()?;
    let keys = HashKeys::of(&dir);
    let runtime = setup::runtime()?;
    let stop = setup::stop_flag(&runtime);
    let settings = setup::settings(&config, &args.judge, &keys, true)?;
    let rules = setup::rules(&config, &settings);
    let versions = Versions::new(&dir, config.baselines.clone(), settings, rules)?;
    let comparator = versions.load(&dir)?;
    let declared = comparator.declared();
    if !cli.quiet {
        anstream::eprintln!("{declared} resources declared; history in {home}");
    }
    let stopped = Arc::clone(&stop);
    let events = events::start(&config, &dir, runtime.handle())?;
    let mut stream = start(dir, &runtime, (versions, comparator), keys.seed, &config, stop)?;
    if !cli.quiet {
        stream.status = render::progress("running", None, false);
    }
    let ended = stream.sources(&config.sources, args.once, &home::options(&config)?)?;
    stream.status.finish_and_clear();
    events::finish(events, stopped.load(Ordering::Relaxed));
    if ended {
        stream.recorder.wait_for_upkeep();
    }
    say_totals(stream.engine.totals(), cli.quiet);
    let summary = Summary::of(stream.engine.comparator(), |_| true);
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
pub(super) fn apply_flags(args: &Run, config: &mut ConfigFile) -> Result<(), CommandError> {
    if !args.baselines.is_empty() {
        config.baselines.clear();
        for text in &args.baselines {
            let (name, version) = super::stream::split_version(text)?;
            config.baselines.push(BaselineRef { name: name.to_owned(), version });
        }
    }
    for path in &args.sources {
        let (format, plain) = split_prefix(path);
        let kafka = source::parse(plain).transpose()?;
        let source = SourceConfig {
            name: if plain == "-" { "stdin".to_owned() } else { plain.to_owned() },
            path: if kafka.is_some() { String::new() } else { plain.to_owned() },
            watch: args.watch && plain != "-" && kafka.is_none(),
            kafka,
            http: None,
            format: format.map(|format| format.name().to_owned()),
            defaults: config::Defaults {
                provider: None,
                account: args.judge.account.clone(),
                region: args.judge.region.clone(),
            },
        };
        config::check_source(&source)?;
        config.sources.push(source);
    }
    if config.sources.is_empty() {
        return Err(CommandError::new("there is no source to read").hint(
            "name one with --source PATH, or list `sources` in the file given with --config",
        ));
    }
    *config = std::mem::take(config).with_rules(&args.rules)?;
    Ok(())
}

/// A stream that goes on from the history. What the history holds was judged by other baselines or rules
/// if they changed meanwhile: then it is taken up as it was, and judged again.
fn start<'a>(
    dir: DataDir,
    runtime: &Arc<Runtime>,
    (versions, mut comparator): (Versions, Comparator),
    seed: u64,
    config: &ConfigFile,
    stop: Arc<AtomicBool>,
) -> Result<Stream<'a>, CommandError> {
    let now = versions.stamp().clone();
    let Past { recorder, resources, rejects } = setup::past(&dir, runtime)?;
    let recorder = recorder.maintained(config.history.retention());
    let before = dir.stamp()?.or_else(|| versions::guess(&resources)).filter(|it| *it != now);
    let mut next = None;
    if let Some(before) = &before {
        let known = versions.load_before(&dir, before);
        next = Some(std::mem::replace(&mut comparator, known));
    }
    let exact = before.as_ref().is_some_and(|before| before.coming.is_some());
    comparator.restore(resources, exact);
    let engine = Engine::new(comparator, setup::clock(), rejects).stale_after(config.stale_after());
    let mut stream = Stream::new(dir, engine, recorder, seed, config.commit, stop)?;
    stream.versions = Some((versions, Arc::clone(runtime)));
    if let (Some(comparator), Some(before)) = (next, before) {
        let rules = |stamp: &Stamp| setup::rules_between(&stamp.rules, &now.rules);
        let rules = rules(&before).max(before.coming.as_deref().map_or(Rules::Same, rules));
        stream.succeed(Newer { comparator, reloaded: false, before }, rules)?;
    } else {
        stream.dir.save_stamp(&now)?;
    }
    Ok(stream)
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
    /// Files read to the end since the last commit.
    marks: FileMarks,
    last_commit: Instant,
    shown: (usize, usize),
    /// Looks for newer baselines.
    versions: Option<(Versions, Arc<Runtime>)>,
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
        let mut frontier = dir.frontier()?;
        // A process that ended after a commit did not come to keep what it had read.
        if frontier.commit > recorder.history().last_commit() {
            // The history is another one.
            frontier.commit = 0;
        }
        for commit in recorder.commits_after(frontier.commit)? {
            frontier.note(commit.number, &commit.read);
        }
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
            marks: FileMarks::new(),
            last_commit: Instant::now(),
            shown: (0, 0),
            versions: None,
        })
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Reads all sources; `false` if it was stopped before they ended.
    fn sources(
        &mut self,
        sources: &[SourceConfig],
        once: bool,
        options: &Options,
    ) -> Result<bool, CommandError> {
        let mut watches: Vec<(SourceConfig, FolderWatch)> = Vec::new();
        let mut inputs = Vec::new();
        for source in sources {
            if source.watch && !once {
                let folder = PathBuf::from(&source.path);
                if !folder.is_dir() {
                    return Err(CommandError::new(format!(
                        "{} is not a folder of this machine, so it cannot be watched",
                        source.path
                    )));
                }
                watches.push((source.clone(), FolderWatch::new(folder, SETTLE)));
                continue;
            }
            let format = source.format.as_deref().and_then(|format| format.parse().ok());
            for location in deployforge_sources::expand_with(&source.path, options)? {
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
            self.look_for_newer()?;
            self.look_at_age()?;
            std::thread::sleep(POLL);
        }
        Ok(!self.stopped())
    }

    /// Reads inputs that the frontier does not hold, and commits.
    pub(super) fn read(&mut self, inputs: Vec<Input>) -> Result<(), CommandError> {
        let before = inputs.len();
        // A template that changed is read as its manifest says, so the manifest is read again too.
        let folder = |input: &Input| match &input.location {
            Location::File(path) => path.parent().map(Path::to_owned),
            _ => None,
        };
        let changed: HashSet<_> =
            inputs.iter().filter(|input| !self.knows(input)).map(folder).collect();
        let names = |input: &Input| is_manifest(input) && changed.contains(&folder(input));
        let fresh: Vec<Input> =
            inputs.into_iter().filter(|input| !self.knows(input) || names(input)).collect();
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
            self.look_for_newer()?;
            self.look_at_age()?;
        }
        let start = Instant::now();
        self.commit()?;
        self.busy += start.elapsed();
        Ok(())
    }

    /// What was not seen for too long is committed at once: nothing else may come.
    fn look_at_age(&mut self) -> Result<(), CommandError> {
        // What is known of files is known from the start.
        let found = self.engine.look_at_age(&"age".into(), &[(Owner::NONE, Timestamp(0))]);
        if found.is_empty() { Ok(()) } else { self.commit() }
    }

    fn look_for_newer(&mut self) -> Result<(), CommandError> {
        match self.versions.as_mut().and_then(|(versions, _)| versions.poll()) {
            Some(newer) => {
                let now = self.versions.as_ref().map(|(versions, _)| &*versions.stamp().rules);
                let rules = setup::rules_between(&newer.before.rules, now.unwrap_or_default());
                self.succeed(newer, rules)
            }
            None => Ok(()),
        }
    }

    /// Lets newer baselines take over. What was judged before is committed first, so that the history
    /// holds the last states.
    fn succeed(&mut self, newer: Newer, rules: Rules) -> Result<(), CommandError> {
        let Some((versions, runtime)) = &self.versions else { return Ok(()) };
        let stamp = versions.stamp().clone();
        let runtime = Arc::clone(runtime);
        self.engine.flush();
        self.commit()?;
        // Should this process end before all is judged, the next one knows that some was.
        let coming = Some(Box::new(stamp.clone()));
        self.dir.save_stamp(&Stamp { coming, ..newer.before.clone() })?;
        let mut failed = None;
        let dir = &self.dir;
        let judged = self.engine.succeed(newer.comparator, rules, &mut |unsettled| {
            versions::held(dir, &runtime, unsettled).unwrap_or_else(|error| {
                failed = Some(error);
                States::new()
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        self.commit()?;
        self.dir.save_stamp(&stamp)?;
        self.status.suspend(|| versions::say(&newer.before, &stamp, judged));
        Ok(())
    }

    /// How long to wait for more: what was gathered is judged soon, a full epoch at once.
    fn patience(&self) -> Duration {
        if self.engine.is_gathering() { GATHER } else { Duration::from_millis(100) }
    }

    fn knows(&self, input: &Input) -> bool {
        let known =
            self.frontier.files.get(&*input.source).and_then(|files| files.get(&input.file()));
        known.is_some() && known == input.mark().as_ref()
    }

    fn feed(&mut self, feed: Feed) {
        if let Feed::FileEnd { source, file, mark: Some(mark), .. }
        | Feed::LinesEnd { source, file, mark: Some(mark), .. } = &feed
            && !self.stopped()
        {
            let files = self.marks.entry(source.to_string()).or_default();
            files.insert(file.to_string(), mark.clone());
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
        self.shown = (pending.transitions(), pending.verdict_transitions());
    }

    /// Rows and the files that they came of in one commit; then the frontier says so too.
    fn commit(&mut self) -> Result<(), CommandError> {
        let output = self.engine.take();
        self.shown = (0, 0);
        let read = std::mem::take(&mut self.marks);
        let commit = self.recorder.commit_read(output, read.clone())?;
        if !read.is_empty() {
            self.frontier.note(commit, &read);
            self.dir.save_frontier(&self.frontier)?;
        }
        self.last_commit = Instant::now();
        Ok(())
    }
}
