//! The turns that are offered to a worker.

use super::host::HostTypes;
use super::trial::Trial;
use crate::commit::FiredTimer;
use crate::message::Envelope;
use crate::record::Record;

/// One message on its way through a worker.
pub enum Turn<H: HostTypes> {
    /// A command of a client, which waits for the answer.
    Command(Box<CommandTurn<H>>),
    /// A read of a client, which changes nothing.
    Read(Box<CommandTurn<H>>),
    /// The state of an aggregate is to be read by the rules, and stored in their shape if it is older. Its
    /// message only has a key.
    Migrate(Box<CommandTurn<H>>),
    /// A record was admitted.
    Event(Box<EventTurn<H>>),
    /// A timer is due.
    Timer(Box<TimerTurn<H>>),
    /// A record that can't be offered to the rules: a dead letter.
    Unreadable(Box<UnreadableTurn<H>>),
    /// A record of an event type that the participant does not subscribe to.
    Passed(H::Taken),
}

/// A command, or a read.
pub struct CommandTurn<H: HostTypes> {
    /// The message.
    pub envelope: Envelope,
    /// The generation that it was checked against.
    pub under: H::Active,
    /// The number of its key, if that was generated.
    pub generated_key: Option<i64>,
    /// The client's idempotency key, and the fingerprint of its request.
    pub repeatable: Option<(std::sync::Arc<str>, [u8; 32])>,
    /// The waiting client.
    pub client: H::Client,
    /// When it was offered.
    pub since: H::Since,
}

/// An event.
pub struct EventTurn<H: HostTypes> {
    /// The message.
    pub envelope: Envelope,
    /// The generation that it was admitted under.
    pub under: H::Active,
    /// The record, to be settled.
    pub taken: H::Taken,
    /// The record, to be kept if it can't be decided.
    pub record: Record,
    /// The attempts at it.
    pub trial: Trial,
    /// When it was offered.
    pub since: H::Since,
}

/// A timer.
pub struct TimerTurn<H: HostTypes> {
    /// The message.
    pub envelope: Envelope,
    /// The timer, to be deleted with the turn.
    pub fired: FiredTimer,
    /// The attempts at it.
    pub trial: Trial,
    /// When it was offered.
    pub since: H::Since,
    /// Dropped when the turn is over.
    pub over: H::Over,
}

/// A record that can't be offered to the rules.
pub struct UnreadableTurn<H: HostTypes> {
    /// The record, to be settled.
    pub taken: H::Taken,
    /// The record, to be kept.
    pub record: Record,
    /// The reason.
    pub reason: String,
    /// When it was offered.
    pub since: H::Since,
}

impl<H: HostTypes> Turn<H> {
    /// The key of the aggregate, if there is one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Command(turn) | Self::Read(turn) | Self::Migrate(turn) => {
                Some(&turn.envelope.message.key)
            }
            Self::Event(turn) => Some(&turn.envelope.message.key),
            Self::Timer(turn) => Some(&turn.envelope.message.key),
            Self::Unreadable(_) | Self::Passed(_) => None,
        }
    }

    /// Makes the next attempt uncounted.
    pub(super) fn spare_an_attempt(&mut self) {
        match self {
            Self::Event(turn) => turn.trial.spare(),
            Self::Timer(turn) => turn.trial.spare(),
            _ => {}
        }
    }

    /// When it was offered; the default if that is not needed.
    #[must_use]
    pub fn since(&self) -> H::Since {
        match self {
            Self::Command(turn) | Self::Read(turn) | Self::Migrate(turn) => turn.since,
            Self::Event(turn) => turn.since,
            Self::Timer(turn) => turn.since,
            Self::Unreadable(turn) => turn.since,
            Self::Passed(_) => H::Since::default(),
        }
    }
}
