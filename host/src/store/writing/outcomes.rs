//! The reports of a commit's outcome: to the workers, to those who wait for an entry, and to the
//! threads that look for published records, timers and changes.

use std::sync::Arc;
use std::time::Instant;

use saga_core::commit::{Batch, Chains, CommitOutcome, Ended, Entry, Fate};

use super::items::BatchItem;
use crate::base::changes::Changes;
use crate::base::notify::Notify;
use crate::store::condition::Condition;
use crate::store::entry::{Done, Handed};
use crate::store::fault::{StoreFault, StoreFaultKind};

/// The listeners of a store's commits; clones report to the same.
#[derive(Clone)]
pub(in crate::store) struct Outcomes {
    /// Notified after every commit that published something.
    pub(in crate::store) published: Notify,
    /// Notified after every commit that set a timer.
    pub(in crate::store) timers: Notify,
    /// Notified when another host has activated something.
    pub(in crate::store) activated: Notify,
    /// Reports after every commit the aggregates that it changed.
    pub(in crate::store) changes: Changes,
    /// The condition of the store.
    pub(in crate::store) condition: Arc<Condition>,
}

impl Outcomes {
    pub(in crate::store) fn new(condition: Arc<Condition>) -> Self {
        Self {
            published: Notify::default(),
            timers: Notify::default(),
            activated: Notify::default(),
            changes: Changes::default(),
            condition,
        }
    }

    /// Ends a batch whose outcome is known, and reports it. To be called when it is visible in the store:
    /// workers that were told sooner would read states that are about to be replaced.
    pub(in crate::store) fn end<C>(
        &self,
        batch: Batch<BatchItem<C>>,
        chains: &mut Chains,
        result: Result<(), StoreFault>,
        now: Option<Instant>,
    ) {
        let outcome = match &result {
            Ok(()) => CommitOutcome::Committed,
            Err(_) => CommitOutcome::Failed,
        };
        let Ended::Over(items) = batch.end(chains, outcome) else {
            return;
        };
        tell_workers(&items);
        match result {
            Ok(()) => self.committed(items, now),
            Err(fault) => self.failed(items, &fault),
        }
    }

    fn committed<C>(&self, items: Vec<(BatchItem<C>, Fate)>, now: Option<Instant>) {
        // An empty commit succeeds even on a full disk.
        let is_written = |fate: Fate| matches!(fate, Fate::Written | Fate::Duplicate);
        let has_written = |(item, fate): &(BatchItem<C>, Fate)| {
            matches!(item, BatchItem::Entry(_)) && is_written(*fate)
        };
        if items.iter().any(has_written) {
            self.condition.has_committed();
        }
        let mut notified = Notified::default();
        for (item, fate) in items {
            match item {
                BatchItem::Entry(handed) if is_written(fate) => {
                    notified.add(&handed.entry);
                    self.written(*handed, fate == Fate::Written, now);
                }
                BatchItem::Entry(handed) => {
                    let why = "was decided on a state that did not come to be; try again";
                    void(*handed, &StoreFault::new(StoreFaultKind::Superseded, why));
                }
                BatchItem::After(done, _) => after(done, fate == Fate::Written),
                BatchItem::Taken(done) => done(Ok(())),
                // All steps ran when the batch was written.
                BatchItem::Step(_) => {}
            }
        }
        if notified.published {
            self.published.notify();
        }
        if notified.timers {
            self.timers.notify();
        }
    }

    /// An entry is durable; or it was applied before, and its consumption is durable.
    fn written(&self, mut handed: Handed, is_new: bool, now: Option<Instant>) {
        if is_new {
            handed
                .place
                .iter()
                .for_each(crate::store::parked_room::Place::keep);
            if let Some((room, bytes)) = &handed.leaves {
                room.leave(*bytes);
            }
        }
        if let Some(claim) = handed.claim.take() {
            claim.keep();
        }
        if handed.entry.changes_state()
            && let Some(key) = &handed.entry.key
        {
            self.changes.tell(handed.entry.participant, key);
        }
        match handed.measured {
            Some(measured) if is_new => measured.committed(now),
            Some(measured) => measured.was_committed_before(),
            None => {}
        }
        (handed.done)(Ok(()));
    }

    fn failed<C>(&self, items: Vec<(BatchItem<C>, Fate)>, fault: &StoreFault) {
        self.condition.commit_failed(fault);
        for (item, _) in items {
            match item {
                BatchItem::Entry(handed) => void(*handed, fault),
                BatchItem::After(done, _) => after(done, false),
                BatchItem::Taken(done) => done(Err(fault.clone())),
                BatchItem::Step(_) => {}
            }
        }
    }
}

/// Reports the fates of their entries to the workers.
fn tell_workers<C>(items: &[(BatchItem<C>, Fate)]) {
    for (item, fate) in items {
        if let BatchItem::Entry(handed) = item {
            (handed.progress).tell(&handed.entry, handed.link.ticket, *fate);
        }
    }
}

/// The notifications due after a commit.
#[derive(Default)]
struct Notified {
    published: bool,
    timers: bool,
}

impl Notified {
    fn add(&mut self, entry: &Entry) {
        self.published |= entry.publishes();
        self.timers |= entry.touches_timers();
    }
}

/// An entry that is not written: its record is read again.
fn void(mut handed: Handed, fault: &StoreFault) {
    // Released before its client is notified, which may repeat the command at once.
    handed.claim = None;
    if let Some(measured) = handed.measured {
        measured.is_void();
    }
    (handed.done)(Err(fault.clone()));
}

/// Calls back for an item that waited for an entry.
pub(in crate::store) fn after(done: Done, holds: bool) {
    if holds {
        done(Ok(()));
    } else {
        let why = "was read from a state that did not come to be; try again";
        done(Err(StoreFault::new(StoreFaultKind::Superseded, why)));
    }
}
