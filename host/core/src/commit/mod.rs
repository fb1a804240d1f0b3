//! Entries: all writes of one turn, as a list.
//!
//! # Layout
//!
//! - this file: [`Entry`], all writes of one turn, and [`Write`], one item of it
//! - [`rows`]: the larger items
//! - [`chain`]: the validity of entries after one before them was not written
//!
//! Must not know: SQL, transactions, threads. Invariants that live here: 2 (an entry is written
//! whole or not at all), 3 (guards: an identity is written once), 4 (chains).

pub mod chain;
pub mod rows;

use std::sync::Arc;

pub use chain::{Batch, Broken, Chains, CommitOutcome, Ended, Fate, InBatch, Link};
pub use rows::{
    Blocks, DeadLetter, FailedRedrive, FiredTimer, LetterEnd, LetterPlace, LetterRequest, Offset,
    OutboxRow, Parked, ParkedEvent, ParkedKey, ParkedLetter, ParkedRow, ParkedTimer, Parking,
    Proof, ReturnedRecord, SharedAggregate, StoredAggregate, StoredTimer, Tally, Verdict,
};

use crate::identity::Identity;
use crate::outcome::TimerChange;
use crate::settle::{Cause, JournalEntry};

/// All writes of one turn. An entry is written whole or not at all (invariant 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Row of the participant.
    pub participant: i64,
    /// Row of the generation that decided.
    pub generation: i64,
    /// Version of the shape of the state that is written.
    pub state_version: u32,
    /// Key of the aggregate; None if the message has none.
    pub key: Option<String>,
    /// True if its worker knows that messages of the aggregate are parked. Otherwise none may be.
    pub is_beside_parked: bool,
    /// The items, in the order in which they are written.
    pub writes: Vec<Write>,
}

/// One item of an entry. A *guard* comes before the items that it guards: if it fails, the entry is
/// a duplicate, and nothing that follows the guard is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The consumer's next offset. Always the first item.
    Offset(Offset),
    /// Removes a parked message, by its number. Guard: it is still parked.
    Unpark(i64),
    /// Records an identity, at this time in milliseconds since the Unix epoch. Guard: it is
    /// unknown.
    Inbox(Identity, u64),
    /// Keeps the identity of a parked record that was decided from this time on.
    InboxKept(Identity, u64),
    /// Forgets the identity of a parked record that is given up, so that it may be published again.
    InboxForgotten(Identity),
    /// The aggregate's state, its revision, and the correlation of the saga that it belongs to.
    /// Without a state the aggregate is removed, with all its timers.
    State(Option<String>, u64, String),
    /// The aggregate's state in another shape, and its revision, which stays: it is the same state.
    Migrated(Arc<str>, u64),
    /// Sets or cancels timers, by this message.
    Timers(Vec<TimerChange>, Cause),
    /// Deletes a timer that was consumed.
    Fired(FiredTimer),
    /// Records the decision.
    Journal(JournalEntry),
    /// Keeps a reply for a client that may repeat its command.
    Reply(KeptReply),
    /// The number of a generated key that is now used.
    GeneratedKey(i64),
    /// Stores a dead letter. Follows the [`Write::Park`] of a record that stays parked.
    DeadLetter(Box<DeadLetter>),
    /// Ends a dead letter, by its number, at this time in milliseconds since the Unix epoch.
    LetterEnded(i64, LetterEnd, u64),
    /// Ends the request for a dead letter that was redriven without success.
    FailedRedrive(Box<FailedRedrive>),
    /// The same for a dead letter that was parked only to be redriven, and is so no more. Guard: it
    /// still is, and nothing else was requested for it meanwhile; a later request must find it
    /// parked.
    FailedAside(Box<FailedRedrive>),
    /// Replaces the record of a parked dead letter, to be redriven.
    ReturnedRecord(Box<ReturnedRecord>),
    /// Parks a message. Guard: its identity is not parked.
    Park(Box<Parking>),
    /// Parks a timer until other rules are active, unless it was cancelled or reset.
    ParkTimer(Box<ParkedTimer>),
    /// Quarantines the aggregate: the reason, and the time in milliseconds since the Unix epoch.
    Quarantine(String, u64),
    /// Lifts the quarantine of the aggregate.
    QuarantineLifted,
    /// Counts a message.
    Tally(Tally),
    /// Publishes a record.
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
    /// Correlation of the command.
    pub correlation: String,
    /// Its time, in milliseconds since the Unix epoch.
    pub time: u64,
}

impl Entry {
    /// An empty entry.
    #[must_use]
    pub fn empty(participant: i64, generation: i64, state_version: u32) -> Self {
        Self {
            participant,
            generation,
            state_version,
            key: None,
            is_beside_parked: false,
            writes: Vec::new(),
        }
    }

    /// Adds the consumer's next offset, when the entry is about to be written. An entry that is
    /// written again keeps the one that it has: later records of its first commit count as settled
    /// since then, but may not be written.
    pub fn consumes(&mut self, settle: impl FnOnce() -> Offset) {
        if !matches!(self.writes.first(), Some(Write::Offset(_))) {
            self.writes.insert(0, Write::Offset(settle()));
        }
    }

    /// True if it changes the state of its aggregate.
    #[must_use]
    pub fn changes_state(&self) -> bool {
        (self.writes.iter()).any(|write| matches!(write, Write::State(..)))
    }

    /// True if it publishes something.
    #[must_use]
    pub fn publishes(&self) -> bool {
        (self.writes.iter()).any(|write| matches!(write, Write::Publish(_)))
    }

    /// True if it sets a timer, or consumes one, after which there may be the next.
    #[must_use]
    pub fn touches_timers(&self) -> bool {
        (self.writes.iter()).any(|write| matches!(write, Write::Timers(..) | Write::Fired(_)))
    }
}
