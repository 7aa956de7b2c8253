//! One bench per step of the hot path: read, canonicalise, fingerprint, compare, apply.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use deployforge_benches::inventory;
use deployforge_canon::{Canon, Normalise, Parser};
use deployforge_compare::{
    Baseline, BaselineBuilder, BatchOrigin, Comparator, DiffOptions, Settings, compare,
};
use deployforge_formats::{ReadOptions, Reader};
use deployforge_model::{
    BaselineInfo, BaselineKind, Observation, ObservationBatch, ObservationBatchBuilder, Record,
    Timestamp,
};
use deployforge_policy::Policy;

const ITEMS: u64 = 2_000;

fn read(bytes: &[u8]) -> Vec<Observation> {
    let mut reader = Reader::new(ReadOptions::default());
    let mut records = Vec::new();
    reader.push(bytes, &mut records);
    reader.finish(&mut records);
    records
        .into_iter()
        .map(|record| match record {
            Record::Observation(observation) => *observation,
            other => panic!("the inventory is clean: {other:?}"),
        })
        .collect()
}

fn batch(observations: &[Observation]) -> ObservationBatch {
    let mut builder = ObservationBatchBuilder::new(1);
    for observation in observations {
        builder.push(observation, Timestamp(0));
    }
    builder.finish()
}

fn comparator(observations: &[Observation]) -> Comparator {
    let canon = Canon::default();
    let mut builder = BaselineBuilder::new(&canon, 1);
    assert!(builder.add_all(observations).iter().all(Result::is_ok));
    let info = BaselineInfo {
        name: "bench".to_owned(),
        version: 1,
        kind: BaselineKind::Recorded,
        mode: None,
        incomplete: false,
    };
    let baseline: Baseline = builder.finish(info);
    let settings = Settings {
        seed: 1,
        hash_key: [0; 32],
        canon: canon.clone(),
        policy: Policy::default(),
        mode: None,
        normalise: Normalise::Standard,
        keep_states: false,
    };
    Comparator::new(settings, vec![baseline]).expect("a baseline of this version")
}

fn steps(c: &mut Criterion) {
    let base = inventory(ITEMS, 0);
    let observations = read(&base);
    let one = &observations[0];
    let canon = Canon::default();
    let mut parser = Parser::default();
    let mut state = |observation: &Observation| {
        let declared = observation.sensitive.iter().map(String::as_str);
        let (dialect, kind) = (observation.dialect, &observation.key.resource_type);
        canon.state(&mut parser, dialect, kind, &observation.state, declared).expect("canonical")
    };
    let expected = state(one);
    let drifted = state(&read(&inventory(1, 1))[0]);

    let mut group = c.benchmark_group("item");
    group.throughput(Throughput::Elements(1));
    group.bench_function("canonicalise", |b| b.iter(|| black_box(state(black_box(one)))));
    group.bench_function("fingerprint", |b| b.iter(|| black_box(expected.fingerprint(7))));
    group.bench_function("compare", |b| {
        let (options, policy) = (DiffOptions::default(), Policy::default());
        b.iter(|| compare(&expected.root, black_box(&drifted.root), options, &policy, "t"));
    });
    group.finish();

    let mut group = c.benchmark_group("inventory");
    group.throughput(Throughput::Elements(ITEMS));
    group.bench_function("read", |b| b.iter(|| black_box(read(black_box(&base)))));
    for (name, drift) in
        [("apply, nothing changed", 0), ("apply, 2 % changed", 50), ("apply, all changed", 1)]
    {
        let seen = batch(&read(&inventory(ITEMS, drift)));
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || comparator(&observations),
                |comparator| {
                    let origin = BatchOrigin {
                        source: "bench".into(),
                        file: "bench".into(),
                        ingested_at: Timestamp(0),
                        stored: false,
                    };
                    black_box(comparator.apply(&seen, &origin))
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
