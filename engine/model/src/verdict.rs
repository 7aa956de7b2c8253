//! What the comparator can say: verdicts, the kinds of findings, severities, transitions.

use serde::{Deserialize, Serialize};

/// Declares a plain enum whose variants have one stable lower-case name, used in JSON, SQL and on
/// the command line alike.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|value| value.name() == text).ok_or_else(|| {
                    let names: Vec<_> = Self::ALL.iter().map(|value| value.name()).collect();
                    format!("`{text}` is not one of {}", names.join(", "))
                })
            }
        }
    };
}
pub(crate) use named;

named! {
    /// What is true of one resource, compared with its baseline.
    Verdict {
        /// Compared, and nothing that counts differs.
        InSync = "in_sync",
        /// Compared, and at least one finding counts.
        Drifted = "drifted",
        /// In the baseline, and a finished sweep or a deletion says it does not exist.
        Missing = "missing",
        /// Exists, and no baseline declares it.
        Unmanaged = "unmanaged",
        /// Could not be compared; see [`UnknownReason`]. Never "in sync" by omission.
        Unknown = "unknown",
    }
}

named! {
    /// Why a verdict is `unknown`.
    UnknownReason {
        /// The type or format is not supported.
        Unsupported = "unsupported",
        /// The source could not be read completely.
        Unreadable = "unreadable",
        /// The last observation is too old to stand for the present.
        Stale = "stale",
        /// The baseline holds values that could not be resolved.
        Unresolved = "unresolved",
        /// The attribute can be written but not read back.
        WriteOnly = "write-only",
        /// Baseline and observation speak different dialects and no map joins them.
        Unmapped = "unmapped",
        /// Two declarations claim the same resource with different contents.
        Duplicate = "duplicate",
        /// Two observations of the same version and time contradict each other.
        Conflicting = "conflicting",
        /// Nothing was observed yet, and no finished sweep covers it.
        Unobserved = "unobserved",
        /// Terraform's deposed object, which waits for deletion: known, and never compared.
        Deposed = "deposed",
    }
}

named! {
    /// How one attribute (or subtree) differs.
    FindingKind {
        /// Present on both sides with different values.
        Changed = "changed",
        /// Observed, and not in the baseline.
        Added = "added",
        /// In the baseline, and not observed.
        Removed = "removed",
        /// An ordered array with the same elements in another order: informational.
        Reordered = "reordered",
        /// The resource as a whole is missing; a finding only where a rule ignores it.
        Missing = "missing",
        /// The resource as a whole is declared by none; a finding only where a rule ignores it.
        Unmanaged = "unmanaged",
    }
}

named! {
    /// How much a finding or a resource matters. Ordered: `Informational < Degraded < Critical`.
    Severity {
        /// Worth knowing.
        Informational = "informational",
        /// Not as declared.
        Degraded = "degraded",
        /// Puts service or safety at risk.
        Critical = "critical",
    }
}

named! {
    /// What happened to a finding. History is append-only: what is current is a view.
    Transition {
        /// It was not there before.
        Opened = "opened",
        /// It was there with another kind or value.
        Changed = "changed",
        /// It is no longer there.
        Closed = "closed",
    }
}

impl FindingKind {
    /// Whether findings of this kind count towards verdict, score and exit code.
    pub fn counts(self) -> bool {
        self != Self::Reordered
    }

    /// The kind that stands for a verdict on a resource as a whole.
    pub fn of_whole(verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::Missing => Some(Self::Missing),
            Verdict::Unmanaged => Some(Self::Unmanaged),
            Verdict::InSync | Verdict::Drifted | Verdict::Unknown => None,
        }
    }

    /// Whether it speaks of a resource as a whole.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Missing | Self::Unmanaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for verdict in Verdict::ALL {
            assert_eq!(verdict.name().parse::<Verdict>().unwrap(), *verdict);
        }
        assert!(Severity::Critical > Severity::Degraded);
        assert_eq!(
            "low".parse::<Severity>().unwrap_err(),
            "`low` is not one of informational, degraded, critical"
        );
    }
}
