//! The turns that are offered to a worker.

use super::host::Host;
use super::trial::Trial;
use crate::commit::FiredTimer;
use crate::message::Envelope;
use crate::record::Record;

/// One message on its way through a worker.
pub enum Turn<H: Host> {
    /// A client waits for the answer.
    Command(Box<CommandTurn<H>>),
    /// A client waits, and nothing changes.
    Read(Box<CommandTurn<H>>),
    /// A record was admitted.
    Event(Box<EventTurn<H>>),
    /// A timer is due.
    Timer(Box<TimerTurn<H>>),
    /// A record that can't be offered to the rules: a dead letter.
    Unreadable(Box<UnreadableTurn<H>>),
    /// A record that is none of the participant's business.
    Passed(H::Taken),
}

/// A command, or a read.
pub struct CommandTurn<H: Host> {
    /// The message.
    pub envelope: Envelope,
    /// What it was checked against.
    pub under: H::Active,
    /// The number that was generated for its key.
    pub generated_key: Option<i64>,
    /// The idempotency key that the client sent, and the fingerprint of its request.
    pub repeatable: Option<(std::sync::Arc<str>, [u8; 32])>,
    /// Who waits.
    pub client: H::Client,
    /// When it was offered.
    pub since: H::Since,
}

/// An event.
pub struct EventTurn<H: Host> {
    /// The message.
    pub envelope: Envelope,
    /// What it was admitted under.
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
pub struct TimerTurn<H: Host> {
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
pub struct UnreadableTurn<H: Host> {
    /// The record, to be settled.
    pub taken: H::Taken,
    /// The record, to be kept.
    pub record: Record,
    /// What is wrong with it.
    pub reason: String,
    /// When it was offered.
    pub since: H::Since,
}

impl<H: Host> Turn<H> {
    /// The key of the aggregate, where there is one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Command(turn) | Self::Read(turn) => Some(&turn.envelope.message.key),
            Self::Event(turn) => Some(&turn.envelope.message.key),
            Self::Timer(turn) => Some(&turn.envelope.message.key),
            Self::Unreadable(_) | Self::Passed(_) => None,
        }
    }

    /// Its next attempt is not counted.
    pub(super) fn spare_an_attempt(&mut self) {
        match self {
            Self::Event(turn) => turn.trial.spare(),
            Self::Timer(turn) => turn.trial.spare(),
            _ => {}
        }
    }

    /// When it was offered; never, where that is of no interest.
    #[must_use]
    pub fn since(&self) -> H::Since {
        match self {
            Self::Command(turn) | Self::Read(turn) => turn.since,
            Self::Event(turn) => turn.since,
            Self::Timer(turn) => turn.since,
            Self::Unreadable(turn) => turn.since,
            Self::Passed(_) => H::Since::default(),
        }
    }
}
