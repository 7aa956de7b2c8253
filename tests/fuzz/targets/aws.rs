//! AWS Config, replies of AWS, CloudTrail.
#![no_main]
use deployforge_formats::Format::*;
deployforge_fuzz::target!(|input| deployforge_fuzz::read(input, &[AwsConfig, AwsApi, CloudTrail]));
