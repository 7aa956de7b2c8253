//! The inventory: every resource by its index, and all of them as a stream.

use std::fmt;
use std::io::{self, Write};

use crate::catalogue::Kind;
use crate::dice::{Dice, Spread, bound};
use crate::options::{Format, Options, OptionsError};
use crate::place::{Times, account};
use crate::resource::{Fate, Resource};
use crate::text::{put, put_number, put_uuid};

/// Bytes gathered before they are written: enough that a write costs nothing, little enough that the
/// bytes are still in the cache.
const BUFFER_BYTES: usize = 256 << 10;

/// The numbers of the dice that are not a resource's.
const FATES: u64 = 1;
const PLACES: u64 = 2;
const DOCUMENT: u64 = 3;

/// A seeded inventory in one round.
#[derive(Debug)]
pub struct Inventory {
    pub(crate) options: Options,
    pub(crate) kinds: Box<[Kind]>,
    pub(crate) kind_spread: Spread,
    pub(crate) accounts: Box<[[u8; 12]]>,
    pub(crate) account_spread: Spread,
    pub(crate) times: Times,
    /// What resources are: the same in every round.
    pub(crate) things: Dice,
    /// What becomes of them: different in every round.
    pub(crate) fates: Dice,
    /// What stands in accounts and regions.
    pub(crate) places: Dice,
    /// Bounds of shares: who is below the first is missing, below the second drifted.
    missing: u64,
    drifted: u64,
    rewritten: u64,
    unmanaged: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Resources that are listed.
    pub listed: u64,
    /// Of these, how many are written another way and mean the same.
    pub rewritten: u64,
    /// Of these, how many differ in one attribute.
    pub drifted: u64,
    /// Of these, how many round 0 lacks.
    pub unmanaged: u64,
    /// Resources that are not listed.
    pub missing: u64,
    /// Bytes of the inventory.
    pub bytes: u64,
}

impl Summary {
    fn count(&mut self, fate: Fate) {
        self.listed += u64::from(fate != Fate::Missing);
        match fate {
            Fate::InSync => {}
            Fate::Rewritten => self.rewritten += 1,
            Fate::Drifted => self.drifted += 1,
            Fate::Missing => self.missing += 1,
            Fate::Unmanaged => self.unmanaged += 1,
        }
    }
}

/// What could not be written.
#[derive(Debug)]
pub enum WriteError {
    /// The inventory itself.
    Inventory(io::Error),
    /// The truth about it.
    Truth(io::Error),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inventory(error) => write!(f, "the inventory could not be written: {error}"),
            Self::Truth(error) => write!(f, "the truth could not be written: {error}"),
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Inventory(error) | Self::Truth(error) => Some(error),
        }
    }
}

