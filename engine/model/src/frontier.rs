//! How far a source was read, partition by partition.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The offset of the last record that was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LastOffset(pub i64);

/// The offset from which reading goes on: what Kafka's committed offsets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NextOffset(pub i64);

impl LastOffset {
    /// The offset after it.
    pub fn next(self) -> NextOffset {
        NextOffset(self.0 + 1)
    }
}

/// One partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub number: i32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

impl std::str::FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.rsplit_once('/').and_then(|(topic, number)| {
            Some(Self { topic: topic.into(), number: number.parse().ok()? })
        });
        parsed.ok_or_else(|| format!("`{text}` is no partition: TOPIC/NUMBER"))
    }
}

impl Serialize for Partition {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Partition {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The last offset taken in of each partition.
pub type Frontier = BTreeMap<Partition, LastOffset>;

/// How far a commit moves a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Where it stood; `None` at its first commit.
    pub from: Option<LastOffset>,
    /// Where it stands after.
    pub to: LastOffset,
    /// The number of the commit that moved it last, if the writer knows its state as of then.
    #[serde(default)]
    pub after: Option<u64>,
}

/// How a file looked when it was read to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMark {
    /// Its size in bytes.
    pub size: u64,
    /// Its time of last modification, microseconds since 1970.
    pub modified: i64,
}

/// The files read to the end: source name, then path, then how it looked.
pub type FileMarks = BTreeMap<String, BTreeMap<String, FileMark>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_written_as_text() {
        let partition = Partition { topic: "a/b".into(), number: 3 };
        assert_eq!(partition.to_string().parse(), Ok(partition.clone()));
        let frontier = Frontier::from([(partition, LastOffset(7))]);
        let json = serde_json::to_string(&frontier).expect("text keys");
        assert_eq!(json, r#"{"a/b/3":7}"#);
        assert_eq!(serde_json::from_str::<Frontier>(&json).expect("the same"), frontier);
        assert!("a".parse::<Partition>().is_err() && "a/x".parse::<Partition>().is_err());
        assert_eq!(LastOffset(7).next(), NextOffset(8));
    }
}
