//! Chains: the entries of one aggregate that are on their way to disk, each decided on the one
//! before.
//!
//! A worker runs ahead of the commits, so the state that it decides on may not be written yet.
//! Where an entry is not written, those that were decided on it don't hold; all others do. The
//! writer knows an entry as broken until its worker has taken notice: what the worker hands over
//! afterwards was decided on what is stored.
//!
//! [`Chains`] is the writer's side, [`crate::worker::flight`] the worker's.

/// The place of an entry among those of its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Number of the worker, which no other worker of the store has.
    pub worker: u64,
    /// Number of the entry with that worker; rises with each, from 1. 0 for what is no entry and
    /// only waits for one.
    pub ticket: u64,
    /// Ticket of the entry of the same aggregate that it was decided on; 0 where that is stored.
    pub base: u64,
    /// Ticket up to which its worker knew what had become of all entries.
    pub noticed: u64,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is written.
    Written,
    /// Its message was applied before (invariant 3): only that it was consumed is written.
    Duplicate,
    /// Nothing of it is written: what it was decided on does not hold.
    Refused,
    /// Nothing of it is written: the commit failed.
    Failed,
}

/// An entry that was not written, as its worker is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its ticket.
    pub ticket: u64,
    /// Key of its aggregate.
    pub key: Option<String>,
}

/// The entries that were not written, as far as their workers have not taken notice. Their number
/// is bounded by the entries that may wait for the writer.
#[derive(Debug, Default)]
pub struct Chains {
    /// Numbers of workers, and tickets. Empty most of the time.
    broken: Vec<(u64, u64)>,
}

impl Chains {
    /// Whether what an entry was decided on still holds, as far as its chain is concerned.
    #[must_use]
    pub fn holds(&mut self, link: Link) -> bool {
        if self.broken.is_empty() {
            return true;
        }
        (self.broken).retain(|(worker, ticket)| *worker != link.worker || *ticket > link.noticed);
        !self.is_broken(link.worker, link.base)
    }

    /// Whether the entry with this ticket was not written.
    #[must_use]
    pub fn is_broken(&self, worker: u64, ticket: u64) -> bool {
        ticket != 0 && self.broken.contains(&(worker, ticket))
    }

    /// An entry is not written: those that were decided on it don't hold.
    pub fn breaks(&mut self, link: Link) {
        if link.ticket != 0 && !self.is_broken(link.worker, link.ticket) {
            self.broken.push((link.worker, link.ticket));
        }
    }
}

/// What shares a commit, in order: what became of each entry is told only when the commit is over.
/// A worker that took notice before would read a state that the open transaction is about to
/// replace.
#[derive(Debug)]
pub struct Batch<T> {
    items: Vec<(T, Fate)>,
}

/// An entry in a batch.
pub trait Handed {
    /// Its place among those of its worker; none for what is no entry of a worker.
    fn link(&self) -> Option<Link>;
    /// Whether the reading of its record was cancelled.
    fn is_cancelled(&self) -> bool;
    /// Cancels the reading of its record, if there is one.
    fn cancel(&self);
}

impl<T: Handed> Batch<T> {
    /// An empty batch, with room for so many items.
    #[must_use]
    pub fn with_capacity(items: usize) -> Self {
        Self {
            items: Vec::with_capacity(items),
        }
    }

    /// Takes an item: `write` writes it and says what became of it. It is asked only where what the
    /// item was decided on still holds. A record whose reading was cancelled comes again, and must
    /// not come after one that follows it.
    ///
    /// # Errors
    /// What `write` said. The item is in the batch all the same.
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
            // At once: what follows in this batch may be of the same aggregate, or of the same
            // reading.
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

    /// Takes an item of which nothing is tried, for the batch has failed.
    pub fn add_failed(&mut self, chains: &mut Chains, item: T) {
        if let Some(link) = item.link() {
            chains.breaks(link);
        }
        item.cancel();
        self.items.push((item, Fate::Failed));
    }

    /// The commit is over: gives the items, in order, each with what became of it. Where its
    /// outcome is not known, gives back the batch: until it is known nobody is told anything, and
    /// nothing else is written, for it may be decided on this.
    pub fn end(mut self, chains: &mut Chains, outcome: Outcome) -> Ended<T> {
        match outcome {
            Outcome::Committed => {}
            Outcome::Unknown => return Ended::Unknown(self),
            Outcome::Failed => {
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

    /// The items, in order, each with what became of it if the commit succeeds.
    #[must_use]
    pub fn items(&self) -> &[(T, Fate)] {
        &self.items
    }
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is on disk.
    Committed,
    /// Nothing of it is.
    Failed,
    /// One or the other, for the connection was lost meanwhile.
    Unknown,
}

/// What is left of a batch when its commit is over.
#[derive(Debug)]
pub enum Ended<T> {
    /// Its items, each with what became of it.
    Over(Vec<(T, Fate)>),
    /// Its outcome is to be found out first.
    Unknown(Batch<T>),
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    struct Item(Link, Rc<Cell<bool>>);

    impl Handed for Item {
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
    fn what_a_failed_commit_held_is_broken_until_its_worker_has_taken_notice() {
        let mut chains = Chains::default();
        let mut batch = Batch::with_capacity(2);
        batch.add(&mut chains, item(1, 0, 0), written).unwrap();
        batch.add(&mut chains, item(2, 0, 0), written).unwrap();
        let Ended::Unknown(batch) = batch.end(&mut chains, Outcome::Unknown) else {
            panic!("nothing is over while the outcome is unknown");
        };
        assert!(chains.broken.is_empty());
        let Ended::Over(items) = batch.end(&mut chains, Outcome::Failed) else {
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
