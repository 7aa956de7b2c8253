//! Numbers by value: `1`, `1.0` and `1e0` are one number, and big integers keep every digit.
//!
//! The form is unique per value, so that equality is equality of forms. Integers within 64 bits are
//! integers however they are spelt. Others are IEEE doubles where they have at most 15 significant
//! digits, which survive the way through a double; whatever has more keeps its exact decimal text.

use std::fmt;

/// A canonical number.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    /// An integer that fits `i64`.
    Int(i64),
    /// An integer beyond `i64` that fits `u64`.
    UInt(u64),
    /// Another number that a double of at most 15 digits names.
    Float(f64),
    /// Any other number: its digits and exponent, `-1.2345e-400`.
    Text(Box<str>),
}

/// Doubles hold decimals of up to this many significant digits, each as another double.
const DIGITS_MAX: usize = 15;

/// An exponent of more digits is refused: arithmetic on it could overflow, and nobody means it.
const EXPONENT_DIGITS_MAX: usize = 15;

/// Between these, a double holds all of its digits.
const NORMAL: std::ops::Range<f64> = 1e-300..1e300;

impl Number {
    /// The number an unsigned integer is.
    pub fn from_u64(value: u64) -> Self {
        i64::try_from(value).map_or(Self::UInt(value), Self::Int)
    }

    /// The number a JSON number text stands for. `None` if the text is not a JSON number, or its
    /// exponent has more than 15 digits.
    pub fn from_text(text: &str) -> Option<Self> {
        if let Ok(value) = text.parse::<i64>()
            && !text.starts_with('+')
        {
            return Some(Self::Int(value));
        }
        let (negative, digits, exponent) = decimal(text)?;
        if digits.is_empty() {
            return Some(Self::Int(0));
        }
        if let Some(integer) = integer(negative, &digits, exponent) {
            return Some(integer);
        }
        let double: f64 = text.parse().ok()?;
        if digits.len() <= DIGITS_MAX && NORMAL.contains(&double.abs()) {
            return Some(Self::Float(double));
        }
        let sign = if negative { "-" } else { "" };
        let point = exponent.saturating_add(digits.len() as i64 - 1);
        let (head, tail) = digits.split_at(1);
        let dot = if tail.is_empty() { "" } else { "." };
        Some(Self::Text(format!("{sign}{head}{dot}{tail}e{point}").into()))
    }
}

/// Sign, significant digits without zeros at either end, and the power of ten of the last digit.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            let digits = exponent.trim_start_matches(['+', '-']);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let size = digits.trim_start_matches('0');
            if size.len() > EXPONENT_DIGITS_MAX {
                return None;
            }
            let size = if size.is_empty() { 0 } else { size.parse::<i64>().ok()? };
            (mantissa, if exponent.starts_with('-') { -size } else { size })
        }
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() || !mantissa.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let all = format!("{whole}{fraction}");
    let trimmed = all.trim_end_matches('0');
    let zeros = (all.len() - trimmed.len()) as i64;
    let digits = trimmed.trim_start_matches('0').to_owned();
    Some((negative, digits, exponent - fraction.len() as i64 + zeros))
}

/// The integer that the decimal is, if it is one that fits 64 bits.
fn integer(negative: bool, digits: &str, exponent: i64) -> Option<Number> {
    if !(0..=20).contains(&exponent) {
        return None;
    }
    let value: u128 = digits.parse::<u128>().ok()?.checked_mul(10u128.pow(exponent as u32))?;
    if negative {
        i64::try_from(-i128::try_from(value).ok()?).ok().map(Number::Int)
    } else {
        u64::try_from(value).ok().map(Number::from_u64)
    }
}

impl fmt::Display for Number {
    /// JSON number text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::UInt(value) => write!(f, "{value}"),
            Self::Float(value) if (1e-5..1e16).contains(&value.abs()) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:e}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Whether the text is a number of RFC 8259.
pub(crate) fn is_json_number(text: &[u8]) -> bool {
    let digits = |at: usize| text[at..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && text[at] == b'0') {
        return false;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return false;
        }
        at += 1 + fraction;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        at += usize::from(matches!(text.get(at), Some(b'+' | b'-')));
        let exponent = digits(at);
        if exponent == 0 {
            return false;
        }
        at += exponent;
    }
    at == text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        Number::from_text(a).unwrap() == Number::from_text(b).unwrap()
    }

    #[test]
    fn numbers_are_equal_by_value() {
        for (a, b) in [
            ("1", "1.0"),
            ("100", "1e2"),
            ("-0", "0"),
            ("0.0e9", "0"),
            ("0.1", "1e-1"),
            ("18446744073709551615", "1844674407370955161.5e1"),
            ("12345678901234567890123", "1.2345678901234567890123e22"),
            ("1e400", "10e399"),
            ("0.30000000000000004", "3.0000000000000004E-1"),
        ] {
            assert!(same(a, b), "{a} and {b}");
        }
    }

    #[test]
    fn near_misses_differ() {
        for (a, b) in [
            ("9007199254740993", "9007199254740992"),
            ("12345678901234567890123", "12345678901234567890124"),
            ("1e400", "1e401"),
            ("1e-400", "0"),
            ("1e-400", "-1e-400"),
            ("0.1", "0.10000000000000001"),
            ("1e-320", "1.00001e-320"),
            ("18446744073709551616", "18446744073709551615"),
        ] {
            assert!(!same(a, b), "{a} and {b}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in ["1", "0.5", "1e400", "-1.5e-9", "18446744073709551615", "2.5e17", "1e22"] {
            let number = Number::from_text(text).unwrap();
            assert_eq!(Number::from_text(&number.to_string()), Some(number), "{text}");
        }
        assert_eq!(Number::from_text("1."), Number::from_text("1"), "only ever fed by a parser");
        assert_eq!(Number::from_text("abc"), None);
        assert_eq!(Number::from_text("1e99999999999999999999"), None);
    }

    #[test]
    fn numbers_follow_the_grammar() {
        for good in ["0", "-0", "10", "1.5", "-1.50e+10", "0e0", "1E-2"] {
            assert!(is_json_number(good.as_bytes()), "{good}");
        }
        for bad in ["", "-", "01", "1.", ".5", "1e", "1e+", "+1", "1.5.2", "--1"] {
            assert!(!is_json_number(bad.as_bytes()), "{bad}");
        }
    }
}
