//! The attempts at a message.

use std::time::Duration;

/// The attempts at a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trial {
    /// Number of attempts.
    pub attempts: u32,
    /// When the first attempt failed, as time since the start.
    pub(super) failed: Option<Duration>,
}

impl Trial {
    /// Milliseconds since the first attempt failed, which is now if none had failed.
    pub(super) fn waited_ms(&mut self, now: Duration) -> u64 {
        let failed = *self.failed.get_or_insert(now);
        u64::try_from(now.saturating_sub(failed).as_millis()).unwrap_or(u64::MAX)
    }

    /// The next attempt is not counted.
    pub(super) fn spare(&mut self) {
        self.attempts = self.attempts.saturating_sub(1);
    }
}
