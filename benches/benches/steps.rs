//! One bench per step of the hot path: split, fingerprint, seal, scan, decode by the walk and by each decoder, compare, and whole
//! epochs. `deployforge bench` measures the pipeline with files and history.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{BatchSize, Bencher, Criterion, Throughput, criterion_group, criterion_main};
use deployforge_benches::{blocks, inventory};
use deployforge_canon::{Canon, Decoder, Flat, Normalise, Parser};
use deployforge_compare::{
    BaselineBuilder, BatchOrigin, Comparator, DiffOptions, LevelSwitch, Owner, Segment, Settings,
    Tables, Tier, compare,
};
use deployforge_formats::{LineReader, Lines, ReadOptions, Reader};
use deployforge_model::{
    BaselineInfo, BaselineKind, Dialect, ObservationBatchBuilder, Record, RecordReader, Seed,
    Timestamp,
};
use deployforge_policy::Policy;

const ITEMS: u64 = 20_000;
const SEED: u64 = 1;

fn lines() -> LineReader {
    Reader::new(ReadOptions::default()).into_lines(SEED)
}

fn scan(text: &[u8]) -> (LineReader, Vec<Lines>) {
    let reader = lines();
    let scanned = blocks(text).iter().map(|block| reader.scan(block)).collect();
    (reader, scanned)
}

fn items(drift: f64) -> Vec<u8> {
    inventory(ITEMS, drift).expect("options that fit")
}

fn comparator(text: &[u8], raw: bool) -> Comparator {
    let canon = Canon::default();
    let mut builder = BaselineBuilder::new(&canon, SEED);
    let (reader, scanned) = scan(text);
    for lines in &scanned {
        let added = builder.add_frame(&lines.frame, 0..lines.frame.len(), &reader);
        assert!(added.iter().all(Result::is_ok));
    }
    let info = BaselineInfo {
        name: "bench".to_owned(),
        version: 1,
        kind: BaselineKind::Recorded,
        mode: None,
        incomplete: false,
    };
    let mut baseline = builder.build(info);
    if !raw {
        baseline.raw.clear();
    }
    let settings = Settings {
        seed: SEED,
        hash_key: [0; 32],
        canon: Canon::default(),
        maps: deployforge_maps::SharedMaps::default(),
        policy: Policy::default(),
        mode: None,
        normalise: Normalise::Standard,
        tables: Tables { verdicts: false, observations: false },
        levels: LevelSwitch::ALL,
        tier: Tier::Full,
        text_bytes: u64::MAX,
        explain: false,
    };
    Comparator::new(settings, vec![baseline])
}

/// What stands before decoding, and the batch that records are sealed into on the long way.
fn gather(c: &mut Criterion) {
    let base = items(0.0);
    let (reader, scanned) = scan(&base);
    let seed = Seed::new(SEED);
    let mut group = c.benchmark_group("gather");
    group.throughput(Throughput::Elements(ITEMS));
    group.bench_function("split", |b| {
        b.iter(|| memchr::memchr_iter(b'\n', &base).count());
    });
    let rows = || scanned.iter().flat_map(|l| (0..l.frame.len()).map(|row| (&l.frame, row)));
    group.bench_function("fingerprint", |b| {
        b.iter(|| rows().fold(0, |all, (frame, row)| all ^ seed.text(frame.state(row).text)));
    });
    let observations: Vec<_> = rows()
        .flat_map(|(frame, row)| reader.record(frame, row))
        .filter_map(|record| match record {
            Record::Observation(observation) => Some(observation),
            Record::Sweep(_) | Record::Reject(_) | Record::Evidence(_) => None,
        })
        .collect();
    assert_eq!(observations.len() as u64, ITEMS);
    group.bench_function("seal", |b| {
        b.iter(|| {
            let mut builder = ObservationBatchBuilder::new(SEED);
            observations.iter().for_each(|one| builder.push(one, Timestamp(0)));
            builder.finish().len()
        });
    });
    group.finish();
}

fn decode(c: &mut Criterion) {
    let base = items(0.0);
    let (reader, scanned) = scan(&base);
    let seed = Seed::new(SEED);
    let canon = Canon::default();
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(ITEMS));
    group.bench_function("scan", |b| {
        let blocks = blocks(&base);
        b.iter(|| blocks.iter().map(|block| reader.scan(block).frame.len()).sum::<usize>());
    });
    let rows = || scanned.iter().flat_map(|l| (0..l.frame.len()).map(|row| (&l.frame, row)));
    group.bench_function("walk", |b| {
        let (mut parser, mut flat) = (Parser::default(), Flat::default());
        b.iter(|| {
            for (frame, row) in rows() {
                let (kind, state) = (frame.parts(row)[2], frame.state(row));
                let done = canon.flatten(&mut parser, &seed, frame.dialect, kind, state, &mut flat);
                assert!(done);
                black_box(flat.fingerprint(&seed));
            }
        });
    });
    group.finish();
}

