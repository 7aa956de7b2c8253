//! What an input looks like that is no JSON at all, and what to do about it.

use deployforge_model::RejectCode;

/// Files that are known by their first bytes.
const MAGIC: &[(&[u8], &str)] = &[
    (b"PAR1", "This is a Parquet file, which is not read yet; export the inventory as JSON."),
    (b"ARROW1", "This is an Arrow file, which is not read yet; export the inventory as JSON."),
    (b"ORC", "This is an ORC file, which is not read yet; export the inventory as JSON."),
    (b"Obj\x01", "This is an Avro file, which is not read yet; export the inventory as JSON."),
    (b"SQLite format 3", "This is a SQLite database; export the inventory as JSON."),
    (
        b"\x1f\x8b",
        "This is gzip inside an input that was already unpacked; unpack it once more first.",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "This is zstd inside an input that was already unpacked; unpack it once more first.",
    ),
    (b"BZh", "This is a bzip2 file, which is not read; unpack it first."),
    (b"\xfd7zXZ\x00", "This is an xz file, which is not read; unpack it first."),
    (b"PK\x03\x04", "This is a zip archive, which is not read; unpack it first."),
    (b"\xff\xfe", "This is UTF-16 text; write the file again as UTF-8."),
    (b"\xfe\xff", "This is UTF-16 text; write the file again as UTF-8."),
    (b"{\0", "This is UTF-16 text; write the file again as UTF-8."),
    (b"[\0", "This is UTF-16 text; write the file again as UTF-8."),
    (b"\0{", "This is UTF-16 text; write the file again as UTF-8."),
    (b"\0[", "This is UTF-16 text; write the file again as UTF-8."),
];

/// What the whole input is, if its first bytes say so.
pub(crate) fn by_magic(head: &[u8]) -> Option<(RejectCode, String)> {
    MAGIC
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map(|(_, sentence)| (RejectCode::Unsupported, (*sentence).to_owned()))
}

/// What text that is no JSON looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Binary,
    Markup,
    Yaml,
    Hcl,
    Scalar,
    Text,
}

fn look(sample: &[u8]) -> Look {
    if sample.iter().any(|byte| *byte == 0 || (*byte < 0x20 && !byte.is_ascii_whitespace())) {
        return Look::Binary;
    }
    let text = String::from_utf8_lossy(sample);
    let text = text.trim_start();
    let first_line = text.lines().next().unwrap_or_default().trim_end();
    let word = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))
    };
    if text.starts_with('<') {
        return Look::Markup;
    }
    let key = first_line
        .split_once(':')
        .is_some_and(|(key, value)| word(key) && (value.is_empty() || value.starts_with(' ')));
    if first_line == "---" || text.starts_with("%YAML") || first_line.starts_with("- ") || key {
        return Look::Yaml;
    }
    if first_line.ends_with('{') && first_line.split_whitespace().next().is_some_and(word) {
        return Look::Hcl;
    }
    let literal = matches!(first_line.trim_end_matches(','), "true" | "false" | "null");
    if literal || first_line.starts_with('"') || first_line.parse::<f64>().is_ok() {
        return Look::Scalar;
    }
    Look::Text
}

/// Whether a line that begins with a bracket still belongs to this text: brackets stand in HTML,
/// YAML and HCL too.
pub(crate) fn goes_on(sample: &[u8]) -> bool {
    matches!(look(sample), Look::Binary | Look::Markup | Look::Yaml | Look::Hcl)
}

/// What to say about refused text.
pub(crate) fn by_sample(sample: &[u8]) -> (RejectCode, String) {
    let (code, sentence) = match look(sample) {
        Look::Binary => (
            RejectCode::Malformed,
            "This is binary data of no known kind; give the JSON export instead.",
        ),
        Look::Markup => (
            RejectCode::Unsupported,
            "This looks like an HTML or XML page, perhaps of a login or an error; download the JSON itself.",
        ),
        Look::Yaml => (
            RejectCode::Unsupported,
            "This looks like YAML, which is not read; convert it to JSON.",
        ),
        Look::Hcl => (
            RejectCode::Unsupported,
            "This looks like configuration code; give the state file instead.",
        ),
        Look::Scalar => {
            (RejectCode::NotARecord, "This is a single value, and a record is a JSON object.")
        }
        Look::Text => {
            (RejectCode::Malformed, "This is text, not JSON; check which file or output it is.")
        }
    };
    (code, sentence.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_it_looks_like() {
        for (sample, want) in [
            (&b"<!DOCTYPE html>"[..], Look::Markup),
            (b"---\na: 1", Look::Yaml),
            (b"apiVersion: v1\nkind: X", Look::Yaml),
            (b"- a\n- b", Look::Yaml),
            (b"resource \"aws_s3_bucket\" \"b\" {", Look::Hcl),
            (b"invalid\n", Look::Text),
            (b"$ aws configservice describe\n", Look::Text),
            (b"12:00:01 started", Look::Text),
            (b"null\n", Look::Scalar),
            (b"12.5", Look::Scalar),
            (b"ab\0cd", Look::Binary),
        ] {
            assert_eq!(look(sample), want, "{}", String::from_utf8_lossy(sample));
        }
    }
}
