//! The desk: who posted what, how much of it is not durable yet, and what became of it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::watch;

/// Readers whose ends are remembered, so that their receipts can be answered.
const PAST_MAX: usize = 64;

/// How long the feeder sleeps at most where nothing comes.
const NAP: Duration = Duration::from_millis(500);

/// A body that was accepted, with the offsets it has.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) body: Bytes,
    /// What it is read by, where it is one message; `None`: it is lines.
    pub(super) headers: Option<Vec<(String, Vec<u8>)>>,
}

/// Where a request stands: the reader that takes it, and its offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) life: u64,
    pub(super) first: i64,
    pub(super) last: i64,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Durable,
    /// It is under way.
    Pending,
    /// Its reader ended before it was known to be durable, or is not known.
    Unknown,
}

/// Why nothing is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too much is not durable yet.
    Pressure,
    /// Reading pauses.
    Paused,
    /// Nobody reads.
    Closed,
}

/// What the feeder is to do.
#[derive(Debug)]
pub(super) enum Next {
    Body(Accepted),
    /// Nothing waits.
    Nothing,
    /// Nothing comes any more.
    Ended,
}

/// How far the reader of now is durable, for those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    life: Option<u64>,
    durable: i64,
}

#[derive(Debug, Default)]
struct Book {
    /// The reader of now.
    life: Option<u64>,
    /// It knows where it goes on, and takes more.
    open: bool,
    /// It takes no more, and ends once what waits is handed on.
    closing: bool,
    paused: bool,
    next: i64,
    /// What waits to be handed on.
    queue: VecDeque<Accepted>,
    /// What is accepted and not durable: the last offset and the bytes of each.
    held: VecDeque<(i64, usize)>,
    /// Bytes of bodies that come in and of what is held.
    bytes: usize,
    /// Readers of the past, and how far they were durable.
    past: VecDeque<(u64, i64)>,
}

/// Takes bodies, gives them offsets, and knows which are durable.
#[derive(Debug)]
pub(super) struct Desk {
    pressure_bytes: usize,
    book: Mutex<Book>,
    /// The feeder sleeps on it.
    work: Condvar,
    told: watch::Sender<Told>,
}

