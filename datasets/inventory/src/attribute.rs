//! Attributes: what the configuration of a type may hold, and the values of one resource.
//!
//! A value follows from one roll, and so does a value that drifted. What drifts is a scalar: a text,
//! a flag, a number, a member of a small object, or a null that became a text. The two values never
//! mean the same, whatever a reader folds: none of them is empty. Lists do not drift, since the path
//! of an element depends on how a reader takes the list.
//!
//! No name is one that a reader would take for a secret, or that array rules speak of.

use crate::dice::mix;
use crate::options::Size;
use crate::text::{put, put_digits, put_hex, put_number};

/// An attribute of a type.
#[derive(Debug)]
pub(crate) struct Attribute {
    /// The name as a member of JSON: in quotes, with the colon.
    label: Box<[u8]>,
    /// What its values look like.
    pub(crate) shape: Shape,
}

/// What values look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A text of a few words.
    Text,
    /// True or false.
    Flag,
    /// A number below 5000.
    Count,
    /// An object of a text, a number and a flag.
    Block,
    /// The same, with the ARN of a key.
    Sealed,
    /// Up to three ids of neighbours.
    List,
    /// Null in three cases of four, else a text.
    Optional,
    /// Up to four objects that tell a range of ports and addresses.
    Rules,
}

/// The order of shapes: a type begins somewhere in it and goes round.
const SMALL: [Shape; 5] = [Shape::Text, Shape::Flag, Shape::Count, Shape::Optional, Shape::Text];
const MEDIUM: [Shape; 12] = [
    Shape::Text,
    Shape::Flag,
    Shape::Count,
    Shape::Sealed,
    Shape::List,
    Shape::Optional,
    Shape::Text,
    Shape::Flag,
    Shape::Count,
    Shape::Block,
    Shape::List,
    Shape::Optional,
];
const LARGE: [Shape; 10] = [
    Shape::Text,
    Shape::Flag,
    Shape::Rules,
    Shape::Count,
    Shape::Sealed,
    Shape::List,
    Shape::Optional,
    Shape::Text,
    Shape::Count,
    Shape::Flag,
];

/// Words that a text begins with.
const WORDS: [&str; 16] = [
    "standard",
    "balanced",
    "strict",
    "relaxed",
    "regional",
    "dual",
    "single",
    "provisioned",
    "managed",
    "custom",
    "default",
    "compact",
    "extended",
    "isolated",
    "shared",
    "reserved",
];

/// What attributes are about. A prime number of them, so that any step goes through all.
const SUBJECTS: [&str; 41] = [
    "network",
    "storage",
    "backup",
    "retention",
    "encryption",
    "monitoring",
    "logging",
    "replication",
    "maintenance",
    "access",
    "placement",
    "scaling",
    "endpoint",
    "routing",
    "throughput",
    "capacity",
    "version",
    "lifecycle",
    "recovery",
    "delivery",
    "inspection",
    "failover",
    "cache",
    "buffer",
    "stream",
    "snapshot",
    "volume",
    "image",
    "kernel",
    "session",
    "health",
    "cluster",
    "shard",
    "index",
    "query",
    "trace",
    "export",
    "archive",
    "transfer",
    "notification",
    "boot",
];

/// How many attributes a resource has: at least and at most.
pub(crate) fn counts(size: Size) -> (u64, u64) {
    match size {
        Size::Small => (3, 5),
        Size::Medium => (12, 35),
        Size::Large => (80, 122),
    }
}

/// What a name ends in, by the shape of its values. Each shape has as many as there are rounds
/// through the subjects in the largest size.
fn endings(shape: Shape) -> [&'static str; 3] {
    match shape {
        Shape::Text => ["Class", "Mode", "Profile"],
        Shape::Flag => ["Enabled", "Required", "Protected"],
        Shape::Count => ["Limit", "Seconds", "Size"],
        Shape::Block => ["Settings", "Options", "Behavior"],
        Shape::Sealed => ["Protection", "Configuration", "Details"],
        Shape::List => ["Targets", "Members", "Neighbors"],
        Shape::Optional => ["Override", "Alias", "Window"],
        Shape::Rules => ["Rules", "Mappings", "Permissions"],
    }
}

