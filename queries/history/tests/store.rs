//! A history in a bucket: what a commit says there, and writers that share it.

mod rows;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use deltalake::datafusion::prelude::SessionContext;
use deployforge_history::{History, HistoryError, LedgerError, Place, Step, Table, deltalake};
use deployforge_model::{LastOffset, Moved, Partition};
use deployforge_store::Options;
use deployforge_tests::Bucket;

use rows::rows;

/// A place of a bucket, as a configuration without an environment names it.
fn place(bucket: &Bucket, name: &str) -> Place {
    let options: Options = bucket
        .environment()
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    let url = bucket.place(name);
    // It waits for the first answer, which no runtime's thread may.
    std::thread::spawn(move || Place::open(&url, &options).expect("it answers"))
        .join()
        .expect("no panic")
}

/// One number out of a query over `checks`.
async fn ask(place: &Place, sql: &str) -> i64 {
    let history = History::open_at(place).await.expect("a history");
    let context = SessionContext::new();
    let delta = history.table(Table::Checks);
    delta.update_datafusion_session(&context.state()).expect("a session");
    let provider = delta.table_provider().await.expect("a provider");
    context.register_table("t", provider).expect("a name");
    let found = context.sql(sql).await.expect("a plan").collect().await.expect("rows");
    found[0].column(0).as_primitive::<Int64Type>().value(0)
}

fn step(name: &str, from: i64, to: i64) -> Step {
    let partition = Partition { topic: name.into(), number: 0 };
    let before = (from > 0).then_some(LastOffset(from - 1));
    let moved = Moved { from: before, to: LastOffset(to - 1), after: None };
    Step { moved: [(partition, moved)].into(), ..Step::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_that_share_a_bucket_take_turns() {
    const STEPS: i64 = 6;
    let Some(bucket) = Bucket::shared() else { return };
    let place = place(bucket, "turns");
    let scratch = tempfile::tempdir().expect("a folder");
    let work = |name: &'static str| {
        let (place, scratch) = (place.clone(), scratch.path().to_owned());
        tokio::spawn(async move {
            // All at once make the tables, too.
            let mut history = History::create_at(&place, &scratch).await.expect("opened");
            for from in 0..STEPS {
                let (from, to) = (from * 10, from * 10 + 10);
                let rows = vec![(Table::Checks, rows(Table::Checks, name, from..to))];
                history.commit(&step(name, from, to), rows).await.expect("committed");
            }
        })
    };
    let work = [work("a"), work("b"), work("c")];
    for one in work {
        one.await.expect("no panic");
    }
    let history = History::create_at(&place, scratch.path()).await.expect("opened");
    assert_eq!(history.last_commit(), 3 * STEPS as u64);
    assert_eq!(ask(&place, "select count(*) from t").await, 30 * STEPS);
    let first = Table::Checks.schema();
    let first = first.fields().iter().find(|field| field.data_type() == &DataType::Int64);
    let first = first.expect("a number").name().clone();
    let distinct = format!("select count(*) from (select distinct source, \"{first}\" from t)");
    assert_eq!(ask(&place, &distinct).await, 30 * STEPS);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fenced_or_dropped_leaves_nothing_in_the_bucket() {
    let Some(bucket) = Bucket::shared() else { return };
    let url = place(bucket, "fenced");
    let scratch = tempfile::tempdir().expect("a folder");
    let mut old = History::create_at(&url, scratch.path()).await.expect("a history");
    let mut new = History::create_at(&url, scratch.path()).await.expect("the same");
    let files = || async {
        let objects = url.below("checks").list().await.expect("a listing");
        objects.iter().filter(|one| one.location.as_ref().ends_with(".parquet")).count()
    };
    new.commit(&step("a", 0, 10), vec![(Table::Checks, rows(Table::Checks, "a", 0..10))])
        .await
        .expect("done");
    let fenced =
        old.commit(&step("a", 0, 10), vec![(Table::Checks, rows(Table::Checks, "a", 0..10))]).await;
    let fenced = fenced.expect_err("it stands elsewhere");
    assert!(matches!(fenced, HistoryError::Ledger(LedgerError::Fenced { .. })), "{fenced}");
    drop(new.write(Table::Checks, &[rows(Table::Checks, "a", 10..20)]).expect("written"));
    assert_eq!(files().await, 1);
    let left = std::fs::read_dir(scratch.path()).expect("our own folder").count();
    assert_eq!(left, 0, "what waits for its upload has no name");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_put_where_nothing_is_one_does() {
    let Some(bucket) = Bucket::shared() else { return };
    let place = place(bucket, "puts");
    for number in 0..25 {
        let name = format!("{number}.json");
        let put = |writer: u8| {
            let (place, name) = (place.clone(), name.clone());
            tokio::spawn(async move { place.create(&name, vec![writer]).await.expect("answered") })
        };
        let puts: Vec<_> = (0..16).map(put).collect();
        let mut winners = Vec::new();
        for (writer, put) in puts.into_iter().enumerate() {
            if put.await.expect("no panic") {
                winners.push(writer as u8);
            }
        }
        let held = place.read(&name).await.expect("read").expect("one was put");
        assert_eq!(winners, held.as_ref(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_goes_up_in_parts() {
    let Some(bucket) = Bucket::shared() else { return };
    let place = place(bucket, "large");
    let folder = tempfile::tempdir().expect("a folder");
    let bytes: Vec<u8> = (0..20_000_003_u32).map(|n| (n % 253) as u8).collect();
    std::fs::write(folder.path().join("up"), &bytes).expect("written");
    let file = std::fs::File::open(folder.path().join("up")).expect("a file");
    place.upload("large", &file).await.expect("uploaded");
    let down = std::fs::File::create(folder.path().join("down")).expect("a file");
    place.download("large", &down).await.expect("downloaded");
    assert!(std::fs::read(folder.path().join("down")).expect("read") == bytes);
}
