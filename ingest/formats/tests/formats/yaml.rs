//! YAML: what is held, what it becomes, and what it must not swallow.

use deployforge_formats::{Format, Limits, ReadOptions, Reader};
use deployforge_model::{Record, RejectCode, SourcePosition};

use super::support::{Outcome, read, read_as, read_in, state};

fn record(id: &str) -> String {
    format!("provider: p\ntype: t\nid: '{id}'\nattributes:\n  a: [1.10, yes, 007]\n")
}

const LINE: &str = r#"{"provider":"p","type":"t","id":"j","attributes":{}}"#;

fn inputs() -> Vec<String> {
    vec![
        record("1"),
        format!("---\n{}---\n{}...\n", record("1"), record("2")),
        format!("# comment [1]\n\n  # and {{2}}\n{}", record("1")),
        format!("%YAML 1.2\n---\n{}", record("1")),
        format!("\u{feff}\r\n{}", record("1").replace('\n', "\r\n")),
        format!("  {}", record("1").replace('\n', "\n  ")),
        record("1").replace("provider", "\"provider\""),
        format!("- {}\n- {{a: 1}}\n-  \n  {}", LINE, record("2").replace('\n', "\n  ")),
        format!("---\n{LINE}\n---\n{LINE}\n"),
        format!("{}---\nb: [\n---\n{}", record("1"), record("2")),
        format!("{}---\n# nothing\n---\n", record("1")),
        "# comments\n# only\n".to_owned(),
        "---\n".to_owned(),
        "a: 1\na: 2\n".to_owned(),
        format!("# {}\n{}", "long ".repeat(200), record("1")),
        format!("{}# {}\n", record("1"), "long ".repeat(2000)),
        // Text before JSON, as it always was.
        format!("log line\n{LINE}\n"),
        format!("# a comment\n{LINE}\n"),
        format!("# {}\nlog line\n{LINE}\n", "long ".repeat(2000)),
        format!("$ command --json\n\n  {LINE}\nmore\n{LINE}\n"),
        format!("INFO: it began\n{LINE}\n"),
    ]
}

fn shape(outcome: &Outcome) -> String {
    let words = outcome.records.iter().map(|record| match record {
        Record::Observation(observation) => observation.key.id.clone(),
        Record::Reject(reject) => reject.code.to_string(),
        other => panic!("{other:?}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn where_the_chunks_are_cut_changes_nothing() {
    let small = Limits { record_bytes: 2000, document_bytes: 2500, depth: 16 };
    let small = ReadOptions { limits: small, ..ReadOptions::default() };
    for input in inputs() {
        for options in [ReadOptions::default(), small.clone()] {
            let whole = read_in(&options, input.as_bytes(), usize::MAX);
            for size in [1, 2, 3, 7, 16, 17, 64, 255, 256, 257, 300] {
                let pieces = read_in(&options, input.as_bytes(), size);
                assert_eq!(pieces, whole, "chunks of {size} of {input:?}");
            }
        }
    }
}

#[test]
fn each_document_is_a_record() {
    let expected = [
        "1",
        "1 2",
        "1",
        "1",
        "1",
        "1",
        "1",
        "j not_a_record 2",
        "j j",
        "1 malformed 2",
        "1",
        "malformed",
        "empty",
        "duplicate_key",
        "1",
        "1",
        "malformed j",
        "malformed j",
        "malformed j",
        "malformed j malformed j",
        "malformed",
    ];
    for (input, expected) in inputs().iter().zip(expected) {
        assert_eq!(shape(&read(input)), expected, "{input:?}");
    }
    let outcome = read(record("1"));
    assert_eq!(outcome.summary.format, Some(Format::Native));
    let text = String::from_utf8_lossy(&outcome.only().state).replace('\n', "");
    assert_eq!(text, r#"{"a":[1.10,"yes","007"]}"#, "numbers as they are spelt");
    assert_eq!(state(outcome.only())["a"][2], "007");
}

#[test]
fn a_record_says_where_it_stands() {
    let input = format!("# a\n{}---\n\n{}", record("1"), record("2"));
    let outcome = read(&input);
    let second = input.rfind("provider").unwrap() as u64;
    let places: Vec<_> = outcome.observations().iter().map(|o| o.position).collect();
    assert_eq!(
        places,
        [SourcePosition { offset: 4, line: 2 }, SourcePosition { offset: second, line: 9 }]
    );
    let outcome = read("\n\n  - a: 1\n  - {b: 2}\n");
    let lines: Vec<_> = outcome.rejects().iter().map(|r| r.position.line).collect();
    assert_eq!(lines, [3, 4]);
}

#[test]
fn what_is_larger_than_a_document_may_be_is_refused() {
    let limits = Limits { document_bytes: 300, ..Limits::default() };
    let options = ReadOptions { limits, ..ReadOptions::default() };
    let input = format!("{}b: {}\n", record("1"), "x".repeat(300));
    let outcome = read_in(&options, input.as_bytes(), 100);
    let reject = outcome.refused();
    assert_eq!((reject.code, reject.size), (RejectCode::TooLarge, input.len() as u64));
    assert_eq!(reject.hash, blake3::hash(input.as_bytes()).to_hex().to_string());
}

#[test]
fn a_part_of_a_document_is_not_read_for_the_whole() {
    let mut reader = Reader::new(ReadOptions::default());
    let mut records = Vec::new();
    reader.push(record("1").as_bytes(), &mut records);
    reader.truncate("the gzip stream is damaged", &mut records);
    let summary = reader.finish(&mut records);
    assert_eq!((summary.observations, summary.rejects), (0, 1));
    let Some(Record::Reject(reject)) = records.first() else { panic!("{records:?}") };
    assert_eq!(reject.code, RejectCode::Truncated);
    assert!(reject.reason.contains("gzip stream is damaged"), "{reject:?}");
}

#[test]
fn formats_that_are_json_only_say_so() {
    for format in
        [Format::Native, Format::CloudEvents, Format::TerraformState, Format::TerraformJson]
    {
        let outcome = read_as(format, record("1"));
        assert_eq!(outcome.refused().code, RejectCode::Unsupported);
        assert!(outcome.refused().reason.contains("YAML"), "{:?}", outcome.refused());
    }
    let reject = read_as(Format::Kubernetes, record("1")).refused().clone();
    assert_eq!(reject.code, RejectCode::NotARecord, "{reject:?}");
}
