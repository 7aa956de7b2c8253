//! What it costs to write a commit in which everything changed: time and size per row, by this
//! crate and by Delta's own writer.
//!
//! `cargo bench -p deployforge-history -- 1000000` writes that many findings, and a verdict per
//! resource. Without a number, and as a test, it writes few.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use deltalake::parquet::basic::{Compression, ZstdLevel};
use deltalake::parquet::file::properties::WriterProperties;
use deltalake::writer::{DeltaWriter as _, RecordBatchWriter};
use deployforge_history::{History, Step, Table, deltalake};

// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Numbers that look random and are always the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn of(&mut self, values: &[&str]) -> String {
        values[self.below(values.len() as u64) as usize].to_owned()
    }

    fn hash(&mut self) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())
    }

    /// JSON text: some that many have, some that is always another.
    fn state(&mut self) -> String {
        match self.below(7) {
            0 => "true".to_owned(),
            1 => self.below(65_536).to_string(),
            2 => format!("\"team-{}\"", self.below(50)),
            3 => self.of(&["\"t3.micro\"", "\"t3.small\"", "\"t3.large\""]),
            4 => format!("\"{:016x}\"", self.next()),
            5 => {
                let (port, net) = (self.below(65_536), self.below(256));
                format!("{{\"cidr\":\"10.{net}.0.0/16\",\"fromPort\":{port},\"toPort\":{port}}}")
            }
            _ => format!("\"arn:aws:iam::111111111111:role/service-{}\"", self.below(1000)),
        }
    }

    fn id(&mut self) -> String {
        match self.below(4) {
            0 => format!("i-{:017x}", self.next() >> 8),
            1 => format!("sg-{:017x}", self.next() >> 8),
            2 => format!("prod-logs-{:08}", self.below(100_000_000)),
            _ => format!("arn:aws:rds:eu-west-1:111111111111:db/web-{:06}", self.below(1_000_000)),
        }
    }
}

/// The value of a column of text in a row.
fn text(name: &str, random: &mut Random) -> Option<String> {
    Some(match name {
        "resource_id" | "finding_id" | "state_hash" => random.hash(),
        "id" => random.id(),
        "transition" => random.of(&["opened", "opened", "opened", "opened", "changed", "closed"]),
        "provider" => "aws".to_owned(),
        "account" => format!("1111111111{:02}", random.below(12)),
        "region" => random.of(&["eu-west-1", "us-east-1", "eu-central-1", "ap-southeast-2"]),
        "type" => format!("AWS::Service::Resource{}", random.below(30)),
        "address" if random.below(3) > 0 => return None,
        "address" => format!("module.web.aws_instance.app-{}", random.below(10_000_000)),
        "environment" => random.of(&["prod", "staging", "dev"]),
        "dialect" => "aws-config".to_owned(),
        "path" => format!("/configuration/policy/Statement/{}/Action", random.below(240)),
        "kind" => random.of(&["changed", "changed", "changed", "added", "removed"]),
        "severity" => random.of(&["critical", "degraded", "degraded", "informational"]),
        "verdict" => random.of(&["drifted", "drifted", "drifted", "missing"]),
        "expected" | "observed" if random.below(8) == 0 => return None,
        "expected" | "observed" => random.state(),
        "fold" | "reason" => return None,
        "baseline" => "recorded".to_owned(),
        _ => "stream/part-00000.ndjson.gz".to_owned(),
    })
}

/// Columns that rows of one resource share.
const OF_RESOURCE: [&str; 8] =
    ["resource_id", "account", "region", "type", "id", "address", "environment", "observed_at"];

