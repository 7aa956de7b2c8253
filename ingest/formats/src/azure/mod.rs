//! To be written.

pub(crate) mod resources;
pub(crate) mod template;
