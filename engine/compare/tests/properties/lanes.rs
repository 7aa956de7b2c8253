//! The short way and the long way, every switch of levels, every epoch size and thread count give the
//! same findings, byte for byte; and these are the generator's truth.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use deployforge_canon::{Canon, Normalise};
use deployforge_compare::{
    Baseline, BaselineBuilder, BatchOrigin, Comparator, LevelSwitch, Output, Owner, Scrubbed,
    Segment, Settings, Tables, Tier,
};
use deployforge_formats::{LineReader, ReadOptions, Reader};
use deployforge_inventory::{Envelope, Inventory, Options};
use deployforge_model::{
    BaselineInfo, BaselineKind, Block, ObservationBatch, ObservationBatchBuilder, Predicate,
    Record, Timestamp, Transition,
};
use deployforge_policy::{Effect, Ignoring, Policy, PolicyRules, Rule, Stage, WeightRule};

const SEED: u64 = 3;
const NOW: Timestamp = Timestamp(1_900_000_000_000_000);

fn items(options: Options) -> (Vec<u8>, Vec<u8>) {
    let inventory = Inventory::new(options).expect("options that fit");
    let (mut items, mut truth) = (Vec::new(), Vec::new());
    inventory.write(&mut items, Some(&mut truth), &mut |_| {}).expect("written to memory");
    (items, truth)
}

fn lines() -> LineReader {
    Reader::new(ReadOptions::default()).into_lines(SEED)
}

/// Blocks of whole lines of about `size` bytes.
fn blocks(text: &[u8], size: usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let from = (start + size).min(text.len()) - 1;
        let end =
            text[from..].iter().position(|b| *b == b'\n').map_or(text.len(), |n| from + n + 1);
        blocks.push(Block::new(text[start..end].to_vec(), start as u64));
        start = end;
    }
    blocks
}

fn batch(text: &[u8]) -> ObservationBatch {
    let mut reader = Reader::new(ReadOptions::default());
    let mut records = Vec::new();
    reader.push(text, &mut records);
    reader.finish(&mut records);
    let mut builder = ObservationBatchBuilder::new(SEED);
    for record in records {
        let Record::Observation(observation) = record else { panic!("{record:?}") };
        builder.push(&observation, NOW);
    }
    builder.finish()
}

fn baseline(text: &[u8], frames: bool) -> Baseline {
    let canon = Canon::default();
    let mut builder = BaselineBuilder::new(&canon, SEED);
    if frames {
        let mut reader = lines();
        for block in blocks(text, 1 << 16) {
            let mut scanned = reader.scan(&block);
            reader.number(&mut scanned);
            let rows = 0..scanned.frame.len();
            assert!(builder.add_frame(&scanned.frame, rows, &reader).iter().all(Result::is_ok));
        }
    } else {
        let mut reader = Reader::new(ReadOptions::default());
        let mut records = Vec::new();
        reader.push(text, &mut records);
        reader.finish(&mut records);
        for record in records {
            let Record::Observation(observation) = record else { panic!("{record:?}") };
            builder.add(&observation).expect("a state");
        }
    }
    builder.build(BaselineInfo {
        name: "b".to_owned(),
        version: 1,
        kind: BaselineKind::Recorded,
        mode: None,
        incomplete: false,
    })
}

fn comparator(baseline: &Baseline, levels: LevelSwitch, tier: Tier) -> Comparator {
    comparator_by(Policy::default(), baseline, levels, tier)
}

fn comparator_by(
    policy: Policy,
    baseline: &Baseline,
    levels: LevelSwitch,
    tier: Tier,
) -> Comparator {
    let settings = Settings {
        seed: SEED,
        hash_key: [1; 32],
        canon: Canon::default(),
        maps: deployforge_maps::SharedMaps::default(),
        policy,
        mode: None,
        normalise: Normalise::Standard,
        tables: Tables::ALL,
        levels,
        tier,
        text_bytes: u64::MAX,
        explain: false,
    };
    Comparator::new(settings, vec![baseline.clone()])
}

