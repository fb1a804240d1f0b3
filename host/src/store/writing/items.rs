//! The items that share a commit: entries, other steps, and callbacks that wait for earlier
//! entries.

use saga_core::commit::{Batch, Chains, InBatch, Link};
use saga_core::worker::TakenRecord;

use crate::store::entry::{Done, Handed};
use crate::store::fault::StoreFault;

/// The writer's connection, with an open transaction.
pub(in crate::store) trait Transaction: 'static {
    /// The error of a statement.
    type Error: Into<StoreFault>;

    /// Runs `work` in a savepoint of the open transaction: all of it takes effect or nothing.
    fn in_savepoint<T>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Self::Error>,
    ) -> Result<T, Self::Error>;
}

/// A step in the batch's transaction; it gets no connection if there is no transaction. Returns the
/// callback to call when the transaction is over.
pub(in crate::store) type BatchStep<C> = Box<dyn FnOnce(Option<&C>) -> Done + Send>;

/// An item of a batch.
pub(in crate::store) enum BatchItem<C> {
    Entry(Box<Handed>),
    /// A callback for when the entries that it waits for are written.
    After(Done, Link),
    Step(BatchStep<C>),
    /// A step that was run.
    Taken(Done),
}

impl<C> InBatch for BatchItem<C> {
    fn link(&self) -> Option<Link> {
        match self {
            Self::Entry(handed) => Some(handed.link),
            Self::After(_, link) => Some(*link),
            Self::Step(_) | Self::Taken(_) => None,
        }
    }

    fn is_cancelled(&self) -> bool {
        match self {
            Self::Entry(handed) => handed.taken.as_ref().is_some_and(TakenRecord::is_cancelled),
            _ => false,
        }
    }

    fn cancel(&self) {
        if let Self::Entry(handed) = self {
            handed.taken.iter().for_each(TakenRecord::cancel);
        }
    }
}

impl<C> BatchItem<C> {
    /// Runs the item if it is a step; without a connection if nothing is written.
    pub(in crate::store) fn take_step(self, sql: Option<&C>) -> Self {
        match self {
            Self::Step(step) => Self::Taken(step(sql)),
            item => item,
        }
    }
}

/// A batch of these items that is not attempted.
pub(in crate::store) fn untried<C>(
    items: Vec<BatchItem<C>>,
    chains: &mut Chains,
) -> Batch<BatchItem<C>> {
    let mut batch = Batch::with_capacity(items.len());
    for item in items {
        batch.add_failed(chains, item.take_step(None));
    }
    batch
}
