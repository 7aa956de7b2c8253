//! What is written reads back the same: by a plain Parquet reader, and through the Delta table.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use deltalake::datafusion::prelude::SessionContext;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake::parquet::file::statistics::Statistics;
use deployforge_history::{History, HistoryError, Step, Table, deltalake};
use serde_json::Value;

/// Numbers that look random and are always the same.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Text as tables have it: often the same, now and then empty, long, or of many bytes.
    fn text(&mut self, unique: bool) -> String {
        match self.below(if unique { 4 } else { 40 }) {
            0 => String::new(),
            1 => format!("{}{}", "ä€😀".repeat(20), self.below(1_000_000_000)),
            2 | 3 => format!("value {}", self.below(1_000_000_000)),
            n => format!("/kind/{}", n % 7),
        }
    }
}

/// Rows of a table. Columns that may be null are so now and then, the fifth one always.
fn rows(table: Table, count: usize, random: &mut Random) -> RecordBatch {
    let schema = table.schema();
    let mut nullable = 0;
    let columns = schema.fields().iter().enumerate().map(|(at, field)| {
        nullable += usize::from(field.is_nullable());
        let always = field.is_nullable() && nullable == 5;
        let mut null = || always || field.is_nullable() && random.below(3) == 0;
        let nulls: Vec<bool> = (0..count).map(|_| null()).collect();
        column(field, at, &nulls, random)
    });
    let columns = columns.collect();
    RecordBatch::try_new(schema.clone(), columns).expect("the columns follow the schema")
}

fn column(field: &Field, at: usize, nulls: &[bool], random: &mut Random) -> ArrayRef {
    let each = nulls.iter().map(|null| !null);
    match field.data_type() {
        DataType::Utf8 => {
            let unique = at % 3 == 1;
            let values = each.map(|there| Some(random.text(unique)).filter(|_| there));
            Arc::new(values.collect::<StringArray>())
        }
        DataType::Int64 => {
            let values = each.map(|there| {
                let value =
                    if random.below(9) == 0 { i64::MIN } else { 5 - random.below(99) as i64 };
                Some(value).filter(|_| there)
            });
            Arc::new(values.collect::<Int64Array>())
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let values = each.map(|there| {
                Some(1_790_000_000_000_000 + random.below(1 << 40) as i64).filter(|_| there)
            });
            let array = values.collect::<TimestampMicrosecondArray>();
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        DataType::Float64 => {
            let values = each.map(|there| Some(random.below(1000) as f64 / 8.0).filter(|_| there));
            Arc::new(values.collect::<Float64Array>())
        }
        DataType::Boolean => {
            let values = each.map(|there| Some(random.below(2) == 0).filter(|_| there));
            Arc::new(values.collect::<BooleanArray>())
        }
        other => panic!("no table has {other}"),
    }
}

async fn history(dir: &tempfile::TempDir) -> History {
    History::create(dir.path()).await.expect("a new history")
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("our own folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.is_file()).collect()
}

/// All rows of a file, by a reader that knows nothing of Delta.
fn read(path: &Path) -> RecordBatch {
    let file = std::fs::File::open(path).expect("the file");
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file");
    let schema = builder.schema().clone();
    let reader = builder.with_batch_size(10_000).build().expect("a reader");
    let batches: Vec<RecordBatch> = reader.map(|batch| batch.expect("rows")).collect();
    concat_batches(&schema, &batches).expect("one schema")
}

/// All rows of a query over a table, with text as plain text.
async fn query(history: &History, table: Table, sql: &str) -> RecordBatch {
    let context = SessionContext::new();
    let history = History::open_at(history.place()).await.expect("a reader");
    let delta = history.table(table);
    delta.update_datafusion_session(&context.state()).expect("a session");
    let provider = delta.table_provider().await.expect("a provider");
    context.register_table("t", provider).expect("a name");
    let frame = context.sql(sql).await.expect("a plan");
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.expect("rows");
    let batch = concat_batches(&schema, &batches).expect("one schema");
    let fields = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        let text = *column.data_type() == DataType::Utf8View;
        let column =
            if text { cast(column, &DataType::Utf8).expect("text") } else { column.clone() };
        (Field::new(field.name(), column.data_type().clone(), field.is_nullable()), column)
    });
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = fields.unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("the same columns")
}

/// What the log says of the one file of a table.
fn logged(history: &History, table: Table) -> Value {
    let log = history
        .place()
        .local()
        .expect("a folder")
        .join(table.name())
        .join("_delta_log/00000000000000000001.json");
    let text = std::fs::read_to_string(log).expect("the first commit");
    let mut actions = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let add = actions.find_map(|action| action.get("add").cloned()).expect("a file");
    serde_json::from_str(add["stats"].as_str().expect("statistics")).expect("JSON")
}

