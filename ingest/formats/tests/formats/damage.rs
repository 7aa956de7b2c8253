//! Templates, manifests and replies with some bytes changed: nothing panics, and where the chunks are
//! cut changes nothing.

use deployforge_formats::{Limits, ReadOptions, Side};

use super::support::{files, fixtures, read_in};

/// What is put in: what counts in JSON, in YAML, and in neither.
const PIECES: [&str; 20] = [
    "{", "}", "[", "]", "\"", ":", ",", "\n", "  ", "- ", "---\n", "&a ", "*a", "!Ref ", "<<: ",
    "'", "#", "{{", "\\", "\u{0}",
];

#[test]
fn damaged_documents_never_panic() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let folders = [
        "4-cloudformation",
        "6-inventory/azure",
        "6-inventory/kubernetes",
        "6-inventory/openstack",
    ];
    let limits = Limits { record_bytes: 60_000, document_bytes: 80_000, depth: 24 };
    let mut read = 0;
    for path in folders.iter().flat_map(|folder| files(&fixtures(folder))) {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        if text.len() > 20_000 {
            continue;
        }
        for round in 0..3 {
            let mut damaged = text.clone();
            for _ in 0..=random(4) {
                let at = (0..=random(damaged.len() + 1).min(damaged.len()))
                    .rev()
                    .find(|at| damaged.is_char_boundary(*at))
                    .unwrap();
                match random(3) {
                    0 => damaged.truncate(at),
                    1 => damaged.insert_str(at, PIECES[random(PIECES.len())]),
                    _ => {
                        let piece = PIECES[random(PIECES.len())];
                        let end = (at + 1..=damaged.len()).find(|to| damaged.is_char_boundary(*to));
                        damaged.replace_range(at..end.unwrap_or(at), piece);
                    }
                }
            }
            let side = [Side::Declared, Side::Observed][round % 2];
            let options = ReadOptions { side, limits, ..ReadOptions::default() };
            let whole = read_in(&options, damaged.as_bytes(), usize::MAX);
            let pieces = read_in(&options, damaged.as_bytes(), 1 + random(300));
            assert_eq!(pieces, whole, "{}", path.display());
            assert!(!whole.summary.complete_listing);
            assert!(!whole.records.is_empty() || !whole.summary.notes.is_empty(), "{damaged}");
            read += 1;
        }
    }
    assert!(read > 1500, "{read}");
}
