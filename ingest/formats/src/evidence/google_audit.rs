//! To be written.

use crate::json::Members;
use crate::refusal::Refusal;
use crate::sink::Sink;

/// Whether this is something of this format.
pub(crate) fn claims(_members: &Members<'_>) -> bool {
    false
}

/// Reads it.
pub(crate) fn read(
    _members: &Members<'_>,
    _text: &str,
    _sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    Ok(())
}