/// Batches of several sizes, one of them cut out of another so that nothing begins at a byte.
fn batches(table: Table) -> Vec<RecordBatch> {
    let mut random = Random(7);
    let large = rows(table, 70_003, &mut random);
    let empty = large.slice(0, 0);
    vec![
        rows(table, 3, &mut random),
        empty,
        large.slice(13, 69_001),
        rows(table, 2_000, &mut random),
    ]
}

#[tokio::test]
async fn every_table_reads_back_as_it_was_written() {
    for table in Table::ALL {
        let dir = tempfile::tempdir().expect("a folder");
        let mut history = history(&dir).await;
        let batches = batches(table);
        let whole = concat_batches(&table.schema(), &batches).expect("one schema");
        let rows = batches.into_iter().map(|batch| (table, batch)).collect();
        history.commit(&Step::default(), rows).await.expect("committed");
        let files = names(&dir.path().join(table.name()));
        let [file] = &files[..] else { panic!("one file per table: {files:?}") };
        assert!(file.to_string_lossy().ends_with("-c000.zstd.parquet"), "{}", file.display());
        assert_eq!(read(file), whole, "{}", table.name());
        // One file, one reader: rows come as they stand.
        let seen = query(&history, table, "SELECT * FROM t").await;
        for (at, field) in table.schema().fields().iter().enumerate() {
            assert_eq!(seen.column(at), whole.column(at), "{} {}", table.name(), field.name());
        }
    }
}

#[tokio::test]
async fn what_is_written_and_not_committed_is_not_seen() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut history = history(&dir).await;
    let folder = dir.path().join("rejects");
    let mut random = Random(1);
    let first = history.write(Table::Rejects, &[rows(Table::Rejects, 5, &mut random)]);
    let first = first.expect("written");
    assert_eq!((first.table(), first.rows(), names(&folder).len()), (Table::Rejects, 5, 1));
    assert_eq!(first.bytes(), names(&folder)[0].metadata().expect("the file").len());
    let count = "SELECT count(*) AS n FROM t";
    let seen = query(&history, Table::Rejects, count).await;
    assert_eq!(seen.column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0), 0);
    let again = History::open(dir.path()).await.expect("a history");
    assert_eq!(again.last_commit(), 0);
    // Thrown away: its file goes too.
    drop(history.write(Table::Rejects, &[rows(Table::Rejects, 9, &mut random)]).expect("written"));
    assert_eq!(names(&folder).len(), 1);
    // Another thread writes while this one has the history.
    let (writer, more) = (history.writer(), rows(Table::Rejects, 2, &mut random));
    let second = std::thread::spawn(move || writer.write(Table::Rejects, &[more]));
    let second = second.join().expect("no panic").expect("written");
    let nothing = history.write(Table::Checks, &[]).expect("nothing to write");
    history
        .commit_written(&Step::default(), vec![first, nothing, second])
        .await
        .expect("committed");
    assert_eq!(history.table(Table::Rejects).version(), Some(0), "as of opening");
    history.refresh().await.expect("read anew");
    assert_eq!(history.table(Table::Rejects).version(), Some(1));
    assert_eq!(history.table(Table::Checks).version(), Some(0));
    let seen = query(&history, Table::Rejects, count).await;
    assert_eq!(seen.column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0), 7);
    assert_eq!(history.last_commit(), 1);
}

#[tokio::test]
async fn rows_that_do_not_fit_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut history = history(&dir).await;
    let good = rows(Table::Rejects, 2, &mut Random(1));
    let cut = good.project(&(0..9).collect::<Vec<_>>()).expect("columns");
    let turned = good.project(&[1, 0, 2, 3, 4, 5, 6, 7, 8, 9]).expect("columns");
    let schema = good.schema();
    let views = schema.fields().iter().zip(good.columns()).map(|(field, column)| {
        let text = *field.data_type() == DataType::Utf8;
        let kind = if text { DataType::Utf8View } else { field.data_type().clone() };
        (field.name().clone(), cast(column, &kind).expect("castable"), false)
    });
    let views = RecordBatch::try_from_iter_with_nullable(views).expect("rows");
    for (bad, text) in [
        (cut, "its column is `committed_at` of Timestamp(µs, \"UTC\"), never null, theirs is none"),
        (turned, "its column is `reject_id` of Utf8, never null, theirs is `source` of Utf8"),
        (views, "is `reject_id` of Utf8, never null, theirs is `reject_id` of Utf8View"),
        (rows(Table::Checks, 1, &mut Random(1)), "rows for the table rejects do not fit it"),
    ] {
        let (step, rows) =
            (Step::default(), vec![(Table::Rejects, good.clone()), (Table::Rejects, bad)]);
        let refused = history.commit(&step, rows);
        let error = refused.await.expect_err("refused");
        assert!(matches!(error, HistoryError::Rows { table: "rejects", .. }));
        assert!(error.to_string().contains(text), "{error}");
    }
    assert!(names(&dir.path().join("rejects")).is_empty());
    assert_eq!(history.last_commit(), 0);
}

