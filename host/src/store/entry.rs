//! What one turn hands over to be committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use saga_core::identity::Identity;
use saga_core::record::Attributes;
use saga_core::settle::Settlement;

use super::fault::StoreFault;
use super::idempotency::KeptReply;
use super::parked::{ParkedTimer, Parking, Unparked};
use super::tally::Tally;
use crate::base::session::{Session, Share};
use crate::metrics::turns::Measured;

/// Everything that one turn writes. It is committed whole or not at all (invariant 2).
pub struct Entry {
    /// Row of the participant.
    pub participant: i64,
    /// Row of the build that decided.
    pub generation: i64,
    /// Version of the shape of the state that is written.
    pub state_version: u32,
    /// What was decided; none where nothing was (a dead letter, a record that was passed over).
    pub settlement: Option<Settlement>,
    /// The state in the current shape, where the turn migrated it and left it as it is.
    pub migrated: Option<Arc<str>>,
    /// What the entry means for the quarantine of its aggregate.
    pub quarantine: Option<Quarantine>,
    /// What is counted of it.
    pub tally: Option<Tally>,
    /// What is published.
    pub outbox: Vec<OutboxRow>,
    /// The generated key that the turn used.
    pub generated_key: Option<i64>,
    /// The reply, where the client may repeat the command.
    pub kept_reply: Option<KeptReply>,
    /// The record that the turn consumed.
    pub taken: Option<Taken>,
    /// The timer that the turn consumed.
    pub fired: Option<FiredTimer>,
    /// The place of a record that became a dead letter: it is not to be tried again when it comes again.
    pub put_aside: Option<Identity>,
    /// The message could not be decided.
    pub dead_letter: Option<DeadLetter>,
    /// The message waits in the store. This and the next two are seldom there, and every entry is moved about.
    pub parking: Option<Box<Parking>>,
    /// The parked message that the turn settles.
    pub unparked: Option<Box<Unparked>>,
    /// The timer that waits for other rules.
    pub parked_timer: Option<Box<ParkedTimer>>,
    /// Who hands it over.
    pub progress: Arc<Progress>,
    /// Its number with that worker; rises by one with each entry.
    pub ticket: u64,
    /// The worker's run in which it was decided; see [`Progress`].
    pub run: u64,
    /// What counts it when it is committed, or will not be; none where nothing is measured.
    pub measured: Option<Measured>,
    /// Called once, after the commit or when there will be none.
    pub done: Done,
}

/// Told how the commit went.
pub type Done = Box<dyn FnOnce(Result<(), StoreFault>) + Send>;

/// A record to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Row of the topic.
    pub topic: i64,
    /// Partition of the outbox.
    pub partition: i32,
    /// Record key.
    pub key: Option<Vec<u8>>,
    /// Record value.
    pub value: Option<Vec<u8>>,
    /// Attributes; source and digest are not stored but follow from the generation.
    pub attributes: Attributes,
    /// Whether it says which build decided: an event does, a dead letter carries what it came with.
    pub from_generation: bool,
    /// Time of the record, in milliseconds since the Unix epoch.
    pub time: u64,
}

/// A record that was consumed.
pub struct Taken {
    /// The reading of a partition that it belongs to.
    pub session: Arc<Session>,
    /// Its offset.
    pub offset: i64,
    /// Whether an earlier reading may have settled it.
    pub may_repeat: bool,
    /// Its share of what may be under way.
    pub share: Share,
}

/// A timer that was consumed. It is deleted only if it was not set anew meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FiredTimer {
    /// Key of the aggregate.
    pub key: String,
    /// Name of the timer.
    pub name: String,
    /// When it was due.
    pub due: u64,
}

/// A change in the quarantine of an aggregate, by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quarantine {
    /// Its state can't be read: why, and when.
    Put {
        /// Key.
        key: String,
        /// Why.
        reason: String,
        /// When, in milliseconds since the Unix epoch.
        time: u64,
    },
    /// Its state was read.
    Lift(String),
}

/// A message that could not be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The consumer group.
    pub consumer: String,
    /// Topic that it came from.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Record key, unchanged.
    pub key: Option<Vec<u8>>,
    /// Record value, unchanged.
    pub value: Option<Vec<u8>>,
    /// A stable word: `malformed`, `retries-exhausted`, `parking-full`, or the kind of fault.
    pub reason: String,
    /// What was wrong.
    pub detail: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Digest of the build that could not decide.
    pub digest: String,
    /// When it was given up, in milliseconds since the Unix epoch.
    pub time: u64,
}

/// How far the commits of one worker have come.
///
/// A worker runs ahead of the commits: it decides the next message of a key on the state that the
/// one before left, while that one is still on its way to disk. If a commit fails, everything that
/// the worker decided since is void. The writer then starts a new `run`: it refuses entries of older
/// runs, and the worker, which sees the new number, forgets what it believed and reads anew.
#[derive(Debug, Default)]
pub struct Progress {
    committed: AtomicU64,
    run: AtomicU64,
}

impl Progress {
    /// The highest ticket that is committed.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    /// The run whose entries are taken.
    #[must_use]
    pub fn run(&self) -> u64 {
        self.run.load(Ordering::Acquire)
    }

    pub(super) fn set_committed(&self, ticket: u64) {
        self.committed.store(ticket, Ordering::Release);
    }

    pub(super) fn start_new_run(&self, after: u64) {
        // Two entries of one failed batch must not start two runs.
        let _ = self
            .run
            .compare_exchange(after, after + 1, Ordering::AcqRel, Ordering::Acquire);
    }
}
