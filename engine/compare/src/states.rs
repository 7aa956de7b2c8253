//! Changed states on their way into the history as columns.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, StringBuilder};
use deployforge_model::{Dialect, Timestamp, schema};

use crate::chunks::{Columns, Shared, SharedArrays};
use crate::columns::{Texts, concat, names, optional_ints, times};
use crate::output::Subject;

/// Changed states of one source, taken in at one time, as columns of the table `observations`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct States {
    key: [Texts; 5],
    environment: Texts,
    told: Vec<(Dialect, Option<u64>, Timestamp)>,
    /// States are most of the bytes: they are handed on, and copied once.
    state: Vec<Option<String>>,
    state_bytes: usize,
}

/// A row of `observations`, borrowed.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // columns of the same names
pub struct StateRow<'a> {
    /// Provider, account, region, type and id.
    pub key: [&'a str; 5],
    pub environment: &'a str,
    pub dialect: Dialect,
    pub version: Option<u64>,
    /// Canonical and redacted JSON text; `None` says deleted.
    pub state: Option<&'a str>,
    pub source: &'a str,
    pub observed_at: Timestamp,
    pub ingested_at: Timestamp,
}

impl States {
    /// Adds a state; `None`: the resource was deleted.
    pub(crate) fn push(
        &mut self,
        subject: &Subject<'_>,
        observed_at: Timestamp,
        version: Option<u64>,
        state: Option<String>,
    ) {
        self.key.iter_mut().zip(subject.key).for_each(|(texts, part)| texts.push(part));
        self.environment.push(subject.environment);
        self.told.push((subject.dialect, version, observed_at));
        self.state_bytes += state.as_ref().map_or(0, String::len);
        self.state.push(state);
    }
}

impl Columns for States {
    type Row<'r> = StateRow<'r>;

    fn rows(&self) -> usize {
        self.state.len()
    }

    fn bytes(&self) -> usize {
        let key = self.key.iter().map(Texts::bytes);
        key.chain([self.environment.bytes(), self.state_bytes]).max().unwrap_or(0)
    }

    fn join(mut all: Vec<Self>) -> Self {
        let states = all.iter_mut().map(|one| std::mem::take(&mut one.state));
        let state = states.collect::<Vec<_>>().into_iter().flatten().collect();
        let all = all.iter();
        Self {
            key: std::array::from_fn(|i| Texts::concat(all.clone().map(|one| &one.key[i]))),
            environment: Texts::concat(all.clone().map(|one| &one.environment)),
            told: concat(all.clone().map(|one| &one.told)),
            state,
            state_bytes: all.map(|one| one.state_bytes).sum(),
        }
    }

    fn row<'r>(&'r self, row: usize, shared: &'r Shared) -> StateRow<'r> {
        let (dialect, version, observed_at) = self.told[row];
        StateRow {
            key: std::array::from_fn(|part| self.key[part].get(row)),
            environment: self.environment.get(row),
            dialect,
            version,
            state: self.state[row].as_deref(),
            source: &shared.source,
            observed_at,
            ingested_at: shared.ingested_at,
        }
    }

    fn batch(self, shared: SharedArrays) -> RecordBatch {
        let [provider, account, region, kind, id] = self.key.map(Texts::array);
        let told = self.told.iter();
        let deleted: BooleanArray = self.state.iter().map(|state| Some(state.is_none())).collect();
        let mut states = StringBuilder::with_capacity(self.state.len(), self.state_bytes);
        self.state.iter().for_each(|state| states.append_option(state.as_deref()));
        let columns = vec![
            provider,
            account,
            region,
            kind,
            id,
            self.environment.array(),
            names(told.clone().map(|(dialect, ..)| dialect.name())),
            Arc::new(deleted),
            optional_ints(told.clone().map(|(_, version, _)| *version)),
            Arc::new(states.finish()),
            shared.source,
            times(told.map(|(.., observed_at)| *observed_at)),
            shared.ingested_at,
            shared.committed_at,
        ];
        RecordBatch::try_new(schema::observations(), columns)
            .expect("the columns follow the schema")
    }
}
