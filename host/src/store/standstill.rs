//! The writer's present work: how long it lasts, and whether the writer stands still.
//!
//! The writer notes when it takes work up; others ask how long that is ago. A task looks now and
//! then, so that a request needs to look at a flag only, and no clock.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::engine::Store;

/// How often the task looks.
const LOOK: Duration = Duration::from_millis(200);

/// Looks, until the store is closed, whether its writer stands still. To be run once.
pub async fn watch(store: Weak<Store>) {
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        let Some(store) = store.upgrade() else { return };
        store.note_standstill();
    }
}

/// The writer's work.
#[derive(Debug)]
pub struct Work {
    epoch: Instant,
    /// When the present work was taken up, in milliseconds since the epoch; 0 while there is none.
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
    /// The writer takes work up.
    pub(super) fn begin(&self, now: Instant) {
        let since = now.saturating_duration_since(self.epoch).as_millis() as u64;
        self.since.store(since.max(1), Ordering::Relaxed);
    }

    /// It is done with it.
    pub(super) fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    /// How long it has been at its present work; nothing while it has none.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => (self.epoch.elapsed()).saturating_sub(Duration::from_millis(since)),
        }
    }

    /// Whether it stood still when the task looked last.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.stands.load(Ordering::Relaxed)
    }

    /// Notes whether it stands still; gives whether that is new.
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
        work.end();
        assert_eq!(work.lasts(), Duration::ZERO);
    }
}
