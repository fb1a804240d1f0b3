//! Samples of what is recorded, stored and in flight, on which a candidate is tried.
//!
//! A store may hold millions of rows, beside turns that go on: each sample looks at a bounded
//! number of rows, at places spread over the table, for a bounded time, and keeps a bounded number
//! of bytes (invariant 9). [`choose`] says which of many rows make a good sample.

pub(super) mod choose;

use std::sync::Arc;

use saga_core::record::Record;

use super::parked::ParkedEvent;
use super::read::{Answer, StoredAggregate, StoredTimer};

/// A decision as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Version of the shape of the state.
    pub state_version: u32,
    /// The state that the rules saw.
    pub state: Option<String>,
    /// The message, as JSON.
    pub message: String,
    /// What was decided, as JSON.
    pub outcome: String,
}

/// An aggregate with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    /// Its key.
    pub key: String,
    /// What is stored of it.
    pub stored: StoredAggregate,
}

/// A timer that is set, and its aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The timer.
    pub timer: StoredTimer,
    /// Its aggregate.
    pub aggregate: Keyed,
}

/// A topic of which records may wait.
#[derive(Debug, Clone, Copy)]
pub struct Topic<'t> {
    /// The name under which the store keeps where the participant reads on in the embedded log;
    /// none where records come by way of a broker, and any of the outbox may wait.
    pub consumer: Option<&'t str>,
    /// Row of the topic.
    pub row: i64,
    /// Its name.
    pub name: &'t Arc<str>,
}

/// Chooses at most `most` rows, in their order: in turn one of each kind, spread over those of the
/// kind.
pub fn evenly<T, K: Ord>(rows: Vec<T>, most: usize, kind: impl Fn(&T) -> K) -> Vec<T> {
    choose::choose(rows, most, kind, &[])
}

/// Samples.
pub trait ReadSamples {
    /// Recorded decisions of a participant, the latest first, at most `most`: where there are more,
    /// of each kind of message on aggregates that were there and on ones that were not the latest,
    /// the oldest and the largest, and some between them.
    fn sample_journal(&self, participant: i64, most: usize) -> Answer<Vec<Recorded>>;

    /// Stored states of a participant, at most `most`, but for those of quarantined aggregates.
    fn sample_states(&self, participant: i64, most: usize) -> Answer<Vec<Keyed>>;

    /// Quarantined aggregates, those that are so longest first, at most `most`.
    fn sample_quarantined(&self, participant: i64, most: usize) -> Answer<Vec<Keyed>>;

    /// Timers of a participant, in the order in which they are due, at most `most`: where there are
    /// more, of each name those that are due first and last, and some between them.
    fn sample_timers(&self, participant: i64, most: usize) -> Answer<Vec<Pending>>;

    /// Records of a participant that are parked: of each key the first, of at most `most` keys.
    fn sample_parked(&self, participant: i64, most: usize) -> Answer<Vec<ParkedEvent>>;

    /// Records of a topic that a participant has yet to take, at most `most`, of each event type.
    /// In the embedded log they are those that are next in each partition. What is on a broker is
    /// not known here: then it is the latest of the outbox, but for those that were applied.
    fn sample_unread(&self, participant: i64, topic: Topic<'_>, most: usize)
    -> Answer<Vec<Record>>;
}