/// The attributes of the type of a rank. Two types share names now and then, as real ones do.
pub(crate) fn schema(rank: u32, size: Size, snake: bool) -> Box<[Attribute]> {
    let shapes: &[Shape] = match size {
        Size::Small => &SMALL,
        Size::Medium => &MEDIUM,
        Size::Large => &LARGE,
    };
    let (_, most) = counts(size);
    let rank = rank as usize;
    let attribute = |at: usize| {
        let shape = shapes[(at + rank) % shapes.len()];
        let about = (at * 7 + rank * 11) % SUBJECTS.len();
        let subject = SUBJECTS[about];
        // Each time round the subjects, another ending: no name comes twice.
        let ending = endings(shape)[(at / SUBJECTS.len() + about + rank) % 3];
        let name = if snake {
            format!("{subject}_{}", ending.to_ascii_lowercase())
        } else {
            format!("{subject}{ending}")
        };
        Attribute { label: format!("\"{name}\":").into_bytes().into(), shape }
    };
    (0..most as usize).map(attribute).collect()
}

/// What the values of a resource refer to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around<'a> {
    pub(crate) region: &'a str,
    pub(crate) account: &'a [u8],
    pub(crate) snake: bool,
}

impl Attribute {
    /// The name as a member of JSON: in quotes, with the colon.
    pub(crate) fn label(&self) -> &[u8] {
        &self.label
    }

    /// The name.
    pub(crate) fn name(&self) -> &[u8] {
        &self.label[1..self.label.len() - 2]
    }
}

impl Shape {
    /// Whether a value of this shape can drift.
    pub(crate) fn drifts(self) -> bool {
        !matches!(self, Self::List | Self::Rules)
    }

    /// The path from the value to what drifted in it.
    pub(crate) fn path(self, drift: u64) -> &'static str {
        match self {
            Self::Block | Self::Sealed => ["/mode", "/level", "/enabled"][(drift % 3) as usize],
            _ => "",
        }
    }

    /// Appends the value that a roll stands for, or the one it drifted to.
    pub(crate) fn put(self, out: &mut Vec<u8>, roll: u64, drift: Option<u64>, around: Around<'_>) {
        match self {
            Self::Text => put_text(out, roll, drift),
            Self::Flag => put_flag(out, roll, drift.is_some()),
            Self::Count => put_number(out, moved(roll % 5000, drift)),
            Self::Block => {
                put_members(out, roll, drift);
                put(out, b"}");
            }
            Self::Sealed => {
                put_members(out, roll, drift);
                put(out, if around.snake { ",\"key_arn\":\"" } else { ",\"keyArn\":\"" });
                put(out, b"arn:aws:kms:");
                put(out, around.region);
                put(out, b":");
                put(out, around.account);
                put(out, b":key/");
                put_hex::<16>(out, mix(roll));
                put(out, b"\"}");
            }
            Self::List => put_list(out, roll),
            Self::Optional if roll >> 62 == 0 => put_text(out, roll, drift),
            Self::Optional => match drift {
                Some(drift) => put_text(out, drift, None),
                None => put(out, b"null"),
            },
            Self::Rules => put_rules(out, roll),
        }
    }
}

/// A word and six digits; the digits drift.
fn put_text(out: &mut Vec<u8>, roll: u64, drift: Option<u64>) {
    // Something between 1 and 0xff_ffff: at least one digit differs.
    let change = drift.map_or(0, |drift| 1 + drift % 0xff_ffff);
    put(out, b"\"");
    put(out, WORDS[((roll >> 24) % WORDS.len() as u64) as usize]);
    put(out, b"-");
    put_hex::<6>(out, (roll & 0xff_ffff) ^ change);
    put(out, b"\"");
}

fn put_flag(out: &mut Vec<u8>, roll: u64, drifted: bool) {
    put(out, if (roll & 1 == 1) ^ drifted { "true" } else { "false" });
}

/// A number, or the larger one it drifted to.
fn moved(number: u64, drift: Option<u64>) -> u64 {
    number + drift.map_or(0, |drift| 1 + (drift >> 32) % 900)
}

