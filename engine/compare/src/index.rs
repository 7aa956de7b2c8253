//! Baselines on their way into the shards, and the names by which they are found besides keys.

use std::sync::{Mutex, MutexGuard, PoisonError};

use deployforge_canon::{Flat, Parser};
use deployforge_model::{Dialect, Key128, StateText};

use crate::shard::{Context, Tools};

/// Hashes of globally unique names, sorted, with the row that bears each.
#[derive(Debug)]
pub(crate) struct Aliases(Vec<(u64, u16, u32)>);

/// The tools of this thread. A task that steals another while it waits finds them taken, and makes
/// its own: rayon never waits within our tasks.
pub(crate) fn lock(tools: &[Mutex<Tools>]) -> MutexGuard<'_, Tools> {
    let thread = rayon::current_thread_index().unwrap_or(tools.len() - 1);
    tools[thread.min(tools.len() - 1)].lock().unwrap_or_else(PoisonError::into_inner)
}

/// A row of a baseline as it is entered into a shard.
pub(crate) struct Declared {
    pub(crate) key: Key128,
    pub(crate) dialect: Dialect,
    pub(crate) special: bool,
    pub(crate) canonical: u64,
    pub(crate) group: u16,
    pub(crate) flat: Option<Flat>,
}

impl Declared {
    pub(crate) fn read(context: &Context, baseline: usize, row: usize, tools: &mut Tools) -> Self {
        let rows = &context.baselines[baseline].rows;
        let key = rows.key128(row, context.settings.seed);
        let row = rows.row(row);
        let flat = flatten(context, row.dialect, row.resource_type, row.state, &mut tools.parser);
        let environment =
            context.settings.policy.environment(row.provider, row.account, row.region);
        Self {
            key,
            dialect: row.dialect,
            special: row.deposed || row.duplicate || flat.is_none(),
            canonical: flat.as_ref().map_or(0, |flat| flat.fingerprint(&context.seed)),
            group: context.groups.of(environment, row.provider, row.resource_type),
            flat,
        }
    }
}

/// The units of a baseline's state; `None` if it cannot be read.
fn flatten(
    context: &Context,
    dialect: Dialect,
    kind: &str,
    state: &[u8],
    parser: &mut Parser,
) -> Option<Flat> {
    let (canon, seed) = (&context.settings.canon, &context.seed);
    let mut flat = Flat::default();
    if canon.flatten(parser, seed, dialect, kind, StateText::object(state), &mut flat) {
        return Some(flat);
    }
    let state = canon.stored_state(parser, dialect, kind, state).ok()?;
    Some(Flat::of(&state.root, seed))
}

impl Aliases {
    pub(crate) fn of(context: &Context) -> Self {
        let mut all = Vec::new();
        for (baseline, loaded) in context.baselines.iter().enumerate() {
            for row in 0..loaded.rows.len() {
                let aliases = loaded.rows.row(row).aliases.split('\n');
                for alias in aliases.filter(|alias| is_global(alias)) {
                    let hash = context.seed.text(alias.as_bytes());
                    all.push((hash, baseline as u16, row as u32));
                }
            }
        }
        all.sort_unstable();
        Self(all)
    }

    /// The one resource that bears a name; `None` if none does, or two.
    pub(crate) fn find(&self, context: &Context, alias: &str) -> Option<(Key128, Dialect)> {
        let hash = context.seed.text(alias.as_bytes());
        let first = self.0.partition_point(|known| known.0 < hash);
        let mut found = None;
        for (_, baseline, row) in self.0[first..].iter().take_while(|known| known.0 == hash) {
            let rows = &context.baselines[usize::from(*baseline)].rows;
            let key = rows.key128(*row as usize, context.settings.seed);
            match found {
                None => found = Some((key, rows.row(*row as usize).dialect)),
                Some((other, _)) if other == key => {}
                Some(_) => return None,
            }
        }
        found
    }
}

/// Whether an alias names one object in the whole world: an ARN, a full resource id or a URL. Plain
/// names do not, and never join two resources.
pub(crate) fn is_global(alias: &str) -> bool {
    alias.starts_with("arn:")
        || alias.starts_with("//")
        || alias.starts_with("/subscriptions/")
        || alias.contains("://")
}
