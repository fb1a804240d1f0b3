//! Chains: the entries of one aggregate that are in flight, each decided on the one before.
//!
//! A worker runs ahead of the commits, so the state that it decides on may not be written yet. If
//! an entry is not written, those that were decided on it are invalid; all others are valid. The
//! writer keeps an entry as broken until its worker has taken notice: entries that the worker hands
//! over afterwards were decided on the stored state.
//!
//! [`Chains`] is the writer's side, [`crate::worker::flight`] the worker's.

/// The place of an entry in the sequence of its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Number of the worker, unique within the store.
    pub worker: u64,
    /// Number of the entry, counted by that worker from 1. 0 for an item that is no entry and only
    /// waits for one.
    pub ticket: u64,
    /// Ticket of the entry of the same aggregate that it was decided on; 0 if that is stored.
    pub base: u64,
    /// Ticket up to which its worker knew the outcomes of all entries.
    pub noticed: u64,
}

/// The outcome of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is written.
    Written,
    /// Its message was applied before (invariant 3): only its consumption is written.
    Duplicate,
    /// Nothing of it is written, because an entry that it was decided on is not.
    Refused,
    /// Nothing of it is written: the commit failed.
    Failed,
}

/// An entry that was not written, as reported to its worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its ticket.
    pub ticket: u64,
    /// Key of its aggregate.
    pub key: Option<String>,
}

/// The entries that were not written and of which their workers have not taken notice yet. Their
/// number is bounded by the queue of the writer.
#[derive(Debug, Default)]
pub struct Chains {
    /// Numbers of workers, and tickets. Usually empty.
    broken: Vec<(u64, u64)>,
}

impl Chains {
    /// True if the chain of an entry is intact. An entry that broke does not recover when its batch
    /// is written again, although later entries of its worker may have taken notice of its base.
    #[must_use]
    pub fn holds(&mut self, link: Link) -> bool {
        if self.broken.is_empty() {
            return true;
        }
        (self.broken).retain(|(worker, ticket)| *worker != link.worker || *ticket > link.noticed);
        let is_broken = |ticket| self.is_broken(link.worker, ticket);
        !is_broken(link.base) && !is_broken(link.ticket)
    }

    /// True if the entry with this ticket was not written.
    #[must_use]
    pub fn is_broken(&self, worker: u64, ticket: u64) -> bool {
        ticket != 0 && self.broken.contains(&(worker, ticket))
    }

    /// Marks an entry as not written, which invalidates those that were decided on it.
    pub fn breaks(&mut self, link: Link) {
        if link.ticket != 0 && !self.is_broken(link.worker, link.ticket) {
            self.broken.push((link.worker, link.ticket));
        }
    }
}

/// The items of one commit, in order. Their outcomes are reported only when the commit is over: a
/// worker that took notice earlier would read a state that the open transaction is about to
/// replace.
#[derive(Debug)]
pub struct Batch<T> {
    items: Vec<(T, Fate)>,
}

/// An item of a batch.
pub trait InBatch {
    /// Its link; None if it is no entry of a worker.
    fn link(&self) -> Option<Link>;
    /// True if the session of its record was cancelled.
    fn is_cancelled(&self) -> bool;
    /// Cancels the session of its record, if there is one.
    fn cancel(&self);
}

impl<T: InBatch> Batch<T> {
    /// An empty batch, with capacity for this many items.
    #[must_use]
    pub fn with_capacity(items: usize) -> Self {
        Self {
            items: Vec::with_capacity(items),
        }
    }

    /// Adds an item: `write` writes it and returns its outcome. It is called only if the chain of
    /// the item is intact. A record whose session was cancelled is delivered again, and must not be
    /// written after one that follows it.
    ///
    /// # Errors
    /// The error of `write`. The item is in the batch all the same.
    pub fn add<E>(
        &mut self,
        chains: &mut Chains,
        mut item: T,
        write: impl FnOnce(&mut T) -> Result<Fate, E>,
    ) -> Result<(), E> {
        let link = item.link();
        let holds = link.is_none_or(|link| chains.holds(link)) && !item.is_cancelled();
        let (fate, result) = match holds.then(|| write(&mut item)) {
            None => (Fate::Refused, Ok(())),
            Some(Ok(fate)) => (fate, Ok(())),
            Some(Err(error)) => (Fate::Failed, Err(error)),
        };
        if fate != Fate::Written {
            // At once, since later items of this batch may be of the same aggregate or session.
            if let Some(link) = link {
                chains.breaks(link);
            }
            if fate != Fate::Duplicate {
                item.cancel();
            }
        }
        self.items.push((item, fate));
        result
    }

    /// Adds an item without writing it, because the batch has failed.
    pub fn add_failed(&mut self, chains: &mut Chains, item: T) {
        if let Some(link) = item.link() {
            chains.breaks(link);
        }
        item.cancel();
        self.items.push((item, Fate::Failed));
    }

    /// Returns the items, to be written again one by one. What was broken and cancelled meanwhile
    /// stays so.
    #[must_use]
    pub fn take_back(self) -> Vec<T> {
        self.items.into_iter().map(|(item, _)| item).collect()
    }

