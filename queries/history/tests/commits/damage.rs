//! Parts of a history that are lost or are not what was written: what can be put right is, and the rest
//! is told before anything is written.

use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use deployforge_history::{Commits, History, HistoryError, LedgerError, Place, Step, Table};

use crate::faulty::{Fault, Faulty, copy, create};
use crate::steps::{STEP, WRITTEN, holds, knows, partition, rows, stands, step};

/// A history of so many steps of one partition.
async fn steps(count: i64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let mut history = History::create(dir.path()).await.expect("a history");
    for from in (0..count * STEP).step_by(STEP as usize) {
        step(&mut history, "a", from).await.expect("committed");
    }
    dir
}

/// The files of a folder by name, those of an ending.
fn files(root: &FilePath, folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root.join(folder)).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> = paths.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    paths.sort();
    paths
}

/// Removes the last files of a folder.
fn lose(root: &FilePath, folder: &str, count: usize) {
    for path in files(root, folder, ".json").iter().rev().take(count) {
        std::fs::remove_file(path).expect("removed");
    }
}

fn log(table: Table) -> String {
    format!("{}/_delta_log", table.name())
}

/// Opens for writing, without pauses.
async fn open(root: &FilePath) -> Result<History, HistoryError> {
    create(Faulty::new(Fault::Never), root).await
}

/// What is told of damage: a line that names what is damaged and says what to do.
fn told<T: std::fmt::Debug>(result: Result<T, HistoryError>, says: &[&str]) {
    let error = result.expect_err("it is damaged");
    assert!(matches!(error, HistoryError::Ledger(LedgerError::Damaged { .. })), "{error:?}");
    let text = error.to_string();
    let says = says.iter().chain(&["is damaged", "restore the whole history from a backup"]);
    assert!(says.clone().all(|part| text.contains(part)), "{text}");
    assert!(!text.contains('\n') && text.len() < 500, "{text}");
}

#[tokio::test]
async fn tables_that_hold_more_than_the_ledger_are_damage() {
    let template = steps(5).await;
    for lost in 1..=4 {
        let dir = copy(template.path());
        lose(dir.path(), "ledger", lost);
        let last = format!("its last commit is {}", 5 - lost);
        let says = [dir.path().to_str().expect("text"), "ledger", "findings", &last, "commit 5"];
        told(open(dir.path()).await, &says);
        holds(dir.path(), &[("a", 5 * STEP)]).await;
    }
    let dir = copy(template.path());
    lose(dir.path(), "ledger", 5);
    told(open(dir.path()).await, &["ledger is damaged", "it is empty", "findings"]);
    std::fs::remove_dir_all(dir.path().join("ledger")).expect("removed");
    told(open(dir.path()).await, &["ledger is damaged", "it is empty", "findings"]);
}

#[tokio::test]
async fn a_table_that_lost_commits_gets_them_from_the_ledger() {
    let template = steps(5).await;
    let verdicts: &[Table] = &[Table::Verdicts];
    for tables in [verdicts, &[Table::Findings, Table::Verdicts], &WRITTEN] {
        for lost in 1..=5 {
            let dir = copy(template.path());
            for (table, more) in tables.iter().zip([0, 1, 0]) {
                lose(dir.path(), &log(*table), (lost + more).min(5));
            }
            let mut history = open(dir.path()).await.expect("put right");
            step(&mut history, "a", 5 * STEP).await.expect("committed");
            holds(dir.path(), &[("a", 6 * STEP)]).await;
            // Once: who comes next finds nothing to do.
            open(dir.path()).await.expect("opened");
            holds(dir.path(), &[("a", 6 * STEP)]).await;
        }
    }
}

