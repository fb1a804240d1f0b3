//! Low-priority threads: compiling and checking a candidate beside the running rules.
//!
//! The compiler uses all threads of its pool; this pool has few, with a lower priority than the
//! workers. A thread can't raise its priority again, so these threads do nothing else.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::base::panics;

/// Niceness: at 5, a thread gets about a third of an ordinary one's share of a contended core. At
/// 10 it would get a tenth, and on a fully loaded machine a new component would take half a minute
/// to compile.
const NICE: i32 = 5;

/// Gives the calling thread the low priority, for good. On a system without priorities it keeps the
/// usual one.
pub fn lower() {
    let _ = rustix::process::nice(NICE);
}

/// A pool of low-priority threads, which sleep while idle.
pub struct LowPriority(ThreadPool);

impl LowPriority {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the threads can't be started.
    pub fn start() -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let pool = ThreadPoolBuilder::new()
            .num_threads((cores / 2).max(1))
            .stack_size(panics::STACK_BYTES)
            .thread_name(|number| format!("reload-{number}"))
            .start_handler(|_| {
                panics::are_caught_here();
                lower();
            })
            .build()?;
        Ok(Self(pool))
    }

    /// Runs work on the pool and waits for it; `None` if it panicked: compilers and checkers are
    /// libraries with foreign input.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Option<T> {
        panics::caught(|| self.0.install(work))
    }

    /// Drops a value on the pool, some time later.
    pub fn drop_later(&self, what: impl Send + 'static) {
        self.0.spawn(move || drop(what));
    }
}
