//! Values that mirror others: `true` where the other is sensitive, or not known yet. A container may
//! itself be `true`, and stands for everything below it then.

use std::collections::{HashMap, HashSet};

use deployforge_model::{UNRESOLVED_MEMBER, path};
use serde_json::value::RawValue;

use crate::json::{self, Members, write_string};

/// The places that are marked, as JSON Pointers. What can't be read covers everything.
pub(super) fn pointers(marks: Option<&RawValue>) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(marks) = marks {
        gather(marks, &mut String::new(), &mut found);
    }
    found
}

fn gather(marks: &RawValue, at: &mut String, found: &mut Vec<String>) {
    let length = at.len();
    if marks.get() == "true" {
        found.push(at.clone());
    } else if json::is_object(marks) {
        let Ok(members) = Members::parse(marks.get()) else { return found.push(at.clone()) };
        for (name, below) in members.iter() {
            path::push(at, name);
            gather(below, at, found);
            at.truncate(length);
        }
    } else if json::is_array(marks) {
        let Ok(elements) = json::elements(marks, "marks") else { return found.push(at.clone()) };
        for (index, below) in elements.into_iter().enumerate() {
            path::push(at, &index.to_string());
            gather(below, at, found);
            at.truncate(length);
        }
    } else if !matches!(marks.get(), "false" | "null") {
        found.push(at.clone());
    }
}

/// Whether everything is marked.
pub(super) fn covers_all(marks: Option<&RawValue>) -> bool {
    marks.is_some_and(|marks| marks.get() == "true")
}

/// `value` with what is marked replaced by the marker of values that nobody could resolve. What is
/// marked need not stand in the value: plans leave out what they don't know.
pub(super) fn resolve(value: &RawValue, marks: Option<&RawValue>, reason: &str) -> String {
    let Some(marks) = marks else { return value.get().to_owned() };
    let mut marker = Vec::from(&b"{"[..]);
    write_string(&mut marker, UNRESOLVED_MEMBER);
    marker.push(b':');
    write_string(&mut marker, reason);
    marker.push(b'}');
    let mut out = Vec::with_capacity(value.get().len() + 64);
    write(Some(value), marks, &marker, &mut out);
    String::from_utf8(out).unwrap_or_else(|_| value.get().to_owned())
}

/// Writes a value under its marks; whether there was something to write.
fn write(value: Option<&RawValue>, marks: &RawValue, marker: &[u8], out: &mut Vec<u8>) -> bool {
    let value = value.filter(|value| value.get() != "null");
    let from = out.len();
    let written = if marks.get() == "true" {
        out.extend_from_slice(marker);
        true
    } else if json::is_empty_container(marks) {
        false
    } else if json::is_object(marks) && value.is_none_or(json::is_object) {
        write_object(value, marks, marker, out)
    } else if json::is_array(marks) && value.is_none_or(json::is_array) {
        write_array(value, marks, marker, out)
    } else if json::is_object(marks) || json::is_array(marks) {
        // Marks that don't fit the value: something in it is not known.
        let any = !pointers(Some(marks)).is_empty();
        out.extend_from_slice(if any { marker } else { b"" });
        any
    } else {
        false
    };
    if !written {
        out.truncate(from);
        let Some(value) = value else { return false };
        out.extend_from_slice(value.get().as_bytes());
    }
    true
}

fn write_object(
    value: Option<&RawValue>,
    marks: &RawValue,
    marker: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    let empty = || Members::parse("{}");
    let members = value.map_or_else(empty, |value| Members::parse(value.get()));
    let (Ok(members), Ok(marks)) = (members, Members::parse(marks.get())) else { return false };
    let marked: HashMap<&str, &RawValue> = marks.iter().collect();
    let mut names = HashSet::new();
    let mut any = false;
    out.push(b'{');
    let begin = |out: &mut Vec<u8>, name: &str, any: &mut bool| {
        if *any {
            out.push(b',');
        }
        *any = true;
        write_string(out, name);
        out.push(b':');
    };
    for (name, value) in members.iter() {
        names.insert(name);
        begin(out, name, &mut any);
        let done = marked.get(name).is_some_and(|marks| write(Some(value), marks, marker, out));
        if !done {
            out.extend_from_slice(value.get().as_bytes());
        }
    }
    for (name, marks) in marks.iter().filter(|(name, _)| !names.contains(name)) {
        let mut below = Vec::new();
        if write(None, marks, marker, &mut below) {
            begin(out, name, &mut any);
            out.extend_from_slice(&below);
        }
    }
    out.push(b'}');
    any || value.is_some()
}

