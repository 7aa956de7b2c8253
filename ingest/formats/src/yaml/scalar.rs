//! What a plain scalar means.

use std::borrow::Cow;

/// The JSON text of a plain scalar that is `null`, a boolean or a number; `None`: it is text.
pub(super) fn literal(text: &str) -> Option<Cow<'_, str>> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Some("null".into()),
        "true" | "True" | "TRUE" => Some("true".into()),
        "false" | "False" | "FALSE" => Some("false".into()),
        _ => number(text),
    }
}

/// The JSON text of a number.
pub(super) fn number(text: &str) -> Option<Cow<'_, str>> {
    if let Some(digits) = text.strip_prefix("0x") {
        return whole(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return whole(digits, 8);
    }
    let (minus, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], &unsigned[at..]),
        None => (unsigned, ""),
    };
    let power = exponent.get(1..).unwrap_or_default();
    let power = power.strip_prefix(['+', '-']).unwrap_or(power);
    if !exponent.is_empty() && !is_digits(power) {
        return None;
    }
    let (before, after) = match mantissa.split_once('.') {
        Some((before, after)) => (before, Some(after)),
        None => (mantissa, None),
    };
    let wholly = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let some = !before.is_empty() || after.is_some_and(|after| !after.is_empty());
    let padded = before.len() > 1 && before.starts_with('0');
    if !some || padded || !wholly(before) || !after.is_none_or(wholly) {
        return None;
    }
    if !before.is_empty() && after != Some("") && !text.starts_with('+') {
        return Some(text.into());
    }
    // `.5`, `5.` and `+5` are numbers in YAML, and JSON spells them in full.
    let sign = if minus { "-" } else { "" };
    let before = if before.is_empty() { "0" } else { before };
    Some(match after {
        Some(after) => {
            let after = if after.is_empty() { "0" } else { after };
            format!("{sign}{before}.{after}{exponent}").into()
        }
        None => format!("{sign}{before}{exponent}").into(),
    })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn whole(digits: &str, radix: u32) -> Option<Cow<'static, str>> {
    // A sign may stand before the prefix only, and there it makes the scalar text.
    let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !plain {
        return None;
    }
    u128::from_str_radix(digits, radix).ok().map(|number| number.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_core_schema() {
        for (text, json) in [
            ("", "null"),
            ("~", "null"),
            ("Null", "null"),
            ("TRUE", "true"),
            ("false", "false"),
            ("0", "0"),
            ("-0", "-0"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("1.10", "1.10"),
            ("1e3", "1e3"),
            ("-2.5E-7", "-2.5E-7"),
            ("+7", "7"),
            (".5", "0.5"),
            ("-.5", "-0.5"),
            ("5.", "5.0"),
            ("+5.e2", "5.0e2"),
            ("0x1F", "31"),
            ("0o17", "15"),
        ] {
            assert_eq!(literal(text).as_deref(), Some(json), "{text}");
        }
    }

    #[test]
    fn the_rest_is_text() {
        for text in [
            "yes",
            "No",
            "on",
            "OFF",
            "y",
            "n",
            "nUll",
            "012345678901",
            "00",
            "-01",
            "00.5",
            "2010-09-09",
            "12:30:45",
            "1_000",
            "1.2.3",
            ".inf",
            "-.INF",
            ".NaN",
            ".",
            "+",
            "-",
            "e3",
            "1e",
            "1e+",
            ".e3",
            "0x",
            "0o8",
            "0xg",
            "0x-1",
            "-0x1F",
            "0b1",
            "1 2",
            "Infinity",
            "١",
        ] {
            assert_eq!(literal(text), None, "{text}");
        }
    }
}
