//! Work that gives way to the turns: compiling and checking a component beside the running rules.
//!
//! The compiler uses as many threads as it is given; here it is given few, with a lower priority than
//! the workers have. A thread can't get its priority back, so these threads are made for one piece of work.

/// How much lower: at 10, a thread gets about a tenth of what an ordinary one gets when both want a core.
const NICE: i32 = 10;

/// Runs this on threads of low priority and waits for it.
///
/// # Errors
/// When the threads can't be made.
pub fn low<T: Send>(work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    let threads = std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|number| format!("reload-{number}"))
        .start_handler(|_| {
            // Where the system does not know it, the work is done at the usual priority.
            let _ = rustix::process::nice(NICE);
        })
        .build()?;
    Ok(pool.install(work))
}
