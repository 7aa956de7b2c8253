//! One resource across formats.
//!
//! A Terraform state, a CloudFormation template, AWS Config and the API describe one security group in
//! four vocabularies. A [`Kind`] says which type names mean the same thing, and how attribute names of
//! each dialect lead to those of the cloud's own API, whose [`Shape`] is known from its machine-readable
//! model. Names match whatever their case and underscores; the data holds only the exceptions.
//!
//! [`Maps::align`] takes a declared and an observed state of one kind and gives both in the declared
//! side's words: what the API cannot show has no counterpart and is told as not compared, and what it
//! could show and does not is absent. Nothing here says that two values are equal: that is for the
//! comparison, with the folds of [`Kind`] and dialect.
//!
//! What is deliberately absent: I/O, any format's syntax, and code that knows a type by name. Types are
//! data: `data/*.json`, and the user's own files of the same form.

mod align;
mod apart;
mod aside;
mod data;
mod names;
mod shape;
mod stack;

pub use align::{Aligned, Unmatched};
pub use data::{Kind, KindRule, MapError, Maps, SharedMaps};
pub use shape::Shape;
pub use stack::stack_member;
