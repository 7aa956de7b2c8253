//! Tables in columns: Parquet and Arrow files, as CloudQuery writes them, in batch.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use arrow::ipc::writer::FileWriter;
use deployforge_tests::make::gzip;
use deployforge_tests::{Lab, number};
use parquet::arrow::ArrowWriter;

use crate::support::{paths, resources};

/// Queues with a delay each, as a table of CloudQuery's.
fn queues(rows: &[(&str, i64, &str)]) -> RecordBatch {
    let json = [("ARROW:extension:name".to_owned(), "json".to_owned())];
    let texts = |values: Vec<String>| Arc::new(StringArray::from(values)) as ArrayRef;
    let arn = |(name, ..): &(&str, i64, &str)| format!("arn:aws:sqs:eu-west-1:111111111111:{name}");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("account_id", texts(vec!["111111111111".to_owned(); rows.len()])),
        ("region", texts(vec!["eu-west-1".to_owned(); rows.len()])),
        ("arn", texts(rows.iter().map(arn).collect())),
        ("delay_seconds", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)))),
        ("tags", texts(rows.iter().map(|row| format!("{{\"team\": \"{}\"}}", row.2)).collect())),
        ("token", texts(rows.iter().map(|row| format!("hidden-{}", row.2)).collect())),
    ];
    let field = |(name, values): &(&str, ArrayRef)| {
        let field = Field::new(*name, values.data_type().clone(), true);
        if *name == "tags" { field.with_metadata(json.clone().into()) } else { field }
    };
    let said: HashMap<String, String> =
        [("cq:table_name", "aws_sqs_queues"), ("cq:table_sensitive_columns", "[\"token\"]")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>()).with_metadata(said);
    let columns = columns.into_iter().map(|(_, values)| values).collect();
    RecordBatch::try_new(Arc::new(schema), columns).expect("columns of one length")
}

fn parquet(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).expect("a schema");
    writer.write(batch).expect("rows");
    writer.close().expect("a footer");
    bytes
}

fn arrow(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = FileWriter::try_new(Vec::new(), &batch.schema()).expect("a schema");
    writer.write(batch).expect("rows");
    writer.into_inner().expect("a footer")
}

#[test]
fn snapshots_in_columns_are_audited() {
    let lab = Lab::new();
    let before = queues(&[("a", 1, "x"), ("b", 2, "x"), ("c", 3, "x")]);
    let after = queues(&[("b", 20, "x"), ("a", 1, "x"), ("d", 4, "x")]);
    lab.write("a.parquet", parquet(&before));
    lab.write("b.parquet", parquet(&after));
    lab.write("a.arrow", arrow(&before));
    lab.write("b.parquet.gz", gzip(&parquet(&after)));
    let audit = |baseline: &str, snapshot: &str| {
        lab.run(&["audit", "--baseline", baseline, "--snapshot", snapshot, "--format", "json"])
    };
    for (baseline, snapshot) in
        [("a.parquet", "b.parquet"), ("a.arrow", "b.parquet"), ("a.parquet", "b.parquet.gz")]
    {
        let report = audit(baseline, snapshot).exits(1).json();
        let found: Vec<(String, String)> = resources(&report).into_iter().collect();
        let arn = |name: &str| format!("arn:aws:sqs:eu-west-1:111111111111:{name}");
        let of = |name: &str, verdict: &str| (arn(name), verdict.to_owned());
        assert_eq!(found, [of("b", "drifted"), of("c", "missing"), of("d", "unmanaged")]);
        let drifted = &report["resources"].as_array().expect("a list").iter();
        let drifted = drifted.clone().find(|one| one["verdict"] == "drifted").expect("one");
        assert_eq!(paths(drifted), ["/delay_seconds".to_owned()].into());
    }
    for (baseline, snapshot) in [("a.parquet", "a.arrow"), ("cloudquery:a.arrow", "a.parquet")] {
        let report = audit(baseline, snapshot).exits(0).json();
        assert_eq!(number(&report["summary"], "in_sync"), 3, "{report:#}");
    }
    let secret = queues(&[("a", 1, "x"), ("b", 2, "y"), ("c", 3, "x")]);
    lab.write("secret.parquet", parquet(&secret));
    let outcome = audit("a.parquet", "secret.parquet").exits(1);
    assert!(outcome.text().contains("/token") && !outcome.text().contains("hidden-"), "{outcome}");
    lab.write("cut.parquet", &parquet(&before)[..900]);
    let _ = audit("a.parquet", "cut.parquet").exits(2).says("This table is damaged");
}
