//! A store whose requests fail when they are told to.

use std::fmt;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use deployforge_history::object_store::local::LocalFileSystem;
use deployforge_history::object_store::path::Path;
use deployforge_history::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, Result,
};
use deployforge_history::{History, HistoryError};
use futures::StreamExt;
use futures::stream::BoxStream;

/// When requests fail.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Never,
    /// The process ends at this request: before it does anything, or after, and nothing gets through
    /// any more.
    Crash {
        at: u64,
        after: bool,
    },
    /// The same at the write of this number, reads not counted: a process that ends at a read leaves
    /// what one leaves that ends before its next write.
    CrashAtWrite {
        at: u64,
        after: bool,
    },
    /// So many of a thousand fail, half of them after they did what was asked.
    Often {
        permille: u64,
        seed: u64,
    },
}

/// A folder whose requests are counted, and fail.
#[derive(Clone, Debug)]
pub(crate) struct Faulty {
    inner: LocalFileSystem,
    plan: Arc<Mutex<Plan>>,
}

/// What is to come, and how many requests there were.
#[derive(Clone, Copy, Debug)]
struct Plan {
    fault: Fault,
    requests: u64,
    writes: u64,
}

/// What is to become of a request.
enum Fate {
    Pass,
    Fail,
    PassAndFail,
}

impl Faulty {
    pub(crate) fn new(fault: Fault) -> Arc<Self> {
        let plan = Plan { fault, requests: 0, writes: 0 };
        Arc::new(Self { inner: LocalFileSystem::new(), plan: Arc::new(Mutex::new(plan)) })
    }

    /// Counts from now on, and fails as this has it.
    pub(crate) fn begin(&self, fault: Fault) {
        *self.plan.lock().expect("no panic") = Plan { fault, requests: 0, writes: 0 };
    }

    /// How many requests were made.
    pub(crate) fn requests(&self) -> u64 {
        self.plan.lock().expect("no panic").requests
    }

    /// How many of them write.
    pub(crate) fn writes(&self) -> u64 {
        self.plan.lock().expect("no panic").writes
    }

    fn fate(&self, writes: bool) -> Fate {
        let mut plan = self.plan.lock().expect("no panic");
        let (number, write) = (plan.requests, plan.writes);
        plan.requests += 1;
        plan.writes += u64::from(writes);
        let crash = |number: u64, at: u64, after: bool| match number.cmp(&at) {
            std::cmp::Ordering::Less => Fate::Pass,
            std::cmp::Ordering::Equal if after => Fate::PassAndFail,
            _ => Fate::Fail,
        };
        match plan.fault {
            Fault::Never => Fate::Pass,
            Fault::Crash { at, after } => crash(number, at, after),
            Fault::CrashAtWrite { at, .. } if !writes => crash(write, at + 1, false),
            Fault::CrashAtWrite { at, after } => crash(write, at, after),
            Fault::Often { .. } if !writes => Fate::Pass,
            Fault::Often { permille, seed } => {
                let mut mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed;
                mixed = (mixed ^ mixed >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed ^= mixed >> 29;
                match (mixed % 1000 < permille, mixed >> 40 & 1 == 0) {
                    (false, _) => Fate::Pass,
                    (true, true) => Fate::Fail,
                    (true, false) => Fate::PassAndFail,
                }
            }
        }
    }

    /// Makes a request as its fate has it.
    async fn request<T>(&self, writes: bool, make: impl Future<Output = Result<T>>) -> Result<T> {
        let failed = || Error::Generic { store: "faulty", source: "it was cut off".into() };
        match self.fate(writes) {
            Fate::Pass => make.await,
            Fate::Fail => Err(failed()),
            Fate::PassAndFail => make.await.and(Err(failed())),
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.request(true, self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.request(true, self.inner.put_multipart_opts(location, options)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.request(false, self.inner.get_opts(location, options)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let delete = move |location: Result<Path>| {
            let this = this.clone();
            async move {
                let location = location?;
                this.request(true, this.inner.delete(&location)).await.map(|()| location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if matches!(self.fate(false), Fate::Pass) {
            return self.inner.list(prefix);
        }
        let failed = Error::Generic { store: "faulty", source: "it was cut off".into() };
        futures::stream::once(async { Err(failed) }).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.request(false, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.request(true, self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.request(true, self.inner.rename_opts(from, to, options)).await
    }
}

/// Opens a history behind a store, with no pauses.
pub(crate) async fn create(
    store: Arc<dyn ObjectStore>,
    root: &FilePath,
) -> std::result::Result<History, HistoryError> {
    History::create_on(store, root, Duration::ZERO).await
}

/// A folder with all that another holds.
pub(crate) fn copy(from: &FilePath) -> tempfile::TempDir {
    fn all(from: &FilePath, to: &FilePath) {
        std::fs::create_dir_all(to).expect("a folder");
        for entry in std::fs::read_dir(from).expect("a folder") {
            let path = entry.expect("an entry").path();
            let to = to.join(path.file_name().expect("a name"));
            if path.is_dir() {
                all(&path, &to);
            } else {
                std::fs::copy(&path, &to).expect("copied");
            }
        }
    }
    let dir = tempfile::tempdir().expect("a folder");
    all(from, dir.path());
    dir
}
