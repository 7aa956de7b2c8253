//! Inputs of no named format: their content decides.
#![no_main]
deployforge_fuzz::target!(deployforge_fuzz::any);
