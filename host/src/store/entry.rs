//! What a worker hands over to be committed, and what follows when its fate is known.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use saga_core::commit::{Broken, Entry, Fate, Link, Offset};

use super::fault::StoreFault;
use super::idempotency::Claim;
use super::parked_room::{ParkedRoom, Place};
use crate::base::session::{Session, Share};
use crate::metrics::turns::Measured;

/// An entry that is handed over, with what is the host's own about it.
pub struct Handed {
    /// What is written.
    pub entry: Entry,
    /// What it was decided on.
    pub link: Link,
    /// The record that the turn consumed.
    pub taken: Option<Taken>,
    /// The place of a message that is parked.
    pub place: Option<Place>,
    /// Bytes of a parked message that leaves its place.
    pub leaves: Option<(Arc<ParkedRoom>, usize)>,
    /// The idempotency key under which the reply is kept.
    pub claim: Option<Arc<Claim>>,
    /// Who hands it over.
    pub progress: Arc<Progress>,
    /// What counts it when it is committed, or will not be; none where nothing is measured.
    pub measured: Option<Measured>,
    /// Called once, after the commit or when there will be none.
    pub done: Done,
}

/// Told how the commit went.
pub type Done = Box<dyn FnOnce(Result<(), StoreFault>) + Send>;

/// A record that was consumed.
pub struct Taken {
    /// The reading of a partition that it belongs to.
    pub session: Arc<Session>,
    /// Its offset.
    pub offset: i64,
    /// Whether an earlier reading may have settled it.
    pub may_repeat: bool,
    /// Its share of what may be in flight.
    pub share: Share,
}

impl Taken {
    /// Notes that it is being committed; gives what is stored with it.
    pub(super) fn settle(&self) -> Offset {
        let source = &self.session.source;
        let (next, last) = self.session.settle(self.offset);
        Offset {
            consumer: source.consumer.clone(),
            topic: source.topic_row,
            partition: self.session.partition,
            next,
            last,
        }
    }
}

impl saga_core::worker::Taken for Taken {
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

/// How far the commits of one worker have come: told by the writer, looked at by the worker between
/// two turns.
#[derive(Debug, Default)]
pub struct Progress {
    settled: AtomicU64,
    /// Whether there is something in `broken`: most of the time there is not.
    has_broken: AtomicBool,
    broken: Mutex<Vec<Broken>>,
}

impl Progress {
    /// The ticket up to which all entries have their fate.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    /// The entries that were not written and that were not given before. To be asked after
    /// [`Progress::settled`], for an entry is told here first.
    #[must_use]
    pub fn broken(&self) -> Vec<Broken> {
        if !self.has_broken.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut *self.lock())
    }

    /// What became of an entry is known.
    pub(super) fn tell(&self, entry: &Entry, ticket: u64, fate: Fate) {
        if fate != Fate::Written {
            let key = entry.key.clone();
            self.lock().push(Broken { ticket, key });
            self.has_broken.store(true, Ordering::Release);
        }
        self.settled.store(ticket, Ordering::Release);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Broken>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