impl Desk {
    pub(super) fn new(pressure_bytes: usize) -> Self {
        let told = watch::Sender::new(Told { life: None, durable: i64::MIN });
        Self { pressure_bytes, book: Mutex::default(), work: Condvar::new(), told }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader begins; it takes nothing before it is [opened](Self::open).
    pub(super) fn begin(&self, life: u64) {
        let mut book = self.book();
        (book.life, book.open, book.closing, book.paused) = (Some(life), false, false, false);
    }

    /// The reader takes bodies from now on, the next with this offset.
    pub(super) fn open(&self, life: u64, next: i64) {
        let mut book = self.book();
        if book.life == Some(life) {
            (book.next, book.open) = (next, !book.closing);
            self.told.send_replace(Told { life: Some(life), durable: next - 1 });
        }
    }

    /// The reader takes nothing new.
    pub(super) fn close(&self, life: u64) {
        let mut book = self.book();
        if book.life == Some(life) {
            (book.open, book.closing) = (false, true);
            self.work.notify_all();
        }
    }

    /// The reader has ended: what became of all that is not durable is not known.
    pub(super) fn end(&self, life: u64) {
        let mut book = self.book();
        if book.life != Some(life) {
            return;
        }
        let held: usize = book.held.drain(..).map(|(_, bytes)| bytes).sum();
        book.bytes -= held;
        book.queue.clear();
        (book.life, book.open) = (None, false);
        let told = *self.told.borrow();
        if told.life == Some(life) {
            book.past.push_back((life, told.durable));
            if book.past.len() > PAST_MAX {
                book.past.pop_front();
            }
        }
        self.told.send_replace(Told { life: None, durable: i64::MIN });
        self.work.notify_all();
    }

    pub(super) fn pause(&self, paused: bool) {
        self.book().paused = paused;
    }

    /// Whether a body would be accepted, before it is read.
    pub(super) fn look(&self) -> Result<(), Refusal> {
        let book = self.book();
        if !book.open {
            Err(Refusal::Closed)
        } else if book.paused {
            Err(Refusal::Paused)
        } else if book.bytes >= self.pressure_bytes {
            Err(Refusal::Pressure)
        } else {
            Ok(())
        }
    }

    /// Makes room for bytes that come in.
    fn reserve(&self, bytes: usize) -> Result<(), Refusal> {
        let mut book = self.book();
        if book.bytes.saturating_add(bytes) > self.pressure_bytes {
            return Err(Refusal::Pressure);
        }
        book.bytes += bytes;
        Ok(())
    }

    /// Accepts a body of so many records, with the room it has.
    pub(super) fn accept(
        &self,
        room: &mut Room<'_>,
        body: Bytes,
        records: u64,
        headers: Option<Vec<(String, Vec<u8>)>>,
    ) -> Result<Place, Refusal> {
        let mut book = self.book();
        let Some(life) = book.life.filter(|_| book.open) else { return Err(Refusal::Closed) };
        let (first, last) = (book.next, book.next + records as i64 - 1);
        book.next = last + 1;
        book.held.push_back((last, std::mem::take(&mut room.bytes)));
        book.queue.push_back(Accepted { first, last, body, headers });
        self.work.notify_all();
        Ok(Place { life, first, last })
    }

    /// What the feeder of a reader is to do next; `wait`: sleeps a little if there is nothing.
    pub(super) fn next(&self, life: u64, wait: bool) -> Next {
        let mut book = self.book();
        if wait && book.queue.is_empty() && !book.closing && book.life == Some(life) {
            let slept = self.work.wait_timeout(book, NAP);
            book = slept.unwrap_or_else(PoisonError::into_inner).0;
        }
        if book.life != Some(life) {
            return Next::Ended;
        }
        match book.queue.pop_front() {
            Some(body) => Next::Body(body),
            None if book.closing => Next::Ended,
            None => Next::Nothing,
        }
    }

    /// All is durable up to an offset.
    pub(super) fn durable(&self, life: u64, last: i64) {
        let mut book = self.book();
        if book.life != Some(life) {
            return;
        }
        while let Some((_, bytes)) = book.held.pop_front_if(|(held, _)| *held <= last) {
            book.bytes -= bytes;
        }
        self.told.send_if_modified(|told| {
            let further = told.life == Some(life) && told.durable < last;
            told.durable = told.durable.max(last);
            further
        });
    }

    /// What became of the record with an offset.
    pub(super) fn fate(&self, life: u64, last: i64) -> Fate {
        let book = self.book();
        let told = *self.told.borrow();
        if told.life == Some(life) {
            return match last {
                last if last <= told.durable => Fate::Durable,
                last if last < book.next => Fate::Pending,
                _ => Fate::Unknown,
            };
        }
        let past = book.past.iter().find(|(of, _)| *of == life);
        if past.is_some_and(|(_, durable)| last <= *durable) {
            Fate::Durable
        } else {
            Fate::Unknown
        }
    }

    /// Waits until it is known what became of a request, or for so long.
    pub(super) async fn wait(&self, place: Place, patience: Duration) -> Fate {
        let mut told = self.told.subscribe();
        let known = |told: &Told| told.life != Some(place.life) || told.durable >= place.last;
        // Late, or the desk is gone: the fate says which.
        let _ = tokio::time::timeout(patience, told.wait_for(known)).await;
        self.fate(place.life, place.last)
    }

    /// Bytes that come in or are not durable.
    pub(super) fn bytes(&self) -> usize {
        self.book().bytes
    }
}

/// Room for a body that comes in; given back when it is dropped, unless the body was accepted.
#[derive(Debug)]
pub(super) struct Room<'d> {
    desk: &'d Desk,
    bytes: usize,
}

impl<'d> Room<'d> {
    pub(super) fn new(desk: &'d Desk) -> Self {
        Self { desk, bytes: 0 }
    }

