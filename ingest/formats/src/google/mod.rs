//! To be written.

pub(crate) mod api;
pub(crate) mod assets;
