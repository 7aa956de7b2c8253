//! Chunks, lines, documents, limits, and what is no JSON.

use deployforge_formats::{Limits, ReadOptions, Reader};
use deployforge_model::{RejectCode, SourcePosition};

use super::support::{Outcome, read, read_in};

fn line(id: &str) -> String {
    format!(
        r#"{{"provider":"p","type":"t","id":"{id}","attributes":{{"a":"x{{]\"\\","n":[1,{{"b":[]}}]}}}}"#
    )
}

fn item(id: &str) -> String {
    format!(
        r#"{{"resourceType":"AWS::X","resourceId":"{id}","configurationItemStatus":"OK","configuration":{{"a":"}}]"}}}}"#
    )
}

/// Inputs of every shape, good and bad.
fn inputs() -> Vec<String> {
    let state = r#"{
  "version": 4, "serial": 3, "lineage": "l",
  "resources": [ {"mode":"managed","type":"t","name":"n","provider":"provider.p",
     "instances":[{"attributes":{"id":"1"}}]} ]
}
"#;
    let pretty = "{\n  \"provider\": \"p\",\n  \"type\": \"t\",\n  \"id\": \"1\",\n  \"attributes\": {\n  }\n}";
    vec![
        String::new(),
        " \n\r\n ".to_owned(),
        line("1"),
        format!("\u{feff}{}\r\n\r\n{}\r\n", line("1"), line("2")),
        format!("{}\n{{\"a\":\n{}\n", line("1"), line("2")),
        format!("{}\n{{\"a\":\"x\n{}\n", line("1"), line("2")),
        format!("{{\"a\":1,\n{}\n{}\n", line("1"), line("2")),
        format!("{{\"a\":\"x\n{}\n", line("1")),
        format!("{}\nnonsense\n{}{}\n}}\n{}", line("1"), line("2"), line("3"), line("4")),
        format!("log line\nanother\n  {}\n", line("1")),
        format!("[{},\n{}]", line("1"), line("2")),
        format!("[{}{}]\n{}\n", line("1"), line("2"), line("3")),
        format!("[{}, 12, \"x,]\", [1], {}]", line("1"), line("2")),
        format!("[{},]", line("1")),
        format!("{pretty}\n{pretty}{pretty}\n"),
        format!("{pretty}\n}}\n{pretty}\n"),
        format!("{{\n \"a\": 1\n{pretty}"),
        state.to_owned(),
        state[..state.len() - 40].to_owned(),
        format!(
            r#"{{"fileVersion":"1.0","configSnapshotId":"s","configurationItems":[{},{}]}}"#,
            item("1"),
            item("2")
        ),
        format!(
            "{{\n\"configurationItems\" : [\n{},\n{}\n],\n\"fileVersion\":\"1.0\"}}\n",
            item("1"),
            item("2")
        ),
        format!(r#"{{"status_code":200,"data":{{"configurationItems":[{}]}}}}"#, item("1")),
        format!("{{\"configurationItems\":[{},{}", item("1"), &item("2")[..40]),
        format!(
            "{{\"configurationItems\":[{}]}}\n{{\"configurationItems\":[{},\n{}\n",
            item("1"),
            item("2"),
            line("3")
        ),
        format!("{{\"configurationItems\":[{},}}\n{}\n", item("1"), line("3")),
        "PAR1\u{0}\u{0}rest of a file\n{\"a\":1}\n".to_owned(),
        "---\na: {b: c}\n{d: e}\n".to_owned(),
        "<html>\n{}\n</html>".to_owned(),
        "a\u{0}b\n{}\n".to_owned(),
        format!("{{\"a\":{}1{}}}\n{}\n", "[".repeat(200), "]".repeat(200), line("1")),
        format!("{{\"a\":{}1\n{}\n", "[".repeat(200), line("1")),
        format!("{}\n{{\"a\":\"{}\"}}\n{}\n", line("1"), "x".repeat(3000), line("2")),
    ]
}

fn small() -> ReadOptions {
    let limits = Limits { record_bytes: 2000, document_bytes: 2500, depth: 16 };
    ReadOptions { limits, ..ReadOptions::default() }
}

