//! Where a deployment keeps what it knows: a data directory, and a store if machines share one.

use std::fmt;
use std::path::{Path, PathBuf};

use deployforge_state::{DataDir, Purpose};
use deployforge_store::{Options, Place, is_url};

use crate::cli::Cli;
use crate::config::ConfigFile;
use crate::error::CommandError;
use crate::{render, setup, source};

/// A data directory by name, and the store that it is a cache of, if any.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    root: PathBuf,
    store: Option<Place>,
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.store {
            Some(store) => store.fmt(f),
            None => self.root.display().fmt(f),
        }
    }
}

/// What the configuration says of stores, its variables filled in.
pub(crate) fn options(config: &ConfigFile) -> Result<Options, CommandError> {
    let fill = |(name, value): (&String, &String)| {
        Ok((name.clone(), source::filled(value, "store_options", name)?))
    };
    config.store_options.iter().map(fill).collect()
}

/// The data directory that the command line, else the configuration names.
pub(crate) fn root(cli: &Cli, config: &ConfigFile) -> Result<PathBuf, CommandError> {
    let root = cli.data_dir.clone().or_else(|| config.data_dir.clone());
    let root = root.unwrap_or_else(|| PathBuf::from("deployforge-data"));
    if is_url(&root.display().to_string()) {
        return Err(CommandError::new(
            "the data directory is a folder of this machine, and not a store",
        )
        .hint("name the store with --store or `store`, and leave the data directory a folder"));
    }
    Ok(root)
}

impl Home {
    /// What the command line, else the configuration names. The store is asked whether it is there.
    pub(crate) fn of(cli: &Cli, config: &ConfigFile) -> Result<Self, CommandError> {
        let root = root(cli, config)?;
        let store = match cli.store.as_ref().or(config.store.as_ref()) {
            Some(url) => Some(Place::open(url, &options(config)?)?),
            None => None,
        };
        Ok(Self { root, store })
    }

    /// The data directory alone, for what is never shared.
    pub(crate) fn alone(cli: &Cli, what: &str) -> Result<PathBuf, CommandError> {
        if cli.store.is_some() {
            return Err(CommandError::new(format!(
                "{what} keeps its data in a folder, not in a store"
            ))
            .hint("leave out --store, and unset DEPLOYFORGE_STORE"));
        }
        Ok(Self::of(cli, &ConfigFile::default())?.root)
    }

    /// Opens or makes the data directory and takes it for writing. Where it is the demo's, that is said:
    /// the demo throws its history away.
    pub(crate) fn open_for_work(&self) -> Result<DataDir, CommandError> {
        let mut dir = self.create()?;
        dir.lock()?;
        Ok(dir)
    }

    /// Opens the data directory for a worker of a stream: several may work in one.
    pub(crate) fn open_for_stream(&self) -> Result<DataDir, CommandError> {
        let mut dir = self.create()?;
        dir.lock_shared()?;
        Ok(dir)
    }

    /// Opens or makes the data directory to add a baseline, which may be done beside a running engine.
    pub(crate) fn open_for_baselines(&self) -> Result<DataDir, CommandError> {
        let mut dir = self.create()?;
        dir.lock_baselines()?;
        Ok(dir)
    }

    fn create(&self) -> Result<DataDir, CommandError> {
        let purpose = self.purpose()?;
        let store = self.store.clone();
        Ok(DataDir::create_with(&self.root, store, purpose, &mut setup::random)?)
    }

    fn purpose(&self) -> Result<Purpose, CommandError> {
        if self.store.is_some() {
            return Ok(Purpose::Work);
        }
        let purpose = DataDir::open(&self.root)?.map_or(Purpose::Work, |dir| dir.purpose());
        if purpose == Purpose::Demo {
            anstream::eprintln!(
                "{}note:{} {} is the demo's data directory; the next `demo` starts afresh in it. Name another with --data-dir",
                render::CYAN,
                render::RESET,
                self.root.display()
            );
        }
        Ok(purpose)
    }

    /// Opens a data directory if there is one.
    pub(crate) fn open_if_there(&self) -> Result<Option<DataDir>, CommandError> {
        Ok(DataDir::open_with(&self.root, self.store.clone())?)
    }

    /// Opens a data directory that must exist.
    pub(crate) fn open_existing(&self) -> Result<DataDir, CommandError> {
        self.open_if_there()?.ok_or_else(|| match &self.store {
            Some(store) => CommandError::new(format!("nothing is kept in {store} yet"))
                .hint("`deployforge baseline import` or `run` with this store makes a beginning")
                .hint("name another with --store or DEPLOYFORGE_STORE"),
            None => {
                CommandError::new(format!("there is no data directory at {}", self.root.display()))
                    .hint("`deployforge demo --once` makes one with example data")
                    .hint("name another with --data-dir or DEPLOYFORGE_DATA_DIR")
            }
        })
    }
}

/// Where what is shared, else the data directory is, for people.
pub(crate) fn show(dir: &DataDir) -> String {
    dir.store().map_or_else(|| dir.root().display().to_string(), Place::to_string)
}

/// Opens or makes a data directory and takes it for writing.
pub(crate) fn open_for_writing(root: &Path, purpose: Purpose) -> Result<DataDir, CommandError> {
    let mut dir = DataDir::create(root, purpose, &mut setup::random)?;
    dir.lock()?;
    Ok(dir)
}
