//! Work that gives way to the turns: compiling and checking a component beside the running rules.
//!
//! The compiler uses as many threads as it is given; here it is given few, with a lower priority than
//! the workers have. A thread can't get its priority back, so these threads do nothing else.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::base::panics;

/// How much lower: at 5, a thread gets about a third of what an ordinary one gets when both want a core. At 10 it would be
/// a tenth, and on a machine that is busy through and through a new component would take half a minute to compile.
const NICE: i32 = 5;

/// Threads of low priority, which sleep while there is nothing to do.
pub struct LowPriority(ThreadPool);

impl LowPriority {
    /// Starts the threads.
    ///
    /// # Errors
    /// When they can't be made.
    pub fn start() -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let pool = ThreadPoolBuilder::new()
            .num_threads((cores / 2).max(1))
            .stack_size(panics::STACK_BYTES)
            .thread_name(|number| format!("reload-{number}"))
            .start_handler(|_| {
                panics::are_caught_here();
                // Where the system does not know it, the work is done at the usual priority.
                let _ = rustix::process::nice(NICE);
            })
            .build()?;
        Ok(Self(pool))
    }

    /// Does this on them and waits for it; gives nothing where it panicked: compilers and checkers are libraries, and what
    /// they are given is foreign.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Option<T> {
        panics::caught(|| self.0.install(work))
    }

    /// Drops something on them, when there is time.
    pub fn drop_later(&self, what: impl Send + 'static) {
        self.0.spawn(move || drop(what));
    }
}
