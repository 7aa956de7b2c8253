//! The Arrow schemas of everything that crosses a crate border in bulk or is kept in history.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

fn utf8(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable)
}

fn time(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), nullable)
}

fn int(name: &str) -> Field {
    Field::new(name, DataType::Int64, false)
}

fn key_fields() -> Vec<Field> {
    ["provider", "account", "region", "type", "id"].iter().map(|name| utf8(name, false)).collect()
}

/// What a row of the history was judged by, whose it is, and when.
fn origin_fields() -> Vec<Field> {
    vec![
        utf8("baseline", false),
        int("baseline_version"),
        utf8("source", false),
        time("observed_at", false),
        time("ingested_at", false),
        time("committed_at", false),
    ]
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

/// Observations on their way from a source to the shards.
///
/// `key128` is the key's 128 bits under the deployment's seed; `aliases` is a list joined by newlines,
/// `sensitive` one of which each entry ends with `~` and a newline; `timed` is false where the source
/// gave no time and another stands in `observed_at`; `state` is one JSON object per row, all rows packed
/// in one buffer.
pub fn observation_batch() -> SchemaRef {
    let mut fields = vec![Field::new("key128", DataType::FixedSizeBinary(16), false)];
    fields.extend(key_fields());
    fields.extend([
        utf8("dialect", false),
        utf8("address", true),
        utf8("aliases", false),
        utf8("presence", false),
        utf8("sweep", true),
        utf8("sensitive", false),
        utf8("collection", true),
        time("observed_at", false),
        Field::new("version", DataType::UInt64, true),
        Field::new("tainted", DataType::Boolean, false),
        Field::new("timed", DataType::Boolean, false),
        Field::new("offset", DataType::UInt64, false),
        Field::new("line", DataType::UInt64, false),
        Field::new("state", DataType::Binary, false),
    ]);
    schema(fields)
}

/// What is known of the resources of one partition, as far as it changed since it was last kept.
///
/// `key128` is the key's 128 bits under the deployment's seed, big-endian; `raw` and `canonical` are
/// seeded fingerprints, 0 where none is known; `seen` is the offset of the newest sweep under way that
/// has listed it; `detail` is JSON, null for what is simply in sync.
pub fn checkpoint() -> SchemaRef {
    schema(vec![
        Field::new("key128", DataType::FixedSizeBinary(16), false),
        Field::new("raw", DataType::UInt64, false),
        Field::new("canonical", DataType::UInt64, false),
        Field::new("version", DataType::UInt64, true),
        time("observed_at", true),
        Field::new("seen", DataType::Int64, true),
        Field::new("otherwise", DataType::Boolean, false),
        utf8("detail", true),
    ])
}

/// Records of one block on the hot path: what a scan found, and where.
///
/// `key128` is the key's 128 bits, little-endian; `record` the records as read, all in one block;
/// `raw` the seeded fingerprint of the state's text; `line` counts within the block. The spans are
/// byte offsets and lengths within the block.
pub fn frame() -> SchemaRef {
    // Asked for once a block.
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let u32 = |name: String| Field::new(name, DataType::UInt32, false);
        let mut fields = vec![
            Field::new("key128", DataType::FixedSizeBinary(16), false),
            Field::new("record", DataType::BinaryView, false),
            Field::new("raw", DataType::UInt64, false),
            Field::new("version", DataType::UInt64, true),
            time("observed_at", true),
            u32("line".to_owned()),
        ];
        for part in ["record", "state", "account", "region", "type", "id", "alias"] {
            fields.push(u32(format!("{part}_start")));
            fields.push(u32(format!("{part}_length")));
        }
        schema(fields)
    });
    SCHEMA.clone()
}

/// One version of a baseline, a row per resource.
///
/// `state` is the canonical state as JSON text; `leaves` its number of attributes; `duplicate` says
/// that two declarations of this resource contradict each other. `units` says where in the text the
/// value of each unit starts (what objects alone lead to: a scalar, an empty object, a whole array), in
/// the text's order; it is empty for states that hold secrets.
pub fn baseline() -> SchemaRef {
    let mut fields = key_fields();
    fields.extend([
        utf8("dialect", false),
        utf8("address", true),
        utf8("aliases", false),
        utf8("presence", false),
        utf8("collection", true),
        Field::new("tainted", DataType::Boolean, false),
        Field::new("duplicate", DataType::Boolean, false),
        Field::new("leaves", DataType::UInt32, false),
        Field::new("state", DataType::LargeBinary, false),
        Field::new_list("units", Field::new("item", DataType::UInt32, false), false),
    ]);
    schema(fields)
}

