//! Commits that are cut short, tried twice, or made by two writers: at the end the tables hold each row
//! once, and the frontier tells which.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Int64Type};
use async_trait::async_trait;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deployforge_history::object_store::local::LocalFileSystem;
use deployforge_history::object_store::path::Path;
use deployforge_history::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use deployforge_history::{History, HistoryError, LedgerError, Step, Table, deltalake};
use deployforge_model::{LastOffset, Moved, Partition};
use futures::StreamExt;
use futures::stream::BoxStream;

/// When requests fail.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Never,
    /// The process ends at this request: before it does anything, or after, and nothing gets through
    /// any more.
    Crash {
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
#[derive(Debug)]
struct Faulty {
    inner: LocalFileSystem,
    fault: Fault,
    requests: AtomicU64,
}

/// What is to become of a request.
enum Fate {
    Pass,
    Fail,
    PassAndFail,
}

impl Faulty {
    fn new(fault: Fault) -> Arc<Self> {
        Arc::new(Self { inner: LocalFileSystem::new(), fault, requests: AtomicU64::new(0) })
    }

    fn fate(&self, writes: bool) -> Fate {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Fault::Never => Fate::Pass,
            Fault::Crash { at, after } => match number.cmp(&at) {
                std::cmp::Ordering::Less => Fate::Pass,
                std::cmp::Ordering::Equal if after => Fate::PassAndFail,
                _ => Fate::Fail,
            },
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
        self.inner.delete_stream(locations)
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

/// Rows of a table that carry offsets: `source` is the partition, the first number the offset.
fn rows(table: Table, partition: &str, offsets: std::ops::Range<i64>) -> RecordBatch {
    let length = (offsets.end - offsets.start) as usize;
    let mut first = true;
    let schema = table.schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.data_type() {
            DataType::Int64 if std::mem::take(&mut first) => {
                Arc::new(Int64Array::from_iter_values(offsets.clone()))
            }
            DataType::Utf8 if field.name() == "source" => {
                Arc::new(StringArray::from_iter_values(offsets.clone().map(|_| partition)))
            }
            _ if field.is_nullable() => new_null_array(field.data_type(), length),
            other => {
                let zeros: ArrayRef = Arc::new(Int64Array::from(vec![0; length]));
                arrow::compute::cast(&zeros, other).expect("a number casts to it")
            }
        }
    });
    RecordBatch::try_new(table.schema(), columns.collect()).expect("the columns follow the schema")
}

/// The tables that a step writes to.
const WRITTEN: [Table; 3] = [Table::Findings, Table::Checks, Table::Verdicts];

/// How many offsets a step takes.
const STEP: i64 = 10;

fn partition(name: &str) -> Partition {
    Partition { topic: name.into(), number: 0 }
}

/// Commits one step of a partition from where it stands.
async fn step(
    history: &mut History,
    name: &str,
    from: i64,
) -> std::result::Result<u64, HistoryError> {
    let moved =
        Moved { from: (from > 0).then_some(LastOffset(from - 1)), to: LastOffset(from + STEP - 1) };
    let step = Step { moved: BTreeMap::from([(partition(name), moved)]), ..Step::default() };
    let rows = WRITTEN.map(|table| (table, rows(table, name, from..from + STEP)));
    history.commit(&step, rows.into()).await
}

/// The next offset of a partition.
fn stands(history: &History, name: &str) -> i64 {
    history.frontier().get(&partition(name)).map_or(0, |last| last.next().0)
}

/// Each table holds each offset of the partitions once.
async fn holds(root: &FilePath, partitions: &[(&str, i64)]) {
    let history = History::open(root).await.expect("a history");
    for table in WRITTEN {
        let mut seen: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for file in history.table(table).get_file_uris().expect("a snapshot") {
            let path = file.strip_prefix("file://").unwrap_or(&file);
            let file = std::fs::File::open(path).expect("the table names its files");
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file");
            for batch in reader.build().expect("a reader") {
                let batch = batch.expect("rows");
                let numbers =
                    batch.columns().iter().find_map(|c| c.as_primitive_opt::<Int64Type>());
                let source = batch.column_by_name("source").expect("a source").as_string::<i32>();
                for (source, n) in source.iter().zip(numbers.expect("a number").values()) {
                    seen.entry(source.expect("a name").to_owned()).or_default().push(*n);
                }
            }
        }
        seen.values_mut().for_each(|offsets| offsets.sort_unstable());
        let want = partitions.iter().map(|(name, end)| ((*name).to_owned(), (0..*end).collect()));
        assert_eq!(seen, want.collect(), "{}", table.name());
    }
}

/// Files that no table names, after a last look at all of them.
fn data_files(root: &FilePath) -> usize {
    let files =
        |table: Table| std::fs::read_dir(root.join(table.name())).expect("a table").count() - 1;
    Table::ALL.into_iter().map(files).sum()
}

#[tokio::test]
async fn a_crash_before_any_request_loses_nothing_and_repeats_nothing() {
    crash_at_any_request(false).await;
}

#[tokio::test]
async fn a_crash_after_any_request_loses_nothing_and_repeats_nothing() {
    crash_at_any_request(true).await;
}

async fn crash_at_any_request(after: bool) {
    let template = tempfile::tempdir().expect("a folder");
    drop(History::create(template.path()).await.expect("a history"));
    // How many requests opening takes, and two commits.
    let (opening, requests) = {
        let dir = copy(template.path());
        let store = Faulty::new(Fault::Never);
        let mut history = create(store.clone(), dir.path()).await.expect("opened");
        let opening = store.requests.load(Ordering::Relaxed);
        step(&mut history, "a", 0).await.expect("committed");
        step(&mut history, "a", STEP).await.expect("committed");
        (opening, store.requests.load(Ordering::Relaxed))
    };
    assert!(requests > opening + 20, "{opening} {requests}");
    let (mut early, mut late) = (0, 0);
    for at in opening - 3..requests {
        let dir = copy(template.path());
        let store = Faulty::new(Fault::Crash { at, after });
        if let Ok(mut history) = create(store, dir.path()).await
            && step(&mut history, "a", 0).await.is_ok()
        {
            let _ = step(&mut history, "a", STEP).await;
        }
        // Another process finds what was left, and goes on from there.
        let mut history = History::create(dir.path()).await.expect("recovered");
        let from = stands(&history, "a");
        early += u64::from(from == 0);
        late += u64::from(from > 0);
        for from in (from..3 * STEP).step_by(STEP as usize) {
            step(&mut history, "a", from).await.expect("committed");
        }
        holds(dir.path(), &[("a", 3 * STEP)]).await;
    }
    assert!(early >= 3 && late > 20, "{early} {late}");
}

async fn create(
    store: Arc<dyn ObjectStore>,
    root: &FilePath,
) -> std::result::Result<History, HistoryError> {
    History::create_on(store, root, Duration::ZERO).await
}

/// A folder with all that another holds.
fn copy(from: &FilePath) -> tempfile::TempDir {
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

#[tokio::test]
async fn requests_that_often_fail_lose_nothing_and_repeat_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(History::create(dir.path()).await.expect("a history"));
    let mut opened = 0;
    let mut from = 0;
    while from < 20 * STEP {
        opened += 1;
        assert!(opened < 200, "it gets nowhere");
        let fault = Fault::Often { permille: 500, seed: opened };
        let mut history = create(Faulty::new(fault), dir.path()).await.expect("reads pass");
        from = stands(&history, "a");
        while from < 20 * STEP && step(&mut history, "a", from).await.is_ok() {
            from += STEP;
        }
    }
    drop(History::create(dir.path()).await.expect("recovered"));
    holds(dir.path(), &[("a", 20 * STEP)]).await;
}

#[tokio::test]
async fn a_writer_that_lost_a_partition_is_fenced() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut old = History::create(dir.path()).await.expect("a history");
    step(&mut old, "a", 0).await.expect("committed");
    let mut new = History::create(dir.path()).await.expect("another writer");
    assert_eq!(stands(&new, "a"), STEP);
    step(&mut new, "a", STEP).await.expect("committed");
    let files = data_files(dir.path());
    let fenced = step(&mut old, "a", STEP).await.expect_err("it stands elsewhere");
    assert!(matches!(fenced, HistoryError::Ledger(LedgerError::Fenced { .. })), "{fenced}");
    assert_eq!(data_files(dir.path()), files, "what it wrote is gone");
    // It goes on with what is its own.
    step(&mut old, "b", 0).await.expect("committed");
    step(&mut new, "a", 2 * STEP).await.expect("committed");
    holds(dir.path(), &[("a", 3 * STEP), ("b", STEP)]).await;
}

#[tokio::test]
async fn writers_that_share_a_history_take_turns() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(History::create(dir.path()).await.expect("a history"));
    let work = |name: &'static str| {
        let root = dir.path().to_owned();
        async move {
            let mut history = History::create(&root).await.expect("opened");
            for from in (0..8 * STEP).step_by(STEP as usize) {
                step(&mut history, name, from).await.expect("committed");
            }
            history.last_commit()
        }
    };
    let numbers = futures::join!(work("a"), work("b"), work("c"));
    let last = numbers.0.max(numbers.1).max(numbers.2);
    assert_eq!(last, 24);
    holds(dir.path(), &[("a", 8 * STEP), ("b", 8 * STEP), ("c", 8 * STEP)]).await;
}
