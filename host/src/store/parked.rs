//! Messages that are parked: they wait in the store, in the order of their key, until they can be
//! decided.
//!
//! A parked record was consumed: its offset is stored, its identity is in the inbox, and it comes
//! again from here alone (invariant 3). A parked timer stays set, so that it can be set anew or
//! cancelled; what is parked is its place among the messages of its key. How much is parked is
//! bounded by [`ParkedRoom`] (invariant 9).

use std::sync::Arc;

use saga_core::identity::Identity;
use saga_core::record::Record;

use super::entry::FiredTimer;
use super::parked_room::{ParkedRoom, Place};
use super::read::Answer;

/// A message that is to be parked, behind those of its key.
pub struct Parking {
    /// Key of the aggregate.
    pub key: String,
    /// The message.
    pub message: Parked,
    /// Its place.
    pub place: Place,
    /// When, in milliseconds since the Unix epoch.
    pub time: u64,
}

impl Parking {
    /// Identity of a record, to be remembered like that of one that was decided.
    pub(super) fn identity(&self) -> Option<&Identity> {
        match &self.message {
            Parked::Event(event) => Some(&event.identity),
            Parked::Timer(..) => None,
        }
    }
}

/// A message that is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parked {
    /// A record.
    Event(Box<ParkedEvent>),
    /// A timer, by its name and the time at which it was due.
    Timer(String, u64),
}

/// A record that is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedEvent {
    /// Identity of the message that it was admitted as.
    pub identity: Identity,
    /// Name of that message.
    pub name: String,
    /// Consumer group that read it.
    pub group: String,
    /// Its topic, as the participant calls it.
    pub declared_topic: String,
    /// The record.
    pub record: Record,
}

/// A message that was parked, as it is offered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedRow {
    /// Its number; they rise in the order of the key.
    pub id: i64,
    /// Bytes that it takes.
    pub bytes: usize,
    /// The message.
    pub message: Parked,
}

/// A parked message that a turn settles.
pub struct Unparked {
    /// Its row.
    pub id: i64,
    /// Bytes that it took.
    pub bytes: usize,
    /// Identity of a record.
    pub identity: Option<Identity>,
    /// Where it had its place.
    pub room: Arc<ParkedRoom>,
}

impl Unparked {
    /// Its row is gone.
    pub(super) fn leave(&self) {
        self.room.leave(self.bytes);
    }
}

/// A timer that waits for other rules, or for the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedTimer {
    /// The timer.
    pub fired: FiredTimer,
    /// A stable word: why it could not be decided.
    pub reason: String,
    /// What was wrong.
    pub detail: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Digest of the build that could not decide.
    pub digest: String,
    /// When, in milliseconds since the Unix epoch.
    pub time: u64,
}

/// Bytes that a message takes: a record, or a timer, of this key.
#[must_use]
pub fn bytes(key: &str, record: Option<&Record>) -> usize {
    let parts = record.map(|record| [&record.key, &record.value]);
    let parts = parts.into_iter().flatten().flatten();
    key.len() + parts.map(Vec::len).sum::<usize>()
}

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
