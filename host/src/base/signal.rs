//! A bell that threads wait for: rung when there may be something new.
//!
//! Each ring is counted, so that one which comes between a look and the wait is not missed.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A bell; clones ring together.
#[derive(Debug, Clone, Default)]
pub struct Signal(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    rings: Mutex<u64>,
    bell: Condvar,
}

impl Signal {
    /// How often it was rung. Take this before looking, and wait with it afterwards.
    #[must_use]
    pub fn rings(&self) -> u64 {
        *self.0.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rings.
    pub fn ring(&self) {
        *self.0.rings.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.bell.notify_all();
    }

    /// Blocks until it was rung more often than `seen`, or for `longest`.
    pub fn wait(&self, seen: u64, longest: Duration) {
        let rings = self.0.rings.lock().unwrap_or_else(PoisonError::into_inner);
        // Whether it rang or the time is up, the caller looks again.
        let _ = self
            .0
            .bell
            .wait_timeout_while(rings, longest, |rings| *rings == seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_between_look_and_wait_is_not_missed() {
        let signal = Signal::default();
        let seen = signal.rings();
        signal.ring();
        let start = std::time::Instant::now();
        signal.wait(seen, Duration::from_secs(60));
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