/// The two decoders beside each other. What they need is measured with them: a copy of the text that
/// simd-json may write into.
fn decoders(c: &mut Criterion) {
    let base = items(0.0);
    let (_, scanned) = scan(&base);
    let rows = || scanned.iter().flat_map(|l| (0..l.frame.len()).map(|row| (&l.frame, row)));
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(ITEMS));
    group.bench_function("tape alone/SimdJson", |b| {
        let (mut text, mut buffers) = (Vec::new(), simd_json::Buffers::new(4096));
        b.iter(|| {
            for (frame, row) in rows() {
                text.clear();
                text.extend_from_slice(frame.record(row));
                let tape = simd_json::to_tape_with_buffers(&mut text, &mut buffers);
                black_box(tape.expect("valid JSON").0.len());
            }
        });
    });
    group.bench_function("tape alone/Sonic", |b| {
        b.iter(|| {
            for (frame, row) in rows() {
                let document = sonic_rs::from_slice::<sonic_rs::Value>(frame.record(row));
                black_box(document.expect("valid JSON"));
            }
        });
    });
    let states: Vec<_> = rows()
        .map(|(frame, row)| {
            let text = [b"{", frame.state(row).text, b"}"].concat();
            (frame.dialect, frame.parts(row)[2], text)
        })
        .collect();
    for decoder in Decoder::ALL {
        group.bench_function(format!("tree/{decoder:?}"), |b| trees_of(b, *decoder, &states));
    }
    group.finish();
    recorded(c);
}

/// Reads each text into a tree and hashes it.
fn trees_of(b: &mut Bencher<'_>, decoder: Decoder, texts: &[(Dialect, &str, Vec<u8>)]) {
    let (canon, seed) = (Canon::default(), Seed::new(SEED));
    let mut parser = Parser::new(decoder);
    b.iter(|| {
        for (dialect, kind, text) in texts {
            let state = canon.state(&mut parser, *dialect, kind, text, std::iter::empty());
            black_box(Flat::of(&state.expect("a state").root, &seed).fingerprint(&seed));
        }
    });
}

/// Trees of recorded AWS Config files, if the folder of fixtures is given.
fn recorded(c: &mut Criterion) {
    let Some(root) = std::env::var_os("DEPLOYFORGE_FIXTURES") else { return };
    let texts: Vec<_> = files_below(&Path::new(&root).join("3-aws-config"))
        .into_iter()
        .filter(|text| {
            let (canon, mut parser) = (Canon::default(), Parser::default());
            canon.state(&mut parser, Dialect::AwsConfig, "t", text, std::iter::empty()).is_ok()
        })
        .map(|text| (Dialect::AwsConfig, "t", text))
        .collect();
    let mut group = c.benchmark_group("recorded");
    group.throughput(Throughput::Bytes(texts.iter().map(|text| text.2.len() as u64).sum()));
    for decoder in Decoder::ALL {
        group.bench_function(format!("tree/{decoder:?}"), |b| trees_of(b, *decoder, &texts));
    }
    group.finish();
}

/// What the files below a folder hold.
fn files_below(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("a folder that can be read");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let file = !path.is_dir();
        let read = |path| vec![std::fs::read(path).expect("a file that can be read")];
        if file { read(path) } else { files_below(&path) }
    };
    paths.into_iter().flat_map(read).collect()
}

fn epochs(c: &mut Criterion) {
    let base = items(0.0);
    let origin = BatchOrigin {
        source: "bench".into(),
        file: "bench".into(),
        ingested_at: Timestamp(1_900_000_000_000_000),
        stored: false,
        owner: Owner::NONE,
    };
    let mut group = c.benchmark_group("epochs");
    group.throughput(Throughput::Elements(ITEMS));
    group.sample_size(20);
    for (name, drift, raw) in [
        ("nothing changed", 0.0, true),
        ("2 % changed", 0.02, true),
        ("everything changed", 1.0, true),
        ("first pass", 0.0, false),
    ] {
        let seen = items(drift);
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || comparator(&base, raw),
                |comparator| {
                    let (reader, scanned) = scan(&seen);
                    for some in scanned.chunks(16) {
                        let prepared: Vec<_> =
                            some.iter().map(|lines| comparator.prepare(&lines.frame)).collect();
                        let segments: Vec<Segment<'_>> = some
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
                        black_box(comparator.apply_epoch(&segments, &origin));
                    }
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn trees(c: &mut Criterion) {
    let canon = Canon::default();
    let mut parser = Parser::default();
    let mut state = |drift| {
        let text = inventory(1, drift).expect("options that fit");
        let (_, scanned) = scan(&text);
        let frame = &scanned[0].frame;
        let text = [b"{", frame.state(0).text, b"}"].concat();
        let kind = frame.parts(0)[2];
        canon.state(&mut parser, frame.dialect, kind, &text, std::iter::empty()).expect("a state")
    };
    let (expected, drifted) = (state(0.0), state(1.0));
    let mut group = c.benchmark_group("trees");
    group.bench_function("compare", |b| {
        let (options, policy) = (DiffOptions::default(), Policy::default());
        b.iter(|| compare(&expected.root, black_box(&drifted.root), options, &policy, "t"));
    });
    group.bench_function("write", |b| b.iter(|| black_box(expected.root.to_json())));
    group.finish();
}

criterion_group!(benches, gather, decode, decoders, epochs, trees);
criterion_main!(benches);