fn origin() -> BatchOrigin {
    let (source, file, owner) = ("s".into(), "f".into(), Owner::NONE);
    BatchOrigin { source, file, ingested_at: NOW, stored: false, owner }
}

/// Everything that goes into the history, as text, sorted.
fn rows(output: &Output) -> BTreeSet<String> {
    let findings = output.findings().map(|row| format!("{row:?}"));
    let verdicts = output.verdicts().map(|row| format!("{row:?}"));
    let states = output.states().map(|row| format!("{row:?}"));
    let checks = output.checks.iter().map(|row| format!("{row:?}"));
    findings.chain(verdicts).chain(states).chain(checks).collect()
}

/// Observes rounds by the short way, in epochs of `epoch` blocks.
fn short(comparator: &mut Comparator, rounds: &[&[u8]], size: usize, epoch: usize) -> Output {
    let mut all = Output::default();
    for text in rounds {
        let mut reader = lines();
        for some in blocks(text, size).chunks(epoch) {
            let mut scanned: Vec<_> = some.iter().map(|block| reader.scan(block)).collect();
            scanned.iter_mut().for_each(|lines| reader.number(lines));
            assert!(scanned.iter().all(deployforge_formats::Lines::is_complete));
            let prepared: Vec<_> =
                scanned.iter().map(|lines| comparator.prepare(&lines.frame)).collect();
            let segments: Vec<Segment<'_>> = scanned
                .iter()
                .zip(&prepared)
                .map(|(lines, prepared)| Segment::Frame {
                    frame: &lines.frame,
                    prepared,
                    first: 0,
                    rows: lines.frame.len() as u32,
                    reader: &reader,
                })
                .collect();
            all.merge(comparator.apply_epoch(&segments, &origin()));
        }
    }
    assert_eq!(all.collisions, 0);
    all
}

fn long(comparator: &mut Comparator, rounds: &[&[u8]]) -> Output {
    let mut all = Output::default();
    for text in rounds {
        all.merge(comparator.apply(&batch(text), &origin()));
    }
    all
}

const NO_FINGERPRINTS: LevelSwitch =
    LevelSwitch { fingerprint: false, canonical: false, ..LevelSwitch::ALL };
const LEVELS: [LevelSwitch; 6] = [
    LevelSwitch::ALL,
    LevelSwitch { fingerprint: false, ..LevelSwitch::ALL },
    LevelSwitch { text: false, ..LevelSwitch::ALL },
    NO_FINGERPRINTS,
    LevelSwitch { text: false, ..NO_FINGERPRINTS },
    LevelSwitch { attributes: false, ..NO_FINGERPRINTS },
];

#[test]
fn every_way_gives_the_same() {
    for envelope in [Envelope::First, Envelope::Last] {
        let options =
            Options { resources: 600, seed: 11, envelope, unmanaged: 0.01, ..Options::default() };
        let (base, _) = items(Options { unmanaged: 0.0, ..options });
        let round = |round, drift| items(Options { round, drift, change: 0.1, ..options }).0;
        let (one, two, three) = (round(1, 0.2), round(2, 0.2), round(3, 0.0));
        let rounds: [&[u8]; 4] = [&base, &one, &two, &three];
        let by_parser = baseline(&base, false);
        let by_scan = baseline(&base, true);
        let same = |a: &Baseline, b: &Baseline| a.rows.batches().eq(b.rows.batches());
        assert!(same(&by_parser, &by_scan), "a baseline is the same whichever way it was read");
        let want = rows(&long(&mut comparator(&by_parser, LEVELS[0], Tier::Full), &rounds));
        for levels in LEVELS {
            for (size, epoch, threads) in [(1 << 12, 1, 1), (1 << 14, 7, 2), (1 << 20, 1, 4)] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let got = pool.expect("threads").install(|| {
                    let mut comparator = comparator(&by_scan, levels, Tier::Full);
                    rows(&short(&mut comparator, &rounds, size, epoch))
                });
                let diff: Vec<_> = want.symmetric_difference(&got).take(4).collect();
                assert!(diff.is_empty(), "{levels:?} {size} {epoch} {threads}: {diff:#?}");
            }
        }
        let mut lite = comparator(&by_scan, LEVELS[0], Tier::Lite);
        assert_eq!(rows(&short(&mut lite, &rounds, 1 << 16, 2)), want, "the lite tier");
        // A baseline without raw fingerprints: what was read from another format.
        let foreign = Baseline { raw: Vec::new(), ..by_scan.clone() };
        let mut first = comparator(&foreign, LEVELS[0], Tier::Full);
        let output = short(&mut first, &[&base], 1 << 16, 2);
        assert_eq!((output.transitions(), output.levels.canonical), (0, 600), "the first pass");
    }
}

