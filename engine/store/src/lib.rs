//! Places in object stores and folders.
//!
//! A [`Place`] is a prefix of a store: `s3://bucket/prefix`, `gs://bucket/prefix`,
//! `az://container/prefix`, or a folder. It is made from a URL and [`Options`]; what those leave open
//! comes from the environment, as each cloud's own tools have it. Requests that fail for a reason that
//! passes are made again, for [`PATIENCE`] at most.
//!
//! Most of the engine does not wait on a runtime: [`wait`] does that for it, on threads of its own.
//!
//! What is deliberately absent: what is kept at a place, and how writers agree on it. A [`StoreError`]
//! names the place and what to do, and never a credential.
//!
//! ```
//! use deployforge_store::{Place, wait};
//!
//! let folder = tempfile::tempdir()?;
//! let place = Place::folder(folder.path())?;
//! wait(place.create("a/b.json", b"{}".to_vec()))?;
//! assert_eq!(wait(place.read("a/b.json"))?.as_deref(), Some(&b"{}"[..]));
//! assert!(!wait(place.create("a/b.json", b"[]".to_vec()))?, "there is one");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod open;
mod place;
mod transfer;

use std::sync::OnceLock;
use std::time::Duration;

pub use error::{StoreError, said};
pub use object_store;
pub use open::{CLOUDS, Options, PATIENCE, SCHEMES, is_url};
pub use place::{Object, Place};
use tokio::runtime::{Builder, Runtime};

/// Threads that wait for stores.
const THREADS: usize = 2;

/// Runs something of a store to its end, from a thread that is no runtime's.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    runtime().block_on(work)
}

/// Begins something of a store beside what the caller does.
pub fn begin<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    runtime().spawn(work)
}

/// Lets time pass within something that was begun.
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("store")
            .enable_all()
            .build()
            .expect("threads can be started")
    })
}
