//! What commands share: keys, comparator settings, clock, signals, recorders and sessions.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deployforge_canon::{ArrayRules, Canon, FoldRules, Limits, Normalise, Redactor};
use deployforge_compare::{Comparator, LevelSwitch, Restored, Rules, Settings, Tables};
use deployforge_formats::KeyDefaults;
use deployforge_history::History;
use deployforge_maps::SharedMaps;
use deployforge_model::{BaselineKind, Clock, Dialect, SystemClock};
use deployforge_pipeline::{Recorder, open_findings};
use deployforge_policy::Policy;
use deployforge_sql::{Extra, Session};
use deployforge_state::{DataDir, Manifest};
use tokio::runtime::Runtime;

use crate::cli::{Judge, Normalise as NormaliseFlag};
use crate::config::{self, ConfigFile};
use crate::error::CommandError;

/// Fills bytes from the system's random source.
pub(crate) fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has a random source");
}

/// Keys that are used to hash and to redact.
#[derive(Clone)]
pub(crate) struct HashKeys {
    pub(crate) seed: u64,
    pub(crate) hash_key: [u8; 32],
    pub(crate) redactor: Redactor,
}

impl HashKeys {
    /// Of a data directory.
    pub(crate) fn of(dir: &DataDir) -> Self {
        let keys = dir.keys();
        Self {
            seed: keys.seed,
            hash_key: keys.hash_key,
            redactor: Redactor::new(keys.redaction_key, &keys.key_id),
        }
    }

    /// For a result that is not kept: other keys each time.
    pub(crate) fn ephemeral() -> Self {
        let (mut seed, mut hash_key, mut redaction) = ([0; 8], [0; 32], [0; 32]);
        random(&mut seed);
        random(&mut hash_key);
        random(&mut redaction);
        Self {
            seed: u64::from_le_bytes(seed),
            hash_key,
            redactor: Redactor::new(redaction, "ephemeral"),
        }
    }
}

/// How states become canonical under a configuration.
pub(crate) fn canon(config: &ConfigFile, keys: &HashKeys) -> Result<Canon, CommandError> {
    Ok(Canon {
        rules: ArrayRules::with(config.arrays.clone())?,
        redactor: keys.redactor.clone().with_rules(config.secrets.clone())?,
        limits: Limits::default(),
        folds: FoldRules::with(config.folds.rules.clone(), config.folds.off.clone())?,
    })
}

/// The policy of a configuration, with the rules that apply now.
pub(crate) fn policy(config: &ConfigFile) -> Result<Policy, CommandError> {
    let policy = Policy::new(&config.policy, config.environments.clone())?;
    Ok(policy.with_ignoring(config::rules::ignoring(config, clock().now())?))
}

/// Normalisation as the flag, else the configuration says.
pub(crate) fn normalise(flag: Option<NormaliseFlag>, config: &ConfigFile) -> Normalise {
    match flag {
        Some(NormaliseFlag::Off) => Normalise::Off,
        Some(NormaliseFlag::Standard) => Normalise::Standard,
        None => config.normalise.unwrap_or_default(),
    }
}

/// Comparator settings of a configuration and the flags.
pub(crate) fn settings(
    config: &ConfigFile,
    judge: &Judge,
    keys: &HashKeys,
    keep_states: bool,
) -> Result<Settings, CommandError> {
    Ok(Settings {
        seed: keys.seed,
        hash_key: keys.hash_key,
        canon: canon(config, keys)?,
        maps: SharedMaps::with(config.kinds.clone())?,
        policy: policy(config)?,
        mode: judge.mode.or(config.mode),
        normalise: normalise(judge.normalise, config),
        tables: Tables { verdicts: keep_states, observations: keep_states },
        levels: LevelSwitch::ALL,
        tier: config.tier.unwrap_or_default().into(),
        text_bytes: memory() / 2,
        explain: judge.explain,
    })
}

/// Bytes of memory that this process may have, as far as the system tells.
fn memory() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let machine = read("/proc/meminfo")
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok()
        })
        .map_or(u64::MAX, |kilobytes: u64| kilobytes * 1024);
    let group = read("/sys/fs/cgroup/memory.max").trim().parse().unwrap_or(u64::MAX);
    machine.min(group)
}

/// Hashes of what decides whether states are equal, with the version of the code that makes them canonical,
/// and of what decides what a difference means.
pub(crate) fn rules(config: &ConfigFile, settings: &Settings) -> String {
    let ConfigFile { arrays, kinds, policy, environments, .. } = config;
    let Settings { mode, normalise, canon, .. } = settings;
    let (version, secrets) = (deployforge_canon::VERSION, canon.redactor.stamp());
    let states = [
        format!("{version} {arrays:?} {kinds:?} {mode:?} {normalise:?} "),
        canon.folds.stamp(),
        secrets,
    ];
    let (states, meaning) = (states.concat(), format!("{policy:?} {environments:?}"));
    let hash = |text: String| blake3::hash(text.as_bytes()).to_hex()[..32].to_owned();
    with_ignoring(&format!("{}.{}", hash(states), hash(meaning)), &settings.policy)
}

/// What there is between the rules of two stamps.
pub(crate) fn rules_between(before: &str, now: &str) -> Rules {
    let states = |rules: &str| rules.split_once('.').map(|(states, _)| states.to_owned());
    match (states(before), states(now)) {
        _ if before == now => Rules::Same,
        (Some(before), Some(now)) if before == now => Rules::Meaning,
        _ => Rules::Changed,
    }
}