/// Table `findings`: transitions of differences, append-only.
///
/// `expected` and `observed` are JSON text; `leaves` counts the attributes below `path`; `fold`
/// names the normaliser that suppressed the difference (null: it counts). `sequence` orders all rows
/// of a table; `resource_id` and `finding_id` are stable hashes of the key, and of key and path.
pub fn findings() -> SchemaRef {
    // Asked for once a block.
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let mut fields = vec![
            int("sequence"),
            utf8("resource_id", false),
            utf8("finding_id", false),
            utf8("transition", false),
        ];
        fields.extend(key_fields());
        fields.extend([
            utf8("address", true),
            utf8("environment", false),
            utf8("path", false),
            utf8("kind", false),
            utf8("expected", true),
            utf8("observed", true),
            int("leaves"),
            utf8("severity", false),
            utf8("fold", true),
        ]);
        fields.extend(origin_fields());
        schema(fields)
    });
    SCHEMA.clone()
}

/// What a rule's expression may speak of: the columns of a finding that say the same of it whenever it
/// is judged, each as the table `findings` has it. When and from which source it was reported is not
/// among them: what is judged again, such as after a change of rules, has no source of its own.
pub fn rule_columns() -> SchemaRef {
    // Asked for with each resource that drifts.
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let mut fields = key_fields();
        fields.extend([
            utf8("address", true),
            utf8("environment", false),
            utf8("path", false),
            utf8("kind", false),
            utf8("expected", true),
            utf8("observed", true),
            int("leaves"),
            utf8("severity", false),
            utf8("baseline", false),
        ]);
        schema(fields)
    });
    SCHEMA.clone()
}

/// Table `verdicts`: transitions of verdicts, append-only. A null `verdict` says that the resource
/// is no longer known: it was unmanaged and is gone. `state_hash` is a keyed hash of the canonical
/// observed state, null where that is the baseline's own state. `observed_at` is when the verdict
/// came to be true, `last_observed_at` when the resource itself was last observed (a sweep that does
/// not list it observes that it is missing).
pub fn verdicts() -> SchemaRef {
    let mut fields = vec![int("sequence"), utf8("resource_id", false)];
    fields.extend(key_fields());
    fields.extend([
        utf8("address", true),
        utf8("environment", false),
        utf8("dialect", false),
        utf8("verdict", true),
        utf8("reason", true),
        Field::new("score", DataType::Float64, false),
        utf8("severity", true),
        int("findings"),
        int("leaves"),
        int("skipped"),
        Field::new("version", DataType::Int64, true),
        time("last_observed_at", true),
        utf8("state_hash", true),
    ]);
    fields.extend(origin_fields());
    schema(fields)
}

/// Table `checks`: how many observations were compared, per minute, environment and type.
pub fn checks() -> SchemaRef {
    schema(vec![
        time("minute", false),
        utf8("environment", false),
        utf8("provider", false),
        utf8("type", false),
        utf8("source", false),
        int("checked"),
        int("in_sync"),
        int("drifted"),
        int("missing"),
        int("unmanaged"),
        int("unknown"),
        int("late"),
        time("committed_at", false),
    ])
}

/// Table `observations`: each changed state, as canonical and redacted JSON text.
pub fn observations() -> SchemaRef {
    let mut fields = key_fields();
    fields.extend([
        utf8("environment", false),
        utf8("dialect", false),
        Field::new("deleted", DataType::Boolean, false),
        Field::new("version", DataType::Int64, true),
        utf8("state", true),
        utf8("source", false),
        time("observed_at", false),
        time("ingested_at", false),
        time("committed_at", false),
    ]);
    schema(fields)
}

/// Table `evidence`: events of audit logs and change records, append-only: who did what to what.
///
/// `evidence_id` is a hash of the event, the same wherever it was read; `event_id` is the log's own.
/// `resources` and `paths` are lists joined by newlines. Empty texts say that the log does not tell.
pub fn evidence() -> SchemaRef {
    let mut fields = vec![utf8("evidence_id", false), utf8("log", false), utf8("event_id", false)];
    fields.push(time("at", true));
    for name in ["actor", "actor_type", "tool", "action", "caller", "provider", "account", "region"]
    {
        fields.push(utf8(name, false));
    }
    fields.extend([
        Field::new("read_only", DataType::Boolean, false),
        utf8("error", false),
        utf8("resources", false),
        utf8("paths", false),
        utf8("source", false),
        time("ingested_at", false),
        time("committed_at", false),
    ]);
    schema(fields)
}

/// Table `rejects`: what could not be read, where and why; the bytes only as hash and size.
pub fn rejects() -> SchemaRef {
    schema(vec![
        utf8("reject_id", false),
        utf8("source", false),
        int("offset"),
        int("line"),
        utf8("code", false),
        utf8("reason", false),
        utf8("hash", false),
        int("size"),
        time("ingested_at", false),
        time("committed_at", false),
    ])
}
