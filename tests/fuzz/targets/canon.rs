//! States, by every way that leads to what is canonical.
#![no_main]
deployforge_fuzz::target!(deployforge_fuzz::canon);
