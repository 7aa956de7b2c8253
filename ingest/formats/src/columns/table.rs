//! What a table is of, and its rows as resources.

use std::borrow::Cow;
use std::collections::HashSet;

use ::arrow::array::{ArrayRef, RecordBatch};
use ::arrow::datatypes::{Field, FieldRef, Schema};
use deployforge_model::path;
use deployforge_model::{Dialect, Observation, RejectCode, ResourceKey, SourcePosition, Timestamp};

use super::value::Writer;
use super::{COLUMNS, damaged};
use crate::arn::Arn;
use crate::options::KeyDefaults;
use crate::refusal::{Refusal, check_key};
use crate::sink::{Note, Sink};

/// Columns that CloudQuery adds to every table: of the sync, not of the resource.
const OWN: &str = "_cq_";
const ACCOUNTS: [&str; 4] = ["account_id", "account", "project_id", "subscription_id"];
const REGIONS: [&str; 2] = ["region", "location"];
const SYNC_ID: Note = Note::Counted(
    "resource that only `_cq_id` identifies, which may be another with each sync",
    "resources that only `_cq_id` identifies, which may be another with each sync",
);
const MARKS_UNREAD: Note = Note::Counted(
    "table whose list of sensitive columns cannot be read: every column is kept secret",
    "tables whose lists of sensitive columns cannot be read: every column is kept secret",
);
/// Columns of the history's own tables.
const HISTORY: [&str; 3] = ["resource_id", "reject_id", "environment"];
/// The clouds that tables are called after.
const PROVIDERS: [(&str, &str); 6] = [
    ("aws_", "aws"),
    ("gcp_", "google"),
    ("azure_", "azure"),
    ("k8s_", "kubernetes"),
    ("oracle_", "oci"),
    ("openstack_", "openstack"),
];

/// What the schema says.
#[derive(Debug)]
pub(super) struct Table {
    name: String,
    provider: &'static str,
    fields: Vec<FieldRef>,
    /// Columns that make the primary key.
    primary: Vec<usize>,
    /// Paths of sensitive columns.
    sensitive: Vec<String>,
    /// Whether CloudQuery wrote it.
    known: bool,
}

impl Table {
    pub(super) fn of(schema: &Schema, sink: &mut Sink<'_>) -> Result<Self, Refusal> {
        let fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
        let mut names = HashSet::new();
        if let Some(twice) = fields.iter().find(|field| !names.insert(field.name().as_str())) {
            let key = crate::refusal::printable(twice.name());
            return Err(Refusal::Twice { key, what: "the table's columns" });
        }
        if fields.len() > COLUMNS {
            return Err(damaged("it has too many columns"));
        }
        // Files of the history lie about, and their `id` is not of a resource in a table.
        if names.contains("committed_at") && HISTORY.iter().any(|name| names.contains(name)) {
            let reason = "This Parquet or Arrow file holds rows of the history, not an inventory; check the path.";
            return Err(Refusal::new(RejectCode::Unsupported, reason));
        }
        let said = schema.metadata().get("cq:table_name").filter(|name| !name.is_empty());
        let known = said.is_some();
        let name = said.cloned().unwrap_or_else(|| stem(sink.options.name.as_deref()));
        let found = PROVIDERS.iter().find(|(prefix, _)| name.starts_with(prefix));
        let flag =
            |field: &Field, key| field.metadata().get(key).is_some_and(|said| said == "true");
        let primary = |field: &Field| {
            flag(field, "cq:extension:primary_key_component")
                || flag(field, "cq:extension:primary_key")
        };
        let primary = fields
            .iter()
            .enumerate()
            .filter(|(_, field)| primary(field) && !field.name().starts_with(OWN));
        let listed = schema.metadata().get("cq:table_sensitive_columns");
        let sensitive = sensitive_in(listed.map_or("", String::as_str), &fields);
        sink.note(MARKS_UNREAD, u64::from(sensitive.is_none()));
        if !known {
            sink.note(
                Note::Counted(
                    "table without CloudQuery's metadata: its type is the name of the file",
                    "tables without CloudQuery's metadata: their types are the names of the files",
                ),
                1,
            );
        }
        Ok(Self {
            provider: found.map_or("cloudquery", |(_, provider)| provider),
            primary: primary.map(|(at, _)| at).collect(),
            sensitive: sensitive.unwrap_or_else(|| vec![String::new()]),
            name,
            fields,
            known,
        })
    }

