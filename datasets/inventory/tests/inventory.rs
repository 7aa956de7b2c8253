//! The inventory against the readers of every format, and its truth against the states they read.

use std::collections::{BTreeMap, BTreeSet};

use deployforge_formats::{ReadOptions, ReadSummary, Reader};
use deployforge_inventory::{Envelope, Fate, Format, Inventory, Options, Size, Summary};
use deployforge_model::{Observation, Record};
use serde_json::Value;

const RESOURCES: u64 = 2_000;

struct Made {
    bytes: Vec<u8>,
    truth: Vec<Value>,
    summary: Summary,
}

fn make(options: &Options) -> Made {
    let inventory = Inventory::new(*options).expect("options that make sense");
    let (mut bytes, mut truth) = (Vec::new(), Vec::new());
    let mut done = 0;
    let summary = inventory
        .write(&mut bytes, Some(&mut truth), &mut |now| {
            assert!(now >= done);
            done = now;
        })
        .expect("memory does not fail");
    assert_eq!(done, inventory.indices());
    assert_eq!(summary.bytes, bytes.len() as u64);
    let line = |line: &[u8]| serde_json::from_slice(line).expect("a line of JSON");
    let truth = truth.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(line);
    Made { truth: truth.collect(), bytes, summary }
}

/// What the reader of the format makes of it; nothing is refused.
fn read(bytes: &[u8]) -> (BTreeMap<String, Observation>, ReadSummary) {
    let mut reader = Reader::new(ReadOptions::default());
    let mut records = Vec::new();
    reader.push(bytes, &mut records);
    let summary = reader.finish(&mut records);
    assert_eq!(summary.rejects, 0, "{:?}", records.iter().find(|r| matches!(r, Record::Reject(_))));
    let mut all = BTreeMap::new();
    for record in records {
        let Record::Observation(observation) = record else { panic!("{record:?}") };
        let twice = all.insert(observation.key.id.clone(), *observation);
        assert!(twice.is_none(), "{twice:?}");
    }
    (all, summary)
}

fn state(observation: &Observation) -> Value {
    serde_json::from_slice(&observation.state).expect("a state is JSON")
}

/// The paths at which two states differ, leaf by leaf.
fn differences(path: &str, a: &Value, b: &Value, found: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                let (a, b) = (a.get(name), b.get(name));
                let null = &Value::Null;
                differences(&format!("{path}/{name}"), a.unwrap_or(null), b.unwrap_or(null), found);
            }
        }
        _ if a == b => {}
        _ => found.push(path.to_owned()),
    }
}

fn later(format: Format) -> Options {
    Options {
        resources: RESOURCES,
        seed: 7,
        round: 1,
        change: 0.1,
        drift: 0.05,
        missing: 0.01,
        unmanaged: 0.02,
        format,
        ..Options::default()
    }
}

fn first(later: &Options) -> Options {
    Options { round: 0, change: 0.0, drift: 0.0, missing: 0.0, unmanaged: 0.0, ..*later }
}

/// Every combination that is allowed.
fn all_kinds() -> Vec<Options> {
    let mut all = Vec::new();
    for format in Format::ALL {
        for size in [Size::Small, Size::Medium, Size::Large] {
            for envelope in [Envelope::First, Envelope::Last] {
                let options = Options { size, envelope, ..later(format) };
                if Inventory::new(options).is_ok() {
                    all.push(options);
                }
            }
        }
    }
    assert_eq!(all.len(), 3 * 7);
    all
}