/// The rows with other values in some columns.
fn with(batch: &RecordBatch, values: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let mut columns = batch.columns().to_vec();
    for (name, column) in values {
        columns[batch.schema().index_of(name).expect("a column")] = column;
    }
    RecordBatch::try_new(batch.schema(), columns).expect("the same types")
}

/// 2026-11-20T10:00:00.000001Z
const AT: i64 = 1_795_168_800_000_001;

fn three_verdicts() -> RecordBatch {
    let text = |values: [Option<&str>; 3]| -> ArrayRef { Arc::new(StringArray::from_iter(values)) };
    let ints = |values: [Option<i64>; 3]| -> ArrayRef { Arc::new(Int64Array::from_iter(values)) };
    let times = |values: [Option<i64>; 3]| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter(values).with_timezone("UTC"))
    };
    let long = format!("arn:{}", "é".repeat(40));
    with(
        &rows(Table::Verdicts, 3, &mut Random(3)),
        vec![
            ("sequence", ints([Some(-3), Some(12), Some(0)])),
            ("id", text([Some(&long), Some("z"), Some("")])),
            ("account", text([Some(&long), Some(&long), Some(&long)])),
            ("address", text([None, None, None])),
            ("reason", text([Some("stale"), None, None])),
            ("verdict", text([None, Some("drifted"), Some("drifted")])),
            ("version", ints([None, None, None])),
            ("score", Arc::new(Float64Array::from(vec![0.0, -1.5, 33.25]))),
            ("last_observed_at", times([None, Some(AT), Some(-1)])),
            ("committed_at", times([Some(AT), Some(AT), Some(AT)])),
        ],
    )
}

#[tokio::test]
async fn the_log_tells_nulls_and_bounds() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut history = history(&dir).await;
    history
        .commit(&Step::default(), vec![(Table::Verdicts, three_verdicts())])
        .await
        .expect("committed");
    let stats = logged(&history, Table::Verdicts);
    assert_eq!(stats["numRecords"], 3);
    let prefix = format!("arn:{}", "é".repeat(28));
    let raised = format!("arn:{}ê", "é".repeat(27));
    for (column, nulls, least, greatest) in [
        ("sequence", 0, Some((-3).into()), Some(12.into())),
        ("id", 0, Some("".into()), Some("z".into())),
        ("account", 0, Some(prefix.into()), Some(raised.into())),
        ("address", 3, None, None),
        ("reason", 2, None, None),
        ("verdict", 1, Some("drifted".into()), Some("drifted".into())),
        ("version", 3, None, None),
        ("score", 0, Some((-1.5).into()), Some(33.25.into())),
        (
            "last_observed_at",
            1,
            Some("1969-12-31T23:59:59.999Z".into()),
            Some("2026-11-20T10:00:00.001Z".into()),
        ),
        (
            "committed_at",
            0,
            Some("2026-11-20T10:00:00Z".into()),
            Some("2026-11-20T10:00:00.001Z".into()),
        ),
    ] {
        let _: (&Option<Value>, &Option<Value>) = (&least, &greatest);
        assert_eq!(stats["nullCount"][column], nulls, "{column}");
        assert_eq!(stats["minValues"].get(column), least.as_ref(), "{column}");
        assert_eq!(stats["maxValues"].get(column), greatest.as_ref(), "{column}");
    }
    let columns = Table::Verdicts.schema().fields().len();
    assert_eq!(stats["nullCount"].as_object().map(serde_json::Map::len), Some(columns));
}