    /// The columns of a batch, which has to be of the table's schema.
    pub(super) fn columns<'a>(&'a self, batch: &'a RecordBatch) -> Result<Columns<'a>, Refusal> {
        if batch.num_columns() != self.fields.len() {
            return Err(damaged("a part of it has other columns than it says"));
        }
        Ok(Columns { table: self, arrays: batch.columns() })
    }
}

/// The pointers of the columns that a list calls sensitive: JSON, or with commas between the names. Case
/// does not count, nor do names of columns that the table lacks. `None`: what it says cannot be told,
/// so that every column may be meant.
fn sensitive_in(text: &str, fields: &[FieldRef]) -> Option<Vec<String>> {
    let text = text.trim();
    let listed: Vec<Cow<'_, str>> = if text.starts_with(['[', '{', '"']) {
        serde_json::from_str(text).ok()?
    } else {
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Cow::Borrowed).collect()
    };
    let mut found = Vec::new();
    for name in listed {
        let lower = name.to_lowercase();
        let before = found.len();
        found.extend(
            fields.iter().map(|field| field.name()).filter(|of| of.to_lowercase() == lower),
        );
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
        if found.len() == before && !name.chars().all(plain) {
            return None;
        }
    }
    let found = found.into_iter().filter(|name| !name.starts_with(OWN));
    Some(found.map(|name| path::join("", name)).collect())
}

/// A file's name without what says how it is packed.
fn stem(name: Option<&str>) -> String {
    let mut stem = name.unwrap_or_default();
    for ending in [".gz", ".zst", ".parquet", ".arrow", ".ipc", ".feather"] {
        stem = stem.strip_suffix(ending).unwrap_or(stem);
    }
    if stem.is_empty() { "table".to_owned() } else { stem.to_owned() }
}

/// The columns of some rows.
pub(super) struct Columns<'a> {
    table: &'a Table,
    arrays: &'a [ArrayRef],
}

