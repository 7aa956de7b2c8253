//! The short way through lines gives what the parser gives, whatever the order of members, the names
//! within states and the escapes.

use deployforge_canon::{Canon, Flat, Parser};
use deployforge_formats::{LineReader, ReadOptions, Reader};
use deployforge_model::{Block, Observation, Record, RecordReader, Seed, StateText};
use proptest::prelude::*;

const SEED: u64 = 5;

fn reader() -> LineReader {
    Reader::new(ReadOptions::default()).into_lines(SEED)
}

/// What the parser makes of the lines.
fn parsed(text: &[u8]) -> Vec<Record> {
    let mut reader = Reader::new(ReadOptions::default());
    let mut records = Vec::new();
    reader.push(text, &mut records);
    reader.finish(&mut records);
    records
}

/// Units of a state, sorted.
fn units(flat: &Flat) -> Vec<(u64, u64)> {
    let mut units: Vec<_> = flat.units.iter().map(|unit| (unit.path, unit.value)).collect();
    units.sort_unstable();
    units
}

/// Checks each line by itself after `before`, from which the layout is learnt. How many were scanned
/// with a claim that holds.
fn check(before: &str, lines: &[String]) -> usize {
    let (canon, seed) = (Canon::default(), Seed::new(SEED));
    let mut parser = Parser::default();
    let mut held = 0;
    for line in lines {
        let text = format!("{before}\n{line}\n");
        let reader = reader();
        let block = Block::new(text.into_bytes(), 0);
        let mut scanned = reader.scan(&block);
        scanned.frame.start.line = 1;
        let frame = &scanned.frame;
        let Some(row) = (0..frame.len()).find(|row| frame.record(*row) == line.as_bytes()) else {
            continue;
        };
        let kind = frame.parts(row)[2];
        let mut flat = Flat::default();
        if !canon.flatten(&mut parser, &seed, frame.dialect, kind, frame.state(row), &mut flat) {
            continue;
        }
        held += 1;
        let records = parsed(line.as_bytes());
        let [Record::Observation(observation)] = records.as_slice() else {
            panic!("scanned, and the parser gives {records:?}: {line}");
        };
        let observation: &Observation = observation;
        assert_eq!(frame.key128(row), observation.key.hash128(SEED), "{line}");
        assert_eq!(frame.version(row), observation.version, "{line}");
        assert_eq!(frame.observed_at(row), observation.observed_at, "{line}");
        let state = StateText::object(&observation.state);
        let mut whole = Flat::default();
        assert!(
            canon.flatten(&mut parser, &seed, frame.dialect, kind, state, &mut whole),
            "{line}"
        );
        assert_eq!(units(&flat), units(&whole), "{line}");
        let again = reader.record(frame, row);
        let [Record::Observation(again)] = again.as_slice() else { panic!("{again:?}") };
        assert_eq!(again.state, observation.state);
    }
    held
}

const ENVELOPE: [&str; 8] = [
    r#""configurationItemVersion":"1.3""#,
    r#""configurationItemCaptureTime":"2026-11-02T00:00:00.000Z""#,
    r#""configurationStateId":1700001000000"#,
    r#""awsAccountId":"100000000036""#,
    r#""configurationItemStatus":"OK""#,
    r#""resourceType":"AWS::EC2::Volume""#,
    r#""resourceId":"vol-1""#,
    r#""awsRegion":"us-east-1""#,
];

fn configuration() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        r#"{"size":8}"#,
        r#"{"ARN":"x","resourceId":"other","tags":{"awsRegion":"y"}}"#,
        r#"{"a":"}","b":"\"configurationItemVersion\":1,","c":[{"configurationStateId":2}]}"#,
        r#"{"deep":{"configurationItemVersion":"1.3","x":{}}}"#,
        r#"{"text":"\\","n":1.50,"e":[]}"#,
        r#""{\"size\":8}""#,
        "null",
        r#"{"password":"x"}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":1"#,
        "{}",
    ])
    .prop_map(str::to_owned)
}

fn tags() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        r#"{"Owner":"a"}"#,
        r#"[{"key":"ARN","value":"x"}]"#,
        r#"{"é":"ü"}"#,
        "null",
        "[]",
    ])
    .prop_map(str::to_owned)
}

fn extra() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(
        prop::sample::select(vec![
            r#""ARN":"arn:aws:ec2:us-east-1:100000000036:volume/vol-1""#,
            r#""availabilityZone":"us-east-1a""#,
            r#""resourceName":"n""#,
            r#""relatedEvents":[]"#,
            r#""relatedEvents":["x"]"#,
            r#""supplementaryConfiguration":{}"#,
            r#""supplementaryConfiguration":{"p":"{\"a\":1}"}"#,
            r#""unknown":1"#,
            r#""resourceId":"twice""#,
            r#""resource\u0049d":"vol-2""#,
            r#""configurationItemStatus":"ResourceDeleted""#,
            r#""configurationStateMd5Hash":"""#,
        ]),
        0..3,
    )
}

