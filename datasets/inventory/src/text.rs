//! Bytes appended to a buffer: what formatting would do, without its cost for each attribute.

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends bytes.
pub(crate) fn put(out: &mut Vec<u8>, bytes: impl AsRef<[u8]>) {
    out.extend_from_slice(bytes.as_ref());
}

/// Appends a whole number.
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends the last `N` digits of a number.
pub(crate) fn put_digits<const N: usize>(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits);
}

/// Appends the last `N` digits of a number to the base 16.
pub(crate) fn put_hex<const N: usize>(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit = HEX[(number & 15) as usize];
        number >>= 4;
    }
    out.extend_from_slice(&digits);
}

/// Appends an identifier in the form of a UUID.
pub(crate) fn put_uuid(out: &mut Vec<u8>, high: u64, low: u64) {
    put_hex::<8>(out, high >> 32);
    put(out, b"-");
    put_hex::<4>(out, high >> 16);
    // Version 4, as random ones have it, and the variant that goes with it.
    put(out, b"-4");
    put_hex::<3>(out, high);
    put(out, b"-a");
    put_hex::<3>(out, low >> 48);
    put(out, b"-");
    put_hex::<12>(out, low);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_formatted() {
        for number in [0, 7, 10, 1_767_225_600_000, u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, number);
            put(&mut out, b" ");
            put_digits::<3>(&mut out, number);
            put(&mut out, b" ");
            put_hex::<8>(&mut out, number);
            let want = format!("{number} {:03} {:08x}", number % 1000, number & 0xffff_ffff);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }

    #[test]
    fn a_uuid_has_its_form() {
        let mut out = Vec::new();
        put_uuid(&mut out, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210);
        assert_eq!(String::from_utf8(out).unwrap(), "01234567-89ab-4def-aedc-ba9876543210");
    }
}
