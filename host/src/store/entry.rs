//! An entry that a worker hands over to be committed, and the effects of its fate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use saga_core::commit::{Broken, Entry, Fate, Link, Offset};

use super::fault::StoreFault;
use super::idempotency::Claim;
use super::parked_room::{ParkedRoom, Place};
use crate::base::session::{Session, Share};
use crate::metrics::turns::Measured;

/// An entry with the host's own data about it.
pub struct Handed {
    /// The writes.
    pub entry: Entry,
    /// The entry that it was decided on.
    pub link: Link,
    /// The record that the turn consumed.
    pub taken: Option<Taken>,
    /// The place of a newly parked message.
    pub place: Option<Place>,
    /// Bytes of a parked message that gives up its place.
    pub leaves: Option<(Arc<ParkedRoom>, usize)>,
    /// The idempotency key under which the reply is kept.
    pub claim: Option<Arc<Claim>>,
    /// The progress of the worker that hands it over.
    pub progress: Arc<CommitProgress>,
    /// Counts it once its fate is known. None if nothing is measured.
    pub measured: Option<Measured>,
    /// Called once, after the commit or when there will be none.
    pub done: Done,
}

impl Handed {
    /// Adds the offset of the consumed record, when the entry is about to be written.
    pub(super) fn consume(&mut self) {
        if let Some(taken) = &self.taken {
            self.entry.consumes(|| taken.settle());
        }
    }
}

/// Called with the outcome of the commit.
pub type Done = Box<dyn FnOnce(Result<(), StoreFault>) + Send>;

/// A consumed record.
pub struct Taken {
    /// The reading of its partition.
    pub session: Arc<Session>,
    /// Its offset.
    pub offset: i64,
    /// True if an earlier reading may have settled it.
    pub may_repeat: bool,
    /// Its share of the budget of records in flight.
    pub share: Share,
}

impl Taken {
    /// Notes that it is being committed; returns the offset to store.
    fn settle(&self) -> Offset {
        let source = &self.session.source;
        let (next, last) = self.session.settle(self.offset);
        Offset {
            consumer: source.consumer.clone(),
            topic: source.topic_row,
            partition: self.session.partition,
            next,
            epoch: self.session.epoch,
            last,
        }
    }
}

impl saga_core::worker::TakenRecord for Taken {
    fn is_cancelled(&self) -> bool {
        self.session.is_cancelled()
    }

    fn cancel(&self) {
        self.session.cancel();
    }

    fn may_repeat(&self) -> bool {
        self.may_repeat
    }

    fn group(&self) -> &str {
        &self.session.source.group
    }

    fn declared_topic(&self) -> &str {
        &self.session.source.declared_topic
    }
}

/// The progress of one worker's commits: written by the writer, read by the worker between two
/// turns.
#[derive(Debug, Default)]
pub struct CommitProgress {
    settled: AtomicU64,
    /// True if `broken` is not empty, which is rare.
    has_broken: AtomicBool,
    broken: Mutex<Vec<Broken>>,
}

impl CommitProgress {
    /// The ticket up to which the fates of all entries are known.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    /// The unwritten entries that were not returned before. To be called after
    /// [`CommitProgress::settled`], since an entry is added here first.
    #[must_use]
    pub fn broken(&self) -> Vec<Broken> {
        if !self.has_broken.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut *self.broken.lock())
    }

    /// Records the fate of an entry.
    pub(super) fn tell(&self, entry: &Entry, ticket: u64, fate: Fate) {
        if fate != Fate::Written {
            let key = entry.key.clone();
            self.broken.lock().push(Broken { ticket, key });
            self.has_broken.store(true, Ordering::Release);
        }
        self.settled.store(ticket, Ordering::Release);
    }
}
