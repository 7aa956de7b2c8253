//! Records of every format, and packed bytes.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Map, Value, json};

/// The account of what the builders make, where nothing else is said.
pub const ACCOUNT: &str = "111111111111";
/// The region of what the builders make, where nothing else is said.
pub const REGION: &str = "eu-west-1";

/// Packs bytes with gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

/// Packs bytes with zstd.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory does not fail")
}

/// JSON values as lines.
pub fn lines(values: &[Value]) -> String {
    let mut text = String::new();
    for value in values {
        let _ = writeln!(text, "{value}");
    }
    text
}

/// A time in the past that grows with `minute`: the engine takes times ahead of its clock for wrong.
pub fn time(minute: u64) -> String {
    let (days, rest) = (minute / 1440, minute % 1440);
    format!("2024-05-{:02}T{:02}:{:02}:00Z", 1 + days, rest / 60, rest % 60)
}

/// A native observation, taken at `minute`.
#[derive(Clone, Debug)]
pub struct Native(Map<String, Value>);

impl Native {
    /// An observation of the resource `id` of a type, with its attributes.
    pub fn new(resource_type: &str, id: &str, attributes: Value) -> Self {
        let value = json!({
            "provider": "aws", "account": ACCOUNT, "region": REGION, "type": resource_type,
            "id": id,
        });
        let Value::Object(members) = value else { unreachable!("it is an object") };
        Self(members).with("attributes", attributes)
    }

    /// Sets any member.
    #[must_use]
    pub fn with(mut self, member: &str, value: Value) -> Self {
        self.0.insert(member.to_owned(), value);
        self
    }

    /// Sets the time of observation.
    #[must_use]
    pub fn at(self, minute: u64) -> Self {
        let time = time(minute);
        self.with("observed_at", Value::String(time))
    }

    /// Says that it was listed by a sweep.
    #[must_use]
    pub fn listed_by(self, sweep: &str) -> Self {
        self.with("sweep", json!(sweep))
    }

    /// Makes it a tombstone.
    #[must_use]
    pub fn deleted(mut self) -> Self {
        self.0.remove("attributes");
        self.with("deleted", json!(true))
    }

    /// The observation as a JSON value.
    pub fn value(self) -> Value {
        Value::Object(self.0)
    }

    /// The observation as one line.
    pub fn line(self) -> String {
        format!("{}\n", self.value())
    }
}

/// The start of a sweep over a scope, as a line.
pub fn sweep_start(id: &str, scope: &Value) -> String {
    format!("{}\n", json!({"sweep": "start", "id": id, "scope": scope}))
}

/// The end of a sweep, as a line.
pub fn sweep_end(id: &str) -> String {
    format!("{}\n", json!({"sweep": "end", "id": id}))
}

/// A CloudEvents event around a native observation.
pub fn cloud_event(id: u64, observation: Native) -> Value {
    json!({
        "specversion": "1.0", "type": "deployforge.observation.v1", "source": "/tests",
        "id": id.to_string(), "datacontenttype": "application/json", "data": observation.value(),
    })
}

/// An AWS Config configuration item as the files on S3 spell it, taken at `minute`.
pub fn config_item(resource_type: &str, id: &str, minute: u64, configuration: &Value) -> Value {
    let service = resource_type.split("::").nth(1).unwrap_or("svc").to_lowercase();
    json!({
        "configurationItemVersion": "1.3",
        "configurationItemCaptureTime": time(minute),
        "configurationStateId": 1_700_000_000_000_u64 + minute,
        "awsAccountId": ACCOUNT,
        "configurationItemStatus": "OK",
        "resourceType": resource_type,
        "resourceId": id,
        "ARN": format!("arn:aws:{service}:{REGION}:{ACCOUNT}:thing/{id}"),
        "awsRegion": REGION,
        "tags": {},
        "relationships": [],
        "configuration": configuration,
    })
}

/// A file of configuration items as AWS Config delivers a snapshot: a complete listing.
pub fn config_snapshot(items: &[Value]) -> Value {
    json!({
        "fileVersion": "1.0",
        "configSnapshotId": "2f1c1a7e-0000-4000-8000-000000000000",
        "configurationItems": items,
    })
}

/// A Terraform state of managed resources `(type, name, attributes)`; attributes without an `id` get
/// the name for one.
pub fn terraform_state(lineage: &str, serial: u64, resources: &[(&str, &str, Value)]) -> Value {
    let resources: Vec<Value> = resources
        .iter()
        .map(|(resource_type, name, attributes)| {
            let mut attributes = attributes.clone();
            if attributes.get("id").is_none() {
                attributes["id"] = json!(name);
            }
            json!({
                "mode": "managed", "type": resource_type, "name": name,
                "provider": "provider[\"registry.terraform.io/hashicorp/aws\"]",
                "instances": [{
                    "schema_version": 0, "attributes": attributes, "sensitive_attributes": [],
                }],
            })
        })
        .collect();
    json!({
        "version": 4, "terraform_version": "1.9.8", "serial": serial, "lineage": lineage,
        "outputs": {}, "resources": resources, "check_results": null,
    })
}