#[test]
fn where_the_chunks_are_cut_changes_nothing() {
    for input in inputs() {
        for options in [ReadOptions::default(), small()] {
            let whole = read_in(&options, input.as_bytes(), usize::MAX);
            for size in [1, 2, 3, 7, 16, 17, 64] {
                let pieces = read_in(&options, input.as_bytes(), size);
                assert_eq!(pieces, whole, "chunks of {size} of {input:?}");
            }
        }
    }
}

#[test]
fn no_cut_input_is_taken_for_whole() {
    // Whatever is cut off, nothing panics, and nothing that is cut claims to be a listing.
    for input in inputs() {
        let bytes = input.as_bytes();
        for end in 0..bytes.len().min(600) {
            let outcome = read(&bytes[..end]);
            let rest = String::from_utf8_lossy(&bytes[end..]);
            if outcome.summary.complete_listing {
                assert!(rest.trim().is_empty(), "{:?}", String::from_utf8_lossy(&bytes[..end]));
            }
        }
    }
}

#[test]
fn random_damage_never_panics() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for input in inputs().iter().filter(|input| !input.is_empty()) {
        for _ in 0..60 {
            let mut bytes = input.clone().into_bytes();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                bytes[at] = b"{}[]\",:\\\n \0x\xff1"[random(14)];
            }
            let whole = read_in(&small(), &bytes, usize::MAX);
            let pieces = read_in(&small(), &bytes, 1 + random(20));
            assert_eq!(pieces, whole, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

/// What is read, in order: ids, and codes of rejects.
fn shape(outcome: &Outcome) -> String {
    let mut words = Vec::new();
    for record in &outcome.records {
        match record {
            deployforge_model::Record::Observation(observation) => {
                words.push(observation.key.id.clone());
            }
            deployforge_model::Record::Sweep(_) => words.push("sweep".to_owned()),
            deployforge_model::Record::Evidence(_) => words.push("evidence".to_owned()),
            deployforge_model::Record::Reject(reject) => words.push(reject.code.to_string()),
        }
    }
    words.join(" ")
}

#[test]
fn reading_goes_on_after_what_is_broken() {
    let expected = [
        "empty",
        "empty",
        "1",
        "1 2",
        "1 malformed 2",
        "1 malformed 2",
        "malformed 1 2",
        "malformed 1",
        "1 malformed 2 3 malformed 4",
        "malformed 1",
        "1 2",
        "1 malformed 3",
        "1 not_a_record not_a_record not_a_record 2",
        "1 malformed",
        "1 1 1",
        "1 malformed 1",
        "malformed 1",
        "1",
        "truncated",
        "1 2",
        "1 2",
        "1",
        "1 truncated",
        "1 2 malformed 3",
        "1 malformed 3",
        "malformed",
        "malformed",
        "unsupported",
        "malformed",
        "too_deep 1",
        "too_deep 1",
        "1 not_a_record 2",
    ];
    for (input, expected) in inputs().iter().zip(expected) {
        assert_eq!(shape(&read(input)), expected, "{input:?}");
    }
    let large = inputs().pop().unwrap();
    assert_eq!(shape(&read_in(&small(), large.as_bytes(), 100)), "1 too_large 2");
}

#[test]
fn fragments_of_a_broken_document_are_no_records() {
    let whole = "{\n\"provider\":\"p\",\n\"type\":\"t\", \"id\":\"1\", \"attributes\":{}\n}\n";
    let broken = format!("{{\n\"resources\": [\n  oops\": 1}},\n  ],\n{whole}}}\n");
    assert_eq!(shape(&read(&broken)), "malformed");
    assert_eq!(shape(&read(format!("{broken}{whole}"))), "malformed 1");
}

#[test]
fn rejects_say_where_and_how_much() {
    let input = format!("{}\n\n{{broken}}\n{}\n", line("1"), line("2"));
    let outcome = read(&input);
    let reject = outcome.rejects()[0];
    let offset = line("1").len() as u64 + 2;
    assert_eq!(reject.position, SourcePosition { offset, line: 3 });
    assert_eq!(reject.size, 8);
    assert_eq!(reject.hash, blake3::hash(b"{broken}").to_hex().to_string());
    assert_eq!(outcome.observations()[1].position.line, 4);
    let input = format!("{}\n{}\n{}\n", line("1"), "x".repeat(5000), line("2"));
    let outcome = read_in(&small(), input.as_bytes(), 33);
    let reject = outcome.rejects()[0];
    assert_eq!((reject.size, reject.position.line), (5000, 2));
    let text = "x".repeat(5000);
    assert_eq!(reject.hash, blake3::hash(text.as_bytes()).to_hex().to_string());
}

#[test]
fn a_line_without_end_takes_no_memory() {
    let mut reader = Reader::new(small());
    let mut records = Vec::new();
    reader.push(line("1").as_bytes(), &mut records);
    reader.push(b"\n{\"a\":\"", &mut records);
    let chunk = vec![b'y'; 1 << 20];
    for _ in 0..64 {
        reader.push(&chunk, &mut records);
    }
    reader.push(format!("\"}}\n{}\n", line("2")).as_bytes(), &mut records);
    let summary = reader.finish(&mut records);
    assert_eq!((summary.observations, summary.rejects), (2, 1));
    let deployforge_model::Record::Reject(reject) = &records[1] else { panic!("{records:?}") };
    assert_eq!((reject.code, reject.size), (RejectCode::TooLarge, (64 << 20) + 8));
}

#[test]
fn what_is_no_json_is_named() {
    for (bytes, code, word) in [
        (&b"PAR1\x15\x04\x15"[..], RejectCode::Malformed, "table"),
        (b"ARROW1\0\0", RejectCode::Malformed, "table"),
        (b"PARE\x15\x04", RejectCode::Unsupported, "encrypted"),
        (b"\x1f\x8b\x08\0\0", RejectCode::Unsupported, "gzip"),
        (b"\x28\xb5\x2f\xfd\0", RejectCode::Unsupported, "zstd"),
        (b"\xff\xfe{\0}\0", RejectCode::Unsupported, "UTF-16"),
        (b"{\0}\0", RejectCode::Unsupported, "UTF-16"),
        (b"PK\x03\x04zip", RejectCode::Unsupported, "zip"),
        (b"<!DOCTYPE html><p>Sign in", RejectCode::Unsupported, "HTML"),
        (b"resource \"aws_s3_bucket\" \"b\" {\n}\n", RejectCode::Unsupported, "configuration"),
        (b"\x01\x02\x03\n\x04", RejectCode::Malformed, "binary"),
        (b"invalid\n", RejectCode::Malformed, "text"),
        (b"{\"a\": \"\xff\"}", RejectCode::Malformed, "UTF-8"),
        (b"\xef\xbb\xbf", RejectCode::Empty, "empty"),
        (b"[[1]]", RejectCode::NotARecord, "list"),
        (b"{\"Resources\":{}}", RejectCode::NotARecord, "known format"),
        (b"{\"apiVersion\":\"v1\",\"kind\":\"Pod\"}", RejectCode::BadField, "`metadata`"),
        (b"{{- if .Values.x }}\nkind: Pod\n{{- end }}\n", RejectCode::Unsupported, "template"),
        (b"{% if x %}\n{}\n", RejectCode::Unsupported, "template"),
    ] {
        let outcome = read(bytes);
        let reject = outcome.refused();
        assert_eq!(reject.code, code, "{reject:?}");
        assert!(reject.reason.contains(word), "{word}: {reject:?}");
    }
}

#[test]
fn a_source_that_fails_leaves_one_reject() {
    for (input, ids, complete) in [
        (format!("{}\n{}", line("1"), &line("2")[..20]), 1, false),
        (format!("{}\n", line("1")), 1, false),
        (String::new(), 0, false),
    ] {
        let mut reader = Reader::new(ReadOptions::default());
        let mut records = Vec::new();
        reader.push(input.as_bytes(), &mut records);
        reader.truncate("the gzip stream is damaged", &mut records);
        reader.push(line("3").as_bytes(), &mut records);
        let summary = reader.finish(&mut records);
        assert_eq!((summary.observations, summary.rejects), (ids, 1), "{input:?}");
        assert_eq!(summary.complete_listing, complete);
        let Some(deployforge_model::Record::Reject(reject)) = records.last() else { panic!() };
        assert_eq!(reject.code, RejectCode::Truncated);
        assert!(reject.reason.contains("gzip stream is damaged"), "{reject:?}");
    }
}
