//! The interface of an engine. The writing side is here, the reading side is [`ReadStore`].
//!
//! # Writing
//!
//! Entries and other changes that wait together share one commit. It is durable before its outcome
//! is reported (invariant 10), and it holds each entry whole or not at all (invariant 2). Every
//! entry has one [fate](saga_core::commit::Fate); its `done` is called once with it, after the
//! commit:
//!
//! - *written*: `Ok`; its claim and its place among the parked messages are kept;
//! - *duplicate*: `Ok` too, but its event was applied before (invariant 3): only the consumption of
//!   its record is written;
//! - otherwise a fault. Nothing of it is written: the commit failed, or the entry that it was
//!   decided on was not written. The reading of its record is cancelled, so that the record comes
//!   again.
//!
//! An unwritten entry breaks its chain: the entries of the same aggregate that were decided on it.
//! A failed change affects nothing else in its commit. Changes that are not entries come after
//! everything that was handed over before them, and block until they are committed, unless stated
//! otherwise. Nothing is retried here.
//!
//! The engines are `sqlite` and `postgres`; `conformance` states what any engine must do.

use std::sync::Arc;

use crossbeam_channel::Receiver;
use saga_core::commit::{Link, Offset, OutboxRow};

use super::condition::Condition;
use super::dead_letters::{LetterAnswer, NewLetterRequest};
use super::duties::Duties;
use super::entry::{Done, Handed};
use super::history::ReleaseOutcome;
use super::idempotency::Known;
use super::index::Index;
use super::proposals::Proposals;
use super::read::{ReadStore, StoreResult};
use super::readers::Reader;
use super::streams::ReadPartition;
use super::tally::Tally;
use crate::base::changes::Changes;
use crate::base::generation::{CompiledRules, FuelTerms, RuleSettings};
use crate::base::notify::Notify;
use crate::base::session::Proof;

/// The store of a running host, with any engine.
pub type Store = dyn Engine;

/// A generation to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGeneration {
    /// Its digest.
    pub digest: String,
    /// Digest of its component.
    pub component: String,
    /// The settings that the operator gave to the rules.
    pub settings: Option<RuleSettings>,
    /// The version that it declares.
    pub version: String,
    /// Version of the state shape.
    pub state_version: u32,
    /// What the fuel of its decisions depends on from now on; `None` if that is not known.
    pub fuel_terms: Option<FuelTerms>,
    /// Time, in milliseconds since the Unix epoch.
    pub now: u64,
}

impl NewGeneration {
    /// The generation of these rules.
    #[must_use]
    pub fn of(build: &dyn CompiledRules, now: u64) -> Self {
        let description = build.description();
        Self {
            digest: build.digest().to_owned(),
            component: build.component().to_owned(),
            settings: build.settings().cloned(),
            version: description.version.clone(),
            state_version: description.state.version,
            fuel_terms: build.fuel_terms(),
            now,
        }
    }
}

/// The activation of a generation of a participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// Row of the participant.
    pub participant: i64,
    /// Row of the generation.
    pub generation: i64,
    /// Row of the generation that it was compared with: on a store with several hosts, it replaces
    /// no other. None if it was compared with none.
    pub replaces: Option<i64>,
    /// The trigger of the activation: a stable word.
    pub way: &'static str,
    /// Time, in milliseconds since the Unix epoch.
    pub now: u64,
    /// The change that it is, a text for later readers; None if that is not known.
    pub change: Option<String>,
    /// Renamed commands, old and new name: the last use of the old name counts for the new one.
    pub renamed: Vec<(String, String)>,
}

/// Decides, from what is committed before an activation, if it may take place.
pub type ActivationCheck = Box<dyn FnOnce(&dyn ReadStore) -> StoreResult<bool> + Send>;

/// A store that is open for a host. See the [module](self) for the rules that all its changes
/// share.
pub trait Engine: Send + Sync {
    /// A number that no other worker of this store has.
    fn worker_number(&self) -> u64;

