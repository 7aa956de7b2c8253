//! Names that only readers may give.
//!
//! A reader marks a value that nobody could resolve, and such a value is never compared. Whoever could
//! write the mark into an inventory, as the name of a tag, could hide any change behind it. So what a
//! source says under such a name is refused.

use memchr::memmem;
use serde_json::Value;

/// How such names begin.
pub(crate) const PREFIX: &str = "$deployforge.";

/// Whether a member of a JSON text, at any depth, has a reserved name.
pub(crate) fn holds(text: &[u8]) -> bool {
    // Nearly all texts are through here: a name is there as it is, or with letters that are escaped,
    // which nobody does to plain ones.
    let plain = memmem::find(text, PREFIX.as_bytes()).is_some();
    let escaped = || {
        memmem::find_iter(text, b"\\u00").any(|at| {
            let digits =
                text.get(at + 4..at + 6).and_then(|digits| std::str::from_utf8(digits).ok());
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            byte.is_some_and(|byte| PREFIX.as_bytes().contains(&byte))
        })
    };
    if !plain && !escaped() {
        return false;
    }
    // What cannot be looked through here, such as a number too large or a nesting too deep for it, may be
    // read by whoever comes next.
    serde_json::from_slice::<Value>(text).map_or(true, |value| is_in(&value))
}

fn is_in(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(is_in),
        Value::Object(members) => {
            members.iter().any(|(name, value)| name.starts_with(PREFIX) || is_in(value))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_found_however_they_are_written() {
        for text in [
            r#"{"$deployforge.unresolved":"x"}"#,
            r#"{"a":[{"b":{"$deployforge.secret":{}}}]}"#,
            r#"{"tags":{"\u0024deployforge.unresolved":"x"}}"#,
            r#"{"$d\u0065ployforge\u002Eunresolved":1}"#,
            r#"{"$deployforge.unresolved":"x","b":1}"#,
            r#"{"$deployforge.unresolved":"x","b":1e999}"#,
            &format!(
                r#"{{"$deployforge.unresolved":"x","b":{}{}}}"#,
                "[".repeat(127),
                "]".repeat(127)
            ),
        ] {
            assert!(holds(text.as_bytes()), "{text}");
        }
        for text in [
            r#"{"a":"$deployforge.unresolved"}"#,
            r#"{"a":"\"$deployforge.unresolved\":1"}"#,
            r#"{"deployforge.unresolved":"\u0026 \u003c \u0064"}"#,
            r#"{"$deployforge":1}"#,
        ] {
            assert!(!holds(text.as_bytes()), "{text}");
        }
    }
}