impl Inventory {
    /// The inventory of these options.
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        options.check()?;
        let seeded = Dice::new(options.seed);
        let kind = |rank| Kind::of(rank, options.format, options.size);
        Ok(Self {
            kinds: (0..options.types).map(kind).collect(),
            kind_spread: Spread::zipf(options.types, options.skew),
            accounts: (0..options.accounts).map(|rank| account(rank, options.seed)).collect(),
            account_spread: Spread::zipf(options.accounts, options.skew),
            times: Times::of(options.round),
            things: seeded,
            fates: Dice::new(seeded.roll(FATES)).of(options.round.into()),
            places: Dice::new(seeded.roll(PLACES)),
            missing: bound(options.missing),
            drifted: bound(options.missing + options.drift),
            rewritten: bound(options.change),
            unmanaged: (options.resources as f64 * options.unmanaged).round() as u64,
            options,
        })
    }

    /// What it was made of.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// How many indices there are: the resources of round 0, then those that it lacks.
    pub fn indices(&self) -> u64 {
        self.options.resources + self.unmanaged
    }

    /// The resource of an index. From [`Options::resources`] on, they are unmanaged; they are those
    /// that a larger inventory of the same seed has there.
    pub fn resource(&self, index: u64) -> Resource<'_> {
        Resource::of(self, index)
    }

    /// What becomes of a resource, from two fractions.
    pub(crate) fn fate(&self, index: u64, one: u64, other: u64) -> Fate {
        if index >= self.options.resources {
            Fate::Unmanaged
        } else if one < self.missing {
            Fate::Missing
        } else if one < self.drifted {
            Fate::Drifted
        } else if other < self.rewritten {
            Fate::Rewritten
        } else {
            Fate::InSync
        }
    }

    /// Writes the inventory, and, where asked for, the truth about it: one line for each resource
    /// that is not in sync. `progress` is told now and then how many indices are done.
    pub fn write(
        &self,
        out: &mut dyn Write,
        mut truth: Option<&mut dyn Write>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Summary, WriteError> {
        let mut summary = Summary::default();
        let (mut buffer, mut lines) = (Vec::with_capacity(BUFFER_BYTES * 2), Vec::new());
        let lined = self.is_lines();
        self.append_head(&mut buffer);
        for index in 0..self.indices() {
            let resource = self.resource(index);
            let fate = resource.fate();
            if fate != Fate::Missing {
                if !lined && summary.listed > 0 {
                    put(&mut buffer, b",\n");
                }
                resource.append(&mut buffer);
                if lined {
                    put(&mut buffer, b"\n");
                }
            }
            summary.count(fate);
            if truth.is_some() {
                resource.append_truth(&mut lines);
            }
            if buffer.len() >= BUFFER_BYTES || lines.len() >= BUFFER_BYTES {
                summary.bytes += buffer.len() as u64;
                flush(&mut buffer, out).map_err(WriteError::Inventory)?;
                if let Some(truth) = &mut truth {
                    flush(&mut lines, *truth).map_err(WriteError::Truth)?;
                }
                progress(index + 1);
            }
        }
        self.append_foot(&mut buffer);
        summary.bytes += buffer.len() as u64;
        flush(&mut buffer, out).and_then(|()| out.flush()).map_err(WriteError::Inventory)?;
        if let Some(truth) = truth {
            flush(&mut lines, truth).and_then(|()| truth.flush()).map_err(WriteError::Truth)?;
        }
        progress(self.indices());
        Ok(summary)
    }

    /// Whether each record is a line, as opposed to one document of all.
    fn is_lines(&self) -> bool {
        match self.options.format {
            Format::AwsConfig | Format::Native | Format::CloudEvents => true,
            Format::AwsConfigSnapshot | Format::TerraformState => false,
        }
    }

    /// What stands before the records.
    fn append_head(&self, out: &mut Vec<u8>) {
        let document = Dice::new(Dice::new(self.options.seed).roll(DOCUMENT));
        match self.options.format {
            Format::AwsConfig | Format::Native | Format::CloudEvents => {}
            Format::AwsConfigSnapshot => {
                let document = document.of(self.options.round.into());
                put(out, b"{\"fileVersion\":\"1.0\",\"configSnapshotId\":\"");
                put_uuid(out, document.roll(0), document.roll(1));
                put(out, b"\",\"configurationItems\":[\n");
            }
            Format::TerraformState => {
                put(out, b"{\"version\":4,\"terraform_version\":\"1.10.0\",\"serial\":");
                put_number(out, u64::from(self.options.round) + 1);
                // The lineage is the same in every round: what a state lacks is missing from it.
                put(out, b",\"lineage\":\"");
                put_uuid(out, document.roll(0), document.roll(1));
                put(out, b"\",\"outputs\":{},\"resources\":[\n");
            }
        }
    }

    /// What stands after them.
    fn append_foot(&self, out: &mut Vec<u8>) {
        match self.options.format {
            Format::AwsConfig | Format::Native | Format::CloudEvents => {}
            Format::AwsConfigSnapshot => put(out, b"\n]}\n"),
            Format::TerraformState => put(out, b"\n],\"check_results\":null}\n"),
        }
    }
}

fn flush(buffer: &mut Vec<u8>, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(buffer)?;
    buffer.clear();
    Ok(())
}
