//! Pairs of values, and every fold asked about them.
#![no_main]
deployforge_fuzz::target!(deployforge_fuzz::folds);
