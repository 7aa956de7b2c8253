//! Commits of rows that tell where they come from: a partition is known to be whole if each table holds
//! each of its offsets once.

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deployforge_history::{History, HistoryError, Step, Table, deltalake};
use deployforge_model::{LastOffset, Moved, Partition};

pub(crate) use crate::rows::rows;

/// The tables that a step writes to.
pub(crate) const WRITTEN: [Table; 3] = [Table::Findings, Table::Checks, Table::Verdicts];

/// How many offsets a step takes.
pub(crate) const STEP: i64 = 10;

pub(crate) fn partition(name: &str) -> Partition {
    Partition { topic: name.into(), number: 0 }
}

/// Commits one step of a partition from where it stands.
pub(crate) async fn step(
    history: &mut History,
    name: &str,
    from: i64,
) -> Result<u64, HistoryError> {
    let (before, to) = ((from > 0).then_some(LastOffset(from - 1)), LastOffset(from + STEP - 1));
    let after = Some(history.states().get(&partition(name)).map_or(0, |state| state.commit));
    // What is known of the partition is the offsets below.
    let known = rows(Table::Checks, name, from..from + STEP);
    let state = history.write_states(&BTreeMap::from([(partition(name), known)])).await?;
    let mut parts =
        history.states().remove(&partition(name)).map(|state| state.parts).unwrap_or_default();
    parts.extend(state.into_values());
    let step = Step {
        moved: BTreeMap::from([(partition(name), Moved { from: before, to, after })]),
        states: BTreeMap::from([(partition(name), parts)]),
        ..Step::default()
    };
    let rows = WRITTEN.map(|table| (table, rows(table, name, from..from + STEP)));
    history.commit(&step, rows.into()).await
}

/// The next offset of a partition.
pub(crate) fn stands(history: &History, name: &str) -> i64 {
    history.frontier().get(&partition(name)).map_or(0, |last| last.next().0)
}

/// The state of a partition speaks of each offset up to where it stands, once and in order.
pub(crate) async fn knows(history: &History, name: &str, end: i64) {
    let parts = &history.states()[&partition(name)].parts;
    let state = history.read_state(parts).await.expect("what a commit names is there");
    let mut offsets = Vec::new();
    for batch in &state {
        let numbers = batch.columns().iter().find_map(|c| c.as_primitive_opt::<Int64Type>());
        offsets.extend_from_slice(numbers.expect("a number").values());
    }
    assert_eq!(offsets, (0..end).collect::<Vec<i64>>());
    assert_eq!(parts.iter().map(|part| part.rows).sum::<u64>(), end as u64);
}

/// Each table holds each offset of the partitions once.
pub(crate) async fn holds(root: &FilePath, partitions: &[(&str, i64)]) {
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