    /// Ends the commit: returns the items, in order, each with its outcome. If the commit's outcome
    /// is unknown, returns the batch: until it is known, nothing is reported, and nothing else is
    /// written, since it may be decided on this.
    pub fn end(mut self, chains: &mut Chains, outcome: CommitOutcome) -> Ended<T> {
        match outcome {
            CommitOutcome::Committed => {}
            CommitOutcome::Unknown => return Ended::Unknown(self),
            CommitOutcome::Failed => {
                for (item, fate) in &mut self.items {
                    *fate = Fate::Failed;
                    if let Some(link) = item.link() {
                        chains.breaks(link);
                    }
                    item.cancel();
                }
            }
        }
        Ended::Over(self.items)
    }

    /// The items, in order, each with its outcome if the commit succeeds.
    #[must_use]
    pub fn items(&self) -> &[(T, Fate)] {
        &self.items
    }
}

/// The outcome of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It is on disk.
    Committed,
    /// Nothing of it is on disk.
    Failed,
    /// Either, since the connection was lost meanwhile.
    Unknown,
}

/// The rest of a batch when its commit is over.
#[derive(Debug)]
pub enum Ended<T> {
    /// Its items, each with its outcome.
    Over(Vec<(T, Fate)>),
    /// The outcome must be determined first.
    Unknown(Batch<T>),
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    struct Item(Link, Rc<Cell<bool>>);

    impl InBatch for Item {
        fn link(&self) -> Option<Link> {
            Some(self.0)
        }

        fn is_cancelled(&self) -> bool {
            self.1.get()
        }

        fn cancel(&self) {
            self.1.set(true);
        }
    }

    fn item(ticket: u64, base: u64, noticed: u64) -> Item {
        let link = Link {
            worker: 1,
            ticket,
            base,
            noticed,
        };
        Item(link, Rc::default())
    }

    fn written(_: &mut Item) -> Result<Fate, ()> {
        Ok(Fate::Written)
    }

    fn fates(batch: &Batch<Item>) -> Vec<(u64, Fate)> {
        let fate = |(item, fate): &(Item, Fate)| (item.0.ticket, *fate);
        batch.items().iter().map(fate).collect()
    }

    #[test]
    fn invariant_4_only_the_chain_of_an_entry_that_is_not_written_breaks() {
        let mut chains = Chains::default();
        let mut batch = Batch::with_capacity(4);
        let duplicate = |_: &mut Item| Ok::<_, ()>(Fate::Duplicate);
        batch.add(&mut chains, item(1, 0, 0), duplicate).unwrap();
        for follower in [item(2, 0, 0), item(3, 1, 0), item(4, 2, 0), item(5, 3, 0)] {
            batch.add(&mut chains, follower, written).unwrap();
        }
        let expected = [
            (1, Fate::Duplicate),
            (2, Fate::Written),
            (3, Fate::Refused),
            (4, Fate::Written),
            (5, Fate::Refused),
        ];
        assert_eq!(fates(&batch), expected);
        let cancelled = batch.items().iter().map(|(item, _)| item.is_cancelled());
        assert!(cancelled.eq([false, false, true, false, true]));
    }

    #[test]
    fn entries_of_a_failed_commit_are_broken_until_their_worker_has_noticed() {
        let mut chains = Chains::default();
        let mut batch = Batch::with_capacity(2);
        batch.add(&mut chains, item(1, 0, 0), written).unwrap();
        batch.add(&mut chains, item(2, 0, 0), written).unwrap();
        let Ended::Unknown(batch) = batch.end(&mut chains, CommitOutcome::Unknown) else {
            panic!("nothing is over while the outcome is unknown");
        };
        assert!(chains.broken.is_empty());
        let Ended::Over(items) = batch.end(&mut chains, CommitOutcome::Failed) else {
            panic!("it failed");
        };
        assert!(items.iter().all(|(_, fate)| *fate == Fate::Failed));
        let mut next = Batch::with_capacity(3);
        for follower in [item(3, 1, 0), item(4, 0, 2), item(5, 4, 2), item(6, 3, 2)] {
            next.add(&mut chains, follower, written).unwrap();
        }
        let expected = [
            (3, Fate::Refused),
            (4, Fate::Written),
            (5, Fate::Written),
            (6, Fate::Refused),
        ];
        assert_eq!(fates(&next), expected);
        assert!(chains.holds(item(7, 0, 6).0));
        assert!(chains.broken.is_empty(), "all of it was taken notice of");
    }

    #[test]
    fn an_entry_that_broke_is_not_written_when_its_batch_is_written_again() {
        let mut chains = Chains::default();
        chains.breaks(item(1, 0, 0).0);
        let mut batch = Batch::with_capacity(2);
        // The second one was decided when its worker had taken notice of the first.
        for follower in [item(2, 1, 0), item(3, 0, 1)] {
            batch.add(&mut chains, follower, written).unwrap();
        }
        let mut again = Batch::with_capacity(2);
        for item in batch.take_back() {
            again.add(&mut chains, item, written).unwrap();
        }
        assert_eq!(fates(&again), [(2, Fate::Refused), (3, Fate::Written)]);
    }

    #[test]
    fn invariant_4_a_record_of_a_cancelled_reading_is_not_written() {
        let mut chains = Chains::default();
        let mut batch = Batch::with_capacity(2);
        let (first, second) = (item(1, 0, 0), item(2, 0, 0));
        let second = Item(second.0, first.1.clone());
        let failed = batch.add(&mut chains, first, |_| Err::<Fate, _>("disk full"));
        assert_eq!(failed, Err("disk full"));
        batch.add(&mut chains, second, written).unwrap();
        assert_eq!(fates(&batch), [(1, Fate::Failed), (2, Fate::Refused)]);
    }
}