/// Holds of every other path, and of what stands in one region whatever differs.
#[derive(Debug)]
struct Alternate;

impl Predicate for Alternate {
    fn holds(&self, findings: &RecordBatch) -> BooleanArray {
        let text = |name: &str| findings.column_by_name(name).expect("a column").as_string::<i32>();
        let (path, region, baseline) = (text("path"), text("region"), text("baseline"));
        let holds = |row: usize| {
            assert_eq!(baseline.value(row), "b");
            path.value(row).len() % 2 == 0 || region.value(row).ends_with('1')
        };
        (0..findings.num_rows()).map(|row| Some(holds(row))).collect()
    }
}

#[test]
fn rules_hide_the_same_whichever_way() {
    let rule = Rule {
        name: "some".to_owned(),
        when: String::new(),
        effect: [(Stage::Detect, Effect::Ignore)].into(),
        owner: String::new(),
        reason: String::new(),
        expires: None,
        permanent: true,
    };
    let predicate: Arc<dyn Predicate> = Arc::new(Alternate);
    let ignoring = Ignoring::new([(&rule, predicate)], NOW);
    let weights = vec![WeightRule { resource_type: "*".into(), path: "/**".into(), weight: 0.5 }];
    let weighing = PolicyRules { weights, ..PolicyRules::default() };
    let weighing = Policy::new(&weighing, Vec::new()).expect("a policy");
    let plain = Policy::default().with_ignoring(ignoring.clone());
    let weighing = weighing.with_ignoring(ignoring);
    let options = Options { resources: 600, seed: 11, ..Options::default() };
    let (base, _) = items(options);
    let round = |round, drift| items(Options { round, drift, change: 0.1, ..options }).0;
    let (one, two, three) = (round(1, 0.3), round(2, 0.2), round(3, 0.0));
    let rounds: [&[u8]; 4] = [&base, &one, &two, &three];
    let declared = baseline(&base, true);
    let by = |levels, tier| comparator_by(plain.clone(), &declared, levels, tier);
    let output = long(&mut by(LEVELS[0], Tier::Full), &rounds);
    let hidden = output.findings().filter(|row| row.fold == Some("rule:some"));
    let (hidden, all) = (hidden.count(), output.findings().count());
    assert!(hidden > 50 && all > hidden + 50, "{hidden} of {all}");
    let want = rows(&output);
    let mut weighed = comparator_by(weighing, &declared, LEVELS[0], Tier::Full);
    assert_eq!(rows(&short(&mut weighed, &rounds, 1 << 14, 2)), want, "all weigh the same");
    for levels in LEVELS {
        for tier in [Tier::Full, Tier::Lite] {
            let got = rows(&short(&mut by(levels, tier), &rounds, 1 << 14, 3));
            let diff: Vec<_> = want.symmetric_difference(&got).take(4).collect();
            assert!(diff.is_empty(), "{levels:?} {tier:?}: {diff:#?}");
        }
    }
}