/// Bounds decide which files a query opens: those at their edges must still find their rows.
#[tokio::test]
async fn queries_at_the_bounds_find_their_rows() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut history = history(&dir).await;
    history
        .commit(&Step::default(), vec![(Table::Verdicts, three_verdicts())])
        .await
        .expect("committed");
    let long = format!("arn:{}", "é".repeat(40));
    for (condition, found) in [
        (format!("account = '{long}'"), 3),
        (format!("account > 'arn:{}'", "é".repeat(39)), 3),
        (format!("account >= 'arn:{}ê'", "é".repeat(27)), 0),
        (format!("id = '{long}'"), 1),
        ("id = ''".to_owned(), 1),
        ("id >= 'z'".to_owned(), 1),
        ("committed_at >= '2026-11-20T10:00:00.000001Z'".to_owned(), 3),
        ("committed_at > '2026-11-20T10:00:00.000001Z'".to_owned(), 0),
        ("last_observed_at < '1970-01-01T00:00:00Z'".to_owned(), 1),
        ("sequence < -2".to_owned(), 1),
        ("score = 33.25".to_owned(), 1),
        ("version IS NULL".to_owned(), 3),
        ("address IS NOT NULL".to_owned(), 0),
        ("verdict IS NULL".to_owned(), 1),
        ("reason = 'stale'".to_owned(), 1),
    ] {
        let sql = format!("SELECT sequence FROM t WHERE {condition}");
        let seen = query(&history, Table::Verdicts, &sql).await;
        assert_eq!(seen.num_rows(), found, "{condition}");
    }
    let sql =
        "SELECT min(id), max(account), max(committed_at), min(sequence), count(verdict) FROM t";
    let seen = query(&history, Table::Verdicts, sql).await;
    assert_eq!(seen.column(0).as_string::<i32>().value(0), "");
    assert_eq!(seen.column(1).as_string::<i32>().value(0), long);
    let time = seen.column(2).as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    assert_eq!(time.value(0), AT);
    assert_eq!(seen.column(3).as_primitive::<arrow::datatypes::Int64Type>().value(0), -3);
    assert_eq!(seen.column(4).as_primitive::<arrow::datatypes::Int64Type>().value(0), 2);
}

#[tokio::test]
async fn a_footer_tells_nulls_and_bounds() {
    let dir = tempfile::tempdir().expect("a folder");
    let history = history(&dir).await;
    let _written = history.write(Table::Verdicts, &[three_verdicts()]).expect("written");
    let files = names(&dir.path().join("verdicts"));
    let file = std::fs::File::open(&files[0]).expect("the file");
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file");
    // The table's own types, not those of some Arrow writer.
    assert_eq!(builder.schema().fields(), Table::Verdicts.schema().fields());
    let group = builder.metadata().row_group(0).clone();
    let stats = |name: &str| {
        let column = group.columns().iter().find(|column| column.column_descr().name() == name);
        column.and_then(|column| column.statistics()).expect("statistics").clone()
    };
    let Statistics::Int64(sequence) = stats("sequence") else { panic!("integers") };
    assert_eq!((sequence.min_opt(), sequence.max_opt()), (Some(&-3), Some(&12)));
    let account = stats("account");
    let kept = format!("arn:{}", "é".repeat(30));
    assert_eq!(account.min_bytes_opt(), Some(kept.as_bytes()));
    assert!(account.max_bytes_opt().expect("a bound") > kept.as_bytes());
    assert!(!account.min_is_exact() && !account.max_is_exact());
    for (name, nulls) in [("address", 3), ("version", 3), ("reason", 2), ("id", 0)] {
        assert_eq!(stats(name).null_count_opt(), Some(nulls), "{name}");
    }
    assert_eq!(stats("address").min_bytes_opt(), None);
    assert_eq!(group.num_rows(), 3);
}

/// A unit of validity is a bit: whatever the cut, the right rows are null.
#[tokio::test]
async fn pieces_of_a_batch_keep_their_nulls() {
    let dir = tempfile::tempdir().expect("a folder");
    let history = history(&dir).await;
    let whole = rows(Table::Observations, 500, &mut Random(11));
    for (start, count) in [(0, 1), (1, 7), (3, 300), (9, 491), (17, 64), (499, 1)] {
        let part = whole.slice(start, count);
        let written = history.write(Table::Observations, &[part.clone(), part.slice(0, count / 2)]);
        let written = written.expect("written");
        let files = names(&dir.path().join("observations"));
        let seen = read(&files[0]);
        assert_eq!(seen.slice(0, count), part);
        assert_eq!(seen.slice(count, count / 2), part.slice(0, count / 2));
        assert!(seen.columns().iter().any(|column| column.null_count() > 0) || count == 1);
        drop(written);
    }
}

/// Arrow allows bytes under a null; they belong to no value.
#[tokio::test]
async fn bytes_under_a_null_are_not_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let history = history(&dir).await;
    // Unique, so that there is no dictionary.
    let count = 3000;
    let values: Vec<String> = (0..count).map(|row| format!("{{\"row\":{row}}}")).collect();
    let (offsets, bytes, _) = StringArray::from_iter_values(&values).into_parts();
    let nulls: NullBuffer = (0..count).map(|row| row % 3 != 1).collect();
    let state: ArrayRef = Arc::new(StringArray::new(offsets, bytes, Some(nulls)));
    let batch = rows(Table::Observations, count, &mut Random(5));
    let batch = with(&batch, vec![("state", state)]);
    let _written =
        history.write(Table::Observations, std::slice::from_ref(&batch)).expect("written");
    assert_eq!(read(&names(&dir.path().join("observations"))[0]), batch);
}