impl Columns<'_> {
    /// Delivers or refuses a row, the `number`th of its file; how many bytes it has.
    pub(super) fn deliver(&self, row: usize, number: u64, sink: &mut Sink<'_>) -> usize {
        sink.position = SourcePosition { offset: number, line: number + 1 };
        let limits = sink.options.limits;
        let mut writer = Writer::new(limits.record_bytes, limits.depth);
        writer.out.push(b'{');
        let mut first = 0;
        for (field, array) in self.table.fields.iter().zip(self.arrays) {
            if field.name().starts_with(OWN) {
                continue;
            }
            writer.name(first, field.name());
            first = 1;
            if writer.value(&**array, row, field).is_err() {
                let limit = limits.record_bytes;
                let reason = format!("This row is larger than the limit of {limit} bytes.");
                let bytes = writer.out.len();
                sink.refuse(&Refusal::new(RejectCode::TooLarge, reason), &writer.out);
                return bytes;
            }
        }
        writer.out.push(b'}');
        let bytes = writer.out.len();
        let foreign = writer.reserved;
        match self.observation(row, writer.out, sink) {
            Ok(observation) if foreign => sink.observe(observation),
            Ok(observation) => sink.observe_resolved(observation),
            Err(refusal) => {
                sink.refuse(&refusal, format!("row {number} of {}", self.table.name).as_bytes());
            }
        }
        bytes
    }

    fn observation(
        &self,
        row: usize,
        state: Vec<u8>,
        sink: &mut Sink<'_>,
    ) -> Result<Observation, Refusal> {
        let table = self.table;
        let text = |name: &str| self.named(name, row);
        let arn = text("arn").filter(|arn| Arn::parse(arn).is_some());
        let primary: Option<Vec<String>> =
            table.primary.iter().map(|at| self.text(*at, row)).collect();
        let primary = primary.filter(|parts| !parts.is_empty()).map(|parts| parts.join("/"));
        let own = text("id");
        let named = arn.clone().or(primary);
        let id = named.or_else(|| own.clone().filter(|_| !table.known)).or_else(|| {
            let random = text("_cq_id");
            sink.note(SYNC_ID, random.is_some().into());
            random.or_else(|| own.clone())
        });
        let Some(id) = id else {
            return Err(Refusal::new(
                RejectCode::BadField,
                "Nothing in this row identifies a resource; name a primary key, or add a column `arn`, `id` or `_cq_id`.",
            ));
        };
        let parsed = arn.as_deref().and_then(Arn::parse);
        let KeyDefaults { account: default_account, region: default_region, .. } =
            &sink.options.defaults;
        let part = |part: fn(&Arn<'_>) -> String| {
            parsed.as_ref().map(part).filter(|text| !text.is_empty())
        };
        let account = ACCOUNTS.iter().find_map(|name| text(name));
        let account = account.or_else(|| part(|arn| arn.account.to_owned()));
        let account = account.or_else(|| default_account.clone()).unwrap_or_default();
        let region = REGIONS.iter().find_map(|name| text(name));
        let region = region.or_else(|| part(|arn| arn.region.to_owned()));
        let global = parsed.is_some_and(Arn::is_global);
        let region = region.or_else(|| default_region.clone().filter(|_| !global));
        sink.note(Note::AccountUnknown, account.is_empty().into());
        let key = ResourceKey::new(
            table.provider,
            &account,
            &region.unwrap_or_default(),
            &table.name,
            &id,
        );
        check_key(&key)?;
        let aliases = own.filter(|own| *own != id && is_unique(own)).into_iter().collect();
        let seen = text("_cq_sync_time").and_then(|time| Timestamp::parse(&time).ok());
        Ok(Observation {
            aliases,
            observed_at: seen,
            sensitive: table.sensitive.clone(),
            ..Observation::of(key, Dialect::CloudQuery, state, sink.position)
        })
    }

    fn named(&self, name: &str, row: usize) -> Option<String> {
        let at = self.table.fields.iter().position(|field| field.name() == name)?;
        self.text(at, row)
    }

    /// A text, number or boolean that is not empty, as text.
    fn text(&self, at: usize, row: usize) -> Option<String> {
        let mut writer = Writer::new(crate::KEY_BYTES * 4, 1);
        writer.value(&*self.arrays[at], row, &self.table.fields[at]).ok()?;
        let text = String::from_utf8(writer.out).ok()?;
        let text = match text.as_bytes().first()? {
            b'"' => serde_json::from_str::<Cow<'_, str>>(&text).ok()?.into_owned(),
            b'{' | b'[' => return None,
            _ if text == "null" => return None,
            _ => text,
        };
        (!text.is_empty()).then_some(text)
    }
}

/// Whether an id is one in all the world, so that it may join resources: an ARN, a full resource name,
/// a URL, an OCID. Other ids are names within something.
fn is_unique(id: &str) -> bool {
    Arn::parse(id).is_some()
        || id.starts_with("/subscriptions/")
        || id.starts_with("//")
        || id.starts_with("https://")
        || id.starts_with("ocid1.")
}

#[cfg(test)]
mod tests {
    use ::arrow::datatypes::DataType;

    use super::*;

    #[test]
    fn what_is_sensitive_stands_in_lists_of_two_kinds() {
        let field = |name: &&str| FieldRef::new(Field::new(*name, DataType::Utf8, true));
        let fields: Vec<FieldRef> = ["pw", "b c", "S", "_cq_id"].iter().map(field).collect();
        let of = |text: &str| sensitive_in(text, &fields);
        let some = |paths: &[&str]| Some(paths.iter().map(|path| (*path).to_owned()).collect());
        assert_eq!(of(r#"["pw","b c"]"#), some(&["/pw", "/b c"]));
        assert_eq!(of("PW, s,,B c"), some(&["/pw", "/S", "/b c"]));
        assert_eq!(of(r#" ["Pw","gone","_cq_id"]"#), some(&["/pw"]));
        assert_eq!(of(""), some(&[]));
        assert_eq!(of("[]"), some(&[]));
        for odd in [r#"["pw","s",5]"#, r#"["pw""#, r#"{"pw":1}"#, r#""pw""#, "pw;s", "'pw'"] {
            assert_eq!(of(odd), None, "{odd}");
        }
    }

    #[test]
    fn the_name_of_a_file_is_a_type() {
        assert_eq!(stem(Some("aws_s3_buckets.parquet.gz")), "aws_s3_buckets");
        assert_eq!(stem(Some(".parquet")), "table");
        assert_eq!(stem(None), "table");
    }
}
