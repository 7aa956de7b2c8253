//! Rows of the history as CloudEvents.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use deployforge_history::Table;
use deployforge_model::{ResourceKey, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

/// Bytes of the two values of a finding that an event repeats; longer ones stand in the history only.
const VALUES_MAX: usize = 256 << 10;

/// What an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventType {
    /// There is a difference that was not there.
    FindingOpened,
    /// It differs in another way than before.
    FindingChanged,
    /// It is no more, or it does not count any more.
    FindingClosed,
    /// A resource has another verdict.
    VerdictChanged,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 4] =
        [Self::FindingOpened, Self::FindingChanged, Self::FindingClosed, Self::VerdictChanged];

    /// The type of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// The `type` of the CloudEvent, with its version.
    pub fn name(self) -> &'static str {
        match self {
            Self::FindingOpened => "deployforge.finding.opened.v1",
            Self::FindingChanged => "deployforge.finding.changed.v1",
            Self::FindingClosed => "deployforge.finding.closed.v1",
            Self::VerdictChanged => "deployforge.verdict.changed.v1",
        }
    }
}

/// One event, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it tells.
    pub event_type: EventType,
    /// The key of its resource, as text: what decides its partition.
    pub key: String,
    /// The CloudEvent, as JSON in UTF-8.
    pub body: Vec<u8>,
}

/// The context attributes, and what they are about.
#[derive(Serialize)]
struct Envelope<'a, D> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: &'static str,
    subject: &'a str,
    time: Option<Timestamp>,
    datacontenttype: &'static str,
    partitionkey: &'a str,
    /// Such that text order is the order.
    sequence: String,
    data: D,
}

#[derive(Serialize)]
struct Resource<'a> {
    #[serde(flatten)]
    key: &'a ResourceKey,
    resource_id: &'a str,
    address: Option<&'a str>,
    environment: &'a str,
}

#[derive(Serialize)]
struct Baseline<'a> {
    name: &'a str,
    version: i64,
}

/// What a row was judged by, and when.
#[derive(Serialize)]
struct Origin<'a> {
    commit: u64,
    baseline: Baseline<'a>,
    source: &'a str,
    observed_at: Option<Timestamp>,
    ingested_at: Option<Timestamp>,
    committed_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Finding<'a> {
    resource: Resource<'a>,
    finding_id: &'a str,
    path: &'a str,
    kind: &'a str,
    severity: &'a str,
    leaves: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed: Option<&'a RawValue>,
    /// The values are too long for an event.
    values_omitted: bool,
    suppressed_by: Option<&'a str>,
    #[serde(flatten)]
    origin: Origin<'a>,
}

#[derive(Serialize)]
struct Verdict<'a> {
    resource: Resource<'a>,
    verdict: Option<&'a str>,
    reason: Option<&'a str>,
    score: f64,
    severity: Option<&'a str>,
    findings: i64,
    leaves: i64,
    skipped: i64,
    #[serde(flatten)]
    origin: Origin<'a>,
}

