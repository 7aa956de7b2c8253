//! A seeded inventory of any size, whose drift is known.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::PLANTED;
use crate::make::time;

const TYPES: [&str; 6] = [
    "AWS::EC2::Instance",
    "AWS::EC2::VPC",
    "AWS::S3::Bucket",
    "AWS::RDS::DBInstance",
    "AWS::IAM::Role",
    "AWS::Lambda::Function",
];
const REGIONS: [&str; 4] = ["us-east-1", "eu-west-1", "ap-southeast-2", "us-west-2"];

/// An inventory of AWS Config items, some with a planted secret. The same count and seed give the same items everywhere.
#[derive(Clone, Copy, Debug)]
pub struct Inventory {
    /// How many resources.
    pub count: u64,
    /// Which of all inventories of that size.
    pub seed: u64,
}

/// One reading of the inventory. The default is the first: nothing differs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Round {
    /// Which one: times and state ids grow with it.
    pub number: u64,
    /// Of a thousand resources, how many differ in one attribute.
    pub drifting: u64,
    /// Of a thousand resources, how many are not there.
    pub missing: u64,
    /// How many are there that the first round does not have.
    pub unmanaged: u64,
}

/// What a round makes of the resources that it does not leave alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drift {
    /// One attribute differs.
    Changed,
    /// It is not there.
    Missing,
    /// The first round does not have it.
    Unmanaged,
}

/// splitmix64: small, seeded, the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }
}

impl Inventory {
    /// Writes a round as lines, and returns the truth about it: id, what became of it, and the JSON
    /// Pointer of the attribute that differs (empty for what is missing or unmanaged).
    pub fn write(
        self,
        round: Round,
        out: &mut dyn Write,
    ) -> io::Result<Vec<(String, Drift, String)>> {
        let mut truth = Vec::new();
        for i in 0..self.count + round.unmanaged {
            let mut fate = Dice(self.seed ^ i.wrapping_mul(7919) ^ (round.number << 40));
            let fate = (fate.below(1000), fate.roll());
            let is_new = i >= self.count;
            if !is_new && fate.0 < round.missing {
                truth.push((self.id(i), Drift::Missing, String::new()));
                continue;
            }
            let drifts = !is_new && fate.0 < round.missing + round.drifting;
            let (line, path) = self.item(i, round.number, drifts.then_some(fate.1));
            out.write_all(line.as_bytes())?;
            if is_new {
                truth.push((self.id(i), Drift::Unmanaged, String::new()));
            } else if let Some(path) = path {
                truth.push((self.id(i), Drift::Changed, path));
            }
        }
        Ok(truth)
    }

    /// A round as text, and the truth about it, sorted.
    pub fn text(self, round: Round) -> (String, Vec<(String, Drift, String)>) {
        let mut out = Vec::new();
        let mut truth = self.write(round, &mut out).expect("memory does not fail");
        truth.sort();
        (String::from_utf8(out).expect("it is text"), truth)
    }

    fn id(self, i: u64) -> String {
        format!("r-{:08x}{i:08x}", Dice(self.seed.wrapping_add(i)).roll() >> 32)
    }

    /// One item, with one attribute changed if `drift` says which.
    fn item(self, i: u64, round: u64, drift: Option<u64>) -> (String, Option<String>) {
        let mut dice = Dice(self.seed.wrapping_mul(1_000_003).wrapping_add(i));
        let id = self.id(i);
        let region = REGIONS[dice.below(4) as usize];
        let account = 100_000_000_000 + dice.below(50);
        let kind = dice.below(6) as usize;
        let resource_type = TYPES[kind];
        let attributes = 6 + dice.below(18);
        let drifting = drift.map(|pick| pick % attributes);
        let mut path = None;
        let mut configuration = String::new();
        for a in 0..attributes {
            let name = format!("attribute{kind}{}", (b'A' + a as u8) as char);
            let (value, below) = attribute(&mut dice, a % 6, drifting == Some(a));
            if drifting == Some(a) {
                path = Some(format!("/configuration/{name}{below}"));
            }
            let comma = if a > 0 { "," } else { "" };
            let _ = write!(configuration, "{comma}\"{name}\":{value}");
        }
        // Not everywhere: states without secrets are read another way.
        if i % 8 == 3 {
            let _ = write!(configuration, r#","masterPassword":"{PLANTED}{id}""#);
        }
        let line = format!(
            concat!(
                r#"{{"configurationItemVersion":"1.3","configurationItemCaptureTime":"{}","#,
                r#""configurationStateId":{},"awsAccountId":"{}","configurationItemStatus":"OK","#,
                r#""resourceType":"{}","resourceId":"{}","ARN":"arn:aws:svc:{}:{}:thing/{}","#,
                r#""awsRegion":"{}","tags":{{"Owner":"team-{}","Project":"p{}"}},"#,
                r#""relationships":[{{"resourceType":"AWS::EC2::VPC","resourceId":"vpc-{:08x}"}}],"#,
                r#""configuration":{{{}}}}}"#,
                "\n"
            ),
            time(round * 60 + i % 60),
            1_700_000_000_000 + round * 1_000_000 + i % 1000,
            account,
            resource_type,
            id,
            region,
            account,
            id,
            region,
            dice.below(30),
            dice.below(40),
            dice.below(1 << 32),
            configuration,
        );
        (line, path)
    }
}

/// A value of one of six shapes, and the path from it to the leaf that differs if it drifts.
fn attribute(dice: &mut Dice, shape: u64, drifts: bool) -> (String, &'static str) {
    let roll = dice.roll();
    match shape {
        0 => (format!("\"value-{:x}{}\"", roll >> 40, if drifts { "-x" } else { "" }), ""),
        1 => (format!("{}", (roll & 1 == 1) ^ drifts), ""),
        2 => (format!("{}", roll % 5000 + u64::from(drifts)), ""),
        3 => {
            let (mode, level) = (roll % 9, roll % 100 + u64::from(drifts));
            (format!(r#"{{"mode":"m{mode}","level":{level},"on":true}}"#), "/level")
        }
        4 => {
            let tail = if drifts { "y" } else { "" };
            (
                format!(r#"["sg-{:08x}","subnet-{:08x}{tail}"]"#, roll >> 32, roll & 0xffff_ffff),
                "/1",
            )
        }
        _ => (if drifts { "\"set\"" } else { "null" }.to_owned(), ""),
    }
}
