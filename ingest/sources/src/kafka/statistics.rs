//! How far partitions reach, out of the client's statistics.

use std::collections::BTreeMap;

use deployforge_model::{NextOffset, Partition};
use serde::Deserialize;

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: BTreeMap<String, Topic>,
}

#[derive(Deserialize)]
struct Topic {
    #[serde(default)]
    partitions: BTreeMap<i32, Figures>,
}

/// Figures that are not known yet are negative.
#[derive(Deserialize)]
struct Figures {
    /// The offset after the last message that is there.
    #[serde(default)]
    hi_offset: i64,
    /// The same without transactions that are open.
    #[serde(default)]
    ls_offset: i64,
    /// The offset that is fetched next.
    #[serde(default)]
    next_offset: i64,
    /// Messages that are fetched and were not handed over.
    #[serde(default)]
    fetchq_cnt: i64,
}

/// How far a partition reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) partition: Partition,
    /// The offset after the last message that can be read, or after what is no message, such as the end
    /// of a transaction.
    pub(super) at: NextOffset,
    /// All of it was fetched and handed over.
    pub(super) is_read: bool,
}

/// How far partitions reach that are read.
pub(super) fn ends(statistics: &[u8]) -> Vec<End> {
    let Ok(Statistics { topics }) = serde_json::from_slice(statistics) else { return Vec::new() };
    let mut ends = Vec::new();
    for (topic, Topic { partitions }) in topics {
        for (number, figures) in partitions {
            let at = if figures.ls_offset >= 0 { figures.ls_offset } else { figures.hi_offset };
            if at >= 0 {
                let partition = Partition { topic: topic.as_str().into(), number };
                let is_read = figures.next_offset >= at && figures.fetchq_cnt == 0;
                ends.push(End { partition, at: NextOffset(at), is_read });
            }
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_told_from_what_waits() {
        let text = r#"{"name":"x","topics":{"t":{"topic":"t","partitions":{
            "0":{"partition":0,"hi_offset":10,"ls_offset":9,"next_offset":4,"fetchq_cnt":0,"app_offset":4},
            "1":{"hi_offset":10,"ls_offset":10,"next_offset":10,"fetchq_cnt":0,"app_offset":9},
            "2":{"hi_offset":10,"ls_offset":-1001,"next_offset":10,"fetchq_cnt":3,"app_offset":7},
            "3":{"hi_offset":10,"ls_offset":10,"next_offset":10,"fetchq_cnt":0,"app_offset":-1001},
            "4":{"hi_offset":-1001,"ls_offset":-1001,"next_offset":0,"fetchq_cnt":0,"app_offset":-1001},
            "-1":{"hi_offset":-1001,"ls_offset":-1001}}}}}"#;
        let found: Vec<(i32, i64, bool)> = ends(text.as_bytes())
            .into_iter()
            .map(|end| (end.partition.number, end.at.0, end.is_read))
            .collect();
        assert_eq!(found, [(0, 9, false), (1, 10, true), (2, 10, false), (3, 10, true)]);
        assert!(ends(b"{").is_empty());
    }
}
