//! A notification that threads wait for: there may be something new.
//!
//! Notifications are counted, so that one which comes between a look and the wait is not missed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// A source of notifications; clones notify together.
#[derive(Debug, Clone, Default)]
pub struct Notify(Arc<NotifyState>);

#[derive(Debug, Default)]
struct NotifyState {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Notify {
    /// Number of notifications so far. Get it before you look, and wait with it afterwards.
    #[must_use]
    pub fn count(&self) -> u64 {
        *self.0.count.lock()
    }

    /// Notifies all that wait.
    pub fn notify(&self) {
        *self.0.count.lock() += 1;
        self.0.changed.notify_all();
    }

    /// Blocks until there were more notifications than `seen`, or for `longest`.
    pub fn wait(&self, seen: u64, longest: Duration) {
        let mut count = self.0.count.lock();
        // Notified or not, the caller looks again.
        (self.0.changed).wait_while_for(&mut count, |count| *count == seen, longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_between_look_and_wait_is_not_missed() {
        let notify = Notify::default();
        let seen = notify.count();
        notify.notify();
        let start = std::time::Instant::now();
        notify.wait(seen, Duration::from_secs(60));
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
