//! Properties of the comparator over random states: what must hold whatever comes in.

mod generate;
mod handover;
mod lanes;
mod secrets;
mod streams;
mod successions;
mod trees;

use proptest::prelude::ProptestConfig;

/// A share of the usual number of cases, which `PROPTEST_CASES` raises. Failures are shown and not
/// written into the source tree: what one teaches becomes a test with a name.
fn config(share: u32) -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.div_ceil(share), failure_persistence: None, ..usual }
}
