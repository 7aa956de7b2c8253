//! Baselines of a running engine: which versions are loaded, and newer ones while it runs.

use std::collections::BTreeMap;
use std::sync::Once;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, TryRecvError, bounded};
use deployforge_compare::{Comparator, Restored, Settings, Unsettled, state_hash};
use deployforge_pipeline::States;
use deployforge_state::{DataDir, Stamp};
use tokio::runtime::Runtime;

use super::reload;
use super::stream::stored;
use crate::config::{BaselineRef, rules};
use crate::error::CommandError;
use crate::{render, setup};

/// How often the data directory is asked for newer versions.
const LOOK: Duration = Duration::from_secs(1);

/// How often a store is.
const LOOK_AT_STORE: Duration = Duration::from_secs(5);

/// A name may be looked up with `id IN (…)`; of more ids the whole table is read.
const IDS_MAX: usize = 1000;

/// The baselines that a user wants, and those that are loaded.
pub(super) struct Versions {
    dir: DataDir,
    wanted: Vec<BaselineRef>,
    settings: Settings,
    stamp: Stamp,
    /// Versions that are being loaded, or could not be: they are not tried again and again.
    tried: BTreeMap<String, u32>,
    coming: Option<Coming>,
    /// A look at the store that is under way.
    looking: Option<Receiver<Result<BTreeMap<String, u32>, CommandError>>>,
    /// What was last warned of.
    warned: String,
    looked: Instant,
}

/// What is being loaded.
struct Coming {
    loaded: Receiver<Result<Comparator, CommandError>>,
    /// It is by other settings.
    other: Option<Other>,
}

/// Settings that another configuration has.
struct Other {
    wanted: Vec<BaselineRef>,
    settings: Settings,
    rules: String,
}

/// A comparator over other versions, which can take over.
pub(super) struct Newer {
    pub(super) comparator: Comparator,
    /// It is by what another configuration says.
    pub(super) reloaded: bool,
    /// What was judged by before.
    pub(super) before: Stamp,
}

impl Versions {
    /// `rules` is what [`setup::rules`] says of the settings.
    pub(super) fn new(
        dir: &DataDir,
        wanted: Vec<BaselineRef>,
        settings: Settings,
        rules: String,
    ) -> Result<Self, CommandError> {
        let baselines = newest(dir, &wanted)?;
        if baselines.is_empty() {
            say_no_baseline();
        }
        Ok(Self {
            dir: dir.beside(),
            wanted,
            settings,
            tried: baselines.clone(),
            stamp: Stamp { baselines, rules, coming: None },
            coming: None,
            looking: None,
            warned: String::new(),
            looked: Instant::now(),
        })
    }

    /// What is loaded, or about to be.
    pub(super) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// A comparator over the newest versions.
    pub(super) fn load(&self, dir: &DataDir) -> Result<Comparator, CommandError> {
        load(dir, &self.stamp.baselines, self.settings.clone())
    }

    /// A comparator over what verdicts in the history were judged by, as far as it is still there.
    pub(super) fn load_before(&self, dir: &DataDir, stamp: &Stamp) -> Comparator {
        let there = |(name, version): &(&String, &u32)| {
            stored(dir, &format!("{name}@{version}"), None).ok()
        };
        let baselines = stamp.baselines.iter().filter_map(|one| there(&one)).collect();
        Comparator::new(self.settings.clone(), baselines)
    }

