//! Messages that wait to be decided, in pages: set timers, parked records, and the readers of a
//! topic, by whose offsets one knows the records that wait.

use saga_core::identity::Identity;

use super::read::StoreResult;

/// A reader of one partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicReader {
    /// The name under which its offset is kept.
    pub consumer: String,
    /// Partition.
    pub partition: i32,
    /// The offset of the next record that it reads.
    pub next: i64,
}

/// A timer that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetTimer {
    /// Key of the aggregate.
    pub key: String,
    /// Name.
    pub name: String,
    /// When it is due, in milliseconds since the Unix epoch.
    pub due: u64,
    /// Id of the message whose decision set it.
    pub set_by: String,
    /// Its correlation.
    pub correlation: String,
    /// Since when it is parked (in milliseconds since the Unix epoch), and why. None for one that
    /// is not.
    pub parked: Option<(u64, String)>,
}

/// A parked record that is not a dead letter itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedRecord {
    /// Its number among the parked messages.
    pub id: i64,
    /// Key of the aggregate.
    pub key: String,
    /// Event type.
    pub name: String,
    /// Since when it is parked, in milliseconds since the Unix epoch.
    pub since: u64,
    /// Its identity.
    pub identity: Identity,
    /// Its correlation.
    pub correlation: String,
    /// Number of the dead letter behind which it waits.
    pub letter: Option<i64>,
    /// True if its aggregate is quarantined.
    pub is_quarantined: bool,
}

/// Queries for messages that wait.
pub trait ReadWaiting {
    /// The readers of a topic, except those that were dropped, and the relay among them.
    fn topic_readers(&self, topic: i64) -> StoreResult<Vec<TopicReader>>;

    /// The timers of a participant after the one of this key and name, in the order of these, at
    /// most `most`.
    fn timers_after(
        &self,
        participant: i64,
        after: (&str, &str),
        most: usize,
    ) -> StoreResult<Vec<SetTimer>>;

    /// The parked records of a participant, except dead letters, after this number, in the order of their numbers, at
    /// most `most`.
    fn parked_after(
        &self,
        participant: i64,
        after: i64,
        most: usize,
    ) -> StoreResult<Vec<ParkedRecord>>;
}
