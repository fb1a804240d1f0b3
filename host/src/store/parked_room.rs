//! How many messages may be parked, and how many are (invariant 9).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::parked::totals;

/// How much may be parked. A message for which there is no room becomes a dead letter, or waits in memory where its key only
/// waits for another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ParkedLimits {
    /// Messages of one participant.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub messages: usize,
    /// Bytes of the messages of one participant.
    #[schemars(range(min = 0, max = 1_i64 << 40))]
    pub bytes: usize,
    /// Messages of one aggregate.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub aggregate_messages: usize,
}

impl Default for ParkedLimits {
    fn default() -> Self {
        Self {
            messages: 100_000,
            bytes: 256 << 20,
            aggregate_messages: 1_000,
        }
    }
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

/// How much is parked of one participant, and how much may be.
#[derive(Debug)]
pub struct ParkedRoom {
    limits: ParkedLimits,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    is_full: AtomicBool,
}

impl ParkedRoom {
    /// Room of which so much is taken by what the store holds.
    ///
    /// # Errors
    /// What SQLite said.
    pub fn of(
        limits: ParkedLimits,
        sql: &Connection,
        participant: i64,
    ) -> rusqlite::Result<Arc<Self>> {
        let (messages, bytes) = totals(sql, participant)?;
        Ok(Arc::new(Self {
            limits,
            messages: messages.into(),
            bytes: bytes.into(),
            is_full: AtomicBool::default(),
        }))
    }

    /// A place for one more message of so many bytes, of an aggregate with so many parked already.
    ///
    /// # Errors
    /// The bound that leaves no room for it.
    pub fn take(self: &Arc<Self>, bytes: usize, of_aggregate: usize) -> Result<Place, Bound> {
        if of_aggregate >= self.limits.aggregate_messages {
            return Err(Bound::AggregateMessages);
        }
        let messages = self.messages.fetch_add(1, Ordering::AcqRel);
        let taken = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        if messages < self.limits.messages && taken + bytes <= self.limits.bytes {
            return Ok(Place {
                room: self.clone(),
                bytes,
                is_kept: AtomicBool::default(),
            });
        }
        self.subtract(bytes);
        Err(match messages < self.limits.messages {
            true => Bound::Bytes,
            false => Bound::Messages,
        })
    }

    /// Whether this is the first message of the participant without room since a tenth of it was free.
    #[must_use]
    pub fn has_just_filled(&self) -> bool {
        !self.is_full.swap(true, Ordering::Relaxed)
    }

    /// How many messages are parked, and how many bytes they have.
    #[must_use]
    pub fn used(&self) -> (usize, usize) {
        let of = |count: &AtomicUsize| count.load(Ordering::Acquire);
        (of(&self.messages), of(&self.bytes))
    }

    /// A message of so many bytes has left its place.
    pub(super) fn leave(&self, bytes: usize) {
        self.subtract(bytes);
        // Where messages come and go at the bound, that is no news each time.
        let is_free = |used: usize, most: usize| used.saturating_mul(10) < most.saturating_mul(9);
        let (messages, bytes) = self.used();
        if is_free(messages, self.limits.messages) && is_free(bytes, self.limits.bytes) {
            self.is_full.store(false, Ordering::Relaxed);
        }
    }

    fn subtract(&self, bytes: usize) {
        self.messages.fetch_sub(1, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// A place for one message. It is given back when it is dropped, unless the message was parked.
#[derive(Debug)]
pub struct Place {
    room: Arc<ParkedRoom>,
    pub(super) bytes: usize,
    is_kept: AtomicBool,
}

impl Place {
    /// The message is parked.
    pub(super) fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !*self.is_kept.get_mut() {
            self.room.leave(self.bytes);
        }
    }
}

#[cfg(test)]
#[path = "parked_room_tests.rs"]
mod tests;