/// Rows of a table; `resources` has the resource of each row, in order.
fn rows(table: Table, resources: &[u64]) -> RecordBatch {
    let schema = table.schema();
    let columns = schema.fields().iter().enumerate().map(|(at, field)| -> ArrayRef {
        let name = field.name().as_str();
        // The generator of a row: rows of one resource have the same where they share.
        let of = |row: usize| {
            let seed = if OF_RESOURCE.contains(&name) { resources[row] } else { row as u64 };
            let mut random = Random(seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ ((at as u64) << 56));
            Random(random.next())
        };
        let all = 0..resources.len();
        match field.data_type() {
            DataType::Utf8 => {
                Arc::new(all.map(|row| text(name, &mut of(row))).collect::<StringArray>())
            }
            DataType::Float64 => Arc::new(
                all.map(|row| Some(of(row).below(800) as f64 / 8.0)).collect::<Float64Array>(),
            ),
            DataType::Int64 => Arc::new(Int64Array::from_iter_values(all.map(|row| match name {
                "sequence" => row as i64,
                "leaves" | "findings" => 1 + of(row).below(2) as i64,
                _ => 1,
            }))),
            _ => {
                let time = |row: usize| match name {
                    "observed_at" => resources[row] * 37_000 + of(row).below(5_000_000),
                    "ingested_at" => row as u64 / 16_384 * 45_123,
                    _ => 0,
                };
                let micros = all.map(|row| 1_790_000_000_000_000 + time(row) as i64);
                Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
            }
        }
    });
    let columns = columns.collect();
    RecordBatch::try_new(schema, columns).expect("the columns follow the schema")
}

/// Time that the processors spent on this process; Linux alone says it that finely.
fn processors() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// Runs it thrice, and prints the best time per row and the size per row.
fn measure(what: &str, rows: usize, mut run: impl FnMut() -> u64) {
    let (mut cpu, mut wall, mut bytes) = (Duration::MAX, Duration::MAX, 0);
    for _ in 0..3 {
        let (before, start) = (processors(), Instant::now());
        bytes = black_box(run());
        (cpu, wall) = (cpu.min(processors().saturating_sub(before)), wall.min(start.elapsed()));
    }
    let per = |time: Duration| time.as_nanos() as f64 / rows as f64;
    println!(
        "{what:<32}{:>9.1} ns of processor, {:>9.1} ns of time, {:>7.1} bytes per row",
        per(cpu),
        per(wall),
        bytes as f64 / rows as f64
    );
}

/// The same by Delta's writer, as this crate used it.
async fn by_delta(history: &History, table: Table, batch: &RecordBatch) -> u64 {
    let level = ZstdLevel::try_new(3).expect("a level");
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let mut writer = RecordBatchWriter::for_table(history.table(table))
        .expect("a writer")
        .with_writer_properties(properties);
    writer.write(batch.clone()).await.expect("written");
    let adds = writer.flush().await.expect("flushed");
    let folder = history.place().below(table.name());
    let folder = folder.local().expect("it is on this machine");
    adds.iter().for_each(|add| std::fs::remove_file(folder.join(&add.path)).expect("removed"));
    adds.iter().map(|add| add.size as u64).sum()
}

fn main() {
    let count = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(10_000);
    let dir = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut history = runtime.block_on(History::create(dir.path())).expect("a history");
    // Two findings of three are of a resource that has two.
    let resources: Vec<u64> = (0..count as u64).map(|row| row * 2 / 3).collect();
    let mut each = resources.clone();
    each.dedup();
    for (table, batch) in [
        (Table::Findings, rows(Table::Findings, &resources)),
        (Table::Verdicts, rows(Table::Verdicts, &each)),
    ] {
        let name = table.name();
        let batches = std::slice::from_ref(&batch);
        measure(&format!("{name}: write"), batch.num_rows(), || {
            history.write(table, batches).expect("written").bytes()
        });
        measure(&format!("{name}: Delta's writer, zstd 3"), batch.num_rows(), || {
            runtime.block_on(by_delta(&history, table, &batch))
        });
        measure(&format!("{name}: commit"), batch.num_rows(), || {
            let (step, rows) = (Step::default(), vec![(table, batch.clone())]);
            runtime.block_on(history.commit(&step, rows)).expect("committed");
            0
        });
    }
}
