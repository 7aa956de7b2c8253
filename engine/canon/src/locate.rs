//! Finds units again in canonical text.

use std::ops::Range;

use deployforge_model::{path, special};

use crate::node::RESERVED;

/// One unit in canonical text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// JSON Pointer from the root.
    pub path: String,
    /// Where its value stands.
    pub span: Range<usize>,
}

/// Finds units by their number in canonical text ([`Node::to_json`](crate::Node::to_json)), in which
/// they stand in the order of [`Flat::of`](crate::Flat::of). `units` ascends. `None` if the text is
/// not canonical, or has fewer.
pub fn locate(text: &[u8], units: &[u32]) -> Option<Vec<Located>> {
    let mut search = Search {
        text,
        units,
        number: 0,
        names: Vec::new(),
        found: Vec::with_capacity(units.len()),
    };
    if text.first()? != &b'{' {
        return None;
    }
    search.object(0)?;
    (search.found.len() == units.len()).then_some(search.found)
}

/// Where the value stands that starts at `start` of canonical text.
pub fn value_at(text: &[u8], start: usize) -> Option<Range<usize>> {
    let search = Search { text, units: &[], number: 0, names: Vec::new(), found: Vec::new() };
    Some(start..search.skip(start)?)
}

/// Where the value of a member of an object stands in the object's canonical text; `name` as it is
/// written there.
pub(crate) fn member(object: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let search =
        Search { text: object, units: &[], number: 0, names: Vec::new(), found: Vec::new() };
    if object.first()? != &b'{' {
        return None;
    }
    let mut at = 1;
    while object.get(at)? == &b'"' {
        let end = search.string(at)?;
        let value = end + 1..search.skip(end + 1)?;
        if &object[at + 1..end - 1] == name {
            return Some(value);
        }
        at = value.end + 1;
    }
    None
}

struct Search<'a> {
    text: &'a [u8],
    units: &'a [u32],
    number: u32,
    names: Vec<Range<usize>>,
    found: Vec<Located>,
}

impl Search<'_> {
    fn done(&self) -> bool {
        self.found.len() == self.units.len()
    }

    /// Goes through an object that is no unit; returns the place after it, or anywhere once all are
    /// found.
    fn object(&mut self, at: usize) -> Option<usize> {
        let mut at = at + 1;
        if self.text.get(at)? == &b'}' {
            self.unit(at - 1, at + 1)?;
            return Some(at + 1);
        }
        loop {
            let end = self.string(at)?;
            self.names.push(at + 1..end - 1);
            let value = end + 1;
            at = if self.is_plain_object(value)? {
                self.object(value)?
            } else {
                let end = self.skip(value)?;
                self.unit(value, end)?;
                end
            };
            self.names.pop();
            if self.done() {
                return Some(at);
            }
            match self.text.get(at)? {
                b',' => at += 1,
                b'}' => return Some(at + 1),
                _ => return None,
            }
        }
    }

    fn is_plain_object(&self, at: usize) -> Option<bool> {
        if self.text.get(at)? != &b'{' {
            return Some(false);
        }
        let name = self.text.get(at + 2..).unwrap_or_default();
        Some(!name.starts_with(RESERVED.as_bytes()))
    }

    fn unit(&mut self, start: usize, end: usize) -> Option<()> {
        if self.units.get(self.found.len()) == Some(&self.number) {
            let mut pointer = String::new();
            for name in &self.names {
                let text = &self.text[name.start - 1..=name.end];
                let name: String = serde_json::from_slice(text).ok()?;
                path::push(&mut pointer, &name);
            }
            self.found.push(Located { path: pointer, span: start..end });
        }
        self.number += 1;
        Some(())
    }

    /// The place after the string whose quote stands at `at`.
    fn string(&self, at: usize) -> Option<usize> {
        let mut at = at + 1;
        loop {
            at += special(self.text.get(at..)?)?.0;
            match self.text[at] {
                b'"' => return Some(at + 1),
                b'\\' => at += 2,
                _ => return None,
            }
        }
    }

    /// The place after the value that stands at `at`.
    fn skip(&self, mut at: usize) -> Option<usize> {
        let mut depth = 0usize;
        loop {
            match self.text.get(at)? {
                b'"' => {
                    at = self.string(at)?;
                    if depth == 0 {
                        return Some(at);
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' | b',' if depth == 0 => return Some(at),
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_by_number() {
        let text = br#"{"a":{"b":1,"c":"x,}"},"d/e":[1,{"f":2}],"g":{},"h":{"$deployforge.secret":{"hmac":"0"}},"i":null}"#;
        let all = locate(text, &[0, 1, 2, 3, 4, 5]).unwrap();
        let shown: Vec<(&str, &str)> = all
            .iter()
            .map(|unit| {
                (unit.path.as_str(), std::str::from_utf8(&text[unit.span.clone()]).unwrap())
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("/a/b", "1"),
                ("/a/c", "\"x,}\""),
                ("/d~1e", r#"[1,{"f":2}]"#),
                ("/g", "{}"),
                ("/h", r#"{"$deployforge.secret":{"hmac":"0"}}"#),
                ("/i", "null"),
            ]
        );
        for unit in &all {
            assert_eq!(value_at(text, unit.span.start), Some(unit.span.clone()));
        }
        assert_eq!(locate(text, &[3]).unwrap()[0].path, "/g");
        assert_eq!(locate(text, &[6]), None);
        assert_eq!(locate(b"[]", &[]), None);
    }
}
