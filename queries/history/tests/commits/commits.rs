//! Commits that are cut short, tried twice, or made by two writers.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::time::Duration;

use deployforge_history::{History, HistoryError, LedgerError, Step, Table};
use deployforge_model::{LastOffset, Moved};

use crate::faulty::{Fault, Faulty, copy, create};
use crate::steps::{STEP, holds, knows, partition, rows, stands, step};

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
        let opening = store.requests();
        step(&mut history, "a", 0).await.expect("committed");
        step(&mut history, "a", STEP).await.expect("committed");
        (opening, store.requests())
    };
    assert!(requests >= opening + 12, "{opening} {requests}");
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
        knows(&history, "a", 3 * STEP).await;
        holds(dir.path(), &[("a", 3 * STEP)]).await;
    }
    assert!(early >= 3 && late > 6, "{early} {late}");
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
    let history = History::create(dir.path()).await.expect("recovered");
    knows(&history, "a", 20 * STEP).await;
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

/// State can change where no offset does, such as when a baseline does.
#[tokio::test]
async fn a_writer_that_does_not_know_the_last_state_is_fenced() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut old = History::create(dir.path()).await.expect("a history");
    step(&mut old, "a", 0).await.expect("committed");
    let mut new = History::create(dir.path()).await.expect("another writer");
    let at = Some(LastOffset(STEP - 1));
    let stays = Moved { from: at, to: LastOffset(STEP - 1), after: Some(1) };
    let moved = BTreeMap::from([(partition("a"), stays)]);
    let judged = Step { moved, ..Step::default() };
    let rows = vec![(Table::Rejects, rows(Table::Rejects, "other", 0..1))];
    new.commit(&judged, rows).await.expect("committed");
    let fenced = step(&mut old, "a", STEP).await.expect_err("the state is another");
    assert!(matches!(fenced, HistoryError::Ledger(LedgerError::Fenced { .. })), "{fenced}");
    step(&mut new, "a", STEP).await.expect("committed");
    knows(&new, "a", 2 * STEP).await;
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

/// The ledger forgets what is long behind, and its numbers are free again: a worker whose partition was
/// silent for so long put its commit there, where no one reads, and its rows were lost.
#[tokio::test]
async fn a_writer_that_was_away_for_long_goes_on_behind_the_others() {
    for first in [true, false] {
        let dir = tempfile::tempdir().expect("a folder");
        let mut away = History::create(dir.path()).await.expect("a history");
        let begun = if first { 0 } else { STEP };
        if !first {
            step(&mut away, "a", 0).await.expect("committed");
        }
        let mut busy = History::create(dir.path()).await.expect("another writer");
        for from in (0..3 * STEP).step_by(STEP as usize) {
            step(&mut busy, "b", from).await.expect("committed");
        }
        for _ in 0..300 {
            busy.reserve(1).await.expect("a manifest without rows");
        }
        let last = busy.last_commit();
        busy.maintainer(Duration::from_hours(24)).tidy(last).await.expect("tidied");
        let kept = std::fs::read_dir(dir.path().join("ledger")).expect("a ledger").count();
        assert_eq!(kept, 201, "the first manifests are gone");
        let number = step(&mut away, "a", begun).await.expect("committed");
        assert_eq!(number, last + 1);
        step(&mut busy, "b", 3 * STEP).await.expect("committed");
        holds(dir.path(), &[("a", begun + STEP), ("b", 4 * STEP)]).await;
        let kept = std::fs::read_dir(dir.path().join("ledger")).expect("a ledger").count();
        assert_eq!(kept, 203, "what was put where no one reads is gone");
    }
}
