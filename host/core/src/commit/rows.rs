//! The larger items of an entry, and the rows that are read back.

use std::sync::Arc;

use crate::identity::Identity;
use crate::message::Origin;
use crate::record::{Attributes, Position, Record};

/// The next offset of a consumer in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offset {
    /// The consumer's name in the store.
    pub consumer: Arc<str>,
    /// Row of the topic.
    pub topic: i64,
    /// Partition.
    pub partition: i32,
    /// Offset of the next record.
    pub next: i64,
    /// Counts the hosts that have claimed the partition: an offset with an older number is refused.
    /// 0 if the store has one host.
    pub epoch: i64,
    /// The last record before that, if known.
    pub last: Option<Proof>,
}

/// Proof of a record that has been read: identifies the log that contains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// Its time, in milliseconds since the Unix epoch; -1 if it has none.
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
    /// True if it carries the digest of the deciding build, as an event does. A dead letter carries
    /// its original attributes.
    pub from_generation: bool,
    /// Time of the record, in milliseconds since the Unix epoch.
    pub time: u64,
}

/// An aggregate as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredAggregate {
    /// Its state; None if it was removed or never existed.
    pub state: Option<String>,
    /// Its revision; 0 if it never existed.
    pub revision: u64,
    /// Version of the shape of the state.
    pub state_version: u32,
    /// The saga that it belongs to: the correlation of the message that created it.
    pub correlation: Option<String>,
}

/// An aggregate that other hosts decide on too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedAggregate {
    /// The aggregate.
    pub aggregate: StoredAggregate,
    /// What is parked for it.
    pub parked: Option<ParkedKey>,
    /// True if its state can't be read.
    pub is_quarantined: bool,
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

/// One setting of a timer. It is deleted only if it was not reset meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FiredTimer {
    /// Key of the aggregate.
    pub key: String,
    /// Name of the timer.
    pub name: String,
    /// When it was due.
    pub due: u64,
}

/// A record that could not be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The consumer group.
    pub group: String,
    /// Its topic, by the participant's name.
    pub declared_topic: String,
    /// The record as it was read, without a key or value that is too large to be kept.
    pub record: Record,
    /// Identity of the message that it was admitted as; None if it could not be admitted.
    pub identity: Option<Identity>,
    /// True if it stays parked as the first message of its aggregate, so that later ones wait
    /// behind it.
    pub is_parked: bool,
    /// A stable word: `malformed`, `retries-exhausted`, `parking-full`, or the kind of fault.
    pub reason: String,
    /// Description of the problem.
    pub detail: String,
    /// Number of attempts.
    pub attempts: u32,
    /// Digest of the build that could not decide.
    pub digest: String,
    /// When it was given up, in milliseconds since the Unix epoch.
    pub time: u64,
}

/// The dead letter of a parked message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParkedLetter {
    /// Its number.
    pub id: i64,
    /// An operator's request, with its number; `None` if later messages wait for one.
    pub request: Option<(i64, LetterRequest)>,
    /// The rules asked for a later attempt until its attempts were used up. As long as it waited,
    /// commands passed it, and they still do: one of them may be what it waits for.
    pub is_exhausted: bool,
    /// It held nothing back before it was parked to be redriven, and does not once that failed.
    pub is_aside: bool,
}

/// An operator's request for a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterRequest {
    /// Decide it again.
    Redrive,
    /// Drop it for good.
    Discard,
}

/// The end of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterEnd {
    /// It was decided after all.
    Decided,
    /// An operator discarded it.
    Discarded,
}

/// A dead letter that was redriven and could not be decided again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRedrive {
    /// Number of the dead letter.
    pub letter: i64,
    /// Number of the request. A later one is still to be done.
    pub request: i64,
    /// A stable word, as in [`DeadLetter::reason`].
    pub reason: String,
    /// Description of the problem this time.
    pub detail: String,
    /// Number of attempts this time.
    pub attempts: u32,
    /// Digest of the build that could not decide.
    pub digest: String,
    /// Its time, in milliseconds since the Unix epoch.
    pub time: u64,
}

/// A record with the identity of a dead letter, to be decided in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnedRecord {
    /// Number of the dead letter.
    pub letter: i64,
    /// The record.
    pub record: Record,
    /// Its time, in milliseconds since the Unix epoch.
    pub time: u64,
}

/// A parked dead letter, as it is found by its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterPlace {
    /// Its number.
    pub letter: i64,
    /// Key of the aggregate.
    pub key: String,
    /// Position of its record.
    pub position: Position,
}

/// A message to be parked behind those of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parking {
    /// The message.
    pub message: Parked,
    /// Bytes that it takes.
    pub bytes: usize,
    /// Its time, in milliseconds since the Unix epoch.
    pub time: u64,
}

/// A message that is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parked {
    /// A record.
    Event(Box<ParkedEvent>),
    /// A timer, by its name and due time.
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
    /// Its topic, by the participant's name.
    pub declared_topic: String,
    /// The record.
    pub record: Record,
}

/// A parked message, as it is offered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedRow {
    /// Its number; ascending in the order of the key.
    pub id: i64,
    /// Bytes that it takes.
    pub bytes: usize,
    /// The message.
    pub message: Parked,
    /// The dead letter of this message, if it became one.
    pub letter: Option<ParkedLetter>,
}

/// The messages that a parked dead letter blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// Later events and timers of its aggregate.
    Messages,
    /// These, and commands.
    All,
}

impl ParkedLetter {
    /// The messages that it blocks.
    #[must_use]
    pub fn blocks(&self) -> Blocks {
        match self.is_exhausted {
            true => Blocks::Messages,
            false => Blocks::All,
        }
    }
}

/// A key with parked messages, as loaded when a worker starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedKey {
    /// The key.
    pub key: String,
    /// Number of parked messages.
    pub messages: usize,
    /// The dead letter among them, if there is one.
    pub letter: Option<Blocks>,
    /// True if an operator has requested something for it.
    pub is_requested: bool,
}

/// Bytes that a parked message takes: a record or a timer of this key.
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
    /// A stable word for the reason.
    pub reason: String,
    /// Description of the problem.
    pub detail: String,
    /// Number of attempts.
    pub attempts: u32,
    /// Digest of the build that could not decide.
    pub digest: String,
    /// Its time, in milliseconds since the Unix epoch.
    pub time: u64,
}

/// The verdict on a message.
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

/// One message that was offered to the rules, as counted in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Row of the generation.
    pub generation: i64,
    /// Origin of the message.
    pub origin: Origin,
    /// Command name, event type or timer name.
    pub name: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Its time, in milliseconds since the Unix epoch.
    pub time: u64,
}
