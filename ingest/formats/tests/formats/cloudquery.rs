//! Tables in columns: what CloudQuery says of them, what values become, and damage.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    FixedSizeBinaryArray, Float64Array, Int64Array, ListArray, MapBuilder, RecordBatch,
    StringArray, StringBuilder, StructArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow::ipc::writer::FileWriter;
use deployforge_formats::{Format, Limits, ReadOptions, expects_panic};
use deployforge_model::{Dialect, RejectCode};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

use super::support::{Outcome, read_in};

/// A column: its name, its metadata, its values.
type Column = (&'static str, &'static [(&'static str, &'static str)], ArrayRef);

const KEY: &[(&str, &str)] = &[("cq:extension:primary_key", "true")];
const JSON: &[(&str, &str)] = &[("ARROW:extension:name", "json")];
const UUID: &[(&str, &str)] = &[("ARROW:extension:name", "uuid")];
const MAC: &[(&str, &str)] = &[("ARROW:extension:name", "mac")];

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn batch(columns: Vec<Column>, metadata: &[(&str, &str)]) -> RecordBatch {
    let map = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let field = |(name, metadata, values): &Column| {
        Field::new(*name, values.data_type().clone(), true).with_metadata(map(metadata))
    };
    let fields: Vec<Field> = columns.iter().map(field).collect();
    let schema = Schema::new_with_metadata(fields, map(metadata));
    let values = columns.into_iter().map(|(_, _, values)| values).collect();
    RecordBatch::try_new(Arc::new(schema), values).unwrap()
}

