//! Assets, replies and audit logs of Google Cloud.
#![no_main]
use deployforge_formats::Format::*;
deployforge_fuzz::target!(|input| deployforge_fuzz::read(
    input,
    &[GoogleAssets, GoogleApi, GoogleAudit]
));
