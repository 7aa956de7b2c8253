//! SQL over the history, for people and for the engine's own start.
//!
//! A [`Session`] registers the history's Delta tables and the views of `views/views.sql` in the
//! schema `deployforge` and runs queries on them ([`Session::query`]). Sessions read: no COPY, no
//! external tables, no DML, and of DDL only views that live as long as the session.
//! [`Session::restore`] reads back what the engine last knew. [`compile_predicates`] makes of a rule's
//! expression what the stream can ask, and [`Session::replay`] asks it of the history.
//!
//! What is deliberately absent: any writing, any view that is not SQL text, any printing.

mod predicate;
mod replay;
mod restore;
mod session;
mod write;

pub use predicate::{PredicateError, compile_predicates};
pub use replay::{Hits, Replayed};
pub use restore::Known;
pub use session::{Extra, Session, SqlError, views};
pub use write::{OutputFormat, write_batches};
