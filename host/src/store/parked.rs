//! Messages that are parked: they wait in the store, in the order of their key, until they can be
//! decided.
//!
//! A parked record was consumed: its offset is stored, its identity is in the inbox, and it comes
//! again from here alone (invariant 3). A parked timer stays set, so that it can be set anew or
//! cancelled; what is parked is its place among the messages of its key. How much is parked is
//! bounded by [`ParkedRoom`](super::parked_room::ParkedRoom) (invariant 9).

pub use saga_core::commit::{Parked, ParkedEvent, ParkedRow, ParkedTimer, Parking};

use super::read::Answer;

/// A parked timer, as it is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedTimerRow {
    /// Key of the aggregate.
    pub key: String,
    /// Name.
    pub name: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since: u64,
    /// Why: a stable word.
    pub reason: String,
    /// What was wrong.
    pub detail: String,
}

/// Questions about parked messages.
pub trait ReadParked {
    /// How many messages of a participant are parked, and how many bytes they have.
    fn parked_totals(&self, participant: i64) -> Answer<(usize, usize)>;

    /// The keys of a participant for which messages are parked, and how many for each.
    fn parked_keys(&self, participant: i64) -> Answer<Vec<(String, usize)>>;

    /// The first message parked for a key after the one with this number.
    fn next_parked(&self, participant: i64, key: &str, after: i64) -> Answer<Option<ParkedRow>>;

    /// The message that is parked longest for another attempt: its key, and when it was parked.
    /// Messages of quarantined aggregates are not, and no more are records that the rules don't
    /// take: `taken` has those that they do, by topic (as the participant calls it) and event type.
    fn oldest_retried(
        &self,
        participant: i64,
        taken: &[(&str, &str)],
    ) -> Answer<Option<(String, u64)>>;

    /// How many events of this type are parked for a participant.
    fn parked_events(&self, participant: i64, event_type: &str) -> Answer<u64>;

    /// How many timers of a participant are parked, counted up to `most`.
    fn parked_timers_up_to(&self, participant: i64, most: usize) -> Answer<u64>;

    /// The timers of a participant that are parked longest, at most `most`.
    fn parked_timers(&self, participant: i64, most: usize) -> Answer<Vec<ParkedTimerRow>>;
}
