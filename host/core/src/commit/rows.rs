//! The larger items of an entry, and what is read back of them.

use std::sync::Arc;

use crate::identity::Identity;
use crate::message::Origin;
use crate::record::{Attributes, Record};

/// Where a consumer reads on in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offset {
    /// Name under which the store keeps it.
    pub consumer: Arc<str>,
    /// Row of the topic.
    pub topic: i64,
    /// Partition.
    pub partition: i32,
    /// Offset of the next record.
    pub next: i64,
    /// The last record before that, where it is known.
    pub last: Option<Proof>,
}

/// What a record was that has been read: by it, the log is known again in which it stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// Its time, in milliseconds since the Unix epoch; -1 where it has none.
    pub time: i64,
    /// A hash of its content that is the same in every build.
    pub print: u64,
}

/// A record to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Row of the topic.
    pub topic: i64,
    /// Partition of the outbox.
    pub partition: i32,
    /// Record key.
    pub key: Option<Vec<u8>>,
    /// Record value.
    pub value: Option<Vec<u8>>,
    /// Attributes; source and digest are not stored but follow from the generation.
    pub attributes: Attributes,
    /// Whether it says which build decided: an event does, a dead letter carries what it came with.
    pub from_generation: bool,
    /// Time of the record, in milliseconds since the Unix epoch.
    pub time: u64,
}

/// An aggregate as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredAggregate {
    /// Its state; none where it was removed or never was.
    pub state: Option<String>,
    /// Its revision; 0 where it never was.
    pub revision: u64,
    /// Version of the shape of the state.
    pub state_version: u32,
}

/// A timer that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTimer {
    /// Key of the aggregate.
    pub key: String,
    /// Name.
    pub name: String,
    /// When it is due, in milliseconds since the Unix epoch.
    pub due: u64,
    /// JSON text.
    pub body: String,
    /// Id of the message that set it.
    pub set_by: String,
    /// Id shared by all messages of the saga.
    pub correlation: String,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// One setting of a timer. It is deleted only if it was not set anew meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FiredTimer {
    /// Key of the aggregate.
    pub key: String,
    /// Name of the timer.
    pub name: String,
    /// When it was due.
    pub due: u64,
}

/// A message that could not be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The consumer group.
    pub consumer: String,
    /// Topic that it came from.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Record key, unchanged.
    pub key: Option<Vec<u8>>,
    /// Record value, unchanged.
    pub value: Option<Vec<u8>>,
    /// A stable word: `malformed`, `retries-exhausted`, `parking-full`, or the kind of fault.
    pub reason: String,
    /// What was wrong.
    pub detail: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Digest of the build that could not decide.
    pub digest: String,
    /// When it was given up, in milliseconds since the Unix epoch.
    pub time: u64,
}

/// A message that is to be parked, behind those of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parking {
    /// The message.
    pub message: Parked,
    /// Bytes that it takes.
    pub bytes: usize,
    /// When, in milliseconds since the Unix epoch.
    pub time: u64,
}

/// A message that is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parked {
    /// A record.
    Event(Box<ParkedEvent>),
    /// A timer, by its name and the time at which it was due.
    Timer(String, u64),
}

/// A record that is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedEvent {
    /// Identity of the message that it was admitted as.
    pub identity: Identity,
    /// Name of that message.
    pub name: String,
    /// Consumer group that read it.
    pub group: String,
    /// Its topic, as the participant calls it.
    pub declared_topic: String,
    /// The record.
    pub record: Record,
}

/// A message that was parked, as it is offered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedRow {
    /// Its number; they rise in the order of the key.
    pub id: i64,
    /// Bytes that it takes.
    pub bytes: usize,
    /// The message.
    pub message: Parked,
}

/// Bytes that a parked message takes: a record, or a timer, of this key.
#[must_use]
pub fn parked_bytes(key: &str, record: Option<&Record>) -> usize {
    let parts = record.map(|record| [&record.key, &record.value]);
    let parts = parts.into_iter().flatten().flatten();
    key.len() + parts.map(Vec::len).sum::<usize>()
}

/// A timer that waits for other rules, or for the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedTimer {
    /// The timer.
    pub fired: FiredTimer,
    /// A stable word: why it could not be decided.
    pub reason: String,
    /// What was wrong.
    pub detail: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Digest of the build that could not decide.
    pub digest: String,
    /// When, in milliseconds since the Unix epoch.
    pub time: u64,
}

/// What came of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was decided.
    Decided,
    /// It was a command, and was refused.
    Refused,
    /// The rules broke on it.
    Fault,
    /// It was a read.
    Read,
}

/// One message that was offered to the rules, as it is counted in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Row of the generation.
    pub generation: i64,
    /// How the message came to be.
    pub origin: Origin,
    /// Command name, event type or timer name.
    pub name: String,
    /// What came of it.
    pub verdict: Verdict,
    /// When, in milliseconds since the Unix epoch.
    pub time: u64,
}
