//! Parked messages: they wait in the store, in the order of their key, until they can be decided.
//!
//! A parked record was consumed: its offset is stored, its identity is in the inbox, and it comes
//! again from here alone (invariant 3). A parked timer stays set, so that it can be reset or
//! cancelled; parked is its place among the messages of its key.
//! [`ParkedRoom`](super::parked_room::ParkedRoom) bounds the parked messages (invariant 9).

pub use saga_core::commit::{Parked, ParkedEvent, ParkedKey, ParkedRow, ParkedTimer, Parking};

use super::read::StoreResult;

/// A parked timer, for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedTimerRow {
    /// Key of the aggregate.
    pub key: String,
    /// Name.
    pub name: String,
    /// Start, in milliseconds since the Unix epoch.
    pub since: u64,
    /// Reason: a stable word.
    pub reason: String,
    /// The problem.
    pub detail: String,
}

/// Queries for parked messages.
pub trait ReadParked {
    /// The number of parked messages of a participant, and their bytes.
    fn parked_totals(&self, participant: i64) -> StoreResult<(usize, usize)>;

    /// The keys of a participant with parked messages.
    fn parked_keys(&self, participant: i64) -> StoreResult<Vec<ParkedKey>>;

    /// The first message parked for a key after this number.
    fn next_parked(
        &self,
        participant: i64,
        key: &str,
        after: i64,
    ) -> StoreResult<Option<ParkedRow>>;

    /// The message that has been parked longest for another attempt: its key, and the time when it
    /// was parked. It excludes messages of quarantined aggregates, messages behind a dead letter,
    /// and records that the rules don't take: `taken` lists those that they do, by topic (the
    /// participant's name for it) and event type.
    fn oldest_retried(
        &self,
        participant: i64,
        taken: &[(&str, &str)],
    ) -> StoreResult<Option<(String, u64)>>;

    /// The number of parked events of this type of a participant.
    fn parked_events(&self, participant: i64, event_type: &str) -> StoreResult<u64>;

    /// The number of parked timers of a participant, counted up to `most`.
    fn parked_timers_up_to(&self, participant: i64, most: usize) -> StoreResult<u64>;

    /// The timers of a participant that have been parked longest, at most `most`.
    fn parked_timers(&self, participant: i64, most: usize) -> StoreResult<Vec<ParkedTimerRow>>;
}
