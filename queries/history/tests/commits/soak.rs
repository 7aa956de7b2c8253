//! Many commits in one process beside its maintenance: the last ones take what the first ones took, and
//! memory levels off. `tests/soak.sh` makes ten thousand of them.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::time::{Duration, Instant};

use deployforge_history::{History, Maintainer, RETENTION_MIN, Step, Table};
use deployforge_model::{LastOffset, Moved};
use tokio::sync::mpsc;

use crate::steps::{STEP, WRITTEN, holds, partition, rows, stands};

/// Parts of the partition's state: a worker writes it anew when there are too many.
const PARTS: usize = 8;

/// Windows in which a run is measured.
const WINDOWS: usize = 10;

/// What a window of commits was like.
struct Window {
    resident_bytes: u64,
    median: Duration,
}

/// One commit, with states that do not grow.
async fn commit(history: &mut History, from: i64) -> u64 {
    let moving = partition("a");
    let known = rows(Table::Checks, "a", from..from + STEP);
    let part = history.write_states(&BTreeMap::from([(moving.clone(), known)])).await;
    let held = history.states().remove(&moving).unwrap_or_default();
    let mut parts = held.parts;
    parts.truncate(PARTS - 1);
    parts.extend(part.expect("written").into_values());
    let moved = Moved {
        from: (from > 0).then_some(LastOffset(from - 1)),
        to: LastOffset(from + STEP - 1),
        after: Some(held.commit),
    };
    let step = Step {
        moved: [(moving.clone(), moved)].into(),
        states: [(moving, parts)].into(),
        ..Step::default()
    };
    let rows = WRITTEN.map(|table| (table, rows(table, "a", from..from + STEP)));
    history.commit(&step, rows.into()).await.expect("committed")
}

/// Memory that this process holds.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}

/// Files of each table, and of their logs.
async fn files(root: &FilePath) -> (Vec<usize>, usize) {
    let history = History::open(root).await.expect("a history");
    let files = |table| history.table(table).get_file_uris().expect("a snapshot").count();
    let log = |table: Table| root.join(table.name()).join("_delta_log");
    let logs = WRITTEN.map(|table| std::fs::read_dir(log(table)).expect("a log").count());
    (WRITTEN.map(files).into(), logs.iter().sum())
}

/// Does turns as they become due, one at a time, until no more do; how many, and what failed.
async fn maintain(maintainer: Maintainer, mut due: mpsc::Receiver<u64>) -> (usize, Vec<String>) {
    let (mut done, mut failed) = (0, Vec::new());
    while let Some(commit) = due.recv().await {
        match maintainer.turn(commit).await {
            Ok(_) => done += 1,
            // At a commit every few milliseconds the listing of a folder may lack one: another turn follows.
            Err(error) => failed.push(error.to_string()),
        }
    }
    (done, failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_take_the_same_however_many_there_were() {
    let commits = std::env::var("DEPLOYFORGE_COMMITS").ok().and_then(|text| text.parse().ok());
    let commits: usize = commits.unwrap_or(300);
    let dir = tempfile::tempdir().expect("a folder");
    let mut history = History::create(dir.path()).await.expect("a history");
    let (due, waiting) = mpsc::channel(1);
    let maintained = tokio::spawn(maintain(history.maintainer(RETENTION_MIN), waiting));
    let mut windows: Vec<Window> = Vec::new();
    for window in 1..=WINDOWS {
        let mut times = Vec::new();
        for _ in 0..commits / WINDOWS {
            let from = stands(&history, "a");
            let began = Instant::now();
            let number = commit(&mut history, from).await;
            times.push(began.elapsed());
            if Maintainer::is_due(number) {
                // If one waits already, it does.
                let _ = due.try_send(number);
            }
        }
        times.sort_unstable();
        let (median, slow) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        // Measured before the look at the tables, which is no part of the work.
        let resident_bytes = resident_bytes();
        let (files, logs) = files(dir.path()).await;
        println!(
            "{:>6} commits: {:>4} MiB resident, {median:>9.2?} median, {slow:>9.2?} p99, {files:?} files, {logs} log files",
            window * (commits / WINDOWS),
            resident_bytes >> 20,
        );
        windows.push(Window { resident_bytes, median });
    }
    drop(due);
    let (done, failed) = maintained.await.expect("no panic");
    println!("{done} turns of maintenance done, {} failed: {:.200}", failed.len(), failed.concat());
    assert!(done > failed.len(), "{failed:?}");
    holds(dir.path(), &[("a", stands(&history, "a"))]).await;
    check(&windows, commits);
}

/// Fewer commits tell nothing of memory, and their times little.
fn check(windows: &[Window], commits: usize) {
    let (early, last) = (&windows[1], &windows[WINDOWS - 1]);
    let times = if commits < 5000 { 4 } else { 2 };
    let (before, after) = (early.median, last.median);
    assert!(after <= before * times, "a commit took {before:?} and takes {after:?}");
    if commits >= 5000 {
        let most = |windows: &[Window]| {
            windows.iter().map(|window| window.resident_bytes).max().unwrap_or_default()
        };
        let (before, after) = (most(&windows[3..6]), most(&windows[7..]));
        assert!(after <= before + before / 5, "{before} bytes were resident, and {after} are");
    }
}
