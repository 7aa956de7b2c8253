//! Maintenance beside commits, twice at once, cut short: no row moves, and what goes is needed by none.

use std::collections::BTreeSet;
use std::path::{Path as FilePath, PathBuf};
use std::time::{Duration, SystemTime};

use deployforge_history::{History, Maintained, RETENTION_MIN, Table};

use crate::faulty::{Fault, Faulty, copy, create};
use crate::steps::{STEP, WRITTEN, holds, knows, stands, step};

/// Makes so many commits.
async fn commits(history: &mut History, name: &str, count: i64) {
    let from = stands(history, name);
    for from in (from..from + count * STEP).step_by(STEP as usize) {
        step(history, name, from).await.expect("committed");
    }
}

/// How many files a table is made of.
async fn files(root: &FilePath, table: Table) -> usize {
    let history = History::open(root).await.expect("a history");
    history.table(table).get_file_uris().expect("a snapshot").count()
}

/// Paths of files below a folder of a table.
fn paths(root: &FilePath, folder: &str, ending: &str) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(root.join(folder)).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

/// Makes all files of a table and its log look as if they were made ten days ago.
fn grow_old(root: &FilePath, table: Table) {
    let then = SystemTime::now() - Duration::from_hours(240);
    for folder in [table.name().to_owned(), format!("{}/_delta_log", table.name())] {
        for path in paths(root, &folder, "") {
            if path.is_file() {
                let file = std::fs::File::options().write(true).open(path).expect("a file");
                file.set_modified(then).expect("a time");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_moves_while_others_commit() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut history = History::create(dir.path()).await.expect("a history");
    commits(&mut history, "a", 10).await;
    let maintainer = history.maintainer(RETENTION_MIN);
    let committing = tokio::spawn(async move {
        commits(&mut history, "a", 70).await;
        history
    });
    let mut merged = 0;
    while !committing.is_finished() {
        merged += maintainer.tidy(1).await.expect("tidied").merged;
    }
    let mut history = committing.await.expect("no panic");
    merged += maintainer.tidy(80).await.expect("tidied").merged;
    assert!(merged >= 3 * 72, "{merged}");
    holds(dir.path(), &[("a", 80 * STEP)]).await;
    for table in WRITTEN {
        let left = files(dir.path(), table).await;
        assert!(left <= 8, "{left} files of {}", table.name());
    }
    // Who committed meanwhile goes on.
    commits(&mut history, "a", 2).await;
    knows(&history, "a", 82 * STEP).await;
    holds(dir.path(), &[("a", 82 * STEP)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_maintainers_at_once_one_gives_way() {
    let template = tempfile::tempdir().expect("a folder");
    let mut history = History::create(template.path()).await.expect("a history");
    commits(&mut history, "a", 20).await;
    let mut lost = 0;
    for _ in 0..5 {
        let dir = copy(template.path());
        let history = History::create(dir.path()).await.expect("opened");
        let turn = || {
            let maintainer = history.maintainer(RETENTION_MIN);
            tokio::spawn(async move { maintainer.tidy(20).await.expect("tidied") })
        };
        let (one, other) = (turn(), turn());
        let (one, other) = (one.await.expect("no panic"), other.await.expect("no panic"));
        assert_eq!(one.merged + other.merged, 3 * 20, "{one:?} {other:?}");
        lost += one.lost + other.lost;
        holds(dir.path(), &[("a", 20 * STEP)]).await;
        for table in WRITTEN {
            let there = paths(dir.path(), table.name(), ".parquet").len();
            assert_eq!(there, 21, "the file of who gave way is gone");
        }
    }
    assert!(lost > 0, "they never met");
}

/// Whether a turn that is cut short went well, and how many writes it made.
async fn cut_short(fault: Fault, root: &FilePath) -> (bool, u64) {
    let store = Faulty::new(Fault::Never);
    let history = create(store.clone(), root).await.expect("opened");
    store.begin(fault);
    let maintainer = history.maintainer(Duration::ZERO);
    let tidied = maintainer.tidy(LAST).await;
    let removed = maintainer.vacuum(LAST).await;
    (tidied.is_ok() && removed.is_ok(), store.writes())
}

/// Commits before a turn that is cut short: enough for a checkpoint.
const LAST: u64 = 24;

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_cut_short_at_any_write_leaves_the_history_whole() {
    let template = tempfile::tempdir().expect("a folder");
    let mut history = History::create(template.path()).await.expect("a history");
    // Few files are left of most of them, so that a turn is quick and has everything to do.
    commits(&mut history, "a", LAST as i64 - 8).await;
    history.maintainer(RETENTION_MIN).tidy(LAST).await.expect("tidied");
    history.maintainer(Duration::ZERO).vacuum(LAST).await.expect("removed");
    commits(&mut history, "a", 8).await;
    let (well, writes) = cut_short(Fault::Never, copy(template.path()).path()).await;
    assert!(well && writes > 50, "{writes}");
    // After merges and checkpoints there are removals alone, one like the other.
    for at in (0..16).chain((16..writes).step_by(17)) {
        let dir = copy(template.path());
        let fault = Fault::CrashAtWrite { at, after: at % 2 == 0 };
        let (well, _) = cut_short(fault, dir.path()).await;
        assert!(!well, "{at}");
        holds(dir.path(), &[("a", LAST as i64 * STEP)]).await;
        // Whoever goes on finds all as it should be.
        let mut history = History::create(dir.path()).await.expect("opened again");
        assert_eq!(history.last_commit(), LAST);
        history.maintainer(RETENTION_MIN).tidy(LAST).await.expect("the next turn");
        commits(&mut history, "a", 1).await;
        knows(&history, "a", (LAST as i64 + 1) * STEP).await;
        holds(dir.path(), &[("a", (LAST as i64 + 1) * STEP)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_cleaned_and_says_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut history = History::create(dir.path()).await.expect("a history");
    commits(&mut history, "a", 60).await;
    let reader = History::open(dir.path()).await.expect("a reader");
    let maintainer = history.maintainer(RETENTION_MIN);
    let tidied = maintainer.tidy(60).await.expect("tidied");
    assert_eq!((tidied.checkpoints, tidied.merged), (3, 180), "{tidied:?}");
    assert_eq!(maintainer.vacuum(60).await.expect("looked"), Maintained::default(), "too young");
    for table in WRITTEN {
        grow_old(dir.path(), table);
    }
    let removed = maintainer.vacuum(60).await.expect("cleaned");
    assert!(removed.log_files >= 3 * 60, "{removed:?}");
    // The log said when they were replaced, which is not a day ago.
    assert_eq!(removed.data_files, 0, "{removed:?}");
    for file in reader.table(Table::Checks).get_file_uris().expect("a snapshot") {
        let path = file.strip_prefix("file://").unwrap_or(&file);
        assert!(FilePath::new(path).exists(), "who opened it before reads on");
    }
    // A reader knows the last commit by the transactions of the tables alone.
    assert_eq!(History::open(dir.path()).await.expect("a history").last_commit(), 60);
    holds(dir.path(), &[("a", 60 * STEP)]).await;
    commits(&mut history, "a", 3).await;
    let mut history = History::create(dir.path()).await.expect("opened again");
    commits(&mut history, "a", 3).await;
    knows(&history, "a", 66 * STEP).await;
    holds(dir.path(), &[("a", 66 * STEP)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_manifest_names_is_not_removed_however_old() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut history = History::create(dir.path()).await.expect("a history");
    commits(&mut history, "a", 8).await;
    let maintainer = history.maintainer(Duration::ZERO);
    // It ends behind the manifest, before the first table has its file.
    let store = Faulty::new(Fault::Never);
    let mut cut = create(store.clone(), dir.path()).await.expect("opened");
    store.begin(Fault::Crash { at: 3, after: false });
    step(&mut cut, "a", 8 * STEP).await.expect_err("cut short");
    maintainer.tidy(8).await.expect("tidied");
    let removed = maintainer.vacuum(8).await.expect("removed");
    assert_eq!(removed.data_files, 3 * 8, "what was merged, and nothing else: {removed:?}");
    let mut history = History::create(dir.path()).await.expect("finished");
    assert_eq!(stands(&history, "a"), 9 * STEP, "the manifest was there");
    commits(&mut history, "a", 1).await;
    holds(dir.path(), &[("a", 10 * STEP)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_ends_when_it_is_told_to() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut history = History::create(dir.path()).await.expect("a history");
    commits(&mut history, "a", 8).await;
    let maintainer = history.maintainer(RETENTION_MIN);
    maintainer.stop().store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(maintainer.turn(0).await.expect("ended"), Maintained::default());
    holds(dir.path(), &[("a", 8 * STEP)]).await;
}
