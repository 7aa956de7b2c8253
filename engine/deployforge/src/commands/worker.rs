//! `run` on a partitioned stream: one worker of a group.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError};
use deployforge_formats::ReadOptions;
use deployforge_history::{History, HistoryError, LedgerError};
use deployforge_pipeline::{
    Engine, Keeper, Recorder, States, Worker, WorkerError, WorkerSettings, WorkerTotals,
};
use deployforge_sources::{SourceError, StreamControl, StreamEvent};
use deployforge_state::{DataDir, Stamp};
use tokio::runtime::Runtime;

use super::reload;
use super::stream::say_totals;
use super::versions::{self, Versions};
use crate::cli::{Cli, Run};
use crate::config::{ConfigFile, SourceConfig};
use crate::error::{CommandError, CommandResult, Outcome};
use crate::events;
use crate::home::{self, Home};
use crate::operations::{self, Health};
use crate::render;
use crate::report::Summary;
use crate::setup::{self, HashKeys};
use crate::source::{self, Stream};

/// The first pause before a worker begins anew; each further one is twice as long, up to the last.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A worker that held for so long begins anew as if for the first time.
const HELD: Duration = Duration::from_mins(1);

/// How long a run that ends with what is there waits for partitions: longer than the group takes to
/// notice that a member is gone.
const ONCE_PATIENCE: Duration = Duration::from_mins(1);

/// How often in a row it begins anew.
const ONCE_TRIES: u32 = 5;

/// How long the end may take once it was asked for: less than what asks for it waits before it kills.
const END_PATIENCE: Duration = Duration::from_secs(25);

/// What stays while workers begin anew.
struct Post<'a> {
    cli: &'a Cli,
    args: &'a Run,
    /// What counts now.
    config: ConfigFile,
    /// What is to count once it is loaded.
    next: Option<ConfigFile>,
    dir: &'a DataDir,
    runtime: &'a Arc<Runtime>,
    stop: &'a AtomicBool,
    hangup: &'a AtomicBool,
    stream: &'a Stream,
    health: &'a Health,
}

/// Why a worker ended.
enum Ended {
    /// It was told to, or all was read.
    Done(Outcome),
    /// What it holds is worth nothing any more.
    Anew(String),
}

pub(super) fn run(cli: &Cli, args: &Run, config: &ConfigFile, home: &Home) -> CommandResult {
    let [source] = &config.sources[..] else {
        return Err(CommandError::new("a stream is the only source of its process")
            .hint("start another `run` with another data directory for the other sources"));
    };
    if args.once && source.http.is_some() {
        return Err(CommandError::new(
            "--once ends with what is there, and an HTTP source never ends",
        )
        .hint("leave --once away; SIGTERM ends it in order"));
    }
    let dir = home.open_for_stream()?;
    let runtime = setup::runtime()?;
    let stop = setup::stop_flag(&runtime);
    let health = Health::new(Duration::from_secs_f64(config.commit.interval_seconds));
    let _operations =
        config.listen.map(|at| operations::start(at, &health, runtime.handle())).transpose()?;
    let stream = Stream::start(source, config.commit, runtime.handle())?;
    let events = events::start(config, &dir, runtime.handle())?;
    end_in_time(&stop);
    let (stream, health) = (&stream, &*health);
    let (dir, runtime, stop) = (&dir, &runtime, &*stop);
    let hangup = &*setup::hangup_flag(runtime);
    let (config, next) = (config.clone(), None);
    let mut post = Post { cli, args, config, next, dir, runtime, stop, hangup, stream, health };
    let outcome = live(&mut post)?;
    events::finish(events, stop.load(Ordering::Relaxed));
    Ok(outcome)
}