    /// A comparator over newer versions, once there are any and they are loaded: on a thread of its own,
    /// so that the stream goes on meanwhile.
    pub(super) fn poll(&mut self) -> Option<Newer> {
        if let Some(coming) = &self.coming {
            let loaded = match coming.loaded.try_recv() {
                Ok(loaded) => loaded,
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => Err(CommandError::new("loading it ended")),
            };
            let other = self.coming.take().and_then(|coming| coming.other);
            return match (loaded, other) {
                (Ok(comparator), other) => {
                    let before = self.stamp.clone();
                    self.stamp.baselines.clone_from(&self.tried);
                    let reloaded = other.is_some();
                    if let Some(Other { wanted, settings, rules }) = other {
                        (self.wanted, self.settings, self.stamp.rules) = (wanted, settings, rules);
                    }
                    Some(Newer { comparator, reloaded, before })
                }
                (Err(error), None) => self.warn(error.message),
                (Err(error), Some(_)) => {
                    self.tried.clone_from(&self.stamp.baselines);
                    reload::say_refused(&error.message);
                    None
                }
            };
        }
        if self.begins_without_expired() {
            return None;
        }
        let baselines = match self.look()? {
            Ok(baselines) => baselines,
            Err(error) => return self.warn(error.message),
        };
        // What is gone from the folder was not taken back: nobody said so.
        let older = |(name, version): &(&String, &u32)| {
            baselines.get(*name).is_none_or(|now| now < *version)
        };
        if let Some((name, _)) = self.stamp.baselines.iter().find(older) {
            return self.warn(format!("`{name}` is no longer there"));
        }
        if baselines == self.tried {
            return None;
        }
        self.tried.clone_from(&baselines);
        let loaded = load_beside(self.dir.beside(), baselines, self.settings.clone());
        self.coming = Some(Coming { loaded, other: None });
        None
    }

    /// Begins to load what another configuration says; [`poll`](Self::poll) gives it. `false`: it judges by
    /// the same.
    pub(super) fn renew(
        &mut self,
        wanted: Vec<BaselineRef>,
        settings: Settings,
        rules: String,
    ) -> Result<bool, CommandError> {
        let baselines = newest(&self.dir, &wanted)?;
        if self.coming.is_none() && baselines == self.stamp.baselines && rules == self.stamp.rules {
            self.wanted = wanted;
            return Ok(false);
        }
        self.tried.clone_from(&baselines);
        // What a look under way finds was asked by the file before.
        self.looking = None;
        let loaded = load_beside(self.dir.beside(), baselines, settings.clone());
        self.coming = Some(Coming { loaded, other: Some(Other { wanted, settings, rules }) });
        Ok(true)
    }

    /// Begins to load what is judged by without rules that have come to their end, if there are any: what
    /// they had hidden is judged again.
    fn begins_without_expired(&mut self) -> bool {
        let now = setup::clock().now();
        if self.looked.elapsed() < LOOK || !self.settings.policy.ignoring().has_expired(now) {
            return false;
        }
        self.looked = Instant::now();
        let mut settings = self.settings.clone();
        for name in settings.policy.expire(now) {
            rules::say_expired(&format!("`{name}` has expired"));
            tracing::warn!(event = "rule_expired", rule = name, "a rule has expired");
        }
        let stamp = setup::with_ignoring(&self.stamp.rules, &settings.policy);
        match self.renew(self.wanted.clone(), settings, stamp) {
            Ok(begun) => begun,
            Err(error) => {
                self.warn(error.message);
                false
            }
        }
    }

    /// The newest versions, when it is time to look again and, where that means a store, it has answered:
    /// the stream does not wait for it.
    fn look(&mut self) -> Option<Result<BTreeMap<String, u32>, CommandError>> {
        if let Some(looking) = &self.looking {
            let answer = match looking.try_recv() {
                Ok(answer) => answer,
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => Err(CommandError::new("looking for them ended")),
            };
            self.looking = None;
            self.looked = Instant::now();
            return Some(answer);
        }
        let shared = self.dir.store().is_some();
        if self.looked.elapsed() < if shared { LOOK_AT_STORE } else { LOOK } {
            return None;
        }
        self.looked = Instant::now();
        if !shared {
            return Some(newest(&self.dir, &self.wanted));
        }
        let (sender, receiver) = bounded(1);
        let (dir, wanted) = (self.dir.beside(), self.wanted.clone());
        std::thread::Builder::new()
            .name("versions".to_owned())
            // Nobody listens once the engine has ended.
            .spawn(move || drop(sender.send(newest(&dir, &wanted))))
            .expect("a thread can be started");
        self.looking = Some(receiver);
        None
    }

    /// Warns once of what is the same from look to look.
    fn warn(&mut self, problem: String) -> Option<Newer> {
        if self.warned != problem {
            anstream::eprintln!(
                "{}warning:{} newer baselines cannot be used, and those before stay: {problem}",
                render::YELLOW,
                render::RESET
            );
            self.warned = problem;
        }
        None
    }
}

