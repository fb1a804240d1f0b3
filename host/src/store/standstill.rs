//! The writer's present work: its duration, and the detection of a standstill.
//!
//! The writer notes when it starts work; others ask how long ago that was. A task checks
//! periodically, so that a request needs to read a flag only, and no clock.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::engine::Store;

/// Interval of the checks.
const LOOK: Duration = Duration::from_millis(200);

/// Time between two checks after which this process must have been asleep.
const ASLEEP: Duration = Duration::from_secs(2);

/// Checks, until the store is closed, if its writer stands still. To be run once.
pub async fn watch(store: Weak<Store>) {
    let mut looks = tokio::time::interval(LOOK);
    let mut last = Instant::now();
    loop {
        looks.tick().await;
        let Some(store) = store.upgrade() else { return };
        if last.elapsed() > ASLEEP {
            store.condition().work().begin_again();
        }
        last = Instant::now();
        store.note_standstill();
    }
}

/// The writer's work.
#[derive(Debug)]
pub struct Work {
    epoch: Instant,
    /// The start of the present work, in milliseconds since the epoch; 0 if there is none.
    since: AtomicU64,
    stands: AtomicBool,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            since: AtomicU64::new(0),
            stands: AtomicBool::new(false),
        }
    }
}

impl Work {
    /// The writer starts work.
    pub(super) fn begin(&self, now: Instant) {
        let since = now.saturating_duration_since(self.epoch).as_millis() as u64;
        self.since.store(since.max(1), Ordering::Relaxed);
    }

    /// Measures the present work from now on, if there is any: this process was asleep.
    fn begin_again(&self) {
        let now = self.epoch.elapsed().as_millis() as u64;
        let begun = |since: u64| (since > 0).then_some(now.max(1));
        let (store, load) = (Ordering::Relaxed, Ordering::Relaxed);
        // If there is none, there is nothing to measure.
        let _ = self.since.fetch_update(store, load, begun);
    }

    /// The writer has finished its work.
    pub(super) fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    /// The duration of the present work; zero if there is none.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => (self.epoch.elapsed()).saturating_sub(Duration::from_millis(since)),
        }
    }

    /// True if it stood still at the last check.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.stands.load(Ordering::Relaxed)
    }

    /// Notes whether it stands still; returns true if that has changed.
    pub(super) fn note(&self, stands: bool) -> bool {
        self.stands.swap(stands, Ordering::Relaxed) != stands
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_lasts_from_when_it_is_taken_up_until_it_is_done() {
        let work = Work::default();
        assert_eq!(work.lasts(), Duration::ZERO);
        work.begin(Instant::now());
        std::thread::sleep(Duration::from_millis(20));
        assert!(work.lasts() >= Duration::from_millis(15));
        work.begin_again();
        assert!(work.lasts() < Duration::from_millis(15));
        work.end();
        work.begin_again();
        assert_eq!(work.lasts(), Duration::ZERO);
    }
}
