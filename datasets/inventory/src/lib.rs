//! A seeded cloud inventory of any size, whose drift is known.
//!
//! The principal type is [`Inventory`]: [`Options`] in, records of one of the formats that are read
//! out, and beside them the truth about what differs. Round 0 is how things should be. A later round
//! is the same inventory seen again: later times, larger versions, and of its resources a share that
//! drifted in exactly one attribute, a share that was written another way without meaning anything
//! else, a share that is gone, and some that nobody declared.
//!
//! Every [`Resource`] follows from the seed and its index alone. So nothing is held in memory but
//! what the types have in common, parts can be made in parallel and in any order, and a larger
//! inventory begins with a smaller one. All numbers come from integers and from additions,
//! multiplications and divisions, which are the same on every machine: so are the bytes.
//!
//! What it will not do: I/O of its own, reading a clock, judging. It shares no code with what reads
//! and compares, so that its truth is a second opinion. The resources are made up: types, names and
//! sizes are like those of a cloud, what the attributes say is not.
//!
//! ```
//! use deployforge_inventory::{Inventory, Options};
//!
//! let options = Options { resources: 1000, round: 1, drift: 0.02, ..Options::default() };
//! let inventory = Inventory::new(options)?;
//! let (mut items, mut truth) = (Vec::new(), Vec::new());
//! let summary = inventory.write(&mut items, Some(&mut truth), &mut |_| {})?;
//! assert_eq!(items.iter().filter(|byte| **byte == b'\n').count(), 1000);
//! assert_eq!(truth.iter().filter(|byte| **byte == b'\n').count() as u64, summary.drifted);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attribute;
mod catalogue;
mod dice;
mod inventory;
mod options;
mod place;
mod record;
mod resource;
mod text;

pub use catalogue::REGIONS;
pub use inventory::{Inventory, Summary, WriteError};
pub use options::{
    ACCOUNTS_MAX, Envelope, Format, Options, OptionsError, RESOURCES_MAX, ROUND_MAX, SKEW_MAX,
    Size, TYPES_MAX,
};
pub use resource::{Fate, Resource};
