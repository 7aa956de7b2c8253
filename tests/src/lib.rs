//! The testkit and the scenarios.
