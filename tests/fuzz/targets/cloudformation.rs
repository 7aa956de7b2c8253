//! Templates, assemblies, change sets, drift results.
#![no_main]
use deployforge_formats::Format::*;
deployforge_fuzz::target!(|input| deployforge_fuzz::read(input, &[CloudFormation]));
