//! Where strings of JSON end.

/// Where the first quote, backslash or control character stands, and whether everything before it is
/// ASCII.
#[inline]
pub fn special(text: &[u8]) -> Option<(usize, bool)> {
    let (mut at, mut ascii) = (0, true);
    while let Some((bytes, _)) = text[at..].split_first_chunk::<8>() {
        const LOW: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = 0x8080_8080_8080_8080;
        let word = u64::from_le_bytes(*bytes);
        let zero = |x: u64| x.wrapping_sub(LOW) & !x;
        let quote = zero(word ^ (LOW * u64::from(b'"')));
        let backslash = zero(word ^ (LOW * u64::from(b'\\')));
        let control = word.wrapping_sub(LOW * 0x20) & !word;
        let found = (quote | backslash | control) & HIGH;
        if found != 0 {
            // The lowest hit is exact; those above it need not be.
            let lowest = found & found.wrapping_neg();
            let before = (found.trailing_zeros() / 8) as usize;
            return Some((at + before, ascii && word & HIGH & (lowest - 1) == 0));
        }
        ascii &= word & HIGH == 0;
        at += 8;
    }
    let rest = &text[at..];
    let found = rest.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20)?;
    Some((at + found, ascii && rest[..found].is_ascii()))
}

/// Bytes that [`same`] compares at once.
pub const WIDE: usize = 32;

/// Whether two texts begin with the same `length` bytes. The lengths of names and values follow no
/// pattern, so a loop over them would be mispredicted time and again: where both texts have [`WIDE`]
/// bytes, what is short is compared at full width, and what is too much is masked.
#[inline]
pub fn same(a: &[u8], b: &[u8], length: usize) -> bool {
    if let (true, Some(a), Some(b)) =
        (length <= WIDE, a.first_chunk::<WIDE>(), b.first_chunk::<WIDE>())
    {
        let Some(mask) = MASKS[WIDE - length..].first_chunk::<WIDE>() else { return false };
        let mut other = 0;
        for k in 0..WIDE {
            other |= (a[k] ^ b[k]) & mask[k];
        }
        return other == 0;
    }
    match (a.get(..length), b.get(..length)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// As many set bytes as lie before the middle.
static MASKS: [u8; 2 * WIDE] = {
    let mut masks = [0; 2 * WIDE];
    let mut at = 0;
    while at < WIDE {
        masks[at] = 0xff;
        at += 1;
    }
    masks
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_ends_a_string() {
        for length in [3, 8, 15, 16, 17, 31, 48] {
            for at in 0..length {
                for byte in [b'"', b'\\', 0u8, 0x1f] {
                    let mut text = vec![0x7f; length];
                    text[..at].fill(0xc3);
                    text[at] = byte;
                    assert_eq!(special(&text), Some((at, at == 0)));
                    assert_eq!(special(&text[..at]), None);
                    text[..at].fill(0x20);
                    assert_eq!(special(&text), Some((at, true)));
                }
            }
        }
    }

    #[test]
    fn the_same_is_the_same_at_any_length() {
        let a: Vec<u8> = (0..80).collect();
        for length in 0..=80 {
            assert!(same(&a, &a, length), "{length}");
            let cut = &a[..length];
            assert!(same(cut, &a, length) && same(&a, cut, length));
            assert!(!same(cut, &a, length + 1) && !same(&a, cut, length + 1));
            for at in 0..80 {
                let mut b = a.clone();
                b[at] ^= 0x80;
                assert_eq!(same(&a, &b, length), at >= length, "{length} {at}");
            }
        }
    }
}
