//! What a machine can do with a file of one JSON document a line if it only reads and parses it: the
//! yardstick that `benches/replay.sh` holds the pipeline against.
//!
//! `yardstick FILE` prints JSON: items, bytes, and items a second for finding newlines, for hashing
//! lines (xxh3, one core), and for simd-json's tape on one core and on all; the best of three each.

use std::time::Instant;

use rayon::prelude::*;
use simd_json::Buffers;

fn main() {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: yardstick FILE");
        std::process::exit(2);
    };
    let data = std::fs::read(&path).unwrap_or_else(|error| {
        eprintln!("{path}: {error}");
        std::process::exit(2);
    });
    let lines: Vec<&[u8]> =
        data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let (items, bytes) = (lines.len(), data.len());
    let split = best(items, || memchr::memchr_iter(b'\n', &data).count());
    let hash = best(items, || {
        lines.iter().fold(0, |all, line| all ^ xxhash_rust::xxh3::xxh3_64(line)) as usize
    });
    let tape = best(items, || {
        let mut scratch = (Vec::new(), Buffers::new(4096));
        lines.iter().map(|line| parse(line, &mut scratch)).sum()
    });
    let all = best(items, || {
        let scratch = || (Vec::new(), Buffers::new(4096));
        let parse = |scratch: &mut _, lines: &[&[u8]]| -> usize {
            lines.iter().map(|line| parse(line, scratch)).sum()
        };
        lines.par_chunks(4096).map_init(scratch, parse).sum()
    });
    println!(
        r#"{{"items":{items},"bytes":{bytes},"split":{split:.0},"hash":{hash:.0},"tape_one_core":{tape:.0},"tape":{all:.0}}}"#
    );
}

/// Nodes of a line. simd-json writes into what it reads, so it gets a copy.
fn parse(line: &[u8], (text, buffers): &mut (Vec<u8>, Buffers)) -> usize {
    text.clear();
    text.extend_from_slice(line);
    let tape = simd_json::to_tape_with_buffers(text, buffers);
    tape.map_or(0, |tape| tape.0.len())
}

/// Items a second, the best of three.
fn best(items: usize, work: impl Fn() -> usize) -> f64 {
    let once = || {
        let start = Instant::now();
        std::hint::black_box(work());
        items as f64 / start.elapsed().as_secs_f64()
    };
    (0..3).map(|_| once()).fold(0.0, f64::max)
}
