//! A prefix of a store, and what is asked of it.

use std::fmt;
use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use url::Url;

use crate::StoreError;
use crate::open::{Options, Patience, shown, store};

/// An object that a listing found.
pub type Object = ObjectMeta;

/// A prefix of a store.
#[derive(Clone)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    /// With a slash at its end.
    url: Url,
    prefix: Path,
    /// The folder that it is, if it is one.
    folder: Option<PathBuf>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A store's own text may hold its credentials.
        write!(f, "Place({self})")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.folder {
            Some(folder) => folder.display().fmt(f),
            None => f.write_str(&shown(&self.url)),
        }
    }
}

impl Place {
    /// A folder, which need not be there yet.
    pub fn folder(folder: &FilePath) -> Result<Self, StoreError> {
        Self::folder_on(Arc::new(LocalFileSystem::new()), folder)
    }

    /// A folder behind a store in which paths are those of the file system.
    pub fn folder_on(store: Arc<dyn ObjectStore>, folder: &FilePath) -> Result<Self, StoreError> {
        let wrong =
            |problem: String| StoreError::Url { url: folder.display().to_string(), problem };
        let absolute = resolved(folder).map_err(|error| wrong(error.to_string()))?;
        let url = Url::from_directory_path(&absolute)
            .map_err(|()| wrong("its path cannot be written as a URL".to_owned()))?;
        let prefix = Path::from_url_path(url.path()).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { store, url, prefix, folder: Some(folder.to_owned()) })
    }

    /// The place of a URL, which is asked for to be sure that it can be used.
    pub fn open(text: &str, options: &Options) -> Result<Self, StoreError> {
        let place = Self::at(text, options, Patience::Usual)?;
        if place.folder.is_none() {
            let first = Self::at(text, options, Patience::First)?;
            let asked = crate::wait(first.is_empty());
            asked.map_err(|error| StoreError::of(&first, &error))?;
        }
        Ok(place)
    }

    fn at(text: &str, options: &Options, patience: Patience) -> Result<Self, StoreError> {
        let wrong = |problem: &str| StoreError::Url {
            url: text.split(['?', '#']).next().unwrap_or_default().to_owned(),
            problem: problem.to_owned(),
        };
        let Ok(mut url) = Url::parse(text) else {
            return Err(StoreError::Url {
                url: "the text".to_owned(),
                problem: "it is no URL".to_owned(),
            });
        };
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            let url = shown(&url);
            let problem = "credentials and parameters do not belong into it".to_owned();
            return Err(StoreError::Url { url, problem });
        }
        if url.scheme() == "file" {
            let folder = url.to_file_path().map_err(|()| wrong("it is no path of this machine"))?;
            return Self::folder(&folder);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("it names no bucket"));
        }
        let store = store(&url, options, patience)?;
        let prefix = Path::from_url_path(url.path()).map_err(|_| wrong("its path is none"))?;
        url.set_path(&if prefix.as_ref().is_empty() {
            "/".to_owned()
        } else {
            format!("/{prefix}/")
        });
        Ok(Self { store, url, prefix, folder: None })
    }

    /// The place of this name below.
    pub fn below(&self, name: &str) -> Self {
        let mut below = self.clone();
        for part in name.split('/').filter(|part| !part.is_empty()) {
            below.prefix = below.prefix.join(part);
        }
        below.url.set_path(&format!("{}{name}/", self.url.path()));
        below.folder = self.folder.as_ref().map(|folder| folder.join(name));
        below
    }

    /// The store; its paths begin at its root.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Its URL, with a slash at its end.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Where it begins in its store.
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The folder that it is, if it is one of this machine.
    pub fn local(&self) -> Option<&FilePath> {
        self.folder.as_deref()
    }

    /// The path of a name, as its store has it.
    pub fn path(&self, name: &str) -> Path {
        let parts = name.split('/').filter(|part| !part.is_empty());
        parts.fold(self.prefix.clone(), Path::join)
    }

    /// Whether nothing is there.
    pub async fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.store.list(Some(&self.prefix)).try_next().await?.is_none())
    }

    /// All objects below, by path.
    pub async fn list(&self) -> Result<Vec<Object>, StoreError> {
        let listed = self.store.list(Some(&self.prefix)).try_collect::<Vec<_>>().await;
        let mut all = listed.map_err(|error| StoreError::of(self, &error))?;
        all.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(all)
    }

    /// What an object holds; `None` if there is none.
    pub async fn read(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        let read = async {
            match self.store.get(&self.path(name)).await {
                Ok(found) => found.bytes().await.map(Some),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        read.await.map_err(|error| self.failed(name, &error))
    }

    /// Puts an object, whatever was there.
    pub async fn put(&self, name: &str, bytes: impl Into<Bytes>) -> Result<(), StoreError> {
        let put = self.store.put(&self.path(name), bytes.into().into()).await;
        put.map(drop).map_err(|error| self.failed(name, &error))
    }

    /// Puts an object where there is none; whether it did. Who needs to know whether an object that is
    /// there is its own, because an answer was lost, reads it.
    pub async fn create(&self, name: &str, bytes: impl Into<Bytes>) -> Result<bool, StoreError> {
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&self.path(name), bytes.into().into(), options).await {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(self.failed(name, &error)),
        }
    }

    fn failed(&self, name: &str, error: &Error) -> StoreError {
        StoreError::of(&self.below(name), error)
    }
}

/// The path of a folder from the root, without `..`: a store has none. As the system has it, what is
/// above a link is above what it links to.
fn resolved(folder: &FilePath) -> std::io::Result<PathBuf> {
    let mut path = PathBuf::new();
    for part in std::path::absolute(folder)?.components() {
        if part == Component::ParentDir {
            path = path.canonicalize().unwrap_or(path);
            path.pop();
        } else {
            path.push(part);
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_may_be_above() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir_all(folder.path().join("a/b"))?;
        std::os::unix::fs::symlink(folder.path().join("a/b"), folder.path().join("link"))?;
        for (path, file) in [("a/../x", "x"), ("link/../y", "a/y"), ("none/../z/../w", "w")] {
            let place = Place::folder(&folder.path().join(path))?;
            crate::wait(place.create("k", b"1".to_vec()))?;
            assert!(folder.path().join(file).join("k").is_file(), "{path}");
        }
        Ok(())
    }
}
