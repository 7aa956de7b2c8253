use std::io::Write;

use flate2::write::GzEncoder;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

fn text(len: usize) -> Vec<u8> {
    (0u64..)
        .flat_map(|n| format!("{}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes())
        .take(len)
        .collect()
}

/// Reads a file of `bytes` to its end or its error.
fn read(bytes: &[u8], limits: ExpansionLimits) -> (Vec<u8>, ByteStream, Option<SourceError>) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let location = Location::File(file.path().to_path_buf());
    let mut stream = open_with(&location, limits).unwrap();
    let (mut all, mut chunk) = (Vec::new(), vec![0; 1000]);
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return (all, stream, None),
            Ok(read) => all.extend_from_slice(&chunk[..read]),
            Err(error) => return (all, stream, Some(error)),
        }
    }
}

#[test]
fn unpacks_by_the_first_bytes() {
    let plain = text(300_000);
    let (one, two) = plain.split_at(100_000);
    let cases = [
        (plain.clone(), Compression::None),
        (gzip(&plain), Compression::Gzip),
        ([gzip(one), gzip(two)].concat(), Compression::Gzip),
        (zstd(&plain), Compression::Zstd),
        ([zstd(one), zstd(two)].concat(), Compression::Zstd),
    ];
    for (bytes, compression) in cases {
        let (all, stream, error) = read(&bytes, ExpansionLimits::default());
        assert!(error.is_none(), "{compression:?}: {error:?}");
        assert!(all == plain, "{compression:?}");
        assert_eq!(stream.compression(), compression);
        assert_eq!(stream.compressed_bytes_read(), bytes.len() as u64);
        assert_eq!(stream.total_bytes(), Some(bytes.len() as u64));
        assert_eq!(stream.position(), plain.len() as u64);
    }
}

#[test]
fn one_layer_is_unpacked() {
    let inner = gzip(b"{}");
    let (all, _, error) = read(&gzip(&inner), ExpansionLimits::default());
    assert!(error.is_none());
    assert_eq!(all, inner, "what is packed twice was packed by mistake");
}

#[test]
fn short_and_empty_files_are_as_they_are() {
    for bytes in [&b""[..], b"{", b"\x1f", b"\x28\xb5\x2f"] {
        let (all, _, error) = read(bytes, ExpansionLimits::default());
        assert!(error.is_none());
        assert_eq!(all, bytes);
    }
}

#[test]
fn good_bytes_come_before_the_damage() {
    let plain = text(300_000);
    for packed in [gzip(&plain), zstd(&plain)] {
        let cut = &packed[..packed.len() / 2];
        let (all, _, error) = read(cut, ExpansionLimits::default());
        assert!(plain.starts_with(&all));
        let Some(SourceError::Damaged { position, .. }) = &error else { panic!("{error:?}") };
        assert_eq!(*position, all.len() as u64);
        assert!(error.unwrap().to_string().contains("breaks off"));
    }
    let packed = gzip(&plain);
    let (all, _, error) = read(&packed[..packed.len() / 2], ExpansionLimits::default());
    assert!(all.len() > 50_000, "{} bytes came, {error:?}", all.len());
    let mut flipped = gzip(&plain);
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    let (all, _, error) = read(&flipped, ExpansionLimits::default());
    assert!(matches!(error, Some(SourceError::Damaged { .. })), "a wrong checksum is damage");
    assert_eq!(all.len(), plain.len());
    let trailing = [gzip(&plain), b"garbage".to_vec()].concat();
    let (all, _, error) = read(&trailing, ExpansionLimits::default());
    assert!(matches!(error, Some(SourceError::Damaged { .. })), "{error:?}");
    assert_eq!(all.len(), plain.len());
}

#[test]
fn growth_has_limits() {
    let zeros = vec![b' '; 4_000_000];
    let limits =
        ExpansionLimits { expanded_bytes: u64::MAX, ratio_from_bytes: 1_000_000, ratio: 100 };
    for packed in [gzip(&zeros), zstd(&zeros)] {
        let (all, _, error) = read(&packed, limits);
        assert!(matches!(error, Some(SourceError::TooMuchExpansion { .. })), "{error:?}");
        assert!(all.len() < 1_300_000);
        let (all, _, error) = read(&packed, ExpansionLimits::default());
        assert!(error.is_none());
        assert_eq!(all.len(), zeros.len());
        let limits = ExpansionLimits { expanded_bytes: 2_000_000, ..ExpansionLimits::default() };
        let (_, _, error) = read(&packed, limits);
        assert!(matches!(error, Some(SourceError::TooMuchExpansion { .. })));
    }
    let limits = ExpansionLimits { expanded_bytes: 10, ratio_from_bytes: 0, ratio: 1 };
    let (all, _, error) = read(&zeros, limits);
    assert!(error.is_none(), "what isn't packed doesn't grow");
    assert_eq!(all.len(), zeros.len());
}

#[test]
fn folders_are_not_streams() {
    let root = tempfile::tempdir().unwrap();
    let error = open(&Location::File(root.path().to_path_buf())).unwrap_err();
    assert!(matches!(error, SourceError::IsDirectory { .. }));
    let error = open(&Location::File(root.path().join("none"))).unwrap_err();
    assert!(matches!(error, SourceError::NotFound { .. }));
}
