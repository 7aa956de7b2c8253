//! Baselines of a running engine: which versions are loaded, and newer ones while it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, TryRecvError, bounded};
use deployforge_compare::{Comparator, Settings, Unsettled, state_hash};
use deployforge_pipeline::States;
use deployforge_state::{DataDir, Stamp};
use tokio::runtime::Runtime;

use super::stream::stored;
use crate::config::BaselineRef;
use crate::error::CommandError;
use crate::{render, setup};

/// How often the data directory is asked for newer versions.
const LOOK: Duration = Duration::from_secs(1);

/// A name may be looked up with `id IN (…)`; of more ids the whole table is read.
const IDS_MAX: usize = 1000;

/// The baselines that a user wants, and those that are loaded.
pub(super) struct Versions {
    root: PathBuf,
    wanted: Vec<BaselineRef>,
    settings: Settings,
    stamp: Stamp,
    /// Versions that could not be loaded, so that they are not tried again and again.
    refused: Option<BTreeMap<String, u32>>,
    coming: Option<Receiver<Result<Newer, CommandError>>>,
    looked: Instant,
}

/// A comparator over other versions, which can take over.
pub(super) struct Newer {
    pub(super) comparator: Comparator,
    pub(super) baselines: BTreeMap<String, u32>,
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
        Ok(Self {
            root: dir.root().to_owned(),
            wanted,
            settings,
            stamp: Stamp { baselines, rules },
            refused: None,
            coming: None,
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
        let there =
            |(name, version): &(&String, &u32)| stored(dir, &format!("{name}@{version}")).ok();
        let baselines = stamp.baselines.iter().filter_map(|one| there(&one)).collect();
        Comparator::new(self.settings.clone(), baselines)
    }

    /// A comparator over newer versions, once there are any and they are loaded: on a thread of its own,
    /// so that the stream goes on meanwhile.
    pub(super) fn poll(&mut self) -> Option<Newer> {
        if let Some(coming) = &self.coming {
            let newer = match coming.try_recv() {
                Ok(newer) => newer,
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => Err(CommandError::new("loading them ended")),
            };
            self.coming = None;
            return match newer {
                Ok(newer) => {
                    self.stamp.baselines.clone_from(&newer.baselines);
                    Some(newer)
                }
                Err(error) => Self::refuse(&error),
            };
        }
        if self.looked.elapsed() < LOOK {
            return None;
        }
        self.looked = Instant::now();
        let dir = DataDir::open(&self.root).ok()??;
        let baselines = match newest(&dir, &self.wanted) {
            Ok(baselines) => baselines,
            Err(error) => return Self::refuse(&error),
        };
        if baselines == self.stamp.baselines || self.refused.as_ref() == Some(&baselines) {
            return None;
        }
        self.refused = Some(baselines.clone());
        let (sender, receiver) = bounded(1);
        let settings = self.settings.clone();
        self.coming = Some(receiver);
        std::thread::Builder::new()
            .name("baselines".to_owned())
            .spawn(move || {
                let comparator = load(&dir, &baselines, settings);
                let newer = comparator.map(|comparator| Newer { comparator, baselines });
                // Nobody listens once the engine has ended.
                let _ = sender.send(newer);
            })
            .expect("a thread can be started");
        None
    }

    fn refuse(error: &CommandError) -> Option<Newer> {
        anstream::eprintln!(
            "{}warning:{} a newer version of a baseline cannot be used, and the one before stays: {}",
            render::YELLOW,
            render::RESET,
            error.message
        );
        None
    }
}

/// The newest version of each baseline that is wanted, or the one that is named; all, if none is named.
fn newest(dir: &DataDir, wanted: &[BaselineRef]) -> Result<BTreeMap<String, u32>, CommandError> {
    let mut all = BTreeMap::new();
    // By name and version, so that the newest stays.
    all.extend(dir.baselines()?.into_iter().map(|manifest| (manifest.name, manifest.version)));
    if wanted.is_empty() {
        return Ok(all);
    }
    let version = |one: &BaselineRef| {
        // What there is not, loading says.
        let newest = all.get(&one.name).copied().unwrap_or(1);
        (one.name.clone(), one.version.unwrap_or(newest))
    };
    Ok(wanted.iter().map(version).collect())
}

fn load(
    dir: &DataDir,
    baselines: &BTreeMap<String, u32>,
    settings: Settings,
) -> Result<Comparator, CommandError> {
    let load = |(name, version): (&String, &u32)| stored(dir, &format!("{name}@{version}"));
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

/// Says which versions are judged by now.
pub(super) fn say(root: &Path, baselines: &BTreeMap<String, u32>, judged: u64) {
    let names: Vec<String> =
        baselines.iter().map(|(name, version)| format!("{name}@{version}")).collect();
    anstream::eprintln!(
        "baselines of {} are now {}; {} judged again",
        root.display(),
        names.join(", "),
        render::count(judged, "resource")
    );
}
