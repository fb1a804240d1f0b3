//! Work on large bodies: off the serving threads, and on no more threads than the machine has
//! cores.

use tokio::sync::Semaphore;
use tokio::task::block_in_place;

/// Longest body, in bytes, whose reading and checking takes no longer than other steps of a
/// request.
const LARGE: usize = 16 << 10;

/// Bounds the number of threads for work that takes longer.
pub(super) struct LargeBodies(Semaphore);

impl LargeBodies {
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self(Semaphore::new(cores))
    }

    /// Runs work on a body of this size. Must be called on a multi-threaded runtime.
    pub(super) async fn with<T>(&self, bytes: usize, work: impl FnOnce() -> T) -> T {
        if bytes <= LARGE {
            return work();
        }
        // The semaphore is never closed.
        let _place = self.0.acquire().await;
        block_in_place(work)
    }
}