#[test]
fn what_nobody_declares_is_judged_the_same() {
    let options = Options { resources: 300, seed: 12, ..Options::default() };
    let (base, _) = items(options);
    let (seen, _) = items(Options { round: 1, drift: 0.3, change: 0.2, ..options });
    // The same moment with another content, and members in another spelling.
    let base_text = String::from_utf8(base.clone()).expect("text");
    let other = base_text.replace("value-", "other-").into_bytes();
    let spelt = base_text.replace("\"Owner\":", "\"Owner\" : ").into_bytes();
    let half: Vec<u8> =
        base.split_inclusive(|b| *b == b'\n').step_by(2).flatten().copied().collect();
    let rounds: [&[u8]; 5] = [&base, &spelt, &other, &seen, &base];
    for incomplete in [false, true] {
        let mut baseline = baseline(&half, true);
        baseline.info.incomplete = incomplete;
        for levels in LEVELS {
            let want = rows(&long(&mut comparator(&baseline, levels, Tier::Full), &rounds));
            let got = short(&mut comparator(&baseline, levels, Tier::Full), &rounds, 1 << 14, 3);
            let got = rows(&got);
            let diff: Vec<_> = want.symmetric_difference(&got).take(4).collect();
            assert!(diff.is_empty(), "{incomplete} {levels:?}: {diff:#?}");
        }
    }
}

#[test]
fn findings_are_the_truth() {
    let options = Options { resources: 2000, seed: 4, ..Options::default() };
    let (base, _) = items(options);
    let (seen, truth) = items(Options { round: 1, drift: 0.05, change: 0.05, ..options });
    let mut comparator = comparator(&baseline(&base, true), LEVELS[0], Tier::Full);
    let output = short(&mut comparator, &[&seen], 1 << 16, 3);
    let found: BTreeSet<(String, String)> =
        output.findings().map(|row| (row.key[4].to_owned(), row.path.to_owned())).collect();
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let truth: BTreeSet<(String, String)> = truth
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice::<serde_json::Value>(line).expect("JSON"))
        .map(|line| (text(&line["id"]), text(&line["path"])))
        .collect();
    assert!(!truth.is_empty());
    assert_eq!(found, truth);
    assert!(output.levels.fingerprint > 1500 && output.levels.canonical > 50);
}

#[test]
fn two_rounds_in_one_epoch_are_two_rounds() {
    let options = Options { resources: 600, seed: 5, ..Options::default() };
    let (base, _) = items(options);
    let round = |round, drift| items(Options { round, drift, change: 0.1, ..options }).0;
    let (one, two, three) = (round(1, 0.3), round(2, 0.0), round(3, 0.3));
    let all = [&one[..], &two[..], &three[..]];
    let baseline = baseline(&base, true);
    let mut apart = comparator(&baseline, LEVELS[0], Tier::Full);
    let want = short(&mut apart, &all, 1 << 14, 2);
    let mut together = comparator(&baseline, LEVELS[0], Tier::Full);
    let got = short(&mut together, &[&all.concat()], 1 << 14, 10_000);
    assert!(want.transitions() > 300);
    assert_eq!(rows(&got), rows(&want));
    // Per finding, what is put out follows one after the other.
    let mut open = BTreeSet::new();
    for row in got.findings() {
        let finding = (row.key[4].to_owned(), row.path.to_owned());
        match row.transition {
            Transition::Opened => assert!(open.insert(finding), "opened twice"),
            Transition::Changed => assert!(open.contains(&finding), "changed and not open"),
            Transition::Closed => assert!(open.remove(&finding), "closed and not open"),
        }
    }
}

#[test]
fn the_scrubber_looks_at_some_and_finds_nothing() {
    let options = Options { resources: 20_000, seed: 6, ..Options::default() };
    let (base, _) = items(options);
    let (seen, _) = items(Options { round: 1, drift: 0.01, ..options });
    let (again, _) = items(Options { round: 2, drift: 0.01, ..options });
    let mut comparator = comparator(&baseline(&base, true), LEVELS[0], Tier::Full);
    let output = short(&mut comparator, &[&seen, &again], 1 << 16, 8);
    let Scrubbed { rows, mismatches } = output.scrubbed;
    assert!(rows > 10, "{rows}");
    assert_eq!(mismatches, 0);
}
