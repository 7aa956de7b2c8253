//! Writes what the targets begin with: `seeds FIXTURES FOLDER`.
//!
//! Recorded files up to [`SEED_BYTES`] under their names, the logs and resources that stand in files of
//! rules' tests, and what no fixture has: tables in columns, pairs of values, ignore rules.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Float64Array,
    Int64Array, ListArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Int64Type, Schema};
use arrow::ipc::writer::FileWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::Value;

/// Larger files are left out: they are slow, and have little that smaller ones have not.
const SEED_BYTES: usize = 16 << 10;
/// Pairs are made of values up to this size.
const PAIR_BYTES: usize = 2 << 10;

/// Values that some fold calls the same, or nearly.
const PAIRS: &str = include_str!("../data/pairs.txt");
/// Ignore rules, one file after another.
const RULES: &str = include_str!("../data/rules.txt");

fn main() -> io::Result<()> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(fixtures), Some(folder)) = (args.next(), args.next()) else {
        return Err(io::Error::other("give the folder of fixtures, and the folder to write to"));
    };
    let mut seeds = Seeds { folder, written: 0 };
    for text in deployforge_fuzz::SAMPLES {
        seeds.json("sample.json", text)?;
    }
    seeds.below(&fixtures)?;
    for line in PAIRS.lines() {
        seeds.write("pairs", line.as_bytes())?;
    }
    for text in RULES.split("\n====\n") {
        seeds.write("rules", text.as_bytes())?;
    }
    for table in tables() {
        seeds.write("tables", &table)?;
    }
    println!("{} seeds", seeds.written);
    Ok(())
}

struct Seeds {
    folder: PathBuf,
    written: usize,
}

impl Seeds {
    fn write(&mut self, kind: &str, bytes: &[u8]) -> io::Result<()> {
        let folder = self.folder.join(kind);
        fs::create_dir_all(&folder)?;
        self.written += 1;
        fs::write(folder.join(self.written.to_string()), bytes)
    }

    /// Writes a file with its name, and its value beside itself as text.
    fn json(&mut self, name: &str, text: &str) -> io::Result<()> {
        self.write("json", format!("# {name}\n{text}").as_bytes())?;
        if text.len() <= PAIR_BYTES && serde_json::from_str::<Value>(text).is_ok() {
            self.write("pairs", format!("[{text},{}]", Value::from(text)).as_bytes())?;
        }
        Ok(())
    }

    fn below(&mut self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.below(&path)?;
            } else if let Ok(text) = fs::read_to_string(&path)
                && text.len() <= SEED_BYTES
            {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if name.ends_with(".yaml") || name.ends_with(".yml") {
                    self.yaml(&text)?;
                } else {
                    self.json(&name, &text)?;
                }
            }
        }
        Ok(())
    }

    fn yaml(&mut self, text: &str) -> io::Result<()> {
        self.write("yaml", text.as_bytes())?;
        let Ok(value) = serde_saphyr::from_str::<Value>(text) else { return Ok(()) };
        for test in value["Tests"].as_array().into_iter().flatten() {
            for inner in [&test["Log"], &test["Resource"]] {
                if inner.is_object() {
                    self.json("test.json", &inner.to_string())?;
                }
            }
        }
        Ok(())
    }
}

/// One table in every kind of file.
fn tables() -> Vec<Vec<u8>> {
    let batch = batch();
    let mut tables = Vec::new();
    for compression in
        [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())]
    {
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut bytes = Vec::new();
        let writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties));
        let mut writer = writer.expect("the table can be written");
        writer.write(&batch).expect("memory takes what is written");
        writer.close().expect("memory takes what is written");
        tables.push(bytes);
    }
    let writer = FileWriter::try_new(Vec::new(), &batch.schema());
    let mut writer = writer.expect("the table can be written");
    writer.write(&batch).expect("memory takes what is written");
    tables.push(writer.into_inner().expect("memory takes what is written"));
    tables
}

/// A column: its name, its metadata, its values.
type Column = (&'static str, &'static [(&'static str, &'static str)], ArrayRef);

/// Two rows of every kind of column.
fn batch() -> RecordBatch {
    let texts = |a: &str| -> ArrayRef { Arc::new(StringArray::from(vec![Some(a), None])) };
    let ids = FixedSizeBinaryArray::try_from_iter([[1_u8; 16], [2; 16]].iter());
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let field = Arc::new(Field::new("n", numbers.data_type().clone(), true));
    let list = [Some(vec![Some(1), None]), None];
    let columns: Vec<Column> = vec![
        ("_cq_id", &[("ARROW:extension:name", "uuid")], Arc::new(ids.expect("of one size"))),
        ("account_id", &[("cq:extension:primary_key", "true")], texts("111111111111")),
        ("arn", &[("cq:extension:primary_key", "true")], texts("arn:aws:s3:::logs")),
        ("tags", &[("ARROW:extension:name", "json")], texts(r#"{"a":[1.50,null]}"#)),
        ("name", &[], texts("logs")),
        ("on", &[], Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("size", &[], Arc::new(Float64Array::from(vec![1.5, f64::NAN]))),
        ("sum", &[], Arc::new(Decimal128Array::from(vec![Some(150), None]))),
        ("at", &[], Arc::new(TimestampMicrosecondArray::from(vec![1_763_632_800_000_000; 2]))),
        ("bytes", &[], Arc::new(BinaryArray::from(vec![Some(&b"\xff"[..]), None]))),
        ("list", &[], Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(list))),
        ("inner", &[], Arc::new(StructArray::from(vec![(field, Arc::clone(&numbers))]))),
        ("count", &[], numbers),
    ];
    let map = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let field = |(name, metadata, values): &Column| {
        Field::new(*name, values.data_type().clone(), true).with_metadata(map(metadata))
    };
    let fields: Vec<Field> = columns.iter().map(field).collect();
    let table = [("cq:table_name", "aws_s3_buckets"), ("cq:table_sensitive_columns", "bytes")];
    let schema = Schema::new_with_metadata(fields, map(&table));
    let values = columns.into_iter().map(|(_, _, values)| values).collect();
    RecordBatch::try_new(Arc::new(schema), values).expect("columns of one length")
}
