//! The last observed value of something that may be slow to observe.
//!
//! One observation is in flight at a time, on a thread that may block. A caller gets the value of
//! an observation that began after the call; if that one is stuck, the value of an earlier one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

/// Longest wait of an answer for an observation that is stuck.
const PATIENCE: Duration = Duration::from_millis(700);

/// Longest wait for an observation that is only slow, and the interval of checks for being stuck.
const LONGEST: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(100);

/// The last observed value. Clones share their observations.
pub struct LastObserved<T>(Arc<ObservedCell<T>>);

struct ObservedCell<T> {
    state: Mutex<ObservedState<T>>,
    /// Number of the last observation that has ended.
    over: watch::Sender<u64>,
}

struct ObservedState<T> {
    begun: u64,
    is_under_way: bool,
    found: Option<(Instant, T)>,
}

/// An observed value, with its age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation<T> {
    /// True now.
    Now(T),
    /// True at that time; no newer value is available.
    Before(T, Instant),
    /// No observation has ever succeeded.
    Never,
}

impl<T> Clone for LastObserved<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for LastObserved<T> {
    fn default() -> Self {
        Self(Arc::new(ObservedCell {
            state: Mutex::new(ObservedState {
                begun: 0,
                is_under_way: false,
                found: None,
            }),
            over: watch::Sender::new(0),
        }))
    }
}

impl<T: Clone + Send + 'static> LastObserved<T> {
    /// Observes, or returns an earlier value if the observation is stuck. `is_stuck` reports that
    /// for the resource that `look` waits for.
    pub async fn see(
        &self,
        look: impl FnOnce() -> T + Clone + Send + 'static,
        is_stuck: impl Fn() -> bool,
    ) -> Observation<T> {
        let mut over = self.0.over.subscribe();
        let wanted = self.0.state.lock().begun + 1;
        let began = Instant::now();
        let mut wait = PATIENCE;
        loop {
            if *over.borrow_and_update() >= wanted {
                return match &self.0.state.lock().found {
                    Some((_, found)) => Observation::Now(found.clone()),
                    None => Observation::Never,
                };
            }
            self.begin(look.clone());
            if tokio::time::timeout(wait, over.changed()).await.is_ok() {
                continue;
            }
            wait = AGAIN;
            if is_stuck() || began.elapsed() >= LONGEST {
                return match &self.0.state.lock().found {
                    Some((then, found)) => Observation::Before(found.clone(), *then),
                    None => Observation::Never,
                };
            }
        }
    }

    /// Starts an observation unless one is in flight.
    fn begin(&self, look: impl FnOnce() -> T + Send + 'static) {
        let mut state = self.0.state.lock();
        if std::mem::replace(&mut state.is_under_way, true) {
            return;
        }
        state.begun += 1;
        let number = state.begun;
        let shared = self.0.clone();
        tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let found = look();
            let mut state = shared.state.lock();
            state.found = Some((began, found));
            state.is_under_way = false;
            drop(state);
            shared.over.send_replace(number);
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn an_observation_begins_after_the_call() {
        let last = LastObserved::default();
        let number = Arc::new(AtomicU32::new(0));
        let look = move || number.fetch_add(1, Ordering::Relaxed);
        assert_eq!(last.see(look.clone(), || true).await, Observation::Now(0));
        let (one, other) = tokio::join!(
            last.see(look.clone(), || false),
            last.see(look.clone(), || false)
        );
        assert!(
            one != Observation::Now(0) && other != Observation::Now(0),
            "{one:?} {other:?}"
        );
        let third = last.see(look, || false).await;
        assert!(third != one && third != other, "{third:?}");
    }

    #[tokio::test]
    async fn a_stuck_observation_returns_the_last_value_in_time() {
        let last = LastObserved::default();
        assert_eq!(last.see(|| 7, || false).await, Observation::Now(7));
        let (let_go, stuck) = mpsc::channel::<()>();
        let stuck = Arc::new(Mutex::new(stuck));
        let look = move || {
            stuck.lock().recv().unwrap();
            8
        };
        let began = Instant::now();
        let seen = last.see(look.clone(), || true).await;
        assert!(
            matches!(seen, Observation::Before(7, then) if then < began),
            "{seen:?}"
        );
        // A call meanwhile starts no further observation.
        let seen = last.see(look, || true).await;
        assert!(matches!(seen, Observation::Before(7, _)), "{seen:?}");
        let_go.send(()).unwrap();
        assert_eq!(last.see(|| 9, || false).await, Observation::Now(9));
    }

    #[tokio::test]
    async fn a_stuck_first_observation_returns_no_value() {
        let last = LastObserved::<u32>::default();
        let (let_go, stuck) = mpsc::channel::<()>();
        let stuck = Arc::new(Mutex::new(stuck));
        let look = move || stuck.lock().recv().map_or(0, |()| 1);
        assert_eq!(last.see(look, || true).await, Observation::Never);
        drop(let_go);
    }
}