#[test]
fn the_truth_is_what_readers_see() {
    for options in all_kinds() {
        let (before, after) = (make(&first(&options)), make(&options));
        assert!(before.truth.is_empty());
        assert_eq!(before.summary.listed, RESOURCES);
        let (base, base_summary) = read(&before.bytes);
        let (seen, seen_summary) = read(&after.bytes);
        let whole = matches!(options.format, Format::AwsConfigSnapshot | Format::TerraformState);
        assert_eq!(base_summary.complete_listing, whole);
        assert_eq!(base_summary.collections, seen_summary.collections);

        let mut found = Vec::new();
        let mut rewritten = 0;
        for (id, then) in &base {
            let Some(now) = seen.get(id) else {
                found.push((id.as_str(), "missing", String::new()));
                continue;
            };
            assert_eq!((&then.key, &then.aliases), (&now.key, &now.aliases));
            if options.format != Format::TerraformState {
                assert!(then.observed_at < now.observed_at && then.version < now.version);
            }
            let mut paths = Vec::new();
            differences("", &state(then), &state(now), &mut paths);
            match <[String; 1]>::try_from(paths) {
                Ok([path]) => found.push((id, "drifted", path)),
                Err(paths) => {
                    assert!(paths.is_empty(), "{id} differs at {paths:?}");
                    rewritten += u64::from(then.state != now.state);
                }
            }
        }
        let new = seen.keys().filter(|id| !base.contains_key(*id));
        found.extend(new.map(|id| (id.as_str(), "unmanaged", String::new())));
        found.sort();
        let text = |one: &'_ Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
        let mut told: Vec<_> = after
            .truth
            .iter()
            .map(|one| (text(one, "id"), text(one, "verdict"), text(one, "path")))
            .collect();
        told.sort();
        let told: Vec<_> =
            told.iter().map(|(id, verdict, path)| (&**id, &**verdict, path.clone())).collect();
        assert_eq!(found, told, "{options:?}");
        assert_eq!(rewritten, after.summary.rewritten, "{options:?}");
        counts_fit(&after.summary, &told);
    }
}

fn counts_fit(summary: &Summary, told: &[(&str, &str, String)]) {
    let count = |verdict| told.iter().filter(|(_, one, _)| *one == verdict).count() as u64;
    assert_eq!(summary.drifted, count("drifted"));
    assert_eq!(summary.missing, count("missing"));
    assert_eq!(summary.unmanaged, count("unmanaged"));
    assert_eq!(summary.listed, RESOURCES - summary.missing + summary.unmanaged);
    // The shares that were asked for, give or take four times their deviation.
    for (got, want, slack) in [
        (summary.drifted, 100, 40),
        (summary.missing, 20, 18),
        (summary.rewritten, 188, 56),
        (summary.unmanaged, 40, 0),
    ] {
        assert!(got.abs_diff(want) <= slack, "{got} {want}");
    }
}

#[test]
fn findings_say_what_and_where() {
    for options in all_kinds() {
        for one in &make(&options).truth {
            assert!(one["arn"].as_str().is_some_and(|arn| arn.starts_with("arn:aws:")), "{one}");
            let terraform = options.format == Format::TerraformState;
            let starts = if terraform { "aws_" } else { "AWS::" };
            assert!(one["type"].as_str().is_some_and(|name| name.starts_with(starts)), "{one}");
            let drifted = one["verdict"] == "drifted";
            assert_eq!(one["kind"].as_str(), drifted.then_some("changed"), "{one}");
            let root = match options.format {
                Format::AwsConfig | Format::AwsConfigSnapshot => "/configuration/",
                _ => "/",
            };
            assert_eq!(one["path"].as_str().is_some_and(|path| path.starts_with(root)), drifted);
        }
    }
}

#[test]
fn the_same_is_the_same_and_another_is_another() {
    for format in Format::ALL {
        let options = Options { resources: 300, ..later(format) };
        let bytes = make(&options).bytes;
        assert_eq!(bytes, make(&options).bytes);
        let round = Options { round: 2, ..options };
        let seed = Options { seed: 8, ..options };
        assert_ne!(bytes, make(&round).bytes);
        assert_ne!(bytes, make(&seed).bytes);
        // No resource of another seed has the id of one of this seed.
        let (these, others) = (read(&bytes).0, read(&make(&seed).bytes).0);
        assert!(these.keys().all(|id| !others.contains_key(id)));
    }
}

