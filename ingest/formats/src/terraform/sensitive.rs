//! `sensitive_attributes`: paths of steps, as JSON Pointers.

use serde_json::value::RawValue;

use crate::json::{self, Members};

/// The pointers. A path stops where a step can't be followed (an element of a set has no index),
/// so that more is covered rather than less; an unreadable list covers everything.
pub(super) fn pointers(raw: &RawValue) -> Vec<String> {
    let Ok(paths) = json::elements(raw, "sensitive_attributes") else {
        return vec![String::new()];
    };
    let mut pointers: Vec<String> = paths.into_iter().map(pointer).collect();
    pointers.sort();
    pointers.dedup();
    pointers
}

fn pointer(path: &RawValue) -> String {
    let mut pointer = String::new();
    for step in json::elements(path, "sensitive_attributes").unwrap_or_default() {
        let Some(token) = token(step) else { break };
        pointer.push('/');
        pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
    }
    pointer
}

fn token(step: &RawValue) -> Option<String> {
    let members = Members::of(step, "sensitive_attributes").ok()?;
    let value = members.get("value")?;
    match members.peek("type").as_deref() {
        Some("get_attr") => json::text_of(value).map(String::from),
        Some("index") => index(value),
        _ => None,
    }
}

/// `{"value":0,"type":"number"}`; older states have the key alone.
fn index(value: &RawValue) -> Option<String> {
    let key = if json::is_object(value) {
        Members::parse(value.get()).ok()?.get("value")?
    } else {
        value
    };
    if let Some(text) = json::text_of(key) {
        return Some(text.into_owned());
    }
    // `0.0` is the first element too, and no pointer says so: the list is covered.
    let number = key.get();
    number.bytes().all(|b| b.is_ascii_digit()).then(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_steps_and_covers_more_rather_than_less() {
        let text = r#"[
            [{"type":"get_attr","value":"password"}],
            [{"type":"get_attr","value":"a/b"},{"type":"index","value":{"value":0,"type":"number"}},
             {"type":"get_attr","value":"k~"}],
            [{"type":"get_attr","value":"m"},{"type":"index","value":{"value":"x","type":"string"}}],
            [{"type":"get_attr","value":"set"},{"type":"index","value":{"value":{"a":1},"type":["object",{}]}},
             {"type":"get_attr","value":"secret"}],
            [{"type":"get_attr","value":"l"},{"type":"index","value":{"value":0.0,"type":"number"}}],
            [{"type":"get_attr","value":"n"},{"type":"index","value":-1}],
            [{"type":"splat"}]
        ]"#;
        let raw: &RawValue = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(pointers(raw), ["", "/a~1b/0/k~0", "/l", "/m/x", "/n", "/password", "/set"]);
        for odd in [
            "{}",
            r#""garbage""#,
            "5",
            "[[]]",
            r#"[["foo"]]"#,
            r#"["foo"]"#,
            r#"[{"type":"get_attr","value":"foo"}]"#,
            r#"[[{"type":"weird","value":"foo"}]]"#,
            r#"[[{"type":"get_attr","value":5}]]"#,
        ] {
            let raw: &RawValue = serde_json::from_str(odd).unwrap();
            assert_eq!(pointers(raw), [""], "{odd}");
        }
    }
}