    /// Hands over an entry. Blocks while too many wait (invariant 9).
    fn commit(&self, handed: Box<Handed>);

    /// Calls back when the entry that the link is based on is committed, or with a fault if it will
    /// not be.
    fn after(&self, link: Link, done: Done);

    /// Publishes a record that no turn has decided; returns its offset. It carries no generation.
    fn append(&self, row: OutboxRow) -> StoreResult<i64>;

    /// Counts a message that leaves nothing to commit, with the next commit or soon.
    fn count(&self, tally: Tally);

    /// Blocks until everything handed over before is committed or has failed, and its outcome is
    /// reported.
    fn settle_up(&self);

    /// Claims an idempotency key of a participant for the request with this fingerprint. Reads
    /// memory only.
    fn claim(&self, participant: i64, key: &str, fingerprint: [u8; 32]) -> Known;

    /// Writes the offset at which a consumer resumes, and the proof of the record before it; its
    /// log keeps its name.
    fn write_place(
        &self,
        consumer: &str,
        topic: i64,
        partition: i32,
        place: (i64, Option<Proof>),
    ) -> StoreResult<()>;

    /// Writes the offset at which a consumer resumes, without a proof of the record before it.
    fn write_offset(
        &self,
        consumer: &str,
        topic: i64,
        partition: i32,
        next: i64,
    ) -> StoreResult<()> {
        self.write_place(consumer, topic, partition, (next, None))
    }

    /// Writes offsets at which consumers resume, without waiting. The outcome comes through the
    /// channel, which closes without one if the store closes. None is written if another host has
    /// claimed one of the partitions.
    fn hand_in_offsets(&self, offsets: Vec<Offset>) -> Receiver<StoreResult<()>>;

    /// Makes a partition this host's to read; returns the epoch that its offsets must carry. What a
    /// host commits that had it before is refused from now on. Always 0 if the store has one host.
    fn claim_partition(&self, _consumer: &str, _topic: i64, _partition: i32) -> StoreResult<i64> {
        Ok(0)
    }

    /// Records that a consumer reads its first topic of the name in this row, which has this id.
    /// The partitions start at these offsets unless offsets are stored.
    fn first_topic(
        &self,
        consumer: &str,
        topic: i64,
        id: &str,
        starts: &[(i32, i64)],
    ) -> StoreResult<()>;

    /// Records that a consumer reads another topic of the name in this row, from its beginning.
    fn next_topic(&self, consumer: &str, topic: i64, id: &str) -> StoreResult<()>;

    /// Notes the consumers that a participant has on the embedded log, by name and topic. Others no
    /// longer hold back rows of the outbox beyond the retention.
    fn note_consumers(
        &self,
        participant: &str,
        consumers: &[(Arc<str>, i64)],
        now: u64,
    ) -> StoreResult<()>;

    /// Releases the parked timers of a participant to be offered again, except those with a place
    /// among the messages of their key. Returns their number.
    fn release_timers(&self, participant: i64) -> StoreResult<usize>;

    /// Stores an operator's request for a dead letter. The worker of its key must be notified.
    fn request_letter(&self, asked: NewLetterRequest) -> StoreResult<LetterAnswer>;

    /// The row of a participant, created if missing, and the last key that was generated for it.
    fn register_participant(&self, name: &str) -> StoreResult<(i64, i64)>;

    /// Numbers of keys that only this host generates, first and last. None if no other host
    /// generates keys: all after the last one are this host's.
    fn reserve_keys(&self, _participant: i64) -> StoreResult<Option<(i64, i64)>> {
        Ok(None)
    }

    /// Gives reserved numbers back that were not used, first and last, unless others were reserved
    /// since.
    fn return_keys(&self, _participant: i64, _unused: (i64, i64)) -> StoreResult<()> {
        Ok(())
    }

    /// The row of a generation, created if missing. Its terms of fuel are added if they are not its
    /// latest ones.
    fn register_generation(&self, participant: i64, generation: NewGeneration) -> StoreResult<i64>;