/// The bytes of a few options, by a hash: they may change on purpose only, and are the same on every
/// machine.
#[test]
fn bytes_are_the_same_everywhere() {
    let fnv = |bytes: &[u8]| {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    let hashes: Vec<String> = Format::ALL
        .into_iter()
        .map(|format| {
            let made = make(&Options { types: 50, accounts: 300, ..later(format) });
            format!("{format} {:016x}", fnv(&made.bytes))
        })
        .collect();
    assert_eq!(
        hashes,
        [
            "aws-config f394f7c1d3670e2e",
            "aws-config-snapshot 7b986bfeafe897de",
            "native e619bb7c9aaef0d6",
            "cloudevents 65d0fb959d05e3f9",
            "terraform-state 39ecccbb3b8c4cb6",
        ]
    );
}

#[test]
fn resources_follow_from_their_index() {
    let options = later(Format::Native);
    let inventory = Inventory::new(options).unwrap();
    // Backwards, one by one, it is what the stream is forwards.
    let mut records: Vec<Vec<u8>> = Vec::new();
    for index in (0..inventory.indices()).rev() {
        let resource = inventory.resource(index);
        let mut record = Vec::new();
        resource.append(&mut record);
        assert_eq!(record.is_empty(), resource.fate() == Fate::Missing, "{resource:?}");
        if !record.is_empty() {
            record.push(b'\n');
        }
        records.push(record);
    }
    records.reverse();
    assert_eq!(records.concat(), make(&options).bytes);
    // A larger inventory begins with this one.
    let small = make(&first(&options)).bytes;
    let large = make(&Options { resources: RESOURCES * 2, ..first(&options) }).bytes;
    assert!(large.starts_with(&small));
    // What is unmanaged is what a larger one has there.
    let (all, _) = read(&large);
    let unmanaged = make(&options).truth.into_iter().filter(|one| one["verdict"] == "unmanaged");
    assert!(unmanaged.into_iter().all(|one| all.contains_key(one["id"].as_str().unwrap())));
}

#[test]
fn records_have_the_size_they_should() {
    for format in Format::ALL {
        for (size, from, to) in
            [(Size::Small, 380, 650), (Size::Medium, 1_400, 1_650), (Size::Large, 5_600, 6_400)]
        {
            let options = Options { size, ..first(&later(format)) };
            let mean = make(&options).bytes.len() as u64 / RESOURCES;
            assert!((from..=to).contains(&mean), "{format} {size:?}: {mean} bytes");
        }
    }
}

#[test]
fn resources_spread_as_they_should() {
    let base = first(&later(Format::AwsConfig));
    let spread = |options: &Options| {
        let (all, _) = read(&make(options).bytes);
        let mut counts = [BTreeMap::new(), BTreeMap::new(), BTreeMap::new()];
        for observation in all.into_values() {
            let key = observation.key;
            for (of, name) in counts.iter_mut().zip([key.resource_type, key.account, key.region]) {
                *of.entry(name).or_insert(0_u64) += 1;
            }
        }
        counts
    };
    let most = |counts: &BTreeMap<String, u64>| *counts.values().max().unwrap();
    let [types, accounts, regions] = spread(&Options { skew: 0.0, ..base });
    assert_eq!((types.len(), accounts.len()), (12, 20));
    // Four, and where the global ones are.
    assert_eq!(regions.len(), 5);
    assert!(most(&types) < 230 && most(&accounts) < 150, "{types:?} {accounts:?}");
    let [types, accounts, _] = spread(&Options { skew: 1.0, ..base });
    assert!(most(&types) > 500 && most(&accounts) > 450, "{types:?} {accounts:?}");
    assert_eq!(types["AWS::EC2::Instance"], most(&types));
    let [types, accounts, regions] =
        spread(&Options { types: 60, accounts: 1, regions: 1, skew: 0.0, ..base });
    assert_eq!((types.len(), accounts.len(), regions.len()), (60, 1, 2));
    assert!(types.contains_key("AWS::Service::Thing60"));
}

#[test]
fn everything_can_be_gone_or_new() {
    for format in Format::ALL {
        let base = Options { resources: 5, round: 1, format, ..Options::default() };
        let gone = make(&Options { missing: 1.0, ..base });
        assert_eq!((gone.truth.len(), gone.summary.listed), (5, 0));
        // A document of nothing can be read; no lines at all are no input.
        if !gone.bytes.is_empty() {
            assert_eq!(read(&gone.bytes).0.len(), 0, "{format}");
        }
        let new = make(&Options { missing: 1.0, unmanaged: 1.0, ..base });
        assert_eq!((new.truth.len(), read(&new.bytes).0.len()), (10, 5));
        let drifted = make(&Options { drift: 1.0, ..base });
        assert_eq!((drifted.truth.len(), drifted.summary.drifted), (5, 5));
    }
}
