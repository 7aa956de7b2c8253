//! The ways in which Parquet writes integers in few bits: packed, as runs, as differences.

/// Values of a block of differences, and of one of its miniblocks.
const BLOCK: usize = 128;
const MINIBLOCK: usize = 32;

/// Codes that are packed together.
const GROUP: usize = 8;

/// A number in groups of seven bits, the lowest first.
pub(super) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A signed number, so that small magnitudes take few bytes.
fn zigzag(out: &mut Vec<u8>, value: i64) {
    varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// How many bits the number needs.
pub(super) fn width_of(value: u64) -> u32 {
    u64::BITS - value.leading_zeros()
}

/// Packs values of at most `width` bits, the lowest bit first; the last byte is filled with zeros.
fn pack(out: &mut Vec<u8>, width: u32, values: impl Iterator<Item = u64>) {
    if width == 0 {
        return;
    }
    let (mut bits, mut filled) = (0_u64, 0_u32);
    for value in values {
        bits |= value << filled;
        filled += width;
        if filled >= u64::BITS {
            out.extend_from_slice(&bits.to_le_bytes());
            filled -= u64::BITS;
            // The upper bits of the value, which had no room.
            bits = if filled == 0 { 0 } else { value >> (width - filled) };
        }
    }
    out.extend_from_slice(&bits.to_le_bytes()[..filled.div_ceil(8) as usize]);
}

/// Parquet's hybrid of runs and of packed groups of eight, without a length in front.
pub(super) fn hybrid(out: &mut Vec<u8>, width: u32, codes: &[u32]) {
    // Only whole groups may stand before a run, so that runs are looked for group by group.
    let (whole, rest) = codes.as_chunks::<GROUP>();
    let (mut packed, mut at) = (0, 0);
    while at < whole.len() {
        let code = whole[at][0];
        let run = whole[at..].iter().take_while(|group| all_are(group, code)).count();
        if run > 0 {
            groups(out, width, &whole[packed..at]);
            repeated(out, width, code, run * GROUP);
            packed = at + run;
        }
        at += run.max(1);
    }
    groups(out, width, &whole[packed..]);
    if !rest.is_empty() {
        let mut last = [0; GROUP];
        last[..rest.len()].copy_from_slice(rest);
        groups(out, width, &[last]);
    }
}

fn all_are(group: &[u32; GROUP], code: u32) -> bool {
    // Without a branch per value.
    group.iter().fold(0, |differing, next| differing | (next ^ code)) == 0
}

/// One value, `count` times.
pub(super) fn repeated(out: &mut Vec<u8>, width: u32, code: u32, count: usize) {
    varint(out, (count as u64) << 1);
    out.extend_from_slice(&code.to_le_bytes()[..width.div_ceil(8) as usize]);
}

/// What stands before packed groups.
pub(super) fn header_of_groups(out: &mut Vec<u8>, count: usize) {
    varint(out, ((count as u64) << 1) | 1);
}

fn groups(out: &mut Vec<u8>, width: u32, groups: &[[u32; GROUP]]) {
    if groups.is_empty() {
        return;
    }
    header_of_groups(out, groups.len());
    for group in groups {
        if width <= u64::BITS / GROUP as u32 {
            // Eight values of up to eight bits are one number.
            let bits = group.iter().rev().fold(0, |bits, code| (bits << width) | u64::from(*code));
            out.extend_from_slice(&bits.to_le_bytes()[..width as usize]);
        } else {
            pack(out, width, group.iter().map(|code| u64::from(*code)));
        }
    }
}

/// Integers as differences (`DELTA_BINARY_PACKED`).
pub(super) fn differences(out: &mut Vec<u8>, values: &[i64]) {
    varint(out, BLOCK as u64);
    varint(out, (BLOCK / MINIBLOCK) as u64);
    varint(out, values.len() as u64);
    zigzag(out, values.first().copied().unwrap_or(0));
    let mut buffer = [0_i64; BLOCK];
    for start in (1..values.len()).step_by(BLOCK) {
        let block = &mut buffer[..BLOCK.min(values.len() - start)];
        let pairs = values[start - 1..].iter().zip(&values[start..]);
        for (difference, (before, value)) in block.iter_mut().zip(pairs) {
            *difference = value.wrapping_sub(*before);
        }
        let least = block.iter().copied().min().unwrap_or(0);
        zigzag(out, least);
        let widths = out.len();
        out.extend_from_slice(&[0; BLOCK / MINIBLOCK]);
        for (index, miniblock) in block.chunks_mut(MINIBLOCK).enumerate() {
            let mut all = 0;
            for difference in miniblock.iter_mut() {
                *difference = difference.wrapping_sub(least);
                all |= *difference as u64;
            }
            let width = width_of(all);
            out[widths + index] = width as u8;
            let end = out.len() + MINIBLOCK / 8 * width as usize;
            pack(out, width, miniblock.iter().map(|difference| *difference as u64));
            out.resize(end, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a hybrid back, as the format describes it.
    fn read_hybrid(mut bytes: &[u8], width: u32, count: usize) -> Vec<u32> {
        let mut codes = Vec::new();
        while codes.len() < count {
            let mut header = 0;
            for shift in (0..).step_by(7) {
                let byte = bytes[0];
                bytes = &bytes[1..];
                header |= usize::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            if header & 1 == 0 {
                let size = width.div_ceil(8) as usize;
                let mut code = [0; 4];
                code[..size].copy_from_slice(&bytes[..size]);
                bytes = &bytes[size..];
                codes.extend(std::iter::repeat_n(u32::from_le_bytes(code), header >> 1));
            } else {
                let size = (header >> 1) * width as usize;
                let bit = |at: usize| u32::from(bytes[at / 8] >> (at % 8) & 1);
                for value in 0..(header >> 1) * 8 {
                    let start = value * width as usize;
                    codes.push((0..width as usize).map(|i| bit(start + i) << i).sum());
                }
                bytes = &bytes[size..];
            }
        }
        assert!(bytes.is_empty());
        assert!(codes[count..].iter().all(|code| *code == 0));
        codes.truncate(count);
        codes
    }

    #[test]
    fn runs_and_groups_read_back() {
        let mut seed = 1_u32;
        let mut next = move |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        for width in 0..=20 {
            for longest in [1, 3, 9, 40] {
                let mut codes = Vec::new();
                for _ in 0..50 {
                    let code = next(1 << width);
                    codes.extend(std::iter::repeat_n(code, 1 + next(longest) as usize));
                }
                let mut out = Vec::new();
                hybrid(&mut out, width, &codes);
                assert_eq!(read_hybrid(&out, width, codes.len()), codes, "{width} {longest}");
            }
        }
        let mut out = Vec::new();
        hybrid(&mut out, 3, &[]);
        assert!(out.is_empty());
    }
}