    /// The row of a topic, created if missing.
    fn register_topic(&self, name: &str) -> StoreResult<i64>;

    /// Notes a refused component: its trigger, and the reason of the refusal (JSON).
    fn note_refused(&self, participant: i64, way: &str, refused: &str, now: u64)
    -> StoreResult<()>;

    /// Notes a request of an operator to release a quarantined aggregate; returns its row.
    fn note_release(&self, participant: i64, key: &str, by: &str, now: u64) -> StoreResult<i64>;

    /// Adds its outcome to a noted request.
    fn note_release_outcome(&self, row: i64, outcome: ReleaseOutcome) -> StoreResult<()>;

    /// Creates those of these indexes that are missing. Commits wait while a large one is built.
    fn create_indexes(&self, indexes: &[Index]) -> StoreResult<()>;

    /// Drops all other indexes of the participant.
    fn drop_indexes(&self, participant: i64, keep: &[Index]) -> StoreResult<()>;

    /// Activates these generations with these indexes, all or none. Aggregates whose states a
    /// generation can read unmigrated leave the quarantine, except those with parked messages.
    fn activate(&self, activations: &[Activation], indexes: &[Index]) -> StoreResult<()>;

    /// Activates a generation if `check` allows it. `check` sees everything that was committed
    /// before, and nothing is committed in between. Returns true if the generation was activated.
    fn activate_if(&self, activation: Activation, check: ActivationCheck) -> StoreResult<bool>;

    /// A reader from a pool, to which it returns when it is dropped. For one thread at a time; a
    /// thread that reads all the time keeps one.
    fn reader(&self) -> StoreResult<Reader>;

    /// Notified after every commit that published something.
    fn published(&self) -> &Notify;

    /// Notified after every commit that set a timer.
    fn timers(&self) -> &Notify;

    /// Reports after every commit the aggregates that it changed.
    fn changes(&self) -> &Changes;

    /// The present condition of the store. Callers report faults of reads there.
    fn condition(&self) -> &Condition;

    /// Notes in the condition whether the writer stands still; to be called periodically.
    fn note_standstill(&self);

    /// The number of items ever handed over to be written, and the number of finished ones.
    fn flow(&self) -> (u64, u64);

    /// The time by which old rows are deleted, in milliseconds since the Unix epoch. It does not
    /// depend on one reading of the clock.
    fn trusted_now(&self) -> u64;

    /// Hours during which a repeated event is deduplicated.
    fn retention_hours(&self) -> u64;

    /// True if other hosts may change what this one has decided on. Such an entry is not written,
    /// and its command is to be decided again.
    fn is_shared(&self) -> bool {
        false
    }

    /// The row of this host; None if the store has one host.
    fn this_host(&self) -> Option<i64> {
        None
    }

    /// True if other hosts are there now.
    fn has_others(&self) -> bool {
        false
    }

    /// What this host does for all.
    fn duties(&self) -> &Duties;

    /// The proposals of its hosts; None if it has one host.
    fn proposals(&self) -> Option<&dyn Proposals> {
        None
    }

    /// Notified when another host has activated something.
    fn activated(&self) -> &Notify;

    /// A name that tells this store from all others, including its copies.
    fn identity(&self) -> &str;

    /// Disk space in bytes, by kind of file.
    fn bytes(&self) -> Vec<(&'static str, u64)>;

    /// Commits the queue and ends. Nothing may be handed over afterwards, and no reader taken.
    fn close(&self);
}

/// A store that no host has open, owned by this process meanwhile.
pub trait Stopped {
    /// The reading side.
    fn reading(&self) -> &dyn ReadStore;

    /// Makes a generation the one that the host starts with.
    fn activate(&mut self, activation: &Activation) -> StoreResult<()>;

    /// Makes a partition resume at this offset, whatever was read before. With `log`, the records
    /// from there on are other ones than those that had the same offsets before.
    fn seek(&mut self, read: &ReadPartition, next: i64, log: Option<&str>) -> StoreResult<()>;
}
