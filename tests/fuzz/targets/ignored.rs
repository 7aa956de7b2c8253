//! Ignore rules of other tools.
#![no_main]
deployforge_fuzz::target!(deployforge_fuzz::ignored);