/// Ends the process if it was told to and does not come to it, such as when the store does not answer.
/// Nothing is lost by that: what is not durable is read again.
fn end_in_time(stop: &Arc<AtomicBool>) {
    let stop = Arc::clone(stop);
    let wait = move || {
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(200));
        }
        std::thread::sleep(END_PATIENCE);
        tracing::error!(
            event = "end_forced",
            seconds = END_PATIENCE.as_secs(),
            "the last commit did not come to an end in time: what it holds is read again by the next start"
        );
        std::process::exit(2);
    };
    let thread = std::thread::Builder::new().name("end".to_owned()).spawn(wait);
    drop(thread.expect("a thread can be started"));
}

/// Workers, one after the other, until all is done.
fn live(post: &mut Post<'_>) -> CommandResult {
    let (stop, health) = (post.stop, post.health);
    let mut pause = PAUSE;
    let mut lived = false;
    let mut tries = 0;
    loop {
        let began = Instant::now();
        let ended = match post.work() {
            // Who has worked before does not give up when the store is away for a while.
            Err(error) if lived && error.passes => Ended::Anew(error.message),
            ended => ended?,
        };
        lived = true;
        match ended {
            Ended::Done(outcome) => return Ok(outcome),
            Ended::Anew(reason) => {
                if began.elapsed() > HELD {
                    (pause, tries) = (PAUSE, 0);
                }
                tries += 1;
                if post.args.once && tries >= ONCE_TRIES {
                    return Err(CommandError::new(format!("{tries} times in a row: {reason}"))
                        .hint("what was committed stays; run it again when this is mended"));
                }
                metrics::counter!("deployforge_begun_anew_total").increment(1);
                health.begins_anew(&reason);
                tracing::warn!(
                    event = "begins_anew",
                    seconds = pause.as_secs_f64(),
                    "nothing of the last commit is kept, and the worker begins anew: {reason}"
                );
                let until = Instant::now() + pause;
                while Instant::now() < until && !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(50));
                }
                if stop.load(Ordering::Relaxed) {
                    return Ok(Outcome::Ok);
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

impl Post<'_> {
    fn source(&self) -> &SourceConfig {
        // It is the only one, which was looked at before.
        &self.config.sources[0]
    }

    /// One life of a worker.
    fn work(&mut self) -> Result<Ended, CommandError> {
        if self.next.take().is_some() {
            // The worker before did not come to it.
            self.hangup.store(true, Ordering::Relaxed);
        }
        let keys = HashKeys::of(self.dir);
        let settings = setup::settings(&self.config, &self.args.judge, &keys, true)?;
        let rules = setup::rules(&self.config, &settings);
        let mut versions = Versions::new(self.dir, self.config.baselines.clone(), settings, rules)?;
        let comparator = versions.load(self.dir)?;
        if !self.cli.quiet {
            let declared = comparator.declared();
            let history = home::show(self.dir);
            anstream::eprintln!("{declared} resources declared; history in {history}");
        }
        let (place, scratch) = (self.dir.history()?, self.dir.root());
        let history = match self.runtime.block_on(History::create_at(&place, scratch)) {
            Ok(history) => history,
            Err(error) => return passing(error.into()),
        };
        let sequence = self.sequence(&history)?;
        let recorder = Recorder::new(history, Arc::clone(self.runtime), setup::clock(), sequence)
            .maintained(self.config.history.retention());
        let engine = Engine::new(comparator, setup::clock(), std::collections::HashSet::new())
            .stale_after(self.config.stale_after());
        let SourceConfig { name, .. } = self.source();
        let worker = WorkerSettings {
            source: name.as_str().into(),
            options: ReadOptions {
                format: source::format_of(self.source()),
                defaults: self.source().defaults.clone().into(),
                ..ReadOptions::default()
            },
            stamp: text_of(versions.stamp()),
            interval: Duration::from_secs_f64(self.config.commit.interval_seconds),
            rows: self.config.commit.rows,
            breaker: source::breaker(self.source()),
            stall: source::stall(self.source()),
        };
        let mut worker = Worker::new(engine, Keeper::new(recorder), worker);
        let (source, events) = self.stream.open()?;
        let ended = self.read(&mut worker, &mut versions, &*source, &events);
        // The reader may wait for an answer that does not come any more.
        drop(events);
        drop(source);
        match ended {
            Ok(()) => Ok(Ended::Done(self.report(&worker))),
            Err(error) => passing(error),
        }
    }

    /// The next free number of a row. A history from before there was a ledger says it in its tables.
    fn sequence(&self, history: &History) -> Result<u64, CommandError> {
        if history.sequence() > 0 || history.last_commit() == 0 {
            return Ok(history.sequence());
        }
        let session = deployforge_sql::Session::new(history, Vec::new());
        let session = self.runtime.block_on(session)?;
        Ok(self.runtime.block_on(session.restore())?.sequence)
    }

    fn read(
        &mut self,
        worker: &mut Worker,
        versions: &mut Versions,
        source: &dyn StreamControl,
        events: &Receiver<StreamEvent>,
    ) -> Result<(), WorkerError> {
        let status = if self.cli.quiet {
            indicatif::ProgressBar::hidden()
        } else {
            render::progress("running", None, false)
        };
        let (mut told, began) = (0, Instant::now());
        // Nothing new is taken any more, and what was taken still comes.
        let mut ending = false;
        loop {
            if !ending && self.stop.load(Ordering::Relaxed) {
                ending = source.last_call();
                if !ending {
                    break;
                }
            }
            let event = match events.recv_timeout(worker.patience()) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let idle = event.is_none();
            if let Some(event) = event {
                worker.event(event, source, &mut |stamp, states| {
                    self.renew(versions, stamp, states).map_err(|error| error.message)
                })?;
            }
            worker.tick(source, idle)?;
            if self.hangup.swap(false, Ordering::Relaxed) {
                self.reload(worker, versions);
            }
            self.look_for_newer(worker, versions, source)?;
            let partitions = (worker.assigned().count(), worker.paused());
            self.health.turned(partitions, worker.durable_lag());
            let totals = worker.totals();
            status.inc(totals.bytes - told);
            told = totals.bytes;
            status.set_message(format!("{} messages", totals.messages));
            if self.args.once {
                if worker.is_at_end() {
                    break;
                }
                if worker.assigned().next().is_none() && began.elapsed() > ONCE_PATIENCE {
                    return Err(SourceError::KafkaNothing {
                        name: self.source().name.clone(),
                        seconds: ONCE_PATIENCE.as_secs(),
                    }
                    .into());
                }
            }
        }
        worker.commit_now(source)?;
        status.finish_and_clear();
        Ok(())
    }

    /// Lets newer baselines take over.
    fn look_for_newer(
        &mut self,
        worker: &mut Worker,
        versions: &mut Versions,
        source: &dyn StreamControl,
    ) -> Result<(), WorkerError> {
        let Some(newer) = versions.poll() else { return Ok(()) };
        let stamp = versions.stamp().clone();
        let rules = setup::rules_between(&newer.before.rules, &stamp.rules);
        let mut failed = None;
        let judged = worker.succeed(
            (newer.comparator, rules),
            text_of(&stamp),
            source,
            &mut |unsettled| {
                versions::held(self.dir, self.runtime, unsettled).unwrap_or_else(|error| {
                    failed = Some(error.message);
                    States::new()
                })
            },
        )?;
        if let Some(error) = failed {
            return Err(WorkerError::Renewal(error));
        }
        worker.commit_now(source)?;
        metrics::counter!("deployforge_baseline_changes_total").increment(1);
        versions::say(&newer.before, &stamp, judged);
        if newer.reloaded
            && let Some(config) = self.next.take()
        {
            self.take_over(worker, config);
        }
        Ok(())
    }

    /// Reads the configuration file again, and lets it count where it may: at once, or when what it judges
    /// by is loaded.
    fn reload(&mut self, worker: &mut Worker, versions: &mut Versions) {
        let read = reload::read_again(self.cli, self.args, &self.config).and_then(|config| {
            let keys = HashKeys::of(self.dir);
            let settings = setup::settings(&config, &self.args.judge, &keys, true)?;
            let rules = setup::rules(&config, &settings);
            let loads = versions.renew(config.baselines.clone(), settings, rules)?;
            Ok((config, loads))
        });
        match read {
            Ok((config, true)) => self.next = Some(config),
            Ok((config, false)) => self.take_over(worker, config),
            Err(error) => reload::say_refused(&error.message),
        }
    }

    fn take_over(&mut self, worker: &mut Worker, config: ConfigFile) {
        self.config = config;
        let interval = Duration::from_secs_f64(self.config.commit.interval_seconds);
        let (breaker, stall) = (source::breaker(self.source()), source::stall(self.source()));
        worker.retune(interval, self.config.commit.rows, breaker, stall);
        worker.set_stale_after(self.config.stale_after());
        reload::say_reloaded();
    }

    /// Judges states again that were judged by other baselines or rules.
    fn renew(
        &self,
        versions: &Versions,
        stamp: &str,
        states: &[(deployforge_compare::Owner, Vec<arrow::array::RecordBatch>)],
    ) -> Result<deployforge_pipeline::Renewed, CommandError> {
        let before: Stamp = serde_json::from_str(stamp)
            .map_err(|error| CommandError::new(format!("a state's stamp is damaged: {error}")))?;
        let now = versions.stamp();
        let rules = setup::rules_between(&before.rules, &now.rules);
        let known = versions.load_before(self.dir, &before);
        let mut engine = Engine::new(known, setup::clock(), std::collections::HashSet::new());
        for (owner, kept) in states {
            engine.take_up(*owner, kept).map_err(|error| CommandError::new(error.to_string()))?;
        }
        let mut failed = None;
        let judged = engine.succeed(versions.load(self.dir)?, rules, &mut |unsettled| {
            versions::held(self.dir, self.runtime, unsettled).unwrap_or_else(|error| {
                failed = Some(error);
                States::new()
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        versions::say(&before, now, judged);
        let owners: Vec<_> = states.iter().map(|(owner, _)| *owner).collect();
        let renewed = engine.keep(&owners, &|_| Some(0));
        Ok((renewed, engine.take()))
    }

    fn report(&self, worker: &Worker) -> Outcome {
        let totals = worker.engine().totals();
        say_totals(totals, self.cli.quiet);
        let WorkerTotals { messages, seconds, commits, .. } = worker.totals();
        if !self.cli.quiet {
            let commits = render::count(*commits, "commit");
            anstream::eprintln!("{messages} messages in {seconds:.3} s, {commits}");
        }
        let summary = Summary::of(worker.engine().comparator(), |_| true);
        anstream::eprintln!("{}", summary.line());
        if !self.args.once || self.stop.load(Ordering::Relaxed) {
            return Outcome::Ok;
        }
        summary.outcome(&self.args.judge, totals.rejects > 0)
    }
}

/// Whether a worker may begin anew after an error: what another worker or the store did passes.
fn passing(error: WorkerError) -> Result<Ended, CommandError> {
    let passes = match &error {
        WorkerError::History(error) => match error {
            HistoryError::Ledger(error) => {
                !matches!(error, LedgerError::Damaged { .. } | LedgerError::State { .. })
            }
            HistoryError::Store(_) | HistoryError::Delta { .. } | HistoryError::Write { .. } => {
                true
            }
            HistoryError::Folder { error, .. } => error.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        },
        _ => false,
    };
    if passes { Ok(Ended::Anew(error.to_string())) } else { Err(error.into()) }
}

fn text_of(stamp: &Stamp) -> String {
    serde_json::to_string(stamp).expect("a stamp is JSON")
}
