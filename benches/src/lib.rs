//! Benches of every step, and the replay harness.