/// An object without its end; one of its members drifts.
fn put_members(out: &mut Vec<u8>, roll: u64, drift: Option<u64>) {
    let of = |member: u64| drift.filter(|drift| drift % 3 == member);
    let modes = WORDS.len() as u64;
    let mode = roll % modes + of(0).map_or(0, |drift| 1 + (drift >> 32) % (modes - 1));
    put(out, b"{\"mode\":\"");
    put(out, WORDS[(mode % modes) as usize]);
    put(out, b"\",\"level\":");
    put_number(out, moved((roll >> 8) % 100, of(1)));
    put(out, b",\"enabled\":");
    put_flag(out, roll >> 20, of(2).is_some());
}

fn put_list(out: &mut Vec<u8>, roll: u64) {
    const NEIGHBOURS: [&str; 4] = ["subnet-0", "sg-0", "eni-0", "rtb-0"];
    put(out, b"[");
    for at in 0..roll % 4 {
        put(out, if at > 0 { ",\"" } else { "\"" });
        let id = mix(roll ^ at);
        put(out, NEIGHBOURS[(id >> 62) as usize]);
        put_hex::<8>(out, id);
        put(out, b"\"");
    }
    put(out, b"]");
}

fn put_rules(out: &mut Vec<u8>, roll: u64) {
    put(out, b"[");
    for at in 0..=roll % 4 {
        let rule = mix(roll ^ at);
        let from = rule % 60_000;
        put(out, if at > 0 { ",{\"from\":" } else { "{\"from\":" });
        put_number(out, from);
        put(out, b",\"to\":");
        put_number(out, from + (rule >> 16) % 100);
        put(out, if rule >> 63 == 0 { ",\"protocol\":\"tcp\"" } else { ",\"protocol\":\"udp\"" });
        put(out, b",\"range\":\"10.");
        // Three digits with a leading one or two: always a byte.
        put(out, b"1");
        put_digits::<2>(out, rule >> 24);
        put(out, b".2");
        put_digits::<1>(out, (rule >> 32) % 5);
        put_digits::<1>(out, rule >> 40);
        put(out, b".0/24\"}");
    }
    put(out, b"]");
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const AROUND: Around<'_> =
        Around { region: "eu-west-1", account: b"123456789012", snake: false };

    fn value(shape: Shape, roll: u64, drift: Option<u64>) -> serde_json::Value {
        let mut out = Vec::new();
        shape.put(&mut out, roll, drift, AROUND);
        serde_json::from_slice(&out).unwrap_or_else(|e| panic!("{shape:?}: {e}"))
    }

    #[test]
    fn names_are_distinct_and_no_secrets() {
        // What readers take for the name of a secret ends in one of these.
        let secrets = ["key", "secret", "word", "passwd", "phrase", "token", "string", "pem"];
        for size in [Size::Small, Size::Medium, Size::Large] {
            for snake in [false, true] {
                for rank in 0..100 {
                    let schema = schema(rank, size, snake);
                    let names: HashSet<&[u8]> = schema.iter().map(Attribute::name).collect();
                    assert_eq!(names.len(), schema.len(), "{size:?} {rank}");
                    for name in names {
                        let name = std::str::from_utf8(name).unwrap().to_ascii_lowercase();
                        let one = name.trim_end_matches('s');
                        assert!(!secrets.iter().any(|end| one.ends_with(end)), "{name}");
                        assert_eq!(name.contains('_'), snake, "{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_drifts_differs_where_it_says_and_nowhere_else() {
        let all = MEDIUM.iter().chain(&LARGE).chain(&SMALL);
        for shape in all.filter(|shape| shape.drifts()) {
            for i in 0..2_000 {
                let (roll, drift) = (mix(i), mix(!i));
                let (before, mut after) =
                    (value(*shape, roll, None), value(*shape, roll, Some(drift)));
                let path = shape.path(drift);
                let leaf = after.pointer_mut(path).expect("it is there");
                assert!(!leaf.is_object() && !leaf.is_null() && *leaf != "", "{shape:?} {leaf}");
                assert_ne!(before.pointer(path), Some(&*leaf), "{shape:?}");
                *leaf = before.pointer(path).cloned().expect("it is there");
                assert_eq!(before, after, "{shape:?}");
            }
        }
    }

    #[test]
    fn every_type_and_size_can_drift() {
        for shapes in [&SMALL[..], &MEDIUM, &LARGE] {
            assert!(shapes.iter().any(|shape| shape.drifts()));
        }
        let ranges = value(Shape::Rules, 7, None);
        assert_eq!(ranges.as_array().map(Vec::len), Some(4), "{ranges}");
    }
}
