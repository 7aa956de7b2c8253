//! States and plans of Terraform.
#![no_main]
use deployforge_formats::Format::*;
deployforge_fuzz::target!(|input| deployforge_fuzz::read(
    input,
    &[TerraformState, TerraformJson, TerraformPlanned]
));
