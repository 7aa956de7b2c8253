//! JSON Pointers (RFC 6901), which address attributes, and patterns over them and over type names.

/// Appends one segment, escaping `~` and `/`.
pub fn push(path: &mut String, segment: &str) {
    path.push('/');
    if segment.contains(['~', '/']) {
        for c in segment.chars() {
            match c {
                '~' => path.push_str("~0"),
                '/' => path.push_str("~1"),
                c => path.push(c),
            }
        }
    } else {
        path.push_str(segment);
    }
}

/// `path` with one more segment.
pub fn join(path: &str, segment: &str) -> String {
    let mut joined = String::with_capacity(path.len() + segment.len() + 1);
    joined.push_str(path);
    push(&mut joined, segment);
    joined
}

/// The segments of a pointer, unescaped. An empty pointer is the root and has none.
pub fn segments(path: &str) -> impl Iterator<Item = String> {
    let unescaped = |segment: &str| segment.replace("~1", "/").replace("~0", "~");
    path.split('/').skip(1).map(move |segment| {
        if segment.contains('~') { unescaped(segment) } else { segment.to_owned() }
    })
}

/// Whether `text` fits `pattern`, in which `*` stands for any run of characters.
pub fn wildcard(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(head) else { return false };
    if tail.is_empty() {
        return true;
    }
    rest.char_indices().map(|(i, _)| i).chain([rest.len()]).any(|i| wildcard(tail, &rest[i..]))
}

/// A pointer in which a segment `*` is any one segment and `**` any number of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(Vec<String>);

impl PathPattern {
    /// Reads a pattern such as `/configuration/**/tags`.
    pub fn new(text: &str) -> Self {
        Self(segments(text).collect())
    }

    /// Whether a segment could be the number of one element of a list.
    pub fn names_element(&self) -> bool {
        self.0.iter().any(|segment| segment.bytes().all(|b| b.is_ascii_digit()))
    }

    /// Whether a path, given as its unescaped segments, fits.
    pub fn fits<S: AsRef<str>>(&self, path: &[S]) -> bool {
        fits(&self.0, path)
    }
}

fn fits<S: AsRef<str>>(pattern: &[String], path: &[S]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((head, rest)), _) if head == "**" => {
            fits(rest, path) || path.split_first().is_some_and(|(_, tail)| fits(pattern, tail))
        }
        (Some((head, rest)), Some((first, tail))) => {
            (head == "*" || head == first.as_ref()) && fits(rest, tail)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_round_trip() {
        let path = join(&join("", "a/b"), "m~n");
        assert_eq!(path, "/a~1b/m~0n");
        assert_eq!(segments(&path).collect::<Vec<_>>(), ["a/b", "m~n"]);
        assert_eq!(segments("").count(), 0);
    }

    #[test]
    fn patterns() {
        assert!(wildcard("AWS::IAM::*", "AWS::IAM::Role"));
        assert!(wildcard("*", ""));
        assert!(wildcard("a*c*e", "abcde"));
        assert!(!wildcard("AWS::IAM::*", "AWS::S3::Bucket"));
        let fits = |pattern: &str, path: &str| {
            PathPattern::new(pattern).fits(&segments(path).collect::<Vec<_>>())
        };
        assert!(fits("/**/tags", "/tags"));
        assert!(fits("/**/tags", "/a/0/tags"));
        assert!(!fits("/*/tags", "/a/0/tags"));
        assert!(fits("/**", "/a/b"));
        assert!(PathPattern::new("/a/0/b").names_element());
        assert!(!PathPattern::new("/a/*/b1").names_element());
    }
}