/// A line: envelope and state, mostly each together, sometimes shuffled.
fn line() -> impl Strategy<Value = String> {
    let relationships = prop::sample::select(vec![
        "[]",
        r#"[{"resourceType":"T","resourceId":"r","name":"in"}]"#,
        r#"[{"relationshipName":"in"}]"#,
    ]);
    (configuration(), tags(), relationships, extra(), 0..4u8, any::<u64>()).prop_map(
        |(configuration, tags, relationships, extra, layout, mut roll)| {
            let mut envelope: Vec<String> = ENVELOPE.map(str::to_owned).to_vec();
            envelope.extend(extra.into_iter().map(str::to_owned));
            let state = vec![
                format!(r#""tags":{tags}"#),
                format!(r#""relationships":{relationships}"#),
                format!(r#""configuration":{configuration}"#),
            ];
            let mut members: Vec<String> = match layout {
                0 | 3 => envelope.into_iter().chain(state).collect(),
                _ => state.into_iter().chain(envelope).collect(),
            };
            if layout == 2 {
                for i in (1..members.len()).rev() {
                    roll = roll.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    members.swap(i, (roll >> 33) as usize % (i + 1));
                }
            }
            let comma = if roll % 5 == 0 { " , " } else { "," };
            format!("{{{}}}", members.join(comma))
        },
    )
}

fn plain(last: bool) -> String {
    let state = r#""tags":{},"relationships":[],"configuration":{"size":1}"#.to_owned();
    let envelope = ENVELOPE.join(",");
    if last { format!("{{{state},{envelope}}}") } else { format!("{{{envelope},{state}}}") }
}

proptest! {
    #[test]
    fn the_short_way_is_the_parsers(lines in prop::collection::vec(line(), 1..8), last in any::<bool>()) {
        check(&plain(last), &lines);
    }

    #[test]
    fn nothing_damaged_is_scanned(line in line(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = line.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = if byte == b'\n' { b' ' } else { byte };
        if let Ok(text) = String::from_utf8(bytes) {
            check(&plain(false), std::slice::from_ref(&text));
            check(&plain(true), &[text]);
        }
    }
}

#[test]
fn usual_lines_are_scanned() {
    for last in [false, true] {
        let line = plain(last).replace("\"size\":1", r#""size":2,"ARN":"x""#);
        assert_eq!(check(&plain(last), &[line]), 1, "envelope first: {}", !last);
    }
}

#[test]
fn blocks_give_what_one_reader_gives() {
    let mut text = String::new();
    for i in 0..200u32 {
        let line = plain(i % 3 == 0).replace("vol-1", &format!("vol-{i}"));
        text.push_str(match i % 7 {
            5 => "{\"broken\":\n",
            6 => "\n",
            _ => "",
        });
        text.push_str(&line);
        text.push('\n');
    }
    let whole = parsed(text.as_bytes());
    let mut reader = reader();
    let mut records = Vec::new();
    let mut offset = 0;
    for piece in text.as_bytes().chunk_by(|a, _| *a != b'\n').collect::<Vec<_>>().chunks(13) {
        let bytes = piece.concat();
        let block = Block::new(bytes.clone(), offset);
        offset += bytes.len() as u64;
        let mut lines = reader.scan(&block);
        reader.number(&mut lines);
        let mut left = reader.parse(&lines);
        reader.count(&mut left);
        let mut row = 0;
        for (before, record) in left.records {
            while row < before as usize {
                records.extend(reader.record(&lines.frame, row));
                row += 1;
            }
            records.push(record);
        }
        for row in row..lines.frame.len() {
            records.extend(reader.record(&lines.frame, row));
        }
    }
    let summary = reader.finish(b"", None, &mut records);
    assert_eq!(summary.observations, 200);
    assert_eq!(summary.rejects, 28);
    assert_eq!(records, whole, "with the same positions");
}

/// The first lines of an input tell that it has one record a line; they count too. What stood right
/// behind them without a block before it, a line too long for one or an incomplete one, was told to
/// stand at the start of the input, and the summary counted too few bytes. The fuzzer found it.
#[test]
fn places_count_from_the_start_of_the_input() {
    let first = format!("{}\n", plain(false));
    let broken = "{\"broken\":";
    for (piece, rest) in [(format!("{broken}\n"), ""), (String::new(), broken)] {
        let mut reader = Reader::new(ReadOptions::default());
        let mut records = Vec::new();
        reader.push(first.as_bytes(), &mut records);
        assert!(reader.is_at_line());
        let mut lines = reader.into_lines(SEED);
        if !piece.is_empty() {
            lines.piece(piece.as_bytes(), &mut records);
        }
        let summary = lines.finish(rest.as_bytes(), None, &mut records);
        let text = format!("{first}{piece}{rest}");
        assert_eq!(records, parsed(text.as_bytes()));
        assert_eq!(summary.bytes, text.len() as u64);
    }
}

/// Whether a list has items is a matter of that list. It was told from whether the input had anything
/// before it, and by blocks from whether the block had: the notes depended on where blocks are cut.
/// The fuzzer found it.
#[test]
fn an_empty_list_is_noted_wherever_it_stands() {
    let empty = r#"{"fileVersion":"1.0","configurationItems":[]}"#;
    let full = format!(r#"{{"fileVersion":"1.0","configurationItems":[{}]}}"#, plain(false));
    let text = [plain(false).as_str(), empty, &full, empty, ""].join("\n");
    let mut reader = Reader::new(ReadOptions::default());
    let mut records = Vec::new();
    reader.push(text.as_bytes(), &mut records);
    let whole = reader.finish(&mut records);
    assert_eq!(whole.notes, ["2 lists without items"]);
    for lines in 1..4 {
        let mut reader = self::reader();
        let mut offset = 0;
        for block in text.split_inclusive('\n').collect::<Vec<_>>().chunks(lines) {
            let block = Block::new(block.concat().into_bytes(), offset);
            offset += block.bytes.len() as u64;
            let mut lines = reader.scan(&block);
            reader.number(&mut lines);
            let mut left = reader.parse(&lines);
            reader.count(&mut left);
        }
        assert_eq!(reader.finish(b"", None, &mut Vec::new()).notes, whole.notes);
    }
}

/// Without its configuration an item is refused. On the short way one that has tags still was taken
/// for a state with nothing but tags, which has drifted. The fuzzer found it.
#[test]
fn an_item_without_configuration_is_no_state() {
    for last in [false, true] {
        let whole = plain(last);
        let without = whole.replace(r#","configuration":{"size":1}"#, "");
        assert_ne!(whole, without);
        assert!(matches!(parsed(without.as_bytes()).as_slice(), [Record::Reject(_)]));
        assert_eq!(check(&whole, &[without, whole.clone()]), 1, "the other one is scanned");
    }
}

/// A line whose state turns out broken is read again, without its newline: it was refused as an input
/// that ends early (`truncated`), not as a broken line. The fuzzer found it.
#[test]
fn a_broken_line_is_no_truncated_input() {
    let broken = plain(false).replace("{\"size\":1}", "{\"size\":\"1}");
    let text = [plain(false), broken, plain(false), String::new()].join("\n");
    let reader = reader();
    let mut scanned = reader.scan(&Block::new(text.clone().into_bytes(), 0));
    scanned.frame.start.line = 1;
    assert_eq!(scanned.frame.len(), 3, "the scan does not look into states");
    let again: Vec<_> = (0..3).flat_map(|row| reader.record(&scanned.frame, row)).collect();
    assert_eq!(again, parsed(text.as_bytes()));
}

#[test]
fn what_is_told_once_is_told_once_in_blocks_too() {
    let event = r#"{"@level":"info","@message":"m","@module":"terraform.ui","type":"version"}"#;
    let text = format!("{event}\n{event}\nno record\n");
    let expected = parsed(text.repeat(2).as_bytes());
    let mut reader = reader();
    let mut records = Vec::new();
    for number in 0..2 {
        let block = Block::new(text.clone().into_bytes(), number * text.len() as u64);
        let mut lines = reader.scan(&block);
        reader.number(&mut lines);
        let mut parsed = reader.parse(&lines);
        reader.count(&mut parsed);
        records.extend(parsed.records.into_iter().map(|(_, record)| record));
    }
    assert_eq!(records, expected);
    assert_eq!(records.len(), 3);
    assert_eq!(reader.finish(&[], None, &mut records).rejects, 3);
}

/// The newline that parts messages was counted as theirs, and a mark of the order of bytes was not read.
#[test]
fn a_refused_line_is_what_its_sender_sent() {
    let read = |line: &str| {
        let reader = reader();
        let lines = reader.scan(&Block::new(line.as_bytes().to_vec(), 0));
        let records = reader.parse(&lines).records;
        records.into_iter().map(|(_, record)| record).collect::<Vec<_>>()
    };
    for text in ["42", "null", r#"{"provider":"acme""#, "not json at all", "\"text\""] {
        let (hash, size) = (blake3::hash(text.as_bytes()).to_hex().to_string(), text.len() as u64);
        for line in [text.to_owned(), format!("{text}\n"), format!("\u{feff}{text}\n")] {
            let records = read(&line);
            let [Record::Reject(reject)] = &records[..] else { panic!("{line:?}: {records:?}") };
            assert_eq!((&reject.hash, reject.size), (&hash, size), "{line:?}");
        }
    }
    let one = r#"{"provider":"p","type":"t","id":"1","attributes":{"a":1}}"#;
    let records = read(&format!("\u{feff}{one}\n"));
    assert!(matches!(&records[..], [Record::Observation(_)]), "{records:?}");
}
