//! Where checks are counted: environment, provider and type as one small number.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use deployforge_model::Timestamp;

use crate::output::CheckKey;

/// Groups that are told apart; what is beyond them is counted together, under the type `*`.
const GROUPS_MAX: usize = 60_000;

/// The groups of one comparator.
#[derive(Debug, Default)]
pub(crate) struct Groups(RwLock<Inner>);

/// Environment, provider, type.
type Name = (Arc<str>, Arc<str>, Arc<str>);

#[derive(Debug, Default)]
struct Inner {
    by_name: HashMap<Name, u16>,
    names: Vec<Name>,
}

impl Groups {
    /// The number of a group.
    pub(crate) fn of(&self, environment: &str, provider: &str, resource_type: &str) -> u16 {
        let name: Name = (environment.into(), provider.into(), resource_type.into());
        if let Some(known) = self.read().by_name.get(&name) {
            return *known;
        }
        let mut inner = match self.0.write() {
            Ok(inner) => inner,
            Err(poisoned) => poisoned.into_inner(),
        };
        let name = if inner.names.len() < GROUPS_MAX {
            name
        } else {
            ("default".into(), "*".into(), "*".into())
        };
        if let Some(known) = inner.by_name.get(&name) {
            return *known;
        }
        let group = inner.names.len() as u16;
        inner.names.push(name.clone());
        inner.by_name.insert(name, group);
        group
    }

    /// The name of a group, as a key of `checks`.
    pub(crate) fn name(&self, group: u16, minute: Timestamp, source: &Arc<str>) -> CheckKey {
        let inner = self.read();
        let (environment, provider, resource_type) = &inner.names[usize::from(group)];
        (
            minute,
            Arc::clone(environment),
            (**provider).into(),
            (**resource_type).into(),
            Arc::clone(source),
        )
    }

    /// Environment and type of a group.
    pub(crate) fn parts(&self, group: u16) -> Option<(Arc<str>, Arc<str>)> {
        let inner = self.read();
        let (environment, _, resource_type) = inner.names.get(usize::from(group))?;
        Some((Arc::clone(environment), Arc::clone(resource_type)))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        match self.0.read() {
            Ok(inner) => inner,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}
