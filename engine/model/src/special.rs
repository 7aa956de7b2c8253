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
}
