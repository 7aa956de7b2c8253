//! Replies, templates and activity logs of Azure.
#![no_main]
use deployforge_formats::Format::*;
deployforge_fuzz::target!(|input| deployforge_fuzz::read(
    input,
    &[Azure, ArmTemplate, AzureActivity]
));