fn load_beside(
    dir: DataDir,
    baselines: BTreeMap<String, u32>,
    settings: Settings,
) -> Receiver<Result<Comparator, CommandError>> {
    let (sender, receiver) = bounded(1);
    // As many threads as will use what is loaded, but others: what the stream hands to its own would
    // wait until these have nothing left to do.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(rayon::current_num_threads()).build();
    std::thread::Builder::new()
        .name("baselines".to_owned())
        .spawn(move || {
            let loaded = match pool {
                Ok(pool) => pool.install(|| load(&dir, &baselines, settings)),
                Err(error) => Err(CommandError::new(error.to_string())),
            };
            // Nobody listens once the engine has ended.
            let _ = sender.send(loaded);
        })
        .expect("a thread can be started");
    receiver
}

/// The newest version of each baseline that is wanted, or the one that is named; all, if none is named.
fn newest(dir: &DataDir, wanted: &[BaselineRef]) -> Result<BTreeMap<String, u32>, CommandError> {
    let all = dir.newest_baselines()?;
    if wanted.is_empty() {
        return Ok(all);
    }
    let version = |one: &BaselineRef| {
        let version = match one.version.or_else(|| all.get(&one.name).copied()) {
            Some(version) => version,
            // Loading it says what there is instead.
            None => dir.load_baseline(&one.name, None)?.0.version,
        };
        Ok((one.name.clone(), version))
    };
    wanted.iter().map(version).collect()
}

/// Warns once, however often a worker begins anew.
fn say_no_baseline() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        anstream::eprintln!(
            "{}warning:{} there is no baseline, so every resource will be unmanaged; `deployforge baseline import NAME FILE` makes one",
            render::YELLOW,
            render::RESET
        );
    });
}

fn load(
    dir: &DataDir,
    baselines: &BTreeMap<String, u32>,
    settings: Settings,
) -> Result<Comparator, CommandError> {
    let canon = Some(&settings.canon);
    let load = |(name, version): (&String, &u32)| stored(dir, &format!("{name}@{version}"), canon);
    let baselines = baselines.iter().map(load).collect::<Result<_, _>>()?;
    Ok(Comparator::new(settings, baselines))
}

/// The last states of resources, by hash, as the history holds them.
pub(super) fn held(
    dir: &DataDir,
    runtime: &std::sync::Arc<Runtime>,
    unsettled: &[Unsettled],
) -> Result<States, CommandError> {
    let mut states = States::new();
    let wanted: std::collections::HashSet<&str> =
        unsettled.iter().filter_map(|one| one.state_hash.as_deref()).collect();
    if wanted.is_empty() {
        return Ok(states);
    }
    let ids: Vec<&str> = unsettled.iter().map(|one| one.key.id.as_str()).collect();
    let ids = (ids.len() <= IDS_MAX).then_some(&ids[..]);
    let key = dir.keys().hash_key;
    let session = setup::session(dir, runtime)?;
    runtime.block_on(session.states(ids, &mut |text| {
        let hash = state_hash(&key, text.as_bytes());
        if wanted.contains(&*hash) {
            states.entry(hash).or_insert_with(|| text.to_owned());
        }
    }))?;
    Ok(states)
}

/// Says what is judged by now.
pub(super) fn say(before: &Stamp, now: &Stamp, judged: u64) {
    let what = if before.baselines == now.baselines {
        "rules have changed".to_owned()
    } else {
        format!("baselines are now {}", names(&now.baselines))
    };
    anstream::eprintln!("{what}; {} judged again", render::count(judged, "resource"));
}

fn names(baselines: &BTreeMap<String, u32>) -> String {
    let names: Vec<String> =
        baselines.iter().map(|(name, version)| format!("{name}@{version}")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// What the verdicts of a history without a stamp were judged by, as far as they say: by which rules is
/// not known. `None` if there are none.
pub(super) fn guess(resources: &[Restored]) -> Option<Stamp> {
    let mut baselines: BTreeMap<String, u32> = BTreeMap::new();
    for one in resources {
        if let Some(name) = &one.baseline {
            let version = baselines.entry(name.to_string()).or_default();
            *version = one.baseline_version.max(*version);
        }
    }
    let unknown = Stamp { baselines, rules: String::new(), coming: None };
    let coming = Some(Box::new(unknown.clone()));
    (!resources.is_empty()).then_some(Stamp { coming, ..unknown })
}