/// The same hash with the rules that apply now: they end to apply one by one.
pub(crate) fn with_ignoring(rules: &str, policy: &Policy) -> String {
    let rest = rules.split('-').next().unwrap_or_default();
    let ignoring = policy.ignoring();
    if ignoring.is_empty() {
        return rest.to_owned();
    }
    format!("{rest}-{}", &blake3::hash(ignoring.stamp().as_bytes()).to_hex()[..32])
}

/// Key parts from the flags.
pub(crate) fn key_defaults(judge: &Judge) -> KeyDefaults {
    KeyDefaults { provider: None, account: judge.account.clone(), region: judge.region.clone() }
}

/// The kind of a baseline whose kind was not named: code declares it, or it was recorded.
pub(crate) fn kind_of(dialects: &[Dialect]) -> BaselineKind {
    if dialects.iter().any(|one| matches!(one, Dialect::Terraform | Dialect::CloudFormation)) {
        BaselineKind::Declared
    } else {
        BaselineKind::Recorded
    }
}

/// The runtime of the history and of queries.
pub(crate) fn runtime() -> Result<Arc<Runtime>, CommandError> {
    // Deep SQL plans in an unoptimised build need more stack than the default.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(16 << 20)
        .build()
        .map_err(|error| CommandError::io("the runtime", &error))?;
    Ok(Arc::new(runtime))
}

/// The machine's clock.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// A flag that Ctrl-C or SIGTERM sets; the second Ctrl-C ends the process at once.
pub(crate) fn stop_flag(runtime: &Runtime) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    runtime.spawn(async move {
        loop {
            if wait_for_signal().await.is_err() {
                return;
            }
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        }
    });
    stop
}

/// A flag that SIGHUP sets, each time.
pub(crate) fn hangup_flag(runtime: &Runtime) -> Arc<AtomicBool> {
    let hangup = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let flag = Arc::clone(&hangup);
        // From here on the signal ends nothing any more.
        let entered = runtime.enter();
        if let Ok(mut signals) = signal(SignalKind::hangup()) {
            runtime.spawn(async move {
                while signals.recv().await.is_some() {
                    flag.store(true, Ordering::Relaxed);
                }
            });
        }
        drop(entered);
    }
    hangup
}

async fn wait_for_signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// A recorder over the directory's history, what the comparator knew taken up from it, and the ids
/// of rejects that it holds.
pub(crate) fn recorder(
    dir: &DataDir,
    runtime: &Arc<Runtime>,
    comparator: &mut Comparator,
) -> Result<(Recorder, HashSet<String>), CommandError> {
    let Past { recorder, resources, rejects } = past(dir, runtime)?;
    comparator.restore(resources, false);
    Ok((recorder, rejects))
}

/// What a history holds for who goes on from it.
pub(crate) struct Past {
    pub(crate) recorder: Recorder,
    pub(crate) resources: Vec<Restored>,
    /// Ids of what was refused.
    pub(crate) rejects: HashSet<String>,
}

/// Opens or makes the directory's history and reads what it last knew.
pub(crate) fn past(dir: &DataDir, runtime: &Arc<Runtime>) -> Result<Past, CommandError> {
    let history = runtime.block_on(History::create_at(&dir.history()?, dir.root()))?;
    let session = runtime.block_on(Session::new(&history, Vec::new()))?;
    let known = runtime.block_on(session.restore())?;
    let resources = open_findings(&known.verdicts, &known.findings)?;
    let recorder = Recorder::new(history, Arc::clone(runtime), clock(), known.sequence);
    Ok(Past { recorder, resources, rejects: known.rejects })
}

/// A read-only session on the directory's history.
pub(crate) fn session(dir: &DataDir, runtime: &Arc<Runtime>) -> Result<Session, CommandError> {
    let history = runtime.block_on(History::open_at(&dir.history()?))?;
    let baselines = baselines_table(&dir.baselines()?)?;
    Ok(runtime.block_on(Session::new(&history, vec![baselines]))?)
}

/// The table `baselines`: a row per version.
fn baselines_table(manifests: &[Manifest]) -> Result<Extra, CommandError> {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
    fn text<S: AsRef<str>>(manifests: &[Manifest], get: impl Fn(&Manifest) -> S) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(manifests.iter().map(get)))
    }
    fn ints(manifests: &[Manifest], get: impl Fn(&Manifest) -> u64) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(manifests.iter().map(|m| get(m) as i64)))
    }
    let times = manifests.iter().map(|manifest| manifest.imported_at.micros());
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    let mode = |m: &Manifest| m.mode.map_or("full", deployforge_model::Mode::name).to_owned();
    let batch = RecordBatch::try_from_iter([
        ("name", text(manifests, |m| m.name.clone())),
        ("version", ints(manifests, |m| u64::from(m.version))),
        ("kind", text(manifests, |m| m.kind.name())),
        ("mode", text(manifests, mode)),
        ("resources", ints(manifests, |m| m.resources)),
        ("rejects", ints(manifests, |m| m.rejects)),
        ("sources", text(manifests, |m| m.sources.join(", "))),
        ("hash", text(manifests, |m| m.hash.clone())),
        ("imported_at", Arc::new(times) as ArrayRef),
    ])
    .map_err(|error| CommandError::new(error.to_string()))?;
    Ok(Extra { name: "baselines".to_owned(), schema: batch.schema(), rows: vec![batch] })
}
