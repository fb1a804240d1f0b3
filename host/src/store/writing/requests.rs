//! The queue of a store's writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use saga_core::commit::Link;

use super::items::{BatchItem, BatchStep, Transaction};
use super::tallies::Tallies;
use crate::stages::Flow;
use crate::store::condition::Condition;
use crate::store::entry::{Done, Handed};
use crate::store::fault::{StoreFault, StoreFaultKind};
use crate::store::tally::Tally;

/// Entries that wait for the writer. Beyond it, workers block (invariant 9).
const QUEUE: usize = 8_192;

/// A request to the writer.
pub(in crate::store) enum Request<C> {
    Commit(Box<Handed>),
    /// Count this, with the next commit.
    Count(Tally),
    /// Call back when the entry that the link is based on is committed.
    After(Done, Link),
    /// Run this in the batch's transaction.
    Run(BatchStep<C>),
    Stop,
}

/// The end of the queue at which requests are handed over.
pub(in crate::store) struct Requests<C> {
    queue: Sender<Request<C>>,
    condition: Arc<Condition>,
    flow: Arc<Flow>,
    /// The last worker number that was given out.
    workers: AtomicU64,
}

/// The batch that a request began, and the request that ended it.
pub(in crate::store) struct Gathered<C> {
    /// Its items, in order.
    pub(in crate::store) items: Vec<BatchItem<C>>,
    /// A request that belongs to no batch.
    pub(in crate::store) left: Option<Request<C>>,
}

impl<C: Transaction> Requests<C> {
    /// A queue, and the end that the writer takes from.
    pub(in crate::store) fn new(
        condition: Arc<Condition>,
        flow: Arc<Flow>,
    ) -> (Self, Receiver<Request<C>>) {
        let (queue, taken) = bounded(QUEUE);
        let requests = Self {
            queue,
            condition,
            flow,
            workers: AtomicU64::new(0),
        };
        (requests, taken)
    }

    /// The number of items ever handed over to be written, and the number of finished ones.
    pub(in crate::store) fn flow(&self) -> (u64, u64) {
        self.flow.counts(|| self.queue.len())
    }

    /// A number that no other worker of this store has.
    pub(in crate::store) fn worker_number(&self) -> u64 {
        self.workers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Hands over an entry. Blocks while the queue is full.
    pub(in crate::store) fn commit(&self, handed: Box<Handed>) {
        self.send(Request::Commit(handed));
    }

    /// Counts a message that leaves nothing to commit.
    pub(in crate::store) fn count(&self, tally: Tally) {
        self.send(Request::Count(tally));
    }

    /// Calls back when the entry that the link is based on is committed, or will not be.
    pub(in crate::store) fn after(&self, link: Link, done: Done) {
        self.send(Request::After(done, link));
    }

    /// Runs a step in the writer, as a whole or not at all, and returns its result once it is
    /// committed. It shares a commit with other waiting items, and must be short. Blocks.
    ///
    /// # Errors
    /// The engine's error; or the store is closed.
    pub(in crate::store) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&C) -> Result<T, C::Error> + Send + 'static,
    ) -> Result<T, StoreFault> {
        let result = self.hand_in(work).recv();
        result.unwrap_or_else(|_| Err(StoreFault("the store is closed".into())))
    }

    /// The same without blocking: the result comes through the channel, which closes without one if
    /// the store closes.
    pub(in crate::store) fn hand_in<T: Send + 'static>(
        &self,
        work: impl FnOnce(&C) -> Result<T, C::Error> + Send + 'static,
    ) -> Receiver<Result<T, StoreFault>> {
        let (give, take) = bounded(1);
        let condition = self.condition.clone();
        self.step(Box::new(move |connection: Option<&C>| {
            let result = match connection {
                Some(connection) => connection.in_savepoint(work).map_err(|error| {
                    let fault: StoreFault = error.into();
                    if fault.kind() != StoreFaultKind::Passing {
                        condition.report("something can't be written", &fault);
                    }
                    fault
                }),
                None => Err(StoreFault("was not tried".into())),
            };
            // If the caller is gone, nobody needs the result.
            Box::new(move |committed: Result<(), StoreFault>| {
                drop(give.send(committed.and(result)));
            })
        }));
        take
    }

    /// Hands over a step.
    pub(in crate::store) fn step(&self, step: BatchStep<C>) {
        self.send(Request::Run(step));
    }

    /// Blocks until everything handed over before is committed or has failed.
    pub(in crate::store) fn settle_up(&self) {
        // Each outcome is reported to the caller that handed it over.
        let _ = self.run(|_| Ok(()));
    }

    /// Ends the writer once everything handed over before is committed.
    pub(in crate::store) fn stop(&self) {
        self.send(Request::Stop);
    }

    /// The number of requests that the writer has not taken yet.
    #[cfg(test)]
    pub(in crate::store) fn waiting(&self) -> usize {
        self.queue.len()
    }

    fn send(&self, request: Request<C>) {
        // The writer ends only on `Stop`, after which nobody may send. A late request is dropped
        // with its callback, which its owner notices.
        let _ = self.queue.send(request);
    }
}

/// The batches of a writer.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Batching {
    /// Most items of a batch.
    pub(in crate::store) most: usize,
    /// True if each step is a batch of its own: it may wait for other writers, which must not wait
    /// for rows that entries have locked.
    pub(in crate::store) are_steps_apart: bool,
}

/// Takes the requests that wait behind the first item, as far as they belong to its batch. Counts
/// without an entry are added to `uncommitted`.
pub(in crate::store) fn gather<C>(
    queue: &Receiver<Request<C>>,
    first: BatchItem<C>,
    batching: Batching,
    uncommitted: &mut Tallies,
) -> Gathered<C> {
    let most = match first {
        BatchItem::Step(_) if batching.are_steps_apart => 1,
        _ => batching.most,
    };
    let mut items = vec![first];
    let mut left = None;
    while items.len() < most {
        items.push(match queue.try_recv() {
            Ok(Request::Run(step)) if batching.are_steps_apart => {
                left = Some(Request::Run(step));
                break;
            }
            Ok(Request::Commit(handed)) => BatchItem::Entry(handed),
            Ok(Request::After(done, link)) => BatchItem::After(done, link),
            Ok(Request::Run(step)) => BatchItem::Step(step),
            Ok(Request::Count(tally)) => {
                uncommitted.add(&tally);
                continue;
            }
            Ok(Request::Stop) => {
                left = Some(Request::Stop);
                break;
            }
            Err(_) => break,
        });
    }
    Gathered { items, left }
}