fn write_array(
    value: Option<&RawValue>,
    marks: &RawValue,
    marker: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    let values = value.map_or_else(|| Ok(Vec::new()), |value| json::elements(value, "marks"));
    let (Ok(values), Ok(marks)) = (values, json::elements(marks, "marks")) else { return false };
    let mut any = false;
    out.push(b'[');
    for index in 0..values.len().max(marks.len()) {
        let (value, marks) = (values.get(index).copied(), marks.get(index).copied());
        let mut below = Vec::new();
        let done = marks.is_some_and(|marks| write(value, marks, marker, &mut below));
        if !done && value.is_none() {
            // The marks are longer than the value, and say nothing there.
            continue;
        }
        if any {
            out.push(b',');
        }
        any = true;
        match value {
            Some(value) if !done => out.extend_from_slice(value.get().as_bytes()),
            _ => out.extend_from_slice(&below),
        }
    }
    out.push(b']');
    any || value.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_marked_container_covers_what_is_below() {
        let marks = r#"{"a":true,"b":{"c/d":true,"e":false},"f":[false,{"g":true},{}],"h":{}}"#;
        assert_eq!(pointers(Some(raw(marks))), ["/a", "/b/c~1d", "/f/1/g"]);
        assert_eq!(pointers(Some(raw("true"))), [""]);
        assert!(covers_all(Some(raw("true"))) && !covers_all(Some(raw("{}"))));
        assert!(pointers(Some(raw("false"))).is_empty() && pointers(None).is_empty());
        assert!(pointers(Some(raw(r#"{"a":null}"#))).is_empty());
        for odd in [r#""what""#, "1", "0"] {
            assert_eq!(pointers(Some(raw(odd))), [""], "{odd}");
        }
        assert_eq!(
            pointers(Some(raw(r#"{"foo":"what","l":[0],"a":1,"a":false}"#))),
            ["/foo", "/l/0", "/a"]
        );
    }

    #[test]
    fn marks_replace_values_also_those_that_are_left_out() {
        let u = r#"{"$deployforge.unresolved":"later"}"#;
        for (value, marks, want) in [
            (r#"{"a":1.50}"#, r#"{"id":true}"#, format!(r#"{{"a":1.50,"id":{u}}}"#)),
            (r#"{"a":1}"#, "{}", r#"{"a":1}"#.to_owned()),
            (r#"{"a":null}"#, r#"{"a":true}"#, format!(r#"{{"a":{u}}}"#)),
            (r#"{"a":null}"#, r#"{"a":[]}"#, r#"{"a":null}"#.to_owned()),
            (
                r#"{"l":[{"x":1}]}"#,
                r#"{"l":[{"y":true},{"z":false},{"z":true}]}"#,
                format!(r#"{{"l":[{{"x":1,"y":{u}}},{{"z":{u}}}]}}"#),
            ),
            (
                r#"{}"#,
                r#"{"o":{"p":{"q":true,"r":false}},"n":[false]}"#,
                format!(r#"{{"o":{{"p":{{"q":{u}}}}}}}"#),
            ),
            (r#"{"s":"text"}"#, r#"{"s":{"k":true}}"#, format!(r#"{{"s":{u}}}"#)),
            (r#"{"s":"text"}"#, r#"{"s":{"k":false}}"#, r#"{"s":"text"}"#.to_owned()),
            (r#"{"s":[]}"#, r#"{"s":[[]]}"#, r#"{"s":[]}"#.to_owned()),
        ] {
            assert_eq!(resolve(raw(value), Some(raw(marks)), "later"), want, "{value} {marks}");
        }
    }
}