#[tokio::test]
async fn a_table_that_lacks_a_commit_which_is_gone_is_damage() {
    let dir = steps(5).await;
    lose(dir.path(), &log(Table::Verdicts), 3);
    let manifest = files(dir.path(), "ledger", ".json").remove(3);
    let text = std::fs::read(&manifest).expect("a manifest");
    std::fs::remove_file(&manifest).expect("removed");
    let says = ["ledger is damaged", "commit 4 is missing", "verdicts", "it holds 2"];
    told(open(dir.path()).await, &says);
    std::fs::write(&manifest, text).expect("restored");
    open(dir.path()).await.expect("put right");
    holds(dir.path(), &[("a", 5 * STEP)]).await;
}

/// Few commits have rejects. Whether the table lacks one cannot be told by its number.
#[tokio::test]
async fn a_table_is_not_judged_by_what_was_cleaned_away() {
    let dir = steps(1).await;
    let mut history = open(dir.path()).await.expect("opened");
    let reject = |from| vec![(Table::Rejects, rows(Table::Rejects, "r", from..from + 1))];
    assert_eq!(history.commit(&Step::default(), reject(0)).await.expect("committed"), 2);
    for _ in 0..300 {
        history.reserve(1).await.expect("a manifest without rows");
    }
    history.maintainer(Duration::from_hours(24)).tidy(302).await.expect("tidied");
    let kept = files(dir.path(), "ledger", ".json").len();
    assert!(kept < 210, "the first manifests are gone: {kept}");
    open(dir.path()).await.expect("nothing is missing");
    assert_eq!(history.commit(&Step::default(), reject(1)).await.expect("committed"), 303);
    // A crash before the last table.
    lose(dir.path(), &log(Table::Rejects), 1);
    let history = open(dir.path()).await.expect("finished");
    let found = history.table(Table::Rejects).get_file_uris().expect("a snapshot").count();
    assert_eq!(found, 2);
    lose(dir.path(), &log(Table::Rejects), 2);
    let says = ["ledger is damaged", "commit 2 is missing", "rejects", "it holds 0"];
    told(open(dir.path()).await, &says);
    holds(dir.path(), &[("a", STEP)]).await;
}

#[tokio::test]
async fn what_a_running_writer_commits_under_numbers_of_others_is_damage() {
    let dir = steps(2).await;
    let mut running = open(dir.path()).await.expect("opened");
    let mut other = open(dir.path()).await.expect("opened");
    for from in [2 * STEP, 3 * STEP, 4 * STEP] {
        step(&mut other, "a", from).await.expect("committed");
    }
    lose(dir.path(), "ledger", 3);
    let says = ["findings/_delta_log/", "not commit 3 as the ledger has it"];
    told(step(&mut running, "b", 0).await, &says);
    told(open(dir.path()).await, &["ledger is damaged", "its last commit is 3", "holds commit 5"]);
    holds(dir.path(), &[("a", 5 * STEP)]).await;
}

/// Takes lines out of the entries of a table's log.
fn strip(root: &FilePath, table: Table, what: &str) {
    for path in files(root, &log(table), ".json") {
        let text = std::fs::read_to_string(&path).expect("an entry");
        let kept: String = text.lines().filter(|line| !line.contains(what)).fold(
            String::new(),
            |mut kept, line| {
                kept.push_str(line);
                kept.push('\n');
                kept
            },
        );
        std::fs::write(&path, kept).expect("written");
    }
}

#[tokio::test]
async fn a_history_from_before_there_was_a_ledger_goes_on() {
    let dir = steps(3).await;
    std::fs::remove_dir_all(dir.path().join("ledger")).expect("removed");
    WRITTEN.into_iter().for_each(|table| strip(dir.path(), table, "deployforge/"));
    let mut history = open(dir.path()).await.expect("opened");
    assert_eq!((history.last_commit(), stands(&history, "b")), (3, 0));
    assert_eq!(step(&mut history, "b", 0).await.expect("committed"), 4);
    holds(dir.path(), &[("a", 3 * STEP), ("b", STEP)]).await;
    let mut history = open(dir.path()).await.expect("opened again");
    step(&mut history, "b", STEP).await.expect("committed");
    lose(dir.path(), "ledger", 1);
    told(open(dir.path()).await, &["ledger is damaged", "its last commit is 4", "commit 5"]);
}

