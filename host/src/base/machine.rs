//! Shortages of the machine: memory, threads, file descriptors.
//!
//! A shortage is never charged to the message that met it (invariant 12): the code that meets one
//! reports it here and retries. A shortage is logged once when it begins and once when it ends, and
//! the host is not ready meanwhile. It ends with the first success after a while without a failure,
//! so that one that comes and goes counts as one; or when none has been met for a longer while,
//! since the code that needs the resource keeps retrying.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// Time without a failure after which a success ends a shortage.
const CALM: Duration = Duration::from_secs(3);

/// Time without a failure after which a shortage ends in any case.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// Interval at which an idle thread checks for the end of a shortage.
pub const LOOK: Duration = Duration::from_millis(500);

/// The current shortage of the machine; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Machine(Arc<MachineState>);

#[derive(Debug, Default)]
struct MachineState {
    /// Read after each call of the rules.
    is_short: AtomicBool,
    shortage: Mutex<Option<Shortage>>,
}

#[derive(Debug)]
struct Shortage {
    what: String,
    since: Instant,
    last: Instant,
}

impl Machine {
    /// Reports that a resource was not available. `what` names it and the system's error.
    pub fn report_shortage(&self, what: &str) {
        self.shortage_at(what, Instant::now());
    }

    fn shortage_at(&self, what: &str, now: Instant) {
        let mut shortage = self.0.shortage.lock();
        match &mut *shortage {
            Some(shortage) => shortage.last = now,
            None => {
                tracing::error!(
                    reason = what,
                    "the machine lacks a resource; work that needs it is retried"
                );
                *shortage = Some(Shortage {
                    what: what.to_owned(),
                    since: now,
                    last: now,
                });
                self.0.is_short.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Reports that something which needs memory, threads or descriptors has succeeded. Almost free
    /// while there is no shortage.
    pub fn report_success(&self) {
        if self.is_short() {
            self.success_at(Instant::now());
        }
    }

    fn success_at(&self, now: Instant) {
        self.is_over(now, CALM);
    }

    fn is_over(&self, now: Instant, without_failure: Duration) {
        let calm = |shortage: &mut Shortage| {
            now.saturating_duration_since(shortage.last) >= without_failure
        };
        if let Some(over) = self.0.shortage.lock().take_if(calm) {
            self.0.is_short.store(false, Ordering::Relaxed);
            let seconds = now.saturating_duration_since(over.since).as_secs();
            tracing::info!(reason = %over.what, seconds, "the machine has the resource again");
        }
    }

    /// True during a shortage.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.0.is_short.load(Ordering::Relaxed)
    }

    /// The current shortage, if there is one.
    #[must_use]
    pub fn shortage(&self) -> Option<String> {
        self.current_at(Instant::now())
    }

    fn current_at(&self, now: Instant) -> Option<String> {
        self.is_over(now, FORGOTTEN);
        self.0
            .shortage
            .lock()
            .as_ref()
            .map(|shortage| shortage.what.clone())
    }
}

/// The resource whose shortage caused this error; `None` if the error has another cause.
#[must_use]
pub fn shortage_in(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let code = match (
        error.downcast_ref::<Errno>(),
        error.downcast_ref::<io::Error>(),
    ) {
        (Some(errno), _) => *errno,
        (_, Some(error)) => Errno::from_io_error(error)?,
        _ => return None,
    };
    let what = match code {
        Errno::NOMEM | Errno::NOBUFS => "memory",
        Errno::AGAIN => "threads or memory",
        Errno::MFILE | Errno::NFILE => "file descriptors",
        _ => return None,
    };
    Some(format!("{what}: {}", io::Error::from(code)))
}

/// The limit of the address space in bytes; `None` if there is none.
#[must_use]
pub fn address_space() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// Address space that the process has reserved, in bytes; `None` if the system doesn't report it.
#[must_use]
pub fn reserved() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().next()?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

/// Says that the limit of the address space is too small and how much would do; `None` if there is
/// no limit. `needed` is the total need in bytes, `more` the need beyond what is reserved by now.
#[must_use]
pub fn address_space_is_too_small(needed: u64, more: u64) -> Option<String> {
    let limit = address_space()?;
    let needed = needed.max(reserved().unwrap_or(0).saturating_add(more));
    Some(format!(
        "address space is limited to {} (ulimit -v); the host needs about {}",
        megabytes(limit),
        megabytes(needed)
    ))
}

/// The process limits that may be the cause, as text.
#[must_use]
pub fn limits() -> String {
    let of = |resource| match getrlimit(resource).current {
        Some(limit) => limit.to_string(),
        None => "unlimited".to_owned(),
    };
    format!(
        "address space {} (ulimit -v, in KiB there), processes {} (ulimit -u), open files {} (ulimit -n)",
        of(Resource::As),
        of(Resource::Nproc),
        of(Resource::Nofile)
    )
}

/// The limit of open files; `None` if there is none.
#[must_use]
pub fn descriptors() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises the soft limit of open files to the hard limit and returns it; `None` if there is none.
/// The usual soft limit exists for programs that use `select`; a server is meant to raise it.
#[must_use]
pub fn raise_descriptors() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let asked = rustix::process::Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if rustix::process::setrlimit(Resource::Nofile, asked).is_ok() {
            limit = asked;
        }
    }
    limit.current
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_lack_is_over_when_something_goes_well_after_a_while_without_a_failure() {
        let machine = Machine::default();
        let start = Instant::now();
        machine.success_at(start);
        assert_eq!(machine.shortage(), None);
        machine.shortage_at("memory: none left", start);
        machine.shortage_at("another text", start + CALM);
        let soon = start + CALM + CALM / 2;
        machine.success_at(soon);
        assert_eq!(machine.current_at(soon).unwrap(), "memory: none left");
        assert!(machine.is_short());
        machine.success_at(start + CALM * 2);
        assert_eq!((machine.shortage(), machine.is_short()), (None, false));
    }

    #[test]
    fn a_lack_that_nobody_meets_any_more_is_over() {
        let machine = Machine::default();
        let start = Instant::now();
        machine.shortage_at("memory: none left", start);
        assert!(machine.current_at(start + FORGOTTEN / 2).is_some());
        machine.shortage_at("memory: none left", start + FORGOTTEN / 2);
        assert!(machine.current_at(start + FORGOTTEN).is_some());
        assert_eq!(machine.current_at(start + FORGOTTEN * 2), None);
        assert!(!machine.is_short());
    }

    #[test]
    fn a_lack_of_the_machine_is_told_from_other_failures() {
        let said = |error: &(dyn std::error::Error + 'static)| shortage_in(error);
        assert_eq!(
            said(&Errno::NOMEM).unwrap(),
            "memory: Cannot allocate memory (os error 12)"
        );
        let files = io::Error::from(Errno::MFILE);
        assert_eq!(
            said(&files).unwrap(),
            "file descriptors: Too many open files (os error 24)"
        );
        assert!(
            said(&Errno::AGAIN)
                .unwrap()
                .starts_with("threads or memory: ")
        );
        assert_eq!(said(&io::Error::from(Errno::ACCESS)), None);
        assert_eq!(said(&io::Error::other("memory")), None);
    }
}
