//! What is committed: everything that one turn writes, as a list.
//!
//! # Layout
//!
//! - this file: [`Entry`], what one turn writes, and [`Write`], one item of it
//! - [`rows`]: the larger items
//! - [`chain`]: which entries still hold when one before them was not written
//!
//! Must not know: SQL, transactions, threads. Invariants that live here: 2 (an entry is written
//! whole or not at all), 3 (guards: an identity is written once), 4 (chains).

pub mod chain;
pub mod rows;

use std::sync::Arc;

pub use chain::{Batch, Broken, Chains, Ended, Fate, Handed, Link, Outcome};
pub use rows::{
    DeadLetter, FiredTimer, Offset, OutboxRow, Parked, ParkedEvent, ParkedRow, ParkedTimer,
    Parking, Proof, StoredAggregate, StoredTimer, Tally, Verdict,
};

use crate::identity::Identity;
use crate::outcome::TimerChange;
use crate::settle::{Cause, JournalEntry};

/// Everything that one turn writes. It is written whole or not at all (invariant 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Row of the participant.
    pub participant: i64,
    /// Row of the generation that decided.
    pub generation: i64,
    /// Version of the shape of the state that is written.
    pub state_version: u32,
    /// Key of the aggregate; none where the message was about none.
    pub key: Option<String>,
    /// What is written, in this order.
    pub writes: Vec<Write>,
}

/// One item of an entry. A *guard* comes before what it guards: where it is refused, the entry is a
/// duplicate, and nothing that follows the guard is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Where a consumer reads on. Always the first item.
    Offset(Offset),
    /// A parked message leaves its place, by its number. Guard: it is still there.
    Unpark(i64),
    /// An identity is noted, at this time in milliseconds since the Unix epoch. Guard: it is not
    /// known.
    Inbox(Identity, u64),
    /// A parked record was decided: its identity is kept from this time on.
    InboxKept(Identity, u64),
    /// A parked record is given up: it may be published anew.
    InboxForgotten(Identity),
    /// The aggregate's state, and its revision. Without a state it is removed, and all its timers
    /// with it.
    State(Option<String>, u64),
    /// The aggregate's state in another shape. It is the same state: its revision stays.
    Migrated(Arc<str>),
    /// Timers are set or cancelled, by this message.
    Timers(Vec<TimerChange>, Cause),
    /// A timer was consumed.
    Fired(FiredTimer),
    /// The decision is recorded.
    Journal(JournalEntry),
    /// A reply is kept for a client that may repeat its command.
    Reply(KeptReply),
    /// The number of a generated key that was used.
    GeneratedKey(i64),
    /// A message could not be decided.
    DeadLetter(Box<DeadLetter>),
    /// A message is parked. Guard: its identity is not parked.
    Park(Box<Parking>),
    /// A timer waits for other rules, unless it was cancelled or set anew.
    ParkTimer(Box<ParkedTimer>),
    /// The aggregate is quarantined: why, and when in milliseconds since the Unix epoch.
    Quarantine(String, u64),
    /// The aggregate is quarantined no more.
    QuarantineLifted,
    /// What is counted.
    Tally(Tally),
    /// A record is published.
    Publish(Box<OutboxRow>),
}

/// The reply that is kept under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReply {
    /// The idempotency key.
    pub key: Arc<str>,
    /// Fingerprint of the request.
    pub fingerprint: [u8; 32],
    /// The reply, as JSON text.
    pub reply: String,
    /// When, in milliseconds since the Unix epoch.
    pub time: u64,
}

impl Entry {
    /// An entry that writes nothing yet.
    #[must_use]
    pub fn empty(participant: i64, generation: i64, state_version: u32) -> Self {
        Self {
            participant,
            generation,
            state_version,
            key: None,
            writes: Vec::new(),
        }
    }

    /// Notes where the consumer of its record reads on, as it is about to be written.
    pub fn consumes(&mut self, offset: Offset) {
        self.writes.insert(0, Write::Offset(offset));
    }

    /// Whether it changes the state of its aggregate.
    #[must_use]
    pub fn changes_state(&self) -> bool {
        (self.writes.iter()).any(|write| matches!(write, Write::State(..)))
    }

    /// Whether it publishes something.
    #[must_use]
    pub fn publishes(&self) -> bool {
        (self.writes.iter()).any(|write| matches!(write, Write::Publish(_)))
    }

    /// Whether it sets a timer, or consumes one, after which there may be the next.
    #[must_use]
    pub fn touches_timers(&self) -> bool {
        (self.writes.iter()).any(|write| matches!(write, Write::Timers(..) | Write::Fired(_)))
    }
}