    /// Takes room for more bytes.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.desk.reserve(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives room back.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.desk.book().bytes -= bytes;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(desk: &Desk, bytes: usize, records: u64) -> Result<Place, Refusal> {
        desk.look()?;
        let mut room = Room::new(desk);
        room.grow(bytes)?;
        desk.accept(&mut room, Bytes::from(vec![b'x'; bytes]), records, None)
    }

    fn opened(pressure: usize, next: i64) -> Desk {
        let desk = Desk::new(pressure);
        desk.begin(7);
        desk.open(7, next);
        desk
    }

    #[test]
    fn offsets_are_counted_by_record_and_come_in_order() {
        let desk = opened(100, 40);
        assert_eq!(post(&desk, 1, 3), Ok(Place { life: 7, first: 40, last: 42 }));
        assert_eq!(post(&desk, 1, 1), Ok(Place { life: 7, first: 43, last: 43 }));
        for want in [40, 43] {
            assert!(matches!(desk.next(7, false), Next::Body(body) if body.first == want));
        }
        assert!(matches!(desk.next(7, false), Next::Nothing));
        desk.close(7);
        assert_eq!(post(&desk, 1, 1), Err(Refusal::Closed));
        assert!(matches!(desk.next(7, false), Next::Ended));
    }

    #[test]
    fn what_is_not_durable_is_bounded() {
        let desk = opened(10, 0);
        assert!(post(&desk, 6, 1).is_ok());
        assert_eq!(post(&desk, 6, 1), Err(Refusal::Pressure));
        assert_eq!(desk.bytes(), 6, "what was refused gives its room back");
        assert!(post(&desk, 4, 1).is_ok());
        assert_eq!(desk.look(), Err(Refusal::Pressure));
        desk.durable(7, 0);
        assert_eq!((desk.bytes(), post(&desk, 6, 1).is_ok()), (4, true));
        desk.end(7);
        assert_eq!((desk.bytes(), desk.look()), (0, Err(Refusal::Closed)));
    }

    #[test]
    fn a_paused_desk_takes_nothing() {
        let desk = opened(10, 0);
        desk.pause(true);
        assert_eq!(post(&desk, 1, 1), Err(Refusal::Paused));
        desk.pause(false);
        assert!(post(&desk, 1, 1).is_ok());
    }

    #[test]
    fn the_fate_of_a_request_outlives_its_reader_only_where_it_is_known() {
        let desk = opened(100, 5);
        let (one, two) = (post(&desk, 1, 1).unwrap(), post(&desk, 1, 1).unwrap());
        desk.durable(7, one.last);
        assert_eq!(desk.fate(7, one.last), Fate::Durable);
        assert_eq!(desk.fate(7, two.last), Fate::Pending);
        assert_eq!(desk.fate(7, two.last + 1), Fate::Unknown, "nobody has that one yet");
        desk.end(7);
        desk.begin(8);
        assert_eq!(desk.fate(7, two.last), Fate::Unknown);
        // The next reader gives the same offset to another request.
        desk.open(8, 6);
        let other = post(&desk, 1, 1).unwrap();
        assert_eq!(other.last, two.last);
        desk.durable(8, other.last);
        assert_eq!(desk.fate(8, other.last), Fate::Durable);
        assert_eq!(desk.fate(7, two.last), Fate::Unknown);
        assert_eq!(desk.fate(7, one.last), Fate::Durable);
        assert_eq!(desk.fate(9, 0), Fate::Unknown);
        // One that has ended says nothing any more.
        desk.durable(7, 100);
        assert_eq!(desk.fate(7, two.last), Fate::Unknown);
    }

    #[tokio::test]
    async fn who_waits_is_told() {
        let desk = opened(100, 0);
        let place = post(&desk, 1, 1).unwrap();
        assert_eq!(desk.wait(place, Duration::from_millis(1)).await, Fate::Pending);
        let long = Duration::from_mins(1);
        let (fate, ()) = tokio::join!(desk.wait(place, long), async { desk.durable(7, 0) });
        assert_eq!(fate, Fate::Durable);
        let place = post(&desk, 1, 1).unwrap();
        let (fate, ()) = tokio::join!(desk.wait(place, long), async { desk.end(7) });
        assert_eq!(fate, Fate::Unknown);
    }
}
