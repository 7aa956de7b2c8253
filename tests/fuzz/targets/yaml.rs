//! YAML, read as what is most often written in it.
#![no_main]
use deployforge_formats::Format::*;
deployforge_fuzz::target!(|input| deployforge_fuzz::read(input, &[Kubernetes, CloudFormation]));
