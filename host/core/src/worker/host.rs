//! The host around a worker: types that the worker passes on without looking inside, and the few
//! questions that it asks them.

use std::fmt;
use std::sync::Arc;

use saga_contract::description::Description;

use saga_contract::outputs::OutputSchemas;

/// The host's types, which travel with turns and entries.
pub trait HostTypes {
    /// The active generation, with the topics of its events.
    type Active: ActiveRules + Clone;
    /// A client that waits for an answer.
    type Client;
    /// A record that was taken, with its session.
    type Taken: TakenRecord;
    /// Dropped when the turn of a timer is over, whatever its result.
    type Over;
    /// When a turn was offered.
    type Since: Copy + Default;
    /// Capacity for the parked messages of a participant.
    type Room: Room<Place = Self::Place>;
    /// Room for one parked message.
    type Place;
    /// The reason why the store could not be read.
    type StoreFault: Clone + fmt::Debug;

    /// True if a worker has this deliberate defect. Always false, except in a simulation that shows
    /// that defects are detected.
    #[must_use]
    fn is_broken(_defect: Defect) -> bool {
        false
    }
}

/// A deliberate defect of a worker, to show that it is detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// A message that waits for another attempt does not hold back those of its key.
    KeyNotHeldBack,
    /// A message is decided although an earlier one of its key is parked.
    ParkedOvertaken,
    /// A parked timer is decided although the decision before it was void.
    ParkedTimerGoesOn,
    /// A record or command is decided although it was admitted under another description.
    AdmissionNotCompared,
    /// A worker goes on from a state that was not written.
    BrokenStateKept,
    /// A read is answered from a decision in flight although another host may have changed the
    /// aggregate after that was written.
    FlightTrusted,
    /// An event counts as applied although it was decided on a state that was not written.
    BrokenIdentityKept,
}

/// A generation that decides. Complete before any turn runs on it, and never modified (invariant
/// 6).
pub trait ActiveRules {
    /// Its row in the store.
    fn generation(&self) -> i64;
    /// Digest of the component.
    fn digest(&self) -> &str;
    /// The participant's description.
    fn description(&self) -> &Description;
    /// The schemas of its outputs; `None` if they are not checked.
    fn schemas(&self) -> Option<&dyn OutputSchemas> {
        None
    }
    /// Lane of the events that are published to this topic, by its name in the description.
    fn lane(&self, topic: &str) -> Option<Lane>;
    /// Lane of the dead letters that came from this topic.
    fn dead_letters(&self, topic: &Arc<str>) -> Option<Lane>;
}

impl<A: ActiveRules + ?Sized> ActiveRules for Arc<A> {
    fn generation(&self) -> i64 {
        (**self).generation()
    }

    fn digest(&self) -> &str {
        (**self).digest()
    }

    fn description(&self) -> &Description {
        (**self).description()
    }

    fn schemas(&self) -> Option<&dyn OutputSchemas> {
        (**self).schemas()
    }

    fn lane(&self, topic: &str) -> Option<Lane> {
        (**self).lane(topic)
    }

    fn dead_letters(&self, topic: &Arc<str>) -> Option<Lane> {
        (**self).dead_letters(topic)
    }
}

/// A topic of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// Row of the topic.
    pub topic: i64,
    /// Partitions of the outbox.
    pub partitions: i32,
}

/// A record that was taken.
pub trait TakenRecord {
    /// True if its session was cancelled: the record is delivered again.
    fn is_cancelled(&self) -> bool;
    /// Cancels its session: everything from the stored offset on is delivered again, in order.
    fn cancel(&self);
    /// True if it may have been settled in an earlier session.
    fn may_repeat(&self) -> bool;
    /// The consumer group.
    fn group(&self) -> &str;
    /// Its topic, by the participant's name.
    fn declared_topic(&self) -> &str;
}

/// Capacity for parked messages of a participant, and its use (invariant 9). Shared by its workers.
pub trait Room: Clone {
    /// Room for one message.
    type Place;

    /// Takes room for one more message of this many bytes, of an aggregate with this many parked
    /// already.
    ///
    /// # Errors
    /// The bound that is reached.
    fn take(&self, bytes: usize, of_aggregate: usize) -> Result<Self::Place, Bound>;
    /// True if this is the participant's first message without room since at least a tenth of the
    /// room was free.
    fn has_just_filled(&self) -> bool;
    /// Number of parked messages, and their bytes.
    fn used(&self) -> (usize, usize);
}

/// A bound of parked messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Messages of the participant.
    Messages,
    /// Bytes of the participant's messages.
    Bytes,
    /// Messages of one aggregate.
    AggregateMessages,
}

impl Bound {
    /// The setting of the bound.
    #[must_use]
    pub fn setting(self) -> &'static str {
        match self {
            Self::Messages => "parked.messages",
            Self::Bytes => "parked.bytes",
            Self::AggregateMessages => "parked.aggregate_messages",
        }
    }
}
