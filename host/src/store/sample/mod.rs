//! Samples of data that is recorded, stored and in flight, for trials of a candidate.
//!
//! A store may hold millions of rows and serve turns meanwhile: each sample reads a bounded number
//! of rows, at places spread over the table, for a bounded time, and keeps a bounded number of
//! bytes (invariant 9).
//!
//! # Layout
//!
//! - [`journal`], [`states`], [`waiting`]: which rows are read, and of which the sample is made. The
//!   engines read them.
//! - [`choose`]: a good sample of many rows; [`bounds`]: time and bytes of a sample

pub(super) mod bounds;
pub(super) mod choose;
pub(super) mod journal;
pub(super) mod states;
pub(super) mod waiting;

use std::sync::Arc;

use saga_core::message::Message;
use saga_core::outcome::Outcome;
use saga_core::record::Record;

use super::parked::ParkedEvent;
use super::read::{StoreResult, StoredAggregate, StoredTimer};

/// A recorded decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Identifies the rules that decided: digest of component and settings.
    pub digest: String,
    /// Version of the state shape.
    pub state_version: u32,
    /// The state that the rules saw.
    pub state: Option<String>,
    /// The message.
    pub message: Message,
    /// The outcome.
    pub outcome: Outcome,
}

/// An aggregate with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    /// Its key.
    pub key: String,
    /// The stored aggregate.
    pub stored: StoredAggregate,
}

impl Keyed {
    /// Bytes of its state.
    pub(super) fn bytes(&self) -> usize {
        self.stored.state.as_ref().map_or(0, String::len)
    }
}

/// A pending timer and its aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingTimer {
    /// The timer.
    pub timer: StoredTimer,
    /// Its aggregate.
    pub aggregate: Keyed,
}

/// A topic whose records may wait.
#[derive(Debug, Clone, Copy)]
pub struct SampledTopic<'t> {
    /// The name under which the store keeps the participant's offsets in the embedded log. None if
    /// records come from a broker, and any record of the outbox may wait.
    pub consumer: Option<&'t str>,
    /// Row of the topic.
    pub row: i64,
    /// Its name.
    pub name: &'t Arc<str>,
}

/// Chooses at most `most` rows, in their order: one of each kind in turn, spread over the rows of
/// the kind.
pub fn evenly<T, K: Ord>(rows: Vec<T>, most: usize, kind: impl Fn(&T) -> K) -> Vec<T> {
    choose::choose(rows, most, kind, &[])
}

/// Queries for samples.
pub trait ReadSamples {
    /// Recorded decisions of a participant, latest first, at most `most`. If there are more: for
    /// each kind of message, on existing and on missing aggregates, the latest, oldest and largest,
    /// and some between them.
    fn sample_journal(&self, participant: i64, most: usize) -> StoreResult<Vec<Recorded>>;

    /// Stored states of a participant, at most `most`, except those of quarantined aggregates.
    fn sample_states(&self, participant: i64, most: usize) -> StoreResult<Vec<Keyed>>;

    /// Quarantined aggregates, longest quarantined first, at most `most`.
    fn sample_quarantined(&self, participant: i64, most: usize) -> StoreResult<Vec<Keyed>>;

    /// Timers of a participant, ordered by due time, at most `most`. If there are more: for each
    /// name those that are due first and last, and some between them.
    fn sample_timers(&self, participant: i64, most: usize) -> StoreResult<Vec<PendingTimer>>;

    /// Parked records of a participant: the first of each key, of at most `most` keys.
    fn sample_parked(&self, participant: i64, most: usize) -> StoreResult<Vec<ParkedEvent>>;

    /// Records of a topic that a participant has not yet taken, at most `most`, of each event type.
    /// In the embedded log these are the next ones of each partition. The records on a broker are
    /// not known here: then these are the latest of the outbox, except those that were applied.
    fn sample_unread(
        &self,
        participant: i64,
        topic: SampledTopic<'_>,
        most: usize,
    ) -> StoreResult<Vec<Record>>;
}