/// One row of a batch, column by column.
#[derive(Clone, Copy)]
struct Row<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl<'a> Row<'a> {
    fn column(self, name: &str) -> &'a dyn Array {
        self.batch.column_by_name(name).expect("rows have the columns of their table").as_ref()
    }

    fn text(self, name: &str) -> Option<&'a str> {
        let column = self.column(name).as_string::<i32>();
        column.is_valid(self.row).then(|| column.value(self.row))
    }

    fn known(self, name: &str) -> &'a str {
        self.text(name).unwrap_or_default()
    }

    fn number(self, name: &str) -> i64 {
        self.column(name).as_primitive::<Int64Type>().value(self.row)
    }

    fn time(self, name: &str) -> Option<Timestamp> {
        let column = self.column(name).as_primitive::<TimestampMicrosecondType>();
        column.is_valid(self.row).then(|| Timestamp(column.value(self.row)))
    }

    fn json(self, name: &str) -> Option<&'a RawValue> {
        self.text(name).and_then(|text| serde_json::from_str(text).ok())
    }

    fn key(self) -> ResourceKey {
        ResourceKey {
            provider: self.known("provider").to_owned(),
            account: self.known("account").to_owned(),
            region: self.known("region").to_owned(),
            resource_type: self.known("type").to_owned(),
            id: self.known("id").to_owned(),
        }
    }

    fn resource(self, key: &'a ResourceKey) -> Resource<'a> {
        Resource {
            key,
            resource_id: self.known("resource_id"),
            address: self.text("address"),
            environment: self.known("environment"),
        }
    }

    fn origin(self, commit: u64) -> Origin<'a> {
        let (name, version) = (self.known("baseline"), self.number("baseline_version"));
        Origin {
            commit,
            baseline: Baseline { name, version },
            source: self.known("source"),
            observed_at: self.time("observed_at"),
            ingested_at: self.time("ingested_at"),
            committed_at: self.time("committed_at"),
        }
    }

    /// The event around data.
    fn event<D: Serialize>(
        self,
        event_type: EventType,
        key: &ResourceKey,
        source: &str,
        about: &str,
        data: D,
    ) -> Event {
        let (subject, sequence) = (key.to_string(), self.number("sequence"));
        let envelope = Envelope {
            specversion: "1.0",
            id: format!("{about}-{sequence}"),
            source,
            event_type: event_type.name(),
            subject: &subject,
            time: self.time("observed_at"),
            datacontenttype: "application/json",
            partitionkey: self.known("resource_id"),
            sequence: format!("{sequence:020}"),
            data,
        };
        let body = serde_json::to_vec(&envelope).expect("an event is JSON");
        Event { event_type, key: subject, body }
    }
}

/// The event of a row, if it tells anything: what never counted is not told. `source` is that of the
/// CloudEvent, `commit` the number of the row's commit.
pub(crate) fn event(
    table: Table,
    batch: &RecordBatch,
    row: usize,
    source: &str,
    commit: u64,
) -> Option<Event> {
    let row = Row { batch, row };
    match table {
        Table::Findings => finding(row, source, commit),
        Table::Verdicts => Some(verdict(row, source, commit)),
        Table::Observations | Table::Rejects | Table::Evidence | Table::Checks => None,
    }
}

fn finding(row: Row<'_>, source: &str, commit: u64) -> Option<Event> {
    let fold = row.text("fold");
    let counts = fold.is_none() && row.known("kind") != "reordered";
    let event_type = match (row.known("transition"), counts) {
        ("opened", true) => EventType::FindingOpened,
        ("changed", true) => EventType::FindingChanged,
        // It counted before, or may have.
        ("closed", true) | ("changed", false) => EventType::FindingClosed,
        _ => return None,
    };
    let key = row.key();
    let length = |name| row.text(name).map_or(0, str::len);
    let values_omitted = length("expected") + length("observed") > VALUES_MAX;
    let value = |name| if values_omitted { None } else { row.json(name) };
    let data = Finding {
        resource: row.resource(&key),
        finding_id: row.known("finding_id"),
        path: row.known("path"),
        kind: row.known("kind"),
        severity: row.known("severity"),
        leaves: row.number("leaves"),
        expected: value("expected"),
        observed: value("observed"),
        values_omitted,
        suppressed_by: fold,
        origin: row.origin(commit),
    };
    Some(row.event(event_type, &key, source, row.known("finding_id"), data))
}

fn verdict(row: Row<'_>, source: &str, commit: u64) -> Event {
    let key = row.key();
    let score = row.column("score").as_primitive::<Float64Type>().value(row.row);
    let data = Verdict {
        resource: row.resource(&key),
        verdict: row.text("verdict"),
        reason: row.text("reason"),
        score,
        severity: row.text("severity"),
        findings: row.number("findings"),
        leaves: row.number("leaves"),
        skipped: row.number("skipped"),
        origin: row.origin(commit),
    };
    row.event(EventType::VerdictChanged, &key, source, row.known("resource_id"), data)
}
