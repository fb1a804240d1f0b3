//! Counters of the entries that one thread takes from its queue and finishes.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of one thread. Only that thread writes them, so counting is a load and a store,
/// without a lock.
#[derive(Debug, Default)]
pub struct Flow {
    begun: AtomicU64,
    over: AtomicU64,
}

impl Flow {
    /// Counts entries taken from the queue.
    pub fn begin(&self, count: u64) {
        add(&self.begun, count);
    }

    /// Counts finished entries.
    pub fn over(&self, count: u64) {
        add(&self.over, count);
    }

    /// The numbers of entries ever given to the thread and ever finished, where `queued` is the
    /// current length of its queue.
    pub fn counts(&self, queued: impl FnOnce() -> usize) -> (u64, u64) {
        let over = self.over.load(Ordering::Relaxed);
        let begun = self.begun.load(Ordering::Relaxed);
        (begun + queued() as u64, over)
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}
