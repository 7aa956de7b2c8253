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
    /// The offset after the last message that was handed over.
    #[serde(default)]
    app_offset: i64,
}

/// How far partitions reach that are read. What is there and is no message, such as the ends of
/// transactions, is not waited for.
pub(super) fn ends(statistics: &[u8]) -> Vec<(Partition, NextOffset)> {
    let Ok(Statistics { topics }) = serde_json::from_slice(statistics) else { return Vec::new() };
    let mut ends = Vec::new();
    for (topic, Topic { partitions }) in topics {
        for (number, figures) in partitions {
            if let Some(end) = figures.end() {
                ends.push((Partition { topic: topic.as_str().into(), number }, end));
            }
        }
    }
    ends
}

impl Figures {
    fn end(&self) -> Option<NextOffset> {
        let end = if self.ls_offset >= 0 { self.ls_offset } else { self.hi_offset };
        if end < 0 {
            return None;
        }
        let all_fetched = self.next_offset >= end && self.fetchq_cnt == 0;
        Some(NextOffset(if all_fetched { self.app_offset.max(0) } else { end }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_message_is_not_waited_for() {
        let text = r#"{"name":"x","topics":{"t":{"topic":"t","partitions":{
            "0":{"partition":0,"hi_offset":10,"ls_offset":9,"next_offset":4,"fetchq_cnt":0,"app_offset":4},
            "1":{"hi_offset":10,"ls_offset":10,"next_offset":10,"fetchq_cnt":0,"app_offset":9},
            "2":{"hi_offset":10,"ls_offset":-1001,"next_offset":10,"fetchq_cnt":3,"app_offset":7},
            "3":{"hi_offset":10,"ls_offset":10,"next_offset":10,"fetchq_cnt":0,"app_offset":-1001},
            "4":{"hi_offset":-1001,"ls_offset":-1001,"next_offset":0,"fetchq_cnt":0,"app_offset":-1001},
            "-1":{"hi_offset":-1001,"ls_offset":-1001}}}}}"#;
        let found: Vec<(i32, i64)> =
            ends(text.as_bytes()).into_iter().map(|(of, end)| (of.number, end.0)).collect();
        assert_eq!(found, [(0, 9), (1, 9), (2, 10), (3, 0)]);
        assert!(ends(b"{").is_empty());
    }
}
