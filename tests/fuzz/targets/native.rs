//! Our own records, and events that carry them.
#![no_main]
use deployforge_formats::Format::*;
deployforge_fuzz::target!(|input| deployforge_fuzz::read(input, &[Native, CloudEvents]));
