//! What a worker needs of the host around it, as types that it never looks into, or asks by these
//! questions only.

use std::fmt;
use std::sync::Arc;

use saga_contract::description::Description;

/// What belongs to the host: it travels with turns and entries, unread.
pub trait Host {
    /// What decides: a generation with where its events go.
    type Active: Active + Clone;
    /// A client that waits for an answer.
    type Client;
    /// A record that was taken, with the reading that it belongs to.
    type Taken: Taken;
    /// Dropped when the turn of a timer is over, whatever became of it.
    type Over;
    /// When a turn was offered.
    type Since: Copy + Default;
    /// How much of a participant may be parked.
    type Room: Room<Place = Self::Place>;
    /// A place for a parked message.
    type Place;
    /// Why the store could not be read.
    type StoreFault: Clone + fmt::Debug;

    /// Whether a worker is deliberately wrong in this: never, but in a simulation that shows that
    /// it is noticed.
    #[must_use]
    fn is_broken(_defect: Defect) -> bool {
        false
    }
}

/// What a worker may do wrong, to show that it is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// A message that waits for another attempt does not hold back those of its key.
    KeyNotHeldBack,
    /// A message is decided although an earlier one of its key is parked.
    ParkedOvertaken,
    /// A parked timer is decided although what was decided before it did not come to be.
    ParkedTimerGoesOn,
    /// What was admitted under another description is decided all the same.
    AdmissionNotCompared,
    /// A worker goes on from a state that was not written.
    BrokenStateKept,
    /// An event that was decided on what was not written is taken for applied.
    BrokenIdentityKept,
}

/// A generation that decides. Made whole before any turn runs on it, and never altered (invariant
/// 6).
pub trait Active {
    /// Its row in the store.
    fn generation(&self) -> i64;
    /// Digest of the component.
    fn digest(&self) -> &str;
    /// What the participant says of itself.
    fn description(&self) -> &Description;
    /// Where events go that are published to this topic, by its name in the description.
    fn lane(&self, topic: &str) -> Option<Lane>;
    /// Where dead letters go that came from this topic.
    fn dead_letters(&self, topic: &Arc<str>) -> Option<Lane>;
}

impl<A: Active + ?Sized> Active for Arc<A> {
    fn generation(&self) -> i64 {
        (**self).generation()
    }

    fn digest(&self) -> &str {
        (**self).digest()
    }

    fn description(&self) -> &Description {
        (**self).description()
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
pub trait Taken {
    /// Whether its reading was cancelled: the record comes again.
    fn is_cancelled(&self) -> bool;
    /// Cancels its reading: everything from the stored offset on comes again, in order.
    fn cancel(&self);
    /// Whether an earlier reading may have settled it.
    fn may_repeat(&self) -> bool;
    /// The consumer group.
    fn group(&self) -> &str;
    /// Its topic, as the participant calls it.
    fn declared_topic(&self) -> &str;
}

/// How much of a participant may be parked, and how much is (invariant 9). Its workers share it.
pub trait Room: Clone {
    /// A place for one message.
    type Place;

    /// A place for one more message of so many bytes, of an aggregate with so many parked already.
    ///
    /// # Errors
    /// The bound that leaves no room for it.
    fn take(&self, bytes: usize, of_aggregate: usize) -> Result<Self::Place, Bound>;
    /// Whether this is the first message of the participant without room since a tenth of it was
    /// free.
    fn has_just_filled(&self) -> bool;
    /// How many messages are parked, and how many bytes they have.
    fn used(&self) -> (usize, usize);
}

/// A bound on what is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Of the messages of the participant.
    Messages,
    /// Of their bytes.
    Bytes,
    /// Of the messages of one aggregate.
    AggregateMessages,
}

impl Bound {
    /// The setting that is the bound.
    #[must_use]
    pub fn setting(self) -> &'static str {
        match self {
            Self::Messages => "parked.messages",
            Self::Bytes => "parked.bytes",
            Self::AggregateMessages => "parked.aggregate_messages",
        }
    }
}
