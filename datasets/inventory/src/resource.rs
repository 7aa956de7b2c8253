//! One resource of an inventory: what it is, what became of it, and the truth about it.

use std::fmt;

use crate::attribute::{Around, Attribute, counts};
use crate::catalogue::{Kind, REGIONS, Reach};
use crate::dice::{Dice, below, fraction};
use crate::inventory::Inventory;
use crate::options::Format;
use crate::text::{put, put_hex};

/// What a round makes of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is as in round 0.
    InSync,
    /// It means the same and is written another way: members in another order, with white space.
    Rewritten,
    /// One attribute differs.
    Drifted,
    /// It is not listed.
    Missing,
    /// It is listed, and round 0 lacks it.
    Unmanaged,
}

/// The numbers of a resource's rolls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Roll {
    Kind,
    Account,
    Region,
    Attributes,
    Zone,
    Tags,
    Neighbour,
    /// The first attribute; the others follow.
    FirstAttribute = 16,
}

/// One resource, in the round of its inventory.
#[derive(Clone, Copy)]
pub struct Resource<'a> {
    pub(crate) inventory: &'a Inventory,
    pub(crate) index: u64,
    pub(crate) dice: Dice,
    pub(crate) kind: &'a Kind,
    pub(crate) region: usize,
    pub(crate) account: usize,
    fate: Fate,
    /// How many attributes its configuration has.
    attributes: usize,
    /// Where what the fate chooses begins: the attribute that drifts, or the one written first.
    at: usize,
    /// What it drifts to.
    drift: u64,
}

impl fmt::Debug for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource")
            .field("index", &self.index)
            .field("type", &self.resource_type())
            .field("fate", &self.fate)
            .finish_non_exhaustive()
    }
}

impl<'a> Resource<'a> {
    pub(crate) fn of(inventory: &'a Inventory, index: u64) -> Self {
        let dice = inventory.things.of(index);
        let roll = |number: Roll| dice.roll(number as u64);
        let kind = &inventory.kinds[inventory.kind_spread.pick(roll(Roll::Kind))];
        let (least, most) = counts(inventory.options.size);
        let attributes = (least + below(roll(Roll::Attributes), most - least + 1)) as usize;
        let fates = inventory.fates.of(index);
        let fate = inventory.fate(index, fraction(fates.roll(0)), fraction(fates.roll(1)));
        let choice = below(fates.roll(2), attributes as u64) as usize;
        let at = match fate {
            Fate::Drifted => drifting(&kind.attributes[..attributes], choice),
            _ => choice,
        };
        Self {
            inventory,
            index,
            dice,
            kind,
            region: below(roll(Roll::Region), inventory.options.regions.into()) as usize,
            account: inventory.account_spread.pick(roll(Roll::Account)),
            fate,
            attributes,
            at,
            drift: fates.roll(3),
        }
    }

    /// What the round makes of it.
    pub fn fate(&self) -> Fate {
        self.fate
    }

    /// The type, as the format names it.
    pub fn resource_type(&self) -> &'a str {
        &self.kind.name
    }

    /// Appends the id.
    pub fn append_id(&self, out: &mut Vec<u8>) {
        put(out, &*self.kind.id);
        put_hex::<16>(out, self.dice.name());
    }

    /// Appends the ARN.
    pub fn append_arn(&self, out: &mut Vec<u8>) {
        put(out, b"arn:aws:");
        put(out, self.kind.service);
        put(out, b":");
        if matches!(self.kind.reach, Reach::Zone | Reach::Region) {
            put(out, REGIONS[self.region]);
        }
        put(out, b":");
        if self.kind.reach != Reach::Bucket {
            put(out, self.account());
        }
        put(out, b":");
        put(out, &*self.kind.before_id);
        self.append_id(out);
    }

    /// Appends a line of the truth, if the resource is not in sync: a JSON object of id, ARN, type
    /// and verdict, and, where it drifted, of the finding's path and kind.
    pub fn append_truth(&self, out: &mut Vec<u8>) {
        let verdict = match self.fate {
            Fate::InSync | Fate::Rewritten => return,
            Fate::Drifted => "drifted",
            Fate::Missing => "missing",
            Fate::Unmanaged => "unmanaged",
        };
        put(out, b"{\"id\":\"");
        self.append_id(out);
        put(out, b"\",\"arn\":\"");
        self.append_arn(out);
        put(out, b"\",\"type\":\"");
        put(out, &*self.kind.name);
        put(out, b"\",\"verdict\":\"");
        put(out, verdict);
        if self.fate == Fate::Drifted {
            put(out, b"\",\"path\":\"");
            self.append_path(out);
            put(out, b"\",\"kind\":\"changed");
        }
        put(out, b"\"}\n");
    }

    /// Appends the JSON Pointer of what drifted, from the root of the state.
    fn append_path(&self, out: &mut Vec<u8>) {
        let attribute = &self.kind.attributes[self.at];
        if self.inventory.options.format.is_aws_config() {
            put(out, b"/configuration");
        }
        put(out, b"/");
        put(out, attribute.name());
        put(out, attribute.shape.path(self.drift));
    }

    pub(crate) fn account(&self) -> &'a [u8] {
        &self.inventory.accounts[self.account]
    }

    pub(crate) fn roll(&self, number: Roll) -> u64 {
        self.dice.roll(number as u64)
    }

    /// Appends the members of the configuration, without the braces.
    pub(crate) fn append_attributes(&self, out: &mut Vec<u8>) {
        let around = Around {
            region: REGIONS[self.region],
            account: self.account(),
            snake: self.inventory.options.format == Format::TerraformState,
        };
        let rewritten = self.fate == Fate::Rewritten;
        // Rotated by at least one, so that the order really is another.
        let first = if rewritten { self.at.max(1) } else { 0 };
        for step in 0..self.attributes {
            let turned = first + step;
            let at = if turned < self.attributes { turned } else { turned - self.attributes };
            if step > 0 {
                put(out, if rewritten { ", " } else { "," });
            }
            let attribute = &self.kind.attributes[at];
            put(out, attribute.label());
            if rewritten {
                put(out, b" ");
            }
            let drift = (self.fate == Fate::Drifted && at == self.at).then_some(self.drift);
            let roll = self.dice.roll(Roll::FirstAttribute as u64 + at as u64);
            attribute.shape.put(out, roll, drift, around);
        }
    }
}

/// The first attribute from `at` on, round the end, that can drift. Each shape that cannot stands
/// between two that can, and no resource has fewer than three attributes.
fn drifting(attributes: &[Attribute], at: usize) -> usize {
    let (before, after) = attributes.split_at(at);
    let can = |attribute: &Attribute| attribute.shape.drifts();
    match after.iter().position(can) {
        Some(step) => at + step,
        None => before.iter().position(can).unwrap_or(at),
    }
}
