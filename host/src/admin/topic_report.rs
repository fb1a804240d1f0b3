//! Records of topics in the JSON of the admin interface and of `--json`.
//!
//! The command line reads the same types back. Times are milliseconds since the Unix epoch.

use std::collections::BTreeMap;

use saga_core::record::Record;
use serde::{Deserialize, Serialize};

use super::letter_report::{Bytes, headers};

/// A page of the records of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicPage {
    /// The topic.
    pub topic: String,
    /// The records: those of one partition in the order of their offsets, all by their times.
    pub records: Vec<TopicRecord>,
    /// Where the next page begins, as `at` of its query: `0:12,1:7` for offset 12 of partition 0,
    /// and 7 of partition 1.
    pub next: String,
    /// True if there are no further records at present.
    pub is_last: bool,
}

/// A record of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicRecord {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// Time of the record.
    pub time: u64,
    /// Key of the record.
    pub key: Option<Bytes>,
    /// Event type in its headers.
    pub event_type: Option<String>,
    /// Its headers, by name.
    pub headers: BTreeMap<String, String>,
    /// Its value; None for a tombstone.
    pub value: Option<Bytes>,
}

/// A record that an operator has published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// Key of the record.
    pub key: String,
    /// Its CloudEvents id.
    pub id: String,
    /// Its CloudEvents source. Records with the same id and source are applied once.
    pub source: String,
    /// Version of its event; None if nobody takes it and none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The participants that take it.
    pub participants: Vec<String>,
    /// Those of them to which a record with its id and source came before: they drop it, unless it
    /// redrives a dead letter.
    #[serde(default)]
    pub known_to: Vec<String>,
}

impl TopicRecord {
    pub(super) fn of(record: &Record) -> Self {
        let bytes = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(Bytes::of);
        Self {
            topic: record.position.topic.to_string(),
            partition: record.position.partition,
            offset: record.position.offset,
            time: record.timestamp,
            key: bytes(&record.key),
            event_type: record.attributes.event_type.clone(),
            headers: headers(&record.attributes),
            value: bytes(&record.value),
        }
    }
}