#[tokio::test]
async fn a_ledger_of_an_earlier_version_is_read() {
    let template = steps(4).await;
    for path in files(template.path(), "ledger", ".json") {
        let text = std::fs::read(&path).expect("a manifest");
        let mut manifest: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        manifest.as_object_mut().expect("an object").remove("before").expect("a field");
        std::fs::write(&path, manifest.to_string()).expect("written");
    }
    for lost in 0..4 {
        let dir = copy(template.path());
        lose(dir.path(), &log(Table::Verdicts), lost);
        let mut history = open(dir.path()).await.expect("put right");
        step(&mut history, "a", 4 * STEP).await.expect("committed");
        drop(history);
        let mut history = open(dir.path()).await.expect("opened");
        step(&mut history, "a", 5 * STEP).await.expect("committed");
        holds(dir.path(), &[("a", 6 * STEP)]).await;
        let newest = files(dir.path(), "ledger", ".json").pop().expect("a manifest");
        let newest = std::fs::read_to_string(newest).expect("a manifest");
        assert!(
            newest.contains(r#""rejects":0"#) && newest.contains(r#""verdicts":5"#),
            "{newest}"
        );
    }
    lose(template.path(), "ledger", 1);
    told(open(template.path()).await, &["ledger is damaged", "its last commit is 3"]);
}

#[tokio::test]
async fn a_manifest_under_a_number_that_is_not_its_own_is_damage() {
    let template = steps(3).await;
    let ledger = |root: &FilePath, number: u64| root.join(format!("ledger/{number:020}.json"));
    let dir = copy(template.path());
    std::fs::copy(ledger(dir.path(), 2), ledger(dir.path(), 3)).expect("copied");
    told(open(dir.path()).await, &["00000000000000000003.json is damaged", "it holds commit 2"]);
    for number in [100_000_000_000_000_000, u64::MAX] {
        let dir = copy(template.path());
        let forged = format!(r#"{{"number":{number},"id":"x","sequence":1,"files":{{}}}}"#);
        std::fs::write(ledger(dir.path(), number), forged).expect("written");
        let name = format!("{number:020}.json is damaged");
        let says = [&*name, "far beyond that of the commit before, 3"];
        told(open(dir.path()).await, &says);
        let place = Place::folder(dir.path()).expect("a place");
        told(Commits::open(&place).await, &says);
    }
    let cut = files(template.path(), "ledger", ".json").pop().expect("a manifest");
    std::fs::File::options().write(true).open(cut).expect("a file").set_len(40).expect("cut");
    told(open(template.path()).await, &["00000000000000000003.json is damaged", "EOF"]);
}

#[tokio::test]
async fn a_state_that_is_lost_or_not_what_was_written_is_damage() {
    let template = steps(3).await;
    let read = |dir: &tempfile::TempDir| {
        let root = dir.path().to_owned();
        async move {
            let history = open(&root).await.expect("opened");
            let parts = history.states()[&partition("a")].parts.clone();
            history.read_state(&parts).await
        }
    };
    let second = |root: &FilePath| files(root, "states", ".arrow").remove(1);
    let name = second(template.path());
    let name = name.file_name().expect("a name").to_str().expect("text");
    let dir = copy(template.path());
    std::fs::remove_file(second(dir.path())).expect("removed");
    told(read(&dir).await, &[&format!("states/{name}"), "it is missing"]);
    for length in [0, 100] {
        let dir = copy(template.path());
        let file = std::fs::File::options().write(true).open(second(dir.path()));
        file.expect("a file").set_len(length).expect("cut");
        told(read(&dir).await, &[name, "it ends before byte"]);
    }
    let length = std::fs::metadata(second(template.path())).expect("a file").len() as usize;
    for at in (0..length).step_by(97) {
        let dir = copy(template.path());
        let mut bytes = std::fs::read(second(dir.path())).expect("a file");
        bytes[at] ^= 0x10;
        std::fs::write(second(dir.path()), bytes).expect("written");
        told(read(&dir).await, &[name, "it does not hold the bytes that were written"]);
    }
}

/// A state that no commit names any more may be removed: who reads it has to begin anew, and can.
#[tokio::test]
async fn a_state_that_others_replaced_is_no_damage() {
    let dir = steps(2).await;
    let mut old = open(dir.path()).await.expect("opened");
    let parts = old.states()[&partition("a")].parts.clone();
    let mut new = open(dir.path()).await.expect("another writer");
    let state = rows(Table::Checks, "a", 0..3 * STEP);
    let state = new.write_states(&[(partition("a"), state)].into()).await.expect("written");
    let from = Some(deployforge_model::LastOffset(2 * STEP - 1));
    let to = deployforge_model::LastOffset(3 * STEP - 1);
    let anew = Step {
        moved: [(partition("a"), deployforge_model::Moved { from, to, after: Some(2) })].into(),
        states: state.into_iter().map(|(partition, part)| (partition, vec![part])).collect(),
        ..Step::default()
    };
    let rows = WRITTEN.map(|table| (table, rows(table, "a", 2 * STEP..3 * STEP)));
    new.commit(&anew, rows.into()).await.expect("committed");
    std::fs::remove_file(files(dir.path(), "states", ".arrow").remove(0)).expect("removed");
    let passes = old.read_state(&parts).await;
    let store = matches!(passes, Err(HistoryError::Ledger(LedgerError::Store { .. })));
    assert!(store, "{passes:?}");
    old.reserve(1).await.expect("it sees the newest");
    knows(&old, "a", 3 * STEP).await;
}

#[tokio::test]
async fn a_log_with_a_hole_or_a_cut_entry_is_damage() {
    let template = steps(4).await;
    let entry = |root: &FilePath, at: usize| files(root, &log(Table::Verdicts), ".json").remove(at);
    for at in [0, 2] {
        let dir = copy(template.path());
        std::fs::remove_file(entry(dir.path(), at)).expect("removed");
        let name = format!("verdicts/_delta_log/{at:020}.json is damaged");
        told(open(dir.path()).await, &[&name, "it is missing"]);
        told(History::open(dir.path()).await, &[&name, "it is missing"]);
    }
    for at in [1, 4] {
        let dir = copy(template.path());
        let file = std::fs::File::options().write(true).open(entry(dir.path(), at));
        file.expect("a file").set_len(60).expect("cut");
        let name = format!("verdicts/_delta_log/{at:020}.json is damaged");
        told(open(dir.path()).await, &[&name, "no entry of a log"]);
    }
    holds(template.path(), &[("a", 4 * STEP)]).await;
}

/// Opened again and again beside a writer and maintenance that thins the ledger out: never damage.
#[tokio::test(flavor = "multi_thread")]
async fn opening_beside_others_is_no_damage() {
    let dir = steps(1).await;
    let root = dir.path().to_owned();
    let busy = tokio::spawn(async move {
        let mut history = open(&root).await.expect("opened");
        for round in 1..12 {
            step(&mut history, "a", round * STEP).await.expect("committed");
            for _ in 0..60 {
                history.reserve(1).await.expect("a manifest without rows");
            }
            let last = history.last_commit();
            // A listing of a folder may lack what is put meanwhile: then the next turn does it.
            let _ = history.maintainer(Duration::from_hours(24)).tidy(last).await;
        }
    });
    let mut opened = 0;
    while !busy.is_finished() {
        let mut history = History::create(dir.path()).await.expect("no damage");
        let from = stands(&history, "b");
        step(&mut history, "b", from).await.expect("committed");
        opened += 1;
    }
    busy.await.expect("no panic");
    assert!(opened > 3, "{opened}");
    holds(dir.path(), &[("a", 12 * STEP), ("b", opened * STEP)]).await;
}
