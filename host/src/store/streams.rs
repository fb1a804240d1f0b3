//! Records in the store: the outbox, the consumers' offsets, the topics that they read.
//!
//! A *consumer* is a name under which an offset is kept: `log:PARTICIPANT/GROUP` and
//! `kafka:PARTICIPANT/GROUP` for those that read a topic, [`RELAY`] for the relay to Kafka. Offsets
//! of the outbox rise by one, without gaps except for deleted rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use saga_core::record::{Record, header};

use super::read::StoreResult;
use crate::base::session::{Extent, Proof};

/// The consumer that copies the outbox to Kafka.
pub const RELAY: &str = "log:relay";

/// The position at which a consumer resumes a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPlace {
    /// The offset of the next record.
    pub next: i64,
    /// The proof of the record before it. None if that was not read, or not from Kafka.
    pub last: Option<Proof>,
    /// Counts the hosts that have claimed the partition.
    pub epoch: i64,
    /// Tells positions in this log of the partition from those in the first one. None for the first
    /// one.
    pub log: Option<String>,
}

/// A partition that a consumer of Kafka reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPartition {
    /// The consumer: participant and group.
    pub consumer: String,
    /// Consumer group.
    pub group: String,
    /// Name of the topic.
    pub topic: String,
    /// Row of the topic.
    pub topic_row: i64,
    /// Partition.
    pub partition: i32,
    /// The offset of the next record.
    pub next: i64,
}

/// The state of a topic's part of the outbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Published records; on the embedded log, committed records are published.
    pub published: u64,
    /// Records that wait for the relay, or for the slowest consumer.
    pub waiting: u64,
    /// The creation time of the oldest waiting record, in milliseconds since the Unix epoch.
    pub oldest: Option<u64>,
}

impl Backlog {
    /// Adds a partition to the backlogs of the topics: the offsets of its next record and of the
    /// next one for the slowest reader, if it has one. `oldest` reads the first existing record from
    /// an offset on: its offset and its creation time.
    pub(super) fn add<E>(
        backlogs: &mut BTreeMap<String, Self>,
        readers: OutboxReaders,
        (topic, next, read): (String, i64, Option<i64>),
        oldest: impl FnOnce(i64) -> Result<Option<(i64, u64)>, E>,
    ) -> Result<(), E> {
        let (published, read) = match (readers, read) {
            (OutboxReaders::Consumers, read) => (next, read.unwrap_or(next)),
            (OutboxReaders::Relay, Some(read)) => (read, read),
            // It dates from the embedded log, and nobody publishes it now.
            (OutboxReaders::Relay, None) => return Ok(()),
        };
        let backlog = backlogs.entry(topic).or_default();
        backlog.published += published as u64;
        if read < next {
            // Records that were deleted before they were read do not wait.
            if let Some((first, time)) = oldest(read)? {
                backlog.waiting += u64::try_from(next - first).unwrap_or(0);
                backlog.oldest = backlog.oldest.into_iter().chain([time]).min();
            }
        }
        Ok(())
    }
}

/// The source of a record, from the further headers of one that has no generation; it is taken out
/// of them.
pub(super) fn given_source(extra: &mut Vec<(String, String)>) -> Option<String> {
    let given = (extra.iter()).position(|(name, _)| name == header::SOURCE);
    given.map(|at| extra.remove(at).1)
}

/// The group of a consumer of Kafka, by the name under which its offsets are kept. A participant's
/// name has no slash.
pub(super) fn group_of(consumer: &str) -> &str {
    consumer.split_once('/').map_or("", |(_, group)| group)
}

/// The readers of the outbox, which hold its rows back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxReaders {
    /// The consumers of the embedded log.
    Consumers,
    /// The relay to Kafka.
    Relay,
}

/// Queries for records.
pub trait ReadStreams {
    /// The offset at which a consumer resumes. None if it has never read.
    fn offset(&self, consumer: &str, topic: i64, partition: i32) -> StoreResult<Option<i64>>;

    /// The offset at which a consumer resumes, and the proof of the last record that it read. None
    /// if it has never read.
    fn place(&self, consumer: &str, topic: i64, partition: i32)
    -> StoreResult<Option<StoredPlace>>;

    /// The number of partitions of a topic that hold or held records: the highest number plus one.
    fn partitions(&self, topic: i64) -> StoreResult<i32>;

    /// The partitions of a topic that hold or held records: the offset where each begins (as if
    /// nothing were deleted), where it ends, and the first existing record that a consumer has not
    /// settled.
    fn extents(&self, topic: i64, consumer: &str) -> StoreResult<Vec<Extent>>;

    /// Records of the outbox from `from` on, at most `most`, ending with the one at which their
    /// keys and values reach `bytes` bytes together.
    fn records_within(
        &self,
        topic: &(i64, Arc<str>),
        partition: i32,
        from: i64,
        most: usize,
        bytes: usize,
    ) -> StoreResult<Vec<Record>>;

    /// The topics with unpublished records in the outbox: names and rows.
    fn waiting_topics(&self) -> StoreResult<Vec<(Arc<str>, i64)>>;

    /// The backlogs of the outbox by topic name. Records that nobody reads do not wait.
    fn backlogs(&self, readers: OutboxReaders) -> StoreResult<BTreeMap<String, Backlog>>;

    /// The partitions that consumers of Kafka read, by topic, partition and group.
    fn read_partitions(&self) -> StoreResult<Vec<ReadPartition>>;

    /// The id of the topic that a consumer is known to read under the name in this row.
    fn topic_id(&self, consumer: &str, topic: i64) -> StoreResult<Option<String>>;

    /// The number of records of this type that a consumer of the embedded log has not yet read.
    fn unread(&self, consumer: &str, topic: i64, event_type: &str) -> StoreResult<u64>;
}