fn parquet_with(batch: &RecordBatch, compression: Compression) -> Vec<u8> {
    let mut bytes = Vec::new();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn parquet(batch: &RecordBatch) -> Vec<u8> {
    parquet_with(batch, Compression::SNAPPY)
}

fn ipc(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn named(name: &str) -> ReadOptions {
    ReadOptions { name: Some(name.to_owned()), ..ReadOptions::default() }
}

fn read(bytes: &[u8]) -> Outcome {
    let options = named("part-0.parquet");
    let outcome = read_in(&options, bytes, 4096);
    assert_eq!(outcome, read_in(&options, bytes, bytes.len()), "chunks change nothing");
    outcome
}

fn state(outcome: &Outcome) -> Value {
    serde_json::from_slice(&outcome.only().state).unwrap()
}

fn buckets() -> RecordBatch {
    let ids = FixedSizeBinaryArray::try_from_iter([[1_u8; 16], [2; 16]].iter()).unwrap();
    let sync = TimestampMicrosecondArray::from(vec![1_763_632_800_000_000; 2]).with_timezone("UTC");
    batch(
        vec![
            ("_cq_id", UUID, Arc::new(ids)),
            ("_cq_sync_time", &[], Arc::new(sync)),
            ("account_id", KEY, texts(&[Some("111111111111"), Some("111111111111")])),
            ("region", KEY, texts(&[Some("eu-west-1"), Some("us-east-1")])),
            ("arn", KEY, texts(&[Some("arn:aws:s3:::logs"), None])),
            ("name", KEY, texts(&[Some("logs"), Some("data")])),
            ("tags", JSON, texts(&[Some("{\"a\": 1.50}"), None])),
            ("policy/secret", &[], texts(&[Some("x"), Some("y")])),
        ],
        &[
            ("cq:table_name", "aws_s3_buckets"),
            ("cq:table_sensitive_columns", "policy/secret, no_such"),
        ],
    )
}

#[test]
fn what_cloudquery_says_of_a_table_counts() {
    let batch = buckets();
    let zstd = parquet_with(&batch, Compression::ZSTD(ZstdLevel::default()));
    for bytes in [parquet(&batch), zstd, ipc(&batch)] {
        let outcome = read(&bytes);
        assert!(outcome.rejects().is_empty(), "{outcome:#?}");
        assert_eq!(outcome.summary.format, Some(Format::CloudQuery));
        assert!(!outcome.summary.complete_listing, "a file may be one of several");
        let [first, second] = outcome.observations()[..] else { panic!("two rows") };
        assert_eq!(
            first.key.to_string(),
            "aws/111111111111/eu-west-1/aws_s3_buckets/arn:aws:s3:::logs"
        );
        // An ARN that is not there leaves the key a part short.
        assert_eq!(second.key.id, "02020202-0202-0202-0202-020202020202");
        assert_eq!(first.dialect, Dialect::CloudQuery);
        assert_eq!(first.sensitive, ["/policy~1secret"]);
        assert_eq!(first.observed_at.unwrap().to_string(), "2025-11-20T10:00:00Z");
        assert_eq!(
            std::str::from_utf8(&first.state).unwrap(),
            r#"{"account_id":"111111111111","region":"eu-west-1","arn":"arn:aws:s3:::logs","name":"logs","tags":{"a": 1.50},"policy/secret":"x"}"#
        );
        assert!(std::str::from_utf8(&second.state).unwrap().contains(r#""tags":null"#));
        assert!(outcome.summary.notes.iter().any(|note| note.contains("_cq_id")));
    }
}

#[test]
fn keys_are_made_of_what_is_there() {
    let of = |columns: Vec<Column>, name: &str| {
        let metadata: &[_] = if name.is_empty() { &[] } else { &[("cq:table_name", name)] };
        read(&parquet(&batch(columns, metadata)))
    };
    let one = |text| texts(&[Some(text)]);
    let outcome = of(
        vec![("project_id", KEY, one("p")), ("name", KEY, one("n")), ("location", &[], one("eu"))],
        "gcp_compute_disks",
    );
    assert_eq!(outcome.only().key.to_string(), "google/p/eu/gcp_compute_disks/p/n");
    let id = "/subscriptions/s/resourceGroups/g/providers/x/y/z";
    let outcome = of(
        vec![("subscription_id", &[], one("s")), ("id", &[], one(id)), ("name", KEY, one("z"))],
        "azure_x_y",
    );
    assert_eq!((&*outcome.only().key.id, &*outcome.only().key.provider), ("z", "azure"));
    assert_eq!(outcome.only().aliases, [id]);
    let outcome = of(vec![("arn", &[], one("arn:aws:sqs:eu-west-1:1:q"))], "aws_sqs_queues");
    assert_eq!((&*outcome.only().key.account, &*outcome.only().key.region), ("1", "eu-west-1"));
    let outcome = of(vec![("id", &[], one("i"))], "");
    assert_eq!(outcome.only().key.to_string(), "cloudquery///part-0/i");
    assert!(outcome.summary.notes.iter().any(|note| note.contains("without CloudQuery's")));
    let outcome = of(vec![("size", &[], one("1"))], "github_repos");
    assert_eq!(outcome.refused().code, RejectCode::BadField);
    assert!(outcome.refused().reason.contains("identifies"));
}

#[test]
fn values_are_exact() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None])]);
    let nested = StructArray::from(vec![
        (Arc::new(Field::new("s", DataType::Utf8, true)), texts(&[Some("\"\u{1}")])),
        (Arc::new(Field::new("l", list.data_type().clone(), true)), Arc::new(list) as ArrayRef),
    ]);
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    map.keys().append_value("k");
    map.values().append_value("v");
    map.append(true).unwrap();
    let decimal = Decimal128Array::from(vec![12_345_678_901_234_567_890_123_i128])
        .with_precision_and_scale(38, 2)
        .unwrap();
    let words: DictionaryArray<Int32Type> = vec!["word"].into_iter().collect();
    let outcome = read(&ipc(&batch(
        vec![
            ("id", &[], texts(&[Some("x")])),
            ("big", &[], Arc::new(UInt64Array::from(vec![u64::MAX]))),
            ("low", &[], Arc::new(Int64Array::from(vec![i64::MIN]))),
            ("decimal", &[], Arc::new(decimal)),
            ("float", &[], Arc::new(Float64Array::from(vec![0.1]))),
            ("none", &[], Arc::new(Float64Array::from(vec![f64::NAN]))),
            ("flag", &[], Arc::new(BooleanArray::from(vec![true]))),
            ("bytes", &[], Arc::new(BinaryArray::from(vec![&b"\xff\x00"[..]]))),
            ("json", JSON, Arc::new(BinaryArray::from(vec![&b"[1,{\"a\":null}]"[..]]))),
            ("odd", JSON, texts(&[Some("{not json")])),
            ("mac", MAC, Arc::new(BinaryArray::from(vec![&[0, 1, 2, 10, 11, 255][..]]))),
            (
                "nanos",
                &[],
                Arc::new(TimestampNanosecondArray::from(vec![1_500_000_000_000_000_001])),
            ),
            ("before", &[], Arc::new(TimestampMicrosecondArray::from(vec![-1]))),
            ("day", &[], Arc::new(Date32Array::from(vec![-1]))),
            ("clock", &[], Arc::new(Time64MicrosecondArray::from(vec![3_600_500_000]))),
            ("nested", &[], Arc::new(nested)),
            ("map", &[], Arc::new(map.finish())),
            ("words", &[], Arc::new(words)),
        ],
        &[],
    )));
    let text = String::from_utf8(outcome.only().state.clone()).unwrap();
    for exact in [
        r#""big":18446744073709551615"#,
        r#""low":-9223372036854775808"#,
        r#""decimal":123456789012345678901.23"#,
        r#""float":0.1,"none":"NaN""#,
    ] {
        assert!(text.contains(exact), "{exact}\n{text}");
    }
    let found = state(&outcome);
    for (name, want) in [
        ("flag", json!(true)),
        ("bytes", json!("/wA=")),
        ("json", json!([1, {"a": null}])),
        ("odd", json!("{not json")),
        ("mac", json!("00:01:02:0a:0b:ff")),
        ("nanos", json!("2017-07-14T02:40:00.000000001Z")),
        ("before", json!("1969-12-31T23:59:59.999999Z")),
        ("day", json!("1969-12-31")),
        ("clock", json!("01:00:00.5")),
        ("nested", json!({"s": "\"\u{1}", "l": [1, null]})),
        ("map", json!({"k": "v"})),
        ("words", json!("word")),
    ] {
        assert_eq!(found[name], want, "{name}");
    }
}

