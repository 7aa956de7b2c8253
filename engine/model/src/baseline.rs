//! What a baseline is: its kind, its version, how it is compared with.

use serde::{Deserialize, Serialize};

use crate::verdict::named;

named! {
    /// What kind of statement a baseline is.
    BaselineKind {
        /// Infrastructure as code says so.
        Declared = "declared",
        /// It was so when it was last known to be good.
        Recorded = "recorded",
    }
}

named! {
    /// What counts when two states are compared.
    Mode {
        /// Everything observed counts.
        Full = "full",
        /// Only what the baseline declares counts: members and keys it does not name are not looked
        /// at.
        Declared = "declared",
    }
}

/// Which baseline, which version, how to compare with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineInfo {
    /// Its name.
    pub name: String,
    /// Its version, counted from 1.
    pub version: u32,
    /// Its kind.
    pub kind: BaselineKind,
    /// What counts; none: the default, which is `full` within one dialect.
    pub mode: Option<Mode>,
    /// Some of its sources could not be read: what it does not declare may be declared all the same.
    pub incomplete: bool,
}
