//! The bound on parked messages, and its use (invariant 9).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

pub use saga_core::worker::Bound;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bounds on parked messages. A message that exceeds them becomes a dead letter, or waits in memory
/// if its key only waits for another attempt.
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

/// The number of parked messages of a participant, and its bound.
#[derive(Debug)]
pub struct ParkedRoom {
    limits: ParkedLimits,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    is_full: AtomicBool,
}

impl ParkedRoom {
    /// The room of a participant whose stored messages take this much of it.
    #[must_use]
    pub fn new(limits: ParkedLimits, (messages, bytes): (usize, usize)) -> Arc<Self> {
        Arc::new(Self {
            limits,
            messages: messages.into(),
            bytes: bytes.into(),
            is_full: AtomicBool::default(),
        })
    }

    /// A place for one more message of this size, of an aggregate with this many parked messages.
    ///
    /// # Errors
    /// The bound that is exceeded.
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

    /// True if this is the first message of the participant without room since a tenth of it was
    /// free.
    #[must_use]
    pub fn has_just_filled(&self) -> bool {
        !self.is_full.swap(true, Ordering::Relaxed)
    }

    /// The number of parked messages, and their bytes.
    #[must_use]
    pub fn used(&self) -> (usize, usize) {
        let of = |count: &AtomicUsize| count.load(Ordering::Acquire);
        (of(&self.messages), of(&self.bytes))
    }

    /// Frees the place of a message of this size.
    pub(super) fn leave(&self, bytes: usize) {
        self.subtract(bytes);
        // Messages that come and go at the bound are not reported each time.
        let is_free = |used: usize, most: usize| used.saturating_mul(10) < most.saturating_mul(9);
        let (messages, bytes) = self.used();
        if is_free(messages, self.limits.messages) && is_free(bytes, self.limits.bytes) {
            self.is_full.store(false, Ordering::Relaxed);
        }
    }

    /// Takes in what is parked, by any host. Messages on their way are counted at the next time.
    pub fn recount(&self, (messages, bytes): (usize, usize)) {
        self.messages.store(messages, Ordering::Release);
        self.bytes.store(bytes, Ordering::Release);
    }

    fn subtract(&self, bytes: usize) {
        // Another host may have parked it, which was not counted yet.
        let less = |count: &AtomicUsize, by| {
            let _ = count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                Some(count.saturating_sub(by))
            });
        };
        less(&self.messages, 1);
        less(&self.bytes, bytes);
    }
}

/// A place for one message. Dropping it frees it, unless the message was parked.
#[derive(Debug)]
pub struct Place {
    room: Arc<ParkedRoom>,
    bytes: usize,
    is_kept: AtomicBool,
}

impl Place {
    /// Notes that the message is parked.
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
