//! Commits in, events out.

use std::fmt;
use std::str::FromStr;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use deployforge_history::{Commits, HistoryError, Manifest, Place, Rows, Table};

use crate::Event;
use crate::event::event;

/// Bytes of events after which a page ends.
const PAGE_BYTES: usize = 4 << 20;

/// Where the next event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The commit.
    pub commit: u64,
    /// Rows of it that are done.
    pub rows: u64,
}

impl Position {
    /// Before all commits.
    pub const START: Self = Self { commit: 1, rows: 0 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.commit, self.rows)
    }
}

impl FromStr for Position {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (commit, rows) = text.split_once('+').unwrap_or((text, "0"));
        Ok(Self { commit: commit.parse()?, rows: rows.parse()? })
    }
}

/// Some events, and where they end.
#[derive(Clone, Debug)]
pub struct Page {
    /// In the order of their rows.
    pub events: Vec<Event>,
    /// Where the next page begins.
    pub next: Position,
    /// Commits that were removed before they were read, and files of commits.
    pub lost: u64,
}

/// Reads events out of a history.
#[derive(Debug)]
pub struct Outbox {
    commits: Commits,
    source: String,
    newest: u64,
    /// A commit of which rows are left.
    open: Option<Open>,
}

impl Outbox {
    /// Of a history. `source` is that of the CloudEvents.
    pub async fn open(place: &Place, source: &str) -> Result<Self, HistoryError> {
        let mut commits = Commits::open(place).await?;
        let newest = commits.newest().await?;
        Ok(Self { commits, source: source.to_owned(), newest, open: None })
    }

    /// The newest commit that was seen.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Looks for newer commits by listing them; the newest one.
    pub async fn look(&mut self) -> Result<u64, HistoryError> {
        self.newest = self.newest.max(self.commits.newest().await?);
        Ok(self.newest)
    }

    /// The oldest commit that is still there.
    pub async fn oldest(&self) -> Result<Option<u64>, HistoryError> {
        self.commits.oldest_from(1).await
    }

    /// Says which commits are needed yet; see [`Commits::keep_from`].
    pub async fn keep_from(&self, follower: &str, at: Position) -> Result<(), HistoryError> {
        self.commits.keep_from(follower, at.commit).await
    }

    /// Reads up to about `limit` events from a position on. An empty page: there are no more now.
    pub async fn read(&mut self, at: Position, limit: usize) -> Result<Page, HistoryError> {
        let mut page = Page { events: Vec::new(), next: at, lost: 0 };
        let mut bytes = 0;
        while page.events.len() < limit && bytes < PAGE_BYTES {
            if self.open.as_ref().is_none_or(|open| open.at != page.next) {
                self.open = None;
                let Some(manifest) = self.commits.get(page.next.commit).await? else {
                    if page.next.commit > self.newest || !self.skip(&mut page).await? {
                        break;
                    }
                    continue;
                };
                self.newest = self.newest.max(manifest.number);
                self.open = Some(self.start(&manifest, page.next, &mut page.lost).await?);
            }
            let Some(open) = &mut self.open else { break };
            let Some((table, batch, row)) = open.take()? else {
                page.next = Position { commit: page.next.commit + 1, rows: 0 };
                continue;
            };
            page.next = open.at;
            if let Some(event) = event(table, &batch, row, &self.source, open.at.commit) {
                bytes += event.body.len();
                page.events.push(event);
            }
        }
        Ok(page)
    }

    /// Goes on behind commits that are no more.
    async fn skip(&self, page: &mut Page) -> Result<bool, HistoryError> {
        let Some(oldest) = self.commits.oldest_from(page.next.commit).await? else {
            return Ok(false);
        };
        page.lost += oldest - page.next.commit;
        page.next = Position { commit: oldest, rows: 0 };
        Ok(true)
    }

    /// Opens the files of a commit, and leaves out the rows that are done.
    async fn start(
        &self,
        manifest: &Manifest,
        at: Position,
        lost: &mut u64,
    ) -> Result<Open, HistoryError> {
        let mut files = Vec::new();
        for table in [Table::Findings, Table::Verdicts] {
            for add in manifest.files.get(&table).into_iter().flatten() {
                match self.commits.rows(table, add).await? {
                    Some(rows) => files.push(File::new(table, rows)?),
                    None => *lost += 1,
                }
            }
        }
        let mut open = Open { files, at: Position { commit: manifest.number, rows: 0 } };
        while open.at.rows < at.rows && open.take()?.is_some() {}
        // It has fewer rows than were done: what is done is done.
        open.at = at;
        Ok(open)
    }
}

/// A commit whose rows are read, by their numbers.
#[derive(Debug)]
struct Open {
    files: Vec<File>,
    at: Position,
}

/// Rows of one file.
#[derive(Debug)]
struct File {
    table: Table,
    rows: Rows,
    batch: Option<(RecordBatch, usize)>,
}

impl File {
    fn new(table: Table, rows: Rows) -> Result<Self, HistoryError> {
        let mut file = Self { table, rows, batch: None };
        file.fill()?;
        Ok(file)
    }

    fn fill(&mut self) -> Result<(), HistoryError> {
        while self.batch.as_ref().is_none_or(|(batch, row)| *row >= batch.num_rows()) {
            let Some(batch) = self.rows.next() else {
                self.batch = None;
                break;
            };
            self.batch = Some((batch?, 0));
        }
        Ok(())
    }

    /// The number of the next row.
    fn sequence(&self) -> Option<i64> {
        let (batch, row) = self.batch.as_ref()?;
        let column = batch.column_by_name("sequence")?;
        Some(column.as_primitive::<Int64Type>().value(*row))
    }
}

impl Open {
    /// The row of the lowest number: its table, its batch, and its place in that.
    fn take(&mut self) -> Result<Option<(Table, RecordBatch, usize)>, HistoryError> {
        let first = self.files.iter_mut().filter(|file| file.batch.is_some());
        let Some(file) = first.min_by_key(|file| file.sequence()) else { return Ok(None) };
        let Some((batch, row)) = &mut file.batch else { return Ok(None) };
        // A batch is cheap to clone.
        let taken = (file.table, batch.clone(), *row);
        *row += 1;
        file.fill()?;
        self.at.rows += 1;
        Ok(Some(taken))
    }
}