#[test]
fn what_is_too_large_is_refused() {
    let many: Vec<String> = (0..2000).map(|number| format!("id-{number}")).collect();
    let ids: Vec<Option<&str>> = many.iter().map(|id| Some(id.as_str())).collect();
    let long = "x".repeat(100);
    let rows = batch(
        vec![("id", &[], texts(&ids)), ("text", &[], texts(&vec![Some(long.as_str()); 2000]))],
        &[],
    );
    let limits = |record_bytes, document_bytes| {
        let limits = Limits { record_bytes, document_bytes, ..Limits::default() };
        ReadOptions { limits, ..named("t.parquet") }
    };
    for bytes in [parquet(&rows), ipc(&rows)] {
        let outcome = read_in(&limits(1 << 20, bytes.len()), &bytes, 999);
        assert_eq!(outcome.codes(), [RejectCode::TooLarge]);
        assert!(outcome.observations().len() < 2000);
        let outcome = read_in(&limits(1 << 20, bytes.len() - 1), &bytes, 999);
        assert_eq!(outcome.refused().code, RejectCode::TooLarge);
        let outcome = read_in(&limits(50, 1 << 30), &bytes, 999);
        assert_eq!((outcome.observations().len(), outcome.rejects().len()), (0, 2000));
        assert_eq!(outcome.rejects()[0].code, RejectCode::TooLarge);
    }
}

#[test]
fn a_table_is_no_other_format() {
    let bytes = parquet(&buckets());
    let options = ReadOptions { format: Some(Format::TerraformState), ..ReadOptions::default() };
    assert_eq!(read_in(&options, &bytes, 10).refused().code, RejectCode::Unsupported);
    let options = ReadOptions { format: Some(Format::CloudQuery), ..ReadOptions::default() };
    assert_eq!(read_in(&options, &bytes, 10).observations().len(), 2);
    let native = br#"{"provider":"a","type":"t","id":"i","attributes":{}}"#;
    assert_eq!(read_in(&options, native, 10).refused().code, RejectCode::NotARecord);
    let twice = batch(vec![("id", &[], texts(&[Some("x")])), ("id", &[], texts(&[None]))], &[]);
    assert_eq!(read(&ipc(&twice)).refused().code, RejectCode::DuplicateKey);
    let empty = buckets().slice(0, 0);
    for bytes in [parquet(&empty), ipc(&empty)] {
        assert!(read(&bytes).records.is_empty());
    }
}

#[test]
fn damage_is_refused() {
    // A generator that gives the same numbers everywhere.
    let mut seed = 7_u64;
    let mut dice = |sides: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % sides
    };
    let batch = buckets();
    // As the program does: what is expected is not shown, and what is not would fail this test loudly.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !expects_panic() {
            usual(panic);
        }
    }));
    for whole in [parquet(&batch), ipc(&batch)] {
        for length in 8..whole.len() {
            let outcome = read_in(&named("t"), &whole[..length], length);
            assert!(!outcome.rejects().is_empty(), "cut at {length}");
        }
        for round in 0..3000 {
            let mut bytes = whole.clone();
            for _ in 0..=dice(3) {
                // Mostly in the footer, where all lengths and places stand.
                let from = if round % 3 == 0 { 8 } else { bytes.len() - bytes.len() / 2 };
                let at = from + dice(bytes.len() - from);
                bytes[at] = dice(256) as u8;
            }
            let outcome = read_in(&named("t"), &bytes, bytes.len());
            assert!(outcome.observations().len() <= 2000, "round {round}");
        }
    }
    let _ = std::panic::take_hook();
    assert!(!expects_panic());
}
