//! The scenarios: what a user does with the binary, from beginning to end.

mod audit;
mod baseline;
mod demo;
mod diff;
mod documents;
mod house;
mod input;
mod kill;
mod pairs;
mod reference;
mod run;
mod secrets;
mod support;
mod sweeps;
mod truth;
mod watch;
