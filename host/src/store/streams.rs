//! Records in the store: the outbox, how far consumers have read, which topics they read.
//!
//! A *consumer* is a name under which an offset is kept: `log:PARTICIPANT/GROUP` and
//! `kafka:PARTICIPANT/GROUP` for those that read a topic, [`RELAY`] for the relay to Kafka. Offsets
//! of the outbox rise by one, without gaps but for deleted rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use saga_core::record::Record;

use super::read::Answer;
use crate::base::session::{Extent, Proof};

/// The consumer that copies the outbox to Kafka.
pub const RELAY: &str = "log:relay";

/// Where a consumer reads a partition on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPlace {
    /// The offset of the next record.
    pub next: i64,
    /// What the record before it was; none where it was not read, or not from Kafka.
    pub last: Option<Proof>,
    /// What sets apart positions in this log of the partition from those in the first one; none in
    /// that.
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

/// The topic that a consumer reads under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownTopic {
    /// The id that the brokers gave it.
    pub id: String,
    /// Whether it is the first one of its name that the consumer has read.
    pub is_first: bool,
}

/// The state of a topic's part of the outbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Records that were published; on the embedded log, what is committed is published.
    pub published: u64,
    /// Records that wait for the relay, or for the slowest consumer.
    pub waiting: u64,
    /// When the oldest of them was made, in milliseconds since the Unix epoch.
    pub oldest: Option<u64>,
}

/// The readers of the outbox, which hold its rows back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxReaders {
    /// The consumers of the embedded log.
    Consumers,
    /// The relay to Kafka.
    Relay,
}

/// Questions about records.
pub trait ReadStreams {
    /// The offset from which a consumer reads on; none where it has never read.
    fn offset(&self, consumer: &str, topic: i64, partition: i32) -> Answer<Option<i64>>;

    /// The offset from which a consumer reads on, and what it has read last; none where it has
    /// never read.
    fn place(&self, consumer: &str, topic: i64, partition: i32) -> Answer<Option<StoredPlace>>;

    /// How many partitions of a topic hold or held records: the highest number and one.
    fn partitions(&self, topic: i64) -> Answer<i32>;

    /// The partitions of a topic that hold or held records: where each begins, were nothing
    /// deleted, and ends; and the first record that is there of those that a consumer has not
    /// settled.
    fn extents(&self, topic: i64, consumer: &str) -> Answer<Vec<Extent>>;

    /// Records of the outbox from `from` on, at most `most`, and none after those whose keys and
    /// values have `bytes` bytes together.
    fn records_within(
        &self,
        topic: &(i64, Arc<str>),
        partition: i32,
        from: i64,
        most: usize,
        bytes: usize,
    ) -> Answer<Vec<Record>>;

    /// The topics of which the outbox holds something that the relay has not published: names and
    /// rows.
    fn waiting_topics(&self) -> Answer<Vec<(Arc<str>, i64)>>;

    /// What waits in the outbox, by the names of the topics. What nobody reads does not wait.
    fn backlogs(&self, readers: OutboxReaders) -> Answer<BTreeMap<String, Backlog>>;

    /// The partitions that consumers of Kafka read, by topic, partition and group.
    fn read_partitions(&self) -> Answer<Vec<ReadPartition>>;

    /// The topic that a consumer is known to read under the name in this row.
    fn known_topic(&self, consumer: &str, topic: i64) -> Answer<Option<KnownTopic>>;

    /// How many records of this type a consumer of the embedded log has yet to read.
    fn unread(&self, consumer: &str, topic: i64, event_type: &str) -> Answer<u64>;
}
