//! The scenarios: what a user does with the binary, from beginning to end.

mod audit;
mod baseline;
mod bench;
mod demo;
mod diff;
mod documents;
mod generate;
mod house;
mod input;
mod kill;
mod pairs;
mod reference;
mod run;
mod secrets;
mod support;
mod swap;
mod sweeps;
mod truth;
mod watch;
