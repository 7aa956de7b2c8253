//! Whole files into a store and out of it.

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{Error, ObjectStoreExt, WriteMultipart};

use crate::{Place, StoreError};

/// What goes up in one request; a larger file in parts of this size.
const PART_BYTES: usize = 8 << 20;

/// Parts of a file that are under way at once.
const PARTS_AT_ONCE: usize = 4;

impl Place {
    /// Puts a file, all of it, under a name.
    pub async fn upload(&self, name: &str, file: &File) -> Result<(), StoreError> {
        self.send(name, file).await.map_err(|error| StoreError::of(&self.below(name), &error))
    }

    async fn send(&self, name: &str, mut file: &File) -> Result<(), Error> {
        let path = self.path(name);
        file.rewind().map_err(failed)?;
        let first = part(file).map_err(failed)?;
        if first.len() < PART_BYTES {
            return self.store().put(&path, first.into()).await.map(drop);
        }
        let upload = self.store().put_multipart(&path).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut next = first;
        while !next.is_empty() {
            upload.put(next);
            upload.wait_for_capacity(PARTS_AT_ONCE).await?;
            next = part(file).map_err(failed)?;
        }
        upload.finish().await.map(drop)
    }

    /// Writes what an object holds into a file.
    pub async fn download(&self, name: &str, file: &File) -> Result<(), StoreError> {
        self.fetch(name, file).await.map_err(|error| StoreError::of(&self.below(name), &error))
    }

    async fn fetch(&self, name: &str, mut file: &File) -> Result<(), Error> {
        let mut stream = self.store().get(&self.path(name)).await?.into_stream();
        while let Some(bytes) = stream.try_next().await? {
            file.write_all(&bytes).map_err(failed)?;
        }
        file.sync_all().map_err(failed)
    }
}

fn failed(error: io::Error) -> Error {
    Error::Generic { store: "file", source: Box::new(error) }
}

/// The next part of a file; empty at its end.
fn part(file: &File) -> io::Result<Bytes> {
    let mut part = Vec::with_capacity(PART_BYTES);
    file.take(PART_BYTES as u64).read_to_end(&mut part)?;
    Ok(part.into())
}
