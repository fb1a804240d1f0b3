//! What one thread takes from its queue, and what of it is over.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of one thread. Only that thread writes them, so a count is a load and a store, without a lock.
#[derive(Debug, Default)]
pub struct Flow {
    begun: AtomicU64,
    over: AtomicU64,
}

impl Flow {
    /// So many were taken from the queue.
    pub fn begin(&self, count: u64) {
        add(&self.begun, count);
    }

    /// So many are over.
    pub fn over(&self, count: u64) {
        add(&self.over, count);
    }

    /// How many were ever given to the thread, where so many wait in its queue now, and how many of them are over.
    pub fn counts(&self, queued: impl FnOnce() -> usize) -> (u64, u64) {
        let over = self.over.load(Ordering::Relaxed);
        let begun = self.begun.load(Ordering::Relaxed);
        (begun + queued() as u64, over)
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}
