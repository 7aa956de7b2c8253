//! What an input looks like that is no JSON at all, and what to do about it.

use deployforge_model::RejectCode;

const TEMPLATE: &str = "This is a template, not the document; render it and give the result.";

/// Files that are known by their first bytes.
const MAGIC: &[(&[u8], &str)] = &[
    (
        b"PAR1",
        "This is a Parquet file, and the input was named something else; leave out the format.",
    ),
    (b"PARE", "This is an encrypted Parquet file; decrypt it first."),
    (
        b"ARROW1",
        "This is an Arrow file, and the input was named something else; leave out the format.",
    ),
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
    (b"{{ ", TEMPLATE),
    (b"{{-", TEMPLATE),
    (b"{{/", TEMPLATE),
    (b"{%", TEMPLATE),
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
    if text.starts_with("%YAML") || text.starts_with("%TAG") || is_yaml_line(first_line) {
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

/// Whether a line begins a document of YAML: a marker, an element of a list, or a key.
fn is_yaml_line(line: &str) -> bool {
    if let Some(rest) = line.strip_prefix("---") {
        // Prose is ruled with dashes too: what follows the marker must be a comment or a node.
        let node = rest.trim_start();
        return rest.is_empty()
            || (node.len() < rest.len()
                && (node.is_empty()
                    || node.starts_with(['#', '!', '&', '{', '[', '|', '>', '"']))
                || is_key(node));
    }
    line == "-" || line.starts_with("- ") || is_key(line)
}

/// Whether a line is a key and a colon, with or without a value.
fn is_key(line: &str) -> bool {
    let ends = |rest: &str| rest.is_empty() || rest.starts_with([' ', '\t']);
    if let Some(quote) = line.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let Some((key, rest)) = line[1..].split_once(quote) else { return false };
        return !key.is_empty() && rest.trim_start().strip_prefix(':').is_some_and(ends);
    }
    // CloudFormation has keys such as `Fn::Transform`.
    let line = line.replace("::", "__");
    let word = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "_-.$".contains(c));
    line.split_once(':').is_some_and(|(key, rest)| {
        let name = key.trim_end();
        // `INFO : started` is a log's, `Resources :` a template's.
        let spaced = name.len() < key.len() && !name.chars().any(char::is_lowercase);
        !name.is_empty() && word(name) && ends(rest) && !spaced
    })
}

/// Whether this is YAML.
pub(crate) fn is_yaml(sample: &[u8]) -> bool {
    look(sample) == Look::Yaml
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
            "This looks like YAML, where JSON is read; convert it to JSON.",
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
            (b"-\n  a: 1", Look::Yaml),
            (b"--- # comment\na: 1", Look::Yaml),
            (b"--- {a: 1}", Look::Yaml),
            (b"--- a: 1", Look::Yaml),
            (b"%YAML 1.2\n---\na: 1", Look::Yaml),
            (b"\"Resources\":\n  A: 1", Look::Yaml),
            (b"'AWSTemplateFormatVersion' : x", Look::Yaml),
            (b"$schema: x", Look::Yaml),
            (b"Resources :\n  A: 1", Look::Yaml),
            (b"INFO : started", Look::Text),
            (b"Fn::Transform:\n  Name: x", Look::Yaml),
            (b"--- section ---\n", Look::Text),
            (b"----\n", Look::Text),
            (b"\"a\", \"b\"", Look::Scalar),
            (b"main.rs:12: error", Look::Text),
            (b"https://example.com/a", Look::Text),
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
