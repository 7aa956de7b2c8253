//! Replies of OpenStack and Oracle.
#![no_main]
use deployforge_formats::Format::*;
deployforge_fuzz::target!(|input| deployforge_fuzz::read(input, &[OpenStack, Oracle]));
