//! An engine: what a store does, whatever it is made of. The writing side is here, the reading side
//! is [`ReadStore`].
//!
//! # Writing
//!
//! Entries and other changes that wait together share one commit. It is on disk when it is told of
//! (invariant 10), and it holds each entry whole or not at all (invariant 2). Every entry has one
//! [fate](saga_core::commit::Fate), which its `done` is told once, after the commit:
//!
//! - *written*: `Ok`; its claim and its place among the parked messages are kept;
//! - *duplicate*: `Ok` too, but its event was applied before (invariant 3): only that its record
//!   was consumed is written;
//! - otherwise a fault. Nothing of it is written: the commit failed, or what it was decided on did
//!   not come to be. The reading of its record is cancelled, so that the record comes again.
//!
//! An entry that is not written breaks its chain: the entries of the same aggregate that were
//! decided on it. A change that fails costs nothing else in its commit anything. Changes that are
//! not entries come after what was handed over before them, and block until they are committed,
//! unless they say otherwise. Nothing is tried again here.
//!
//! There is one engine, `sqlite`; what any other must do is stated by `conformance`.

use std::sync::Arc;

use crossbeam_channel::Receiver;
use saga_core::commit::Link;

use super::condition::Condition;
use super::entry::{Done, Handed};
use super::idempotency::Known;
use super::index::Index;
use super::read::{Answer, ReadStore};
use super::readers::Reader;
use super::streams::ReadPartition;
use super::tally::Tally;
use crate::base::changes::Changes;
use crate::base::notify::Notify;
use crate::base::session::Proof;

/// The store of a host that runs: one engine or another.
pub type Store = dyn Engine;

/// A generation as it is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewGeneration<'g> {
    /// Digest of its component.
    pub digest: &'g str,
    /// The version that it declares.
    pub version: &'g str,
    /// Version of the shape of its states.
    pub state_version: u32,
    /// When, in milliseconds since the Unix epoch.
    pub now: u64,
}

/// A generation becomes the active one of its participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// Row of the participant.
    pub participant: i64,
    /// Row of the generation.
    pub generation: i64,
    /// By which way, in a stable word.
    pub way: &'static str,
    /// When, in milliseconds since the Unix epoch.
    pub now: u64,
    /// Commands that have another name from now on, the old and the new one: what was asked under
    /// the one counts for the other.
    pub renamed: Vec<(String, String)>,
}

/// Looks, at what is committed before an activation, whether it may take place.
pub type Check = Box<dyn FnOnce(&dyn ReadStore) -> Answer<bool> + Send>;

/// A store that is open for a host. See the [module](self) for what all its changes have in common.
pub trait Engine: Send + Sync {
    /// A number that no other worker of this store has.
    fn worker_number(&self) -> u64;

    /// Hands over an entry. Waits while too many wait (invariant 9).
    fn commit(&self, handed: Box<Handed>);

    /// Calls back when the entry that the link is based on is committed; with a fault where it will
    /// not be.
    fn after(&self, link: Link, done: Done);

    /// Counts a message that leaves nothing to commit: with the next commit, or soon.
    fn count(&self, tally: Tally);

    /// Blocks until everything handed over before is committed or has failed, and is told of.
    fn settle_up(&self);

    /// Claims an idempotency key of a participant for the request with this fingerprint. Looks into
    /// memory only.
    fn claim(&self, participant: i64, key: &str, fingerprint: [u8; 32]) -> Known;

    /// Writes where a consumer reads on, and what the record before that was; its log keeps its
    /// name.
    fn write_place(
        &self,
        consumer: &str,
        topic: i64,
        partition: i32,
        place: (i64, Option<Proof>),
    ) -> Answer<()>;

    /// Writes where a consumer reads on. What was before is not known.
    fn write_offset(&self, consumer: &str, topic: i64, partition: i32, next: i64) -> Answer<()> {
        self.write_place(consumer, topic, partition, (next, None))
    }

    /// Writes where a consumer reads on, by topic and partition, without waiting: the outcome comes
    /// by the channel, which is closed without one if the store is.
    fn hand_in_offsets(
        &self,
        consumer: &str,
        offsets: Vec<(i64, i32, i64)>,
    ) -> Receiver<Answer<()>>;

