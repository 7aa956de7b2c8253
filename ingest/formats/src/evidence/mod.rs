//! To be written.

pub(crate) mod azure_activity;
pub(crate) mod cloudtrail;
pub(crate) mod google_audit;
