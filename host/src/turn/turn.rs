//! What is given to a worker, and what a client is answered.

use std::sync::Arc;
use std::time::Instant;

use saga_core::message::Envelope;
use saga_core::outcome::Reply;
use saga_core::record::Record;
use saga_core::rules::Fault;
use tokio::sync::oneshot;

use super::active::Active;
use crate::base::budget::Reserved;
use crate::metrics::turns::Since;
use crate::store::{Claim, FiredTimer, StoreFault, Taken};

/// One message on its way through a worker.
pub enum Turn {
    /// A client waits for the answer.
    Command(Box<CommandTurn>),
    /// A client waits, and nothing changes.
    Read(Box<CommandTurn>),
    /// A record was admitted.
    Event(Box<EventTurn>),
    /// A timer is due.
    Timer(Box<TimerTurn>),
    /// A record that can't be offered to the rules: a dead letter.
    Unreadable {
        /// The record, to be settled.
        taken: Taken,
        /// The record, to be kept.
        record: Box<Record>,
        /// What is wrong with it.
        reason: String,
        /// When it was offered.
        since: Since,
    },
    /// A record that is none of the participant's business.
    Passed(Taken),
    /// Nothing: it wakes the worker, which has something else to look at.
    Wake,
}

/// A command, or a read.
pub struct CommandTurn {
    /// The message.
    pub envelope: Envelope,
    /// What it was checked against.
    pub under: Arc<Active>,
    /// The number that was generated for its key.
    pub generated_key: Option<i64>,
    /// The idempotency key that the client sent, to be released when the turn is over.
    pub claim: Option<Arc<Claim>>,
    /// Bytes that its body is charged with until it is committed or refused.
    pub reserved: Option<Reserved>,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer>,
    /// When it was offered.
    pub since: Since,
}

/// An event.
pub struct EventTurn {
    /// The message.
    pub envelope: Envelope,
    /// What it was admitted under.
    pub under: Arc<Active>,
    /// The record, to be settled.
    pub taken: Taken,
    /// The record, to be kept if it can't be decided.
    pub record: Record,
    /// The attempts at it.
    pub trial: Trial,
    /// When it was offered.
    pub since: Since,
}

/// A timer.
pub struct TimerTurn {
    /// The message.
    pub envelope: Envelope,
    /// The timer, to be deleted with the turn.
    pub fired: FiredTimer,
    /// The attempts at it.
    pub trial: Trial,
    /// When it was offered.
    pub since: Since,
    /// Dropped when the turn is over.
    pub over: Over,
}

/// The attempts at a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trial {
    /// How often it was tried.
    pub attempts: u32,
    /// When the first attempt failed.
    failed: Option<Instant>,
}

impl Trial {
    /// Milliseconds since the first attempt failed.
    pub fn waited_ms(&mut self) -> u64 {
        let failed = self.failed.get_or_insert_with(Instant::now);
        u64::try_from(failed.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The next attempt is not counted.
    pub fn spare(&mut self) {
        self.attempts = self.attempts.saturating_sub(1);
    }
}

/// Calls back when it is dropped: whatever becomes of a turn, whoever offered it hears of its end.
pub struct Over(Option<Box<dyn FnOnce() + Send>>);

impl Over {
    /// Calls `then` when it is dropped.
    #[must_use]
    pub fn new(then: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(then)))
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        if let Some(then) = self.0.take() {
            then();
        }
    }
}

impl Turn {
    /// The key of the aggregate, where there is one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Command(turn) | Self::Read(turn) => Some(&turn.envelope.message.key),
            Self::Event(turn) => Some(&turn.envelope.message.key),
            Self::Timer(turn) => Some(&turn.envelope.message.key),
            Self::Unreadable { .. } | Self::Passed(_) | Self::Wake => None,
        }
    }

    /// Its next attempt is not counted.
    pub fn spare_an_attempt(&mut self) {
        match self {
            Self::Event(turn) => turn.trial.spare(),
            Self::Timer(turn) => turn.trial.spare(),
            _ => {}
        }
    }

    /// When it was offered; never, where that is of no interest.
    #[must_use]
    pub fn since(&self) -> Since {
        match self {
            Self::Command(turn) | Self::Read(turn) => turn.since,
            Self::Event(turn) => turn.since,
            Self::Timer(turn) => turn.since,
            Self::Unreadable { since, .. } => *since,
            Self::Passed(_) | Self::Wake => Since::default(),
        }
    }
}

/// A command as it comes from a client, checked against its schema.
#[derive(Clone)]
pub struct CommandCall {
    /// What it was checked against.
    pub under: Arc<Active>,
    /// Name of the command.
    pub command: String,
    /// Path parameters, in the path's order.
    pub parameters: Vec<(String, String)>,
    /// JSON text of the body; `null` where there is none.
    pub body: String,
    /// The key; none where the host is to generate one.
    pub key: Option<String>,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
    /// The idempotency key, where the client sent one.
    pub claim: Option<Arc<Claim>>,
    /// Bytes that the body is charged with, which may outlast its client.
    pub reserved: Option<Reserved>,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The rules replied; what they decided is committed. With the key of the aggregate.
    Replied(Reply, String),
    /// The rules say that the request makes no sense.
    Malformed(String),
    /// The rules were swapped, and it has to be checked against the new ones. With the body.
    CheckAgain(String),
    /// Not now; the client may try again.
    TryLater(String),
    /// The rules broke.
    Broke(Fault),
    /// The rules can't read the state of the aggregate.
    Quarantined(Fault),
    /// The store failed; nothing was written.
    StoreFailed(StoreFault),
    /// Its turn was not over in time: it may take effect yet. With the seconds, and whether the client can learn it by its
    /// idempotency key.
    Unknown(u64, bool),
}
