//! Work on large bodies: not on the threads that serve, and not on more of them than the machine has cores.

use tokio::sync::Semaphore;
use tokio::task::block_in_place;

/// Bytes of a body up to which reading and checking it takes no longer than other steps of a request.
const LARGE: usize = 16 << 10;

/// Places for work that takes longer.
pub(super) struct Heavy(Semaphore);

impl Heavy {
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self(Semaphore::new(cores))
    }

    /// Does something with a body of so many bytes. Must be called on a runtime of several threads.
    pub(super) async fn with<T>(&self, bytes: usize, work: impl FnOnce() -> T) -> T {
        if bytes <= LARGE {
            return work();
        }
        // They are never closed.
        let _place = self.0.acquire().await;
        block_in_place(work)
    }
}
