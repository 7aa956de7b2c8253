//! JSON as a tree of spellings: names and scalars keep the text they were written with.

use crate::dice::Dice;

#[derive(Clone, Debug)]
pub(crate) enum Json {
    /// Anything but an array or object, as it is spelt.
    Scalar(String),
    Array(Vec<Json>),
    /// Names as they are spelt, without quotes.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a text, which is valid JSON.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
        let mut at = 0;
        Some(value(text.as_bytes(), &mut at))
    }

    /// Writes it, with white space here and there if `spaces`.
    pub(crate) fn write(&self, spaces: bool, dice: &mut Dice, out: &mut Vec<u8>) {
        let mut space = |out: &mut Vec<u8>| {
            if spaces && dice.once_in(6) {
                out.extend_from_slice(dice.pick(&[" ", "\t", "\r", "  "]).as_bytes());
            }
        };
        space(out);
        match self {
            Self::Scalar(text) => out.extend_from_slice(text.as_bytes()),
            Self::Array(items) => {
                out.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    out.extend_from_slice(if i > 0 { b"," } else { b"" });
                    item.write(spaces, dice, out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (i, (name, value)) in members.iter().enumerate() {
                    out.extend_from_slice(if i > 0 { b",\"" } else { b"\"" });
                    out.extend_from_slice(name.as_bytes());
                    out.extend_from_slice(b"\":");
                    value.write(spaces, dice, out);
                }
                out.push(b'}');
            }
        }
        if spaces && dice.once_in(6) {
            out.push(b' ');
        }
    }

    /// As one line.
    pub(crate) fn line(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(false, &mut Dice::new(0), &mut out);
        out
    }

    fn children(&self) -> Vec<&Self> {
        match self {
            Self::Scalar(_) => Vec::new(),
            Self::Array(items) => items.iter().collect(),
            Self::Object(members) => members.iter().map(|(_, value)| value).collect(),
        }
    }

    /// Every value in it, itself first.
    pub(crate) fn all(&self) -> Vec<&Self> {
        let mut all = vec![self];
        let mut at = 0;
        while at < all.len() {
            let children = all[at].children();
            all.extend(children);
            at += 1;
        }
        all
    }

    /// A value somewhere in it: the deeper, the less likely.
    pub(crate) fn somewhere(&mut self, dice: &mut Dice) -> &mut Self {
        if dice.once_in(3) || self.children().is_empty() {
            return self;
        }
        let mut children: Vec<&mut Self> = match self {
            Self::Scalar(_) => Vec::new(),
            Self::Array(items) => items.iter_mut().collect(),
            Self::Object(members) => members.iter_mut().map(|(_, value)| value).collect(),
        };
        let at = dice.below(children.len());
        children.swap_remove(at).somewhere(dice)
    }
}

fn space(text: &[u8], at: &mut usize) {
    *at += text[*at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
}

/// The spelling between the quotes of the string that stands at `at`.
fn string(text: &[u8], at: &mut usize) -> String {
    let start = *at + 1;
    *at = start;
    while text[*at] != b'"' {
        *at += if text[*at] == b'\\' { 2 } else { 1 };
    }
    *at += 1;
    String::from_utf8_lossy(&text[start..*at - 1]).into_owned()
}

/// Reads the parts of an array or object, each with `part`.
fn parts<T>(text: &[u8], at: &mut usize, part: impl Fn(&mut usize) -> T) -> Vec<T> {
    let mut parts = Vec::new();
    *at += 1;
    loop {
        space(text, at);
        match text[*at] {
            b']' | b'}' => break,
            b',' => *at += 1,
            _ => parts.push(part(at)),
        }
    }
    *at += 1;
    parts
}

fn value(text: &[u8], at: &mut usize) -> Json {
    space(text, at);
    match text[*at] {
        b'[' => Json::Array(parts(text, at, |at| value(text, at))),
        b'{' => Json::Object(parts(text, at, |at| {
            let name = string(text, at);
            space(text, at);
            *at += 1;
            (name, value(text, at))
        })),
        b'"' => Json::Scalar(format!("\"{}\"", string(text, at))),
        _ => {
            let ends = |byte: &u8| b",]}".contains(byte) || byte.is_ascii_whitespace();
            let rest = &text[*at..];
            let length = rest.iter().position(ends).unwrap_or(rest.len());
            *at += length;
            Json::Scalar(String::from_utf8_lossy(&rest[..length]).into_owned())
        }
    }
}