    /// A consumer reads its first topic of the name in this row, which has this id: the partitions
    /// from these offsets on, unless it is known better.
    fn first_topic(
        &self,
        consumer: &str,
        topic: i64,
        id: &str,
        starts: &[(i32, i64)],
    ) -> Answer<()>;

    /// A consumer reads another topic of the name in this row, from its beginning.
    fn next_topic(&self, consumer: &str, topic: i64, id: &str) -> Answer<()>;

    /// Notes the consumers that a participant has on the embedded log, by name and topic: those
    /// that are there no more hold back no rows of the outbox for longer than these are kept
    /// anyway.
    fn note_consumers(
        &self,
        participant: &str,
        consumers: &[(Arc<str>, i64)],
        now: u64,
    ) -> Answer<()>;

    /// Has the parked timers of a participant offered again, but for those that have a place among
    /// the messages of their key; says how many.
    fn release_timers(&self, participant: i64) -> Answer<usize>;

    /// The row of a participant, which is made where there is none, and the last key that was
    /// generated for it.
    fn register_participant(&self, name: &str) -> Answer<(i64, i64)>;

    /// The row of a generation, which is made where there is none.
    fn register_generation(&self, participant: i64, generation: NewGeneration<'_>) -> Answer<i64>;

    /// The row of a topic, which is made where there is none.
    fn register_topic(&self, name: &str) -> Answer<i64>;

    /// Notes a component that was refused: by which way it came, and why (JSON).
    fn note_refused(&self, participant: i64, way: &str, refused: &str, now: u64) -> Answer<()>;

    /// Makes those of these indexes that are not there. Commits wait while a large one is built.
    fn create_indexes(&self, indexes: &[Index]) -> Answer<()>;

    /// Drops the participant's indexes that are none of these.
    fn drop_indexes(&self, participant: i64, keep: &[Index]) -> Answer<()>;

    /// Makes these generations active, with these indexes: all of it or nothing. Aggregates whose
    /// states a generation reads as they are leave the quarantine, but for those for which messages
    /// are parked.
    fn activate(&self, activations: &[Activation], indexes: &[Index]) -> Answer<()>;

    /// Makes a generation active if `check` allows it, which sees what is committed before, and
    /// nothing comes in between; says whether it did.
    fn activate_if(&self, activation: Activation, check: Check) -> Answer<bool>;

    /// A reader, from a pool: it goes back there when it is dropped. For one thread at a time; a
    /// thread that reads all the time keeps one.
    fn reader(&self) -> Answer<Reader>;

    /// Notified after every commit that published something.
    fn published(&self) -> &Notify;

    /// Notified after every commit that set a timer.
    fn timers(&self) -> &Notify;

    /// Tells after every commit which aggregates it changed.
    fn changes(&self) -> &Changes;

    /// What the store is good for at the moment. A fault in reading is reported there by who meets
    /// it.
    fn condition(&self) -> &Condition;

    /// To be called now and then: notes in the condition whether the writer stands still.
    fn note_standstill(&self);

    /// How much was ever handed over to be written, and how much of it is over.
    fn flow(&self) -> (u64, u64);

    /// The time by which old rows are deleted, in milliseconds since the Unix epoch: it does not
    /// trust one reading of the clock.
    fn trusted_now(&self) -> u64;

    /// Hours for which an event that comes again is recognised.
    fn retention_hours(&self) -> u64;

    /// A name by which this store is told from all others, copies of it included.
    fn identity(&self) -> &str;

    /// What it occupies on disk, in bytes, by kind of file.
    fn bytes(&self) -> Vec<(&'static str, u64)>;

    /// Commits what is queued and ends. Nothing may be handed over afterwards, and no reader be
    /// taken.
    fn close(&self);
}

/// A store that no host has open, owned by this process meanwhile.
pub trait Stopped {
    /// All questions.
    fn reading(&self) -> &dyn ReadStore;

    /// Makes a generation the one with which the host starts.
    fn activate(&mut self, activation: &Activation) -> Answer<()>;

    /// Has a partition read on from this offset, whatever was read before. With `log`, what is read
    /// from there on are other records than those that were at the same offsets before.
    fn seek(&mut self, read: &ReadPartition, next: i64, log: Option<&str>) -> Answer<()>;
}
